/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every option of the gateway, once. Reading YAML and flags, defaults, --print-config, --help and docs/config.md all
 * come from here: to add an option, add a field to struct gg_config and a row here, then write the page anew by
 * `build/tools/document > docs/config.md`.
 */
#include "engine/config_table.h"

#include "engine/config.h"
#include "engine/config_listener.h"
#include "engine/config_plugin.h"
#include "gateway/sources.h"
#include "hook/hook.h"
#include "store/bounds.h"
#include "store/tag_rules.h"
#include <string.h>

/* The names of each enum, in its order. */
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
_Static_assert(sizeof(enum gg_config_splice) == sizeof(int) && sizeof(enum gg_config_sync) == sizeof(int) &&
                 sizeof(enum gg_level) == sizeof(int) && sizeof(enum gg_logger_format) == sizeof(int),
               "enums are as large as int");

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define DAY (1440 * MINUTE)

_Static_assert((int)GG_CONFIG_PLUGINS_MAX == (int)GG_HOOKS_MAX, "a chain has room for every plug-in");

#define TAG(field) .offset = offsetof(struct gg_config_tag, field)
#define PLUGIN(field) .offset = offsetof(struct gg_config_plugin, field)
#define CONFIG(field) .offset = offsetof(struct gg_config, field)

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

static const struct gg_option tag_options[] = {
  {.key = "tag",
   .type = GG_OPTION_STRING,
   TAG(tag),
   .required = true,
   .check = gg__tag_check,
   .help = "the tag that they get"},
  {.key = "filter",
   .type = GG_OPTION_STRING,
   TAG(filter),
   .required = true,
   .check = gg__tag_rule_check,
   .help = "which sessions: an expression, as of `gogetway sessions --filter`",
   .more = "Spans of time in it (`since=1h`) count from when the file was read."},
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
  {.key = "catalogue",
   .flag = "catalogue",
   .type = GG_OPTION_ENUM,
   CONFIG(catalogue),
   .names = switch_names,
   .preset = "on",
   .restart = true,
   .help = "keep a catalogue of the sessions, to find them fast",
   .more =
     "So that commands find them without reading the recording. A database in `dir`, written by a thread of its own "
     "behind the recording: no session waits for it. Without it commands read the headers of all segments, and "
     "`gogetway reindex` makes one at any time. docs/store.md tells more."},
  {.key = "decode",
   .flag = "decode",
   .type = GG_OPTION_ENUM,
   CONFIG(decode),
   .names = switch_names,
   .preset = "on",
   .restart = true,
   .help = "decode what was recorded, so that sessions are found by what was said in them",
   .more =
     "By a thread of its own of the lowest priority, which reads the recording behind the catalogue: no session waits "
     "for it. What it finds (protocol, host, path, user, status and more: 'gogetway help filters') is in the "
     "catalogue; of sessions that stay open every 5 seconds, and completely when they close. Without it sessions can "
     "be shown as messages all the same. Has no effect with `catalogue: off`."},
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

  {.key = "retention.max_bytes",
   .flag = "retention-max-bytes",
   .type = GG_OPTION_BYTES,
   CONFIG(retention.max_bytes),
   .preset = "0",
   .most = UINT64_C(1) << 60,
   .help = "most bytes of all segments, 0 for no limit",
   .more =
     "Beyond it the oldest segments are removed, whole and as soon as they are sealed; so `segment.max_bytes` "
     "should be a tenth of it or less. Held sessions (`gogetway hold`) stay: they are copied into a file of their "
     "own before. docs/store.md tells how, and what rules are. Without any of these limits nothing is ever "
     "removed."},
  {.key = "retention.max_age",
   .flag = "retention-max-age",
   .type = GG_OPTION_DURATION,
   CONFIG(retention.max_age_ns),
   .most = 36500 * DAY,
   .preset = "0",
   .help = "sessions older than this may go, 0 for no limit",
   .more = "Counted from the last packet that a session has in a segment. A segment goes when every session in it may, "
           "and when it is sealed, which takes `segment.max_age` at the most while something is recorded."},
  {.key = "retention.min_free",
   .flag = "retention-min-free",
   .type = GG_OPTION_BYTES,
   CONFIG(retention.min_free),
   .preset = "0",
   .most = UINT64_C(1) << 60,
   .help = "room that the store's file system is to have, 0 for no limit",
   .more = "Below it the oldest segments are removed, so that `on_full` is met only when nothing is left that may go."},
  {.key = "retention.rules",
   .flag = "retention-rule",
   .type = GG_OPTION_STRINGS,
   CONFIG(retention.rules),
   .most = GG_RETENTION_RULES_MAX,
   .help = "limits for sessions that a filter matches",
   .more =
     "Each is filter words and `max_age=TIME` (instead of retention.max_age; 0 for never), `max_bytes=SIZE` (of the "
     "packets of all of them together, the newest first; 0 for no limit), or both: `listener=ssh max_bytes=20GiB`, "
     "`tag=noise max_age=1d`. Of several the first that matches a session counts. `retention.max_bytes` and "
     "`retention.min_free` do not ask for them."},

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
     .options = gg__config_listener_options,
     .option_count = GG__CONFIG_LISTENER_OPTIONS,
     .items_offset = offsetof(struct gg_config, listeners),
     .count_offset = offsetof(struct gg_config, listener_count),
     .item_bytes = sizeof(struct gg_config_listener),
     .most = GG_CONFIG_LISTENERS_MAX,
     .check = gg__config_listener_check,
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
  [GG__CONFIG_TAGS] =
    {.key = "tags",
     .item = "rule for tags",
     .options = tag_options,
     .option_count = sizeof tag_options / sizeof tag_options[0],
     .items_offset = offsetof(struct gg_config, tags),
     .count_offset = offsetof(struct gg_config, tag_count),
     .item_bytes = sizeof(struct gg_config_tag),
     .most = GG_TAG_RULES_MAX,
     .help = "tags that sessions get when they close",
     .more =
       "A list of at most 64; in files only. Each rule is asked of each session that closes, by the thread of the "
       "catalogue: no session waits for it, and without a catalogue there are no such tags. A tag that somebody "
       "has taken off a session is not set again."},
};

static const struct gg_option_section sections[] = {
  {"", "The gateway"},
  {"relay", "Moving bytes"},
  {"timeouts", "How long to wait"},
  {"limits", "What one source may have"},
  {"resolve", "Names"},
  {"log", "The log in memory"},
  {"segment", "Files of the recording"},
  {"retention", "What goes when"},
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
