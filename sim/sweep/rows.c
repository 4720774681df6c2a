/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files of rows, see rows.h. The file is mapped; a row costs an entry of a table. */
#include "sim/sweep/rows.h"

#include <string.h>

#include "sim/scenario/json-reader.h"
#include "sim/sweep/row.h"

#define PLAIN (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static bool fail(GError **error, const MigRows *r, size_t line, const char *what)
{
    g_set_error(error, MIG_ROWS_ERROR, 0, "%s:%zu: %s", r->path, line, what);
    return false;
}

static json_object *get(json_object *o, const char *key, json_type type)
{
    json_object *v = NULL;
    json_object_object_get_ex(o, key, &v);
    return json_object_is_type(v, type) ? v : NULL;
}

static char *get_text(json_object *o, const char *key)
{
    return g_strdup(json_object_get_string(get(o, key, json_type_string)));
}

static json_object *parse(const char *text, size_t n)
{
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    json_object *v = n < INT_MAX ? json_tokener_parse_ex(tokener, text, (int)n) : NULL;
    if (json_tokener_get_error(tokener) != json_tokener_success) {
        json_object_put(v);
        v = NULL;
    }
    json_tokener_free(tokener);
    return v;
}

json_object *mig_row_parse(const MigRowLine *line)
{
    return parse(line->text, line->length);
}

static bool take_header(MigRows *r, json_object *o, GError **error)
{
    g_autofree char *schema = get_text(o, "schema");
    MigRowsHeader *h = &r->header;
    h->spec = get_text(o, "spec");
    h->build = get_text(o, "build");
    h->version = get_text(o, "version");
    h->shard = get_text(o, "shard");
    h->cells = json_object_get_uint64(get(o, "cells", json_type_int));
    if (g_strcmp0(schema, MIG_SWEEP_ROWS_SCHEMA) != 0 || !h->spec || !h->build || !h->version ||
        h->cells == 0) {
        return fail(error, r, 1,
                    "expected the header of a sweep's rows (schema "
                    "\"" MIG_SWEEP_ROWS_SCHEMA "\")");
    }
    return true;
}

static bool take_row(MigRows *r, json_object *o, MigRowLine line, size_t number, GError **error)
{
    json_object *index = get(o, "index", json_type_int);
    json_object *status = get(o, "status", json_type_string);
    if (!index || !status) {
        return fail(error, r, number, "expected a row with \"index\" and \"status\"");
    }
    line.index = json_object_get_uint64(index);
    line.invalid = strcmp(json_object_get_string(status), MIG_ROW_INVALID_STATUS) == 0;
    if (line.index >= r->header.cells) {
        return fail(error, r, number, "the row's index is not one of the sweep's cells");
    }
    g_array_append_val(r->lines, line);
    return true;
}

static bool take_line(MigRows *r, MigRowLine line, size_t number, GError **error)
{
    json_object *o = mig_row_parse(&line);
    bool fine;
    if (r->ended) {
        fine = fail(error, r, number, "a line behind the end line");
    } else if (!json_object_is_type(o, json_type_object)) {
        fine = fail(error, r, number, "expected a line of JSON; the file is damaged");
    } else if (number == 1) {
        fine = take_header(r, o, error);
    } else if (get(o, "end", json_type_boolean)) {
        json_object *rows = get(o, "rows", json_type_int);
        r->ended = true;
        fine = (rows && json_object_get_uint64(rows) == r->lines->len) ||
               fail(error, r, number, "the end line gives another number of rows than there are");
    } else {
        fine = take_row(r, o, line, number, error);
    }
    if (fine && !r->ended) {
        r->good += line.length;
    }
    json_object_put(o);
    return fine;
}

static bool take_lines(MigRows *r, GError **error)
{
    const char *at = g_mapped_file_get_contents(r->map);
    const char *end = at ? at + g_mapped_file_get_length(r->map) : NULL, *newline;
    size_t number = 0;
    while (at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        MigRowLine line = { .text = at, .length = (size_t)(newline + 1 - at) };
        if (!take_line(r, line, ++number, error)) {
            return false;
        }
        at = newline + 1;
    }
    return true; /* what remains has no newline: half written */
}

MigRows *mig_rows_load(const char *path, GError **error)
{
    g_autoptr(MigRows) r = g_new0(MigRows, 1);
    r->path = g_strdup(path);
    r->lines = g_array_new(FALSE, FALSE, sizeof(MigRowLine));
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_ISDIR, "%s: is a directory", path);
        return NULL;
    }
    r->map = g_mapped_file_new(path, FALSE, error);
    return r->map && take_lines(r, error) ? g_steal_pointer(&r) : NULL;
}

void mig_rows_header_clear(MigRowsHeader *h)
{
    g_free(h->spec);
    g_free(h->build);
    g_free(h->version);
    g_free(h->shard);
}

void mig_rows_free(MigRows *r)
{
    if (r) {
        g_clear_pointer(&r->map, g_mapped_file_unref);
        g_array_unref(r->lines);
        mig_rows_header_clear(&r->header);
        g_free(r->path);
        g_free(r);
    }
}

bool mig_rows_same(const MigRowsHeader *a, const char *a_name, const MigRowsHeader *b,
                   const char *b_name, GError **error)
{
    const struct {
        const char *what, *a, *b;
    } pairs[] = {
        { "spec", a->spec, b->spec },
        { "build of migbench", a->build, b->build },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (strcmp(pairs[i].a, pairs[i].b) != 0) {
            g_set_error(error, MIG_ROWS_ERROR, 0,
                        "%s and %s come from another %s (%.16s and %.16s)", a_name, b_name,
                        pairs[i].what, pairs[i].a, pairs[i].b);
            return false;
        }
    }
    return true;
}

static void put_text(json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, json_object_new_string(text));
}

static char *to_line(json_object *o)
{
    char *text = g_strconcat(json_object_to_json_string_ext(o, PLAIN), "\n", NULL);
    json_object_put(o);
    return text;
}

char *mig_rows_header_line(const MigRowsHeader *h)
{
    json_object *o = json_object_new_object();
    put_text(o, "schema", MIG_SWEEP_ROWS_SCHEMA);
    put_text(o, "spec", h->spec);
    put_text(o, "build", h->build);
    put_text(o, "version", h->version);
    json_object_object_add(o, "cells", json_object_new_int64((int64_t)h->cells));
    if (h->shard) {
        put_text(o, "shard", h->shard);
    }
    return to_line(o);
}

char *mig_rows_end_line(uint64_t rows)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "end", json_object_new_boolean(1));
    json_object_object_add(o, "rows", json_object_new_int64((int64_t)rows));
    return to_line(o);
}
