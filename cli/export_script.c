/* SPDX-License-Identifier: Apache-2.0 */
#include "export_script.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

bool gg_cli_script_format(const char *word, enum gg_script_format *out)
{
  static const struct {
    const char *name;
    enum gg_script_format format;
  } names[] = {{"python", GG_SCRIPT_PYTHON}, {"asciicast", GG_SCRIPT_ASCIICAST}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(word, names[i].name) == 0) {
      *out = names[i].format;
      return true;
    }
  return false;
}

static void tell_refused(void *context, const struct gg_session *session, const struct gg_failure *why)
{
  uint64_t *count = context;
  (*count)++;
  fprintf(stderr, "gogetway: warning: %s is not exported: %s\n", session->id, why->message);
}

static int write_chosen(struct gg_cli_chosen *chosen, struct gg_script_options *options)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  struct gg_export_result result;
  uint64_t refused = 0;
  if (gg_session_list_count(chosen->list) == 0)
    return gg_cli_fail("no session matches, so nothing was written; 'gogetway sessions' lists them");
  options->refused = tell_refused;
  options->refused_context = &refused;
  int error = gg_store_export_scripts(chosen->store, chosen->list, options, &result, &failure);
  if (gg_cli_read_enough(options->path, error))
    return GG_EXIT_DONE;
  if (error)
    return gg_cli_fail(error == GG_ERR_EXISTS ? "%s; --force replaces it" : "%s", failure.message);
  if (isatty(STDERR_FILENO) == 1)
    fprintf(stderr, "%" PRIu64 " sessions, %" PRIu64 " bytes written to %s\n", result.sessions, result.bytes,
            options->path);
  return refused ? GG_EXIT_FAILED : GG_EXIT_DONE;
}

static int check(const struct gg_script_options *options)
{
  struct gg_failure failure = GG_FAILURE_INIT;
  if (options->decoder && !gg_decoder_find(options->decoder))
    return gg_cli_wrong("export: there is no decoder '%s'; 'gogetway protocols' lists them", options->decoder);
  if (options->framing && options->format != GG_SCRIPT_PYTHON)
    return gg_cli_wrong("export: --framing is for programs");
  if (options->framing && gg_framing_check(options->framing, &failure) != 0)
    return gg_cli_wrong("export: --framing: %s", failure.message);
  return GG_EXIT_DONE;
}

int gg_cli_export_scripts(const struct gg_cli *cli, const struct gg_cli_words *words, struct gg_script_options *options)
{
  struct gg_cli_chosen chosen;
  int status = check(options);
  if (status != GG_EXIT_DONE)
    return status;
  status = gg_cli_choose(cli, words, &chosen);
  if (status == GG_EXIT_DONE)
    status = write_chosen(&chosen, options);
  gg_cli_chosen_free(&chosen);
  return status;
}
