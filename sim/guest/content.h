/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a page of a synthetic guest holds, as a pure function of few numbers: 32 bytes of state
 * describe any page that regular writes made, and a page that nobody wrote needs none at all.
 *
 *     base (initial content | one byte | words of write n)  +  overlay (counter | bytes:N, m times)
 *
 * A page that two kinds of overlay hit falls back to an explicit copy of its bytes, so that what a
 * page holds is always what the writes in their order make of it.
 */
#ifndef MIG_SIM_GUEST_CONTENT_H
#define MIG_SIM_GUEST_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MigContentKind {
    MIG_CONTENT_ZERO,
    MIG_CONTENT_RANDOM,   /* words that don't compress */
    MIG_CONTENT_TEXT,     /* letters with 4 bits of entropy each: compresses about 2:1 */
    MIG_CONTENT_REPEATED, /* one byte */
    MIG_CONTENT_FILE,     /* bytes that somebody lends */
} MigContentKind;

/* Initial content of a range of a block. Where ranges overlap the later one counts. */
typedef struct MigContent {
    uint64_t first, pages; /* target pages */
    MigContentKind kind;
    uint8_t byte;  /* REPEATED */
    uint8_t zeros; /* percent of its pages, scattered one by one, that are zero all the same */
    const uint8_t *data; /* FILE: the bytes of the range, borrowed for the guest's life */
    uint64_t bytes;      /* FILE: how many there are; what is behind them is zero */
} MigContent;

/* What one write does to its page. */
typedef enum MigWriteKind {
    MIG_WRITE_COUNTER, /* the first 8 bytes become the number of the write, from 1, little-endian */
    MIG_WRITE_PAGE,    /* the whole page becomes words that don't compress */
    MIG_WRITE_BYTES,   /* n bytes, evenly spread, are incremented */
    MIG_WRITE_FILL,    /* the whole page becomes one byte (0: a zero page) */
} MigWriteKind;

typedef struct MigWrite {
    MigWriteKind kind;
    uint8_t byte;    /* FILL */
    uint16_t n;      /* BYTES: 1 to the page size */
    uint64_t key;    /* PAGE: of the writer's random words */
    uint64_t number; /* COUNTER, PAGE: of the write, from 0 */
} MigWrite;

typedef enum MigPageBase {
    MIG_PAGE_INITIAL,
    MIG_PAGE_FILL,     /* `byte` */
    MIG_PAGE_WORDS,    /* of `key` */
    MIG_PAGE_EXPLICIT, /* `bytes` */
} MigPageBase;

typedef enum MigPageOverlay {
    MIG_OVERLAY_NONE,
    MIG_OVERLAY_COUNTER,
    MIG_OVERLAY_BYTES
} MigPageOverlay;

/* All zero: never written. */
typedef struct MigPageState {
    uint8_t base;    /* MigPageBase */
    uint8_t overlay; /* MigPageOverlay */
    uint8_t byte;    /* FILL */
    uint16_t n;      /* OVERLAY_BYTES */
    union {
        uint64_t key;   /* WORDS */
        uint8_t *bytes; /* EXPLICIT: page_size of them, owned */
    };
    uint64_t value; /* COUNTER: what stands there; BYTES: how often they were incremented */
} MigPageState;

/* Where initial content comes from: the page's own range, or NULL where it is zero. */
typedef struct MigPageOrigin {
    const MigContent *content;
    uint64_t page; /* in its block */
    uint64_t key;  /* of the block's random words */
    uint32_t page_size;
} MigPageOrigin;

/* Applies one write. */
void mig_content_write(MigPageState *s, const MigPageOrigin *origin, const MigWrite *w);

/* Fills |out| with the page's bytes. |s| NULL: never written. */
void mig_content_read(const MigPageState *s, const MigPageOrigin *origin, uint8_t *out);

/* True when the page holds zeros only. Makes the bytes only where it can't tell otherwise. */
bool mig_content_is_zero(const MigPageState *s, const MigPageOrigin *origin);

/*
 * Which of the 64 pages from |word| * 64 on are zero in a block whose random words have |key| and
 * of whose pages |percent| are: bit i says it of page word * 64 + i.
 */
uint64_t mig_content_zeros(uint64_t key, uint64_t word, unsigned percent);

/*
 * The same of those that |masks| selects in |n| words, of pages that nobody wrote, whose content is
 * |c| (NULL: zero) and begins there or before, and ends there or behind. False: their bytes would
 * have to be looked at.
 */
bool mig_content_zero_words(const MigContent *c, uint64_t key, uint64_t word, unsigned n,
                            const uint64_t *masks, uint64_t *zeros);

void mig_content_release(MigPageState *s);

/* The name of a kind in scenarios; NULL behind the last. */
const char *mig_content_name(MigContentKind kind);

#endif
