/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file in memory that a simulated source with mapped-ram writes and the destination loads when it
 * is complete.
 */
#ifndef MIG_SIM_SIMULATE_IMAGE_H
#define MIG_SIM_SIMULATE_IMAGE_H

#include <glib.h>

#include "sim/engine/dest.h"

typedef struct MigImage MigImage;

MigImage *mig_image_new(GError **error);
void mig_image_free(MigImage *i); /* NULL is fine */

/* Where the stream goes on; its next |n| bytes go there: returns their place. */
void mig_image_seek(MigImage *i, uint64_t at);
uint64_t mig_image_next(MigImage *i, uint64_t n);

/* False and *error when there is no memory. */
bool mig_image_place(MigImage *i, uint64_t at, const void *data, size_t n, GError **error);

/* Loads all of it with |threads| (0: one). False: |d| has failed, or with *error reading. */
bool mig_image_load(MigImage *i, MigDest *d, MigMemory *memory, unsigned threads, GError **error);

#endif
