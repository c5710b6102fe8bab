/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/secrets.h"

#include <stdint.h>
#include <string.h>

enum { NAME_MAX_BYTES = 128 };

/* Without what joins words. One that is found anywhere in a name, and those that are all of it or its end: "token" is
 * in "accessToken", but "tokens" and "token_type" are none. */
static const char *const anywhere[] = {"password",  "passwd",    "passphrase", "passcode",   "secret",       "apikey",
                                       "authtoken", "accesskey", "privatekey", "credential", "authorization"};
static const char *const at_end[] = {"pwd", "token", "cookie", "jwt", "sessionid", "sessionkey", "signingkey"};
static const char *const whole[] = {"pass", "auth", "sid", "pin", "otp", "sig", "signature", "codeverifier"};

static char lower(char letter)
{
  return (char)(letter >= 'A' && letter <= 'Z' ? letter + 32 : letter);
}

static bool ends(const char *text, size_t length, const char *word)
{
  size_t wanted = strlen(word);
  return length >= wanted && memcmp(text + length - wanted, word, wanted) == 0;
}

bool gg__secret_name(const char *name, size_t length)
{
  char text[NAME_MAX_BYTES];
  size_t used = 0;
  for (size_t i = 0; i < length && used < sizeof text; i++)
    if (!memchr("-_ .:[]$", name[i], 8))
      text[used++] = lower(name[i]);
  for (size_t i = 0; i < sizeof at_end / sizeof *at_end; i++)
    if (ends(text, used, at_end[i]))
      return true;
  for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++)
    if (memmem(text, used, anywhere[i], strlen(anywhere[i])))
      return true;
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
    if (strlen(whole[i]) == used && memcmp(text, whole[i], used) == 0)
      return true;
  return false;
}

/* ── In short text of any kind ───────────────────────────────────────────────────────────────────────────────────── */

static bool is_name(char letter)
{
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         letter == '_' || letter == '-' || letter == '.' || letter == '$' || letter == '[' || letter == ']';
}

static size_t skip(const char *text, size_t length, size_t at, const char *letters)
{
  while (at < length && text[at] && strchr(letters, text[at]))
    at++;
  return at;
}

/* Blanks the value that begins at `at`; where it ends. */
static size_t blank(char *text, size_t length, size_t at, bool is_query)
{
  char quote = at < length && (text[at] == '"' || text[at] == '\'') ? text[at++] : '\0';
  while (at < length) {
    char letter = text[at];
    if (quote      ? letter == quote
        : is_query ? memchr("&; \t\r\n\"'", letter, 8) != NULL
                   : memchr(",}\r\n", letter, 4) != NULL)
      break;
    bool escaped = quote && letter == '\\' && at + 1 < length;
    text[at++] = '*';
    if (escaped)
      text[at++] = '*';
  }
  return at;
}

void gg__secret_blank(char *text, size_t length)
{
  for (size_t at = 0; at < length;) {
    size_t name = at;
    while (at < length && is_name(text[at]))
      at++;
    size_t behind = at < length && (text[at] == '"' || text[at] == '\'') ? at + 1 : at;
    size_t joint = skip(text, length, behind, " \t");
    bool joined = at > name && joint < length && (text[joint] == ':' || text[joint] == '=');
    if (joined && gg__secret_name(text + name, at - name))
      at = blank(text, length, skip(text, length, joint + 1, " \t"), text[joint] == '=');
    else
      at = at > name ? at : at + 1;
  }
}
