/* SPDX-License-Identifier: Apache-2.0 */
/**
 * reload.h - reading the configuration again while the gateway runs. For the engine's files only.
 *
 *   any thread                          the engine's thread
 *   gg__reload_ask     ─ wanted++ ──►   gg__reload_serve: carry out, report, carried = what was wanted before
 *      waits           ◄── changed ──
 *
 * Those who ask while one is being carried out get one that begins after their asking, and share it.
 *
 * An edit (edits.h) is asked for with the reload that tries it, which nobody shares: nobody else's is refused for it.
 * What comes of that decides about it, and the engine's thread does so, whether somebody still waits or not: what is
 * refused is in no later reload.
 */
#ifndef GG_ENGINE_RELOAD_H
#define GG_ENGINE_RELOAD_H

#include "engine/report.h"
#include <pthread.h>
#include <stdint.h>

/* New names are asked for this long before the gateway uses them; who answers later is refused until then. */
#define GG_RELOAD_NAMES_NS UINT64_C(1000000000)
/* What the control socket waits for a reload: below the five seconds for which who asks waits, and all others do. */
#define GG_RELOAD_ANSWER_NS UINT64_C(4000000000)

struct gg_edits;
struct gg_gateway;

struct gg_reloads {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* on CLOCK_MONOTONIC */
  uint64_t wanted;
  uint64_t carried;
  bool closed; /* the engine does not run: nothing is carried out any more */
  int error;   /* of the last one; its report: */
  struct gg_report report;
  uint64_t edit; /* which asking has brought edits; what came of the last one: */
  int edit_error;
  struct gg_failure edit_failure;
};

void gg__reload_init(struct gg_reloads *reloads);
void gg__reload_fini(struct gg_reloads *reloads);

/* Asks, and waits at most `bound_ns`: its report is copied to *report, and its error returned. GG_ERR_TIMEOUT: it is
 * still being carried out (the messages will tell); GG_ERR_INVALID: the engine does not run. Any thread but the
 * engine's. */
int gg__reload_ask(struct gg_gateway *engine, uint64_t bound_ns, struct gg_report *report, struct gg_failure *failure);
/* The same, by `edits` instead of those of before; they are the engine's from here on. None may be tried already. */
int gg__reload_try(struct gg_gateway *engine, struct gg_edits *edits, uint64_t bound_ns, struct gg_failure *failure);
/* Waits until no edits are being tried any more. GG_ERR_TIMEOUT: they still are. Any thread but the engine's. */
int gg__reload_settled(struct gg_gateway *engine, uint64_t bound_ns, struct gg_failure *failure);
/* Carries out what was asked for; `hangup`: also without. The engine's thread. */
void gg__reload_serve(struct gg_gateway *engine, bool hangup);
/* From now on nobody waits: the engine ends. The engine's thread. */
void gg__reload_close(struct gg_gateway *engine);

#endif
