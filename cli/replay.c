/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - the command that plays recorded sessions again, as their clients, against a server. */
#include "replay.h"
#include "commands.h"
#include "store_common.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { /* those in front of OPTION_DRY_RUN are the library's, by the same names */
       OPTION_TO,
       OPTION_LEVEL,
       OPTION_SPEED,
       OPTION_RATE,
       OPTION_RAMP,
       OPTION_COPIES,
       OPTION_LOOP,
       OPTION_MAX_CONNECTIONS,
       OPTION_REPLY_TIMEOUT,
       OPTION_CONNECT_TIMEOUT,
       OPTION_ON_TIMEOUT,
       OPTION_ON_CLOSE,
       OPTION_SOURCE,
       OPTION_INCLUDE_PARTIAL,
       OPTION_ALLOW_ORIGINAL,
       OPTION_RECORD,
       OPTION_REPORT,
       OPTION_PLUGIN,
       OPTION_PLUGIN_CONFIG, /* gathered, then the library's */
       OPTION_DRY_RUN,
       OPTION_JSON,
       OPTION_VERBOSE,
       OPTION_FILTER,
};

static const struct gg_cli_option options[] = {
  [OPTION_TO] = {"to", 0, "ADDR", "the server: host:port, [v6]:port or unix:PATH"},
  [OPTION_LEVEL] = {"level", 0, "LEVEL", "causal (default): what followed a reply waits for the reply; bytes: never"},
  [OPTION_SPEED] = {"speed", 0, "S", "1x (default), 0.01x to 1000x, or max"},
  [OPTION_RATE] = {"rate", 0, "N/s", "begin N recorded sessions a second, each with its copies"},
  [OPTION_RAMP] = {"ramp", 0, "T", "speed, rate or connections grow to what is asked in this time"},
  [OPTION_COPIES] = {"copies", 0, "N", "of each session at once, each with its own connection"},
  [OPTION_LOOP] = {"loop", 0, "N", "all of it so many times in a row"},
  [OPTION_MAX_CONNECTIONS] = {"max-connections", 0, "N", "open at once; default: what descriptors allow"},
  [OPTION_REPLY_TIMEOUT] = {"reply-timeout", 0, "T", "how much longer than when recorded the server may take (10s)"},
  [OPTION_CONNECT_TIMEOUT] = {"connect-timeout", 0, "T", "longest wait for a connection (10s)"},
  [OPTION_ON_TIMEOUT] = {"on-timeout", 0, "P", "then continue (default), stop-session or stop"},
  [OPTION_ON_CLOSE] = {"on-close", 0, "P", "if the server closes too early: continue, stop-session (default), stop"},
  [OPTION_SOURCE] = {"source", 0, "NET", "connect from the addresses of this network in turn"},
  [OPTION_INCLUDE_PARTIAL] = {"include-partial", 0, NULL, "also sessions with gaps or without their beginning"},
  [OPTION_ALLOW_ORIGINAL] = {"allow-original", 0, NULL, "also to a session's own server, or what its client dialled"},
  [OPTION_RECORD] = {"record", 0, "DIR", "record the replay into this store"},
  [OPTION_REPORT] = {"report", 0, "FILE", "what was found, as JSON; - for standard output"},
  [OPTION_PLUGIN] = {"plugin", 0, "FILE", "a plug-in that sees each piece before it is sent, and may replace it"},
  [OPTION_PLUGIN_CONFIG] = {"plugin-config", 0, "C", "its options: a YAML file, or NAME=VALUE; may be given often"},
  [OPTION_DRY_RUN] = {"dry-run", 'n', NULL, "only tell what would be sent, and when"},
  [OPTION_JSON] = {"json", 'j', NULL, "the report on standard output, for --dry-run one object a line"},
  [OPTION_VERBOSE] = {"verbose", 'v', NULL, "a line for every connection that has ended"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

struct command {
  struct gg_replay_options options;
  struct gg_cli_words words;
  struct gg_cli_progress progress;
  struct gg_cli_found found;
  bool dry_run, json, verbose;
  bool report_on_stdout;
  char *plugin_config; /* YAML; NULL: nothing was given */
};

/* ── Signals ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

static volatile sig_atomic_t signalled;
static struct gg_replay *volatile signalled_replay; /* set while there is one to stop */

static void set_handlers(void (*handler)(int))
{
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGINT);
  sigaddset(&action.sa_mask, SIGTERM);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* The first one ends the replay in good order, the second one, whichever it is, ends the process. */
static void on_signal(int number)
{
  (void)number;
  set_handlers(SIG_DFL);
  signalled = 1;
  if (signalled_replay)
    gg_replay_stop(signalled_replay);
}

/* ── What the library calls ──────────────────────────────────────────────────────────────────────────────────────── */

static bool on_planning(void *context, uint64_t done, uint64_t total)
{
  struct command *command = context;
  gg_cli_progress_planning(&command->progress, done, total);
  return !signalled;
}

static void on_progress(void *context, const struct gg_replay_progress *progress)
{
  struct command *command = context;
  gg_cli_progress_playing(&command->progress, progress);
}

static void on_session(void *context, const struct gg_replay_session *session)
{
  struct command *command = context;
  gg_cli_found_add(&command->found, session);
  if (!command->verbose)
    return;
  gg_cli_progress_clear(&command->progress);
  gg_cli_put_played(command->report_on_stdout ? stderr : stdout, session);
}

static void on_warning(void *context, const char *text)
{
  struct command *command = context;
  gg_cli_progress_clear(&command->progress);
  fputs("gogetway: warning: ", stderr);
  gg_cli_put_safe(stderr, text, strlen(text));
  fputc('\n', stderr);
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────── */

/* What the outcome means for who asked. */
static int judge(const struct command *command, const struct gg_replay_outcome *outcome)
{
  uint64_t different = outcome->sessions[GG_REPLAY_DIFFERENT];
  uint64_t unconnected = command->found.refused + command->found.local;
  if (outcome->connections_made == 0 && different > 0 && unconnected == different)
    return command->found.refused
             ? gg_cli_fail("no connection to %s could be made", command->options.to)
             : gg_cli_fail("no connection to %s could be made: this host has no descriptor, port or memory for one",
                           command->options.to);
  if (different > 0)
    return GG_EXIT_DIFFERENCE;
  if (outcome->partial || outcome->sessions[GG_REPLAY_UNFINISHED])
    return gg_cli_fail("the replay was stopped before its end; nothing differed until then");
  return GG_EXIT_DONE;
}

static int play(struct command *command, struct gg_replay *replay, const struct gg_replay_plan *plan)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_replay_outcome outcome;
  if (plan->played == 0)
    return gg_cli_fail("none of the %" PRIu64 " sessions can be played: %" PRIu64 " are partial, %" PRIu64
                       " opaque; --include-partial plays what there is of partial ones",
                       plan->sessions, plan->partial, plan->opaque);
  int error = gg_replay_run(replay, &failure);
  gg_cli_progress_clear(&command->progress);
  gg_replay_outcome(replay, &outcome);
  bool something = outcome.connections_made || outcome.connections_refused || command->found.count;
  if (!command->report_on_stdout && (!error || something))
    gg_cli_put_summary(stdout, plan, &outcome, &command->found);
  fflush(stdout);
  return error ? gg_cli_fail("%s", failure.message) : judge(command, &outcome);
}

/* After gg_replay_create: plays, tells, or says why not. */
static int proceed(struct command *command, struct gg_replay *replay, int error, const struct gg_failure *failure)
{
  struct gg_replay_plan plan;
  gg_cli_progress_clear(&command->progress);
  if (signalled)
    return gg_cli_fail("stopped while planning; nothing was sent");
  if (replay && command->dry_run) {
    set_handlers(SIG_DFL); /* a long table has nothing to bring in order */
    gg_cli_put_plan(stdout, replay, &command->options, command->json);
    fflush(stdout);
  }
  if (error == GG_ERR_INVALID)
    return gg_cli_wrong("replay: %s", failure->message);
  if (error)
    return gg_cli_store_fail(failure);
  if (command->dry_run)
    return GG_EXIT_DONE;
  gg_replay_plan(replay, &plan);
  return play(command, replay, &plan);
}

static int replay_chosen(const struct gg_cli *cli, struct command *command)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_filter *filter = NULL;
  struct gg_replay *replay = NULL;
  int status = gg_cli_parse_filter(&command->words, &filter);
  if (status != GG_EXIT_DONE)
    return status;
  command->options.on_planning = on_planning;
  command->options.on_progress = on_progress;
  command->options.on_session = on_session;
  command->options.on_warning = on_warning;
  command->options.context = command;
  gg_cli_raise_descriptor_limit();
  gg_cli_progress_begin(&command->progress);
  set_handlers(on_signal);
  int error = gg_replay_create(&replay, cli->dir, filter, &command->options, &failure);
  signalled_replay = replay;
  status = proceed(command, replay, error, &failure);
  set_handlers(SIG_DFL);
  signalled_replay = NULL;
  gg_replay_destroy(replay);
  gg_filter_destroy(filter);
  return status;
}

/* An option of the library's: those without a value are switched on. */
static int set_option(struct command *command, int what, const char *value)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  const char *text = options[what].value ? value : "true";
  if (gg_replay_option_set(&command->options, options[what].name, text, &failure) == 0)
    return GG_EXIT_DONE;
  return gg_cli_wrong("replay: --%s", failure.message);
}

static int check_together(struct command *command)
{
  if (command->plugin_config && !command->options.plugin)
    return gg_cli_wrong("replay: --plugin-config without --plugin");
  command->options.plugin_config = command->plugin_config;

  if (!command->options.to)
    return gg_cli_wrong("replay: against which server? --to HOST:PORT");
  if (command->dry_run && (command->options.report_path || command->options.record_dir))
    return gg_cli_wrong("replay: a dry run sends nothing, so there is nothing to %s",
                        command->options.report_path ? "report" : "record");
  if (command->json && !command->dry_run) {
    if (command->options.report_path && strcmp(command->options.report_path, "-") != 0)
      return gg_cli_wrong("replay: --json writes the report to standard output, --report to a file: one of them");
    command->options.report_path = "-";
  }
  command->report_on_stdout = command->options.report_path && strcmp(command->options.report_path, "-") == 0;
  return GG_EXIT_DONE;
}

static int parse_and_run(const struct gg_cli *cli, int argc, char **argv, struct command *command)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  int status = GG_EXIT_DONE;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == OPTION_DRY_RUN)
      command->dry_run = true;
    else if (what == OPTION_JSON)
      command->json = true;
    else if (what == OPTION_VERBOSE)
      command->verbose = true;
    else if (what == OPTION_FILTER)
      status = gg_cli_add_filter(&command->words, args.value) ? GG_EXIT_DONE : GG_EXIT_USAGE;
    else if (what == OPTION_PLUGIN_CONFIG)
      status = gg_cli_plugin_config(&command->plugin_config, args.value);
    else if (what == OPTION_PLUGIN && command->options.plugin)
      status = gg_cli_wrong("replay: --plugin is given twice, and one is asked");
    else if (what >= 0)
      status = set_option(command, what, args.value);
    else if (what != GG_CLI_WORD || !gg_cli_add_word(&command->words, args.value))
      status = GG_EXIT_USAGE;
    if (status != GG_EXIT_DONE)
      return status;
  }
  status = check_together(command);
  return status == GG_EXIT_DONE ? replay_chosen(cli, command) : status;
}

static int run_replay(const struct gg_cli *cli, int argc, char **argv)
{
  struct command command = {.options = GG_REPLAY_OPTIONS_INIT};
  int status = parse_and_run(cli, argc, argv, &command);
  free(command.plugin_config);
  return status;
}

const struct gg_command gg_command_replay = {
  .name = "replay",
  .summary = "play sessions again, as their clients, against a server",
  .synopsis = "[FILTER...] [--filter EXPR] --to ADDR [--level LEVEL] [--speed S] [OPTION...]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "One connection is made for each recorded one, at its recorded time. What a client sent after a reply is sent\n"
    "when the live server's reply is complete, and the thinking time has passed. Replies are compared to the byte.\n"
    "FILTER is as in 'gogetway help filters'. Sessions that are encrypted end to end are named, and not played.\n"
    "The first Ctrl-C ends the replay in good order, with a summary and a report marked as partial.\n"
    "Exit status: 0 all as recorded; 1 differences, also if it was stopped; 2 the command was wrong; 3 it could not "
    "be\n"
    "done, or was stopped before anything differed.\n"
    "\n"
    "examples:\n"
    "  gogetway replay --to canary:8080\n"
    "  gogetway replay id=019f21 --to 127.0.0.1:4444 --level bytes --speed max -v\n"
    "  gogetway replay since=1h port=8080 --to host:80 --speed 10x --copies 100 --report out.json\n"
    "  gogetway replay since=1h --to host:80 --dry-run\n"
    "  gogetway replay id=019f21 --to 127.0.0.1:4444 --plugin ./token.so --plugin-config token=abc\n",
  .run = run_replay,
};
