/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c - whether a plug-in's table can be worked with; each refusal names the field. */
#include "hook/library.h"
#include "hook/options.h"
#include "proto/decoders.h"

#include <string.h>

/* X(field): all of the table, in its order. */
#define FIELDS(X)                                                                                                      \
  X(abi)                                                                                                               \
  X(size)                                                                                                              \
  X(name)                                                                                                              \
  X(version)                                                                                                           \
  X(summary)                                                                                                           \
  X(options)                                                                                                           \
  X(option_count)                                                                                                      \
  X(commands)                                                                                                          \
  X(command_count)                                                                                                     \
  X(create)                                                                                                            \
  X(destroy)                                                                                                           \
  X(accept)                                                                                                            \
  X(open)                                                                                                              \
  X(first)                                                                                                             \
  X(connect)                                                                                                           \
  X(connected)                                                                                                         \
  X(failed)                                                                                                            \
  X(count)                                                                                                             \
  X(gate)                                                                                                              \
  X(rewrite)                                                                                                           \
  X(mask)                                                                                                              \
  X(mask_longest)                                                                                                      \
  X(observe)                                                                                                           \
  X(close)                                                                                                             \
  X(tick)                                                                                                              \
  X(tick_interval_ns)                                                                                                  \
  X(command)                                                                                                           \
  X(stale)                                                                                                             \
  X(sink)                                                                                                              \
  X(sealed)                                                                                                            \
  X(replay_send)                                                                                                       \
  X(decoders)                                                                                                          \
  X(decoder_count)                                                                                                     \
  X(message)                                                                                                           \
  X(message_abi)

static const struct {
  const char *name;
  size_t end;
} fields[] = {
#define FIELD(name) {#name, offsetof(struct gg_plugin, name) + sizeof(((struct gg_plugin *)0)->name)},
  FIELDS(FIELD)
#undef FIELD
};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

/* What a table of the first version has, and every later one. */
#define SIZE_FIRST (offsetof(struct gg_plugin, command) + sizeof(((struct gg_plugin *)0)->command))
_Static_assert(SIZE_FIRST <= sizeof(struct gg_plugin), "tables only grow");

enum { TABLE_BYTES_MAX = 16384 }; /* more than a later version has: what is read behind its end is somebody else's */
_Static_assert(sizeof(struct gg_plugin) <= TABLE_BYTES_MAX, "ours is one");

static int judge_size(const struct gg_plugin *given, const char *what, struct gg_failure *failure)
{
  const unsigned char *bytes = (const unsigned char *)given;
  size_t size = given->size;
  if (size > TABLE_BYTES_MAX)
    return gg_fail(failure, GG_ERR_UNSUPPORTED, "%.300s: size is %zu, and no table has more than %d bytes", what, size,
                   (int)TABLE_BYTES_MAX);
  for (size_t i = 0; size < SIZE_FIRST && i < FIELD_COUNT; i++)
    if (fields[i].end > size)
      return gg_fail(failure, GG_ERR_UNSUPPORTED, "%.300s: size is %zu, so its table has no field %s (it needs %zu)",
                     what, size, fields[i].name, SIZE_FIRST);
  for (size_t i = sizeof *given; i < size; i++)
    if (bytes[i] != 0)
      return gg_fail(failure, GG_ERR_UNSUPPORTED,
                     "%.300s: size is %zu, of which this gateway knows %zu, and byte %zu is set: it was built for a "
                     "later version",
                     what, size, sizeof *given, i);
  return 0;
}

bool gg_plugin_name_is_good(const char *name, size_t size)
{
  size_t length = name ? strnlen(name, size) : 0;
  if (length == 0 || length == size || name[0] < 'a' || name[0] > 'z')
    return false;
  return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static int judge_name(const struct gg_plugin *plugin, const char *what, struct gg_failure *failure)
{
  if (!plugin->name)
    return gg_fail(failure, GG_ERR_INVALID, "%.300s: name is NULL", what);
  if (!gg_plugin_name_is_good(plugin->name, GG_PLUGIN_NAME_MAX))
    return gg_fail(failure, GG_ERR_INVALID,
                   "%.300s: name is '%.40s', which is not a-z and then a-z, 0-9 and -, %d letters at the most", what,
                   plugin->name, GG_PLUGIN_NAME_MAX - 1);
  return 0;
}

static int judge_command(const struct gg_plugin *plugin, size_t index, const char *what, struct gg_failure *failure)
{
  const struct gg_plugin_command *command = &plugin->commands[index];
  if (!gg_plugin_name_is_good(command->verb, GG_PLUGIN_NAME_MAX))
    return gg_fail(failure, GG_ERR_INVALID,
                   "%.300s: commands[%zu].verb is '%.40s', which is not a-z and then a-z, 0-9 and -, %d letters at the "
                   "most",
                   what, index, command->verb ? command->verb : "NULL", GG_PLUGIN_NAME_MAX - 1);
  if (!command->help)
    return gg_fail(failure, GG_ERR_INVALID, "%.300s: commands[%zu].help is NULL", what, index);
  for (size_t i = 0; i < index; i++)
    if (strcmp(plugin->commands[i].verb, command->verb) == 0)
      return gg_fail(failure, GG_ERR_INVALID, "%.300s: commands[%zu].verb is '%s', as that of commands[%zu]", what,
                     index, command->verb, i);
  return 0;
}

static int judge_commands(const struct gg_plugin *plugin, const char *what, struct gg_failure *failure)
{
  int error = 0;
  if (plugin->command_count > GG_PLUGIN_COMMANDS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "%.300s: command_count is %zu, at most %d", what, plugin->command_count,
                   GG_PLUGIN_COMMANDS_MAX);
  if (plugin->command_count > 0 && !plugin->commands)
    return gg_fail(failure, GG_ERR_INVALID, "%.300s: command_count is %zu, but commands is NULL", what,
                   plugin->command_count);
  if (plugin->command_count > 0 && !plugin->command)
    return gg_fail(failure, GG_ERR_INVALID, "%.300s: it has commands, but command is NULL", what);
  for (size_t i = 0; i < plugin->command_count && !error; i++)
    error = judge_command(plugin, i, what, failure);
  return error;
}

static int judge_options(const struct gg_plugin *plugin, const char *what, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  if (plugin->option_count > GG_PLUGIN_OPTIONS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "%.300s: option_count is %zu, at most %d", what, plugin->option_count,
                   GG_PLUGIN_OPTIONS_MAX);
  if (plugin->option_count > 0 && !plugin->options)
    return gg_fail(failure, GG_ERR_INVALID, "%.300s: option_count is %zu, but options is NULL", what,
                   plugin->option_count);
  int error = gg_hook_options_check(plugin, &why);
  return error ? gg_fail(failure, error, "%.200s: %.300s", what, why.message) : 0;
}

static int judge_tick(const struct gg_plugin *plugin, const char *what, struct gg_failure *failure)
{
  if (!plugin->tick || plugin->tick_interval_ns >= GG_HOOK_TICK_LEAST_NS)
    return 0;
  return gg_fail(failure, GG_ERR_INVALID, "%.300s: it has a tick, but tick_interval_ns is %llu, at least %llu", what,
                 (unsigned long long)plugin->tick_interval_ns, (unsigned long long)GG_HOOK_TICK_LEAST_NS);
}

static int judge_mask(const struct gg_plugin *plugin, const char *what, struct gg_failure *failure)
{
  if (!plugin->mask || (plugin->mask_longest > 0 && plugin->mask_longest <= GG_MASK_LONGEST_MAX))
    return 0;
  return gg_fail(failure, GG_ERR_INVALID, "%.300s: it has a mask, but mask_longest is %zu, 1 to %d", what,
                 plugin->mask_longest, GG_MASK_LONGEST_MAX);
}

static int judge_decoders(const struct gg_plugin *plugin, const char *what, struct gg_failure *failure)
{
  int error = 0;
  if (plugin->decoder_count > GG_PLUGIN_DECODERS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "%.300s: decoder_count is %zu, at most %d", what, plugin->decoder_count,
                   GG_PLUGIN_DECODERS_MAX);
  if (plugin->decoder_count > 0 && !plugin->decoders)
    return gg_fail(failure, GG_ERR_INVALID, "%.300s: decoder_count is %zu, but decoders is NULL", what,
                   plugin->decoder_count);
  for (size_t i = 0; i < plugin->decoder_count && !error; i++) {
    struct gg_failure why = GG_FAILURE_INIT;
    error = gg__decoder_check(plugin->decoders[i], &why);
    if (error)
      gg_fail(failure, error, "%.200s: decoders[%zu]: %.250s", what, i, why.message);
  }
  return error;
}

int gg_plugin_judge(struct gg_plugin *out, const struct gg_plugin *given, const char *what, struct gg_failure *failure)
{
  if (given->abi != GG_PLUGIN_ABI)
    return gg_fail(failure, GG_ERR_UNSUPPORTED, "%.300s: abi is %u, this gateway's is %u", what, given->abi,
                   (unsigned)GG_PLUGIN_ABI);
  int error = judge_size(given, what, failure);
  if (error)
    return error;
  *out = (struct gg_plugin){0};
  memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
  out->size = sizeof *out;
  error = judge_name(out, what, failure);
  if (!error)
    error = judge_options(out, what, failure);
  if (!error)
    error = judge_commands(out, what, failure);
  if (!error)
    error = judge_mask(out, what, failure);
  if (!error)
    error = judge_decoders(out, what, failure);
  if (!error && out->message && out->message_abi != GG_DECODER_ABI)
    error = gg_fail(failure, GG_ERR_UNSUPPORTED, "%.300s: message_abi is %u, and this gateway tells messages as of %d",
                    what, out->message_abi, GG_DECODER_ABI);
  return error ? error : judge_tick(out, what, failure);
}
