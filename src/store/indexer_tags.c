/* SPDX-License-Identifier: Apache-2.0 */
/*
 * indexer_tags.c - tags that rules give the sessions whose end was read.
 *
 * They are in the journal before the batch is in the catalogue: whoever is killed in between reads the sessions again,
 * asks the rules again, and finds that all is said. They come back from the journal into the same batch, the way that
 * everybody's tags come.
 */
#include "store/indexer_private.h"

#include "store/marks.h"
#include "store/tag_rules.h"

void gg__indexer_rules(struct gg__indexer *indexer, struct gg__tag_rules *rules)
{
  if (indexer->rules == rules)
    return;
  gg__tag_rules_unref(indexer->rules);
  indexer->rules = gg__tag_rules_ref(rules);
}

/* No room for more in the journal: the sessions are in the catalogue without these tags, which holds up nothing. */
static int leave_untagged(struct gg__indexer *indexer, int error)
{
  if (error != GG_ERR_LIMIT)
    return error;
  gg__marks_unstage(indexer->marks);
  gg__indexer_sweep_again(indexer);
  if (indexer->options.full)
    indexer->options.full(indexer->options.context, indexer->failure->message);
  return 0;
}

int gg__indexer_tag(struct gg__indexer *indexer, const struct gg_session *session)
{
  if (!indexer->rules || session->state != GG_SESSION_CLOSED)
    return 0;
  indexer->tagging = true;
  int error = gg__tag_rules_apply(indexer->rules, session, indexer->marks, indexer->failure);
  return leave_untagged(indexer, error);
}

int gg__indexer_write_tags(struct gg__indexer *indexer)
{
  if (!indexer->tagging)
    return 0;
  indexer->tagging = false;
  int error = leave_untagged(indexer, gg__marks_flush(indexer->marks, indexer->failure));
  return error ? error : gg__indexer_take_marks(indexer);
}
