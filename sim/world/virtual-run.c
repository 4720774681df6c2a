/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long runs of pages in the virtual world, priced in groups. Model:
 *
 *     word of the dirty bitmap --memory--> which are zero --> groups: up to the page that flushes
 *
 * The pages of a group cost what they cost one by one: host costs and the receiver's work are sums
 * that are rounded by their totals anyway, the stream object's buffer counts bytes and vectors
 * (outbuf.h), and nobody asks for the time inside a group. Where any of that could be otherwise, a
 * page goes alone, through the function that byte mode uses: the first of a block, one that fills
 * the buffer or the quota, one whose group would take time in which something happens, one at which
 * a look at the clock may come too late, and one that was zero and may have been written.
 */
#include "sim/world/virtual-internal.h"

typedef struct LongRun {
    MigVirtual *v;
    const MigOp *op;
    MigOp one; /* SEND_PAGES of a single page */
    uint64_t queued_at, flushed_at, happened;
    uint64_t look; /* pages to the next look at the clock, >= 1 */
    bool named;
    bool ends;          /* behind the last page sent */
    uint64_t end, zero; /* the outcome's */
} LongRun;

/* Pages of a word that are sent together. */
typedef struct Group {
    uint64_t pages;
    unsigned count, zero;
    int64_t until; /* ns: when they are in the buffer */
} Group;

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* Byte i of the sum: how many bits are set in the bytes up to i. */
static uint64_t sums(uint64_t bits)
{
    bits -= (bits >> 1) & 0x5555555555555555ull;
    bits = (bits & 0x3333333333333333ull) + ((bits >> 2) & 0x3333333333333333ull);
    return ((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0full) * ONES;
}

static unsigned count_bits(uint64_t bits)
{
    return (unsigned)(sums(bits) >> 56);
}

/* Everything up to the |n|-th bit that is set in |bits|, which has as many; 1 <= n <= 64. */
static uint64_t up_to(uint64_t bits, unsigned n)
{
    uint64_t s = sums(bits), enough = ((s | HIGHS) - n * ONES) & HIGHS;
    unsigned byte = (unsigned)__builtin_ctzll(enough) / 8;
    unsigned before = byte ? (unsigned)(s >> (8 * byte - 8) & 0xff) : 0;
    uint64_t rest = bits & ~0ull << 8 * byte;
    for (unsigned i = before + 1; i < n; i++) {
        rest &= rest - 1;
    }
    return rest ^ (rest - 1);
}

/* Behind |count| pages: does the run go on? */
static void look_up(LongRun *r, unsigned count)
{
    const MigVirtual *v = r->v;
    uint64_t counted = r->op->run.counts == MIG_QUOTA_FLUSHED ? v->outbuf.flushed - r->flushed_at
                                                              : v->outbuf.queued - r->queued_at;
    bool late = r->look == count && v->config.clock->now > r->op->run.deadline;
    r->look = r->look > count ? r->look - count : r->look + MIG_CLOCK_PAGES - count;
    r->ends = late || counted > r->op->run.quota || mig_virtual_must_look_up(v, r->happened);
}

static void send_alone(LongRun *r, uint64_t page)
{
    r->zero += mig_virtual_send_page(r->v, &r->one, page, r->named);
    r->named = false;
    r->end = page + 1;
    look_up(r, 1);
}

/* The pages of |left| as far as they can flush once; false: that can't be told. */
static bool gather(const MigVirtual *v, uint64_t left, uint64_t zeros, Group *g)
{
    unsigned room = mig_outbuf_room(&v->outbuf, 9 * 64);
    uint64_t normal = left & ~zeros;
    bool flushes = count_bits(normal) >= room;
    g->pages = room && flushes ? left & up_to(normal, room) : left;
    g->count = count_bits(g->pages);
    g->zero = count_bits(g->pages & zeros);
    return room > 0;
}

static uint64_t cost_of(const MigVirtual *v, const Group *g)
{
    const MigCosts *c = &v->config.costs;
    return (uint64_t)(g->zero * c->zero_page + (g->count - g->zero) * c->normal_page);
}

/* Nothing but the pages themselves happens while they are sent. */
static bool is_quiet(const LongRun *r, uint64_t word, uint64_t zeros, Group *g)
{
    const MigVirtual *v = r->v;
    MigMemory *m = v->config.memory;
    uint64_t bytes = g->count * 8ull + g->zero + (g->count - g->zero) * (uint64_t)m->page_size;
    bool counts = r->op->run.counts != MIG_QUOTA_FLUSHED;
    uint64_t cost = v->cost + cost_of(v, g);
    g->until = v->config.clock->now + (int64_t)(cost / 1000 - v->charged);
    if (mig_events_next(&v->events) <= g->until ||
        (counts && v->outbuf.queued - r->queued_at + bytes > r->op->run.quota) ||
        (g->count > r->look && g->until > r->op->run.deadline) ||
        (v->config.limit && g->until > v->config.limit)) {
        return false;
    }
    zeros &= g->pages;
    return !zeros || !m->ops->may_write(m, r->op->run.block, word, zeros, g->until);
}

static void send_group(LongRun *r, uint64_t word, uint64_t zeros, const Group *g)
{
    MigVirtual *v = r->v;
    const MigCosts *rc = &v->config.receiver;
    unsigned normal = g->count - g->zero;
    uint64_t fresh = mig_bitmap_set_mask(v->touched[r->op->run.block], word, g->pages & ~zeros);
    uint64_t last = 63 - (unsigned)__builtin_clzll(g->pages);
    v->work += (uint64_t)(g->zero * rc->receive_zero + normal * rc->receive_page +
                          count_bits(fresh) * rc->first_touch);
    mig_virtual_spend_ps(v, (int64_t)cost_of(v, g));
    mig_virtual_flushed(v, mig_outbuf_put_pages(&v->outbuf, g->zero, normal, zeros >> last & 1,
                                                v->config.memory->page_size));
    r->zero += g->zero;
    r->end = word * 64 + last + 1;
    look_up(r, g->count);
}

/* What is zero of |left| is asked again behind a page that went alone: the guest has moved on. */
static void send_word(LongRun *r, uint64_t word, uint64_t left)
{
    MigVirtual *v = r->v;
    MigMemory *m = v->config.memory;
    uint64_t zeros = 0;
    bool may = !v->bytes && m->ops->zero_word, asks = may, knows = false;
    while (left && !r->ends) {
        knows = asks ? m->ops->zero_word(m, r->op->run.block, word, left, &zeros) : knows;
        Group g;
        asks = r->named || !knows || !gather(v, left, zeros, &g) || !is_quiet(r, word, zeros, &g);
        if (asks) {
            g.pages = left & -left;
            send_alone(r, word * 64 + (unsigned)__builtin_ctzll(left));
        } else {
            send_group(r, word, zeros, &g);
        }
        asks = asks && may;
        left &= ~g.pages;
    }
}

void mig_virtual_run(MigVirtual *v, const MigOp *op, MigOutcome *out)
{
    LongRun r = {
        .v = v,
        .op = op,
        .one = { .kind = MIG_OP_SEND_PAGES,
                 .pages = { .block = op->run.block, .how = MIG_PAGES_LOOK } },
        .queued_at = v->outbuf.queued,
        .flushed_at = v->outbuf.flushed,
        .happened = v->happened,
        .look = op->run.look,
        .named = op->run.named,
        .ends = v->cut != NULL,
        .end = op->run.first,
    };
    while (!r.ends) {
        uint64_t page = mig_bitmap_next(op->run.dirty, r.end), word = page / 64;
        if (page >= op->run.end) {
            break;
        }
        uint64_t left = mig_bitmap_word(op->run.dirty, word) & ~0ull << page % 64;
        uint64_t rest = op->run.end - word * 64;
        send_word(&r, word, rest < 64 ? left & ((1ull << rest) - 1) : left);
    }
    out->run_end = r.end;
    out->run_zero = r.zero;
}
