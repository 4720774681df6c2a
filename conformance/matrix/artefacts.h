/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a cell. */
#ifndef MIG_CONFORMANCE_MATRIX_ARTEFACTS_H
#define MIG_CONFORMANCE_MATRIX_ARTEFACTS_H

#include "conformance/matrix/matrix.h"

/* Below |out|: a folder for the cell, made anew. Owned by the caller; NULL and *error. */
char *mig_cell_folder(const char *out, const MigCell *cell, GError **error);
/* repro.sh in |folder|: the same cell again. */
bool mig_cell_write_repro(const MigCell *cell, const char *folder, GError **error);
/* Compresses the recording. False and *error. */
bool mig_cell_pack(const MigCellRun *run, GError **error);

/* The line "cell" of the run log, without its newline; owned by the caller. |words| may be NULL. */
char *mig_cell_report(const MigCellRun *run, MigOutcome outcome, const char *words);

#endif
