/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that a destination would end with, written to a file: every page applied that any
 * channel brings, in the order in which a destination applies them.
 *
 *     main, recovery, preempt   PAGE ZERO XBZRLE COMPRESS, RAM_DISCARD -+
 *     multifd                   packets: pages (none, zlib, zstd), zeros +-> image of one block
 *     mapped-ram                bitmap and pages at their places       -+
 *
 * Pages that were never sent, or are zero in the end, are holes.
 */
#ifndef MIG_CONFORMANCE_EXTRACT_H
#define MIG_CONFORMANCE_EXTRACT_H

#include "sim/world/recording.h"

#define MIG_EXTRACT_BITMAP (256u << 20) /* bytes of a mapped-ram bitmap that are held: 8 TiB */

typedef struct MigExtractResult {
    bool found;      /* the block is in the list, or a page named it */
    bool left_out;   /* x-ignore-shared, and nothing of the block in the stream */
    uint64_t length; /* bytes of the image */
    uint64_t pages;  /* applied, zero pages included */
    /* Bytes that can't be applied, or decoded: where and why. No image then. */
    bool bad, inconclusive;
    char *channel, *hint; /* hint may be NULL */
    MigDiagnosis why;
} MigExtractResult;

void mig_extract_result_clear(MigExtractResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigExtractResult, mig_extract_result_clear)

/* Writes block |name| to |fd|, an empty file. False: reading or writing failed, *error. */
bool mig_extract(MigRecording *recording, const char *name, int fd, MigExtractResult *result,
                 GError **error);

#endif
