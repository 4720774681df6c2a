/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapped-ram: where the parts of a RAM block stand in the file (QEMU 9.0 and later).
 *
 *     header | bitmap | to the next MiB | used_length bytes of pages | next block...
 */
#ifndef MIG_SIM_ENGINE_MAPPED_H
#define MIG_SIM_ENGINE_MAPPED_H

#include <stdbool.h>
#include <stdint.h>

#include "stream/format.h"

typedef struct MigMappedBlock {
    uint64_t bitmap_at, pages_at; /* offsets in the file */
    /*
     * Which pages it holds: bit i % 64 of word i / 64, which is how a little-endian host writes it.
     * Threads change bits of one word at the same time: use mig_mapped_mark().
     */
    uint64_t *present;
} MigMappedBlock;

static inline void mig_mapped_mark(const MigMappedBlock *b, uint64_t page, bool holds)
{
    uint64_t bit = 1ull << page % 64;
    if (holds) {
        __atomic_fetch_or(&b->present[page / 64], bit, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_and(&b->present[page / 64], ~bit, __ATOMIC_RELAXED);
    }
}

/* Bytes of the bitmap of so many pages. */
static inline uint64_t mig_mapped_bitmap_bytes(uint64_t pages)
{
    return (pages + 63) / 64 * 8;
}

/* Where the pages of a block begin whose bitmap ends at |end|. */
static inline uint64_t mig_mapped_align(uint64_t end)
{
    return (end + MIG_MAPPED_RAM_ALIGNMENT - 1) / MIG_MAPPED_RAM_ALIGNMENT *
           MIG_MAPPED_RAM_ALIGNMENT;
}

#endif
