/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interoperability matrix. A cell is one migration between two peers under stated conditions:
 *
 *     source/destination/machine/transport/features/workload/fault
 *     qemu-7.2/qemu-10.0/pc-i440fx-7.2/unix/multifd+xbzrle/rewriting/none
 *
 *     peers --cells--> MigCell --run--> MigCellRun (recording, statuses, memory) --judge--> log
 *
 * A cell's outcome is one of
 *
 *     pass          both ends say completed, the recording is conformant, the memory is the same
 *                   (with a fault: both ends say so, and the source has its guest as it was)
 *     fail          one of that does not hold
 *     refused       an end said no before the source had written a byte, in its own words
 *     inconclusive  the bench could not tell: a peer did not start, the recording can't be read
 */
#ifndef MIG_CONFORMANCE_MATRIX_MATRIX_H
#define MIG_CONFORMANCE_MATRIX_MATRIX_H

#include "conformance/check.h"
#include "conformance/peers/peers.h"

#define MIG_MATRIX_RAM (UINT64_C(4) << 20) /* bytes of every guest: half full, half zero */

typedef struct MigCell {
    const MigPeer *source, *destination; /* borrowed */
    char *machine;
    const char *transport; /* unix, tcp, exec, file */
    const char *workload;  /* idle, rewriting */
    const char *fault;     /* none, stall, cut, cancel */
    char **features;       /* sorted; NULL-terminated, may be empty */
    bool sanity;           /* one of those that the run begins and ends with */
    char *name;
} MigCell;

/* MigCell, in an order that depends on the peers only; sanity cells first and last. */
typedef struct MigCellOptions {
    const char *const *only; /* globs over names, NULL: all; sanity cells always run */
    guint strength;          /* how many features are combined: 1 or 2 */
    guint shard, shards;     /* cells whose number is |shard| modulo |shards|; 0 of 1: all */
    const MigPeer *about;    /* only cells with this one; NULL: all */
} MigCellOptions;

GPtrArray *mig_cells_list(const GPtrArray *peers, const MigCellOptions *o);
bool mig_cell_has(const MigCell *cell, const char *feature);
/* "multifd+xbzrle", "plain"; owned by the caller. */
char *mig_cell_features(const MigCell *cell);

/* Why a feature that a peer knows has no cells; NULL: it has. */
const char *mig_feature_left_out(const char *name);

typedef enum MigOutcome {
    MIG_OUTCOME_PASS,
    MIG_OUTCOME_FAIL,
    MIG_OUTCOME_REFUSED,
    MIG_OUTCOME_INCONCLUSIVE,
} MigOutcome;

const char *mig_outcome_name(MigOutcome outcome);

/* What came of running a cell. */
typedef struct MigCellRun {
    const MigCell *cell;
    char *folder;    /* its artefacts, kept */
    char *recording; /* path, there or not */
    bool refused;
    char *words; /* refused or inconclusive: who said what */
    bool inconclusive;
    char *source_status, *destination_status; /* of query-migrate in the end, or how it died */
    char *source_error, *destination_error;   /* reasons that they gave; may be NULL */
    char *run_state;                          /* of the source in the end */
    char *complaint;                          /* what the destination printed meanwhile; or NULL */
    guint64 passes;                           /* dirty-sync-count */
    bool hung, crashed;
    char *memory; /* how the memories compare: NULL: equal */
    bool compared;
} MigCellRun;

/* Never NULL; |folder| exists. |stop| ends it early when it becomes true. */
MigCellRun *mig_cell_run(const MigCell *cell, const char *folder, const volatile bool *stop);
void mig_cell_run_free(MigCellRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigCellRun, mig_cell_run_free)

/*
 * Judges the recording and adds the cell's own rules (mig_cell_rules) to what |check| found. The
 * outcome; *words (to be freed, or NULL) says why where it is no pass.
 */
MigOutcome mig_cell_judge(MigCheck *check, const MigCellRun *run, char **words);

extern const MigRule mig_cell_rules[];
extern const unsigned mig_cell_rule_count;

#endif
