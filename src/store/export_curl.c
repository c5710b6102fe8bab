/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of HTTP as a script for bash, in which curl sends them again, one by one: the same method, target, headers
 * in their order, and body. What curl would add of its own (Host, User-Agent, Accept, Content-Type, Expect) is taken
 * away by a header without a value; an empty Host in front of the recorded one also keeps that in its place.
 *
 * Credentials become variables, which whoever runs the script sets:
 *
 *     # GOGETWAY_AUTHORIZATION_1: Authorization
 *     : "${GOGETWAY_AUTHORIZATION_1:?}"
 *     curl ... -H 'Authorization: '"$GOGETWAY_AUTHORIZATION_1" ...
 *
 * The same value of the same name is the same variable, as long as there are not more than VARIABLES_MAX of them. A
 * body that is no word of a command (a NUL in it, or long) comes by a pipe out of Base64.
 *
 * A request that curl cannot send as it was is a comment that says why. */
#include "store/exchange_out.h"
#include "store/http_view.h"
#include "store/shell.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  VARIABLES_MAX = 1024,
  VARIABLE_NAME_MAX = 40,
  WORD_BODY_MAX = 1 << 15, /* bytes of a body that stands in the command itself; Linux takes 128 KiB in a word */
  LINE_BASE64 = 57,        /* bytes that make a line of 76 letters */
  COMMENT_MAX = 512,
  COMMAND_FIRST = 4096,
};

struct variable {
  char name[VARIABLE_NAME_MAX]; /* without its number */
  uint8_t digest[GG_SHA256_BYTES];
  unsigned number;
};

struct curl {
  struct variable *variables;
  size_t count;
  unsigned more; /* numbers of those that were not kept */
};

/* A command that is being made: in memory, for its variables are told in front of it. */
struct command {
  struct gg__exchange_out *out;
  char *text;
  size_t length, room;
};

static void put(struct command *command, const void *bytes, size_t length)
{
  size_t room = command->room ? command->room : COMMAND_FIRST;
  while (room - command->length < length)
    room *= 2;
  char *text = room > command->room ? realloc(command->text, room) : command->text;
  if (!text) {
    command->out->error = GG_ERR_NOMEM;
    return;
  }
  command->text = text;
  command->room = room;
  memcpy(text + command->length, bytes, length);
  command->length += length;
}

static void put_text(struct command *command, const char *text)
{
  put(command, text, strlen(text));
}

/* ── Variables ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* "Authorization" is AUTHORIZATION, "user[pass]" USER_PASS. */
static void variable_name(char name[VARIABLE_NAME_MAX], const struct gg__hidden *place)
{
  size_t used = 0;
  for (size_t i = 0; i < place->name_length && used < VARIABLE_NAME_MAX - 1; i++) {
    char letter = place->name[i];
    bool small = letter >= 'a' && letter <= 'z';
    bool fine = small || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9');
    if (fine)
      name[used++] = (char)(small ? letter - 32 : letter);
    else if (used && name[used - 1] != '_')
      name[used++] = '_';
  }
  while (used && name[used - 1] == '_')
    used--;
  name[used] = '\0';
  if (!used)
    snprintf(name, VARIABLE_NAME_MAX, "SECRET");
}

static void announce(struct gg__exchange_out *out, const char *name, unsigned number, const struct gg__hidden *place)
{
  char line[COMMENT_MAX], said[128];
  gg_text_sanitize(said, sizeof said, place->name, place->name_length, GG_TEXT_ONE_LINE);
  snprintf(line, sizeof line, "# GOGETWAY_%s_%u: %s\n: \"${GOGETWAY_%s_%u:?}\"\n", name, number, said, name, number);
  gg__writer_text(out->writer, line);
}

/* The number of the variable that has this value; a new one is told. */
static unsigned variable_number(struct gg__exchange_out *out, const char *name, const struct gg__hidden *place,
                                const char *value)
{
  struct curl *curl = out->state;
  struct gg_sha256 sha256;
  uint8_t digest[GG_SHA256_BYTES];
  unsigned number = 1;
  gg_sha256_begin(&sha256);
  gg_sha256_add(&sha256, value, place->to - place->from);
  gg_sha256_end(&sha256, digest);
  for (size_t i = 0; i < curl->count; i++) {
    if (strcmp(curl->variables[i].name, name) != 0)
      continue;
    if (memcmp(curl->variables[i].digest, digest, sizeof digest) == 0)
      return curl->variables[i].number;
    number++;
  }
  if (curl->count < VARIABLES_MAX) {
    struct variable *variable = &curl->variables[curl->count++];
    memcpy(variable->name, name, VARIABLE_NAME_MAX);
    memcpy(variable->digest, digest, sizeof digest);
    variable->number = number;
  } else {
    number = VARIABLES_MAX + ++curl->more;
  }
  announce(out, name, number, place);
  return number;
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void put_word(struct command *command, const char *bytes, size_t length)
{
  char *word = malloc(GG__SHELL_WORD_MAX(length));
  if (!word) {
    command->out->error = GG_ERR_NOMEM;
    return;
  }
  put(command, word, gg__shell_word(word, bytes, length));
  free(word);
}

static void put_variable(struct command *command, const struct gg__hidden *place, const char *text)
{
  char name[VARIABLE_NAME_MAX], word[VARIABLE_NAME_MAX + 32];
  variable_name(name, place);
  unsigned number = variable_number(command->out, name, place, text + place->from);
  snprintf(word, sizeof word, "\"$GOGETWAY_%s_%u\"", name, number);
  put_text(command, word);
}

/* `before` and the text, as one word. */
static void put_hidden_word(struct command *command, const char *before, size_t before_length, const char *text,
                            size_t length, const struct gg__hiding *hiding)
{
  size_t count = command->out->secrets ? 0 : hiding->count, at = 0;
  for (size_t i = 0; i <= count; i++) {
    size_t to = i < count ? hiding->places[i].from : length, head = i == 0 ? before_length : 0;
    char *piece = head + to - at ? malloc(head + to - at) : NULL;
    if (piece) {
      memcpy(piece, before, head);
      memcpy(piece + head, text + at, to - at);
      put_word(command, piece, head + to - at);
      free(piece);
    } else if (head + to - at) {
      command->out->error = GG_ERR_NOMEM;
    } else if (count == 0) {
      put_word(command, "", 0);
    }
    if (i == count)
      return;
    put_variable(command, &hiding->places[i], text);
    at = hiding->places[i].to;
  }
}

/* ── What cannot be ──────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__text method_of(const struct gg_message *request)
{
  return gg__http_text(request, "http.method", NULL);
}

/* But for bytes in headers that do not belong there, and that curl sends all the same. */
static bool is_odd(const struct gg_message *message)
{
  bool other = false, control = false;
  for (size_t i = 0; i < message->field_count; i++) {
    const struct gg_field *field = &message->fields[i];
    if (strcmp(field->of->name, "http.odd") != 0)
      continue;
    bool of_header = gg__text_is((struct gg__text){(const char *)field->value, field->length}, "control-in-header");
    control |= of_header;
    other |= !of_header;
  }
  return other || ((message->flags & GG_MESSAGE_ODD) && !control);
}

static bool has_nul(const struct gg_message *request)
{
  for (size_t i = 0; i < request->field_count; i++) {
    const struct gg_field *field = &request->fields[i];
    if (memchr(field->value, '\0', field->length) || (field->key && memchr(field->key, '\0', field->key_length)))
      return true;
  }
  return false;
}

static bool has_cut_field(const struct gg_message *request)
{
  for (size_t i = 0; i < request->field_count; i++)
    if (request->fields[i].cut)
      return true;
  return request->flags & GG_MESSAGE_FIELDS_CUT;
}

/* NULL: curl can send it. */
static const char *why_not(const struct gg__exchange *exchange)
{
  const struct gg_message *request = &exchange->request.message;
  const struct gg_message *answer = &exchange->response.message;
  const struct gg_field *status = exchange->response.ended ? gg_message_field(answer, "http.status", NULL) : NULL;
  struct gg__text method = method_of(request);
  struct gg__text version = gg__http_text(request, "http.version", NULL);
  bool known = gg__text_is(version, "1.0") || gg__text_is(version, "1.1") || strcmp(request->decoder, "http2") == 0;
  if (request->flags & GG_MESSAGE_CUT)
    return "it ends before it is complete";
  if (request->flags & GG_MESSAGE_GAP)
    return "bytes of it are missing in the recording";
  if (exchange->request.body_cut)
    return "its body is longer than is kept of one";
  if (has_cut_field(request))
    return "its headers are longer than is kept of them";
  if (has_nul(request))
    return "there is a NUL in its head";
  if (is_odd(request))
    return "it is not as HTTP has it, and curl's would be";
  if (method.length == 0 || !known)
    return "its first line is not one of HTTP/1.0, 1.1 or 2";
  if (gg__text_is(method, "connect") || (status && status->number == 101))
    return "the session becomes another protocol behind it";
  if (gg_message_field(request, "http.trailer", NULL))
    return "it has headers behind its body";
  if (gg__text_is(method, "head") && request->body_length)
    return "it is a HEAD with a body";
  return request->side == GG_SIDE_SERVER ? "it is a promise of the server" : NULL;
}

static void put_heading(struct gg__exchange_out *out, const struct gg__exchange *exchange, const char *why)
{
  const struct gg_message *request = &exchange->request.message;
  const struct gg_field *status = gg_message_field(&exchange->response.message, "http.status", NULL);
  char line[2 * COMMENT_MAX], time[GG_CLOCK_TEXT_MAX], said[COMMENT_MAX], answer[32] = "no answer";
  struct gg__text method = method_of(request), path = gg__http_text(request, "http.path", NULL);
  gg_clock_format(request->first_ns, 6, time, sizeof time);
  size_t length = gg_text_sanitize(said, sizeof said / 4, method.at, method.length, GG_TEXT_ONE_LINE);
  said[length++] = ' ';
  gg_text_sanitize(said + length, sizeof said - length, path.at, path.length, GG_TEXT_ONE_LINE);
  if (exchange->response.ended && status)
    snprintf(answer, sizeof answer, "answered %" PRIu64, status->number);
  snprintf(line, sizeof line, "\n# %s, session %s, message %" PRIu64 ", %s: %s\n", time, out->session->id,
           request->number, answer, said);
  gg__writer_text(out->writer, line);
  if (why) {
    snprintf(line, sizeof line, "# curl cannot send it again: %s\n", why);
    gg__writer_text(out->writer, line);
  }
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Letters of a target that curl leaves alone in a URL. */
static bool is_plain_target(struct gg__text target)
{
  if (target.length == 0 || *target.at != '/')
    return false;
  for (size_t i = 0; i < target.length; i++)
    if (target.at[i] <= ' ' || target.at[i] > '~' || strchr("#\"<>\\^`{|}", target.at[i]))
      return false;
  return true;
}

/* Where to, by which name, and what for. */
static void put_url(struct command *command, const struct gg_message *request)
{
  const struct gg_session *session = command->out->session;
  struct gg__hiding hiding, none = {.count = 0};
  struct gg__text target = gg__http_text(request, "http.target", NULL), host, port;
  struct gg__text name = gg__http_text(request, "http.header", "host");
  struct gg__text server = {session->server, strlen(session->server)};
  char before[300], to[128];
  if (strcmp(request->decoder, "http2") == 0)
    name = gg__http_text(request, "http.host", NULL);
  gg__address_split(session->server, &host, &port);
  bool named = gg__is_authority(name), local = session->server_path && session->server_path[0];
  const struct gg__text *authority = named || local ? &name : &server;
  if (local && !named)
    name = (struct gg__text){"localhost", 9};
  int length = snprintf(before, sizeof before, "http://%.*s", (int)authority->length, authority->at);
  bool other = authority->length != server.length || memcmp(authority->at, server.at, server.length) != 0;
  if (local) {
    put_text(command, " --unix-socket ");
    put_word(command, session->server_path, strlen(session->server_path));
  } else if (other) {
    bool six = memchr(host.at, ':', host.length);
    int used = snprintf(to, sizeof to, "::%s%.*s%s:%.*s", six ? "[" : "", (int)host.length, host.at, six ? "]" : "",
                        (int)port.length, port.at);
    put_text(command, " --connect-to ");
    put_word(command, to, (size_t)used);
  }
  gg__hide_url(&hiding, target.at, target.length);
  bool plain = is_plain_target(target);
  if (!plain) {
    put_text(command, " --request-target ");
    put_hidden_word(command, "", 0, target.at, target.length, &hiding);
  }
  put_text(command, " \\\n  ");
  put_hidden_word(command, before, (size_t)length, plain ? target.at : "/", plain ? target.length : 1,
                  plain ? &hiding : &none);
}

static void put_header(struct command *command, const struct gg_field *field)
{
  struct gg__hiding hiding;
  char *before = malloc(field->key_length + 2);
  if (!before) {
    command->out->error = GG_ERR_NOMEM;
    return;
  }
  memcpy(before, field->key, field->key_length);
  memcpy(before + field->key_length, field->length ? ": " : ";", field->length ? 2 : 1); /* "Name;": without value */
  put_text(command, " \\\n  -H ");
  gg__hide_header(&hiding, field);
  put_hidden_word(command, before, field->key_length + (field->length ? 2 : 1), (const char *)field->value,
                  field->length, &hiding);
  free(before);
}

static void put_headers(struct command *command, const struct gg_message *request)
{
  static const char *const own[] = {"User-Agent", "Accept", "Content-Type", "Expect"}; /* curl's */
  bool second = strcmp(request->decoder, "http2") == 0;
  struct gg__text authority = gg__http_text(request, "http.host", NULL);
  if (!second)
    put_text(command, " \\\n  -H Host:");
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (!gg_message_field(request, "http.header", own[i])) {
      put_text(command, " -H ");
      put_text(command, own[i]);
      put_text(command, ":");
    }
  if (second) {
    put_text(command, " \\\n  -H ");
    put_hidden_word(command, "Host: ", 6, authority.at, authority.length, &(struct gg__hiding){.count = 0});
  }
  for (size_t i = 0; i < request->field_count; i++) {
    const struct gg_field *field = &request->fields[i];
    bool pseudo = field->key_length && *field->key == ':';
    struct gg__text key = {field->key, field->key_length};
    if (gg__http_is_field(field, "http.header") && !pseudo && !(second && gg__text_is(key, "host")))
      put_header(command, field);
  }
}

/* Bytes that come out of Base64 in the script. */
static void put_coded(struct command *command, const uint8_t *data, size_t length)
{
  char line[LINE_BASE64 / 3 * 4 + 1];
  if (length == 0)
    return;
  put_text(command, "base64 -d <<'END'\n");
  for (size_t at = 0; at < length; at += LINE_BASE64) {
    char *end = gg_base64(line, data + at, length - at < LINE_BASE64 ? length - at : LINE_BASE64);
    *end++ = '\n';
    put(command, line, (size_t)(end - line));
  }
  put_text(command, "END\n");
}

static void put_piped_body(struct command *command, const struct gg__kept *request, const struct gg__hiding *hiding)
{
  size_t count = command->out->secrets ? 0 : hiding->count, at = 0;
  put_text(command, "{\n");
  for (size_t i = 0; i < count; i++) {
    put_coded(command, request->body + at, hiding->places[i].from - at);
    put_text(command, "printf %s ");
    put_variable(command, &hiding->places[i], (const char *)request->body);
    put_text(command, "\n");
    at = hiding->places[i].to;
  }
  put_coded(command, request->body + at, request->body_length - at);
  put_text(command, "} | ");
}

static void put_command(struct command *command, const struct gg__kept *kept, const struct gg__hiding *hiding)
{
  const struct gg_message *request = &kept->message;
  struct gg__text method = method_of(request);
  const char *body = (const char *)kept->body;
  bool piped = kept->body_length > WORD_BODY_MAX || (kept->body_length && memchr(body, '\0', kept->body_length));
  if (piped)
    put_piped_body(command, kept, hiding);
  bool second = strcmp(request->decoder, "http2") == 0;
  bool old = gg__text_is(gg__http_text(request, "http.version", NULL), "1.0");
  put_text(command, "curl -q -sS --noproxy '*' --globoff --path-as-is ");
  put_text(command, second ? "--http2-prior-knowledge" : old ? "--http1.0" : "--http1.1");
  if (gg__text_is(method, "head")) {
    put_text(command, " --head");
  } else {
    put_text(command, " --request ");
    put_word(command, method.at, method.length);
  }
  put_headers(command, request);
  if (piped) {
    put_text(command, " \\\n  --data-binary @-");
  } else if (kept->body_length) {
    put_text(command, " \\\n  --data-raw "); /* --data-binary would take what begins with '@' for a file's name */
    put_hidden_word(command, "", 0, body, kept->body_length, hiding);
  }
  put_url(command, request);
  put_text(command, "\n");
}

static void put_entry(struct gg__exchange_out *out, const struct gg__exchange *exchange)
{
  const struct gg__kept *request = &exchange->request;
  const char *why = why_not(exchange);
  struct gg__hiding hiding;
  gg__hide_body_of(&hiding, &request->message, false, request->body, request->body_length);
  if (hiding.no_memory)
    out->error = GG_ERR_NOMEM;
  if (!why && !out->secrets && hiding.coded && hiding.count)
    why = "its body has credentials, and is coded; --secrets writes it";
  put_heading(out, exchange, why);
  out->entries++;
  if (why)
    return;
  struct command command = {.out = out};
  put_command(&command, request, &hiding);
  if (!out->error)
    gg__writer_put(out->writer, command.text, command.length);
  free(command.text);
}

static int begin(struct gg__exchange_out *out)
{
  struct curl *curl = calloc(1, sizeof *curl);
  struct variable *variables = calloc(VARIABLES_MAX, sizeof *variables);
  if (!curl || !variables) {
    free(curl);
    free(variables);
    return GG_ERR_NOMEM;
  }
  curl->variables = variables;
  out->state = curl;
  gg__writer_text(out->writer, "#!/bin/bash\n# Requests that gogetway has recorded: bash FILE sends them again.\n");
  if (!out->secrets)
    gg__writer_text(out->writer, "# Credentials are taken from the environment: each variable is named in front of the "
                                 "first command that wants it.\n");
  return 0;
}

static void end(struct gg__exchange_out *out)
{
  struct curl *curl = out->state;
  if (!curl)
    return;
  free(curl->variables);
  free(curl);
}

const struct gg__exchange_form gg__exchange_curl = {.begin = begin, .entry = put_entry, .end = end};
