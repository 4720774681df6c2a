/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that every loader of their version accepts and no writer ever makes: the variants that
 * docs/format calls accepted, in random combination. The memory that a destination must end with is
 * computed on the way, by the generator itself and not by any decoder.
 *
 * A main-channel stream is for `-M none -m 1M`: one block "ram" of 1 MiB, devices timer and
 * globalstate.
 */
#ifndef MIG_TESTS_GENERATOR_H
#define MIG_TESTS_GENERATOR_H

#include <glib.h>

#include "sim/world/prng.h"
#include "stream/decoder.h"

#define MIG_GENERATED_MEMORY (1u << 20)
#define MIG_GENERATED_PAGE   4096u

/* What a version's loader takes, beyond what all of them do. */
typedef struct MigGeneratorEra {
    const char *version;    /* of the QEMU */
    gboolean fills;         /* ZERO records with any byte (until 8.x) */
    gboolean ignored_marks; /* HOOK and MULTIFD_FLUSH without rdma and multifd (10.0) */
    gboolean switchover;    /* SWITCHOVER_START (10.0) */
} MigGeneratorEra;

/* The versions; ends with version NULL. */
extern const MigGeneratorEra mig_generator_eras[];
const MigGeneratorEra *mig_generator_era(const char *version); /* NULL: unknown */

typedef struct MigGenerated {
    MigChannel channel;
    GByteArray *stream;
    gsize length;    /* of the stream proper: what is behind it is ignored by loaders */
    guint8 *memory;  /* MIG_GENERATED_MEMORY bytes; main channel only */
    GString *recipe; /* the variants that were drawn, for people */
} MigGenerated;

/* One stream, a function of (seed, era) alone. Free with mig_generated_free(). */
MigGenerated *mig_generate_main(guint64 seed, const MigGeneratorEra *era);

/* A stream of some channel: return path, multifd, postcopy, other iterables. No memory. */
MigGenerated *mig_generate_other(guint64 seed);

void mig_generated_free(MigGenerated *g);

/* For generator-*.c: adds a record (and its payload) to the stream; notes a variant. */
void mig_generated_put(MigGenerated *g, const MigRecord *r, const void *payload);
void mig_generated_note(MigGenerated *g, const char *variant);

#endif
