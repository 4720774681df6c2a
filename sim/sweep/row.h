/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row: what one cell gave, as one line of JSON. The same cell gives the same bytes, whoever runs
 * it.
 *
 *     {"index", "cell", "replicate", "seed", "build", "params", "status", "outcome", "fine",
 *      "digest", "stream-digest", "metrics"}                     it ran
 *     {"index", "cell", "replicate", "seed", "build", "params", "status": "x-invalid", "error"}
 */
#ifndef MIG_SIM_SWEEP_ROW_H
#define MIG_SIM_SWEEP_ROW_H

#include <signal.h>

#include "sim/sweep/sweep.h"

#define MIG_ROW_INVALID_STATUS "x-invalid"

typedef enum MigRowKind {
    MIG_ROW_RAN,     /* whatever became of the migration */
    MIG_ROW_INVALID, /* the parameters make no scenario; there is a row that says so */
    MIG_ROW_NONE,    /* interrupted, or with *error the environment failed; no row */
} MigRowKind;

/*
 * Runs |c|, whose scenario is |scenario|. *text (ended by a newline, the caller's) unless NONE.
 * Several threads may do so for one sweep.
 */
MigRowKind mig_sweep_row(const MigSweep *s, const MigSweepCell *c, json_object *scenario,
                         const char *build, const volatile sig_atomic_t *interrupted, char **text,
                         GError **error);

/* The hash of this program's file, 16 hexadecimal digits; NULL and *error. Free with g_free(). */
char *mig_sweep_build_id(GError **error);

#endif
