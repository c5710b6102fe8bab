/* SPDX-License-Identifier: Apache-2.0 */
/* SOCKS 5 (RFC 1928, 1929), 4 and 4a: a client asks a proxy to connect it, or to be connected to.
 *
 * One side speaks at a time, and each phase belongs to one of them; the other one's bytes wait (a client may say its
 * request, and what it has for the destination, before it is answered):
 *
 *     GREETING ──► METHOD ──┬── none ──────────────────────────► REQUEST ──► REPLY ──┬── connect ──► another protocol
 *     client   5   server   ├── password ──► PASSWORD ──► STATUS ──┘  ▲      server  ├── bind ──► BOUND ──►    "
 *        │                  │                client       server      │              ├── UDP ──► OVER
 *        │                  ├── GSSAPI and others: opaque             │              └── refused ──► OVER
 *        │                  └── refused ──► OVER                      │
 *        └── 4: that is the request ──────────────────────────► REPLY ┘
 *
 * What follows a successful reply, on both sides, is told anew. Of bytes behind a refusal nothing is known. GSSAPI
 * (RFC 1961) wraps all that follows it. */
#include "proto/decoders.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
  USER_MAX = 1024, /* bytes of a user's name in version 4, which only its NUL ends */
  DOMAIN_MAX = 255,
  HOST_TEXT_MAX = DOMAIN_MAX + 16, /* with brackets and port */
};

enum field { VERSION, METHOD, USER, PASSWORD, STATUS, COMMAND, DESTINATION, REPLY, BOUND, ODD };
static const struct gg_decoder_field fields[] = {
  [VERSION] = {"socks.version", GG_FIELD_TEXT, true, "4, 4a or 5", "socks.version=5"},
  [METHOD] = {"socks.method", GG_FIELD_TEXT, false, "how the client may show who it is, and which the server takes",
              NULL},
  [USER] = {"socks.user", GG_FIELD_TEXT, true, "who logs in", "socks.user=anna"},
  [PASSWORD] = {"socks.password", GG_FIELD_TEXT, false, "and by which password", NULL},
  [STATUS] = {"socks.status", GG_FIELD_NUMBER, false, "of the password: 0 is right", NULL},
  [COMMAND] = {"socks.command", GG_FIELD_TEXT, true, "connect, bind or udp-associate", "socks.command=bind"},
  [DESTINATION] = {"socks.destination", GG_FIELD_TEXT, true, "host and port that the client asks for",
                   "socks.destination=example.org:443"},
  [REPLY] = {"socks.reply", GG_FIELD_TEXT, true, "succeeded, or why not", "socks.reply=refused"},
  [BOUND] = {"socks.bound", GG_FIELD_TEXT, false, "address that the server uses, or that has connected to it", NULL},
  [ODD] = {"socks.odd", GG_FIELD_TEXT, false, "what is not as the RFC has it", NULL},
  {0},
};

enum kind { GREETING_MESSAGE, METHOD_MESSAGE, PASSWORD_MESSAGE, STATUS_MESSAGE, REQUEST_MESSAGE, REPLY_MESSAGE };
static const char *const kinds[] = {"greeting", "method", "password", "status", "request", "reply", NULL};

enum phase {
  PHASE_GREETING,
  PHASE_METHOD,
  PHASE_PASSWORD,
  PHASE_STATUS,
  PHASE_REQUEST,
  PHASE_REPLY,
  PHASE_BOUND,
  PHASE_OVER,
};
static const enum gg_side turn_of[] = {
  [PHASE_GREETING] = GG_SIDE_CLIENT, [PHASE_METHOD] = GG_SIDE_SERVER,  [PHASE_PASSWORD] = GG_SIDE_CLIENT,
  [PHASE_STATUS] = GG_SIDE_SERVER,   [PHASE_REQUEST] = GG_SIDE_CLIENT, [PHASE_REPLY] = GG_SIDE_SERVER,
  [PHASE_BOUND] = GG_SIDE_SERVER,
};

enum { METHOD_NONE = 0, METHOD_GSSAPI = 1, METHOD_PASSWORD = 2, METHOD_REFUSED = 0xff };
enum { COMMAND_CONNECT = 1, COMMAND_BIND = 2, COMMAND_UDP = 3 };
enum { ADDRESS_IPV4 = 1, ADDRESS_DOMAIN = 3, ADDRESS_IPV6 = 4 };
enum { REPLY_4_GRANTED = 90 };

struct state {
  enum phase phase;
  uint8_t version;
  uint8_t command;
  bool offered[256];
  uint64_t asked; /* number of the message that is to be answered */
};

/* Host and port; a domain may have any bytes. */
struct host {
  char text[HOST_TEXT_MAX];
  size_t length;
};

/* What is told of, while it is. */
struct scene {
  struct state *state;
  struct gg_decoding *decoding;
  const struct gg_window *window;
  struct gg_draft *draft;
};

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void begin(struct scene *scene, enum kind kind)
{
  enum gg_side side = scene->window->side;
  scene->draft = gg_decoded_begin(scene->decoding, side, kind, scene->window->offset);
  struct gg_message *message = gg_decoded_message(scene->decoding, scene->draft);
  message->flags |= GG_MESSAGE_CONTROL | (side == GG_SIDE_CLIENT ? GG_MESSAGE_REQUEST : 0u);
  if (side == GG_SIDE_CLIENT)
    scene->state->asked = message->number;
  else
    message->answers = scene->state->asked;
}

static void end(struct scene *scene, size_t length, bool completes)
{
  if (completes)
    gg_decoded_message(scene->decoding, scene->draft)->flags |= GG_MESSAGE_COMPLETES;
  gg_decoded_end(scene->decoding, scene->draft, scene->window->offset + length);
}

static void add_text(const struct scene *scene, enum field field, const void *text, size_t text_length, size_t at,
                     size_t length)
{
  struct gg_field value = {.of = &fields[field],
                           .value = text,
                           .length = text_length,
                           .raw_offset = scene->window->offset + at,
                           .raw_length = length,
                           .secret = field == PASSWORD};
  gg_decoded_field(scene->decoding, scene->draft, &value);
}

/* A word for bytes of the window. */
static void add(const struct scene *scene, enum field field, const char *word, size_t at, size_t length)
{
  add_text(scene, field, word, strlen(word), at, length);
}

/* Bytes of the window themselves. */
static void add_bytes(const struct scene *scene, enum field field, size_t at, size_t length)
{
  add_text(scene, field, scene->window->data + at, length, at, length);
}

static void add_odd(const struct scene *scene, const char *what)
{
  gg_decoded_message(scene->decoding, scene->draft)->flags |= GG_MESSAGE_ODD;
  add(scene, ODD, what, 0, 0);
}

static size_t fail(const struct scene *scene, enum gg_opaque_why why, size_t at, const char *text)
{
  gg_decoded_opaque(scene->decoding, why, scene->window->side, scene->window->offset + at, false, text);
  return 0;
}

/* ── Addresses ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Bytes of the address behind its type, with the port; 0: not enough of it is there; SIZE_MAX: of no known type. */
static size_t address_length(uint8_t type, const uint8_t *data, size_t length)
{
  size_t address = type == ADDRESS_IPV4 ? 4 : type == ADDRESS_IPV6 ? 16 : 0;
  if (type == ADDRESS_DOMAIN && length)
    address = 1 + (size_t)data[0];
  else if (type != ADDRESS_DOMAIN && address == 0)
    return SIZE_MAX;
  return address && length >= address + 2 ? address + 2 : 0;
}

static unsigned be16(const uint8_t *at)
{
  return (unsigned)at[0] << 8 | at[1];
}

static void add_port(struct host *host, unsigned port)
{
  host->length += (size_t)snprintf(host->text + host->length, sizeof host->text - host->length, ":%u", port);
}

static struct host named_host(const uint8_t *name, size_t length, unsigned port)
{
  struct host host = {.length = length};
  assert(length <= DOMAIN_MAX);
  memcpy(host.text, name, length);
  add_port(&host, port);
  return host;
}

static struct host ip_host(const uint8_t *address, bool ipv6, unsigned port)
{
  struct host host;
  char ip[INET6_ADDRSTRLEN];
  inet_ntop(ipv6 ? AF_INET6 : AF_INET, address, ip, sizeof ip);
  host.length = (size_t)snprintf(host.text, sizeof host.text, ipv6 ? "[%s]" : "%s", ip);
  add_port(&host, port);
  return host;
}

static struct host host_of(uint8_t type, const uint8_t *data)
{
  if (type == ADDRESS_DOMAIN)
    return named_host(data + 1, data[0], be16(data + 1 + data[0]));
  bool ipv6 = type == ADDRESS_IPV6;
  return ip_host(data, ipv6, be16(data + (ipv6 ? 16 : 4)));
}

static const char *command_name(uint8_t command, char number[8])
{
  static const char *const names[] = {
    [COMMAND_CONNECT] = "connect", [COMMAND_BIND] = "bind", [COMMAND_UDP] = "udp-associate"};
  if (command >= 1 && command < sizeof names / sizeof *names)
    return names[command];
  snprintf(number, 8, "0x%02x", command);
  return number;
}

static void tell_request(const struct scene *scene, size_t command_at, const struct host *host, size_t host_at,
                         size_t host_length)
{
  char number[8];
  const char *command = command_name(scene->window->data[command_at], number);
  add(scene, COMMAND, command, command_at, 1);
  add_text(scene, DESTINATION, host->text, host->length, host_at, host_length);
  gg_decoded_summary(scene->decoding, scene->draft, "%s %.*s", command, (int)host->length, host->text);
  scene->state->command = scene->window->data[command_at];
  scene->state->phase = PHASE_REPLY;
}

/* ── Version 5, client ───────────────────────────────────────────────────────────────────────────────────────────── */

static const char *method_name(uint8_t method, char number[8])
{
  if (method == METHOD_REFUSED)
    return "refused";
  if (method <= METHOD_PASSWORD)
    return method == METHOD_NONE ? "none" : method == METHOD_GSSAPI ? "gssapi" : "password";
  snprintf(number, 8, "0x%02x", method);
  return number;
}

static size_t take_greeting(struct scene *scene)
{
  const struct gg_window *window = scene->window;
  size_t length = window->length < 2 ? 2 : 2 + (size_t)window->data[1];
  char number[8];
  if (window->length < length)
    return 0;
  begin(scene, GREETING_MESSAGE);
  add(scene, VERSION, "5", 0, 1);
  for (size_t i = 2; i < length; i++) {
    add(scene, METHOD, method_name(window->data[i], number), i, 1);
    scene->state->offered[window->data[i]] = true;
  }
  gg_decoded_summary(scene->decoding, scene->draft, "SOCKS 5, %u methods", window->data[1]);
  scene->state->phase = PHASE_METHOD;
  end(scene, length, false);
  return length;
}

static size_t take_password(struct scene *scene)
{
  const uint8_t *data = scene->window->data;
  size_t have = scene->window->length;
  if (data[0] != 1)
    return fail(scene, GG_OPAQUE_FAILED, 0, "no name and password of RFC 1929");
  size_t user = have < 2 ? 0 : data[1];
  size_t password = have < 3 + user ? 0 : data[2 + user];
  if (have < 2 || have < 3 + user || have < 3 + user + password)
    return 0;
  begin(scene, PASSWORD_MESSAGE);
  add_bytes(scene, USER, 2, user);
  add_bytes(scene, PASSWORD, 3 + user, password);
  gg_decoded_summary(scene->decoding, scene->draft, "user %.*s", (int)user, (const char *)data + 2);
  scene->state->phase = PHASE_STATUS;
  end(scene, 3 + user + password, false);
  return 3 + user + password;
}

static size_t take_request(struct scene *scene)
{
  const uint8_t *data = scene->window->data;
  size_t have = scene->window->length;
  if (data[0] != 5)
    return fail(scene, GG_OPAQUE_FAILED, 0, "a request of another version");
  if (have < 4)
    return 0;
  size_t address = address_length(data[3], data + 4, have - 4);
  if (address == SIZE_MAX)
    return fail(scene, GG_OPAQUE_FAILED, 0, "a request with an address of no known type");
  if (address == 0)
    return 0;
  struct host host = host_of(data[3], data + 4);
  begin(scene, REQUEST_MESSAGE);
  tell_request(scene, 1, &host, 4, address);
  if (data[2] != 0)
    add_odd(scene, "reserved-byte");
  end(scene, 4 + address, false);
  return 4 + address;
}

/* ── Version 5, server ───────────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_method(struct scene *scene)
{
  const uint8_t *data = scene->window->data;
  if (data[0] != 5)
    return fail(scene, GG_OPAQUE_FAILED, 0, "a method of another version");
  if (scene->window->length < 2)
    return 0;
  uint8_t method = data[1];
  char number[8];
  begin(scene, METHOD_MESSAGE);
  add(scene, METHOD, method_name(method, number), 1, 1);
  gg_decoded_summary(scene->decoding, scene->draft, "method %s", method_name(method, number));
  if (method != METHOD_REFUSED && !scene->state->offered[method])
    add_odd(scene, "method-not-offered");
  end(scene, 2, true);
  scene->state->phase = method == METHOD_NONE ? PHASE_REQUEST : method == METHOD_PASSWORD ? PHASE_PASSWORD : PHASE_OVER;
  if (method == METHOD_GSSAPI)
    fail(scene, GG_OPAQUE_ENCRYPTED, 2, "GSSAPI (RFC 1961)");
  else if (method != METHOD_REFUSED && scene->state->phase == PHASE_OVER)
    fail(scene, GG_OPAQUE_UNKNOWN, 2, "a method that is not known here");
  return 2;
}

static size_t take_status(struct scene *scene)
{
  const uint8_t *data = scene->window->data;
  if (scene->window->length < 2)
    return 0;
  begin(scene, STATUS_MESSAGE);
  gg_decoded_number(scene->decoding, scene->draft, &fields[STATUS], data[1]);
  gg_decoded_summary(scene->decoding, scene->draft, data[1] ? "password refused" : "password accepted");
  if (data[0] != 1)
    add_odd(scene, "status-of-another-version");
  end(scene, 2, true);
  scene->state->phase = data[1] ? PHASE_OVER : PHASE_REQUEST;
  return 2;
}

/* Behind a reply: what the session is now. */
static void replied(struct scene *scene, bool granted)
{
  struct state *state = scene->state;
  if (!granted || state->command == COMMAND_UDP)
    state->phase = PHASE_OVER;
  else if (state->command == COMMAND_BIND && state->phase == PHASE_REPLY)
    state->phase = PHASE_BOUND;
  else
    gg_decoded_become(scene->decoding, &(struct gg_become){0});
}

static void tell_reply(struct scene *scene, const char *reply, const struct host *host, size_t at, size_t length,
                       bool granted)
{
  bool more = granted && scene->state->command == COMMAND_BIND && scene->state->phase == PHASE_REPLY;
  begin(scene, REPLY_MESSAGE);
  add(scene, REPLY, reply, 1, 1);
  add_text(scene, BOUND, host->text, host->length, at, length);
  gg_decoded_summary(scene->decoding, scene->draft, "%s %.*s", reply, (int)host->length, host->text);
  end(scene, at + length, !more);
  replied(scene, granted);
}

static size_t take_reply(struct scene *scene)
{
  static const char *const texts[] = {"succeeded",           "general-failure",  "not-allowed",
                                      "network-unreachable", "host-unreachable", "refused",
                                      "ttl-expired",         "unknown-command",  "unknown-address-type"};
  const uint8_t *data = scene->window->data;
  size_t have = scene->window->length;
  if (data[0] != 5)
    return fail(scene, GG_OPAQUE_FAILED, 0, "a reply of another version");
  if (have < 4)
    return 0;
  size_t address = address_length(data[3], data + 4, have - 4);
  if (address == SIZE_MAX)
    return fail(scene, GG_OPAQUE_FAILED, 0, "a reply with an address of no known type");
  if (address == 0)
    return 0;
  struct host host = host_of(data[3], data + 4);
  tell_reply(scene, data[1] < sizeof texts / sizeof *texts ? texts[data[1]] : "unassigned", &host, 4, address,
             data[1] == 0);
  return 4 + address;
}

/* ── Version 4 ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* Bytes up to the NUL; SIZE_MAX: it is not there. */
static size_t text_length(const struct gg_window *window, size_t at, size_t most)
{
  size_t rest = window->length - at;
  const uint8_t *nul = memchr(window->data + at, 0, rest < most ? rest : most);
  return nul ? (size_t)(nul - (window->data + at)) : SIZE_MAX;
}

/* Of 4a: an address that none can be stands for a name behind the user's. */
static bool has_domain(const uint8_t *ip)
{
  return ip[0] == 0 && ip[1] == 0 && ip[2] == 0 && ip[3] != 0;
}

static size_t take_request_4(struct scene *scene)
{
  const struct gg_window *window = scene->window;
  const uint8_t *data = window->data;
  if (window->length < 9)
    return 0;
  size_t user = text_length(window, 8, USER_MAX + 1);
  if (user == SIZE_MAX)
    return window->length < 8 + USER_MAX + 1 ? 0 : fail(scene, GG_OPAQUE_FAILED, 0, "a user's name without an end");
  bool domain = has_domain(data + 4);
  size_t at = 8 + user + 1, length = domain ? text_length(window, at, DOMAIN_MAX + 1) : 0;
  if (length == SIZE_MAX)
    return window->length < at + DOMAIN_MAX + 1 ? 0 : fail(scene, GG_OPAQUE_FAILED, 0, "a name without an end");
  struct host host = domain ? named_host(data + at, length, be16(data + 2)) : ip_host(data + 4, false, be16(data + 2));
  begin(scene, REQUEST_MESSAGE);
  add(scene, VERSION, domain ? "4a" : "4", 0, 1);
  if (user)
    add_bytes(scene, USER, 8, user);
  tell_request(scene, 1, &host, domain ? at : 2, domain ? length : 6);
  size_t whole = at + (domain ? length + 1 : 0);
  end(scene, whole, false);
  return whole;
}

static size_t take_reply_4(struct scene *scene)
{
  static const char *const texts[] = {"succeeded", "refused", "no-identd", "another-user"};
  const uint8_t *data = scene->window->data;
  if (scene->window->length < 8)
    return 0;
  if (data[0] != 0 || data[1] < REPLY_4_GRANTED || data[1] > REPLY_4_GRANTED + 3)
    return fail(scene, GG_OPAQUE_FAILED, 0, "no reply of SOCKS 4");
  struct host host = ip_host(data + 4, false, be16(data + 2));
  tell_reply(scene, texts[data[1] - REPLY_4_GRANTED], &host, 2, 6, data[1] == REPLY_4_GRANTED);
  return 8;
}

/* ── The decoder ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_first(struct scene *scene)
{
  scene->state->version = scene->window->data[0];
  if (scene->state->version == 5)
    return take_greeting(scene);
  if (scene->state->version == 4)
    return take_request_4(scene);
  return fail(scene, GG_OPAQUE_FAILED, 0, "neither SOCKS 4 nor 5");
}

static size_t push(void *self, struct gg_decoding *decoding, const struct gg_window *window)
{
  struct scene scene = {self, decoding, window, NULL};
  enum phase phase = scene.state->phase;
  if (phase == PHASE_OVER) {
    gg_decoded_opaque(decoding, GG_OPAQUE_UNKNOWN, window->side, window->offset, true,
                      scene.state->command == COMMAND_UDP ? "on the connection of a UDP association"
                                                          : "behind a refusal");
    return 0;
  }
  if (turn_of[phase] != window->side) {
    gg_decoded_hold(decoding, window->side);
    return 0;
  }
  bool four = scene.state->version == 4;
  switch (phase) {
  case PHASE_GREETING:
    return take_first(&scene);
  case PHASE_METHOD:
    return take_method(&scene);
  case PHASE_PASSWORD:
    return take_password(&scene);
  case PHASE_STATUS:
    return take_status(&scene);
  case PHASE_REQUEST:
    return take_request(&scene);
  default:
    return four ? take_reply_4(&scene) : take_reply(&scene);
  }
}

/* ── Identification ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* RFC 1928, 3: 0 to 9 but 4 are assigned, 0x80 to 0xfe are private; each once. */
static enum gg_likeness like_greeting(const uint8_t *data, size_t length)
{
  size_t whole = length < 2 ? 2 : 2 + (size_t)data[1];
  bool offered[256] = {false};
  if (length >= 2 && data[1] == 0)
    return GG_LIKENESS_NONE;
  for (size_t i = 2; i < whole && i < length; i++) {
    uint8_t method = data[i];
    if (method == 4 || (method > 9 && method < 0x80) || method == METHOD_REFUSED || offered[method])
      return GG_LIKENESS_NONE;
    offered[method] = true;
  }
  if (length > whole && data[whole] != 1 && data[whole] != 5)
    return GG_LIKENESS_NONE;
  return length < whole ? GG_LIKENESS_OPEN : GG_LIKENESS_LIKELY;
}

static enum gg_likeness like_request_4(const uint8_t *data, size_t length)
{
  if ((length > 1 && data[1] != COMMAND_CONNECT && data[1] != COMMAND_BIND) || (length > 3 && be16(data + 2) == 0))
    return GG_LIKENESS_NONE;
  for (size_t i = 8; i < length; i++) {
    if (data[i] == 0)
      return GG_LIKENESS_LIKELY;
    if (data[i] < ' ' || data[i] > '~')
      return GG_LIKENESS_NONE;
  }
  return GG_LIKENESS_OPEN;
}

static enum gg_likeness identify(const struct gg_opening *opening)
{
  const uint8_t *client = opening->data[GG_SIDE_CLIENT], *server = opening->data[GG_SIDE_SERVER];
  size_t length = opening->length[GG_SIDE_CLIENT], answered = opening->length[GG_SIDE_SERVER];
  if (opening->spoke_first && opening->first == GG_SIDE_SERVER)
    return GG_LIKENESS_NONE;
  if (length == 0)
    return GG_LIKENESS_OPEN;
  bool four = client[0] == 4;
  if (!four && client[0] != 5)
    return GG_LIKENESS_NONE;
  enum gg_likeness likeness = four ? like_request_4(client, length) : like_greeting(client, length);
  if (likeness == GG_LIKENESS_NONE || answered == 0)
    return likeness;
  return server[0] == (four ? 0 : 5) ? likeness : GG_LIKENESS_NONE;
}

const struct gg_decoder gg__decoder_socks = {
  GG_DECODER_HEAD,      .name = "socks", .protocol = "socks", .title = "SOCKS 4, 4a and 5 (RFC 1928, 1929)",
  .envelope = true,     .kinds = kinds,  .fields = fields,    .state_bytes = sizeof(struct state),
  .identify = identify, .push = push,
};
