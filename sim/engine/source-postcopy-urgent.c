/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's second machine: from 8.0 on the return path's thread sends the pages that it was
 * asked for by itself, on the preempt channel. Mirrors ram_save_queue_pages() and
 * ram_save_host_page_urgent() (migration/ram.c, 10.0).
 *
 * A host page that the first machine is in the middle of is left to it.
 */
#include "sim/engine/source-postcopy-internal.h"

static void account(MigSource *s, const MigOutcome *outcome)
{
    MigSourcePostcopy *p = s->postcopy;
    s->queued += outcome->queued_bytes;
    s->flushed += outcome->flushed;
    const MigHostPage *h = &p->urgent_page;
    bool failed = outcome->interrupt == MIG_INTERRUPT_ERROR;
    if (p->urgent.op.kind == MIG_OP_FLUSH && !failed) {
        mig_source_release(s, h->block, h->first, h->end - h->first);
    }
    if (p->urgent.op.kind != MIG_OP_SEND_PAGES || !h->busy) {
        return;
    }
    if (failed) {
        p->urgent_page.busy = p->urgent_flush = false; /* the first machine will hear of it */
        return;
    }
    mig_source_count_pushed(s, outcome, true);
    mig_source_host_page_sent(&p->urgent_page, p->urgent.op.pages.first / 64, outcome->sent);
    p->urgent_last = p->urgent_page.block;
    p->urgent_flush = !p->urgent_page.busy;
    if (p->urgent_flush && mig_source_era(s)->preempt_hint) {
        p->hinted = true;
        p->hint_block = p->urgent_page.block;
        p->hint_page = p->urgent_page.end;
    }
}

/* The first machine has it under way. */
static bool left_to_push(const MigSource *s, const MigRequest *r)
{
    const MigHostPage *h = &s->postcopy->page;
    return h->busy && h->block == r->block && h->first == r->first;
}

static bool next_page(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    MigRequest *r;
    while ((r = mig_source_first_request(s)) != NULL) {
        bool left = left_to_push(s, r);
        if (!left) {
            mig_source_take_host_page(s, &p->urgent_page, r->block, r->first, true);
        }
        g_free(g_queue_pop_head(&p->requests));
        if (!left) {
            return true;
        }
    }
    return false;
}

bool mig_source_urgent_runs(const MigSource *s)
{
    const MigSourcePostcopy *p = s->postcopy;
    return mig_source_urgent_serves(s) && p->preempt_open && p->running && !s->ending;
}

const MigOp *mig_source_urgent_next(MigSource *s, const MigOutcome *outcome)
{
    MigSourcePostcopy *p = s->postcopy;
    if (outcome) {
        account(s, outcome);
    }
    if (!mig_source_urgent_runs(s)) {
        return NULL;
    }
    MigOp *op = &p->urgent.op;
    *op = (MigOp){ .channel = mig_source_preempt_channel(s) };
    if (p->urgent_flush) {
        p->urgent_flush = false;
        op->kind = MIG_OP_FLUSH;
        return op;
    }
    if (!p->urgent_page.busy && !next_page(s)) {
        return NULL;
    }
    op->kind = MIG_OP_SEND_PAGES;
    mig_source_host_page_op(s, &p->urgent_page, op);
    op->pages.named = p->urgent_last != p->urgent_page.block;
    return op;
}
