/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM after postcopy's switchover: requests first, each a whole host page, then what is left, from
 * where the last page was. Mirrors ram_save_iterate(), ram_save_complete() and get_queued_page() in
 * their postcopy phase (migration/ram.c; 5.2, 7.2 and 10.0).
 *
 * Small pages are pushed in runs of one operation; the world asks before each page, and a request
 * ends the run. Larger host pages are taken whole and sent without a break, but by 7.x with the
 * preempt channel, where a request comes between their parts.
 *
 * A request behind an exhausted quota waits for the window's end in all versions (QEMU spins, this
 * sleeps).
 */
#include "sim/engine/source-postcopy-internal.h"

bool mig_source_urgent_serves(const MigSource *s)
{
    return mig_source_era(s)->preempt_thread && mig_source_preempt_channel(s) > 0;
}

/* Requested pages go by a channel of their own, but this machine sends them. */
static bool breaks_pages(const MigSource *s)
{
    return mig_source_preempt_channel(s) > 0 && !mig_source_urgent_serves(s);
}

static MigRequest *first_request(MigSource *s)
{
    return mig_source_urgent_serves(s) ? NULL : mig_source_first_request(s);
}

/* Host pages ------------------------------------------------------------------------------- */

void mig_source_take_host_page(MigSource *s, MigHostPage *h, uint32_t block, uint64_t page,
                               bool requested)
{
    MigSourceBlock *b = &s->blocks[block];
    uint64_t host = mig_source_host_pages(s, block), first = page - page % host;
    uint64_t end = MIN(first + host, b->pages);
    *h = (MigHostPage){ true, requested, block, first, end, first };
    s->dirty_pages -= mig_bitmap_clear_range(b->dirty, first, end - first);
}

uint64_t mig_source_host_page_op(const MigSource *s, const MigHostPage *h, MigOp *op)
{
    uint64_t word = h->next / 64, last = MIN(h->end, (word + 1) * 64) - 1;
    op->pages.block = h->block;
    op->pages.first = word * 64;
    op->pages.dirty = (~0ull << h->next % 64) & (~0ull >> (63 - last % 64));
    op->pages.how = MIG_PAGES_LOOK;
    op->pages.counts = mig_source_era(s)->quota;
    op->pages.quota = UINT64_MAX;
    return word;
}

void mig_source_host_page_sent(MigHostPage *h, uint64_t word, uint64_t sent)
{
    h->next = sent ? word * 64 + 64 - (unsigned)__builtin_clzll(sent) : h->next;
    h->busy = h->next < h->end;
}

void mig_source_count_pushed(MigSource *s, const MigOutcome *outcome, bool requested)
{
    MigSourcePostcopy *p = s->postcopy;
    unsigned n = (unsigned)__builtin_popcountll(outcome->sent);
    unsigned zeros = (unsigned)__builtin_popcountll(outcome->sent & outcome->zero);
    s->ram.duplicate += zeros;
    s->ram.normal += n - zeros;
    s->ram_bytes += outcome->queued_bytes;
    s->ram.postcopy_bytes += outcome->queued_bytes;
    *(requested ? &p->counts.requested : &p->counts.background) += n;
}

/* release-ram ------------------------------------------------------------------------------ */

void mig_source_release(MigSource *s, uint32_t block, uint64_t first, uint64_t count)
{
    MigMemory *m = s->config.memory;
    if (mig_source_has(s, MIG_CAP_RELEASE_RAM)) {
        s->postcopy->counts.released += count;
        if (m->ops->release) {
            m->ops->release(m, block, first, count);
        }
    }
}

/* What was queued is read when it leaves: it goes behind the next flush, in as few ranges as can
 * be. */
static void release_later(MigSource *s, uint32_t block, uint64_t first, uint64_t count)
{
    GArray *list = s->postcopy->to_release;
    MigPageRange *last = list->len > 0 ? &g_array_index(list, MigPageRange, list->len - 1) : NULL;
    if (!mig_source_has(s, MIG_CAP_RELEASE_RAM)) {
        return;
    }
    if (last && last->block == block && last->first + last->count == first) {
        last->count += count;
    } else {
        MigPageRange range = { block, first, count };
        g_array_append_val(list, range);
    }
}

static void release_flushed(MigSource *s)
{
    GArray *list = s->postcopy->to_release;
    for (guint i = 0; i < list->len; i++) {
        const MigPageRange *r = &g_array_index(list, MigPageRange, i);
        mig_source_release(s, r->block, r->first, r->count);
    }
    g_array_set_size(list, 0);
}

/* What went out in precopy and stayed clean. */
void mig_source_release_sent(MigSource *s)
{
    for (uint32_t i = 0; mig_source_has(s, MIG_CAP_RELEASE_RAM) && i < s->block_count; i++) {
        const MigSourceBlock *b = &s->blocks[i];
        for (uint64_t at = 0; !b->skipped && at < b->pages;) {
            uint64_t next = MIN(mig_bitmap_next(b->dirty, at), b->pages);
            if (next > at) {
                mig_source_release(s, i, at, next - at);
            }
            at = next + 1;
        }
    }
}

/* The first machine ------------------------------------------------------------------------ */

static void state_push(MigSource *s);

static void state_section_out(MigSource *s)
{
    release_flushed(s);
    s->state = s->postcopy->after_push;
}

static void state_end_section(MigSource *s)
{
    mig_source_send(s, MIG_REC_RAM_EOS)->ram.block = UINT32_MAX;
    mig_source_op(s, MIG_OP_FLUSH);
    s->ram_bytes += s->postcopy->push_all ? 0 : 8;
    mig_source_iterated(s, s->postcopy->push_done);
    s->state = state_section_out;
}

/* No page goes by multifd's channels, but the destination waits for them at the end of each section
 * all the same (ram_load_postcopy(), 5.2 and 7.2). */
static void end_section(MigSource *s, bool done)
{
    s->postcopy->push_done = done;
    if (mig_source_multifd_per_section(s)) {
        mig_source_multifd_sync(s, state_end_section);
    } else {
        state_end_section(s);
    }
}

/* The window's end is waited for inside the section. */
static void state_waited(MigSource *s)
{
    if (mig_source_ms(s) < s->window_ms + MIG_WINDOW_MS && s->postcopy->page.busy) {
        mig_source_sleep_window(s); /* a request, which has to wait as well */
        return;
    }
    if (s->postcopy->page.busy) {
        mig_source_close_due_window(s);
    }
    s->state = state_push;
}

static bool limited_inside(const MigSource *s)
{
    return !s->postcopy->push_all && mig_source_quota_exceeded(s) &&
           (s->postcopy->page.busy || mig_source_era(s)->limit_in_pages);
}

static bool time_is_over(const MigSource *s, uint64_t before)
{
    uint64_t after = s->postcopy->pushed;
    /* Behind the first page of a call, and every 64th after it. */
    bool look = before < after && (after + 63) / 64 != (before + 63) / 64;
    return look && !s->postcopy->push_all &&
           (s->outcome.now - s->call_began) / 1000000 > MIG_ITERATE_MAX_MS;
}

static void move_on(MigSource *s, uint64_t sent)
{
    MigSourcePostcopy *p = s->postcopy;
    const MigHostPage *h = p->current;
    if (sent) {
        s->last_sent = p->run_block;
        p->last_channel = p->run_channel;
    }
    if (h == &p->served && breaks_pages(s)) {
        return; /* the background goes on where it was */
    }
    s->position_block = p->run_block;
    s->position_page = h ? h->next
                         : MAX(s->position_page,
                               sent ? p->run_word * 64 + 64 - (unsigned)__builtin_clzll(sent) : 0);
}

static void state_run_done(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    MigHostPage *h = p->current;
    uint64_t sent = s->outcome.sent, before = p->pushed;
    mig_source_count_pushed(s, &s->outcome, h && h->requested);
    if (h) {
        mig_source_host_page_sent(h, p->run_word, sent);
        p->pushed += !h->busy;
        if (!h->busy) {
            release_later(s, h->block, h->first, h->end - h->first);
        }
    } else {
        for (uint64_t left = sent; left; left &= left - 1) {
            release_later(s, p->run_block, p->run_word * 64 + (unsigned)__builtin_ctzll(left), 1);
        }
        p->pushed += (unsigned)__builtin_popcountll(sent);
    }
    move_on(s, sent);
    s->state = state_push;
    if (p->run_channel > 0 && !h->busy) {
        mig_source_op(s, MIG_OP_FLUSH)->channel = p->run_channel;
    }
    if (limited_inside(s)) {
        mig_source_sleep_window(s);
        s->state = state_waited;
    } else if (!p->page.busy && time_is_over(s, before)) {
        end_section(s, false);
    }
}

/* Asked by the world in front of each page. */
static MigClaim claim(void *engine, uint32_t block, uint64_t page)
{
    MigSource *s = engine;
    const MigHostPage *h = s->postcopy->current;
    bool may_stop = !h || (!h->requested && breaks_pages(s));
    if (may_stop && first_request(s)) {
        return MIG_CLAIM_STOP;
    }
    if (h) {
        return MIG_CLAIM_TAKE;
    }
    if (!mig_bitmap_clear(s->blocks[block].dirty, page)) {
        return MIG_CLAIM_SKIP;
    }
    s->dirty_pages--;
    return MIG_CLAIM_TAKE;
}

static void send_run(MigSource *s, MigOp *op, uint32_t channel)
{
    MigSourcePostcopy *p = s->postcopy;
    bool switched = breaks_pages(s) && channel != p->last_channel;
    op->channel = channel;
    op->pages.how = MIG_PAGES_LOOK;
    op->pages.counts = mig_source_era(s)->quota;
    op->pages.named = s->last_sent != op->pages.block || switched;
    op->pages.claim = claim;
    op->pages.engine = s;
    p->run_block = op->pages.block;
    p->run_channel = channel;
    s->state = state_run_done;
}

static void send_host_page(MigSource *s, MigHostPage *h)
{
    MigOp *op = mig_source_op(s, MIG_OP_SEND_PAGES);
    s->postcopy->current = h;
    s->postcopy->run_word = mig_source_host_page_op(s, h, op);
    if (!h->requested && !s->postcopy->push_all) {
        op->pages.quota = mig_source_quota_left(s);
    }
    send_run(s, op, h->requested && breaks_pages(s) ? mig_source_preempt_channel(s) : 0);
}

/* The bits of |dirty| from |from| on, at most |limit| of them. */
static uint64_t first_bits(uint64_t dirty, unsigned from, uint64_t limit)
{
    dirty &= ~0ull << from;
    uint64_t rest = dirty;
    for (uint64_t i = 0; i < limit && rest; i++) {
        rest &= rest - 1;
    }
    return dirty & ~rest;
}

static void send_small_pages(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    const MigSourceBlock *b = &s->blocks[s->position_block];
    uint64_t word = s->position_page / 64;
    uint64_t limit = MIG_CLOCK_PAGES - (p->pushed + MIG_CLOCK_PAGES - 1) % MIG_CLOCK_PAGES;
    MigOp *op = mig_source_op(s, MIG_OP_SEND_PAGES);
    op->pages.block = s->position_block;
    op->pages.first = word * 64;
    op->pages.dirty = first_bits(mig_bitmap_word(b->dirty, word), s->position_page % 64,
                                 MIN(limit, s->config.max_run));
    op->pages.quota = p->push_all ? UINT64_MAX : mig_source_quota_left(s);
    p->current = NULL;
    p->run_word = word;
    send_run(s, op, 0);
}

/* The next dirty page from the position, once round all blocks. */
static bool search(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    if (p->hinted) {
        s->position_block = p->hint_block;
        s->position_page = p->hint_page;
        p->hinted = false;
    }
    for (uint32_t tried = 0; s->dirty_pages > 0 && tried <= s->block_count; tried++) {
        const MigSourceBlock *b = &s->blocks[s->position_block];
        uint64_t page =
            s->position_page < b->pages ? mig_bitmap_next(b->dirty, s->position_page) : b->pages;
        if (page < b->pages) {
            s->position_page = page;
            return true;
        }
        s->position_block = (s->position_block + 1) % s->block_count;
        s->position_page = 0;
    }
    return false;
}

static void serve(MigSource *s, const MigRequest *r)
{
    MigHostPage *h = &s->postcopy->served;
    mig_source_take_host_page(s, h, r->block, r->first, true);
    g_free(g_queue_pop_head(&s->postcopy->requests));
    send_host_page(s, h);
}

static void push_on(MigSource *s)
{
    if (!search(s)) {
        end_section(s, true);
    } else if (mig_source_host_pages(s, s->position_block) > 1) {
        mig_source_take_host_page(s, &s->postcopy->page, s->position_block, s->position_page,
                                  false);
        send_host_page(s, &s->postcopy->page);
    } else {
        send_small_pages(s);
    }
}

static void state_push(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    bool may_serve = !p->page.busy || breaks_pages(s);
    const MigRequest *r = may_serve && !p->served.busy ? first_request(s) : NULL;
    if (p->served.busy) {
        send_host_page(s, &p->served);
    } else if (r) {
        serve(s, r);
    } else if (p->page.busy) {
        send_host_page(s, &p->page);
    } else if (!p->push_all && mig_source_quota_exceeded(s)) {
        end_section(s, false);
    } else {
        push_on(s);
    }
}

void mig_source_push(MigSource *s, bool all, MigState next)
{
    s->postcopy->push_all = all;
    s->postcopy->pushed = 0;
    s->postcopy->after_push = next;
    s->call_began = s->outcome.now;
    s->state = state_push;
}

/* The loop --------------------------------------------------------------------------------- */

static void state_all_sent(MigSource *s)
{
    uint32_t preempt = mig_source_preempt_channel(s);
    s->postcopy->counts.ended = s->outcome.now;
    mig_source_send(s, MIG_REC_END_OF_STREAM);
    mig_source_op(s, MIG_OP_FLUSH);
    if (preempt && mig_source_era(s)->preempt_early) {
        mig_source_send(s, MIG_REC_RAM_EOS)->ram.block = UINT32_MAX;
        s->queue[s->queue_count - 1].op.channel = preempt;
        mig_source_op(s, MIG_OP_FLUSH)->channel = preempt;
    }
    s->state = mig_source_state_verdict;
}

static bool is_through(const MigSource *s)
{
    MigPending pending = mig_source_pending(s);
    uint64_t total = mig_pending_total(&pending);
    bool early = mig_source_era(s)->decide <= MIG_DECIDE_ESTIMATE;
    return total == 0 || (early && total < s->threshold);
}

void mig_source_state_postcopy_loop(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    if (p->loaded) {
        mig_source_change(s, MIG_STATUS_IS_POSTCOPY_DEVICE, MIG_STATUS_IS_POSTCOPY_ACTIVE);
    }
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
    } else if (p->shut && p->verdict) {
        mig_source_fail(s, g_strdup_printf("Sibling indicated error %u", p->verdict));
    } else if (mig_source_quota_exceeded(s)) {
        s->state = mig_source_state_rate;
    } else if (!is_through(s)) {
        mig_source_iterate(s, true, mig_source_state_rate);
    } else if (s->status == MIG_STATUS_IS_POSTCOPY_DEVICE) {
        mig_source_op(s, MIG_OP_WAIT_RETURN); /* for the package's last PONG */
        s->state = mig_source_state_loop;
    } else {
        s->unlimited = true;
        mig_source_complete_postcopy(s, state_all_sent);
    }
}
