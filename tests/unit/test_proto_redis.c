/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis decoder: commands, replies of all types, what answers what, and what must not be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"

/* A command, for those whose replies are looked at; and bytes. */
#define X(key) "*2\r\n$3\r\nGET\r\n$1\r\n" key "\r\n"
#define HUNDRED "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

/* A session with something of all. */
#define VECTOR                                                                                                         \
  CLIENT("*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$6\r\nsecret\r\n" X("1") X("2") X("3")),          \
    SERVER("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n+proto\r\n:3\r\n"),                                                   \
    SERVER("|1\r\n+ttl\r\n*1\r\n:3600\r\n*3\r\n:1\r\n*2\r\n+b\r\n|1\r\n+x\r\n+y\r\n$1\r\nc\r\n%0\r\n_\r\n"),           \
    SERVER("$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;0\r\n"), SERVER("*?\r\n:1\r\n%?\r\n+a\r\n:2\r\n.\r\n.\r\n"),           \
    CLIENT("*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\nset k v\r\n*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n"),          \
    SERVER(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),                \
    SERVER(">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n+OK\r\n=7\r\ntxt:abc\r\n-ERR no\r\n")

static void pipeline(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+31 at 1000..1000 request redis.command=SET redis.arg=k redis.key=k redis.arg=hello\n"
       "2 command client 31+20 at 1000..1000 request redis.command=GET redis.arg=k redis.key=k\n"
       "3 command client 51+14 at 1000..1000 request redis.command=OOPS\n"
       "4 reply server 0+5 at 1010..1010 answers 1 completes redis.type=status redis.value=OK\n"
       "5 reply server 5+11 at 1010..1010 answers 2 completes redis.type=bulk redis.value=hello body 5 (5 raw, "
       "0000000005e918d2) hello\n"
       "6 reply server 16+29 at 1020..1020 answers 3 completes redis.type=error "
       "redis.message=ERR_unknown_command_'OOPS' redis.error=ERR\n",
       CLIENT("*3\r\n$3\r\nset\r\n$1\r\nk\r\n$5\r\nhello\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nOOPS\r\n"),
       SERVER("+OK\r\n$5\r\nhello\r\n"), SERVER("-ERR unknown command 'OOPS'\r\n"));
}

static void types_of_resp3(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+53 at 1000..1000 request redis.command=HELLO redis.arg=3 redis.arg=AUTH "
       "redis.arg=bob redis.user=bob redis.password=*secret\n"
       "2 command client 53+20 at 1000..1000 request redis.command=GET redis.arg=1 redis.key=1\n"
       "3 command client 73+20 at 1000..1000 request redis.command=GET redis.arg=2 redis.key=2\n"
       "4 command client 93+20 at 1000..1000 request redis.command=GET redis.arg=3 redis.key=3\n"
       "5 command client 113+20 at 1000..1000 request redis.command=GET redis.arg=4 redis.key=4\n"
       "6 command client 133+20 at 1000..1000 request redis.command=GET redis.arg=5 redis.key=5\n"
       "7 command client 153+20 at 1000..1000 request redis.command=GET redis.arg=6 redis.key=6\n"
       "8 command client 173+20 at 1000..1000 request redis.command=GET redis.arg=7 redis.key=7\n"
       "9 command client 193+20 at 1000..1000 request redis.command=GET redis.arg=8 redis.key=8\n"
       "10 command client 213+20 at 1000..1000 request redis.command=GET redis.arg=9 redis.key=9\n"
       "11 command client 233+20 at 1000..1000 request redis.command=GET redis.arg=a redis.key=a\n"
       "12 command client 253+20 at 1000..1000 request redis.command=GET redis.arg=b redis.key=b\n"
       "13 reply server 0+39 at 1010..1010 answers 1 completes redis.type=map redis.value=server "
       "redis.value=redis redis.value=proto redis.value=3\n"
       "14 reply server 39+3 at 1020..1020 answers 2 completes redis.type=null\n"
       "15 reply server 42+4 at 1020..1020 answers 3 completes redis.type=boolean redis.value=t\n"
       "16 reply server 46+6 at 1020..1020 answers 4 completes redis.type=double redis.value=1.5\n"
       "17 reply server 52+46 at 1030..1030 answers 5 completes redis.type=number "
       "redis.value=3492890328409238509324850943850943825024385\n"
       "18 reply server 98+14 at 1040..1040 answers 6 completes redis.type=verbatim redis.value=txt:Some body 8 "
       "(8 raw, 00000300a73effde) txt:Some\n"
       "19 reply server 112+15 at 1040..1040 answers 7 completes redis.type=error redis.message=SYNTAX_no "
       "redis.error=SYNTAX body 9 (9 raw, 000042ace0b2371e) SYNTAX_no\n"
       "20 reply server 127+13 at 1050..1050 answers 8 completes redis.type=set redis.value=a redis.value=-1\n"
       "21 reply server 140+4 at 1050..1050 answers 9 completes redis.type=array\n"
       "22 reply server 144+5 at 1050..1050 answers 10 completes redis.type=array\n"
       "23 reply server 149+5 at 1050..1050 answers 11 completes redis.type=bulk\n"
       "24 reply server 154+6 at 1050..1050 answers 12 completes redis.type=bulk redis.value=\n"
       "25 reply server 160+60 at 1060..1060 unsolicited redis.value=ttl redis.value=3600 redis.type=array "
       "redis.value=1 redis.value=b redis.value=x redis.value=y redis.value=c\n",
       CLIENT("*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$6\r\nsecret\r\n" X("1") X("2") X("3") X("4")
                X("5") X("6") X("7") X("8") X("9") X("a") X("b")),
       SERVER("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n+proto\r\n:3\r\n"), SERVER("_\r\n#t\r\n,1.5\r\n"),
       SERVER("(3492890328409238509324850943850943825024385\r\n"), SERVER("=8\r\ntxt:Some\r\n!9\r\nSYNTAX no\r\n"),
       SERVER("~2\r\n+a\r\n:-1\r\n*0\r\n*-1\r\n$-1\r\n$0\r\n\r\n"),
       SERVER("|1\r\n+ttl\r\n*1\r\n:3600\r\n*3\r\n:1\r\n*2\r\n+b\r\n|1\r\n+x\r\n+y\r\n$1\r\nc\r\n%0\r\n"));
}

static void streamed(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+20 at 1000..1000 request redis.command=GET redis.arg=1 redis.key=1\n"
       "2 command client 20+20 at 1000..1000 request redis.command=GET redis.arg=2 redis.key=2\n"
       "3 command client 40+20 at 1000..1000 request redis.command=GET redis.arg=3 redis.key=3\n"
       "4 reply server 0+29 at 1010..1010 answers 1 completes redis.type=bulk body 9 (9 raw, 00003a77beaed82c) "
       "Hello_wor\n"
       "5 reply server 29+26 at 1020..1020 answers 2 completes redis.type=array redis.value=1 redis.value=a "
       "redis.value=2\n"
       "6 reply server 55+5 at 1020..1020 answers 3 completes redis.type=status redis.value=OK\n",
       CLIENT(X("1") X("2") X("3")), SERVER("$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;0\r\n"),
       SERVER("*?\r\n:1\r\n%?\r\n+a\r\n:2\r\n.\r\n.\r\n+OK\r\n"));
}

static void inline_commands(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+6 at 1000..1000 request redis.command=PING\n"
       "2 command client 8+24 at 1000..1000 request redis.command=SET redis.arg=k redis.key=k "
       "redis.arg=a_\\x5c\"_b redis.arg=c_d\n"
       "3 reply server 0+7 at 1010..1010 answers 1 completes redis.type=status redis.value=PONG\n"
       "4 reply server 7+5 at 1010..1010 answers 2 completes redis.type=status redis.value=OK\n"
       "5 command client 32+14 at 1020..1020 request redis.command=AUTH redis.password=*hunter2\n"
       "6 reply server 12+20 at 1030..1030 answers 5 completes redis.type=error redis.message=WRONGPASS_invalid "
       "redis.error=WRONGPASS\n"
       "client opaque from 55: cut: ends in the middle\n",
       CLIENT("PING\r\n\r\n  set  k \"a \\\" b\" 'c d'\n"), SERVER("+PONG\r\n+OK\r\n"),
       CLIENT("auth hunter2\r\n*0\r\n*-1\r\nPING"), SERVER("-WRONGPASS invalid\r\n"));
}

static void credentials(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+23 at 1000..1000 request redis.command=AUTH redis.password=*pw1\n"
       "2 command client 23+32 at 1000..1000 request redis.command=AUTH redis.arg=bob redis.user=bob "
       "redis.password=*pw2\n"
       "3 command client 55+74 at 1010..1010 request redis.command=CONFIG redis.arg=SET redis.arg=maxmemory "
       "redis.arg=1 redis.arg=requirepass redis.password=*pw3\n"
       "4 command client 129+69 at 1020..1020 request redis.command=ACL redis.arg=SETUSER redis.arg=eve "
       "redis.arg=on redis.password=*>pw4 redis.arg=~key redis.arg=\n"
       "5 command client 198+79 at 1030..1030 request redis.command=MIGRATE redis.arg=h redis.arg=1 redis.arg=k "
       "redis.key=k redis.arg=0 redis.arg=9 redis.arg=AUTH2 redis.arg=u redis.user=u redis.password=*pw5\n"
       "6 command client 277+32 at 1040..1040 request redis.command=CONFIG redis.arg=GET redis.arg=*\n"
       "7 reply server 0+5 at 1050..1050 answers 1 completes redis.type=status redis.value=OK\n"
       "8 reply server 5+5 at 1050..1050 answers 2 completes redis.type=status redis.value=OK\n"
       "9 reply server 10+5 at 1050..1050 answers 3 completes redis.type=status redis.value=OK\n"
       "10 reply server 15+5 at 1050..1050 answers 4 completes redis.type=status redis.value=OK\n"
       "11 reply server 20+5 at 1050..1050 answers 5 completes redis.type=status redis.value=OK\n"
       "12 reply server 25+51 at 1060..1060 answers 6 completes redis.type=array redis.value=requirepass "
       "redis.password=*pw3 redis.value=port redis.value=6379\n",
       CLIENT("*2\r\n$4\r\nAUTH\r\n$3\r\npw1\r\n*3\r\n$4\r\nauth\r\n$3\r\nbob\r\n$3\r\npw2\r\n"),
       CLIENT("*6\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$9\r\nmaxmemory\r\n$1\r\n1\r\n$11\r\nrequirepass\r\n$3\r\npw3\r\n"),
       CLIENT("*7\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$3\r\neve\r\n$2\r\non\r\n$4\r\n>pw4\r\n$4\r\n~key\r\n$0\r\n\r\n"),
       CLIENT("*9\r\n$7\r\nMIGRATE\r\n$1\r\nh\r\n$1\r\n1\r\n$1\r\nk\r\n$1\r\n0\r\n$1\r\n9\r\n$5\r\nAUTH2\r\n$"
              "1\r\nu\r\n$3\r\npw5\r\n"),
       CLIENT("*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$1\r\n*\r\n"), SERVER("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n"),
       SERVER("*4\r\n$11\r\nrequirepass\r\n$3\r\npw3\r\n$4\r\nport\r\n$4\r\n6379\r\n"));
}

static void subscriptions(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+33 at 1000..1000 request redis.command=SUBSCRIBE redis.arg=a redis.arg=b\n"
       "2 command client 33+29 at 1000..1000 request redis.command=PSUBSCRIBE redis.arg=c*\n"
       "3 reply server 0+30 at 1010..1010 answers 1 redis.type=array redis.value=subscribe redis.value=a "
       "redis.value=1\n"
       "4 push server 30+32 at 1020..1020 unsolicited redis.type=array redis.value=message redis.value=a "
       "redis.value=hi\n"
       "5 reply server 62+30 at 1030..1030 answers 1 completes redis.type=array redis.value=subscribe "
       "redis.value=b redis.value=2\n"
       "6 reply server 92+33 at 1030..1030 answers 2 completes redis.type=array redis.value=psubscribe "
       "redis.value=c* redis.value=3\n"
       "7 command client 62+14 at 1040..1040 request redis.command=PING\n"
       "8 push server 125+41 at 1050..1050 unsolicited redis.type=array redis.value=pmessage redis.value=c* "
       "redis.value=cx redis.value=y\n"
       "9 reply server 166+20 at 1050..1050 answers 7 completes redis.type=array redis.value=pong redis.value=\n"
       "10 command client 76+22 at 1060..1060 request redis.command=UNSUBSCRIBE\n"
       "11 command client 98+22 at 1060..1060 request redis.command=UNSUBSCRIBE\n"
       "12 command client 120+15 at 1060..1060 request redis.command=RESET\n"
       "13 command client 135+20 at 1060..1060 request redis.command=GET redis.arg=z redis.key=z\n"
       "14 reply server 186+33 at 1070..1070 answers 10 redis.type=array redis.value=unsubscribe redis.value=a "
       "redis.value=2\n"
       "15 reply server 219+33 at 1070..1070 answers 10 completes redis.type=array redis.value=unsubscribe "
       "redis.value=b redis.value=1\n"
       "16 reply server 252+31 at 1080..1080 answers 11 completes redis.type=array redis.value=unsubscribe "
       "redis.value=1\n"
       "17 reply server 283+8 at 1080..1080 answers 12 completes redis.type=status redis.value=RESET\n"
       "18 reply server 291+24 at 1080..1080 answers 13 completes redis.type=array redis.value=message "
       "redis.value=z\n",
       CLIENT("*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$10\r\nPSUBSCRIBE\r\n$2\r\nc*\r\n"),
       SERVER("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"), SERVER("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
       SERVER("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:3\r\n"),
       CLIENT("*1\r\n$4\r\nPING\r\n"),
       SERVER("*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\ncx\r\n$1\r\ny\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
       CLIENT("*1\r\n$11\r\nUNSUBSCRIBE\r\n*1\r\n$11\r\nUNSUBSCRIBE\r\n*1\r\n$5\r\nRESET\r\n" X("z")),
       SERVER("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n"),
       SERVER("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n+RESET\r\n*2\r\n$7\r\nmessage\r\n$1\r\nz\r\n"));
}

static void pushes_of_resp3(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+22 at 1000..1000 request redis.command=HELLO redis.arg=3\n"
       "2 command client 22+26 at 1000..1000 request redis.command=SUBSCRIBE redis.arg=a\n"
       "3 command client 48+20 at 1000..1000 request redis.command=GET redis.arg=k redis.key=k\n"
       "4 reply server 0+16 at 1010..1010 answers 1 completes redis.type=map redis.value=proto redis.value=3\n"
       "5 push server 16+28 at 1010..1010 unsolicited redis.type=push redis.value=invalidate redis.value=k\n"
       "6 reply server 44+30 at 1020..1020 answers 2 completes redis.type=push redis.value=subscribe "
       "redis.value=a redis.value=1\n"
       "7 push server 74+32 at 1020..1020 unsolicited redis.type=push redis.value=message redis.value=a "
       "redis.value=hi\n"
       "8 reply server 106+32 at 1030..1030 answers 3 completes redis.type=array redis.value=message "
       "redis.value=a redis.value=hi\n",
       CLIENT("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n" X("k")),
       SERVER("%1\r\n+proto\r\n:3\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"),
       SERVER(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
       SERVER("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"));
}

static void transaction_and_monitor(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+15 at 1000..1000 request redis.command=MULTI\n"
       "2 command client 15+26 at 1000..1000 request redis.command=SUBSCRIBE redis.arg=a\n"
       "3 command client 41+20 at 1000..1000 request redis.command=GET redis.arg=1 redis.key=1\n"
       "4 command client 61+14 at 1000..1000 request redis.command=EXEC\n"
       "5 command client 75+17 at 1000..1000 request redis.command=MONITOR\n"
       "6 reply server 0+5 at 1010..1010 answers 1 completes redis.type=status redis.value=OK\n"
       "7 reply server 5+9 at 1010..1010 answers 2 completes redis.type=status redis.value=QUEUED\n"
       "8 reply server 14+9 at 1010..1010 answers 3 completes redis.type=status redis.value=QUEUED\n"
       "9 reply server 23+24 at 1010..1010 answers 4 completes redis.type=array redis.value=OK "
       "redis.message=WRONGTYPE_no redis.error=WRONGTYPE\n"
       "10 reply server 47+5 at 1010..1010 answers 5 completes redis.type=status redis.value=OK\n"
       "11 push server 52+51 at 1020..1020 unsolicited redis.type=status "
       "redis.value=1339518083.107412_[0_127.0.0.1:60866]_\"keys\"_\"*\"\n"
       "12 command client 92+6 at 1030..1030 request redis.command=PING\n"
       "13 reply server 103+7 at 1040..1040 answers 12 completes redis.type=status redis.value=PONG\n"
       "14 command client 98+6 at 1050..1050 request redis.command=QUIT\n"
       "15 reply server 110+5 at 1060..1060 answers 14 completes redis.type=status redis.value=OK\n",
       CLIENT("*1\r\n$5\r\nMULTI\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n" X(
         "1") "*1\r\n$4\r\nEXEC\r\n*1\r\n$7\r\nMONITOR\r\n"),
       SERVER("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-WRONGTYPE no\r\n+OK\r\n"),
       SERVER("+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n"), CLIENT("PING\r\n"), SERVER("+PONG\r\n"),
       CLIENT("QUIT\r\n"), SERVER("+OK\r\n"), SERVER_END, CLIENT_END);
}

static void replies_that_never_come(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+37 at 1000..1000 redis.command=CLIENT redis.arg=REPLY redis.arg=SKIP\n"
       "2 command client 37+20 at 1000..1000 redis.command=GET redis.arg=1 redis.key=1\n"
       "3 command client 57+20 at 1000..1000 request redis.command=GET redis.arg=2 redis.key=2\n"
       "4 reply server 0+7 at 1010..1010 answers 3 completes redis.type=bulk redis.value=2 body 1 (1 raw, "
       "0000000000000032) 2\n"
       "5 command client 77+36 at 1020..1020 redis.command=CLIENT redis.arg=reply redis.arg=off\n"
       "6 command client 113+20 at 1020..1020 redis.command=GET redis.arg=3 redis.key=3\n"
       "7 command client 133+35 at 1020..1020 request redis.command=CLIENT redis.arg=REPLY redis.arg=ON\n"
       "8 reply server 7+5 at 1030..1030 answers 7 completes redis.type=status redis.value=OK\n",
       CLIENT("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n" X("1") X("2")), SERVER("$1\r\n2\r\n"),
       CLIENT("*3\r\n$6\r\nCLIENT\r\n$5\r\nreply\r\n$3\r\noff\r\n" X(
         "3") "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n"),
       SERVER("+OK\r\n"));
}

static void keys(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+35 at 1000..1000 request redis.command=EVAL redis.arg=s redis.arg=1 redis.arg=k "
       "redis.key=k\n"
       "2 command client 35+35 at 1000..1000 request redis.command=EVAL redis.arg=s redis.arg=0 redis.arg=a\n"
       "3 command client 70+42 at 1010..1010 request redis.command=XREAD redis.arg=STREAMS redis.arg=q "
       "redis.key=q redis.arg=0\n"
       "4 command client 112+38 at 1010..1010 request redis.command=BITOP redis.arg=AND redis.arg=d redis.key=d "
       "redis.arg=e\n",
       CLIENT(
         "*4\r\n$4\r\nEVAL\r\n$1\r\ns\r\n$1\r\n1\r\n$1\r\nk\r\n*4\r\n$4\r\nEVAL\r\n$1\r\ns\r\n$1\r\n0\r\n$1\r\na\r\n"),
       CLIENT("*4\r\n$5\r\nXREAD\r\n$7\r\nSTREAMS\r\n$1\r\nq\r\n$1\r\n0\r\n*4\r\n$5\r\nBITOP\r\n$3\r\nAND\r\n$"
              "1\r\nd\r\n$1\r\ne\r\n"));
}

static void replica(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+14 at 1000..1000 request redis.command=PING\n"
       "2 command client 14+30 at 1000..1000 request redis.command=PSYNC redis.arg=? redis.arg=-1\n"
       "3 reply server 0+7 at 1010..1010 answers 1 completes redis.type=status redis.value=PONG\n"
       "4 reply server 7+56 at 1020..1020 answers 2 completes redis.type=status "
       "redis.value=FULLRESYNC_8de1787ba490483314a4d30f1c628bc5025eb761_0\n"
       "server opaque from 63: unknown: a replica's stream\n"
       "client opaque from 44: unknown: a replica's stream\n",
       CLIENT("*1\r\n$4\r\nPING\r\n*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"), SERVER("+PONG\r\n"),
       SERVER("+FULLRESYNC 8de1787ba490483314a4d30f1c628bc5025eb761 0\r\n$5\r\nREDIS"));
}

static void broken(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+20 at 1000..1000 request redis.command=GET redis.arg=1 redis.key=1\n"
       "2 command client 20+20 at 1000..1000 request redis.command=GET redis.arg=2 redis.key=2\n"
       "3 command client 40+4 at 1000..1000 cut\n"
       "client opaque from 44: failed: an argument that is no bulk string\n"
       "4 reply server 0+5 at 1010..1010 answers 1 cut redis.type=bulk redis.value=a body 1 (1 raw, "
       "0000000000000061) a\n"
       "server opaque from 5: failed: a bulk string that is longer than its size\n",
       CLIENT(X("1") X("2") "*1\r\n:1\r\n"), SERVER("$1\r\nabc\r\n"));
}

static void gap_in_a_value(void **state)
{
  (void)state;
  TELL("is redis from 0 0\n"
       "1 command client 0+20 at 1000..1000 request redis.command=GET redis.arg=1 redis.key=1\n"
       "2 command client 20+20 at 1000..1000 request redis.command=GET redis.arg=2 redis.key=2\n"
       "3 reply server 0+1109 at 1010..1020 answers 1 completes redis.type=bulk "
       "redis.value="
       "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
       "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
       "234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012"
       "345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
       "456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
       "567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
       "678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
       "789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
       "890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
       "9012345678901234567890123... "
       "body 1100 (1100 raw, 1d9f1c17c4a52566) 012345678901234567890123\n"
       "4 reply server 1109+1059 at 1020..1040 answers 2 completes gap redis.type=bulk "
       "redis.value="
       "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
       "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
       "234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012"
       "345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
       "456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
       "567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
       "678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
       "789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
       "890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
       "9123456789012345678901234... "
       "body 1030 (1030 raw, 128a326f01863d7a) 012345678901234567890123\n"
       "server opaque from 2168: gap: bytes are missing\n"
       "client opaque from 40: gap: bytes are missing\n",
       CLIENT(X("1") X("2")),
       SERVER("$1100\r\n" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED),
       SERVER("\r\n$1050\r\n" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
              "1234567890123456789012345"),
       SERVER_GAP(20), SERVER("abcde\r\n"), SERVER_GAP(3));
}

static void nobody_elses(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line client 0+25 at 1000..1000 lines.text=*_LIST_(\\x5cHasNoChildren) body 23 (23 raw, "
       "dacaa448aa93746f) *_LIST_(\\x5cHasNoChildren)\n",
       CLIENT("* LIST (\\HasNoChildren)\r\n"));
}

#define SETS_10                                                                                                        \
  "SET k1 v\r\nset k2 v\r\nSET k3 v\r\nSET k4 v\r\nSET k5 v\r\n"                                                       \
  "SET k6 v\r\nSET k7 v\r\nSET k8 v\r\nSET k9 v\r\nSET ka v\r\n"
#define SETS_60 SETS_10 SETS_10 SETS_10 SETS_10 SETS_10 SETS_10

/* More of them than are looked at before the server has said a word: they are Redis' if all of them are known there. */
static void pipelined_inline(void **state)
{
  (void)state;
  FIND_NOT(WORDS("is redis from 0 0\n"
                 "1 command client 0+15 at 1000..1000 request redis.command=AUTH redis.password=*geheim77\n"),
           WORDS("=geheim77"), CLIENT("AUTH geheim77\r\n\r\n" SETS_60), SERVER("+OK\r\n+OK\r\n"));
  FIND(WORDS("is redis from 0 0\n"), CLIENT("auth x\nset \"a b\" 'c d'\nEVAL_RO s 0\n" SETS_60));
  FIND(WORDS("is redis from 0 0\n"), CLIENT("PING\r\n"), CLIENT(SETS_60), CLIENT(SETS_60));
  /* cut in the middle of a value that goes on, and arrays that follow */
  FIND(WORDS("is redis from 0 0\n"), CLIENT("AUTH x\r\nSET k " HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\r\n"));
  FIND(WORDS("is redis from 0 0\n"),
       CLIENT("AUTH x\r\n*2\r\n$3\r\nGET\r\n$600\r\n" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\r\n"));
  /* a command that Redis does not know, too many words, too few, a header, and the server has said something else */
  FIND(WORDS("is lines from 0 0\n"), CLIENT("SET k v\r\nDELETE k\r\n" SETS_60));
  FIND(WORDS("is lines from 0 0\n"), CLIENT("TIME is money\r\n" SETS_60));
  FIND(WORDS("is lines from 0 0\n"), CLIENT("GET\r\n" SETS_60));
  FIND(WORDS("is lines from 0 0\n"), CLIENT("GET /\r\nHost: x\r\n" SETS_60));
  FIND(WORDS("is lines from 0 0\n"), CLIENT("SET k v\r\n"), SERVER("ERROR\r\n"), CLIENT(SETS_60));
  FIND(WORDS("is lines from 0 0\n"), CLIENT("SET k v\r\n*\r\n" SETS_60));
}

/* Whatever the last byte is that is looked at. */
static void cut_where_it_is_looked_at(void **state)
{
  (void)state;
  static const char text[] = SETS_60;
  const struct gg_decoder *redis = gg_decoder_find("redis");
  char begin[] = "PING xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
  for (size_t words = 5; words < sizeof begin - 1; words++) { /* a line is cut at each of its bytes */
    char bytes[sizeof text + sizeof begin];
    memcpy(bytes, begin, words);
    memcpy(bytes + words, "\r\n" SETS_60, sizeof text + 2);
    struct gg_opening opening = {.data = {(const uint8_t *)bytes, (const uint8_t *)""},
                                 .length = {GG_IDENTIFY_MAX - 1, 0},
                                 .spoke_first = true,
                                 .first = GG_SIDE_CLIENT};
    assert_int_equal(redis->identify(&opening), GG_LIKENESS_OPEN);
    opening.length[0]++;
    assert_int_equal(redis->identify(&opening), GG_LIKENESS_LIKELY);
  }
}

/* A value that is larger than any window, and a nesting that is deeper than any reply. */
static void large_and_deep(void **state)
{
  (void)state;
  enum { SIZE = 3 << 20, DEEP = 100 };
  char *large = malloc(SIZE + 64);
  assert_non_null(large);
  int head = snprintf(large, 64, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", SIZE);
  memset(large + head, 'v', SIZE);
  memcpy(large + head + SIZE, "\r\n", 2);
  char deep[DEEP * 4];
  for (size_t i = 0; i < DEEP; i++)
    memcpy(deep + i * 4, "*1\r\n", 4);
  const struct piece pieces[] = {{GG_SIDE_CLIENT, large, (size_t)head + SIZE + 2, false},
                                 {GG_SIDE_SERVER, deep, DEEP * 4, false}};
  char *told = transcript_of(NULL, pieces, 2, CUT_NOT, 0);
  char *cut = transcript_of(NULL, pieces, 2, CUT_RANDOMLY, 7);
  assert_string_equal(told, cut);
  assert_non_null(strstr(told, " body 3145728 (3145728 raw,"));
  assert_non_null(strstr(told, "server opaque from 260: failed: a reply of more than 64 levels\n"));
  free(told);
  free(cut);
  free(large);
}

/* Memory runs out in the middle of a command: what was begun is told once, as cut. */
static void no_memory(void **state)
{
  (void)state;
  static const struct piece pieces[] = {
    CLIENT(X("1")), SERVER("+" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\r\n")};
  unsigned limited = 0, begun = 0;
  for (size_t memory = 4 << 10; memory < 24 << 10; memory += 16) {
    struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
    options.memory_max = memory;
    options.decoder = "redis";
    char *told = transcript_of(&options, pieces, sizeof pieces / sizeof *pieces, CUT_RANDOMLY, (unsigned)memory);
    limited += strstr(told, ": limit: ") != NULL;
    begun += strstr(told, " cut ") != NULL;
    free(told);
  }
  assert_true(limited > 10);
  assert_true(begun > 0);
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
    cmocka_unit_test(pipeline),
    cmocka_unit_test(types_of_resp3),
    cmocka_unit_test(streamed),
    cmocka_unit_test(inline_commands),
    cmocka_unit_test(credentials),
    cmocka_unit_test(subscriptions),
    cmocka_unit_test(pushes_of_resp3),
    cmocka_unit_test(transaction_and_monitor),
    cmocka_unit_test(replies_that_never_come),
    cmocka_unit_test(keys),
    cmocka_unit_test(replica),
    cmocka_unit_test(broken),
    cmocka_unit_test(gap_in_a_value),
    cmocka_unit_test(nobody_elses),
    cmocka_unit_test(pipelined_inline),
    cmocka_unit_test(cut_where_it_is_looked_at),
    cmocka_unit_test(large_and_deep),
    cmocka_unit_test(no_memory),
    cmocka_unit_test(hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
