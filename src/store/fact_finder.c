/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fact_finder.h"

#include "base/text.h"
#include "store/findings.h"

#include <gogetway/messages.h>
#include <string.h>

/* Who is told of the values of one field. */
struct looking {
  const char *field;
  int (*tell)(void *telling, const struct gg__fact_value *value);
  void *telling;
  bool found; /* enough */
  struct gg__findings *findings;
  struct gg_message_sink gathers; /* the findings' */
};

static void on_protocol(void *context, const struct gg_decoder *decoder, const uint64_t offset[2])
{
  struct looking *looking = context;
  looking->gathers.protocol(looking->gathers.context, decoder, offset);
}

/* All of a message's, where the findings remember the first ones of a session only. */
static void on_end(void *context, const struct gg_message *message)
{
  struct looking *looking = context;
  looking->gathers.end(looking->gathers.context, message);
  for (size_t i = 0; i < message->field_count && !looking->found; i++) {
    const struct gg_field *field = &message->fields[i];
    if (!field->of->fact || field->secret || strcmp(field->of->name, looking->field) != 0)
      continue;
    char text[GG_FINDINGS_TEXT_MAX];
    gg_text_sanitize(text, sizeof text, (const char *)field->value, field->length, GG_TEXT_ONE_LINE);
    struct gg__fact_value value = {.text = field->of->kind == GG_FIELD_NUMBER ? NULL : text, .number = field->number};
    looking->found = looking->tell(looking->telling, &value) != 0;
  }
}

static int tell_finding(void *context, const struct gg__finding *finding)
{
  struct looking *looking = context;
  const struct gg__fact_value value = {.text = finding->text, .number = finding->number};
  if (!looking->found && strcmp(finding->field, looking->field) == 0)
    looking->found = looking->tell(looking->telling, &value) != 0;
  return 0;
}

static bool goes_on(void *context)
{
  return !((const struct looking *)context)->found;
}

static int find(void *context, const struct gg_session *session, const char *field,
                int (*tell)(void *telling, const struct gg__fact_value *value), void *telling)
{
  (void)context;
  struct looking looking = {.field = field, .tell = tell, .telling = telling};
  int error = gg__findings_create(&looking.findings);
  if (error)
    return error;
  looking.gathers = gg__findings_sink(looking.findings);
  struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
  sink.context = &looking;
  sink.protocol = on_protocol;
  sink.end = on_end;
  struct gg_message_options options = GG_MESSAGE_OPTIONS_INIT;
  options.go_on = goes_on;
  options.go_on_context = &looking;
  error = gg_store_messages(NULL, session, &options, &sink, NULL);
  error = looking.found ? 0 : error;
  int told = gg__findings_each(looking.findings, tell_finding, &looking); /* what is of the session as a whole */
  gg__findings_destroy(looking.findings);
  return error ? error : told;
}

static const char *find_protocol(void *context, const struct gg_session *session)
{
  (void)context;
  struct gg__findings *findings = NULL;
  const char *protocol = "";
  if (gg__findings_create(&findings) != 0)
    return protocol;
  const struct gg_message_sink sink = gg__findings_sink(findings);
  (void)gg_store_messages(NULL, session, NULL, &sink, NULL); /* as far as it can be read */
  protocol = gg__findings_protocol(findings);
  gg__findings_destroy(findings);
  return protocol;
}

const struct gg__fact_finder gg__fact_finder = {.find = find, .protocol = find_protocol};
