/* SPDX-License-Identifier: Apache-2.0 */
#include <gogetway/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *gg_error_text(int error)
{
  switch (error) {
  case GG_OK:
    return "done";
#define TEXT(name, value, text)                                                                                        \
  case value:                                                                                                          \
    return text;
    GG_ERROR_LIST(TEXT)
#undef TEXT
  default:
    return "unknown error";
  }
}

const char *gg_error_name(int error)
{
  switch (error) {
  case GG_OK:
    return "OK";
#define NAME(name, value, text)                                                                                        \
  case value:                                                                                                          \
    return #name;
    GG_ERROR_LIST(NAME)
#undef NAME
  default:
    return "UNKNOWN";
  }
}

int gg_error_from_errno(int errno_value)
{
  switch (errno_value) {
  case ENOMEM:
    return GG_ERR_NOMEM;
  case EINVAL:
    return GG_ERR_INVALID;
  case ENOENT:
  case ENOTDIR:
    return GG_ERR_NOT_FOUND;
  case EEXIST:
    return GG_ERR_EXISTS;
  case EADDRINUSE:
  case EBUSY:
    return GG_ERR_BUSY;
  case EACCES:
  case EPERM:
    return GG_ERR_DENIED;
  case ENOSPC:
  case EDQUOT:
    return GG_ERR_NO_SPACE;
  case EMFILE:
  case ENFILE:
    return GG_ERR_LIMIT;
  case ETIMEDOUT:
    return GG_ERR_TIMEOUT;
  case ECONNREFUSED:
    return GG_ERR_REFUSED;
  case EOPNOTSUPP:
  case ENOSYS:
  case EAFNOSUPPORT:
    return GG_ERR_UNSUPPORTED;
  case EPIPE:
  case ECONNRESET:
    return GG_ERR_CLOSED;
  case EAGAIN:
    return GG_ERR_AGAIN;
  default:
    return GG_ERR_IO;
  }
}

/* A cut message must not end inside a UTF-8 character: step back over continuation bytes and the byte they follow. */
static void trim_partial_character(char *text, size_t length)
{
  size_t end = length;
  while (end > 0 && ((unsigned char)text[end - 1] & 0xC0u) == 0x80u)
    end--;
  if (end > 0 && ((unsigned char)text[end - 1] & 0x80u))
    end--;
  text[end] = '\0';
}

static void format_message(struct gg_failure *failure, int error, const char *suffix, const char *format, va_list list)
{
  size_t room = sizeof failure->message;
  failure->code = error;
  int length = vsnprintf(failure->message, room, format, list);
  if (length < 0) {
    failure->message[0] = '\0';
    return;
  }
  size_t used = (size_t)length;
  if (suffix && used < room) {
    int more = snprintf(failure->message + used, room - used, ": %s", suffix);
    used += more > 0 ? (size_t)more : 0;
  }
  if (used >= room)
    trim_partial_character(failure->message, room - 1);
}

int gg_fail(struct gg_failure *failure, int error, const char *format, ...)
{
  if (failure && failure->code == 0) {
    va_list list;
    va_start(list, format);
    format_message(failure, error, NULL, format, list);
    va_end(list);
  }
  return error;
}

int gg_fail_errno(struct gg_failure *failure, int errno_value, const char *format, ...)
{
  int error = gg_error_from_errno(errno_value);
  if (failure && failure->code == 0) {
    char buffer[128];
    const char *text = strerror_r(errno_value, buffer, sizeof buffer);
    va_list list;
    va_start(list, format);
    format_message(failure, error, text, format, list);
    va_end(list);
  }
  return error;
}
