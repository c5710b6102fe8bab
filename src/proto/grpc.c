/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC in a body, whatever frames of DATA it comes in:
 *
 *     ┌──► PREFIX: flags (1), length (4) ──► so many bytes ──┐
 *     └──────────────────────────────────────────────────────┘
 */
#include "proto/grpc.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum { FLAG_COMPRESSED = 1, FLAG_TRAILERS = 0x80 /* gRPC-Web has its trailers in the body */ };

/* ── Heads ───────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* "application/grpc", "application/grpc+proto", "application/grpc-web+proto"; what is written in Base64 is none. */
bool gg__grpc_is(const struct gg_message *message)
{
  static const char plain[] = "application/grpc", web[] = "-web";
  const struct gg_field *type = gg__http_find(message, GG__HTTP_TYPE);
  if (!type || type->length < sizeof plain - 1 || strncasecmp((const char *)type->value, plain, sizeof plain - 1) != 0)
    return false;
  const char *rest = (const char *)type->value + sizeof plain - 1;
  size_t length = type->length - (sizeof plain - 1);
  if (length >= sizeof web - 1 && strncasecmp(rest, web, sizeof web - 1) == 0) {
    rest += sizeof web - 1;
    length -= sizeof web - 1;
  }
  return length == 0 || *rest == '+';
}

void gg__grpc_request(struct gg_decoding *decoding, struct gg_draft *draft, struct gg__grpc_call *call)
{
  const struct gg_field *field = gg__http_find(gg_decoded_message(decoding, draft), GG__HTTP_PATH);
  if (!field)
    return;
  char path[GG__GRPC_CALL_MAX + 1]; /* a field's bytes may move when one is added */
  size_t length = field->length < sizeof path ? field->length : sizeof path - 1;
  memcpy(path, field->value, length);
  size_t begin = length && path[0] == '/';
  const char *slash = length > begin ? memrchr(path + begin, '/', length - begin) : NULL;
  if (!slash) {
    struct gg_field odd = {.of = &gg__http_fields[GG__GRPC_ODD], .value = (const uint8_t *)"no-method", .length = 9};
    gg_decoded_message(decoding, draft)->flags |= GG_MESSAGE_ODD;
    gg_decoded_field(decoding, draft, &odd);
    return;
  }
  struct gg__span service = {.text = path + begin, .length = (size_t)(slash - path) - begin};
  struct gg__span method = {.text = slash + 1, .length = length - (size_t)(slash + 1 - path)};
  gg__http_add(decoding, draft, GG__GRPC_SERVICE, &service);
  gg__http_add(decoding, draft, GG__GRPC_METHOD, &method);
  size_t name = length - begin < sizeof call->name ? length - begin : sizeof call->name - 1;
  memcpy(call->name, path + begin, name);
  call->name[name] = '\0';
}

static int hex(char letter)
{
  return letter >= '0' && letter <= '9'   ? letter - '0'
         : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
         : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10
                                          : -1;
}

/* grpc-message is written with percents. */
static void add_message(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *value)
{
  enum { MESSAGE_MAX = 4096 };
  char plain[MESSAGE_MAX];
  size_t length = 0, at = 0;
  for (; at < value->length && length < sizeof plain; at++) {
    bool coded = value->text[at] == '%' && value->length - at > 2 && hex(value->text[at + 1]) >= 0 &&
                 hex(value->text[at + 2]) >= 0;
    plain[length++] = coded ? (char)(hex(value->text[at + 1]) << 4 | hex(value->text[at + 2])) : value->text[at];
    at += coded ? 2 : 0;
  }
  struct gg_field field = {.of = &gg__http_fields[GG__GRPC_MESSAGE],
                           .value = (const uint8_t *)plain,
                           .length = length,
                           .cut = at < value->length};
  gg_decoded_field(decoding, draft, &field);
}

void gg__grpc_header(struct gg_decoding *decoding, struct gg_draft *draft, const struct gg__span *name,
                     const struct gg__span *value)
{
  if (gg__http_is(name, "grpc-message")) {
    add_message(decoding, draft, value);
  } else if (gg__http_is(name, "grpc-status") && value->length > 0 && value->length < 10) {
    uint64_t status = 0;
    for (size_t i = 0; i < value->length; i++) {
      if (value->text[i] < '0' || value->text[i] > '9')
        return;
      status = status * 10 + (uint64_t)(value->text[i] - '0');
    }
    gg_decoded_number(decoding, draft, &gg__http_fields[GG__GRPC_STATUS], status);
  }
}

const char *gg__grpc_status_text(uint64_t status)
{
  static const char *const texts[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
  return status < sizeof texts / sizeof *texts ? texts[status] : "";
}

/* ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void finish(struct gg__grpc *grpc, struct gg_decoding *decoding, uint64_t end_offset)
{
  gg_decoded_end(decoding, grpc->draft, end_offset);
  grpc->draft = NULL;
  grpc->prefix_length = 0;
}

static void begin(struct gg__grpc *grpc, struct gg_decoding *decoding, uint64_t offset)
{
  grpc->draft = gg_decoded_begin(decoding, grpc->side, grpc->kind, offset);
  struct gg_message *message = gg_decoded_message(decoding, grpc->draft);
  message->stream = grpc->stream;
  message->answers = grpc->answers;
}

/* The prefix is whole. */
static void begin_message(struct gg__grpc *grpc, struct gg_decoding *decoding, const struct gg__grpc_call *call)
{
  const uint8_t *prefix = grpc->prefix;
  grpc->left = (uint32_t)prefix[1] << 24 | (uint32_t)prefix[2] << 16 | (uint32_t)prefix[3] << 8 | prefix[4];
  bool compressed = prefix[0] & FLAG_COMPRESSED, trailers = prefix[0] & FLAG_TRAILERS;
  gg_decoded_number(decoding, grpc->draft, &gg__http_fields[GG__GRPC_COMPRESSED], compressed);
  if (prefix[0] & ~(FLAG_COMPRESSED | FLAG_TRAILERS)) {
    struct gg_field odd = {
      .of = &gg__http_fields[GG__GRPC_ODD], .value = (const uint8_t *)"unknown-flags", .length = 13};
    gg_decoded_message(decoding, grpc->draft)->flags |= GG_MESSAGE_ODD;
    gg_decoded_field(decoding, grpc->draft, &odd);
  }
  gg_decoded_summary(decoding, grpc->draft, "%s%s%s of %" PRIu64 " bytes%s", call ? call->name : "",
                     call && call->name[0] ? " " : "", trailers ? "trailers" : "message", grpc->left,
                     compressed ? ", compressed" : "");
  gg_decoded_head(decoding, grpc->draft);
}

void gg__grpc_push(struct gg__grpc *grpc, struct gg_decoding *decoding, const struct gg__grpc_call *call,
                   const struct gg_body *piece)
{
  for (size_t at = 0; at < piece->length && !grpc->lost;) {
    uint64_t offset = piece->raw_offset + at;
    if (grpc->prefix_length < GG__GRPC_PREFIX) {
      if (grpc->prefix_length == 0)
        begin(grpc, decoding, offset);
      grpc->prefix[grpc->prefix_length++] = piece->data[at++];
      if (grpc->prefix_length < GG__GRPC_PREFIX)
        continue;
      begin_message(grpc, decoding, call);
    } else {
      size_t length = grpc->left < piece->length - at ? (size_t)grpc->left : piece->length - at;
      struct gg_body body = {.data = piece->data + at, .length = length, .raw_offset = offset, .raw_length = length};
      gg_decoded_body(decoding, grpc->draft, &body);
      grpc->left -= length;
      at += length;
    }
    if (grpc->left == 0)
      finish(grpc, decoding, piece->raw_offset + at);
  }
}

void gg__grpc_hole(struct gg__grpc *grpc, struct gg_decoding *decoding, uint64_t offset, uint64_t length)
{
  if (grpc->lost)
    return;
  gg_decoded_message(decoding, grpc->draft)->flags |= GG_MESSAGE_GAP;
  if (grpc->prefix_length == GG__GRPC_PREFIX && length <= grpc->left) {
    grpc->left -= length;
    if (grpc->left == 0)
      finish(grpc, decoding, offset + length);
    return;
  }
  grpc->lost = true;
  gg__grpc_end(grpc, decoding, offset);
}

void gg__grpc_end(struct gg__grpc *grpc, struct gg_decoding *decoding, uint64_t end_offset)
{
  gg_decoded_message(decoding, grpc->draft)->flags |= GG_MESSAGE_CUT;
  finish(grpc, decoding, end_offset);
}
