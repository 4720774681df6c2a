/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that is memory: each block a mapping, anonymous or of a file. What a destination
 * loads into. Pages that nobody wrote cost nothing.
 */
#ifndef MIG_SIM_GUEST_BUFFER_H
#define MIG_SIM_GUEST_BUFFER_H

#include <glib.h>

#include "sim/engine/memory.h"

typedef struct MigBuffer MigBuffer;

/*
 * Blocks as those of |like|, all zero. |files|: NULL, or a path for each block (NULL there:
 * anonymous), made or overwritten with the block's length. NULL and *error when memory or a file
 * can't be had.
 */
MigBuffer *mig_buffer_new(const MigMemory *like, const char *const *files, GError **error);
/*
 * The same, each block in pages of its host page: those larger than 4 KiB out of the host's pool
 * (hugetlb).
 */
MigBuffer *mig_buffer_new_paged(const MigMemory *like, GError **error);
/*
 * Somebody else's memory: each block is the shared mapping at at[i], which has to outlive it and
 * stays when it goes.
 */
MigBuffer *mig_buffer_borrow(const MigMemory *like, uint8_t *const *at);
void mig_buffer_free(MigBuffer *b); /* NULL is fine */

/* The mapping is a shared one: of a file or hugetlb. */
bool mig_buffer_is_shared(const MigBuffer *b, uint32_t block);

/* For a destination: sync and the log are there and never report anything. */
MigMemory *mig_buffer_memory(MigBuffer *b);

/*
 * Asks for huge pages in anonymous blocks, as QEMU does for a guest's RAM, or for none from now on:
 * those that are there stay.
 */
void mig_buffer_huge_pages(MigBuffer *b, bool wanted);

/*
 * For postcopy: the kernel is not to make pages huge by itself, so that a page that nobody wrote is
 * not there. False and *error also where a block should have larger pages and hasn't.
 */
bool mig_buffer_no_huge_pages(MigBuffer *b, GError **error);

/*
 * Gives pages back to the kernel, whatever they held: they are zeros until somebody writes them, or
 * missing (fault-memory.h). Of a mapping that others share (a file, hugetlb, a memfd) they go for
 * everybody. Ranges are whole host pages. 0, or the errno.
 */
int mig_buffer_drop(MigBuffer *b, uint32_t block, uint64_t first, uint64_t count);

/* The address of a block's first byte. */
uint8_t *mig_buffer_at(const MigBuffer *b, uint32_t block);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigBuffer, mig_buffer_free)

/* The first page that differs between two memories of equal blocks. */
typedef struct MigMemoryDifference {
    uint64_t pages; /* that differ, in all blocks */
    uint32_t block; /* of the first of them */
    uint64_t page;
    uint64_t left_out; /* pages that were not compared */
} MigMemoryDifference;

/* Compares every page. True: all equal. Both have blocks of the same number and lengths. */
bool mig_memory_equal(MigMemory *a, MigMemory *b, MigMemoryDifference *difference);

/* The same without the pages that left_out() names. */
bool mig_memory_equal_but(MigMemory *a, MigMemory *b,
                          bool (*left_out)(const void *opaque, uint32_t block, uint64_t page),
                          const void *opaque, MigMemoryDifference *difference);

/* Writes one block's bytes to |fd|, zero pages of a file as holes. False: errno. */
bool mig_memory_dump(MigMemory *m, uint32_t block, int fd);

#endif
