/* SPDX-License-Identifier: Apache-2.0 */
#include <gogetway/gogetway.h>

const char *gg_version(void)
{
  return GG_VERSION;
}
