/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of the indexer, with a catalogue that is a database. */
#define REAL_CATALOGUE 1
#include "test_store_indexer.c"
