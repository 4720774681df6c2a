/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-random numbers, see prng.h. Not for secrets. */
#include "sim/world/prng.h"

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t fnv1a(const char *text)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        h = (h ^ *c) * 0x100000001b3ull;
    }
    return h;
}

uint64_t mig_prng_key(uint64_t seed, const char *component, uint64_t index)
{
    uint64_t key = mig_prng_mix(seed + MIG_PRNG_GOLDEN);
    key = mig_prng_mix((key ^ fnv1a(component)) + MIG_PRNG_GOLDEN);
    return mig_prng_mix((key ^ index) + MIG_PRNG_GOLDEN);
}

MigPrng mig_prng(uint64_t seed, const char *component, uint64_t index)
{
    uint64_t key = mig_prng_key(seed, component, index);
    MigPrng p;
    for (unsigned i = 0; i < 4; i++) {
        p.s[i] = mig_prng_at(key, i);
    }
    p.s[0] |= (p.s[0] | p.s[1] | p.s[2] | p.s[3]) == 0; /* all zero is its one dead state */
    return p;
}

uint64_t mig_prng_next(MigPrng *p)
{
    uint64_t *s = p->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t mig_prng_below(MigPrng *p, uint64_t bound)
{
    if (bound == 0) {
        return mig_prng_next(p);
    }
    /* Multiply and look at the low half; the few values that would be too frequent are redrawn. */
    uint64_t least = (0 - bound) % bound;
    for (;;) {
        __uint128_t m = (__uint128_t)mig_prng_next(p) * bound;
        if ((uint64_t)m >= least) {
            return (uint64_t)(m >> 64);
        }
    }
}

bool mig_prng_chance(MigPrng *p, uint64_t numerator, uint64_t denominator)
{
    return mig_prng_below(p, denominator) < numerator;
}
