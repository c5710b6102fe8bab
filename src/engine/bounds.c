/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bounds.c - the bounds that no option changes, as docs/config.md lists them: each value is the constant by which the
 * code keeps it. A named bound that is neither here nor in tools/checkbounds' list of those that nobody meets fails the
 * build's checks.
 */
#include "engine/bounds.h"

#include "admin/control.h"
#include "base/metrics.h"
#include "base/schema.h"
#include "base/text.h"
#include "base/tree.h"
#include "engine/config.h"
#include "engine/edits.h"
#include "engine/engine.h"
#include "engine/indexing.h"
#include "engine/listen_fds.h"
#include "engine/reload.h"
#include "engine/report.h"
#include "engine/retaining.h"
#include "engine/takeover.h"
#include "gateway/checker.h"
#include "gateway/live.h"
#include "gateway/relay.h"
#include "gateway/rewrite.h"
#include "gateway/sources.h"
#include "gateway/worker.h"
#include "hook/hook.h"
#include "hook/library.h"
#include "hook/observe.h"
#include "hook/options.h"
#include "hook/sink.h"
#include "net/netstat.h"
#include "net/proxy_protocol.h"
#include "net/resolve.h"
#include "record/bounds.h"
#include "record/conversation.h"
#include "record/pcapng.h"
#include "record/section.h"
#include "store/bounds.h"

#include <gogetway/decoder.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { COUNT, BYTES, TIME };

struct bound {
  const char *what;
  enum kind kind;
  uint64_t value;
  const char *beyond; /* what happens */
  const char *shown;  /* where it is seen; "": nowhere, since nothing is lost by it */
};

static const struct bound of_configuration[] = {
  {"listeners", COUNT, GG_CONFIG_LISTENERS_MAX, "refused at start or reload", "the error"},
  {"workers", COUNT, GG_CONFIG_WORKERS_MAX, "refused at start", "the error"},
  {"upstreams of a listener", COUNT, GG_CONFIG_UPSTREAMS_MAX, "refused at start or reload", "the error"},
  {"listeners and upstreams that the embedding program has added or removed", COUNT, GG_EDITS_MAX, "refused",
   "the error"},
  {"rules for tags", COUNT, GG_TAG_RULES_MAX, "refused at start or reload", "the error"},
  {"weight of an upstream", COUNT, GG_WEIGHT_MAX, "refused at start or reload", "the error"},
  {"trusted networks of a listener", COUNT, GG_CONFIG_TRUSTED_MAX, "refused at start or reload", "the error"},
  {"sockets from a parent (`LISTEN_FDS`)", COUNT, GG_LISTEN_FDS_MAX, "refused at start", "the error"},
  {"sockets that one listener inherits", COUNT, GG_SOCKETS_MAX, "refused at start", "the error"},
  {"a configuration file", BYTES, GG_SCHEMA_DOCUMENT_BYTES_MAX, "refused", "the error"},
  {"silence of a pipe that is given as one, or nobody at its other end, at start", TIME,
   GG_CONFIG_START_SILENCE_MS *UINT64_C(1000000), "refused", "the error"},
  {"the same at a reload", TIME, GG_CONFIG_RELOAD_SILENCE_MS *UINT64_C(1000000), "refused", "the error"},
  {"values in a plug-in's `config`", COUNT, GG_TREE_NODES_MAX, "refused at start or reload", "the error"},
  {"... and their length together", BYTES, GG_TREE_BYTES_MAX, "the same", "the error"},
  {"a key there", BYTES, GG_TREE_KEY_BYTES_MAX, "the same", "the error"},
  {"maps and lists in each other", COUNT, GG_SCHEMA_DEPTH_MAX, "refused", "the error"},
  {"one value", BYTES, GG_SCHEMA_VALUE_BYTES_MAX, "refused", "the error"},
  {"errors of a configuration that are told", COUNT, GG_CONFIG_ERRORS_MAX, "their number is told", "the last line"},
  {"lines that a reload tells", COUNT, GG_REPORT_LINES_MAX, "their number is told", "`left_out` of the reply"},
  {"one such line", BYTES, GG_REPORT_TEXT_MAX - 1, "it is cut", ""},
  {"what a reload waits for names that are new", TIME, GG_RELOAD_NAMES_NS,
   "it goes on; sessions to those without an address are refused until they have one", "a warning of the reload"},
  {"smallest ring", BYTES, GG_RING_BYTES_MIN, "a `log.max` that has no room for them is refused", "the error"},
  {"largest ring", BYTES, GG_RING_BYTES_MAX, "a larger `log.ring` is refused; a ring grows no further",
   "the error; `log_grow_refusals`"},
};

static const struct bound of_clients[] = {
  {"clients that wait to be accepted, of each worker's socket (and `net.core.somaxconn`)", COUNT, GG_BACKLOG,
   "the kernel drops the last step of the handshake; the client tries again",
   "`listener_accept_queue_*`, `kernel_listen_overflows`"},
  {"clients that one turn of a listener accepts", COUNT, GG_ACCEPT_BATCH, "the rest have the next turn", ""},
  {"wait of a listener that is out of sessions, descriptors or memory", TIME, GG_RETRY_INTERVAL_NS,
   "it looks again, sooner if a session ends", "`accept_pauses`; message `accepting pauses`"},
  {"what a listener that leaves waits for handshakes, of a loopback address", TIME, GG_LEAVE_GRACE_LOCAL_NS,
   "who is still in the middle of one is reset", ""},
  {"... of any other address", TIME, GG_LEAVE_GRACE_NS,
   "who is still in the middle of one is reset, as on a path whose round trip takes longer", ""},
  {"... whose queue was full", TIME, GG_LEAVE_GRACE_FULL_NS, "the same", ""},
  {"... and clients go on to come", TIME, GG_LEAVE_MAX_NS, "it is closed", ""},
  {"a PROXY header", BYTES, GG_PROXY_HEADER_MAX, "the session is closed (`proxy-invalid`)", "`proxy_headers_invalid`"},
  {"... of version 1", BYTES, GG_PROXY_V1_MAX, "the same", "`proxy_headers_invalid`"},
  {"sources that are counted", COUNT, GG_SOURCES_MAX, "let in uncounted", "`sources_uncounted`"},
  {"`limits.source_rate`", COUNT, GG_SOURCE_RATE_MAX, "refused at start or reload", "the error"},
  {"messages a second about refused sources", COUNT, GG_SOURCE_SHARDS *GG_SOURCE_TOLD_MAX, "the source is counted only",
   "`refused_source_*`; the source's next message has its number"},
};

static const struct bound of_upstreams[] = {
  {"addresses of one name", COUNT, GG_NAME_ADDRESSES_MAX, "the rest are not used", ""},
  {"first resolution of all names at start", TIME, GG_NAME_FIRST_NS, "the gateway starts without the rest",
   "message `name does not resolve`"},
  {"wait of a name without an address", TIME, GG_NAME_RETRY_NS, "it is asked for again", "`sessions_unresolved`"},
  {"active checks at a time", COUNT, GG_CHECKS_OPEN_MAX, "the rest are late", ""},
  {"wait for a unix upstream whose queue is full", TIME, GG_RETRY_INTERVAL_NS,
   "it is tried again, until `timeouts.connect`", "`connects_timed_out`"},
  {"addresses of this host that `relay.splice: auto` knows", COUNT, GG_LOCAL_ADDRESSES_MAX,
   "peers at the rest are taken for remote", ""},
};

static const struct bound of_sessions[] = {
  {"one read", BYTES, GG_READ_BYTES, "another read follows", ""},
  {"... behind one that was full", BYTES, GG_READ_BULK_BYTES, "another read follows", ""},
  {"reads of a direction in one turn", COUNT, GG_TURN_STEPS, "other sessions have their turn first", ""},
  {"events of one wait of a worker", COUNT, GG_LOOP_EVENTS_MAX, "the rest come with the next", ""},
  {"messages of one wait that are received before the first is sent", COUNT, GG_BATCH_MESSAGES,
   "the rest are sent at once", ""},
  {"... one of them", BYTES, GG_BATCH_MESSAGE_MAX, "it is sent at once", ""},
  {"... all of them", BYTES, GG_BATCH_BYTES, "the rest are sent at once", ""},
  {"pipes of a worker", COUNT, GG_PIPES_MAX, "bulk data is received in place", "`pipes_open`"},
  {"a pipe", BYTES, GG_PIPE_BYTES, "what the kernel grants, if that is less", ""},
  {"smallest pipe that is of use", BYTES, GG_PIPE_BYTES_MIN, "bulk data is received in place", "`pipes_refused`"},
  {"wait after the kernel refused a pipe", TIME, GG_PIPE_RETRY_NS, "it is asked again", "`pipes_refused`"},
  {"one splice", BYTES, GG_SPLICE_BYTES, "another one follows", ""},
  {"sessions closed to make room in `relay.pending_total` for one receiver", COUNT, GG_EVICTIONS_MAX,
   "that receiver's session is closed (`limit`)", "`pending_exhausted`"},
};

static const struct bound of_recording[] = {
  {"closed sessions of a log whose last packet waits for room, unless policy is `block`", COUNT, GG_CLOSING_MAX,
   "the oldest is recorded without its end", "`log_sessions_lost`"},
  {"what sessions whose last packet has no room have behind a drain's end", TIME, GG_CLOSING_GRACE_NS,
   "they are recorded without their end", "`log_sessions_lost`"},
  {"room of a ring that is kept for ends of sessions and marks of gaps", BYTES, GG_LOG_CONTROL_RESERVE_BYTES,
   "data waits, or goes by `on_stall`", "`log_stalls`"},
  {"rings of one log at a time", COUNT, GG_RINGS_ALIVE_MAX, "it grows no further; then `on_stall`",
   "`log_grow_refusals`, `log_stalls`"},
  {"wait of a session that has begun until it is written", TIME, GG_LOG_HASTE_NS, "it is there for who lists sessions",
   "`log_flushes`"},
  {"low fill after which a grown ring is given back", TIME, GG_RING_SHRINK_NS, "", "`log_ring_bytes`"},
  {"bytes of a ring that are gathered for one write", BYTES, GG_SEAL_BYTES_MAX, "they are written", "`log_flushes`"},
  {"segments of a log that are begun and not written", COUNT, GG_RING_SEGMENTS_MAX, "the log waits; then `on_stall`",
   "`log_stalls`"},
  {"files that wait to be durable for the last time", COUNT, GG_FILES_CLOSING_MAX,
   "the log waits for the disk; then `on_stall`", "`log_fill_bytes`; message `recording cannot be synced`"},
  {"wait after the disk refused a write", TIME, GG_DISK_RETRY_NS, "the same bytes are tried again",
   "`log_write_errors`, `log_disk_full`"},
  {"what the disk is given at the end to take the rest", TIME, GG_RECORDER_STOP_NS,
   "the process ends with an error; the next start writes what is left in the rings", "the error"},
  {"payload of one packet", BYTES, GG_PACKET_PAYLOAD_MAX, "what one read brought is several packets", ""},
  {"facts of a session in one comment", BYTES, GG_COMMENT_MAX, "they are left out",
   "none: names and paths are bounded so that they fit"},
  {"a text in a segment's header (host, version)", BYTES, GG_SECTION_TEXT_MAX, "it is cut", ""},
  {"step of the wall clock that is not noted", TIME, GG_WALL_CLOCK_STEP_NS, "it is noted in the recording", ""},
  {"processes that write to one store", COUNT, GG_RECORDER_PROCESSES_MAX, "a start, or a takeover, is refused",
   "the error"},
};

static const struct bound of_control[] = {
  {"clients that wait at the control socket", COUNT, GG_CONTROL_BACKLOG, "they wait to connect", ""},
  {"clients of the control socket", COUNT, GG_CONTROL_CLIENTS_MAX, "refused", "the error"},
  {"silence of such a client, but for one that is taking over", TIME, GG_CONTROL_IDLE_NS, "it is closed", ""},
  {"a request", BYTES, GG_CONTROL_LINE_MAX, "the client is told, and cut off", "the error"},
  {"arguments of a request", COUNT, GG_CONTROL_ARGUMENTS_MAX, "an error is the reply", "the error"},
  {"words of a plug-in's command", COUNT, GG_CONTROL_WORDS_MAX, "an error is the reply", "the error"},
  {"an argument's value, or a word", BYTES, GG_CONTROL_VALUE_MAX - 1, "an error is the reply", "the error"},
  {"a reply", BYTES, GG_CONTROL_REPLY_MAX, "an error is the reply", "the error"},
  {"what the commands of the program wait for a reply", TIME, GG_CONTROL_CALL_SECONDS *GG_NS_PER_S,
   "they give up (exit status 3)", "the error"},
  {"what a reload has before its reply says that it goes on", TIME, GG_RELOAD_ANSWER_NS,
   "it is carried out all the same", "the error; message `reloaded`"},
  {"descriptors with a reply", COUNT, GG_CONTROL_FDS_MAX, "a takeover is refused", "the error"},
  {"processes that still end, of those taken over from", COUNT, GG_SIBLINGS_MAX, "a takeover is refused", "the error"},
  {"wait after the disk refused what a killed one of them left", TIME, GG_SIBLING_RETRY_NS,
   "it is tried again; it stays in the rings", "message `what an earlier process left is not written`"},
};

static const struct bound of_plugins[] = {
  {"plug-ins, with those that the embedding program adds", COUNT, GG_HOOKS_MAX, "refused at start or reload",
   "the error"},
  {"instances, with those that only sessions of an earlier configuration have", COUNT, GG_HOOK_INSTANCES_MAX,
   "a reload that brings another is refused until those sessions have ended", "the error"},
  {"choices of a plug-in's option", COUNT, GG_HOOK_OPTION_CHOICES_MAX, "the plug-in is refused", "the error"},
  {"call on a worker that is slow", TIME, GG_HOOK_SLOW_NS, "it is counted, and told",
   "`plugin_slow_calls`; message `plug-in is slow`"},
  {"... and told once in", TIME, GG_HOOK_SLOW_TELL_NS, "it is counted only", "`plugin_slow_calls`"},
  {"interval of a plug-in's ticks, at least", TIME, GG_HOOK_TICK_LEAST_NS, "the plug-in is refused", "the error"},
  {"directions that a plug-in observes, and has not been told the end of", COUNT, GG_OBSERVED_MAX, "refused",
   "the plug-in is told"},
  {"what waits for a plug-in that observes", BYTES, GG_OBSERVE_QUEUE_BYTES, "what is oldest is dropped",
   "`plugin_missed_bytes`; the plug-in is told"},
  {"pieces of a worker's that nobody has read for plug-ins that observe", COUNT, GG_OBSERVE_CHUNKS_MAX,
   "the next are not read", "`plugin_missed_bytes`; the plug-in is told"},
  {"... when the gateway ends, for what waits then", TIME, GG_OBSERVE_END_NS, "the rest is dropped",
   "`plugin_missed_bytes`; message `plug-in has not observed all`"},
  {"... and for a call that is under way then", TIME, GG_OBSERVE_LEAVE_NS, "the gateway ends without it",
   "message `a plug-in's observe does not return`"},
  {"what plug-ins make of one read", BYTES, GG_REWRITTEN_MAX, "the session is reset", "the plug-in is told"},
  {"reply of a plug-in's command", BYTES, GG_HOOK_REPLY_MAX, "it is cut", "`cut` of the reply"},
  {"blocks of the recording that wait for a best-effort sink", BYTES, GG_HOOK_SINK_BYTES_MAX,
   "it does not get what finds no room", "`plugin_sink_lost_bytes`; message `a sink misses blocks`; its next `lost`"},
  {"... and the largest that it is given", BYTES, GG_HOOK_SINK_PIECE_MAX, "it comes in pieces of whole blocks", ""},
  {"ends of files, and sealed files, that wait for a plug-in", COUNT, GG_HOOK_SEALED_MAX, "it is not told of the next",
   "message `a sink misses blocks`"},
  {"... and such losses told once in", TIME, GG_HOOK_SINK_TELL_NS, "they are counted only", "`plugin_sink_lost_bytes`"},
  {"what a sink's last call has to return after the end's deadline", TIME, GG_HOOK_SINK_LEAVE_NS,
   "the gateway ends without it", "message `a plug-in's sink does not return`"},
  {"plug-ins of a configuration", COUNT, GG_CONFIG_PLUGINS_MAX, "refused at start or reload", "the error"},
  {"options of a plug-in", COUNT, GG_PLUGIN_OPTIONS_MAX, "it is not loaded", "the error"},
  {"commands of a plug-in", COUNT, GG_PLUGIN_COMMANDS_MAX, "it is not loaded", "the error"},
  {"decoders of a plug-in", COUNT, GG_PLUGIN_DECODERS_MAX, "it is not loaded", "the error"},
  {"first bytes that a plug-in may wait for", BYTES, GG_FIRST_MAX, "it gets that many", ""},
  {"a reply in place of the other side's bytes", BYTES, GG_REPLY_MAX, "the session is closed without it", ""},
  {"memory of what its worker decodes of a session (`decode: inline`)", BYTES, GG_MESSAGES_MEMORY_MAX,
   "nothing more is told of it", "`message` of the plug-in"},
  {"two sides that a plug-in's CLOSE or REPLY parts, to take what they get and leave", TIME, GG_LINGER_NS,
   "the session is closed", ""},
  {"orders of plug-ins that a worker has not carried out", COUNT, GG_ORDERS_MAX, "refused", "the plug-in is told"},
  {"tags of a session", COUNT, GG_TAGS_MAX, "refused", "the plug-in is told"},
  {"a tag", BYTES, GG_TAG_MAX - 1, "refused", "the plug-in is told"},
};

static const struct bound of_metrics[] = {
  {"routes that a reload has left behind and whose counts are kept", COUNT, GG_ROUTES_RETIRED_MAX,
   "the oldest is not told any more", "`route_*`"},
  {"... with those that sessions or a reload still need", COUNT, GG_ROUTES_MAX,
   "a reload that brings more is refused until those sessions have ended", "the error"},
  {"threads that count", COUNT, GG_SHARDS_MAX, "refused at start", "the error"},
  {"what is read of /proc/net/netstat", BYTES, GG_NETSTAT_BYTES_MAX, "the rest is not looked at", "`kernel_*`"},
  {"messages a second of one kind", COUNT, GG_LOGGER_BURST, "they are counted", "`repeated` of the next one"},
  {"a message", BYTES, GG_LOGGER_LINE_MAX, "fields that find no room are left out", "its `truncated`"},
};

static const struct bound of_retention[] = {
  {"rules", COUNT, GG_RETENTION_RULES_MAX, "refused", "the error"},
  {"time between two looks at the store, the longest", TIME, GG_RETAINING_TURN_MAX_NS,
   "limits may be passed by what comes meanwhile", "`store_bytes`, `store_free_bytes`"},
  {"... and the shortest, while segments are sealed", TIME, GG_RETAINING_TURN_MIN_NS, "the same", "the same"},
  {"room that is to be made on a full disk", TIME, GG_RETAINING_ROOM_NS, "`on_full` decides", "`log_disk_full`"},
  {"wait of the writer while room is made", TIME, GG_ROOM_RETRY_NS, "the same bytes are tried again",
   "`log_write_errors`"},
  {"time between two requests to end open segments, where nothing else can go", TIME, GG_RETAINING_SEAL_NS, "", ""},
  {"reading segments for rules, in one look", TIME, GG_RETAINING_READ_NS,
   "the rest is read in later ones; what is not read goes by the store's limits only", ""},
  {"held sessions of one segment", COUNT, GG_KEEP_HELD_MAX, "the segment stays", "message `segment not removed`"},
  {"wait for somebody who lists the segments, or holds a session", TIME, GG_PLACE_STILL_NS, "retention goes on without",
   ""},
  {"wait of `prune` for another one", TIME, GG_PRUNE_BUSY_NS, "refused", "the error"},
  {"wait for retention at the end", TIME, GG_RETAINING_STOP_NS, "the gateway ends without it", ""},
};

static const struct bound of_reading[] = {
  {"words of a filter", COUNT, GG_FILTER_TERMS_MAX, "refused", "the error"},
  {"a pattern that is searched", BYTES, GG_SEARCH_PATTERN_MAX, "refused", "the error"},
  {"a match of a search, with what it looks ahead at", BYTES, GG_SEARCH_MATCH_MAX, "it is decided by what is so far",
   "a warning"},
  {"steps of one attempt of a match", COUNT, GG_PATTERN_STEPS_MAX, "a stretch is left out", "a warning; exit status 3"},
  {"attempts that are still open there, of one such length", COUNT, GG_WINDOW_CUTS_MAX, "the same", "the same"},
  {"context of a match, on each side", BYTES, GG_SEARCH_CONTEXT_MAX, "refused", "the error"},
  {"what a search keeps of matches that wait for their turn", BYTES, GG_PASS_HITS_BYTES,
   "sessions are searched once more", ""},
  {"sessions that are searched together", COUNT, GG_GREP_BATCH_SESSIONS_MAX, "the others come after them", ""},
  {"... and the memory that this is to take", BYTES, GG_GREP_BATCH_MEMORY_BYTES, "the same", ""},
  {"text of a filter", BYTES, GG_FILTER_BYTES_MAX, "refused", "the error"},
  {"comparisons of a filter", COUNT, GG_FILTER_TESTS_MAX, "refused", "the error"},
  {"parentheses and nots of a filter, or parentheses of a regular expression, within one another", COUNT,
   GG_FILTER_DEPTH_MAX, "refused", "the error"},
  {"a value in a filter", BYTES, GG_FILTER_VALUE_BYTES_MAX, "refused", "the error"},
  {"a regular expression in a filter", BYTES, GG_FILTER_REGEX_BYTES_MAX, "refused", "the error"},
  {"steps of a match of a regular expression", COUNT, GG_FILTER_REGEX_STEPS_MAX, "does not match", ""},
  {"memory of a match of a regular expression", BYTES, GG_FILTER_REGEX_HEAP_KIB_MAX * 1024, "does not match", ""},
  {"fields that decoders add to filters", COUNT, GG_FILTER_FACTS_MAX, "refused", "the error"},
  {"files of a recording", COUNT, GG_PLACE_FILES_MAX, "refused", "the error"},
  {"files that overlap in time, of an export in order of time", COUNT, GG_MERGE_OPEN_MAX, "refused", "the error"},
  {"what the client said in a session that becomes a program", BYTES, GG__STORY_CLIENT_MAX, "refused", "the error"},
  {"... and what the server said, that is looked at for values that come back", BYTES, GG__STORY_SERVER_MAX,
   "the rest is not looked at", "a comment in the program"},
  {"bodies in a session that are looked through for credentials at once", COUNT, GG__BODIES_UNDER_WAY_MAX,
   "others are masked as a whole", ""},
  {"pieces of one of them, which do not stand side by side", COUNT, GG__BODY_PIECES_MAX, "what follows is masked", ""},
  {"messages of a session that becomes a program", COUNT, GG__STORY_MESSAGES_MAX, "refused", "the error"},
  {"times that its sides took turns", COUNT, GG__STORY_PIECES_MAX, "refused", "the error"},
  {"places with credentials in it", COUNT, GG__STORY_SECRETS_MAX, "refused", "the error"},
  {"values in it that the server handed out", COUNT, GG__STORY_VALUES_MAX, "the others are said as recorded", ""},
  {"cookies that were set last, among which the client's are looked for", COUNT, GG__STORY_COOKIES_MAX,
   "others are credentials", "a comment in the program"},
  {"what is searched of replies for the places of such values", BYTES, GG__STORY_SEARCHED_MAX,
   "the others are said as recorded", "a comment in the program"},
  {"sizes of a window that becomes an asciicast", COUNT, GG__CAST_SIZES_MAX, "the others are left out", ""},
  {"sessions that are open at one moment, for a replay", COUNT, GG_SWEEP_OPEN_MAX, "refused", "the error"},
  {"headers that wait for the catalogue's thread in memory", BYTES, GG_FEED_BYTES_MAX,
   "it reads them from the segments", "`catalogue_lag_bytes`"},
  {"sessions without an end that the catalogue's thread keeps in mind", COUNT, GG_INDEXER_OPEN_MAX,
   "the longest known is told as it is, and let go: what it says from then on is told as another session", ""},
  {"what the catalogue's thread has at the gateway's end, for what is not in the catalogue yet", TIME,
   GG_INDEXING_END_NS, "the next start does the rest", "message `the catalogue is behind`"},
  {"... and for a disk that does not answer then", TIME, GG_INDEXING_LEAVE_NS,
   "the gateway ends without it; the next start repairs the catalogue",
   "message `the catalogue's disk does not answer`"},
  {"wait until a catalogue that could not be opened or written is tried again", TIME, GG_INDEXING_RETRY_NS,
   "commands read the segments meanwhile", "message `sessions are not in the catalogue`, `catalogue_errors`"},
  {"decodings of sessions that are open, which the decoding thread keeps", COUNT, GG_UNDERSTANDING_LIVE_MAX,
   "others are decoded from their first byte each time", ""},
  {"... and their memory", BYTES, GG_UNDERSTANDING_LIVE_BYTES, "the same", ""},
  {"what such a session has that is not decoded until it ends", BYTES, GG_UNDERSTANDING_AGAIN_BYTES,
   "its facts are complete when it closes", "`decode_backlog_sessions`"},
  {"an element of a protocol that is looked at as a whole", BYTES, GG_DECODING_WINDOW_MAX, "not decoded from there on",
   "`show --as messages`"},
  {"memory of what is decoded of one session", BYTES, GG_DECODING_MEMORY_MAX, "the same", "the same"},
  {"logs that `tail` follows", COUNT, GG_TAIL_LOGS_MAX, "refused", "the error"},
  {"what a `tail` that was told to end waits for a reader who takes nothing", TIME, GG_TAIL_PATIENCE_NS,
   "the last packet is cut short", "the error"},
  {"packets that wait for an earlier one, of one direction", COUNT, GG_STREAM_HELD_MAX,
   "what is missing is told as a gap", "`gaps`"},
  {"... and their bytes", BYTES, GG_STREAM_HELD_BYTES_MAX, "the same", "`gaps`"},
  {"tags that people and rules give one session, or take off it", COUNT, GG_MARK_TAGS_MAX,
   "refused; what a rule would add is left out", "the error"},
  {"... one of them", BYTES, GG_MARK_TAG_BYTES_MAX, "refused", "the error"},
  {"sessions of a store that have such tags, or are held", COUNT, GG_MARKS_MAX, "refused; rules set no more",
   "the error, message `sessions are not tagged`"},
  {"wait for another process that writes tags or holds", TIME, GG_MARKS_LOCK_NS, "refused", "the error"},
  {"journals with damaged lines that are kept when it is mended", COUNT, GG_MARKS_KEPT_MAX, "refused", "the error"},
  {"sessions whose tags by rules are written together", COUNT, GG_MARKS_STAGED_MAX, "the next are written apart", ""},
  {"a block of a file", BYTES, GG_PCAPNG_BLOCK_MAX, "taken for damage", "`gogetway verify`"},
};

static const struct {
  const char *title;
  const struct bound *bounds;
  size_t count;
} parts[] = {
#define PART(title, bounds)                                                                                            \
  {                                                                                                                    \
    title, bounds, sizeof(bounds) / sizeof(bounds)[0]                                                                  \
  }
  PART("Configuration", of_configuration),
  PART("Listeners and clients", of_clients),
  PART("Upstreams", of_upstreams),
  PART("Sessions and their bytes", of_sessions),
  PART("Recording", of_recording),
  PART("Control socket, reload and hot restart", of_control),
  PART("Plug-ins", of_plugins),
  PART("Metrics and messages", of_metrics),
  PART("Retention", of_retention),
  PART("Commands that read recordings", of_reading),
#undef PART
};

static void put_bound(FILE *out, const struct bound *bound)
{
  char value[GG_TEXT_VALUE_MAX];
  if (bound->kind == BYTES && bound->value < 1024)
    snprintf(value, sizeof value, "%" PRIu64 "B", bound->value);
  else if (bound->kind == BYTES)
    gg_text_format_bytes(bound->value, value, sizeof value);
  else if (bound->kind == TIME)
    gg_text_format_duration(bound->value, value, sizeof value);
  else
    snprintf(value, sizeof value, "%" PRIu64, bound->value);
  fprintf(out, "| %s | %s | %s | %s |\n", bound->what, value, bound->beyond, bound->shown);
}

char *gg__bounds_document(void)
{
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  if (!out)
    return NULL;
  fputs(
    "\n## Bounds that no option changes\n\n"
    "Everything is bounded. Besides the options above these are fixed. Names of metrics are as `gogetway stats` has\n"
    "them; Prometheus' have `gogetway_` in front, and counters `_total` behind. Where nothing is said to show a "
    "bound,\nnothing is lost by it.\n",
    out);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    fprintf(out, "\n### %s\n\n| what | bound | beyond it | shown by |\n|---|---|---|---|\n", parts[i].title);
    for (size_t j = 0; j < parts[i].count; j++)
      put_bound(out, &parts[i].bounds[j]);
  }
  fputs(
    "\nClients whose handshake the kernel has completed wait in its queue. What is beyond that the kernel drops and "
    "counts\n(metrics `kernel_listen_overflows` and others).\n",
    out);
  bool failed = ferror(out) != 0;
  if (fclose(out) == 0 && !failed)
    return text;
  free(text);
  return NULL;
}
