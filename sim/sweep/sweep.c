/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a sweep, see sweep.h. */
#include "sim/sweep/sweep.h"

#include <string.h>

#include "sim/sweep/axis.h"
#include "sim/sweep/metrics.h"

static bool borrow(MigReader *r, json_object *v, void *dst)
{
    (void)r;
    *(json_object **)dst = v;
    return true;
}

static bool read_schema(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { MIG_SWEEP_SCHEMA, NULL };
    unsigned index;
    (void)dst;
    return mig_read_choice(r, v, names, &index);
}

static bool read_replicates(MigReader *r, json_object *v, void *dst)
{
    uint64_t *replicates = dst;
    return mig_read_u64(r, v, replicates) &&
           ((*replicates > 0 && *replicates <= MIG_SWEEP_CELLS_MAX) ||
            mig_read_fail(r, "expected 1 to %u", MIG_SWEEP_CELLS_MAX));
}

typedef struct SweepText {
    MigSweep *sweep;
    json_object *scenario, *axes, *metrics; /* borrowed */
    uint64_t seed, replicates;
    bool bytes;
    char *description;
} SweepText;

static const MigField fields[] = {
    { "schema", read_schema, 0, true },
    { "license", mig_read_ignore, 0 },
    { "description", mig_read_string, offsetof(SweepText, description) },
    { "scenario", borrow, offsetof(SweepText, scenario), true },
    { "axes", borrow, offsetof(SweepText, axes), true },
    { "replicates", read_replicates, offsetof(SweepText, replicates) },
    { "seed", mig_read_u64, offsetof(SweepText, seed) },
    { "metrics", borrow, offsetof(SweepText, metrics) },
    { "bytes", mig_read_bool, offsetof(SweepText, bytes) },
    { NULL },
};

/* The scenario: a file's name, or itself. */
static bool read_base(MigReader *r, json_object *v, MigSweep *s)
{
    GError *error = NULL;
    size_t mark = mig_read_enter(r, "scenario");
    if (json_object_is_type(v, json_type_object)) {
        s->base_name = g_strdup_printf("%s (scenario)", r->file);
        s->base_folder = g_strdup(r->folder);
        json_object_deep_copy(v, &s->base, NULL);
    } else if (json_object_is_type(v, json_type_string)) {
        const char *name = json_object_get_string(v);
        s->base_name =
            g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(r->folder, name, NULL);
        s->base_folder = g_path_get_dirname(s->base_name);
        s->base = mig_json_load(s->base_name, &error);
        if (!s->base) {
            mig_read_fail(r, "%s", error->message);
            g_error_free(error);
            return false;
        }
    } else {
        return mig_read_fail(r, "expected a scenario, or the name of its file");
    }
    mig_read_leave(r, mark);
    return true;
}

static bool read_axis(MigReader *r, json_object *v, void *dst)
{
    MigSweep *s = dst;
    MigSweepAxis *a = mig_sweep_axis_read(r, v, s->seed, s->axes->len);
    if (!a) {
        return false;
    }
    g_ptr_array_add(s->axes, a);
    uint64_t count = mig_sweep_axis_count(a);
    if (count > MIG_SWEEP_CELLS_MAX / s->cells) {
        return mig_read_fail(r, "this axis makes more than %u cells", MIG_SWEEP_CELLS_MAX);
    }
    s->cells *= count;
    return true;
}

static gint compare_columns(gconstpointer a, gconstpointer b)
{
    return strcmp(((const MigSweepColumn *)a)->path, ((const MigSweepColumn *)b)->path);
}

/* Is |inner| the value at |outer|, or a part of it? */
static bool is_inside(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    return strncmp(inner, outer, n) == 0 && strchr(".[", inner[n]);
}

static bool check_paths(MigReader *r, const MigSweep *s)
{
    for (guint i = 0; i < s->order->len; i++) {
        const MigSweepColumn *a = &g_array_index(s->order, MigSweepColumn, i);
        if (strcmp(a->path, "seed") == 0) {
            return mig_read_fail(r,
                                 "axis %u has the path \"seed\": each cell gets a seed of its "
                                 "own; \"replicates\" gives several",
                                 a->axis);
        }
        for (guint j = 0; j < s->order->len; j++) {
            const MigSweepColumn *b = &g_array_index(s->order, MigSweepColumn, j);
            if (i != j && is_inside(a->path, b->path)) {
                return mig_read_fail(r, "\"%s\" (axis %u) and \"%s\" (axis %u) set the same value",
                                     a->path, a->axis, b->path, b->axis);
            }
        }
    }
    return true;
}

static bool read_axes(MigReader *r, json_object *v, MigSweep *s)
{
    size_t mark = mig_read_enter(r, "axes");
    if (!mig_read_each(r, v, read_axis, s)) {
        return false;
    }
    for (guint i = 0; i < s->axes->len; i++) {
        const MigSweepAxis *a = s->axes->pdata[i];
        for (guint j = 0; j < a->paths->len; j++) {
            MigSweepColumn column = { .path = a->paths->pdata[j], .axis = i, .column = j };
            g_array_append_val(s->order, column);
        }
    }
    g_array_sort(s->order, compare_columns);
    if (!check_paths(r, s)) {
        return false;
    }
    mig_read_leave(r, mark);
    return true;
}

static bool read_metric(MigReader *r, json_object *v, void *dst)
{
    MigSweep *s = dst;
    g_autofree char *name = NULL;
    if (!mig_read_string(r, v, &name) || !mig_sweep_metric_check(r, name)) {
        return false;
    }
    g_ptr_array_add(s->metrics, g_steal_pointer(&name));
    return true;
}

static bool read_metrics(MigReader *r, json_object *v, MigSweep *s)
{
    if (!v || (json_object_is_type(v, json_type_string) &&
               strcmp(json_object_get_string(v), "all") == 0)) {
        return true;
    }
    size_t mark = mig_read_enter(r, "metrics");
    if (!json_object_is_type(v, json_type_array)) {
        return mig_read_fail(r, "expected \"all\" or an array of names");
    }
    s->metrics = g_ptr_array_new_with_free_func(g_free);
    if (!mig_read_each(r, v, read_metric, s)) {
        return false;
    }
    mig_read_leave(r, mark);
    return true;
}

static void hash_text(GChecksum *sum, const char *text)
{
    g_checksum_update(sum, (const guchar *)text, (gssize)strlen(text) + 1);
}

static void hash_json(GChecksum *sum, json_object *v)
{
    hash_text(sum, json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
}

static void make_hash(MigSweep *s)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree char *numbers = g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %d",
                                               s->replicates, s->seed, s->bytes);
    hash_text(sum, MIG_SWEEP_SCHEMA);
    hash_text(sum, numbers);
    hash_json(sum, s->base);
    for (guint i = 0; i < s->axes->len; i++) {
        const MigSweepAxis *a = s->axes->pdata[i];
        for (guint j = 0; j < a->paths->len; j++) {
            hash_text(sum, a->paths->pdata[j]);
        }
        hash_json(sum, a->rows);
    }
    hash_text(sum, s->metrics ? "metrics" : "all");
    for (guint i = 0; s->metrics && i < s->metrics->len; i++) {
        hash_text(sum, s->metrics->pdata[i]);
    }
    s->hash = g_strdup(g_checksum_get_string(sum));
}

/* Every row of every axis has to make a scenario, with the first rows of the other axes. */
static bool check_cell(MigReader *r, const MigSweep *s, guint axis, uint64_t row, uint64_t index)
{
    g_autoptr(GError) error = NULL;
    MigSweepCell c = mig_sweep_cell(s, index);
    json_object *root = mig_sweep_cell_scenario(s, &c, &error);
    g_autoptr(MigScenario) scenario =
        root ? mig_scenario_read(root, s->base_name, s->base_folder, &error) : NULL;
    if (!scenario) {
        mig_read_fail(r,
                      "row %" G_GUINT64_FORMAT " of axis %u (cell %" G_GUINT64_FORMAT ", %s): %s",
                      row, axis, index,
                      json_object_to_json_string_ext(c.params, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE),
                      error->message);
    }
    json_object_put(root);
    mig_sweep_cell_clear(&c);
    return scenario != NULL;
}

static bool check_cells(MigReader *r, const MigSweep *s)
{
    uint64_t stride = s->cells;
    bool fine = s->axes->len > 0 || check_cell(r, s, 0, 0, 0);
    size_t mark = mig_read_enter(r, "axes");
    for (guint i = 0; i < s->axes->len && fine; i++) {
        uint64_t count = mig_sweep_axis_count(s->axes->pdata[i]);
        stride /= count;
        for (uint64_t row = i == 0 ? 0 : 1; row < count && fine; row++) {
            fine = check_cell(r, s, i, row, row * stride);
        }
    }
    if (fine) {
        mig_read_leave(r, mark);
    }
    return fine;
}

static bool read_top(MigReader *r, json_object *v, MigSweep *s)
{
    SweepText t = { .seed = 1, .replicates = 1 };
    bool fine = mig_read_object(r, v, fields, &t);
    s->description = t.description;
    s->seed = t.seed;
    s->replicates = s->cells = t.replicates;
    s->bytes = t.bytes;
    if (!fine || !read_base(r, t.scenario, s) || !read_axes(r, t.axes, s) ||
        !read_metrics(r, t.metrics, s)) {
        return false;
    }
    make_hash(s);
    return check_cells(r, s);
}

MigSweep *mig_sweep_read(json_object *root, const char *name, const char *folder, GError **error)
{
    g_autoptr(MigSweep) s = g_new0(MigSweep, 1);
    MigReader r = { .path = g_string_new(NULL), .file = name, .folder = folder };
    s->name = g_strdup(name);
    s->axes = g_ptr_array_new_with_free_func((GDestroyNotify)mig_sweep_axis_free);
    s->order = g_array_new(FALSE, FALSE, sizeof(MigSweepColumn));
    bool fine = read_top(&r, root, s);
    g_string_free(r.path, TRUE);
    if (!fine) {
        g_propagate_error(error, r.error);
        return NULL;
    }
    return g_steal_pointer(&s);
}

MigSweep *mig_sweep_load(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    json_object *root = mig_json_load(path, error);
    MigSweep *s = root ? mig_sweep_read(root, path, folder, error) : NULL;
    json_object_put(root);
    return s;
}

void mig_sweep_free(MigSweep *s)
{
    if (!s) {
        return;
    }
    json_object_put(s->base);
    g_clear_pointer(&s->axes, g_ptr_array_unref);
    g_clear_pointer(&s->order, g_array_unref);
    g_clear_pointer(&s->metrics, g_ptr_array_unref);
    g_free(s->name);
    g_free(s->description);
    g_free(s->base_name);
    g_free(s->base_folder);
    g_free(s->hash);
    g_free(s);
}
