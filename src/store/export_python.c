/* SPDX-License-Identifier: Apache-2.0 */
/* A session's story as a Python program that tells it to a live server:
 *
 *     who and what ── HOST, PORT, TIMEOUT ── passwords ── functions ── the conversation: send, expect, send ...
 *
 * What the client said goes out byte by byte as recorded, but for what has to be of now: values that the live server
 * hands out, and credentials, which are taken from the environment. */
#include "store/python.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 40 };

struct program {
  struct gg__writer *out;
  const struct gg__story *story;
  uint32_t helpers;
  bool base64;
  size_t part; /* the first that has not been said */
};

static void put(struct program *program, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct program *program, const char *format, ...)
{
  char text[256];
  va_list words;
  va_start(words, format);
  vsnprintf(text, sizeof text, format, words);
  va_end(words);
  gg__writer_text(program->out, text);
}

static void need(struct program *program, enum gg__python_helper helper)
{
  program->helpers |= UINT32_C(1) << helper;
}

/* ── What is taken from replies ──────────────────────────────────────────────────────────────────────────────────── */

static void put_value_name(struct program *program, size_t index)
{
  bool cookie = program->story->values[index].kind == GG__VALUE_COOKIE;
  put(program, "%s_%zu", cookie ? "cookie" : "value", index + 1);
}

/* For comments: what it is, not its bytes, which may be a credential. */
static void put_value_text(struct program *program, const struct gg__value *value)
{
  const struct gg__story *story = program->story;
  const char *heard = (const char *)story->said[GG_SIDE_SERVER];
  if (value->kind == GG__VALUE_COOKIE) {
    put(program, "Set-Cookie ");
    gg__python_comment(program->out, heard + value->name,
                       value->name_length < SHOWN_MAX ? (size_t)value->name_length : SHOWN_MAX);
  } else if (value->kind == GG__VALUE_BETWEEN && value->before < value->from) {
    put(program, "what is behind ");
    gg__python_bytes(program->out, story->said[GG_SIDE_SERVER] + value->before, (size_t)(value->from - value->before));
  } else {
    put(program, "%" PRIu64 " bytes at %" PRIu64, value->end - value->from,
        value->from - story->waits[value->wait].from);
  }
}

static void put_taken(struct program *program, size_t index)
{
  const struct gg__value *value = &program->story->values[index];
  const uint8_t *heard = program->story->said[GG_SIDE_SERVER];
  put_value_name(program, index);
  if (value->kind == GG__VALUE_COOKIE) {
    need(program, GG__PYTHON_COOKIE);
    put(program, " = cookie(reply, ");
    gg__python_bytes(program->out, heard + value->name, (size_t)value->name_length);
  } else if (value->kind == GG__VALUE_BULK) {
    need(program, GG__PYTHON_BULK_OF);
    put(program, " = bulk_of(reply");
  } else {
    need(program, GG__PYTHON_BETWEEN);
    put(program, " = between(reply, ");
    gg__python_bytes(program->out, heard + value->before, (size_t)(value->from - value->before));
    put(program, ", ");
    gg__python_bytes(program->out, heard + value->end, (size_t)(value->after - value->end));
  }
  put(program, ")  # it is sent back below\n");
}

static void put_values_of(struct program *program, size_t wait)
{
  const struct gg__story *story = program->story;
  for (size_t i = 0; i < story->value_count; i++) {
    const struct gg__value *value = &story->values[i];
    if (value->wait == wait && value->live)
      put_taken(program, i);
    if (value->wait == wait && value->marked) {
      put(program, "# the client says this of it again, as recorded: value %zu, ", i + 1);
      put_value_text(program, value);
      put(program, "\n");
    }
  }
}

/* ── Waits ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_prompt(struct program *program, const struct gg__wait *wait, enum gg_side side)
{
  gg__python_bytes(program->out, program->story->said[side] + wait->text, wait->text_length);
}

static void put_expect(struct program *program, const struct gg__wait *wait)
{
  static const struct {
    enum gg__python_helper helper;
    const char *call;
  } calls[] = {
    [GG__WAIT_QUIET] = {GG__PYTHON_QUIET, "expect_quiet("},
    [GG__WAIT_HTTP] = {GG__PYTHON_HTTP, "expect_http("},
    [GG__WAIT_CONTINUE] = {GG__PYTHON_CONTINUE, "expect_continue("},
    [GG__WAIT_HTTP2] = {GG__PYTHON_HTTP2, "expect_http2("},
    [GG__WAIT_WEBSOCKET] = {GG__PYTHON_WEBSOCKET, "expect_websocket("},
    [GG__WAIT_REDIS] = {GG__PYTHON_REDIS, "expect_redis("},
    [GG__WAIT_CODE] = {GG__PYTHON_CODE, "expect_code("},
    [GG__WAIT_LINES] = {GG__PYTHON_LINES, "expect_line("},
    [GG__WAIT_TAG] = {GG__PYTHON_TAG, "expect_tag("},
    [GG__WAIT_DOT] = {GG__PYTHON_DOT, "expect_dot("},
    [GG__WAIT_PROMPT] = {GG__PYTHON_PROMPT, "expect_prompt("},
    [GG__WAIT_TELNET] = {GG__PYTHON_TELNET, "expect_prompt_of_telnet("},
    [GG__WAIT_DELIMITER] = {GG__PYTHON_DELIMITER, "expect_delimiter("},
    [GG__WAIT_FIXED] = {GG__PYTHON_FIXED, "expect_fixed("},
    [GG__WAIT_LENGTH] = {GG__PYTHON_LENGTH, "expect_length("},
  };
  const struct gg__framing *framing = &program->story->framing;
  need(program, calls[wait->kind].helper);
  gg__writer_text(program->out, calls[wait->kind].call);
  switch (wait->kind) {
  case GG__WAIT_HTTP:
    put(program, *wait->method ? "\"%s\"" : "%s", wait->method);
    break;
  case GG__WAIT_HTTP2:
    put(program, "%" PRIu64, wait->stream);
    break;
  case GG__WAIT_REDIS:
    put(program, program->story->subscribed ? "subscribed=True" : "%s", "");
    break;
  case GG__WAIT_CODE:
    put(program, wait->count > 1 ? "%u" : "%.0u", wait->count > 1 ? wait->count : 0);
    break;
  case GG__WAIT_TAG:
    put_prompt(program, wait, GG_SIDE_CLIENT);
    break;
  case GG__WAIT_PROMPT:
    put_prompt(program, wait, GG_SIDE_SERVER);
    put(program, wait->count > 1 ? ", %u" : "%.0u", wait->count > 1 ? wait->count : 0);
    break;
  case GG__WAIT_TELNET:
    put_prompt(program, wait, GG_SIDE_SERVER);
    break;
  case GG__WAIT_DELIMITER:
    gg__python_bytes(program->out, (const uint8_t *)framing->delimiter, framing->delimiter_length);
    break;
  case GG__WAIT_FIXED:
    put(program, "%" PRIu64, framing->size);
    break;
  case GG__WAIT_LENGTH:
    put(program, "%zu, %zu, \"%s\", %" PRId64, framing->offset, framing->width,
        framing->little_endian ? "little" : "big", framing->adjust);
    break;
  default:
    break;
  }
  put(program, ")\n");
}

/* How the reply begins to differ from the one to the same bytes before: text in front of that, in its line. */
static void put_difference(struct program *program, const struct gg__wait *wait)
{
  const struct gg__story *story = program->story;
  const struct gg__wait *other = &story->waits[wait->differs - 1];
  const uint8_t *text = story->said[GG_SIDE_SERVER] + wait->from, *old = story->said[GG_SIDE_SERVER] + other->from;
  uint64_t length = wait->end - wait->from, old_length = other->end - other->from, at = 0, line = 0;
  for (; at < length && at < old_length && text[at] == old[at]; at++)
    line = text[at] == '\n' ? at + 1 : line;
  put(program, "# the same was sent before, and answered otherwise from byte %" PRIu64 " on", at);
  for (size_t i = 0; i < story->place_count && !story->secrets; i++) {
    const struct gg__story_secret *place = &story->places[i];
    if (place->side == GG_SIDE_SERVER && place->from < wait->from + at && place->end > wait->from + line)
      line = at; /* what is shown may not have a credential in it */
  }
  if (at - line > SHOWN_MAX)
    line = at - SHOWN_MAX;
  if (at > line) {
    put(program, ": behind ");
    gg__python_bytes(program->out, text + line, (size_t)(at - line));
  }
  put(program, "\n");
}

static void put_wait(struct program *program, size_t index)
{
  const struct gg__wait *wait = &program->story->waits[index];
  if (wait->differs)
    put_difference(program, wait);
  bool live = false;
  for (size_t i = 0; wait->told && i < program->story->value_count; i++)
    live |= program->story->values[i].wait == index && program->story->values[i].live;
  put(program, live ? "reply = %s" : "%s", "");
  put_expect(program, wait);
  if (wait->told)
    put_values_of(program, index);
}

/* ── What the client says ────────────────────────────────────────────────────────────────────────────────────────── */

static void put_block(struct program *program, uint64_t from, uint64_t end, unsigned indent)
{
  if (from == end)
    return;
  gg__python_block(program->out, program->story->said[GG_SIDE_CLIENT] + from, (size_t)(end - from), indent,
                   &program->base64);
  put(program, ",\n");
}

static void put_part(struct program *program, const struct gg__story_part *part, unsigned indent)
{
  const struct gg__story *story = program->story;
  if (part->kind == GG__PART_SECRET) {
    need(program, GG__PYTHON_PASSWORD);
    put(program, "%*sPASSWORD_%zu,\n", (int)indent, "", part->index);
    return;
  }
  const struct gg__value *value = &story->values[part->index];
  if (part->kind == GG__PART_VALUE) {
    put(program, "%*s", (int)indent, "");
    put_value_name(program, part->index);
    put(program, ",  # from the reply above: ");
    put_value_text(program, value);
    put(program, "\n");
    return;
  }
  put(program, "%*s# as recorded, and from a reply above: value %zu, ", (int)indent, "", part->index + 1);
  put_value_text(program, value);
  put(program, "\n");
  put_block(program, part->from, part->end, indent);
}

/* One expression a line, or several. */
static void put_range(struct program *program, uint64_t from, uint64_t end, unsigned indent)
{
  const struct gg__story *story = program->story;
  while (program->part < story->part_count && story->parts[program->part].end <= end) {
    const struct gg__story_part *part = &story->parts[program->part];
    if (part->from < from)
      break; /* it has been cut in two, which parts are not */
    put_block(program, from, part->from, indent);
    put_part(program, part, indent);
    from = part->end;
    program->part++;
  }
  put_block(program, from, end, indent);
}

static bool has_parts(const struct program *program, uint64_t from, uint64_t end)
{
  const struct gg__story *story = program->story;
  for (size_t i = program->part; i < story->part_count && story->parts[i].from < end; i++)
    if (story->parts[i].end > from && story->parts[i].kind != GG__PART_MARK)
      return true;
  return false;
}

/* Where the argument that begins at `at` ends, and its bytes begin; false: none begins there. */
static bool find_argument(const struct gg__story *story, uint64_t at, uint64_t limit, uint64_t *data, uint64_t *end)
{
  const uint8_t *said = story->said[GG_SIDE_CLIENT];
  uint64_t size = 0, from = at + 1;
  if (at >= limit || said[at] != '$')
    return false;
  for (; from < limit && said[from] >= '0' && said[from] <= '9' && size < GG__STORY_CLIENT_MAX; from++)
    size = size * 10 + (uint64_t)(said[from] - '0');
  if (from == at + 1 || limit - from < 4 || said[from] != '\r' || said[from + 1] != '\n' || size > limit - from - 4)
    return false;
  *data = from + 2;
  *end = *data + size;
  return true;
}

/* A command of Redis: arguments that are no constants bring their lengths. */
static void put_command(struct program *program, uint64_t from, uint64_t limit)
{
  const uint8_t *said = program->story->said[GG_SIDE_CLIENT];
  uint64_t data, end, plain = from;
  const uint8_t *line = memchr(said + from, '\n', (size_t)(limit - from));
  uint64_t at = line && said[from] == '*' ? (uint64_t)(line - said) + 1 : limit;
  for (; find_argument(program->story, at, limit, &data, &end); at = end + 2) {
    if (!has_parts(program, data, end))
      continue;
    put_range(program, plain, at, 4);
    need(program, GG__PYTHON_BULK);
    put(program, "    bulk(\n");
    put_range(program, data, end, 8);
    put(program, "    ),\n");
    plain = end + 2;
  }
  put_range(program, plain, limit, 4);
}

static void put_send(struct program *program, uint64_t from, uint64_t end)
{
  const struct gg__story_message *message = gg__story_message_at(program->story, GG_SIDE_CLIENT, from);
  bool whole = message && message->offset == from && message->end == end;
  if (whole) {
    put(program, "# %" PRIu64 " %s: ", message->number, message->kind);
    gg__python_comment(program->out, message->summary, strlen(message->summary));
    put(program, "\n");
  }
  if (whole && message->body && message->body_end == end && strcmp(message->decoder, "http1") == 0 &&
      has_parts(program, message->body, end)) {
    need(program, GG__PYTHON_SEND_HTTP);
    put(program, "send_http((\n");
    put_range(program, from, message->body, 4);
    put(program, "), (\n");
    put_range(program, message->body, end, 4);
    put(program, "))\n");
    return;
  }
  put(program, "send(\n");
  if (whole && strcmp(message->decoder, "redis") == 0)
    put_command(program, from, end);
  else
    put_range(program, from, end, 4);
  put(program, ")\n");
}

/* Messages that stand beside each other are said one by one, those that lie in each other together. A part is never
 * cut. */
static uint64_t next_cut(const struct program *program, uint64_t from, size_t wait)
{
  const struct gg__story *story = program->story;
  uint64_t end = wait < story->wait_count ? story->waits[wait].at : story->length[GG_SIDE_CLIENT];
  const struct gg__story_message *message = gg__story_message_at(story, GG_SIDE_CLIENT, from);
  if (message && strcmp(message->decoder, "http2") != 0 && message->end < end)
    end = message->end;
  for (size_t i = program->part; i < story->part_count && story->parts[i].from < end; i++)
    if (story->parts[i].end > end)
      end = story->parts[i].end;
  return end;
}

static void put_conversation(struct program *program)
{
  const struct gg__story *story = program->story;
  uint64_t said = 0;
  bool ended = false;
  for (size_t wait = 0; wait <= story->wait_count; wait++) {
    uint64_t at = wait < story->wait_count ? story->waits[wait].at : story->length[GG_SIDE_CLIENT];
    while (said < at) {
      uint64_t cut = next_cut(program, said, wait);
      put_send(program, said, cut);
      said = cut;
    }
    if (wait == story->wait_count)
      break;
    if (story->waits[wait].after_end && !ended) {
      ended = true;
      put(program, "server.shutdown(socket.SHUT_WR)\n");
    }
    put_wait(program, wait);
  }
  put(program, "finish()\n");
}

/* ── The head ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_line_of(struct program *program, const char *what, const char *text)
{
  put(program, "# %s", what);
  gg__python_comment(program->out, text, strlen(text));
  put(program, "\n");
}

static void put_about(struct program *program)
{
  const struct gg__story *story = program->story;
  const struct gg_session *session = story->session;
  put(program, "#!/usr/bin/env python3\n");
  put_line_of(program, "What a client said, for another server to hear: session ", session->id);
  put_line_of(program, "client ", session->client);
  put_line_of(program, "server ", session->server);
  put_line_of(program, "protocol ",
              story->decoder ? story->decoder : "unknown: each wait is until the server is silent");
  if (session->beginning_missing)
    put(program, "# how the session began was not recorded\n");
  if (story->length[GG_SIDE_SERVER] < story->total[GG_SIDE_SERVER])
    put(program, "# bytes of the server are missing in the recording, or are too many: not all of it was looked at\n");
  if (story->opaque[GG_SIDE_CLIENT] || story->opaque[GG_SIDE_SERVER]) {
    enum gg_side side = story->opaque[GG_SIDE_CLIENT] ? GG_SIDE_CLIENT : GG_SIDE_SERVER;
    put(program, "# from byte %" PRIu64 " of the %s on it is not decoded: %s\n", story->opaque_from[side],
        side == GG_SIDE_CLIENT ? "client" : "server", gg_opaque_why_text(story->opaque_why));
    if (story->opaque_why == GG_OPAQUE_ENCRYPTED)
      put(program, "# what is encrypted is for one session alone: another server will not take it\n");
  }
  put(program, "#\n#     python3 THIS [HOST [PORT]]\n#\n"
               "# Also by the environment: GOGETWAY_HOST, GOGETWAY_PORT, GOGETWAY_TIMEOUT. Python 3.8 or later.\n");
  if (story->password_count == 1)
    put(program, "# It needs a credential there, GOGETWAY_PASSWORD_1: which one, stands below where it is read.\n");
  else if (story->password_count > 1)
    put(program,
        "# It needs credentials there, GOGETWAY_PASSWORD_1 to GOGETWAY_PASSWORD_%zu: which ones, stands below where "
        "they\n"
        "# are read.\n",
        story->password_count);
}

/* "host:port", "[address]:port", "unix:/path". */
static void put_place(struct program *program)
{
  const struct gg_session *session = program->story->session;
  const char *where = session->upstream && *session->upstream ? session->upstream : session->server;
  char host[256] = "";
  const char *colon = strrchr(where, ':');
  bool local = strncmp(where, "unix:", 5) == 0;
  if (local) {
    snprintf(host, sizeof host, "%s", where + 5);
  } else if (colon) {
    bool bracket = *where == '[' && colon > where && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - where) - (bracket ? 2 : 0), where + (bracket ? 1 : 0));
  }
  unsigned long port = !local && colon ? strtoul(colon + 1, NULL, 10) : 0;
  put(program, "HOST = ");
  gg__python_text(program->out, host);
  put(program, "\nPORT = %lu\n", port);
  gg__writer_text(
    program->out,
    "TIMEOUT = 10.0  # seconds without a byte that a wait may take\n"
    "QUIET = 0.5  # seconds without a byte after which an answer is taken for complete that does not say so\n"
    "\n"
    "HOST = os.environ.get(\"GOGETWAY_HOST\", HOST)\n"
    "PORT = int(os.environ.get(\"GOGETWAY_PORT\", PORT))\n"
    "TIMEOUT = float(os.environ.get(\"GOGETWAY_TIMEOUT\", TIMEOUT))\n"
    "if len(sys.argv) > 1:\n"
    "    HOST = sys.argv[1]\n"
    "if len(sys.argv) > 2:\n"
    "    PORT = int(sys.argv[2])\n");
}

static void put_passwords(struct program *program)
{
  const struct gg__story *story = program->story;
  put(program, story->password_count ? "\n%s" : "%s", "");
  for (size_t i = 0; i < story->password_count; i++) {
    const struct gg__story_password *password = &story->passwords[i];
    put(program, "# ");
    gg__python_comment(program->out, password->field, strlen(password->field));
    put(program, *password->key ? " " : "%s", "");
    gg__python_comment(program->out, password->key, strlen(password->key));
    put(program, " of message %" PRIu64, password->message);
    if (password->fixed)
      put(program, ": %" PRIu64 " bytes, for something else says how long it is", password->end - password->from);
    put(program, "\nPASSWORD_%zu = password(\"GOGETWAY_PASSWORD_%zu\")\n", i + 1, i + 1);
  }
}

/* What the conversation needs is known once it has been put: first, that is done into a writer that takes nothing. */
static void find_needs(struct program *program)
{
  struct gg__writer nothing = {.fd = -1, .error = GG_ERR_CLOSED};
  struct gg__writer *out = program->out;
  program->out = &nothing;
  put_conversation(program);
  program->out = out;
  program->part = 0;
}

void gg__python_write(struct gg__writer *out, const struct gg__story *story)
{
  struct program program = {.out = out, .story = story};
  find_needs(&program);
  put_about(&program);
  put(&program, program.base64 ? "import base64\n%s" : "%s", "");
  put(&program, "import os\nimport re\nimport select\nimport socket\nimport sys\n\n");
  put_place(&program);
  put(&program, "\n\n");
  gg__writer_text(out, gg__python_core);
  gg__python_helpers(out, program.helpers);
  put_passwords(&program);
  put(&program, "\nreceived = bytearray()  # and not taken by a wait yet\n"
                "ended = False  # the server has said that nothing follows\n"
                "server = connect()\n\n");
  put_conversation(&program);
}
