/* SPDX-License-Identifier: Apache-2.0 */
#include "marking.h"

#include <ctype.h>
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

/* No session has it, but more than its recording may be known of it. */
static int add_gone(struct gg_cli_gone *gone, const char *word)
{
  if (!gone || strlen(word) != ID_MAX)
    return gg_cli_fail("no session begins with '%s'; 'gogetway sessions' lists them%s", word,
                       gone ? ", and a whole id may be of one that is gone" : "");
  for (size_t i = 0; i < ID_MAX; i++)
    gone->ids[gone->count][i] = (char)tolower((unsigned char)word[i]);
  gone->ids[gone->count++][ID_MAX] = '\0';
  return GG_EXIT_DONE;
}

/* Adds the one session that the word names. */
static int add_named(struct gg_cli_chosen *chosen, struct gg_cli_gone *gone, const char *word)
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
    status = add_gone(gone, word);
  else if (gg_session_list_count(list) > 1)
    status = tell_ambiguous(list, word);
  else if (gg_session_list_add(&chosen->list, gg_session_list_at(list, 0)) != 0)
    status = gg_cli_fail("no memory for a list of sessions");
  gg_session_list_destroy(list);
  gg_filter_destroy(filter);
  return status;
}

static int choose_named(const struct gg_cli *cli, const struct gg_cli_words *words, struct gg_cli_gone *gone,
                        struct gg_cli_chosen *out)
{
  *out = (struct gg_cli_chosen){0};
  int status = gg_cli_open_store(cli, &out->store);
  for (size_t i = 0; i < words->count && status == GG_EXIT_DONE; i++)
    status = add_named(out, gone, words->words[i]);
  if (out->store && status == GG_EXIT_DONE)
    gg_cli_tell_warnings(out->store);
  return status;
}

int gg_cli_choose_marked(const struct gg_cli *cli, const char *command, const struct gg_cli_words *words,
                         struct gg_cli_gone *gone, struct gg_cli_chosen *out)
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
    return choose_named(cli, words, gone, out);
  if (named > 0)
    return gg_cli_wrong(
      "%s: some words name sessions, others are a filter; either all or none (id=... is a filter too)", command);
  int status = gg_cli_choose(cli, words, out);
  if (status == GG_EXIT_DONE && gg_session_list_count(out->list) == 0)
    status = gg_cli_fail("no session matches; 'gogetway sessions' lists them");
  return status;
}

int gg_cli_unmark_gone(struct gg_store *store, const struct gg_cli_gone *gone, bool release, const char *const *remove,
                       size_t remove_count)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  for (size_t i = 0; i < gone->count; i++) {
    int error = gg_store_unmark(store, gone->ids[i], release, remove, remove_count, &failure);
    if (error == GG_ERR_INVALID)
      return gg_cli_wrong("tag: %s", failure.message);
    if (error)
      return gg_cli_store_fail(&failure);
    fprintf(stderr, "gogetway: no recording of %s is here; what was said of it is taken back\n", gone->ids[i]);
  }
  return GG_EXIT_DONE;
}

void gg_cli_tell_marked(const struct gg_session_list *list, const struct gg_cli_gone *gone, const char *done,
                        size_t changed, bool json)
{
  size_t count = list ? gg_session_list_count(list) : 0, same = count - changed;
  for (size_t i = 0; i < count && json; i++)
    gg_cli_put_session_json(gg_session_list_at(list, i));
  for (size_t i = 0; i < gone->count && json; i++)
    printf("{\"id\":\"%s\",\"recorded\":false}\n", gone->ids[i]);
  if (json)
    return;
  changed += gone->count;
  if (changed > 0 && same > 0)
    printf("%s %zu session%s; %zu more %s so already\n", done, changed, gg_cli_plural(changed), same,
           same == 1 ? "was" : "were");
  else if (changed > 0)
    printf("%s %zu session%s\n", done, changed, gg_cli_plural(changed));
  else
    printf("nothing to do: %zu session%s %s so already\n", same, gg_cli_plural(same), same == 1 ? "is" : "are");
}

void gg_cli_put_tag_json(const char *tag)
{
  for (; *tag; tag++) /* printable UTF-8: only these two are written otherwise */
    printf(*tag == '"' || *tag == '\\' ? "\\%c" : "%c", *tag);
}
