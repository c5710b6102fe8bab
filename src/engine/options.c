/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the configuration's words become the options of the gateway. */
#include "engine/configured.h"

#include <assert.h>
#include <stdlib.h>

/* The configuration has enumerations of its own, since it is read before any of this exists; they agree by value. */
#define SAME(a, b) static_assert((int)(a) == (int)(b), "config and gateway agree")
SAME(GG_CONFIG_RECORD_FULL, GG_RECORD_FULL);
SAME(GG_CONFIG_RECORD_OFF, GG_RECORD_OFF);
SAME(GG_CONFIG_BLOCK, GG_POLICY_BLOCK);
SAME(GG_CONFIG_GAP, GG_POLICY_GAP);
SAME(GG_CONFIG_CLOSE, GG_POLICY_CLOSE);
SAME(GG_CONFIG_PROXY_OFF, GG_PROXY_OFF);
SAME(GG_CONFIG_PROXY_V1, GG_PROXY_V1);
SAME(GG_CONFIG_PROXY_V2, GG_PROXY_V2);
SAME(GG_CONFIG_PROXY_ANY, GG_PROXY_ANY);
SAME(GG_CONFIG_FAILURE_RESET, GG_REFUSAL_RESET);
SAME(GG_CONFIG_FAILURE_CLOSE, GG_REFUSAL_CLOSE);
SAME(GG_CONFIG_ROUND_ROBIN, GG_BALANCE_ROUND_ROBIN);
SAME(GG_CONFIG_LEAST_SESSIONS, GG_BALANCE_LEAST_SESSIONS);
SAME(GG_CONFIG_HASH, GG_BALANCE_HASH);
SAME(GG_CONFIG_SPLICE_AUTO, GG_SPLICE_AUTO);
SAME(GG_CONFIG_SPLICE_ON, GG_SPLICE_ON);
SAME(GG_CONFIG_SPLICE_OFF, GG_SPLICE_OFF);
SAME(GG_CONFIG_SYNC_INTERVAL, GG_SYNC_INTERVAL);
SAME(GG_CONFIG_SYNC_NEVER, GG_SYNC_NEVER);
SAME(GG_CONFIG_SYNC_ALWAYS, GG_SYNC_ALWAYS);
static_assert((int)GG_CONFIG_LISTENERS_MAX <= (int)GG_LISTENERS_MAX, "the gateway takes what the config permits");
static_assert((int)GG_CONFIG_TRUSTED_MAX <= (int)GG_TRUSTED_MAX, "the gateway takes what the config permits");
static_assert((int)GG_CONFIG_WORKERS_MAX <= (int)GG_WORKERS_MAX, "the gateway takes what the config permits");

static_assert((int)GG_CONFIG_UPSTREAMS_MAX <= (int)GG_UPSTREAMS_MAX, "the gateway takes what the config permits");

static void fill_listener(struct gg_listener_options *out, const struct gg_config_listener *in)
{
  *out = (struct gg_listener_options){
    .name = in->name,
    .listen = in->listen_endpoint,
    .greeting = (const uint8_t *)in->greeting.bytes,
    .greeting_length = in->greeting.length,
    .proxy_in = (enum gg_proxy_version)in->proxy_protocol_in,
    .trusted = in->trusted_networks,
    .trusted_count = in->trusted.count,
    .proxy_out = (enum gg_proxy_version)in->proxy_protocol_out,
    .record = (enum gg_record)in->record,
    .on_stall = (enum gg_policy)in->on_stall,
    .on_full = (enum gg_policy)in->on_full,
    .on_connect_failure = (enum gg_refusal)in->on_connect_failure,
    .sessions_max = in->sessions_max,
    .unix_mode = (unsigned)in->unix_mode,
    .decode_inline = in->decode == GG_CONFIG_DECODE_INLINE,
    .balance = (enum gg_balance)in->balance,
    .health =
      {
        .failures = (unsigned)in->health_failures,
        .out_min_ns = in->health_out_ns,
        .out_max_ns = in->health_out_max_ns,
        .check_interval_ns = in->check_interval_ns,
        .check_timeout_ns = in->check_timeout_ns,
        .slow_start_ns = in->slow_start_ns,
        .tries = (unsigned)in->connect_tries,
      },
  };
}

/* A name for the resolver, to be given back with the rest. */
static int add_name(struct gg_configured *configured, const struct gg_endpoint *endpoint, struct gg_name **out)
{
  size_t size = (configured->name_count + 1) * sizeof(struct gg_name *);
  struct gg_name **names = realloc(configured->names, size);
  if (!names)
    return GG_ERR_NOMEM;
  configured->names = names;
  int error = gg_resolver_add(configured->resolver, endpoint->host, endpoint->port, out);
  if (!error)
    names[configured->name_count++] = *out;
  return error;
}

/* The upstreams of a listener, from `out` on. */
static int fill_upstreams(struct gg_configured *configured, size_t index, struct gg_upstream_options *out,
                          struct gg_failure *failure)
{
  const struct gg_config_listener *in = &configured->config.listeners[index];
  configured->listeners[index].upstreams = out;
  configured->listeners[index].upstream_count = in->upstream_count;
  for (size_t i = 0; i < in->upstream_count; i++, out++) {
    const struct gg_config_upstream *upstream = &in->upstreams[i];
    *out = (struct gg_upstream_options){.name = upstream->name,
                                        .endpoint = upstream->endpoint,
                                        .weight = (unsigned)upstream->weight,
                                        .backup = upstream->backup};
    int error = out->endpoint.family == GG_FAMILY_NONE ? add_name(configured, &out->endpoint, &out->resolved) : 0;
    if (error)
      return gg_fail(failure, error, "cannot resolve %s: %s", out->endpoint.host, gg_error_text(error));
  }
  return 0;
}

static int fill_listeners(struct gg_configured *configured, struct gg_failure *failure)
{
  int error = 0;
  struct gg_upstream_options *out = configured->upstreams;
  for (size_t i = 0; i < configured->config.listener_count && !error; i++) {
    fill_listener(&configured->listeners[i], &configured->config.listeners[i]);
    error = fill_upstreams(configured, i, out, failure);
    out += configured->config.listeners[i].upstream_count;
  }
  return error;
}

int gg__configured_fill(struct gg_configured *configured, struct gg_resolver *resolver, struct gg_failure *failure)
{
  const struct gg_config *config = &configured->config;
  assert(config->listener_count > 0 && !configured->resolver);
  configured->resolver = resolver;
  configured->listeners = calloc(config->listener_count, sizeof *configured->listeners);
  size_t upstreams = 0;
  for (size_t i = 0; i < config->listener_count; i++)
    upstreams += config->listeners[i].upstream_count;
  configured->upstreams = calloc(upstreams + 1, sizeof *configured->upstreams);
  if (!configured->listeners || !configured->upstreams)
    return gg_fail(failure, GG_ERR_NOMEM, "out of memory for %zu listeners", config->listener_count);
  int error = fill_listeners(configured, failure);
  configured->options = (struct gg_plane_options){
    .size = sizeof configured->options,
    .recorder = configured->options.recorder,
    .logger = configured->options.logger,
    .metrics = configured->options.metrics,
    .workers = gg_config_workers(config),
    .sessions_max = config->sessions_max,
    .source_sessions_max = config->limits.source_sessions,
    .source_rate_max = config->limits.source_rate,
    .source_prefix6 = (unsigned)config->limits.source_prefix6,
    .splice = (enum gg_splice_mode)config->relay.splice,
    .pending_max = (size_t)config->relay.pending_max,
    .pending_total = (size_t)config->relay.pending_total,
    .connect_timeout_ns = config->timeouts.connect_ns,
    .idle_timeout_ns = config->timeouts.idle_ns,
    .proxy_header_timeout_ns = config->timeouts.proxy_header_ns,
    .tarpit_timeout_ns = config->timeouts.tarpit_ns,
    .first_byte_timeout_ns = config->timeouts.first_byte_ns,
    .session_timeout_ns = config->timeouts.session_ns,
    .stall_timeout_ns = config->timeouts.stall_ns,
    .sync_mode = (enum gg_sync_mode)config->sync.mode,
    .listeners = configured->listeners,
    .listener_count = config->listener_count,
  };
  return error;
}
