/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which share of the cells this process runs: share K of N (1 <= K <= N) has every N-th cell.
 *
 *     "3/8"      said
 *     "auto"     from what a scheduler puts into the environment (shard.c has the table)
 *     "auto/8"   the number from the scheduler, the count said
 */
#ifndef MIG_SIM_SWEEP_SHARD_H
#define MIG_SIM_SWEEP_SHARD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MigShard {
    uint64_t k, n;
    const char *from; /* the variable, or NULL */
} MigShard;

#define MIG_SHARD_ERROR (g_quark_from_static_string("mig-shard-error"))

/* |get|: getenv() but in tests. */
bool mig_shard_parse(const char *text, const char *(*get)(const char *name), MigShard *shard,
                     GError **error);

static inline bool mig_shard_has(MigShard s, uint64_t cell)
{
    return cell % s.n == s.k - 1;
}

#endif
