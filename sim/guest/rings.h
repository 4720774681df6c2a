/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty rings: one per vCPU, which notes each page that the vCPU is the first to write since the
 * page was last reaped. A full ring stops its vCPU until it was reaped.
 */
#ifndef MIG_SIM_GUEST_RINGS_H
#define MIG_SIM_GUEST_RINGS_H

#include "sim/engine/memory.h"

typedef struct MigRings MigRings;

/* Rings of |entries| > 0 pages for |vcpus| > 0, over the blocks of |m|. */
MigRings *mig_rings_new(const MigMemory *m, uint32_t vcpus, uint32_t entries);
void mig_rings_free(MigRings *r); /* NULL is fine */

/* A write. True: the ring is full, and to be reaped before the next. */
bool mig_rings_note(MigRings *r, uint32_t vcpu, uint32_t block, uint64_t page);

/* Empties a ring, or all: the next write to a page that was in it is noted again. */
void mig_rings_reap(MigRings *r, uint32_t vcpu);
void mig_rings_reap_all(MigRings *r);

/* Entries so far, in the ring and reaped. */
uint64_t mig_rings_noted(const MigRings *r, uint32_t vcpu);

#endif
