/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine may ask of guest memory. The engine declares it; sim/guest/ implements it for
 * synthetic memory (where time is virtual) and for real mappings (KVM, files).
 *
 * Every call is about the present instant: a virtual guest materialises the writes up to the
 * time that its world last told it. Pages are target pages, counted in their block.
 */
#ifndef MIG_SIM_ENGINE_MEMORY_H
#define MIG_SIM_ENGINE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/engine/bitmap.h"

typedef struct MigMemoryBlock {
    const char *name;
    uint64_t used_length; /* bytes, a multiple of the target page */
    uint64_t max_length;  /* >= used_length; larger: resizable */
    uint32_t host_page;   /* bytes; the granularity of postcopy */
    uint64_t address;     /* guest physical, for x-ignore-shared */
    bool shared;          /* file-backed and shared: x-ignore-shared skips it */
    bool rom;
} MigMemoryBlock;

typedef struct MigMemory MigMemory;

typedef enum MigPlace {
    MIG_PLACE_DONE,
    MIG_PLACE_EXISTS, /* there is a page already: it stays as it is */
    MIG_PLACE_FAILED,
} MigPlace;

typedef struct MigMemoryOps {
    uint32_t (*count)(const MigMemory *m);
    const MigMemoryBlock *(*block)(const MigMemory *m, uint32_t index); /* in list order */

    /* Source side. */

    /* Begins dirty tracking: from now on writes are logged. */
    void (*log_start)(MigMemory *m);
    void (*log_stop)(MigMemory *m);
    /*
     * Moves what was logged for the block since the last sync into |dirty|
     * (ramblock_sync_dirty_bitmap) and returns how many bits turned from 0 to 1. It is the same
     * bitmap from log_start() on, in which nobody else sets bits behind the first sync, but while
     * the guest is stopped.
     */
    uint64_t (*sync)(MigMemory *m, uint32_t block, MigBitmap *dirty);
    /* ns: when the last vCPU that sleeps can be asked for its dirty pages; NULL: at any time. */
    int64_t (*answers_at)(MigMemory *m);
    /* Re-arms the log of |count| pages from |first| (the lazy chunk clear under KVM). */
    void (*clear)(MigMemory *m, uint32_t block, uint64_t first, uint64_t count);
    /* True when the page holds zeros only. */
    bool (*is_zero)(MigMemory *m, uint32_t block, uint64_t page);
    /*
     * For worlds that price pages in groups; may be NULL. Of the pages |mask| selects from
     * word * 64 on: which hold zeros only. False: only is_zero() can tell. And: may one of them be
     * written from now to |until| (ns, included)? A page that isn't zero does not become so.
     */
    bool (*zero_word)(MigMemory *m, uint32_t block, uint64_t word, uint64_t mask, uint64_t *zero);
    bool (*may_write)(MigMemory *m, uint32_t block, uint64_t word, uint64_t mask, int64_t until);
    /*
     * The same of |n| words from |word| on, as far as no write can change it: how many words of
     * |zero| were filled in.
     */
    unsigned (*zero_words)(MigMemory *m, uint32_t block, uint64_t word, unsigned n,
                           const uint64_t *masks, uint64_t *zero);
    /* The page's bytes: either a pointer into memory or |scratch|, filled. */
    const uint8_t *(*read)(MigMemory *m, uint32_t block, uint64_t page, uint8_t *scratch);

    /*
     * The block's used length, at most max_length, a multiple of the page; new pages are zero, and
     * all of them count as written. False: that can't be. NULL where blocks never change.
     */
    bool (*resize)(MigMemory *m, uint32_t block, uint64_t used_length);
    /*
     * Background snapshot; NULL where memory can't. From now on a write to a page (but ROM's) waits
     * until that is unprotected. NULL, or why that can't be; g_free().
     */
    char *(*protect)(MigMemory *m);
    void (*unprotect)(MigMemory *m, uint32_t block, uint64_t first, uint64_t count);
    /* The page that is waited for longest; false: none. */
    bool (*wanted)(MigMemory *m, uint32_t *block, uint64_t *page);

    /* Destination side. */

    /* Where bytes of the page can be put, or NULL: then |write| takes them. */
    uint8_t *(*map)(MigMemory *m, uint32_t block, uint64_t page);
    void (*write)(MigMemory *m, uint32_t block, uint64_t page, const uint8_t *bytes);
    void (*fill)(MigMemory *m, uint32_t block, uint64_t page, uint8_t byte);

    /*
     * Destination side, postcopy; NULL where memory can't. Ranges are whole host pages.
     *
     * The pages' contents are given back: the next access finds them missing.
     */
    void (*discard)(MigMemory *m, uint32_t block, uint64_t first, uint64_t count);
    /* From now on an access to a missing page waits. NULL, or why that can't be; g_free(). */
    char *(*listen)(MigMemory *m);
    /* One host page, at once: |bytes|, or zeros where it is NULL. Who waits for it goes on. */
    MigPlace (*place)(MigMemory *m, uint32_t block, uint64_t first, uint64_t count,
                      const uint8_t *bytes);
    /* Everything has come: accesses don't wait any more. */
    void (*unlisten)(MigMemory *m);
    /* Source: the contents of pages that were sent are given back (release-ram). May be NULL. */
    void (*release)(MigMemory *m, uint32_t block, uint64_t first, uint64_t count);
} MigMemoryOps;

/* Implementations put this first. */
struct MigMemory {
    const MigMemoryOps *ops;
    uint32_t page_size; /* target page, bytes */
};

#endif
