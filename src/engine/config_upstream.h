/* SPDX-License-Identifier: Apache-2.0 */
/* config_upstream.h - what a user writes of one upstream: "10.0.0.1:80 weight=3 name=a backup". */
#ifndef GG_ENGINE_CONFIG_UPSTREAM_H
#define GG_ENGINE_CONFIG_UPSTREAM_H

#include "engine/config.h"

/* The words, apart. Borrows nothing. */
struct gg__upstream_words {
  char address[512];
  char name[65]; /* empty: none was given */
  uint64_t weight;
  bool backup;
  struct gg_endpoint endpoint;
};

/* GG_ERR_FORMAT or RANGE, with a sentence. */
int gg__config_upstream_parse(struct gg__upstream_words *out, const char *text, struct gg_failure *failure);

/* What concerns several upstreams of a listener, each of which is sound. */
int gg__config_upstreams_judge(const struct gg_config_listener *listener, struct gg_failure *failure);

/* Fills upstreams, upstream_count and upstream_text. GG_ERR_NOMEM. */
int gg__config_upstreams_derive(struct gg_config_listener *listener);
void gg__config_upstreams_free(struct gg_config_listener *listener);

/* A name is also a word in filters: no spaces, nothing that would need quotes. */
int gg__config_name_check(const char *text, struct gg_failure *failure);

#endif
