/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the codecs are, next to the portable path and to plain memory in the same run.
 *
 * Zero scan: pages of zeros, once in a buffer far larger than any cache, once in one that stays in
 * the second-level cache; the yardstick is a loop of the same vectors that only reads.
 * XBZRLE: 32 pairs of 4 KiB pages that stay in the second-level cache, at each density; the
 * figure is bytes of page per second.
 * Every figure is the best of several rounds: the machine's noise only ever slows a round down.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "stream/xbzrle.h"
#include "stream/zero.h"

#define PAGE   4096u
#define PAGES  32u
#define BIG    (256u << 20)
#define SMALL  (256u << 10)
#define ROUNDS 15

static volatile uint64_t sink;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t random_state = 88172645463325252ull;

static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t read_portable(const void *p, size_t n)
{
    const uint64_t *w = p;
    uint64_t a = 0, b = 0, c = 0, d = 0;

    for (size_t i = 0; i + 4 <= n / 8; i += 4) {
        a |= w[i];
        b |= w[i + 1];
        c |= w[i + 2];
        d |= w[i + 3];
    }
    return a | b | c | d;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_avx2(const void *p, size_t n)
{
    const __m256i *v = p;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (size_t i = 0; i + 4 <= n / 32; i += 4) {
        a = _mm256_or_si256(a, _mm256_load_si256(v + i));
        b = _mm256_or_si256(b, _mm256_load_si256(v + i + 1));
        c = _mm256_or_si256(c, _mm256_load_si256(v + i + 2));
        d = _mm256_or_si256(d, _mm256_load_si256(v + i + 3));
    }
    a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    return (uint64_t)!_mm256_testz_si256(a, a);
}
#endif

static uint64_t read_all(const void *p, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        return read_avx2(p, n);
    }
#endif
    return read_portable(p, n);
}

/* One of the things measured: `what` is a MigZeroImpl, or NULL for plain reading. */
static void sweep(const MigZeroImpl *what, const uint8_t *buffer, size_t n)
{
    if (!what) {
        sink += read_all(buffer, n);
        return;
    }
    for (size_t i = 0; i < n; i += PAGE) {
        sink += what->fn(buffer + i, PAGE);
    }
}

static double sweep_rate(const MigZeroImpl *what, const uint8_t *buffer, size_t n, unsigned times)
{
    double start = now();

    for (unsigned k = 0; k < times; k++) {
        sweep(what, buffer, n);
    }
    return (double)n * times / (now() - start) / 1e9;
}

static void bench_zero(const char *where, const uint8_t *buffer, size_t n, unsigned times)
{
    double best[8] = { 0 }, read = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        double rate = sweep_rate(NULL, buffer, n, times);

        read = rate > read ? rate : read;
        for (unsigned k = 0; mig_zero_impls[k].name && k < 8; k++) {
            if (mig_zero_impls[k].supported()) {
                rate = sweep_rate(&mig_zero_impls[k], buffer, n, times);
                best[k] = rate > best[k] ? rate : best[k];
            }
        }
    }
    printf("zero scan, %-8s  read      %7.2f GB/s\n", where, read);
    for (unsigned k = 0; mig_zero_impls[k].name && k < 8; k++) {
        printf("zero scan, %-8s  %-8s  %7.2f GB/s  %5.2f of read  %5.2f of portable\n", where,
               mig_zero_impls[k].name, best[k], best[k] / read, best[k] / best[0]);
    }
}

typedef struct Pair {
    uint8_t old_page[PAGES][PAGE];
    uint8_t new_page[PAGES][PAGE];
    uint8_t delta[PAGES][PAGE + 64];
    int length[PAGES];
} Pair;

static void change(uint8_t *p, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++) {
        p[i] = (uint8_t)(p[i] + 1 + random64() % 255);
    }
}

static void change_4(uint8_t *p)
{
    change(p, random64() % (PAGE - 4), 4);
}

static void change_64(uint8_t *p)
{
    for (unsigned k = 0; k < 64; k++) {
        change(p, random64() % PAGE, 1);
    }
}

static void change_half(uint8_t *p)
{
    change(p, PAGE / 4, PAGE / 2);
}

static void change_lines(uint8_t *p)
{
    for (size_t i = 0; i < PAGE; i += 128) {
        change(p, i + random64() % 64, 64);
    }
}

static void change_random(uint8_t *p)
{
    for (size_t i = 0; i < PAGE; i += 8) {
        uint64_t word = random64();

        memcpy(p + i, &word, 8);
    }
}

static void change_nothing(uint8_t *p)
{
    (void)p;
}

static const struct {
    const char *name;
    void (*change)(uint8_t *page);
} densities[] = {
    { "nothing changed", change_nothing },      { "4 bytes", change_4 },
    { "64 scattered bytes", change_64 },        { "half a page, one run", change_half },
    { "half a page, 64 B runs", change_lines }, { "random", change_random },
};

static double encode_rate(const MigXbzrleImpl *impl, Pair *pair, unsigned times)
{
    double start = now();

    for (unsigned k = 0; k < times; k++) {
        for (unsigned i = 0; i < PAGES; i++) {
            pair->length[i] =
                impl->encode(pair->old_page[i], pair->new_page[i], PAGE, pair->delta[i], PAGE);
        }
    }
    return (double)PAGES * PAGE * times / (now() - start) / 1e9;
}

static double decode_rate(Pair *pair, unsigned times)
{
    double start = now();

    for (unsigned k = 0; k < times; k++) {
        for (unsigned i = 0; i < PAGES; i++) {
            sink +=
                mig_xbzrle_decode(pair->delta[i], pair->length[i] > 0 ? (size_t)pair->length[i] : 0,
                                  pair->old_page[i], PAGE, NULL);
        }
    }
    return (double)PAGES * PAGE * times / (now() - start) / 1e9;
}

static double copy_rate(Pair *pair, unsigned times)
{
    double start = now();

    for (unsigned k = 0; k < times; k++) {
        for (unsigned i = 0; i < PAGES; i++) {
            memcpy(pair->delta[i], pair->new_page[i], PAGE);
            __asm__ volatile("" : : "r"(pair->delta[i]) : "memory");
        }
    }
    return (double)PAGES * PAGE * times / (now() - start) / 1e9;
}

static void bench_density(unsigned which, Pair *pair)
{
    double best[8] = { 0 }, copy = 0, decode = 0;
    int length;

    for (unsigned i = 0; i < PAGES; i++) {
        change_random(pair->old_page[i]);
        memcpy(pair->new_page[i], pair->old_page[i], PAGE);
        densities[which].change(pair->new_page[i]);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        double rate = copy_rate(pair, 200);

        copy = rate > copy ? rate : copy;
        for (unsigned k = 0; mig_xbzrle_impls[k].name && k < 8; k++) {
            if (mig_xbzrle_impls[k].supported()) {
                rate = encode_rate(&mig_xbzrle_impls[k], pair, 100);
                best[k] = rate > best[k] ? rate : best[k];
            }
        }
    }
    length = pair->length[0];
    for (unsigned round = 0; round < ROUNDS; round++) {
        double rate = decode_rate(pair, 100);

        decode = rate > decode ? rate : decode;
    }
    printf("xbzrle, %-22s  memcpy    %7.2f GB/s  (delta of the first page: %d)\n",
           densities[which].name, copy, length);
    for (unsigned k = 0; mig_xbzrle_impls[k].name && k < 8; k++) {
        printf("xbzrle, %-22s  %-8s  %7.2f GB/s  %5.2f of memcpy  %5.2f of portable\n",
               densities[which].name, mig_xbzrle_impls[k].name, best[k], best[k] / copy,
               best[k] / best[0]);
    }
    if (length > 0) {
        printf("xbzrle, %-22s  decode    %7.2f GB/s  %5.2f of memcpy\n", densities[which].name,
               decode, decode / copy);
    }
}

int main(void)
{
    uint8_t *big = aligned_alloc(2u << 20, BIG);
    Pair *pair = aligned_alloc(4096, (sizeof(Pair) + 4095) / 4096 * 4096);

    if (!big || !pair) {
        fprintf(stderr, "bench-codecs: no memory for the buffers\n");
        return 4;
    }
    memset(big, 1, BIG); /* or the kernel would back it all by its one page of zeros */
    __asm__ volatile("" : : "r"(big) : "memory");
    memset(big, 0, BIG);
    memset(pair, 0, sizeof(*pair));
    bench_zero("memory", big, BIG, 1);
    bench_zero("cache", big, SMALL, 200);
    for (unsigned k = 0; k < sizeof(densities) / sizeof(densities[0]); k++) {
        bench_density(k, pair);
    }
    free(big);
    free(pair);
    return 0;
}
