/* SPDX-License-Identifier: Apache-2.0 */
/**
 * common.h - what the program's commands share: the shape of a command, its options, its errors, its exit status.
 *
 * A command is one file with one `struct gg_command`, and one row in main.c's table. It reads its options from one
 * table, which also makes its help:
 *
 *   static const struct gg_cli_option options[] = {{"json", 'j', NULL, "one JSON object a line"}, ...};
 *   struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
 *   for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
 *     switch (what) {
 *     case 0:            json = true; break;             // the table's first row
 *     case GG_CLI_WORD:  add(args.value); break;         // a bare word
 *     default:           return GG_EXIT_USAGE;           // an unknown option: already told
 *     }
 *   }
 *
 * `--dir DIR` may stand anywhere, before the command's name too: main.c takes it out before the command sees it.
 * `--help` does the same. Options may follow words; "--" ends options; "--name=value" and "--name value" are equal.
 */
#ifndef GG_CLI_COMMON_H
#define GG_CLI_COMMON_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum gg_exit {
  GG_EXIT_DONE = 0,
  GG_EXIT_DIFFERENCE = 1, /* a difference, or a verification that failed */
  GG_EXIT_USAGE = 2,      /* the command was wrong */
  GG_EXIT_FAILED = 3,     /* it could not be done */
};

/* What main.c found before the command began. */
struct gg_cli {
  const char *dir; /* --dir, else $GOGETWAY_DIR, else "./gogetway-data" */
  bool dir_given;  /* by --dir */
  bool dir_named;  /* by --dir or $GOGETWAY_DIR: it is not the default */
};

struct gg_cli_option {
  const char *name;  /* without dashes */
  char letter;       /* 0: none */
  const char *value; /* what stands for its value in the help ("FILE"); NULL: it takes none */
  const char *help;  /* one line */
};

struct gg_command {
  const char *name;
  const char *summary;  /* one line for the list of commands */
  const char *synopsis; /* what follows the name: "[FILTER...] [--json]" */
  const struct gg_cli_option *options;
  size_t option_count;
  const char *details;    /* more for --help, whole lines; may be NULL */
  int (*help)(FILE *out); /* prints the whole help by itself; returns an enum gg_exit; may be NULL */
  /* argv[0] is the command's name. Returns an enum gg_exit. */
  int (*run)(const struct gg_cli *cli, int argc, char **argv);
};

enum { GG_CLI_END = -1, GG_CLI_WORD = -2, GG_CLI_WRONG = -3 };

struct gg_cli_args {
  int argc;
  char **argv;
  const struct gg_cli_option *options;
  size_t option_count;
  int at;              /* the next argument */
  const char *letters; /* what is left of "-abc" */
  bool words_only;     /* "--" was seen */
  const char *value;   /* of the option or word that gg_cli_next returned; borrowed from argv */
};
#define GG_CLI_ARGS(argument_count, arguments, table)                                                                  \
  {                                                                                                                    \
    .argc = (argument_count), .argv = (arguments), .options = (table),                                                 \
    .option_count = sizeof(table) / sizeof((table)[0]), .at = 1                                                        \
  }

/* The row of the next option, GG_CLI_WORD, GG_CLI_END, or GG_CLI_WRONG after it has said on stderr what was wrong. */
int gg_cli_next(struct gg_cli_args *args);

/* The name in `names` that `word` was probably meant to be; NULL if none is near. */
const char *gg_cli_nearest(const char *word, const char *const *names, size_t count);

/* "gogetway: <message>" on stderr, control characters made harmless. Return GG_EXIT_FAILED and GG_EXIT_USAGE. */
int gg_cli_fail(const char *format, ...) GG_PRINTF(1, 2);
int gg_cli_wrong(const char *format, ...) GG_PRINTF(1, 2);

/* Writes text so that no control character, terminal escape or invalid UTF-8 goes out as it is ("\x1b"). */
void gg_cli_put_safe(FILE *out, const char *text, size_t length);

/* Whoever reads stdout has closed it (`| head`): he has what he wanted. For every command that is an end without a
 * word, with the status that it has by then. */
bool gg_cli_reader_gone(void);

/* Flushes and closes stdout: a full disk behind `> file` is a failure, not silence. Returns `status`, or GG_EXIT_FAILED
 * after telling why. */
int gg_cli_finish(int status);

/* Each connection takes descriptors, and the soft limit is made for select(2): it becomes the hard one. */
void gg_cli_raise_descriptor_limit(void);

int gg_cli_print_help(const struct gg_command *command, FILE *out);
void gg_cli_print_options(const struct gg_cli_option *options, size_t count, FILE *out);

#endif
