/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decode and encode again: the law of stream/record.h, tried on a whole stream. Records are encoded
 * from their fields; payload, which is opaque, is copied.
 */
#ifndef MIG_CONFORMANCE_RECODE_H
#define MIG_CONFORMANCE_RECODE_H

#include <stdio.h>

#include "sim/record/recode-capture.h"
#include "sim/world/stream-reader.h"

typedef struct MigRecodeResult {
    MigStatus status; /* END, or BAD: see the reader's diagnosis */
    uint64_t bytes;   /* written */
    uint64_t trailing;
} MigRecodeResult;

/*
 * False: reading or writing failed, *error. |hook| may be NULL; it is told of records and payloads
 * of channel 0.
 */
bool mig_recode(MigStreamReader *reader, FILE *out, const MigRecodeHook *hook,
                MigRecodeResult *result, GError **error);

/* Offset of the first byte where they differ, UINT64_MAX when they don't within |n| bytes. */
bool mig_recode_compare(MigInput *a, MigInput *b, uint64_t n, uint64_t *first, GError **error);

#endif
