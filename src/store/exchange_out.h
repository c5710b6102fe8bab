/* SPDX-License-Identifier: Apache-2.0 */
/**
 * exchange_out.h - requests of HTTP and their answers on their way into a file of some form.
 *
 * Private to src/store. Thread: one at a time.
 */
#ifndef GG_STORE_EXCHANGE_OUT_H
#define GG_STORE_EXCHANGE_OUT_H

#include "store/exchange.h"
#include "store/output.h"

#include <gogetway/messages.h>

struct gg__exchange_out {
  struct gg__writer *writer;
  const struct gg_session *session;
  bool secrets;
  void *state; /* of the form */
  int error;   /* GG_ERR_NOMEM */
  uint64_t entries;
};

/* A form. `begin` makes the state, and `end` frees it. */
struct gg__exchange_form {
  bool answers; /* their bodies are wanted */
  int (*begin)(struct gg__exchange_out *out);
  void (*entry)(struct gg__exchange_out *out, const struct gg__exchange *exchange);
  void (*end)(struct gg__exchange_out *out);
};
extern const struct gg__exchange_form gg__exchange_har;
extern const struct gg__exchange_form gg__exchange_curl;

/* Whether it says of a session that was understood that it is not any more. */
static inline bool gg__is_partly(const struct gg_opaque *opaque)
{
  return opaque->why == GG_OPAQUE_FAILED || opaque->why == GG_OPAQUE_GAP || opaque->why == GG_OPAQUE_LIMIT;
}

/* Carves bodies into files of a directory. `lost` is set if a session's segments have gone meanwhile. */
struct gg__carving;
int gg__carving_create(struct gg__carving **out, const char *directory, bool overwrite, struct gg_failure *failure);
int gg__carving_session(struct gg__carving *carving, struct gg_store *store, const struct gg_session *session,
                        const struct gg_message_options *options, struct gg_failure *failure);
/* `error` is how it went until here. */
int gg__carving_finish(struct gg__carving *carving, int error, struct gg_message_export_result *result,
                       struct gg_failure *failure);

#endif
