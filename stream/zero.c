/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zero-page detection.
 *
 * A page that is not zero mostly shows it in one of a few places, so every implementation first
 * looks at the first, the middle and the last word. A page that passes is read once, in blocks,
 * with one branch per block: from memory the scan is then as fast as reading is, and wider vectors
 * than 256 bits have nothing left to win, which is why there is no AVX-512 path.
 */
#include "stream/zero.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#define MIG_ZERO_X86 1
#include <immintrin.h>
#else
#define MIG_ZERO_X86 0
#endif

static inline uint64_t word_at(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/*
 * The words that betray most pages, in rising order: beginning with the last one turns the
 * processor's prefetcher round, which costs a third of the speed. Needs n >= 8.
 */
static inline bool sample_is_zero(const unsigned char *p, size_t n)
{
    if (word_at(p)) {
        return false;
    }
    if (word_at(p + n / 2 - 4)) {
        return false;
    }
    return word_at(p + n - 8) == 0;
}

static bool bytes_are_zero(const unsigned char *p, size_t n)
{
    unsigned char any = 0;

    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

/* The end of a buffer of n >= 8 bytes, of which the first `from` are known to be zero. */
static inline bool tail_is_zero(const unsigned char *p, size_t from, size_t n)
{
    for (; from + 8 <= n; from += 8) {
        if (word_at(p + from)) {
            return false;
        }
    }
    return word_at(p + n - 8) == 0;
}

static bool zero_portable(const void *buffer, size_t n)
{
    const unsigned char *p = buffer;
    size_t i = 0;

    if (n < 8) {
        return bytes_are_zero(p, n);
    }
    if (!sample_is_zero(p, n)) {
        return false;
    }
    for (; i + 64 <= n; i += 64) {
        uint64_t a = word_at(p + i) | word_at(p + i + 8);
        uint64_t b = word_at(p + i + 16) | word_at(p + i + 24);
        uint64_t c = word_at(p + i + 32) | word_at(p + i + 40);
        uint64_t d = word_at(p + i + 48) | word_at(p + i + 56);

        if ((a | b) | (c | d)) {
            return false;
        }
    }
    return tail_is_zero(p, i, n);
}

static bool always(void)
{
    return true;
}

#if MIG_ZERO_X86

__attribute__((target("sse2"))) static bool zero_sse2(const void *buffer, size_t n)
{
    const unsigned char *p = buffer;
    const __m128i zero = _mm_setzero_si128();
    size_t i = 0;

    if (n < 64) {
        return zero_portable(p, n);
    }
    if (!sample_is_zero(p, n)) {
        return false;
    }
    for (; i + 64 <= n; i += 64) {
        const __m128i *v = (const __m128i *)(p + i);
        __m128i any = _mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1));

        any = _mm_or_si128(any, _mm_loadu_si128(v + 2));
        any = _mm_or_si128(any, _mm_loadu_si128(v + 3));
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(any, zero)) != 0xffff) {
            return false;
        }
    }
    return tail_is_zero(p, i, n);
}

__attribute__((target("avx2"))) static bool zero_avx2(const void *buffer, size_t n)
{
    const unsigned char *p = buffer;
    size_t i = 0;

    if (n < 128) {
        return zero_portable(p, n);
    }
    if (!sample_is_zero(p, n)) {
        return false;
    }
    for (; i + 128 <= n; i += 128) {
        const __m256i *v = (const __m256i *)(p + i);
        __m256i any = _mm256_or_si256(_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1));

        any = _mm256_or_si256(any, _mm256_loadu_si256(v + 2));
        any = _mm256_or_si256(any, _mm256_loadu_si256(v + 3));

        if (!_mm256_testz_si256(any, any)) {
            return false;
        }
    }
    return tail_is_zero(p, i, n);
}

static bool has_sse2(void)
{
    return __builtin_cpu_supports("sse2");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

#endif

const MigZeroImpl mig_zero_impls[] = {
    { "portable", always, zero_portable },
#if MIG_ZERO_X86
    { "sse2", has_sse2, zero_sse2 },
    { "avx2", has_avx2, zero_avx2 },
#endif
    { NULL, NULL, NULL },
};

typedef bool ZeroFn(const void *p, size_t n);

static bool zero_first_call(const void *p, size_t n);

/* Every thread that races here stores the same pointer, so relaxed order is enough. */
static _Atomic(ZeroFn *) zero_fn = zero_first_call;

static bool zero_first_call(const void *p, size_t n)
{
    ZeroFn *best = zero_portable;

    for (const MigZeroImpl *impl = mig_zero_impls; impl->name; impl++) {
        if (impl->supported()) {
            best = impl->fn;
        }
    }
    atomic_store_explicit(&zero_fn, best, memory_order_relaxed);
    return best(p, n);
}

bool mig_is_zero(const void *p, size_t n)
{
    return atomic_load_explicit(&zero_fn, memory_order_relaxed)(p, n);
}
