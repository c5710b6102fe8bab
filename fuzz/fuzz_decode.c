/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoders: whatever two sides say, in whatever pieces, with gaps and ends. One program of each decoder is made of this
 * file (DECODER is its name), and one that tells by the first bytes whose the session is (no DECODER).
 *
 * What has to hold: memory stays within its limit; each head has its end; all that is told of lies where bytes have
 * been; a summary is UTF-8 without control characters; and the same is told when the same pieces come in other cuts:
 * byte by byte, or, of long inputs, in steps of any length.
 *
 * Input: a byte of options, then pieces until it ends (seed.py writes them):
 *
 *     side 1 bit | kind 2 bits | length 5 bits (31: two bytes of length follow, the lower one first)
 *
 *     DATA    length + 1 bytes follow
 *     REPEAT  a byte of times follows, then length + 1 bytes, which are said so often and once more
 *     GAP     length + 1 bytes are missing; of a length in two bytes, that many << 32
 *     END     nothing follows of that side
 */
#include "../tests/unit/transcript.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef DECODER
static const char *const name = DECODER;
#else
static const char *const name = NULL;
#endif

enum { DATA, REPEAT, GAP, END };
enum { BEGINNING_MISSING = 1, LITTLE_MEMORY = 2, FRAMING_SHIFT = 2 };

/* The decoder "framing" has one of these, by the other bits of the options. */
static const char *const framings[] = {
  "delimiter \"\\r\\n\"",
  "delimiter \"aab\" requests=server",
  "fixed 7",
  "fixed 1 requests=none",
  "length width=2 requests=server",
  "length offset=2 width=2 endian=little adjust=-4 header=0",
  "length offset=1 width=8 header=40",
  "length width=1 adjust=3 header=2 requests=none",
};
enum {
  PIECES_MAX = 256,
  BYTES_MAX = 200 << 10,    /* that are said in all */
  BY_BYTES_MAX = 4 << 10,   /* up to here byte by byte */
  LITTLE_BYTES = 256 << 10, /* what a decoder may have then */
};

static void require(bool holds, const char *what)
{
  if (holds)
    return;
  fprintf(stderr, "decode: %s\n", what);
  abort();
}

/* ── What is said ────────────────────────────────────────────────────────────────────────────────────────────────── */

struct said {
  enum gg_side side;
  unsigned kind; /* DATA, GAP, END */
  size_t at;     /* of data, in `bytes` */
  uint64_t length;
};

struct script {
  unsigned options;
  struct said pieces[PIECES_MAX];
  size_t count, used;
  uint8_t bytes[BYTES_MAX];
};

struct input {
  const uint8_t *at;
  size_t left;
};

static unsigned take(struct input *input)
{
  if (input->left == 0)
    return 0;
  input->left--;
  return *input->at++;
}

static void take_data(struct script *script, struct said *said, struct input *input, size_t length, unsigned times)
{
  length = length < input->left ? length : input->left;
  said->kind = DATA;
  said->at = script->used;
  for (unsigned i = 0; i < times && length <= sizeof script->bytes - script->used; i++) {
    memcpy(script->bytes + script->used, input->at, length);
    script->used += length;
  }
  said->length = script->used - said->at;
  input->at += length;
  input->left -= length;
}

static void take_script(struct script *script, struct input *input)
{
  bool ended[2] = {false, false};
  script->options = take(input);
  script->count = script->used = 0;
  while (input->left && script->count < PIECES_MAX) {
    unsigned word = take(input);
    size_t length = word >> 3;
    bool is_long = length == 31;
    if (is_long) {
      length = take(input);
      length |= (size_t)take(input) << 8;
    }
    struct said *said = &script->pieces[script->count];
    *said = (struct said){.side = word & 1 ? GG_SIDE_SERVER : GG_SIDE_CLIENT, .kind = word >> 1 & 3};
    if (said->kind == DATA || said->kind == REPEAT)
      take_data(script, said, input, length + 1, said->kind == REPEAT ? take(input) + 1 : 1);
    else if (said->kind == GAP)
      said->length = ((uint64_t)length + 1) << (is_long ? 32 : 0);
    script->count += !ended[said->side];
    ended[said->side] = ended[said->side] || said->kind == END;
  }
}

/* ── What is told ────────────────────────────────────────────────────────────────────────────────────────────────── */

struct told {
  struct transcript transcript;
  uint64_t reached[2]; /* where each side's bytes end */
  uint64_t begun;      /* messages whose head was told and whose end was not */
};

static void check_fields(const struct told *told, const struct gg_message *message)
{
  const struct gg_decoder *decoder = NULL;
  for (size_t i = 0; gg_decoder_at(i); i++)
    if (strcmp(gg_decoder_at(i)->name, message->decoder) == 0)
      decoder = gg_decoder_at(i);
  require(decoder && strcmp(decoder->protocol, message->protocol) == 0, "a message of nobody's");
  require(message->field_count <= GG_MESSAGE_FIELDS_MAX, "too many fields");
  size_t bytes = 0, kind = 0;
  while (decoder->kinds[kind] && strcmp(decoder->kinds[kind], message->kind) != 0)
    kind++;
  require(decoder->kinds[kind], "a message of no kind");
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    const struct gg_decoder_field *of = decoder->fields;
    while (of->name && of != field->of)
      of++;
    require(of->name, "a field that is not in the decoder's table");
    bool announced = field->cut && (message->flags & GG_MESSAGE_CUT) != 0;
    require(field->raw_length == 0 || announced ||
              (field->raw_offset <= told->reached[message->side] &&
               field->raw_length <= told->reached[message->side] - field->raw_offset),
            "a field of bytes that have not come");
    require(!field->secret || of->kind == GG_FIELD_TEXT, "a secret that is a number");
    bytes += field->length + field->key_length;
  }
  require(bytes <= GG_MESSAGE_TEXT_MAX, "fields of too many bytes");
}

static void check_summary(const char *summary)
{
  size_t length = strlen(summary);
  require(length < GG_MESSAGE_SUMMARY_MAX, "a summary that is too long");
  for (size_t i = 0; i < length;) {
    uint32_t point;
    size_t used = gg_utf8_next(summary + i, length - i, &point);
    require(used && point >= 0x20 && (point < 0x7f || point > 0x9f), "a summary that is not safe to print");
    i += used;
  }
}

static void on_head(void *context, const struct gg_message *message)
{
  struct told *told = context;
  told->begun++;
  require(told->begun <= GG_DRAFTS_MAX, "too many messages have begun");
  require(message->offset <= told->reached[message->side], "a message of bytes that have not come");
  transcript_head(&told->transcript, message);
}

static void on_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  struct told *told = context;
  require(body->raw_offset <= told->reached[message->side] &&
            body->raw_length <= told->reached[message->side] - body->raw_offset,
          "a body of bytes that have not come");
  transcript_body(&told->transcript, message, body);
}

static void on_end(void *context, const struct gg_message *message)
{
  struct told *told = context;
  uint64_t reached = told->reached[message->side];
  require(told->begun > 0, "an end without a head");
  told->begun--;
  require(message->offset <= reached && message->length <= reached - message->offset,
          "a message of bytes that have not come");
  require(message->last_ns >= message->first_ns, "a message that ends before it begins");
  require(message->answers < message->number || message->answers <= told->transcript.numbers,
          "it answers a message that was not told of");
  require(!(message->flags & GG_MESSAGE_CUT) || !(message->flags & GG_MESSAGE_COMPLETES), "complete, and cut");
  check_fields(told, message);
  check_summary(message->summary);
  transcript_end(&told->transcript, message);
}

static void on_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  transcript_protocol(&((struct told *)context)->transcript, decoder, offset);
}

static void on_opaque(void *context, const struct gg_opaque *opaque)
{
  struct told *told = context;
  require(opaque->offset <= told->reached[opaque->side], "opaque from bytes on that have not come");
  transcript_opaque(&told->transcript, opaque);
}

/* ── The two of them ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* In a block of its exact size, so that a sanitizer sees who looks behind it. */
static void push(struct gg_decoding *decoding, struct told *told, enum gg_side side, uint64_t time_ns,
                 const uint8_t *bytes, size_t length, size_t memory_max)
{
  uint8_t *exactly = malloc(length);
  require(exactly != NULL, "no memory");
  memcpy(exactly, bytes, length);
  told->reached[side] += length;
  gg_decoding_push(decoding, side, told->reached[side] - length, time_ns, exactly, length);
  free(exactly);
  require(gg_decoding_memory(decoding) <= memory_max, "more memory than it may have");
}

static bool is_framing(const char *decoder)
{
  return decoder && strcmp(decoder, "framing") == 0;
}

/* The same memory for each: to have a quarter of a megabyte zeroed was most of the time. */
static struct told *clean_told(void)
{
  static struct told told;
  uint64_t used = told.transcript.numbers + 1; /* the places of messages' bodies go by their numbers, from 1 */
  size_t places = used < TRANSCRIPT_BODIES ? (size_t)used : TRANSCRIPT_BODIES;
  memset(told.transcript.bodies, 0, places * sizeof *told.transcript.bodies);
  told.transcript.text = NULL; /* whoever has got it frees it */
  told.transcript.length = told.transcript.capacity = 0;
  told.transcript.numbers = told.transcript.messages = told.transcript.heads = 0;
  told.begun = told.reached[0] = told.reached[1] = 0;
  return &told;
}

/* What is told of it: in pieces as they are (`seed` 0), or in steps of at most `step` bytes. The text is the caller's
 * to free. */
static char *tell(const struct script *script, size_t step, unsigned seed)
{
  struct told *told = clean_told();
  struct gg_message_sink sink = {sizeof sink, told, on_protocol, on_head, on_body, on_end, on_opaque};
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  struct gg_decoding *decoding = NULL;
  struct gg_failure failure = GG_FAILURE_INIT;
  options.decoder = name;
  options.beginning_missing = script->options & BEGINNING_MISSING;
  options.memory_max = script->options & LITTLE_MEMORY ? LITTLE_BYTES : GG_DECODING_MEMORY_MAX;
  if (is_framing(name))
    options.framing = framings[(script->options >> FRAMING_SHIFT) % (sizeof framings / sizeof *framings)];
  require(gg_decoding_create(&decoding, &options, &sink, &failure) == 0, failure.message);
  transcript_add(&told->transcript, "");
  for (size_t i = 0; i < script->count; i++) {
    const struct said *said = &script->pieces[i];
    uint64_t time_ns = TIME_BASE + i * TIME_STEP;
    if (said->kind == END) {
      gg_decoding_end(decoding, said->side, time_ns);
    } else if (said->kind == GAP) {
      told->reached[said->side] += said->length;
      gg_decoding_gap(decoding, said->side, told->reached[said->side] - said->length, said->length, time_ns);
    } else {
      for (size_t done = 0, length; done < said->length; done += length) {
        size_t rest = (size_t)said->length - done;
        length = !seed ? rest : step > 1 ? 1 + (size_t)rand_r(&seed) % step : 1;
        length = length < rest ? length : rest;
        push(decoding, told, said->side, time_ns, script->bytes + said->at + done, length, options.memory_max);
      }
    }
  }
  gg_decoding_finish(decoding, TIME_BASE + script->count * TIME_STEP);
  gg_decoding_destroy(decoding);
  require(told->begun == 0, "a message without an end");
  return told->transcript.text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct script script;
  struct input input = {data, size};
  take_script(&script, &input);
  char *whole = tell(&script, 0, 0);
  if (!(script.options & LITTLE_MEMORY)) { /* what is refused depends on what had to be kept of a piece */
    bool by_bytes = script.used <= BY_BYTES_MAX;
    char *cut = tell(&script, by_bytes ? 1 : 3000, 1 + (unsigned)size);
    if (strcmp(whole, cut) != 0)
      fprintf(stderr, "in pieces:\n%s\ncut:\n%s\n", whole, cut);
    require(strcmp(whole, cut) == 0, "it depends on how the bytes are cut");
    free(cut);
  }
  free(whole);
  return 0;
}
