/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XBZRLE: a page as its difference from the page that the destination already has.
 *
 *     delta = { zrun nzrun }        zrun  = length              bytes that stay
 *                                   nzrun = length data[length] bytes that are overwritten
 *     length: below 128 one byte; up to 16383 two, low seven bits first with the top bit set
 *
 * Only the first zrun may be empty, a trailing zrun is not written, and equal pages have no delta.
 * Mirrors xbzrle_encode_buffer() and xbzrle_decode_buffer() of QEMU (migration/xbzrle.c).
 */
#ifndef MIG_STREAM_XBZRLE_H
#define MIG_STREAM_XBZRLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIG_XBZRLE_RUN_MAX   16383u /* the longest run that a length can say */
#define MIG_XBZRLE_PAGE_MAX  65536u /* the largest target page */
#define MIG_XBZRLE_UNCHANGED 0
#define MIG_XBZRLE_OVERFLOW  (-1)

/*
 * Writes the canonical delta from old_page to new_page (page_size bytes each, at most
 * MIG_XBZRLE_PAGE_MAX) to delta, which has room for capacity bytes; QEMU's capacity is the page
 * size. Returns the delta's length, MIG_XBZRLE_UNCHANGED if the pages are equal, or
 * MIG_XBZRLE_OVERFLOW where QEMU gives up too: it wants two bytes of room in front of every run it
 * looks for, the last, unwritten one included. A run longer than MIG_XBZRLE_RUN_MAX (pages above
 * 16 KiB only; QEMU aborts there) is an overflow as well. After an overflow the bytes of delta mean
 * nothing. The pages must stand still during the call. Safe from any thread.
 */
int mig_xbzrle_encode(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                      uint8_t *delta, size_t capacity);

/* What is wrong with a delta. Every one but OK makes QEMU fail the load ("decode error"). */
typedef enum MigXbzrleFault {
    MIG_XBZRLE_OK,
    MIG_XBZRLE_DELTA_TOO_LONG,   /* n is above the page size */
    MIG_XBZRLE_LENGTH_TRUNCATED, /* the delta ends inside a length */
    MIG_XBZRLE_LENGTH_TOO_WIDE,  /* second byte of a length with its top bit set */
    MIG_XBZRLE_ZRUN_EMPTY,       /* a zrun of 0 that is not the first */
    MIG_XBZRLE_ZRUN_PAST_PAGE,   /* a zrun that runs past the page */
    MIG_XBZRLE_ZRUN_TRAILING,    /* a zrun that no nzrun follows */
    MIG_XBZRLE_NZRUN_EMPTY,      /* an nzrun of 0 */
    MIG_XBZRLE_NZRUN_PAST_PAGE,  /* an nzrun that runs past the page */
    MIG_XBZRLE_NZRUN_PAST_DELTA, /* an nzrun whose data is not all there */
    MIG_XBZRLE_FAULT_COUNT
} MigXbzrleFault;

/* Accepted by every receiver, written by no encoder. */
#define MIG_XBZRLE_NOTE_EMPTY       1u /* n = 0: the encoder sends no record at all */
#define MIG_XBZRLE_NOTE_WIDE_LENGTH 2u /* a length below 128 written in two bytes */
#define MIG_XBZRLE_NOTE_SAME_BYTE \
    4u /* an nzrun byte that equals the old one; only decode sees it */

typedef struct MigXbzrleInfo {
    MigXbzrleFault fault;
    size_t at;     /* offset in the delta of the run's length (or, PAST_DELTA, of its data) that is
                      wrong; n if fault is OK */
    size_t end;    /* page offset that the delta reached */
    uint32_t runs; /* complete zrun-nzrun pairs */
    uint32_t written; /* bytes of complete nzruns */
    uint32_t notes;   /* MIG_XBZRLE_NOTE_*; 0: canonical as far as can be seen */
} MigXbzrleInfo;

/*
 * Applies a delta of n bytes to page (page_size bytes) in place. Reads and writes nothing outside
 * either. On a fault the runs before it have been applied, as in QEMU. info may be NULL; with it,
 * the old bytes are compared to find MIG_XBZRLE_NOTE_SAME_BYTE.
 */
MigXbzrleFault mig_xbzrle_decode(const uint8_t *delta, size_t n, uint8_t *page, size_t page_size,
                                 MigXbzrleInfo *info);

/* The same checks without a page. info may be NULL. */
MigXbzrleFault mig_xbzrle_check(const uint8_t *delta, size_t n, size_t page_size,
                                MigXbzrleInfo *info);

/* A stable name ("zrun-empty") and a sentence for each fault; never NULL. */
const char *mig_xbzrle_fault_name(MigXbzrleFault fault);
const char *mig_xbzrle_fault_text(MigXbzrleFault fault);

/* One way to encode. All give the same bytes; tests and benchmarks walk the table. */
typedef struct MigXbzrleImpl {
    const char *name;        /* "portable", "sse2", "avx2" */
    bool (*supported)(void); /* may encode be called on this processor? */
    int (*encode)(const uint8_t *old_page, const uint8_t *new_page, size_t page_size,
                  uint8_t *delta, size_t capacity);
} MigXbzrleImpl;

/* From slowest to fastest, ended by a row whose name is NULL; the first is always supported. */
extern const MigXbzrleImpl mig_xbzrle_impls[];

#endif
