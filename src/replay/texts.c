/* SPDX-License-Identifier: Apache-2.0 */
/* The words for what happened, from the lists in the header. */
#include <gogetway/replay.h>

static const char unknown[] = "unknown";

const char *gg_replay_release_text(enum gg_replay_release release)
{
  static const char *const texts[] = {
#define TEXT(NAME, text) text,
    GG_REPLAY_RELEASE_LIST(TEXT)
#undef TEXT
  };
  return (unsigned)release < GG_REPLAY_RELEASES ? texts[release] : unknown;
}

const char *gg_replay_verdict_text(enum gg_replay_verdict verdict)
{
  static const char *const texts[] = {
#define TEXT(NAME, text) text,
    GG_REPLAY_VERDICT_LIST(TEXT)
#undef TEXT
  };
  return (unsigned)verdict < GG_REPLAY_VERDICTS ? texts[verdict] : unknown;
}

const char *gg_replay_difference_text(enum gg_replay_difference_kind kind)
{
  static const char *const texts[] = {
#define TEXT(NAME, text) text,
    GG_REPLAY_DIFFERENCE_LIST(TEXT)
#undef TEXT
  };
  return (unsigned)kind < GG_REPLAY_DIFFERENCES ? texts[kind] : unknown;
}
