/* SPDX-License-Identifier: Apache-2.0 */
/* One file for each session: of one session that file is what the caller has named, of several they go into a
 * directory, each called after its session. */
#include "store/export_script.h"

#include "base/sized.h"
#include "store/python.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_python(struct gg__writer *out, struct gg_store *store, const struct gg_session *session,
                        const struct gg__script *script, struct gg_failure *failure)
{
  struct gg__story story;
  const struct gg__story_options options = {
    .decoder = script->decoder, .framing = script->framing, .secrets = script->secrets};
  int error = gg__story_read(&story, store, session, &options, failure);
  if (!error)
    gg__python_write(out, &story);
  gg__story_free(&story);
  return error;
}

/* Of each format: how a session is written, and what its file's name ends in. */
static const struct {
  int (*write)(struct gg__writer *out, struct gg_store *store, const struct gg_session *session,
               const struct gg__script *script, struct gg_failure *failure);
  const char *suffix;
} forms[] = {
  [GG_SCRIPT_PYTHON] = {write_python, "py"},
  [GG_SCRIPT_ASCIICAST] = {gg__asciicast_write, "cast"},
};

/* `*ours`: it was the file that failed, not the session. */
static int write_session(struct gg_store *store, const struct gg_session *session,
                         const struct gg_script_options *options, const char *path, uint64_t *bytes, bool *ours,
                         struct gg_failure *failure)
{
  const struct gg__script script = {
    .decoder = options->decoder, .framing = options->framing, .secrets = options->secrets};
  bool standard = strcmp(path, "-") == 0;
  struct gg__output output = GG__OUTPUT_NONE;
  struct gg__writer *writer = malloc(sizeof *writer);
  *ours = true;
  if (!writer)
    return gg_fail(failure, GG_ERR_NOMEM, "no memory to write %s", path);
  int error = standard ? 0 : gg__output_open(&output, path, options->overwrite, failure);
  if (!error) {
    gg__writer_init(writer, standard ? STDOUT_FILENO : output.fd, standard ? "standard output" : path);
    error = forms[options->format].write(writer, store, session, &script, failure);
    *ours = !error;
    gg__writer_flush(writer);
    if (!error && writer->error)
      error = gg_fail(failure, writer->error, "%s", writer->failure.message);
    *bytes += error ? 0 : writer->bytes;
  }
  free(writer);
  return standard ? error : gg__output_close(&output, error, failure);
}

static bool is_directory(const char *path)
{
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* A session that cannot be written is told, if somebody wants to know, and the others go on. */
static int write_all(struct gg_store *store, const struct gg_session_list *list,
                     const struct gg_script_options *options, struct gg_export_result *result,
                     struct gg_failure *failure)
{
  int error = gg__output_directory(options->path, failure);
  for (size_t i = 0; i < list->count && !error; i++) {
    char path[GG__OUTPUT_PATH_MAX];
    struct gg_failure why = GG_FAILURE_INIT;
    const struct gg_session *session = list->sessions[i];
    bool ours = true;
    if ((size_t)snprintf(path, sizeof path, "%s/%s.%s", options->path, session->id, forms[options->format].suffix) >=
        sizeof path)
      return gg_fail(failure, GG_ERR_RANGE, "the path is too long");
    error = write_session(store, session, options, path, &result->bytes, &ours, &why);
    if (error && !ours && error != GG_ERR_NOMEM && options->refused) {
      options->refused(options->refused_context, session, &why);
      error = 0;
    } else if (error) {
      gg_fail(failure, error, "%s", why.message);
    } else {
      result->sessions++;
    }
  }
  return error;
}

int gg_store_export_scripts(struct gg_store *store, const struct gg_session_list *list,
                            const struct gg_script_options *given, struct gg_export_result *result,
                            struct gg_failure *failure)
{
  struct gg_script_options known = GG_SCRIPT_OPTIONS_INIT;
  struct gg_export_result ignored;
  result = result ? result : &ignored;
  *result = (struct gg_export_result){0};
  int error = gg_sized_take(&known, sizeof known, GG_SIZED_END(struct gg_script_options, refused_context), given,
                            "gg_script_options", failure);
  if (error)
    return error;
  if (!known.path || !known.path[0])
    return gg_fail(failure, GG_ERR_INVALID, "the export needs a path");
  if ((unsigned)known.format >= sizeof forms / sizeof *forms)
    return gg_fail(failure, GG_ERR_INVALID, "the export format is not known");
  if (known.framing && known.format != GG_SCRIPT_PYTHON)
    return gg_fail(failure, GG_ERR_INVALID, "only Python is written by a framing");
  bool standard = strcmp(known.path, "-") == 0;
  if (list->count == 1 && (standard || !is_directory(known.path))) {
    bool ours;
    error = write_session(store, list->sessions[0], &known, known.path, &result->bytes, &ours, failure);
    result->sessions = error ? 0 : 1;
    return error;
  }
  if (standard)
    return gg_fail(failure, GG_ERR_INVALID, "each session is a file of its own: several need a directory");
  return write_all(store, list, &known, result, failure);
}
