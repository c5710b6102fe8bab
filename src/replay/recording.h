/* SPDX-License-Identifier: Apache-2.0 */
/**
 * recording.h - the replay's own recording: a store like the gateway's, in which each played connection is a session
 * whose facts name the original: {"id":..., "listener":"replay", ..., "original":ID, "copy":N, "loop":N}.
 *
 * A byte is in the log before it goes on, as in the gateway. The client is this host's end of the connection, the
 * server the target. When the disk is slower than the replay, the replay waits (GG_RECORDING_WAIT_NS at the most, which
 * its lag then shows): it is a tool with one thread, and what it does not record it would have sent in vain.
 *
 * Thread: the replay's; the recorder has threads of its own.
 */
#ifndef GG_REPLAY_RECORDING_H
#define GG_REPLAY_RECORDING_H

#include "net/addr.h"
#include "record/conversation.h"
#include "record/session_id.h"

#include <gogetway/error.h>
#include <stdatomic.h>
#include <stdbool.h>

#define GG_RECORDING_WAIT_NS UINT64_C(30000000000)
#define GG_RECORDING_STOPPED_WAIT_NS UINT64_C(1000000000) /* once the replay is to stop */

struct gg_replay_recording;

/* Whether a recording into `dir`, which need not exist, would become part of what is read at `path`: it is the same
 * store, or lies among its segments. GG_ERR_INVALID if it would. */
int gg__recording_check(const char *dir, const char *path, struct gg_failure *failure);

/* `stopped`: set by any thread or signal handler when the replay is to end; NULL: never. It outlives the recording. */
int gg__recording_create(struct gg_replay_recording **out, const char *dir, const atomic_bool *stopped,
                         struct gg_failure *failure);
/* Writes and syncs everything, and closes the store. GG_ERR_NO_SPACE, GG_ERR_TIMEOUT: what the disk did not take is in
 * the store's rings, and the next start of a gateway on it writes it. */
int gg__recording_finish(struct gg_replay_recording *recording, struct gg_failure *failure);
void gg__recording_destroy(struct gg_replay_recording *recording); /* NULL is fine; finishes first */

/* Once a turn of the loop; when it wants to be called again. */
uint64_t gg__recording_tick(struct gg_replay_recording *recording, uint64_t mono_ns);

/* One connection in it. Embedded in its owner, and must stay where it is until closed. */
struct gg_take {
  struct gg_replay_recording *recording;
  struct gg_conversation conversation;
  struct gg_session_id id;
  char original[25];
  uint64_t copy, loop;
  struct gg_addr local, remote;
  uint64_t opened_ns;
  uint64_t bytes[2];  /* recorded, by enum gg_direction */
  uint64_t sent;      /* of the client's, taken by the socket: the closing facts' "forwarded" */
  const char *reason; /* while it closes */
  bool open;
};

/* All: 0, or GG_ERR_NO_SPACE / GG_ERR_IO with the failure filled: the replay ends. `mono_ns` is CLOCK_MONOTONIC.
 * Unix ends get ports of their own on 127.0.0.1 (FORMAT rule 9). */
int gg__take_open(struct gg_replay_recording *recording, struct gg_take *take, const char *original, uint64_t copy,
                  uint64_t loop, const struct gg_addr *local, const struct gg_addr *remote, uint64_t mono_ns,
                  struct gg_failure *failure);
int gg__take_bytes(struct gg_take *take, enum gg_direction direction, const uint8_t *data, size_t size,
                   uint64_t mono_ns, struct gg_failure *failure);
int gg__take_fin(struct gg_take *take, enum gg_direction direction, uint64_t mono_ns, struct gg_failure *failure);
/* `reason` is one of docs/format.md's close reasons; static. */
int gg__take_close(struct gg_take *take, enum gg_closing closing, const char *reason, uint64_t mono_ns,
                   struct gg_failure *failure);

#endif
