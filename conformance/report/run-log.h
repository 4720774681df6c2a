/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a run of `migbench check` or `matrix`, read back: what every report is rendered from.
 * Lines of NDJSON, one object each:
 *
 *     run          tool, profile, arguments, hash of the rule catalogue, number of subjects
 *     finding      of the subject whose line comes next
 *     expectation  an entry of an expectation file that concerns that subject
 *     cell         of a matrix: what migrated where, and what came of it
 *     subject      verdict and the results of all rules
 *     end          totals, complete: true
 *
 * A log without its `end` was aborted, and is never rendered as if it had finished.
 */
#ifndef MIG_CONFORMANCE_REPORT_RUN_LOG_H
#define MIG_CONFORMANCE_REPORT_RUN_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define MIG_RUN_LOG_SCHEMA "migbench-check-1"

/* Strings belong to the log; NULL where the line has none. */
typedef struct MigLogFinding {
    const char *rule, *title, *why, *verdict, *level, *channel, *path, *expected, *found, *repro;
    const char *context; /* hexadecimal digits */
    uint64_t offset, context_offset;
    bool known; /* an expectation file has it */
    const char *reference;
} MigLogFinding;

typedef struct MigLogResult {
    const char *rule, *verdict, *reason;
} MigLogResult;

/* outcome: "expected", "unexpected", "changed", "xpass" or "stale" */
typedef struct MigLogExpectation {
    const char *rule, *outcome, *reference, *message;
} MigLogExpectation;

/* A cell of the matrix (conformance/matrix/matrix.h); outcome: "pass", "fail", "refused",
 * "inconclusive"
 */
typedef struct MigLogCell {
    const char *source, *destination, *machine, *transport, *features, *workload, *fault;
    const char *outcome, *words;
    bool sanity;
} MigLogCell;

typedef struct MigLogSubject {
    const char *name, *verdict, *message, *stopped, *stopped_path, *hint;
    uint64_t bytes, finding_count, stopped_offset;
    bool several;         /* channels: findings say theirs */
    bool as_expected;     /* deviates, but only as an expectation file says */
    GArray *findings;     /* MigLogFinding */
    GArray *results;      /* MigLogResult */
    GArray *expectations; /* MigLogExpectation */
    MigLogCell *cell;     /* NULL: a stream that was given to check */
} MigLogSubject;

typedef struct MigRunLog {
    const char *version, *profile, *catalogue, *argv;
    uint64_t rules, announced; /* subjects that were to be judged */
    GPtrArray *subjects;       /* MigLogSubject, those whose line has come */
    MigLogSubject *open;       /* the one whose line has not */
    GArray *expectations;      /* MigLogExpectation of no subject: stale entries */
    unsigned conformant, nonconformant, inconclusive, errors, refused, findings;
    bool begun, complete;
    bool next, broken; /* another log is to follow; one that came before had no end */
    bool several;      /* more than one log */
    GStringChunk *strings;
} MigRunLog;

MigRunLog *mig_run_log_new(void);
void mig_run_log_free(MigRunLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRunLog, mig_run_log_free)

/*
 * Adds one line, without its newline. *subject, which may be NULL, becomes the subject that this
 * line completes, or NULL. False: no line of such a log, *error says why.
 */
bool mig_run_log_line(MigRunLog *log, const char *line, gsize n, const MigLogSubject **subject,
                      GError **error);

/*
 * Another log comes behind this one: the shares of a run are one run. A cell that is there already
 * was run again, and what came of it now counts.
 */
void mig_run_log_next(MigRunLog *log);

/* The exit status that the run had, MIG_EXIT_INCOMPLETE or worse for an aborted one. */
int mig_run_log_status(const MigRunLog *log);

/* What is missing in an aborted run: "3 of 7 subjects were judged". Owned by the caller. */
char *mig_run_log_aborted(const MigRunLog *log);

#endif
