/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - a document as a row of events, whether libyaml reads it or it is a tree that was kept of one.
 *
 *     {a: [1, 2]}   ──►   MAP  SCALAR a  LIST  SCALAR 1  SCALAR 2  LIST_END  MAP_END
 *
 * A reader gives one event after the other, and collects what is wrong. It refuses by itself what is refused anywhere:
 * anchors, aliases, tags, directives, too deep nesting; an alias is told, and given all the same, so that something
 * stands where a value should.
 *
 * Private to the schema engine.
 */
#ifndef GG_BASE_EVENTS_H
#define GG_BASE_EVENTS_H

#include "base/schema.h"
#include "base/tree.h"
#include <yaml.h>

enum gg__event_kind {
  GG__EVENT_OTHER, /* the begin of the stream, the end of the document */
  GG__EVENT_DOCUMENT,
  GG__EVENT_SCALAR,
  GG__EVENT_LIST,
  GG__EVENT_LIST_END,
  GG__EVENT_MAP,
  GG__EVENT_MAP_END,
  GG__EVENT_ALIAS,
  GG__EVENT_END, /* nothing follows */
};

struct gg__event {
  enum gg__event_kind kind;
  struct gg_mark mark; /* where it begins */
  /* Of a scalar, else NULL: its text, which ends in NUL and may have others within, until the event is dropped. */
  const char *text;
  size_t length;
  bool plain; /* written without quotes */
  yaml_event_t yaml;
};

/* Where in a tree the reader is. */
struct gg__cursor {
  const struct gg_tree *tree; /* NULL: libyaml reads */
  size_t at;                  /* the next node */
  bool key_told;              /* its key was an event already */
  size_t open[GG_TREE_DEPTH_MAX];
  size_t depth;
};

struct gg__reader {
  yaml_parser_t parser;
  struct gg__cursor cursor;
  const char *name; /* of the file */
  const char *text;
  struct gg_schema_places *places; /* NULL: nobody asks */
  struct gg_config_errors *errors;
  unsigned depth;
  int rc;
  bool stopped; /* there is no sense in reading on */
};

/* Begins with a text, or a tree; the reader has its name and errors already. gg__reader_fini in any case. */
void gg__reader_init_text(struct gg__reader *reader, const char *text, size_t length);
void gg__reader_init_tree(struct gg__reader *reader, const struct gg_tree *tree);
void gg__reader_fini(struct gg__reader *reader);

/* The next event, which the caller drops; false when reading has stopped (there is then none to drop). */
bool gg__reader_next(struct gg__reader *reader, struct gg__event *event);
void gg__event_drop(struct gg__event *event);
bool gg__event_begins(const struct gg__event *event); /* a map or a list */
/* A key without value: nothing, ~ or null, unquoted. */
bool gg__event_is_missing(const struct gg__event *event);

/* Passes over the rest of a value whose first event was taken. */
void gg__reader_skip_rest(struct gg__reader *reader, const struct gg__event *first);
void gg__reader_skip_value(struct gg__reader *reader);

/* Tells an error where it stands. */
void gg__reader_report(struct gg__reader *reader, const struct gg_mark *mark, const char *format, ...) GG_PRINTF(3, 4);
void gg__reader_stop_without_memory(struct gg__reader *reader);

/* Keeps a value, whose first event begins a map or a list, as a tree: its other events are taken. What is wrong is
 * told, and left out of the tree. NULL when there is no memory, and reading has stopped. */
struct gg_tree *gg__reader_keep(struct gg__reader *reader, const struct gg__event *first);

#endif
