/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disguises, see disguise.h. Model: noise bytes first, then one byte over and over.
 *
 *   deflate  a block with fixed codes: k literals below 144 (8 bits each), then matches of distance
 *            1 for the rest; empty blocks (10 bits each) in front until the length is right. k is
 *            searched: one literal more is about one byte more.
 *   zstd     blocks that hold k bytes as they are (3 + k bytes), then blocks of one repeated byte
 *            (4 bytes each), then empty ones (3 bytes each).
 */
#include "sim/record/disguise.h"

#include <string.h>
#include <zlib.h>

/* Deflate (RFC 1951) ----------------------------------------------------------------------- */

#define LITERALS    143u /* values from 1 on whose fixed code has 8 bits */
#define MATCH_LEAST 3u
#define MATCH_MOST  258u
#define EMPTY_BITS  10u /* of a block with fixed codes and nothing in it */
#define FLUSH_BYTES 4u

typedef struct Bits {
    uint8_t *out;
    size_t bits;
} Bits;

/* |n| bits, the lowest first. */
static void put(Bits *b, unsigned value, unsigned n)
{
    for (unsigned i = 0; i < n; i++, b->bits++) {
        uint8_t mask = (uint8_t)(1u << b->bits % 8);
        uint8_t *byte = &b->out[b->bits / 8];
        *byte = value >> i & 1 ? *byte | mask : *byte & (uint8_t)~mask;
    }
}

/* A Huffman code: the highest bit first. */
static void put_code(Bits *b, unsigned code, unsigned n)
{
    while (n--) {
        put(b, code >> n & 1, 1);
    }
}

typedef struct MatchLength {
    uint16_t symbol, first;
    uint8_t extra; /* bits */
} MatchLength;

static const MatchLength match_lengths[] = {
    { 285, 258, 0 }, { 284, 227, 5 }, { 283, 195, 5 }, { 282, 163, 5 }, { 281, 131, 5 },
    { 280, 115, 4 }, { 279, 99, 4 },  { 278, 83, 4 },  { 277, 67, 4 },  { 276, 59, 3 },
    { 275, 51, 3 },  { 274, 43, 3 },  { 273, 35, 3 },  { 272, 31, 2 },  { 271, 27, 2 },
    { 270, 23, 2 },  { 269, 19, 2 },  { 268, 17, 1 },  { 267, 15, 1 },  { 266, 13, 1 },
    { 265, 11, 1 },  { 264, 10, 0 },  { 263, 9, 0 },   { 262, 8, 0 },   { 261, 7, 0 },
    { 260, 6, 0 },   { 259, 5, 0 },   { 258, 4, 0 },   { 257, 3, 0 },
};

static const MatchLength *match_length(size_t n)
{
    const MatchLength *m = match_lengths;
    while (m->first > n) {
        m++;
    }
    return m;
}

/* How long the next match is, so that no 1 or 2 bytes are left. */
static size_t next_match(size_t left)
{
    return left > MATCH_MOST && left < MATCH_MOST + MATCH_LEAST ? left - MATCH_LEAST
                                                                : MIN(left, MATCH_MOST);
}

static unsigned match_bits(size_t n)
{
    const MatchLength *m = match_length(n);
    return (m->symbol < 280 ? 7u : 8u) + m->extra + 5u;
}

/* Bits of a block with |literals| and matches for |rest| bytes. */
static size_t block_bits(size_t literals, size_t rest)
{
    size_t bits = 3 + 7 + 8 * literals;
    if (rest > 2 * MATCH_MOST) { /* all but the last two are alike */
        size_t whole = rest / MATCH_MOST - 1;
        bits += whole * match_bits(MATCH_MOST);
        rest -= whole * MATCH_MOST;
    }
    while (rest) {
        size_t n = next_match(rest);
        bits += match_bits(n);
        rest -= n;
    }
    return bits;
}

typedef struct Plan {
    size_t literals;
    size_t empty; /* blocks */
    bool found;
} Plan;

/* |room| bytes for |plain|; |tail| bits follow before the last byte is filled up. */
static Plan plan_deflate(size_t room, size_t plain, unsigned tail)
{
    for (size_t k = MIN(room, plain); k > 0; k--) {
        size_t rest = plain - k;
        if (rest > 0 && rest < MATCH_LEAST) {
            continue;
        }
        size_t bits = block_bits(k, rest) + tail;
        if (bits > 8 * room) {
            continue;
        }
        size_t empty = (8 * room - bits) / EMPTY_BITS;
        if (bits + empty * EMPTY_BITS > 8 * (room - 1)) {
            return (Plan){ k, empty, true };
        }
    }
    return (Plan){ 0 };
}

static void put_empty(Bits *b)
{
    put(b, 0 | 1 << 1, 3); /* not the last, fixed codes */
    put_code(b, 0, 7);
}

static void put_block(Bits *b, const uint8_t *literals, size_t count, size_t rest, bool last)
{
    put(b, last | 1 << 1, 3);
    for (size_t i = 0; i < count; i++) {
        put_code(b, 0x30u + literals[i], 8);
    }
    while (rest) {
        size_t n = next_match(rest);
        const MatchLength *m = match_length(n);
        bool shorter = m->symbol < 280;
        put_code(b, shorter ? m->symbol - 256u : 0xc0u + m->symbol - 280u, shorter ? 7 : 8);
        put(b, (unsigned)(n - m->first), m->extra);
        put_code(b, 0, 5); /* distance 1 */
        rest -= n;
    }
    put_code(b, 0, 7);
}

static uint32_t checksum(const uint8_t *literals, size_t count, size_t rest)
{
    uLong sum = adler32(0, NULL, 0);
    uint8_t byte = 0;
    for (size_t i = 0; i < count + rest; i++) {
        byte = i < count ? literals[i] : byte;
        sum = adler32(sum, &byte, 1);
    }
    return (uint32_t)sum;
}

static bool disguise_zlib(MigNoise *noise, MigDisguiseForm form, uint8_t *data, size_t n,
                          size_t plain)
{
    bool whole = form == MIG_DISGUISE_ZLIB;
    size_t head = form == MIG_DISGUISE_ZLIB_NEXT ? 0 : 2, tail = FLUSH_BYTES;
    if (n <= head + tail || plain == 0) {
        return false;
    }
    Plan plan = plan_deflate(n - head - tail, plain, whole ? 0 : 3);
    if (!plan.found) {
        return false;
    }
    g_autofree uint8_t *literals = g_malloc(plan.literals);
    mig_noise_fill(noise, data, n, literals, plan.literals);
    for (size_t i = 0; i < plan.literals; i++) {
        literals[i] = 1 + literals[i] % LITERALS;
    }
    Bits b = { data + head, 0 };
    for (size_t i = 0; i < plan.empty; i++) {
        put_empty(&b);
    }
    put_block(&b, literals, plan.literals, plain - plan.literals, whole);
    if (!whole) {
        put(&b, 0, 3); /* the flush: a stored block of no bytes */
    }
    put(&b, 0, (8 - b.bits % 8) % 8);
    uint8_t *end = data + n - tail;
    uint32_t sum = whole ? GUINT32_TO_BE(checksum(literals, plan.literals, plain - plan.literals))
                         : GUINT32_TO_BE(0x0000ffff);
    memcpy(end, &sum, sizeof(sum));
    return true;
}

/* Zstandard (RFC 8878) --------------------------------------------------------------------- */

#define ZSTD_BLOCK_HEAD 3u
#define ZSTD_BLOCK_MOST (128u << 10)
#define ZSTD_RAW        0u
#define ZSTD_REPEATED   1u

/* Bytes of the frame's header, 0: it isn't there. */
static size_t zstd_head(const uint8_t *data, size_t n)
{
    static const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
    static const uint8_t ids[] = { 0, 1, 2, 4 }, sizes[] = { 0, 2, 4, 8 };
    if (n < 6 || memcmp(data, magic, sizeof(magic)) != 0) {
        return 0;
    }
    bool single = data[4] & 0x20;
    size_t head = 5 + !single + ids[data[4] & 3] + sizes[data[4] >> 6];
    return head + (single && data[4] >> 6 == 0);
}

static size_t put_zstd_block(uint8_t *out, unsigned type, size_t size)
{
    uint32_t word = (uint32_t)(size << 3 | type << 1);
    out[0] = (uint8_t)word;
    out[1] = (uint8_t)(word >> 8);
    out[2] = (uint8_t)(word >> 16);
    return ZSTD_BLOCK_HEAD;
}

static size_t pieces(size_t n)
{
    return (n + ZSTD_BLOCK_MOST - 1) / ZSTD_BLOCK_MOST;
}

static size_t zstd_bytes(size_t raw, size_t plain)
{
    return raw + ZSTD_BLOCK_HEAD * pieces(raw) + (ZSTD_BLOCK_HEAD + 1) * pieces(plain - raw);
}

/* The most raw bytes that fit, with empty blocks filling what is left. */
static bool plan_zstd(size_t room, size_t plain, size_t *raw)
{
    for (size_t k = MIN(room, plain);; k--) {
        size_t bytes = zstd_bytes(k, plain);
        if (bytes <= room && (room - bytes) % ZSTD_BLOCK_HEAD == 0) {
            *raw = k;
            return true;
        }
        if (k == 0) {
            return false;
        }
    }
}

static bool disguise_zstd(MigNoise *noise, bool first, uint8_t *data, size_t n, size_t plain)
{
    size_t head = first ? zstd_head(data, n) : 0, raw, part;
    if ((first && !head) || n <= head || !plan_zstd(n - head, plain, &raw)) {
        return false;
    }
    g_autofree uint8_t *bytes = g_malloc(raw + 1);
    mig_noise_fill(noise, data, n, bytes, raw + 1);
    uint8_t *out = data + head, *end = data + n;
    for (size_t at = 0; at < raw; at += part) {
        part = MIN(raw - at, ZSTD_BLOCK_MOST);
        out += put_zstd_block(out, ZSTD_RAW, part);
        memcpy(out, bytes + at, part);
        out += part;
    }
    for (size_t at = raw; at < plain; at += part) {
        part = MIN(plain - at, ZSTD_BLOCK_MOST);
        out += put_zstd_block(out, ZSTD_REPEATED, part);
        *out++ = bytes[raw];
    }
    while (out < end) {
        out += put_zstd_block(out, ZSTD_RAW, 0);
    }
    return true;
}

bool mig_disguise(MigNoise *noise, MigDisguiseForm form, uint8_t *data, size_t n, size_t plain)
{
    if (form == MIG_DISGUISE_ZSTD_FIRST || form == MIG_DISGUISE_ZSTD_NEXT) {
        return disguise_zstd(noise, form == MIG_DISGUISE_ZSTD_FIRST, data, n, plain);
    }
    return disguise_zlib(noise, form, data, n, plain);
}
