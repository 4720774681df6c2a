/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noise, see noise.h. Model: a byte of value v > 0 at position p becomes
 *
 *     1 + permutation[a][(v - 1 + b) mod 255]       a, b: two bytes of p's place in the stream
 *
 * with one of 256 secret permutations. 64 positions take two blocks of the stream, so any position
 * is found without those in front of it.
 */
#include "sim/record/noise.h"

#include <string.h>
#include <sys/random.h>

#define VALUES       255u
#define PERMUTATIONS 256u
#define KEY_BYTES    32u
#define BLOCK_BYTES  64u
#define ROUNDS       8u
#define PER_GROUP    BLOCK_BYTES /* positions that two blocks serve */

struct MigNoisePlace {
    uint32_t key[KEY_BYTES / 4];
};

struct MigNoise {
    uint8_t key[KEY_BYTES];
    uint8_t permutation[PERMUTATIONS][VALUES];
    GHashTable *places; /* char * -> MigNoisePlace */
};

/* The stream ------------------------------------------------------------------------------- */

static inline uint32_t turn(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static inline void quarter(uint32_t s[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
    s[a] += s[b], s[d] = turn(s[d] ^ s[a], 16);
    s[c] += s[d], s[b] = turn(s[b] ^ s[c], 12);
    s[a] += s[b], s[d] = turn(s[d] ^ s[a], 8);
    s[c] += s[d], s[b] = turn(s[b] ^ s[c], 7);
}

/* Block |number| of the stream of |key|. */
static void stream_block(const uint32_t key[8], uint64_t number, uint8_t out[BLOCK_BYTES])
{
    uint32_t first[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }, s[16];
    memcpy(first + 4, key, KEY_BYTES);
    first[12] = (uint32_t)number;
    first[13] = (uint32_t)(number >> 32);
    memcpy(s, first, sizeof(s));
    for (unsigned i = 0; i < ROUNDS; i += 2) {
        for (unsigned c = 0; c < 4; c++) {
            quarter(s, c, 4 + c, 8 + c, 12 + c);
        }
        for (unsigned c = 0; c < 4; c++) {
            quarter(s, c, 4 + (c + 1) % 4, 8 + (c + 2) % 4, 12 + (c + 3) % 4);
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        s[i] = GUINT32_TO_LE(s[i] + first[i]);
    }
    memcpy(out, s, BLOCK_BYTES);
}

static void hash_key(const uint8_t key[KEY_BYTES], const void *text, size_t n, uint32_t out[8])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize length = KEY_BYTES;
    g_checksum_update(sum, key, KEY_BYTES);
    for (const guchar *p = text; n;) { /* its length is an int's */
        size_t part = MIN(n, 1u << 30);
        g_checksum_update(sum, p, (gssize)part);
        p += part;
        n -= part;
    }
    g_checksum_get_digest(sum, (guint8 *)out, &length);
}

/* Noise ------------------------------------------------------------------------------------ */

/* Fisher and Yates; two bytes of the stream for each draw, whose slight bias tells nothing. */
static void shuffle(uint8_t p[VALUES], const uint32_t key[8], uint64_t number)
{
    uint8_t random[2 * 256];
    for (unsigned i = 0; i < sizeof(random) / BLOCK_BYTES; i++) {
        stream_block(key, number * (sizeof(random) / BLOCK_BYTES) + i, random + i * BLOCK_BYTES);
    }
    for (unsigned i = 0; i < VALUES; i++) {
        p[i] = (uint8_t)i;
    }
    for (unsigned i = VALUES - 1; i > 0; i--) {
        unsigned j = (random[2 * i] | random[2 * i + 1] << 8) % (i + 1);
        uint8_t kept = p[i];
        p[i] = p[j];
        p[j] = kept;
    }
}

MigNoise *mig_noise_new(const char *key)
{
    MigNoise *n = g_new0(MigNoise, 1);
    uint32_t derived[8];
    if (key) {
        hash_key(n->key, key, strlen(key), (uint32_t *)(void *)n->key);
    } else if (getrandom(n->key, KEY_BYTES, 0) != KEY_BYTES) {
        g_error("the kernel has no random bytes");
    }
    hash_key(n->key, "permutations", 12, derived);
    for (unsigned i = 0; i < PERMUTATIONS; i++) {
        shuffle(n->permutation[i], derived, i);
    }
    n->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return n;
}

void mig_noise_free(MigNoise *n)
{
    if (n) {
        g_hash_table_unref(n->places);
        memset(n->key, 0, sizeof(n->key));
        g_free(n);
    }
}

const MigNoisePlace *mig_noise_place(MigNoise *n, const char *text)
{
    MigNoisePlace *place = g_hash_table_lookup(n->places, text);
    if (!place) {
        place = g_new0(MigNoisePlace, 1);
        hash_key(n->key, text, strlen(text), place->key);
        g_hash_table_insert(n->places, g_strdup(text), place);
    }
    return place;
}

static bool is_zero(const uint8_t *data, size_t n)
{
    return n == 0 || (data[0] == 0 && memcmp(data, data + 1, n - 1) == 0);
}

void mig_noise_apply(const MigNoise *n, const MigNoisePlace *place, uint64_t offset, uint8_t *data,
                     size_t length)
{
    uint8_t random[2 * BLOCK_BYTES];
    while (length) {
        size_t at = offset % PER_GROUP, part = MIN(length, PER_GROUP - at);
        if (!is_zero(data, part)) {
            stream_block(place->key, offset / PER_GROUP * 2, random);
            stream_block(place->key, offset / PER_GROUP * 2 + 1, random + BLOCK_BYTES);
            for (size_t i = 0; i < part; i++) {
                const uint8_t *r = random + 2 * (at + i);
                if (data[i]) {
                    data[i] = 1 + n->permutation[r[0]][(data[i] - 1u + r[1]) % VALUES];
                }
            }
        }
        offset += part;
        data += part;
        length -= part;
    }
}

void mig_noise_fill(MigNoise *n, const uint8_t *seed, size_t seed_length, uint8_t *out,
                    size_t length)
{
    uint32_t key[8];
    uint8_t random[BLOCK_BYTES];
    hash_key(n->key, seed, seed_length, key);
    for (size_t i = 0; i < length; i++) {
        if (i % BLOCK_BYTES == 0) {
            stream_block(key, i / BLOCK_BYTES, random);
        }
        out[i] = 1 + random[i % BLOCK_BYTES] % VALUES;
    }
}
