/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the pages of a mapped-ram file to where they belong, with several threads at a time.
 *
 *     feed the destination; mig_mapped_reader_step(): pages, then the file's position moves on
 */
#ifndef MIG_SIM_WORLD_MAPPED_READER_H
#define MIG_SIM_WORLD_MAPPED_READER_H

#include <glib.h>

#include "sim/engine/dest-mapped.h"

typedef struct MigMappedReader MigMappedReader;

/* |fd|: of a file that can be sought; stays the caller's. |threads|: 0: the caller's own. */
MigMappedReader *mig_mapped_reader_new(MigMemory *memory, int fd, unsigned threads);
void mig_mapped_reader_free(MigMappedReader *r); /* NULL is fine */

/*
 * Behind every feed: reads what |d| wants and moves the position of the file over what it doesn't.
 * False: |d| has failed, or with *error the file.
 */
bool mig_mapped_reader_step(MigMappedReader *r, MigDest *d, GError **error);

/* All of a file: from its present position to the end of the stream. False as above. */
bool mig_mapped_reader_load(MigMappedReader *r, MigDest *d, GError **error);

#endif
