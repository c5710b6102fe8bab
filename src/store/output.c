/* SPDX-License-Identifier: Apache-2.0 */
#include "store/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int gg__output_open(struct gg__output *output, const char *path, bool overwrite, struct gg_failure *failure)
{
  struct stat status;
  bool exists = stat(path, &status) == 0;
  *output = (struct gg__output){.fd = -1, .final = path};
  if (exists && S_ISDIR(status.st_mode))
    return gg_fail(failure, GG_ERR_EXISTS, "%s is a directory", path);
  if (exists && S_ISREG(status.st_mode) && !overwrite)
    return gg_fail(failure, GG_ERR_EXISTS, "%s exists already", path);
  output->renamed = exists && S_ISREG(status.st_mode);
  const char *suffix = output->renamed ? ".new" : "";
  if ((size_t)snprintf(output->path, sizeof output->path, "%s%s", path, suffix) >= sizeof output->path)
    return gg_fail(failure, GG_ERR_RANGE, "the path is too long");
  output->made = !exists || output->renamed;
  int flags = output->made ? O_CREAT | O_EXCL | O_NOFOLLOW : 0; /* a device or a pipe is opened as it is */
  output->fd = open(output->path, O_WRONLY | O_CLOEXEC | flags, 0600);
  if (output->fd < 0) {
    output->made = false;
    return gg_fail_errno(failure, errno, "cannot make %s", output->path);
  }
  return 0;
}

int gg__output_close(struct gg__output *output, int error, struct gg_failure *failure)
{
  if (output->fd >= 0 && close(output->fd) != 0 && !error)
    error = gg_fail_errno(failure, errno, "cannot write to %s", output->path);
  output->fd = -1;
  if (!error && output->renamed && rename(output->path, output->final) != 0)
    error = gg_fail_errno(failure, errno, "cannot replace %s", output->final);
  if (error && output->made)
    unlink(output->path);
  return error;
}

int gg__output_directory(const char *path, struct gg_failure *failure)
{
  struct stat status;
  if (mkdir(path, 0700) == 0)
    return 0;
  if (errno != EEXIST || stat(path, &status) != 0)
    return gg_fail_errno(failure, errno, "cannot make %s", path);
  return S_ISDIR(status.st_mode) ? 0 : gg_fail(failure, GG_ERR_EXISTS, "%s exists and is no directory", path);
}

int gg__output_write(int fd, const void *data, size_t length, const char *path, struct gg_failure *failure)
{
  const uint8_t *at = data;
  while (length > 0) {
    ssize_t written = write(fd, at, length);
    if (written < 0 && errno == EPIPE)
      return gg_fail(failure, GG_ERR_CLOSED, "nobody reads %s any more", path);
    if (written < 0 && errno != EINTR)
      return gg_fail_errno(failure, errno, "cannot write to %s", path);
    if (written > 0) {
      at += written;
      length -= (size_t)written;
    }
  }
  return 0;
}

void gg__writer_init(struct gg__writer *writer, int fd, const char *path)
{
  writer->fd = fd;
  writer->path = path;
  writer->error = 0;
  writer->failure = (struct gg_failure)GG_FAILURE_INIT;
  writer->bytes = 0;
  writer->used = 0;
}

void gg__writer_flush(struct gg__writer *writer)
{
  if (!writer->error)
    writer->error = gg__output_write(writer->fd, writer->buffer, writer->used, writer->path, &writer->failure);
  writer->used = 0;
}

void gg__writer_put(struct gg__writer *writer, const void *data, size_t length)
{
  writer->bytes += length;
  if (length > sizeof writer->buffer - writer->used)
    gg__writer_flush(writer);
  if (length > sizeof writer->buffer) {
    if (!writer->error)
      writer->error = gg__output_write(writer->fd, data, length, writer->path, &writer->failure);
    return;
  }
  if (length)
    memcpy(writer->buffer + writer->used, data, length);
  writer->used += length;
}

void gg__writer_text(struct gg__writer *writer, const char *text)
{
  gg__writer_put(writer, text, strlen(text));
}
