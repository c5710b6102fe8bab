/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config.h"

#include "engine/bounds.h"
#include "engine/config_judge.h"
#include "engine/config_plugin.h"
#include "engine/config_table.h"
#include "engine/config_upstream.h"
#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum extra { EXTRA_CONFIG, EXTRA_CHECK, EXTRA_PRINT, EXTRA_HELP, EXTRA_COUNT };
static const struct gg_schema_extra extras[EXTRA_COUNT] = {
  [EXTRA_CONFIG] = {"config", 'c', "FILE", "read options from a YAML file; may be repeated, later files win"},
  [EXTRA_CHECK] = {"check-config", 0, NULL, "say what is wrong with the options and end"},
  [EXTRA_PRINT] = {"print-config", 0, NULL, "print the options in effect as YAML and end"},
  [EXTRA_HELP] = {"help", 'h', NULL, "show this"},
};

enum { NAME_NUMBER_ROOM = 24 };

static void keep_first(int *rc, int more)
{
  if (*rc == 0 || more == GG_ERR_NOMEM)
    *rc = more;
}

/* $GOGETWAY_DIR stands between the default and the files. */
static int read_environment(struct gg_config *config, struct gg_config_errors *errors)
{
  const char *dir = getenv("GOGETWAY_DIR");
  if (!dir || !dir[0])
    return 0;
  struct gg_failure failure = GG_FAILURE_INIT;
  const struct gg_option *option = &gg__config_schema.options[0];
  assert(strcmp(option->key, "dir") == 0);
  int rc = gg__option_set(option, config, dir, strlen(dir), &failure);
  if (rc != 0 && rc != GG_ERR_NOMEM)
    gg_config_error_add(errors, "GOGETWAY_DIR: %s", failure.message);
  return rc == 0 || rc == GG_ERR_NOMEM ? rc : GG_ERR_FORMAT;
}

static enum gg_config_action wanted_action(const struct gg_flag_use *uses, size_t count)
{
  enum gg_config_action action = GG_CONFIG_RUN;
  for (size_t i = 0; i < count; i++) {
    if (uses[i].extra == &extras[EXTRA_HELP])
      return GG_CONFIG_HELP;
    if (uses[i].extra == &extras[EXTRA_PRINT])
      action = GG_CONFIG_PRINT;
    if (uses[i].extra == &extras[EXTRA_CHECK] && action == GG_CONFIG_RUN)
      action = GG_CONFIG_CHECK;
  }
  return action;
}

static int keep_names(struct gg_config *config, const struct gg_flag_use *uses, size_t count)
{
  config->files.items = calloc(count + 1, sizeof *config->files.items);
  if (!config->files.items)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < count; i++) {
    if (uses[i].extra != &extras[EXTRA_CONFIG])
      continue;
    char *name = strdup(uses[i].value);
    if (!name)
      return GG_ERR_NOMEM;
    config->files.items[config->files.count++] = name;
  }
  return 0;
}

static int read_files(struct gg_config *config, int silence_ms, const struct gg_flag_use *uses, size_t count,
                      struct gg_schema_places *places, struct gg_config_errors *errors)
{
  int rc = keep_names(config, uses, count);
  for (size_t i = 0; i < count && rc != GG_ERR_NOMEM; i++)
    if (uses[i].extra == &extras[EXTRA_CONFIG])
      keep_first(&rc, gg_schema_read_file(&gg__config_schema, config, uses[i].value, silence_ms, places, errors));
  return rc;
}

/* --- what is made from the values that were read ---------------------------------------------------------------- */

static bool name_is_taken(const struct gg_config *config, const char *name)
{
  for (size_t i = 0; i < config->listener_count; i++)
    if (config->listeners[i].name && strcmp(config->listeners[i].name, name) == 0)
      return true;
  return false;
}

/* The `listen` address, with a number behind it if that is taken (several may ask for port 0); NULL without memory. */
static char *default_name(const struct gg_config *config, const char *listen)
{
  size_t size = strlen(listen) + NAME_NUMBER_ROOM;
  char *name = malloc(size);
  if (!name)
    return NULL;
  snprintf(name, size, "%s", listen);
  for (size_t number = 2; number <= config->listener_count && name_is_taken(config, name); number++)
    snprintf(name, size, "%s-%zu", listen, number);
  return name;
}

/* Fills what a listener's words mean. Those that were refused are missing, or do not parse. */
static int derive_listener(const struct gg_config *config, struct gg_config_listener *listener)
{
  if (listener->listen)
    gg_endpoint_parse(&listener->listen_endpoint, listener->listen, true, NULL);
  int rc = gg__config_upstreams_derive(listener);
  if (rc != 0)
    return rc;
  if (!listener->name && listener->listen) {
    listener->name = default_name(config, listener->listen);
    if (!listener->name)
      return GG_ERR_NOMEM;
  }
  size_t count = listener->trusted.count;
  if (count == 0)
    return 0;
  listener->trusted_networks = calloc(count, sizeof *listener->trusted_networks);
  if (!listener->trusted_networks)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < count; i++)
    gg_network_parse(&listener->trusted_networks[i], listener->trusted.items[i], NULL);
  return 0;
}

static int derive_plugin(struct gg_config *config, size_t index, struct gg_schema_places *places)
{
  const struct gg_option_list *list = gg__config_list(GG__CONFIG_PLUGINS);
  struct gg_config_plugin *plugin = &config->plugins[index];
  const char *key = plugin->lua && !plugin->path ? "lua" : "path";
  return gg__config_plugin_derive(plugin, config->plugin_dir, gg_schema_item_place(places, list, index, key),
                                  gg_schema_item_place(places, list, index, "sink"));
}

static int finish(struct gg_config *config, struct gg_schema_places *places, struct gg_config_errors *errors)
{
  for (size_t i = 0; i < config->listener_count; i++) {
    int rc = derive_listener(config, &config->listeners[i]);
    if (rc != 0)
      return rc;
  }
  for (size_t i = 0; i < config->plugin_count; i++) {
    int rc = derive_plugin(config, i, places);
    if (rc != 0)
      return rc;
  }
  return gg__config_judge(config, places, errors);
}

static int load(struct gg_config *config, int argc, char *const *argv, int silence_ms, struct gg_flag_use *uses,
                struct gg_schema_places *places, struct gg_config_errors *errors)
{
  size_t count = 0;
  int rc = gg_schema_defaults(&gg__config_schema, config);
  if (rc != 0)
    return rc;
  rc = gg_schema_flags_split(&gg__config_schema, extras, EXTRA_COUNT, argc, argv, uses, &count, errors);
  config->action = wanted_action(uses, count);
  if (config->action == GG_CONFIG_HELP) {
    errors->count = 0;
    errors->left_out = 0;
    return 0;
  }
  places->unclear = rc != 0;
  keep_first(&rc, read_environment(config, errors));
  keep_first(&rc, read_files(config, silence_ms, uses, count, places, errors));
  keep_first(&rc, gg_schema_flags_apply(&gg__config_schema, config, uses, count, places, errors));
  if (rc != GG_ERR_NOMEM)
    keep_first(&rc, finish(config, places, errors));
  return rc;
}

int gg_config_load(struct gg_config *out, int argc, char *const *argv, int silence_ms, struct gg_config_errors *errors)
{
  assert(argc >= 0);
  memset(out, 0, sizeof *out);
  errors->count = 0;
  errors->left_out = 0;
  struct gg_flag_use *uses = calloc((size_t)argc + 1, sizeof *uses);
  struct gg_schema_places *places = NULL;
  int rc = uses ? gg_schema_places_create(&places, &gg__config_schema) : GG_ERR_NOMEM;
  if (rc == 0)
    rc = load(out, argc, argv, silence_ms, uses, places, errors);
  gg_schema_places_destroy(places);
  free(uses);
  if (rc == GG_ERR_NOMEM)
    gg_config_error_add(errors, "out of memory");
  if (rc != 0)
    gg_config_fini(out);
  return rc;
}

void gg_config_fini(struct gg_config *config)
{
  if (!config)
    return;
  for (size_t i = 0; i < config->listener_count; i++) {
    free(config->listeners[i].trusted_networks);
    gg__config_upstreams_free(&config->listeners[i]);
  }
  for (size_t i = 0; i < config->plugin_count; i++)
    gg__config_plugin_fini(&config->plugins[i]);
  for (size_t i = 0; i < config->files.count; i++)
    free(config->files.items[i]);
  free(config->files.items);
  gg_schema_fini(&gg__config_schema, config);
  memset(config, 0, sizeof *config);
}

unsigned gg_config_workers(const struct gg_config *config)
{
  cpu_set_t cpus;
  if (config->workers > 0)
    return (unsigned)config->workers;
  int cores = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
  if (cores < 1)
    cores = 1;
  return cores > GG_CONFIG_WORKERS_MAX ? GG_CONFIG_WORKERS_MAX : (unsigned)cores;
}

/* --- plug-ins --------------------------------------------------------------------------------------------------- */

bool gg_config_plugin_sees(const struct gg_config_plugin *plugin, const struct gg_config_listener *listener)
{
  for (size_t i = 0; i < plugin->listeners.count; i++)
    if (strcmp(plugin->listeners.items[i], listener->name) == 0)
      return true;
  return plugin->listeners.count == 0;
}

int gg_config_plugin_equal(const struct gg_config_plugin *a, const struct gg_config_plugin *b)
{
  const struct gg_option_list *list = gg__config_list(GG__CONFIG_PLUGINS);
  int equal = 1;
  for (size_t i = 0; i < list->option_count && equal == 1; i++) {
    const struct gg_option *option = &list->options[i];
    char *one = gg_schema_value(option, a), *other = gg_schema_value(option, b);
    equal = one && other ? strcmp(one, other) == 0 : GG_ERR_NOMEM;
    free(one);
    free(other);
  }
  return equal;
}

/* --- texts ------------------------------------------------------------------------------------------------------ */

char *gg_config_print(const struct gg_config *config)
{
  return gg_schema_print(&gg__config_schema, config);
}

/* head followed by tail, which is freed. */
static char *join(const char *head, char *tail)
{
  char *text = NULL;
  if (tail && asprintf(&text, "%s%s", head, tail) < 0)
    text = NULL;
  free(tail);
  return text;
}

char *gg_config_help(void)
{
  static const char head[] = "usage: gogetway run --listen ADDR --upstream ADDR [OPTION...]\n"
                             "       gogetway run -c FILE [OPTION...]\n"
                             "\n"
                             "What is given here goes over what is in files. Defaults are in parentheses.\n"
                             "\n";
  return join(head, gg_schema_help(&gg__config_schema, extras, EXTRA_COUNT));
}

char *gg_config_document(void)
{
  static const char head[] =
    "# Configuration\n"
    "\n"
    "<!-- Made from the table in src/engine/config_table.c by tools/document. Do not edit. -->\n"
    "\n"
    "Options come from, the later over the earlier: the defaults, `$GOGETWAY_DIR` (for `dir`), each `-c FILE` in its\n"
    "order, the command line. `gogetway run --check-config` says all that is wrong at once, with file, line and "
    "column;\n"
    "`--print-config` prints what is in effect, as a file that can be read again.\n"
    "\n"
    "```yaml\n"
    "dir: /var/lib/gogetway\n"
    "listeners:\n"
    "  - name: web\n"
    "    listen: :9000\n"
    "    upstream: 127.0.0.1:80\n"
    "  - name: telnet-trap\n"
    "    listen: :2323\n"
    "    upstream: none\n"
    "    greeting: 'login: '\n"
    "    on_stall: gap\n"
    "  - name: db\n"
    "    listen: :5432\n"
    "    upstream: [10.0.0.1:5432 weight=3, 10.0.0.2:5432, 10.0.0.9:5432 name=spare backup]\n"
    "    balance: least-sessions\n"
    "plugins:\n"
    "  - path: /etc/gogetway/plugin-hello.so\n"
    "    listeners: [db]\n"
    "    config:\n"
    "      large: 1MiB\n"
    "  - lua: /etc/gogetway/mine.lua\n"
    "log:\n"
    "  max: 512MiB\n"
    "segment:\n"
    "  max_age: 10m\n"
    "```\n"
    "\n"
    "- A **size** is a number and a unit: `64KiB`, `10M`, `1.5GiB`. `K`, `M`, `G`, `T` with or without `iB` are powers "
    "of\n"
    "  1024; `kB`, `MB`, `GB`, `TB` are powers of 1000.\n"
    "- A **duration** is a number and a unit, or several: `250ms`, `10s`, `1h30m`, `2d`. Units are `w`, `d`, `h`, `m`, "
    "`s`,\n"
    "  `ms`, `us`, `ns`.\n"
    "- An **address** is `host:port`, `[v6]:port`, `:port` or `unix:PATH`.\n"
    "- What is **changed by reload** changes when the gateway reads its files again: by SIGHUP or `gogetway reload`. "
    "What is\n"
    "  changed by restart keeps its value until then, and is named.\n"
    "- On the command line a list is separated by commas, or its flag is repeated; a list of addresses only by "
    "repeating it:\n"
    "  `--upstream '10.0.0.1:80 weight=3' --upstream 10.0.0.2:80`.\n"
    "- A file is one YAML document of at most 1 MiB. A key may be given once. Anchors, aliases and tags are refused.\n";
  char *bounds = gg__bounds_document();
  char *text = bounds ? join(head, gg_schema_document(&gg__config_schema)) : NULL;
  char *all = text ? join(text, bounds) : NULL;
  if (!text)
    free(bounds);
  free(text);
  return all;
}
