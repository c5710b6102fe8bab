/* SPDX-License-Identifier: Apache-2.0 */
/**
 * content_kind.h - what a body is, by its media type: so that a view knows how to lay it out. Pure; any thread.
 */
#ifndef GG_PROTO_CONTENT_KIND_H
#define GG_PROTO_CONTENT_KIND_H

#include <stddef.h>

enum gg__content_kind {
  GG__CONTENT_OTHER,     /* bytes */
  GG__CONTENT_TEXT,      /* as it is */
  GG__CONTENT_JSON,      /* json_view.h */
  GG__CONTENT_FORM,      /* form.h */
  GG__CONTENT_MULTIPART, /* multipart.h */
};

/* Of the value of a Content-Type, with parameters or without. */
enum gg__content_kind gg__content_kind(const char *type, size_t length);

#endif
