/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more simulator, for tests: the same rules again, as plainly as can be. A page at a time, a
 * byte at a time, a write at a time; arrays, no bitmaps, no batches; nothing of sim/engine but its
 * tables of parameters, and of sim/world random numbers alone. Slow, and meant to be read beside
 * the descriptions of QEMU's loops.
 *
 *     reference.c           the loop: syncs, sections, windows, decisions, completion
 *     reference-setup.c     what is in front of it
 *     reference-page.c      which way a page goes
 *     reference-time.c      what happens when; the stream object
 *     reference-link.c      socket buffers, the wire, the receiver
 *     reference-guest.c     who writes where, logs, rings, pages held back
 *     reference-converge.c  auto-converge, dirty limits
 *     reference-xbzrle.c, -compress.c, -multifd.c, -snapshot.c, -postcopy.c
 *
 * The loop is below 300 lines; all that is about 2200, one file for each thing.
 *
 * It knows: every binary from 1.4 to 11.1 with machine type "none"; every capability but those of
 * disks (block, zero-blocks, dirty-bitmaps), rdma-pin-all and x-colo; links with traces, token
 * buckets, background traffic and send-wake; workloads of every pattern but traces. It does not
 * know: huge host pages, recovery, events but migrate-start-postcopy and a migrate-continue, free
 * page hints, failures.
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
    int64_t limited;             /* ns that vCPUs slept for a dirty limit */
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
