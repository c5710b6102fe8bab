/* SPDX-License-Identifier: Apache-2.0 */
/* The SMTP decoder: sessions of RFC 5321 and its extensions, pipelines, mails with dots, and logins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile.h"

#define BANNER SERVER("220 mx.example.org ESMTP ready\r\n")

/* A session with something of all. */
#define VECTOR                                                                                                         \
  BANNER, CLIENT("EHLO c.example.org\r\n"),                                                                            \
    SERVER("250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 AUTH PLAIN\r\n"), CLIENT("AUTH PLAIN\r\n"),   \
    SERVER("334 \r\n"), CLIENT("AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n"), SERVER("235 ok\r\n"),                              \
    CLIENT("MAIL FROM:<a@b> SIZE=9\r\nRCPT TO:<c@d>\r\nDATA\r\n"), SERVER("250 ok\r\n550 no\r\n354 go\r\n"),           \
    CLIENT("Subject: x\r\n\r\n..dot\r\n.\r.\r\nend\n.\r\n\r\n.\r\nBDAT 4\r\nab\r\nBDAT 2 LAST\r\ncdQUIT\r\n"),         \
    SERVER("250 ok\r\n250 ok\r\n250 ok\r\n221 bye\r\n")

/* RFC 5321, D.1 */
static void typical(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+55 at 1000..1000 unsolicited smtp.code=220 smtp.server=foo.com "
       "smtp.text=foo.com_Simple_Mail_Transfer_Service_Ready_(SMTP)\n"
       "2 command client 0+14 at 1010..1010 request smtp.command=EHLO smtp.argument=bar.com smtp.helo=bar.com\n"
       "3 reply server 55+71 at 1020..1020 answers 2 completes smtp.code=250 smtp.text=foo.com_greets_bar.com "
       "smtp.extension=8BITMIME smtp.extension=SIZE smtp.extension=DSN smtp.extension=HELP\n"
       "4 command client 14+27 at 1030..1030 request smtp.command=MAIL smtp.argument=FROM:<Smith@bar.com> "
       "smtp.from=Smith@bar.com\n"
       "5 reply server 126+8 at 1040..1040 answers 4 completes smtp.code=250 smtp.text=OK\n"
       "6 command client 41+25 at 1050..1050 request smtp.command=RCPT smtp.argument=TO:<Jones@foo.com> "
       "smtp.to=Jones@foo.com\n"
       "7 reply server 134+8 at 1060..1060 answers 6 completes smtp.code=250 smtp.text=OK\n"
       "8 command client 66+25 at 1070..1070 request smtp.command=RCPT smtp.argument=TO:<Green@foo.com> "
       "smtp.to=Green@foo.com\n"
       "9 reply server 142+23 at 1080..1080 answers 8 completes smtp.code=550 smtp.status=550 "
       "smtp.text=No_such_user_here\n"
       "10 command client 91+6 at 1090..1090 request smtp.command=DATA\n"
       "11 reply server 165+46 at 1100..1100 answers 10 completes smtp.code=354 "
       "smtp.text=Start_mail_input;_end_with_<CRLF>.<CRLF>\n"
       "12 mail client 97+41 at 1110..1120 request body 37 (37 raw, 56c2cc65eded6ef1) "
       "Blah_blah_blah...\\x0d\\x0a..etc\n"
       "13 reply server 211+8 at 1130..1130 answers 12 completes smtp.code=250 smtp.text=OK\n"
       "14 command client 138+6 at 1140..1140 request smtp.command=QUIT\n"
       "15 reply server 219+50 at 1150..1150 answers 14 completes smtp.code=221 "
       "smtp.text=foo.com_Service_closing_transmission_channel\n",
       SERVER("220 foo.com Simple Mail Transfer Service Ready (SMTP)\r\n"), CLIENT("EHLO bar.com\r\n"),
       SERVER("250-foo.com greets bar.com\r\n250-8BITMIME\r\n250-SIZE\r\n250-DSN\r\n250 HELP\r\n"),
       CLIENT("MAIL FROM:<Smith@bar.com>\r\n"), SERVER("250 OK\r\n"), CLIENT("RCPT TO:<Jones@foo.com>\r\n"),
       SERVER("250 OK\r\n"), CLIENT("RCPT TO:<Green@foo.com>\r\n"), SERVER("550 No such user here\r\n"),
       CLIENT("DATA\r\n"), SERVER("354 Start mail input; end with <CRLF>.<CRLF>\r\n"), CLIENT("Blah blah blah...\r\n"),
       CLIENT("...etc. etc. etc.\r\n.\r\n"), SERVER("250 OK\r\n"), CLIENT("QUIT\r\n"),
       SERVER("221 foo.com Service closing transmission channel\r\n"), SERVER_END, CLIENT_END);
}

/* RFC 2920, 3.2: the mail goes out before the reply to DATA has come in. */
static void pipelined(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 command client 0+8 at 1010..1010 request smtp.command=EHLO smtp.argument=d smtp.helo=d\n"
       "3 command client 8+36 at 1010..1010 request smtp.command=MAIL "
       "smtp.argument=FROM:<mrose@dbc.mtview.ca.us> smtp.from=mrose@dbc.mtview.ca.us\n"
       "4 command client 44+28 at 1010..1010 request smtp.command=RCPT smtp.argument=TO:<ned@innosoft.com> "
       "smtp.to=ned@innosoft.com\n"
       "5 command client 72+6 at 1010..1010 request smtp.command=DATA\n"
       "6 reply server 32+24 at 1020..1020 answers 2 completes smtp.code=250 smtp.text=mx "
       "smtp.extension=PIPELINING\n"
       "7 reply server 56+15 at 1030..1030 answers 3 completes smtp.code=250 smtp.text=sender_ok\n"
       "8 reply server 71+18 at 1030..1030 answers 4 completes smtp.code=250 smtp.text=recipient_ok\n"
       "9 reply server 89+16 at 1030..1030 answers 5 completes smtp.code=354 smtp.text=enter_mail\n"
       "10 mail client 78+3 at 1010..1010 request\n"
       "11 command client 81+6 at 1010..1010 request smtp.command=QUIT\n"
       "12 reply server 105+18 at 1030..1030 answers 10 completes smtp.code=250 smtp.text=message_sent\n"
       "13 reply server 123+13 at 1040..1040 answers 11 completes smtp.code=221 smtp.text=goodbye\n",
       BANNER,
       CLIENT("EHLO d\r\nMAIL FROM:<mrose@dbc.mtview.ca.us>\r\nRCPT TO:<ned@innosoft.com>\r\nDATA\r\n.\r\nQUIT\r\n"),
       SERVER("250-mx\r\n250 PIPELINING\r\n"),
       SERVER("250 sender ok\r\n250 recipient ok\r\n354 enter mail\r\n250 message sent\r\n"),
       SERVER("221 goodbye\r\n"));
}

/* DATA that is refused: what follows are commands. */
static void refused(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 command client 0+8 at 1010..1010 request smtp.command=HELO smtp.argument=d smtp.helo=d\n"
       "3 command client 8+6 at 1010..1010 request smtp.command=DATA\n"
       "4 reply server 32+8 at 1020..1020 answers 2 completes smtp.code=250 smtp.text=mx\n"
       "5 reply server 40+19 at 1020..1020 answers 3 completes smtp.code=503 smtp.status=503 "
       "smtp.text=no_recipients\n"
       "6 command client 14+6 at 1010..1010 request smtp.command=RSET\n"
       "7 reply server 59+8 at 1020..1020 answers 6 completes smtp.code=250 smtp.text=ok\n"
       "8 reply server 67+26 at 1020..1020 unsolicited smtp.code=421 smtp.status=421 smtp.text=closing "
       "smtp.text=timeout\n"
       "9 reply server 93+9 at 1030..1030 unsolicited smtp.code=421 smtp.status=421 smtp.text=bye\n",
       BANNER, CLIENT("HELO d\r\nDATA\r\nRSET\r\n"),
       SERVER("250 mx\r\n503 no recipients\r\n250 ok\r\n421-closing\r\n421 timeout\r\n"), SERVER("421 bye\r\n"));
}

static void dots(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 command client 0+8 at 1010..1010 request smtp.command=HELO smtp.argument=d smtp.helo=d\n"
       "3 command client 8+6 at 1010..1010 request smtp.command=DATA\n"
       "4 reply server 32+8 at 1020..1020 answers 2 completes smtp.code=250 smtp.text=mx\n"
       "5 reply server 40+8 at 1020..1020 answers 3 completes smtp.code=354 smtp.text=go\n"
       "6 mail client 14+21 at 1030..1030 request body 15 (15 raw, 5566d75a7c4a2ebd) "
       ".\\x0d\\x0aa\\x0d\\x0a\\x0d\\x0d\\x0ab.\\x0d\\x0a\\x0d\\x0a\n"
       "7 reply server 48+8 at 1040..1040 answers 6 completes smtp.code=250 smtp.text=ok\n"
       "8 command client 35+6 at 1050..1050 request smtp.command=DATA\n"
       "9 reply server 56+8 at 1060..1060 answers 8 completes smtp.code=354 smtp.text=go\n"
       "10 mail client 41+20 at 1070..1070 request odd smtp.odd=bare-line-feed "
       "smtp.odd=end-of-data-behind-bare-line-feed smtp.odd=end-of-data-with-bare-line-feed body 16 (16 raw, "
       "14598965c3b01e51) a\\x0a.\\x0d\\x0ab\\x0d\\x0a\\x0ac\\x0a.\\x0ad\\x0d\\x0a\n"
       "11 reply server 64+8 at 1080..1080 answers 10 completes smtp.code=250 smtp.text=ok\n",
       BANNER, CLIENT("HELO d\r\nDATA\r\n"), SERVER("250 mx\r\n354 go\r\n"),
       CLIENT("..\r\n.a\r\n.\r\r\nb.\r\n\r\n.\r\n"), SERVER("250 ok\r\n"), CLIENT("DATA\r\n"), SERVER("354 go\r\n"),
       CLIENT("a\n.\r\nb\r\n.\nc\n.\nd\r\n.\r\n"), SERVER("250 ok\r\n"));
}

/* RFC 3030, 4.1 and 4.2 */
static void chunks(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 command client 0+8 at 1010..1010 request smtp.command=EHLO smtp.argument=d smtp.helo=d\n"
       "3 command client 8+52 at 1010..1010 request smtp.command=MAIL "
       "smtp.argument=FROM:<ned@ymir.claremont.edu>_BODY=BINARYMIME smtp.from=ned@ymir.claremont.edu\n"
       "4 command client 60+15 at 1010..1010 request smtp.command=RCPT smtp.argument=TO:<g@h> smtp.to=g@h\n"
       "5 mail client 75+14 at 1010..1010 request smtp.command=BDAT smtp.argument=6 body 6 (6 raw, "
       "00000000958e2953) To:_x\\x0a\n"
       "6 mail client 89+16 at 1010..1010 request smtp.command=BDAT smtp.argument=3_LAST body 3 (3 raw, "
       "000000000000ae4b) .\\x0d\\x0a\n"
       "7 mail client 105+13 at 1010..1010 request smtp.command=BDAT smtp.argument=0_last\n"
       "8 command client 118+6 at 1010..1010 request smtp.command=QUIT\n"
       "9 reply server 32+22 at 1020..1020 answers 2 completes smtp.code=250 smtp.text=mx "
       "smtp.extension=CHUNKING\n"
       "10 reply server 54+8 at 1020..1020 answers 3 completes smtp.code=250 smtp.text=ok\n"
       "11 reply server 62+8 at 1020..1020 answers 4 completes smtp.code=250 smtp.text=ok\n"
       "12 reply server 70+8 at 1020..1020 answers 5 completes smtp.code=250 smtp.text=ok\n"
       "13 reply server 78+8 at 1030..1030 answers 6 completes smtp.code=250 smtp.text=ok\n"
       "14 reply server 86+8 at 1030..1030 answers 7 completes smtp.code=503 smtp.status=503 smtp.text=no\n"
       "15 reply server 94+9 at 1030..1030 answers 8 completes smtp.code=221 smtp.text=bye\n",
       BANNER,
       CLIENT("EHLO d\r\nMAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME\r\nRCPT TO:<g@h>\r\nBDAT 6\r\nTo: x\nBDAT "
              "3 LAST\r\n.\r\nbdat 0 last\r\nQUIT\r\n"),
       SERVER("250-mx\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n250 ok\r\n"), SERVER("250 ok\r\n503 no\r\n221 bye\r\n"));
}

/* RFC 4954, 4 (PLAIN, CRAM-MD5 of RFC 2195), LOGIN and XOAUTH2 as they are in use */
static void logins(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 command client 0+33 at 1010..1010 request smtp.command=AUTH smtp.argument=PLAIN smtp.mechanism=PLAIN "
       "smtp.user=test smtp.password=*1234\n"
       "3 reply server 32+8 at 1020..1020 answers 2 completes smtp.code=235 smtp.text=ok\n"
       "4 command client 33+12 at 1030..1030 request smtp.command=AUTH smtp.argument=plain smtp.mechanism=plain\n"
       "5 reply server 40+5 at 1040..1040 answers 4 completes smtp.code=334 smtp.text=\n"
       "6 command client 45+22 at 1050..1050 request smtp.user=test smtp.password=*1234\n"
       "7 reply server 45+8 at 1060..1060 answers 6 completes smtp.code=535 smtp.status=535 smtp.text=no\n"
       "8 command client 67+15 at 1070..1070 request smtp.command=AUTH smtp.argument=CRAM-MD5 "
       "smtp.mechanism=CRAM-MD5\n"
       "9 reply server 53+62 at 1080..1080 answers 8 completes smtp.code=334 "
       "smtp.text=PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n"
       "10 command client 82+50 at 1090..1090 request smtp.user=tim "
       "smtp.password=*b913a602c7eda7a495b4e6e7334d3890\n"
       "11 reply server 115+8 at 1100..1100 answers 10 completes smtp.code=235 smtp.text=ok\n"
       "12 command client 132+12 at 1110..1110 request smtp.command=AUTH smtp.argument=LOGIN "
       "smtp.mechanism=LOGIN\n"
       "13 reply server 123+18 at 1120..1120 answers 12 completes smtp.code=334 smtp.text=VXNlcm5hbWU6\n"
       "14 command client 144+6 at 1130..1130 request smtp.user=bob\n"
       "15 reply server 141+18 at 1140..1140 answers 14 completes smtp.code=334 smtp.text=UGFzc3dvcmQ6\n"
       "16 command client 150+10 at 1150..1150 request smtp.password=*secret\n"
       "17 reply server 159+8 at 1160..1160 answers 16 completes smtp.code=235 smtp.text=ok\n"
       "18 command client 160+17 at 1170..1170 request smtp.command=AUTH smtp.argument=LOGIN "
       "smtp.mechanism=LOGIN smtp.user=bob\n"
       "19 reply server 167+18 at 1180..1180 answers 18 completes smtp.code=334 smtp.text=UGFzc3dvcmQ6\n"
       "20 command client 177+3 at 1190..1190 request\n"
       "21 reply server 185+15 at 1200..1200 answers 20 completes smtp.code=501 smtp.status=501 "
       "smtp.text=cancelled\n"
       "22 command client 180+51 at 1210..1210 request smtp.command=AUTH smtp.argument=XOAUTH2 "
       "smtp.mechanism=XOAUTH2 smtp.user=a@b smtp.password=*tok\n"
       "23 reply server 200+10 at 1220..1220 answers 22 completes smtp.code=334 smtp.text=e30=\n"
       "24 command client 231+2 at 1230..1230 request\n"
       "25 reply server 210+8 at 1240..1240 answers 24 completes smtp.code=535 smtp.status=535 smtp.text=no\n"
       "26 command client 233+20 at 1250..1250 request smtp.command=AUTH smtp.argument=SCRAM-SHA-1 "
       "smtp.mechanism=SCRAM-SHA-1\n"
       "27 reply server 218+6 at 1260..1260 answers 26 completes smtp.code=334 smtp.text=\n"
       "28 command client 253+6 at 1250..1250 request smtp.password=*AB\\x13\n"
       "client opaque from 259: cut: ends in the middle\n",
       BANNER, CLIENT("AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=\r\n"), SERVER("235 ok\r\n"), CLIENT("auth plain\r\n"),
       SERVER("334\r\n"), CLIENT("dGVzdAB0ZXN0ADEyMzQ=\r\n"), SERVER("535 no\r\n"), CLIENT("AUTH CRAM-MD5\r\n"),
       SERVER("334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n"),
       CLIENT("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n"), SERVER("235 ok\r\n"), CLIENT("AUTH LOGIN\r\n"),
       SERVER("334 VXNlcm5hbWU6\r\n"), CLIENT("Ym9i\r\n"), SERVER("334 UGFzc3dvcmQ6\r\n"), CLIENT("c2VjcmV0\r\n"),
       SERVER("235 ok\r\n"), CLIENT("AUTH LOGIN Ym9i\r\n"), SERVER("334 UGFzc3dvcmQ6\r\n"), CLIENT("*\r\n"),
       SERVER("501 cancelled\r\n"), CLIENT("AUTH XOAUTH2 dXNlcj1hQGIBYXV0aD1CZWFyZXIgdG9rAQE=\r\n"),
       SERVER("334 e30=\r\n"), CLIENT("\r\n"), SERVER("535 no\r\n"), CLIENT("AUTH SCRAM-SHA-1 =\r\nQUIT\r\n"),
       SERVER("334 \r\n"), CLIENT("QUIT\r\n"));
}

static void starttls(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 command client 0+10 at 1010..1010 request smtp.command=STARTTLS\n"
       "3 reply server 32+13 at 1020..1020 answers 2 completes smtp.code=454 smtp.status=454 smtp.text=not_now\n"
       "4 command client 10+17 at 1010..1010 request smtp.command=MAIL smtp.argument=FROM:<a@b> smtp.from=a@b\n"
       "5 reply server 45+8 at 1020..1020 answers 4 completes smtp.code=250 smtp.text=ok\n",
       BANNER, CLIENT("STARTTLS\r\nMAIL FROM:<a@b>\r\n"), SERVER("454 not now\r\n250 ok\r\n"));
}

/* In the place of TLS: says from where on it is asked. */
static size_t take_all(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  (void)self;
  gg_decoded_opaque(decoding, GG_OPAQUE_ENCRYPTED, window->side, window->offset, true, "tls");
  return 0;
}

static void starttls_is_followed(void **state)
{
  (void)state;
  static const char *const no_kinds[] = {NULL};
  static const struct gg_decoder_field no_fields[] = {{NULL, 0, false, NULL, NULL}};
  static const struct gg_decoder tls = {GG_DECODER_HEAD,   .name = "tls",       .protocol = "tls",
                                        .kinds = no_kinds, .fields = no_fields, .push = take_all};
  static const struct gg_decoder *const more[] = {&tls};
  struct gg_decoding_options options = GG_DECODING_OPTIONS_INIT;
  options.more = more;
  options.more_count = 1;
  const struct piece pieces[] = {BANNER, CLIENT("STARTTLS\r\n\x16\x03"), SERVER("220 go\r\n"), CLIENT("\x01"),
                                 SERVER("\x16\x03")};
  char *told = transcript_checked(&options, pieces, sizeof pieces / sizeof *pieces);
  assert_non_null(strstr(told, "is tls from 10 40\nclient opaque from 10: encrypted: tls\n"
                               "server opaque from 40: encrypted: tls\n"));
  free(told);
}

static void lmtp(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+31 at 1000..1000 unsolicited smtp.code=220 smtp.server=foo.edu "
       "smtp.text=foo.edu_LMTP_server_ready\n"
       "2 command client 0+14 at 1010..1010 request smtp.command=LHLO smtp.argument=foo.edu smtp.helo=foo.edu\n"
       "3 reply server 31+13 at 1020..1020 answers 2 completes smtp.code=250 smtp.text=foo.edu\n"
       "4 command client 14+23 at 1030..1030 request smtp.command=MAIL smtp.argument=FROM:<c@bar.com> "
       "smtp.from=c@bar.com\n"
       "5 command client 37+23 at 1030..1030 request smtp.command=RCPT smtp.argument=TO:<pat@foo.edu> "
       "smtp.to=pat@foo.edu\n"
       "6 command client 60+25 at 1030..1030 request smtp.command=RCPT smtp.argument=TO:<jones@foo.edu> "
       "smtp.to=jones@foo.edu\n"
       "7 command client 85+25 at 1030..1030 request smtp.command=RCPT smtp.argument=TO:<green@foo.edu> "
       "smtp.to=green@foo.edu\n"
       "8 command client 110+6 at 1030..1030 request smtp.command=DATA\n"
       "9 reply server 44+8 at 1040..1040 answers 4 completes smtp.code=250 smtp.text=ok\n"
       "10 reply server 52+8 at 1040..1040 answers 5 completes smtp.code=250 smtp.text=ok\n"
       "11 reply server 60+8 at 1040..1040 answers 6 completes smtp.code=550 smtp.status=550 smtp.text=no\n"
       "12 reply server 68+8 at 1040..1040 answers 7 completes smtp.code=250 smtp.text=ok\n"
       "13 reply server 76+8 at 1040..1040 answers 8 completes smtp.code=354 smtp.text=go\n"
       "14 mail client 116+9 at 1050..1050 request body 6 (6 raw, 0000000076bf636e) Blah\\x0d\\x0a\n"
       "15 reply server 84+8 at 1060..1060 answers 14 smtp.code=250 smtp.text=ok\n"
       "16 reply server 92+10 at 1060..1060 answers 14 completes smtp.code=452 smtp.status=452 smtp.text=full\n"
       "17 command client 125+6 at 1070..1070 request smtp.command=QUIT\n"
       "18 reply server 102+9 at 1080..1080 answers 17 completes smtp.code=221 smtp.text=bye\n",
       SERVER("220 foo.edu LMTP server ready\r\n"), CLIENT("LHLO foo.edu\r\n"), SERVER("250 foo.edu\r\n"),
       CLIENT("MAIL FROM:<c@bar.com>\r\nRCPT TO:<pat@foo.edu>\r\nRCPT TO:<jones@foo.edu>\r\nRCPT "
              "TO:<green@foo.edu>\r\nDATA\r\n"),
       SERVER("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n"), CLIENT("Blah\r\n.\r\n"),
       SERVER("250 ok\r\n452 full\r\n"), CLIENT("QUIT\r\n"), SERVER("221 bye\r\n"));
}

static void told_by_its_client(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+11 at 1000..1000 unsolicited smtp.code=220 smtp.server=hello smtp.text=hello\n"
       "2 command client 0+7 at 1010..1010 request odd smtp.command=EHLO smtp.argument=x smtp.helo=x "
       "smtp.odd=bare-line-feed\n"
       "3 reply server 11+7 at 1020..1020 answers 2 completes odd smtp.code=250 smtp.odd=bare-line-feed "
       "smtp.text=ok\n",
       SERVER("220 hello\r\n"), CLIENT("ehlo x\n"), SERVER("250 ok\n"));
}

static void nobody_elses(void **state)
{
  (void)state;
  TELL("is lines from 0 0\n"
       "1 line server 0+20 at 1000..1000 unsolicited lines.banner=220_(vsFTPd_3.0.3) body 18 (18 raw, "
       "28fcdb491ab3b658) 220_(vsFTPd_3.0.3)\n"
       "2 line client 0+10 at 1010..1010 lines.text=USER_bob lines.user=bob body 8 (8 raw, 000002321ebb0fe0) "
       "USER_bob\n",
       SERVER("220 (vsFTPd 3.0.3)\r\n"), CLIENT("USER bob\r\n"));
}

static void no_reply(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 command client 0+8 at 1010..1010 request smtp.command=EHLO smtp.argument=x smtp.helo=x\n"
       "3 reply server 32+7 at 1020..1020 answers 2 cut smtp.code=250 smtp.text=a\n"
       "server opaque from 39: failed: a line that is no reply\n"
       "client opaque from 8: failed: a line that is no reply\n",
       BANNER, CLIENT("EHLO x\r\n"), SERVER("250-a\r\noops\r\n"));
}

static void gap_in_a_chunk(void **state)
{
  (void)state;
  TELL("is smtp from 0 0\n"
       "1 reply server 0+32 at 1000..1000 unsolicited smtp.code=220 smtp.server=mx.example.org "
       "smtp.text=mx.example.org_ESMTP_ready\n"
       "2 mail client 0+34 at 1010..1030 request gap smtp.command=BDAT smtp.argument=20_LAST body 15 (15 raw, "
       "b34fc86792b0f452) 012345678956789\n"
       "3 command client 34+6 at 1030..1030 request smtp.command=QUIT\n"
       "client opaque from 40: gap: bytes are missing\n"
       "server opaque from 32: gap: bytes are missing\n",
       BANNER, CLIENT("BDAT 20 LAST\r\n0123456789"), CLIENT_GAP(5), CLIENT("56789QUIT\r\n"), CLIENT_GAP(5));
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
    cmocka_unit_test(typical),        cmocka_unit_test(pipelined),
    cmocka_unit_test(refused),        cmocka_unit_test(dots),
    cmocka_unit_test(chunks),         cmocka_unit_test(logins),
    cmocka_unit_test(starttls),       cmocka_unit_test(starttls_is_followed),
    cmocka_unit_test(lmtp),           cmocka_unit_test(told_by_its_client),
    cmocka_unit_test(nobody_elses),   cmocka_unit_test(no_reply),
    cmocka_unit_test(gap_in_a_chunk), cmocka_unit_test(hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
