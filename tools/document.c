/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a page that is made from tables: `build/tools/document > docs/config.md`, of options, and
 * `build/tools/document protocols > docs/protocols.md`, of decoders. */
#include "proto/document.h"
#include "engine/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
  bool protocols = argc == 2 && strcmp(argv[1], "protocols") == 0;
  if (argc > 1 && !protocols) {
    fputs("usage: document [protocols]\n", stderr);
    return 2;
  }
  char *text = protocols ? gg__decoders_document() : gg_config_document();
  if (!text) {
    fputs("document: out of memory\n", stderr);
    return 3;
  }
  int rc = fputs(text, stdout) < 0 || fflush(stdout) != 0 ? 3 : 0;
  free(text);
  return rc;
}
