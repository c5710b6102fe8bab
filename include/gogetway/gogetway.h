/* SPDX-License-Identifier: Apache-2.0 */
/**
 * gogetway.h - everything of libgogetway by one include.
 *
 *   error.h     how functions say what went wrong
 *   gateway.h   a recording gateway inside your own program
 *   plugin.h    what a plug-in is made of; it needs that header only
 *   control.h   speaking to a gateway that runs
 *   store.h     reading recordings: sessions, their bytes, export, verification
 *
 * But for replay.h, which plays recordings again, decoder.h, which makes messages of bytes, messages.h, which has those
 * of recorded sessions, and content.h, which undoes how their bodies are coded: they are unstable, and who uses them
 * includes them by name. docs/api.md is the guide.
 */
#ifndef GOGETWAY_GOGETWAY_H
#define GOGETWAY_GOGETWAY_H

#include <gogetway/control.h>
#include <gogetway/error.h>
#include <gogetway/gateway.h>
#include <gogetway/plugin.h>
#include <gogetway/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, "0.1.0". Borrowed, static. Any thread. */
GG_API const char *gg_version(void);

#ifdef __cplusplus
}
#endif
#endif
