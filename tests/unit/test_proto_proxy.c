/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol: what is told of headers, and that what follows is told anew. The headers of version 2 were built
 * with Python's struct after proxy-protocol.txt, their CRC32C with a bitwise loop there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"

#define SIGNATURE "\015\012\015\012\000\015\012QUIT\012"
#define ADDRESSES "\300\000\002\007\3063d\001\234@\001\273" /* 192.0.2.7:40000 to 198.51.100.1:443 */
#define ENDS                                                                                                           \
  "proxy.transport=tcp4 proxy.source=192.0.2.7 proxy.source_port=40000 proxy.destination=198.51.100.1 "                \
  "proxy.destination_port=443"
#define FULL                                                                                                           \
  SIGNATURE "!\021\000\200" ADDRESSES "\001\000\002h2\002\000\006x.test\005\000\003\001id\004\000\002\000\000 \000B"   \
            "\001\000\000\000\000!\000\007TLSv1.3#\000\026TLS_AES_128_GCM_SHA256\042\000\004anna$\000\006SHA256%\000"  \
            "\007RSA20480\000\004blue\352\000\005\001vpce\003\000\004\312\3106\034"

static void version_1_and_what_it_carries(void **state)
{
  (void)state;
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+44 at 1000..1000 control proxy.version=1 proxy.command=proxy "
       "proxy.transport=tcp4 proxy.source=192.0.2.7 proxy.source_port=40000 proxy.destination=198.51.100.1 "
       "proxy.destination_port=80\n"
       "is http1 from 44 0\n"
       "2 request client 44+18 at 1000..1000 request http.method=GET http.target=/ http.path=/ http.version=1.0\n"
       "3 response server 0+23 at 1010..1010 answers 2 completes http.status=204 http.reason=No http.version=1.1 "
       "http.header[X]=\n",
       CLIENT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 80\r\nGET / HTTP/1.0\r\n\r\n"),
       SERVER("HTTP/1.1 204 No\r\nX:\r\n\r\n"));
}

static void version_1_of_ipv6_and_of_nobody(void **state)
{
  (void)state;
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+40 at 1000..1000 control proxy.version=1 proxy.command=proxy proxy.transport=tcp6 "
       "proxy.source=2001:db8::7 proxy.source_port=1 proxy.destination=2001:db8::1 proxy.destination_port=2\n",
       CLIENT("PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n"));
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+23 at 1000..1010 control proxy.version=1 proxy.command=local\n",
       CLIENT("PROXY UNKNOWN what so\r"), CLIENT("\n"));
}

static void version_2_with_all_values(void **state)
{
  (void)state;
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+144 at 1000..1000 control proxy.version=2 proxy.command=proxy " ENDS " proxy.alpn=h2 "
       "proxy.authority=x.test proxy.unique_id=\\x01id proxy.ssl_client=1 proxy.ssl_verify=0 proxy.ssl_version=TLSv1.3 "
       "proxy.ssl_cipher=TLS_AES_128_GCM_SHA256 proxy.ssl_cn=anna proxy.ssl_signature=SHA256 proxy.ssl_key=RSA2048 "
       "proxy.netns=blue proxy.tlv[0xea]=\\x01vpce proxy.crc32c=3402118684\n",
       CLIENT(FULL));
}

static void version_2_of_other_families(void **state)
{
  (void)state;
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+52 at 1000..1000 control proxy.version=2 proxy.command=proxy proxy.transport=udp6 "
       "proxy.source=2001:db8::7 proxy.source_port=1 proxy.destination=2001:db8::1 proxy.destination_port=2\n",
       CLIENT(SIGNATURE "!\042\000$ \001\015\270\000\000\000\000\000\000\000\000\000\000\000\007 \001\015\270\000\000"
                        "\000\000\000\000\000\000\000\000\000\001\000\001\000\002"));
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+21 at 1000..1000 control proxy.version=2 proxy.command=local\n",
       CLIENT(SIGNATURE " \000\000\005\340\000\002zz"));
  char unix_sockets[16 + 216] = SIGNATURE "!\061\000\330/run/a";
  memcpy(unix_sockets + 16 + 108, "/run/b", 6);
  const struct piece pieces[] = {{GG_SIDE_CLIENT, unix_sockets, sizeof unix_sockets, false}};
  transcript_tell(NULL,
                  "is proxy from 0 0\n"
                  "1 proxy client 0+232 at 1000..1000 control proxy.version=2 proxy.command=proxy proxy.transport=unix "
                  "proxy.source=/run/a proxy.destination=/run/b\n",
                  pieces, 1);
}

static void what_is_odd_in_version_2_is_named(void **state)
{
  (void)state;
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+35 at 1000..1000 odd control proxy.version=2 proxy.command=proxy " ENDS
       " proxy.crc32c=16909060 proxy.odd=wrong-crc32c\n",
       CLIENT(SIGNATURE "!\021\000\023" ADDRESSES "\003\000\004\001\002\003\004"));
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+33 at 1000..1000 odd control proxy.version=2 proxy.command=proxy " ENDS
       " proxy.odd=tlv-beyond-the-end\n",
       CLIENT(SIGNATURE "!\021\000\021" ADDRESSES "\001\000\011h2"));
  TELL("is proxy from 0 0\n"
       "1 proxy client 0+38 at 1000..1000 odd control proxy.version=2 proxy.command=proxy " ENDS
       " proxy.ssl_client=1 proxy.ssl_verify=0 proxy.odd=ssl-beyond-its-end\n",
       CLIENT(SIGNATURE "!\021\000\026" ADDRESSES " \000\007\001\000\000\000\000!\000"));
}

static void what_the_server_says_is_of_what_the_header_carries(void **state)
{
  (void)state;
  const struct piece pieces[] = {SERVER("HTTP/1.1 408 Late\r\n\r\n"), CLIENT("PROXY UNKNOWN\r\n"), SERVER_END};
  const struct gg_decoding_options named = {.size = sizeof named, .decoder = "proxy"};
  transcript_tell(
    &named,
    "is proxy from 0 0\n"
    "1 proxy client 0+15 at 1010..1010 control proxy.version=1 proxy.command=local\n"
    "is http1 from 15 0\n"
    "2 response server 0+21 at 1000..1000 unsolicited http.status=408 http.reason=Late http.version=1.1\n",
    pieces, 3);
}

static void what_is_no_header_is_opaque(void **state)
{
  (void)state;
  TELL("is proxy from 0 0\n"
       "client opaque from 0: failed: no PROXY header\n"
       "server opaque from 0: failed: no PROXY header\n",
       CLIENT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 080\r\n"));
  TELL("is proxy from 0 0\n"
       "client opaque from 0: cut: ends in the middle\n",
       CLIENT(SIGNATURE "!\021\000\023" ADDRESSES));
}

static void it_is_told_from_others(void **state)
{
  (void)state;
  static const char *const others[] = {"PROXY\r\n",
                                       "PROXY TCP5 ",
                                       "PROPFIND / HTTP/1.1\r\n",
                                       "\r\n\r\nGET / HTTP/1.0",
                                       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                       "SSH-2.0-x\r\n",
                                       "\26\3\1",
                                       "*1\r\n"};
  const struct gg_decoder *decoder = gg_decoder_find("proxy");
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    struct gg_opening opening = {.data = {(const uint8_t *)others[i], (const uint8_t *)""},
                                 .length = {strlen(others[i]), 0}};
    assert_int_equal(decoder->identify(&opening), GG_LIKENESS_NONE);
  }
}

static void hostile_headers_are_survived(void **state)
{
  (void)state;
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.decoder = "proxy";
  const struct piece pieces[] = {CLIENT(FULL), CLIENT("GET / HTTP/1.0\r\n\r\n")};
  hostile_cut_off(&options, pieces, 2);
  hostile_flip(&options, pieces, 2, 10000, 1);
  const struct piece line[] = {CLIENT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 80\r\nGET / HTTP/1.0\r\n\r\n")};
  hostile_cut_off(&options, line, 1);
  hostile_flip(&options, line, 1, 10000, 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(version_1_and_what_it_carries),
    cmocka_unit_test(version_1_of_ipv6_and_of_nobody),
    cmocka_unit_test(version_2_with_all_values),
    cmocka_unit_test(version_2_of_other_families),
    cmocka_unit_test(what_is_odd_in_version_2_is_named),
    cmocka_unit_test(what_the_server_says_is_of_what_the_header_carries),
    cmocka_unit_test(what_is_no_header_is_opaque),
    cmocka_unit_test(it_is_told_from_others),
    cmocka_unit_test(hostile_headers_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
