/* SPDX-License-Identifier: Apache-2.0 */
/* export.c - the command that writes sessions for other programs. */
#include "commands.h"
#include "export_script.h"
#include "store_common.h"

#include <gogetway/messages.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  OPTION_FORMAT,
  OPTION_FILES,
  OPTION_OUT,
  OPTION_MTU,
  OPTION_FORCE,
  OPTION_SECRETS,
  OPTION_DECODER,
  OPTION_FRAMING,
  OPTION_FILTER,
  PROGRESS_INTERVAL_NS = 200000000
};

static const struct gg_cli_option options[] = {
  [OPTION_FORMAT] = {"format", 'f', "FORM",
                     "pcapng (default), pcap (classic, nanoseconds), raw, har, curl, python or asciicast"},
  [OPTION_FILES] = {"files", 0, NULL, "the bodies of all messages, a file each, with a list of them"},
  [OPTION_OUT] = {"out", 'o', "OUT",
                  "the file to write, - for standard output; for raw, --files and several programs a directory"},
  [OPTION_MTU] = {"mtu", 0, "N", "no IP packet longer than N bytes: 576 to 65535"},
  [OPTION_FORCE] = {"force", 0, NULL, "replace what exists"},
  [OPTION_SECRETS] = {"secrets", 0, NULL, "credentials as they are, which messages hide otherwise"},
  [OPTION_DECODER] = {"decoder", 0, "NAME", "for all but captures: who understands it; else its first bytes tell"},
  [OPTION_FRAMING] = {"framing", 0, "TEXT", "for python: how messages of an unknown protocol are told apart"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

/* Of bytes, or of messages. */
struct form {
  const char *name; /* NULL: it is no word of --format */
  bool messages, directory, scripts;
  enum gg_export_format format;
  enum gg_message_export_format of_messages;
  enum gg_script_format of_scripts;
};
enum { FORM_FILES = 7, FORM_COUNT = FORM_FILES };
static const struct form forms[] = {
  {.name = "pcapng", .format = GG_EXPORT_PCAPNG},
  {.name = "pcap", .format = GG_EXPORT_PCAP},
  {.name = "raw", .directory = true, .format = GG_EXPORT_RAW},
  {.name = "har", .messages = true, .of_messages = GG_MESSAGE_EXPORT_HAR},
  {.name = "curl", .messages = true, .of_messages = GG_MESSAGE_EXPORT_CURL},
  {.name = "python", .messages = true, .scripts = true, .of_scripts = GG_SCRIPT_PYTHON},
  {.name = "asciicast", .messages = true, .scripts = true, .of_scripts = GG_SCRIPT_ASCIICAST},
  [FORM_FILES] = {.messages = true, .directory = true, .of_messages = GG_MESSAGE_EXPORT_FILES},
};

/* What the command is to do. */
struct wanted {
  const struct form *form; /* NULL: it was not said */
  const char *path, *decoder, *framing;
  unsigned mtu;
  bool force, secrets;
};

struct progress {
  bool shown;
  uint64_t last_ns;
};

static bool tell_progress(void *context, uint64_t done, uint64_t total)
{
  struct progress *progress = context;
  uint64_t now = gg_cli_now_ns();
  if (now - progress->last_ns < PROGRESS_INTERVAL_NS)
    return true;
  progress->last_ns = now;
  progress->shown = true;
  fprintf(stderr, "\rexporting %3.0f%%", total ? 100.0 * (double)done / (double)total : 100.0);
  return true;
}

static void tell_gap(void *context, const struct gg_session *session, enum gg_side side, uint64_t offset,
                     uint64_t bytes)
{
  (void)context;
  fprintf(stderr, "gogetway: warning: %s: %" PRIu64 " bytes from the %s are missing at offset %" PRIu64 "\n",
          session->id, bytes, side == GG_SIDE_CLIENT ? "client" : "server", offset);
}

struct losing {
  uint64_t count;
  bool raw;
};

static void tell_lost(void *context, const struct gg_session *session)
{
  struct losing *losing = context;
  losing->count++;
  fprintf(stderr, "gogetway: warning: %s is not %s: a segment of it has gone meanwhile, and it was not held\n",
          session->id, losing->raw ? "exported" : "exported whole");
}

static int choose_form(struct wanted *wanted, const char *word)
{
  const char *names[FORM_COUNT];
  if (wanted->form == &forms[FORM_FILES])
    return gg_cli_wrong("export: --files is a form by itself: leave --format away");
  for (size_t i = 0; i < FORM_COUNT; i++) {
    names[i] = forms[i].name;
    if (strcmp(word, forms[i].name) == 0) {
      wanted->form = &forms[i];
      return GG_EXIT_DONE;
    }
  }
  const char *nearest = gg_cli_nearest(word, names, FORM_COUNT);
  return gg_cli_wrong("export: --format %s is not known; %s%s", word,
                      nearest ? "did you mean " : "pcapng, pcap, raw, har, curl, python and asciicast are",
                      nearest ? nearest : "");
}

static int choose_files(struct wanted *wanted)
{
  if (wanted->form && wanted->form != &forms[FORM_FILES])
    return gg_cli_wrong("export: --files is a form by itself: leave --format away");
  wanted->form = &forms[FORM_FILES];
  return GG_EXIT_DONE;
}

static int choose_mtu(struct wanted *wanted, const char *word)
{
  char *end;
  unsigned long mtu = strtoul(word, &end, 10);
  if (*word < '0' || *word > '9' || *end || mtu < 576 || mtu > 65535)
    return gg_cli_wrong("export: --mtu %s is no number from 576 to 65535", word);
  wanted->mtu = (unsigned)mtu;
  return GG_EXIT_DONE;
}

struct outcome {
  uint64_t sessions, bytes, entries;
};

static int export_bytes(const struct wanted *wanted, const struct gg_cli_chosen *chosen, struct progress *progress,
                        struct losing *losing, struct outcome *outcome, struct gg_failure *failure)
{
  struct gg_export_options export = GG_EXPORT_OPTIONS_INIT;
  struct gg_export_result result = {0};
  export.format = wanted->form->format;
  export.path = wanted->path;
  export.overwrite = wanted->force;
  export.mtu = wanted->mtu;
  export.progress = isatty(STDERR_FILENO) == 1 ? tell_progress : NULL;
  export.progress_context = progress;
  export.gap = tell_gap;
  export.lost = tell_lost;
  export.lost_context = losing;
  int error = gg_store_export(chosen->store, chosen->list, &export, &result, failure);
  *outcome = (struct outcome){.sessions = result.sessions, .bytes = result.bytes};
  return error;
}

static int export_messages(const struct wanted *wanted, const struct gg_cli_chosen *chosen, struct progress *progress,
                           struct losing *losing, struct outcome *outcome, struct gg_failure *failure)
{
  struct gg_message_export_options export = GG_MESSAGE_EXPORT_OPTIONS_INIT;
  struct gg_message_export_result result = {0};
  export.format = wanted->form->of_messages;
  export.path = wanted->path;
  export.overwrite = wanted->force;
  export.secrets = wanted->secrets;
  export.decoder = wanted->decoder;
  export.progress = isatty(STDERR_FILENO) == 1 ? tell_progress : NULL;
  export.progress_context = progress;
  export.lost = tell_lost;
  export.lost_context = losing;
  int error = gg_store_export_messages(chosen->store, chosen->list, &export, &result, failure);
  *outcome = (struct outcome){.sessions = result.sessions, .bytes = result.bytes, .entries = result.entries};
  if (!error && result.skipped)
    fprintf(stderr, "gogetway: warning: %" PRIu64 " answers are left out: their requests are not in the recording\n",
            result.skipped);
  if (!error && result.partly)
    fprintf(stderr,
            "gogetway: warning: %" PRIu64 " sessions were not understood to their end: what follows is left out\n",
            result.partly);
  return error;
}

static int export_chosen(const struct gg_cli *cli, const struct gg_cli_words *words, const struct wanted *wanted)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct outcome outcome = {0};
  struct gg_cli_chosen chosen;
  struct progress progress = {.last_ns = gg_cli_now_ns()};
  struct losing losing = {.raw = wanted->form->format == GG_EXPORT_RAW && !wanted->form->messages};
  int status = gg_cli_choose(cli, words, &chosen);
  if (status == GG_EXIT_DONE && gg_session_list_count(chosen.list) == 0)
    status = gg_cli_fail("no session matches, so nothing was written; 'gogetway sessions' lists them");
  if (status == GG_EXIT_DONE) {
    int error = wanted->form->messages ? export_messages(wanted, &chosen, &progress, &losing, &outcome, &failure)
                                       : export_bytes(wanted, &chosen, &progress, &losing, &outcome, &failure);
    if (progress.shown)
      fputs("\r\033[K", stderr);
    bool enough = gg_cli_read_enough(wanted->path, error);
    if (error == GG_ERR_EXISTS)
      status = gg_cli_fail("%s; --force replaces it", failure.message);
    else if (error && !enough)
      status = gg_cli_fail("%s", failure.message);
    else if (wanted->form->messages && outcome.entries == 0 && !enough)
      fputs("gogetway: warning: nothing of these sessions is of that form; 'gogetway messages' lists what there is\n",
            stderr);
    else if (isatty(STDERR_FILENO) == 1 && !enough)
      fprintf(stderr, "%" PRIu64 " sessions, %" PRIu64 " bytes written to %s\n", outcome.sessions, outcome.bytes,
              wanted->path);
    if (!error && losing.count > 0)
      status = GG_EXIT_FAILED;
  }
  gg_cli_chosen_free(&chosen);
  return status;
}

static int export_scripts(const struct gg_cli *cli, const struct gg_cli_words *words, const struct wanted *wanted)
{
  struct gg_script_options scripts = GG_SCRIPT_OPTIONS_INIT;
  scripts.format = wanted->form->of_scripts;
  scripts.path = wanted->path;
  scripts.overwrite = wanted->force;
  scripts.secrets = wanted->secrets;
  scripts.decoder = wanted->decoder;
  scripts.framing = wanted->framing;
  return gg_cli_export_scripts(cli, words, &scripts);
}

/* Whether what was asked for goes together. */
static int check(const struct wanted *wanted)
{
  const struct form *form = wanted->form;
  bool standard = wanted->path && strcmp(wanted->path, "-") == 0;
  if (!wanted->path)
    return gg_cli_wrong(form->directory ? "export: where to? -o DIR"
                                        : "export: where to? -o FILE, or -o - for standard output");
  if (form->directory && standard)
    return gg_cli_wrong(form->messages ? "export: --files makes a file of each body: -o needs a directory"
                                       : "export: raw makes two files a session: -o needs a directory");
  if (wanted->mtu && form->messages)
    return gg_cli_wrong("export: --mtu is for packets, and messages are none");
  if (wanted->mtu && form->directory)
    return gg_cli_wrong("export: --mtu is for packets, and raw has none");
  if (wanted->secrets && (!form->messages || form->directory))
    return gg_cli_wrong("export: --secrets is for har, curl, python and asciicast; all else never hides any");
  if (wanted->decoder && !form->messages)
    return gg_cli_wrong("export: --decoder is for messages, and this form has none");
  if (wanted->framing && !form->scripts)
    return gg_cli_wrong("export: --framing is for programs");
  if (!form->messages && standard && isatty(STDOUT_FILENO) == 1)
    return gg_cli_wrong("export: a capture is not for a terminal; -o FILE, or a pipe");
  return GG_EXIT_DONE;
}

static int run_export(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_words words = {0};
  struct wanted wanted = {0};
  int status = GG_EXIT_DONE;
  for (int what; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == OPTION_FORMAT)
      status = choose_form(&wanted, args.value);
    else if (what == OPTION_FILES)
      status = choose_files(&wanted);
    else if (what == OPTION_OUT)
      wanted.path = args.value;
    else if (what == OPTION_MTU)
      status = choose_mtu(&wanted, args.value);
    else if (what == OPTION_FORCE)
      wanted.force = true;
    else if (what == OPTION_SECRETS)
      wanted.secrets = true;
    else if (what == OPTION_DECODER)
      wanted.decoder = args.value;
    else if (what == OPTION_FRAMING)
      wanted.framing = args.value;
    else if (what == OPTION_FILTER && gg_cli_add_filter(&words, args.value))
      continue;
    else if (what != GG_CLI_WORD || !gg_cli_add_word(&words, args.value))
      status = GG_EXIT_USAGE;
    if (status != GG_EXIT_DONE)
      return status;
  }
  if (!wanted.form)
    wanted.form = &forms[0];
  status = check(&wanted);
  if (status != GG_EXIT_DONE)
    return status;
  return wanted.form->scripts ? export_scripts(cli, &words, &wanted) : export_chosen(cli, &words, &wanted);
}

const struct gg_command gg_command_export = {
  .name = "export",
  .summary = "write sessions as a capture, bare bytes, HAR, curl lines, files or programs",
  .synopsis = "[FILTER...] [--filter EXPR] [--format FORM | --files] -o OUT [--secrets]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "Whole sessions are written, from all segments, in order of time. FILTER is as in 'gogetway help filters'.\n"
    "raw makes OUT/<id>.client and OUT/<id>.server.\n"
    "har is an HTTP Archive of requests and answers, and curl a script for bash that sends the requests again. Both\n"
    "hide credentials unless --secrets is there: as ****, or as variables of the environment that the script names.\n"
    "--files makes OUT/<id>-<message>-<name> of each body, and OUT/manifest.jsonl with their SHA-256.\n"
    "python is a program that says to a live server what the client said, and waits for whole answers; asciicast "
    "plays\n"
    "telnet and lines on a screen. Several sessions are OUT/<id>.py or .cast. Programs take credentials from the\n"
    "environment, and screens have stars, unless --secrets is there: docs/messages.md.\n"
    "pcapng, pcap, raw and --files never hide anything: credentials are in there as they were said.\n"
    "\n"
    "examples:\n"
    "  gogetway export since=1h -o out.pcapng\n"
    "  gogetway export client=10.0.0.7 --format pcap --mtu 1500 -o out.pcap\n"
    "  gogetway export 018c2f -o - | tshark -r -\n"
    "  gogetway export state=closed --format raw -o streams\n"
    "  gogetway export proto=http --format har -o out.har\n"
    "  gogetway export http.path~^/api/ --format curl -o - | less\n"
    "  gogetway export proto=http --files -o bodies\n"
    "  gogetway export 018c2f --format python -o again.py && python3 again.py 127.0.0.1 8080\n",
  .run = run_export,
};
