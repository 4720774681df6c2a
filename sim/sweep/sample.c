/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws, see sample.h. Logarithm and power to base 2 are made bit by bit from integer squares and
 * square roots; they are good to about 2^-29 of the value, and the same on every machine, which
 * libm's are not.
 */
#include "sim/sweep/sample.h"

#include "sim/world/prng.h"

#define FRACTION 32 /* bits of a position and of a logarithm behind the point */

void mig_sample_latin(uint64_t seed, const char *name, uint64_t index, uint64_t count,
                      uint64_t *positions)
{
    MigPrng p = mig_prng(seed, name, index);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t j = mig_prng_below(&p, i + 1);
        positions[i] = positions[j];
        positions[j] = i;
    }
    for (uint64_t i = 0; i < count; i++) {
        positions[i] = positions[i] << FRACTION | mig_prng_next(&p) >> FRACTION;
    }
}

void mig_sample_random(uint64_t seed, const char *name, uint64_t index, uint64_t count,
                       uint64_t *positions)
{
    MigPrng p = mig_prng(seed, name, index);
    for (uint64_t i = 0; i < count; i++) {
        positions[i] = mig_prng_below(&p, count << FRACTION);
    }
}

uint64_t mig_sample_choice(uint64_t position, uint64_t count, uint64_t choices)
{
    return (uint64_t)((__uint128_t)position * choices / count >> FRACTION);
}

static uint64_t log2_fixed(uint64_t x)
{
    unsigned whole = 63u - (unsigned)__builtin_clzll(x);
    uint64_t m = x << (63 - whole), log = whole; /* m: 1 <= m < 2 in units of 2^-63 */
    for (unsigned bit = 0; bit < FRACTION; bit++) {
        __uint128_t square = (__uint128_t)m * m >> 63;
        unsigned above = (unsigned)(square >> 64); /* 2 or more */
        log = log << 1 | above;
        m = (uint64_t)(square >> above);
    }
    return log;
}

/* The largest root whose square is at most |x|. */
static uint64_t square_root(__uint128_t x)
{
    uint64_t root = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t try = root | UINT64_C(1) << bit;
        if ((__uint128_t)try * try <= x) {
            root = try;
        }
    }
    return root;
}

static uint64_t exp2_fixed(uint64_t log)
{
    unsigned whole = (unsigned)(log >> FRACTION);
    uint64_t factor = 0, power = UINT64_C(1) << 62; /* in units of 2^-62 */
    for (int bit = FRACTION - 1; bit >= 0; bit--) {
        __uint128_t of = bit == FRACTION - 1 ? (__uint128_t)1 << 125 : (__uint128_t)factor << 62;
        factor = square_root(of);
        if (log >> bit & 1) {
            power = (uint64_t)((__uint128_t)power * factor >> 62);
        }
    }
    __uint128_t shifted = (__uint128_t)power << whole;
    return (uint64_t)((shifted + ((__uint128_t)1 << 61)) >> 62);
}

uint64_t mig_sample_log(uint64_t position, uint64_t count, uint64_t from, uint64_t to)
{
    uint64_t low = log2_fixed(from), high = log2_fixed(to);
    uint64_t part = (uint64_t)((__uint128_t)position * (high - low) / count >> FRACTION);
    uint64_t value = exp2_fixed(low + part);
    return value < from ? from : value > to ? to : value;
}
