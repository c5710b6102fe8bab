/* SPDX-License-Identifier: Apache-2.0 */
/**
 * group.h - the upstreams of a listener, and the choice among them.
 *
 *     group ──► member ──► health        group: a listener's list as it was configured; never changed
 *       │         ▲  ▲        ▲          member: an upstream with its address; what a session holds
 *     group ──────┘  │        │          health: what is known of it (health.h)
 *     (reloaded)   session  another member of the same name, with another address
 *
 * A reload makes a new group from the new options and from the old group: a member of the same name and address is
 * shared by both; one of the same name at another address has the health of the old one.
 *
 * Who holds what: the gateway and each worker's listener hold a group; a group and each session hold members; members
 * hold a health. Each is freed by who lets go of it last. Sessions' holds are also the number of open sessions.
 *
 * The names of a group (struct gg_name) are the options' and end with them: gg__group_retire.
 *
 * Thread: created, listed and retired on the engine's thread; chosen from on any worker.
 */
#ifndef GG_GATEWAY_GROUP_H
#define GG_GATEWAY_GROUP_H

#include "gateway/health.h"
#include "net/balance.h"

enum { GG_UPSTREAM_TEXT_MAX = 400 };

struct gg_member {
  _Atomic uint64_t holds; /* sessions, and GG_MEMBER_LISTED for each group */
  struct gg_health *health;
  const struct gg_route *route; /* where its sessions are counted */
  struct gg_endpoint endpoint;
  char text[GG_UPSTREAM_TEXT_MAX]; /* the endpoint's */
};
#define GG_MEMBER_LISTED ((uint64_t)1 << 32)

struct gg_group_slot {
  struct gg_member *member;
  struct gg_name *resolved; /* NULL: the endpoint has an address, or the group is retired */
  struct gg_addr last;      /* of a retired group: the address that the name had */
  unsigned weight;
  bool backup;
  uint64_t key;
};

struct gg_group {
  _Atomic unsigned refs;
  _Atomic bool retired;
  char *listener;
  enum gg_balance balance;
  struct gg_health_options health;
  unsigned count;
  uint64_t backups; /* mask */
  struct gg_group_slot slots[];
};

/* With one reference; `out` is NULL for a listener without upstreams. `previous` (NULL: none) is the same listener's
 * group so far. Of the options nothing is borrowed but the names. */
int gg__group_create(struct gg_group **out, struct gg_plane *plane, const struct gg_listener_options *options,
                     struct gg_group *previous, struct gg_failure *failure);
struct gg_group *gg__group_ref(struct gg_group *group); /* NULL is fine here and below */
void gg__group_destroy(struct gg_group *group);         /* drops a reference */
/* Its options end: what its names resolve to now is kept instead of the names, and gauges do not tell of its upstreams
 * any more. The options must stay until every worker has gone through its loop once more. */
void gg__group_retire(struct gg_group *group);

/* Where a member is now; of a unix one only the family. False: its name has no address. */
bool gg__group_address(const struct gg_group *group, unsigned index, struct gg_addr *out);

/* Healths that a session has tried in vain. */
struct gg_attempts {
  unsigned count;
  unsigned room;
  struct gg_attempt {
    struct gg_health *health; /* held */
    uint8_t reason;           /* enum gg_close */
  } tried[];
};

struct gg_choice {
  struct gg_member *member; /* held for the session: gg__member_release */
  struct gg_addr address;   /* family UNIX: the path is the member's */
  bool resolved;            /* false: its name has no address */
  bool trial;               /* it was out: this session tries whether it is back */
};

/* Chooses a member that is not among `tried` (NULL: none was). `client`: NULL or without an address: by turns where the
 * balance is hash. False: there is none left; all others are drained or tried. */
bool gg__group_choose(struct gg_group *group, struct gg_balance_turns *turns, const struct gg_addr *client,
                      const struct gg_attempts *tried, uint64_t now_ns, struct gg_choice *out);

/* The member of that name, whatever its state, held. NULL: there is none. */
struct gg_member *gg__group_named(struct gg_group *group, const char *name, struct gg_addr *address, bool *resolved);
/* One that is in no group, for a session that is sent to `endpoint`, an address and no name; held. NULL without
 * memory. */
struct gg_member *gg__member_elsewhere(struct gg_plane *plane, const char *listener, const struct gg_route *route,
                                       const struct gg_endpoint *endpoint);

/* A session has ended, or goes elsewhere. */
void gg__member_release(struct gg_member *member);
uint64_t gg__member_sessions(const struct gg_member *member);

/* The attempts of a session, made with its first failure. NULL without memory. */
struct gg_attempts *gg__attempts_create(const struct gg_group *group);
/* False: these were all that there may be. */
bool gg__attempts_add(struct gg_attempts *attempts, struct gg_health *health, uint8_t reason);
void gg__attempts_destroy(struct gg_attempts *attempts); /* NULL is fine */

/* The gateway's list from now on: its upstreams are judged by its options. */
void gg__group_govern(struct gg_group *group, uint64_t now_ns);
/* Sets the gauges of its upstreams' weights. */
void gg__group_tell_weights(const struct gg_group *group, uint64_t now_ns);
void gg__group_status(const struct gg_group *group, unsigned index, uint64_t now_ns, struct gg_upstream_status *out);

#endif
