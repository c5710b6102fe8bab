/* SPDX-License-Identifier: Apache-2.0 */
/* export.c - the command that writes sessions for other programs. */
#include "commands.h"
#include "store_common.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_FORMAT, OPTION_OUT, OPTION_MTU, OPTION_FORCE, OPTION_FILTER, PROGRESS_INTERVAL_NS = 200000000 };

static const struct gg_cli_option options[] = {
  [OPTION_FORMAT] = {"format", 'f', "FORM", "pcapng (default), pcap (classic, nanoseconds) or raw"},
  [OPTION_OUT] = {"out", 'o', "OUT", "the file to write, - for standard output; for raw a directory"},
  [OPTION_MTU] = {"mtu", 0, "N", "no IP packet longer than N bytes: 576 to 65535"},
  [OPTION_FORCE] = {"force", 0, NULL, "replace what exists"},
  [OPTION_FILTER] = GG_CLI_FILTER_OPTION,
};

static const struct {
  const char *name;
  enum gg_export_format format;
} forms[] = {{"pcapng", GG_EXPORT_PCAPNG}, {"pcap", GG_EXPORT_PCAP}, {"raw", GG_EXPORT_RAW}};
enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

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

static int choose_form(struct gg_export_options *export, const char *word)
{
  const char *names[FORM_COUNT];
  for (size_t i = 0; i < FORM_COUNT; i++) {
    names[i] = forms[i].name;
    if (strcmp(word, forms[i].name) == 0) {
      export->format = forms[i].format;
      return GG_EXIT_DONE;
    }
  }
  const char *nearest = gg_cli_nearest(word, names, FORM_COUNT);
  return gg_cli_wrong("export: --format %s is not known; %s%s", word,
                      nearest ? "did you mean " : "pcapng, pcap and raw are", nearest ? nearest : "");
}

static int choose_mtu(struct gg_export_options *export, const char *word)
{
  char *end;
  unsigned long mtu = strtoul(word, &end, 10);
  if (*word < '0' || *word > '9' || *end || mtu < 576 || mtu > 65535)
    return gg_cli_wrong("export: --mtu %s is no number from 576 to 65535", word);
  export->mtu = (unsigned)mtu;
  return GG_EXIT_DONE;
}

static int export_chosen(const struct gg_cli *cli, const struct gg_cli_words *words, struct gg_export_options *export)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_export_result result;
  struct gg_cli_chosen chosen;
  struct progress progress = {.last_ns = gg_cli_now_ns()};
  struct losing losing = {.raw = export->format == GG_EXPORT_RAW};
  bool terminal = isatty(STDERR_FILENO) == 1;
  export->progress = terminal ? tell_progress : NULL;
  export->progress_context = &progress;
  export->gap = tell_gap;
  export->lost = tell_lost;
  export->lost_context = &losing;
  int status = gg_cli_choose(cli, words, &chosen);
  if (status == GG_EXIT_DONE && gg_session_list_count(chosen.list) == 0)
    status = gg_cli_fail("no session matches, so nothing was written; 'gogetway sessions' lists them");
  if (status == GG_EXIT_DONE) {
    int error = gg_store_export(chosen.store, chosen.list, export, &result, &failure);
    if (progress.shown)
      fputs("\r\033[K", stderr);
    if (error == GG_ERR_EXISTS)
      status = gg_cli_fail("%s; --force replaces it", failure.message);
    else if (error)
      status = gg_cli_fail("%s", failure.message);
    else if (terminal)
      fprintf(stderr, "%" PRIu64 " sessions, %" PRIu64 " bytes written to %s\n", result.sessions, result.bytes,
              export->path);
    if (!error && losing.count > 0)
      status = GG_EXIT_FAILED;
  }
  gg_cli_chosen_free(&chosen);
  return status;
}

static int run_export(const struct gg_cli *cli, int argc, char **argv)
{
  struct gg_cli_args args = GG_CLI_ARGS(argc, argv, options);
  struct gg_cli_words words = {0};
  struct gg_export_options export = GG_EXPORT_OPTIONS_INIT;
  for (int what, status = GG_EXIT_DONE; (what = gg_cli_next(&args)) != GG_CLI_END;) {
    if (what == OPTION_FORMAT)
      status = choose_form(&export, args.value);
    else if (what == OPTION_OUT)
      export.path = args.value;
    else if (what == OPTION_MTU)
      status = choose_mtu(&export, args.value);
    else if (what == OPTION_FORCE)
      export.overwrite = true;
    else if (what == OPTION_FILTER && gg_cli_add_filter(&words, args.value))
      continue;
    else if (what != GG_CLI_WORD || !gg_cli_add_word(&words, args.value))
      status = GG_EXIT_USAGE;
    if (status != GG_EXIT_DONE)
      return status;
  }
  if (!export.path)
    return gg_cli_wrong("export: where to? -o FILE, or -o - for standard output");
  if (export.format == GG_EXPORT_RAW && strcmp(export.path, "-") == 0)
    return gg_cli_wrong("export: raw makes two files a session: -o needs a directory");
  if (export.format == GG_EXPORT_RAW && export.mtu)
    return gg_cli_wrong("export: --mtu is for packets, and raw has none");
  if (export.format != GG_EXPORT_RAW && strcmp(export.path, "-") == 0 && isatty(STDOUT_FILENO) == 1)
    return gg_cli_wrong("export: a capture is not for a terminal; -o FILE, or a pipe");
  return export_chosen(cli, &words, &export);
}

const struct gg_command gg_command_export = {
  .name = "export",
  .summary = "write sessions as one capture, or as bare bytes",
  .synopsis = "[FILTER...] [--filter EXPR] [--format pcapng|pcap|raw] -o OUT [--mtu N]",
  .options = options,
  .option_count = sizeof options / sizeof options[0],
  .details =
    "Whole sessions are written, from all segments, in order of time. FILTER is as in 'gogetway help filters'.\n"
    "raw makes OUT/<id>.client and OUT/<id>.server. No format masks anything: credentials are in there as they were "
    "said.\n"
    "\n"
    "examples:\n"
    "  gogetway export since=1h -o out.pcapng\n"
    "  gogetway export client=10.0.0.7 --format pcap --mtu 1500 -o out.pcap\n"
    "  gogetway export 018c2f -o - | tshark -r -\n"
    "  gogetway export state=closed --format raw -o streams\n",
  .run = run_export,
};
