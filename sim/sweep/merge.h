/* SPDX-License-Identifier: Apache-2.0 */
/* Several files of rows as one: rows by index, each once. And rows as a table for spreadsheets. */
#ifndef MIG_SIM_SWEEP_MERGE_H
#define MIG_SIM_SWEEP_MERGE_H

#include "sim/sweep/rows.h"

typedef struct MigRowsSet {
    GPtrArray *files; /* MigRows */
    GArray *lines;    /* MigRowLine by index, each index once */
    uint64_t missing, invalid;
} MigRowsSet;

typedef enum MigRowsSetError {
    MIG_ROWS_SET_ERROR_DIFFERS, /* two files have different rows for one cell */
} MigRowsSetError;

#define MIG_ROWS_SET_ERROR (g_quark_from_static_string("mig-rows-set-error"))

/* NULL and *error: as mig_rows_load(), MIG_ROWS_ERROR (made by another spec or build), DIFFERS. */
MigRowsSet *mig_rows_set_load(const char *const *paths, GError **error);
void mig_rows_set_free(MigRowsSet *s); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRowsSet, mig_rows_set_free)

const MigRowsHeader *mig_rows_set_header(const MigRowsSet *s);

/* Has it a row of cell |index|? */
const MigRowLine *mig_rows_set_find(const MigRowsSet *s, uint64_t index);

/* Either writes |path| through a temporary name; "-" is standard output. Merge gives the hash of
 * the file (the caller's). An end line only when nothing is missing. */
bool mig_rows_set_merge(const MigRowsSet *s, const char *path, char **hash, GError **error);
bool mig_rows_set_csv(const MigRowsSet *s, const char *path, GError **error);

#endif
