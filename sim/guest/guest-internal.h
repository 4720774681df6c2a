/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the synthetic guest: what the guest-*.c share. */
#ifndef MIG_SIM_GUEST_GUEST_INTERNAL_H
#define MIG_SIM_GUEST_GUEST_INTERNAL_H

#include "sim/guest/guest-block.h"
#include "sim/guest/guest.h"
#include "sim/guest/protection.h"
#include "sim/guest/rings.h"

struct MigGuest {
    MigMemory memory;     /* first: it is one */
    const int64_t *clock; /* or NULL */
    MigTracking tracking;
    GuestBlock *blocks;
    uint32_t block_count;
    MigWorkloadRun *runs;
    uint32_t run_count;
    bool shared;     /* some workloads share pages */
    bool deferred;   /* pages have no states yet, see guest-deferred.c */
    uint64_t *drawn; /* by workload: writes so far that a bit tells of, or a state */
    bool logging, running;
    int64_t now;        /* materialised up to here */
    int64_t stopped_at; /* while not running */
    unsigned throttle;  /* percent */
    int64_t nap;        /* while throttled: the present slice's sleep begins here */
    int64_t nap_late;   /* ns: by which its end is late */
    int64_t stalled, limited, held;
    uint64_t faults;
    MigProtection *protection; /* NULL: none */
    uint32_t vcpus;
    MigRings *rings;          /* NULL: none */
    bool rings_watched;       /* by a dirty limit */
    int64_t *sleeps;          /* ns, of each vCPU whose ring is full */
    int64_t asleep_until;     /* ns: when the last of them that did has woken */
    MigWriteCounter *counter; /* or NULL */
    void (*wrote)(void *opaque, uint32_t block, uint64_t page); /* or NULL */
    void *wrote_opaque;
};

static inline MigGuest *mig_guest_of(const MigMemory *m)
{
    return (MigGuest *)m;
}

/* The guest as it is at this instant. */
static inline MigGuest *mig_guest_look(MigMemory *m)
{
    MigGuest *g = mig_guest_of(m);
    if (g->clock && *g->clock > g->now) {
        mig_guest_advance(g, *g->clock);
    }
    return g;
}

/* It writes to some of the |count| pages from |first| on. */
static inline bool mig_guest_is_reached(const MigWorkload *w, uint32_t block, uint64_t first,
                                        uint64_t count)
{
    return w->access == MIG_ACCESS_WRITE && w->block == block && w->first < first + count &&
           w->first + w->pages > first;
}

/* Where initial contents of the page come from. */
MigPageOrigin mig_guest_origin(const MigGuest *g, const GuestBlock *b, uint64_t page);

/*
 * guest-deferred.c. Begins to put off, if it can be; what somebody asks for is then made up for:
 * where the writes to a block (or all) went so far, contents.
 */
void mig_guest_defer(MigGuest *g);
void mig_guest_draw(MigGuest *g, uint32_t block);
void mig_guest_draw_all(MigGuest *g);
void mig_guest_make_contents(MigGuest *g);
/* A sync of the block: how many bits are new in |dirty|. */
uint64_t mig_guest_draw_sync(MigGuest *g, uint32_t block, MigBitmap *dirty);
/* While contents are deferred: is the page zero? */
bool mig_guest_deferred_zero(MigGuest *g, uint32_t block, uint64_t page);

/* guest-group.c and guest-protect.c: of its MigMemoryOps. */
bool mig_guest_memory_zero_word(MigMemory *m, uint32_t block, uint64_t word, uint64_t mask,
                                uint64_t *zero);
bool mig_guest_memory_may_write(MigMemory *m, uint32_t block, uint64_t word, uint64_t mask,
                                int64_t until);
unsigned mig_guest_memory_zero_words(MigMemory *m, uint32_t block, uint64_t word, unsigned n,
                                     const uint64_t *masks, uint64_t *zero);
char *mig_guest_memory_protect(MigMemory *m);
void mig_guest_memory_unprotect(MigMemory *m, uint32_t block, uint64_t first, uint64_t count);
bool mig_guest_memory_wanted(MigMemory *m, uint32_t *block, uint64_t *page);

#endif
