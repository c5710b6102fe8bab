/* SPDX-License-Identifier: Apache-2.0 */
/* What is looked at of a plug-in's file before it is loaded: whatever it holds, the answer is a file, or why not. */
#include "hook/library.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
  struct gg_library_file file, again;
  struct gg_failure failure = GG_FAILURE_INIT;
  char path[64];
  int fd = memfd_create("library", MFD_CLOEXEC);
  if (fd < 0 || fchmod(fd, 0600) != 0 || write(fd, data, length) != (ssize_t)length) /* others may not change it */
    abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int error = gg_library_look(&file, path, &failure);
  if (error && (error != GG_ERR_FORMAT || failure.code != error || !failure.message[0]))
    abort();
  if (!error && (gg_library_look(&again, path, NULL) != 0 || !gg_library_file_equal(&file, &again)))
    abort();
  close(fd);
  return 0;
}
