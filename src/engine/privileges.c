/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct identity {
  uid_t uid;
  gid_t gid;
  char name[256]; /* empty: a number without an account, which is in no other groups */
};

/* ── Who ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool parse_number(const char *text, unsigned *out)
{
  char *end;
  errno = 0;
  unsigned long number = strtoul(text, &end, 10);
  *out = (unsigned)number;
  return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && number < UINT32_MAX;
}

static int find_group(const char *group, gid_t *out, struct gg_failure *failure)
{
  errno = 0;
  const struct group *entry = getgrnam(group);
  if (entry)
    *out = entry->gr_gid;
  else if (!parse_number(group, out))
    return gg_fail(failure, GG_ERR_NOT_FOUND, "there is no group '%.80s'", group);
  return 0;
}

static int find_user(const char *user, const char *group, struct identity *out, struct gg_failure *failure)
{
  unsigned number = 0;
  const struct passwd *entry = getpwnam(user);
  bool numeric = !entry && parse_number(user, &number);
  if (numeric)
    entry = getpwuid(number);
  *out = (struct identity){.uid = number};
  if (entry) {
    out->uid = entry->pw_uid;
    out->gid = entry->pw_gid;
    if (strlen(entry->pw_name) < sizeof out->name)
      memcpy(out->name, entry->pw_name, strlen(entry->pw_name) + 1);
  } else if (!numeric) {
    return gg_fail(failure, GG_ERR_NOT_FOUND, "there is no user '%.80s'", user);
  } else if (!group) {
    return gg_fail(failure, GG_ERR_NOT_FOUND, "user %s has no account, so a group must be given", user);
  }
  return group ? find_group(group, &out->gid, failure) : 0;
}

/* ── The store's directory ───────────────────────────────────────────────────────────────────────────────────────── */

/* Only what was made here changes its owner: a directory that exists is whose it is. */
static int make_directory(const char *dir, const struct identity *who, struct gg_failure *failure)
{
  if (mkdir(dir, 0700) != 0)
    return errno == EEXIST
             ? 0
             : gg_fail_errno(failure, errno,
                             "making the store's directory %s (the gateway has to be able to write there)", dir);
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int error = fd < 0 || fchown(fd, who->uid, who->gid) != 0 ? errno : 0;
  if (fd >= 0)
    close(fd);
  return error ? gg_fail_errno(failure, error, "giving the store's directory %s to its user", dir) : 0;
}

/* ── Capabilities ────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Permitted and effective become those of `kept` that are permitted now; inheritable becomes empty. */
static int keep_capabilities(unsigned kept)
{
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, data) != 0)
    return -1;
  data[0].permitted &= kept;
  data[1].permitted = 0;
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  return (int)syscall(SYS_capset, &header, data);
}

static bool has_capabilities(void)
{
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
  if (syscall(SYS_capget, &header, data) != 0)
    return true;
  unsigned all = 0;
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
    all |= data[i].permitted | data[i].effective | data[i].inheritable;
  return all != 0;
}

/* ── The two steps ───────────────────────────────────────────────────────────────────────────────────────────────── */

static int become(const struct identity *who)
{
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
    return -1;
  int groups = who->name[0] ? initgroups(who->name, who->gid) : setgroups(1, &who->gid);
  if (groups != 0 || setresgid(who->gid, who->gid, who->gid) != 0 || setresuid(who->uid, who->uid, who->uid) != 0)
    return -1;
  if (keep_capabilities(1u << CAP_NET_BIND_SERVICE) != 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
    return -1;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int gg__privileges_give_up(const char *user, const char *group, const char *store_dir, bool *given_up,
                           struct gg_failure *failure)
{
  struct identity who;
  *given_up = false;
  int error = find_user(user, group, &who, failure);
  if (error)
    return error;
  if (geteuid() == who.uid && getegid() == who.gid && who.uid != 0)
    return 0;
  if (geteuid() != 0)
    return gg_fail(failure, GG_ERR_DENIED, "only root can become user '%.80s'; this process runs as user %u", user,
                   (unsigned)geteuid());
  if (who.uid == 0)
    return gg_fail(failure, GG_ERR_INVALID, "user '%.80s' is root, which is what is to be given up", user);
  error = make_directory(store_dir, &who, failure);
  if (error)
    return error;
  *given_up = become(&who) == 0;
  return *given_up ? 0 : gg_fail_errno(failure, errno, "cannot become user '%.80s'", user);
}

int gg__privileges_seal(struct gg_failure *failure)
{
  uid_t real, effective, saved;
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* kernels before 4.3 have none */
  if (keep_capabilities(0) != 0)
    return gg_fail_errno(failure, errno, "cannot give up capabilities");
  /* Trust is good: each of these must fail, or be so. */
  bool sealed = getresuid(&real, &effective, &saved) == 0 && real != 0 && effective == real && saved == real &&
                setresuid(0, 0, 0) != 0 && (getgid() == 0 || setresgid(0, 0, 0) != 0) && setgroups(0, NULL) != 0 &&
                !has_capabilities() && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  return sealed ? 0 : gg_fail(failure, GG_ERR_DENIED, "root's privileges were given up, and are not gone");
}
