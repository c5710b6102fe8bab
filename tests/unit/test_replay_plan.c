/* SPDX-License-Identifier: Apache-2.0 */
/* A plan has the sessions, chunks and bytes of its recording, and its steps are what a client can play. */
#include "plan_compare.h"
#include "store_files.h"

#include <stdio.h>

static void fill(uint8_t *data, size_t length, uint32_t seed)
{
  for (size_t i = 0; i < length; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (uint8_t)(seed >> 24);
  }
}

/* How the next session closes. */
static const char *close_text = "client-fin";

static void closing(const void *session, struct gg_json *json)
{
  (void)session;
  gg_json_field_string(json, "close", close_text);
}

static void close_as(struct files *files, struct talk *talk, enum gg_closing how, const char *text)
{
  close_text = text;
  files->length += gg_conversation_close(&talk->conversation, how, closing, files->bytes + files->length, files->number,
                                         files->time_ns);
  files->time_ns += 1000000;
}

/* The kinds of a session's steps, one letter each: SEND S, EXPECT E, gaps s e, ends F f, resets R r, OVER '.' */
static void letters_of(struct gg_plan *plan, size_t index, char *text, size_t size)
{
  static const char letters[] = "SEseFfRr.";
  struct gg_script *script = gg__plan_script(plan);
  struct gg_cursor cursor = script->ops->steps(script, index);
  struct gg_step step;
  size_t length = 0;
  uint64_t last_ns = 0;
  while (script->ops->next(script, &cursor, &step, NULL) == 1 && length + 1 < size) {
    assert_true(step.time_ns >= last_ns);
    last_ns = step.time_ns;
    text[length++] = letters[step.kind];
  }
  text[length] = '\0';
}

static struct gg_script_session facts_of(struct gg_plan *plan, size_t index)
{
  struct gg_script *script = gg__plan_script(plan);
  struct gg_script_session session;
  script->ops->session(script, index, &session);
  return session;
}

static void a_dialog(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  char text[32];
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "one\r\n", 5);
  talk_say(&files, &talk, GG_FROM_CLIENT, "two\r\n", 5);
  talk_say(&files, &talk, GG_FROM_SERVER, "ok\r\n", 4);
  talk_say(&files, &talk, GG_FROM_CLIENT, "three\r\n", 7);
  talk_close(&files, &talk);
  files_write(&files);
  assert_int_equal(compare_with_store(files.dir, NULL), 1);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  letters_of(plan, 0, text, sizeof text);
  assert_string_equal(text, "SSESFf.");
  struct gg_script_session session = facts_of(plan, 0);
  assert_int_equal(session.chunks, 3);
  assert_int_equal(session.dependent, 1);
  assert_int_equal(session.service, 0);
  assert_false(session.refused);
  assert_null(session.opaque);
  gg__plan_destroy(plan);
  files_end(&files);
}

/* Sessions that interleave over segments, with chunks of many packets, more steps than a block has, and no end. */
static void many_at_once(void **state)
{
  (void)state;
  enum { SESSIONS = 20, SEGMENTS = 5, ROUNDS = 40, BYTES_MAX = 300000 };
  struct files files;
  static struct talk talks[SESSIONS];
  uint8_t *data = malloc(BYTES_MAX);
  assert_non_null(data);
  fill(data, BYTES_MAX, 7);
  files_begin(&files);
  for (unsigned segment = 0; segment < SEGMENTS; segment++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", segment);
    files_segment(&files, name);
    for (unsigned i = 0; segment == 0 && i < SESSIONS; i++)
      talk_open(&files, &talks[i], i + 1, (uint16_t)(4000 + i));
    for (unsigned round = 0; round < ROUNDS; round++)
      for (unsigned i = 0; i < SESSIONS; i++)
        if ((round * 7 + i * 3 + segment) % 5 < 3)
          talk_say(&files, &talks[i], (round + i) % 3 ? GG_FROM_CLIENT : GG_FROM_SERVER, data + i, 1 + round * i);
    talk_say(&files, &talks[segment], GG_FROM_SERVER, data, BYTES_MAX);
    for (unsigned i = 0; segment == SEGMENTS - 1 && i < SESSIONS - 3; i++)
      talk_close(&files, &talks[i]);
    files_write(&files);
  }
  assert_int_equal(compare_with_store(files.dir, NULL), SESSIONS);
  const char *const closed[] = {"state=closed", NULL}, *const cut[] = {"state!=closed", "port=80", NULL},
                    *const one[] = {"id=018c00000000000000000005", NULL}, *const none[] = {"port=81", NULL},
                    *const large[] = {"bytes=300000..", NULL};
  assert_int_equal(compare_with_store(files.dir, closed), SESSIONS - 3);
  assert_int_equal(compare_with_store(files.dir, cut), 3);
  assert_int_equal(compare_with_store(files.dir, one), 1);
  assert_int_equal(compare_with_store(files.dir, none), 0);
  assert_true(compare_with_store(files.dir, large) >= SEGMENTS);
  free(data);
  files_end(&files);
}

/* Segments at the beginning and in the middle are gone, bytes were not recorded, a file ends within a block. */
static void what_is_missing(void **state)
{
  (void)state;
  struct files files;
  struct talk talk, whole;
  files_begin(&files);
  for (unsigned i = 0; i < 6; i++) {
    char name[32];
    snprintf(name, sizeof name, "%04u.pcapng", i);
    files_segment(&files, name);
    if (i == 0)
      talk_open(&files, &talk, 1, 4000);
    if (i == 1)
      talk_open(&files, &whole, 2, 4001);
    talk_say(&files, &talk, GG_FROM_CLIENT, "0123456789", 10);
    talk_say(&files, &talk, GG_FROM_SERVER, "abc", 3);
    if (i >= 1 && i != 4)
      talk_say(&files, &whole, GG_FROM_SERVER, "reply", 5);
    if (i == 3) {
      talk_miss(&whole, GG_FROM_CLIENT, UINT64_C(5000000000));
      talk_say(&files, &whole, GG_FROM_CLIENT, "behind", 6);
      talk_close(&files, &whole);
      talk_open(&files, &whole, 3, 4001); /* the same 4-tuple */
    }
    if (i == 1 || i == 3)
      files_write(&files);
    if (i == 5)
      files_write_part(&files, files.length - 7);
  }
  assert_int_equal(compare_with_store(files.dir, NULL), 3);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  struct gg_script_session session = facts_of(plan, 1); /* the first is the one that begins here */
  assert_true(session.beginning_missing);
  assert_int_equal(session.gaps, 13 * 2);
  gg__plan_destroy(plan);
  files_end(&files);
}

/* One session for each way to end: the letters that its steps must have. */
static const struct ending {
  enum gg_closing how;
  const char *text;
  const char *letters;
  bool refused;
} endings[] = {
  {GG_CLOSING_ORDERLY, "server-fin", "SEFf.", false},        {GG_CLOSING_CLIENT_RESET, "client-reset", "SER.", false},
  {GG_CLOSING_SERVER_RESET, "server-reset", "SEr.", false},  {GG_CLOSING_SERVER_RESET, "connect-refused", "SE.", true},
  {GG_CLOSING_SERVER_RESET, "connect-timeout", "SE.", true}, {GG_CLOSING_SERVER_RESET, "connect-failed", "SE.", true},
  {GG_CLOSING_SERVER_RESET, "unresolved", "SE.", true},      {GG_CLOSING_SERVER_RESET, "idle-timeout", "SE.", false},
  {GG_CLOSING_SERVER_RESET, "drain", "SE.", false},          {GG_CLOSING_SERVER_RESET, "limit", "SE.", false},
  {GG_CLOSING_SERVER_RESET, "stall", "SE.", false},          {GG_CLOSING_SERVER_RESET, "proxy-invalid", "SE.", false},
  {GG_CLOSING_SERVER_RESET, "internal", "SE.", false},
};

static void every_end(void **state)
{
  (void)state;
  enum { COUNT = sizeof endings / sizeof endings[0] };
  struct files files;
  struct talk talk;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  for (unsigned i = 0; i < COUNT; i++) {
    talk_open(&files, &talk, i + 1, (uint16_t)(4000 + i));
    talk_say(&files, &talk, GG_FROM_CLIENT, "?", 1);
    talk_say(&files, &talk, GG_FROM_SERVER, "!", 1);
    close_as(&files, &talk, endings[i].how, endings[i].text);
  }
  files_write(&files);
  assert_int_equal(compare_with_store(files.dir, NULL), COUNT);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  for (unsigned i = 0; i < COUNT; i++) {
    char text[32];
    letters_of(plan, i, text, sizeof text);
    assert_string_equal(text, endings[i].letters);
    assert_int_equal(facts_of(plan, i).refused, endings[i].refused);
  }
  gg__plan_destroy(plan);
  files_end(&files);
}

/* ── Captures of others ──────────────────────────────────────────────────────────────────────────────────────────── */

/* Makes the segment somebody else's: our comments are none of ours any more. */
static void estrange(struct files *files)
{
  static const char ours[] = "{\"gogetway\":1", theirs[] = "{\"somebody\":1";
  uint8_t *at = files->bytes, *end = files->bytes + files->length;
  while ((at = memmem(at, (size_t)(end - at), ours, sizeof ours - 1)))
    memcpy(at, theirs, sizeof theirs - 1);
}

/* Swaps the segment's blocks `a` and `a + 1` (the section's header is block 0). */
static void swap_blocks(struct files *files, unsigned a)
{
  uint8_t *at = files->bytes;
  uint32_t first, second;
  for (unsigned i = 0; i < a; i++) {
    memcpy(&first, at + 4, sizeof first);
    at += first;
  }
  memcpy(&first, at + 4, sizeof first);
  memcpy(&second, at + first + 4, sizeof second);
  uint8_t *copy = malloc(first);
  assert_non_null(copy);
  memcpy(copy, at, first);
  memmove(at, at + first, second);
  memcpy(at + second, copy, first);
  free(copy);
}

static void out_of_order(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  char text[32];
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  talk_say(&files, &talk, GG_FROM_CLIENT, "first", 5);  /* block 5 */
  talk_say(&files, &talk, GG_FROM_CLIENT, "second", 6); /* block 6 */
  talk_say(&files, &talk, GG_FROM_SERVER, "reply", 5);
  talk_say(&files, &talk, GG_FROM_CLIENT, "third", 5); /* block 8 */
  talk_close(&files, &talk);                           /* its FIN: block 9 */
  estrange(&files);
  swap_blocks(&files, 5);
  swap_blocks(&files, 8);
  files_write(&files);
  assert_int_equal(compare_with_store(files.dir, NULL), 1);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  struct gg_script *script = gg__plan_script(plan);
  struct gg_cursor cursor = script->ops->steps(script, 0);
  struct gg_step step;
  uint8_t bytes[6];
  letters_of(plan, 0, text, sizeof text);
  assert_string_equal(text, "SSESFf.");
  assert_int_equal(script->ops->next(script, &cursor, &step, NULL), 1);
  assert_int_equal(script->ops->next(script, &cursor, &step, NULL), 1);
  assert_int_equal(script->ops->bytes(script, &step, 0, bytes, 6, NULL), 0);
  assert_memory_equal(bytes, "second", 6); /* that came early, and was kept */
  gg__plan_destroy(plan);
  files_end(&files);
}

/* Nobody pushes, and all has one time: what follows each other is one chunk, up to the largest there is. */
static void chunks_without_push(void **state)
{
  (void)state;
  enum { BYTES = 1 << 20, FLAGS_AT = 28 + 14 + 20 + 13, PSH = 8 };
  struct files files;
  struct talk talk;
  uint8_t *data = malloc(BYTES);
  uint32_t length;
  assert_non_null(data);
  fill(data, BYTES, 3);
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  size_t begin = files.length;
  talk_open(&files, &talk, 1, 4000);
  for (unsigned i = 0; i < 4; i++) {
    uint64_t time_ns = files.time_ns;
    talk_say(&files, &talk, GG_FROM_CLIENT, data, i % 2 ? BYTES : 1001);
    files.time_ns = time_ns;
  }
  talk_say(&files, &talk, GG_FROM_SERVER, data, 10);
  talk_say(&files, &talk, GG_FROM_CLIENT, data, 10);
  for (size_t at = begin; at < files.length; at += length) {
    memcpy(&length, files.bytes + at + 4, sizeof length);
    files.bytes[at + FLAGS_AT] &= (uint8_t)~PSH;
  }
  files_write(&files);
  assert_int_equal(compare_with_store(files.dir, NULL), 1);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  struct gg_script_session session = facts_of(plan, 0);
  assert_int_equal(session.bytes[0], 2 * (BYTES + 1001) + 10);
  assert_int_equal(session.chunks, 4); /* two whole ones, the rest of them, and the last */
  assert_int_equal(session.dependent, 1);
  gg__plan_destroy(plan);
  free(data);
  files_end(&files);
}

/* A 4-tuple is used again by others; without SYN and end the session is told as far as it goes. */
static void tuples_again(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  char text[32];
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  for (unsigned i = 1; i <= 3; i++) {
    talk_open(&files, &talk, i, 4000);
    talk_say(&files, &talk, GG_FROM_CLIENT, "again", 5);
    if (i == 1)
      close_as(&files, &talk, GG_CLOSING_SERVER_RESET, "server-reset");
    if (i == 2)
      talk_close(&files, &talk);
  }
  estrange(&files);
  files_write(&files);
  assert_int_equal(compare_with_store(files.dir, NULL), 3);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  static const char *const expected[] = {"Sr.", "SFf.", "S."};
  for (unsigned i = 0; i < 3; i++) {
    letters_of(plan, i, text, sizeof text);
    assert_string_equal(text, expected[i]);
    assert_false(facts_of(plan, i).refused);
  }
  gg__plan_destroy(plan);
  files_end(&files);
}

/* What came with the tree: captures by other programs, in other byte orders, cut off, and damaged. */
static void captures_of_the_corpus(void **state)
{
  (void)state;
  static const char folder[] = GG_SOURCE_ROOT "/fuzz/corpus/store";
  DIR *directory = opendir(folder);
  size_t files = 0, sessions = 0;
  assert_non_null(directory);
  for (struct dirent *entry; (entry = readdir(directory));) {
    char path[512];
    const char *dot = strrchr(entry->d_name, '.');
    if (!dot || strcmp(dot, ".pcapng") != 0)
      continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    sessions += compare_with_store(path, NULL);
    files++;
  }
  closedir(directory);
  assert_true(files >= 7 && sessions >= files);
  assert_true(compare_with_store(folder, NULL) > 0);
}

/* ── Particulars ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static void services_and_original(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct gg_endpoint to;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  static const char *const paths[] = {NULL, NULL, "/run/front", NULL};
  static const char *const upstreams[] = {NULL, "unix:/run/\u202e\"x", "0.0.0.0:80", "[::]:80"};
  for (unsigned i = 0; i < 4; i++) {
    talk_open_as(&files, &talk, i + 1, (uint16_t)(4001 + i), paths[i], upstreams[i]);
    talk_close(&files, &talk);
  }
  files_write(&files);
  /* Of each session: upstream U, dialled D, neither '-'. The third one's dialled address is made up. */
  static const struct {
    const char *to, *how;
  } cases[] = {{"198.51.100.9:8080", "U---"},
               {"203.0.113.5:80", "DD-D"},
               {"198.51.100.9:8081", "----"},
               {"unix:/x", "----"},
               {"unix:/run/\u202e\"x", "-U--"},
               {"unix:/run/front", "--D-"},
               {"127.0.0.1:80", "--U-"},
               {"[::1]:80", "---U"},
               {"name:80", "----"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct gg_plan_options options = {.path = files.dir, .to = &to};
    struct gg_plan *plan;
    assert_int_equal(gg_endpoint_parse(&to, cases[i].to, false, NULL), 0);
    assert_int_equal(gg__plan_create(&plan, &options, NULL), 0);
    for (size_t at = 0; at < 4; at++) {
      assert_int_equal(facts_of(plan, at).service, at == 2);
      assert_int_equal("-UD"[gg__plan_original(plan, at)], cases[i].how[at]);
    }
    gg__plan_destroy(plan);
  }
  files_end(&files);
}

static void opaque_sessions(void **state)
{
  (void)state;
  static const uint8_t hello[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc}, answer[] = {22, 3, 3, 0, 122, 2, 0, 0, 118};
  static const struct {
    const char *client, *server;
    size_t client_bytes, server_bytes;
    const char *name;
  } cases[] = {
    {(const char *)hello, "", sizeof hello, 0, "TLS"},
    {(const char *)hello, (const char *)answer, sizeof hello, sizeof answer, "TLS"},
    {"", (const char *)answer, 0, sizeof answer, "TLS"},
    {(const char *)hello, "", 5, 0, NULL},      /* too little to say */
    {"\x16\x03\x05\x02\0\x01", "", 6, 0, NULL}, /* no such version */
    {"\x16\x03\x01\x50\0\x01", "", 6, 0, NULL}, /* longer than a record may be */
    {"\x16\x03\x01\0\x05\x01", "", 6, 0, NULL}, /* shorter than a hello */
    {"\x16\x03\x01\x02\0\x02", "", 6, 0, NULL}, /* a server's, from the client */
    {"\x17\x03\x03\x02\0\x01", "", 6, 0, NULL}, /* no handshake */
    {"SSH-2.0-x\r\n", "", 11, 0, "SSH"},
    {"", "SSH-2.0-x\r\n", 0, 11, "SSH"},
    {"GET / HTTP/1.1", "SSH", 14, 3, NULL},
    {"", "", 0, 0, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *name = gg__opaque_name((const uint8_t *)cases[i].client, cases[i].client_bytes,
                                       (const uint8_t *)cases[i].server, cases[i].server_bytes);
    if (cases[i].name)
      assert_string_equal(name, cases[i].name);
    else
      assert_null(name);
  }
}

/* The first bytes may come one by one, and behind a gap there are no first bytes. */
static void opaque_in_a_recording(void **state)
{
  (void)state;
  static const uint8_t hello[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc};
  struct files files;
  struct talk talk;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4001);
  for (size_t i = 0; i < sizeof hello; i++)
    talk_say(&files, &talk, GG_FROM_CLIENT, hello + i, 1);
  talk_close(&files, &talk);
  talk_open(&files, &talk, 2, 4002);
  talk_say(&files, &talk, GG_FROM_SERVER, "SSH-2.0-OpenSSH\r\n", 17);
  talk_close(&files, &talk);
  talk_open(&files, &talk, 3, 4003);
  talk_miss(&talk, GG_FROM_SERVER, 100);
  talk_say(&files, &talk, GG_FROM_SERVER, "SSH-2.0-OpenSSH\r\n", 17);
  talk_close(&files, &talk);
  files_write(&files);
  struct gg_plan *plan = compare_plan(files.dir, NULL);
  assert_string_equal(facts_of(plan, 0).opaque, "TLS");
  assert_string_equal(facts_of(plan, 1).opaque, "SSH");
  assert_null(facts_of(plan, 2).opaque);
  gg__plan_destroy(plan);
  files_end(&files);
}

static bool give_up(void *context, uint64_t done, uint64_t total)
{
  assert_true(done <= total);
  (void)context;
  return false;
}

static void giving_up(void **state)
{
  (void)state;
  struct files files;
  struct talk talk;
  struct gg_plan *plan;
  struct gg_failure failure = GG_FAILURE_INIT;
  files_begin(&files);
  files_segment(&files, "0001.pcapng");
  talk_open(&files, &talk, 1, 4000);
  files_write(&files);
  struct gg_plan_options options = {.path = files.dir, .progress = give_up};
  assert_int_equal(gg__plan_create(&plan, &options, &failure), GG_ERR_CLOSED);
  assert_null(plan);
  options = (struct gg_plan_options){.path = "/nonexistent/here"};
  failure = (struct gg_failure)GG_FAILURE_INIT;
  assert_int_equal(gg__plan_create(&plan, &options, &failure), GG_ERR_NOT_FOUND);
  gg__plan_destroy(NULL);
  files_end(&files);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_dialog),
    cmocka_unit_test(many_at_once),
    cmocka_unit_test(what_is_missing),
    cmocka_unit_test(every_end),
    cmocka_unit_test(out_of_order),
    cmocka_unit_test(chunks_without_push),
    cmocka_unit_test(tuples_again),
    cmocka_unit_test(captures_of_the_corpus),
    cmocka_unit_test(services_and_original),
    cmocka_unit_test(opaque_sessions),
    cmocka_unit_test(opaque_in_a_recording),
    cmocka_unit_test(giving_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
