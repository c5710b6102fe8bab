/* SPDX-License-Identifier: Apache-2.0 */
#include "marking.h"

#include <string.h>

enum { AMBIGUOUS_SHOWN_MAX = 10, ID_MAX = 24 };

/* What can be nothing but the beginning of an id, however short. */
static bool is_id(const char *word)
{
  return strspn(word, "0123456789abcdefABCDEF") == strlen(word);
}

static int tell_ambiguous(const struct gg_session_list *list, const char *word)
{
  char start[GG_CLI_TIME_MAX];
  size_t count = gg_session_list_count(list);
  gg_cli_wrong("%zu sessions begin with '%s'; more of the id tells them apart:", count, word);
  for (size_t i = 0; i < count && i < AMBIGUOUS_SHOWN_MAX; i++) {
    const struct gg_session *session = gg_session_list_at(list, i);
    fprintf(stderr, "  %s  %s  %s -> %s\n", session->id, gg_cli_time(session->start_ns, true, start), session->client,
            session->server);
  }
  if (count > AMBIGUOUS_SHOWN_MAX)
    fprintf(stderr, "  and %zu more; id=%s is all of them\n", count - AMBIGUOUS_SHOWN_MAX, word);
  else
    fprintf(stderr, "  id=%s is all of them\n", word);
  return GG_EXIT_USAGE;
}

/* Adds the one session that the word names. */
static int add_named(struct gg_cli_chosen *chosen, const char *word)
{
  char text[ID_MAX + sizeof "id="];
  const char *words[1] = {text};
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = NULL;
  struct gg_session_list *list = NULL;
  int status = GG_EXIT_DONE;
  if (strlen(word) == 0 || strlen(word) > ID_MAX)
    return gg_cli_wrong("'%s' is no session: an id has %d hexadecimal digits", word, ID_MAX);
  snprintf(text, sizeof text, "id=%s", word);
  if (gg_filter_parse(&filter, words, 1, gg_cli_now_ns(), &failure) != 0 ||
      gg_store_query(chosen->store, filter, &list, &failure) != 0)
    status = gg_cli_store_fail(&failure);
  else if (gg_session_list_count(list) == 0)
    status = gg_cli_fail("no session begins with '%s'; 'gogetway sessions' lists them", word);
  else if (gg_session_list_count(list) > 1)
    status = tell_ambiguous(list, word);
  else if (gg_session_list_add(&chosen->list, gg_session_list_at(list, 0)) != 0)
    status = gg_cli_fail("no memory for a list of sessions");
  gg_session_list_destroy(list);
  gg_filter_destroy(filter);
  return status;
}

static int choose_named(const struct gg_cli *cli, const struct gg_cli_words *words, struct gg_cli_chosen *out)
{
  *out = (struct gg_cli_chosen){0};
  int status = gg_cli_open_store(cli, &out->store);
  for (size_t i = 0; i < words->count && status == GG_EXIT_DONE; i++)
    status = add_named(out, words->words[i]);
  if (out->store && status == GG_EXIT_DONE)
    gg_cli_tell_warnings(out->store);
  return status;
}

int gg_cli_choose_marked(const struct gg_cli *cli, const char *command, const struct gg_cli_words *words,
                         struct gg_cli_chosen *out)
{
  size_t named = 0;
  *out = (struct gg_cli_chosen){0};
  for (size_t i = 0; i < words->count; i++)
    named += is_id(words->words[i]);
  if (words->count + words->filter_count == 0)
    return gg_cli_wrong(
      "%s: which session? 'gogetway sessions' lists them; the beginning of an id is enough, or filter "
      "words choose several",
      command);
  if (named == words->count && words->filter_count == 0)
    return choose_named(cli, words, out);
  if (named > 0)
    return gg_cli_wrong(
      "%s: some words name sessions, others are a filter; either all or none (id=... is a filter too)", command);
  int status = gg_cli_choose(cli, words, out);
  if (status == GG_EXIT_DONE && gg_session_list_count(out->list) == 0)
    status = gg_cli_fail("no session matches; 'gogetway sessions' lists them");
  return status;
}

void gg_cli_tell_marked(const struct gg_session_list *list, const char *done, size_t changed, bool json)
{
  size_t count = gg_session_list_count(list), same = count - changed;
  for (size_t i = 0; i < count && json; i++)
    gg_cli_put_session_json(gg_session_list_at(list, i));
  if (json)
    return;
  if (changed > 0 && same > 0)
    printf("%s %zu session%s; %zu more %s so already\n", done, changed, gg_cli_plural(changed), same,
           same == 1 ? "was" : "were");
  else if (changed > 0)
    printf("%s %zu session%s\n", done, changed, gg_cli_plural(changed));
  else
    printf("nothing to do: %zu session%s %s so already\n", same, gg_cli_plural(same), same == 1 ? "is" : "are");
}
