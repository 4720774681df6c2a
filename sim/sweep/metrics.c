/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics, see metrics.h. Which names there are is learned from the result of a guest so small that
 * it costs nothing, and from a table of those that only some migrations have.
 */
#include "sim/sweep/metrics.h"

#include <string.h>

#include "sim/simulate/result.h"

/* Of the result's top level: what is no measurement, or stands in the row under its own name. */
static const char *const left_out[] = { "schema", "version", "scenario", "description",
                                        "seed",   "digests", "qemu",     "libraries" };

static const char *const sometimes[] = {
    "x-outcome",
    "query-migrate.error-desc",
    "query-migrate.downtime",
    "query-migrate.expected-downtime",
    "query-migrate.ram.pages-per-second",
    "query-migrate.ram.precopy-bytes",
    "query-migrate.ram.downtime-bytes",
    "query-migrate.ram.postcopy-bytes",
    "destination.different-pages",
    "destination.first-block",
    "destination.first-page",
    "destination.error-desc",
    "destination.normal",
    "destination.duplicate",
    "destination.bytes",
};

static const char probe[] =
    "{\"schema\":\"" MIG_SCENARIO_SCHEMA "\",\"guest\":{\"ram\":[{\"name\":\"ram\","
    "\"size\":\"64k\"}]}}";

static bool is_left_out(const char *key)
{
    for (size_t i = 0; i < G_N_ELEMENTS(left_out); i++) {
        if (strcmp(left_out[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void flatten(json_object *v, const char *prefix, json_object *out)
{
    json_object_object_foreach(v, key, value)
    {
        g_autofree char *name = *prefix ? g_strconcat(prefix, ".", key, NULL) : g_strdup(key);
        if (json_object_is_type(value, json_type_object)) {
            if (*prefix || !is_left_out(key)) {
                flatten(value, name, out);
            }
        } else if (!json_object_is_type(value, json_type_array) && (*prefix || !is_left_out(key))) {
            json_object_object_add(out, name, json_object_get(value));
        }
    }
}

static json_object *look_up(json_object *v, const char *name)
{
    g_auto(GStrv) parts = g_strsplit(name, ".", -1);
    for (char **part = parts; *part && v; part++) {
        json_object *next = NULL;
        json_object_object_get_ex(v, *part, &next);
        v = next;
    }
    return v;
}

json_object *mig_sweep_metrics(json_object *result, const GPtrArray *names)
{
    json_object *out = json_object_new_object();
    if (!names) {
        flatten(result, "", out);
    }
    for (guint i = 0; names && i < names->len; i++) {
        const char *name = names->pdata[i];
        json_object_object_add(out, name, json_object_get(look_up(result, name)));
    }
    return out;
}

static json_object *probe_result(void)
{
    json_object *v = mig_json_parse(probe, sizeof(probe) - 1, "probe", NULL);
    g_autoptr(MigScenario) s = mig_scenario_read(v, "probe", ".", NULL);
    const MigSimulateOptions options = { .accounting = true };
    g_autoptr(MigSimulation) m = s ? mig_simulate(s, &options, NULL) : NULL;
    json_object_put(v);
    g_assert(m);
    return mig_result_to_json(m);
}

bool mig_sweep_metric_check(MigReader *r, const char *name)
{
    json_object *result = probe_result(), *flat = mig_sweep_metrics(result, NULL);
    json_object *found = look_up(result, name);
    bool array = json_object_is_type(found, json_type_array);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    json_object_object_foreach(flat, key, value)
    {
        (void)value;
        g_ptr_array_add(names, key);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(sometimes); i++) {
        g_ptr_array_add(names, (char *)sometimes[i]);
    }
    g_ptr_array_add(names, NULL);
    bool known = array || g_strv_contains((const char *const *)names->pdata, name) ||
                 mig_read_fail_unknown(r, "metric", name, (const char *const *)names->pdata);
    json_object_put(flat);
    json_object_put(result);
    return known;
}
