/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - what is set, and how it is written. */
#include "fault.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const fault_names[FAULTS] = {
  [LATENCY] = "latency",       [JITTER] = "jitter",           [RATE] = "rate",
  [SLOW_CLOSE] = "slow_close", [RESET_AFTER] = "reset_after", [CORRUPT_AT] = "corrupt_at",
};
const char *const way_names[2] = {[GG_SIDE_CLIENT] = "to_server", [GG_SIDE_SERVER] = "to_client"};

struct unit {
  const char *text;
  uint64_t worth;
};
/* The largest first. */
static const struct unit times[] = {{"m", 60000000000}, {"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {NULL, 0}};
static const struct unit sizes[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}, {NULL, 0}};
#define TIME_MAX (UINT64_C(3600) * 1000000000)
#define SIZE_MAX_SET (UINT64_C(1) << 40)

static bool is_time(enum fault fault)
{
  return fault == LATENCY || fault == JITTER || fault == SLOW_CLOSE;
}

bool share_parse(uint64_t *share, const char *text)
{
  char *end;
  if (*text < '0' || *text > '9')
    return false;
  double percent = strtod(text, &end);
  if (strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 100))
    return false;
  *share = (uint64_t)(percent * (SHARE_ALL / 100) + 0.5);
  return true;
}

bool setting_find(const char *name, enum gg_side *from, enum fault *fault)
{
  char other[64];
  for (unsigned way = 0; way < 2; way++)
    for (unsigned i = 0; i < FAULTS; i++) {
      snprintf(other, sizeof other, "%s_%s", way_names[way], fault_names[i]);
      if (strcmp(name, other) != 0)
        continue;
      *from = (enum gg_side)way;
      *fault = (enum fault)i;
      return true;
    }
  return false;
}

int setting_parse(uint64_t *value, enum fault fault, const char *text, struct gg_failure *failure)
{
  const struct unit *unit = is_time(fault) ? times : sizes;
  uint64_t most = is_time(fault) ? TIME_MAX : SIZE_MAX_SET;
  char *end;
  if (strcmp(text, "off") == 0) {
    *value = OFF;
    return 0;
  }
  uint64_t number = strtoull(text, &end, 10);
  while (unit->text && strcmp(unit->text, end) != 0)
    unit++;
  if (*text < '0' || *text > '9' || !unit->text || number > most / unit->worth)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "'%.40s' is not %s, nor off", text,
                          is_time(fault) ? "a time as 20ms or 2s, an hour at the most"
                                         : "a number of bytes as 1000 or 64KiB, 1024GiB at the most");
  if (fault == RATE && number == 0)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "a rate of 0 would let nothing go on, ever");
  *value = number * unit->worth;
  return 0;
}

void setting_format(char out[SETTING_TEXT_MAX], enum fault fault, uint64_t value)
{
  const struct unit *unit = is_time(fault) ? times : sizes;
  if (value == OFF) {
    snprintf(out, SETTING_TEXT_MAX, "off");
    return;
  }
  while (unit[1].text && (value % unit->worth != 0 || value < unit->worth))
    unit++;
  snprintf(out, SETTING_TEXT_MAX, "%" PRIu64 "%s", value / unit->worth, unit->text);
}

int settings_check(const struct settings *settings, enum gg_side from, struct gg_failure *failure)
{
  for (unsigned i = 0; i < CORRUPT_AT; i++)
    if (setting(settings, from, CORRUPT_AT) != OFF && setting(settings, from, (enum fault)i) != OFF)
      return gg_plugin_fail(failure, GG_ERR_INVALID,
                            "%s_%s and %s_%s do not go together: a direction is either changed or kept back",
                            way_names[from], fault_names[CORRUPT_AT], way_names[from], fault_names[i]);
  return 0;
}
