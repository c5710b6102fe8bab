/* SPDX-License-Identifier: Apache-2.0 */
#include "store/segment_name.h"

#include <stdlib.h>
#include <string.h>

bool gg__segment_log(const char *file, char log[GG__SEGMENT_LOG_MAX])
{
  const char *first = strchr(file, '-'), *last = strrchr(file, '-'), *dot = strrchr(file, '.');
  if (!first || first == last || !dot || strcmp(dot, ".pcapng") != 0 || last - first > GG__SEGMENT_LOG_MAX - 1)
    return false;
  size_t length = (size_t)(last - first - 1);
  memcpy(log, first + 1, length);
  log[length] = '\0';
  return length > 0;
}

uint64_t gg__segment_number(const char *file)
{
  const char *last = strrchr(file, '-');
  return last ? strtoull(last + 1, NULL, 10) : 0;
}
