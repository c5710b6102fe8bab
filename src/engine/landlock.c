/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same on every machine, as all system calls since 424. */
enum { SYS_CREATE_RULESET = 444, SYS_ADD_RULE = 445, SYS_RESTRICT_SELF = 446 };
enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

/* The first member of the kernel's struct, which grows at its end. */
struct ruleset {
  uint64_t handled_access_fs;
};

struct path_beneath {
  uint64_t allowed_access;
  int32_t parent_fd;
} __attribute__((packed));

#define RIGHT(bit) (UINT64_C(1) << (bit))
#define EXECUTE RIGHT(0)
#define WRITE_FILE RIGHT(1)
#define READ_FILE RIGHT(2)
#define READ_DIR RIGHT(3)
#define REMOVE_DIR RIGHT(4)
#define REMOVE_FILE RIGHT(5)
#define MAKE_DIR RIGHT(7)
#define MAKE_REG RIGHT(8)
#define MAKE_SOCK RIGHT(9)
#define FIRST_RIGHTS (RIGHT(13) - 1) /* version 1 */
#define REFER RIGHT(13)              /* 2: names in another directory */
#define TRUNCATE RIGHT(14)           /* 3 */
#define IOCTL_DEV RIGHT(15)          /* 5 */

#define WRITE (READ_FILE | READ_DIR | WRITE_FILE | REMOVE_FILE | MAKE_REG | REFER | TRUNCATE)
static const uint64_t rights[] = {
  [GG_LANDLOCK_READ] = READ_FILE | READ_DIR,
  [GG_LANDLOCK_WRITE] = WRITE,
  [GG_LANDLOCK_SOCKETS] = REMOVE_FILE | MAKE_SOCK,
  [GG_LANDLOCK_TREE] = WRITE | MAKE_DIR | REMOVE_DIR,
};
static const uint64_t file_rights = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

static uint64_t known_rights(int version)
{
  return FIRST_RIGHTS | (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0) | (version >= 5 ? IOCTL_DEV : 0);
}

static int add_rule(int ruleset, const struct gg_landlock_rule *rule, uint64_t known)
{
  struct stat status;
  int fd = open(rule->path, O_PATH | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : errno;
  uint64_t wanted = rights[rule->right] & known;
  int error = fstat(fd, &status) == 0 ? 0 : errno;
  if (!error && !S_ISDIR(status.st_mode))
    wanted &= file_rights;
  const struct path_beneath beneath = {.allowed_access = wanted, .parent_fd = fd};
  if (!error && wanted && syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, &beneath, 0) != 0)
    error = errno;
  close(fd);
  return error;
}

int gg__landlock_restrict(const struct gg_landlock_rule *rules, size_t count, struct gg_failure *failure)
{
  int version = (int)syscall(SYS_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
  if (version < 1)
    return gg_fail_errno(failure, version < 0 ? errno : ENOSYS, "landlock");
  const struct ruleset attributes = {.handled_access_fs = known_rights(version)};
  int ruleset = (int)syscall(SYS_CREATE_RULESET, &attributes, sizeof attributes, 0);
  if (ruleset < 0)
    return gg_fail_errno(failure, errno, "landlock");
  int error = 0;
  for (size_t i = 0; i < count && !error; i++) {
    error = add_rule(ruleset, &rules[i], attributes.handled_access_fs);
    if (error)
      gg_fail_errno(failure, error, "landlock: %s", rules[i].path);
  }
  if (!error && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_RESTRICT_SELF, ruleset, 0) != 0)) {
    error = errno;
    gg_fail_errno(failure, error, "landlock");
  }
  close(ruleset);
  return error ? gg_error_from_errno(error) : version;
}
