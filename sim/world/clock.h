/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time, in this whole tree: int64 nanoseconds since the world began. On the virtual clock only the
 * world moves it; nothing below reads another clock.
 */
#ifndef MIG_SIM_WORLD_CLOCK_H
#define MIG_SIM_WORLD_CLOCK_H

#include <assert.h>
#include <stdint.h>

#define MIG_NS_PER_US 1000ll
#define MIG_NS_PER_MS 1000000ll
#define MIG_NS_PER_S  1000000000ll
#define MIG_FOREVER   INT64_MAX

typedef struct MigClock {
    int64_t now; /* ns, never falls */
} MigClock;

/* Moves the clock to |at|; a time in the past leaves it where it is. */
static inline void mig_clock_advance(MigClock *c, int64_t at)
{
    if (at > c->now) {
        c->now = at;
    }
}

/* What QEMU reads as milliseconds of CLOCK_REALTIME: rounded down. */
static inline int64_t mig_clock_ms(int64_t ns)
{
    return ns / MIG_NS_PER_MS;
}

/* The time that |units| take at |per_second| of them, rounded up to a nanosecond; 0 rate: at once.
 */
static inline int64_t mig_clock_span(uint64_t units, uint64_t per_second)
{
    if (per_second == 0) {
        return 0;
    }
    __uint128_t ns = ((__uint128_t)units * MIG_NS_PER_S + per_second - 1) / per_second;
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

#endif
