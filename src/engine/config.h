/* SPDX-License-Identifier: Apache-2.0 */
/**
 * config.h - everything the gateway can be told, as one plain struct.
 *
 *     struct gg_config config;
 *     struct gg_config_errors errors;
 *     if (gg_config_load(&config, argc, argv, GG_CONFIG_START_SILENCE_MS, &errors) != 0)
 *       ... print errors.items[0 .. errors.count - 1].text, one a line; nothing to free
 *     ...
 *     gg_config_fini(&config);
 *
 * The values come from, the later over the earlier: defaults, $GOGETWAY_DIR (for `dir`), each `-c FILE` in its order,
 * the command line. The table behind it is in config_table.c; docs/config.md is made from that table.
 *
 * Durations are nanoseconds, sizes bytes. A loaded config is valid: ranges, addresses and combinations were checked.
 * Strings and arrays belong to the struct and live until gg_config_fini.
 *
 * Thread: load, print and fini are for one thread at a time; a loaded config may be read by all.
 */
#ifndef GG_ENGINE_CONFIG_H
#define GG_ENGINE_CONFIG_H

#include "base/logger.h"
#include "base/schema.h"
#include "base/tree.h"
#include "net/addr.h"

enum {
  GG_CONFIG_LISTENERS_MAX = 64,
  GG_CONFIG_PLUGINS_MAX = 16,
  GG_CONFIG_WORKERS_MAX = 64,
  GG_CONFIG_TRUSTED_MAX = 64,
  /* Of a pipe that is given as a file: at start nothing else waits, at a reload whatever the engine's thread does. */
  GG_CONFIG_START_SILENCE_MS = 60000,
  GG_CONFIG_RELOAD_SILENCE_MS = 2000,
  GG_CONFIG_UPSTREAMS_MAX = 64
};

enum gg_config_policy { GG_CONFIG_BLOCK, GG_CONFIG_GAP, GG_CONFIG_CLOSE };
enum gg_config_decode { GG_CONFIG_DECODE_BEHIND, GG_CONFIG_DECODE_INLINE };
enum gg_config_record { GG_CONFIG_RECORD_FULL, GG_CONFIG_RECORD_OFF };
enum gg_config_proxy { GG_CONFIG_PROXY_OFF, GG_CONFIG_PROXY_V1, GG_CONFIG_PROXY_V2, GG_CONFIG_PROXY_ANY };
enum gg_config_connect_failure { GG_CONFIG_FAILURE_RESET, GG_CONFIG_FAILURE_CLOSE };
enum gg_config_balance { GG_CONFIG_ROUND_ROBIN, GG_CONFIG_LEAST_SESSIONS, GG_CONFIG_HASH };
enum gg_config_splice { GG_CONFIG_SPLICE_AUTO, GG_CONFIG_SPLICE_ON, GG_CONFIG_SPLICE_OFF };
enum gg_config_switch { GG_CONFIG_OFF, GG_CONFIG_ON };
enum gg_config_sync { GG_CONFIG_SYNC_INTERVAL, GG_CONFIG_SYNC_NEVER, GG_CONFIG_SYNC_ALWAYS };

/* What the command line asked for besides running. */
enum gg_config_action { GG_CONFIG_RUN, GG_CONFIG_CHECK, GG_CONFIG_PRINT, GG_CONFIG_HELP };

/* One of a listener's upstreams: "10.0.0.1:80 weight=3 name=a backup". */
struct gg_config_upstream {
  char *name; /* as given, else the address as written; unique within the listener */
  struct gg_endpoint endpoint;
  uint64_t weight;
  bool backup;
};

struct gg_config_listener {
  char *listen;                            /* as written */
  struct gg_strings upstream;              /* as written; "none" alone */
  char *name;                              /* never NULL: made from `listen` if none was given; unique */
  struct gg_blob greeting;                 /* sent to the client at once; only without upstream */
  enum gg_config_proxy proxy_protocol_in;  /* OFF, V1, V2 or ANY */
  struct gg_strings trusted;               /* as written; not empty if proxy_protocol_in is not OFF */
  enum gg_config_proxy proxy_protocol_out; /* OFF, V1 or V2 */
  enum gg_config_record record;
  enum gg_config_policy on_stall;
  enum gg_config_policy on_full;
  uint64_t sessions_max; /* 0: only the gateway's own limit */
  enum gg_config_connect_failure on_connect_failure;
  uint64_t unix_mode; /* permission bits of a unix listener's path */
  enum gg_config_decode decode;
  enum gg_config_balance balance;
  uint64_t health_failures; /* 0: none is ever taken out */
  uint64_t health_out_ns;
  uint64_t health_out_max_ns;
  uint64_t check_interval_ns; /* 0: no active check */
  uint64_t check_timeout_ns;
  uint64_t slow_start_ns;
  uint64_t connect_tries; /* 0: each upstream once */

  /* Made from the above. */
  struct gg_endpoint listen_endpoint;
  struct gg_config_upstream *upstreams; /* without those that were refused */
  size_t upstream_count;                /* 0: none, it only records */
  char *upstream_text;                  /* all of `upstream`, for people; never NULL */
  struct gg_network *trusted_networks;  /* trusted.count of them */
};

struct gg_config_plugin {
  char *path;                  /* as written; NULL: `lua` is given */
  char *lua;                   /* a script for the plug-in lua of plugin_dir; NULL: `path` is given */
  struct gg_strings listeners; /* names; none: of all */
  char *sink;                  /* "required" or "best-effort"; NULL: not given */
  struct gg_tree *config;      /* as written, for the plug-in's own table of options; NULL: nothing was given */

  /* Made from the above. */
  char *place;             /* where the entry stands, "f.yaml:3:11" or "--plugin", for messages; never NULL */
  char *sink_place;        /* where `sink` stands; NULL: it was not given */
  char *object;            /* its shared object's path */
  struct gg_tree *options; /* `config`, or with the script in it; NULL: there are none */
  struct gg_tree *made;    /* the latter, which is this one's own */
};

/* Sessions that match get the tag when they close. */
struct gg_config_tag {
  char *tag;
  char *filter; /* an expression; judged */
};

struct gg_config {
  struct gg_config_listener *listeners;
  size_t listener_count;            /* at least one after an action of RUN */
  struct gg_config_plugin *plugins; /* in the order in which they see a session */
  size_t plugin_count;
  struct gg_config_tag *tags;
  size_t tag_count;
  char *plugin_dir; /* where those are that come with the gateway; NULL: where they were installed */

  char *dir;
  bool takeover; /* of the sockets of the gateway that runs on this store */
  char *user;    /* NULL: stays who it is */
  char *group;   /* NULL: the user's */
  enum gg_config_switch sandbox;
  enum gg_config_switch catalogue;
  enum gg_config_switch decode;
  uint64_t workers;      /* as written; 0: one per core. gg_config_workers gives the number */
  uint64_t sessions_max; /* of all listeners together; 0: bounded by descriptors only */

  struct {
    enum gg_config_splice splice;
    uint64_t pending_max;   /* bytes per direction */
    uint64_t pending_total; /* bytes, all sessions together */
  } relay;
  struct {
    uint64_t connect_ns;
    uint64_t idle_ns; /* 0: none */
    uint64_t drain_ns;
    uint64_t proxy_header_ns;
    uint64_t first_byte_ns; /* this and the next two: 0: none */
    uint64_t session_ns;
    uint64_t stall_ns;
    uint64_t tarpit_ns;
  } timeouts;
  struct {
    uint64_t source_sessions; /* 0: no limit */
    uint64_t source_rate;     /* a second; 0: no limit */
    uint64_t source_prefix6;  /* bits */
  } limits;
  struct {
    uint64_t interval_ns; /* names of upstreams are resolved again this often */
  } resolve;
  struct {
    uint64_t ring_bytes; /* a ring's first size */
    uint64_t max_bytes;  /* all rings together */
    char *dir;
    uint64_t flush_interval_ns;
  } log;
  struct {
    uint64_t max_bytes;
    uint64_t max_age_ns; /* 0: by size only */
  } segment;
  struct {
    uint64_t max_bytes; /* this and the next two: 0: no limit */
    uint64_t max_age_ns;
    uint64_t min_free;
    struct gg_strings rules; /* as written: store/retention_plan.h */
  } retention;
  struct {
    enum gg_config_sync mode;
    uint64_t interval_ns;
  } sync;
  struct {
    enum gg_level level;
    enum gg_logger_format format;
  } message;
  struct {
    char *file;         /* NULL: not written */
    char *metrics_file; /* NULL: not written */
    uint64_t metrics_interval_ns;
  } stats;

  struct gg_strings files; /* of -c, in their order */
  enum gg_config_action action;
};

/* Reads the arguments of `run` (argv[0] is the first of them) and the files they name. All errors are collected. On
 * success *out must be given to gg_config_fini; on failure it is zeroed and owns nothing. GG_ERR_FORMAT: something was
 * wrong, `errors` says all of it; GG_ERR_NOT_FOUND, DENIED, IO: a file could not be read, TIMEOUT: it is a pipe that
 * was silent for `silence_ms`, both also told in `errors`; GG_ERR_NOMEM. `errors` need not be initialised. Combinations
 * are not judged for an action of HELP. */
int gg_config_load(struct gg_config *out, int argc, char *const *argv, int silence_ms, struct gg_config_errors *errors);
void gg_config_fini(struct gg_config *config); /* frees what it owns and zeroes it; NULL is fine */

/* The number of workers: as configured, or one for each core this process may use, at most GG_CONFIG_WORKERS_MAX. */
unsigned gg_config_workers(const struct gg_config *config);

/* Whether the sessions of a listener are the plug-in's to see. */
static inline const char *gg_config_plugin_text(const struct gg_config_plugin *plugin)
{
  return plugin->path ? plugin->path : plugin->lua;
}
bool gg_config_plugin_sees(const struct gg_config_plugin *plugin, const struct gg_config_listener *listener);
/* Whether two entries ask for the same, by their paths, listeners and config as they are written: 1, 0,
 * GG_ERR_NOMEM. */
int gg_config_plugin_equal(const struct gg_config_plugin *a, const struct gg_config_plugin *b);

/* Texts that the caller frees; NULL without memory. */
char *gg_config_print(const struct gg_config *config); /* YAML; loading it gives the same config */
char *gg_config_help(void);                            /* the flags of `run` */
char *gg_config_document(void);                        /* docs/config.md */

#endif
