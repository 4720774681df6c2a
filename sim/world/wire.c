/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wire that is not constant, see wire.h. In a piece with rate R that began with T tokens,
 * refilled by r each ns, min(R * j, T + r * j) leave within j ns where R > r, else R * j.
 */
#include "sim/world/wire.h"

#include <assert.h>

#include "sim/world/clock.h"

#define NANOBITS_PER_BYTE 8000000000ull

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void mig_wire_init(MigWire *w, const MigWireConfig *config)
{
    assert(config->trace.count ? mig_rates_most(&config->trace) > 0 : config->bandwidth > 0);
    assert(config->flows > 0 && config->horizon < MIG_FOREVER);
    *w = (MigWire){
        .config = *config,
        .per_byte = NANOBITS_PER_BYTE * config->frame,
        .refill = config->bucket.rate * config->payload,
        .burst = (MigAmount)config->bucket.burst * NANOBITS_PER_BYTE * config->payload,
    };
}

/* What is left to us of |bandwidth|, bit/s: never nothing of something. */
static uint64_t share(const MigWire *w, uint64_t bandwidth, uint64_t load)
{
    uint64_t theirs = w->config.background.flows, all = theirs + w->config.flows;
    uint64_t fair = (uint64_t)((MigAmount)bandwidth * theirs / all);
    return bandwidth - min(load, fair);
}

/* The rate from |at| on, per ns, and until when. */
static uint64_t rate_at(const MigWire *w, int64_t at, int64_t *until)
{
    const MigWireConfig *c = &w->config;
    int64_t other = MIG_FOREVER;
    uint64_t rate = c->bandwidth;
    *until = MIG_FOREVER;
    if (c->trace.count) {
        rate = mig_rates_at(&c->trace, at, until);
    }
    if (c->background.load.count) {
        rate = share(w, rate, mig_rates_at(&c->background.load, at, &other));
    }
    *until = other < *until ? other : *until;
    return (c->bucket.peak ? min(rate, c->bucket.peak) : rate) * c->payload;
}

MigWirePiece mig_wire_begin(const MigWire *w, int64_t at, MigAmount tokens)
{
    MigWirePiece p = { .at = at, .tokens = tokens };
    p.rate = rate_at(w, at, &p.until);
    return p;
}

static bool is_shaped(const MigWire *w, const MigWirePiece *p)
{
    return w->refill > 0 && p->rate > w->refill;
}

/* What has left by |at|, a time in the piece. */
static MigAmount left_in(const MigWire *w, const MigWirePiece *p, int64_t at)
{
    MigAmount ns = (MigAmount)(at - p->at), left = p->rate * ns;
    if (is_shaped(w, p) && p->tokens + w->refill * ns < left) {
        left = p->tokens + w->refill * ns;
    }
    return p->left + left;
}

MigAmount mig_wire_tokens(const MigWire *w, const MigWirePiece *p, int64_t at, MigAmount amount)
{
    MigAmount tokens = p->tokens + w->refill * (MigAmount)(at - p->at) - (amount - p->left);
    return tokens < w->burst ? tokens : w->burst;
}

static void next_piece(const MigWire *w, MigWirePiece *p)
{
    int64_t at = p->until;
    MigAmount left = left_in(w, p, at), tokens = mig_wire_tokens(w, p, at, left);
    *p = mig_wire_begin(w, at, tokens);
    p->left = left;
}

MigAmount mig_wire_left(const MigWire *w, MigWirePiece *p, int64_t at)
{
    if (at <= p->at) {
        return p->left;
    }
    while (p->until <= at) {
        next_piece(w, p);
    }
    return left_in(w, p, at);
}

static MigAmount divide_up(MigAmount n, uint64_t by)
{
    return (n + by - 1) / by;
}

int64_t mig_wire_reaches(const MigWire *w, MigWirePiece *p, MigAmount amount)
{
    while (p->until <= w->config.horizon && left_in(w, p, p->until) < amount) {
        next_piece(w, p);
    }
    if (amount <= p->left) {
        return p->at;
    }
    MigAmount rest = amount - p->left, ns = p->rate ? divide_up(rest, p->rate) : MIG_FOREVER;
    if (is_shaped(w, p) && p->tokens + w->refill * ns < rest) {
        ns = divide_up(rest - p->tokens, w->refill);
    }
    MigAmount most = (MigAmount)(w->config.horizon < p->at ? 0 : w->config.horizon + 1 - p->at);
    return p->at + (int64_t)(ns < most ? ns : most);
}
