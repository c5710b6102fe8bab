/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line as uses of options. It is split first and applied later, because the files that it names must be
 * read in between: what is said on the command line goes over what is in any file.
 */
#include "base/schema.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, CANDIDATES_MAX = 4 * GG_SCHEMA_OPTIONS_MAX };

struct splitter {
  const struct gg_schema *schema;
  const struct gg_schema_extra *extras;
  size_t extra_count;
  struct gg_config_errors *errors;
  int rc;
};

/* --- looking flags up ------------------------------------------------------------------------------------------- */

static const struct gg_option *find_in(const struct gg_option *options, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (options[i].flag && strcmp(options[i].flag, name) == 0)
      return &options[i];
  return NULL;
}

static bool find(const struct splitter *splitter, const char *name, struct gg_flag_use *use)
{
  const struct gg_schema *schema = splitter->schema;
  *use = (struct gg_flag_use){0};
  for (size_t i = 0; i < splitter->extra_count; i++) {
    if (strcmp(splitter->extras[i].name, name) == 0) {
      use->extra = &splitter->extras[i];
      return true;
    }
  }
  use->option = find_in(schema->options, schema->option_count, name);
  for (size_t i = 0; i < schema->list_count && !use->option; i++) {
    use->option = find_in(schema->lists[i].options, schema->lists[i].option_count, name);
    use->list = use->option ? &schema->lists[i] : NULL;
  }
  return use->option != NULL;
}

static size_t add_flags(const struct gg_option *options, size_t count, const char **candidates, size_t used)
{
  for (size_t i = 0; i < count && used < CANDIDATES_MAX; i++)
    if (options[i].flag)
      candidates[used++] = options[i].flag;
  return used;
}

static void report_unknown(struct splitter *splitter, const char *argument, const char *name)
{
  const struct gg_schema *schema = splitter->schema;
  const char *candidates[CANDIDATES_MAX];
  size_t count = add_flags(schema->options, schema->option_count, candidates, 0);
  for (size_t i = 0; i < schema->list_count; i++)
    count = add_flags(schema->lists[i].options, schema->lists[i].option_count, candidates, count);
  for (size_t i = 0; i < splitter->extra_count && count < CANDIDATES_MAX; i++)
    candidates[count++] = splitter->extras[i].name;
  size_t near = gg_text_nearest(name, candidates, count);
  int shown = (int)strcspn(argument, "=");
  if (near < count)
    gg_config_error_add(splitter->errors, "unknown option '%.*s'; did you mean '--%s'?", shown, argument,
                        candidates[near]);
  else
    gg_config_error_add(splitter->errors, "unknown option '%.*s'", shown, argument);
  splitter->rc = GG_ERR_FORMAT;
}

/* --- splitting -------------------------------------------------------------------------------------------------- */

static void report_use(struct splitter *splitter, const char *argument, const char *message)
{
  gg_config_error_add(splitter->errors, "%.*s: %s", (int)strcspn(argument, "="), argument, message);
  splitter->rc = GG_ERR_FORMAT;
}

/* One "--name" with what follows. `following` is the next argument or NULL. Returns how many arguments were used up. */
static int split_long(struct splitter *splitter, const char *argument, const char *following, struct gg_flag_use *use,
                      bool *found)
{
  char name[NAME_MAX_BYTES];
  const char *equals = strchr(argument, '=');
  snprintf(name, sizeof name, "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
  const char *value = equals ? equals + 1 : NULL;
  *found = find(splitter, name, use);
  if (!*found && !value && strncmp(name, "no-", 3) == 0 && find(splitter, name + 3, use) && use->option &&
      use->option->type == GG_OPTION_BOOL) {
    *found = true;
    use->value = "off";
    return 1;
  }
  if (!*found) {
    report_unknown(splitter, argument, name);
    return 1;
  }
  bool alone = use->extra ? !use->extra->argument : use->option->type == GG_OPTION_BOOL;
  if (use->extra && alone && value) {
    report_use(splitter, argument, "takes no value");
    *found = false;
  }
  use->value = value ? value : use->option && alone ? "on" : NULL;
  if (alone || value)
    return 1;
  if (!following || strncmp(following, "--", 2) == 0) {
    report_use(splitter, argument, "needs a value");
    *found = false;
    return 1;
  }
  use->value = following;
  return 2;
}

/* "-c FILE", "-cFILE", "-h". */
static int split_short(struct splitter *splitter, const char *argument, const char *following, struct gg_flag_use *use,
                       bool *found)
{
  *found = false;
  *use = (struct gg_flag_use){0};
  for (size_t i = 0; i < splitter->extra_count; i++)
    if (splitter->extras[i].letter == argument[1])
      use->extra = &splitter->extras[i];
  if (!use->extra || (!use->extra->argument && argument[2] != '\0')) {
    report_unknown(splitter, argument, argument + 1);
    return 1;
  }
  *found = true;
  if (!use->extra->argument)
    return 1;
  use->value = argument[2] ? argument + 2 : following;
  if (!use->value || (!argument[2] && use->value[0] == '-' && use->value[1])) {
    report_use(splitter, argument, "needs a value");
    *found = false;
    return 1;
  }
  return argument[2] ? 1 : 2;
}

int gg_schema_flags_split(const struct gg_schema *schema, const struct gg_schema_extra *extras, size_t extra_count,
                          int argc, char *const *argv, struct gg_flag_use *uses, size_t *use_count,
                          struct gg_config_errors *errors)
{
  struct splitter splitter = {.schema = schema, .extras = extras, .extra_count = extra_count, .errors = errors};
  *use_count = 0;
  int at = 0;
  while (at < argc) {
    const char *argument = argv[at];
    const char *following = at + 1 < argc ? argv[at + 1] : NULL;
    bool found = false;
    if (strncmp(argument, "--", 2) == 0 && argument[2]) {
      at += split_long(&splitter, argument, following, &uses[*use_count], &found);
    } else if (argument[0] == '-' && argument[1] && argument[1] != '-') {
      at += split_short(&splitter, argument, following, &uses[*use_count], &found);
    } else {
      gg_config_error_add(errors, "'%.200s' is not an option", argument);
      splitter.rc = GG_ERR_FORMAT;
      at++;
    }
    *use_count += found ? 1 : 0;
  }
  return splitter.rc;
}

/* --- applying --------------------------------------------------------------------------------------------------- */

/* The item of a list that the command line is filling. */
struct item {
  const struct gg_option_list *list;
  const char *first_value; /* what its first option was given: its name in messages */
  bool seen[GG_SCHEMA_OPTIONS_MAX];
  bool sound;
};

struct applier {
  const struct gg_schema *schema;
  void *values;
  struct gg_schema_places *places; /* NULL: nobody asks */
  struct gg_config_errors *errors;
  struct item item;                 /* item.list is NULL while none was begun */
  bool seen[GG_SCHEMA_OPTIONS_MAX]; /* of the schema's own options */
  bool list_replaced[GG_SCHEMA_OPTIONS_MAX];
  int rc;
};

static void fail(struct applier *applier, int rc)
{
  if (applier->rc == 0 || rc == GG_ERR_NOMEM)
    applier->rc = rc;
}

static void *last_item(const struct applier *applier, const struct gg_option_list *list)
{
  return gg__list_item(list, applier->values, gg__list_count(list, applier->values) - 1);
}

/* What can be judged only when all of an item's flags are known. */
static void finish_item(struct applier *applier)
{
  const struct gg_option_list *list = applier->item.list;
  struct gg_failure failure = GG_FAILURE_INIT;
  if (!list || applier->rc == GG_ERR_NOMEM)
    return;
  const char *begin = list->options[0].flag;
  for (size_t i = 0; i < list->option_count; i++) {
    if (!list->options[i].required || applier->item.seen[i])
      continue;
    gg_config_error_add(applier->errors, "--%s %.200s: --%s is missing", begin, applier->item.first_value,
                        list->options[i].flag);
    applier->item.sound = false;
    fail(applier, GG_ERR_FORMAT);
  }
  if (applier->item.sound && list->check && list->check(last_item(applier, list), &failure) != 0) {
    gg_config_error_add(applier->errors, "--%s %.200s: %s", begin, applier->item.first_value, failure.message);
    fail(applier, GG_ERR_FORMAT);
  }
  applier->item.list = NULL;
}

static bool begin_item(struct applier *applier, const struct gg_flag_use *use)
{
  size_t index = (size_t)(use->list - applier->schema->lists);
  finish_item(applier);
  if (!applier->list_replaced[index]) {
    gg__list_clear(use->list, applier->values);
    gg__places_clear_list(applier->places, use->list);
  }
  applier->list_replaced[index] = true;
  if (gg__list_count(use->list, applier->values) >= use->list->most) {
    gg_config_error_add(applier->errors, "--%s %.200s: more than %zu %s", use->option->flag, use->value,
                        use->list->most, use->list->key);
    fail(applier, GG_ERR_FORMAT);
    return false;
  }
  if (!gg__list_append(use->list, applier->values)) {
    fail(applier, GG_ERR_NOMEM);
    return false;
  }
  applier->item = (struct item){.list = use->list, .first_value = use->value, .sound = true};
  return true;
}

/* One value, or each part between commas. */
static int set_parts(const struct gg_option *option, void *values, const char *text, struct gg_failure *failure)
{
  if (!gg__option_is_list(option) || option->type == GG_OPTION_ENDPOINTS)
    return gg__option_set(option, values, text, strlen(text), failure);
  int rc = 0;
  const char *at = text;
  while (rc == 0) {
    char part[GG_SCHEMA_VALUE_BYTES_MAX + 1];
    size_t length = strcspn(at, ",");
    if (length > GG_SCHEMA_VALUE_BYTES_MAX)
      return gg_fail(failure, GG_ERR_RANGE, "the value is too long");
    memcpy(part, at, length);
    part[length] = '\0';
    rc = gg__option_set(option, values, part, length, failure);
    if (at[length] == '\0')
      break;
    at += length + 1;
  }
  return rc;
}

/* Sets the option, unless it is one value and was given before; an error has one sentence in `failure`. */
static int set_once(const struct gg_option *option, void *target, const char *value, bool *seen,
                    struct gg_failure *failure)
{
  bool again = *seen;
  *seen = true;
  if (again && !gg__option_is_list(option))
    return gg_fail(failure, GG_ERR_FORMAT, "was already given");
  if (!again && gg__option_is_list(option))
    gg__option_clear(option, target);
  return set_parts(option, target, value, failure);
}

static struct gg_place *place_of(const struct applier *applier, const struct gg_flag_use *use)
{
  if (!applier->places)
    return NULL;
  if (!use->list)
    return &applier->places->rows[use->option - applier->schema->options];
  size_t last = gg__list_count(use->list, applier->values) - 1;
  return gg__places_of_item(applier->places, use->list, last) + (use->option - use->list->options);
}

static void apply(struct applier *applier, const struct gg_flag_use *use)
{
  const struct gg_option *option = use->option;
  bool begins = use->list && option == &use->list->options[0];
  if (begins && !begin_item(applier, use))
    return;
  if (use->list && applier->item.list != use->list) {
    gg_config_error_add(applier->errors, "--%s: belongs to a %s: write it after its --%s", option->flag,
                        use->list->item, use->list->options[0].flag);
    fail(applier, GG_ERR_FORMAT);
    if (applier->places)
      applier->places->unclear = true;
    return;
  }
  void *target = use->list ? last_item(applier, use->list) : applier->values;
  const struct gg_option *table = use->list ? use->list->options : applier->schema->options;
  bool *seen = (use->list ? applier->item.seen : applier->seen) + (option - table);
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_place *place = place_of(applier, use);
  bool wrong_before = *seen && place && place->wrong;
  int rc = set_once(option, target, use->value, seen, &failure);
  if (place)
    *place = (struct gg_place){.flag = option->flag, .wrong = rc != 0 || wrong_before};
  if (rc == 0)
    return;
  if (rc != GG_ERR_NOMEM)
    gg_config_error_add(applier->errors, "--%s: %s", option->flag, failure.message);
  fail(applier, rc == GG_ERR_NOMEM ? rc : GG_ERR_FORMAT);
  if (use->list)
    applier->item.sound = false;
}

int gg_schema_flags_apply(const struct gg_schema *schema, void *values, const struct gg_flag_use *uses,
                          size_t use_count, struct gg_schema_places *places, struct gg_config_errors *errors)
{
  struct applier applier = {.schema = schema, .values = values, .places = places, .errors = errors};
  assert(schema->option_count <= GG_SCHEMA_OPTIONS_MAX);
  for (size_t i = 0; i < use_count && applier.rc != GG_ERR_NOMEM; i++)
    if (uses[i].option)
      apply(&applier, &uses[i]);
  finish_item(&applier);
  return applier.rc;
}
