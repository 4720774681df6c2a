/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload: an endless (or ending) row of page writes (or reads, which are numbered and timed
 * alike). Write number n goes to a page that is a pure function of (seed, index, n); when it
 * happens follows from the rate, the pace and the stalls of its vCPU.
 *
 *     due(n) = origin + n / rate            happens(n) = max(due(n), happens(n - 1) + cost)
 *
 * A stall (stop, throttling) moves the origin by its length with pace "cpu"; with pace "clock" only
 * as far as leaves at most `catch_up` to be made up. The test guests keep the same rules.
 */
#ifndef MIG_SIM_GUEST_WORKLOAD_H
#define MIG_SIM_GUEST_WORKLOAD_H

#include "sim/guest/content.h"
#include "sim/guest/zipf.h"

typedef enum MigPattern {
    MIG_PATTERN_SEQUENTIAL, /* page n mod pages */
    MIG_PATTERN_RANDOM,     /* uniform, with replacement */
    MIG_PATTERN_HOT_COLD,   /* hot_share % to the first hot_size %, the others anywhere in it all */
    MIG_PATTERN_ONCE,       /* one sequential round */
    MIG_PATTERN_PERIODIC,   /* one sequential round every `period` */
    MIG_PATTERN_ZIPF,       /* page r in proportion to (r + 1)^-s */
    MIG_PATTERN_TRACE,      /* as `trace` says: page and time */
} MigPattern;

typedef enum MigPace { MIG_PACE_CLOCK, MIG_PACE_CPU } MigPace;

/* A read dirties nothing; it is a page that has to be there, which postcopy feels. */
typedef enum MigAccess { MIG_ACCESS_WRITE, MIG_ACCESS_READ } MigAccess;

/* A time in which a workload has another rate; they follow each other, over and over. */
typedef struct MigPhase {
    int64_t length; /* ns, > 0 */
    uint64_t rate;  /* 0: it rests */
} MigPhase;

/* One write of a trace; in rising order of their times. */
typedef struct MigTraceWrite {
    int64_t at;    /* ns, from the workload's start */
    uint64_t page; /* of the workload's range */
} MigTraceWrite;

typedef struct MigWorkload {
    uint32_t block;
    uint64_t first, pages; /* in the block; pages > 0 */
    MigPattern pattern;
    MigAccess access;
    uint32_t hot_share, hot_size; /* percent */
    uint64_t rate; /* page writes per second, 0: none; with phases the highest, with a trace 1 */
    MigPace pace;
    int64_t catch_up, cost, period; /* ns */
    int64_t start, end;             /* ns: when it begins, and is over (0: never) */
    MigWriteKind write;
    uint16_t write_bytes;
    uint8_t write_byte; /* FILL */
    /* Borrowed for as long as the workload is. */
    const MigZipf *zipf;    /* ZIPF: of `pages` ranks */
    const MigPhase *phases; /* not with PERIODIC or TRACE */
    uint32_t phase_count;   /* 0: always `rate`; else one of them writes at least once */
    const MigTraceWrite *trace;
    uint64_t trace_count;
} MigWorkload;

#define MIG_WORKLOAD_RATE_MAX 1000000000u /* one write per nanosecond */

/* A workload in progress. */
typedef struct MigWorkloadRun {
    MigWorkload w;
    uint64_t key;          /* of its pages */
    uint64_t page_key;     /* of what it writes */
    uint64_t next;         /* number of the next write = writes made */
    uint64_t turn;         /* next write, counted from `origin` */
    uint64_t lost;         /* writes that were due and never made */
    int64_t origin;        /* ns: when turn 0 was due */
    int64_t free;          /* ns: when its vCPU has finished the last write, or resumed */
    uint64_t cycle_writes; /* of all phases */
    int64_t cycle;         /* ns: their length */
} MigWorkloadRun;

MigWorkloadRun mig_workload_begin(const MigWorkload *w, uint64_t seed, uint32_t index);

/* When the next write happens if the vCPU keeps running; INT64_MAX: never. */
int64_t mig_workload_next(const MigWorkloadRun *r);

/* The page (in the block) that the next write goes to. */
uint64_t mig_workload_page(const MigWorkloadRun *r);

/* The write itself. */
MigWrite mig_workload_write(const MigWorkloadRun *r);

/* Both of write |number|, whenever it happens. */
uint64_t mig_workload_page_of(const MigWorkloadRun *r, uint64_t number);
MigWrite mig_workload_write_of(const MigWorkloadRun *r, uint64_t number);
/*
 * The pages of |n| writes from |number| on. |bits|: one for each page of the block, in words that
 * will be needed next, so that a random workload asks for them already.
 */
void mig_workload_pages_of(const MigWorkloadRun *r, uint64_t number, unsigned n, uint64_t *pages,
                           const uint64_t *bits);

/*
 * Many at once: how many of the next writes are made by |until|, each when it is due, and can be
 * passed over with mig_workload_skip() as well as with as many steps. 0: there may be some, but
 * only steps can tell.
 */
uint64_t mig_workload_batch(const MigWorkloadRun *r, int64_t until);
void mig_workload_skip(MigWorkloadRun *r, uint64_t writes);

/* The next write was made: moves on. */
void mig_workload_step(MigWorkloadRun *r);

/* The vCPU did not run from |from| to |to|. */
void mig_workload_stall(MigWorkloadRun *r, int64_t from, int64_t to);

#endif
