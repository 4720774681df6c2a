/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A synthetic guest in a mapping, see mapped.h.
 *
 * Model. A write makes its page stale; a look at the page brings it up to date with whatever the
 * guest has written by then. A page that a transport was given by address may change until it is
 * sent, as under a real guest: the write that changed it is logged, so the page goes again.
 *
 * Limits. The guest's writes are made by the migration's own thread: they cost it about 100 ns each
 * and a stale page the making of its bytes, which bounds a workload to some million writes/s.
 */
#include "sim/guest/mapped.h"

#include "stream/zero.h"

struct MigMapped {
    MigMemory memory; /* first: it is one */
    MigGuest *guest;
    const int64_t *now; /* NULL: it stays as it is */
    int64_t seen;       /* of *now */
    MigBuffer *buffer;
    MigBitmap **stale; /* by block */
    uint32_t count;
};

static MigMemory *guest_of(const MigMemory *m)
{
    return mig_guest_memory(((const MigMapped *)m)->guest);
}

static uint32_t mapped_count(const MigMemory *m)
{
    return ((const MigMapped *)m)->count;
}

static const MigMemoryBlock *mapped_block(const MigMemory *m, uint32_t index)
{
    const MigMemory *guest = guest_of(m);
    return guest->ops->block(guest, index);
}

static void wrote(void *opaque, uint32_t block, uint64_t page)
{
    const MigMapped *m = opaque;
    mig_bitmap_set(m->stale[block], page);
}

/* The guest as it is at this instant. */
static MigMapped *look(MigMemory *memory)
{
    MigMapped *m = (MigMapped *)memory;
    if (m->now && *m->now > m->seen) {
        m->seen = *m->now;
        mig_guest_advance(m->guest, m->seen);
    }
    return m;
}

static void mapped_log_start(MigMemory *m)
{
    MigMemory *guest = mig_guest_memory(look(m)->guest);
    guest->ops->log_start(guest);
}

static void mapped_log_stop(MigMemory *m)
{
    MigMemory *guest = mig_guest_memory(look(m)->guest);
    guest->ops->log_stop(guest);
}

static uint64_t mapped_sync(MigMemory *m, uint32_t block, MigBitmap *dirty)
{
    MigMemory *guest = mig_guest_memory(look(m)->guest);
    return guest->ops->sync(guest, block, dirty);
}

static void mapped_clear(MigMemory *m, uint32_t block, uint64_t first, uint64_t count)
{
    MigMemory *guest = mig_guest_memory(look(m)->guest);
    guest->ops->clear(guest, block, first, count);
}

static uint8_t *page_at(MigMemory *memory, uint32_t block, uint64_t page)
{
    MigMapped *m = look(memory);
    MigMemory *guest = mig_guest_memory(m->guest);
    uint8_t *at = mig_buffer_at(m->buffer, block) + page * memory->page_size;
    if (mig_bitmap_clear(m->stale[block], page)) {
        guest->ops->read(guest, block, page, at);
    }
    return at;
}

static char *mapped_protect(MigMemory *m)
{
    MigMemory *guest = mig_guest_memory(look(m)->guest);
    return guest->ops->protect(guest);
}

static void mapped_unprotect(MigMemory *m, uint32_t block, uint64_t first, uint64_t count)
{
    MigMemory *guest = mig_guest_memory(look(m)->guest);
    guest->ops->unprotect(guest, block, first, count);
}

static bool mapped_wanted(MigMemory *m, uint32_t *block, uint64_t *page)
{
    MigMemory *guest = mig_guest_memory(look(m)->guest);
    return guest->ops->wanted(guest, block, page);
}

static bool mapped_is_zero(MigMemory *m, uint32_t block, uint64_t page)
{
    return mig_is_zero(page_at(m, block, page), m->page_size);
}

static const uint8_t *mapped_read(MigMemory *m, uint32_t block, uint64_t page, uint8_t *scratch)
{
    (void)scratch;
    return page_at(m, block, page);
}

/* Their bytes were sent, and the guest stands still: nobody asks the model for them again. */
static void mapped_release(MigMemory *memory, uint32_t block, uint64_t first, uint64_t count)
{
    MigMapped *m = look(memory);
    mig_bitmap_clear_range(m->stale[block], first, count);
    mig_buffer_drop(m->buffer, block, first, count); /* a wish: what stays is of no use, and sent */
}

static const MigMemoryOps mapped_ops = {
    .count = mapped_count,
    .block = mapped_block,
    .log_start = mapped_log_start,
    .log_stop = mapped_log_stop,
    .sync = mapped_sync,
    .clear = mapped_clear,
    .protect = mapped_protect,
    .unprotect = mapped_unprotect,
    .wanted = mapped_wanted,
    .is_zero = mapped_is_zero,
    .read = mapped_read,
    .release = mapped_release,
};

MigMemory *mig_mapped_memory(MigMapped *m)
{
    return &m->memory;
}

/* The initial content; pages of zeros stay untouched. */
static void make_block(MigMapped *m, uint32_t block)
{
    MigMemory *guest = mig_guest_memory(m->guest);
    uint64_t pages = guest->ops->block(guest, block)->used_length / guest->page_size;
    uint8_t *at = mig_buffer_at(m->buffer, block);
    m->stale[block] = mig_bitmap_new(pages);
    for (uint64_t page = 0; page < pages; page++) {
        if (!guest->ops->is_zero(guest, block, page)) {
            guest->ops->read(guest, block, page, at + page * guest->page_size);
        }
    }
}

MigMapped *mig_mapped_new(MigGuest *g, const int64_t *now, GError **error)
{
    MigMemory *guest = mig_guest_memory(g);
    MigBuffer *buffer = mig_buffer_new(guest, NULL, error);
    if (!buffer) {
        return NULL;
    }
    mig_buffer_huge_pages(buffer, true);
    MigMapped *m = g_new0(MigMapped, 1);
    m->memory = (MigMemory){ .ops = &mapped_ops, .page_size = guest->page_size };
    m->guest = g;
    m->now = now;
    m->buffer = buffer;
    m->count = guest->ops->count(guest);
    m->stale = g_new0(MigBitmap *, m->count + 1);
    for (uint32_t i = 0; i < m->count; i++) {
        make_block(m, i);
    }
    mig_guest_on_write(g, wrote, m);
    return m;
}

void mig_mapped_expect_requests(MigMapped *m)
{
    mig_buffer_huge_pages(m->buffer, false);
}

void mig_mapped_detach(MigMapped *m)
{
    m->now = NULL;
}

void mig_mapped_free(MigMapped *m)
{
    if (m) {
        mig_guest_on_write(m->guest, NULL, NULL);
        for (uint32_t i = 0; i < m->count; i++) {
            mig_bitmap_free(m->stale[i]);
        }
        g_free(m->stale);
        mig_buffer_free(m->buffer);
        g_free(m);
    }
}
