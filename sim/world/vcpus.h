/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs of a guest whose memory is still on its way: each workload goes on at the destination
 * of a postcopy, and waits where its page is not there. On the virtual clock.
 *
 *     accesses of a workload ---- page there: goes on
 *                            `--- missing: fault(), waits, placed(): stalled by that time, goes on
 *
 * Pages only ever come, so an access to one that is there may be looked at ahead of its time: only
 * the first missing one of each workload is an event.
 */
#ifndef MIG_SIM_WORLD_VCPUS_H
#define MIG_SIM_WORLD_VCPUS_H

#include <stdbool.h>

#include "sim/guest/workload.h"
#include "sim/world/events.h"

typedef struct MigVcpusHooks {
    void *opaque;
    bool (*has)(void *opaque, uint32_t block, uint64_t page);
    bool (*has_all)(void *opaque);
    /* An access to a missing page. False: it is there by now. */
    bool (*fault)(void *opaque, uint32_t block, uint64_t page, uint32_t vcpu);
    /* One that waited has gone on; ns. May be NULL. */
    void (*waited)(void *opaque, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                   int64_t to);
    int64_t wake; /* ns, from the page's coming until who waited for it goes on */
} MigVcpusHooks;

typedef struct MigVcpus MigVcpus;

/* One vCPU per workload, which goes on from where |runs| stand. |events| must outlive it. */
MigVcpus *mig_vcpus_new(const MigWorkloadRun *runs, uint32_t count, MigEvents *events,
                        const MigVcpusHooks *hooks);
void mig_vcpus_free(MigVcpus *v); /* NULL is fine; takes its events out of the queue */

/* They run from |now| on, and had stood still since |stopped| (ns). */
void mig_vcpus_run(MigVcpus *v, int64_t stopped, int64_t now);
/* Pages are there. */
void mig_vcpus_placed(MigVcpus *v, uint32_t block, uint64_t first, uint64_t count, int64_t now);

typedef struct MigVcpusCounts {
    uint64_t accesses; /* looked at until every page was there */
    uint64_t faults;   /* that waited */
    uint32_t waiting;
} MigVcpusCounts;

const MigVcpusCounts *mig_vcpus_counts(const MigVcpus *v);

#endif
