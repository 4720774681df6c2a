/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a destination whose guest runs before its pages have come: a buffer (buffer.h) with
 * discard, listen, place and unlisten through userfaultfd.
 *
 *     precopy: as any buffer    listen: missing pages make who touches them wait
 *                               place: a page is there, whole    unlisten: as any buffer
 */
#ifndef MIG_SIM_WORLD_FAULT_MEMORY_H
#define MIG_SIM_WORLD_FAULT_MEMORY_H

#include "sim/guest/buffer.h"
#include "sim/world/faults.h"

typedef struct MigFaultMemory MigFaultMemory;

/*
 * |buffer|'s memory, which must outlive it, comes from mig_buffer_new_paged(), or has no block with
 * pages larger than 4 KiB. NULL and *error where that is not so or userfaultfd can't be had: as
 * early as that, not when postcopy begins.
 */
MigFaultMemory *mig_fault_memory_new(MigBuffer *buffer, MigFaultsOf of, GError **error);
void mig_fault_memory_free(MigFaultMemory *m); /* NULL is fine */

MigMemory *mig_fault_memory_memory(MigFaultMemory *m);

/* Between listen and unlisten, else NULL. */
MigFaults *mig_fault_memory_faults(MigFaultMemory *m);

/*
 * Around the system call that places a page: leave() says whether enter() is to be called behind
 * it.
 */
typedef struct MigFaultPause {
    bool (*leave)(void *opaque);
    void (*enter)(void *opaque);
    void *opaque;
} MigFaultPause;

void mig_fault_memory_set_pause(MigFaultMemory *m, const MigFaultPause *pause);

/* Which page a fault's address belongs to; |page| is the first of its host page. */
bool mig_fault_memory_find(const MigFaultMemory *m, const void *at, uint32_t *block,
                           uint64_t *page);

/* Why the last discard or place has failed, or NULL. */
const char *mig_fault_memory_error(const MigFaultMemory *m);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigFaultMemory, mig_fault_memory_free)

#endif
