/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 decoder: what it tells of good, odd and broken sessions, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transcript.h"

static void tell(const char *wanted, const struct piece *pieces, size_t count)
{
  char *told = transcript_checked(NULL, pieces, count);
  assert_string_equal(told, wanted);
  free(told);
}
#define TELL(wanted, ...)                                                                                              \
  do {                                                                                                                 \
    const struct piece pieces[] = {__VA_ARGS__};                                                                       \
    tell(wanted, pieces, sizeof pieces / sizeof *pieces);                                                              \
  } while (0)

static void request_and_response(void **state)
{
  (void)state;
  TELL("is http1 from 0 0\n"
       "1 request client 0+37 at 1000..1000 request http.method=GET http.target=/a?b=1 http.path=/a http.version=1.1 "
       "http.header[Host]=x.test http.host=x.test\n"
       "2 response server 0+84 at 1010..1010 answers 1 completes http.status=200 http.reason=OK http.version=1.1 "
       "http.header[Content-Length]=5 http.header[Content-Type]=text/plain;_charset=utf-8 http.type=text/plain "
       "body 5 (5 raw, 0000000005e918d2) hello\n",
       CLIENT("GET /a?b=1 HTTP/1.1\r\nHost: x.test\r\n\r\n"),
       SERVER("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(request_and_response),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
