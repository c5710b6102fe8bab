/* SPDX-License-Identifier: Apache-2.0 */
/**
 * document.h - docs/protocols.md, made from the tables of the decoders that are built in.
 */
#ifndef GG_PROTO_DOCUMENT_H
#define GG_PROTO_DOCUMENT_H

/* The whole page; free() it. NULL: no memory. */
char *gg__decoders_document(void);

#endif
