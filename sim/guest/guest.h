/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A synthetic guest: RAM blocks, workloads that write to them, and a dirty log. It implements
 * MigMemory for a source. Nothing happens in it until somebody looks: the world tells it the time
 * (mig_guest_advance) and it then makes all writes that were due.
 *
 *     MigGuest *g = mig_guest_new(&config);
 *     mig_guest_advance(g, now);  mig_guest_memory(g)->ops->sync(...);
 *     mig_guest_stop(g, now);     mig_guest_start(g, now);     mig_guest_throttle(g, now, 20);
 *
 * Time is the world's, int64 ns, and never falls. The guest runs from 0 unless `stopped`. With a
 * `now` to look at, the engine's questions advance it by themselves.
 */
#ifndef MIG_SIM_GUEST_GUEST_H
#define MIG_SIM_GUEST_GUEST_H

#include "sim/engine/memory.h"
#include "sim/guest/content.h"
#include "sim/guest/workload.h"

typedef enum MigTracking {
    MIG_TRACKING_TCG,        /* a sync takes the log and clears it for the whole block */
    MIG_TRACKING_KVM_LOG,    /* the same instant; only costs differ */
    MIG_TRACKING_KVM_MANUAL, /* a sync reads the log, clear() re-arms it chunk by chunk */
    MIG_TRACKING_KVM_RING,   /* as KVM_LOG: reaping a ring re-arms its pages */
} MigTracking;

typedef struct MigGuestBlock {
    MigMemoryBlock memory; /* its name is borrowed for the guest's life */
    const MigContent *content;
    uint32_t content_count;
} MigGuestBlock;

typedef struct MigGuestConfig {
    uint64_t seed;
    const int64_t *now; /* the world's clock, read whenever memory is asked for; NULL: none, then
                           the guest stands where mig_guest_advance() left it */
    uint32_t page_size; /* target page, a power of two, 0: 4096 */
    MigTracking tracking;
    bool stopped;        /* it never runs before mig_guest_start() */
    uint32_t vcpus;      /* workload n runs on vCPU n modulo this; 0: 1 */
    uint32_t ring_pages; /* KVM_RING: entries of a vCPU's dirty ring; 0: nobody looks at them */
    int64_t nap_late;    /* ns: by which the sleep of a throttled vCPU ends late */
    const MigGuestBlock *blocks;
    uint32_t block_count;
    const MigWorkload *workloads;
    uint32_t workload_count;
} MigGuestConfig;

typedef struct MigGuest MigGuest;
typedef struct MigWriteCounter MigWriteCounter; /* write-counter.h */

/* Copies what |config| points to, names and file contents apart. */
MigGuest *mig_guest_new(const MigGuestConfig *config);
void mig_guest_free(MigGuest *g); /* NULL is fine */

/* Forgets the clock that `now` pointed to: the guest stays as it is. */
void mig_guest_detach(MigGuest *g);

/* From now on calls wrote(opaque, block, page) behind every write. NULL: nobody. */
void mig_guest_on_write(MigGuest *g, void (*wrote)(void *opaque, uint32_t block, uint64_t page),
                        void *opaque);

/* From now on pages written are counted there, by the number of their workload. NULL: nowhere. */
void mig_guest_count_into(MigGuest *g, MigWriteCounter *counter);

/* The guest as the engine sees it. map, write and fill are NULL: it is a source. */
MigMemory *mig_guest_memory(MigGuest *g);

/* Makes every write that is due at |now|, included. */
void mig_guest_advance(MigGuest *g, int64_t now);

/* Stops and restarts the vCPUs at |now|. Stopping a stopped guest changes nothing. */
void mig_guest_stop(MigGuest *g, int64_t now);
void mig_guest_start(MigGuest *g, int64_t now);
bool mig_guest_running(const MigGuest *g);

/*
 * vCPU throttling as cpu_throttle_timer_tick() does it: in every 10 ms / (1 - percent / 100) the
 * vCPUs run 10 ms, less what their sleep takes longer (`nap_late`). |percent| 0 to 99; 0 ends it.
 */
void mig_guest_throttle(MigGuest *g, int64_t now, unsigned percent);

/* A write from outside (a script), logged as any other. The range is inside the block. */
void mig_guest_fill(MigGuest *g, uint32_t block, uint64_t first, uint64_t pages, uint8_t byte);

/*
 * Dirty rings, of a guest that has them (ring_pages); times do not fall. The entries that a vCPU's
 * ring has had since the log began; reaping all of them, as a sync does; and how long the vCPU
 * sleeps, ns, whenever its own is full, before it is reaped.
 */
bool mig_guest_has_rings(const MigGuest *g);
uint64_t mig_guest_ring_noted(MigGuest *g, int64_t now, uint32_t vcpu);
void mig_guest_ring_reap(MigGuest *g, int64_t now);
/* When the last vCPU that slept for its ring has woken: until then no sync has its answer. */
int64_t mig_guest_asleep_until(MigGuest *g, int64_t now);
/* They fill up while the log is off, too. */
void mig_guest_ring_watch(MigGuest *g, int64_t now, bool on);
void mig_guest_ring_sleep(MigGuest *g, int64_t now, uint32_t vcpu, int64_t ns);

typedef struct MigGuestStats {
    uint64_t written; /* by workloads */
    uint64_t read;    /* likewise: pages looked at */
    uint64_t lost;    /* due, but never made: the guest's slowdown */
    int64_t stalled;  /* ns that the vCPUs did not run, stops and throttling together */
    int64_t held;     /* ns that vCPUs waited for protected pages, added up */
    uint64_t faults;  /* times that they did */
    int64_t limited;  /* ns that vCPUs slept for their full rings, added up */
    uint64_t touched; /* pages that any write has hit */
} MigGuestStats;

MigGuestStats mig_guest_stats(MigGuest *g);

/* Its workloads as they stand: for who lets them go on elsewhere. |count| of them. */
const MigWorkloadRun *mig_guest_workloads(const MigGuest *g, uint32_t *count);

#endif
