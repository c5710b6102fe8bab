/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/group.h"

#include "base/clock.h"
#include "base/logger.h"
#include "gateway/worker.h"
#include "net/resolve.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_UNIT = GG_BALANCE_WEIGHT_MAX / GG_WEIGHT_MAX }; /* a weight's parts, for slow start */

static_assert((int)GG_UPSTREAMS_MAX <= (int)GG_BALANCE_MEMBERS_MAX, "a mask has a bit for each");
static_assert(WEIGHT_UNIT * (int)GG_WEIGHT_MAX <= (int)GG_BALANCE_WEIGHT_MAX, "the largest weight can be had");

/* ── Members ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static void member_drop(struct gg_member *member, uint64_t holds)
{
  if (atomic_fetch_sub_explicit(&member->holds, holds, memory_order_acq_rel) != holds)
    return;
  gg__health_unref(member->health);
  free(member);
}

void gg__member_release(struct gg_member *member)
{
  member_drop(member, 1);
}

uint64_t gg__member_sessions(const struct gg_member *member)
{
  return atomic_load_explicit(&member->holds, memory_order_relaxed) & (GG_MEMBER_LISTED - 1);
}

static struct gg_member *member_of(const struct gg_group *group, const char *name)
{
  for (unsigned i = 0; group && i < group->count; i++)
    if (strcmp(group->slots[i].member->health->name, name) == 0)
      return group->slots[i].member;
  return NULL;
}

struct gg_member *gg__group_named(struct gg_group *group, const char *name, struct gg_addr *address, bool *resolved)
{
  for (unsigned i = 0; i < group->count; i++) {
    struct gg_member *member = group->slots[i].member;
    if (strcmp(member->health->name, name) != 0)
      continue;
    *resolved = gg__group_address(group, i, address);
    atomic_fetch_add_explicit(&member->holds, 1, memory_order_relaxed);
    return member;
  }
  return NULL;
}

struct gg_member *gg__member_elsewhere(struct gg_plane *plane, const char *listener, const struct gg_route *route,
                                       const struct gg_endpoint *endpoint)
{
  struct gg_member *member = calloc(1, sizeof *member);
  if (!member)
    return NULL;
  gg_endpoint_format(endpoint, member->text, sizeof member->text);
  member->health = gg__health_create(&plane->health, route, listener, member->text);
  if (!member->health) {
    free(member);
    return NULL;
  }
  atomic_store(&member->holds, 1);
  member->route = route;
  member->endpoint = *endpoint;
  return member;
}

/* Listed for the group that it is made for. */
static struct gg_member *member_get(struct gg_plane *plane, const struct gg_listener_options *listener,
                                    const struct gg_upstream_options *options, const struct gg_route *route,
                                    struct gg_group *previous)
{
  char text[GG_UPSTREAM_TEXT_MAX];
  gg_endpoint_format(&options->endpoint, text, sizeof text);
  struct gg_member *old = member_of(previous, options->name);
  if (old && old->route == route && strcmp(old->text, text) == 0) {
    atomic_fetch_add_explicit(&old->holds, GG_MEMBER_LISTED, memory_order_relaxed);
    gg__health_list(old->health);
    return old;
  }
  struct gg_member *member = calloc(1, sizeof *member);
  if (!member)
    return NULL;
  if (old && old->route == route) {
    gg__health_ref(old->health);
    member->health = old->health;
  } else {
    member->health = gg__health_create(&plane->health, route, listener->name, options->name);
    if (member->health && old) /* the listener has another name: its upstreams are the same */
      gg__health_inherit(member->health, old->health);
  }
  if (!member->health) {
    free(member);
    return NULL;
  }
  atomic_store(&member->holds, GG_MEMBER_LISTED);
  member->route = route;
  member->endpoint = options->endpoint;
  memcpy(member->text, text, sizeof text);
  gg__health_list(member->health);
  return member;
}

/* ── Groups ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static int fill(struct gg_group *group, struct gg_plane *plane, const struct gg_listener_options *options,
                struct gg_group *previous, struct gg_failure *failure)
{
  for (size_t i = 0; i < options->upstream_count; i++) {
    const struct gg_upstream_options *upstream = &options->upstreams[i];
    if (upstream->weight < 1 || upstream->weight > GG_WEIGHT_MAX || member_of(group, upstream->name))
      return gg_fail(failure, GG_ERR_INVALID, "upstream %s of %s is there twice, or its weight is not 1 to %d",
                     upstream->name, options->name, GG_WEIGHT_MAX);
    const struct gg_route *route = gg__route_get(plane, options->name, upstream->name, true, failure);
    if (!route)
      return GG_ERR_LIMIT;
    struct gg_member *member = member_get(plane, options, upstream, route, previous);
    if (!member)
      return gg_fail(failure, GG_ERR_NOMEM, "no memory for the upstreams of %s", options->name);
    group->slots[group->count++] = (struct gg_group_slot){
      .member = member,
      .resolved = upstream->resolved,
      .weight = upstream->weight,
      .backup = upstream->backup,
      .key = gg_balance_key(upstream->name),
    };
    group->backups |= (uint64_t)upstream->backup << i;
  }
  return GG_OK;
}

int gg__group_create(struct gg_group **out, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_group *previous, struct gg_failure *failure)
{
  *out = NULL;
  if (options->upstream_count == 0)
    return GG_OK;
  if (options->upstream_count > GG_UPSTREAMS_MAX)
    return gg_fail(failure, GG_ERR_LIMIT, "%s has more than %d upstreams", options->name, GG_UPSTREAMS_MAX);
  struct gg_group *group = calloc(1, sizeof *group + options->upstream_count * sizeof group->slots[0]);
  if (!group)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory for the upstreams of %s", options->name);
  atomic_store(&group->refs, 1);
  group->listener = strdup(options->name);
  group->balance = options->balance;
  group->health = options->health;
  int error = group->listener ? fill(group, plane, options, previous, failure)
                              : gg_fail(failure, GG_ERR_NOMEM, "no memory for the upstreams of %s", options->name);
  if (error) {
    gg__group_destroy(group);
    return error;
  }
  *out = group;
  return GG_OK;
}

struct gg_group *gg__group_ref(struct gg_group *group)
{
  if (group)
    atomic_fetch_add_explicit(&group->refs, 1, memory_order_relaxed);
  return group;
}

void gg__group_destroy(struct gg_group *group)
{
  if (!group || atomic_fetch_sub_explicit(&group->refs, 1, memory_order_acq_rel) != 1)
    return;
  for (unsigned i = 0; i < group->count; i++) {
    if (!atomic_load(&group->retired))
      gg__health_unlist(group->slots[i].member->health);
    member_drop(group->slots[i].member, GG_MEMBER_LISTED);
  }
  free(group->listener);
  free(group);
}

void gg__group_retire(struct gg_group *group)
{
  if (!group || atomic_load(&group->retired))
    return;
  for (unsigned i = 0; i < group->count; i++) {
    struct gg_group_slot *slot = &group->slots[i];
    gg__health_unlist(slot->member->health);
    if (slot->resolved && !gg_name_current(slot->resolved, &slot->last))
      slot->last = (struct gg_addr){.family = GG_FAMILY_NONE};
  }
  atomic_store_explicit(&group->retired, true, memory_order_release);
}

/* ── Choosing ────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What may be chosen: each a mask. */
struct candidates {
  uint64_t available;
  uint64_t due;     /* of those: they were out, and their time is over */
  uint64_t waiting; /* out: only for want of others */
};

static bool was_tried(const struct gg_attempts *tried, const struct gg_health *health)
{
  for (unsigned i = 0; tried && i < tried->count; i++)
    if (tried->tried[i].health == health)
      return true;
  return false;
}

static struct candidates find_candidates(const struct gg_group *group, const struct gg_attempts *tried, uint64_t now_ns)
{
  struct candidates found = {0};
  for (unsigned i = 0; i < group->count; i++) {
    const struct gg_health *health = group->slots[i].member->health;
    uint64_t bit = (uint64_t)1 << i;
    if (atomic_load_explicit(&health->drained, memory_order_relaxed) || was_tried(tried, health))
      continue;
    uint64_t until_ns = atomic_load_explicit(&health->out_until_ns, memory_order_relaxed);
    if (until_ns > now_ns) {
      found.waiting |= bit;
      continue;
    }
    found.available |= bit;
    if (until_ns != 0)
      found.due |= bit;
  }
  return found;
}

/* The weight in parts: a small one at first, if it has just come back. */
static uint32_t weight_now(const struct gg_group *group, const struct gg_group_slot *slot, uint64_t now_ns)
{
  uint64_t slow_ns = group->health.slow_start_ns;
  uint64_t full = (uint64_t)slot->weight * WEIGHT_UNIT;
  uint64_t back_ns = slow_ns ? atomic_load_explicit(&slot->member->health->back_ns, memory_order_relaxed) : 0;
  if (back_ns == 0 || now_ns >= back_ns + slow_ns)
    return (uint32_t)full;
  uint64_t since_ns = now_ns > back_ns ? now_ns - back_ns : 0;
  /* In thousandths of the time: nanoseconds of a day times the weight would not fit. */
  uint64_t weight = full * (since_ns / (slow_ns / 1000 + 1)) / 1000;
  return (uint32_t)(weight > 0 ? weight : 1);
}

static unsigned choose_from(const struct gg_group *group, struct gg_balance_turns *turns, const struct gg_addr *client,
                            uint64_t allowed, uint64_t now_ns)
{
  struct gg_balance_candidate all[GG_UPSTREAMS_MAX];
  if ((allowed & (allowed - 1)) == 0)
    return (unsigned)__builtin_ctzll(allowed);
  for (unsigned i = 0; i < group->count; i++)
    all[i] = (struct gg_balance_candidate){weight_now(group, &group->slots[i], now_ns),
                                           gg__member_sessions(group->slots[i].member), group->slots[i].key};
  bool addressed = client && (client->family == GG_FAMILY_IPV4 || client->family == GG_FAMILY_IPV6);
  if (group->balance == GG_BALANCE_HASH && addressed)
    return gg_balance_hash(all, allowed, gg_balance_client(client));
  if (group->balance == GG_BALANCE_LEAST_SESSIONS)
    return gg_balance_least_loaded(turns, all, allowed);
  return gg_balance_round_robin(turns, all, allowed);
}

/* Of those that are out, the one that is back soonest. */
static unsigned soonest(const struct gg_group *group, uint64_t waiting)
{
  unsigned best = (unsigned)__builtin_ctzll(waiting);
  for (unsigned i = best + 1; i < group->count; i++)
    if (waiting >> i & 1 && atomic_load(&group->slots[i].member->health->out_until_ns) <
                              atomic_load(&group->slots[best].member->health->out_until_ns))
      best = i;
  return best;
}

bool gg__group_address(const struct gg_group *group, unsigned index, struct gg_addr *out)
{
  const struct gg_group_slot *slot = &group->slots[index];
  *out = slot->member->endpoint.addr;
  out->family = (uint8_t)slot->member->endpoint.family;
  if (!slot->resolved)
    return true;
  if (!atomic_load_explicit(&group->retired, memory_order_acquire))
    return gg_name_current(slot->resolved, out);
  *out = slot->last;
  return slot->last.family != GG_FAMILY_NONE;
}

bool gg__group_choose(struct gg_group *group, struct gg_balance_turns *turns, const struct gg_addr *client,
                      const struct gg_attempts *tried, uint64_t now_ns, struct gg_choice *out)
{
  *out = (struct gg_choice){0};
  struct candidates found = find_candidates(group, tried, now_ns);
  unsigned chosen = GG_BALANCE_NONE;
  while (found.available && chosen == GG_BALANCE_NONE) {
    uint64_t first = found.available & ~group->backups;
    chosen = choose_from(group, turns, client, first ? first : found.available, now_ns);
    uint64_t bit = (uint64_t)1 << chosen;
    if (!(found.due & bit))
      break;
    out->trial = gg__health_claim(group->slots[chosen].member->health, &group->health, now_ns);
    if (!out->trial) { /* another session tries it: for us it is still out */
      found.available &= ~bit;
      found.waiting |= bit;
      chosen = GG_BALANCE_NONE;
    }
  }
  if (chosen == GG_BALANCE_NONE && found.waiting == 0)
    return false;
  if (chosen == GG_BALANCE_NONE)
    chosen = soonest(group, found.waiting);
  const struct gg_group_slot *slot = &group->slots[chosen];
  atomic_fetch_add_explicit(&slot->member->holds, 1, memory_order_relaxed);
  out->member = slot->member;
  out->resolved = gg__group_address(group, chosen, &out->address);
  return true;
}

/* ── Attempts ────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct gg_attempts *gg__attempts_create(const struct gg_group *group)
{
  unsigned room = group->health.tries > 0 && group->health.tries < group->count ? group->health.tries : group->count;
  struct gg_attempts *attempts = malloc(sizeof *attempts + room * sizeof attempts->tried[0]);
  if (!attempts)
    return NULL;
  attempts->count = 0;
  attempts->room = room;
  return attempts;
}

bool gg__attempts_add(struct gg_attempts *attempts, struct gg_health *health, uint8_t reason)
{
  assert(attempts->count < attempts->room);
  gg__health_ref(health);
  attempts->tried[attempts->count++] = (struct gg_attempt){health, reason};
  return attempts->count < attempts->room;
}

void gg__attempts_destroy(struct gg_attempts *attempts)
{
  for (unsigned i = 0; attempts && i < attempts->count; i++)
    gg__health_unref(attempts->tried[i].health);
  free(attempts);
}

/* ── Governing and telling ───────────────────────────────────────────────────────────────────────────────────────── */

void gg__group_govern(struct gg_group *group, uint64_t now_ns)
{
  for (unsigned i = 0; group && i < group->count; i++)
    gg__health_govern(group->slots[i].member->health, &group->health, now_ns);
}

/* Which part of its weight it has now, were it neither out nor drained; never 0. */
static unsigned weight_ppm(const struct gg_group *group, const struct gg_group_slot *slot, uint64_t now_ns)
{
  uint64_t full = (uint64_t)slot->weight * WEIGHT_UNIT;
  uint64_t ppm = weight_now(group, slot, now_ns) * (uint64_t)1000000 / full;
  return (unsigned)(ppm > 0 ? ppm : 1);
}

void gg__group_tell_weights(const struct gg_group *group, uint64_t now_ns)
{
  for (unsigned i = 0; group && i < group->count; i++) {
    const struct gg_group_slot *slot = &group->slots[i];
    gg__health_tell_weight(slot->member->health, slot->weight, weight_ppm(group, slot, now_ns));
  }
}

void gg__group_status(const struct gg_group *group, unsigned index, uint64_t now_ns, struct gg_upstream_status *out)
{
  const struct gg_group_slot *slot = &group->slots[index];
  const struct gg_health *health = slot->member->health;
  uint64_t out_until_ns = atomic_load(&health->out_until_ns), back_ns = atomic_load(&health->back_ns);
  *out = (struct gg_upstream_status){
    .state = GG_UPSTREAM_UP,
    .backup = slot->backup,
    .weight = slot->weight,
    .weight_ppm = weight_ppm(group, slot, now_ns),
    .sessions = gg__member_sessions(slot->member),
    .failures = atomic_load(&health->failures),
  };
  snprintf(out->listener, sizeof out->listener, "%s", group->listener);
  snprintf(out->name, sizeof out->name, "%s", health->name);
  memcpy(out->address, slot->member->text, sizeof out->address);
  if (atomic_load(&health->drained))
    out->state = GG_UPSTREAM_DRAINED;
  else if (out_until_ns != 0)
    out->state = GG_UPSTREAM_OUT;
  else if (back_ns != 0 && now_ns < back_ns + group->health.slow_start_ns)
    out->state = GG_UPSTREAM_SLOW_START;
  if (out->state == GG_UPSTREAM_OUT)
    out->back_mono_ns = out_until_ns;
  if (out->state == GG_UPSTREAM_OUT || out->state == GG_UPSTREAM_DRAINED)
    out->weight_ppm = 0;
}
