/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 as FIPS 180-4 has it, see sha256.h. The instructions do two rounds at once, on a state
 * that is kept as the words ABEF and CDGH, and make four words of the message schedule at once.
 * Where there are none, GLib does it all.
 */
#include "sim/world/sha256.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 64u

struct MigSha256 {
    GChecksum *slow;   /* NULL: the rest is used */
    uint32_t state[8]; /* A to H */
    uint8_t held[BLOCK];
    size_t count;   /* of bytes held */
    uint64_t bytes; /* of all */
    char text[65];  /* "": not ended yet */
};

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

static bool has_instructions(void)
{
    unsigned a, b = 0, c = 0, d;
    bool sse = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSSE3 && c & bit_SSE4_1;
    return sse && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

/* Words 4 * |group| and the three behind it, of the last 16 of which |w| has all. */
WITH_SHA static inline __m128i next_words(const __m128i w[4], unsigned group)
{
    __m128i last = w[(group + 3) % 4];
    __m128i seven_before = _mm_alignr_epi8(last, w[(group + 2) % 4], 4);
    __m128i sum =
        _mm_add_epi32(_mm_sha256msg1_epu32(w[group % 4], w[(group + 1) % 4]), seven_before);
    return _mm_sha256msg2_epu32(sum, last);
}

WITH_SHA static void add_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
    __m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
    for (; blocks; blocks--, p += BLOCK) {
        __m128i w[4], abef_before = abef, cdgh_before = cdgh;
#pragma GCC unroll 16
        for (unsigned group = 0; group < 16; group++) {
            const __m128i *from = (const __m128i *)(const void *)p + group;
            w[group % 4] = group < 4 ? _mm_shuffle_epi8(_mm_loadu_si128(from), big_endian)
                                     : next_words(w, group);
            const __m128i *k = (const __m128i *)(const void *)&constants[4 * group];
            __m128i words = _mm_add_epi32(w[group % 4], _mm_loadu_si128(k));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, words);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(words, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    uint32_t feba[4], hgdc[4];
    _mm_storeu_si128((__m128i *)(void *)feba, abef);
    _mm_storeu_si128((__m128i *)(void *)hgdc, cdgh);
    const uint32_t after[8] = { feba[3], feba[2], hgdc[3], hgdc[2],
                                feba[1], feba[0], hgdc[1], hgdc[0] };
    memcpy(state, after, sizeof(after));
}
#else
static bool has_instructions(void)
{
    return false;
}

static void add_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    (void)state, (void)p, (void)blocks;
    g_assert_not_reached();
}
#endif

MigSha256 *mig_sha256_new(void)
{
    static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    MigSha256 *s = g_new0(MigSha256, 1);
    s->slow = has_instructions() ? NULL : g_checksum_new(G_CHECKSUM_SHA256);
    memcpy(s->state, first, sizeof(first));
    return s;
}

void mig_sha256_free(MigSha256 *s)
{
    if (s) {
        g_clear_pointer(&s->slow, g_checksum_free);
        g_free(s);
    }
}

void mig_sha256_update(MigSha256 *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    if (s->slow) {
        g_checksum_update(s->slow, data, (gssize)n);
        return;
    }
    s->bytes += n;
    if (s->count) {
        size_t part = MIN(n, BLOCK - s->count);
        memcpy(s->held + s->count, p, part);
        s->count += part;
        p += part;
        n -= part;
        if (s->count < BLOCK) {
            return;
        }
        add_blocks(s->state, s->held, 1);
        s->count = 0;
    }
    add_blocks(s->state, p, n / BLOCK);
    s->count = n % BLOCK;
    if (s->count) {
        memcpy(s->held, p + n - s->count, s->count);
    }
}

/* One bit, zeros up to the end of a block but for eight bytes, and how many bits there were. */
static void pad(MigSha256 *s)
{
    uint8_t padding[2 * BLOCK] = { 0x80 };
    uint64_t bits = GUINT64_TO_BE(s->bytes * 8);
    size_t zeros = (2 * BLOCK - 8 - 1 - s->count) % BLOCK;
    memcpy(padding + 1 + zeros, &bits, sizeof(bits));
    mig_sha256_update(s, padding, 1 + zeros + sizeof(bits));
}

const char *mig_sha256_text(MigSha256 *s)
{
    if (s->slow) {
        return g_checksum_get_string(s->slow);
    }
    if (!*s->text) {
        pad(s);
        for (unsigned i = 0; i < 8; i++) {
            g_snprintf(s->text + 8 * i, 9, "%08x", s->state[i]);
        }
    }
    return s->text;
}
