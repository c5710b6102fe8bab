/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upstream is an address and, behind it, words that say more: they are taken from the end, so that the path of a
 * unix upstream may have spaces in it.
 */
#include "engine/config_upstream.h"

#include "base/text.h"
#include "gateway/plane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char spaces[] = " \t";

int gg__config_name_check(const char *text, struct gg_failure *failure)
{
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@/[]-";
  if (text[0] != '\0' && text[strspn(text, allowed)] == '\0')
    return 0;
  return gg_fail(failure, GG_ERR_FORMAT, "'%.80s' is not a name: letters, digits and any of . _ : @ / [ ] - make one",
                 text);
}

static int take_weight(struct gg__upstream_words *out, const char *text, struct gg_failure *failure)
{
  if (gg_text_parse_count(&out->weight, text) == 0 && out->weight >= 1 && out->weight <= GG_WEIGHT_MAX)
    return 0;
  return gg_fail(failure, GG_ERR_RANGE, "weight=%.40s is not a number from 1 to %d", text, GG_WEIGHT_MAX);
}

static int take_name(struct gg__upstream_words *out, const char *text, struct gg_failure *failure)
{
  if (strlen(text) >= sizeof out->name)
    return gg_fail(failure, GG_ERR_RANGE, "name=%.80s is longer than %zu bytes", text, sizeof out->name - 1);
  memcpy(out->name, text, strlen(text) + 1);
  return gg__config_name_check(text, failure);
}

enum word { WORD_OTHER, WORD_WEIGHT, WORD_NAME, WORD_BACKUP, WORD_KINDS };

static enum word word_kind(const char *word)
{
  if (strncmp(word, "weight=", 7) == 0)
    return WORD_WEIGHT;
  if (strncmp(word, "name=", 5) == 0)
    return WORD_NAME;
  return strcmp(word, "backup") == 0 ? WORD_BACKUP : WORD_OTHER;
}

/* Cuts the last word off `text`; NULL: there is no other than the first. */
static char *last_word(char *text)
{
  size_t length = strlen(text);
  while (length > 0 && strchr(spaces, text[length - 1]))
    text[--length] = '\0';
  while (length > 0 && !strchr(spaces, text[length - 1]))
    length--;
  return length > 0 ? text + length : NULL;
}

static int take_word(struct gg__upstream_words *out, enum word kind, const char *word, struct gg_failure *failure)
{
  if (kind == WORD_WEIGHT)
    return take_weight(out, word + 7, failure);
  if (kind == WORD_NAME)
    return take_name(out, word + 5, failure);
  out->backup = true;
  return 0;
}

int gg__config_upstream_parse(struct gg__upstream_words *out, const char *text, struct gg_failure *failure)
{
  bool seen[WORD_KINDS] = {false};
  *out = (struct gg__upstream_words){.weight = 1};
  text += strspn(text, spaces);
  if (strlen(text) >= sizeof out->address)
    return gg_fail(failure, GG_ERR_RANGE, "'%.80s...' is longer than %zu bytes", text, sizeof out->address - 1);
  memcpy(out->address, text, strlen(text) + 1);
  for (char *word; (word = last_word(out->address)) != NULL; word[-1] = '\0') {
    enum word kind = word_kind(word);
    if (kind == WORD_OTHER)
      break;
    if (seen[kind])
      return gg_fail(failure, GG_ERR_FORMAT, "'%.80s' has %.*s twice", text, (int)strcspn(word, "="), word);
    seen[kind] = true;
    int error = take_word(out, kind, word, failure);
    if (error)
      return error;
  }
  const char *rest = strpbrk(out->address, spaces);
  if (rest && strncmp(out->address, "unix:", 5) != 0)
    return gg_fail(failure, GG_ERR_FORMAT,
                   "'%.80s' is not known: behind an address may stand weight=N, name=NAME and "
                   "backup",
                   rest + strspn(rest, spaces));
  return gg_endpoint_parse(&out->endpoint, out->address, false, failure);
}

/* ── Of a listener ───────────────────────────────────────────────────────────────────────────────────────────────── */

static const char *name_of(const struct gg__upstream_words *words)
{
  return words->name[0] ? words->name : words->address;
}

int gg__config_upstreams_judge(const struct gg_config_listener *listener, struct gg_failure *failure)
{
  const struct gg_strings *list = &listener->upstream;
  struct gg__upstream_words words, other;
  for (size_t i = 0; i < list->count; i++) {
    bool none = strcmp(list->items[i], "none") == 0;
    if (none && list->count > 1)
      return gg_fail(failure, GG_ERR_INVALID, "'none' cannot stand among other upstreams");
    if (none || gg__config_upstream_parse(&words, list->items[i], failure) != 0)
      continue;
    for (size_t before = 0; before < i; before++)
      if (gg__config_upstream_parse(&other, list->items[before], NULL) == 0 &&
          strcmp(name_of(&words), name_of(&other)) == 0)
        return gg_fail(failure, GG_ERR_INVALID, "two upstreams are called '%.300s': give one a name=NAME",
                       name_of(&words));
  }
  return 0;
}

static int join(struct gg_config_listener *listener)
{
  size_t size = 1;
  for (size_t i = 0; i < listener->upstream.count; i++)
    size += strlen(listener->upstream.items[i]) + 2;
  char *text = listener->upstream_text = calloc(size, 1);
  if (!text)
    return GG_ERR_NOMEM;
  for (size_t i = 0, used = 0; i < listener->upstream.count; i++)
    used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", listener->upstream.items[i]);
  return 0;
}

int gg__config_upstreams_derive(struct gg_config_listener *listener)
{
  const struct gg_strings *list = &listener->upstream;
  listener->upstreams = calloc(list->count + 1, sizeof *listener->upstreams);
  if (!listener->upstreams || join(listener) != 0)
    return GG_ERR_NOMEM;
  for (size_t i = 0; i < list->count; i++) {
    struct gg__upstream_words words;
    if (strcmp(list->items[i], "none") == 0 || gg__config_upstream_parse(&words, list->items[i], NULL) != 0)
      continue;
    struct gg_config_upstream *upstream = &listener->upstreams[listener->upstream_count];
    *upstream = (struct gg_config_upstream){
      .name = strdup(name_of(&words)), .endpoint = words.endpoint, .weight = words.weight, .backup = words.backup};
    if (!upstream->name)
      return GG_ERR_NOMEM;
    listener->upstream_count++;
  }
  return 0;
}

void gg__config_upstreams_free(struct gg_config_listener *listener)
{
  for (size_t i = 0; i < listener->upstream_count; i++)
    free(listener->upstreams[i].name);
  free(listener->upstreams);
  free(listener->upstream_text);
  listener->upstreams = NULL;
  listener->upstream_text = NULL;
  listener->upstream_count = 0;
}
