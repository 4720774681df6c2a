/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free page hints: between two syncs a balloon says which pages nobody uses, and those need not go.
 * Mirrors virtio_balloon_free_page_hint_notify() (hw/virtio/virtio-balloon.c) and
 * qemu_guest_free_page_hint() (migration/ram.c, 10.0).
 *
 * A hint that comes in a call of RAM's iterate takes effect when that is over, because QEMU's
 * waits for the lock that the call holds. A chunk of the log that has a hinted page is cleared
 * first, so that a later write is seen; QEMU before 6.2 forgot that, and could lose such a write.
 */
#include "sim/engine/source-internal.h"

typedef struct Hint {
    uint32_t block;
    uint64_t first, count;
} Hint;

void mig_source_hints_init(MigSource *s)
{
    if (!s->config.free_page_hints || mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) {
        return; /* with postcopy QEMU doesn't ask for any */
    }
    s->hints = g_array_new(FALSE, FALSE, sizeof(Hint));
    for (uint32_t i = 0; i < s->block_count; i++) {
        s->blocks[i].left_out = mig_bitmap_new(s->blocks[i].dirty->bits);
    }
}

void mig_source_hints_free(MigSource *s)
{
    for (uint32_t i = 0; i < s->block_count; i++) {
        mig_bitmap_free(s->blocks[i].left_out);
    }
    g_clear_pointer(&s->hints, g_array_unref);
}

void mig_source_hint_free(MigSource *s, uint32_t block, uint64_t first, uint64_t count)
{
    Hint hint = { block, first, count };
    g_assert(block < s->block_count && first <= s->blocks[block].pages &&
             count <= s->blocks[block].pages - first);
    if (mig_source_wants_hints(s)) {
        g_array_append_val(s->hints, hint);
    }
    if (!s->in_call) {
        mig_source_hints_apply(s);
    }
}

bool mig_source_wants_hints(const MigSource *s)
{
    return s->hinting;
}

/* The log's chunks that |h| has a part in. */
static void clear_log(MigSource *s, const Hint *h)
{
    MigSourceBlock *b = &s->blocks[h->block];
    MigMemory *m = s->config.memory;
    uint64_t size = s->config.clear_chunk_pages;
    for (uint64_t chunk = h->first / size; chunk * size < h->first + h->count; chunk++) {
        if (mig_bitmap_clear(b->uncleared, chunk)) {
            uint64_t first = chunk * size;
            m->ops->clear(m, h->block, first, MIN(size, b->pages - first));
        }
    }
}

static void apply(MigSource *s, const Hint *h)
{
    MigSourceBlock *b = &s->blocks[h->block];
    uint64_t end = h->first + h->count;
    if (b->uncleared && h->count > 0) {
        clear_log(s, h);
    }
    for (uint64_t i = mig_bitmap_next(b->dirty, h->first); i < end;
         i = mig_bitmap_next(b->dirty, i)) {
        mig_bitmap_clear(b->dirty, i);
        mig_bitmap_set(b->left_out, i);
        s->dirty_pages--;
        s->hinted++;
    }
}

void mig_source_hints_apply(MigSource *s)
{
    for (guint i = 0; s->hints && i < s->hints->len; i++) {
        apply(s, &g_array_index(s->hints, Hint, i));
    }
    if (s->hints) {
        g_array_set_size(s->hints, 0);
    }
}

static void tell(MigSource *s, bool on)
{
    s->hinting = on;
    mig_source_op(s, MIG_OP_FREE_PAGES)->hinting = on;
}

void mig_source_hints_start(MigSource *s)
{
    if (s->hints && s->config.guest_running && !s->guest_stopped) {
        tell(s, true);
    }
}

void mig_source_hints_stop(MigSource *s)
{
    if (s->hinting) {
        mig_source_hints_apply(s);
        tell(s, false);
    }
}

void mig_source_hints_sent(MigSource *s, uint32_t block, uint64_t word, uint64_t sent)
{
    if (s->hints) {
        mig_bitmap_clear_mask(s->blocks[block].left_out, word, sent);
    }
}

bool mig_source_is_left_out(const MigSource *s, uint32_t block, uint64_t page)
{
    const MigSourceBlock *b = &s->blocks[block];
    return b->absent || (b->left_out && mig_bitmap_test(b->left_out, page));
}

uint64_t mig_source_hinted(const MigSource *s)
{
    return s->hinted;
}
