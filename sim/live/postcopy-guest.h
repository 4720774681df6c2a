/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of a live destination in postcopy: memory that waits for its pages, and threads that
 * touch it where the scenario's workloads would (guest/touch.h).
 *
 *     thread --fault--> mig_live_guest_serve() --mig_dest_fault()--> request
 *            <--the page-- engine --place()--
 */
#ifndef MIG_SIM_LIVE_POSTCOPY_GUEST_H
#define MIG_SIM_LIVE_POSTCOPY_GUEST_H

#include "sim/engine/dest-postcopy.h"
#include "sim/guest/touch.h"
#include "sim/live/backend.h"
#include "sim/scenario/scenario.h"
#include "sim/world/fault-memory.h"

typedef struct MigLiveGuest MigLiveGuest;

/*
 * |buffer|: the scenario's memory; it and |s| must outlive the guest. |backend|: who really runs in
 * it (then its vCPUs are the threads, and go on behind the end); NULL: threads as above.
 */
MigLiveGuest *mig_live_guest_new(const MigScenario *s, MigBuffer *buffer, MigBackend *backend,
                                 GError **error);
void mig_live_guest_free(MigLiveGuest *g); /* NULL is fine */

MigMemory *mig_live_guest_memory(MigLiveGuest *g);
/* See fault-memory.h. */
void mig_live_guest_set_pause(MigLiveGuest *g, const MigFaultPause *pause);
uint32_t mig_live_guest_vcpus(const MigLiveGuest *g);

/* Lets it run. False and *error when there can't be so many threads. */
bool mig_live_guest_run(MigLiveGuest *g, GError **error);

/* Readable when somebody waits for a page; -1: nobody can. */
int mig_live_guest_fd(const MigLiveGuest *g);

/* Tells |d| who waits for what by now. False and *error when that can't be found out. */
bool mig_live_guest_serve(MigLiveGuest *g, MigDest *d, GError **error);

/* Nothing will come any more: whoever waits gets zeros, and all threads end. */
void mig_live_guest_end(MigLiveGuest *g);

/* Why a page could not be placed, or NULL. */
const char *mig_live_guest_error(const MigLiveGuest *g);

/* After the end. */
typedef struct MigLiveGuestReport {
    bool ran;
    MigTouchCounts touches;
    uint64_t wrong; /* pages that are not as they came plus what was done to them */
} MigLiveGuestReport;

const MigLiveGuestReport *mig_live_guest_report(const MigLiveGuest *g);

#endif
