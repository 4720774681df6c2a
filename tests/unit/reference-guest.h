/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of the plain simulator (reference.h): a flag of each kind for every page, writes one by
 * one in their order. What it shares with the tree is what a scenario means: what pages hold at
 * first and behind a write, and where and when the n-th write of a workload goes.
 */
#ifndef MIG_TESTS_REFERENCE_GUEST_H
#define MIG_TESTS_REFERENCE_GUEST_H

#include "sim/scenario/scenario.h"

#define REFERENCE_PAGE 4096u

typedef struct ReferencePage {
    uint64_t block, number; /* of the page, in the block */
    MigPageState state;     /* its bytes */
    bool dirty;             /* to be sent */
    bool logged;            /* written since the log was taken, or cleared */
    bool reported;          /* taken, and not cleared */
    bool zero;
    bool touched;   /* the destination has it */
    bool left_out;  /* never sent */
    bool missing;   /* postcopy: the destination waits for it */
    bool held_back; /* nobody may write to it */
    guint ring;     /* the vCPU, from 1, in whose ring it is; 0: none's */
} ReferencePage;

/* A vCPU that waits for a page that is held back. */
typedef struct ReferenceHold {
    ReferencePage *page; /* NULL: it doesn't */
    int64_t since;
} ReferenceHold;

/* The dirty ring of a vCPU. */
typedef struct ReferenceRing {
    uint64_t count, noted, then; /* pages in it; ever, and when the period began */
    int64_t rate, sleep;         /* MB/s; us, when it is full */
} ReferenceRing;

typedef struct ReferenceGuest {
    const MigScenario *s;
    ReferencePage *pages; /* of all blocks, one behind the other */
    uint64_t count;
    MigWorkloadRun *runs;
    unsigned throttle; /* percent */
    int64_t nap;       /* ns: while throttled, its next sleep begins */
    bool stopped;
    int64_t seen;  /* ns: what it does at a time it has done when that is looked at first */
    bool protects; /* pages are held back */
    ReferenceHold *holds;
    ReferenceRing *rings;
    bool logs;
    int64_t asleep_until, limited; /* ns: a vCPU for its ring; all of them, ever */
    guint vcpus;
} ReferenceGuest;

void reference_guest_init(ReferenceGuest *g, const MigScenario *s);
void reference_guest_clear(ReferenceGuest *g);

/* Everything is written that is by |now|, ns. */
void reference_guest_at(ReferenceGuest *g, int64_t now);

/* Every page is dirty, and nothing logged: how many. |ignore_shared|: but those of shared blocks.
 */
uint64_t reference_guest_start_log(ReferenceGuest *g, bool ignore_shared);

/* Takes the log: how many pages became dirty. |manual|: it is to be cleared, block by block. */
uint64_t reference_guest_sync(ReferenceGuest *g, bool manual);
void reference_guest_clear_log(ReferenceGuest *g, uint64_t block);

/* It goes on at |now|, having stood still since |from|. */
void reference_guest_go_on(ReferenceGuest *g, int64_t from, int64_t now);

/* Writes wait from now on; until the page is released; which is the first that is waited for. */
void reference_guest_protect(ReferenceGuest *g);
void reference_guest_release(ReferenceGuest *g, ReferencePage *p, int64_t now);
const ReferencePage *reference_guest_wanted(const ReferenceGuest *g);

/* All rings are emptied. */
void reference_guest_reap(ReferenceGuest *g);

/* The bytes of a page, by its number of all. */
void reference_guest_read(const ReferenceGuest *g, uint64_t page, uint8_t *bytes);

#endif
