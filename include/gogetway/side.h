/* SPDX-License-Identifier: Apache-2.0 */
/* side.h - the two sides of a session. */
#ifndef GOGETWAY_SIDE_H
#define GOGETWAY_SIDE_H

/* Index of what there are two of: what comes from the client, what comes from the server. A direction is called after
 * the side that it comes from. */
enum gg_side { GG_SIDE_CLIENT = 0, GG_SIDE_SERVER = 1 };

#endif
