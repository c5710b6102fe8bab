/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the client's bytes the server had handed out before, and which are credentials.
 *
 *     Set-Cookie of a reply ──► a Cookie of a later request with that name and value
 *     a word of a reply that looks made up (letters and digits, long) ──► the same word in what the client said later,
 *                                                                        and never before
 *
 * Such a value is taken out of the live reply if there is one place for it: by the cookie's name; as the whole of a
 * Redis reply; or behind the text in front of it, if that is in the recorded reply once. And only where the client's
 * bytes bear another length: in heads, in bodies of a Content-Length, in arguments of Redis, in lines. Elsewhere it is
 * marked.
 *
 * Credentials are what decoders call so, but of a Cookie the values alone, each for itself: its names say nothing, and
 * some values may come from a reply. What comes from a reply is no credential any more. */
#include "store/story.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
  WORD_MIN = 6,     /* bytes of a word that looks made up */
  DIGITS_MIN = 5,   /* of one that has only digits */
  LETTERS_MIN = 16, /* of one that has only letters, of both cases */
  BEFORE_MAX = 64,  /* bytes of text in front of a value */
  BEFORE_WORDS = 4,
};

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static bool is_of_word(uint8_t letter)
{
  return (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') ||
         letter == '_' || letter == '-';
}

/* Also between words of one value: Base64, percent-coding, JWT. */
static bool is_of_value(uint8_t letter)
{
  return is_of_word(letter) || (letter && strchr("+/.~%", letter)) || letter == '=';
}

static bool looks_made_up(const uint8_t *text, size_t length)
{
  size_t digits = 0, lower = 0, upper = 0;
  for (size_t i = 0; i < length; i++) {
    digits += text[i] >= '0' && text[i] <= '9';
    lower += text[i] >= 'a' && text[i] <= 'z';
    upper += text[i] >= 'A' && text[i] <= 'Z';
  }
  if (digits == length)
    return length >= DIGITS_MIN;
  if (digits)
    return length >= WORD_MIN && lower + upper;
  return length >= LETTERS_MIN && lower && upper && lower + upper == length;
}

/* The next word at or behind *at. */
static bool next_word(const uint8_t *text, uint64_t length, uint64_t *at, uint64_t *end)
{
  while (*at < length && !is_of_word(text[*at]))
    (*at)++;
  *end = *at;
  while (*end < length && is_of_word(text[*end]))
    (*end)++;
  return *end > *at;
}

/* Where each made-up word of one side stands first. */
struct words {
  const uint8_t *text;
  struct word {
    uint64_t from;
    size_t length; /* 0: the place is free */
  } * table;
  size_t count, room; /* a power of two */
};

static struct word *place_of(const struct words *words, const uint8_t *text, size_t length)
{
  uint64_t hash = UINT64_C(14695981039346656037);
  for (size_t i = 0; i < length; i++)
    hash = (hash ^ text[i]) * UINT64_C(1099511628211);
  size_t at = (size_t)(hash ^ hash >> 29) & (words->room - 1);
  while (words->table[at].length &&
         (words->table[at].length != length || memcmp(words->text + words->table[at].from, text, length) != 0))
    at = (at + 1) & (words->room - 1);
  return &words->table[at];
}

static bool grow(struct words *words)
{
  struct words larger = {.text = words->text, .count = words->count, .room = words->room ? words->room * 2 : 256};
  larger.table = calloc(larger.room, sizeof *larger.table);
  if (!larger.table)
    return false;
  for (size_t i = 0; i < words->room; i++) {
    const struct word *word = &words->table[i];
    if (word->length)
      *place_of(&larger, words->text + word->from, word->length) = *word;
  }
  free(words->table);
  *words = larger;
  return true;
}

static bool learn(struct words *words, const uint8_t *text, uint64_t length)
{
  words->text = text;
  for (uint64_t at = 0, end; next_word(text, length, &at, &end); at = end) {
    size_t size = (size_t)(end - at);
    if (!looks_made_up(text + at, size))
      continue;
    if (words->count * 2 >= words->room && !grow(words))
      return false;
    struct word *word = place_of(words, text + at, size);
    if (word->length)
      continue;
    *word = (struct word){.from = at, .length = size};
    words->count++;
  }
  return true;
}

/* ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The wait in whose reply a byte of the server's stands; waits are in the order of these. */
static size_t wait_of(const struct gg__story *story, uint64_t offset)
{
  size_t low = 0, high = story->wait_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (story->waits[middle].end <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low < story->wait_count && story->waits[low].from <= offset ? low : SIZE_MAX;
}

/* Where text in front of a value may not begin before: the reply's beginning, and behind other credentials. */
static uint64_t readable_from(const struct gg__story *story, uint64_t from, uint64_t value)
{
  for (size_t i = 0; i < story->place_count && !story->secrets; i++) {
    const struct gg__story_secret *place = &story->places[i];
    if (place->side == GG_SIDE_SERVER && place->from < value && place->end > from)
      from = place->end < value ? place->end : value;
  }
  return from;
}

static bool occurs_once(struct gg__story *story, const struct gg__wait *wait, uint64_t from, uint64_t to)
{
  const uint8_t *reply = story->said[GG_SIDE_SERVER] + wait->from, *text = story->said[GG_SIDE_SERVER] + from;
  size_t size = (size_t)(wait->end - wait->from), length = (size_t)(to - from);
  if (size > GG__STORY_SEARCHED_MAX - story->searched)
    return false;
  story->searched += size;
  const uint8_t *first = memmem(reply, size, text, length);
  return first == text && !memmem(first + 1, size - (size_t)(first + 1 - reply), text, length);
}

/* One more word to the left, with what stands between it and what is there already, within the line. */
static uint64_t widen(const uint8_t *text, uint64_t least, uint64_t from)
{
  while (from > least && !is_of_word(text[from - 1]) && text[from - 1] != '\n')
    from--;
  while (from > least && is_of_word(text[from - 1]))
    from--;
  return from;
}

/* The text in front of a value by which it is found; false: none is there only once. */
static bool find_before(struct gg__story *story, const struct gg__wait *wait, struct gg__value *value)
{
  const uint8_t *text = story->said[GG_SIDE_SERVER];
  uint64_t least = readable_from(story, wait->from, value->from), from = value->from;
  if (value->from - least > BEFORE_MAX)
    least = value->from - BEFORE_MAX;
  value->before = from;
  if (value->from == wait->from)
    return true;
  while (from > least && (text[from - 1] == '\n' || text[from - 1] == '\r') && value->from - from < 4)
    from--; /* it begins a line: an empty one in front of a body tells */
  for (unsigned words = 0; words < BEFORE_WORDS; words++) {
    uint64_t wider = from < value->from && !words ? from : widen(text, least, from);
    if (wider == from && words)
      break;
    from = wider;
    if (from < value->from && occurs_once(story, wait, from, value->from)) {
      value->before = from;
      return true;
    }
  }
  return false;
}

static void find_place(struct gg__story *story, struct gg__value *value)
{
  const struct gg__wait *wait = &story->waits[value->wait];
  const uint8_t *text = story->said[GG_SIDE_SERVER];
  value->kind = GG__VALUE_MARKED;
  value->after = value->end;
  if (wait->end > story->length[GG_SIDE_SERVER] || wait->kind == GG__WAIT_HTTP2 || wait->kind == GG__WAIT_WEBSOCKET)
    return;
  if (wait->kind == GG__WAIT_REDIS) {
    const uint8_t *line = memchr(text + wait->from, '\n', (size_t)(wait->end - wait->from));
    bool whole = line && text[wait->from] == '$' && line + 1 == text + value->from && value->end + 2 == wait->end;
    value->kind = whole ? GG__VALUE_BULK : GG__VALUE_MARKED;
    if (text[wait->from] == '$' || text[wait->from] == '*')
      return; /* of others' lengths */
  }
  if (value->end < wait->end)
    value->after = value->end + 1;
  if (find_before(story, wait, value))
    value->kind = GG__VALUE_BETWEEN;
}

static struct gg__value *add_value(struct gg__story *story, uint64_t from, uint64_t end, size_t *index)
{
  for (*index = 0; *index < story->value_count; (*index)++)
    if (story->values[*index].from == from && story->values[*index].end == end)
      return &story->values[*index];
  size_t wait = wait_of(story, from);
  if (wait == SIZE_MAX || story->waits[wait].end < end || story->value_count == GG__STORY_VALUES_MAX)
    return NULL;
  struct gg__value *value = gg__story_more(story, &story->values, &story->value_count, &story->value_room,
                                           sizeof *value, GG__STORY_VALUES_MAX, "values that come back");
  if (!value)
    return NULL;
  *value = (struct gg__value){.wait = wait, .from = from, .end = end};
  find_place(story, value);
  return value;
}

/* ── Where the client says them ──────────────────────────────────────────────────────────────────────────────────── */

static bool wait_within(const struct gg__story *story, const struct gg__story_message *message)
{
  size_t low = 0, high = story->wait_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (story->waits[middle].at <= message->offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low < story->wait_count && story->waits[low].at < message->end;
}

/* Whether what stands there may have another length. */
static bool bears_another_length(const struct gg__story *story, uint64_t from, uint64_t end)
{
  const struct gg__story_message *message = gg__story_message_at(story, GG_SIDE_CLIENT, from);
  if (!message || message->end < end || message->flags & GG_MESSAGE_CUT)
    return false;
  if (strcmp(message->decoder, "http1") == 0) {
    if (message->body && from >= message->body)
      return message->body_end == message->end && !wait_within(story, message);
    return !message->body_begun || end <= message->body_first;
  }
  if (strcmp(message->decoder, "framing") == 0)
    return story->framed && story->framing.kind == GG__FRAMING_DELIMITER;
  if (strcmp(message->decoder, "smtp") == 0)
    return strcmp(message->kind, "command") == 0 && !message->body;
  return strcmp(message->decoder, "redis") == 0 || strcmp(message->decoder, "lines") == 0 ||
         strcmp(message->decoder, "telnet") == 0;
}

static void add_part(struct gg__story *story, uint64_t from, uint64_t end, enum gg__part_kind kind, size_t index)
{
  if (from >= end)
    return;
  struct gg__story_part *part = gg__story_more(story, &story->parts, &story->part_count, &story->part_room,
                                               sizeof *part, GG__STORY_SECRETS_MAX, "values that come back");
  if (part)
    *part = (struct gg__story_part){.from = from, .end = end, .kind = kind, .index = index};
}

/* What the client says at `from` is what the server said at `server`. False: that was not in a reply before it; or it
 * cannot be taken from a live one, and is a credential that must not stand there. */
static bool use_value(struct gg__story *story, uint64_t from, uint64_t end, uint64_t server,
                      const struct gg__value *cookie, bool secret)
{
  size_t index;
  struct gg__value *value = add_value(story, server, server + (end - from), &index);
  if (!value || story->waits[value->wait].at > from)
    return false;
  if (cookie) {
    value->kind = GG__VALUE_COOKIE;
    value->name = cookie->name;
    value->name_length = cookie->name_length;
  }
  bool live = value->kind != GG__VALUE_MARKED && bears_another_length(story, from, end);
  if (!live && secret && !story->secrets)
    return false;
  add_part(story, from, end, live ? GG__PART_VALUE : GG__PART_MARK, index);
  return true;
}

/* Where the server had said the made-up word that the client says at `from`, and to where both go on alike. */
static bool find_word(const struct gg__story *story, const struct words words[2], uint64_t from, uint64_t *end,
                      uint64_t *server)
{
  const uint8_t *said = story->said[GG_SIDE_CLIENT], *heard = story->said[GG_SIDE_SERVER];
  uint64_t begin = from;
  if (!words[GG_SIDE_SERVER].room || !next_word(said, story->length[GG_SIDE_CLIENT], &begin, end) || begin != from ||
      !looks_made_up(said + from, (size_t)(*end - from)))
    return false;
  const struct word *found = place_of(&words[GG_SIDE_SERVER], said + from, (size_t)(*end - from));
  const struct word *own = place_of(&words[GG_SIDE_CLIENT], said + from, (size_t)(*end - from));
  if (!found->length || gg__story_piece_of(story, found->from)->at > own->from)
    return false; /* the client said it first */
  *server = found->from;
  while (*end < story->length[GG_SIDE_CLIENT] && *server + (*end - from) < story->length[GG_SIDE_SERVER] &&
         is_of_value(said[*end]) && said[*end] == heard[*server + (*end - from)])
    (*end)++;
  return true;
}

/* ── Cookies ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* "name=value" at *at, up to a semicolon; without the blanks around. */
static bool next_pair(const uint8_t *text, uint64_t end, uint64_t *at, struct gg__value *pair)
{
  while (*at < end && (text[*at] == ' ' || text[*at] == ';'))
    (*at)++;
  if (*at >= end)
    return false;
  uint64_t stop = *at;
  while (stop < end && text[stop] != ';')
    stop++;
  const uint8_t *equals = memchr(text + *at, '=', (size_t)(stop - *at));
  uint64_t value = equals ? (uint64_t)(equals - text) + 1 : *at;
  *pair = (struct gg__value){.name = *at, .name_length = equals ? value - 1 - *at : 0, .from = value, .end = stop};
  *at = stop;
  return true;
}

/* The latest Set-Cookie that the client knew then, if it has that name and value. */
static bool find_cookie(struct gg__story *story, const struct gg__value *pair)
{
  const uint8_t *said = story->said[GG_SIDE_CLIENT], *heard = story->said[GG_SIDE_SERVER];
  size_t least = story->place_count > GG__STORY_COOKIES_MAX ? story->place_count - GG__STORY_COOKIES_MAX : 0;
  for (size_t i = story->place_count; i > least && pair->name_length; i--) { /* the server's stand last */
    const struct gg__story_secret *place = &story->places[i - 1];
    struct gg__value set;
    uint64_t at = place->from;
    if (place->side != GG_SIDE_SERVER || strcasecmp(place->key, "set-cookie") != 0 ||
        place->end > story->length[GG_SIDE_SERVER] || !next_pair(heard, place->end, &at, &set) ||
        set.name_length != pair->name_length ||
        memcmp(heard + set.name, said + pair->name, (size_t)pair->name_length) != 0)
      continue;
    size_t wait = wait_of(story, set.from);
    if (wait == SIZE_MAX || story->waits[wait].at > pair->from)
      continue; /* it came later */
    return set.end - set.from == pair->end - pair->from && set.end > set.from &&
           memcmp(heard + set.from, said + pair->from, (size_t)(set.end - set.from)) == 0 &&
           use_value(story, pair->from, pair->end, set.from, &set, true);
  }
  return false;
}

/* ── Credentials ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void add_password(struct gg__story *story, const struct gg__story_secret *place, uint64_t from, uint64_t end,
                         const uint8_t *name, size_t name_length)
{
  const uint8_t *said = story->said[GG_SIDE_CLIENT];
  size_t index = 0;
  while (index < story->password_count &&
         (story->passwords[index].end - story->passwords[index].from != end - from ||
          memcmp(said + story->passwords[index].from, said + from, (size_t)(end - from)) != 0))
    index++;
  if (index == story->password_count && end > from) {
    struct gg__story_password *password =
      gg__story_more(story, &story->passwords, &story->password_count, &story->password_room, sizeof *password,
                     GG__STORY_VALUES_MAX, "credentials");
    if (!password)
      return;
    *password = (struct gg__story_password){.from = from, .end = end, .message = place->message, .field = place->field};
    memcpy(password->key, place->key, sizeof password->key);
    size_t used = strlen(password->key), room = sizeof password->key - used;
    if (name_length && name_length + 2 < room) {
      password->key[used] = ' ';
      memcpy(password->key + used + 1, name, name_length);
      password->key[used + 1 + name_length] = '\0';
    }
  }
  add_part(story, from, end, GG__PART_SECRET, index + 1);
}

static void take_cookies(struct gg__story *story, const struct gg__story_secret *place)
{
  struct gg__value pair;
  for (uint64_t at = place->from; next_pair(story->said[GG_SIDE_CLIENT], place->end, &at, &pair) && !story->error;)
    if (!find_cookie(story, &pair) && !story->secrets)
      add_password(story, place, pair.from, pair.end, story->said[GG_SIDE_CLIENT] + pair.name,
                   (size_t)pair.name_length);
}

/* A token that a reply had: all of the place, or what stands behind a scheme ("Bearer "). */
static bool find_token(struct gg__story *story, const struct gg__story_secret *place, const struct words words[2])
{
  const uint8_t *said = story->said[GG_SIDE_CLIENT];
  uint64_t from = place->from, end, server;
  while (from < place->end && is_of_word(said[from]))
    from++;
  from = from < place->end && said[from] == ' ' ? from + 1 : place->from;
  return find_word(story, words, from, &end, &server) && end == place->end &&
         use_value(story, from, end, server, NULL, true);
}

/* Places of the client's, then of the server's, in order; of two that begin alike, the longer one first. */
static int by_side(const void *a, const void *b)
{
  const struct gg__story_secret *left = a, *right = b;
  if (left->side != right->side)
    return left->side == GG_SIDE_CLIENT ? -1 : 1;
  if (left->from != right->from)
    return left->from < right->from ? -1 : 1;
  return left->end == right->end ? 0 : left->end > right->end ? -1 : 1;
}

static void take_credentials(struct gg__story *story, const struct words words[2])
{
  uint64_t done = 0;
  if (story->place_count > 1)
    qsort(story->places, story->place_count, sizeof *story->places, by_side);
  for (size_t i = 0; i < story->place_count && !story->error; i++) {
    struct gg__story_secret place = story->places[i];
    if (place.side != GG_SIDE_CLIENT || place.end <= done)
      continue; /* within another one */
    place.from = place.from > done ? place.from : done;
    place.end = place.end < story->length[GG_SIDE_CLIENT] ? place.end : story->length[GG_SIDE_CLIENT];
    done = place.end;
    if (strcasecmp(place.key, "cookie") == 0)
      take_cookies(story, &place);
    else if (!find_token(story, &place, words) && !story->secrets)
      add_password(story, &place, place.from, place.end, NULL, 0);
  }
}

/* ── Other values ────────────────────────────────────────────────────────────────────────────────────────────────── */

static int by_place(const void *a, const void *b)
{
  const struct gg__story_part *left = a, *right = b;
  if (left->from != right->from)
    return left->from < right->from ? -1 : 1;
  return left->end == right->end ? 0 : left->end > right->end ? -1 : 1; /* the longest first */
}

static bool is_taken(const struct gg__story *story, size_t taken, uint64_t from, uint64_t end)
{
  size_t low = 0, high = taken;
  while (low < high) { /* parts up to `taken` are in order, with nothing shared */
    size_t middle = low + (high - low) / 2;
    if (story->parts[middle].end <= from)
      low = middle + 1;
    else
      high = middle;
  }
  return low < taken && story->parts[low].from < end;
}

/* In order, with nothing shared: what begins within another one is left out, and credentials are none of that. */
static void tidy(struct gg__story *story)
{
  size_t kept = 0;
  if (story->part_count > 1)
    qsort(story->parts, story->part_count, sizeof *story->parts, by_place);
  for (size_t i = 0; i < story->part_count; i++)
    if (!kept || story->parts[i].from >= story->parts[kept - 1].end)
      story->parts[kept++] = story->parts[i];
  story->part_count = kept;
}

static void take_words(struct gg__story *story, const struct words words[2])
{
  const uint8_t *said = story->said[GG_SIDE_CLIENT];
  size_t taken = story->part_count;
  for (uint64_t at = 0, end; next_word(said, story->length[GG_SIDE_CLIENT], &at, &end) && !story->error; at = end) {
    uint64_t server;
    if (find_word(story, words, at, &end, &server) && !is_taken(story, taken, at, end) &&
        story->part_count < GG__STORY_SECRETS_MAX)
      use_value(story, at, end, server, NULL, false);
  }
}

void gg__story_find_values(struct gg__story *story)
{
  struct words words[2] = {{0}, {0}};
  for (unsigned side = 0; side < 2 && !story->error; side++)
    if (!learn(&words[side], story->said[side], story->length[side]))
      story->error = gg_fail(&story->failure, GG_ERR_NOMEM, "no memory for what was said in %s", story->session->id);
  take_credentials(story, words);
  tidy(story);
  take_words(story, words);
  tidy(story);
  free(words[0].table);
  free(words[1].table);
  for (size_t i = 0; i < story->part_count; i++) {
    const struct gg__story_part *part = &story->parts[i];
    if (part->kind == GG__PART_SECRET) {
      struct gg__story_password *password = &story->passwords[part->index - 1];
      password->fixed |= !bears_another_length(story, part->from, part->end);
      continue;
    }
    struct gg__value *value = &story->values[part->index];
    story->waits[value->wait].told = true;
    value->live |= part->kind == GG__PART_VALUE;
    value->marked |= part->kind == GG__PART_MARK;
  }
}
