/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder of lines: what is said of prompts and answers, and what must not be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"

/* A session with something of all. */
#define VECTOR                                                                                                         \
  SERVER("Welcome\r\n\r\nlogin: "), CLIENT("bob\r\n"), SERVER("Password: "), CLIENT("geheim\r\n"),                     \
    SERVER("motd\r\n$ "), CLIENT("ls\r\n"), SERVER("a\r\nb\r\n$ "), CLIENT("one\r\ntwo\r\n"),                          \
    SERVER("1\r\n$ 2\r\n$ "), SERVER("$ 5\r\n"), CLIENT("AUTH PLAIN\r\n"), SERVER("+ \r\n"), CLIENT("Ym9i\r\n"),       \
    SERVER("+OK\r\n"), CLIENT("PASS x\r\n"), SERVER("\rno\r\n")

static void consoles(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line server 0+9 at 1000..1000 unsolicited lines.banner=Welcome body 7 (7 raw, 00000012acb83342) "
       "Welcome\n"
       "2 line server 9+2 at 1000..1000 unsolicited lines.text=\n"
       "3 prompt server 11+7 at 1000..1000 unsolicited lines.prompt=login:_ body 7 (7 raw, 000000171467c04f) "
       "login:_\n"
       "4 line client 0+5 at 1010..1010 request lines.text=bob lines.user=bob body 3 (3 raw, 0000000000017db5) "
       "bob\n"
       "5 prompt server 18+10 at 1020..1020 answers 4 completes lines.prompt=Password:_ body 10 (10 raw, "
       "0007d1f3c3d76321) Password:_\n"
       "6 line client 5+8 at 1030..1030 request lines.password=*geheim\n"
       "7 line server 28+6 at 1040..1040 answers 6 lines.text=motd body 4 (4 raw, 0000000000333b92) motd\n"
       "8 prompt server 34+2 at 1040..1040 answers 6 completes lines.prompt=$_ body 2 (2 raw, 000000000000047c) "
       "$_\n"
       "9 line client 13+4 at 1050..1050 request lines.text=ls body 2 (2 raw, 0000000000000d87) ls\n"
       "10 line server 36+3 at 1060..1060 answers 9 lines.text=a body 1 (1 raw, 0000000000000061) a\n"
       "11 line server 39+3 at 1060..1060 answers 9 lines.text=b body 1 (1 raw, 0000000000000062) b\n"
       "12 prompt server 42+2 at 1060..1060 answers 9 completes lines.prompt=$_ body 2 (2 raw, "
       "000000000000047c) $_\n"
       "13 line client 17+5 at 1070..1070 request lines.text=pwd body 3 (3 raw, 000000000001b33d) pwd\n"
       "14 line server 44+7 at 1080..1080 answers 13 lines.text=/home body 5 (5 raw, 0000000002c7458e) /home\n"
       "15 prompt server 51+2 at 1090..1090 answers 13 completes lines.prompt=$_ body 2 (2 raw, "
       "000000000000047c) $_\n"
       "16 line server 53+2 at 1100..1100 unsolicited lines.text=\n"
       "17 line server 55+15 at 1100..1100 unsolicited lines.text=you_have_mail body 13 (13 raw, "
       "532311c3503672ae) you_have_mail\n"
       "18 prompt server 70+2 at 1100..1100 unsolicited lines.prompt=$_ body 2 (2 raw, 000000000000047c) $_\n"
       "19 line client 22+6 at 1110..1110 request lines.text=exit body 4 (4 raw, 00000000002fb91e) exit\n"
       "20 line server 72+5 at 1120..1120 answers 19 lines.text=bye body 3 (3 raw, 0000000000017eee) bye\n",
       SERVER("Welcome\r\n\r\nlogin: "), CLIENT("bob\r\n"), SERVER("Password: "), CLIENT("geheim\r\n"),
       SERVER("motd\r\n$ "), CLIENT("ls\r\n"), SERVER("a\r\nb\r\n$ "), CLIENT("pwd\r\n"), SERVER("/home\r\n"),
       SERVER("$ "), SERVER("\r\nyou have mail\r\n$ "), CLIENT("exit\r\n"), SERVER("bye\r\n"), SERVER_END);
}

/* Each prompt completes the first line that waits. */
static void ahead_of_the_prompt(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 prompt server 0+2 at 1000..1000 unsolicited lines.prompt=>_ body 2 (2 raw, 00000000000007a2) >_\n"
       "2 line client 0+4 at 1010..1010 request lines.text=one body 3 (3 raw, 000000000001ae66) one\n"
       "3 line client 4+4 at 1010..1010 lines.text=two body 3 (3 raw, 000000000001c24c) two\n"
       "4 line client 8+6 at 1010..1010 lines.text=three body 5 (5 raw, 000000000693a59e) three\n"
       "5 line server 2+2 at 1020..1020 answers 2 lines.text=1 body 1 (1 raw, 0000000000000031) 1\n"
       "6 prompt server 4+2 at 1020..1020 answers 2 completes lines.prompt=>_ body 2 (2 raw, 00000000000007a2) "
       ">_\n"
       "7 line server 6+2 at 1020..1030 answers 3 lines.text=2 body 1 (1 raw, 0000000000000032) 2\n"
       "8 prompt server 8+2 at 1030..1030 answers 3 completes lines.prompt=>_ body 2 (2 raw, 00000000000007a2) "
       ">_\n"
       "9 line server 10+2 at 1030..1030 answers 4 lines.text=3 body 1 (1 raw, 0000000000000033) 3\n"
       "10 prompt server 12+2 at 1030..1030 answers 4 completes lines.prompt=>_ body 2 (2 raw, "
       "00000000000007a2) >_\n"
       "11 line client 14+5 at 1040..1040 request lines.text=four body 4 (4 raw, 0000000000300d26) four\n"
       "12 line server 14+2 at 1050..1050 answers 11 lines.text=4 body 1 (1 raw, 0000000000000034) 4\n"
       "13 prompt server 16+2 at 1050..1050 answers 11 completes lines.prompt=>_ body 2 (2 raw, "
       "00000000000007a2) >_\n",
       SERVER("> "), CLIENT("one\ntwo\nthree\n"), SERVER("1\n> 2"), SERVER("\n> 3\n> "), CLIENT("four\n"),
       SERVER("4\n> "));
}

/* What begins like the prompt and goes on is none. */
static void refuted(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 prompt server 0+2 at 1000..1000 unsolicited lines.prompt=$_ body 2 (2 raw, 000000000000047c) $_\n"
       "2 line client 0+6 at 1010..1010 request lines.text=price body 5 (5 raw, 00000000065fb149) price\n"
       "3 prompt server 2+2 at 1020..1020 answers 2 completes lines.prompt=$_ body 2 (2 raw, 000000000000047c) "
       "$_\n"
       "4 line server 4+2 at 1030..1030 unsolicited lines.text=5 body 1 (1 raw, 0000000000000035) 5\n"
       "5 line server 6+4 at 1030..1040 unsolicited lines.text=$_6 body 3 (3 raw, 0000000000008b3a) $_6\n"
       "6 prompt server 10+2 at 1040..1040 unsolicited lines.prompt=$_ body 2 (2 raw, 000000000000047c) $_\n"
       "7 line client 6+2 at 1050..1050 request lines.text=x body 1 (1 raw, 0000000000000078) x\n"
       "8 line server 12+4 at 1060..1060 answers 7 lines.text=$_7 body 3 (3 raw, 0000000000008b3b) $_7\n"
       "9 line server 16+2 at 1060..1060 answers 7 cut lines.text=$_ body 2 (2 raw, 000000000000047c) $_\n",
       SERVER("$ "), CLIENT("price\n"), SERVER("$ "), SERVER("5\n$ "), SERVER("6\n$ "), CLIENT("x\n"),
       SERVER("$ 7\n$ "));
}

static void ftp(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line server 0+20 at 1000..1000 unsolicited lines.banner=220_(vsFTPd_3.0.3) body 18 (18 raw, "
       "28fcdb491ab3b658) 220_(vsFTPd_3.0.3)\n"
       "2 line client 0+10 at 1010..1010 lines.text=USER_ann lines.user=ann body 8 (8 raw, 000002321ebb0c0c) "
       "USER_ann\n"
       "3 line server 20+34 at 1020..1020 answers 2 lines.text=331_Please_specify_the_password. body 32 (32 "
       "raw, bfba709c3892b3de) 331_Please_specify_the_p\n"
       "4 line client 10+22 at 1030..1030 lines.text=PASS_ lines.password=*geheim_und_lang\n"
       "5 line server 54+23 at 1040..1040 answers 4 lines.text=230_Login_successful. body 21 (21 raw, "
       "fcb693287029eeac) 230_Login_successful.\n"
       "6 line client 32+6 at 1050..1050 lines.text=SYST body 4 (4 raw, 0000000000271347) SYST\n"
       "7 line server 77+19 at 1060..1060 answers 6 lines.text=215_UNIX_Type:_L8 body 17 (17 raw, "
       "e37a2e902061f43a) 215_UNIX_Type:_L8\n"
       "8 line client 38+6 at 1070..1070 lines.text=QUIT body 4 (4 raw, 0000000000261a4f) QUIT\n"
       "9 line server 96+14 at 1080..1080 answers 8 lines.text=221_Goodbye. body 12 (12 raw, 1237c11d625a5aac) "
       "221_Goodbye.\n",
       SERVER("220 (vsFTPd 3.0.3)\r\n"), CLIENT("USER ann\r\n"), SERVER("331 Please specify the password.\r\n"),
       CLIENT("PASS geheim und lang\r\n"), SERVER("230 Login successful.\r\n"), CLIENT("SYST\r\n"),
       SERVER("215 UNIX Type: L8\r\n"), CLIENT("QUIT\r\n"), SERVER("221 Goodbye.\r\n"), SERVER_END, CLIENT_END);
}

static void pop3(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line server 0+44 at 1000..1000 unsolicited lines.banner=+OK_POP3_<1896.697170952@dbc.mtview.ca.us> "
       "body 42 (42 raw, 7882bb81e5bdb016) +OK_POP3_<1896.697170952\n"
       "2 line client 0+45 at 1010..1010 lines.text=APOP_mrose_ lines.user=mrose "
       "lines.password=*c4c9334bac560ecc979e58001b3e22fb\n"
       "3 line server 44+28 at 1020..1020 answers 2 lines.text=+OK_maildrop_has_1_message body 26 (26 raw, "
       "bf9b0350e76f1091) +OK_maildrop_has_1_messa\n"
       "4 line client 45+12 at 1030..1030 lines.text=AUTH_PLAIN body 10 (10 raw, 00065f217327ed32) AUTH_PLAIN\n"
       "5 line server 72+4 at 1040..1040 answers 4 lines.text=+_ body 2 (2 raw, 0000000000000555) +_\n"
       "6 line client 57+22 at 1050..1050 lines.password=*AHRpbQB0YW5zdGFhZg==\n"
       "7 line server 76+5 at 1060..1060 answers 6 lines.text=+OK body 3 (3 raw, 000000000000ab47) +OK\n"
       "8 line client 79+6 at 1070..1070 lines.text=LIST body 4 (4 raw, 000000000023a89e) LIST\n"
       "9 line server 81+5 at 1080..1080 answers 8 lines.text=+OK body 3 (3 raw, 000000000000ab47) +OK\n"
       "10 line server 86+7 at 1080..1080 answers 8 lines.text=1_120 body 5 (5 raw, 0000000002c1c9c0) 1_120\n"
       "11 line server 93+3 at 1080..1080 answers 8 lines.text=. body 1 (1 raw, 000000000000002e) .\n"
       "12 line client 85+22 at 1090..1090 lines.text=AUTH_CRAM-MD5_ lines.password=*eA==_y\n",
       SERVER("+OK POP3 <1896.697170952@dbc.mtview.ca.us>\r\n"),
       CLIENT("APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"), SERVER("+OK maildrop has 1 message\r\n"),
       CLIENT("AUTH PLAIN\r\n"), SERVER("+ \r\n"), CLIENT("AHRpbQB0YW5zdGFhZg==\r\n"), SERVER("+OK\r\n"),
       CLIENT("LIST\r\n"), SERVER("+OK\r\n1 120\r\n.\r\n"), CLIENT("AUTH CRAM-MD5 eA== y\r\n"));
}

static void imap(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line server 0+30 at 1000..1000 unsolicited lines.banner=*_OK_IMAP4rev1_Service_Ready body 28 (28 raw, "
       "3f7fb39392b5d2f9) *_OK_IMAP4rev1_Service_R\n"
       "2 line client 0+25 at 1010..1010 lines.text=a001_login_\"mrc\"_ lines.user=mrc lines.password=*secret\n"
       "3 line server 30+25 at 1020..1020 answers 2 lines.text=a001_OK_LOGIN_completed body 23 (23 raw, "
       "eb97b3fe86a82fe0) a001_OK_LOGIN_completed\n"
       "4 line client 25+32 at 1030..1030 lines.text=a2_AUTHENTICATE_PLAIN_ lines.password=*dGVzdA==\n"
       "5 line server 55+7 at 1040..1040 answers 4 lines.text=a2_NO body 5 (5 raw, 00000000056e2450) a2_NO\n"
       "6 line client 57+14 at 1050..1050 lines.text=a3_LOGIN_{3} body 12 (12 raw, "
       "22cbd9325ca2f460) a3_LOGIN_{3}\n"
       "7 line server 62+6 at 1060..1060 answers 6 lines.text=+_go body 4 (4 raw, 00000000001410fd) +_go\n"
       "8 line client 71+9 at 1070..1070 lines.password=*mrc_{6}\n"
       "9 line server 68+6 at 1080..1080 answers 8 lines.text=+_go body 4 (4 raw, 00000000001410fd) +_go\n"
       "10 line client 80+8 at 1090..1090 lines.password=*secret\n"
       "11 line server 74+7 at 1100..1100 answers 10 lines.text=a3_OK body 5 (5 raw, 00000000056e98ca) a3_OK\n"
       "12 line client 88+9 at 1110..1110 lines.text=a4_NOOP body 7 (7 raw, 0000001465e00b6f) a4_NOOP\n",
       SERVER("* OK IMAP4rev1 Service Ready\r\n"), CLIENT("a001 login \"mrc\" secret\r\n"),
       SERVER("a001 OK LOGIN completed\r\n"), CLIENT("a2 AUTHENTICATE PLAIN dGVzdA==\r\n"), SERVER("a2 NO\r\n"),
       CLIENT("a3 LOGIN {3}\r\n"), SERVER("+ go\r\n"), CLIENT("mrc {6}\r\n"), SERVER("+ go\r\n"), CLIENT("secret\r\n"),
       SERVER("a3 OK\r\n"), CLIENT("a4 NOOP\r\n"));
}

static void irc(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line client 0+13 at 1000..1000 lines.text=PASS_ lines.password=*hidden\n"
       "2 line client 13+10 at 1000..1000 lines.text=NICK_ann body 8 (8 raw, 0000020332c82ba4) NICK_ann\n"
       "3 line client 23+19 at 1000..1000 lines.text=USER_ann_0_*_:Ann lines.user=ann body 17 (17 raw, "
       "41b82d05117b4d01) USER_ann_0_*_:Ann\n"
       "4 line server 0+28 at 1010..1010 answers 3 lines.text=:irc.test_001_ann_:Welcome body 26 (26 raw, "
       "c97c98fb26bc06f6) :irc.test_001_ann_:Welco\n"
       "5 line client 42+20 at 1020..1020 lines.text=AUTHENTICATE_PLAIN body 18 (18 raw, 56898d22aae7d09f) "
       "AUTHENTICATE_PLAIN\n"
       "6 line server 28+16 at 1030..1030 answers 5 lines.text=AUTHENTICATE_+ body 14 (14 raw, "
       "c999b5c497acb1a0) AUTHENTICATE_+\n"
       "7 line client 62+23 at 1040..1040 lines.password=*AUTHENTICATE_amlsbGVz\n"
       "8 line server 44+23 at 1050..1050 answers 7 lines.text=:irc.test_900_ann_:ok body 21 (21 raw, "
       "85f0fa62a9719370) :irc.test_900_ann_:ok\n"
       "9 line server 67+22 at 1050..1050 answers 7 lines.text=:bob_PRIVMSG_ann_:hi body 20 (20 raw, "
       "1fe2b5496fd6dd49) :bob_PRIVMSG_ann_:hi\n"
       "10 line client 85+13 at 1060..1060 lines.text=OPER_ann_ lines.user=ann lines.password=*pw\n",
       CLIENT("PASS hidden\r\nNICK ann\r\nUSER ann 0 * :Ann\r\n"), SERVER(":irc.test 001 ann :Welcome\r\n"),
       CLIENT("AUTHENTICATE PLAIN\r\n"), SERVER("AUTHENTICATE +\r\n"), CLIENT("AUTHENTICATE amlsbGVz\r\n"),
       SERVER(":irc.test 900 ann :ok\r\n:bob PRIVMSG ann :hi\r\n"), CLIENT("OPER ann pw\r\n"));
}

static void tls(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line server 0+11 at 1000..1000 unsolicited lines.banner=+OK_ready body 9 (9 raw, 00002364b27fc78a) "
       "+OK_ready\n"
       "2 line client 0+6 at 1010..1010 lines.text=STLS body 4 (4 raw, 000000000026ffa8) STLS\n"
       "3 line server 11+9 at 1020..1020 answers 2 lines.text=-ERR_no body 7 (7 raw, 00000009c6e020e9) -ERR_no\n"
       "4 line client 6+8 at 1010..1010 lines.text=USER_a lines.user=a body 6 (6 raw, 0000000095be214c) USER_a\n",
       SERVER("+OK ready\r\n"), CLIENT("STLS\r\nUSER a\r\n"), SERVER("-ERR no\r\n"));
}

/* What one line of a client is told as. */
static void line_is(const char *line, const char *wanted)
{
  const struct piece pieces[] = {SERVER("hello\n"), {GG_SIDE_CLIENT, line, strlen(line), false}, CLIENT("next\n")};
  char *told = transcript_checked(NULL, pieces, sizeof pieces / sizeof *pieces);
  const char *at = strstr(told, "2 line client ");
  assert_non_null(at);
  if (!strstr(at, wanted))
    fprintf(stderr, "%s: told:\n%s.\n", line, told);
  assert_non_null(strstr(at, wanted));
  free(told);
}

/* Without a mechanism, AUTH has a password in it: Redis' and others', in any case. */
static void auth_without_mechanism(void **state)
{
  (void)state;
  line_is("AUTH geheim77\r\n", " lines.text=AUTH_ lines.password=*geheim77\n3 line client 15+5 at 1020..1020 "
                               "lines.text=next");
  line_is("auth Geheim77\n", " lines.text=auth_ lines.password=*Geheim77\n");
  line_is("auth ann geheim\n", " lines.text=auth_ann_ lines.user=ann lines.password=*geheim\n");
  line_is("AUTH a secret of words\n", " lines.text=AUTH_ lines.password=*a_secret_of_words\n");
  line_is("AUTH \"a secret\"\n", " lines.text=AUTH_ lines.password=*\"a_secret\"\n");
  line_is("a1 auth geheim\n", " lines.text=a1_auth_ lines.password=*geheim\n");
  line_is("pass geheim\n", " lines.text=pass_ lines.password=*geheim\n");
  line_is("hello 3 auth ann geheim setname x\n",
          " lines.text=hello_3_auth_ann_ lines.user=ann lines.password=*geheim_setname_x\n");
  line_is("HELLO 3 SETNAME x AUTH ann geheim\n",
          " lines.text=HELLO_3_SETNAME_x_AUTH_ann_ lines.user=ann lines.password=*geheim\n");
  line_is("HELLO 3 AUTH\n", " lines.text=HELLO_3_AUTH body 12");
  /* what may be a mechanism that is not known: what follows may be its password, until the server answers */
  line_is("AUTH GEHEIM\r\n", " lines.text=AUTH_ lines.password=*GEHEIM\n3 line client 13+5 at 1020..1020 "
                             "lines.password=*next\n");
  line_is("auth scram-sha-256 abc\n", " lines.text=auth_scram-sha-256_ lines.password=*abc\n");
}

/* Alone, a server's prompt is enough. */
static void prompt_first(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 prompt server 0+7 at 1000..1000 unsolicited lines.prompt=login:_ body 7 (7 raw, 000000171467c04f) "
       "login:_\n"
       "2 line client 0+3 at 1010..1030 request cut lines.text=bob lines.user=bob body 3 (3 raw, "
       "0000000000017db5) bob\n"
       "3 line server 7+1 at 1020..1020 answers 2 cut lines.text=x body 1 (1 raw, 0000000000000078) x\n",
       SERVER("login: "), CLIENT("b"), SERVER("x"), CLIENT("ob"));
}

static void odd_ends(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line client 0+6 at 1000..1000 lines.text=a\\x0db\\x0d body 4 (4 raw, 00000000002c54b7) a\\x0db\\x0d\n"
       "2 line client 6+1 at 1000..1000 lines.text=\n"
       "3 line client 7+2 at 1000..1000 lines.text=\n"
       "5 line server 0+2 at 1010..1010 answers 4 lines.text=\\x01 body 1 (1 raw, 0000000000000001) \\x01\n"
       "4 line client 9+5 at 1000..1000 lines.text=last\\x0d body 5 (5 raw, 00000000061fc037) last\\x0d\n",
       CLIENT("a\rb\r\r\n\n\r\nlast\r"), SERVER("\x01\n"), SERVER_END, CLIENT_END);
}

static void gaps(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line client 0+4 at 1000..1000 lines.text=one body 3 (3 raw, 000000000001ae66) one\n"
       "2 line client 4+2 at 1000..1000 gap lines.text=tw body 2 (2 raw, 0000000000000e83) tw\n"
       "3 line client 9+4 at 1020..1020 gap lines.text=ree body 3 (3 raw, 000000000001b892) ree\n"
       "4 line client 13+5 at 1020..1020 lines.text=four body 4 (4 raw, 0000000000300d26) four\n"
       "5 line server 0+2 at 1030..1030 answers 4 lines.text=x body 1 (1 raw, 0000000000000078) x\n"
       "6 line server 7+2 at 1050..1050 answers 4 gap lines.text=y body 1 (1 raw, 0000000000000079) y\n",
       CLIENT("one\ntw"), CLIENT_GAP(3), CLIENT("ree\nfour\n"), SERVER("x\n"), SERVER_GAP(5), SERVER("y\n"));
}

/* No text, or no line. */
static void nobody(void **state)
{
  (void)state;
  TELL("client opaque from 0: unknown: binary, 2.3 bits of entropy a byte, begins 61 62 63 00 0a\n"
       "server opaque from 0: unknown: binary, 2.3 bits of entropy a byte, begins 61 62 63 00 0a\n",
       CLIENT("abc\x00\n"));
}

/* A line that is longer than any window: told in pieces, and not at all if it is a secret. */
static void long_lines(void **state)
{
  (void)state;
  enum { SIZE = 300000 };
  char *text = malloc(SIZE);
  assert_non_null(text);
  for (unsigned round = 0; round < 2; round++) {
    memset(text, 'v', SIZE);
    memcpy(text, round ? "x\nPASS " : "x\nHASS ", 7); /* it is told by its first line */
    text[SIZE - 1] = '\n';
    const struct piece pieces[] = {{GG_SIDE_CLIENT, text, SIZE, false}};
    char *told = transcript_of(NULL, pieces, 1, CUT_NOT, 0);
    char *cut = transcript_of(NULL, pieces, 1, CUT_RANDOMLY, 7);
    assert_string_equal(told, cut);
    assert_non_null(strstr(told, round ? " lines.text=PASS_ lines.password=*vvvv" : " body 299997 (299997 raw,"));
    assert_true(!round == !strstr(told, "lines.password"));
    assert_true(!round == !!strstr(told, " body 29"));
    free(told);
    free(cut);
  }
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
    cmocka_unit_test(consoles),
    cmocka_unit_test(ahead_of_the_prompt),
    cmocka_unit_test(refuted),
    cmocka_unit_test(ftp),
    cmocka_unit_test(pop3),
    cmocka_unit_test(imap),
    cmocka_unit_test(irc),
    cmocka_unit_test(tls),
    cmocka_unit_test(prompt_first),
    cmocka_unit_test(odd_ends),
    cmocka_unit_test(auth_without_mechanism),
    cmocka_unit_test(gaps),
    cmocka_unit_test(nobody),
    cmocka_unit_test(long_lines),
    cmocka_unit_test(hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
