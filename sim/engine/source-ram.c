/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's RAM: search, iterate call, and the dirty bitmap sync. Mirrors
 * find_dirty_block()/ram_find_and_save_block(), ram_save_iterate() and migration_bitmap_sync()
 * (migration/ram.c, 10.0).
 *
 * Pages go out in runs within one 64-page word of the bitmap. The quota is looked at before every
 * page (by the world, which stops the run); the clock behind the first page of a call and every
 * 64th after it, so a run ends there, too.
 */
#include "sim/engine/source-internal.h"
#include "sim/engine/source-postcopy-internal.h"

typedef enum Found { FOUND, NOTHING, ROUND_ENDS } Found;

/* True at the end of the list. */
static bool next_block(MigSource *s)
{
    s->position_block = (s->position_block + 1) % s->block_count;
    s->position_page = 0;
    return s->position_block == 0;
}

/* The search is at the end of the list: what waits for a complete round may begin. True: threads
 * have to finish first what belongs to this one. */
static bool end_round(MigSource *s)
{
    bool waits = mig_source_multifd_per_round(s) || mig_source_compresses(s);
    s->round_done = true;
    return waits;
}

/* It goes round, too, and ends at the end of the block where it began. */
static Found search_in_vain(MigSource *s)
{
    bool told = s->vain_round;
    bool waits = end_round(s);
    s->position_page = s->blocks[s->position_block].pages;
    s->vain_round = !told;
    return !told && waits ? ROUND_ENDS : NOTHING;
}

/*
 * Finds the next dirty page from the position, once round all blocks. ROUND_ENDS: the channels have
 * to be synchronised, or the compress threads have to hand in, before it goes on.
 */
static Found search(MigSource *s)
{
    if (s->dirty_pages == 0) {
        return search_in_vain(s);
    }
    s->vain_round = false;
    for (uint32_t tried = 0; tried <= s->block_count; tried++) {
        MigSourceBlock *b = &s->blocks[s->position_block];
        uint64_t page =
            s->position_page < b->pages ? mig_bitmap_next(b->dirty, s->position_page) : b->pages;
        if (page < b->pages) {
            s->position_page = page;
            return FOUND;
        }
        if (next_block(s) && end_round(s)) {
            return ROUND_ENDS;
        }
    }
    g_assert_not_reached(); /* dirty_pages and the bitmaps disagree */
}

/* The bits of |dirty| that lie at or behind |from|, at most |limit| of them. */
static uint64_t first_bits(uint64_t dirty, unsigned from, unsigned limit)
{
    dirty &= ~0ull << from;
    if (limit >= 64) {
        return dirty;
    }
    uint64_t rest = dirty;
    for (unsigned i = 0; i < limit && rest; i++) {
        rest &= rest - 1;
    }
    return dirty & ~rest;
}

static void state_end_section(MigSource *s)
{
    s->in_call = false;
    mig_source_hints_apply(s);
    mig_source_after_iterate(s, s->final ? MIG_RAM_FINISH : MIG_RAM_ROUND);
    mig_source_blocks_apply(s);
    mig_source_send(s, MIG_REC_RAM_EOS)->ram.block = UINT32_MAX;
    mig_source_op(s, MIG_OP_FLUSH);
    s->ram_bytes += s->final ? 0 : 8;
    if (s->final) {
        s->times.ram_sent = s->outcome.now;
    }
    s->state = s->after_ram;
}

static void end_section(MigSource *s)
{
    if (s->final && mig_source_is_mapped(s)) {
        mig_source_mapped_bitmaps(s, state_end_section);
        return;
    }
    bool hand_in = s->final || mig_source_era(s)->compress_part_flush;
    if (hand_in && mig_source_compresses(s)) {
        mig_source_compress_flush(s, state_end_section);
    } else if (mig_source_multifd_per_section(s)) {
        mig_source_multifd_sync(s, state_end_section);
    } else {
        state_end_section(s);
    }
}

void mig_source_count_bytes(MigSource *s, uint64_t bytes)
{
    s->ram_bytes += bytes;
    if (s->guest_stopped || !s->config.guest_running) {
        s->ram.downtime_bytes += bytes;
    } else {
        s->ram.precopy_bytes += bytes;
    }
}

static void search_on(MigSource *s);

static void clear_sent(MigSource *s, uint64_t sent)
{
    MigSourceBlock *b = &s->blocks[s->position_block];
    uint64_t word = s->position_page / 64;
    g_assert(sent != 0);
    mig_bitmap_clear_mask(b->dirty, word, sent);
    mig_source_hints_sent(s, s->position_block, word, sent);
    if (s->postcopy->unsent) {
        mig_bitmap_clear_mask(s->postcopy->unsent[s->position_block], word, sent);
    }
    s->dirty_pages -= (unsigned)__builtin_popcountll(sent);
    /* Behind it: dirty again, it waits for the next round (ram_save_host_page() since 5.2). */
    s->position_page = word * 64 + 64 - (unsigned)__builtin_clzll(sent);
}

/* The last time that a look at the clock may find without ending the call. */
static int64_t call_deadline(const MigSource *s)
{
    return s->final ? INT64_MAX : s->call_began + (MIG_ITERATE_MAX_MS + 1) * 1000000ll - 1;
}

/* Behind this many pages QEMU looks at its clock: behind page 0 of the call, and 64, 128... */
static uint64_t pages_to_look(const MigSource *s)
{
    return MIG_CLOCK_PAGES - (s->index + MIG_CLOCK_PAGES - 1) % MIG_CLOCK_PAGES;
}

/* Of |n| pages that were sent and are clean by now, |zeros| were zero, |others| neither nor. */
static void count_sent(MigSource *s, uint64_t n, uint64_t zeros, uint64_t others, uint64_t bytes)
{
    s->ram.duplicate += zeros;
    s->ram.normal += n - zeros - others;
    mig_source_count_bytes(s, bytes);
    if (bytes > 0) { /* pages in packets don't say which block the main channel is in */
        s->last_sent = s->position_block;
    }
    s->index += n;
    bool look = (s->index - 1) % MIG_CLOCK_PAGES == 0;
    if (look && s->outcome.now > call_deadline(s)) {
        end_section(s);
    } else {
        mig_source_state_ram(s);
    }
}

static void pages_sent(MigSource *s, uint64_t bytes)
{
    uint64_t sent = s->run_sent;
    clear_sent(s, sent);
    count_sent(s, (unsigned)__builtin_popcountll(sent),
               (unsigned)__builtin_popcountll(sent & s->run_zero),
               (unsigned)__builtin_popcountll(sent & s->run_packed), bytes);
}

void mig_source_page_sent(MigSource *s, uint64_t sent, uint64_t zero, uint64_t other)
{
    s->run_sent = sent;
    s->run_zero = zero;
    s->run_packed = other;
    pages_sent(s, s->outcome.queued_bytes);
}

/* Nothing was sent, so QEMU searches on without a look at quota or clock. */
void mig_source_page_skipped(MigSource *s)
{
    clear_sent(s, 1ull << s->position_page % 64);
    search_on(s);
}

static void state_packet_sent(MigSource *s)
{
    pages_sent(s, s->run_bytes);
}

/* Pages are collected for packets. With compress threads, it is those or nobody. */
static bool queues(const MigSource *s)
{
    return s->packet && !mig_source_compresses(s);
}

static void state_sent(MigSource *s)
{
    /* What a channel's thread looks at, it counts. */
    bool thread = (s->packet && s->parameters.zero_page_detection == MIG_ZERO_MULTIFD) ||
                  s->current.op.pages.how == MIG_PAGES_REMOTE;
    bool packs = s->current.op.pages.how == MIG_PAGES_COMPRESS;
    s->run_sent = s->outcome.sent;
    s->run_zero = s->outcome.zero;
    s->run_packed = packs ? s->outcome.packed : thread ? s->run_sent : 0;
    s->run_bytes = s->outcome.queued_bytes;
    if (mig_source_is_mapped(s)) {
        mig_source_mapped_sent(s, s->run_sent, s->run_zero);
        s->run_bytes += s->outcome.placed;
    }
    g_assert(s->run_sent != 0 || s->outcome.interrupt == MIG_INTERRUPT_ERROR);
    if (packs) {
        mig_source_compress_sent(s, s->run_sent, s->run_packed);
    }
    if (packs && mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) { /* a host page is sent in one piece */
        mig_source_count_bytes(s, s->run_bytes);
        s->last_sent = s->run_bytes > 0 ? s->position_block : s->last_sent;
        s->run_bytes = 0;
        mig_source_compress_flush(s, state_packet_sent);
    } else if (mig_source_snapshot_holds(s, s->position_block) && s->run_sent) {
        mig_source_snapshot_sent(s, state_packet_sent);
    } else if (queues(s) && mig_source_multifd_queue(s, s->run_sent, s->run_zero)) {
        mig_source_multifd_send(s, state_packet_sent);
    } else {
        state_packet_sent(s);
    }
}

/* At most so many pages in the next run. */
static unsigned run_limit(const MigSource *s)
{
    uint64_t limit = MIN(pages_to_look(s), s->config.max_run);
    if (mig_source_compresses(s) && s->last_sent != s->position_block) {
        limit = 1; /* no record of a thread has a name */
    } else if (s->snapshot_protected) {
        limit = 1; /* a vCPU may wait for another page */
    } else if (mig_source_compresses(s) && mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) {
        limit = 1;
    } else if (queues(s)) {
        limit = MIN(limit, s->packet_room - s->packet_count);
    }
    /* A packet that was in the way, or what threads had, may have used the quota up: this page
     * goes, no other. */
    return mig_source_quota_exceeded(s) ? 1 : (unsigned)limit;
}

static uint64_t quota_of_run(const MigSource *s)
{
    bool buffered = mig_source_era(s)->quota == MIG_QUOTA_WRITTEN; /* nothing is, meanwhile */
    return buffered ? UINT64_MAX : mig_source_quota_left(s);
}

static void queue_run(MigSource *s)
{
    MigSourceBlock *b = &s->blocks[s->position_block];
    uint64_t word = s->position_page / 64;
    uint64_t dirty =
        first_bits(mig_bitmap_word(b->dirty, word), s->position_page % 64, run_limit(s));
    MigOp *op = mig_source_op(s, MIG_OP_SEND_PAGES);
    op->pages.block = s->position_block;
    op->pages.first = word * 64;
    op->pages.dirty = dirty;
    op->pages.named = s->last_sent != s->position_block;
    op->pages.how = mig_source_pages_how(s);
    op->pages.counts = mig_source_era(s)->quota;
    op->pages.quota = quota_of_run(s);
    mig_source_compress_run(s, op);
    mig_source_mapped_run(s, op);
    mig_source_save_page(s, op);
    s->state = state_sent;
}

/* Long runs: where nobody wants to know of a page but whether it was zero. */

static bool runs_on(const MigSource *s)
{
    return s->config.max_run == MIG_RUN_LONG && mig_source_pages_how(s) == MIG_PAGES_LOOK &&
           !s->packet && !mig_source_takes_pages(s) && !mig_source_compresses(s) &&
           !mig_source_is_mapped(s) && !s->snapshot_protected && !s->hints && !s->postcopy->unsent;
}

static void state_run_sent(MigSource *s)
{
    MigSourceBlock *b = &s->blocks[s->position_block];
    uint64_t first = s->position_page, end = s->outcome.run_end;
    g_assert(end > first || s->outcome.interrupt == MIG_INTERRUPT_ERROR);
    uint64_t n = mig_bitmap_clear_range(b->dirty, first, end - first);
    s->dirty_pages -= n;
    s->position_page = end;
    count_sent(s, n, s->outcome.run_zero, 0, s->outcome.queued_bytes);
}

/* Up to where the log has been re-armed. */
static void queue_long_run(MigSource *s)
{
    const MigSourceBlock *b = &s->blocks[s->position_block];
    uint64_t chunk = s->config.clear_chunk_pages, first = s->position_page;
    MigOp *op = mig_source_op(s, MIG_OP_SEND_RUN);
    op->run.block = s->position_block;
    op->run.dirty = b->dirty;
    op->run.first = first;
    op->run.end = b->uncleared ? MIN(b->pages, (first / chunk + 1) * chunk) : b->pages;
    op->run.named = s->last_sent != s->position_block;
    op->run.counts = mig_source_era(s)->quota;
    op->run.quota = quota_of_run(s);
    op->run.look = pages_to_look(s);
    op->run.deadline = call_deadline(s);
    s->state = state_run_sent;
}

static void send_run(MigSource *s)
{
    if (runs_on(s)) {
        queue_long_run(s);
    } else if (mig_source_multifd_must_send(s, s->position_block)) {
        mig_source_multifd_send(s, send_run);
    } else if (mig_source_compresses(s) && s->last_sent != s->position_block) {
        mig_source_compress_flush(s, queue_run);
    } else {
        queue_run(s);
    }
}

static void send_cleared(MigSource *s)
{
    if (s->cache && s->round_done && !mig_source_takes_pages(s)) {
        mig_source_xbzrle_page(s);
    } else {
        send_run(s);
    }
}

static void state_cleared(MigSource *s)
{
    MigMemory *m = s->config.memory;
    MigSourceBlock *b = &s->blocks[s->clear_block];
    uint64_t first = s->clear_chunk * s->config.clear_chunk_pages;
    m->ops->clear(m, s->clear_block, first, MIN(s->config.clear_chunk_pages, b->pages - first));
    send_cleared(s);
}

/* Sends what is at the position, when its chunk of the log is clear. */
static void send_page(MigSource *s)
{
    MigSourceBlock *b = &s->blocks[s->position_block];
    uint64_t chunk = b->uncleared ? s->position_page / s->config.clear_chunk_pages : 0;
    if (!b->uncleared || !mig_bitmap_clear(b->uncleared, chunk)) {
        send_cleared(s);
        return;
    }
    s->clear_block = s->position_block;
    s->clear_chunk = chunk;
    MigOp *op = mig_source_op(s, MIG_OP_CLEAR);
    op->clear.block = s->clear_block;
    op->clear.first = chunk * s->config.clear_chunk_pages;
    op->clear.count = MIN(s->config.clear_chunk_pages, b->pages - op->clear.first);
    s->state = state_cleared;
}

static void finish_round(MigSource *s)
{
    if (mig_source_multifd_per_round(s)) {
        mig_source_multifd_sync(s, search_on);
    } else {
        mig_source_compress_flush(s, search_on);
    }
}

/* Without a look at quota or clock. */
static void search_on(MigSource *s)
{
    mig_source_snapshot_jump(s);
    switch (search(s)) {
    case FOUND:
        send_page(s);
        break;
    case NOTHING:
        mig_source_iterated(s, true);
        end_section(s);
        break;
    case ROUND_ENDS:
        finish_round(s);
        break;
    }
}

void mig_source_state_ram(MigSource *s)
{
    if (mig_source_quota_exceeded(s)) {
        end_section(s);
    } else {
        search_on(s);
    }
}

void mig_source_ram(MigSource *s, bool final, MigState next)
{
    mig_source_blocks_look(s);
    s->in_call = true;
    s->final = final;
    s->index = 0;
    s->vain_round = false;
    s->call_began = s->outcome.now;
    s->after_ram = next;
    s->state = mig_source_state_ram;
    mig_source_before_iterate(s, final ? MIG_RAM_FINISH : MIG_RAM_ROUND);
}

/* Sync. */

static void update_rate(MigSource *s, int64_t now)
{
    uint64_t pages = mig_source_pages_done(s);
    if (now <= s->last_rate_ms + MIG_RATE_PERIOD_MS) {
        return;
    }
    mig_source_converge(s);
    s->ram.dirty_pages_rate = s->new_dirty * 1000 / (uint64_t)(now - s->last_rate_ms);
    mig_source_xbzrle_rates(s, pages - s->period_pages);
    mig_source_compress_rates(s, pages - s->period_pages);
    s->last_rate_ms = now;
    s->new_dirty = 0;
    s->period_bytes = mig_source_shown(s);
    s->period_pages = pages;
}

static uint64_t fetch(MigSource *s)
{
    MigMemory *m = s->config.memory;
    uint64_t fresh = 0;
    for (uint32_t i = 0; i < s->block_count; i++) {
        MigSourceBlock *b = &s->blocks[i];
        if (b->skipped || b->absent) {
            continue;
        }
        fresh += m->ops->sync(m, i, b->dirty);
        if (b->pages < b->dirty->bits) { /* it could be longer */
            fresh -= mig_bitmap_clear_range(b->dirty, b->pages, b->dirty->bits - b->pages);
        }
        if (b->uncleared) {
            mig_bitmap_set_range(b->uncleared, 0, b->uncleared->bits);
        }
    }
    return fresh;
}

static void state_synced(MigSource *s)
{
    uint64_t fresh = fetch(s);
    int64_t now = mig_source_ms(s);
    s->dirty_pages += fresh;
    s->new_dirty += fresh;
    update_rate(s, now);
    s->last_sync_bytes = s->exact_remaining = mig_source_remaining(s);
    s->ram.dirty_sync_count += s->sync_counts;
    if (s->sync_event) {
        mig_source_notify(s, "MIGRATION_PASS", NULL, s->ram.dirty_sync_count);
    }
    MigPass pass = {
        .sync = s->ram.dirty_sync_count,
        .at = s->outcome.now,
        .remaining = s->last_sync_bytes,
        .dirty_pages = fresh,
        .transferred = mig_source_shown(s),
        .dirty_pages_rate = s->ram.dirty_pages_rate,
        .expected_downtime = s->expected_downtime,
        .mbps = s->ram.mbps,
        .throttle = s->throttle,
    };
    g_array_append_val(s->passes, pass);
    mig_source_notify_precopy(s, MIG_PRECOPY_AFTER_BITMAP_SYNC);
    s->state = s->after_sync;
}

void mig_source_sync(MigSource *s, bool counts, bool event, MigState next)
{
    if (s->last_rate_ms == 0) {
        s->last_rate_ms = MAX(mig_source_ms(s), 1);
    }
    s->sync_counts = counts;
    s->sync_event = event;
    s->after_sync = next;
    mig_source_notify_precopy(s, MIG_PRECOPY_BEFORE_BITMAP_SYNC);
    mig_source_op(s, MIG_OP_SYNC);
    s->state = state_synced;
}
