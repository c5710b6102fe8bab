/* SPDX-License-Identifier: Apache-2.0 */
/**
 * fake_catalogue.h - a catalogue in memory, in the place of that in a database (by --wrap): what is committed, what is
 * in the batch that is open, and failures on demand.
 */
#ifndef GG_TESTS_FAKE_CATALOGUE_H
#define GG_TESTS_FAKE_CATALOGUE_H

#include "store/catalogue.h"
#include "store/marks.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_SESSIONS_MAX = 512, FAKE_PARTS_MAX = 16, FAKE_SEGMENTS_MAX = 64, FAKE_TEXT_MAX = 64 };

struct fake_part {
  struct gg__part part; /* its texts are below */
  char segment[128];
  char text[GG__TEXTS][FAKE_TEXT_MAX];
};

struct fake_session {
  struct gg_session session; /* no texts but `close` and `listener` */
  char close[FAKE_TEXT_MAX], listener[FAKE_TEXT_MAX], upstream[FAKE_TEXT_MAX];
  unsigned part_count;
  struct fake_part parts[FAKE_PARTS_MAX];
};

struct fake_tables {
  struct gg__catalogue_segment segments[FAKE_SEGMENTS_MAX];
  size_t segment_count;
  struct fake_session *sessions[FAKE_SESSIONS_MAX];
  size_t session_count;
};

static struct {
  struct fake_tables now, committed;
  bool batch;
  unsigned puts, commits, forgotten;
  int fail_put; /* that many puts from now; 0: none */
} fake;

static inline void fake_copy(struct fake_tables *to, const struct fake_tables *from)
{
  for (size_t i = 0; i < to->session_count; i++)
    free(to->sessions[i]);
  *to = *from;
  for (size_t i = 0; i < to->session_count; i++) {
    to->sessions[i] = malloc(sizeof *to->sessions[i]);
    assert(to->sessions[i]);
    *to->sessions[i] = *from->sessions[i];
  }
}

static inline struct fake_session *fake_find(const char *id)
{
  for (size_t i = 0; i < fake.now.session_count; i++)
    if (strcmp(fake.now.sessions[i]->session.id, id) == 0)
      return fake.now.sessions[i];
  return NULL;
}

static inline struct gg__catalogue_segment *fake_segment(const char *name)
{
  for (size_t i = 0; i < fake.now.segment_count; i++)
    if (strcmp(fake.now.segments[i].name, name) == 0)
      return &fake.now.segments[i];
  return NULL;
}

/* A process that was killed: what was not committed is gone. */
static inline void fake_kill(void)
{
  fake_copy(&fake.now, &fake.committed);
  fake.batch = false;
}

static inline void fake_empty(void)
{
  static const struct fake_tables none;
  fake_copy(&fake.now, &none);
  fake_copy(&fake.committed, &none);
  memset(&fake, 0, sizeof fake);
}

int __wrap_gg__catalogue_begin(struct gg__catalogue *catalogue, struct gg_failure *failure);
int __wrap_gg__catalogue_begin(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  assert(!fake.batch);
  fake.batch = true;
  return 0;
}

int __wrap_gg__catalogue_commit(struct gg__catalogue *catalogue, struct gg_failure *failure);
int __wrap_gg__catalogue_commit(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  assert(fake.batch);
  fake.batch = false;
  fake.commits++;
  fake_copy(&fake.committed, &fake.now);
  return 0;
}

int __wrap_gg__catalogue_put_segment(struct gg__catalogue *catalogue, const struct gg__catalogue_segment *segment,
                                     struct gg_failure *failure);
int __wrap_gg__catalogue_put_segment(struct gg__catalogue *catalogue, const struct gg__catalogue_segment *segment,
                                     struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  assert(fake.batch);
  struct gg__catalogue_segment *known = fake_segment(segment->name);
  if (!known) {
    assert(fake.now.segment_count < FAKE_SEGMENTS_MAX);
    known = &fake.now.segments[fake.now.segment_count++];
  }
  *known = *segment;
  return 0;
}

static inline const char **fake_texts(struct gg__part *part, size_t index)
{
  const char **const texts[] = {&part->client,      &part->server,  &part->listener,   &part->upstream,
                                &part->server_path, &part->close,   &part->why,        &part->original,
                                &part->as_sent_of,  &part->verdict, &part->verdict_by, &part->tags};
  static_assert(sizeof texts / sizeof texts[0] <= GG__TEXTS, "every text is one of them");
  return index < sizeof texts / sizeof texts[0] ? texts[index] : NULL;
}

int __wrap_gg__catalogue_put(struct gg__catalogue *catalogue, const struct gg__record *record,
                             struct gg_failure *failure);
int __wrap_gg__catalogue_put(struct gg__catalogue *catalogue, const struct gg__record *record,
                             struct gg_failure *failure)
{
  (void)catalogue;
  assert(fake.batch);
  fake.puts++;
  if (fake.fail_put && --fake.fail_put == 0)
    return gg_fail(failure, GG_ERR_IO, "cannot write the catalogue");
  struct fake_session *session = fake_find(record->session.id);
  if (!session) {
    assert(fake.now.session_count < FAKE_SESSIONS_MAX);
    session = fake.now.sessions[fake.now.session_count++] = calloc(1, sizeof *session);
    assert(session);
  }
  session->session = record->session;
  session->part_count = 0;
  snprintf(session->close, sizeof session->close, "%s", record->session.close);
  snprintf(session->listener, sizeof session->listener, "%s", record->session.listener);
  snprintf(session->upstream, sizeof session->upstream, "%s", record->session.upstream);
  for (const struct gg__part *part = record->parts; part; part = part->next_of_session) {
    assert(session->part_count < FAKE_PARTS_MAX && fake_segment(part->capture->name));
    struct fake_part *kept = &session->parts[session->part_count++];
    kept->part = *part;
    kept->part.extents = NULL;
    kept->part.extent_count = 0;
    snprintf(kept->segment, sizeof kept->segment, "%s", part->capture->name);
    for (size_t i = 0; fake_texts(&kept->part, i); i++)
      snprintf(kept->text[i], FAKE_TEXT_MAX, "%s", *fake_texts(&kept->part, i));
  }
  return 0;
}

struct fake_record {
  struct gg__record record;
  struct gg__part parts[FAKE_PARTS_MAX];
  struct gg__capture captures[FAKE_PARTS_MAX];
  struct fake_session copy;
};

int __wrap_gg__catalogue_get(struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
                             struct gg_failure *failure);
int __wrap_gg__catalogue_get(struct gg__catalogue *catalogue, const char *id, struct gg__record **out,
                             struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  const struct fake_session *session = fake_find(id);
  *out = NULL;
  if (!session)
    return 0;
  struct fake_record *made = calloc(1, sizeof *made);
  assert(made);
  made->copy = *session;
  made->record.session = session->session;
  made->record.session.close = made->copy.close;
  made->record.session.listener = made->copy.listener;
  made->record.session.upstream = made->copy.upstream;
  struct gg__part **last = &made->record.parts;
  for (unsigned i = 0; i < session->part_count; i++) {
    made->parts[i] = made->copy.parts[i].part;
    memset(made->parts[i].stream, 0, sizeof made->parts[i].stream);
    made->parts[i].next_of_session = NULL;
    made->parts[i].capture = &made->captures[i];
    made->captures[i].name = made->copy.parts[i].segment;
    made->captures[i].own = true;
    for (size_t at = 0; fake_texts(&made->parts[i], at); at++)
      *fake_texts(&made->parts[i], at) = made->copy.parts[i].text[at];
    *last = &made->parts[i];
    last = &made->parts[i].next_of_session;
  }
  *out = &made->record;
  return 0;
}

void __wrap_gg__record_free(struct gg__record *record);
void __wrap_gg__record_free(struct gg__record *record)
{
  free(record);
}

int __wrap_gg__catalogue_forget_segment(struct gg__catalogue *catalogue, const char *name, struct gg_failure *failure);
int __wrap_gg__catalogue_forget_segment(struct gg__catalogue *catalogue, const char *name, struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  assert(fake.batch);
  fake.forgotten++;
  struct gg__catalogue_segment *known = fake_segment(name);
  if (known)
    *known = fake.now.segments[--fake.now.segment_count];
  size_t kept = 0;
  for (size_t i = 0; i < fake.now.session_count; i++) {
    struct fake_session *session = fake.now.sessions[i];
    unsigned parts = 0;
    for (unsigned at = 0; at < session->part_count; at++)
      if (strcmp(session->parts[at].segment, name) != 0)
        session->parts[parts++] = session->parts[at];
    session->part_count = parts;
    if (parts)
      fake.now.sessions[kept++] = session;
    else
      free(session);
  }
  fake.now.session_count = kept;
  return 0;
}

/* There is no journal. */
int __wrap_gg__catalogue_journal(struct gg__catalogue *catalogue, struct gg__marks_position *position, bool *noted,
                                 struct gg_failure *failure);
int __wrap_gg__catalogue_journal(struct gg__catalogue *catalogue, struct gg__marks_position *position, bool *noted,
                                 struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  *position = (struct gg__marks_position){0};
  *noted = true;
  return 0;
}

int __wrap_gg__catalogue_note_damage(struct gg__catalogue *catalogue, struct gg_failure *failure);
int __wrap_gg__catalogue_note_damage(struct gg__catalogue *catalogue, struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  return 0;
}

int __wrap_gg__catalogue_segments(struct gg__catalogue *catalogue,
                                  int (*visit)(void *context, const struct gg__catalogue_segment *segment),
                                  void *context, struct gg_failure *failure);
int __wrap_gg__catalogue_segments(struct gg__catalogue *catalogue,
                                  int (*visit)(void *context, const struct gg__catalogue_segment *segment),
                                  void *context, struct gg_failure *failure)
{
  (void)catalogue, (void)failure;
  int result = 0;
  for (size_t i = 0; i < fake.now.segment_count && result == 0; i++)
    result = visit(context, &fake.now.segments[i]);
  return result;
}

#endif
