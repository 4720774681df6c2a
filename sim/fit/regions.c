/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions, see regions.h. Model: sends sorted by page give each page's history; its trials go to
 * whoever asks, page by page. First chunks of CHUNK pages are measured, then neighbours that can't
 * be told apart are joined, and in the end each region is measured again as a whole.
 *
 * Trials are kept in bins by their length (four to a factor of two), each with its mean, so that
 * the likelihood of a rate costs the same however many there were.
 *
 * Limits: a page that is written in one part of the run only ("once", bursts) gets its mean rate.
 */
#include "sim/fit/regions.h"

#include <math.h>

#include "sim/world/clock.h"

#define CHUNK      64u
#define CLEARED    (1u << 18) /* pages that are cleared at a time (clear-bitmap-shift) */
#define BINS       128u
#define STEPS      60u  /* of a bisection */
#define RATE_LEAST 1e-4 /* writes of a page per second */
#define RATE_MOST  1e6
#define ALIKE      0.35 /* neighbours whose rates differ by less are one region ... */
#define SIGMAS     3.0  /* ... or by less than chance */
#define RUNS_LEAST 8.0  /* changes between dirty and clean that are expected, to tell patterns */
#define FEW        2u   /* clean trials of a chunk that tell nothing */
#define SEQUENTIAL 0.4  /* share of them that sequential writes stay below */

typedef struct Trial {
    uint64_t page;
    uint32_t round; /* whose sync */
    double span;    /* s that it was open */
    bool first;     /* since the page was sent */
    bool dirty;
    uint16_t changed;
} Trial;

typedef void TrialFn(void *opaque, const Trial *t);

typedef struct Bin {
    uint64_t count;
    double sum; /* s */
} Bin;

typedef struct Measure {
    Bin dirty[BINS], first[BINS]; /* first: first trials of a send, clean or dirty */
    double clean;                 /* s, all clean trials together */
    uint64_t trials, dirty_count, first_dirty;
} Measure;

/* Trials ----------------------------------------------------------------------------------- */

typedef struct Sync {
    double at; /* s */
    bool sure; /* there was no other between it and the one before */
} Sync;

typedef struct History {
    const MigSends *s;
    GArray *order;       /* guint: sends by block, page, time */
    GArray *syncs;       /* Sync, by round */
    bool all;            /* also trials whose length isn't sure */
    GArray *clears;      /* double: s, by round and chunk of the log: when it was cleared */
    GArray *first_chunk; /* uint32_t by block */
    uint32_t rounds, chunks;
} History;

static int by_page(gconstpointer a, gconstpointer b, gpointer opaque)
{
    const MigSends *s = opaque;
    guint ia = *(const guint *)a, ib = *(const guint *)b;
    const MigSent *x = mig_sends_at(s, ia), *y = mig_sends_at(s, ib);
    if (x->block != y->block) {
        return x->block < y->block ? -1 : 1;
    }
    if (x->page != y->page) {
        return x->page < y->page ? -1 : 1;
    }
    return ia < ib ? -1 : 1;
}

static double part_time(const MigSends *s, uint32_t part)
{
    return part < s->parts->len ? (double)g_array_index(s->parts, int64_t, part) / MIG_NS_PER_S : 0;
}

/*
 * A round's sync was made in front of the first section that began with at most |left| pages of the
 * round before to be sent. Where that round hadn't twice as many, there may have been others.
 */
static void find_syncs(History *h, uint64_t left)
{
    const MigSends *s = h->s;
    g_autoptr(GArray) rest = g_array_new(FALSE, TRUE, sizeof(uint64_t));
    uint32_t part = UINT32_MAX;
    h->rounds = s->rounds;
    g_array_set_size(rest, s->rounds + 1);
    g_array_set_size(h->syncs, s->rounds + 1);
    for (guint i = 0; i < s->sends->len; i++) {
        g_array_index(rest, uint64_t, mig_sends_at(s, i)->round)++;
    }
    for (uint32_t i = 1; i < s->rounds; i++) {
        g_array_index(h->syncs, Sync, i) =
            (Sync){ -1, i == 1 || g_array_index(rest, uint64_t, i - 1) >= 2 * left };
    }
    for (guint i = 0; i < s->sends->len; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        Sync *own = &g_array_index(h->syncs, Sync, sent->round), *next = own + 1;
        uint64_t *count = &g_array_index(rest, uint64_t, sent->round);
        double at = part_time(s, sent->part);
        own->at = own->at < 0 ? at : own->at;
        next->at = next->at < 0 && sent->part != part && *count <= left ? at : next->at;
        if (sent->final) {
            *own = (Sync){ (double)s->stopped / MIG_NS_PER_S, false };
        }
        part = sent->part;
        --*count;
    }
}

static double *clear_of(const History *h, uint32_t round, uint32_t block, uint64_t page)
{
    uint32_t chunk = g_array_index(h->first_chunk, uint32_t, block) + (uint32_t)(page / CLEARED);
    return &g_array_index(h->clears, double, (gsize)round * h->chunks + chunk);
}

/* With the first page of a chunk that is sent; or already with the sync. */
static void find_clears(History *h, bool manual)
{
    const MigSends *s = h->s;
    for (guint i = 0; i < s->blocks->len; i++) {
        uint64_t pages = g_array_index(s->blocks, MigSendsBlock, i).pages;
        g_array_append_val(h->first_chunk, h->chunks);
        h->chunks += (uint32_t)(pages / CLEARED + 1);
    }
    g_array_set_size(h->clears, (guint)(h->chunks * h->rounds));
    for (guint i = 0; i < h->clears->len; i++) {
        g_array_index(h->clears, double, i) = -1;
    }
    for (guint i = 0; i < s->sends->len; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        double *clear = clear_of(h, sent->round, sent->block, sent->page);
        if (*clear < 0) {
            *clear = manual ? (double)sent->at / MIG_NS_PER_S
                            : g_array_index(h->syncs, Sync, sent->round).at;
        }
    }
}

static History history_new(const MigSends *s, const MigFitTracking *tracking)
{
    History h = { .s = s };
    h.order = g_array_sized_new(FALSE, FALSE, sizeof(guint), s->sends->len);
    h.syncs = g_array_new(FALSE, TRUE, sizeof(Sync));
    h.clears = g_array_new(FALSE, TRUE, sizeof(double));
    h.first_chunk = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (guint i = 0; i < s->sends->len; i++) {
        g_array_append_val(h.order, i);
    }
    g_array_sort_with_data(h.order, by_page, (gpointer)s);
    find_syncs(&h, tracking->threshold);
    find_clears(&h, tracking->manual);
    return h;
}

static void history_clear(History *h)
{
    g_array_unref(h->order);
    g_array_unref(h->syncs);
    g_array_unref(h->clears);
    g_array_unref(h->first_chunk);
}

/* From |sent| to when it was |next| sent (NULL: not again). */
static void trials_of(const History *h, const MigSent *sent, const MigSent *next, TrialFn *fn,
                      void *opaque)
{
    double from = *clear_of(h, sent->round, sent->block, sent->page);
    uint32_t until = next ? next->round : h->rounds - 1;
    bool first = true;
    for (uint32_t q = sent->round + 1; q <= until; q++) {
        const Sync *sync = &g_array_index(h->syncs, Sync, q);
        if (sync->at <= from || !(sync->sure || h->all)) {
            from = MAX(from, sync->at);
            first = false;
            continue;
        }
        bool dirty = next && q == next->round;
        Trial t = { sent->page, q,     sync->at - from,
                    first,      dirty, dirty ? next->changed : MIG_CHANGED_UNKNOWN };
        fn(opaque, &t);
        from = sync->at;
        first = false;
    }
}

/* All trials of sends |from| .. |to| - 1 in h->order, page by page. */
static void each_trial(const History *h, guint from, guint to, TrialFn *fn, void *opaque)
{
    for (guint i = from; i < to; i++) {
        const MigSent *sent = mig_sends_at(h->s, g_array_index(h->order, guint, i));
        const MigSent *next =
            i + 1 < to ? mig_sends_at(h->s, g_array_index(h->order, guint, i + 1)) : NULL;
        if (next && next->page != sent->page) {
            next = NULL;
        }
        trials_of(h, sent, next, fn, opaque);
    }
}

/* Rates ------------------------------------------------------------------------------------ */

static void bin_add(Bin *bins, double span)
{
    int n = (int)(4 * log2(MAX(span, 1e-6) * 1e6));
    Bin *b = &bins[CLAMP(n, 0, (int)BINS - 1)];
    b->count++;
    b->sum += span;
}

static void measure_trial(void *opaque, const Trial *t)
{
    Measure *m = opaque;
    m->trials++;
    m->dirty_count += t->dirty;
    if (t->dirty) {
        bin_add(m->dirty, t->span);
    } else {
        m->clean += t->span;
    }
    if (t->first) {
        bin_add(m->first, t->span);
        m->first_dirty += t->dirty;
    }
}

static void measure_join(Measure *m, const Measure *other)
{
    for (unsigned i = 0; i < BINS; i++) {
        m->dirty[i].count += other->dirty[i].count;
        m->dirty[i].sum += other->dirty[i].sum;
        m->first[i].count += other->first[i].count;
        m->first[i].sum += other->first[i].sum;
    }
    m->clean += other->clean;
    m->trials += other->trials;
    m->dirty_count += other->dirty_count;
    m->first_dirty += other->first_dirty;
}

/* The slope of the likelihood of |rate| (writes of one page per second), random writes. */
static double slope_random(const Measure *m, double rate)
{
    double slope = -m->clean;
    for (unsigned i = 0; i < BINS; i++) {
        const Bin *b = &m->dirty[i];
        if (b->count) {
            double mean = b->sum / (double)b->count;
            slope += b->sum / expm1(MIN(rate * mean, 500));
        }
    }
    return slope;
}

/* By how much more dirty pages there were than sequential writes at |rate| leave. */
static double surplus_sequential(const Measure *m, double rate)
{
    double surplus = (double)m->first_dirty;
    for (unsigned i = 0; i < BINS; i++) {
        const Bin *b = &m->first[i];
        if (b->count) {
            surplus -= MIN(rate * b->sum, (double)b->count);
        }
    }
    return surplus;
}

/* Where |f|, which falls, meets 0. */
static double solve(const Measure *m, double (*f)(const Measure *m, double rate))
{
    double low = log(RATE_LEAST), high = log(RATE_MOST);
    for (unsigned i = 0; i < STEPS; i++) {
        double middle = (low + high) / 2;
        *(f(m, exp(middle)) > 0 ? &low : &high) = middle;
    }
    return exp((low + high) / 2);
}

/* What all trials dirty say: at least so much. */
static double least_rate(const Measure *m)
{
    double sum = 0;
    for (unsigned i = 0; i < BINS; i++) {
        sum += m->dirty[i].sum;
    }
    return log((double)m->dirty_count + 1) * (double)m->dirty_count / MAX(sum, 1e-9);
}

static double rate_of(const Measure *m, MigPattern pattern)
{
    if (m->dirty_count == 0) {
        return 0;
    }
    if (pattern == MIG_PATTERN_SEQUENTIAL) {
        return solve(m, surplus_sequential);
    }
    return m->clean > 0 ? solve(m, slope_random) : least_rate(m);
}

/* Regions ---------------------------------------------------------------------------------- */

typedef struct Area {
    uint32_t block;
    uint64_t first, pages;
    guint from, to; /* of History.order */
    bool together;  /* at a sync its pages were all dirty, or all clean */
    bool all;       /* trials whose length isn't sure count, too */
    Measure m;
} Area;

/* First trials of a chunk by round. */
typedef struct Tally {
    uint32_t dirty, count;
} Tally;

static void tally_trial(void *opaque, const Trial *t)
{
    Tally *tally = &g_array_index((GArray *)opaque, Tally, t->round);
    tally->count += t->first;
    tally->dirty += t->first && t->dirty;
}

/* So it is with writes that come by in order. */
static bool goes_together(const History *h, const Area *a)
{
    g_autoptr(GArray) rounds = g_array_new(FALSE, TRUE, sizeof(Tally));
    uint32_t all = 0, none = 0, mixed = 0;
    g_array_set_size(rounds, h->rounds);
    each_trial(h, a->from, a->to, tally_trial, rounds);
    for (uint32_t i = 0; i < h->rounds; i++) {
        const Tally *t = &g_array_index(rounds, Tally, i);
        bool whole = t->dirty * 10 >= t->count * 9, empty = t->dirty * 10 <= t->count;
        all += whole ? t->count : 0;
        none += empty ? t->count : 0;
        mixed += whole || empty ? 0 : t->count;
    }
    return all && mixed * 4 <= all + none;
}

/* Trials that all found a write say little: then those count too whose length isn't sure. */
static void measure(History *h, Area *a)
{
    each_trial(h, a->from, a->to, measure_trial, &a->m);
    if (a->m.dirty_count + FEW >= a->m.trials) {
        a->m = (Measure){ 0 };
        a->all = h->all = true;
        each_trial(h, a->from, a->to, measure_trial, &a->m);
        h->all = false;
    }
}

static GArray *find_chunks(History *h)
{
    GArray *areas = g_array_new(FALSE, TRUE, sizeof(Area));
    guint n = h->order->len;
    for (guint i = 0; i < n;) {
        const MigSent *head = mig_sends_at(h->s, g_array_index(h->order, guint, i));
        Area a = { .block = head->block, .first = head->page / CHUNK * CHUNK, .from = i };
        uint64_t size = g_array_index(h->s->blocks, MigSendsBlock, a.block).pages;
        a.pages = MIN(CHUNK, size - a.first);
        for (; i < n; i++) {
            const MigSent *sent = mig_sends_at(h->s, g_array_index(h->order, guint, i));
            if (sent->block != a.block || sent->page >= a.first + CHUNK) {
                break;
            }
        }
        a.to = i;
        measure(h, &a);
        a.together = goes_together(h, &a);
        g_array_append_val(areas, a);
    }
    return areas;
}

/* Of pages that are written in order some are behind a sync and others in front: that they differ
 * says nothing. */
static bool alike(const Area *a, const Area *b)
{
    double x = rate_of(&a->m, MIG_PATTERN_RANDOM), y = rate_of(&b->m, MIG_PATTERN_RANDOM);
    if (x == 0 || y == 0) {
        return x == y;
    }
    bool a_full = a->m.clean <= 0, b_full = b->m.clean <= 0;
    double most = MAX(x, y), off = fabs(x - y);
    double chance =
        SIGMAS * sqrt(x * x / (double)a->m.dirty_count + y * y / (double)b->m.dirty_count);
    return (a->together && b->together) || off <= ALIKE * most || off <= chance ||
           (a_full && b_full) || (a_full && x <= y) || (b_full && y <= x);
}

static bool touch(const Area *a, const Area *b)
{
    return a->block == b->block && a->first + a->pages == b->first;
}

/* One chunk in which the front of the writes stood at a sync, between others that go together. */
static bool bridges(const Area *last, const Area *c, const Area *next)
{
    return next && c->pages <= CHUNK && last->together && next->together && touch(c, next);
}

static GArray *join_once(GArray *parts)
{
    GArray *areas = g_array_new(FALSE, TRUE, sizeof(Area));
    for (guint i = 0; i < parts->len; i++) {
        const Area *c = &g_array_index(parts, Area, i), *next = i + 1 < parts->len ? c + 1 : NULL;
        Area *last = areas->len ? &g_array_index(areas, Area, areas->len - 1) : NULL;
        if (last && touch(last, c) && (alike(last, c) || bridges(last, c, next))) {
            last->pages += c->pages;
            last->to = c->to;
            last->together |= c->together;
            last->all |= c->all;
            measure_join(&last->m, &c->m);
        } else {
            g_array_append_val(areas, *c);
        }
    }
    return areas;
}

/* Until nothing more can be joined: a larger area is surer of its rate. Takes |parts| over. */
static GArray *join(GArray *parts)
{
    guint before;
    do {
        GArray *joined = join_once(parts);
        before = parts->len;
        g_array_unref(parts);
        parts = joined;
    } while (parts->len < before);
    return parts;
}

/* How dirty pages lie, and how much of them changed. */
typedef struct Look {
    double rate;    /* of a page */
    GArray *last;   /* int8_t by round: 0 none, 1 clean, 2 dirty */
    GArray *chance; /* double by round: of the last page to be dirty */
    double runs, expected;
    uint64_t first, end; /* pages that were dirty at all */
    GArray *changed;     /* uint16_t */
} Look;

static void look_trial(void *opaque, const Trial *t)
{
    Look *l = opaque;
    if (t->dirty) {
        l->first = MIN(l->first, t->page);
        l->end = MAX(l->end, t->page + 1);
        if (t->changed != MIG_CHANGED_UNKNOWN && t->changed) {
            g_array_append_val(l->changed, t->changed);
        }
    }
    if (!t->first) {
        return;
    }
    int8_t *last = &g_array_index(l->last, int8_t, t->round), now = t->dirty ? 2 : 1;
    double *before = &g_array_index(l->chance, double, t->round);
    double chance = -expm1(-l->rate * t->span);
    if (*last) {
        l->runs += *last != now;
        l->expected += *before * (1 - chance) + (1 - *before) * chance;
    }
    *last = now;
    *before = chance;
}

static int by_size(gconstpointer a, gconstpointer b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static MigFitRegion region_of(History *h, const Area *a)
{
    Look l = { .rate = rate_of(&a->m, MIG_PATTERN_RANDOM), .first = UINT64_MAX };
    l.last = g_array_sized_new(FALSE, TRUE, sizeof(int8_t), h->rounds);
    l.chance = g_array_sized_new(FALSE, TRUE, sizeof(double), h->rounds);
    l.changed = g_array_new(FALSE, FALSE, sizeof(uint16_t));
    g_array_set_size(l.last, h->rounds);
    g_array_set_size(l.chance, h->rounds);
    h->all = a->all;
    each_trial(h, a->from, a->to, look_trial, &l);
    h->all = false;
    g_array_sort(l.changed, by_size);
    bool sequential = l.expected >= RUNS_LEAST && l.runs < SEQUENTIAL * l.expected;
    MigFitRegion r = {
        .block = a->block,
        .first = l.first,
        .pages = l.end - l.first,
        .pattern = sequential ? MIG_PATTERN_SEQUENTIAL : MIG_PATTERN_RANDOM,
        .saturated = a->m.clean <= 0,
        .changed = l.changed->len ? g_array_index(l.changed, uint16_t, l.changed->len / 2)
                                  : MIG_CHANGED_UNKNOWN,
        .dirty = a->m.dirty_count,
        .trials = a->m.trials,
    };
    /* Pages in front of the first dirty one and behind the last were measured, too. */
    r.rate = rate_of(&a->m, r.pattern) * (double)a->pages;
    g_array_unref(l.last);
    g_array_unref(l.chance);
    g_array_unref(l.changed);
    return r;
}

GArray *mig_fit_regions(const MigSends *s, const MigFitTracking *tracking)
{
    History h = history_new(s, tracking);
    g_autoptr(GArray) areas = join(find_chunks(&h));
    GArray *regions = g_array_new(FALSE, FALSE, sizeof(MigFitRegion));
    for (guint i = 0; i < areas->len; i++) {
        const Area *a = &g_array_index(areas, Area, i);
        if (a->m.dirty_count) {
            MigFitRegion r = region_of(&h, a);
            g_array_append_val(regions, r);
        }
    }
    history_clear(&h);
    return regions;
}
