/* SPDX-License-Identifier: Apache-2.0 */
/**
 * decoding.h - the inside of a decoding: what its files share.
 *
 *     push ──► identify.c    which decoder, from the first bytes of either side
 *          ──► window.c      what the decoder has not taken yet, and when each byte of it came
 *          ──► the decoder   takes elements, and tells by the host's table:
 *                draft.c     messages that have begun, their fields, numbers and times
 *
 * decoding.c goes through a side's bytes, makes one decoder out of another, and ends it. Whatever goes wrong ends in
 * gg__decoding_opaque: after that nobody is called but to be closed. A sink is called with nothing half done, so what
 * it sees is whole; it may not call the decoding.
 */
#ifndef GG_PROTO_DECODING_H
#define GG_PROTO_DECODING_H

#include <gogetway/decoder.h>

/* ── Windows ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* From `offset` on, bytes came at `time_ns`. */
struct gg__mark_of_time {
  uint64_t offset, time_ns;
};

/* What a side has said and nobody has taken. While the decoder keeps up nothing is copied here: `length` is 0. */
struct gg__window {
  uint8_t *data;
  size_t length, capacity;
  uint64_t offset; /* of the first byte in `data`, or of the next that comes */
  size_t seen;     /* bytes of it that the decoder has looked at and left */
  struct gg__mark_of_time *times;
  size_t time_count, time_capacity;
  bool held;  /* until the other side has said something */
  bool ended; /* nothing follows */
  bool opaque;
  bool encrypted; /* told as opaque, but the decoder goes on */
};

/* ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_draft {
  struct gg_message message;
  struct gg_draft *next, *previous; /* of those that have begun, by number; of the others, `next` */
  struct gg_field *fields;
  size_t field_capacity;
  char *text; /* keys and values, one behind the other */
  size_t text_length, text_capacity;
  bool head_told;
  bool is_cut; /* nothing is told of it any more, but its decoder may have it still */
  char summary[GG_MESSAGE_SUMMARY_MAX];
};

/* Memory that a decoder has asked for. */
struct gg__piece {
  struct gg__piece *next, *previous;
  size_t bytes;
  _Alignas(16) unsigned char memory[];
};

enum {
  GG__SPARE_DRAFTS = 4,
  GG__TIMES_KEPT = 16, /* of bytes that were taken, for messages that end there */
  GG__MORE_DECODERS_MAX = 128,
  GG__CANDIDATES_MAX = 64,    /* these and the built-in ones */
  GG__BECOMES_MAX = 16,       /* of one session */
  GG__BECOME_TEXT_MAX = 1024, /* bytes of what the next one has to know, with the NUL */
};

struct gg_decoding {
  struct gg_decoding_base base;
  struct gg_message_sink sink;
  const struct gg_decoder *more[GG__MORE_DECODERS_MAX];
  size_t more_count;
  size_t memory_max, memory;

  struct gg__window windows[2];
  uint64_t now_ns; /* of what is being pushed */

  const struct gg_decoder *decoder; /* NULL: not told yet, or opaque */
  void *state;
  const struct gg_decoder *named; /* no other is asked */
  bool framed;                    /* that is the one for framings; its text is `becoming_text` */
  bool beginning_missing;
  bool over;                   /* opaque on both sides, or finished */
  bool in_decoder;             /* one of its callbacks is under way: it must not be closed yet */
  struct gg__opening *opening; /* what came while it was not told; NULL: nothing */
  bool spoke;
  enum gg_side spoke_first, speaks;
  bool out[GG__CANDIDATES_MAX]; /* who has said of these bytes, or fewer, that they are not its own */
  struct gg_become becoming;    /* what it becomes when its `push` returns */
  bool is_becoming;
  char becoming_text[GG__BECOME_TEXT_MAX];
  unsigned becomes;

  struct gg_draft *first, *last; /* that have begun */
  size_t draft_count;
  struct gg_draft *spare;
  size_t spare_count;
  struct gg_draft *cut; /* until their decoder is closed */
  uint64_t numbers;
  struct gg_message nobodys; /* what a decoder writes to that was refused a message */
  struct gg__piece *pieces;
};

/* ── decoding.c ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Nothing is decoded any more, of that side alone or of both. */
void gg__decoding_opaque(struct gg_decoding *decoding, const struct gg_opaque *opaque, bool side_only);
/* Memory was refused, or is at its limit. */
void gg__decoding_refused(struct gg_decoding *decoding, const char *text);
/* realloc, counted; NULL: refused. `before`: what it had. Nothing is told. */
void *gg__decoding_resize(struct gg_decoding *decoding, void *memory, size_t before, size_t bytes);

/* ── draft.c ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_draft *gg__draft_begin(struct gg_decoding *decoding, enum gg_side side, unsigned kind, uint64_t offset);
struct gg_message *gg__draft_message(struct gg_decoding *decoding, struct gg_draft *draft);
void gg__draft_field(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_field *field);
void gg__draft_summary(struct gg_decoding *decoding, struct gg_draft *draft, const char *format, ...) GG_PRINTF(3, 4);
void gg__draft_summary_bytes(struct gg_decoding *decoding, struct gg_draft *draft, const void *bytes, size_t length);
void gg__draft_head(struct gg_decoding *decoding, struct gg_draft *draft);
void gg__draft_body(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_body *body);
void gg__draft_end(struct gg_decoding *decoding, struct gg_draft *draft, uint64_t end_offset);
/* All that have begun on a side (2: on both) end as cut, in order, where the side does. */
void gg__drafts_cut(struct gg_decoding *decoding, unsigned side, const uint64_t ends[2]);
/* Those that were cut: their decoder is gone. */
void gg__drafts_free_cut(struct gg_decoding *decoding);
void gg__drafts_free(struct gg_decoding *decoding);

/* ── window.c ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* When a byte of a side came that is in its window, or has just been pushed; of older ones, while they are known. */
uint64_t gg__window_time(const struct gg__window *window, uint64_t offset);
/* Bytes come at `time_ns`, behind what is there. Older times are forgotten here, not when bytes are taken: so what is
 * known of them does not depend on how those were cut. */
bool gg__window_mark(struct gg_decoding *decoding, struct gg__window *window, uint64_t offset, uint64_t time_ns);
/* Adds bytes behind those that are kept. False: memory was refused. */
bool gg__window_keep(struct gg_decoding *decoding, struct gg__window *window, const uint8_t *data, size_t length);
/* `length` bytes from the beginning have been taken. */
void gg__window_take(struct gg__window *window, size_t length);
void gg__window_free(struct gg_decoding *decoding, struct gg__window *window);

/* ── identify.c ──────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The first bytes of both sides, and in which order they came. */
enum { GG__STEPS_MAX = 2 * GG_IDENTIFY_MAX };
struct gg__opening {
  uint8_t data[2][GG_IDENTIFY_MAX];
  size_t length[2];
  struct gg__step {
    uint64_t time_ns;
    uint16_t length;
    uint8_t side;
  } steps[GG__STEPS_MAX];
  size_t step_count;
};

enum gg__identified { GG__IDENTIFY_MORE, GG__IDENTIFY_TOLD, GG__IDENTIFY_UNKNOWN };

/* `last`: no more bytes will come, or the decision cannot wait. */
enum gg__identified gg__identify(struct gg_decoding *decoding, const struct gg_opening *opening, bool last,
                                 const struct gg_decoder **out);
/* Half a sentence about bytes of no known protocol: "text", "binary, 7.9 bits of entropy a byte, begins 16 03 ...". */
void gg__identify_describe(const struct gg_opening *opening, char *text, size_t size);

#endif
