/* SPDX-License-Identifier: Apache-2.0 */
#include "store/decoder_names.h"

#include <gogetway/decoder.h>
#include <pthread.h>

static pthread_mutex_t facts_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gg__facts_table *facts; /* made once */

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
  pthread_mutex_lock(&facts_lock);
  if (!facts)
    make();
  pthread_mutex_unlock(&facts_lock);
  return facts;
}
