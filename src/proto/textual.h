/* SPDX-License-Identifier: Apache-2.0 */
/**
 * textual.h - lines, words and prompts: what the decoders of text protocols have in common.
 *
 * Pure functions; any thread.
 */
#ifndef GG_PROTO_TEXTUAL_H
#define GG_PROTO_TEXTUAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line without its end (CR LF, or LF alone). */
struct gg__textline {
  const uint8_t *text;
  size_t length;
  size_t whole; /* with its end */
  bool bare;    /* it ends with a LF alone */
};

/* The line that the bytes begin with. False: its end is not there. `seen`: so many bytes are known to have none. */
bool gg__textline_find(struct gg__textline *line, const uint8_t *data, size_t length, size_t seen);

/* The next word, between blanks, at or behind *at, which is moved behind it. False: there is none. */
struct gg__textword {
  const uint8_t *text;
  size_t length;
  size_t at; /* where it begins */
};
bool gg__textword_next(struct gg__textword *word, const uint8_t *text, size_t length, size_t *at);

/* Whether the text is `word`, or begins with it; any case. */
bool gg__textual_is(const uint8_t *text, size_t length, const char *word);
bool gg__textual_begins(const uint8_t *text, size_t length, const char *word);
/* Whether `word` is somewhere in it; any case. */
bool gg__textual_has(const uint8_t *text, size_t length, const char *word);
/* Copies what has room, in upper case, and a NUL; returns how many letters. */
size_t gg__textual_upper(char *out, size_t size, const uint8_t *text, size_t length);

/* Whether all of it can be text that somebody reads: UTF-8 (a character may be cut at the end) without control
 * characters but those that terminals are sent. */
bool gg__textual_readable(const uint8_t *text, size_t length);

/* What the last, unfinished line of a server asks for. A prompt has at most GG__PROMPT_MAX bytes and ends, blanks left
 * out, in a letter that prompts end in: ":", ">", "$", "#", "%", "?", "]", ")". */
enum { GG__PROMPT_MAX = 128 };
enum gg__prompt {
  GG__PROMPT_NOT,    /* it has not the form of one */
  GG__PROMPT_PLAIN,  /* something */
  GG__PROMPT_USER,   /* who somebody is: "login:" */
  GG__PROMPT_SECRET, /* a password */
};
enum gg__prompt gg__prompt_of(const uint8_t *text, size_t length);

#endif
