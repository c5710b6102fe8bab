/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_all.c - asking every gateway on a store: `control`, and `control.<pid>` of each that drains after a takeover.
 *
 * Names change hands while they are listed and asked: a gateway that steps aside has both names for a moment, and then
 * another one has the first. So a process is known by the kernel's word for who listens, is asked once, and the list is
 * read again until it has nobody new: whoever was at work before the call and after it has been asked.
 */
#include <gogetway/control.h>

#include "admin/control.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { GATEWAYS_MAX = 65, ROUNDS_MAX = 16 };

struct asking {
  const char *dir, *request;
  pid_t asked[GATEWAYS_MAX];
  unsigned count;
  char *replies;
  size_t length;
  struct gg_failure *failure;
};

static bool is_socket_name(const char *name)
{
  static const char first[] = "control";
  if (strncmp(name, first, sizeof first - 1) != 0)
    return false;
  name += sizeof first - 1;
  return !*name || (*name == '.' && name[1] && strspn(name + 1, "0123456789") == strlen(name + 1));
}

static int keep(struct asking *asking, const char *reply)
{
  size_t length = strlen(reply);
  char *larger = realloc(asking->replies, asking->length + length + 2);
  if (!larger)
    return gg_fail(asking->failure, GG_ERR_NOMEM, "out of memory for the gateways' replies");
  memcpy(larger + asking->length, reply, length);
  asking->replies = larger;
  asking->length += length + 1;
  larger[asking->length - 1] = '\n';
  larger[asking->length] = '\0';
  return 0;
}

static bool is_asked(const struct asking *asking, pid_t pid)
{
  for (unsigned i = 0; i < asking->count; i++)
    if (asking->asked[i] == pid)
      return true;
  return false;
}

/* 0 too for one that has ended, and for one that was asked before. */
static int ask(struct asking *asking, const char *name)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_control_peer *peer;
  char *reply = NULL;
  int error = gg__control_connect(&peer, asking->dir, name, &failure);
  if (error)
    return error == GG_ERR_NOT_FOUND ? 0 : gg_fail(asking->failure, error, "%s", failure.message);
  pid_t pid = gg_control_peer_pid(peer);
  if (!is_asked(asking, pid) && asking->count < GATEWAYS_MAX) {
    asking->asked[asking->count++] = pid;
    error =
      gg_control_ask(peer, asking->request, GG_CONTROL_CALL_SECONDS * GG_NS_PER_S, &reply, NULL, 0, NULL, &failure);
  }
  gg_control_disconnect(peer);
  if (reply)
    error = keep(asking, reply);
  else if (error)
    error = error == GG_ERR_CLOSED ? 0 : gg_fail(asking->failure, error, "%s", failure.message);
  free(reply);
  return error;
}

static int ask_round(struct asking *asking)
{
  DIR *directory = opendir(asking->dir);
  if (!directory)
    return gg__control_no_directory(errno, asking->dir, asking->failure);
  int error = 0;
  for (struct dirent *entry; !error && (entry = readdir(directory));)
    if (is_socket_name(entry->d_name))
      error = ask(asking, entry->d_name);
  closedir(directory);
  return error;
}

int gg_control_call_all(const char *dir, const char *request_json, char **replies, struct gg_failure *failure)
{
  struct asking asking = {.dir = dir, .request = request_json, .failure = failure};
  int error = 0;
  *replies = NULL;
  for (unsigned round = 0, before = UINT_MAX; !error && round < ROUNDS_MAX && asking.count != before; round++) {
    before = asking.count;
    error = ask_round(&asking);
  }
  if (!error && !asking.replies)
    error = asking.count ? gg_fail(failure, GG_ERR_CLOSED, "the gateway on %s ended before it answered", dir)
                         : gg_fail(failure, GG_ERR_NOT_FOUND,
                                   "no gateway runs on %s: nobody listens at a socket \"control\" in it", dir);
  if (error)
    free(asking.replies);
  else
    *replies = asking.replies;
  return error;
}

static bool is_among(const pid_t *pids, size_t count, pid_t pid)
{
  for (size_t i = 0; i < count; i++)
    if (pids[i] == pid)
      return true;
  return false;
}

int gg_control_connect_aside(struct gg_control_peer **out, const char *dir, const pid_t * not, size_t count,
                             struct gg_failure *failure)
{
  DIR *directory = opendir(dir);
  int error = GG_ERR_NOT_FOUND;
  for (struct dirent *entry; directory && error == GG_ERR_NOT_FOUND && (entry = readdir(directory));) {
    struct gg_failure ignored = GG_FAILURE_INIT;
    struct gg_control_peer *peer;
    if (!strchr(entry->d_name, '.') || !is_socket_name(entry->d_name) ||
        gg__control_connect(&peer, dir, entry->d_name, &ignored) != 0)
      continue;
    if (is_among(not, count, gg_control_peer_pid(peer))) {
      gg_control_disconnect(peer);
      continue;
    }
    *out = peer;
    error = 0;
  }
  if (directory)
    closedir(directory);
  return error ? gg_fail(failure, error, "no gateway drains on %s", dir) : 0;
}
