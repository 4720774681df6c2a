/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a destination reads its main channel: pages go where they belong without being copied, as
 * long as the engine can guess which come next.
 *
 *     readv: [rest of a page] [header][page] [header][page] ...    guessed, compared afterwards
 *     readv: [rest of a page] [buffer]                             when there is nothing to guess
 */
#ifndef MIG_SIM_WORLD_PAGE_READER_H
#define MIG_SIM_WORLD_PAGE_READER_H

#include "sim/engine/dest.h"
#include "sim/world/transport.h"

typedef struct MigPageReader MigPageReader;

/* |dest| must outlive it. */
MigPageReader *mig_page_reader_new(MigDest *dest);
void mig_page_reader_free(MigPageReader *r); /* NULL is fine */

/*
 * Reads once and feeds the engine, which may fail at that: see mig_dest_state(). Returns the bytes
 * (0: the end, which the engine was not told), or a MigIo and *error.
 */
int64_t mig_page_reader_read(MigPageReader *r, MigTransport *t, GError **error);

#endif
