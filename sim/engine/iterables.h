/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Iterables: what goes over the wire in pieces (QEMU: SaveVMHandlers). One row each, in the order
 * in which they are registered, and one walk per phase over the table:
 *
 *     setup      [START header, setup, footer] of each active one
 *     pending    estimates, and exact amounts, added up
 *     iterate    a round of [PART header, iterate, footer]
 *     complete   [END header, complete, footer], before or after the switchover
 *
 * A handler is a state of the source (see source-internal.h): it queues operations, comes back by
 * way of states of its own, and in the end sets the state |next|. Headers and footers are the
 * walk's.
 */
#ifndef MIG_SIM_ENGINE_ITERABLES_H
#define MIG_SIM_ENGINE_ITERABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/engine/source.h"

typedef void (*MigState)(MigSource *s);

/*
 * What is left, in bytes, by when it may go. QEMU 8.0 and later know two classes, must_precopy
 * (precopy_only) and can_postcopy (the sum of the others).
 */
typedef struct MigPending {
    uint64_t precopy_only;  /* before the switchover */
    uint64_t compatible;    /* before or after it */
    uint64_t postcopy_only; /* after it, if there is a postcopy phase */
} MigPending;

static inline uint64_t mig_pending_total(const MigPending *p)
{
    return p->precopy_only + p->compatible + p->postcopy_only;
}

typedef struct MigIterable {
    const char *idstr;
    uint32_t version;
    bool (*exists)(const MigEra *era);     /* registered in this era; NULL: always */
    void (*set_params)(MigSource *s);      /* `migrate` was accepted; NULL: nothing to do */
    bool (*is_active)(const MigSource *s); /* takes part; NULL: always */
    /* Has something for a PART now; NULL: as is_active. */
    bool (*is_active_iterate)(const MigSource *s);
    /* Goes on after the switchover; NULL: never. */
    bool (*has_postcopy)(const MigSource *s);
    void (*setup)(MigSource *s, MigState next);
    /* Adds what it knows without work. */
    void (*pending_estimate)(const MigSource *s, MigPending *p);
    /* Makes the estimate exact; NULL: it always is. */
    void (*pending_exact)(MigSource *s, MigState next);
    /* Until quota, time or work ends; calls mig_source_iterated() before |next|. */
    void (*iterate)(MigSource *s, MigState next);
    void (*complete_precopy)(MigSource *s, MigState next);
    void (*complete_postcopy)(MigSource *s, MigState next); /* NULL: nothing is left then */
    void (*resume_prepare)(MigSource *s, MigState next);    /* NULL: nothing to do */
    void (*cleanup)(MigSource *s); /* once, however it ends; NULL: nothing to do */
} MigIterable;

/* In order of registration; ended by NULL. */
extern const MigIterable *const mig_iterables[];

extern const MigIterable mig_iterable_ram;

/* The section id of |h| on a machine with a timer in front of it and nothing else. */
uint32_t mig_iterable_section_id(const MigEra *era, const MigIterable *h);

/* The walks. Of a walk under way; |next| follows it. */
typedef struct MigWalk {
    unsigned at; /* row of mig_iterables */
    MigState next;
    bool done;     /* the handler has nothing left (mig_source_iterated) */
    bool finished; /* so have all, in this round */
    bool postcopy; /* the walk is one of the postcopy phase */
} MigWalk;

void mig_source_set_params(MigSource *s);
void mig_source_setup(MigSource *s, MigState next);

/* Estimates of all. */
MigPending mig_source_pending(const MigSource *s);
/*
 * Exact amounts: of those whose own estimate is below the threshold where the era asks so
 * (MIG_DECIDE_PENDING), else of all. mig_source_pending() then says them.
 */
void mig_source_pending_exact(MigSource *s, MigState next);

/* A round of PARTs; |postcopy|: only of those that have a postcopy phase. */
void mig_source_iterate(MigSource *s, bool postcopy, MigState next);
void mig_source_iterated(MigSource *s, bool done);

/*
 * END of each; with |postcopy| (the switchover of postcopy) only of those that have no postcopy
 * phase.
 */
void mig_source_complete_precopy(MigSource *s, bool postcopy, MigState next);
/* END of those that have one. */
void mig_source_complete_postcopy(MigSource *s, MigState next);
void mig_source_resume_prepare(MigSource *s, MigState next);
void mig_source_cleanup(MigSource *s);

#endif
