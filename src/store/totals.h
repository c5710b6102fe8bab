/* SPDX-License-Identifier: Apache-2.0 */
/**
 * totals.h - sums over sessions by a key: which keys there are, and their texts, whoever adds up.
 *
 * Private to src/store. Pure functions; any thread. Sums belong to their owner.
 */
#ifndef GG_STORE_TOTALS_H
#define GG_STORE_TOTALS_H

#include <gogetway/store.h>

enum gg__total_by {
  GG__TOTAL_LISTENER,
  GG__TOTAL_PROTOCOL,
  GG__TOTAL_CLOSE,
  GG__TOTAL_HOUR,
  GG__TOTAL_DAY,
  GG__TOTAL_CLIENT,
  GG__TOTALS,
};
enum { GG__TOTAL_KEY_BYTES = 512 };

/* GG_ERR_INVALID: the failure says what there is. */
int gg__total_find(const char *name, enum gg__total_by *by, struct gg_failure *failure);

/* A session's key, and those of what a catalogue has in columns: a time, a client's address. */
void gg__total_key(enum gg__total_by by, const struct gg_session *session, char key[GG__TOTAL_KEY_BYTES]);
void gg__total_time_key(enum gg__total_by by, uint64_t ns, char key[GG__TOTAL_KEY_BYTES]);
void gg__total_client_key(const char *client, char key[GG__TOTAL_KEY_BYTES]);

/* Sums by key, in memory: as much of it as there are keys. */
struct gg__sums;
struct gg__sums *gg__sums_create(void); /* NULL: no memory */
void gg__sums_destroy(struct gg__sums *sums);
/* Sums are modulo 2^64: what was added can be taken off. GG_ERR_NOMEM. */
int gg__sums_add(struct gg__sums *sums, const struct gg_total *total, bool less);
int gg__sums_add_session(struct gg__sums *sums, enum gg__total_by by, const struct gg_session *session, bool less);
/* So many more of the sessions in it may not be what was asked for; modulo 2^64, too. And how many are not sure. */
void gg__sums_doubt(struct gg__sums *sums, uint64_t sessions);
uint64_t gg__sums_doubtful(const struct gg__sums *sums);
/* In order of keys, those with sessions; a non-zero return ends it and is returned. GG_ERR_NOMEM. */
int gg__sums_each(const struct gg__sums *sums, int (*visit)(void *context, const struct gg_total *total),
                  void *context);

#endif
