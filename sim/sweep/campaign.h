/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep's share run into a file of rows, and some of its rows run again. */
#ifndef MIG_SIM_SWEEP_CAMPAIGN_H
#define MIG_SIM_SWEEP_CAMPAIGN_H

#include "sim/sweep/merge.h"
#include "sim/sweep/row.h"
#include "sim/sweep/shard.h"

typedef struct MigCampaign {
    const MigSweep *sweep;
    unsigned threads;
    const volatile sig_atomic_t *interrupted;
} MigCampaign;

typedef struct MigCampaignCounts {
    uint64_t wanted;  /* cells of the share */
    uint64_t present; /* had a row before */
    uint64_t ran;
    uint64_t invalid;  /* rows that say so, old and new */
    uint64_t failed;   /* no row: the environment */
    uint64_t differs;  /* verify */
    int64_t elapsed;   /* us */
    char *first_error; /* of the failed or differing ones; the caller's */
} MigCampaignCounts;

/*
 * Runs the share |shard| into |out|. False with *error: MIG_ROWS_ERROR (|out| is not this sweep's,
 * or there), or the environment's. |shard|.n 1 is all.
 */
bool mig_campaign_run(const MigCampaign *c, MigShard shard, const char *out, bool resume,
                      MigCampaignCounts *counts, GError **error);

/*
 * Runs |millionths| of the rows again, one at least, chosen by |seed|, and compares. Rows of
 * another spec or build: MIG_ROWS_ERROR.
 */
bool mig_campaign_verify(const MigCampaign *c, const MigRowsSet *rows, uint64_t millionths,
                         uint64_t seed, MigCampaignCounts *counts, GError **error);

#endif
