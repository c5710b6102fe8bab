/* SPDX-License-Identifier: Apache-2.0 */
/**
 * understander.h - the gateway's decoding thread: what was said in sessions is in the catalogue some seconds later.
 *
 *   segments ──► understanding (store/understanding.h) ──► a batch ──► the catalogue's thread (indexing.h) puts it
 *       this thread, of the lowest priority                         told by `ring`
 *
 * It reads what the catalogue says is there, and is behind everything: nobody waits for it, and what it has not decoded
 * when the gateway ends the next start goes on with.
 *
 * Thread: create, start and stop on the engine's; take and put on the catalogue's.
 */
#ifndef GG_ENGINE_UNDERSTANDER_H
#define GG_ENGINE_UNDERSTANDER_H

#include <gogetway/error.h>
#include <stdbool.h>
#include <stdint.h>

struct gg_gateway;
struct gg_understander;
struct gg__understood;
struct gg_hook;

enum { GG_UNDERSTANDER_NICE = 19 };
#define GG_UNDERSTANDER_PAUSE_NS (UINT64_C(500) * 1000 * 1000) /* when all is decoded */
#define GG_UNDERSTANDER_RETRY_NS (UINT64_C(5) * 1000 * 1000 * 1000)
#define GG_UNDERSTANDER_END_NS (UINT64_C(3) * 1000 * 1000 * 1000) /* for its disk, at the gateway's end */

/* Registers the metrics. `ring` is called when there is a batch to be put, on this thread. `store` is copied. */
int gg__understander_create(struct gg_understander **out, struct gg_gateway *engine, const char *store,
                            void (*ring)(void *context), void *context, struct gg_failure *failure);
/* The plug-ins whose decoders it asks from its next batch on, at most GG_HOOKS_MAX. It has them until then, so that no
 * table goes while it is used; those that it has let go, gg_hook_reap finds. NULL is fine. */
void gg__understander_plugins(struct gg_understander *understander, struct gg_hook *const *hooks, size_t count);
int gg__understander_start(struct gg_understander *understander, struct gg_failure *failure);
/* What is to be put now; NULL: nothing. The thread waits until it was told what became of it. NULL is fine. */
const struct gg__understood *gg__understander_take(struct gg_understander *understander);
void gg__understander_put(struct gg_understander *understander, bool done);
/* The thread ends soon, and nothing is put any more. NULL is fine. */
void gg__understander_leave(struct gg_understander *understander);
/* The same, and it is waited for. NULL, and one that was never started, are fine. */
void gg__understander_stop(struct gg_understander *understander);
/* False: the thread hangs in the disk, and what it uses has to stay. */
bool gg__understander_destroy(struct gg_understander *understander);

#endif
