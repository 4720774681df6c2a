/* SPDX-License-Identifier: Apache-2.0 */
/* Cells, see sweep.h. */
#include <string.h>

#include "sim/sweep/axis.h"
#include "sim/sweep/sweep.h"

#define SEED_BITS 53 /* what every reader of JSON keeps exactly */

static void hash_params(json_object *params, char id[17])
{
    const char *text = json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    g_strlcpy(id, digest, 17);
}

static uint64_t seed_of(uint64_t master, const char *id, uint64_t replicate)
{
    g_autofree char *text =
        g_strdup_printf("%" G_GUINT64_FORMAT " %s %" G_GUINT64_FORMAT, master, id, replicate);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    digest[16] = '\0';
    return g_ascii_strtoull(digest, NULL, 16) >> (64 - SEED_BITS);
}

/* Which row of |axis| cell |index| has. */
static uint64_t row_of(const MigSweep *s, guint axis, uint64_t index)
{
    index /= s->replicates;
    for (guint i = s->axes->len; i-- > axis + 1;) {
        index /= mig_sweep_axis_count(s->axes->pdata[i]);
    }
    return index % mig_sweep_axis_count(s->axes->pdata[axis]);
}

MigSweepCell mig_sweep_cell(const MigSweep *s, uint64_t index)
{
    MigSweepCell c = { .index = index, .replicate = index % s->replicates };
    c.params = json_object_new_object();
    for (guint i = 0; i < s->order->len; i++) {
        const MigSweepColumn *column = &g_array_index(s->order, MigSweepColumn, i);
        const MigSweepAxis *a = s->axes->pdata[column->axis];
        json_object *row = json_object_array_get_idx(a->rows, row_of(s, column->axis, index));
        json_object *value = json_object_array_get_idx(row, column->column), *copy = NULL;
        json_object_deep_copy(value, &copy, NULL);
        json_object_object_add(c.params, column->path, copy);
    }
    hash_params(c.params, c.id);
    c.seed = seed_of(s->seed, c.id, c.replicate);
    return c;
}

void mig_sweep_cell_clear(MigSweepCell *c)
{
    g_clear_pointer(&c->params, json_object_put);
}

json_object *mig_sweep_cell_scenario(const MigSweep *s, const MigSweepCell *c, GError **error)
{
    json_object *root = NULL;
    json_object_deep_copy(s->base, &root, NULL);
    json_object_object_foreach(c->params, path, value)
    {
        json_object *copy = NULL;
        json_object_deep_copy(value, &copy, NULL);
        if (!mig_scenario_set_value(root, path, copy, error)) {
            json_object_put(root);
            return NULL;
        }
    }
    json_object_object_add(root, "seed", json_object_new_int64((int64_t)c->seed));
    return root;
}

json_object *mig_sweep_cell_to_json(const MigSweepCell *c)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "index", json_object_new_int64((int64_t)c->index));
    json_object_object_add(o, "cell", json_object_new_string(c->id));
    json_object_object_add(o, "replicate", json_object_new_int64((int64_t)c->replicate));
    json_object_object_add(o, "seed", json_object_new_int64((int64_t)c->seed));
    json_object_object_add(o, "params", json_object_get(c->params));
    return o;
}
