/* SPDX-License-Identifier: Apache-2.0 */
/* Running a cell, see row.h. */
#include "sim/sweep/row.h"

#include <string.h>

#include "sim/simulate/result.h"
#include "sim/sweep/metrics.h"

#define PLAIN (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static void put_text(json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static json_object *begin_row(const MigSweepCell *c, const char *build)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "index", json_object_new_int64((int64_t)c->index));
    put_text(o, "cell", c->id);
    json_object_object_add(o, "replicate", json_object_new_int64((int64_t)c->replicate));
    json_object_object_add(o, "seed", json_object_new_int64((int64_t)c->seed));
    put_text(o, "build", build);
    json_object_object_add(o, "params", json_object_get(c->params));
    return o;
}

static char *end_row(json_object *o)
{
    char *text = g_strconcat(json_object_to_json_string_ext(o, PLAIN), "\n", NULL);
    json_object_put(o);
    return text;
}

static char *invalid_row(const MigSweepCell *c, const char *build, const char *why)
{
    json_object *o = begin_row(c, build);
    put_text(o, "status", MIG_ROW_INVALID_STATUS);
    put_text(o, "error", why);
    return end_row(o);
}

static char *ran_row(const MigSweep *s, const MigSweepCell *c, const char *build,
                     const MigSimulation *m)
{
    json_object *o = begin_row(c, build), *result = mig_result_to_json(m);
    json_object *query = NULL, *status = NULL;
    json_object_object_get_ex(result, "query-migrate", &query);
    json_object_object_get_ex(query, "status", &status);
    json_object_object_add(o, "status", json_object_get(status));
    put_text(o, "outcome", m->outcome);
    json_object_object_add(o, "fine", json_object_new_boolean(mig_simulation_fine(m)));
    put_text(o, "digest", m->events_digest);
    if (m->bytes_digest) {
        put_text(o, "stream-digest", m->bytes_digest);
    }
    json_object_object_add(o, "metrics", mig_sweep_metrics(result, s->metrics));
    json_object_put(result);
    return end_row(o);
}

MigRowKind mig_sweep_row(const MigSweep *s, const MigSweepCell *c, json_object *scenario,
                         const char *build, const volatile sig_atomic_t *interrupted, char **text,
                         GError **error)
{
    g_autoptr(GError) why = NULL;
    /* Errors stand in rows, so they don't say where the file lies. */
    g_autofree char *name = g_path_get_basename(s->base_name);
    g_autoptr(MigScenario) ready = mig_scenario_read(scenario, name, s->base_folder, &why);
    if (!ready) {
        *text = invalid_row(c, build, why->message);
        return MIG_ROW_INVALID;
    }
    const MigSimulateOptions options = { .accounting = !s->bytes, .interrupted = interrupted };
    g_autoptr(MigSimulation) m = mig_simulate(ready, &options, error);
    if (!m || (m->outcome && strcmp(m->outcome, "interrupted") == 0)) {
        return MIG_ROW_NONE;
    }
    *text = ran_row(s, c, build, m);
    return MIG_ROW_RAN;
}

char *mig_sweep_build_id(GError **error)
{
    g_autoptr(GMappedFile) file = g_mapped_file_new("/proc/self/exe", FALSE, error);
    if (!file) {
        return NULL;
    }
    char *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256,
                                               (const guchar *)g_mapped_file_get_contents(file),
                                               g_mapped_file_get_length(file));
    digest[16] = '\0';
    return digest;
}
