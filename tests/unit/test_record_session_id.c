/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/session_id.h"

static void golden_text(void **state)
{
  (void)state;
  struct gg_session_id_source source = {.salt = 0xabcd, .counter = 0xffffffff};
  char text[GG_SESSION_ID_TEXT];
  struct gg_session_id id = gg_session_id_next(&source, 0x0102030405u * UINT64_C(1000000) + 999999);
  gg_session_id_format(&id, text);
  assert_string_equal(text, "000102030405abcdffffffff");
  id = gg_session_id_next(&source, 0x0102030405u * UINT64_C(1000000));
  gg_session_id_format(&id, text);
  assert_string_equal(text, "000102030405abcd00000000");
}

static void sources_differ(void **state)
{
  (void)state;
  struct gg_session_id_source a, b;
  gg_session_id_source_init(&a);
  gg_session_id_source_init(&b);
  assert_true(a.salt != b.salt || a.counter != b.counter);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(golden_text),
    cmocka_unit_test(sources_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
