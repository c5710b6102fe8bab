/* SPDX-License-Identifier: Apache-2.0 */
/**
 * sink.h - plug-ins that get the recording (`sink`), or are told of its complete files (`sealed`).
 *
 *     recorder's writer ──┬── required ──────────────────────────────► plugin.sink
 *                         └── best-effort ──► queue ──► thread ──────► plugin.sink
 *     recorder's sync ──────────────────────► queue ──► thread ──────► plugin.sealed
 *
 * It is one queue and one thread of the hook's own: so a file is sealed behind its last block, and never two calls are
 * under way. The queue is bounded; what finds no room is dropped, counted, and told now and then. What a best-effort
 * sink has missed of a file, by that or since it refused it, the next block of the file says.
 *
 * A hook that is let go of has its queue carried out first (gg_hook_reap comes again until it is). At the gateway's end
 * there is a deadline for that.
 *
 * Thread: as the functions say; a recorder sink's operations on the recorder's threads.
 */
#ifndef GG_HOOK_SINK_H
#define GG_HOOK_SINK_H

#include "hook/hook.h"
#include "record/sink.h"

_Static_assert((int)GG_HOOKS_MAX <= (int)GG_RECORDER_SINKS_MAX, "the recorder has room for every plug-in");

enum {
  GG_HOOK_SINK_BYTES_MAX = 16 << 20, /* of blocks that wait for a best-effort sink, with the one that it is at */
  GG_HOOK_SINK_PIECE_MAX = 4 << 20,  /* a larger write is given to it in pieces */
  GG_HOOK_SEALED_MAX = 4096,         /* ends of files, and sealed files, that wait */
};
#define GG_HOOK_SINK_TELL_NS (UINT64_C(10) * 1000 * 1000 * 1000) /* losses are told this often at the most */
#define GG_HOOK_SINK_LEAVE_NS (UINT64_C(250) * 1000 * 1000)      /* for a call that is under way when time is over */

/* What the recorder is to have of a hook that was started; NULL: nothing. */
struct gg_recorder_sink *gg_hook_sink(const struct gg_hook *hook);
/* Carries out what waits in the queues of all, for as long as there is time; nothing comes into them any more. Each
 * whose call does not return then stays for good. Main thread. */
void gg_hook_sinks_finish(struct gg_hook_desk *desk, uint64_t deadline_ns);

/* ── For this room's own files: by gg_hook_start and its like ────────────────────────────────────────────────────── */

int gg__hook_sink_start(struct gg_hook *hook, struct gg_failure *failure);
/* As gg__hook_ending and gg__hook_stop. */
bool gg__hook_sink_ending(struct gg_hook *hook);
void gg__hook_sink_stop(struct gg_hook *hook);

#endif
