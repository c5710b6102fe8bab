/* SPDX-License-Identifier: Apache-2.0 */
/* Where the client waited for the server, and how one knows that what came is complete.
 *
 *     server's message ──► its protocol's own end of a message (a length, a last line, a prompt) ──► a wait for that
 *     lines, and telnet ──► all that came between two things that the client said ──► one wait, by how it ended
 *     what is not decoded ──► likewise ──► a wait until the server is silent
 *
 * A wait stands where the client's stream was when the last byte of it came. Where that is in the middle of a message,
 * the live server may need the rest of that first: the wait is moved to the message's end, unless it is for an interim
 * answer to it, for which the client itself had waited; or to its beginning, if it answers an earlier one.
 *
 * What a server says by itself (a push, an event, a ping, settings) is not waited for: it comes when it comes. The
 * first word of a server that speaks first is. */
#include "store/story.h"

#include "proto/textual.h"

#include <string.h>

/* ── Where ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct gg__story_message *by_number(const struct gg__story *story, enum gg_side side, uint64_t number)
{
  size_t low = 0, high = story->of_count[side];
  while (low < high) { /* of one side, numbers go up with offsets */
    size_t middle = low + (high - low) / 2;
    if (story->of[side][middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  bool found = number && low < story->of_count[side] && story->of[side][low].number == number;
  return found ? &story->of[side][low] : NULL;
}

static void place_wait(const struct gg__story *story, struct gg__wait *wait, const struct gg__story_message *message)
{
  const struct gg__story_piece *piece = gg__story_piece_of(story, wait->end ? wait->end - 1 : 0);
  uint64_t at = piece ? piece->at : 0;
  const struct gg__story_message *request = message ? by_number(story, GG_SIDE_CLIENT, message->answers) : NULL;
  const struct gg__story_message *within = at ? gg__story_message_at(story, GG_SIDE_CLIENT, at - 1) : NULL;
  bool interim = wait->kind == GG__WAIT_CONTINUE;
  if (within && within->end > at && message && strcmp(message->decoder, "http2") != 0) {
    bool earlier = request && request->number < within->number;
    at = interim ? at : earlier ? within->offset : within->end;
  }
  if (request && !interim && request->end > at && wait->kind != GG__WAIT_HTTP2)
    at = request->end;
  const struct gg__wait *last = story->wait_count > 1 ? &story->waits[story->wait_count - 2] : NULL;
  if (at > story->length[GG_SIDE_CLIENT])
    at = story->length[GG_SIDE_CLIENT];
  wait->at = last && last->at > at ? last->at : at;
  wait->after_end = piece && piece->after_end && wait->at == story->length[GG_SIDE_CLIENT];
}

/* A wait for silence takes all that comes: what follows it at the same place is part of it. NULL: so it was, or there
 * is no memory. */
static struct gg__wait *add_wait(struct gg__story *story, enum gg__wait_kind kind, uint64_t from, uint64_t end,
                                 const struct gg__story_message *message)
{
  struct gg__wait *wait = gg__story_more(story, &story->waits, &story->wait_count, &story->wait_room, sizeof *wait,
                                         GG__STORY_MESSAGES_MAX, "answers");
  if (!wait)
    return NULL;
  *wait = (struct gg__wait){.kind = kind, .from = from, .end = end, .count = 1, .method = ""};
  wait->message = message ? message->number : 0;
  place_wait(story, wait, message);
  struct gg__wait *last = story->wait_count > 1 ? wait - 1 : NULL;
  if (!last || last->kind != GG__WAIT_QUIET || last->at != wait->at || last->after_end != wait->after_end)
    return wait;
  last->end = end > last->end ? end : last->end;
  story->wait_count--;
  return NULL;
}

/* ── Messages whose protocol says where they end ─────────────────────────────────────────────────────────────────── */

static void wait_http(struct gg__story *story, const struct gg__story_message *message)
{
  if (strcmp(message->kind, "response") != 0)
    return;
  const struct gg__story_message *request = by_number(story, GG_SIDE_CLIENT, message->answers);
  bool interim = message->status >= 100 && message->status < 200 && message->status != 101;
  struct gg__wait *wait =
    add_wait(story, interim ? GG__WAIT_CONTINUE : GG__WAIT_HTTP, message->offset, message->end, message);
  if (wait && request)
    wait->method = request->method;
}

/* Of a stream, its end alone: frames of other streams stand between. */
static void wait_http2(struct gg__story *story, const struct gg__story_message *message)
{
  if (!(message->flags & GG_MESSAGE_COMPLETES))
    return;
  for (size_t i = story->wait_count; i > 0 && i + 256 > story->wait_count; i--)
    if (story->waits[i - 1].kind == GG__WAIT_HTTP2 && story->waits[i - 1].stream == message->stream)
      return;
  struct gg__wait *wait = add_wait(story, GG__WAIT_HTTP2, message->offset, message->end, message);
  if (wait)
    wait->stream = message->stream;
}

static void wait_websocket(struct gg__story *story, const struct gg__story_message *message)
{
  if (!(message->flags & GG_MESSAGE_CONTROL) || strcmp(message->kind, "close") == 0)
    add_wait(story, GG__WAIT_WEBSOCKET, message->offset, message->end, message);
}

static void wait_redis(struct gg__story *story, const struct gg__story_message *message)
{
  if (message->answers)
    add_wait(story, GG__WAIT_REDIS, message->offset, message->end, message);
}

static void wait_smtp(struct gg__story *story, const struct gg__story_message *message)
{
  add_wait(story, GG__WAIT_CODE, message->offset, message->end, message);
}

static void wait_framing(struct gg__story *story, const struct gg__story_message *message)
{
  static const enum gg__wait_kind kinds[] = {[GG__FRAMING_DELIMITER] = GG__WAIT_DELIMITER,
                                             [GG__FRAMING_FIXED] = GG__WAIT_FIXED,
                                             [GG__FRAMING_LENGTH] = GG__WAIT_LENGTH};
  add_wait(story, story->framed ? kinds[story->framing.kind] : GG__WAIT_QUIET, message->offset, message->end, message);
}

/* ── Lines ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct line {
  const uint8_t *text;
  size_t length;
};

/* Without its end. */
static struct line line_of(const struct gg__story *story, const struct gg__story_message *message)
{
  uint64_t kept = story->length[message->side], end = message->end < kept ? message->end : kept;
  struct line line = {0};
  if (message->offset >= end)
    return line;
  line.text = story->said[message->side] + message->offset;
  line.length = (size_t)(end - message->offset);
  while (line.length && (line.text[line.length - 1] == '\n' || line.text[line.length - 1] == '\r'))
    line.length--;
  return line;
}

static bool is_final_code(struct line line)
{
  for (size_t i = 0; i < 3; i++)
    if (i >= line.length || line.text[i] < '0' || line.text[i] > '9')
      return false;
  return line.length == 3 || line.text[3] == ' ';
}

/* The first word of what the client said last, if the answer's last line begins with it: IMAP's tag. */
static bool find_tag(const struct gg__story *story, uint64_t at, struct line answer, struct gg__wait *wait)
{
  const struct gg__story_message *asked = at ? gg__story_message_at(story, GG_SIDE_CLIENT, at - 1) : NULL;
  struct line line = asked ? line_of(story, asked) : (struct line){0};
  struct gg__textword word;
  size_t from = 0;
  if (!line.length || !gg__textword_next(&word, line.text, line.length, &from) || word.at != 0 || word.length > 16 ||
      answer.length <= word.length || memcmp(answer.text, word.text, word.length) != 0 ||
      answer.text[word.length] != ' ')
    return false;
  wait->text = asked->offset;
  wait->text_length = word.length;
  return true;
}

/* How the server's lines from `first` to before `end`, between two things that the client said, are waited for. */
static void judge_lines(struct gg__story *story, const struct gg__story_message *first,
                        const struct gg__story_message *end)
{
  const struct gg__story_message *last = end - 1;
  struct line line = line_of(story, last);
  bool prompt = strcmp(last->kind, "prompt") == 0;
  struct gg__wait *wait = add_wait(story, prompt ? GG__WAIT_PROMPT : GG__WAIT_QUIET, first->offset, last->end, last);
  if (!wait)
    return;
  unsigned same = 0, codes = 0;
  for (const struct gg__story_message *message = first; message < end; message++) {
    struct line other = line_of(story, message);
    codes += is_final_code(other);
    same += other.length == line.length && strcmp(message->kind, "prompt") == 0 &&
            memcmp(other.text, line.text, line.length) == 0;
  }
  if (prompt && line.length) {
    wait->text = last->offset;
    wait->text_length = line.length;
    wait->count = same;
  } else if (last->flags & GG_MESSAGE_CUT || prompt) {
    wait->kind = GG__WAIT_QUIET;
  } else if (is_final_code(line)) {
    wait->kind = GG__WAIT_CODE;
    wait->count = codes;
  } else if (line.length == 1 && *line.text == '.') {
    wait->kind = GG__WAIT_DOT;
  } else if (find_tag(story, wait->at, line, wait)) {
    wait->kind = GG__WAIT_TAG;
  } else if (end - first == 1) {
    wait->kind = GG__WAIT_LINES;
  }
}

/* What telnet's server has said, without commands: its unfinished line asks for something. */
static void judge_telnet(struct gg__story *story, const struct gg__story_message *first,
                         const struct gg__story_message *end)
{
  const struct gg__story_message *last = NULL;
  for (const struct gg__story_message *message = first; message < end; message++)
    last = strcmp(message->kind, "text") == 0 ? message : last;
  if (!last)
    return;
  struct gg__wait *wait = add_wait(story, GG__WAIT_QUIET, first->offset, end[-1].end, last);
  struct line line = line_of(story, last);
  size_t length = 0;
  while (length < line.length && line.text[line.length - 1 - length] != '\n' &&
         line.text[line.length - 1 - length] != '\r' && line.text[line.length - 1 - length] != 255)
    length++;
  bool unfinished = last->end <= story->length[GG_SIDE_SERVER] && last->offset + line.length == last->end;
  if (!wait || !unfinished || gg__prompt_of(line.text + line.length - length, length) == GG__PROMPT_NOT)
    return;
  wait->kind = GG__WAIT_TELNET;
  wait->text = last->end - length;
  wait->text_length = length;
}

/* Those that came between two things that the client said, and before it said that nothing follows. */
static const struct gg__story_message *end_of_group(const struct gg__story *story,
                                                    const struct gg__story_message *first,
                                                    const struct gg__story_message *limit)
{
  const struct gg__story_piece *piece = gg__story_piece_of(story, first->end ? first->end - 1 : 0);
  const struct gg__story_message *message = first + 1;
  for (; message < limit && strcmp(message->decoder, first->decoder) == 0; message++) {
    const struct gg__story_piece *other = gg__story_piece_of(story, message->end ? message->end - 1 : 0);
    if (!piece || other->at != piece->at || other->after_end != piece->after_end)
      break;
  }
  return message;
}

/* ── Bytes that nobody has decoded ───────────────────────────────────────────────────────────────────────────────── */

/* One wait for all that came between two things that the client said. */
static void wait_for_pieces(struct gg__story *story, uint64_t from)
{
  for (size_t i = 0; i < story->piece_count; i++) {
    uint64_t begin = story->pieces[i].offset;
    uint64_t end = i + 1 < story->piece_count ? story->pieces[i + 1].offset : story->total[GG_SIDE_SERVER];
    if (end > from && end > begin)
      add_wait(story, GG__WAIT_QUIET, begin > from ? begin : from, end, NULL);
  }
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct {
  const char *decoder;
  void (*wait)(struct gg__story *story, const struct gg__story_message *message);
  void (*judge)(struct gg__story *story, const struct gg__story_message *first, const struct gg__story_message *end);
} ways[] = {
  {"http1", wait_http, NULL},   {"http2", wait_http2, NULL},    {"websocket", wait_websocket, NULL},
  {"redis", wait_redis, NULL},  {"smtp", wait_smtp, NULL},      {"framing", wait_framing, NULL},
  {"lines", NULL, judge_lines}, {"telnet", NULL, judge_telnet},
};

/* Returns how many messages that were. */
static size_t wait_for(struct gg__story *story, const struct gg__story_message *message,
                       const struct gg__story_message *limit)
{
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    if (strcmp(ways[i].decoder, message->decoder) != 0)
      continue;
    const struct gg__story_message *end = ways[i].judge ? end_of_group(story, message, limit) : message + 1;
    if (ways[i].judge)
      ways[i].judge(story, message, end);
    else if (message->flags & GG_MESSAGE_CUT && strcmp(message->decoder, "http2") != 0)
      add_wait(story, GG__WAIT_QUIET, message->offset, message->end, message);
    else
      ways[i].wait(story, message);
    return (size_t)(end - message);
  }
  const struct gg__story_message *end = end_of_group(story, message, limit);
  add_wait(story, GG__WAIT_QUIET, message->offset, end[-1].end, message);
  return (size_t)(end - message);
}

/* Whether another answer than this one came to the same bytes before. Only near ones are compared. */
static void find_difference(struct gg__story *story, size_t index)
{
  struct gg__wait *wait = &story->waits[index];
  uint64_t begin = index ? story->waits[index - 1].at : 0, length = wait->at - begin;
  for (size_t i = index; i > 0 && i + 64 > index && length; i--) {
    const struct gg__wait *other = &story->waits[i - 1];
    uint64_t other_begin = i > 1 ? story->waits[i - 2].at : 0, size = wait->end - wait->from;
    if (other->kind != wait->kind || other->at - other_begin != length || wait->end > story->length[GG_SIDE_SERVER] ||
        memcmp(story->said[0] + other_begin, story->said[0] + begin, (size_t)length) != 0)
      continue;
    if (other->end - other->from != size ||
        memcmp(story->said[1] + other->from, story->said[1] + wait->from, (size_t)size) != 0)
      wait->differs = i;
    return;
  }
}

void gg__story_find_waits(struct gg__story *story)
{
  const struct gg__story_message *message = story->of[GG_SIDE_SERVER], *limit = message;
  if (message)
    limit += story->of_count[GG_SIDE_SERVER];
  uint64_t decoded = 0;
  while (message < limit && !story->error) {
    const struct gg__story_message *next = message + wait_for(story, message, limit);
    decoded = next[-1].end > decoded ? next[-1].end : decoded;
    message = next;
  }
  bool opaque = story->opaque[GG_SIDE_SERVER];
  if (!story->error && (opaque || !story->decoder)) {
    uint64_t from = opaque ? story->opaque_from[GG_SIDE_SERVER] : 0;
    wait_for_pieces(story, decoded > from ? decoded : from);
  }
  for (size_t i = 0; i < story->wait_count; i++)
    find_difference(story, i);
}
