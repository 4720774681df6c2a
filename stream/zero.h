/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this page all zeros? The question that every page of a migration is asked first.
 *
 * Mirrors what buffer_is_zero() answers in QEMU (util/bufferiszero.c); any length, any alignment.
 */
#ifndef MIG_STREAM_ZERO_H
#define MIG_STREAM_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/*
 * True if the n bytes at p are all zero (n = 0: true). Reads exactly those bytes, never past them.
 * Picks the fastest implementation of this processor at its first call; safe from any thread.
 * Where the memory is written meanwhile, the answer is that of some mixture of old and new bytes.
 */
bool mig_is_zero(const void *p, size_t n);

/* One way to compute it. All of them give the same answer; tests and benchmarks walk the table. */
typedef struct MigZeroImpl {
    const char *name;        /* "portable", "sse2", "avx2" */
    bool (*supported)(void); /* may fn be called on this processor? */
    bool (*fn)(const void *p, size_t n);
} MigZeroImpl;

/* From slowest to fastest, ended by a row whose name is NULL; the first is always supported. */
extern const MigZeroImpl mig_zero_impls[];

#endif
