/* SPDX-License-Identifier: Apache-2.0 */
/* Zipf's distribution by table, see zipf.h. */
#include "sim/guest/zipf.h"

#include <assert.h>
#include <glib.h>

#define SINGLE  256u /* ranks with an entry of their own */
#define CLASSES 16u  /* for each doubling behind them */
#define ENTRIES (SINGLE + CLASSES * 64u)
#define LN_2    0.69314718055994530942

struct MigZipf {
    uint32_t entries;
    uint64_t first[ENTRIES + 1]; /* rank, from 0; the last one: how many there are */
    uint64_t below[ENTRIES];     /* random words up to this one, included, belong to it or before */
};

/* The natural logarithm of x >= 1: x = m * 2^e, and ln m = 2 artanh((m - 1) / (m + 1)). */
static double logarithm(double x)
{
    double e = 0, sum = 0;
    for (; x >= 2; x /= 2) {
        e++;
    }
    double z = (x - 1) / (x + 1), power = z;
    for (int k = 1; k < 40; k += 2) {
        sum += power / k;
        power *= z * z;
    }
    return 2 * sum + e * LN_2;
}

/* e^-x for x >= 0: a power of two and a short series. */
static double exponential_of_minus(double x)
{
    uint64_t halvings = (uint64_t)(x / LN_2);
    double rest = x - (double)halvings * LN_2, term = 1, sum = 1;
    for (int k = 1; k < 24; k++) {
        term *= -rest / k;
        sum += term;
    }
    for (; halvings > 0; halvings--) {
        sum /= 2;
    }
    return sum;
}

static double weight(double rank, uint32_t exponent)
{
    return exponential_of_minus(logarithm(rank) * exponent / 1000.0);
}

/* Where the class behind the one that begins at |first| (>= SINGLE) begins. */
static uint64_t next_class(uint64_t first)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(first);
    return first + (1ull << top) / CLASSES;
}

MigZipf *mig_zipf_new(uint64_t count, uint32_t exponent)
{
    assert(count > 0 && exponent <= MIG_ZIPF_EXPONENT_MAX);
    MigZipf *z = g_new0(MigZipf, 1);
    double *cumulated = g_new(double, ENTRIES), total = 0;
    for (uint64_t first = 0, end; first < count; first = end) {
        end = first < SINGLE ? first + 1 : next_class(first);
        end = end > first && end < count ? end : count; /* beyond 2^64 it wraps */
        assert(z->entries < ENTRIES);
        /* Ranks count from 1; a class weighs as its middle does, once for each rank. */
        total += (double)(end - first) * weight((double)(first + end + 1) / 2.0, exponent);
        z->first[z->entries] = first;
        cumulated[z->entries++] = total;
    }
    z->first[z->entries] = count;
    for (uint32_t i = 0; i < z->entries; i++) {
        double share = cumulated[i] / total; /* below 1, but for the last */
        z->below[i] = i + 1 == z->entries ? UINT64_MAX : (uint64_t)(share * 18446744073709549568.0);
    }
    g_free(cumulated);
    return z;
}

void mig_zipf_free(MigZipf *z)
{
    g_free(z);
}

uint64_t mig_zipf_rank(const MigZipf *z, uint64_t random, uint64_t other)
{
    uint32_t low = 0, high = z->entries - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (random <= z->below[middle]) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    uint64_t ranks = z->first[low + 1] - z->first[low];
    return z->first[low] + (uint64_t)(((__uint128_t)other * ranks) >> 64);
}
