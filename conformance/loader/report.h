/* SPDX-License-Identifier: Apache-2.0 */
/* What `migbench check --loader` prints: one answer for each stream, as text or as NDJSON. */
#ifndef MIG_CONFORMANCE_LOADER_REPORT_H
#define MIG_CONFORMANCE_LOADER_REPORT_H

#include "conformance/loader/loader.h"

#define MIG_LOADER_SCHEMA "migbench-loader-1"

typedef struct MigLoaderTotals {
    unsigned subjects, loaded, refused, unknown, errors;
} MigLoaderTotals;

/* NDJSON has a first line (run) and a last one (end); text has neither. */
void mig_loader_report_begin(GString *out, MigVersion version, const char *machine, bool ndjson);
/* Judges |file| and appends the answer. */
void mig_loader_report_subject(GString *out, const char *file, MigVersion version,
                               const char *machine, bool ndjson, MigLoaderTotals *totals);
void mig_loader_report_end(GString *out, const MigLoaderTotals *totals, bool ndjson);

/* The exit status of a run: see the contract. */
int mig_loader_report_status(const MigLoaderTotals *totals);

#endif
