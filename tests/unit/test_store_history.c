/* SPDX-License-Identifier: Apache-2.0 */
/* Every conn_state, from conversations made by hand, packet by packet, in a capture of somebody else's and in our own
 * recordings; and what histories say of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "record/packet.h"
#include "store/history.h"
#include "store_files.h"

#include <gogetway/store.h>

/* ── From letters ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void states(void **state)
{
  (void)state;
  static const struct {
    const char *history, *silent, *said; /* conn_state without a byte, and with some */
  } cases[] = {
    {"S", "S0", "S0"},           {"Sa", "S0", "S0"}, /* an ACK before its SYN begins nothing */
    {"ShA", "S1", "S1"},         {"ShADad", "S1", "S1"},      {"ShR", "RSTO", "RSTO"},
    {"ShADadFf", "SF", "SF"},    {"ShADaFdf", "SF", "SF"},    {"ShAfF", "SF", "SF"},
    {"Sr", "REJ", "REJ"},        {"SrR", "REJ", "RSTR"},      {"ShADF", "S2", "S2"},
    {"ShADFa", "S2", "S2"},      {"ShADdf", "S3", "S3"},      {"ShADR", "RSTO", "RSTO"},
    {"ShADFaR", "RSTO", "RSTO"}, {"ShADdfR", "RSTO", "RSTO"}, {"ShADr", "RSTR", "RSTR"},
    {"ShADFr", "RSTR", "RSTR"},  {"ShAr", "RSTR", "RSTR"},    {"ShArR", "REJ", "RSTR"}, /* both, and never a byte */
    {"ShADfFr", "SF", "SF"}, /* a reset behind both ends says nothing */
    {"ShADfrF", "SF", "SF"}, /* ... nor does one behind its own, before the other's */
    {"SR", "RSTOS0", "RSTOS0"},  {"SWR", "RSTOS0", "RSTOS0"}, {"SAR", "OTH", "OTH"},
    {"hr", "RSTRH", "RSTRH"},    {"^hr", "RSTRH", "RSTRH"},   {"^hR", "RSTO", "RSTO"},
    {"SF", "SH", "SH"},          {"Q", "SH", "SH"}, /* SYN with FIN, as port scanners send it */
    {"hf", "SHR", "SHR"},        {"^hf", "SHR", "SHR"},       {"hAF", "S2", "S2"}, /* only the SYN was missed */
    {"D", "OTH", "OTH"},         {"Dd", "OTH", "OTH"},        {"DdA", "OTH", "OTH"},
    {"DdFf", "SF", "SF"}, /* joined late, and seen to end */
    {"Ddr", "RSTRH", "RSTRH"},   {"DdR", "OTH", "OTH"},       {"R", "OTH", "OTH"},
    {"I", "OTH", "OTH"},         {"Dgt", "OTH", "OTH"},       {"ShADadGgTtWwFf", "SF", "SF"},
    {"", "OTH", "OTH"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char found[GG_CONN_STATE_BYTES];
    gg__history_state(cases[i].history, true, found);
    if (strcmp(found, cases[i].silent) != 0)
      fail_msg("%s, silent: %s instead of %s", cases[i].history, found, cases[i].silent);
    gg__history_state(cases[i].history, false, found);
    if (strcmp(found, cases[i].said) != 0)
      fail_msg("%s: %s instead of %s", cases[i].history, found, cases[i].said);
  }
}

static void the_longest(void **state)
{
  (void)state;
  struct gg__history history = {.text = ""};
  gg__history_mark(&history, 0, GG__FLIPPED);
  for (int round = 0; round < 2; round++)
    for (int letter = 0; letter < GG__FLIPPED; letter++) {
      gg__history_mark(&history, 0, (enum gg__letter)letter);
      gg__history_mark(&history, 1, (enum gg__letter)letter);
    }
  assert_string_equal(history.text, "^SsHhAaDdFfRrGgTtWwIiQq");
  assert_int_equal(strlen(history.text), GG_HISTORY_BYTES - 1);
  char joined[GG_HISTORY_BYTES] = "ShA";
  gg__history_join(joined, "DAd");
  assert_string_equal(joined, "ShADd");
  gg__history_join(joined, history.text);
  gg__history_join(joined, "xyz"); /* bounded, whatever comes */
  assert_int_equal(strlen(joined), GG_HISTORY_BYTES - 1);
}

/* ── From packets ────────────────────────────────────────────────────────────────────────────────────────────────── */

struct flow {
  struct files files;
  uint32_t sequence[2];
};

/* A packet of somebody else's capture: "S", "SA", "A", "F", "R", ..., `bytes` of payload at `sequence`. */
static void put(struct flow *flow, int side, const char *flags, uint32_t sequence, uint32_t bytes, uint16_t window)
{
  struct gg_addr end[2];
  struct files *files = &flow->files;
  static const char names[] = "FSRPAU";
  struct gg_packet packet = {
    .from = &end[side], .to = &end[!side], .time_ns = files->time_ns, .sequence = sequence, .payload_bytes = bytes};
  gg_addr_parse(&end[0], "192.0.2.1:40000");
  gg_addr_parse(&end[1], "203.0.113.5:80");
  for (; *flags; flags++)
    packet.flags |= (uint8_t)(1u << (strchr(names, *flags) - names));
  uint8_t *at = files->bytes + files->length;
  for (uint32_t i = 0; i < bytes; i++)
    at[gg_packet_payload_offset(false) + i] = (uint8_t)('a' + (sequence + i) % 26);
  files->length += gg_packet_write(at, &packet);
  at[28 + 14 + 20 + 14] = (uint8_t)(window >> 8);
  at[28 + 14 + 20 + 15] = (uint8_t)window;
  files->time_ns += 1000000;
}

/* The next packet of a side, in order. */
static void next(struct flow *flow, int side, const char *flags, uint32_t bytes)
{
  put(flow, side, flags, flow->sequence[side], bytes, 1000);
  flow->sequence[side] += bytes + (strpbrk(flags, "SF") != NULL);
}

static void flow_begin(struct flow *flow)
{
  *flow = (struct flow){.sequence = {1000, 5000}};
  files_begin(&flow->files);
  files_segment(&flow->files, "0001.pcapng");
}

static void flow_end(struct flow *flow, const char *history, const char *conn_state)
{
  struct gg_store *store = NULL;
  struct gg_session_list *list = NULL;
  files_write(&flow->files);
  assert_int_equal(gg_store_open(&store, flow->files.segment, NULL, NULL), 0);
  assert_int_equal(gg_store_query(store, NULL, &list, NULL), 0);
  assert_int_equal(gg_session_list_count(list), 1);
  const struct gg_session *session = gg_session_list_at(list, 0);
  assert_true(session->foreign);
  assert_string_equal(session->client, "192.0.2.1:40000");
  assert_string_equal(session->history, history);
  assert_string_equal(session->conn_state, conn_state);
  gg_session_list_destroy(list);
  gg_store_close(store);
  files_end(&flow->files);
}

static void shake(struct flow *flow)
{
  next(flow, 0, "S", 0);
  next(flow, 1, "SA", 0);
  next(flow, 0, "A", 0);
}

static void an_ordinary_conversation(void **state)
{
  (void)state;
  struct flow flow;
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 0, "PA", 10);
  next(&flow, 1, "A", 0);
  next(&flow, 1, "PA", 20);
  next(&flow, 0, "A", 0);
  next(&flow, 0, "FA", 0);
  next(&flow, 1, "FA", 0);
  next(&flow, 0, "A", 0);
  flow_end(&flow, "ShADadFf", "SF");
}

static void a_fin_with_data(void **state)
{
  (void)state;
  struct flow flow;
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 0, "FPA", 10); /* is an F and nothing else */
  flow_end(&flow, "ShAF", "S2");
}

static void what_nobody_answers(void **state)
{
  (void)state;
  struct flow flow;
  flow_begin(&flow);
  put(&flow, 0, "S", 1000, 0, 1000);
  put(&flow, 0, "S", 1000, 0, 1000);
  flow_end(&flow, "S", "S0");
  flow_begin(&flow);
  next(&flow, 0, "S", 0);
  next(&flow, 1, "RA", 0);
  flow_end(&flow, "Sr", "REJ");
  flow_begin(&flow);
  next(&flow, 0, "S", 0);
  next(&flow, 0, "R", 0);
  flow_end(&flow, "SR", "RSTOS0");
  flow_begin(&flow);
  next(&flow, 0, "S", 0);
  next(&flow, 0, "F", 0);
  flow_end(&flow, "SF", "SH");
}

static void what_was_joined_late(void **state)
{
  (void)state;
  struct flow flow;
  flow_begin(&flow);
  next(&flow, 1, "SA", 0); /* its sender is the server, though it speaks first */
  next(&flow, 1, "RA", 0);
  flow_end(&flow, "^hr", "RSTRH");
  flow_begin(&flow);
  next(&flow, 1, "SA", 0);
  next(&flow, 1, "FA", 0);
  flow_end(&flow, "^hf", "SHR");
  flow_begin(&flow);
  next(&flow, 0, "PA", 5);
  next(&flow, 1, "PA", 5);
  flow_end(&flow, "Dd", "OTH");
  flow_begin(&flow);
  next(&flow, 1, "PA", 5); /* the lower port is the server's */
  next(&flow, 0, "PA", 5);
  flow_end(&flow, "^dD", "OTH");
}

static void resets(void **state)
{
  (void)state;
  struct flow flow;
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 0, "R", 0);
  flow_end(&flow, "ShAR", "RSTO");
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 0, "PA", 3);
  next(&flow, 1, "RA", 0);
  flow_end(&flow, "ShADr", "RSTR");
}

static void half_closes(void **state)
{
  (void)state;
  struct flow flow;
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 0, "FA", 0);
  next(&flow, 1, "A", 0);
  next(&flow, 1, "PA", 3);
  flow_end(&flow, "ShAFad", "S2");
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 1, "FA", 0);
  next(&flow, 0, "PA", 3);
  flow_end(&flow, "ShAfD", "S3");
}

static void what_is_wrong_with_packets(void **state)
{
  (void)state;
  struct flow flow;
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 0, "PA", 10);
  put(&flow, 0, "PA", 1001, 10, 1000); /* the same again */
  put(&flow, 1, "A", 5001, 0, 0);      /* no window */
  flow_end(&flow, "ShADTaw", "S1");
  flow_begin(&flow);
  shake(&flow);
  put(&flow, 1, "PA", 5001, 10, 1000);
  put(&flow, 1, "PA", 5021, 10, 1000); /* ten bytes are missing in front, which never come */
  flow_end(&flow, "ShAdg", "S1");
  flow_begin(&flow);
  shake(&flow);
  put(&flow, 0, "PA", 1011, 10, 1000); /* early */
  put(&flow, 0, "PA", 1001, 10, 1000); /* late: not to be told from one that came again */
  flow_end(&flow, "ShADT", "S1");
  flow_begin(&flow);
  next(&flow, 0, "SF", 0);
  flow_end(&flow, "Q", "SH");
  flow_begin(&flow);
  shake(&flow);
  next(&flow, 1, "FR", 0);
  flow_end(&flow, "ShAi", "RSTR");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(states),
    cmocka_unit_test(the_longest),
    cmocka_unit_test(an_ordinary_conversation),
    cmocka_unit_test(a_fin_with_data),
    cmocka_unit_test(what_nobody_answers),
    cmocka_unit_test(what_was_joined_late),
    cmocka_unit_test(resets),
    cmocka_unit_test(half_closes),
    cmocka_unit_test(what_is_wrong_with_packets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
