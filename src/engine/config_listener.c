/* SPDX-License-Identifier: Apache-2.0 */
/* config_listener.c - the options of a listener: rows of the one table (config_table.c), and how they go together. */
#include "engine/config_listener.h"

#include "engine/config.h"
#include "engine/config_upstream.h"
#include "gateway/sources.h"

#include <string.h>

/* The names of each enum, in its order. */
static const char *const policy_names[] = {
  [GG_CONFIG_BLOCK] = "block", [GG_CONFIG_GAP] = "gap", [GG_CONFIG_CLOSE] = "close", NULL};
static const char *const decode_names[] = {
  [GG_CONFIG_DECODE_BEHIND] = "behind", [GG_CONFIG_DECODE_INLINE] = "inline", NULL};
static const char *const record_names[] = {[GG_CONFIG_RECORD_FULL] = "full", [GG_CONFIG_RECORD_OFF] = "off", NULL};
static const char *const proxy_in_names[] = {[GG_CONFIG_PROXY_OFF] = "off",
                                             [GG_CONFIG_PROXY_V1] = "v1",
                                             [GG_CONFIG_PROXY_V2] = "v2",
                                             [GG_CONFIG_PROXY_ANY] = "any",
                                             NULL};
static const char *const proxy_out_names[] = {
  [GG_CONFIG_PROXY_OFF] = "off", [GG_CONFIG_PROXY_V1] = "v1", [GG_CONFIG_PROXY_V2] = "v2", NULL};
static const char *const failure_names[] = {
  [GG_CONFIG_FAILURE_RESET] = "reset", [GG_CONFIG_FAILURE_CLOSE] = "close", NULL};
static const char *const balance_names[] = {[GG_CONFIG_ROUND_ROBIN] = "round-robin",
                                            [GG_CONFIG_LEAST_SESSIONS] = "least-sessions",
                                            [GG_CONFIG_HASH] = "hash",
                                            NULL};

/* An enum's field is filled as an int. */
_Static_assert(sizeof(enum gg_config_policy) == sizeof(int) && sizeof(enum gg_config_proxy) == sizeof(int) &&
                 sizeof(enum gg_config_connect_failure) == sizeof(int) && sizeof(enum gg_config_balance) == sizeof(int),
               "enums are as large as int");

#define MS UINT64_C(1000000)
#define MINUTE (60000 * MS)
#define DAY (1440 * MINUTE)
#define CHECK_INTERVAL_MIN (10 * MS)

static int check_listen(const char *text, struct gg_failure *failure)
{
  struct gg_endpoint endpoint;
  return gg_endpoint_parse(&endpoint, text, true, failure);
}

static int check_upstream(const char *text, struct gg_failure *failure)
{
  struct gg__upstream_words words;
  return strcmp(text, "none") == 0 ? 0 : gg__config_upstream_parse(&words, text, failure);
}

static int check_network(const char *text, struct gg_failure *failure)
{
  struct gg_network network;
  return gg_network_parse(&network, text, failure);
}

int gg__config_listener_check(const void *item, struct gg_failure *failure)
{
  const struct gg_config_listener *listener = item;
  if (listener->upstream.count == 0)
    return gg_fail(failure, GG_ERR_INVALID, "upstream is an empty list");
  bool none = strcmp(listener->upstream.items[0], "none") == 0;
  bool unix_listener = strncmp(listener->listen, "unix:", 5) == 0;
  bool proxy = listener->proxy_protocol_in != GG_CONFIG_PROXY_OFF;
  if (listener->record == GG_CONFIG_RECORD_OFF && none)
    return gg_fail(failure, GG_ERR_INVALID,
                   "record: off with 'upstream: none' would neither record nor send on a byte");
  if (listener->greeting.length > 0 && !none)
    return gg_fail(failure, GG_ERR_INVALID, "a greeting is sent only with 'upstream: none'");
  if (listener->proxy_protocol_out != GG_CONFIG_PROXY_OFF && none)
    return gg_fail(failure, GG_ERR_INVALID, "proxy_protocol_out needs an upstream");
  if (proxy && !unix_listener && listener->trusted.count == 0)
    return gg_fail(failure, GG_ERR_INVALID, "proxy_protocol_in needs 'trusted': the networks whose header is believed");
  if (!proxy && listener->trusted.count > 0)
    return gg_fail(failure, GG_ERR_INVALID, "trusted has no effect while proxy_protocol_in is off");
  if (listener->health_out_max_ns < listener->health_out_ns)
    return gg_fail(failure, GG_ERR_INVALID, "health_out_max is below health_out, the shortest time that it may be");
  if (listener->check_interval_ns > 0 && listener->check_interval_ns < CHECK_INTERVAL_MIN)
    return gg_fail(failure, GG_ERR_INVALID, "check_interval is below 10ms; 0 means no check");
  return gg__config_upstreams_judge(listener, failure);
}

#define LISTENER(field) .offset = offsetof(struct gg_config_listener, field)

const struct gg_option gg__config_listener_options[GG__CONFIG_LISTENER_OPTIONS] = {
  {.key = "listen",
   .flag = "listen",
   .type = GG_OPTION_ENDPOINT,
   LISTENER(listen),
   .required = true,
   .check = check_listen,
   .help = "address to accept on: host:port, [v6]:port, :port or unix:PATH",
   .more = "`:9000` is every address of both families. `unix:@name` is an abstract name. Port 0 takes a free port."},
  {.key = "upstream",
   .flag = "upstream",
   .type = GG_OPTION_ENDPOINTS,
   LISTENER(upstream),
   .most = GG_CONFIG_UPSTREAMS_MAX,
   .required = true,
   .check = check_upstream,
   .help = "address to connect to, or none to accept and record only",
   .more =
     "A host name is resolved at start and again every `resolve.interval`. `none` makes a honeypot: what comes is "
     "recorded and never answered, but for the `greeting`. Of a list (at most 64) each session goes to one, by "
     "`balance`; behind an address may stand `weight=N` (1 to 256, its share of the sessions), `name=NAME` (what it is "
     "called in metrics, messages and commands; without it, its address) and `backup` (it is chosen only while no "
     "other is available). An upstream that cannot be had is followed by another, before the client notices; nothing "
     "of what the client sent has been read then. A reload that keeps an upstream's name keeps its state, drained or "
     "out, if its listener keeps its name or its address; one that was removed is up when it is added again. On the "
     "command line the flag is repeated."},
  {.key = "balance",
   .flag = "balance",
   .type = GG_OPTION_ENUM,
   LISTENER(balance),
   .names = balance_names,
   .preset = "round-robin",
   .help = "how a session's upstream is chosen from several",
   .more =
     "Each by weight. `round-robin`: in turns, which each worker takes for itself. `least-sessions`: the one with "
     "the fewest open sessions of this listener for its weight, over all workers; among equals in turns. `hash`: by "
     "the client's address, without its port: while an upstream is away only its own clients go elsewhere, and they "
     "come back with it; clients of a unix listener, which have no address, take turns. Each listener's list is its "
     "own, though another's has the same addresses: sessions are counted, and health is found out, for each of them "
     "apart. Sessions that were open before a reload are counted as long as the listener's name "
     "and the upstream's name and address stay."},
  {.key = "connect_tries",
   .flag = "connect-tries",
   .type = GG_OPTION_COUNT,
   LISTENER(connect_tries),
   .most = GG_CONFIG_UPSTREAMS_MAX,
   .preset = "0",
   .help = "upstreams that one session tries at the most, 0 for each of them once",
   .more = "Each has `timeouts.connect` to answer. Only when none could be had is the client told, as "
           "`on_connect_failure` says. Drained ones are not tried; those that are out are, behind the others."},
  {.key = "health_failures",
   .flag = "health-failures",
   .type = GG_OPTION_COUNT,
   LISTENER(health_failures),
   .most = 1000,
   .preset = "3",
   .help = "connects in a row that failed, and an upstream is taken out; 0 for never",
   .more =
     "Refused, timed out, unreachable and unresolved ones count, and checks; not those for which this host lacked "
     "descriptors, memory or ports. One that succeeds ends the row, whatever comes after it: an upstream that accepts "
     "and closes at once is not out, since what its client sent cannot be sent to another; nor is one whose process "
     "hangs, as long as its kernel takes connections for it, by which active checks go too. A name that no longer "
     "resolves keeps its addresses. Set to 0 by a reload, whoever is out is back with it."},
  {.key = "health_out",
   .flag = "health-out",
   .type = GG_OPTION_DURATION,
   LISTENER(health_out_ns),
   .least = 1 * MS,
   .most = DAY,
   .preset = "10s",
   .help = "for how long it is out the first time",
   .more = "Then one session tries it, the others still do not. If that fails too, it is out for twice as long, and so "
           "on up to `health_out_max`; if it succeeds, it is back, and the next time begins with this again. While all "
           "are out, sessions try the one that is back soonest: better a try than a refusal."},
  {.key = "health_out_max",
   .flag = "health-out-max",
   .type = GG_OPTION_DURATION,
   LISTENER(health_out_max_ns),
   .least = 1 * MS,
   .most = 365 * DAY,
   .preset = "5m",
   .help = "the longest time that it is out before it is tried again"},
  {.key = "check_interval",
   .flag = "check-interval",
   .type = GG_OPTION_DURATION,
   LISTENER(check_interval_ns),
   .most = DAY,
   .preset = "0",
   .help = "every upstream is checked by a TCP connect this often, 0 for not at all",
   .more = "A check that fails counts as a connect that failed; one that succeeds brings an upstream back at once. It "
           "is a connection that is closed again without a byte, and is not recorded. At least 10ms."},
  {.key = "check_timeout",
   .flag = "check-timeout",
   .type = GG_OPTION_DURATION,
   LISTENER(check_timeout_ns),
   .least = 1 * MS,
   .most = 10 * MINUTE,
   .preset = "2s",
   .help = "a check that is not answered in this time has failed"},
  {.key = "slow_start",
   .flag = "slow-start",
   .type = GG_OPTION_DURATION,
   LISTENER(slow_start_ns),
   .most = DAY,
   .preset = "0",
   .help = "an upstream that came back grows to its weight over this time, 0 for at once",
   .more = "Also of one that is not drained any more. `gogetway upstreams` and the metric "
           "`gogetway_route_upstream_weight_ratio` tell which part of its weight it has at the moment."},
  {.key = "name",
   .flag = "name",
   .type = GG_OPTION_STRING,
   LISTENER(name),
   .most = 64,
   .check = gg__config_name_check,
   .help = "what the listener is called in recordings and filters",
   .more =
     "Without it the `listen` address is the name; where several listen on port 0, `-2` and so on follows. Names are "
     "unique."},
  {.key = "greeting",
   .flag = "greeting",
   .type = GG_OPTION_BLOB,
   LISTENER(greeting),
   .most = 4096,
   .help = "bytes to send to a client at once, with upstream none",
   .more = "C escapes are understood: `220 ready\\r\\n`, `\\x00`, `\\377`."},
  {.key = "proxy_protocol_in",
   .flag = "proxy-protocol-in",
   .type = GG_OPTION_ENUM,
   LISTENER(proxy_protocol_in),
   .names = proxy_in_names,
   .preset = "off",
   .help = "PROXY header expected from the client's side",
   .more = "A session without a sound header from a `trusted` network is closed. The address in the header is the one "
           "that is recorded as the client's."},
  {.key = "trusted",
   .flag = "trusted",
   .type = GG_OPTION_NETWORKS,
   LISTENER(trusted),
   .most = GG_CONFIG_TRUSTED_MAX,
   .check = check_network,
   .help = "networks from which a PROXY header is accepted",
   .more = "Like `[10.0.0.0/8, fd00::/8, 192.0.2.7]`. Needed with `proxy_protocol_in`, but for a unix listener, whose "
           "permissions say who may connect."},
  {.key = "proxy_protocol_out",
   .flag = "proxy-protocol-out",
   .type = GG_OPTION_ENUM,
   LISTENER(proxy_protocol_out),
   .names = proxy_out_names,
   .preset = "off",
   .help = "PROXY header sent to the upstream"},
  {.key = "record",
   .flag = "record",
   .type = GG_OPTION_ENUM,
   LISTENER(record),
   .names = record_names,
   .preset = "full",
   .help = "what is recorded of the sessions that come here",
   .more =
     "`full` is everything. `off` is nothing, for what only has to go on: a health check's port, or all traffic while "
     "the storage is replaced. Such a session leaves nothing in the store, `sessions` does not know of it, and "
     "neither a full disk, a stalled log nor `sync.mode: always` holds it up; metrics count it, and "
     "`sessions_record_off` "
     "and "
     "`record_off_*_bytes` tell its share. After a reload a session goes on as it began. Not with `upstream: none`."},
  {.key = "on_stall",
   .flag = "on-stall",
   .type = GG_OPTION_ENUM,
   LISTENER(on_stall),
   .names = policy_names,
   .preset = "block",
   .help = "what to do while the disk cannot keep up",
   .more = "`block` stops reading until it can: nothing is lost. `gap` lets traffic go on unrecorded and marks the "
           "missing range. `close` closes the sessions."},
  {.key = "on_full",
   .flag = "on-full",
   .type = GG_OPTION_ENUM,
   LISTENER(on_full),
   .names = policy_names,
   .preset = "block",
   .help = "what to do while the disk is full"},
  {.key = "sessions_max",
   .flag = "listener-sessions-max",
   .type = GG_OPTION_COUNT,
   LISTENER(sessions_max),
   .most = 1000000,
   .preset = "0",
   .help = "most sessions of this listener at a time, 0 for no limit of its own"},
  {.key = "on_connect_failure",
   .flag = "on-connect-failure",
   .type = GG_OPTION_ENUM,
   LISTENER(on_connect_failure),
   .names = failure_names,
   .preset = "reset",
   .help = "how the client is told that the upstream cannot be reached"},
  {.key = "unix_mode",
   .flag = "unix-mode",
   .type = GG_OPTION_MODE,
   LISTENER(unix_mode),
   .most = 0777,
   .preset = "0660",
   .help = "permissions of a unix listener's path"},
  {.key = "decode",
   .flag = "listener-decode",
   .type = GG_OPTION_ENUM,
   LISTENER(decode),
   .names = decode_names,
   .preset = "behind",
   .help = "where sessions are decoded: inline is for plug-ins that judge messages",
   .more =
     "`inline`: a plug-in that gates a session and has `message` (docs/plugins.md) is told requests and replies by "
     "the session's worker, before they go on. Sessions that no such plug-in gates are not decoded there. What "
     "the catalogue knows is found `behind` in either case, as the gateway's option `decode` says."},
};
