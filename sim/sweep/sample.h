/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the draws of a sweep lie. A position is a fixed-point number: its stratum in the high bits,
 * a place inside the stratum in the low 32. Integers only, so that a design is the same everywhere.
 */
#ifndef MIG_SIM_SWEEP_SAMPLE_H
#define MIG_SIM_SWEEP_SAMPLE_H

#include <stdint.h>

#define MIG_SAMPLE_COUNT_MAX (1u << 24) /* draws of one axis */

/*
 * |count| positions below |count| << 32. Latin: one in each stratum, in random order. Random: each
 * anywhere. |name| and |index| choose the stream of random numbers.
 */
typedef void MigSampleFn(uint64_t seed, const char *name, uint64_t index, uint64_t count,
                         uint64_t *positions);
MigSampleFn mig_sample_latin;
MigSampleFn mig_sample_random;

/* The choice, 0 .. choices - 1, at |position| of |count| strata; |choices| > 0. */
uint64_t mig_sample_choice(uint64_t position, uint64_t count, uint64_t choices);

/* The value from .. to at |position|, equal ratios equally likely; 0 < from <= to. */
uint64_t mig_sample_log(uint64_t position, uint64_t count, uint64_t from, uint64_t to);

#endif
