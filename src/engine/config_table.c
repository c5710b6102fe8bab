/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every option of the gateway, once. Reading YAML and flags, defaults, --print-config, --help and docs/config.md all
 * come from here: to add an option, add a field to struct gg_config and a row here, then write the page anew by
 * `build/tools/document > docs/config.md`.
 */
#include "engine/config_table.h"

#include "engine/config.h"
#include "engine/config_plugin.h"
#include "engine/config_upstream.h"
#include "gateway/sources.h"
#include "hook/hook.h"
#include <string.h>

/* The names of each enum, in its order. */
static const char *const policy_names[] = {
  [GG_CONFIG_BLOCK] = "block", [GG_CONFIG_GAP] = "gap", [GG_CONFIG_CLOSE] = "close", NULL};
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
static const char *const splice_names[] = {
  [GG_CONFIG_SPLICE_AUTO] = "auto", [GG_CONFIG_SPLICE_ON] = "on", [GG_CONFIG_SPLICE_OFF] = "off", NULL};
static const char *const switch_names[] = {[GG_CONFIG_OFF] = "off", [GG_CONFIG_ON] = "on", NULL};
static const char *const sync_names[] = {
  [GG_CONFIG_SYNC_INTERVAL] = "interval", [GG_CONFIG_SYNC_NEVER] = "never", [GG_CONFIG_SYNC_ALWAYS] = "always", NULL};
static const char *const level_names[] = {
  [GG_LEVEL_DEBUG] = "debug", [GG_LEVEL_INFO] = "info", [GG_LEVEL_WARNING] = "warning",
  [GG_LEVEL_ERROR] = "error", [GG_LEVEL_OFF] = "off",   NULL};
static const char *const format_names[] = {
  [GG_LOGGER_AUTO] = "auto", [GG_LOGGER_TEXT] = "text", [GG_LOGGER_JSON] = "json", NULL};

/* An enum's field is filled as an int. */
_Static_assert(sizeof(enum gg_config_policy) == sizeof(int) && sizeof(enum gg_config_proxy) == sizeof(int) &&
                 sizeof(enum gg_config_connect_failure) == sizeof(int) &&
                 sizeof(enum gg_config_balance) == sizeof(int) && sizeof(enum gg_config_splice) == sizeof(int) &&
                 sizeof(enum gg_config_sync) == sizeof(int) && sizeof(enum gg_level) == sizeof(int) &&
                 sizeof(enum gg_logger_format) == sizeof(int),
               "enums are as large as int");

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
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

static int check_listener(const void *item, struct gg_failure *failure)
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

_Static_assert((int)GG_CONFIG_PLUGINS_MAX == (int)GG_HOOKS_MAX, "a chain has room for every plug-in");

#define LISTENER(field) .offset = offsetof(struct gg_config_listener, field)
#define PLUGIN(field) .offset = offsetof(struct gg_config_plugin, field)
#define CONFIG(field) .offset = offsetof(struct gg_config, field)

static const struct gg_option listener_options[] = {
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
};

static const struct gg_option plugin_options[] = {
  {.key = "path", .flag = "plugin", .type = GG_OPTION_PATH, PLUGIN(path), .help = "the plug-in's shared library"},
  {.key = "lua",
   .type = GG_OPTION_PATH,
   PLUGIN(lua),
   .help = "instead of `path`: a script, for the plug-in that runs scripts in Lua",
   .more = "That is `lua.so` in `plugin_dir`, and the script is its option `script`. An entry has `path` or `lua`."},
  {.key = "listeners",
   .flag = "plugin-listeners",
   .type = GG_OPTION_STRINGS,
   PLUGIN(listeners),
   .most = GG_CONFIG_LISTENERS_MAX,
   .help = "names of the listeners whose sessions it sees; of all, if none is given"},
  {.key = "sink",
   .flag = "plugin-sink",
   .type = GG_OPTION_STRING,
   PLUGIN(sink),
   .check = gg__config_sink_check,
   .help = "of a plug-in that gets the recording: required (as without it) or best-effort",
   .more =
     "`required`: one that is slow or fails is like a disk that is slow or full. `best-effort`: what it is too slow "
     "for, or refuses, it does not get, and it is counted. Refused for a plug-in that does not get the recording."},
  {.key = "config",
   .type = GG_OPTION_TREE,
   PLUGIN(config),
   .help = "options of the plug-in's own",
   .more = "They are judged by its own table when it is loaded, with file, line and column as all others are. On the "
           "command line they cannot be given."},
};

static const struct gg_option options[] = {
  {.key = "dir",
   .flag = "dir",
   .type = GG_OPTION_PATH,
   CONFIG(dir),
   .preset = "./gogetway-data",
   .restart = true,
   .help = "directory of the recordings",
   .more = "`$GOGETWAY_DIR`, if set, is the default instead."},
  {.key = "plugin_dir",
   .flag = "plugin-dir",
   .type = GG_OPTION_PATH,
   CONFIG(plugin_dir),
   .help = "directory of the plug-ins that come with the gateway",
   .more = "Where they were installed, if it is not given."},
  {.key = "takeover",
   .flag = "takeover",
   .type = GG_OPTION_BOOL,
   CONFIG(takeover),
   .preset = "off",
   .restart = true,
   .help = "take over from the gateway that runs on this store",
   .more =
     "A hot restart: the new process gets the listening sockets and the store, and serves; the old one drains its "
     "sessions for `timeouts.drain` and ends. No connection is refused or reset. Until the new one serves, "
     "nothing has changed for the old one. If no gateway runs on `dir`, this is a start like any other, and a message "
     "says so: a warning, if none has ever recorded there. If one drains there and none serves, the new process serves "
     "beside it. Both must be the same user. What was "
     "drained with `gogetway upstreams drain` stays so; the health of upstreams is found out anew, counters begin at "
     "0, and limits (`sessions_max`, `limits.source_*`, `relay.pending_total`, `log.max`) are each process's while the "
     "old one drains. docs/operations.md has more, and what to do under systemd."},
  {.key = "user",
   .flag = "user",
   .type = GG_OPTION_STRING,
   CONFIG(user),
   .least = 1,
   .most = 255,
   .restart = true,
   .help = "who to become when started as root: a name or a number",
   .more =
     "Done before the store is opened, so that all files are this user's; a directory that is missing is made for "
     "it, one that exists must be its own. Ports below 1024 are bound all the same, at start. Nothing brings the "
     "privileges back: a reload that adds such a port is refused. Configuration files must be readable by this "
     "user to be reloaded."},
  {.key = "group",
   .flag = "group",
   .type = GG_OPTION_STRING,
   CONFIG(group),
   .least = 1,
   .most = 255,
   .restart = true,
   .help = "group to belong to then, instead of the user's own"},
  {.key = "sandbox",
   .flag = "sandbox",
   .type = GG_OPTION_ENUM,
   CONFIG(sandbox),
   .names = switch_names,
   .preset = "on",
   .restart = true,
   .help = "give up every file and system call that relaying and recording do not need",
   .more =
     "By Landlock and seccomp, as far as the kernel has them; what is missing is warned of. Files within reach are "
     "those in the directories that the options name at start, and a directory is always a whole tree: `dir`, "
     "`log.dir` and the directories of `stats.file` and `stats.metrics_file` can be written with all that is below "
     "them, the directories of configuration files can be read (one in a home directory opens all of the home), "
     "and sockets can be made and removed where unix listeners are. Give each a directory of its own. What does not "
     "work inside is in docs/operations.md. An embedding program is never confined by this."},
  {.key = "workers",
   .flag = "workers",
   .type = GG_OPTION_COUNT,
   CONFIG(workers),
   .most = GG_CONFIG_WORKERS_MAX,
   .preset = "0",
   .restart = true,
   .help = "threads that relay, 0 for one per core"},
  {.key = "sessions_max",
   .flag = "sessions-max",
   .type = GG_OPTION_COUNT,
   CONFIG(sessions_max),
   .most = 1000000,
   .preset = "100000",
   .help = "most sessions at a time, all listeners together, 0 for no such limit",
   .more = "The limit on open files of the process may allow fewer: a session takes two descriptors."},

  {.key = "relay.splice",
   .flag = "relay-splice",
   .type = GG_OPTION_ENUM,
   CONFIG(relay.splice),
   .names = splice_names,
   .preset = "auto",
   .help = "let the kernel move bulk data",
   .more =
     "`auto` does not splice what comes from this host or a unix socket: pages that a local sender changes after "
     "sendfile could be recorded other than sent. Containers and other network namespaces on this host share pages "
     "with it in the same way, and cannot be told from other hosts by their addresses: set `off` where they are not "
     "trusted. `on` splices all of these. Where nothing is recorded (`record: off`) `auto` is `on`."},
  {.key = "relay.pending_max",
   .flag = "relay-pending-max",
   .type = GG_OPTION_BYTES,
   CONFIG(relay.pending_max),
   .least = 4 * KIB,
   .most = 64 * KIB,
   .preset = "64KiB",
   .help = "most unsent bytes kept per direction of a session",
   .more = "It also bounds what one read takes. A direction whose receiver is slow stops being read at this."},
  {.key = "relay.pending_total",
   .flag = "relay-pending-total",
   .type = GG_OPTION_BYTES,
   CONFIG(relay.pending_total),
   .least = 5 * MIB,
   .most = 64 * GIB,
   .preset = "512MiB",
   .restart = true,
   .help = "most unsent bytes kept of all sessions together",
   .more =
     "Beyond it the sessions that have stalled longest are closed, and counted. At least 5 MiB for each worker: it "
     "takes whole arenas of 1 MiB, one for each of five sizes of buffer."},

  {.key = "timeouts.connect",
   .flag = "timeouts-connect",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.connect_ns),
   .least = 1 * MS,
   .most = 10 * MINUTE,
   .preset = "10s",
   .help = "to reach the upstream"},
  {.key = "timeouts.idle",
   .flag = "timeouts-idle",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.idle_ns),
   .most = 365 * DAY,
   .preset = "1d",
   .help = "a session without a byte either way is closed after this, 0 for never"},
  {.key = "timeouts.drain",
   .flag = "timeouts-drain",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.drain_ns),
   .most = DAY,
   .preset = "30s",
   .help = "sessions may go on this long after SIGTERM"},
  {.key = "timeouts.proxy_header",
   .flag = "timeouts-proxy-header",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.proxy_header_ns),
   .least = 1 * MS,
   .most = 10 * MINUTE,
   .preset = "5s",
   .help = "for a whole PROXY header to arrive"},
  {.key = "timeouts.first_byte",
   .flag = "timeouts-first-byte",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.first_byte_ns),
   .most = DAY,
   .preset = "0",
   .help = "for a client's first byte to arrive, 0 for as long as it likes",
   .more = "Counted from accept, whatever the server has said meanwhile. Off, since there are protocols in which the "
           "client waits for the server, and clients that open connections before they need them."},
  {.key = "timeouts.session",
   .flag = "timeouts-session",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.session_ns),
   .most = 365 * DAY,
   .preset = "0",
   .help = "a session is closed when it is as old as this, 0 for never"},
  {.key = "timeouts.stall",
   .flag = "timeouts-stall",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.stall_ns),
   .most = 365 * DAY,
   .preset = "0",
   .help = "a session whose receiver takes nothing for this long is closed, 0 for never",
   .more =
     "Off, since a receiver may rest for good reasons (a paused player, a pager, a stopped process), and what it costs "
     "is bounded: `relay.pending_max` each way, and beyond `relay.pending_total` the longest-stalled are closed "
     "anyway. A receiver has stalled while bytes wait for it and its socket takes none of them; one that takes a "
     "little now and then has not."},
  {.key = "timeouts.tarpit",
   .flag = "timeouts-tarpit",
   .type = GG_OPTION_DURATION,
   CONFIG(timeouts.tarpit_ns),
   .most = 365 * DAY,
   .preset = "10m",
   .help = "a client left hanging by a plug-in is reset then, 0 for never",
   .more = "Such a client has a descriptor and a place in `sessions_max`, and no session any more: nothing it sends is "
           "read or recorded."},

  {.key = "limits.source_sessions",
   .flag = "limits-source-sessions",
   .type = GG_OPTION_COUNT,
   CONFIG(limits.source_sessions),
   .most = 1000000,
   .preset = "0",
   .help = "most sessions at a time of one source, 0 for no such limit",
   .more =
     "A source is an IPv4 address, or the network of an IPv6 one (`limits.source_prefix6`). Where a trusted proxy "
     "sends "
     "a PROXY header, it is the client that the header names; the proxy itself is not counted. Unix peers have no "
     "source. A client beyond the limit is reset right after accept: no session, no record, a count in the metrics, "
     "and "
     "a message at most once a second for each source. Behind a PROXY header the session is closed when the header has "
     "come, and recorded as `source-sessions`. Sessions from before a reload that brought the limit are not counted."},
  {.key = "limits.source_rate",
   .flag = "limits-source-rate",
   .type = GG_OPTION_COUNT,
   CONFIG(limits.source_rate),
   .most = GG_SOURCE_RATE_MAX,
   .preset = "0",
   .help = "most new sessions a second of one source, 0 for no such limit",
   .more =
     "As many at once are let in as the limit allows in a second. Recorded as `source-rate` behind a PROXY header."},
  {.key = "limits.source_prefix6",
   .flag = "limits-source-prefix6",
   .type = GG_OPTION_COUNT,
   CONFIG(limits.source_prefix6),
   .least = 1,
   .most = 128,
   .preset = "64",
   .help = "bits of an IPv6 address that make a source",
   .more = "64 are what one customer has at the least; who has more can come from many sources."},

  {.key = "resolve.interval",
   .flag = "resolve-interval",
   .type = GG_OPTION_DURATION,
   CONFIG(resolve.interval_ns),
   .least = 1 * SECOND,
   .most = DAY,
   .preset = "30s",
   .help = "names of upstreams are resolved again this often"},

  {.key = "log.ring",
   .flag = "log-ring",
   .type = GG_OPTION_BYTES,
   CONFIG(log.ring_bytes),
   .least = 256 * KIB,
   .most = 1 * GIB,
   .preset = "2MiB",
   .restart = true,
   .help = "first size of a worker's ring",
   .more =
     "Rounded up to a power of two. A ring grows when it must, as long as all rings together stay within `log.max`."},
  {.key = "log.max",
   .flag = "log-max",
   .type = GG_OPTION_BYTES,
   CONFIG(log.max_bytes),
   .least = 256 * KIB,
   .most = 64 * GIB,
   .preset = "256MiB",
   .restart = true,
   .help = "most memory of all rings together",
   .more = "It is what a pause of the disk may cost before `on_stall` acts: 50 ms at 800 MB/s fill 40 MB."},
  {.key = "log.dir",
   .flag = "log-dir",
   .type = GG_OPTION_PATH,
   CONFIG(log.dir),
   .preset = "/dev/shm",
   .restart = true,
   .help = "tmpfs directory of the rings",
   .more = "Rings there outlive the process, so that a killed gateway loses nothing."},
  {.key = "log.flush_interval",
   .flag = "log-flush-interval",
   .type = GG_OPTION_DURATION,
   CONFIG(log.flush_interval_ns),
   .least = 10 * MS,
   .most = MINUTE,
   .preset = "1s",
   .restart = true,
   .help = "recorded bytes are written to the segment at least this often"},

  {.key = "segment.max_bytes",
   .flag = "segment-max-bytes",
   .type = GG_OPTION_BYTES,
   CONFIG(segment.max_bytes),
   .least = 64 * KIB,
   .most = 1024 * GIB,
   .preset = "1GiB",
   .restart = true,
   .help = "a segment file is ended at this size"},
  {.key = "segment.max_age",
   .flag = "segment-max-age",
   .type = GG_OPTION_DURATION,
   CONFIG(segment.max_age_ns),
   .most = 365 * DAY,
   .preset = "1h",
   .restart = true,
   .help = "a segment file is ended at this age, 0 for by size only"},

  {.key = "sync.mode",
   .flag = "sync-mode",
   .type = GG_OPTION_ENUM,
   CONFIG(sync.mode),
   .names = sync_names,
   .preset = "interval",
   .restart = true,
   .help = "when recordings are made durable on the disk",
   .more =
     "`interval`: every `sync.interval`; a power cut may lose that much. `never`: when the kernel likes. `always`: "
     "bytes are sent only when they are durable; not beside a plug-in that masks what is recorded (redact)."},
  {.key = "sync.interval",
   .flag = "sync-interval",
   .type = GG_OPTION_DURATION,
   CONFIG(sync.interval_ns),
   .least = 10 * MS,
   .most = 60 * MINUTE,
   .preset = "1s",
   .restart = true,
   .help = "time between two syncs, for sync.mode interval"},

  {.key = "message.level",
   .flag = "message-level",
   .type = GG_OPTION_ENUM,
   CONFIG(message.level),
   .names = level_names,
   .preset = "info",
   .help = "least important messages that are shown"},
  {.key = "message.format",
   .flag = "message-format",
   .type = GG_OPTION_ENUM,
   CONFIG(message.format),
   .names = format_names,
   .preset = "auto",
   .help = "form of messages; auto is text on a terminal, JSON lines otherwise"},

  {.key = "stats.file",
   .flag = "stats",
   .type = GG_OPTION_PATH,
   CONFIG(stats.file),
   .help = "file that all counters are written to at exit, as JSON"},
  {.key = "stats.metrics_file",
   .flag = "metrics-file",
   .type = GG_OPTION_PATH,
   CONFIG(stats.metrics_file),
   .help = "file for metrics in Prometheus' text form, readable by everybody (mode 0644)",
   .more = "It is replaced as a whole, every `stats.metrics_interval` and at exit. node_exporter's textfile collector "
           "runs as another user and must be able to read it, hence the mode; it takes files of its directory that end "
           "in `.prom`. A path that cannot be written is an error at start, and a warning later. `gogetway stats "
           "--format prometheus` shows the same. From a hot restart on it holds the new process alone: what the old "
           "one counts while it drains reaches no file of metrics; `gogetway stats --pid PID` asks it."},
  {.key = "stats.metrics_interval",
   .flag = "metrics-interval",
   .type = GG_OPTION_DURATION,
   CONFIG(stats.metrics_interval_ns),
   .least = 100 * MS,
   .most = DAY,
   .preset = "15s",
   .help = "time between two writes of the metrics file"},
};

static const struct gg_option_list lists[GG__CONFIG_LISTS] = {
  [GG__CONFIG_LISTENERS] =
    {.key = "listeners",
     .item = "listener",
     .options = listener_options,
     .option_count = sizeof listener_options / sizeof listener_options[0],
     .items_offset = offsetof(struct gg_config, listeners),
     .count_offset = offsetof(struct gg_config, listener_count),
     .item_bytes = sizeof(struct gg_config_listener),
     .most = GG_CONFIG_LISTENERS_MAX,
     .check = check_listener,
     .help = "where clients come in, and where they go",
     .more =
       "A list of at most 64. On the command line each `--listen` begins a listener, and the listener options after "
       "it belong to it; such listeners replace those of the files."},
  [GG__CONFIG_PLUGINS] =
    {.key = "plugins",
     .item = "plug-in",
     .options = plugin_options,
     .option_count = sizeof plugin_options / sizeof plugin_options[0],
     .items_offset = offsetof(struct gg_config, plugins),
     .count_offset = offsetof(struct gg_config, plugin_count),
     .item_bytes = sizeof(struct gg_config_plugin),
     .most = GG_CONFIG_PLUGINS_MAX,
     .check = gg__config_plugin_check,
     .help = "what else sees the sessions, and may decide about them",
     .more = "A list of at most 16; they see a session in its order. On the command line each `--plugin` begins one, "
             "and such plug-ins replace those of the files. After a reload, sessions that are open keep the plug-ins "
             "that they began with."},
};

static const struct gg_option_section sections[] = {
  {"", "The gateway"},
  {"relay", "Moving bytes"},
  {"timeouts", "How long to wait"},
  {"limits", "What one source may have"},
  {"resolve", "Names"},
  {"log", "The log in memory"},
  {"segment", "Files of the recording"},
  {"sync", "Durability"},
  {"message", "Messages to the operator"},
  {"stats", "Counters"},
};

const struct gg_schema gg__config_schema = {
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .lists = lists,
  .list_count = sizeof lists / sizeof lists[0],
  .sections = sections,
  .section_count = sizeof sections / sizeof sections[0],
};
