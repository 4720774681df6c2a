/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more simulator, for tests: the same rules again, as plainly as can be. A page at a time, a
 * byte at a time, a write at a time; arrays, no bitmaps, no batches; nothing of sim/engine, and of
 * sim/world random numbers alone. Slow, and meant to be read beside the descriptions of QEMU's
 * loops. Its guest and its XBZRLE are files of their own.
 *
 * It knows: every binary from 1.4 to 11.1 with machine type "none", precopy over one channel;
 * xbzrle with caches of any size, auto-converge with all its parameters, return-path, events,
 * late-block-activate, and postcopy-ram and release-ram (where nobody starts postcopy); zero pages,
 * scattered or not; workloads of every pattern but traces; manual clearing of the log. It does not
 * know: compress, multifd, mapped-ram, postcopy itself, snapshots, disks, RDMA, dirty limits and
 * rings, links that vary, failures.
 */
#ifndef MIG_TESTS_REFERENCE_H
#define MIG_TESTS_REFERENCE_H

#include <glib.h>

#include "sim/scenario/scenario.h"

typedef struct ReferencePass {
    int64_t at; /* ns */
    uint64_t sync, dirty_pages, remaining, transferred;
    unsigned throttle;
} ReferencePass;

typedef struct Reference {
    GArray *passes;              /* ReferencePass; the caller's */
    int64_t now;                 /* ns, the end */
    int64_t total, downtime;     /* ms */
    uint64_t normal, duplicate;  /* pages */
    uint64_t transferred, syncs; /* as query-migrate says */
    uint64_t queued;             /* bytes on the channel */
    bool limit;                  /* virtual time was up */
    /* Postcopy: of the destination, ns; 0: never. */
    int64_t ran_at, complete_at;
    uint64_t requests, faults;
} Reference;

/* Bytes of the devices, which are no business of this one's. */
typedef struct ReferenceDevices {
    uint64_t tail;   /* all behind RAM's END section */
    uint64_t packed; /* of them, what postcopy's package has */
} ReferenceDevices;

/* Migrates |s| with |parameters| (the era's defaults with those of the scenario over them). */
void reference_run(const MigScenario *s, const MigParameters *parameters,
                   const ReferenceDevices *devices, Reference *result);

#endif
