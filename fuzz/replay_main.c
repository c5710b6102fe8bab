/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over saved inputs without a fuzzer, so that every finding of the past stays a test.
 * Arguments are files, or directories whose regular files are taken (one level). At least one input must be found:
 * an empty corpus would be a test that cannot fail. Each input is handed over in a block of its exact size, so that
 * ASan and valgrind see a read past the end.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_BYTES_MAX = 64 << 20, PATH_BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, size_t size)
{
  if (size > INPUT_BYTES_MAX) {
    fprintf(stderr, "%s: larger than %d bytes\n", path, INPUT_BYTES_MAX);
    return -1;
  }
  FILE *file = fopen(path, "rb");
  uint8_t *data = malloc(size ? size : 1);
  int result = -1;
  if (!file || !data) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    goto done;
  }
  if (fread(data, 1, size, file) != size) {
    fprintf(stderr, "%s: cannot be read whole\n", path);
    goto done;
  }
  LLVMFuzzerTestOneInput(data, size);
  result = 0;
done:
  free(data);
  if (file)
    fclose(file);
  return result;
}

static int replay_path(const char *path, size_t *count);

static int replay_directory(const char *path, size_t *count)
{
  DIR *directory = opendir(path);
  if (!directory) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return -1;
  }
  int result = 0;
  struct dirent *entry;
  while (result == 0 && (entry = readdir(directory))) {
    char name[PATH_BYTES_MAX];
    int length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    if (entry->d_type == DT_DIR || entry->d_name[0] == '.')
      continue;
    result = length > 0 && (size_t)length < sizeof name ? replay_path(name, count) : -1;
  }
  closedir(directory);
  return result;
}

static int replay_path(const char *path, size_t *count)
{
  struct stat about;
  if (stat(path, &about) != 0) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return -1;
  }
  if (S_ISDIR(about.st_mode))
    return replay_directory(path, count);
  (*count)++;
  return replay_file(path, (size_t)about.st_size);
}

int main(int argc, char **argv)
{
  size_t count = 0;
  for (int i = 1; i < argc; i++)
    if (replay_path(argv[i], &count) != 0)
      return 1;
  printf("%zu inputs replayed\n", count);
  return count > 0 ? 0 : 1;
}
