/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty bitmap, see bitmap.h. A search skips 4096 clear pages per summary word that it looks
 * at. Memory comes from calloc(), so that a clear bitmap of a 1 TiB block costs address space only.
 */
#include "sim/engine/bitmap.h"

#include <glib.h>
#include <stdlib.h>

static uint64_t *zeros(uint64_t n)
{
    uint64_t *p = calloc(n ? n : 1, sizeof(*p));
    if (!p) {
        g_error("out of memory for a bitmap of %" G_GUINT64_FORMAT " words", n);
    }
    return p;
}

MigBitmap *mig_bitmap_new(uint64_t bits)
{
    MigBitmap *b = g_new0(MigBitmap, 1);
    b->bits = bits;
    uint64_t words = mig_bitmap_word_count(b);
    b->words = zeros(words);
    b->summary = zeros((words + 63) / 64);
    return b;
}

void mig_bitmap_free(MigBitmap *b)
{
    if (b) {
        free(b->words);
        free(b->summary);
        g_free(b);
    }
}

/* The bits of word |w| that lie in [first, end). */
static uint64_t mask_in(uint64_t w, uint64_t first, uint64_t end)
{
    uint64_t mask = ~0ull;
    if (first > w * 64) {
        mask &= ~0ull << (first - w * 64);
    }
    if (end < (w + 1) * 64) {
        mask &= ~(~0ull << (end - w * 64));
    }
    return mask;
}

/* Most words of a huge block have one bit, or all: counting those needs no counting. */
static uint64_t count_bits(uint64_t word)
{
    bool plain = (word & (word - 1)) == 0 || word == ~0ull;
    return plain ? (word ? (word == ~0ull ? 64 : 1) : 0) : mig_bits_count(word);
}

static void set_words(MigBitmap *b, uint64_t from, uint64_t end)
{
    for (uint64_t w = from; w < end; w++) {
        b->set += 64 - count_bits(b->words[w]);
        b->words[w] = ~0ull;
    }
    for (uint64_t group = from / 64; group * 64 < end; group++) {
        b->summary[group] |= mask_in(group, from, end);
    }
}

static void clear_words(MigBitmap *b, uint64_t from, uint64_t end)
{
    for (uint64_t group = from / 64; group * 64 < end; group++) {
        uint64_t some = b->summary[group] & mask_in(group, from, end);
        b->summary[group] &= ~some;
        for (; some; some &= some - 1) {
            uint64_t w = group * 64 + (unsigned)__builtin_ctzll(some);
            b->set -= count_bits(b->words[w]);
            b->words[w] = 0;
        }
    }
}

/* Whole words by |words|, the first and the last by |word| when they are not. */
static void range(MigBitmap *b, uint64_t first, uint64_t n,
                  uint64_t (*word)(MigBitmap *b, uint64_t w, uint64_t mask),
                  void (*words)(MigBitmap *b, uint64_t from, uint64_t end))
{
    assert(first <= b->bits && n <= b->bits - first);
    uint64_t end = first + n, from = (first + 63) / 64;
    if (n == 0) {
        return;
    }
    if (from > end / 64) { /* within one word */
        word(b, first / 64, mask_in(first / 64, first, end));
        return;
    }
    if (first % 64) {
        word(b, first / 64, mask_in(first / 64, first, end));
    }
    if (from < end / 64) {
        words(b, from, end / 64);
    }
    if (end % 64) {
        word(b, end / 64, mask_in(end / 64, first, end));
    }
}

uint64_t mig_bitmap_set_range(MigBitmap *b, uint64_t first, uint64_t n)
{
    uint64_t before = b->set;
    range(b, first, n, mig_bitmap_set_mask, set_words);
    return b->set - before;
}

uint64_t mig_bitmap_clear_range(MigBitmap *b, uint64_t first, uint64_t n)
{
    uint64_t before = b->set;
    range(b, first, n, mig_bitmap_clear_mask, clear_words);
    return before - b->set;
}

uint64_t mig_bitmap_count_range(const MigBitmap *b, uint64_t first, uint64_t n)
{
    assert(first <= b->bits && n <= b->bits - first);
    uint64_t end = first + n, count = 0;
    for (uint64_t w = first / 64; n && w <= (end - 1) / 64; w++) {
        count += mig_bits_count(b->words[w] & mask_in(w, first, end));
    }
    return count;
}

/*
 * No branch depends on a bit: whether one is set already is anybody's guess. A word is asked for
 * AHEAD bits before it is needed, which is what memory takes; with |left| the caller has asked.
 */
static inline unsigned set_list(MigBitmap *b, const uint64_t *list, unsigned n, const bool *sure,
                                uint64_t *restrict left)
{
    enum { AHEAD = 32 };
    uint64_t *restrict words = b->words, *restrict summary = b->summary;
    uint64_t fresh = 0, bits = b->bits;
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = list[i], w = at / 64, old = words[w];
        bool clear = ~old >> at % 64 & 1;
        assert(at < bits);
        words[w] = old | 1ull << at % 64;
        summary[w / 64] |= 1ull << w % 64;
        fresh += clear;
        if (left) {
            left[count] = at;
            count += clear | !sure[at / MIG_BITMAP_GROUP];
        } else {
            __builtin_prefetch(&words[list[i + AHEAD < n ? i + AHEAD : i] / 64], 1);
        }
    }
    b->set += fresh;
    return count;
}

void mig_bitmap_set_list(MigBitmap *b, const uint64_t *list, unsigned n)
{
    set_list(b, list, n, NULL, NULL);
}

unsigned mig_bitmap_set_list_but(MigBitmap *b, const uint64_t *list, unsigned n, const bool *sure,
                                 uint64_t *left)
{
    return set_list(b, list, n, sure, left);
}

uint64_t mig_bitmap_next(const MigBitmap *b, uint64_t from)
{
    if (from >= b->bits || b->set == 0) {
        return b->bits;
    }
    uint64_t w = from / 64, word = b->words[w] & (~0ull << (from % 64));
    if (word) {
        return w * 64 + (unsigned)__builtin_ctzll(word);
    }
    uint64_t words = mig_bitmap_word_count(b), groups = (words + 63) / 64;
    uint64_t group = ++w / 64;
    uint64_t some = group < groups ? b->summary[group] & (~0ull << (w % 64)) : 0;
    while (!some && ++group < groups) {
        some = b->summary[group];
    }
    if (!some) {
        return b->bits;
    }
    w = group * 64 + (unsigned)__builtin_ctzll(some);
    return w * 64 + (unsigned)__builtin_ctzll(b->words[w]);
}

/* The words of |group| that are not clear in |from|. */
static uint64_t merge_group(MigBitmap *into, const MigBitmap *from, uint64_t group)
{
    uint64_t fresh = 0;
    for (uint64_t some = from->summary[group]; some; some &= some - 1) {
        uint64_t w = group * 64 + (unsigned)__builtin_ctzll(some);
        uint64_t bits = from->words[w] & ~into->words[w];
        into->words[w] |= bits;
        fresh += count_bits(bits);
    }
    into->summary[group] |= from->summary[group];
    return fresh;
}

static uint64_t group_count(const MigBitmap *b)
{
    return (mig_bitmap_word_count(b) + 63) / 64;
}

uint64_t mig_bitmap_merge(MigBitmap *into, const MigBitmap *from)
{
    assert(into->bits == from->bits);
    uint64_t before = into->set;
    for (uint64_t group = 0; from->set && group < group_count(from); group++) {
        into->set += merge_group(into, from, group);
    }
    return into->set - before;
}

/* The words of |group| will be needed: they are far apart. */
static void ask_for(const MigBitmap *b, const MigBitmap *from, uint64_t group)
{
    uint64_t some = b && group < group_count(from) ? from->summary[group] : 0;
    for (; some; some &= some - 1) {
        __builtin_prefetch(&b->words[group * 64 + (unsigned)__builtin_ctzll(some)], 1);
    }
}

uint64_t mig_bitmap_move_both(MigBitmap *into, MigBitmap *also, MigBitmap *from)
{
    assert(into->bits == from->bits && (!also || also->bits == from->bits));
    uint64_t before = into->set;
    for (uint64_t group = 0, left = from->set; left > 0; group++) {
        uint64_t all = from->summary[group];
        if (!all) {
            continue;
        }
        ask_for(from, from, group + 2);
        ask_for(into, from, group + 1);
        ask_for(also, from, group + 1);
        for (uint64_t some = all; some; some &= some - 1) {
            uint64_t w = group * 64 + (unsigned)__builtin_ctzll(some), bits = from->words[w];
            into->set += count_bits(bits & ~into->words[w]);
            into->words[w] |= bits;
            if (also) {
                also->set += count_bits(bits & ~also->words[w]);
                also->words[w] |= bits;
            }
            from->words[w] = 0;
            left -= count_bits(bits);
        }
        into->summary[group] |= all;
        from->summary[group] = 0;
        if (also) {
            also->summary[group] |= all;
        }
    }
    from->set = 0;
    return into->set - before;
}

uint64_t mig_bitmap_move(MigBitmap *into, MigBitmap *from)
{
    return mig_bitmap_move_both(into, NULL, from);
}

/* The words of |group| that have bits in [first, end). */
static void move_group(MigBitmap *into, MigBitmap *from, MigBitmap *also, uint64_t group,
                       uint64_t first, uint64_t end)
{
    uint64_t moved = 0, fresh = 0, both = also->summary[group];
    for (uint64_t some = from->summary[group]; some; some &= some - 1) {
        uint64_t w = group * 64 + (unsigned)__builtin_ctzll(some), word = some & -some;
        bool inside = (w + 1) * 64 > first && w * 64 < end;
        uint64_t bits = inside ? from->words[w] & mask_in(w, first, end) : 0;
        if (both & word) {
            mig_bitmap_clear_mask(also, w, bits);
        }
        from->words[w] &= ~bits;
        from->summary[group] &= from->words[w] ? ~0ull : ~word;
        moved += count_bits(bits);
        if (into && bits) {
            fresh += count_bits(bits & ~into->words[w]);
            into->words[w] |= bits;
            into->summary[group] |= word;
        }
    }
    from->set -= moved;
    if (into) {
        into->set += fresh;
    }
}

void mig_bitmap_move_range(MigBitmap *into, MigBitmap *from, MigBitmap *also, uint64_t first,
                           uint64_t n)
{
    uint64_t end = first + n;
    assert((!into || into->bits == from->bits) && also->bits == from->bits && end <= from->bits);
    if (n == 0 || from->set == 0) {
        return;
    }
    for (uint64_t group = first / 4096; group <= (end - 1) / 4096; group++) {
        move_group(into, from, also, group, first, end);
    }
}
