/* SPDX-License-Identifier: Apache-2.0 */
/* Heat maps, see heat.h. */
#include "sim/report/heat.h"

#include <glib.h>
#include <string.h>

struct MigHeat {
    char *name;
    uint64_t row_pages;
    uint32_t rows, columns; /* columns: up to the last that has something */
    int64_t period;         /* ns */
    uint64_t counts[MIG_HEAT_ROWS][MIG_HEAT_COLUMNS];
};

MigHeat *mig_heat_new(const char *name, uint64_t pages)
{
    MigHeat *h = g_new0(MigHeat, 1);
    h->name = g_strdup(name);
    h->row_pages = (pages + MIG_HEAT_ROWS - 1) / MIG_HEAT_ROWS;
    h->rows = (uint32_t)((pages + h->row_pages - 1) / h->row_pages);
    h->period = MIG_HEAT_PERIOD;
    return h;
}

void mig_heat_free(MigHeat *h)
{
    if (h) {
        g_free(h->name);
        g_free(h);
    }
}

static void halve(MigHeat *h)
{
    for (uint32_t r = 0; r < h->rows; r++) {
        uint64_t *row = h->counts[r];
        for (uint32_t c = 0; c < MIG_HEAT_COLUMNS / 2; c++) {
            row[c] = row[2 * c] + row[2 * c + 1];
        }
        memset(row + MIG_HEAT_COLUMNS / 2, 0, MIG_HEAT_COLUMNS / 2 * sizeof(*row));
    }
    h->period *= 2;
}

void mig_heat_add(MigHeat *h, int64_t at, uint64_t first, uint64_t mask)
{
    while (at / h->period >= MIG_HEAT_COLUMNS) {
        halve(h);
        h->columns = (h->columns + 1) / 2;
    }
    uint32_t column = (uint32_t)(at / h->period);
    if (first / h->row_pages == (first + 63) / h->row_pages) { /* they are all in one row */
        uint64_t row = MIN(first / h->row_pages, h->rows - 1);
        h->counts[row][column] += (unsigned)__builtin_popcountll(mask);
    } else {
        for (uint64_t rest = mask; rest; rest &= rest - 1) {
            uint64_t row = (first + (uint64_t)__builtin_ctzll(rest)) / h->row_pages;
            h->counts[MIN(row, h->rows - 1)][column]++;
        }
    }
    h->columns = mask ? MAX(h->columns, column + 1) : h->columns;
}

json_object *mig_heat_to_json(const MigHeat *h)
{
    if (h->columns == 0) {
        return NULL;
    }
    json_object *o = json_object_new_object(), *counts = json_object_new_array();
    for (uint32_t r = 0; r < h->rows; r++) {
        for (uint32_t c = 0; c < h->columns; c++) {
            json_object_array_add(counts, json_object_new_uint64(h->counts[r][c]));
        }
    }
    json_object_object_add(o, "block", json_object_new_string(h->name));
    json_object_object_add(o, "rows", json_object_new_int64(h->rows));
    json_object_object_add(o, "row-pages", json_object_new_uint64(h->row_pages));
    json_object_object_add(o, "columns", json_object_new_int64(h->columns));
    json_object_object_add(o, "column-ns", json_object_new_int64(h->period));
    json_object_object_add(o, "counts", counts);
    return o;
}
