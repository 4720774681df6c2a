/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The synthetic guest, see guest.h.
 *
 * Model. A write changes the state of its page (page-map.h) and, while the log is on, sets its bit.
 * Where workloads share pages their writes are made in the order of their times (equal times: in
 * the order of the scenario), so that how often somebody looks can't change what a page holds.
 * Memory: one log bit per page, 48 bytes per written page.
 *
 * Where a write goes and what it leaves there are pure functions of its number. Where nobody asks,
 * neither is found out (guest-deferred.c), and writes that nothing holds up are only counted.
 *
 * Limits. The dirty log's faults and the sync itself cost the vCPUs nothing. A full dirty ring is
 * reaped alone, and at once but for the sleep of a dirty limit, which a stop of the guest ends.
 */
#include "sim/guest/guest-internal.h"

#include <assert.h>
#include <glib.h>
#include <string.h>

#include "sim/guest/write-counter.h"
#include "sim/world/prng.h"

#define SLICE_NS 10000000ll /* CPU_THROTTLE_TIMESLICE_NS of softmmu/cpu-throttle.c */

MigPageOrigin mig_guest_origin(const MigGuest *g, const GuestBlock *b, uint64_t page)
{
    MigPageOrigin o = { .page = page, .key = b->key, .page_size = g->memory.page_size };
    for (uint32_t i = b->content_count; i-- > 0 && !o.content;) {
        const MigContent *c = &b->content[i];
        if (page >= c->first && page - c->first < c->pages) {
            o.content = c;
        }
    }
    return o;
}

/* Writes ----------------------------------------------------------------------------------- */

/* By workload number |writer|, or from outside. */
static void write_page(MigGuest *g, uint32_t writer, uint32_t block, uint64_t page,
                       const MigWrite *w)
{
    GuestBlock *b = &g->blocks[block];
    if (!g->deferred) {
        MigPageOrigin origin = mig_guest_origin(g, b, page);
        mig_content_write(mig_page_map_get(&b->written, page), &origin, w);
        g->logging ? mig_bitmap_set(b->log, page) : false;
    }
    if (g->counter) {
        mig_write_counter_note(g->counter, writer, block, page);
    }
    if (g->wrote) {
        g->wrote(g->wrote_opaque, block, page);
    }
}

/* The vCPU whose write at |at| has filled its ring: it sleeps, then the ring is empty. */
static void ring_is_full(MigGuest *g, uint32_t vcpu, int64_t at)
{
    mig_rings_reap(g->rings, vcpu);
    for (uint32_t i = vcpu; i < g->run_count && g->sleeps[vcpu] > 0; i += g->vcpus) {
        mig_workload_stall(&g->runs[i], at, at + g->sleeps[vcpu]);
    }
    g->limited += g->sleeps[vcpu];
    g->asleep_until = MAX(g->asleep_until, at + g->sleeps[vcpu]);
}

static void make_write(MigGuest *g, MigWorkloadRun *r)
{
    int64_t at = mig_workload_next(r);
    uint32_t number = (uint32_t)(r - g->runs), vcpu = number % g->vcpus;
    bool full = false;
    if (r->w.access == MIG_ACCESS_WRITE) {
        MigWrite w = mig_workload_write(r);
        uint64_t page = mig_workload_page(r);
        if (g->protection && mig_protection_holds(g->protection, vcpu, at, r->w.block, page)) {
            g->faults++;
            return;
        }
        write_page(g, number, r->w.block, page, &w);
        full = g->rings && (g->logging || g->rings_watched) &&
               mig_rings_note(g->rings, vcpu, r->w.block, page);
    }
    mig_workload_step(r);
    if (full) {
        ring_is_full(g, vcpu, at);
    }
}

/* Its vCPU waits for a protected page. */
static bool is_held(const MigGuest *g, uint32_t run)
{
    return g->protection && mig_hold_is_on(mig_protection_hold(g->protection, run % g->vcpus));
}

/* The run whose next write comes first and not behind |until|, or NULL. */
static MigWorkloadRun *earliest(MigGuest *g, int64_t until)
{
    MigWorkloadRun *first = NULL;
    for (uint32_t i = 0; i < g->run_count; i++) {
        int64_t at = is_held(g, i) ? INT64_MAX : mig_workload_next(&g->runs[i]);
        if (at <= until && at != INT64_MAX) {
            first = &g->runs[i];
            until = at - 1;
        }
    }
    return first;
}

/* The vCPUs run until |until|. */
static void run_until(MigGuest *g, int64_t until)
{
    bool in_order = g->shared || g->protection;
    bool unseen = g->deferred && !g->wrote && !g->counter; /* nobody wants to know where now */
    for (MigWorkloadRun *r; in_order && (r = earliest(g, until)) != NULL;) {
        make_write(g, r);
    }
    for (uint32_t i = 0; !in_order && i < g->run_count; i++) {
        MigWorkloadRun *r = &g->runs[i];
        for (int64_t at; (at = mig_workload_next(r)) <= until && at != INT64_MAX;) {
            uint64_t n = unseen ? mig_workload_batch(r, until) : 0;
            if (n > 0) {
                mig_workload_skip(r, n);
            } else {
                make_write(g, r);
            }
        }
    }
}

static void stall(MigGuest *g, int64_t from, int64_t to)
{
    for (uint32_t i = 0; i < g->run_count; i++) {
        mig_workload_stall(&g->runs[i], from, to);
    }
    g->stalled += to > from ? to - from : 0;
}

static int64_t nap_length(const MigGuest *g)
{
    return SLICE_NS * g->throttle / (100 - g->throttle);
}

void mig_guest_advance(MigGuest *g, int64_t now)
{
    if (!g->running || now < g->now) {
        g->now = now > g->now ? now : g->now;
        return;
    }
    while (g->throttle > 0 && g->nap <= now) {
        /* A nap that has begun is taken whole: its end may lie ahead, no write is due before. */
        run_until(g, g->nap);
        stall(g, g->nap, g->nap + nap_length(g) + g->nap_late);
        g->nap += nap_length(g) + SLICE_NS;
    }
    run_until(g, now);
    g->now = now;
}

void mig_guest_stop(MigGuest *g, int64_t now)
{
    mig_guest_advance(g, now);
    if (g->running) {
        g->running = false;
        g->stopped_at = now;
    }
}

void mig_guest_start(MigGuest *g, int64_t now)
{
    if (!g->running) {
        stall(g, g->stopped_at, now);
        g->nap = g->nap > now ? g->nap : now;
        g->running = true;
        g->now = now > g->now ? now : g->now;
    }
}

bool mig_guest_running(const MigGuest *g)
{
    return g->running;
}

void mig_guest_throttle(MigGuest *g, int64_t now, unsigned percent)
{
    assert(percent <= 99);
    mig_guest_advance(g, now);
    if (g->throttle == 0) {
        g->nap = now; /* the timer's first tick puts the vCPUs to sleep at once */
    }
    g->throttle = percent;
}

void mig_guest_fill(MigGuest *g, uint32_t block, uint64_t first, uint64_t pages, uint8_t byte)
{
    assert(block < g->block_count && first + pages <= g->blocks[block].pages);
    MigWrite w = { .kind = MIG_WRITE_FILL, .byte = byte };
    mig_guest_make_contents(g);
    for (uint64_t page = first; page < first + pages; page++) {
        write_page(g, MIG_WRITER_OUTSIDE, block, page, &w);
    }
}

bool mig_guest_has_rings(const MigGuest *g)
{
    return g->rings != NULL;
}

uint64_t mig_guest_ring_noted(MigGuest *g, int64_t now, uint32_t vcpu)
{
    mig_guest_advance(g, now);
    return mig_rings_noted(g->rings, vcpu);
}

void mig_guest_ring_reap(MigGuest *g, int64_t now)
{
    mig_guest_advance(g, now);
    mig_rings_reap_all(g->rings);
}

void mig_guest_ring_watch(MigGuest *g, int64_t now, bool on)
{
    mig_guest_advance(g, now);
    g->rings_watched = on;
}

void mig_guest_ring_sleep(MigGuest *g, int64_t now, uint32_t vcpu, int64_t ns)
{
    mig_guest_advance(g, now);
    g->sleeps[vcpu] = ns;
}

int64_t mig_guest_asleep_until(MigGuest *g, int64_t now)
{
    mig_guest_advance(g, now);
    return g->asleep_until;
}

MigGuestStats mig_guest_stats(MigGuest *g)
{
    mig_guest_draw_all(g);
    MigGuestStats s = {
        .stalled = g->stalled, .limited = g->limited, .held = g->held, .faults = g->faults
    };
    for (uint32_t i = 0; i < g->run_count; i++) {
        *(g->runs[i].w.access == MIG_ACCESS_READ ? &s.read : &s.written) += g->runs[i].next;
        s.lost += g->runs[i].lost;
    }
    for (uint32_t i = 0; i < g->block_count; i++) {
        const GuestBlock *b = &g->blocks[i];
        s.touched += g->deferred ? mig_guest_block_touched(b) : b->written.count;
    }
    return s;
}

const MigWorkloadRun *mig_guest_workloads(const MigGuest *g, uint32_t *count)
{
    *count = g->run_count;
    return g->runs;
}

/* MigMemory -------------------------------------------------------------------------------- */

static uint32_t memory_count(const MigMemory *m)
{
    return mig_guest_of(m)->block_count;
}

static const MigMemoryBlock *memory_block(const MigMemory *m, uint32_t index)
{
    assert(index < mig_guest_of(m)->block_count);
    return &mig_guest_of(m)->blocks[index].memory;
}

static void memory_log_start(MigMemory *m)
{
    MigGuest *g = mig_guest_look(m);
    mig_guest_draw_all(g);
    for (uint32_t i = 0; i < g->block_count; i++) {
        mig_guest_block_forget(&g->blocks[i]);
    }
    g->logging = true;
}

static void memory_log_stop(MigMemory *m)
{
    MigGuest *g = mig_guest_look(m);
    mig_guest_draw_all(g);
    g->logging = false;
}

static int64_t memory_answers_at(MigMemory *m)
{
    return mig_guest_look(m)->asleep_until;
}

static uint64_t memory_sync(MigMemory *m, uint32_t block, MigBitmap *dirty)
{
    MigGuest *g = mig_guest_look(m);
    if (g->rings && block == 0) {
        mig_rings_reap_all(g->rings); /* the first block of a sync */
    }
    return mig_guest_draw_sync(g, block, dirty);
}

/* Some workload writes to the pages. */
static bool is_written(const MigGuest *g, uint32_t block, uint64_t first, uint64_t count)
{
    bool some = false;
    for (uint32_t i = 0; i < g->run_count && !some; i++) {
        some = mig_guest_is_reached(&g->runs[i].w, block, first, count);
    }
    return some;
}

static void memory_clear(MigMemory *m, uint32_t block, uint64_t first, uint64_t count)
{
    MigGuest *g = mig_guest_look(m);
    if (g->tracking == MIG_TRACKING_KVM_MANUAL) {
        if (is_written(g, block, first, count)) {
            mig_guest_draw(g, block);
        }
        mig_guest_block_clear(&g->blocks[block], first, first + count);
    }
}

static bool memory_is_zero(MigMemory *m, uint32_t block, uint64_t page)
{
    MigGuest *g = mig_guest_look(m);
    if (g->deferred) {
        return mig_guest_deferred_zero(g, block, page);
    }
    const GuestBlock *b = &g->blocks[block];
    MigPageOrigin origin = mig_guest_origin(g, b, page);
    return mig_content_is_zero(mig_page_map_find(&b->written, page), &origin);
}

static const uint8_t *memory_read(MigMemory *m, uint32_t block, uint64_t page, uint8_t *scratch)
{
    MigGuest *g = mig_guest_look(m);
    mig_guest_make_contents(g);
    const GuestBlock *b = &g->blocks[block];
    MigPageOrigin origin = mig_guest_origin(g, b, page);
    mig_content_read(mig_page_map_find(&b->written, page), &origin, scratch);
    return scratch;
}

/* As qemu_ram_resize(): the whole block counts as written. */
static bool memory_resize(MigMemory *m, uint32_t block, uint64_t used_length)
{
    MigGuest *g = mig_guest_look(m);
    GuestBlock *b = &g->blocks[block];
    mig_guest_make_contents(g); /* the log will say more than what was written */
    if (used_length > b->memory.max_length || used_length % m->page_size) {
        return false;
    }
    b->memory.used_length = used_length;
    b->pages = used_length / m->page_size;
    mig_bitmap_clear_range(b->log, 0, b->log->bits);
    mig_bitmap_clear_range(b->reported, 0, b->reported->bits);
    if (g->logging) {
        mig_bitmap_set_range(b->log, 0, b->pages);
    }
    return true;
}

static const MigMemoryOps guest_ops = {
    .count = memory_count,
    .block = memory_block,
    .log_start = memory_log_start,
    .log_stop = memory_log_stop,
    .sync = memory_sync,
    .answers_at = memory_answers_at,
    .clear = memory_clear,
    .protect = mig_guest_memory_protect,
    .unprotect = mig_guest_memory_unprotect,
    .wanted = mig_guest_memory_wanted,
    .is_zero = memory_is_zero,
    .zero_word = mig_guest_memory_zero_word,
    .may_write = mig_guest_memory_may_write,
    .zero_words = mig_guest_memory_zero_words,
    .read = memory_read,
    .resize = memory_resize,
};

void mig_guest_on_write(MigGuest *g, void (*wrote)(void *opaque, uint32_t block, uint64_t page),
                        void *opaque)
{
    g->wrote = wrote;
    g->wrote_opaque = opaque;
}

void mig_guest_count_into(MigGuest *g, MigWriteCounter *counter)
{
    g->counter = counter;
}

void mig_guest_detach(MigGuest *g)
{
    g->clock = NULL;
}

MigMemory *mig_guest_memory(MigGuest *g)
{
    return &g->memory;
}

/* Making one ------------------------------------------------------------------------------- */

static void begin_block(MigGuest *g, uint32_t index, const MigGuestBlock *from, uint64_t seed)
{
    GuestBlock *b = &g->blocks[index];
    assert(from->memory.used_length % g->memory.page_size == 0);
    b->memory = from->memory;
    b->content = g_memdup2(from->content, from->content_count * sizeof(MigContent));
    b->content_count = from->content_count;
    b->pages = from->memory.used_length / g->memory.page_size;
    b->key = mig_prng_key(seed, "content", index);
    uint64_t most = MAX(from->memory.max_length, from->memory.used_length) / g->memory.page_size;
    b->log = mig_guest_bitmap_new(most);
    b->reported = mig_guest_bitmap_new(most);
}

static bool overlap(const MigWorkload *a, const MigWorkload *b)
{
    return a->block == b->block && a->first < b->first + b->pages && b->first < a->first + a->pages;
}

static bool any_overlap(const MigWorkload *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (overlap(&w[i], &w[j])) {
                return true;
            }
        }
    }
    return false;
}

MigGuest *mig_guest_new(const MigGuestConfig *config)
{
    MigGuest *g = g_new0(MigGuest, 1);
    g->memory.ops = &guest_ops;
    g->memory.page_size = config->page_size ? config->page_size : 4096;
    g->clock = config->now;
    g->tracking = config->tracking;
    g->running = !config->stopped;
    g->block_count = config->block_count;
    g->blocks = g_new0(GuestBlock, config->block_count);
    for (uint32_t i = 0; i < config->block_count; i++) {
        begin_block(g, i, &config->blocks[i], config->seed);
    }
    g->run_count = config->workload_count;
    g->runs = g_new0(MigWorkloadRun, config->workload_count);
    for (uint32_t i = 0; i < config->workload_count; i++) {
        const MigWorkload *w = &config->workloads[i];
        assert(w->block < g->block_count && w->first + w->pages <= g->blocks[w->block].pages);
        g->runs[i] = mig_workload_begin(w, config->seed, i);
    }
    g->vcpus = MAX(config->vcpus, 1);
    g->nap_late = MIN(config->nap_late, SLICE_NS); /* the next tick finds it asleep, at most */
    if (config->ring_pages && config->tracking == MIG_TRACKING_KVM_RING) {
        g->rings = mig_rings_new(&g->memory, g->vcpus, config->ring_pages);
        g->sleeps = g_new0(int64_t, g->vcpus);
    }
    /* A vCPU with two workloads has one ring: which page fills it is a matter of their order. */
    g->shared = any_overlap(config->workloads, config->workload_count) ||
                (g->rings && config->workload_count > g->vcpus);
    mig_guest_defer(g);
    return g;
}

void mig_guest_free(MigGuest *g)
{
    for (uint32_t i = 0; g && i < g->block_count; i++) {
        mig_page_map_clear(&g->blocks[i].written);
        mig_bitmap_free(g->blocks[i].touched);
        g_free(g->blocks[i].sure);
        mig_bitmap_free(g->blocks[i].log);
        mig_bitmap_free(g->blocks[i].reported);
        g_free(g->blocks[i].content);
    }
    if (g) {
        mig_rings_free(g->rings);
        mig_protection_free(g->protection);
        g_free(g->sleeps);
        g_free(g->blocks);
        g_free(g->runs);
        g_free(g->drawn);
        g_free(g);
    }
}
