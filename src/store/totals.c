/* SPDX-License-Identifier: Apache-2.0 */
#include "store/totals.h"

#include "base/clock.h"
#include "net/addr.h"
#include "store/catalogue.h"
#include "store/hash.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MIN = 64 };

/* ── Keys ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

int gg__total_find(const char *name, enum gg__total_by *by, struct gg_failure *failure)
{
  static const char *const names[GG__TOTALS] = {"listener", "protocol", "close", "hour", "day", "client"};
  for (*by = 0; *by < GG__TOTALS; ++*by)
    if (strcmp(names[*by], name) == 0)
      return 0;
  return gg_fail(failure, GG_ERR_INVALID,
                 "there are no totals by '%s'; there are by listener, protocol, close, hour, day and client", name);
}

void gg__total_time_key(enum gg__total_by by, uint64_t ns, char key[GG__TOTAL_KEY_BYTES])
{
  char text[GG_CLOCK_TEXT_MAX];
  gg_clock_format(ns, 0, text, sizeof text);
  snprintf(key, GG__TOTAL_KEY_BYTES, by == GG__TOTAL_DAY ? "%.10s" : "%.13s:00Z", text);
}

void gg__total_client_key(const char *client, char key[GG__TOTAL_KEY_BYTES])
{
  struct gg_addr addr;
  if (gg_addr_parse(&addr, client) == 0)
    gg_addr_format_ip(&addr, key, GG__TOTAL_KEY_BYTES);
  else
    snprintf(key, GG__TOTAL_KEY_BYTES, "%s", client);
}

void gg__total_key(enum gg__total_by by, const struct gg_session *session, char key[GG__TOTAL_KEY_BYTES])
{
  if (by == GG__TOTAL_HOUR || by == GG__TOTAL_DAY)
    gg__total_time_key(by, session->start_ns, key);
  else if (by == GG__TOTAL_CLIENT)
    gg__total_client_key(session->client, key);
  else
    snprintf(key, GG__TOTAL_KEY_BYTES, "%s",
             by == GG__TOTAL_LISTENER   ? session->listener
             : by == GG__TOTAL_PROTOCOL ? session->protocol
                                        : session->close);
}

/* ── Sums ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct sum {
  struct sum *next;
  struct gg_total total;
  char key[];
};

struct gg__sums {
  struct sum **buckets;
  size_t bucket_count, count; /* a power of two */
  uint64_t doubtful;
};

struct gg__sums *gg__sums_create(void)
{
  return calloc(1, sizeof(struct gg__sums));
}

void gg__sums_destroy(struct gg__sums *sums)
{
  if (!sums)
    return;
  for (size_t i = 0; i < sums->bucket_count; i++)
    for (struct sum *at = sums->buckets[i], *next; at; at = next) {
      next = at->next;
      free(at);
    }
  free(sums->buckets);
  free(sums);
}

static struct sum **bucket_of(struct sum **buckets, size_t count, const char *key)
{
  return &buckets[gg__hash(key, strlen(key)) & (count - 1)];
}

static int grow(struct gg__sums *sums)
{
  size_t count = sums->bucket_count ? sums->bucket_count * 2 : BUCKETS_MIN;
  struct sum **larger = calloc(count, sizeof(struct sum *));
  if (!larger)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < sums->bucket_count; i++)
    for (struct sum *at = sums->buckets[i], *next; at; at = next) {
      struct sum **bucket = bucket_of(larger, count, at->key);
      next = at->next;
      at->next = *bucket;
      *bucket = at;
    }
  free(sums->buckets);
  sums->buckets = larger;
  sums->bucket_count = count;
  return 0;
}

static struct sum *need(struct gg__sums *sums, const char *key)
{
  if (sums->count >= sums->bucket_count && grow(sums) != 0)
    return NULL;
  struct sum **bucket = bucket_of(sums->buckets, sums->bucket_count, key);
  for (struct sum *at = *bucket; at; at = at->next)
    if (strcmp(at->key, key) == 0)
      return at;
  size_t length = strlen(key) + 1;
  struct sum *sum = calloc(1, sizeof *sum + length);
  if (!sum)
    return NULL;
  memcpy(sum->key, key, length);
  sum->total.key = sum->key;
  sum->next = *bucket;
  *bucket = sum;
  sums->count++;
  return sum;
}

int gg__sums_add(struct gg__sums *sums, const struct gg_total *total, bool less)
{
  struct sum *sum = need(sums, total->key);
  if (!sum)
    return GG_ERR_NOMEM;
  sum->total.sessions += less ? 0 - total->sessions : total->sessions;
  for (int side = 0; side < 2; side++) {
    sum->total.bytes[side] += less ? 0 - total->bytes[side] : total->bytes[side];
    sum->total.gaps[side] += less ? 0 - total->gaps[side] : total->gaps[side];
  }
  return 0;
}

int gg__sums_add_session(struct gg__sums *sums, enum gg__total_by by, const struct gg_session *session, bool less)
{
  char key[GG__TOTAL_KEY_BYTES];
  gg__total_key(by, session, key);
  struct gg_total total = {.key = key, .sessions = 1};
  memcpy(total.bytes, session->bytes, sizeof total.bytes);
  memcpy(total.gaps, session->gaps, sizeof total.gaps);
  return gg__sums_add(sums, &total, less);
}

void gg__sums_doubt(struct gg__sums *sums, uint64_t sessions)
{
  sums->doubtful += sessions;
}

uint64_t gg__sums_doubtful(const struct gg__sums *sums)
{
  return sums->doubtful;
}

static int by_key(const void *a, const void *b)
{
  const struct gg_total *const *left = a, *const *right = b;
  return strcmp((*left)->key, (*right)->key);
}

int gg__sums_each(const struct gg__sums *sums, int (*visit)(void *context, const struct gg_total *total), void *context)
{
  const struct gg_total **all = malloc((sums->count + 1) * sizeof *all);
  size_t count = 0;
  int result = 0;
  if (!all)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < sums->bucket_count; i++)
    for (const struct sum *at = sums->buckets[i]; at; at = at->next)
      if (at->total.sessions > 0)
        all[count++] = &at->total;
  if (count > 1)
    qsort(all, count, sizeof *all, by_key);
  for (size_t i = 0; i < count && !result; i++)
    result = visit(context, all[i]);
  free(all);
  return result;
}

/* ── Of a store ──────────────────────────────────────────────────────────────────────────────────────────────────── */

struct summing {
  const struct gg__source *source;
  struct gg__sums *sums;
  enum gg__total_by by;
  const struct gg_filter *filter;
};

static int add_matching(void *context, struct gg__record *record)
{
  const struct summing *summing = context;
  if (!gg__source_match(summing->source, summing->filter, record))
    return 0;
  gg__sums_doubt(summing->sums, record->perhaps);
  return gg__sums_add_session(summing->sums, summing->by, &record->session, false);
}

int gg_store_totals(struct gg_store *store, const struct gg_filter *filter, const char *by,
                    int (*visit)(void *context, const struct gg_total *total), void *context,
                    struct gg_failure *failure)
{
  struct summing summing = {.filter = filter};
  struct gg__source *source;
  int error = gg__total_find(by, &summing.by, failure);
  if (!error)
    error = gg__store_ready(store, failure);
  source = store->source;
  summing.source = source;
  if (!error && !source->ops->totals)
    error = gg__source_check(source, filter, failure);
  if (error)
    return error;
  error = GG_ERR_AGAIN;
  for (int turn = 0; turn < 2 && error == GG_ERR_AGAIN; turn++) {
    gg__sums_destroy(summing.sums);
    summing.sums = gg__sums_create();
    error = !summing.sums         ? GG_ERR_NOMEM
            : source->ops->totals ? source->ops->totals(source, filter, by, summing.sums, failure)
                                  : source->ops->each(source, add_matching, &summing);
  }
  gg__store_note_doubt(store, error ? 0 : gg__sums_doubtful(summing.sums), filter);
  if (error)
    gg_fail(failure, error, "no memory for totals");
  else
    error = gg__sums_each(summing.sums, visit, context);
  gg__sums_destroy(summing.sums);
  return error;
}
