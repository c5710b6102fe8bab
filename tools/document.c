/* SPDX-License-Identifier: Apache-2.0 */
/* Prints docs/config.md, which is made from the table of options: `build/tools/document > docs/config.md`. */
#include "engine/config.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
  char *text = gg_config_document();
  if (!text) {
    fputs("document: out of memory\n", stderr);
    return 3;
  }
  int rc = fputs(text, stdout) < 0 || fflush(stdout) != 0 ? 3 : 0;
  free(text);
  return rc;
}
