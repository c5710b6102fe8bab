/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which segments are being written is told by the `running` files, and by one thing more: a segment is named there a
 * moment after it was made. So the newest one of a log counts as open as well, if its log may be at work: while a
 * gateway runs, if it was written to lately; after one that was killed, until its next start, which completes it.
 */
#include "store/retained.h"

#include "base/clock.h"
#include "record/pcapng.h"
#include "store/place.h"
#include "store/segment_name.h"
#include "store/source.h"
#include "store/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOGS_MAX = 4096, TAGS_ROOM = 256, BLOCK_HEAD_BYTES = 20 };

static const uint64_t lately_ns = 60 * GG_NS_PER_S;
static const uint64_t tick_ns = 50 * GG_NS_PER_MS; /* file times may stand still so long */

/* ── Listing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__retained_open(struct gg__retained_table *out, const char *store, struct gg_failure *failure)
{
  char path[4096];
  struct gg__place place;
  *out = (struct gg__retained_table){.store_fd = -1, .folder_fd = -1};
  int error = gg__place_open(&place, store, failure);
  bool own = !error && place.store;
  gg__place_fini(&place);
  if (error)
    return error;
  if (!own)
    return gg_fail(failure, GG_ERR_FORMAT, "%s is no gateway's store: nothing is taken away from somebody's captures",
                   store);
  out->store = strdup(store);
  if (!out->store)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the store's segments");
  if ((size_t)snprintf(path, sizeof path, "%s/segments", store) >= sizeof path)
    return gg_fail(failure, GG_ERR_RANGE, "the path is too long");
  out->store_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  out->folder_fd = out->store_fd < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return out->folder_fd < 0 ? gg_fail_errno(failure, errno, "cannot open %s", store) : 0;
}

static void free_item(struct gg__retained *item)
{
  free(item->name);
  free(item->shares);
  gg__kept_fini(&item->held);
}

void gg__retained_fini(struct gg__retained_table *table)
{
  for (size_t i = 0; i < table->count; i++)
    free_item(&table->items[i]);
  free(table->items);
  free(table->store);
  if (table->folder_fd >= 0)
    close(table->folder_fd);
  if (table->store_fd >= 0)
    close(table->store_fd);
  *table = (struct gg__retained_table){.store_fd = -1, .folder_fd = -1};
}

static int by_order(const void *a, const void *b)
{
  return gg__segment_order(((const struct gg__retained *)a)->name, ((const struct gg__retained *)b)->name);
}

static int add_item(struct gg__retained_table *fresh, size_t *room, const char *name)
{
  if (fresh->count == GG_PLACE_FILES_MAX)
    return GG_ERR_LIMIT;
  if (fresh->count == *room) {
    size_t larger = *room ? *room * 2 : 64;
    struct gg__retained *items = realloc(fresh->items, larger * sizeof *items);
    if (!items)
      return GG_ERR_NOMEM;
    fresh->items = items;
    *room = larger;
  }
  fresh->items[fresh->count] = (struct gg__retained){.name = strdup(name)};
  return fresh->items[fresh->count].name ? (fresh->count++, 0) : GG_ERR_NOMEM;
}

static bool is_segment(const char *name)
{
  size_t length = strlen(name);
  return name[0] != '.' && length > 7 && strcmp(name + length - 7, ".pcapng") == 0;
}

static int read_folder(struct gg__retained_table *fresh, int folder, struct gg_failure *failure)
{
  size_t room = 0;
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
  if (!directory) {
    int error = gg_fail_errno(failure, errno, "cannot read the store's segments");
    if (fd >= 0)
      close(fd);
    return error;
  }
  int error = 0;
  for (struct dirent *entry; !error && (errno = 0, entry = readdir(directory));)
    if (is_segment(entry->d_name))
      error = add_item(fresh, &room, entry->d_name);
    else
      fresh->leftovers |= gg__keep_is_unfinished(entry->d_name);
  if (!error && errno)
    error = gg_error_from_errno(errno);
  closedir(directory);
  return error ? gg_fail(failure, error, "cannot list the store's segments") : 0;
}

/* What another one has taken the place of is not in the table. */
static void drop_superseded(struct gg__retained_table *fresh)
{
  size_t left = 0;
  for (size_t i = 0; i < fresh->count; i++) {
    if (i + 1 < fresh->count && gg__segment_same_base(fresh->items[i].name, fresh->items[i + 1].name)) {
      fresh->leftovers = true;
      free_item(&fresh->items[i]);
      continue;
    }
    fresh->items[left++] = fresh->items[i];
  }
  fresh->count = left;
}

/* What is known of those that are still there goes over. */
static void carry_over(struct gg__retained_table *table, struct gg__retained_table *fresh)
{
  for (size_t i = 0, j = 0; i < table->count && j < fresh->count;) {
    int order = gg__segment_order(table->items[i].name, fresh->items[j].name);
    if (order == 0) {
      struct gg__retained swap = table->items[i];
      table->items[i++] = fresh->items[j];
      fresh->items[j++] = swap;
    } else if (order < 0) {
      i++;
    } else {
      j++;
    }
  }
  for (size_t i = 0; i < table->count; i++)
    free_item(&table->items[i]);
  free(table->items);
  table->items = fresh->items;
  table->count = fresh->count;
  table->leftovers = fresh->leftovers;
}

static int list(struct gg__retained_table *table, uint64_t now_ns, struct gg_failure *failure)
{
  struct stat status;
  if (fstat(table->folder_fd, &status) != 0)
    return gg_fail_errno(failure, errno, "cannot look at the store's segments");
  uint64_t changed_ns = (uint64_t)status.st_mtim.tv_sec * GG_NS_PER_S + (uint64_t)status.st_mtim.tv_nsec;
  bool same = status.st_mtim.tv_sec == table->listed.tv_sec && status.st_mtim.tv_nsec == table->listed.tv_nsec;
  if (same && !table->leftovers && table->listed_ns > changed_ns + tick_ns)
    return 0;
  struct gg__retained_table fresh = {0};
  int error = read_folder(&fresh, table->folder_fd, failure);
  if (error) {
    for (size_t i = 0; i < fresh.count; i++)
      free_item(&fresh.items[i]);
    free(fresh.items);
    return error;
  }
  if (fresh.count > 1)
    qsort(fresh.items, fresh.count, sizeof *fresh.items, by_order);
  drop_superseded(&fresh);
  carry_over(table, &fresh);
  table->listed = status.st_mtim;
  table->listed_ns = now_ns;
  return 0;
}

void gg__retained_replace(struct gg__retained_table *table, struct gg__retained *item, char *name, uint64_t bytes)
{
  table->bytes -= item->bytes;
  free_item(item);
  if (name) {
    *item = (struct gg__retained){.name = name,
                                  .bytes = bytes,
                                  .modified_ns = item->modified_ns,
                                  .last_ns = item->last_ns,
                                  .sealed = true,
                                  .passed = true};
    table->bytes += bytes;
    return;
  }
  size_t at = (size_t)(item - table->items);
  memmove(item, item + 1, (table->count - at - 1) * sizeof *item);
  table->count--;
}

/* ── Sealed or not ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* When the file's last block says that it was written: ours are of nanoseconds, and end in a packet or statistics. */
static uint64_t last_record_ns(int folder, const struct gg__retained *item)
{
  uint8_t head[BLOCK_HEAD_BYTES];
  uint32_t length = 0, type, high, low;
  int fd = openat(folder, item->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  uint64_t last_ns = item->modified_ns;
  if (fd < 0)
    return last_ns;
  if (item->bytes > sizeof length && pread(fd, &length, sizeof length, (off_t)(item->bytes - sizeof length)) == 4 &&
      length >= BLOCK_HEAD_BYTES + 4 && length <= GG_PCAPNG_BLOCK_MAX && length <= item->bytes &&
      pread(fd, head, sizeof head, (off_t)(item->bytes - length)) == (ssize_t)sizeof head) {
    memcpy(&type, head, sizeof type);
    memcpy(&high, head + 12, sizeof high);
    memcpy(&low, head + 16, sizeof low);
    if (type == GG_PCAPNG_EPB || type == GG_PCAPNG_ISB)
      last_ns = (uint64_t)high << 32 | low;
  }
  close(fd);
  return last_ns;
}

struct logs {
  char *names[LOGS_MAX];
  size_t count;
};

/* True the first time. */
static bool see_log(struct logs *logs, const char *log)
{
  for (size_t i = 0; i < logs->count; i++)
    if (strcmp(logs->names[i], log) == 0)
      return false;
  if (logs->count < LOGS_MAX && (logs->names[logs->count] = strdup(log)))
    logs->count++;
  return true;
}

static bool is_written(const struct gg__retained *item, const char *log, bool newest, bool live, const char *running,
                       uint64_t now_ns)
{
  char line[GG__SEGMENT_LOG_MAX + 16];
  if (running && strstr(running, item->name))
    return true;
  if (!newest)
    return false;
  if (live)
    return item->modified_ns + lately_ns > now_ns;
  snprintf(line, sizeof line, "\nring %s ", log);
  return running && strstr(running, line);
}

static void judge_open(struct gg__retained_table *table, uint64_t now_ns)
{
  char log[GG__SEGMENT_LOG_MAX];
  char *running;
  bool live;
  if (!gg__store_writers(table->store, &live, &running)) { /* what is written is not to be taken for what is not */
    free(running);
    return;
  }
  struct logs *logs = calloc(1, sizeof *logs);
  size_t unsure = 0;
  for (size_t i = 0; i < table->count; i++)
    unsure += !table->items[i].sealed;
  table->open = 0;
  for (size_t i = table->count; i-- > 0 && unsure > 0;) {
    struct gg__retained *item = &table->items[i];
    unsure -= !item->sealed;
    unsigned generation;
    gg__segment_base(item->name, &generation);
    bool ours = generation == 0 && gg__segment_log(item->name, log);
    bool newest = ours && (!logs || see_log(logs, log));
    if (!item->sealed && !(ours && is_written(item, log, newest, live, running, now_ns))) {
      item->sealed = true;
      item->last_ns = last_record_ns(table->folder_fd, item);
    }
    table->open += !item->sealed;
  }
  for (size_t i = 0; logs && i < logs->count; i++)
    free(logs->names[i]);
  free(logs);
  free(running);
}

int gg__retained_refresh(struct gg__retained_table *table, uint64_t now_ns, struct gg_failure *failure)
{
  struct stat status;
  int error = list(table, now_ns, failure);
  if (error)
    return error;
  size_t left = 0;
  table->bytes = 0;
  for (size_t i = 0; i < table->count; i++) {
    struct gg__retained *item = &table->items[i];
    item->passed = item->no_room = false;
    item->filled = 0;
    if (!item->sealed) {
      bool there = fstatat(table->folder_fd, item->name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
      if (!there) {
        free_item(item);
        continue;
      }
      item->bytes = (uint64_t)status.st_size;
      item->modified_ns = (uint64_t)status.st_mtim.tv_sec * GG_NS_PER_S + (uint64_t)status.st_mtim.tv_nsec;
    }
    table->bytes += item->bytes;
    table->items[left++] = *item;
  }
  table->count = left;
  judge_open(table, now_ns);
  return 0;
}

void gg__retained_sealed(struct gg__retained_table *table, const char *name)
{
  const struct gg__retained key = {.name = (char *)(uintptr_t)name}; /* only compared */
  struct gg__retained *item =
    table->count > 0 ? bsearch(&key, table->items, table->count, sizeof *table->items, by_order) : NULL;
  struct stat status;
  if (!item || item->sealed || fstatat(table->folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  table->bytes += (uint64_t)status.st_size - item->bytes;
  item->bytes = (uint64_t)status.st_size;
  item->modified_ns = (uint64_t)status.st_mtim.tv_sec * GG_NS_PER_S + (uint64_t)status.st_mtim.tv_nsec;
  item->sealed = true;
  item->last_ns = last_record_ns(table->folder_fd, item);
  table->open -= table->open > 0;
}

/* ── Rules ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct judging {
  const struct gg__retention_limits *limits;
  struct gg__marks *marks;
  struct gg__share shares[GG_RETENTION_RULES_MAX + 1]; /* by rule; the last is of none */
  bool found[GG_RETENTION_RULES_MAX + 1];
  bool (*go_on)(void *context, uint64_t done, uint64_t total);
  void *context;
};

/* What people have said of it is added to what the recording says. */
static void add_marks(struct gg_session *session, const struct gg__mark *mark, const char *tags[TAGS_ROOM])
{
  size_t count = 0;
  for (size_t i = 0; i < session->tag_count && count < TAGS_ROOM; i++) {
    bool removed = false;
    for (size_t j = 0; j < mark->removed_count; j++)
      removed |= strcmp(mark->removed[j], session->tags[i]) == 0;
    if (!removed)
      tags[count++] = session->tags[i];
  }
  for (size_t i = 0; i < mark->tag_count && count < TAGS_ROOM; i++)
    tags[count++] = mark->tags[i];
  session->tags = tags;
  session->tag_count = count;
  session->held = mark->held;
}

static int judge_end(void *context, void **token, const struct gg_session *told)
{
  struct judging *judging = context;
  const char *tags[TAGS_ROOM];
  struct gg_session session = *told;
  const struct gg__mark *mark = judging->marks ? gg__marks_find(judging->marks, told->id) : NULL;
  if (mark)
    add_marks(&session, mark, tags);
  size_t rule = gg__retention_rule_of(judging->limits, &session);
  struct gg__share *share = &judging->shares[rule];
  judging->found[rule] = true;
  share->rule = rule;
  share->bytes += (uintptr_t)*token;
  if (session.end_ns > share->last_ns)
    share->last_ns = session.end_ns;
  return 0;
}

static int judge_begin(void *context, void **token, const struct gg_session *begun)
{
  (void)context;
  (void)begun;
  *token = NULL;
  return 0;
}

/* The token is no address: it counts the bytes of the session's packets. */
static void judge_packet(void *context, void **token, uint64_t bytes)
{
  (void)context;
  *token = (void *)((uintptr_t)*token + (uintptr_t)bytes);
}

static int judge_piece(void *context, void **token, const struct gg_sweep_piece *piece)
{
  (void)context;
  (void)token;
  (void)piece;
  return 0;
}

static bool judge_progress(void *context, uint64_t done, uint64_t total)
{
  const struct judging *judging = context;
  return !judging->go_on || judging->go_on(judging->context, done, total);
}

static int keep_shares(struct gg__retained *item, const struct judging *judging)
{
  size_t count = 0, kept = 0;
  for (size_t i = 0; i <= judging->limits->rule_count; i++)
    count += judging->found[i];
  struct gg__share *shares = malloc(count * sizeof *shares);
  if (!shares)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i <= judging->limits->rule_count; i++)
    if (judging->found[i])
      shares[kept++] = judging->shares[i];
  free(item->shares);
  item->shares = shares;
  item->share_count = count;
  item->judged = true;
  return 0;
}

bool gg__retained_is_open_question(const struct gg__retained *item, const struct gg__retention_limits *limits,
                                   uint64_t now_ns)
{
  uint64_t least_ns = gg__retention_expires(item->last_ns, gg__retention_age_least(limits));
  return item->sealed && !item->judged && limits->rule_count > 0 && (gg__retention_counts(limits) || least_ns < now_ns);
}

int gg__retained_judge(struct gg__retained_table *table, struct gg__retained *item,
                       const struct gg__retention_limits *limits, struct gg__marks *marks,
                       bool (*go_on)(void *context, uint64_t done, uint64_t total), void *context)
{
  static const struct gg_sweep_ops ops = {
    .begin = judge_begin, .piece = judge_piece, .packet = judge_packet, .end = judge_end, .progress = judge_progress};
  struct judging judging = {.limits = limits, .marks = marks, .go_on = go_on, .context = context};
  struct gg_failure ignored = GG_FAILURE_INIT;
  char path[4096];
  int length = snprintf(path, sizeof path, "%s/segments/%s", table->store, item->name);
  int error = (size_t)length < sizeof path ? gg_sweep(path, NULL, &ops, NULL, &judging, &ignored) : GG_ERR_RANGE;
  if (error == GG_ERR_CLOSED || error == GG_ERR_NOMEM)
    return error;
  bool any = false;
  for (size_t i = 0; i <= limits->rule_count; i++)
    any |= judging.found[i];
  if (error || !any) { /* of what cannot be read the longest age counts */
    judging.shares[limits->rule_count] =
      (struct gg__share){.rule = error ? GG__RULE_UNKNOWN : limits->rule_count, .last_ns = item->last_ns};
    judging.found[limits->rule_count] = true;
  }
  return keep_shares(item, &judging);
}

enum gg_prune_why gg__retained_due(const struct gg__retained *item, const struct gg__retention_limits *limits,
                                   uint64_t now_ns)
{
  const struct gg__share whole = {.rule = limits->rule_count, .last_ns = item->last_ns};
  if (limits->rule_count == 0)
    return gg__retention_due(limits, &whole, 1, 0, now_ns);
  return item->judged ? gg__retention_due(limits, item->shares, item->share_count, item->filled, now_ns)
                      : GG_PRUNE_STAYS;
}

/* The first digits of an id are when the session began. */
static uint64_t begun_ns(const char *id)
{
  char digits[13];
  snprintf(digits, sizeof digits, "%.12s", id);
  return strtoull(digits, NULL, 16) * GG_NS_PER_MS;
}

void gg__retained_doubt(struct gg__retained_table *table, const char *id)
{
  uint64_t from_ns = id ? begun_ns(id) : 0;
  for (size_t i = 0; i < table->count; i++)
    if (!id || table->items[i].last_ns + GG_NS_PER_S >= from_ns)
      table->items[i].judged = false;
  for (size_t i = 0; i < table->count && !id; i++)
    table->items[i].owed = GG_PRUNE_STAYS;
}
