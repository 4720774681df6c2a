/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a check found, as the lines of the run log (conformance/report/run-log.h), from which every
 * other report is rendered (conformance/report/render.h).
 */
#ifndef MIG_CONFORMANCE_REPORT_REPORT_H
#define MIG_CONFORMANCE_REPORT_REPORT_H

#include "conformance/check.h"

typedef struct MigReportTotals {
    unsigned subjects, conformant, nonconformant, inconclusive, errors, refused;
    unsigned findings;
} MigReportTotals;

/*
 * One subject: its findings, then its verdict. |subject| is the file's name. |as_expected|: it
 * deviates as an expectation file says.
 */
void mig_report_findings(GString *out, const char *subject, const MigCheck *check);
void mig_report_subject(GString *out, const char *subject, const MigCheck *check, bool as_expected);

/*
 * The first and the last line of a run. A run without its `end` line was aborted. |argv| is for
 * people: how the run was started.
 */
void mig_report_begin(GString *out, MigProfile profile, unsigned subjects, const char *argv);
void mig_report_end(GString *out, const MigReportTotals *totals);
void mig_report_error(GString *out, const char *subject, const char *message);
/* A subject that no rule has judged: "error", "inconclusive", or a cell that was "refused". */
void mig_report_unjudged(GString *out, const char *subject, const char *verdict,
                         const char *message);

/* A hash of everything that the catalogue says: two runs with the same one judged by the same
 * rules. Owned by the caller. */
char *mig_report_catalogue(void);

/* Adds a subject. */
void mig_report_count(MigReportTotals *totals, const MigCheck *check, bool as_expected);

#endif
