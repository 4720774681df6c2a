/* SPDX-License-Identifier: Apache-2.0 */
/* See fake-memory.h. Writes up to the clock's time happen when memory is next asked for. */
#include "tests/unit/fake-memory.h"

#include <glib.h>
#include <string.h>

#include "stream/zero.h"

#define PAGE 4096u

static uint8_t *at(FakeMemory *m, uint32_t block, uint64_t page)
{
    return m->bytes[block] + page * PAGE;
}

static void catch_up(FakeMemory *m)
{
    FakeWriter *w = &m->writer;
    while (m->running && w->pages && m->next <= m->clock->now) {
        uint64_t page = w->first + m->written % w->pages;
        m->written++;
        mig_bitmap_set(m->used[w->block], page);
        if (w->zero_every && m->written % w->zero_every == 0) {
            memset(at(m, w->block, page), 0, PAGE);
        } else {
            memcpy(at(m, w->block, page) + 8, &m->written, sizeof(m->written));
        }
        if (m->logging) {
            mig_bitmap_set(m->log[w->block], page);
        }
        m->next += w->interval;
    }
}

static FakeMemory *self(MigMemory *m)
{
    FakeMemory *fake = (FakeMemory *)m;
    catch_up(fake);
    return fake;
}

static uint32_t count(const MigMemory *m)
{
    return ((const FakeMemory *)m)->count;
}

static const MigMemoryBlock *block_of(const MigMemory *m, uint32_t i)
{
    return &((const FakeMemory *)m)->blocks[i];
}

static void log_start(MigMemory *m)
{
    self(m)->logging = true;
}

static void log_stop(MigMemory *m)
{
    self(m)->logging = false;
}

static uint64_t sync_log(MigMemory *m, uint32_t block, MigBitmap *dirty)
{
    FakeMemory *fake = self(m);
    fake->syncs += block == 0;
    return mig_bitmap_move(dirty, fake->log[block]);
}

static void clear(MigMemory *m, uint32_t block, uint64_t first, uint64_t n)
{
    self(m)->clears++;
}

static bool is_zero(MigMemory *m, uint32_t block, uint64_t page)
{
    FakeMemory *fake = self(m);
    return !mig_bitmap_test(fake->used[block], page) || mig_is_zero(at(fake, block, page), PAGE);
}

static const uint8_t *read_page(MigMemory *m, uint32_t block, uint64_t page, uint8_t *scratch)
{
    return at(self(m), block, page);
}

static uint8_t *map(MigMemory *m, uint32_t block, uint64_t page)
{
    mig_bitmap_set(((FakeMemory *)m)->used[block], page);
    return page % 2 ? NULL : at(self(m), block, page); /* both ways get their turn */
}

static void write_page(MigMemory *m, uint32_t block, uint64_t page, const uint8_t *bytes)
{
    memcpy(at(self(m), block, page), bytes, PAGE);
}

static void fill(MigMemory *m, uint32_t block, uint64_t page, uint8_t byte)
{
    mig_bitmap_set(((FakeMemory *)m)->used[block], page);
    memset(at(self(m), block, page), byte, PAGE);
}

static const MigMemoryOps ops = {
    .count = count,
    .block = block_of,
    .log_start = log_start,
    .log_stop = log_stop,
    .sync = sync_log,
    .clear = clear,
    .is_zero = is_zero,
    .read = read_page,
    .map = map,
    .write = write_page,
    .fill = fill,
};

FakeMemory *fake_memory_new(const MigClock *clock, const uint64_t *pages)
{
    static const char *const names[FAKE_BLOCKS] = { "ram", "second", "third", "fourth" };
    FakeMemory *m = g_new0(FakeMemory, 1);
    m->memory = (MigMemory){ .ops = &ops, .page_size = PAGE };
    m->clock = clock;
    for (; pages[m->count]; m->count++) {
        uint64_t n = pages[m->count];
        m->blocks[m->count] = (MigMemoryBlock){
            .name = names[m->count],
            .used_length = n * PAGE,
            .max_length = n * PAGE,
            .host_page = PAGE,
        };
        m->bytes[m->count] = g_malloc0(n * PAGE);
        m->log[m->count] = mig_bitmap_new(n);
        m->used[m->count] = mig_bitmap_new(n);
    }
    return m;
}

void fake_memory_free(FakeMemory *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        g_free(m->bytes[i]);
        mig_bitmap_free(m->log[i]);
        mig_bitmap_free(m->used[i]);
    }
    g_free(m);
}

void fake_memory_fill(FakeMemory *m, uint32_t block, uint64_t first, uint64_t n)
{
    for (uint64_t page = first; page < first + n; page++) {
        mig_bitmap_set(m->used[block], page);
        memset(at(m, block, page), (int)(page % 255 + 1), PAGE);
        memcpy(at(m, block, page), &page, sizeof(page));
    }
}

void fake_memory_run(void *opaque, bool running)
{
    FakeMemory *m = opaque;
    catch_up(m);
    m->running = running;
    m->next = MAX(m->next, m->clock->now);
}

bool fake_memory_equal(const FakeMemory *a, const FakeMemory *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (memcmp(a->bytes[i], b->bytes[i], a->blocks[i].used_length) != 0) {
            return false;
        }
    }
    return a->count == b->count;
}
