/* SPDX-License-Identifier: Apache-2.0 */
/* What a check found, as text and as NDJSON. */
#ifndef MIG_CONFORMANCE_REPORT_H
#define MIG_CONFORMANCE_REPORT_H

#include "conformance/check.h"

typedef struct MigReportTotals {
    unsigned subjects, conformant, nonconformant, inconclusive, errors;
    unsigned findings;
} MigReportTotals;

/* One subject: its findings, then its verdict. |subject| is the file's name. */
void mig_report_text(GString *out, const char *subject, const MigCheck *check);
void mig_report_ndjson(GString *out, const char *subject, const MigCheck *check);

/* The first and the last line of a run. A run without its `end` line was aborted. */
void mig_report_ndjson_begin(GString *out, MigProfile profile, unsigned subjects);
void mig_report_ndjson_end(GString *out, const MigReportTotals *totals);
void mig_report_ndjson_error(GString *out, const char *subject, const char *message);

/* Adds a subject; returns its exit status. */
int mig_report_count(MigReportTotals *totals, const MigCheck *check);

#endif
