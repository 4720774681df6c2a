/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sweep: one scenario, many cells. A cell is one row of every axis and a replicate; its number
 * (index) counts replicates first, then the last axis, then the one before it.
 *
 *     spec file -> MigSweep -> cell n -> its scenario -> simulation -> row (row.h)
 *
 * Everything about a cell is a function of the spec and its index, so that who runs it, when, and
 * beside what makes no difference.
 */
#ifndef MIG_SIM_SWEEP_SWEEP_H
#define MIG_SIM_SWEEP_SWEEP_H

#include <glib.h>
#include <json-c/json.h>

#include "sim/scenario/scenario.h"

#define MIG_SWEEP_SCHEMA    "migbench-sweep-1"
#define MIG_SWEEP_CELLS_MAX 100000000u

typedef struct MigSweep {
    char *name;        /* the file */
    char *description; /* may be NULL */
    json_object *base; /* the scenario */
    char *base_name, *base_folder;
    GPtrArray *axes;     /* MigSweepAxis */
    GArray *order;       /* MigSweepColumn, by path */
    uint64_t replicates; /* 1 or more */
    uint64_t seed;
    GPtrArray *metrics; /* char *; NULL: all */
    bool bytes;         /* make the stream, and a destination that loads it */
    uint64_t cells;
    char *hash; /* of all that decides about the rows, but files that the scenario names */
} MigSweep;

typedef struct MigSweepColumn {
    const char *path;
    guint axis, column;
} MigSweepColumn;

typedef struct MigSweepCell {
    uint64_t index, replicate, seed;
    char id[17];         /* hash of the parameters, hexadecimal */
    json_object *params; /* path -> value, by path; shares nothing with the sweep */
} MigSweepCell;

/* NULL and *error (MIG_READER_ERROR: the spec; else a file) that says where. */
MigSweep *mig_sweep_load(const char *path, GError **error);
/* The same of a parsed one; |folder|: where relative file names begin. */
MigSweep *mig_sweep_read(json_object *root, const char *name, const char *folder, GError **error);
void mig_sweep_free(MigSweep *s); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigSweep, mig_sweep_free)

/*
 * Cell |index|. json-c counts references without atomics: one thread at a time may call this and
 * the next function on the same sweep.
 */
MigSweepCell mig_sweep_cell(const MigSweep *s, uint64_t index);
void mig_sweep_cell_clear(MigSweepCell *c);

/* The cell's scenario as JSON that shares nothing with the sweep; NULL and *error: a bad path. */
json_object *mig_sweep_cell_scenario(const MigSweep *s, const MigSweepCell *c, GError **error);

/* What expand prints: {"index", "cell", "replicate", "seed", "params"}. */
json_object *mig_sweep_cell_to_json(const MigSweepCell *c);

#endif
