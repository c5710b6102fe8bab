/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of filters: what an operator and a text make of a field.
 *
 * Numbers, times and flags become a range of whole numbers with both ends in it, whichever operator was written, so
 * that there is one form to evaluate and to compile: > 5 is 6.., and > of the greatest number there is has no number in
 * it. A date alone is a range to begin with, the whole day: `start = 2026-11-01` is all of it, `>` is after it, `<` is
 * before it.
 */
#include "base/clock.h"
#include "base/text.h"
#include "net/addr.h"
#include "store/filter_ast.h"

#include <gogetway/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATE_LENGTH = 10, ID_DIGITS_MAX = 24 };

const char *gg__value_show(const char *text, size_t length, char shown[GG__SHOWN_MAX])
{
  size_t most = 60;
  gg_text_sanitize(shown, GG__SHOWN_MAX, text, length < most ? length : most, GG_TEXT_ONE_LINE);
  return shown;
}

static const char *nearest_name(const struct gg__field *field, const char *value)
{
  size_t count = 0;
  while (field->names && field->names[count])
    count++;
  size_t nearest = count > 0 ? gg_text_nearest(value, field->names, count) : 0;
  return nearest < count ? field->names[nearest] : NULL;
}

static int wrong(const struct gg__field *field, const struct gg__value *value, struct gg_failure *failure)
{
  char shown[GG__SHOWN_MAX];
  const char *nearest = nearest_name(field, value->text), *name = field->shown.name;
  gg__value_show(value->text, value->length, shown);
  if (nearest)
    return gg_fail(failure, GG_ERR_INVALID, "%s='%s' is not known; did you mean '%s'? right would be %s", name, shown,
                   nearest, gg__field_form(field));
  return gg_fail(failure, GG_ERR_INVALID, "%s='%s' is not understood; right would be %s", name, shown,
                 gg__field_form(field));
}

static int no_moment(const struct gg__field *field, const struct gg__value *value, struct gg_failure *failure)
{
  char shown[GG__SHOWN_MAX];
  gg__value_show(value->text, value->length, shown);
  return gg_fail(failure, GG_ERR_INVALID,
                 "%s='%s' is no moment, and a rule that stays while time goes on needs one: 2026-01-31 or "
                 "2026-01-31T12:00:00Z",
                 field->shown.name, shown);
}

/* ── Numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A span before now ("1h", "-1h"), "now", a date, or RFC 3339. To a filter that is kept there is no now. */
static bool read_time(const struct gg__value *value, const char *text, uint64_t *from, uint64_t *to)
{
  uint64_t span;
  const char *bare = text[0] == '-' ? text + 1 : text;
  if (value->now_ns > 0 && strcmp(text, "now") == 0) {
    *from = *to = value->now_ns;
    return true;
  }
  if (value->now_ns > 0 && gg_text_parse_duration(&span, bare) == 0) {
    *from = *to = span < value->now_ns ? value->now_ns - span : 0;
    return true;
  }
  if (gg_clock_parse(from, text) != 0)
    return false;
  *to = *from;
  if (strlen(text) == DATE_LENGTH)
    *to += 24 * 3600 * GG_NS_PER_S - 1;
  return true;
}

static bool is_span(const char *text)
{
  uint64_t span;
  return gg_text_parse_duration(&span, text[0] == '-' ? text + 1 : text) == 0;
}

/* One number, as a range: all but dates begin and end at it. */
static bool read_number(const struct gg__field *field, const struct gg__value *value, const char *text, uint64_t *from,
                        uint64_t *to)
{
  int error;
  switch (field->kind) {
  case GG__KIND_TIME:
    return read_time(value, text, from, to);
  case GG__KIND_BYTES:
    error = gg_text_parse_bytes(from, text);
    break;
  case GG__KIND_DURATION:
    error = gg_text_parse_duration(from, text);
    break;
  default:
    error = gg_text_parse_count(from, text);
    break;
  }
  *to = *from;
  return error == 0 && (field->kind != GG__KIND_PORT || *from <= 65535);
}

/* "N", "N..", "..M", "N..M". */
static bool read_range(const struct gg__field *field, const struct gg__value *value, uint64_t *from, uint64_t *to)
{
  char left[GG_FILTER_VALUE_BYTES_MAX + 1];
  const char *dots = strstr(value->text, ".."), *right = dots ? dots + 2 : "";
  uint64_t ignored;
  if (!dots)
    return read_number(field, value, value->text, from, to);
  size_t length = (size_t)(dots - value->text);
  if (length == 0 && !*right)
    return false;
  memcpy(left, value->text, length);
  left[length] = '\0';
  *from = 0;
  *to = UINT64_MAX;
  if (length > 0 && !read_number(field, value, left, from, &ignored))
    return false;
  if (*right && !read_number(field, value, right, &ignored, to))
    return false;
  return *from <= *to;
}

static void make_never(struct gg__test *test)
{
  test->from = 1;
  test->to = 0;
}

static void turn(struct gg__test *test, enum gg__comparison comparison)
{
  uint64_t from = test->from, to = test->to;
  switch (comparison) {
  case GG__BELOW:
    test->from = 0;
    test->to = from - 1;
    if (from == 0)
      make_never(test);
    break;
  case GG__AT_MOST:
    test->from = 0;
    break;
  case GG__ABOVE:
    test->from = to + 1;
    test->to = UINT64_MAX;
    if (to == UINT64_MAX)
      make_never(test);
    break;
  case GG__AT_LEAST:
    test->to = UINT64_MAX;
    break;
  default:
    break;
  }
}

static int make_number(struct gg__test *test, enum gg__comparison comparison, const struct gg__value *value,
                       struct gg_failure *failure)
{
  const struct gg__field *field = test->field;
  test->form = GG__TEST_RANGE;
  bool range = strstr(value->text, "..") != NULL;
  if (range && (comparison != GG__IS || field->sense != GG__SENSE_OWN))
    return gg_fail(failure, GG_ERR_INVALID, "%s: a range needs =, and a field that takes one: %s", field->shown.name,
                   field->sense != GG__SENSE_OWN ? "start=2h..1h" : field->shown.example);
  if (!read_range(field, value, &test->from, &test->to))
    return field->kind == GG__KIND_TIME && value->now_ns == 0 ? no_moment(field, value, failure)
                                                              : wrong(field, value, failure);
  if (field->kind == GG__KIND_TIME && field->sense == GG__SENSE_OWN && comparison == GG__IS && is_span(value->text))
    return gg_fail(failure, GG_ERR_INVALID,
                   "%s is no moment to the nanosecond: %s>-%s, %s<-%s, or a range as %s=2h..1h", field->shown.name,
                   field->shown.name, value->text + (value->text[0] == '-'), field->shown.name,
                   value->text + (value->text[0] == '-'), field->shown.name);
  if (field->sense == GG__SENSE_UNTIL)
    test->to = test->from; /* a date is its beginning */
  if (field->sense == GG__SENSE_SINCE)
    turn(test, GG__AT_LEAST);
  else
    turn(test, field->sense == GG__SENSE_UNTIL ? GG__AT_MOST : comparison);
  return 0;
}

static int make_flag(struct gg__test *test, const struct gg__value *value, struct gg_failure *failure)
{
  bool truth;
  test->form = GG__TEST_RANGE;
  if (gg_text_parse_bool(&truth, value->text) != 0)
    return wrong(test->field, value, failure);
  test->from = test->to = truth;
  return 0;
}

/* ── Texts ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int keep_text(struct gg__test *test, const struct gg__value *value, struct gg_failure *failure)
{
  test->text = malloc(value->length + 1);
  if (!test->text)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the filter");
  memcpy(test->text, value->text, value->length + 1);
  test->length = value->length;
  return 0;
}

/* The prefix with its last byte one greater, without those that cannot be. */
static int keep_bound(struct gg__test *test, size_t prefix_length, struct gg_failure *failure)
{
  size_t length = prefix_length;
  test->prefix_length = prefix_length;
  while (length > 0 && (unsigned char)test->text[length - 1] == 0xff)
    length--;
  if (length == 0)
    return 0;
  test->bound = calloc(1, length + 1);
  if (!test->bound)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the filter");
  memcpy(test->bound, test->text, length);
  test->bound[length - 1] = (char)(test->bound[length - 1] + 1);
  return 0;
}

/* Names with * and ? in them, unless they stand in quotes. */
static int make_text(struct gg__test *test, const struct gg__value *value, struct gg_failure *failure)
{
  const struct gg__field *field = test->field;
  bool glob = !value->quoted && strpbrk(value->text, "*?");
  bool several = field->fact || field->second_column || field->kind == GG__KIND_TAGS; /* and an empty one is none */
  if (value->length == 0 && (!value->quoted || several))
    return wrong(field, value, failure);
  test->form = glob ? GG__TEST_GLOB : GG__TEST_EQUAL;
  bool known = !field->names || glob || value->length == 0;
  for (size_t i = 0; !known && field->names[i]; i++)
    known = strcmp(field->names[i], value->text) == 0;
  if (!known)
    return wrong(field, value, failure);
  int error = keep_text(test, value, failure);
  return error || !glob ? error : keep_bound(test, strcspn(test->text, "*?"), failure);
}

static int make_id(struct gg__test *test, const struct gg__value *value, struct gg_failure *failure)
{
  bool none = value->length == 0 && value->quoted; /* `original = ""`: of no replay */
  test->form = none ? GG__TEST_EQUAL : GG__TEST_PREFIX;
  size_t digits = strspn(value->text, "0123456789abcdefABCDEF");
  if (!none && (digits == 0 || digits != value->length || digits > ID_DIGITS_MAX))
    return wrong(test->field, value, failure);
  int error = keep_text(test, value, failure);
  for (size_t i = 0; !error && i < test->length; i++)
    test->text[i] = (char)(test->text[i] >= 'A' && test->text[i] <= 'F' ? test->text[i] + 32 : test->text[i]);
  return error || none ? error : keep_bound(test, test->length, failure);
}

static int make_regex(struct gg__test *test, struct gg__value *value, struct gg_failure *failure)
{
  test->form = GG__TEST_REGEX;
  if (value->length == 0)
    return gg_fail(failure, GG_ERR_INVALID, "%s~ needs a regular expression", test->field->shown.name);
  if (value->length > GG_FILTER_REGEX_BYTES_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "a regular expression has at most %d bytes", GG_FILTER_REGEX_BYTES_MAX);
  return gg__regex_create(&test->regex, value->text, value->length, &value->wrong_at, failure);
}

/* ── Addresses ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_key(uint8_t key[GG__ADDRESS_KEY_BYTES], const struct gg_addr *addr)
{
  key[0] = addr->family;
  memcpy(key + 1, addr->ip, sizeof addr->ip);
}

static void put_network(struct gg__test *test, const struct gg_network *network)
{
  unsigned bits = network->base.family == GG_FAMILY_IPV4 ? 32 : 128;
  put_key(test->key[0], &network->base);
  put_key(test->key[1], &network->base);
  for (unsigned bit = network->prefix; bit < bits; bit++)
    test->key[1][1 + bit / 8] = (uint8_t)(test->key[1][1 + bit / 8] | 0x80u >> bit % 8);
}

static int make_address(struct gg__test *test, const struct gg__value *value, struct gg_failure *failure)
{
  struct gg_addr addr = {0};
  struct gg_network network;
  char bare[GG_ADDR_TEXT_MAX];
  const char *text = value->text;
  size_t length = value->length;
  test->form = GG__TEST_NETWORK;
  test->port = -1;
  bool is_unix = strcmp(text, "unix") == 0;
  if (is_unix || gg_addr_parse(&addr, text) == 0) {
    addr.family = is_unix ? (uint8_t)GG_FAMILY_UNIX : addr.family;
    test->port = is_unix ? -1 : addr.port;
    put_key(test->key[0], &addr);
    put_key(test->key[1], &addr);
    return 0;
  }
  /* "[::1]": as with a port, for who leaves the port out. */
  if (length > 2 && length < sizeof bare && text[0] == '[' && text[length - 1] == ']' && strchr(text, ':')) {
    memcpy(bare, text + 1, length - 2);
    bare[length - 2] = '\0';
    text = bare;
  }
  if (gg_network_parse(&network, text, NULL) != 0)
    return wrong(test->field, value, failure);
  put_network(test, &network);
  return 0;
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int check_operator(const struct gg__field *field, enum gg__comparison comparison, struct gg_failure *failure)
{
  const char *name = field->shown.name;
  bool number = gg__field_is_number(field) || field->kind == GG__KIND_FLAG;
  if (comparison == GG__LIKE && number)
    return gg_fail(failure, GG_ERR_INVALID, "%s is no text for a regular expression; right would be %s", name,
                   field->shown.example);
  if (comparison == GG__IS || comparison == GG__LIKE)
    return 0;
  if (field->sense != GG__SENSE_OWN)
    return gg_fail(failure, GG_ERR_INVALID, "%s takes only =; with < and > there are start and end", name);
  if (!gg__field_is_number(field))
    return gg_fail(failure, GG_ERR_INVALID, "%s has no order: it takes =, != and in%s", name,
                   field->kind == GG__KIND_FLAG ? "" : ", ~ and !~");
  return 0;
}

int gg__test_make(struct gg__test *test, const struct gg__field *field, enum gg__comparison comparison,
                  struct gg__value *value, struct gg_failure *failure)
{
  *test = (struct gg__test){.field = field, .port = -1};
  int error = check_operator(field, comparison, failure);
  if (error)
    return error;
  if (value->length > GG_FILTER_VALUE_BYTES_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "a value has at most %d bytes", GG_FILTER_VALUE_BYTES_MAX);
  if (strlen(value->text) != value->length)
    return wrong(field, value, failure);
  if (comparison == GG__LIKE)
    return make_regex(test, value, failure);
  switch (field->kind) {
  case GG__KIND_TEXT:
  case GG__KIND_TAGS:
  case GG__KIND_ENUM:
    return make_text(test, value, failure);
  case GG__KIND_ID:
    return make_id(test, value, failure);
  case GG__KIND_ADDRESS:
    return make_address(test, value, failure);
  case GG__KIND_FLAG:
    return make_flag(test, value, failure);
  default:
    return make_number(test, comparison, value, failure);
  }
}

void gg__test_fini(struct gg__test *test)
{
  free(test->text);
  free(test->bound);
  gg__regex_destroy(test->regex);
}
