/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies as files: DIR/<session>-<message>-<name>, and a line about each in DIR/manifest.jsonl.
 *
 *     head ──► name ──► body: undone if it is coded ──► file, SHA-256 ──► end: line
 *
 * Session and message make names unique, so no name that a stranger chose can meet another one, or a file that is not
 * the export's. A file is begun with the first byte of a body: messages without one leave nothing. Where bodies come
 * in turns (streams of HTTP/2), at most OPEN_MAX files are open; one that waits is closed, and opened again to add to
 * it. What is carved is never masked. */
#include "store/exchange_out.h"
#include "store/file_name.h"
#include "store/http_view.h"

#include "base/json.h"
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <gogetway/content.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  OPEN_MAX = 64,
  NAMES_MAX = 4096, /* requests whose name their answers may take */
  LINE_BYTES = 1 << 14,
  ERROR_MAX = 128,
  TYPE_MAX = 256,
};
static const uint64_t file_bytes_max = UINT64_C(4) << 30; /* of a body that was compressed */

/* A body on its way. */
struct carved {
  uint64_t number;
  struct gg__output output;
  char path[GG__OUTPUT_PATH_MAX];
  const char *name; /* within the path */
  bool open;
  uint64_t used; /* when it was written to last, in steps of the carving */
  struct gg_sha256 sha256;
  uint64_t bytes;
  struct gg_content *content; /* NULL: it is not coded, or its coding is not known */
  char type[TYPE_MAX], coding[64], error[ERROR_MAX];
  struct gg__carving *carving;
  struct carved *next;
};

struct name {
  uint64_t number;
  char text[GG__FILE_NAME_MAX];
};

struct gg__carving {
  const char *directory;
  bool overwrite;
  const struct gg_session *session;
  struct carved *first;
  struct name *names; /* by number, modulo NAMES_MAX */
  size_t open;
  uint64_t step, files, bytes, sessions_partly;
  bool partly; /* this session */
  int error;   /* of a file: nothing is taken any more */
  struct gg_failure failure;
  struct gg_message_options options; /* of the messages */
  char manifest_path[GG__OUTPUT_PATH_MAX];
  struct gg__output manifest;
  struct gg__writer lines;
};

/* ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* A missing directory is no missing segment. */
static void fail(struct gg__carving *carving, int error)
{
  carving->error = error == GG_ERR_NOT_FOUND ? GG_ERR_IO : error;
}

static void put_aside(struct gg__carving *carving, struct carved *carved)
{
  if (!carved->open)
    return;
  carved->open = false;
  carving->open--;
  if (close(carved->output.fd) != 0 && !carving->error)
    fail(carving, gg_fail_errno(&carving->failure, errno, "cannot write to %s", carved->output.path));
  carved->output.fd = -1;
}

static void put_oldest_aside(struct gg__carving *carving)
{
  struct carved *oldest = NULL;
  for (struct carved *carved = carving->first; carved; carved = carved->next)
    if (carved->open && (!oldest || carved->used < oldest->used))
      oldest = carved;
  if (oldest)
    put_aside(carving, oldest);
}

static void open_again(struct gg__carving *carving, struct carved *carved)
{
  if (carved->open)
    return;
  if (carving->open >= OPEN_MAX)
    put_oldest_aside(carving);
  carved->output.fd = open(carved->output.path, O_WRONLY | O_CLOEXEC | O_APPEND | O_NOFOLLOW);
  if (carved->output.fd < 0) {
    fail(carving, gg_fail_errno(&carving->failure, errno, "cannot write to %s", carved->output.path));
    return;
  }
  carved->open = true;
  carving->open++;
}

static void take_bytes(void *context, const void *data, size_t length)
{
  struct carved *carved = context;
  struct gg__carving *carving = carved->carving;
  if (carving->error)
    return;
  open_again(carving, carved);
  carved->used = ++carving->step;
  if (!carving->error) {
    int error = gg__output_write(carved->output.fd, data, length, carved->output.path, &carving->failure);
    if (error)
      fail(carving, error);
  }
  gg_sha256_add(&carved->sha256, data, length);
  carved->bytes += length;
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void keep_name(struct gg__carving *carving, const struct gg_message *message)
{
  struct name *name = &carving->names[message->number % NAMES_MAX];
  struct gg__text path = gg__http_text(message, "http.path", NULL);
  if (!(message->flags & GG_MESSAGE_REQUEST) && !path.length)
    return;
  name->number = message->number;
  gg__file_name_path(name->text, path.at, path.length);
}

static void choose_name(struct gg__carving *carving, const struct gg_message *message, const char *type,
                        char out[GG__FILE_NAME_MAX])
{
  struct gg__text said = gg__http_text(message, "http.header", "content-disposition");
  struct gg__text path = gg__http_text(message, "http.path", NULL);
  const struct name *asked = &carving->names[message->answers % NAMES_MAX];
  bool mail = strcmp(message->kind, "mail") == 0;
  if (gg__file_name_disposition(out, said.at, said.length) || gg__file_name_path(out, path.at, path.length))
    return;
  if (message->answers && strcmp(message->kind, "response") == 0 && asked->number == message->answers &&
      asked->text[0]) {
    memcpy(out, asked->text, GG__FILE_NAME_MAX);
    return;
  }
  snprintf(out, GG__FILE_NAME_MAX, "%.32s%s", message->kind, mail ? ".eml" : gg__file_extension(type, strlen(type)));
}

/* ── Bodies ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void copy_text(char *out, size_t size, struct gg__text text)
{
  size_t length = text.length < size - 1 ? text.length : size - 1;
  memcpy(out, text.at, length);
  out[length] = '\0';
}

/* What its file is called and how it is coded. */
static int describe(struct gg__carving *carving, struct carved *carved, const struct gg_message *message)
{
  struct gg_failure why = GG_FAILURE_INIT;
  struct gg_content_limits limits = GG_CONTENT_LIMITS_INIT;
  char name[GG__FILE_NAME_MAX];
  copy_text(carved->type, sizeof carved->type, gg__http_text(message, "http.header", "content-type"));
  copy_text(carved->coding, sizeof carved->coding, gg__http_text(message, "http.header", "content-encoding"));
  choose_name(carving, message, carved->type, name);
  size_t folder = strlen(carving->directory) + 1;
  if ((size_t)snprintf(carved->path, sizeof carved->path, "%s/%s-%llu-%s", carving->directory, carving->session->id,
                       (unsigned long long)message->number, name) >= sizeof carved->path)
    return gg_fail(&carving->failure, GG_ERR_RANGE, "the path is too long");
  carved->name = carved->path + folder;
  limits.bytes_max = file_bytes_max;
  if (carved->coding[0] &&
      gg_content_create(&carved->content, carved->coding, strlen(carved->coding), &limits, take_bytes, carved, &why))
    snprintf(carved->error, sizeof carved->error, "as it was coded: %.100s", why.message);
  return 0;
}

static struct carved *begin(struct gg__carving *carving, const struct gg_message *message)
{
  struct carved *carved = calloc(1, sizeof *carved);
  if (!carved) {
    carving->error = gg_fail(&carving->failure, GG_ERR_NOMEM, "no memory to carve a body");
    return NULL;
  }
  carved->number = message->number;
  carved->carving = carving;
  carved->output.fd = -1;
  gg_sha256_begin(&carved->sha256);
  carved->next = carving->first;
  carving->first = carved;
  if (carving->open >= OPEN_MAX)
    put_oldest_aside(carving);
  int error = describe(carving, carved, message);
  if (!error && !carving->error)
    error = gg__output_open(&carved->output, carved->path, carving->overwrite, &carving->failure);
  if (error) {
    fail(carving, error);
    return NULL;
  }
  carved->open = carved->output.fd >= 0;
  carving->open += carved->open;
  return carved;
}

static struct carved **find(struct gg__carving *carving, uint64_t number)
{
  struct carved **link = &carving->first;
  while (*link && (*link)->number != number)
    link = &(*link)->next;
  return link;
}

/* Out of the list; the file is closed, and removed if there was an error. */
static void release(struct gg__carving *carving, struct carved **link)
{
  struct carved *carved = *link;
  *link = carved->next;
  put_aside(carving, carved);
  gg_content_destroy(carved->content);
  int error = gg__output_close(&carved->output, carving->error, &carving->failure);
  if (error && !carving->error)
    fail(carving, error);
  free(carved);
}

static void put_line(struct gg__carving *carving, struct carved *carved, const struct gg_message *message)
{
  char line[LINE_BYTES], digest[2 * GG_SHA256_BYTES + 1];
  uint8_t bytes[GG_SHA256_BYTES];
  struct gg_json json;
  gg_sha256_end(&carved->sha256, bytes);
  for (size_t i = 0; i < sizeof bytes; i++)
    snprintf(digest + 2 * i, 3, "%02x", bytes[i]);
  gg_json_init(&json, line, sizeof line);
  gg_json_object_begin(&json);
  gg_json_field_string(&json, "session", carving->session->id);
  gg_json_field_unsigned(&json, "message", message->number);
  gg_json_field_string(&json, "from", message->side == GG_SIDE_CLIENT ? "client" : "server");
  gg_json_field_string(&json, "protocol", message->protocol);
  gg_json_field_string(&json, "kind", message->kind);
  gg_json_field_string(&json, "type", carved->type);
  gg_json_field_string(&json, "name", carved->name);
  gg_json_field_unsigned(&json, "bytes", carved->bytes);
  gg_json_field_string(&json, "sha256", digest);
  if (carved->coding[0])
    gg_json_field_string(&json, "coding", carved->coding);
  if (message->flags & (GG_MESSAGE_CUT | GG_MESSAGE_GAP))
    gg_json_field_bool(&json, "incomplete", true);
  if (carved->error[0])
    gg_json_field_string(&json, "error", carved->error);
  gg_json_object_end(&json);
  gg__writer_put(&carving->lines, line, gg_json_finish(&json));
  gg__writer_text(&carving->lines, "\n");
  carving->files++;
  carving->bytes += carved->bytes;
}

/* ── The sink ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void take_head(void *context, const struct gg_message *message)
{
  keep_name(context, message);
}

static void take_body(void *context, const struct gg_message *message, const struct gg_body *body)
{
  struct gg__carving *carving = context;
  if (carving->error || body->length == 0)
    return;
  struct carved *carved = *find(carving, message->number);
  if (!carved)
    carved = begin(carving, message);
  if (!carved || carving->error)
    return;
  struct gg_failure why = GG_FAILURE_INIT;
  if (!carved->content)
    take_bytes(carved, body->data, body->length);
  else if (!carved->error[0] && gg_content_push(carved->content, body->data, body->length, &why) != 0)
    snprintf(carved->error, sizeof carved->error, "%.120s", why.message);
}

static void take_end(void *context, const struct gg_message *message)
{
  struct gg__carving *carving = context;
  struct carved **link = find(carving, message->number), *carved = *link;
  struct gg_failure why = GG_FAILURE_INIT;
  if (!carved)
    return;
  if (carved->content && !carved->error[0] && gg_content_finish(carved->content, &why) != 0)
    snprintf(carved->error, sizeof carved->error, "%.120s", why.message);
  put_aside(carving, carved);
  if (!carving->error)
    put_line(carving, carved, message);
  release(carving, link);
}

static void take_opaque(void *context, const struct gg_opaque *opaque)
{
  struct gg__carving *carving = context;
  carving->partly = carving->partly || gg__is_partly(opaque);
}

static bool may_go_on(void *context)
{
  struct gg__carving *carving = context;
  return !carving->error && !carving->lines.error && carving->options.go_on(carving->options.go_on_context);
}

/* ── All of it ───────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__carving_create(struct gg__carving **out, const char *directory, bool overwrite, struct gg_failure *failure)
{
  *out = NULL;
  struct gg__carving *carving = calloc(1, sizeof *carving);
  struct name *names = calloc(NAMES_MAX, sizeof *names);
  int error = carving && names ? 0 : gg_fail(failure, GG_ERR_NOMEM, "no memory for an export");
  if (!error)
    error = gg__output_directory(directory, failure);
  if (!error && (size_t)snprintf(carving->manifest_path, sizeof carving->manifest_path, "%s/manifest.jsonl",
                                 directory) >= sizeof carving->manifest_path)
    error = gg_fail(failure, GG_ERR_RANGE, "the path is too long");
  if (!error)
    error = gg__output_open(&carving->manifest, carving->manifest_path, overwrite, failure);
  if (error) {
    free(names);
    free(carving);
    return error;
  }
  carving->directory = directory;
  carving->overwrite = overwrite;
  carving->names = names;
  gg__writer_init(&carving->lines, carving->manifest.fd, carving->manifest_path);
  *out = carving;
  return 0;
}

int gg__carving_session(struct gg__carving *carving, struct gg_store *store, const struct gg_session *session,
                        const struct gg_message_options *options, struct gg_failure *failure)
{
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = carving;
  sink.head = take_head;
  sink.body = take_body;
  sink.end = take_end;
  sink.opaque = take_opaque;
  carving->session = session;
  carving->options = *options;
  carving->partly = false;
  struct gg_message_options own = *options;
  own.go_on = may_go_on;
  own.go_on_context = carving;
  memset(carving->names, 0, NAMES_MAX * sizeof *carving->names);
  struct gg_failure why = GG_FAILURE_INIT; /* that it was stopped, where a file of the carving's failed */
  int error = gg_store_messages(store, session, &own, &sink, &why);
  carving->sessions_partly += carving->partly;
  if (error && carving->first && !carving->error)
    fail(carving, error); /* what was begun has not ended: it is removed */
  while (carving->first)
    release(carving, &carving->first);
  if (carving->lines.error)
    return gg_fail(failure, carving->lines.error, "%s", carving->lines.failure.message);
  if (carving->failure.code)
    return gg_fail(failure, carving->error, "%s", carving->failure.message);
  return error ? gg_fail(failure, error, "%s", why.message) : 0;
}

int gg__carving_finish(struct gg__carving *carving, int error, struct gg_message_export_result *result,
                       struct gg_failure *failure)
{
  if (!carving)
    return error;
  gg__writer_flush(&carving->lines);
  if (!error && carving->lines.error)
    error = gg_fail(failure, carving->lines.error, "%s", carving->lines.failure.message);
  result->entries = carving->files;
  result->bytes = carving->bytes;
  result->partly = carving->sessions_partly;
  int closed = gg__output_close(&carving->manifest, carving->lines.error, failure); /* it tells of whole files */
  free(carving->names);
  free(carving);
  return error ? error : closed;
}
