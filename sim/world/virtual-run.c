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
    int64_t event;      /* ns: nothing happens before; there is one run of events at most */
    uint64_t end, zero; /* the outcome's */
} LongRun;

/* Pages of a word that are sent together. */
typedef struct Group {
    uint64_t pages;
    unsigned normal, zero;
    int64_t until; /* ns: when they are in the buffer */
} Group;

/* Pages that are priced together. */
typedef struct Batch {
    uint64_t normal, zero, fresh; /* fresh: of the normal ones, what the receiver writes first */
    bool last_is_zero;
    uint64_t calm; /* so many pages are over before anything else can happen, or be asked */
    unsigned room; /* as many normal ones flush */
} Batch;

#define CHUNK 32u /* words that memory is asked for at once */

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* Byte i of the sum: how many bits are set in the bytes up to i. */
static uint64_t sums(uint64_t bits)
{
    bits -= (bits >> 1) & 0x5555555555555555ull;
    bits = (bits & 0x3333333333333333ull) + ((bits >> 2) & 0x3333333333333333ull);
    return ((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0full) * ONES;
}

/* The first byte of |sums|, each below 128, that is |n| or more: eight times its number. */
static unsigned first_byte(uint64_t sums, uint64_t n)
{
    return (unsigned)__builtin_ctzll(((sums | HIGHS) - n * ONES) & HIGHS) & ~7u;
}

/* Everything up to the |n|-th bit that is set in |bits|, which has |total| sums and as many bits;
 * 1 <= n <= 64. */
static uint64_t up_to(uint64_t bits, uint64_t total, uint64_t n)
{
    unsigned byte = first_byte(total, n);
    uint64_t one = bits >> byte & 0xff, before = total << 8 >> byte & 0xff;
    /* The same among the byte's bits: each becomes a byte that is 0 or 1. */
    uint64_t spread = (one * ONES & 0x8040201008040201ull) + 0x7f7f7f7f7f7f7f7full;
    unsigned bit = first_byte((spread >> 7 & ONES) * ONES, n - before) / 8;
    return (2ull << (byte + bit)) - 1; /* of the last bit: all */
}

/* Behind |count| pages: does the run go on? */
static void look_up(LongRun *r, uint64_t count)
{
    const MigVirtual *v = r->v;
    uint64_t counted = r->op->run.counts == MIG_QUOTA_FLUSHED ? v->outbuf.flushed - r->flushed_at
                                                              : v->outbuf.queued - r->queued_at;
    bool looks = count >= r->look && (count - r->look) % MIG_CLOCK_PAGES == 0;
    bool late = looks && v->config.clock->now > r->op->run.deadline;
    r->look =
        count < r->look ? r->look - count : MIG_CLOCK_PAGES - (count - r->look) % MIG_CLOCK_PAGES;
    r->ends = late || counted > r->op->run.quota || mig_virtual_must_look_up(v, r->happened);
}

static void send_alone(LongRun *r, uint64_t page)
{
    r->zero += mig_virtual_send_page(r->v, &r->one, page, r->named);
    r->named = false;
    r->end = page + 1;
    look_up(r, 1);
}

static uint64_t cost_of(const MigVirtual *v, uint64_t normal, uint64_t zero)
{
    const MigCosts *c = &v->config.costs;
    return zero * (uint64_t)c->zero_page + normal * (uint64_t)c->normal_page;
}

/* The next |n| normal pages of |left|, or, when it hasn't as many, all. */
static uint64_t next_normal(uint64_t left, uint64_t zeros, unsigned n, unsigned *normal)
{
    uint64_t others = left & ~zeros, total = sums(others);
    unsigned there = (unsigned)(total >> 56);
    *normal = MIN(there, n);
    return there < n ? left : left & up_to(others, total, n);
}

/* The pages of |left| as far as they can flush once; false: that can't be told. */
static bool gather(const MigVirtual *v, uint64_t left, uint64_t zeros, Group *g)
{
    unsigned room = mig_outbuf_room(&v->outbuf, 9 * 64);
    g->pages = next_normal(left, zeros, MAX(room, 1), &g->normal);
    g->zero = mig_bits_count(g->pages & zeros);
    uint64_t cost = v->cost + cost_of(v, g->normal, g->zero);
    g->until = v->config.clock->now + (int64_t)(cost / 1000 - v->charged);
    return room > 0;
}

/* Nothing but the pages themselves happens while they are sent. */
static bool is_quiet(const LongRun *r, uint64_t word, uint64_t zeros, const Group *g)
{
    const MigVirtual *v = r->v;
    MigMemory *m = v->config.memory;
    unsigned count = g->normal + g->zero;
    uint64_t bytes = count * 8ull + g->zero + g->normal * (uint64_t)m->page_size;
    bool counts = r->op->run.counts != MIG_QUOTA_FLUSHED;
    if (g->until >= r->event || (count > r->look && g->until > r->op->run.deadline) ||
        (counts && v->outbuf.queued - r->queued_at + bytes > r->op->run.quota)) {
        return false;
    }
    zeros &= g->pages;
    return !zeros || !m->ops->may_write(m, r->op->run.block, word, zeros, g->until);
}

/* No event is due meanwhile. */
static void send_batch(LongRun *r, const Batch *t)
{
    MigVirtual *v = r->v;
    const MigCosts *rc = &v->config.receiver;
    v->work += t->zero * (uint64_t)rc->receive_zero + t->normal * (uint64_t)rc->receive_page +
               t->fresh * (uint64_t)rc->first_touch;
    v->cost += cost_of(v, t->normal, t->zero);
    uint64_t due = v->cost / 1000 - v->charged;
    v->charged += due;
    mig_clock_advance(v->config.clock, v->config.clock->now + (int64_t)due);
    mig_virtual_flushed(v, mig_outbuf_put_pages(&v->outbuf, (unsigned)t->zero, (unsigned)t->normal,
                                                t->last_is_zero, v->config.memory->page_size));
    r->zero += t->zero;
    look_up(r, t->normal + t->zero);
}

/* The receiver writes |pages| of |word|, |n| of them: how many for the first time? Mostly all, or
 * none, which needs no counting. */
static unsigned touch(MigBitmap *touched, uint64_t word, uint64_t pages, unsigned n)
{
    uint64_t fresh = pages & ~touched->words[word];
    unsigned count = fresh == pages ? n : mig_bits_count(fresh);
    if (fresh) {
        touched->words[word] |= fresh;
        touched->summary[word / 64] |= 1ull << word % 64;
        touched->set += count;
    }
    return count;
}

/* |pages| of |word|, |normal| of them not zero. */
static inline void add(LongRun *r, Batch *t, uint64_t word, uint64_t pages, uint64_t zeros,
                       unsigned normal)
{
    unsigned last = 63 - (unsigned)__builtin_clzll(pages);
    t->fresh += touch(r->v->touched[r->op->run.block], word, pages & ~zeros, normal);
    t->normal += normal;
    t->zero += pages & zeros ? mig_bits_count(pages & zeros) : 0;
    t->last_is_zero = zeros >> last & 1;
    r->end = word * 64 + last + 1;
}

static void send_group(LongRun *r, uint64_t word, uint64_t zeros, const Group *g)
{
    Batch t = { 0 };
    add(r, &t, word, g->pages, zeros, g->normal);
    send_batch(r, &t);
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

/* Many words: while memory knows what will be zero, and nothing can happen before the next. */

/* How many pages can go, whatever they are, until the clock, the quota or the buffer matters. */
static uint64_t calm_pages(const LongRun *r)
{
    const MigVirtual *v = r->v;
    const MigCosts *c = &v->config.costs;
    int64_t most = MAX(MAX(c->zero_page, c->normal_page), 1);
    int64_t until = MIN(r->event - 1, r->op->run.deadline), now = v->config.clock->now;
    uint64_t n = (MIG_OUTBUF_BYTES - 1 - v->outbuf.copied) / 9;
    if (until - now < most * 8) { /* in ps, that is 8000 pages: more than the buffer takes */
        n = MIN(n, until > now ? (uint64_t)((until - now - 1) * 1000 / most) : 0);
    }
    if (r->op->run.counts != MIG_QUOTA_FLUSHED) {
        uint64_t used = v->outbuf.queued - r->queued_at, quota = r->op->run.quota;
        n = MIN(n, used < quota ? (quota - used) / (9 + v->config.memory->page_size) : 0);
    }
    return n;
}

static Batch begin_batch(const LongRun *r)
{
    return (Batch){ .calm = calm_pages(r), .room = mig_outbuf_room(&r->v->outbuf, 0) };
}

/* False: it went as far as it could, which may be nowhere. */
static bool add_word(LongRun *r, Batch *t, uint64_t word, uint64_t left, uint64_t zeros)
{
    if (t->normal + t->zero + 64 > t->calm && t->normal + t->zero > 0) {
        send_batch(r, t);
        *t = begin_batch(r);
    }
    while (left && !r->ends && t->room && t->normal + t->zero + 64 <= t->calm) {
        unsigned normal;
        uint64_t pages = next_normal(left, zeros, t->room, &normal);
        add(r, t, word, pages, zeros, normal);
        left &= ~pages;
        t->room -= normal;
        if (t->room == 0) {
            send_batch(r, t);
            *t = begin_batch(r);
        }
    }
    return !left && !r->ends;
}

/* From |word| on, in front of |end|. */
static void send_words(LongRun *r, uint64_t word, uint64_t end)
{
    MigMemory *m = r->v->config.memory;
    const uint64_t *dirty = r->op->run.dirty->words;
    Batch t = begin_batch(r);
    bool goes_on = true;
    while (goes_on && word < end) {
        uint64_t zeros[CHUNK];
        unsigned n = (unsigned)MIN(CHUNK, end - word);
        n = m->ops->zero_words(m, r->op->run.block, word, n, &dirty[word], zeros);
        goes_on = n > 0;
        for (unsigned i = 0; goes_on && i < n; i++, word++) {
            goes_on = !dirty[word] || add_word(r, &t, word, dirty[word], zeros[i]);
        }
    }
    if (t.normal + t.zero > 0) {
        send_batch(r, &t);
    }
}

/* The first time at which something else happens: an event, or the end of time. */
static int64_t next_event(const MigVirtual *v)
{
    int64_t event = mig_events_next(&v->events), limit = v->config.limit;
    return limit && limit < event ? limit + 1 : event;
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
        .event = next_event(v),
        .look = op->run.look,
        .named = op->run.named,
        .ends = v->cut != NULL,
        .end = op->run.first,
    };
    bool knows = !v->bytes && v->config.memory->ops->zero_words;
    while (!r.ends) {
        uint64_t page = mig_bitmap_next(op->run.dirty, r.end), word = page / 64, before = r.end;
        if (page >= op->run.end) {
            break;
        }
        if (knows && !r.named && r.end <= word * 64) {
            send_words(&r, word, op->run.end / 64);
        }
        if (r.end == before) {
            uint64_t left = mig_bitmap_word(op->run.dirty, word) & ~0ull << page % 64;
            uint64_t rest = op->run.end - word * 64;
            send_word(&r, word, rest < 64 ? left & ((1ull << rest) - 1) : left);
        }
    }
    out->run_end = r.end;
    out->run_zero = r.zero;
}
