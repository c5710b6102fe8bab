/* SPDX-License-Identifier: Apache-2.0 */
/**
 * view.h - the messages of a session as they are shown: lines for people, or a JSON object a line.
 *
 *     decoding ──► view.c: answer times, beginnings of bodies, order ──► view_text.c: lines
 *                                                                   └──► JSON
 *
 * Messages end in another order than they begin: an answer may be there before its request is, streams go side by side.
 * Lines of a recorded session come in the order of beginnings, those of a followed one as messages end.
 */
#ifndef GG_CLI_VIEW_H
#define GG_CLI_VIEW_H

#include "common.h"

#include <gogetway/content.h>
#include <gogetway/messages.h>

enum {
  GG_CLI_BODY_KEPT_MAX = 1024,  /* bytes of a body that is laid out when its message has ended */
  GG_CLI_BODY_SHOWN_MAX = 4096, /* bytes that a body is laid out as */
  GG_CLI_BODY_NOTES_MAX = 512,  /* and what is said about the rest */
  GG_CLI_BODY_PIECES_MAX = 32,  /* in which they came */
};

/* What is shown, and how. */
struct gg_cli_style {
  bool json;
  bool fields;  /* all that a message says */
  bool bodies;  /* laid out, as far as there is room */
  bool secrets; /* credentials as they are */
  bool colours;
  bool human; /* numbers are rounded */
  bool many;  /* of several sessions: each line says of which */
  bool live;  /* as they end */
  bool skip[2];
  const char *decoder; /* by name; NULL: whose it is is told by the bytes */
  const char *framing; /* gg_framing_check; NULL: none */
  size_t memory_max;   /* bytes of a session's decoding; 0: as usual */
};

/* What a body is laid out as. One of a message of HTTP is laid out as it comes; of others the first bytes are kept,
 * with where in the stream each piece of them stood: credentials in them may be known only when the message ends. */
struct gg_cli_body {
  struct gg_cli_body *next;
  uint64_t number;           /* of the message */
  struct gg_body_view *view; /* NULL: it is not laid out, or could not be */
  bool kept;                 /* its first bytes are in `data` */
  bool failed;               /* no memory */
  struct gg_body_view_result result;
  char text[GG_CLI_BODY_SHOWN_MAX + GG_CLI_BODY_NOTES_MAX];
  size_t text_length;
  uint8_t data[GG_CLI_BODY_KEPT_MAX];
  size_t length;
  struct gg_cli_body_piece {
    uint64_t raw_offset;
    size_t at, length;
  } pieces[GG_CLI_BODY_PIECES_MAX];
  size_t piece_count;
};

/* How long an answer took, from the last byte of what it answers to its own first and last one. */
struct gg_cli_answer {
  bool known;
  int64_t first_ns, last_ns;
};

struct gg_cli_view;

/* Tells what is wrong with a --decoder or a --framing (NULL: none). An enum gg_exit. */
int gg_cli_check_style(const char *command, const struct gg_cli_style *style);

/* Whether colours belong on stdout: it is a terminal, and NO_COLOR does not say otherwise. */
bool gg_cli_colours(void);

/* All three tell what was wrong, and return an enum gg_exit then. The session is as gg_message_reader_open has it. */
int gg_cli_view_open(struct gg_cli_view **out, struct gg_store *store, const struct gg_session *session,
                     const struct gg_cli_style *style);
/* Shows what is recorded and was not shown. `*ended`: there will be no more. */
int gg_cli_view_step(struct gg_cli_view *view, bool *ended);
/* Shows all of it; where the session is still open, as if it had ended there. */
int gg_cli_view_all(struct gg_store *store, const struct gg_session *session, const struct gg_cli_style *style);
void gg_cli_view_close(struct gg_cli_view *view);

/* ── view_body.c ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* `may_stream`: it may be laid out as it comes. One that is not is kept. */
void gg_cli_body_begin(struct gg_cli_body *body, const struct gg_cli_style *style, const struct gg_message *message,
                       bool may_stream);
void gg_cli_body_push(struct gg_cli_body *body, const struct gg_body *piece);
/* Behind its last byte: `text` and `result` are what is shown then. */
void gg_cli_body_end(struct gg_cli_body *body, const struct gg_cli_style *style, const struct gg_message *message);
void gg_cli_body_close(struct gg_cli_body *body);
/* More fields than are kept: a credential may stand anywhere in the body. */
bool gg_cli_body_is_withheld(const struct gg_cli_style *style, const struct gg_message *message);

/* ── view_text.c ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The line of a message, and those that belong to it. `body` may be NULL, or has ended. */
void gg_cli_put_message(FILE *out, const struct gg_cli_style *style, const struct gg_session *session,
                        const struct gg_message *message, const struct gg_cli_answer *answer,
                        const struct gg_cli_body *body);
void gg_cli_put_opaque(FILE *out, const struct gg_cli_style *style, const struct gg_session *session,
                       const struct gg_opaque *opaque, bool named);
void gg_cli_put_protocol(FILE *out, const struct gg_decoder *decoder, const uint64_t offset[2]);

#endif
