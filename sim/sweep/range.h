/* SPDX-License-Identifier: Apache-2.0 */
/* A range of a sampled axis, see axis.h: from a position to the value there. */
#ifndef MIG_SIM_SWEEP_RANGE_H
#define MIG_SIM_SWEEP_RANGE_H

#include "sim/scenario/json-reader.h"

typedef enum MigRangeForm {
    MIG_RANGE_NUMBER,
    MIG_RANGE_SIZE, /* bytes; written as a number */
    MIG_RANGE_RATE, /* bit/s; written as a string */
    MIG_RANGE_TIME, /* ns; written as a string */
} MigRangeForm;

typedef struct MigSweepRange {
    json_object *values; /* borrowed; NULL: from .. to */
    MigRangeForm form;
    uint64_t from, to, step;
    unsigned scale;                               /* 0 linear, 1 log */
    json_object *from_text, *to_text, *step_text; /* borrowed */
    char *path;
} MigSweepRange;

bool mig_sweep_range_read(MigReader *r, json_object *v, MigSweepRange *range);
void mig_sweep_range_clear(MigSweepRange *range);

/* The value at |position| of |count| strata (sample.h), the caller's. */
json_object *mig_sweep_range_at(const MigSweepRange *range, uint64_t position, uint64_t count);

#endif
