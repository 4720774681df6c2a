/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two recordings, record by record. Each channel of one is compared with the channel of the same
 * name of the other:
 *
 *     records of A --+                       +-> a field that differs: name, both values
 *                    +-> aligned by what ----+-> payload that differs: first byte, how many
 *     records of B --+   they are            +-> a device's value (by VMDESCRIPTION), both
 *                                            +-> a record that only one of them has
 *
 * Nothing is ignored but what |ignore| names; offsets are places, not contents.
 */
#ifndef MIG_CONFORMANCE_DIFF_H
#define MIG_CONFORMANCE_DIFF_H

#include <glib.h>

#include "sim/world/recording.h"

#define MIG_DIFF_WINDOW  512u         /* records looked ahead to find where both go on alike */
#define MIG_DIFF_PAYLOAD (256u << 10) /* bytes that are compared one by one; longer by hash */

typedef enum MigDiffIgnore {
    MIG_DIFF_SECTION_IDS = 1u << 0,     /* ids of sections and footers */
    MIG_DIFF_PART_BOUNDARIES = 1u << 1, /* where PART sections begin and end */
    MIG_DIFF_DEVICE_BODIES = 1u << 2,   /* contents of device bodies */
} MigDiffIgnore;

/* "section-ids,device-bodies": false with *word at what is none of them. */
bool mig_diff_parse_ignore(const char *text, unsigned *ignore, char **word);

typedef enum MigDiffKind {
    MIG_DIFF_FIELD, /* name, a, b */
    MIG_DIFF_VALUE, /* of a device: name, a, b */
    MIG_DIFF_BYTES, /* at: the first byte that differs in the payload; count */
    MIG_DIFF_ONLY_A,
    MIG_DIFF_ONLY_B,
    MIG_DIFF_CHANNEL, /* only one of them has the channel: a or b is its name */
    MIG_DIFF_BROKEN,  /* one of them can't be read any further: name is "a" or "b", a why */
} MigDiffKind;

typedef struct MigDifference {
    MigDiffKind kind;
    const char *channel, *path;  /* path: in the one that has it, A if both */
    uint64_t offset_a, offset_b; /* of the records; UINT64_MAX: none */
    const char *name, *a, *b;    /* NULL where there is none */
    uint64_t at, count;
} MigDifference;

/* Counted for each kind of record: "ram/part/page". */
typedef struct MigDiffCount {
    uint64_t same, differ, only_a, only_b;
} MigDiffCount;

typedef struct MigDiff {
    unsigned ignore;
    void (*report)(void *opaque, const MigDifference *d);
    void *opaque;
    uint64_t differences;
    GHashTable
        *counts; /* "channel  path" -> MigDiffCount; made by mig_diff(), freed by the caller */
    bool inconclusive; /* what can't be read can't be compared */
} MigDiff;

/* Reads both paths, once for each channel. False: one could not be read, *error. */
bool mig_diff(MigDiff *diff, const char *a, const char *b, GError **error);

#endif
