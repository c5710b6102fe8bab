/* SPDX-License-Identifier: Apache-2.0 */
/* messages.c - the command that shows the messages of many sessions, also as they come.
 *
 * While it follows, at most FOLLOWED_MAX open sessions are decoded at once, each with bounded memory. Others wait: for
 * one of those to end, or to end themselves, when they are decoded as a whole. */
#include "commands.h"
#include "store_common.h"
#include "view.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  OPTION_JSON,
  OPTION_FOLLOW,
  OPTION_FROM,
  OPTION_HEADERS,
  OPTION_BODY,
  OPTION_DECODER,
  OPTION_FRAMING,
  OPTION_SECRETS,
  OPTION_FILTER,
  FOLLOW_INTERVAL_NS = 500000000,
  FOLLOWED_MAX = 64,
  FOLLOWED_BYTES_MAX = 4 << 20, /* of each one's decoding */
};

static const struct gg_cli_option options[] = {
  [OPTION_JSON] = {"json", 'j', NULL, "one JSON object a line: docs/messages.md"},
  [OPTION_FOLLOW] = {"follow", 'f', NULL, "go on: messages as they end, of sessions that are there and that come"},
  [OPTION_FROM] = {"from", 0, "SIDE", "what the client, the server or both (default) said"},
  [OPTION_HEADERS] = {"headers", 'v', NULL, "all fields of each message"},
  [OPTION_BODY] = {"body", 'b', NULL, "bodies, laid out as far as there is room"},
  [OPTION_DECODER] = {"decoder", 0, "NAME", "who understands them; otherwise first bytes tell"},
  [OPTION_FRAMING] = {"framing", 0, "TEXT", "how messages of a protocol of one's own are told apart: docs/messages.md"},
  [OPTION_SECRETS] = {"secrets", 0, NULL, "credentials as they are, which are masked otherwise"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

/* ── What is there ───────────────────────────────────────────────────────────────────────────────────────────────── */

static bool goes_on(void)
{
  return !ferror(stdout) && !gg_cli_signalled();
}

/* A session that cannot be read is told, and the others go on. */
static int show_list(const struct gg_cli_chosen *chosen, size_t from, const struct gg_cli_style *style)
{
  int status = GG_EXIT_DONE;
  size_t count = gg_session_list_count(chosen->list);
  for (size_t i = from; i < count && status != GG_EXIT_USAGE && goes_on(); i++) {
    int shown = gg_cli_view_all(chosen->store, gg_session_list_at(chosen->list, i), style);
    status = shown == GG_EXIT_DONE ? status : shown;
  }
  return status;
}

static int show_pages(const struct gg_cli *cli, const struct gg_cli_words *words, struct gg_cli_chosen *chosen,
                      const struct gg_cli_style *style)
{
  size_t shown = 0, page = GG_CLI_PAGE_SESSIONS;
  for (int status = GG_EXIT_DONE;;) { /* bounded by the store: each page begins behind the one before */
    int listed = show_list(chosen, shown, style);
    status = listed == GG_EXIT_DONE ? status : listed;
    if (gg_session_list_count(chosen->list) < page || status == GG_EXIT_USAGE || !goes_on())
      return status;
    shown = gg_cli_page_shown(chosen->list);
    page = shown + GG_CLI_PAGE_SESSIONS;
    int paged = gg_cli_next_page(cli, words, page, chosen);
    if (paged != GG_EXIT_DONE)
      return paged;
  }
}

/* ── Following ───────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What has become of a session. The store keeps its object where it is, so that is what it is known by. */
enum fate { WAITS, FOLLOWED, ENDED };
struct known {
  const struct gg_session *session; /* NULL: the place is free */
  enum fate fate;
  struct gg_cli_view *view; /* of one that is followed */
};

struct following {
  const struct gg_cli_style *style;
  struct gg_store *store;
  struct known *table; /* by address */
  size_t count, room;  /* a power of two */
  size_t followed;
  const struct gg_session **queue; /* of those that wait, in the order in which they came */
  size_t queue_first, queue_count, queue_room;
};

static size_t place_of(const struct following *following, const struct gg_session *session)
{
  size_t at = (size_t)(((uintptr_t)session >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (following->room - 1);
  while (following->table[at].session && following->table[at].session != session)
    at = (at + 1) & (following->room - 1);
  return at;
}

static bool grow(struct following *following)
{
  struct following larger = *following;
  larger.room = following->room ? following->room * 2 : 256;
  larger.table = calloc(larger.room, sizeof *larger.table);
  if (!larger.table)
    return false;
  for (size_t i = 0; i < following->room; i++)
    if (following->table[i].session)
      larger.table[place_of(&larger, following->table[i].session)] = following->table[i];
  free(following->table);
  *following = larger;
  return true;
}

/* Borrowed until the next call. NULL: no memory. */
static struct known *know(struct following *following, const struct gg_session *session, bool *is_new)
{
  if (following->count * 2 >= following->room && !grow(following))
    return NULL;
  struct known *known = &following->table[place_of(following, session)];
  *is_new = !known->session;
  if (*is_new) {
    *known = (struct known){.session = session, .fate = WAITS};
    following->count++;
  }
  return known;
}

static bool queue(struct following *following, const struct gg_session *session)
{
  if (following->queue_first > 0 && following->queue_count == following->queue_room) {
    following->queue_count -= following->queue_first;
    memmove(following->queue, following->queue + following->queue_first,
            following->queue_count * sizeof *following->queue);
    following->queue_first = 0;
  }
  if (following->queue_count == following->queue_room) {
    size_t room = following->queue_room ? following->queue_room * 2 : 64;
    const struct gg_session **larger = realloc(following->queue, room * sizeof *larger);
    if (!larger)
      return false;
    following->queue = larger;
    following->queue_room = room;
  }
  following->queue[following->queue_count++] = session;
  return true;
}

/* Shows what is new of a followed session. A session that cannot be read is told, and the others go on. */
static int step(struct following *following, struct known *known)
{
  bool ended = false;
  int status = gg_cli_view_step(known->view, &ended);
  if (!ended)
    return status;
  gg_cli_view_close(known->view);
  known->view = NULL;
  known->fate = ENDED;
  following->followed--;
  return status;
}

static int take_waiting(struct following *following, struct known *known)
{
  if (known->session->state != GG_SESSION_OPEN) {
    known->fate = ENDED;
    return gg_cli_view_all(following->store, known->session, following->style);
  }
  if (following->followed == FOLLOWED_MAX)
    return GG_EXIT_DONE;
  int status = gg_cli_view_open(&known->view, following->store, known->session, following->style);
  if (status != GG_EXIT_DONE) {
    known->fate = ENDED;
    return status;
  }
  known->fate = FOLLOWED;
  following->followed++;
  return step(following, known);
}

static int take_changed(struct following *following, const struct gg_session *session)
{
  bool is_new;
  struct known *known = know(following, session, &is_new);
  if (!known)
    return gg_cli_fail("no memory to follow more sessions");
  int status = known->fate == FOLLOWED ? step(following, known)
               : known->fate == WAITS  ? take_waiting(following, known)
                                       : GG_EXIT_DONE;
  if (is_new && known->fate == WAITS && !queue(following, session))
    return gg_cli_fail("no memory to follow more sessions");
  return status;
}

/* There may be room for some that wait. */
static int take_queue(struct following *following)
{
  int status = GG_EXIT_DONE;
  while (following->queue_first < following->queue_count && following->followed < FOLLOWED_MAX && goes_on()) {
    bool is_new;
    struct known *known = know(following, following->queue[following->queue_first++], &is_new);
    int taken = known && known->fate == WAITS ? take_waiting(following, known) : GG_EXIT_DONE;
    status = taken == GG_EXIT_DONE ? status : taken;
  }
  return status;
}

static int take_list(struct following *following, const struct gg_session_list *list)
{
  int status = GG_EXIT_DONE;
  size_t count = gg_session_list_count(list);
  for (size_t i = 0; i < count && status != GG_EXIT_USAGE && goes_on(); i++) {
    int taken = take_changed(following, gg_session_list_at(list, i));
    status = taken == GG_EXIT_DONE ? status : taken;
  }
  int taken = take_queue(following);
  return taken == GG_EXIT_DONE ? status : taken;
}

/* Ends when nobody reads any more, or by a signal; a wrong --decoder ends it too. */
static int follow_all(struct following *following, struct gg_cli_chosen *chosen)
{
  struct gg_select_options select = GG_SELECT_OPTIONS_INIT;
  struct gg_failure failure = GG_FAILURE_INIT;
  select.filter = chosen->filter;
  for (;;) {
    if (take_list(following, chosen->list) == GG_EXIT_USAGE)
      return GG_EXIT_USAGE;
    fflush(stdout);
    select.changed_since = gg_store_generation(chosen->store);
    if (!goes_on() || !gg_cli_pause(FOLLOW_INTERVAL_NS))
      return GG_EXIT_DONE;
    gg_session_list_destroy(chosen->list);
    chosen->list = NULL;
    if (gg_store_refresh(chosen->store, &failure) != 0 ||
        gg_store_select(chosen->store, &select, &chosen->list, &failure) != 0)
      return gg_cli_fail("%s", failure.message);
  }
}

static int follow(struct gg_cli_chosen *chosen, const struct gg_cli_style *style)
{
  struct following following = {.style = style, .store = chosen->store};
  gg_cli_catch_signals(NULL);
  int status = follow_all(&following, chosen);
  for (size_t i = 0; i < following.room; i++)
    gg_cli_view_close(following.table[i].view);
  free(following.table);
  free(following.queue);
  return status;
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int choose_side(struct gg_cli_style *style, const char *word)
{
  style->skip[GG_SIDE_CLIENT] = strcmp(word, "server") == 0;
  style->skip[GG_SIDE_SERVER] = strcmp(word, "client") == 0;
  if (style->skip[0] || style->skip[1] || strcmp(word, "both") == 0)
    return GG_EXIT_DONE;
  return gg_cli_wrong("messages: --from %s is not known; client, server and both are", word);
}

static int take_option(struct gg_cli_style *style, struct gg_cli_words *words, int option, const char *value)
{
  switch (option) {
  case OPTION_JSON:
    style->json = true;
    return GG_EXIT_DONE;
  case OPTION_FOLLOW:
    style->live = true;
    return GG_EXIT_DONE;
  case OPTION_FROM:
    return choose_side(style, value);
  case OPTION_HEADERS:
    style->fields = true;
    return GG_EXIT_DONE;
  case OPTION_BODY:
    style->bodies = true;
    return GG_EXIT_DONE;
  case OPTION_DECODER:
    style->decoder = value;
    return GG_EXIT_DONE;
  case OPTION_FRAMING:
    style->framing = value;
    return GG_EXIT_DONE;
  case OPTION_SECRETS:
    style->secrets = true;
    return GG_EXIT_DONE;
  case OPTION_FILTER:
    return gg_cli_add_filter(words, value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
  case GG_CLI_WORD:
    return gg_cli_add_word(words, value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
  default:
    return GG_EXIT_USAGE;
  }
}

static int run_messages(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_words words = {0};
  struct gg_cli_style style = {.colours = gg_cli_colours(), .human = isatty(STDOUT_FILENO) == 1, .many = true};
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    int status = take_option(&style, &words, what, args.value);
    if (status != GG_EXIT_DONE)
      return status;
  }
  int status = gg_cli_check_style("messages", &style);
  if (status != GG_EXIT_DONE)
    return status;
  style.memory_max = style.live ? FOLLOWED_BYTES_MAX : 0;
  struct gg_cli_chosen chosen;
  status = gg_cli_choose_sorted(cli, &words, NULL, style.live ? 0 : GG_CLI_PAGE_SESSIONS, &chosen);
  if (status == GG_EXIT_DONE)
    status = style.live ? follow(&chosen, &style) : show_pages(cli, &words, &chosen, &style);
  gg_cli_chosen_free(&chosen);
  return status;
}

const struct gg_command gg_command_messages = {
  .name = "messages",
  .summary = "show what was said in sessions, message by message",
  .synopsis = "[FILTER...] [--filter EXPR] [--follow] [--json] [--from client|server|both]\n"
              "                         [--headers] [--body] [--decoder NAME] [--framing TEXT] [--secrets]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details = "FILTER words choose sessions ('gogetway help filters'). Each message is a line: the session, when it\n"
             "began, who said it, and how long an answer took after the last byte of what it answers: until its first\n"
             "byte, and until it was whole. Credentials are masked. 'gogetway protocols' says what is understood.\n"
             "\n"
             "examples:\n"
             "  gogetway messages since=10m port=80\n"
             "  gogetway messages --follow listener=web --json\n",
  .run = run_messages,
};
