/* SPDX-License-Identifier: Apache-2.0 */
/**
 * held.h - which segments may have something of a held session in them, as far as that has been found out.
 *
 * A session is in one log, and in no segment behind the one in which it ended. So once the end of a held session was
 * read, no later segment of its log has to be read for it, nor one of another log; when that is known of all that are
 * held, segments go without being read. By names, and not by times: clocks are set.
 *
 * Private to src/store. Thread: retention's.
 */
#ifndef GG_STORE_HELD_H
#define GG_STORE_HELD_H

#include "store/keep.h"
#include "store/marks.h"

struct gg__held_session;
struct gg__held_log;

struct gg__held {
  struct gg__held_session *sessions; /* whose end was read, in order of ids */
  size_t count, room;
  size_t held; /* of them, that are */
  struct gg__held_log *logs;
  size_t log_count, log_room;
};

void gg__held_fini(struct gg__held *held);

/* What was found in that segment; without memory it is not remembered. */
void gg__held_learn(struct gg__held *held, const char *segment, const struct gg__kept *kept);
/* Something is said of a session. */
void gg__held_mark(struct gg__held *held, const struct gg__mark *mark);
/* False: nothing in the segment is held. `count`: how many sessions are. */
bool gg__held_may_be_in(const struct gg__held *held, size_t count, const char *segment);

#endif
