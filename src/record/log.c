/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - the producer's side of the log.
 *
 * The hot path is one comparison in reserve and one in commit: whatever is out of the ordinary (no room, a segment to
 * begin, a new ring to switch to) makes `limit` or `seal_at` small, and so comes to the slow path.
 *
 *                      segment_start
 *   written ──┬───────────┬─────────────────┬──────────────────┬──────────────┬─────────────┬── ring_limit
 *             │ segment 1 │ pad, segment 2, │ since last seal  │ free         │ control,    │
 *             │ (its end) │ sealed          │ (no pad yet)     │              │ pad reserve │
 *   ──────────┴───────────┴─────────────────┴──────────────────┴──────────────┴─────────────┴──
 *                                       sealed_to            tail        limit[DATA]  limit[CONTROL]
 *
 * The pad reserve makes sealing a thing that cannot fail: whatever was committed can be padded to the page. When a
 * reservation is refused, everything is sealed, so the writer will drain all of it, and the wake is sure to come; where
 * it came and there still was no room, the next tick asks for another.
 *
 * Switching to another ring happens where the tail is on a page boundary after a seal. Positions run on; only the place
 * that a position has in memory changes. The writer leaves the old ring when it has written up to its `end`.
 *
 * The writer takes over the producer's role when the log was finished (`handed_over`): then what could not be sealed
 * for want of room is sealed as room comes.
 */
#include "record/log_private.h"
#include "record/section.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NOTE_MAX = 320 };

static uint64_t seal_bytes(const struct gg_log *log)
{
  uint64_t quarter = (log->mask + 1) / 4;
  return quarter < GG_SEAL_BYTES_MAX ? quarter : GG_SEAL_BYTES_MAX;
}

static void set_seal_at(struct gg_log *log)
{
  log->seal_at = log->sealed_to + seal_bytes(log);
  uint64_t segment_end = log->segment_start + log->recorder->options.segment_max_bytes;
  if (log->segment_open && segment_end < log->seal_at)
    log->seal_at = segment_end;
}

/* Where the free part of the ring ends now: a ring that was just switched to is empty, whatever the old one holds. */
static uint64_t ring_limit_now(const struct gg_log *log)
{
  uint64_t written = atomic_load(&log->written);
  uint64_t base = atomic_load_explicit(&log->header->base, memory_order_relaxed);
  return (written > base ? written : base) + log->mask + 1;
}

static void set_limits(struct gg_log *log)
{
  log->ring_limit = ring_limit_now(log);
  log->limit[GG_LOG_CONTROL] = log->segment_open ? log->ring_limit - 2 * GG__PAD_RESERVE : 0;
  log->limit[GG_LOG_DATA] = log->segment_open ? log->limit[GG_LOG_CONTROL] - GG_LOG_CONTROL_RESERVE_BYTES : 0;
}

static void use_ring(struct gg_log *log, struct gg__ring *ring)
{
  log->ring = ring;
  log->header = ring->header;
  log->data = ring->data;
  log->mask = ring->bytes - 1;
  atomic_store_explicit(&log->ring_bytes, ring->bytes, memory_order_relaxed);
}

/* Begins a ring at the tail: it has a place for the segments that are not completely written. */
static void seed_ring(struct gg_log *log, struct gg__ring *ring)
{
  struct gg__ring_header *header = ring->header;
  ring->begin = log->tail;
  uint64_t done = atomic_load_explicit(&log->segments_done, memory_order_acquire);
  for (unsigned i = 0; i < GG_RING_SEGMENTS_MAX; i++) {
    const struct gg__segment *segment = &log->segments[i];
    if (segment->number <= done)
      continue;
    header->segments[i].start = segment->start;
    memcpy(header->segments[i].name, segment->name, sizeof segment->name);
    atomic_store_explicit(&header->segments[i].number, segment->number, memory_order_release);
  }
  atomic_store(&header->written, log->tail);
  atomic_store(&header->committed, log->tail);
  atomic_store(&header->base, log->tail);
}

void gg__log_init(struct gg_log *log, struct gg_recorder *recorder, struct gg__ring *ring)
{
  log->recorder = recorder;
  log->file = -1;
  log->oldest = log->readable = ring;
  log->initial_bytes = ring->bytes;
  atomic_init(&log->wake_at, UINT64_MAX);
  atomic_init(&log->want_durable, UINT64_MAX);
  atomic_init(&log->rings_alive, 1);
  log->clock_offset_ns = (int64_t)(gg_clock_real_ns() - gg_clock_mono_ns());
  log->clock_noted_ns = log->clock_offset_ns;
  atomic_init(&log->rotations, atomic_load(&recorder->rotate_wanted));
  seed_ring(log, ring);
  use_ring(log, ring);
  set_limits(log);
  set_seal_at(log);
}

static uint8_t *place(const struct gg_log *log, uint64_t position)
{
  return log->data + (position & log->mask);
}

/* Moves the tail over whole blocks that are in place: from here on a kill cannot lose them. */
static void advance(struct gg_log *log, uint64_t bytes)
{
  log->tail += bytes;
  atomic_store_explicit(&log->header->committed, log->tail, memory_order_release);
  atomic_store_explicit(&log->committed, log->tail, memory_order_relaxed);
}

static void request_ring(struct gg_log *log, uint64_t bytes)
{
  if (atomic_load(&log->ring_wanted) != 0 || atomic_load(&log->offered))
    return;
  atomic_store(&log->ring_wanted, bytes);
  gg__bell_ring(&log->recorder->provision_bell);
}

/* Making a ring costs its pages, and those before it were for nothing: a few large steps are cheaper than many small
 * ones. The provisioner halves a step that does not fit. */
static void request_growth(struct gg_log *log)
{
  uint64_t ring_bytes = log->mask + 1;
  uint64_t bytes = ring_bytes * (ring_bytes <= GG_RING_BYTES_MAX / GG__RING_STEP ? GG__RING_STEP : 2);
  if (bytes > GG_RING_BYTES_MAX ||
      atomic_load_explicit(&log->rings_alive, memory_order_relaxed) >= GG_RINGS_ALIVE_MAX ||
      atomic_load_explicit(&log->disk_full, memory_order_relaxed))
    return;
  request_ring(log, bytes);
}

static uint64_t fill(const struct gg_log *log)
{
  return log->tail - atomic_load_explicit(&log->written, memory_order_relaxed);
}

/* ── Sealing ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What the next statistics block has to say besides filling the page. */
static size_t write_note(const struct gg_log *log, char *note)
{
  int n = 0;
  if (log->counts_untold)
    n = snprintf(note, NOTE_MAX, "{\"missing\":{\"bytes\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"sessions\":%" PRIu64 "}",
                 log->gap_bytes, log->gap_count, log->lost_sessions);
  if (log->clock_step_ns)
    n += snprintf(note + n, (size_t)(NOTE_MAX - n), "%s\"clock_step_ns\":%" PRId64, n ? "," : "{", log->clock_step_ns);
  if (n)
    n += snprintf(note + n, (size_t)(NOTE_MAX - n), "}");
  assert(n < NOTE_MAX);
  return (size_t)n;
}

static void pad(struct gg_log *log)
{
  char note[NOTE_MAX];
  struct gg_section_statistics statistics = {
    .has_dropped = log->counts_untold,
    .dropped = log->gap_count + log->lost_sessions,
    .comment = note,
    .comment_length = write_note(log, note),
  };
  size_t least = statistics.comment_length ? gg_section_statistics_least(&statistics) : 0;
  size_t bytes = gg_section_padding(log->tail, GG__PAGE_BYTES, least);
  if (bytes == 0)
    return;
  assert(bytes <= GG__PAD_RESERVE && log->tail + bytes <= log->ring_limit);
  statistics.time_ns = gg_log_time(log, gg_clock_mono_ns());
  gg__log_claim(log, log->tail + bytes);
  gg_section_statistics(place(log, log->tail), bytes, &statistics);
  log->counts_untold = false;
  log->clock_step_ns = 0;
  advance(log, bytes);
  gg__count(log->recorder, log->shard, GG__METRIC_PADDING, bytes);
}

static void push_boundary(struct gg_log *log)
{
  uint64_t head = atomic_load_explicit(&log->boundaries_head, memory_order_relaxed);
  uint64_t taken = atomic_load_explicit(&log->boundaries_tail, memory_order_acquire);
  if (head - taken < GG__BOUNDARIES_MAX) { /* a full table makes one larger write of what did not fit in */
    atomic_store_explicit(&log->boundaries[head % GG__BOUNDARIES_MAX], log->tail, memory_order_relaxed);
    atomic_store_explicit(&log->boundaries_head, head + 1, memory_order_release);
  }
}

static bool room_for_pad(const struct gg_log *log)
{
  return log->tail + GG__PAD_RESERVE <= log->ring_limit;
}

void gg__log_seal(struct gg_log *log)
{
  bool note_only = log->tail == log->sealed_to;
  if (!log->segment_open || (note_only && !log->counts_untold && !log->clock_step_ns))
    return;
  if (note_only && !room_for_pad(log))
    return;
  pad(log);
  assert(log->tail % GG__PAGE_BYTES == 0);
  log->sealed_to = log->tail;
  log->unsealed_since_ns = 0;
  log->hasty = false;
  push_boundary(log);
  atomic_store(&log->sealed, log->tail);
  gg__bell_ring(&log->recorder->writer_bell);
  set_seal_at(log);
  if (fill(log) > (log->mask + 1) / 2)
    request_growth(log);
}

static void end_segment(struct gg_log *log)
{
  if (!log->segment_open)
    return;
  if (log->tail != log->sealed_to || room_for_pad(log))
    gg__log_seal(log);
  struct gg__segment *segment = &log->segments[log->segment_number % GG_RING_SEGMENTS_MAX];
  atomic_store_explicit(&segment->end, log->tail, memory_order_release);
  log->segment_open = false;
  set_limits(log);
  gg__bell_ring(&log->recorder->writer_bell);
}

static uint64_t segments_waiting(const struct gg_log *log)
{
  return log->segment_number - atomic_load(&log->segments_done);
}

/* What gg_recorder_rotate asked for since the last time. */
static void rotate_if_asked(struct gg_log *log)
{
  uint64_t wanted = atomic_load_explicit(&log->recorder->rotate_wanted, memory_order_acquire);
  if (wanted == atomic_load_explicit(&log->rotations, memory_order_relaxed) ||
      (log->segment_open && segments_waiting(log) > GG_RING_SEGMENTS_MAX / 2))
    return;
  end_segment(log);
  atomic_store(&log->rotated_segment, log->segment_number);
  atomic_store(&log->rotations, wanted);
}

static void begin_segment(struct gg_log *log)
{
  assert(log->tail % GG__PAGE_BYTES == 0 && log->tail == log->sealed_to);
  uint64_t number = log->segment_number + 1;
  uint64_t mono_ns = gg_clock_mono_ns();
  uint64_t real_ns = gg_clock_real_ns();
  struct gg__segment *segment = &log->segments[number % GG_RING_SEGMENTS_MAX];
  segment->number = number;
  segment->start = log->tail;
  atomic_store_explicit(&segment->end, 0, memory_order_relaxed);
  gg__segment_name(segment->name, log, real_ns, number);

  struct gg__ring_segment *entry = &log->header->segments[number % GG_RING_SEGMENTS_MAX];
  atomic_store_explicit(&entry->number, 0, memory_order_relaxed);
  atomic_signal_fence(memory_order_release);
  entry->start = segment->start;
  memcpy(entry->name, segment->name, sizeof entry->name);
  atomic_store_explicit(&entry->number, number, memory_order_release);

  log->segment_number = number;
  log->segment_start = log->tail;
  log->segment_open = true;
  log->segment_begun_ns = mono_ns;
  log->clock_offset_ns = (int64_t)(real_ns - mono_ns);
  log->clock_noted_ns = log->clock_offset_ns;
  if (!log->counts_untold)
    log->gap_bytes = log->gap_count = log->lost_sessions = 0;
  gg__log_claim(log, log->tail + GG__SEGMENT_HEAD_MAX);
  advance(log, gg__segment_head(log, place(log, log->tail)));
  set_limits(log);
  set_seal_at(log);
}

/* ── Reserving ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Switches to the ring that the provisioner has made, if there is one. Seals while it is still on offer: the old ring,
 * which is full by then, would else ask for another one of the same size. */
static void adopt_ring(struct gg_log *log)
{
  if (!atomic_load_explicit(&log->offered, memory_order_relaxed))
    return;
  if (log->tail != log->sealed_to)
    gg__log_seal(log);
  struct gg__ring *ring = atomic_exchange(&log->offered, NULL); /* nobody else takes it */
  assert(ring);
  assert(log->tail == log->sealed_to);
  seed_ring(log, ring);
  struct gg__ring *old = log->ring;
  old->next = ring;
  atomic_store_explicit(&old->end, log->tail, memory_order_release);
  use_ring(log, ring);
  set_limits(log);
  set_seal_at(log);
  gg__bell_ring(&log->recorder->writer_bell); /* an idle writer leaves the old ring */
}

static size_t margin(enum gg_log_priority priority)
{
  return 2 * GG__PAD_RESERVE + (priority == GG_LOG_DATA ? (size_t)GG_LOG_CONTROL_RESERVE_BYTES : 0);
}

/* A segment has to begin, and the table is full of those that wait for the disk. */
static bool segments_are_too_many(const struct gg_log *log)
{
  return !log->segment_open && segments_waiting(log) >= GG_RING_SEGMENTS_MAX;
}

/* True if the reservation fits, after a segment was begun where one had to be. */
static bool fits(struct gg_log *log, size_t bytes, enum gg_log_priority priority)
{
  set_limits(log);
  if (log->segment_open)
    return log->tail + bytes <= log->limit[priority];
  if (segments_are_too_many(log) || log->tail + GG__SEGMENT_HEAD_MAX + bytes + margin(priority) > log->ring_limit)
    return false;
  begin_segment(log);
  return true;
}

/* The writer will have written up to the position that is asked for here: all is sealed. */
static void ask_for_wake(struct gg_log *log, size_t bytes, enum gg_log_priority priority)
{
  uint64_t ring_bytes = log->mask + 1;
  uint64_t end = log->tail + GG__SEGMENT_HEAD_MAX + bytes + margin(priority);
  uint64_t at = end > ring_bytes ? end - ring_bytes : 0;
  uint64_t eighth = log->tail + ring_bytes / 8; /* a wake for a few bytes is not worth it */
  if (eighth > ring_bytes && eighth - ring_bytes > at)
    at = eighth - ring_bytes;
  if (at > log->sealed_to)
    at = log->sealed_to;
  atomic_store(&log->wake_at, at);
}

static void note_refusal(struct gg_log *log, size_t bytes, enum gg_log_priority priority)
{
  if (!log->refused)
    gg__count(log->recorder, log->shard, GG__METRIC_STALLS, 1);
  log->refused = true;
  log->refused_bytes = bytes;
  log->refused_priority = priority;
  bool disk_full = atomic_load_explicit(&log->disk_full, memory_order_relaxed);
  atomic_store_explicit(&log->pressure, disk_full ? GG_LOG_DISK_FULL : GG_LOG_STALLED, memory_order_relaxed);
}

/* Those that wait are told: the reservation that goes now need not be the one that was refused. */
static void clear_refusal(struct gg_log *log)
{
  log->refused = false;
  atomic_store_explicit(&log->pressure, GG_LOG_FLOWING, memory_order_relaxed);
  if (log->wake)
    log->wake(log->wake_context);
}

static uint8_t *reserve_slowly(struct gg_log *log, size_t bytes, enum gg_log_priority priority)
{
  adopt_ring(log);
  if (!fits(log, bytes, priority)) {
    gg__log_seal(log);
    request_growth(log);
    ask_for_wake(log, bytes, priority);
    note_refusal(log, bytes, priority);
    if (!fits(log, bytes, priority)) { /* the writer may have gone on before it could see the wish for a wake */
      log->reserved = 0;
      log->limit[GG_LOG_DATA] = log->limit[GG_LOG_CONTROL] = 0; /* a smaller one that fits comes here, too */
      return NULL;
    }
  }
  if (log->refused)
    clear_refusal(log);
  log->reserved = bytes;
  gg__log_claim(log, log->tail + bytes);
  return place(log, log->tail);
}

uint8_t *gg_log_reserve(struct gg_log *log, size_t bytes, enum gg_log_priority priority)
{
  if (__builtin_expect(log->tail + bytes > log->limit[priority], 0))
    return reserve_slowly(log, bytes, priority);
  log->reserved = bytes;
  gg__log_claim(log, log->tail + bytes);
  return place(log, log->tail);
}

uint64_t gg_log_position(const struct gg_log *log, const void *at)
{
  const uint8_t *tail = place(log, log->tail), *byte = at;
  assert(byte >= tail && byte < tail + log->reserved);
  return log->tail + (uint64_t)(byte - tail);
}

void gg_log_commit(struct gg_log *log, size_t bytes)
{
  assert(bytes <= log->reserved && bytes % 4 == 0 && !log->finished);
  log->reserved = 0;
  advance(log, bytes);
  if (__builtin_expect(log->tail < log->seal_at, 1))
    return;
  if (log->tail - log->segment_start >= log->recorder->options.segment_max_bytes)
    end_segment(log);
  else
    gg__log_seal(log);
}

size_t gg_log_reserve_max(const struct gg_log *log)
{
  return (size_t)(log->mask + 1) - GG__SEGMENT_HEAD_MAX - margin(GG_LOG_DATA);
}

uint64_t gg_log_segment(const struct gg_log *log)
{
  return log->segment_number;
}

uint64_t gg_log_time(const struct gg_log *log, uint64_t mono_ns)
{
  return mono_ns + (uint64_t)log->clock_offset_ns;
}

enum gg_log_pressure gg_log_pressure(const struct gg_log *log)
{
  if (!log->refused)
    return GG_LOG_FLOWING;
  uint64_t need = log->tail + GG__SEGMENT_HEAD_MAX + log->refused_bytes + margin(log->refused_priority);
  if ((need <= ring_limit_now(log) && !segments_are_too_many(log)) ||
      atomic_load_explicit(&log->offered, memory_order_relaxed))
    return GG_LOG_FLOWING;
  return atomic_load_explicit(&log->disk_full, memory_order_relaxed) ? GG_LOG_DISK_FULL : GG_LOG_STALLED;
}

void gg_log_count_gap(struct gg_log *log, uint64_t bytes)
{
  log->gap_bytes += bytes;
  log->gap_count++;
  log->counts_untold = true;
  gg__count(log->recorder, log->shard, GG__METRIC_GAP, bytes);
}

void gg_log_count_lost_session(struct gg_log *log)
{
  log->lost_sessions++;
  log->counts_untold = true;
  gg__count(log->recorder, log->shard, GG__METRIC_LOST, 1);
}

/* ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void check_wall_clock(struct gg_log *log, uint64_t mono_ns)
{
  if (mono_ns - log->clock_checked_ns < GG_NS_PER_S)
    return;
  log->clock_checked_ns = mono_ns;
  int64_t now = (int64_t)(gg_clock_real_ns() - gg_clock_mono_ns());
  int64_t step = now - log->clock_noted_ns;
  if (step < GG_WALL_CLOCK_STEP_NS && step > -GG_WALL_CLOCK_STEP_NS)
    return;
  log->clock_noted_ns = now;
  log->clock_step_ns = now - log->clock_offset_ns;
  gg_warn(log->recorder->logger, "wall clock was set; the recording keeps its time until the next segment",
          GG_S("log", log->name), GG_I("step_ns", step));
}

static void publish_watermark(struct gg_log *log, uint64_t mono_ns)
{
  uint64_t written = atomic_load_explicit(&log->written, memory_order_acquire);
  if (written < log->mark_position)
    return;
  if (log->mark_ns)
    atomic_store_explicit(&log->watermark_ns, log->mark_ns, memory_order_release);
  log->mark_position = log->tail;
  log->mark_ns = gg_log_time(log, mono_ns);
  if (written == log->tail)
    atomic_store_explicit(&log->watermark_ns, log->mark_ns, memory_order_release);
}

/* A wake is for once, and it may have come too early: for the bytes, while the segments were still too many. So there
 * is a wish for another as long as there is no room; and where there is room by now, it may have come between the early
 * wake and this wish. */
static void keep_asking(struct gg_log *log)
{
  if (!log->refused)
    return;
  if (atomic_load(&log->wake_at) == UINT64_MAX)
    ask_for_wake(log, log->refused_bytes, log->refused_priority);
  if (gg_log_pressure(log) == GG_LOG_FLOWING)
    clear_refusal(log);
}

static void consider_shrinking(struct gg_log *log, uint64_t mono_ns)
{
  if (log->busy_ns == 0 || log->mask + 1 == log->initial_bytes || fill(log) > log->initial_bytes / 2)
    log->busy_ns = mono_ns;
  if (mono_ns - log->busy_ns < GG_RING_SHRINK_NS)
    return;
  log->busy_ns = mono_ns;
  if (atomic_load_explicit(&log->rings_alive, memory_order_relaxed) < GG_RINGS_ALIVE_MAX)
    request_ring(log, log->initial_bytes);
}

/* How long what is committed may wait now. */
static uint64_t patience_ns(const struct gg_log *log)
{
  uint64_t interval_ns = log->recorder->options.flush_interval_ns;
  return log->hasty && interval_ns > GG_LOG_HASTE_NS ? GG_LOG_HASTE_NS : interval_ns;
}

uint64_t gg_log_tick(struct gg_log *log, uint64_t mono_ns)
{
  const struct gg_recorder_options *options = &log->recorder->options;
  adopt_ring(log);
  rotate_if_asked(log);
  check_wall_clock(log, mono_ns);
  if (log->segment_open && options->segment_max_age_ns && mono_ns > log->segment_begun_ns &&
      mono_ns - log->segment_begun_ns >= options->segment_max_age_ns)
    end_segment(log);
  bool untold = log->tail != log->sealed_to || (log->segment_open && (log->counts_untold || log->clock_step_ns));
  if (untold && log->unsealed_since_ns == 0)
    log->unsealed_since_ns = mono_ns;
  if (untold && mono_ns - log->unsealed_since_ns >= patience_ns(log)) {
    gg__log_seal(log);
    log->unsealed_since_ns = 0; /* also where there was no room for a note alone: in another interval then */
  }
  uint64_t want = atomic_load_explicit(&log->want_durable, memory_order_relaxed);
  if (want != UINT64_MAX && want > log->sealed_to)
    gg__log_seal(log); /* one commit of the group: what all sessions of this iteration added */
  publish_watermark(log, mono_ns);
  keep_asking(log);
  consider_shrinking(log, mono_ns);
  gg__gauge(log->recorder, log->shard, GG__METRIC_FILL, fill(log));
  gg__gauge(log->recorder, log->shard, GG__METRIC_RING, log->mask + 1);
  uint64_t next = mono_ns + options->flush_interval_ns;
  if (log->unsealed_since_ns && log->unsealed_since_ns + patience_ns(log) < next)
    next = log->unsealed_since_ns + patience_ns(log);
  return next > mono_ns ? next : mono_ns + 1;
}

void gg_log_flush(struct gg_log *log)
{
  gg__log_seal(log);
}

void gg_log_hasten(struct gg_log *log)
{
  log->hasty = true;
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

bool gg__log_finish_step(struct gg_log *log)
{
  set_limits(log);
  if (!log->segment_open && log->counts_untold)
    (void)fits(log, 0, GG_LOG_CONTROL);
  gg__log_seal(log);
  if (log->tail != log->sealed_to || log->counts_untold)
    return false;
  end_segment(log);
  return true;
}

void gg_log_finish(struct gg_log *log)
{
  if (log->finished)
    return;
  log->finished = true;
  gg__log_seal(log);
  atomic_store(&log->rotated_segment, log->segment_number); /* the writer ends it: that is as good as a rotation */
  atomic_store(&log->rotations, UINT64_MAX);
  atomic_store_explicit(&log->handed_over, true, memory_order_release);
  gg__bell_ring(&log->recorder->writer_bell);
}

/* ── Durability and wakes ────────────────────────────────────────────────────────────────────────────────────────── */

uint64_t gg_log_committed(const struct gg_log *log)
{
  return log->tail;
}

uint64_t gg_log_durable(const struct gg_log *log)
{
  return atomic_load_explicit(&log->durable, memory_order_acquire);
}

void gg_log_want_durable(struct gg_log *log, uint64_t position)
{
  atomic_store(&log->want_durable, position);
  if (atomic_load(&log->durable) >= position && atomic_exchange(&log->want_durable, UINT64_MAX) != UINT64_MAX &&
      log->wake)
    log->wake(log->wake_context);
}

void gg__log_wake_if_room(struct gg_log *log)
{
  uint64_t at = atomic_load(&log->wake_at);
  if (at == UINT64_MAX || atomic_load(&log->written) < at)
    return;
  if (atomic_compare_exchange_strong(&log->wake_at, &at, UINT64_MAX))
    gg__log_wake(log);
}
