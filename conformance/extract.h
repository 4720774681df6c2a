/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory that a destination would end with, written to a file: every page record applied in the
 * order of the stream. Pages that were never sent, or are zero in the end, are holes.
 */
#ifndef MIG_CONFORMANCE_EXTRACT_H
#define MIG_CONFORMANCE_EXTRACT_H

#include "sim/world/stream-reader.h"

typedef struct MigExtractResult {
    MigStatus status; /* END; BAD: see the reader's diagnosis */
    bool found;       /* the block is in the list, or a page named it */
    uint64_t length;  /* bytes of the image */
    uint64_t pages;   /* records applied */
    /* A page that can't be applied (XBZRLE or zlib data that is bad): its record. */
    bool bad_page;
    uint64_t bad_offset;
    const char *bad_why;
} MigExtractResult;

/* Writes block |name| to |fd|, an empty file. False: reading or writing failed, *error. */
bool mig_extract(MigStreamReader *reader, const char *name, int fd, MigExtractResult *result,
                 GError **error);

#endif
