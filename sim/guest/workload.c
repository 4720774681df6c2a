/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workloads, see workload.h.
 *
 * Model. Each workload has a vCPU time of its own (as if there were a vCPU for each). The guest's
 * throttling and stops reach it as stalls. A write takes `cost`; it is logged at its beginning.
 *
 * Limits. A dirty log's write faults cost nothing here. Two workloads never slow each other down.
 */
#include "sim/guest/workload.h"

#include <assert.h>

#include "sim/world/prng.h"

#define NS_PER_S 1000000000ull

static uint64_t phase_writes(const MigPhase *p)
{
    return (uint64_t)((__uint128_t)(uint64_t)p->length * p->rate / NS_PER_S);
}

MigWorkloadRun mig_workload_begin(const MigWorkload *w, uint64_t seed, uint32_t index)
{
    assert(w->pages > 0 && w->rate <= MIG_WORKLOAD_RATE_MAX);
    MigWorkloadRun r = {
        .w = *w,
        .origin = w->start,
        .free = w->start < 0 ? w->start : 0,
        .key = mig_prng_key(seed, "workload-page", index),
        .page_key = mig_prng_key(seed, "workload-words", index),
    };
    for (uint32_t i = 0; i < w->phase_count; i++) {
        r.cycle += w->phases[i].length;
        r.cycle_writes += phase_writes(&w->phases[i]);
    }
    return r;
}

/* When write |turn| of a round through the phases is due, from its beginning. */
static int64_t phased(const MigWorkload *w, uint64_t turn)
{
    int64_t at = 0;
    for (uint32_t i = 0; i < w->phase_count; i++) {
        uint64_t writes = phase_writes(&w->phases[i]);
        if (turn < writes) {
            return at + (int64_t)((__uint128_t)turn * NS_PER_S / w->phases[i].rate);
        }
        turn -= writes;
        at += w->phases[i].length;
    }
    return at;
}

/* When the write `turn` steps behind the origin is due. But for periodic ones, turn < rate. */
static int64_t due(const MigWorkloadRun *r, uint64_t turn)
{
    if (r->w.pattern == MIG_PATTERN_TRACE) {
        return turn < r->w.trace_count ? r->origin + r->w.trace[turn].at : INT64_MAX;
    }
    if (r->w.phase_count > 0) {
        return r->origin + phased(&r->w, turn);
    }
    if (r->w.pattern == MIG_PATTERN_PERIODIC) {
        return r->origin + (int64_t)((__uint128_t)turn * NS_PER_S / r->w.rate);
    }
    return r->origin + (int64_t)(turn * NS_PER_S / r->w.rate);
}

int64_t mig_workload_next(const MigWorkloadRun *r)
{
    if (r->w.rate == 0 || (r->w.pattern == MIG_PATTERN_ONCE && r->next >= r->w.pages)) {
        return INT64_MAX;
    }
    int64_t at = due(r, r->turn);
    at = at > r->free ? at : r->free;
    return r->w.end > 0 && at >= r->w.end ? INT64_MAX : at;
}

static uint64_t below(uint64_t random, uint64_t bound)
{
    return (uint64_t)(((__uint128_t)random * bound) >> 64);
}

uint64_t mig_workload_page_of(const MigWorkloadRun *r, uint64_t n)
{
    uint64_t pages = r->w.pages;
    if (r->w.pattern == MIG_PATTERN_TRACE) {
        return r->w.first + r->w.trace[n].page;
    }
    if (r->w.pattern == MIG_PATTERN_ZIPF) {
        return r->w.first +
               mig_zipf_rank(r->w.zipf, mig_prng_at(r->key, 2 * n), mig_prng_at(r->key, 2 * n + 1));
    }
    if (r->w.pattern == MIG_PATTERN_RANDOM) {
        return r->w.first + below(mig_prng_at(r->key, n), pages);
    }
    if (r->w.pattern == MIG_PATTERN_HOT_COLD) {
        uint64_t hot = (uint64_t)((__uint128_t)pages * r->w.hot_size / 100);
        bool to_hot = hot > 0 && below(mig_prng_at(r->key, 2 * n), 100) < r->w.hot_share;
        return r->w.first + below(mig_prng_at(r->key, 2 * n + 1), to_hot ? hot : pages);
    }
    return r->w.first + n % pages;
}

void mig_workload_pages_of(const MigWorkloadRun *r, uint64_t number, unsigned n,
                           uint64_t *restrict pages, const uint64_t *bits)
{
    uint64_t key = r->key, first = r->w.first, bound = r->w.pages;
    bool random = r->w.pattern == MIG_PATTERN_RANDOM; /* the one that takes millions of draws */
    for (unsigned i = 0; random && i < n; i++) {
        pages[i] = first + below(mig_prng_at(key, number + i), bound);
        __builtin_prefetch(&bits[pages[i] / 64], 1); /* the drawing hides what memory takes */
    }
    for (unsigned i = 0; !random && i < n; i++) {
        pages[i] = mig_workload_page_of(r, number + i);
    }
}

uint64_t mig_workload_page(const MigWorkloadRun *r)
{
    return mig_workload_page_of(r, r->next);
}

MigWrite mig_workload_write(const MigWorkloadRun *r)
{
    return mig_workload_write_of(r, r->next);
}

MigWrite mig_workload_write_of(const MigWorkloadRun *r, uint64_t number)
{
    return (MigWrite){
        .kind = r->w.write,
        .byte = r->w.write_byte,
        .n = r->w.write_bytes,
        .key = r->page_key,
        .number = number,
    };
}

/* Its rate is always the same, over all times. */
static bool is_even(const MigWorkload *w)
{
    return w->pattern != MIG_PATTERN_PERIODIC && w->pattern != MIG_PATTERN_TRACE &&
           w->phase_count == 0;
}

/* A write keeps the vCPU as long as their interval, or longer. */
static bool is_busy(const MigWorkload *w)
{
    return (__uint128_t)(uint64_t)w->cost * w->rate >= NS_PER_S;
}

/*
 * A vCPU that is behind the last write of a round stays behind to the end of the round, and for
 * ever when it is also behind the next one's, and no round is over before its period is.
 */
static uint64_t behind_rounds(const MigWorkloadRun *r)
{
    __int128 pages = r->w.pages, cost = r->w.cost, rest = pages - (__int128)r->turn;
    __int128 last = r->origin + (pages - 1) * (__int128)NS_PER_S / (__int128)r->w.rate;
    bool next_too = pages * cost >= r->w.period && r->free + rest * cost >= last + r->w.period;
    return cost == 0 || r->free < last ? 0 : next_too ? UINT64_MAX : (uint64_t)rest;
}

/* How many of the next writes are late for sure, each made when the one before is over. */
static uint64_t behind(const MigWorkloadRun *r)
{
    if (r->w.pattern == MIG_PATTERN_PERIODIC) {
        return behind_rounds(r);
    }
    bool late = is_even(&r->w) && is_busy(&r->w) && due(r, r->turn) <= r->free;
    return late ? r->w.rate - r->turn : 0;
}

/*
 * Turns up to the end of this second: due(t) <= until means t <= ((until - origin + 1) rate - 1) /
 * 10^9. A vCPU that is behind, or that a write keeps longer than its interval, makes them later.
 */
static uint64_t in_time(const MigWorkloadRun *r, int64_t until)
{
    uint64_t rate = r->w.rate;
    if (!is_even(&r->w) || until < r->origin || (uint64_t)r->w.cost > NS_PER_S / rate ||
        due(r, r->turn) < r->free) {
        return 0;
    }
    uint64_t span = (uint64_t)(until - r->origin) + 1;
    __uint128_t last = ((__uint128_t)span * rate - 1) / NS_PER_S;
    uint64_t end = last < rate ? (uint64_t)last + 1 : rate;
    return end > r->turn ? end - r->turn : 0;
}

uint64_t mig_workload_batch(const MigWorkloadRun *r, int64_t until)
{
    uint64_t n = r->w.rate > 0 ? behind(r) : 0, left = r->w.pages - r->next;
    until = r->w.end > 0 && until >= r->w.end ? r->w.end - 1 : until;
    if (n > 0) {
        uint64_t most = until < r->free ? 0 : (uint64_t)(until - r->free) / (uint64_t)r->w.cost + 1;
        n = n < most ? n : most;
    } else {
        n = r->w.rate > 0 ? in_time(r, until) : 0;
    }
    return r->w.pattern == MIG_PATTERN_ONCE && n > left ? left : n;
}

void mig_workload_skip(MigWorkloadRun *r, uint64_t writes)
{
    if (writes == 0) {
        return;
    }
    r->free += behind(r) > 0 ? (int64_t)(writes - 1) * r->w.cost : 0;
    r->turn += writes - 1;
    r->next += writes - 1;
    if (r->w.pattern == MIG_PATTERN_PERIODIC) {
        r->origin += (int64_t)(r->turn / r->w.pages) * r->w.period;
        r->turn %= r->w.pages;
    }
    mig_workload_step(r);
}

void mig_workload_step(MigWorkloadRun *r)
{
    r->free = mig_workload_next(r) + r->w.cost;
    r->next++;
    r->turn++;
    if (r->w.pattern == MIG_PATTERN_PERIODIC && r->next % r->w.pages == 0) {
        /* A round that took longer than its period is followed by the next one at once. */
        r->turn = 0;
        r->origin += r->w.period;
    } else if (r->w.phase_count > 0 && r->turn == r->cycle_writes) {
        r->origin += r->cycle;
        r->turn = 0;
    } else if (r->turn == r->w.rate && is_even(&r->w)) {
        r->origin += (int64_t)NS_PER_S; /* exact: this many writes are due in a second */
        r->turn = 0;
    }
}

/* How many writes were due in |span| ns, rounded down; of uneven rates the mean. */
static uint64_t due_in(const MigWorkloadRun *r, int64_t span)
{
    if (r->w.pattern == MIG_PATTERN_TRACE) {
        return 0; /* a trace is not shortened, it comes later */
    }
    if (r->w.phase_count > 0) {
        return (uint64_t)((__uint128_t)(uint64_t)span * r->cycle_writes / (uint64_t)r->cycle);
    }
    return (uint64_t)((__uint128_t)(uint64_t)span * r->w.rate / NS_PER_S);
}

void mig_workload_stall(MigWorkloadRun *r, int64_t from, int64_t to)
{
    if (r->next == 0 && from < r->w.start) {
        from = r->w.start; /* before that nothing of it was held up */
    }
    if (r->w.rate == 0 || to <= from) {
        return;
    }
    r->free = r->free > from ? r->free + (to - from) : to; /* in the middle of a write, or not */
    if (due(r, r->turn) == INT64_MAX) {
        return; /* the trace is over */
    }
    int64_t late = to - due(r, r->turn), forgive = r->w.pace == MIG_PACE_CPU ? to - from : 0;
    if (r->w.pace == MIG_PACE_CLOCK && late > r->w.catch_up) {
        forgive = late - r->w.catch_up;
    }
    r->origin += forgive;
    r->lost += due_in(r, forgive);
}
