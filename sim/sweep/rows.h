/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of rows: lines of JSON, only ever appended to.
 *
 *     {"schema": "migbench-sweep-rows-1", "spec", "build", "version", "cells", "shard"}
 *     rows (row.h), in the order in which they were done
 *     {"end": true, "rows": N}       all of the share are there; without it: unfinished
 *
 * A process that dies leaves at most its last line without a newline; that is dropped.
 */
#ifndef MIG_SIM_SWEEP_ROWS_H
#define MIG_SIM_SWEEP_ROWS_H

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define MIG_SWEEP_ROWS_SCHEMA "migbench-sweep-rows-1"
#define MIG_ROWS_ERROR        (g_quark_from_static_string("mig-rows-error"))

typedef struct MigRowsHeader {
    char *spec, *build, *version;
    char *shard;    /* "3/8"; NULL: all cells */
    uint64_t cells; /* of the sweep */
} MigRowsHeader;

typedef struct MigRowLine {
    uint64_t index;
    const char *text; /* with its newline, inside the map */
    size_t length;
    bool invalid; /* MIG_ROW_INVALID_STATUS */
} MigRowLine;

typedef struct MigRows {
    char *path;
    GMappedFile *map;
    MigRowsHeader header;
    GArray *lines; /* MigRowLine, as in the file */
    bool ended;
    size_t good; /* bytes up to the end line, or the half-written one */
} MigRows;

/* NULL and *error: MIG_ROWS_ERROR (no such file of rows: where, what) or a file's. */
MigRows *mig_rows_load(const char *path, GError **error);
void mig_rows_free(MigRows *r); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRows, mig_rows_free)

void mig_rows_header_clear(MigRowsHeader *h);

/* The same spec, build and number of cells? *error says what differs, under these names. */
bool mig_rows_same(const MigRowsHeader *a, const char *a_name, const MigRowsHeader *b,
                   const char *b_name, GError **error);

/* The header's line and the end's, each with its newline. Free with g_free(). */
char *mig_rows_header_line(const MigRowsHeader *h);
char *mig_rows_end_line(uint64_t rows);

/* The parsed row; free with json_object_put(). */
json_object *mig_row_parse(const MigRowLine *line);

#endif
