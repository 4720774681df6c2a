/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix in reports: who with whom, under which conditions. What the reports of other runs show
 * (findings with their bytes, expectations) stands beside it, made by the renderers themselves.
 */
#ifndef MIG_CONFORMANCE_MATRIX_PAGE_H
#define MIG_CONFORMANCE_MATRIX_PAGE_H

#include "conformance/report/run-log.h"

#define MIG_MATRIX_STYLE                                                  \
    ".refused{background:#e4e0ea}.m td{font-size:80%;white-space:nowrap}" \
    ".m th{font-size:80%;white-space:nowrap;font-weight:normal}\n"

/* Whether the log is of a matrix. */
bool mig_matrix_is_one(const MigRunLog *log);
/* The tables of the HTML page. */
void mig_matrix_page(GString *out, const MigRunLog *log);

/* ---- what pages are made from ---- */

/* Peers or pairs of peers in the order in which they come; char *. */
GPtrArray *mig_matrix_peers(const MigRunLog *log);
/* "pass", "FAIL", "known", "refused", "inconclusive", "ERROR" */
const char *mig_matrix_word(const MigLogSubject *s);

typedef struct MigMatrixCount {
    guint pass, fail, known, refused, inconclusive;
} MigMatrixCount;

void mig_matrix_count(MigMatrixCount *count, const MigLogSubject *s);

/* Refusals and failures with the same words, the most frequent first. */
typedef struct MigMatrixReason {
    char *words;
    guint count;
    GHashTable *features; /* const char * */
} MigMatrixReason;

/* Of the cells with that word; MigMatrixReason. */
GPtrArray *mig_matrix_reasons(const MigRunLog *log, const char *word);
/* The features of a reason: "a, b and 5 more"; owned by the caller. */
char *mig_matrix_examples(const MigMatrixReason *reason);

#endif
