/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends to a file of rows. Every row is one write(); every so often what was written is forced to
 * the disk. One process at a time: the file is locked.
 */
#ifndef MIG_SIM_SWEEP_ROWS_WRITER_H
#define MIG_SIM_SWEEP_ROWS_WRITER_H

#include "sim/sweep/rows.h"

typedef struct MigRowsWriter MigRowsWriter;

/*
 * Begins |path|, or with |resume| goes on behind the rows that are there: *present (the caller's,
 * NULL: none), which has to come from the same spec, build and share. *error: MIG_ROWS_ERROR (the
 * file is another's, or is there without |resume|) or a file's.
 */
MigRowsWriter *mig_rows_writer_open(const char *path, const MigRowsHeader *header, bool resume,
                                    MigRows **present, GError **error);
bool mig_rows_writer_add(MigRowsWriter *w, const char *line, GError **error);

/* Writes the end line when |complete|, and what is not on the disk yet. */
bool mig_rows_writer_close(MigRowsWriter *w, bool complete, GError **error);
void mig_rows_writer_free(MigRowsWriter *w); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRowsWriter, mig_rows_writer_free)

#endif
