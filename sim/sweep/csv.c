/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows as CSV (RFC 4180), see merge.h: a column for each key that some row has, "params." and
 * "metrics." before the names inside of these, in the order in which they first come up.
 */
#include <string.h>

#include "sim/sweep/merge.h"
#include "sim/sweep/output.h"

typedef struct Columns {
    GPtrArray *names; /* char *, owned by |index| */
    GHashTable *index;
} Columns;

/* Calls |each| for every cell of the row |o|. */
static void walk(json_object *o, const char *prefix,
                 void (*each)(void *opaque, const char *name, json_object *v), void *opaque)
{
    json_object_object_foreach(o, key, v)
    {
        g_autofree char *name = g_strconcat(prefix, key, NULL);
        if (!*prefix && json_object_is_type(v, json_type_object)) {
            g_autofree char *inner = g_strconcat(key, ".", NULL);
            walk(v, inner, each, opaque);
        } else {
            each(opaque, name, v);
        }
    }
}

static void add_column(void *opaque, const char *name, json_object *v)
{
    Columns *c = opaque;
    (void)v;
    if (!g_hash_table_contains(c->index, name)) {
        char *copy = g_strdup(name);
        g_hash_table_insert(c->index, copy, GUINT_TO_POINTER(c->names->len));
        g_ptr_array_add(c->names, copy);
    }
}

static void append_field(GString *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        g_string_append(out, text);
        return;
    }
    g_string_append_c(out, '"');
    for (; *text; text++) {
        g_string_append(out, *text == '"' ? "\"" : "");
        g_string_append_c(out, *text);
    }
    g_string_append_c(out, '"');
}

typedef struct Fields {
    const Columns *columns;
    json_object **values; /* borrowed, one per column */
} Fields;

static void put_field(void *opaque, const char *name, json_object *v)
{
    const Fields *f = opaque;
    f->values[GPOINTER_TO_UINT(g_hash_table_lookup(f->columns->index, name))] = v;
}

static const char *field_text(json_object *v)
{
    if (!v) {
        return "";
    }
    return json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
}

static void write_line(MigSweepOutput *out, GString *line)
{
    g_string_append(line, "\r\n");
    mig_sweep_output_write(out, line->str, line->len);
    g_string_truncate(line, 0);
}

static void write_rows(const MigRowsSet *s, const Columns *c, MigSweepOutput *out)
{
    g_autoptr(GString) line = g_string_new(NULL);
    g_autofree json_object **values = g_new(json_object *, c->names->len + 1);
    Fields fields = { .columns = c, .values = values };
    for (guint j = 0; j < c->names->len; j++) {
        g_string_append(line, j ? "," : "");
        append_field(line, c->names->pdata[j]);
    }
    write_line(out, line);
    for (guint i = 0; i < s->lines->len; i++) {
        json_object *o = mig_row_parse(&g_array_index(s->lines, MigRowLine, i));
        memset(values, 0, c->names->len * sizeof(*values));
        walk(o, "", put_field, &fields);
        for (guint j = 0; j < c->names->len; j++) {
            g_string_append(line, j ? "," : "");
            append_field(line, field_text(values[j]));
        }
        write_line(out, line);
        json_object_put(o);
    }
}

bool mig_rows_set_csv(const MigRowsSet *s, const char *path, GError **error)
{
    g_autoptr(MigSweepOutput) out = mig_sweep_output_open(path, error);
    Columns c = { .names = g_ptr_array_new(),
                  .index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
    for (guint i = 0; out && i < s->lines->len; i++) {
        json_object *o = mig_row_parse(&g_array_index(s->lines, MigRowLine, i));
        walk(o, "", add_column, &c);
        json_object_put(o);
    }
    if (out) {
        write_rows(s, &c, out);
    }
    g_ptr_array_unref(c.names);
    g_hash_table_unref(c.index);
    return out && mig_sweep_output_close(out, error);
}
