/* SPDX-License-Identifier: Apache-2.0 */
/**
 * messages.h - the messages of recorded sessions: decoder.h's decoders, fed with what store.h reads.
 *
 *     struct gg_message_sink sink = GG_MESSAGE_SINK_INIT;
 *     sink.end = on_message;
 *     if (gg_store_messages(store, session, NULL, &sink, &failure) != 0)
 *       fprintf(stderr, "%s\n", failure.message);
 *
 * Unstable, like decoder.h. Contracts are those of store.h: a store, and all that is made from it, belong to one thread
 * at a time; texts that are told live until the sink returns.
 */
#ifndef GOGETWAY_MESSAGES_H
#define GOGETWAY_MESSAGES_H

#include <gogetway/decoder.h>
#include <gogetway/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gg_message_options {
  size_t size;
  const char *decoder; /* by name: no other is asked; NULL: it is told from the first bytes */
  uint64_t from;       /* number of the first message that is told; all before it are decoded and not told */
  bool skip[2];        /* by enum gg_side: that side's messages are not told */
  size_t memory_max;   /* bytes of the decoding; 0: GG_DECODING_MEMORY_MAX */
  const struct gg_decoder *const *more; /* besides those that are built in, and asked before them */
  size_t more_count;
  /* Asked again and again; may be NULL. False ends it with GG_ERR_CLOSED. */
  bool (*go_on)(void *context);
  void *go_on_context;
  const char *framing; /* how messages are told apart if it is a protocol of one's own (gg_framing_check); NULL: none */
};
#ifdef __cplusplus
inline struct gg_message_options
gg_message_options_init() /* what the macro is in C++, which may not name the members */
{
  struct gg_message_options options = gg_message_options();
  options.size = sizeof options;
  return options;
}
#define GG_MESSAGE_OPTIONS_INIT gg_message_options_init()
#else
#define GG_MESSAGE_OPTIONS_INIT                                                                                        \
  {                                                                                                                    \
    .size = sizeof(struct gg_message_options)                                                                          \
  }
#endif

/* Decodes what is recorded of a session and tells `sink` of it. `options` may be NULL. A side ends where its FIN was
 * recorded; what a reset, a cut or the end of what is there so far has interrupted ends as GG_MESSAGE_CUT. Reading ends
 * where nothing is decoded any more. GG_ERR_NOT_FOUND: there is no such decoder; GG_ERR_INVALID: an option is wrong;
 * GG_ERR_FORMAT: the framing is;
 * GG_ERR_CLOSED: `go_on` said so; else errors as gg_reader_next has them, and what could be read until then has been
 * told. */
GG_API int gg_store_messages(struct gg_store *store, const struct gg_session *session,
                             const struct gg_message_options *options, const struct gg_message_sink *sink,
                             struct gg_failure *failure);

/* The same in steps, for a session that is being recorded: what one step has come to, the next goes on from. */
struct gg_message_reader;

/* Tells nothing yet. The session is the store's, and is to be the same object at each step. */
GG_API int gg_message_reader_open(struct gg_message_reader **out, struct gg_store *store,
                                  const struct gg_session *session, const struct gg_message_options *options,
                                  const struct gg_message_sink *sink, struct gg_failure *failure);
/* Tells what has been recorded since, as of the store's last refresh. 1: there may be more later; 0: the session has
 * ended, or nothing is decoded of it any more, and all is told; negative as gg_store_messages has it. Between two steps
 * no file is open. */
GG_API int gg_message_reader_read(struct gg_message_reader *reader, struct gg_failure *failure);
/* Messages that have begun and not ended are not told. */
GG_API void gg_message_reader_close(struct gg_message_reader *reader);

/* Where credentials stand in what the sides of a session have said: fields that decoders call secret, wherever these
 * say where that is, and messages that have more fields than are kept as a whole. What is not decoded is not known. */
struct gg_secrets;

/* Decodes the session. `options` may be NULL; of them `from` and `skip` mean nothing here. Errors as gg_store_messages
 * has them, and if it could be read in part, `*out` has what was found in that; GG_ERR_LIMIT: there are more than
 * GG_SECRETS_MAX places. Of what could not be read at all, without memory and at the limit it is NULL. */
enum { GG_SECRETS_MAX = 1 << 22 };
GG_API int gg_secrets_find(struct gg_secrets **out, struct gg_store *store, const struct gg_session *session,
                           const struct gg_message_options *options, struct gg_failure *failure);
GG_API void gg_secrets_destroy(struct gg_secrets *secrets);
/* Puts '*' in the place of each byte of a credential in a copy of `length` bytes that stand at `offset` of a side's
 * stream. Returns how many these were. NULL: none. */
GG_API size_t gg_secrets_mask(const struct gg_secrets *secrets, enum gg_side side, uint64_t offset, uint8_t *data,
                              size_t length);

/* ── Export ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

enum gg_message_export_format {
  GG_MESSAGE_EXPORT_HAR,   /* HTTP Archive 1.2, of HTTP */
  GG_MESSAGE_EXPORT_CURL,  /* a script for bash that sends the requests of HTTP again */
  GG_MESSAGE_EXPORT_FILES, /* a directory with the bodies of all messages, and manifest.jsonl */
};

struct gg_message_export_options {
  size_t size;
  enum gg_message_export_format format;
  const char *path;    /* "-": standard output (not for files) */
  bool overwrite;      /* an existing file is replaced; otherwise it is GG_ERR_EXISTS */
  bool secrets;        /* credentials as they are; otherwise "****", and variables in a script. Files never hide any */
  const char *decoder; /* as in struct gg_message_options */
  /* Told now and then; may be NULL. Return false to stop (GG_ERR_CLOSED). */
  bool (*progress)(void *context, uint64_t done, uint64_t total);
  void *progress_context;
  /* As in struct gg_export_options: of such a session there is what could be read of it. */
  void (*lost)(void *context, const struct gg_session *session);
  void *lost_context;
};
#ifdef __cplusplus
inline struct gg_message_export_options gg_message_export_options_init() /* what the macro is in C++ */
{
  struct gg_message_export_options options = gg_message_export_options();
  options.size = sizeof options;
  return options;
}
#define GG_MESSAGE_EXPORT_OPTIONS_INIT gg_message_export_options_init()
#else
#define GG_MESSAGE_EXPORT_OPTIONS_INIT                                                                                 \
  {                                                                                                                    \
    .size = sizeof(struct gg_message_export_options)                                                                   \
  }
#endif

struct gg_message_export_result {
  uint64_t sessions;
  uint64_t entries; /* requests, or files */
  uint64_t skipped; /* answers whose request is not known */
  uint64_t partly;  /* sessions that were not understood to their end, encrypted and unknown ones not counted */
  uint64_t bytes;   /* written, the manifest's not counted */
};

/* Memory is bounded, whatever is in the sessions: docs/exports.md has the limits, and what was cut says so. Files are
 * made with mode 0600, a directory with 0700. On an error a file that was made is removed; carved files that were whole
 * by then stay, with the manifest. `result` may be NULL. Errors as gg_store_messages and gg_store_export have them. */
GG_API int gg_store_export_messages(struct gg_store *store, const struct gg_session_list *list,
                                    const struct gg_message_export_options *options,
                                    struct gg_message_export_result *result, struct gg_failure *failure);

/* ── Sessions to be played again ─────────────────────────────────────────────────────────────────────────────────── */

enum gg_script_format {
  GG_SCRIPT_PYTHON,    /* a program that says to a live server what the client said, and waits for whole answers */
  GG_SCRIPT_ASCIICAST, /* what was on the screen, of telnet and lines: asciicast v2 */
};

struct gg_script_options {
  size_t size;
  enum gg_script_format format;
  const char *path;    /* a file, or "-": standard output; of several sessions a directory, with a file for each */
  bool overwrite;      /* an existing file is replaced; otherwise it is GG_ERR_EXISTS */
  bool secrets;        /* credentials as they are; else a program takes them from its environment, and on a screen they
                        * are stars */
  const char *decoder; /* by name: no other is asked; NULL: it is told from the first bytes */
  const char *framing; /* as that of gg_decoding_options, for programs; NULL: none */
  /* Called for each of several sessions that cannot be written, with the reason; the others go on. NULL: that is an
   * error. */
  void (*refused)(void *context, const struct gg_session *session, const struct gg_failure *why);
  void *refused_context;
};
#ifdef __cplusplus
inline struct gg_script_options gg_script_options_init() /* what the macro is in C++ */
{
  struct gg_script_options options = gg_script_options();
  options.size = sizeof options;
  return options;
}
#define GG_SCRIPT_OPTIONS_INIT gg_script_options_init()
#else
#define GG_SCRIPT_OPTIONS_INIT                                                                                         \
  {                                                                                                                    \
    .size = sizeof(struct gg_script_options)                                                                           \
  }
#endif

/* Writes a file for each session, of mode 0600. GG_ERR_UNSUPPORTED: a session cannot be written so (it is encrypted, of
 * another protocol, what its client said is not all there, or it has credentials that cannot be left out);
 * GG_ERR_LIMIT: the client said more than 16 MiB; errors as gg_store_messages and gg_store_export have them. On an
 * error a file that was made is removed. `result` may be NULL. */
GG_API int gg_store_export_scripts(struct gg_store *store, const struct gg_session_list *list,
                                   const struct gg_script_options *options, struct gg_export_result *result,
                                   struct gg_failure *failure);

#ifdef __cplusplus
}
#endif
#endif
