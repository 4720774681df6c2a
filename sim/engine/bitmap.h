/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dirty bitmap: one bit per target page, with a summary of one bit per 64 pages (set while any of
 * them is), so that the next dirty page of a huge and mostly clean block is found quickly, and a
 * count, so that "how much remains" costs nothing.
 *
 * A word is 64 pages: the unit in which the engine offers pages to its world.
 */
#ifndef MIG_SIM_ENGINE_BITMAP_H
#define MIG_SIM_ENGINE_BITMAP_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MigBitmap {
    uint64_t bits;     /* pages */
    uint64_t set;      /* how many bits are set */
    uint64_t *words;   /* (bits + 63) / 64 of them; bits beyond the end are zero */
    uint64_t *summary; /* bit w: words[w] != 0 */
} MigBitmap;

/*
 * How many bits are set. The processor's own instruction would have to be asked for, file by file;
 * without it the compiler calls a function, which is slower than these few steps.
 */
static inline unsigned mig_bits_count(uint64_t bits)
{
#ifdef __POPCNT__
    return (unsigned)__builtin_popcountll(bits);
#else
    bits -= bits >> 1 & 0x5555555555555555ull;
    bits = (bits & 0x3333333333333333ull) + (bits >> 2 & 0x3333333333333333ull);
    return (unsigned)(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0full) * 0x0101010101010101ull >> 56);
#endif
}

/* All clear. Aborts when memory is exhausted. */
MigBitmap *mig_bitmap_new(uint64_t bits);
void mig_bitmap_free(MigBitmap *b); /* NULL is fine */

static inline bool mig_bitmap_test(const MigBitmap *b, uint64_t i)
{
    assert(i < b->bits);
    return b->words[i / 64] >> (i % 64) & 1;
}

/* The 64 bits from page w * 64. */
static inline uint64_t mig_bitmap_word(const MigBitmap *b, uint64_t w)
{
    return b->words[w];
}

static inline uint64_t mig_bitmap_word_count(const MigBitmap *b)
{
    return b->bits / 64 + (b->bits % 64 != 0);
}

/* Sets or clears the bits of |mask| in word |w|; returns the bits that changed. */
static inline uint64_t mig_bitmap_set_mask(MigBitmap *b, uint64_t w, uint64_t mask)
{
    uint64_t fresh = mask & ~b->words[w];
    b->words[w] |= fresh;
    if (fresh) {
        b->summary[w / 64] |= 1ull << (w % 64);
        b->set += mig_bits_count(fresh);
    }
    return fresh;
}

static inline uint64_t mig_bitmap_clear_mask(MigBitmap *b, uint64_t w, uint64_t mask)
{
    uint64_t gone = mask & b->words[w];
    b->words[w] &= ~gone;
    if (gone) {
        b->set -= mig_bits_count(gone);
        if (b->words[w] == 0) {
            b->summary[w / 64] &= ~(1ull << (w % 64));
        }
    }
    return gone;
}

/* Sets or clears one bit; true when it changed. */
static inline bool mig_bitmap_set(MigBitmap *b, uint64_t i)
{
    assert(i < b->bits);
    uint64_t w = i / 64, bit = 1ull << (i % 64);
    if (b->words[w] & bit) {
        return false;
    }
    b->words[w] |= bit;
    b->summary[w / 64] |= 1ull << (w % 64);
    b->set++; /* nothing to be counted */
    return true;
}

static inline bool mig_bitmap_clear(MigBitmap *b, uint64_t i)
{
    assert(i < b->bits);
    return mig_bitmap_clear_mask(b, i / 64, 1ull << (i % 64)) != 0;
}

/* Sets the |n| bits that |list| has, in any order and as far apart as they are. */
void mig_bitmap_set_list(MigBitmap *b, const uint64_t *list, unsigned n);
/*
 * The same. Puts into |left|, another list of |n|, those that were clear, and all of a group of
 * MIG_BITMAP_GROUP bits for which |sure| is false; returns how many.
 */
#define MIG_BITMAP_GROUP 4096u
unsigned mig_bitmap_set_list_but(MigBitmap *b, const uint64_t *list, unsigned n, const bool *sure,
                                 uint64_t *left);

/* Sets or clears |n| bits from |first|; returns how many changed. */
uint64_t mig_bitmap_set_range(MigBitmap *b, uint64_t first, uint64_t n);
uint64_t mig_bitmap_clear_range(MigBitmap *b, uint64_t first, uint64_t n);

/* How many of the |n| bits from |first| are set. */
uint64_t mig_bitmap_count_range(const MigBitmap *b, uint64_t first, uint64_t n);

/* The first set bit at or behind |from|, or |bits|. */
uint64_t mig_bitmap_next(const MigBitmap *b, uint64_t from);

/* Adds every bit of |from| to |into| (same size), and returns how many are new there. */
uint64_t mig_bitmap_merge(MigBitmap *into, const MigBitmap *from);

/* Moves every bit of |from| into |into| (same size), leaves |from| clear; returns the new ones. */
uint64_t mig_bitmap_move(MigBitmap *into, MigBitmap *from);
/* The same into two bitmaps at once (|also| NULL: one); returns the new ones of |into|. */
uint64_t mig_bitmap_move_both(MigBitmap *into, MigBitmap *also, MigBitmap *from);

/*
 * Moves the bits of |from| among the |n| from |first| into |into| (NULL: they are dropped), and
 * drops the same ones of |also|; all are of one size. Costs what is set, not |n|.
 */
void mig_bitmap_move_range(MigBitmap *into, MigBitmap *from, MigBitmap *also, uint64_t first,
                           uint64_t n);

#endif
