/* SPDX-License-Identifier: Apache-2.0 */
/* The telnet decoder: commands and options apart from the text, logins, and what must not be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"

/* A session with something of all. */
#define VECTOR                                                                                                         \
  SERVER("\xff\xfd\x18\xff\xfd\x1f\xff\xfb\x01"),                                                                      \
    CLIENT("\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0"), SERVER("\xff\xfa\x18\x01\xff\xf0"),        \
    CLIENT("\xff\xfa\x18\x00XTERM\xff\xf0\xff\xfa\x27\x00\x00USER\x01"                                                 \
           "bob\x03X\x01\x02\x01\xff\xff\xff\xf0"),                                                                    \
    SERVER("Welcome\r\nlogin: "), CLIENT("bo"), SERVER("bo"), CLIENT("b\r\x00"), SERVER("b\r\nPassword: "),            \
    CLIENT("ge"), CLIENT("\xff\xf1h\x7fheim\r\x00"), SERVER("\r\n$ \xff\xff\xff\xf9"), CLIENT("ls\r\n"),               \
    SERVER("a b\r\n$ ")

static void login(void **state)
{
  (void)state;
  TELL("is telnet from 0 0\n"
       "1 command server 0+3 at 1000..1000 control telnet.command=DO telnet.option=terminal-type\n"
       "2 command server 3+3 at 1000..1000 control telnet.command=DO telnet.option=window-size\n"
       "3 command server 6+3 at 1000..1000 control telnet.command=WILL telnet.option=echo\n"
       "4 command client 0+3 at 1010..1010 control telnet.command=WILL telnet.option=terminal-type\n"
       "5 command client 3+3 at 1010..1010 control telnet.command=WILL telnet.option=window-size\n"
       "6 command client 6+9 at 1010..1010 control telnet.command=SB telnet.option=window-size telnet.width=80 "
       "telnet.height=24\n"
       "7 command server 9+6 at 1020..1020 control telnet.command=SB telnet.option=terminal-type "
       "telnet.data=\\x01\n"
       "8 command client 15+11 at 1030..1030 control telnet.command=SB telnet.option=terminal-type "
       "telnet.terminal=XTERM\n"
       "9 command client 26+22 at 1030..1030 control telnet.command=SB telnet.option=new-environ "
       "telnet.variable[USER]=bob telnet.user=bob telnet.variable[X]=\\x01\\xff\n"
       "10 text server 15+16 at 1040..1040 body 16 (16 raw, 82b38024696d7b10) Welcome\\x0d\\x0alogin:_\n"
       "11 text client 48+2 at 1050..1050 body 2 (2 raw, 0000000000000c4d) bo\n"
       "12 text server 31+2 at 1060..1060 body 2 (2 raw, 0000000000000c4d) bo\n"
       "13 text client 50+3 at 1070..1070 telnet.user=bob body 3 (3 raw, 0000000000017175) b\\x0d\\x00\n"
       "14 text server 33+13 at 1080..1080 body 13 (13 raw, 33f7ca6946f441e0) b\\x0d\\x0aPassword:_\n"
       "16 command client 55+2 at 1100..1100 control telnet.command=NOP\n"
       "15 text client 53+10 at 1090..1100 telnet.password=*geheim\n"
       "17 text client 63+2 at 1100..1100 body 2 (2 raw, 0000000000000193) \\x0d\\x00\n"
       "18 text server 46+6 at 1110..1110 body 5 (6 raw, 0000000000bc4946) \\x0d\\x0a$_\\xff\n"
       "19 command server 52+2 at 1110..1110 control telnet.command=GA\n"
       "20 text client 65+4 at 1120..1120 body 4 (4 raw, 000000000032c964) ls\\x0d\\x0a\n"
       "21 text server 54+7 at 1130..1130 body 7 (7 raw, 00000014474299bc) a_b\\x0d\\x0a$_\n",
       VECTOR);
}

/* RFC 1073, 1091 and 1572; numbers of options that have no name; codes alone. */
static void commands(void **state)
{
  (void)state;
  TELL("is telnet from 0 0\n"
       "1 command client 0+3 at 1000..1000 control telnet.command=WILL telnet.option=echo\n"
       "2 command client 3+3 at 1000..1000 control telnet.command=WONT telnet.option=128\n"
       "3 command client 6+3 at 1000..1000 control telnet.command=DONT telnet.option=suppress-go-ahead\n"
       "4 command client 9+10 at 1000..1000 control telnet.command=SB telnet.option=window-size "
       "telnet.width=255 telnet.height=256\n"
       "5 command client 19+2 at 1000..1000 control telnet.command=NOP\n"
       "6 command client 21+2 at 1000..1000 control telnet.command=AYT\n"
       "7 command client 23+2 at 1000..1000 control telnet.command=IP\n"
       "8 command client 25+2 at 1000..1000 control telnet.command=EOF\n"
       "9 command client 27+2 at 1000..1000 control telnet.command=16\n"
       "10 command server 0+6 at 1010..1010 control telnet.command=SB telnet.option=new-environ "
       "telnet.data=\\x01\n"
       "11 command server 6+12 at 1010..1010 control telnet.command=SB telnet.option=charset "
       "telnet.data=\\x01;UTF-8\n"
       "12 command server 18+12 at 1010..1010 control telnet.command=SB telnet.option=authentication "
       "telnet.data=*\\x02secret\n"
       "13 command client 29+29 at 1020..1020 control telnet.command=SB telnet.option=new-environ "
       "telnet.variable[PASSWORD]=*geheim telnet.variable[A\\x01B]=c\n"
       "14 command client 58+6 at 1020..1020 odd control telnet.command=SB telnet.option=terminal-type "
       "telnet.terminal=vt\n"
       "15 command client 64+3 at 1020..1020 control telnet.command=DO telnet.option=echo\n"
       "16 text client 67+1 at 1020..1020 cut body 1 (1 raw, 0000000000000078) x\n"
       "client opaque from 68: cut: ends in the middle\n",
       CLIENT("\xff\xfb\x01\xff\xfc\x80\xff\xfe\x03\xff\xfa\x1f\x00\xff\xff\x01\x00\xff\xf0\xff\xf1\xff\xf6\xff\xf4\xff"
              "\xec\xff\x10"),
       SERVER("\xff\xfa\x27\x01\xff\xf0\xff\xfa\x2a\x01;UTF-8\xff\xf0\xff\xfa\x25\x02secret\xff\xf0"),
       CLIENT("\xff\xfa\x27\x02\x03"
              "PASSWORD\x01"
              "geheim\x00"
              "A\x02\x01"
              "B\x01"
              "c\xff\xf0\xff\xfa\x18\x00vt\xff\xfd\x01"
              "x\xff"));
}

/* What comes at one time is one text, and each side ends the other's. */
static void texts(void **state)
{
  (void)state;
  TELL("is telnet from 0 0\n"
       "1 command server 0+3 at 1000..1000 control telnet.command=WILL telnet.option=suppress-go-ahead\n"
       "2 text server 3+3 at 1000..1000 body 3 (3 raw, 0000000000017862) abc\n"
       "3 text server 6+3 at 1010..1010 body 3 (3 raw, 0000000000018405) def\n"
       "4 text client 0+1 at 1020..1020 body 1 (1 raw, 0000000000000078) x\n"
       "5 text server 9+4 at 1030..1030 body 3 (4 raw, 000000000001a1f0) g\\xffh\n"
       "6 text server 13+1 at 1040..1040 body 1 (1 raw, 0000000000000069) i\n"
       "7 command server 14+2 at 1040..1040 control telnet.command=GA\n"
       "8 text server 16+1 at 1040..1040 gap body 1 (1 raw, 000000000000006a) j\n"
       "9 text server 21+1 at 1060..1060 gap body 1 (1 raw, 000000000000006b) k\n",
       SERVER("\xff\xfb\x03"
              "abc"),
       SERVER("def"), CLIENT("x"),
       SERVER("g\xff\xff"
              "h"),
       SERVER("i\xff\xf9j"), SERVER_GAP(4), SERVER("k"), SERVER_END, CLIENT_END);
}

/* Line by line, and with a prompt that comes when its answer is half typed. */
static void passwords(void **state)
{
  (void)state;
  TELL("is telnet from 0 0\n"
       "1 command server 0+3 at 1000..1000 control telnet.command=WILL telnet.option=echo\n"
       "2 text server 3+11 at 1000..1000 body 11 (11 raw, 0102a1a44c3964c6) User_name:_\n"
       "3 text client 0+5 at 1010..1010 telnet.user=bob body 5 (5 raw, 000000000598e612) bob\\x0d\\x0a\n"
       "4 text server 14+10 at 1020..1020 body 10 (10 raw, 0007d1f3c3d76321) Password:_\n"
       "5 text client 5+2 at 1030..1030 body 2 (2 raw, 000000000000019d) \\x0d\\x0a\n"
       "6 text server 24+22 at 1040..1040 body 22 (22 raw, 0aa448df30dcbdfd) no\\x0d\\x0aPassword_for_bob:_\n"
       "7 text client 7+6 at 1050..1050 telnet.password=*geheim\n"
       "8 text client 13+6 at 1050..1050 body 6 (6 raw, 0000000016eeb481) \\x0d\\x0als\\x0d\\x0a\n"
       "9 text server 46+4 at 1060..1060 body 4 (4 raw, 0000000000340879) ok\\x0d\\x0a\n"
       "10 text client 19+1 at 1070..1070 body 1 (1 raw, 0000000000000061) a\n"
       "11 text server 50+11 at 1080..1080 body 11 (11 raw, 00f26c8338d6f750) Passphrase:\n"
       "12 text client 20+4 at 1090..1090 telnet.password=*b\\xffc\n"
       "13 text client 24+2 at 1100..1100 body 2 (2 raw, 000000000000019d) \\x0d\\x0a\n"
       "14 text server 61+17 at 1110..1110 body 17 (17 raw, 16230a6da7bc6d3a) \\x0d\\x0a\\x1b[1mEnter_PIN:_\n"
       "15 text client 26+2 at 1120..1120 telnet.password=*12\n",
       SERVER("\xff\xfb\x01"
              "User name: "),
       CLIENT("bob\r\n"), SERVER("Password: "), CLIENT("\r\n"), SERVER("no\r\nPassword for bob: "),
       CLIENT("geheim\r\nls\r\n"), SERVER("ok\r\n"), CLIENT("a"), SERVER("Passphrase:"),
       CLIENT("b\xff\xff"
              "c"),
       CLIENT("\r\n"), SERVER("\r\n\x1b[1mEnter PIN: "), CLIENT("12"));
}

static void encrypted(void **state)
{
  (void)state;
  TELL("is telnet from 0 0\n"
       "1 command client 0+3 at 1000..1000 control telnet.command=WILL telnet.option=encrypt\n"
       "2 command client 3+7 at 1000..1000 control telnet.command=SB telnet.option=encrypt "
       "telnet.data=\\x03\\x00\n"
       "client opaque from 10: encrypted: ENCRYPT START\n"
       "3 command server 0+5 at 1010..1010 control telnet.command=SB telnet.option=compress2\n"
       "server opaque from 5: unknown: compressed\n",
       CLIENT("\xff\xfb\x26\xff\xfa\x26\x03\x00\xff\xf0xyz"), SERVER("\xff\xfa\x56\xff\xf0xyz"));
}

static void behind_some_text(void **state)
{
  (void)state;
  TELL("is telnet from 0 0\n"
       "1 text server 0+6 at 1000..1000 body 6 (6 raw, 00000000b73a018e) hello_\n"
       "2 command server 6+3 at 1000..1000 control telnet.command=DO telnet.option=terminal-type\n",
       SERVER("hello \xff\xfd\x18"));
}

static enum gg_likeness likeness(const char *client, const char *server, enum gg_side first)
{
  struct gg_opening opening = {.data = {(const uint8_t *)client, (const uint8_t *)server},
                               .length = {strlen(client), strlen(server)},
                               .spoke_first = true,
                               .first = first};
  return gg_decoder_find("telnet")->identify(&opening);
}

/* The bytes of a command within a line of another protocol's, and where they are certain. */
static void within_a_line(void **state)
{
  (void)state;
  FIND(WORDS("is http1 from 0 0\n1 request client 0+91 at 1000..1000 request http.method=GET "),
       CLIENT(
         "GET /?q=\xff\xfe%00&password=geheim HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\nAuthorization: Basic YTpi\r\n\r\n"),
       SERVER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  FIND(WORDS("is redis from 0 0\n"), CLIENT("SET k \xff\xfe%\r\n"), SERVER("+OK\r\n"));
  assert_int_equal(likeness("hello \xff\xfe%", "", GG_SIDE_CLIENT), GG_LIKENESS_NONE);
  assert_int_equal(likeness("hello\r\n\xff\xfe%", "", GG_SIDE_CLIENT), GG_LIKENESS_NONE);
  assert_int_equal(likeness("hello\r\n", "\xff\xfe\"", GG_SIDE_CLIENT), GG_LIKENESS_LIKELY);
  assert_int_equal(likeness("hello\r\n", "yes\r\n\xff\xfe\"", GG_SIDE_CLIENT), GG_LIKENESS_NONE);
  assert_int_equal(likeness("", "hello\r\nlogin: \xff\xfd\x18", GG_SIDE_SERVER), GG_LIKENESS_LIKELY);
  assert_int_equal(likeness("", "hello\r\n\xff\xfd\x18", GG_SIDE_SERVER), GG_LIKENESS_CERTAIN);
  assert_int_equal(likeness("", "\xff\xfd\x18", GG_SIDE_SERVER), GG_LIKENESS_CERTAIN);
  assert_int_equal(likeness("\xff\xfd\x18", "", GG_SIDE_CLIENT), GG_LIKENESS_CERTAIN);
  assert_int_equal(likeness("\xff\xfd\x18", "hello\r\n", GG_SIDE_SERVER), GG_LIKENESS_CERTAIN);
  assert_int_equal(likeness("", "hello\r\n", GG_SIDE_SERVER), GG_LIKENESS_OPEN);
  assert_int_equal(likeness("x", "hello\r\n", GG_SIDE_SERVER), GG_LIKENESS_NONE);
}

static void behind_a_banner(void **state)
{
  (void)state;
  TELL("is telnet from 0 0\n"
       "1 text server 0+14 at 1000..1000 body 14 (14 raw, 20fba931c83e97e0) "
       "hello\\x0d\\x0aworld\\x0d\\x0a\n"
       "2 command server 14+3 at 1000..1000 control telnet.command=DO telnet.option=terminal-type\n",
       SERVER("hello\r\nworld\r\n\xff\xfd\x18"));
}

/* A stream of MPEG audio, and text. */
static void nobody_elses(void **state)
{
  (void)state;
  TELL("client opaque from 0: unknown: binary, 2.0 bits of entropy a byte, begins ff fb 90 64\n"
       "server opaque from 0: unknown: binary, 2.0 bits of entropy a byte, begins ff fb 90 64\n",
       CLIENT("\xff\xfb\x90\x64"), SERVER("\xff"));
}

/* One that is longer than any window. */
static void endless(void **state)
{
  (void)state;
  enum { SIZE = 70000 };
  char *text = malloc(SIZE);
  assert_non_null(text);
  memset(text, '\xff', SIZE);
  text[1] = '\xfa';
  text[2] = '\x18';
  const struct piece pieces[] = {{GG_SIDE_CLIENT, text, SIZE, false}};
  char *told = transcript_of(NULL, pieces, 1, CUT_NOT, 0);
  char *cut = transcript_of(NULL, pieces, 1, CUT_BYTES, 0);
  assert_string_equal(told, cut);
  assert_non_null(strstr(told, "client opaque from 0: limit: an element of more than 65536 bytes\n"));
  free(told);
  free(cut);
  free(text);
}

static void hostile(void **state)
{
  (void)state;
  static const struct piece pieces[] = {VECTOR};
  hostile_cut_off(NULL, pieces, sizeof pieces / sizeof *pieces);
  hostile_flip(NULL, pieces, sizeof pieces / sizeof *pieces, 10000, 7);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(login),         cmocka_unit_test(commands),        cmocka_unit_test(texts),
    cmocka_unit_test(passwords),     cmocka_unit_test(encrypted),       cmocka_unit_test(behind_some_text),
    cmocka_unit_test(nobody_elses),  cmocka_unit_test(endless),         cmocka_unit_test(hostile),
    cmocka_unit_test(within_a_line), cmocka_unit_test(behind_a_banner),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
