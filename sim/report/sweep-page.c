/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to columns, see sweep-page.h. Rows that lack a name have null there. */
#include "sim/report/sweep-page.h"

#include "sim/report/page.h"

/* Puts |v| behind the |n| entries that the list |name| of |columns| has, or is to have. */
static void put(json_object *columns, const char *name, size_t n, json_object *v)
{
    json_object *list;
    if (!json_object_object_get_ex(columns, name, &list)) {
        list = json_object_new_array();
        json_object_object_add(columns, name, list);
    }
    json_object_array_put_idx(list, n, json_object_get(v)); /* with null in between */
}

static void put_all(json_object *columns, json_object *row, const char *key, size_t n)
{
    json_object *values;
    if (!json_object_object_get_ex(row, key, &values)) {
        return;
    }
    json_object_object_foreach(values, name, v)
    {
        put(columns, name, n, v);
    }
}

/* To |rows| entries each. */
static void level(json_object *columns, size_t rows)
{
    json_object_object_foreach(columns, name, list)
    {
        (void)name;
        while (json_object_array_length(list) < rows) {
            json_object_array_add(list, NULL);
        }
    }
}

static bool is_number(json_object *v)
{
    return json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double);
}

/* Has it numbers, and not one and the same everywhere? */
static bool tells(json_object *list)
{
    json_object *first = NULL;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *v = json_object_array_get_idx(list, i);
        if (!is_number(v)) {
            continue;
        }
        if (first && !json_object_equal(first, v)) {
            return true;
        }
        first = first ? first : v;
    }
    return false;
}

/* The columns of |metrics| that tell something; the caller's. */
static json_object *telling(json_object *metrics)
{
    json_object *out = json_object_new_object();
    json_object_object_foreach(metrics, name, list)
    {
        if (tells(list)) {
            json_object_object_add(out, name, json_object_get(list));
        }
    }
    return out;
}

json_object *mig_sweep_page_data(const MigRowsSet *rows, const char *name)
{
    const MigRowsHeader *header = mig_rows_set_header(rows);
    json_object *o = json_object_new_object(), *metrics = json_object_new_object();
    json_object *parameters = json_object_new_object();
    static const char *const keys[] = { "index", "status", "fine" };
    for (size_t k = 0; k < G_N_ELEMENTS(keys); k++) {
        json_object_object_add(o, keys[k], json_object_new_array());
    }
    for (guint i = 0; i < rows->lines->len; i++) {
        json_object *row = mig_row_parse(&g_array_index(rows->lines, MigRowLine, i));
        for (size_t k = 0; k < G_N_ELEMENTS(keys); k++) {
            json_object *v = NULL;
            json_object_object_get_ex(row, keys[k], &v);
            put(o, keys[k], i, v);
        }
        put_all(parameters, row, "params", i);
        put_all(metrics, row, "metrics", i);
        json_object_put(row);
    }
    level(parameters, rows->lines->len);
    level(metrics, rows->lines->len);
    json_object_object_add(o, "name", json_object_new_string(name));
    json_object_object_add(o, "spec", json_object_new_string(header->spec));
    json_object_object_add(o, "version", json_object_new_string(header->version));
    json_object_object_add(o, "cells", json_object_new_uint64(header->cells));
    json_object_object_add(o, "parameters", parameters);
    json_object_object_add(o, "metrics", telling(metrics));
    json_object_put(metrics);
    return o;
}

bool mig_sweep_page_save(const MigRowsSet *rows, const char *name, const char *path, GError **error)
{
    json_object *data = mig_sweep_page_data(rows, name);
    bool fine = mig_page_save(MIG_PAGE_SWEEP, name, data, path, error);
    json_object_put(data);
    return fine;
}
