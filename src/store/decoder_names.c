/* SPDX-License-Identifier: Apache-2.0 */
#include "store/decoder_names.h"

#include <gogetway/decoder.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PROTOCOLS_MAX = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *protocols[PROTOCOLS_MAX];
static size_t protocol_count;

/* Those of the built-in decoders are there already. */
static const char *built_in(const char *name)
{
  for (size_t i = 0; gg_decoder_at(i); i++)
    if (strcmp(gg_decoder_at(i)->protocol, name) == 0)
      return gg_decoder_at(i)->protocol;
  return NULL;
}

const char *gg__protocol_name(const char *name)
{
  const char *known = name[0] ? built_in(name) : "";
  if (known)
    return known;
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < protocol_count && !known; i++)
    if (strcmp(protocols[i], name) == 0)
      known = protocols[i];
  if (!known && protocol_count < PROTOCOLS_MAX) {
    protocols[protocol_count] = strdup(name);
    known = protocols[protocol_count];
    protocol_count += known != NULL;
  }
  pthread_mutex_unlock(&lock);
  return known ? known : "";
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

static struct gg__facts_table *facts; /* made once, under `lock` */

static int add(const struct gg_decoder_field *fields)
{
  int error = 0;
  for (; fields->name && !error; fields++)
    if (fields->fact)
      error =
        gg__facts_table_add(facts, fields->name, fields->kind == GG_FIELD_NUMBER ? GG__KIND_NUMBER : GG__KIND_TEXT,
                            fields->help, fields->example, NULL);
  return error;
}

static void make(void)
{
  int error = gg__facts_table_create(&facts);
  if (!error)
    error = add(gg_decoder_common_fields());
  for (size_t i = 0; gg_decoder_at(i) && !error; i++)
    error = add(gg_decoder_at(i)->fields);
  if (error) {
    gg__facts_table_destroy(facts);
    facts = NULL;
  }
}

const struct gg__facts_table *gg__decoder_facts(void)
{
  pthread_mutex_lock(&lock);
  if (!facts)
    make();
  pthread_mutex_unlock(&lock);
  return facts;
}
