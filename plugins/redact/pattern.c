/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.c - patterns, as the user writes them, to an automaton.
 *
 * A pattern is taken apart by recursive descent. Each part says which of its states a match of it can begin with, which
 * it can end with, and whether it can be empty; putting two parts behind each other draws an edge from every end of the
 * first to every beginning of the second (Glushkov). A repetition is the part as often as it is repeated, each time
 * read anew from the text, so all is finite: the bounds are those of redact.h, and a pattern beyond them is refused.
 *
 * What has no bound, or looks at what lies beside the match (anchors, \b, look-around, references), is refused.
 *
 * Rejected: a library for regular expressions. PCRE2 does not say how wide a match can be, and matches by trying; in
 * pieces it has to begin again. Hyperscan knows the width, and goes on in pieces, but does not say where what has not
 * ended began: so as much as the widest pattern would be kept out of every idle session's recording.
 */
#include "redact.h"

#include <stdlib.h>
#include <string.h>

struct bits {
  uint64_t word[STATES_MAX / 64];
};

/* A part of a pattern. */
struct part {
  struct bits *first; /* states that a match of it can begin with ... */
  struct bits *last;  /* ... and end with */
  bool empty;         /* or it matches nothing at all */
  size_t width;       /* of its longest match */
};

struct reader {
  struct automaton *automaton;
  const char *at;
  const char *begin;
  unsigned depth;
  bool ignore_case;
  struct gg_failure *failure;
};

/* ── Sets, states, edges ─────────────────────────────────────────────────────────────────────────────────────────── */

static void class_add(uint32_t class[8], uint8_t byte)
{
  class[byte / 32] |= 1U << byte % 32;
}

static bool class_has(const uint32_t class[8], uint8_t byte)
{
  return class[byte / 32] & (1U << byte % 32);
}

static void class_invert(uint32_t class[8])
{
  for (unsigned i = 0; i < 8; i++)
    class[i] = ~class[i];
}

static void class_both_cases(uint32_t class[8])
{
  for (unsigned i = 0; i < 26; i++)
    if (class_has(class, (uint8_t)('a' + i)) || class_has(class, (uint8_t)('A' + i))) {
      class_add(class, (uint8_t)('a' + i));
      class_add(class, (uint8_t)('A' + i));
    }
}

/* The first one from `state` on; STATES_MAX: there is none. */
static uint32_t bits_next(const struct bits *bits, uint32_t state)
{
  for (uint32_t i = state / 64; i < STATES_MAX / 64; i++) {
    uint64_t word = bits->word[i];
    if (i == state / 64)
      word &= ~UINT64_C(0) << state % 64;
    if (word)
      return i * 64 + (uint32_t)__builtin_ctzll(word);
  }
  return STATES_MAX;
}

static void bits_add(struct bits *bits, uint32_t state)
{
  bits->word[state / 64] |= UINT64_C(1) << state % 64;
}

static void bits_join(struct bits *to, const struct bits *from)
{
  for (unsigned i = 0; i < STATES_MAX / 64; i++)
    to->word[i] |= from->word[i];
}

static int state_add(struct automaton *automaton, const uint32_t class[8], struct gg_failure *failure)
{
  if (automaton->state_count == STATES_MAX)
    return gg_plugin_fail(failure, GG_ERR_LIMIT, "all patterns together have more than %d bytes, repetitions counted",
                          STATES_MAX);
  uint32_t made = automaton->state_count++;
  memcpy(automaton->state[made].class, class, sizeof automaton->state[made].class);
  return (int)made;
}

static int edge_add(struct automaton *automaton, uint32_t from, uint32_t to, struct gg_failure *failure)
{
  if (automaton->edge_count == EDGES_MAX)
    return gg_plugin_fail(failure, GG_ERR_LIMIT, "all patterns together are too complicated: %d steps at the most",
                          EDGES_MAX);
  automaton->edge[automaton->edge_count].from = (uint16_t)from;
  automaton->edge[automaton->edge_count++].to = (uint16_t)to;
  return 0;
}

static int join(struct automaton *automaton, const struct bits *last, const struct bits *first,
                struct gg_failure *failure)
{
  int error = 0;
  for (uint32_t i = bits_next(last, 0); i < STATES_MAX && !error; i = bits_next(last, i + 1))
    for (uint32_t j = bits_next(first, 0); j < STATES_MAX && !error; j = bits_next(first, j + 1))
      error = edge_add(automaton, i, j, failure);
  return error;
}

/* ── Parts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void part_fini(struct part *part)
{
  free(part->first);
  free(part->last);
  *part = (struct part){0};
}

/* What matches nothing, and nothing else. */
static int part_init(struct part *part, struct gg_failure *failure)
{
  *part = (struct part){.first = calloc(1, sizeof *part->first), .last = calloc(1, sizeof *part->last), .empty = true};
  if (part->first && part->last)
    return 0;
  part_fini(part);
  return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
}

static int part_of_class(struct automaton *automaton, struct part *part, const uint32_t class[8],
                         struct gg_failure *failure)
{
  int error = part_init(part, failure);
  int state = error ? error : state_add(automaton, class, failure);
  if (state < 0) {
    part_fini(part);
    return state;
  }
  bits_add(part->first, (uint32_t)state);
  bits_add(part->last, (uint32_t)state);
  part->empty = false;
  part->width = 1;
  return 0;
}

/* `part` becomes itself followed by `next`, which is used up. */
static int part_follow(struct automaton *automaton, struct part *part, struct part *next, struct gg_failure *failure)
{
  int error = join(automaton, part->last, next->first, failure);
  part->width += next->width;
  if (part->empty)
    bits_join(part->first, next->first);
  if (!next->empty)
    *part->last = *next->last;
  else
    bits_join(part->last, next->last);
  part->empty = part->empty && next->empty;
  part_fini(next);
  if (!error && part->width > LONGEST)
    error = gg_plugin_fail(failure, GG_ERR_LIMIT, "a match could be longer than %d bytes", LONGEST);
  return error;
}

/* `part` becomes one or the other. */
static void part_or(struct part *part, struct part *other)
{
  bits_join(part->first, other->first);
  bits_join(part->last, other->last);
  part->empty = part->empty || other->empty;
  if (other->width > part->width)
    part->width = other->width;
  part_fini(other);
}

/* The whole pattern: it is one of the automaton's. */
static int part_enter(struct automaton *automaton, struct part *part, struct gg_failure *failure)
{
  bool empty = part->empty;
  for (uint32_t i = bits_next(part->first, 0); i < STATES_MAX; i = bits_next(part->first, i + 1))
    automaton->begins[i] = true;
  for (uint32_t i = bits_next(part->last, 0); i < STATES_MAX; i = bits_next(part->last, i + 1))
    automaton->state[i].accepts = true;
  part_fini(part);
  return empty ? gg_plugin_fail(failure, GG_ERR_INVALID, "it matches nothing, too: at every place") : 0;
}

/* ── Regular expressions ─────────────────────────────────────────────────────────────────────────────────────────── */

static int wrong(const struct reader *reader, const char *what)
{
  return gg_plugin_fail(reader->failure, GG_ERR_INVALID, "at character %zu: %s",
                        (size_t)(reader->at - reader->begin) + 1, what);
}

static int hex_of(char letter)
{
  if (letter >= '0' && letter <= '9')
    return letter - '0';
  if (letter >= 'a' && letter <= 'f')
    return letter - 'a' + 10;
  return letter >= 'A' && letter <= 'F' ? letter - 'A' + 10 : -1;
}

/* What stands behind a backslash: a byte, or with \d and its like a class, of which -1 is returned. */
static int read_escape(struct reader *reader, uint32_t class[8], int *byte)
{
  static const char ends[] = "nrtfv0", bytes[] = "\n\r\t\f\v"; /* and the NUL */
  char letter = *reader->at;
  const char *end = letter ? strchr(ends, letter) : NULL;
  *byte = -1;
  if (end) {
    *byte = (uint8_t)bytes[end - ends];
  } else if (letter == 'x') {
    int high = hex_of(reader->at[1]), low = high < 0 ? -1 : hex_of(reader->at[2]);
    if (low < 0)
      return wrong(reader, "\\x is followed by two hexadecimal digits");
    *byte = high * 16 + low;
    reader->at += 2;
  } else if (letter && strchr("dDwWsS", letter)) {
    for (unsigned i = 0; i < 256; i++) {
      bool digit = i >= '0' && i <= '9', alpha = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') || i == '_';
      bool space = i == ' ' || (i >= '\t' && i <= '\r');
      bool in = (letter | 0x20) == 'd' ? digit : (letter | 0x20) == 'w' ? digit || alpha : space;
      if (in == ((letter & 0x20) != 0))
        class_add(class, (uint8_t)i);
    }
  } else if (letter && strchr("\\.[](){}|?*+^$/-\"'#&~,:;=!@%_<> `", letter)) {
    *byte = (uint8_t)letter;
  } else {
    return wrong(reader,
                 "no such escape here: it is \\n \\r \\t \\f \\v \\0 \\xHH, \\d \\w \\s and their capitals, or a "
                 "sign; what looks beside the match (\\b) or back (\\1) cannot be");
  }
  reader->at++;
  return 0;
}

/* One end of a range, or all there is: *byte -1 is a class that was added. */
static int read_member(struct reader *reader, uint32_t class[8], int *byte)
{
  if (*reader->at == '\\') {
    reader->at++;
    return read_escape(reader, class, byte);
  }
  if (*reader->at == '[' && (reader->at[1] == ':' || reader->at[1] == '.' || reader->at[1] == '='))
    return wrong(reader, "a class by name cannot be: write [A-Za-z0-9]");
  if ((uint8_t)*reader->at > '~')
    return wrong(reader, "a byte beyond ASCII is written as \\xHH");
  *byte = (uint8_t)*reader->at++;
  return 0;
}

/* Behind its [. */
static int read_class(struct reader *reader, uint32_t class[8])
{
  bool inverted = *reader->at == '^';
  reader->at += inverted;
  for (bool first = true; *reader->at != ']' || first; first = false) {
    int low, high;
    if (!*reader->at)
      return wrong(reader, "a [ without its ]");
    int error = read_member(reader, class, &low);
    if (error)
      return error;
    high = low;
    if (reader->at[0] == '-' && reader->at[1] && reader->at[1] != ']') {
      reader->at++;
      error = read_member(reader, class, &high);
      if (error || low < 0 || high < low)
        return error ? error : wrong(reader, "a range runs from a byte to a higher one");
    }
    for (int i = low; i >= 0 && i <= high; i++)
      class_add(class, (uint8_t)i);
  }
  reader->at++;
  if (reader->ignore_case)
    class_both_cases(class);
  if (inverted)
    class_invert(class);
  return 0;
}

static int read_alternatives(struct reader *reader, struct part *part);

/* Behind its (. */
static int read_group(struct reader *reader, struct part *part)
{
  if (reader->at[0] == '?' && reader->at[1] == ':')
    reader->at += 2;
  else if (*reader->at == '?')
    return wrong(reader, "of groups with a ? there is (?:...) only, and (?i) in front of all");
  if (++reader->depth > DEPTH_MAX)
    return wrong(reader, "groups in groups, too deep");
  int error = read_alternatives(reader, part);
  reader->depth--;
  if (error)
    return error;
  if (*reader->at != ')') {
    part_fini(part);
    return wrong(reader, "a ( without its )");
  }
  reader->at++;
  return 0;
}

static int read_atom(struct reader *reader, struct part *part)
{
  uint32_t class[8] = {0};
  int byte = -1, error = 0;
  char letter = *reader->at;
  if (letter == '\0' || letter == '|' || letter == ')')
    return wrong(reader, "something has to stand here");
  if (strchr("*+?{", letter))
    return wrong(reader, "what is repeated has to stand in front, and is repeated once");
  if ((uint8_t)letter > '~')
    return wrong(reader, "a byte beyond ASCII is written as \\xHH; or take a literal");
  if (letter == '^' || letter == '$')
    return wrong(reader, "what looks beside the match cannot be; a \\ makes it a sign");
  reader->at++;
  if (letter == '(')
    return read_group(reader, part);
  if (letter == '[') {
    error = read_class(reader, class);
    return error ? error : part_of_class(reader->automaton, part, class, reader->failure);
  }
  if (letter == '\\') {
    error = read_escape(reader, class, &byte);
  } else if (letter == '.') {
    class_add(class, '\n');
    class_invert(class);
  } else {
    byte = (uint8_t)letter;
  }
  if (error)
    return error;
  if (byte >= 0)
    class_add(class, (uint8_t)byte);
  if (reader->ignore_case)
    class_both_cases(class);
  return part_of_class(reader->automaton, part, class, reader->failure);
}

static int read_number(struct reader *reader, unsigned *out)
{
  const char *begin = reader->at;
  for (*out = 0; *reader->at >= '0' && *reader->at <= '9'; reader->at++)
    if ((*out = *out * 10 + (unsigned)(*reader->at - '0')) > LONGEST)
      return wrong(reader, "too often");
  return reader->at > begin ? 0 : wrong(reader, "a number has to stand here");
}

/* How often what stands in front of it. */
static int read_times(struct reader *reader, unsigned *least, unsigned *most)
{
  int error = 0;
  *least = *most = 1;
  if (*reader->at == '*' || *reader->at == '+')
    return wrong(reader, "it has no upper bound: write {0,64} or {1,64} instead of * or +");
  if (*reader->at == '?') {
    *least = 0;
    reader->at++;
  } else if (*reader->at == '{') {
    reader->at++;
    error = read_number(reader, least);
    *most = *least;
    if (!error && *reader->at == ',') {
      reader->at++;
      if (*reader->at == '}')
        return wrong(reader, "it has no upper bound: write {1,64}");
      error = read_number(reader, most);
    }
    if (!error && (*reader->at++ != '}' || *most < *least || *most == 0))
      error = wrong(reader, "it is repeated {least,most} times, most at least once");
  } else {
    return 0;
  }
  if (!error && *reader->at && strchr("?*+{", *reader->at))
    error = wrong(reader, "a repetition of a repetition: put ( ) around the first one");
  return error;
}

/* What stands from `from` on, once more. */
static int read_again(struct reader *reader, const char *from, struct part *part)
{
  const char *at = reader->at;
  reader->at = from;
  int error = read_atom(reader, part);
  reader->at = at;
  return error;
}

/* `part`, which was read from `from`, least to most times: x x (x (x)?)? */
static int repeat(struct reader *reader, const char *from, struct part *part, unsigned least, unsigned most)
{
  struct part tail;
  int error = part_init(&tail, reader->failure);
  for (unsigned i = 1; i < most && !error; i++) {
    struct part one;
    error = read_again(reader, from, &one);
    if (error)
      break;
    error = part_follow(reader->automaton, &one, &tail, reader->failure);
    one.empty = one.empty || most - i >= least;
    tail = one;
  }
  if (!error)
    error = part_follow(reader->automaton, part, &tail, reader->failure);
  else
    part_fini(&tail);
  part->empty = part->empty || least == 0;
  return error;
}

static int read_sequence(struct reader *reader, struct part *part)
{
  int error = part_init(part, reader->failure);
  do {
    struct part one;
    unsigned least, most;
    const char *from = reader->at;
    if (error || (error = read_atom(reader, &one)) != 0)
      break;
    error = read_times(reader, &least, &most);
    if (!error && (least != 1 || most != 1))
      error = repeat(reader, from, &one, least, most);
    if (!error)
      error = part_follow(reader->automaton, part, &one, reader->failure);
    else
      part_fini(&one);
  } while (!error && *reader->at && *reader->at != '|' && *reader->at != ')');
  if (error)
    part_fini(part);
  return error;
}

static int read_alternatives(struct reader *reader, struct part *part)
{
  int error = read_sequence(reader, part);
  while (!error && *reader->at == '|') {
    struct part other;
    reader->at++;
    error = read_sequence(reader, &other);
    if (!error)
      part_or(part, &other);
    else
      part_fini(part);
  }
  return error;
}

int automaton_add_regex(struct automaton *automaton, const char *text, bool ignore_case, struct gg_failure *failure)
{
  struct reader reader = {automaton, text, text, 0, ignore_case, failure};
  struct part part;
  if (strncmp(text, "(?i)", 4) == 0) {
    reader.ignore_case = true;
    reader.at += 4;
  }
  int error = read_alternatives(&reader, &part);
  if (error)
    return error;
  if (*reader.at) {
    part_fini(&part);
    return wrong(&reader, "a ) without its (");
  }
  return part_enter(automaton, &part, failure);
}

/* ── Literals, and bytes ─────────────────────────────────────────────────────────────────────────────────────────── */

/* A chain of classes. */
struct chain {
  struct automaton *automaton;
  int first, last; /* -1: there is none yet */
  size_t length;
  struct gg_failure *failure;
};

static int chain_add(struct chain *chain, const uint32_t class[8])
{
  int error = 0, state;
  if (chain->length++ == LONGEST)
    return gg_plugin_fail(chain->failure, GG_ERR_LIMIT, "it is longer than %d bytes", LONGEST);
  state = state_add(chain->automaton, class, chain->failure);
  if (state < 0)
    return state;
  if (chain->last >= 0)
    error = edge_add(chain->automaton, (uint32_t)chain->last, (uint32_t)state, chain->failure);
  else
    chain->first = state;
  chain->last = state;
  return error;
}

static int chain_enter(const struct chain *chain)
{
  if (chain->last < 0)
    return gg_plugin_fail(chain->failure, GG_ERR_INVALID, "it is empty");
  chain->automaton->begins[chain->first] = true;
  chain->automaton->state[chain->last].accepts = true;
  return 0;
}

int automaton_add_literal(struct automaton *automaton, const char *text, bool ignore_case, struct gg_failure *failure)
{
  struct chain chain = {automaton, -1, -1, 0, failure};
  int error = 0;
  for (; *text && !error; text++) {
    uint32_t class[8] = {0};
    class_add(class, (uint8_t)*text);
    if (ignore_case)
      class_both_cases(class);
    error = chain_add(&chain, class);
  }
  return error ? error : chain_enter(&chain);
}

int automaton_add_bytes(struct automaton *automaton, const char *text, struct gg_failure *failure)
{
  struct chain chain = {automaton, -1, -1, 0, failure};
  bool all = true;
  int error = 0;
  for (const char *at = text; *at && !error; at++) {
    uint32_t class[8] = {0};
    if (*at == ' ')
      continue;
    int high = hex_of(at[0]), low = at[1] ? hex_of(at[1]) : -1;
    if ((high < 0 && at[0] != '?') || (low < 0 && at[1] != '?'))
      return gg_plugin_fail(failure, GG_ERR_INVALID,
                            "at character %zu: bytes are two hexadecimal digits each, of which ? is any",
                            (size_t)(at - text) + 1);
    for (int i = 0; i < 256; i++)
      if ((high < 0 || i / 16 == high) && (low < 0 || i % 16 == low))
        class_add(class, (uint8_t)i);
    all = all && high < 0 && low < 0;
    error = chain_add(&chain, class);
    at++;
  }
  if (!error && all && chain.length > 0)
    return gg_plugin_fail(failure, GG_ERR_INVALID, "it is any bytes, so everything would be masked");
  return error ? error : chain_enter(&chain);
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Sorts the edges by where they come from. */
static void sort_edges(struct automaton *automaton)
{
  uint32_t next[STATES_MAX + 1] = {0};
  for (uint32_t i = 0; i < automaton->edge_count; i++)
    next[automaton->edge[i].from + 1]++;
  for (uint32_t i = 0; i < STATES_MAX; i++)
    next[i + 1] += next[i];
  memcpy(automaton->follow_at, next, sizeof next);
  for (uint32_t i = 0; i < automaton->edge_count; i++)
    automaton->follow[next[automaton->edge[i].from]++] = automaton->edge[i].to;
}

int automaton_finish(struct automaton *automaton, struct gg_failure *failure)
{
  uint32_t count = 0;
  sort_edges(automaton);
  for (uint32_t pass = 0; pass < 2; pass++) {
    count = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
      automaton->begin_at[byte] = count;
      for (uint32_t i = 0; i < automaton->state_count; i++)
        if (automaton->begins[i] && class_has(automaton->state[i].class, (uint8_t)byte)) {
          if (automaton->begin)
            automaton->begin[count] = (uint16_t)i;
          count++;
        }
    }
    automaton->begin_at[256] = count;
    if (pass == 0 && !(automaton->begin = calloc(count + 1, sizeof *automaton->begin)))
      return gg_plugin_fail(failure, GG_ERR_NOMEM, "out of memory");
  }
  return 0;
}

void automaton_fini(struct automaton *automaton)
{
  free(automaton->begin);
  automaton->begin = NULL;
}
