/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers with Zipf's distribution: rank r (from 1) is drawn in proportion to r^-s. A table of
 * cumulated weights and one search per number; the table is made with basic operations only, so
 * that it is the same everywhere.
 *
 * The first 256 ranks have an entry each. Behind them entries are classes of ranks, 16 for each
 * doubling, in each of which all ranks are equally likely: no rank's probability is off by more
 * than about s * 2 %.
 */
#ifndef MIG_SIM_GUEST_ZIPF_H
#define MIG_SIM_GUEST_ZIPF_H

#include <stdint.h>

#define MIG_ZIPF_EXPONENT_MAX 4000u

typedef struct MigZipf MigZipf;

/* |count| ranks, > 0; |exponent| s in thousandths, up to MIG_ZIPF_EXPONENT_MAX; 0: all the same. */
MigZipf *mig_zipf_new(uint64_t count, uint32_t exponent);
void mig_zipf_free(MigZipf *z); /* NULL is fine */

/* The rank, from 0, that two random words give. */
uint64_t mig_zipf_rank(const MigZipf *z, uint64_t random, uint64_t other);

#endif
