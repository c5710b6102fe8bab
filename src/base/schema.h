/* SPDX-License-Identifier: Apache-2.0 */
/**
 * schema.h - one table that describes every option, and what is made from it.
 *
 *                            +--> reads YAML (all errors at once, file:line:column, "did you mean")
 *     struct gg_schema  -----+--> reads command-line flags
 *                            +--> keeps a part of YAML as it stands (tree.h), and reads what another table has kept
 *     (const tables)         +--> fills in defaults, frees what it filled
 *                            +--> prints the effective values as YAML, which reads back to the same values
 *                            +--> writes the reference page (markdown) and the --help text
 *
 * An option has a key path ("log.max": `max:` below `log:`), a type, a range, a default, and a place in the caller's
 * struct. A list (gg_option_list) repeats a table of options for each item, as `listeners:` does.
 *
 * The struct that is filled is plain data. Strings and arrays in it are malloc'ed and owned by it; gg_schema_fini frees
 * them. The struct must be all zero before gg_schema_defaults.
 *
 * Thread: pure functions on the caller's data; any thread, one at a time for the same data.
 */
#ifndef GG_BASE_SCHEMA_H
#define GG_BASE_SCHEMA_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct gg_tree;

enum {
  GG_SCHEMA_DOCUMENT_BYTES_MAX = 1024 * 1024, /* of one YAML document */
  GG_SCHEMA_DEPTH_MAX = 8,                    /* nesting of maps and lists */
  GG_SCHEMA_VALUE_BYTES_MAX = 4096,           /* of one value */
  GG_SCHEMA_OPTIONS_MAX = 128,                /* in one table */
  GG_CONFIG_ERRORS_MAX = 64,
};

/* The type of an option, and of the field that it fills. */
enum gg_option_type {
  GG_OPTION_BOOL,      /* bool */
  GG_OPTION_COUNT,     /* uint64_t */
  GG_OPTION_BYTES,     /* uint64_t: bytes */
  GG_OPTION_DURATION,  /* uint64_t: nanoseconds */
  GG_OPTION_MODE,      /* uint64_t: permission bits, written in octal */
  GG_OPTION_ENUM,      /* any enum (int sized): the index in `names` */
  GG_OPTION_STRING,    /* char *: malloc'ed, NULL if not set */
  GG_OPTION_PATH,      /* char *: not empty */
  GG_OPTION_ENDPOINT,  /* char *: an address, judged by `check` */
  GG_OPTION_BLOB,      /* struct gg_blob: any bytes, written with C escapes */
  GG_OPTION_STRINGS,   /* struct gg_strings */
  GG_OPTION_NETWORKS,  /* struct gg_strings: networks, each judged by `check` */
  GG_OPTION_ENDPOINTS, /* struct gg_strings: addresses, each judged by `check`; written alone or as a list */
  GG_OPTION_TREE,      /* struct gg_tree *: a map, kept as it was written for another table; NULL if not set. No flag */
};

struct gg_blob {
  char *bytes; /* malloc'ed, NULL if length is 0 */
  size_t length;
};

struct gg_strings {
  char **items; /* malloc'ed, and each of them; NULL if count is 0 */
  size_t count;
};

/* Says whether a text that the user wrote is acceptable: 0, or an error with one sentence in `failure`. */
typedef int (*gg_option_check_fn)(const char *text, struct gg_failure *failure);

struct gg_option {
  const char *key;  /* "log.max"; unique in its table */
  const char *flag; /* the command line's name without dashes, "log-max"; NULL: not on the command line */
  enum gg_option_type type;
  size_t offset; /* of the field */
  /* COUNT, BYTES, DURATION, MODE: range, both ends allowed. STRING and its like: bytes; lists: items, of which a flag
   * gives at least one whatever `least` is; BLOB: `most` bytes. `most` 0 is GG_SCHEMA_VALUE_BYTES_MAX or 64 there. */
  uint64_t least;
  uint64_t most;
  const char *preset;       /* the default as the user would write it; NULL: not set, zero */
  const char *const *names; /* ENUM: the values in order, ends in NULL */
  gg_option_check_fn check; /* may be NULL */
  bool required;            /* an item of a list, or a tree that is read, must have it */
  bool restart;             /* a process that runs keeps the value it has (gg_schema_keep) */
  const char *help;         /* one line, no dot */
  const char *more;         /* more for the reference page, whole sentences; may be NULL */
};

struct gg_option_list {
  const char *key;                 /* "listeners" */
  const char *item;                /* "listener": what one is called in messages */
  const struct gg_option *options; /* the first one's flag begins an item on the command line; NULL: of files only */
  size_t option_count;
  size_t items_offset; /* of a pointer to the malloc'ed array of items */
  size_t count_offset; /* of a size_t */
  size_t item_bytes;
  size_t most; /* items */
  int (*check)(const void *item,
               struct gg_failure *failure); /* what concerns several options of an item; may be NULL */
  const char *help;
  const char *more;
};

struct gg_option_section {
  const char *key; /* "log"; "" for the options without a section */
  const char *help;
};

struct gg_schema {
  const struct gg_option *options;
  size_t option_count;
  const struct gg_option_list *lists;
  size_t list_count;
  const struct gg_option_section *sections; /* the order of the reference page and of help */
  size_t section_count;
};

/* What was wrong, each as "file:line:column: message" or "--flag: message", in the order it was found. */
struct gg_config_error {
  char text[512];
};
struct gg_config_errors {
  size_t count;
  size_t left_out; /* more than GG_CONFIG_ERRORS_MAX were found: how many are not shown */
  struct gg_config_error items[GG_CONFIG_ERRORS_MAX];
};
void gg_config_error_add(struct gg_config_errors *errors, const char *format, ...) GG_PRINTF(2, 3);

/* Where an option was given last, and whether that was right. All zero: nowhere, it has its default. */
struct gg_place {
  const char *file; /* NULL: not in a file; borrowed from the caller of gg_schema_read_* */
  size_t line;      /* of the value, from 1 */
  size_t column;
  const char *flag; /* NULL: not on the command line; the table's */
  bool wrong;       /* what was given there was refused (and told): the field does not have what the user meant */
};

/* The places of all options, for who judges several options together after reading. Filled by the reading functions. */
struct gg_schema_places {
  const struct gg_schema *schema;
  bool unread;  /* a file could not be read to its end: what else it says is not known */
  bool unclear; /* something was given that is no option's value: an unknown option, a misshapen item of a list */
  struct gg_place rows[];
};
int gg_schema_places_create(struct gg_schema_places **out, const struct gg_schema *schema); /* GG_ERR_NOMEM */
void gg_schema_places_destroy(struct gg_schema_places *places);                             /* NULL is fine */
/* The place of an option, by its key (an assertion that there is one); borrowed. */
const struct gg_place *gg_schema_place(const struct gg_schema_places *places, const char *key);
const struct gg_place *gg_schema_item_place(struct gg_schema_places *places, const struct gg_option_list *list,
                                            size_t index, const char *key);
bool gg_place_is_given(const struct gg_place *place);
/* "file:line:column" or "--flag"; empty if it was given nowhere. */
void gg_place_text(const struct gg_place *place, char *text, size_t size);

/* Fills every option with its default. GG_ERR_NOMEM; a default that is wrong is an assertion. */
int gg_schema_defaults(const struct gg_schema *schema, void *values);
/* Frees what the options own and zeroes their fields; fine on zeroed or half-filled values. */
void gg_schema_fini(const struct gg_schema *schema, void *values);

/* Reads a YAML document into `values`, over what is there; a list in it replaces the list that is there. Everything
 * wrong goes to `errors`; returns 0 if nothing was, GG_ERR_FORMAT if something was (values are then partly set),
 * GG_ERR_NOMEM. gg_schema_read_file adds GG_ERR_IO, NOT_FOUND, DENIED for the file, and TIMEOUT for a pipe that is
 * silent for `silence_ms`, or that nobody writes to; also told in `errors`.
 * `places` may be NULL; otherwise `name` or `path` must live as long. */
int gg_schema_read_text(const struct gg_schema *schema, void *values, const char *name, const char *text, size_t length,
                        struct gg_schema_places *places, struct gg_config_errors *errors);
int gg_schema_read_file(const struct gg_schema *schema, void *values, const char *path, int silence_ms,
                        struct gg_schema_places *places, struct gg_config_errors *errors);

/* Reads what was kept by an option of type GG_OPTION_TREE, by the table that it was kept for: over what is there, all
 * that is wrong at once, as gg_schema_read_text. Options that are required and missing are told as "ENTRY: ...", where
 * `entry` says whose they are and where that stands: "f.yaml:3:5: plug-in hello". NULL for a tree that was not given:
 * only that is judged. GG_ERR_FORMAT, GG_ERR_NOMEM. `places` may be NULL; otherwise the tree must live as long. */
int gg_schema_read_tree(const struct gg_schema *schema, void *values, const struct gg_tree *tree, const char *entry,
                        struct gg_schema_places *places, struct gg_config_errors *errors);

/* Flags beyond the options: "--config FILE", "--help". */
struct gg_schema_extra {
  const char *name;     /* without dashes */
  char letter;          /* the short form, 0 if none */
  const char *argument; /* what its value is called in help, NULL if it has none */
  const char *help;
};

/* One flag as it was used. Borrowed from argv and the tables. */
struct gg_flag_use {
  const struct gg_option *option;
  const struct gg_option_list *list;   /* whose option it is; NULL for the schema's own */
  const struct gg_schema_extra *extra; /* set instead of `option` for one of the extras */
  const char *value;                   /* NULL only for an extra without value */
};

/* Splits a command line (argv[0] is the first argument, not the program) into uses: `--flag VALUE`, `--flag=VALUE`;
 * a bool as `--flag`, `--no-flag` or `--flag=VALUE`. `uses` has room for argc. Unknown flags, missing values and stray
 * words go to `errors` (GG_ERR_FORMAT). */
int gg_schema_flags_split(const struct gg_schema *schema, const struct gg_schema_extra *extras, size_t extra_count,
                          int argc, char *const *argv, struct gg_flag_use *uses, size_t *use_count,
                          struct gg_config_errors *errors);
/* Applies the uses in order, skipping extras. The first use of a list's first option replaces what the list had, each
 * one begins an item, and the list's other flags belong to the item begun last. A list value is split at commas
 * (but addresses, whose paths may have some) and appends to what earlier uses of the same flag gave; any other flag may
 * be used once (once an item).
 * `places` may be NULL. GG_ERR_FORMAT, GG_ERR_NOMEM. */
int gg_schema_flags_apply(const struct gg_schema *schema, void *values, const struct gg_flag_use *uses,
                          size_t use_count, struct gg_schema_places *places, struct gg_config_errors *errors);

/* Texts made from the table, malloc'ed for the caller to free; NULL without memory. */
char *gg_schema_print(const struct gg_schema *schema, const void *values); /* YAML of all options that are set */
char *gg_schema_document(const struct gg_schema *schema);                  /* markdown, a table by section */
char *gg_schema_help(const struct gg_schema *schema, const struct gg_schema_extra *extras, size_t extra_count);

/* --- two sets of values ------------------------------------------------------------------------------------------ */

/* An option's value as the user would write it, lists too; empty if it is not set. Malloc'ed; NULL without memory. */
char *gg_schema_value(const struct gg_option *option, const void *values);

/* Called for an option outside lists that differs; the texts live for the call. */
typedef void (*gg_schema_change_fn)(void *context, const struct gg_option *option, const char *from, const char *to);
/* Tells all that differ, in the table's order. GG_ERR_NOMEM. */
int gg_schema_compare(const struct gg_schema *schema, const void *from, const void *to, gg_schema_change_fn tell,
                      void *context);
/* Gives `values` what `kept` has where the option is one for a restart. GG_ERR_NOMEM. */
int gg_schema_keep(const struct gg_schema *schema, void *values, const void *kept);

/* --- shared by the files of this engine only ------------------------------------------------------------------- */

/* Sets one option from a text. On error one sentence without the option's name is in `failure`. For list types the
 * text is one element, appended after `gg__option_clear`. */
int gg__option_set(const struct gg_option *option, void *values, const char *text, size_t length,
                   struct gg_failure *failure);
void gg__option_clear(const struct gg_option *option, void *values);
/* The value as the user would write it; malloc'ed. NULL without memory. Not for list types. */
char *gg__option_text(const struct gg_option *option, const void *values);
bool gg__option_is_set(const struct gg_option *option, const void *values); /* false: a NULL string, an empty list */
bool gg__option_is_list(const struct gg_option *option);
size_t gg__option_items(const struct gg_option *option, const void *values); /* of a list type */
/* Gives a tree, which is the field's from here on, to an option of that type that has none. NULL is fine. */
void gg__option_put_tree(const struct gg_option *option, void *values, struct gg_tree *tree);
/* A YAML double-quoted text; false without memory. */
bool gg__print_quoted(FILE *out, const char *text);
/* A new item with defaults at the end of the list; NULL without memory or above the list's bound (check that first). */
void *gg__list_append(const struct gg_option_list *list, void *values);
void gg__list_clear(const struct gg_option_list *list, void *values);
size_t gg__list_count(const struct gg_option_list *list, const void *values);
void *gg__list_item(const struct gg_option_list *list, const void *values, size_t index);
/* The places of an item's options, in the table's order; NULL for NULL. */
struct gg_place *gg__places_of_item(struct gg_schema_places *places, const struct gg_option_list *list, size_t index);
void gg__places_clear_list(struct gg_schema_places *places, const struct gg_option_list *list); /* NULL is fine */

#endif
