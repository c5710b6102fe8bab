/* SPDX-License-Identifier: Apache-2.0 */
/**
 * decoder.h - messages out of bytes: what decoders tell of a session, how one is decoded, and how a decoder is written.
 *
 * A decoder looks at the two streams of one session, recorded or live, and tells where in them which message stands:
 *
 *     struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
 *     struct gg_decoding *decoding = NULL;
 *     sink.end = on_message;
 *     if (gg_decoding_create(&decoding, NULL, &sink, &failure) == 0) {
 *       gg_decoding_push(decoding, GG_SIDE_CLIENT, 0, time_ns, "GET / HTTP/1.0\r\n\r\n", 18);
 *       ...
 *       gg_decoding_finish(decoding, time_ns);
 *     }
 *     gg_decoding_destroy(decoding);
 *
 * A decoder is passive. It has no socket, thread or file, and changes nothing: one that does not understand its session
 * says from where on (`opaque`), and that is all that happens. What it tells does not depend on how the bytes of a side
 * were cut when they were pushed.
 *
 *     bytes ──► identification ──► decoder ──► message: head ──► body, in pieces ──► end
 *               (first bytes of      │
 *                either side)        └──► becomes another one (an upgrade, what a PROXY header or SOCKS carries)
 *
 * Memory is bounded for each session, whatever is in it: bodies are not kept but told as they pass, an element that has
 * to be seen as a whole (a frame's head, a line) has at most GG_DECODING_WINDOW_MAX bytes, and fields have limits. What
 * was cut says so.
 *
 * Contracts that hold for all functions here:
 *   - They return 0 or a negative enum gg_error where they can fail.
 *   - Times are nanoseconds since 1970 UTC; offsets are bytes in the stream of one side, missing ones counted.
 *   - Thread: a decoding belongs to one thread at a time; sinks are called on it, from within push, gap, end and
 *     finish, and what they are given lives until they return.
 */
#ifndef GOGETWAY_DECODER_H
#define GOGETWAY_DECODER_H

#include <gogetway/error.h>
#include <gogetway/side.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  GG_DECODING_WINDOW_MAX = 1 << 16, /* bytes of an element that a decoder has to see as a whole */
  GG_IDENTIFY_MAX = 512,            /* bytes of a side by which a protocol is told */
  GG_MESSAGE_FIELDS_MAX = 1024,     /* fields of a message ... */
  GG_MESSAGE_TEXT_MAX = 1 << 16,    /* ... and bytes of them all */
  GG_MESSAGE_SUMMARY_MAX = 256,     /* bytes, with the NUL */
  GG_DRAFTS_MAX = 4096,             /* messages of a session that have begun and not ended: a thousand streams of
                                     * HTTP/2 that idle both ways, each with a message of gRPC in the middle */
  GG_DECODING_MEMORY_MAX = 16 << 20 /* bytes of a session, unless its options say otherwise */
};

/* ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_field_kind {
  GG_FIELD_TEXT,   /* bytes as they came: they may be anything, and are made safe before they are shown */
  GG_FIELD_NUMBER, /* `number`; there is no text */
};

/* A field that a decoder finds in messages. `name` is what filters call it: "http.status". A table of them ends with a
 * NULL name. */
struct gg_decoder_field {
  const char *name;
  enum gg_field_kind kind;
  bool fact;           /* the catalogue keeps it of each session, so that sessions are found by it */
  const char *help;    /* half a sentence */
  const char *example; /* a bare word of a filter; NULL if it is no fact */
};

/* One value of a field in one message. */
struct gg_field {
  const struct gg_decoder_field *of;
  const char *key; /* of a header, an option, a parameter: its own name, as it came; NULL: it has none. Not NUL-ended */
  size_t key_length;
  const uint8_t *value; /* of a text */
  size_t length;
  uint64_t number;     /* of a number */
  bool secret;         /* a credential: masked wherever it is shown, unless somebody asks for secrets */
  bool cut;            /* the value is longer; these are its first bytes */
  uint64_t raw_offset; /* where it stands in the stream of the message's side, in whatever coding ... */
  uint64_t raw_length; /* ... so many bytes; 0: nowhere by itself (compressed headers). If `cut`, as many as were
                        * announced: of a message that was cut, perhaps not all of them have come */
};

enum gg_message_flag {
  GG_MESSAGE_REQUEST = 1 << 0,     /* it is to be answered */
  GG_MESSAGE_COMPLETES = 1 << 1,   /* with it, the answer to `answers` is complete: nothing more follows for that one */
  GG_MESSAGE_UNSOLICITED = 1 << 2, /* of a side that answers, and it answers nothing */
  GG_MESSAGE_CUT = 1 << 3,         /* the session ended, or was not understood any more, before the message's end */
  GG_MESSAGE_GAP = 1 << 4,         /* bytes of it are missing in the recording */
  GG_MESSAGE_FIELDS_CUT =
    1 << 5,                    /* it has more fields than GG_MESSAGE_FIELDS_MAX or GG_MESSAGE_TEXT_MAX leave room for */
  GG_MESSAGE_ODD = 1 << 6,     /* not as its specification has it; a field of the decoder says what is odd */
  GG_MESSAGE_CONTROL = 1 << 7, /* of the protocol's own running (settings, pings, negotiation), not of its users */
};

/* A message. The same object comes with `head`, `body` and `end`; what is not known yet is 0. */
struct gg_message {
  uint64_t number;      /* from 1, in the order in which messages begin in the session */
  uint64_t answers;     /* number of the message that this one answers; 0: none */
  const char *decoder;  /* name of who tells it: "http1" */
  const char *protocol; /* what the session's protocol is called then: "http" */
  const char *kind;     /* "request", "response", "frame", ...; of the decoder's list */
  enum gg_side side;
  uint32_t flags;    /* enum gg_message_flag; all of them are known at the end */
  uint64_t stream;   /* of a protocol that has streams within a session; else 0 */
  uint64_t offset;   /* of its first byte */
  uint64_t length;   /* to behind its last one; between them bytes of other streams' messages may stand. At the end */
  uint64_t first_ns; /* time of its first byte */
  uint64_t last_ns;  /* and of its last one; at the end */
  uint64_t body_length; /* bytes of its body so far, as `body` has told them, without framing */
  const struct gg_field *fields;
  size_t field_count;
  const char *summary; /* one line for people, UTF-8 and safe to print, with credentials masked; "" before the head */
};

/* A piece of a body: `length` bytes without framing, masks and compression of the protocol's own (not of content: that
 * is what gg_content_create of content.h undoes), which were made of the `raw_length` bytes at `raw_offset` of the
 * side's stream. Of some bytes nothing is made: `length` is 0 then. */
struct gg_body {
  const uint8_t *data;
  size_t length;
  uint64_t raw_offset;
  uint64_t raw_length;
};

enum gg_opaque_why {
  GG_OPAQUE_ENCRYPTED, /* as the protocol has it: there is nothing to be understood without keys */
  GG_OPAQUE_UNKNOWN,   /* of no protocol that is known here */
  GG_OPAQUE_FAILED,    /* not as the protocol has it */
  GG_OPAQUE_GAP,       /* bytes are missing, and where the next message begins cannot be told */
  GG_OPAQUE_LIMIT,     /* it would take more memory than it may */
  GG_OPAQUE_CUT,       /* the side has ended in the middle of what would be a message */
};
GG_API const char *gg_opaque_why_text(enum gg_opaque_why why); /* "encrypted", "unknown", ...; static */

/* From `offset` on, bytes of `side` are not decoded. Told at most once of each side. Of an encrypted one, messages may
 * follow that say what is seen without keys: sizes and times. */
struct gg_opaque {
  enum gg_opaque_why why;
  enum gg_side side;
  uint64_t offset;
  const char *text; /* what was the matter, half a sentence, safe to print */
};

struct gg_decoder;

/* Who is told. Any operation may be NULL. */
struct gg_message_sink {
  size_t size;
  void *context;
  /* The session is understood as of this decoder from these offsets on, by enum gg_side: at first, and when it has
   * become something else. */
  void (*protocol)(void *context, const struct gg_decoder *decoder, const uint64_t offset[2]);
  void (*head)(void *context, const struct gg_message *message); /* once, before its body and end */
  void (*body)(void *context, const struct gg_message *message, const struct gg_body *body);
  void (*end)(void *context, const struct gg_message *message); /* once */
  void (*opaque)(void *context, const struct gg_opaque *opaque);
};
#ifdef __cplusplus
inline struct gg_message_sink gg_message_sink_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_message_sink sink = gg_message_sink();
  sink.size = sizeof sink;
  return sink;
}
#define GG_MESSAGE_SINK_INIT gg_message_sink_init()
#else
#define GG_MESSAGE_SINK_INIT                                                                                           \
  {                                                                                                                    \
    .size = sizeof(struct gg_message_sink)                                                                             \
  }
#endif

/* The value of a message's first field of that name, or with that key too (any case); NULL: there is none. */
GG_API const struct gg_field *gg_message_field(const struct gg_message *message, const char *name, const char *key);

/* Puts '*' in the place of each letter of what looks like a credential in text of any kind (docs/messages.md says what
 * does): a field that is none as a whole may have one in it. Summaries have been through it. */
GG_API void gg_text_mask(char *text, size_t length);

/* What is told, as one JSON object without newline (docs/messages.md has the schema). Numbers are exact integers, times
 * text of nanoseconds in UTC; bytes that are no UTF-8 come in Base64 under another name. Credentials are "****", with
 * "secret":true, unless GG_MESSAGE_JSON_SECRETS is among the flags. Returns its length; 0 if it does not fit:
 * GG_MESSAGE_JSON_MAX is enough for the decoders that are built in, and 4096 bytes are for an opaque. */
enum { GG_MESSAGE_JSON_SECRETS = 1 << 0, GG_MESSAGE_JSON_MAX = 1 << 20 };
GG_API size_t gg_message_json(const struct gg_message *message, uint32_t flags, char *text, size_t size);
GG_API size_t gg_opaque_json(const struct gg_opaque *opaque, char *text, size_t size);

/* ── Decoding a session ──────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_decoding;

struct gg_decoding_options {
  size_t size;
  const char *decoder; /* by name: no other is asked; NULL: it is told from the first bytes */
  size_t memory_max;   /* bytes; 0: GG_DECODING_MEMORY_MAX */
  bool
    beginning_missing; /* what is pushed first is not how the session began: of most protocols, nothing is told then */
  const struct gg_decoder *const
    *more; /* besides those that are built in, and asked before them; outlive the decoding */
  size_t more_count;
  const char *framing; /* how messages are told apart if it is a protocol of one's own (gg_framing_check): the decoder
                        * "framing" has the session then, and no other is asked; copied. NULL: none */
};
#ifdef __cplusplus
inline struct gg_decoding_options gg_decoding_options_init() /* what the macro is in C++ */
{
  struct gg_decoding_options options = gg_decoding_options();
  options.size = sizeof options;
  return options;
}
#define GG_DECODING_OPTIONS_INIT gg_decoding_options_init()
#else
#define GG_DECODING_OPTIONS_INIT                                                                                       \
  {                                                                                                                    \
    .size = sizeof(struct gg_decoding_options)                                                                         \
  }
#endif

/* `options` may be NULL; the sink is copied. GG_ERR_NOT_FOUND: there is no such decoder; GG_ERR_INVALID: one of `more`
 * is not of this version, or not complete, or a size is wrong, or a framing is given to another decoder;
 * GG_ERR_FORMAT: that of the framing; GG_ERR_NOMEM. */
GG_API int gg_decoding_create(struct gg_decoding **out, const struct gg_decoding_options *options,
                              const struct gg_message_sink *sink, struct gg_failure *failure);
GG_API void gg_decoding_destroy(struct gg_decoding *decoding); /* tells nothing any more */

/* `length` bytes of a side, in order of time over both sides. A greater `offset` than where the side's last bytes have
 * ended is a gap; bytes before that are not taken again, and none of a side that has ended. */
GG_API void gg_decoding_push(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t time_ns,
                             const void *data, size_t length);
/* `length` bytes are missing at `offset`. */
GG_API void gg_decoding_gap(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length,
                            uint64_t time_ns);
/* The side has said that nothing follows (its FIN). */
GG_API void gg_decoding_end(struct gg_decoding *decoding, enum gg_side side, uint64_t time_ns);
/* The session is over, or nothing is known of what follows: messages that have begun end as cut. Nothing may be pushed
 * afterwards. */
GG_API void gg_decoding_finish(struct gg_decoding *decoding, uint64_t time_ns);

/* Who decodes now: NULL while it is not told yet, and for unknown protocols. */
GG_API const struct gg_decoder *gg_decoding_decoder(const struct gg_decoding *decoding);
GG_API size_t gg_decoding_memory(const struct gg_decoding *decoding); /* bytes that it has now */
/* Nothing will be told any more, whatever is pushed: both sides are opaque (encrypted ones need not be), or it has been
 * finished. */
GG_API bool gg_decoding_is_over(const struct gg_decoding *decoding);

/* Whether a text says how the messages of a protocol that nobody knows are told apart:
 *
 *     delimiter "\r\n"                  what ends each of them, at most 16 bytes, with C's escapes
 *     fixed 128                          bytes that each of them has
 *     length offset=2 width=2            a field of `width` bytes (1 to 8) behind `offset` others (0) has the length of
 *       endian=big adjust=-4 header=4    what follows it, once `adjust` (0) is added; the first `header` bytes (up to
 *                                        behind the field) are no body
 *     ... requests=client                the other side's next message answers each of this side's; or server, or none
 *
 * GG_ERR_FORMAT: the failure says in which column what else would be right. */
GG_API int gg_framing_check(const char *text, struct gg_failure *failure);

/* The decoders that are built in, in the order in which they are asked; NULL past the last. */
GG_API const struct gg_decoder *gg_decoder_at(size_t index);
GG_API const struct gg_decoder *gg_decoder_find(const char *name); /* NULL: there is none */
/* A decoder with its kinds and fields, as one JSON object without newline. Returns its length; 0 if it does not fit:
 * GG_DECODER_JSON_MAX is enough for those that are built in. */
enum { GG_DECODER_JSON_MAX = 1 << 16 };
GG_API size_t gg_decoder_json(const struct gg_decoder *decoder, char *text, size_t size);

/* What the catalogue keeps of every session that was decoded, whatever its protocol: a table as decoders have it. */
GG_API const struct gg_decoder_field *gg_decoder_common_fields(void);

/* ── Writing a decoder ───────────────────────────────────────────────────────────────────────────────────────────── */

/* A decoder is a table of operations and a state of its own for each session. It is built in, of a plug-in, or given to
 * gg_decoding_create; all are the same. docs/decoders.md is the recipe. */

#define GG_DECODER_ABI 1

/* How sure identification is. */
enum gg_likeness {
  GG_LIKENESS_NONE,    /* it is not that, whatever follows of the side that speaks: that is not asked any more */
  GG_LIKENESS_OPEN,    /* it may be: more bytes will tell */
  GG_LIKENESS_LIKELY,  /* it is, if nobody is certain of something else */
  GG_LIKENESS_CERTAIN, /* by a magic number, or as good as that */
};

/* How a session begins: the first bytes of each side, at most GG_IDENTIFY_MAX. */
struct gg_opening {
  const uint8_t *data[2];
  size_t length[2];
  bool ended[2];      /* nothing follows */
  bool spoke_first;   /* `first` is known */
  enum gg_side first; /* who has spoken first */
};

/* What a side has said and the decoder has not taken yet. */
struct gg_window {
  enum gg_side side;
  uint64_t offset; /* of the first byte */
  const uint8_t *data;
  size_t length; /* at least 1 */
  size_t seen;   /* so many of them the decoder has had before, and left: they need not be searched again */
  bool last;     /* nothing follows: what is not taken now never will be */
};

/* How a decoder came to be asked, when another one has become this. */
struct gg_become {
  const char *decoder; /* by name; NULL: to be told from what follows */
  const char *text;    /* what the new one has to know (a list of extensions); may be NULL */
  uint64_t answers;    /* number of a message that the new one answers first; 0: none */
};

struct gg_draft; /* a message that has begun */

/* What a decoder tells with: see the functions below, which call these. */
struct gg_decoding_host {
  size_t size;
  struct gg_draft *(*begin)(struct gg_decoding *decoding, enum gg_side side, unsigned kind, uint64_t offset);
  struct gg_message *(*message)(struct gg_decoding *decoding, struct gg_draft *draft);
  void (*text)(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_field *field);
  void (*summary)(struct gg_decoding *decoding, struct gg_draft *draft, const char *format, ...) GG_PRINTF(3, 4);
  void (*head)(struct gg_decoding *decoding, struct gg_draft *draft);
  void (*body)(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_body *body);
  void (*end)(struct gg_decoding *decoding, struct gg_draft *draft, uint64_t end_offset);
  void (*opaque)(struct gg_decoding *decoding, const struct gg_opaque *opaque, bool side_only);
  void (*become)(struct gg_decoding *decoding, const struct gg_become *become);
  void (*hold)(struct gg_decoding *decoding, enum gg_side side);
  void *(*alloc)(struct gg_decoding *decoding, void *memory, size_t bytes);
  bool (*stopped)(const struct gg_decoding *decoding, enum gg_side side);
  void (*encrypted)(struct gg_decoding *decoding, enum gg_side side, uint64_t offset, const char *text);
  uint64_t (*time)(const struct gg_decoding *decoding, enum gg_side side, uint64_t offset);
  void (*summary_bytes)(struct gg_decoding *decoding, struct gg_draft *draft, const void *bytes, size_t length);
};

struct gg_decoder {
  uint32_t abi;             /* GG_DECODER_ABI */
  uint32_t size;            /* sizeof(struct gg_decoder) */
  const char *name;         /* [a-z][a-z0-9]*: "http1" */
  const char *protocol;     /* what sessions of it are called: "http" */
  const char *title;        /* one line, with the specification */
  bool envelope;            /* it carries another protocol: a session is called after that one, if it is known */
  const char *const *kinds; /* of messages; ends with NULL */
  const struct gg_decoder_field *fields; /* ends with a NULL name */
  size_t state_bytes;                    /* of its state: zeroed memory */
  /* By the first bytes, whatever the port; asked after each of them. Pure. NULL: it is never told, only named or
   * become. */
  enum gg_likeness (*identify)(const struct gg_opening *opening);
  /* Before anything else; `became` NULL: the session begins with it. May be NULL. */
  void (*open)(void *state, struct gg_decoding *decoding, const struct gg_become *became);
  /* Takes one element or several of the window, and returns how many bytes that were. Is called again with what is left
   * if it took some; 0: more bytes are needed (or the other side's, after gg_decoded_hold). A window of
   * GG_DECODING_WINDOW_MAX bytes of which nothing is taken ends the decoding. */
  size_t (*push)(void *state, struct gg_decoding *decoding, const struct gg_window *window);
  /* `length` bytes are missing at `offset`; what was left in the window is gone. True: it goes on behind them. NULL, or
   * false: it cannot tell where the next message begins. */
  bool (*gap)(void *state, struct gg_decoding *decoding, enum gg_side side, uint64_t offset, uint64_t length);
  /* Nothing follows of this side: it has said so (`orderly`), or the session is over. All of its bytes have been in a
   * window; `end_offset` is behind the last. May be NULL. */
  void (*end)(void *state, struct gg_decoding *decoding, enum gg_side side, bool orderly, uint64_t end_offset);
  /* Frees what is not the decoding's. May be NULL. */
  void (*close)(void *state, struct gg_decoding *decoding);
};
#define GG_DECODER_HEAD .abi = GG_DECODER_ABI, .size = sizeof(struct gg_decoder)

/* The table of the decoding; it is its first member. */
struct gg_decoding_base {
  const struct gg_decoding_host *host;
};
#ifdef __cplusplus
#define GG_DECODING_HOST(decoding) (reinterpret_cast<const struct gg_decoding_base *>(decoding)->host)
#define GG_FIELD_BYTES(value) (static_cast<const uint8_t *>(value))
#else
#define GG_DECODING_HOST(decoding) (((const struct gg_decoding_base *)(decoding))->host)
#define GG_FIELD_BYTES(value) ((const uint8_t *)(value))
#endif

/* The following are for a decoder's own callbacks. When memory or a limit is refused, the decoding is over: they do
 * nothing any more, `begin` and `alloc` return NULL, and all take a NULL draft. */

/* A message begins at `offset`, of the decoder's kinds[kind]. Its number is the next one. */
static inline struct gg_draft *gg_decoded_begin(struct gg_decoding *decoding, enum gg_side side, unsigned kind,
                                                uint64_t offset)
{
  return GG_DECODING_HOST(decoding)->begin(decoding, side, kind, offset);
}

/* The message, to set `answers`, `stream` and flags of; of a NULL draft, one that nobody will see. */
static inline struct gg_message *gg_decoded_message(struct gg_decoding *decoding, struct gg_draft *draft)
{
  return GG_DECODING_HOST(decoding)->message(decoding, draft);
}

/* Adds a field; its bytes are copied. */
static inline void gg_decoded_field(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_field *field)
{
  GG_DECODING_HOST(decoding)->text(decoding, draft, field);
}
/* A field with nothing in it. */
static inline struct gg_field gg_field_of(const struct gg_decoder_field *of)
{
  struct gg_field field;
  field.of = of;
  field.key = NULL;
  field.key_length = 0;
  field.value = NULL;
  field.length = 0;
  field.number = 0;
  field.secret = false;
  field.cut = false;
  field.raw_offset = 0;
  field.raw_length = 0;
  return field;
}
/* A text that stands at `raw_offset` as it is, and a number. */
static inline void gg_decoded_text(struct gg_decoding *decoding, struct gg_draft *draft,
                                   const struct gg_decoder_field *of, const void *value, size_t length,
                                   uint64_t raw_offset)
{
  struct gg_field field = gg_field_of(of);
  field.value = GG_FIELD_BYTES(value);
  field.length = length;
  field.raw_offset = raw_offset;
  field.raw_length = length;
  gg_decoded_field(decoding, draft, &field);
}
static inline void gg_decoded_number(struct gg_decoding *decoding, struct gg_draft *draft,
                                     const struct gg_decoder_field *of, uint64_t number)
{
  struct gg_field field = gg_field_of(of);
  field.number = number;
  gg_decoded_field(decoding, draft, &field);
}

/* The line for people, as by printf; made safe to print, and cut. Credentials do not belong there. */
#define gg_decoded_summary(decoding, draft, ...) GG_DECODING_HOST(decoding)->summary(decoding, draft, __VA_ARGS__)
/* The same of bytes that may be anything: a NUL, at which printf would end, is shown too. */
static inline void gg_decoded_summary_bytes(struct gg_decoding *decoding, struct gg_draft *draft, const void *bytes,
                                            size_t length)
{
  GG_DECODING_HOST(decoding)->summary_bytes(decoding, draft, bytes, length);
}

/* All fields that stand in front of the body are there. Called by itself before body and end. */
static inline void gg_decoded_head(struct gg_decoding *decoding, struct gg_draft *draft)
{
  GG_DECODING_HOST(decoding)->head(decoding, draft);
}
static inline void gg_decoded_body(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg_body *body)
{
  GG_DECODING_HOST(decoding)->body(decoding, draft, body);
}
/* The message ends before `end_offset`; the draft is gone. */
static inline void gg_decoded_end(struct gg_decoding *decoding, struct gg_draft *draft, uint64_t end_offset)
{
  GG_DECODING_HOST(decoding)->end(decoding, draft, end_offset);
}

/* Nothing is decoded any more from there on, of that side alone or of both; what has begun ends as cut. */
static inline void gg_decoded_opaque(struct gg_decoding *decoding, enum gg_opaque_why why, enum gg_side side,
                                     uint64_t offset, bool side_only, const char *text)
{
  struct gg_opaque opaque;
  opaque.why = why;
  opaque.side = side;
  opaque.offset = offset;
  opaque.text = text;
  GG_DECODING_HOST(decoding)->opaque(decoding, &opaque, side_only);
}

/* What that side says from there on is encrypted. It is told as opaque is, but nothing ends: the decoder is given those
 * bytes, too, for what can be seen without keys. */
static inline void gg_decoded_encrypted(struct gg_decoding *decoding, enum gg_side side, uint64_t offset,
                                        const char *text)
{
  GG_DECODING_HOST(decoding)->encrypted(decoding, side, offset, text);
}

/* When a byte of the window came, or the last one that was taken of that side. */
static inline uint64_t gg_decoded_time(const struct gg_decoding *decoding, enum gg_side side, uint64_t offset)
{
  return GG_DECODING_HOST(decoding)->time(decoding, side, offset);
}

/* What neither side's window has been taken of, when this call of `push` returns, is another decoder's. */
static inline void gg_decoded_become(struct gg_decoding *decoding, const struct gg_become *become)
{
  GG_DECODING_HOST(decoding)->become(decoding, become);
}

/* `push` returns because the meaning of the next bytes depends on what the other side says: it is called again whenever
 * `push` has taken something of that side. The call that has taken what decides it returns behind that, and leaves what
 * else it may have: so the order in which messages are told does not depend on how bytes were cut. */
static inline void gg_decoded_hold(struct gg_decoding *decoding, enum gg_side side)
{
  GG_DECODING_HOST(decoding)->hold(decoding, side);
}

/* Whether nothing more of that side is to be told in this call: one that takes several elements asks behind each. True
 * after it has called `opaque` or `become`, when it was refused something, and while the other side waits for what this
 * one says. */
static inline bool gg_decoded_stopped(const struct gg_decoding *decoding, enum gg_side side)
{
  return GG_DECODING_HOST(decoding)->stopped(decoding, side);
}

/* realloc for a decoder's state: counted, and freed with the decoder if it is not before (bytes 0). */
static inline void *gg_decoded_alloc(struct gg_decoding *decoding, void *memory, size_t bytes)
{
  return GG_DECODING_HOST(decoding)->alloc(decoding, memory, bytes);
}

#ifdef __cplusplus
}
#endif
#endif
