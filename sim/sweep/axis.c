/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an axis, see axis.h: what people write, in rows. Ranges are range.c's. */
#include "sim/sweep/axis.h"

#include <string.h>

#include "sim/sweep/range.h"
#include "sim/sweep/sample.h"

typedef struct AxisText {
    char *path;
    json_object *values, *paths, *rows, *ranges; /* borrowed */
    uint64_t count, seed, index;
} AxisText;

char *mig_sweep_path(const char *path)
{
    g_autoptr(GString) dotted = g_string_new(NULL), out = g_string_new(NULL);
    for (const char *c = path; *c; c++) {
        if (*c == '[') {
            g_string_append_c(dotted, '.');
        } else if (*c != ']') {
            g_string_append_c(dotted, *c);
        }
    }
    g_auto(GStrv) parts = g_strsplit(dotted->str, ".", -1);
    for (char **part = parts; *part; part++) {
        if (!**part) {
            return NULL;
        }
        bool index = strspn(*part, "0123456789") == strlen(*part);
        g_string_append_printf(out, index ? "[%s]" : out->len ? ".%s" : "%s", *part);
    }
    return out->len ? g_strdup(out->str) : NULL;
}

static bool borrow(MigReader *r, json_object *v, void *dst)
{
    (void)r;
    *(json_object **)dst = v;
    return true;
}

static bool read_count(MigReader *r, json_object *v, void *dst)
{
    uint64_t *count = dst;
    return mig_read_u64(r, v, count) &&
           ((*count > 0 && *count <= MIG_SAMPLE_COUNT_MAX) ||
            mig_read_fail(r, "expected 1 to %u, found %" G_GUINT64_FORMAT, MIG_SAMPLE_COUNT_MAX,
                          *count));
}

static bool add_path(MigReader *r, json_object *v, void *dst)
{
    MigSweepAxis *a = dst;
    g_autofree char *text = NULL;
    if (!mig_read_string(r, v, &text)) {
        return false;
    }
    char *path = mig_sweep_path(text);
    if (!path) {
        return mig_read_fail(r,
                             "\"%s\" has an empty part; expected a path such as "
                             "\"link.bandwidth\" or \"guest.ram[0].size\"",
                             text);
    }
    g_ptr_array_add(a->paths, path);
    return true;
}

/* Kinds ------------------------------------------------------------------------------------- */

static void add_row(MigSweepAxis *a, json_object *row)
{
    json_object_array_add(a->rows, row);
}

static bool add_value(MigReader *r, json_object *v, void *dst)
{
    (void)r;
    json_object *row = json_object_new_array(), *copy = NULL;
    json_object_deep_copy(v, &copy, NULL);
    json_object_array_add(row, copy);
    add_row(dst, row);
    return true;
}

static bool add_tuple(MigReader *r, json_object *v, void *dst)
{
    MigSweepAxis *a = dst;
    json_object *copy = NULL;
    if (!json_object_is_type(v, json_type_array) || json_object_array_length(v) != a->paths->len) {
        return mig_read_fail(r, "expected an array of %u values, one for each of \"paths\"",
                             a->paths->len);
    }
    json_object_deep_copy(v, &copy, NULL);
    add_row(a, copy);
    return true;
}

static bool each(MigReader *r, const char *key, json_object *v, MigReadFn *read, MigSweepAxis *a)
{
    size_t mark = mig_read_enter(r, key);
    bool fine = mig_read_each(r, v, read, a);
    if (fine && json_object_array_length(v) == 0) {
        fine = mig_read_fail(r, "expected one or more, found an empty array");
    }
    if (fine) {
        mig_read_leave(r, mark);
    }
    return fine;
}

static bool make_grid(MigReader *r, const AxisText *t, MigSweepAxis *a)
{
    json_object *path = json_object_new_string(t->path);
    size_t mark = mig_read_enter(r, "path");
    bool fine = add_path(r, path, a);
    json_object_put(path);
    if (!fine) {
        return false;
    }
    mig_read_leave(r, mark);
    return each(r, "values", t->values, add_value, a);
}

static bool make_list(MigReader *r, const AxisText *t, MigSweepAxis *a)
{
    return each(r, "paths", t->paths, add_path, a) && each(r, "rows", t->rows, add_tuple, a);
}

static bool add_range_path(MigReader *r, json_object *v, void *dst)
{
    json_object *path;
    if (!json_object_object_get_ex(v, "path", &path)) {
        return mig_read_fail(r, "the key \"path\" is missing");
    }
    size_t mark = mig_read_enter(r, "path");
    bool fine = add_path(r, path, dst);
    if (fine) {
        mig_read_leave(r, mark);
    }
    return fine;
}

static bool sample(MigReader *r, const AxisText *t, MigSweepAxis *a, MigSampleFn *draw)
{
    g_autofree uint64_t *positions = g_new(uint64_t, t->count);
    if (!each(r, "ranges", t->ranges, add_range_path, a)) {
        return false;
    }
    for (uint64_t i = 0; i < t->count; i++) {
        add_row(a, json_object_new_array());
    }
    size_t mark = mig_read_enter(r, "ranges");
    for (guint d = 0; d < a->paths->len; d++) {
        MigSweepRange range = { 0 };
        size_t inner = mig_read_enter_index(r, d);
        bool fine = mig_sweep_range_read(r, json_object_array_get_idx(t->ranges, d), &range);
        if (fine) {
            draw(t->seed, a->paths->pdata[d], t->index, t->count, positions);
        }
        for (uint64_t i = 0; i < t->count && fine; i++) {
            json_object_array_add(json_object_array_get_idx(a->rows, i),
                                  mig_sweep_range_at(&range, positions[i], t->count));
        }
        mig_sweep_range_clear(&range);
        if (!fine) {
            return false;
        }
        mig_read_leave(r, inner);
    }
    mig_read_leave(r, mark);
    return true;
}

static bool make_latin(MigReader *r, const AxisText *t, MigSweepAxis *a)
{
    return sample(r, t, a, mig_sample_latin);
}

static bool make_random(MigReader *r, const AxisText *t, MigSweepAxis *a)
{
    return sample(r, t, a, mig_sample_random);
}

#define KIND_FIELD                                        \
    {                                                     \
        "kind", mig_read_string, offsetof(KindText, kind) \
    }

typedef struct KindText {
    AxisText axis;
    char *kind;
} KindText;

static const MigField grid_fields[] = {
    KIND_FIELD,
    { "path", mig_read_string, offsetof(KindText, axis.path), true },
    { "values", borrow, offsetof(KindText, axis.values), true },
    { NULL },
};

static const MigField list_fields[] = {
    KIND_FIELD,
    { "paths", borrow, offsetof(KindText, axis.paths), true },
    { "rows", borrow, offsetof(KindText, axis.rows), true },
    { NULL },
};

static const MigField range_fields[] = {
    KIND_FIELD,
    { "count", read_count, offsetof(KindText, axis.count), true },
    { "ranges", borrow, offsetof(KindText, axis.ranges), true },
    { NULL },
};

static const struct {
    const MigField *fields;
    bool (*make)(MigReader *r, const AxisText *t, MigSweepAxis *a);
} kinds[] = {
    { grid_fields, make_grid },
    { list_fields, make_list },
    { range_fields, make_latin },
    { range_fields, make_random },
};

static const char *const kind_names[] = { "grid", "list", "latin-hypercube", "random", NULL };

static bool read_kind(MigReader *r, json_object *v, unsigned *kind)
{
    json_object *name;
    if (!json_object_is_type(v, json_type_object)) {
        return mig_read_fail(r, "expected an object with a \"kind\"");
    }
    if (!json_object_object_get_ex(v, "kind", &name)) {
        return mig_read_fail(r, "the key \"kind\" is missing; expected grid, list, "
                                "latin-hypercube or random");
    }
    size_t mark = mig_read_enter(r, "kind");
    bool fine = mig_read_choice(r, name, kind_names, kind);
    if (fine) {
        mig_read_leave(r, mark);
    }
    return fine;
}

/* Two equal rows would be the same cell twice. */
static bool check_rows(MigReader *r, const MigSweepAxis *a)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (size_t i = 0; i < json_object_array_length(a->rows); i++) {
        const char *text = json_object_to_json_string_ext(json_object_array_get_idx(a->rows, i),
                                                          JSON_C_TO_STRING_PLAIN);
        gpointer before;
        if (g_hash_table_lookup_extended(seen, text, NULL, &before)) {
            return mig_read_fail(r,
                                 "rows %u and %zu are the same, %s: a finer step, a lower count, "
                                 "or \"replicates\" help",
                                 GPOINTER_TO_UINT(before), i, text);
        }
        g_hash_table_insert(seen, g_strdup(text), GUINT_TO_POINTER((guint)i));
    }
    return true;
}

MigSweepAxis *mig_sweep_axis_read(MigReader *r, json_object *v, uint64_t seed, uint64_t index)
{
    g_autoptr(MigSweepAxis) a = g_new0(MigSweepAxis, 1);
    KindText t = { .axis = { .seed = seed, .index = index } };
    unsigned kind;
    a->paths = g_ptr_array_new_with_free_func(g_free);
    a->rows = json_object_new_array();
    bool fine = read_kind(r, v, &kind) && mig_read_object(r, v, kinds[kind].fields, &t) &&
                kinds[kind].make(r, &t.axis, a) && check_rows(r, a);
    g_free(t.axis.path);
    g_free(t.kind);
    return fine ? g_steal_pointer(&a) : NULL;
}

void mig_sweep_axis_free(MigSweepAxis *a)
{
    if (a) {
        g_ptr_array_unref(a->paths);
        json_object_put(a->rows);
        g_free(a);
    }
}

uint64_t mig_sweep_axis_count(const MigSweepAxis *a)
{
    return json_object_array_length(a->rows);
}
