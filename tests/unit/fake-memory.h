/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest memory for tests of the engine: real bytes, and one writer that touches pages in a row at
 * a fixed pace on a virtual clock while it is let run.
 */
#ifndef MIG_TESTS_FAKE_MEMORY_H
#define MIG_TESTS_FAKE_MEMORY_H

#include "sim/engine/memory.h"
#include "sim/world/clock.h"

#define FAKE_BLOCKS 4

typedef struct FakeWriter {
    uint32_t block;
    uint64_t first, pages; /* pages 0: none */
    int64_t interval;      /* ns between writes */
    uint64_t zero_every;   /* every so-manieth write clears the page; 0: none */
} FakeWriter;

typedef struct FakeMemory {
    MigMemory memory;
    const MigClock *clock;
    uint32_t count;
    MigMemoryBlock blocks[FAKE_BLOCKS];
    uint8_t *bytes[FAKE_BLOCKS];
    MigBitmap *log[FAKE_BLOCKS];
    MigBitmap *used[FAKE_BLOCKS]; /* pages that were ever written: the others are zero unread */
    bool logging, running;
    FakeWriter writer;
    int64_t next; /* of the writer, ns */
    uint64_t written, syncs, clears;
} FakeMemory;

/* |pages| of each block, ended by 0; named "ram", "second", ... All zero. */
FakeMemory *fake_memory_new(const MigClock *clock, const uint64_t *pages);
void fake_memory_free(FakeMemory *m);

/* Fills |n| pages from |first| with bytes that differ from page to page. */
void fake_memory_fill(FakeMemory *m, uint32_t block, uint64_t first, uint64_t n);

/* Starts or stops the writer (a MigGuestHooks.run). */
void fake_memory_run(void *m, bool running);

bool fake_memory_equal(const FakeMemory *a, const FakeMemory *b);

#endif
