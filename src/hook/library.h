/* SPDX-License-Identifier: Apache-2.0 */
/**
 * library.h - plug-ins that are shared libraries: opening one, and judging the table that it exports.
 *
 *     path ──► is it a file, for this machine,   ──► dlopen ──► the symbol ──► gg_plugin_judge ──► table, filled up
 *              and nobody else's to change?
 *
 * Everything that is wrong is one sentence that names the file, and of a table the field.
 *
 * A library that is opened runs its constructors, and is code of this process from then on: nothing here protects from
 * what it does.
 *
 * Thread: one at a time; the engine's.
 */
#ifndef GG_HOOK_LIBRARY_H
#define GG_HOOK_LIBRARY_H

#include <gogetway/plugin.h>
#include <sys/types.h>

/* Ticks are not more often than this. */
#define GG_HOOK_TICK_LEAST_NS (UINT64_C(1000) * 1000)

/* Which file it is, and in what state. */
struct gg_library_file {
  dev_t device;
  ino_t inode;
  off_t bytes;
  struct timespec modified;
};
static inline bool gg_library_file_same_inode(const struct gg_library_file *a, const struct gg_library_file *b)
{
  return a->device == b->device && a->inode == b->inode;
}
bool gg_library_file_equal(const struct gg_library_file *a, const struct gg_library_file *b);

struct gg_library;

/* What stands at `path`, without loading it. GG_ERR_NOT_FOUND, IO; GG_ERR_DENIED: it cannot be read, or others can
 * change it; GG_ERR_FORMAT: not a shared library, or not one for this machine. */
int gg_library_look(struct gg_library_file *out, const char *path, struct gg_failure *failure);

/* The same file that is opened twice is one library, with one set of variables, until it was closed as often. Another
 * file at the same path is another library, also while the first is still open. As gg_library_look; besides
 * GG_ERR_FORMAT: it cannot be loaded, or has no table; GG_ERR_UNSUPPORTED, INVALID, LIMIT: as gg_plugin_judge;
 * GG_ERR_NOMEM. */
int gg_library_open(struct gg_library **out, const char *path, struct gg_failure *failure);
/* The same in two steps: the file is looked at, and is loaded, once, if it is the same then (else GG_ERR_BUSY). It has
 * no table between them. */
int gg_library_find(struct gg_library **out, const char *path, struct gg_failure *failure);
int gg_library_load(struct gg_library *library, const char *path, struct gg_failure *failure);
void gg_library_close(struct gg_library *library);                          /* NULL is fine */
const struct gg_plugin *gg_library_table(const struct gg_library *library); /* judged, filled up; as long as it is */
const struct gg_library_file *gg_library_file(const struct gg_library *library);

/* Whether this gateway can work with a table, and the table as this gateway knows it: what it does not have is 0.
 * `what` names it in the failure, as a file. GG_ERR_UNSUPPORTED: another ABI, or of another size than can be read;
 * GG_ERR_INVALID: a field is wrong; GG_ERR_LIMIT: too many of something. */
int gg_plugin_judge(struct gg_plugin *out, const struct gg_plugin *given, const char *what, struct gg_failure *failure);
/* Whether a text is a plug-in's name, or a verb: [a-z][a-z0-9-]*, with its NUL at most `size` bytes. */
bool gg_plugin_name_is_good(const char *name, size_t size);

#endif
