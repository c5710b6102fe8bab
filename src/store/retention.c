/* SPDX-License-Identifier: Apache-2.0 */
#include "store/retention.h"

#include "base/clock.h"
#include "store/held.h"
#include "store/marks.h"
#include "store/place.h"
#include "store/retained.h"
#include "store/segment_name.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { HOLD_TRIES_MAX = 8 }; /* holds that come while a segment is looked through */

struct gg__retention {
  struct gg__retained_table table;
  struct gg__marks *marks;
  struct gg__retention_ops ops;
  struct gg__held held;
  bool held_more;  /* a refresh of the marks has told of a session that is held */
  bool asks_marks; /* the rules ask what is said of sessions */
  bool ignores_damage;
};

struct pass {
  struct gg__retention *retention;
  const struct gg__retention_limits *limits;
  struct gg_prune_result *result;
  struct gg_failure *failure;
  struct gg__retention_state state;
  uint64_t looked_at, total; /* bytes, for who waits */
  uint64_t read_until_ns;    /* monotonic; 0: as long as it takes */
  bool any_read;
  bool unread; /* some segment, for want of memory */
  bool dry;
  bool no_room; /* for what is held in some segment */
};

/* ── Marks ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void note_mark(void *context, const struct gg__mark *mark)
{
  struct gg__retention *retention = context;
  retention->held_more |= mark->held;
  gg__held_mark(&retention->held, mark);
  if (retention->asks_marks)
    gg__retained_doubt(&retention->table, mark->id);
}

/* What is held cannot be told without the journal, and then nothing goes. A damaged line may have been a hold. */
static int refresh_marks(struct gg__retention *retention, struct gg_failure *failure)
{
  struct gg_failure why = GG_FAILURE_INIT;
  retention->held_more = false;
  int error = retention->marks ? gg__marks_refresh(retention->marks, NULL, note_mark, retention, &why)
                               : gg__marks_open(&retention->marks, retention->table.store, &why);
  uint64_t damaged = error || retention->ignores_damage ? 0 : gg__marks_damaged(retention->marks);
  if (damaged > 0)
    error =
      gg_fail(&why, GG_ERR_CORRUPT,
              "%s/journal/marks.jsonl has %" PRIu64 " damaged line%s; 'gogetway hold --damaged' shows what it was, "
              "and 'gogetway hold --mend' takes it out",
              retention->table.store, damaged, damaged == 1 ? "" : "s");
  return error ? gg_fail(failure, error, "it cannot be told which sessions are held, so nothing is removed: %s",
                         why.message)
               : 0;
}

static bool is_held(void *context, const char *id)
{
  const struct gg__retention *retention = context;
  const struct gg__mark *mark = gg__marks_find(retention->marks, id);
  return mark && mark->held;
}

/* Nothing that was found to be held in it has been released. */
static bool is_all_held(struct gg__retention *retention, const struct gg__retained *item)
{
  for (size_t i = 0; i < item->held.count; i++)
    if (!is_held(retention, item->held.sessions[i].id))
      return false;
  return item->held.count > 0;
}

/* ── One segment ─────────────────────────────────────────────────────────────────────────────────────────────────── */

struct going {
  struct pass *pass;
  struct gg__retained *item;
  struct gg_pruned told;
  struct gg__kept kept;
  char text[640];
  char name[GG__KEEP_NAME_MAX];       /* of what is kept */
  char unfinished[GG__KEEP_NAME_MAX]; /* until it is whole */
  int from;                           /* locked */
  int to;                             /* -1: nothing is kept */
};

static void stays(struct going *going, enum gg_prune_fate fate, const char *text)
{
  going->told.fate = fate;
  snprintf(going->text, sizeof going->text, "%s", text);
}

/* False: it does not go now, and why is told. */
static bool claim(struct going *going)
{
  const char *name = going->item->name;
  int folder = going->pass->retention->table.folder_fd;
  going->from = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (going->from < 0) {
    stays(going, GG_PRUNE_FAILED, strerrordesc_np(errno));
    return false;
  }
  if (flock(going->from, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
    return true; /* a file system without locks has no reader that says so either */
  stays(going, GG_PRUNE_READ, "somebody reads it");
  return false;
}

static int make_kept_file(struct going *going)
{
  int folder = going->pass->retention->table.folder_fd;
  if (!gg__segment_next_name(going->item->name, going->name, sizeof going->name) ||
      (size_t)snprintf(going->unfinished, sizeof going->unfinished, "%s" GG__KEEP_UNFINISHED, going->name) >=
        sizeof going->unfinished)
    return GG_ERR_RANGE;
  unlinkat(folder, going->unfinished, 0); /* of one that was killed */
  going->to = openat(folder, going->unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return going->to < 0 ? gg_error_from_errno(errno) : 0;
}

static void give_up_kept_file(struct going *going)
{
  if (going->to < 0)
    return;
  unlinkat(going->pass->retention->table.folder_fd, going->unfinished, 0);
  close(going->to);
  going->to = -1;
}

/* Its owner and its time are those of the segment; what is in it is on the disk. */
static int finish_kept_file(const struct going *going)
{
  struct stat status;
  if (fstat(going->from, &status) != 0)
    return gg_error_from_errno(errno);
  const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, status.st_mtim};
  bool others = status.st_uid != geteuid(); /* root prunes for somebody: his gateway is to read it */
  if ((others && fchown(going->to, status.st_uid, status.st_gid) != 0) || futimens(going->to, times) != 0 ||
      fdatasync(going->to) != 0)
    return gg_error_from_errno(errno);
  return 0;
}

static int copy(struct going *going, struct gg_failure *why)
{
  struct gg__retention *retention = going->pass->retention;
  gg__kept_fini(&going->kept);
  return gg__keep_copy(&going->kept, going->from, going->item->name, going->to, is_held, retention, why);
}

/* False: it stays, and why is told. What is kept of it is found, and written if it is not a dry run. */
static bool keep(struct going *going)
{
  struct gg__retention *retention = going->pass->retention;
  struct gg_failure why = GG_FAILURE_INIT;
  gg__kept_fini(&going->kept);
  if (!gg__held_may_be_in(&retention->held, gg__marks_held(retention->marks), going->item->name))
    return true;
  int error = copy(going, &why);
  if (!error)
    gg__held_learn(&retention->held, going->item->name, &going->kept);
  if (!error && going->kept.damaged) {
    stays(going, GG_PRUNE_DAMAGED,
          "it is damaged, so that it cannot be told whether a held session is in it; 'gogetway verify' says where");
    return false;
  }
  if (!error && going->kept.count > 0 && going->kept.dropped == 0) {
    stays(going, GG_PRUNE_HELD, "everything in it is held");
    going->told.kept_sessions = going->kept.count;
    gg__kept_fini(&going->item->held);
    going->item->held = going->kept;
    going->kept = (struct gg__kept){0};
    return false;
  }
  if (!error && going->kept.count > 0 && !going->pass->dry) {
    error = make_kept_file(going);
    error = error ? error : copy(going, &why);
    error = error ? error : finish_kept_file(going);
  }
  if (!error)
    return true;
  give_up_kept_file(going);
  stays(going, error == GG_ERR_NO_SPACE ? GG_PRUNE_NO_ROOM : GG_PRUNE_FAILED,
        error == GG_ERR_NO_SPACE ? "there is no room for the held sessions in it"
        : why.message[0]         ? why.message
                                 : gg_error_text(error));
  return false;
}

/* From the rename on this file counts, and the one that it was made from does not. An errno value. */
static int put_in_place(const struct going *going, int folder)
{
  if (renameat(folder, going->unfinished, folder, going->name) != 0)
    return errno;
  if (fsync(folder) == 0)
    return 0;
  int error = errno;
  unlinkat(folder, going->name, 0); /* the old one has everything, and counts again */
  return error;
}

/* The moment in which the held ones change over and the others are gone. False: a session has been held meanwhile, so
 * all has to be looked at again; or it failed, and why is told. */
static bool let_go(struct going *going, bool *again)
{
  struct gg__retention *retention = going->pass->retention;
  struct gg_failure why = GG_FAILURE_INIT;
  int folder = retention->table.folder_fd, failed = 0;
  bool still = gg__place_still(folder, true);
  if (!still && errno == EWOULDBLOCK) { /* who is about to hold one of its sessions has it: next time */
    give_up_kept_file(going);
    stays(going, GG_PRUNE_READ, "sessions of the store are being listed or held");
    return false;
  }
  int error = refresh_marks(retention, &why);
  *again = !error && retention->held_more;
  if (!error && !*again) {
    if (going->to >= 0)
      failed = put_in_place(going, folder);
    if (!failed && unlinkat(folder, going->item->name, 0) != 0 && errno != ENOENT)
      failed = errno;
  }
  if (still)
    gg__place_stir(folder);
  if (error)
    stays(going, GG_PRUNE_FAILED, why.message);
  else if (failed)
    stays(going, GG_PRUNE_FAILED, strerrordesc_np(failed));
  return !error && !failed && !*again;
}

static bool carry_out(struct going *going)
{
  bool again = true, gone = false;
  for (int i = 0; again && i < HOLD_TRIES_MAX; i++) {
    again = false;
    if (!keep(going))
      return false;
    if (going->pass->dry)
      return true;
    gone = let_go(going, &again);
    if (!gone && again)
      give_up_kept_file(going);
  }
  if (again)
    stays(going, GG_PRUNE_FAILED, "sessions are being held faster than it can be looked through");
  return gone;
}

static void count(struct going *going)
{
  struct pass *pass = going->pass;
  struct gg_prune_result *result = pass->result;
  uint64_t freed = going->item->bytes > going->kept.bytes ? going->item->bytes - going->kept.bytes : 0;
  freed = going->kept.count ? freed : going->item->bytes;
  going->told.fate = going->kept.count ? GG_PRUNE_KEPT : GG_PRUNE_GONE;
  going->told.kept_sessions = going->kept.count;
  going->told.kept_bytes = going->kept.count ? going->kept.bytes : 0;
  result->segments++;
  result->bytes += freed;
  result->kept_sessions += going->told.kept_sessions;
  result->kept_bytes += going->told.kept_bytes;
  pass->state.bytes -= freed < pass->state.bytes ? freed : pass->state.bytes;
  pass->state.free_bytes += freed;
}

/* True if the segment is gone from its place in the table, where the next one is now. */
static bool go(struct pass *pass, struct gg__retained *item, enum gg_prune_why why)
{
  struct gg__retention *retention = pass->retention;
  struct going going = {
    .pass = pass,
    .item = item,
    .told = {.segment = item->name, .why = why, .bytes = item->bytes, .last_ns = item->last_ns},
    .from = -1,
    .to = -1,
  };
  bool gone = claim(&going) && carry_out(&going);
  if (gone)
    count(&going);
  else
    pass->result->passed++;
  item->passed = true; /* in a dry run it is still there */
  item->no_room = !gone && going.told.fate == GG_PRUNE_NO_ROOM;
  if (!gone && (item->no_room || going.told.fate == GG_PRUNE_READ))
    item->owed = why;
  pass->no_room |= item->no_room;
  going.told.text = gone ? "" : going.text;
  if (retention->ops.segment)
    retention->ops.segment(retention->ops.context, &going.told);
  if (!gone)
    give_up_kept_file(&going);
  if (going.to >= 0)
    close(going.to);
  if (going.from >= 0)
    close(going.from);
  if (gone && !pass->dry) {
    char *name = going.kept.count ? strdup(going.name) : NULL;
    gg__retained_replace(&retention->table, item, name, going.kept.bytes);
    gone = !name;
  } else {
    gone = false;
  }
  gg__kept_fini(&going.kept);
  return gone;
}

/* ── A pass ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int free_space(const struct gg__retention *retention, uint64_t *out, struct gg_failure *failure)
{
  struct statvfs status;
  if (fstatvfs(retention->table.folder_fd, &status) != 0)
    return gg_fail_errno(failure, errno, "cannot ask for the room of %s", retention->table.store);
  *out = (uint64_t)status.f_bavail * status.f_frsize;
  return 0;
}

static int tell_progress(struct pass *pass, const struct gg__retained *item)
{
  const struct gg__retention_ops *ops = &pass->retention->ops;
  pass->looked_at += item->bytes;
  bool on = !ops->progress || ops->progress(ops->context, pass->looked_at, pass->total);
  return on ? 0 : gg_fail(pass->failure, GG_ERR_CLOSED, "stopped");
}

static bool go_on(void *context, uint64_t done, uint64_t total)
{
  const struct gg__retention_ops *ops = &((struct pass *)context)->retention->ops;
  (void)done;
  (void)total;
  return !ops->idle || ops->idle(ops->context);
}

/* At least one a step, if there is time for any: so that it comes to an end. */
static void read_for_rules(struct pass *pass, struct gg__retained *item)
{
  struct gg__retention *retention = pass->retention;
  bool late = pass->any_read && pass->read_until_ns > 0 && gg_clock_mono_ns() >= pass->read_until_ns;
  if (late || !gg__retained_is_open_question(item, pass->limits, pass->state.now_ns) || !go_on(pass, 0, 0))
    return;
  pass->any_read = true;
  int error = gg__retained_judge(&retention->table, item, pass->limits, retention->marks, go_on, pass);
  pass->unread |= error == GG_ERR_NOMEM;
}

/* From the newest on: what each rule's sessions have in the segments behind each. */
static int sum_up(struct pass *pass)
{
  struct gg__retained_table *table = &pass->retention->table;
  struct gg__retention_sums sums = {0};
  int error = 0;
  for (size_t i = table->count; i-- > 0 && !error;) {
    struct gg__retained *item = &table->items[i];
    error = tell_progress(pass, item);
    if (!error)
      read_for_rules(pass, item);
    item->filled = gg__retention_filled(pass->limits, &sums);
    if (item->judged)
      gg__retention_add(pass->limits, &sums, item->shares, item->share_count);
  }
  return error;
}

static enum gg_prune_why due(struct pass *pass, struct gg__retained *item)
{
  read_for_rules(pass, item);
  return gg__retained_due(item, pass->limits, pass->state.now_ns);
}

static enum gg_prune_why surplus(struct pass *pass, struct gg__retained *item)
{
  enum gg_prune_why why = gg__retention_judge(pass->limits, &pass->state);
  return why == GG_PRUNE_STAYS ? item->owed : why;
}

/* From the oldest on. */
static int walk(struct pass *pass, enum gg_prune_why (*judge)(struct pass *pass, struct gg__retained *item))
{
  struct gg__retained_table *table = &pass->retention->table;
  int error = 0;
  for (size_t i = 0; i < table->count && !error;) {
    struct gg__retained *item = &table->items[i];
    enum gg_prune_why why = GG_PRUNE_STAYS;
    error = tell_progress(pass, item);
    if (!error && item->sealed && !item->passed)
      why = judge(pass, item);
    if (why != GG_PRUNE_STAYS && is_all_held(pass->retention, item)) {
      item->passed = true;
      pass->result->passed++;
    } else if (why != GG_PRUNE_STAYS && go(pass, item, why)) {
      continue;
    }
    i++;
  }
  return error;
}

static int walk_both(struct pass *pass)
{
  int error = walk(pass, due);
  return error ? error : walk(pass, surplus);
}

/* Others have made room for what is held. */
static int walk_again(struct pass *pass)
{
  struct gg__retained_table *table = &pass->retention->table;
  for (size_t i = 0; i < table->count; i++)
    if (table->items[i].no_room) {
      table->items[i].passed = table->items[i].no_room = false;
      pass->result->passed--;
    }
  return walk_both(pass);
}

static int finish(struct pass *pass)
{
  const struct gg__retained_table *table = &pass->retention->table;
  struct gg_prune_result *result = pass->result;
  result->open = table->open;
  result->segments_left = table->count;
  result->bytes_left = pass->state.bytes;
  int error = pass->dry ? 0 : free_space(pass->retention, &result->free_bytes, pass->failure);
  if (pass->dry)
    result->free_bytes = pass->state.free_bytes;
  /* What has just been freed may be told late by the file system. */
  result->met = result->passed == 0 && gg__retention_is_met(pass->limits, &pass->state);
  return error;
}

static int prepare(struct pass *pass)
{
  struct gg__retention *retention = pass->retention;
  struct gg__retained_table *table = &retention->table;
  int error = refresh_marks(retention, pass->failure);
  if (!error)
    error = gg__retained_refresh(table, pass->state.now_ns, pass->failure);
  if (!error && table->leftovers && !pass->dry) {
    int mended = gg__keep_mend(table->folder_fd, pass->failure);
    error = mended < 0 ? mended : 0;
    pass->result->mended = mended > 0 ? (uint64_t)mended : 0;
    table->leftovers = error != 0;
  }
  if (!error)
    error = free_space(retention, &pass->state.free_bytes, pass->failure);
  pass->state.bytes = pass->total = table->bytes;
  return error;
}

int gg__retention_step(struct gg__retention *retention, const struct gg__retention_limits *limits, bool dry,
                       struct gg_prune_result *result, struct gg_failure *failure)
{
  struct pass pass = {.retention = retention,
                      .limits = limits,
                      .result = result,
                      .failure = failure,
                      .state = {.now_ns = gg_clock_real_ns()},
                      .dry = dry};
  *result = (struct gg_prune_result){0};
  if (flock(retention->table.store_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return gg_fail(failure, GG_ERR_BUSY, "another one prunes %s now", retention->table.store);
  bool counts = gg__retention_counts(limits);
  retention->ignores_damage = limits->ignore_damaged_marks;
  retention->asks_marks = gg__retention_asks_marks(limits);
  if (retention->ops.read_ns)
    pass.read_until_ns = gg_clock_mono_ns() + retention->ops.read_ns;
  int error = prepare(&pass);
  pass.total *= counts ? 3 : 2; /* so often each is looked at */
  if (!error && counts)
    error = sum_up(&pass);
  if (!error)
    error = walk_both(&pass);
  if (!error && pass.no_room && pass.result->segments > 0)
    error = walk_again(&pass);
  if (!error && pass.unread) /* what needs no reading was done all the same */
    error = gg_fail(failure, GG_ERR_NOMEM, "no memory to read a segment that rules are to be asked about");
  int last = finish(&pass);
  flock(retention->table.store_fd, LOCK_UN);
  return error ? error : last;
}

void gg__retention_renewed(struct gg__retention *retention)
{
  gg__retained_doubt(&retention->table, NULL);
}

void gg__retention_sealed(struct gg__retention *retention, const char *name)
{
  gg__retained_sealed(&retention->table, name);
}

int gg__retention_look(struct gg__retention *retention, uint64_t *bytes, uint64_t *open, uint64_t *free_bytes,
                       struct gg_failure *failure)
{
  int error = gg__retained_refresh(&retention->table, gg_clock_real_ns(), failure);
  *bytes = retention->table.bytes;
  *open = retention->table.open;
  return error ? error : free_space(retention, free_bytes, failure);
}

/* ── Life ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__retention_open(struct gg__retention **out, const char *store, const struct gg__retention_ops *ops,
                       struct gg_failure *failure)
{
  struct gg__retention *retention = calloc(1, sizeof *retention);
  *out = NULL;
  if (!retention)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for retention");
  retention->ops = *ops;
  int error = gg__retained_open(&retention->table, store, failure);
  if (error)
    gg__retention_close(retention);
  else
    *out = retention;
  return error;
}

void gg__retention_close(struct gg__retention *retention)
{
  if (!retention)
    return;
  gg__retained_fini(&retention->table);
  gg__marks_close(retention->marks);
  gg__held_fini(&retention->held);
  free(retention);
}
