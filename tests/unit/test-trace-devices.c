/* SPDX-License-Identifier: Apache-2.0 */
/* A scenario whose devices come from a recorded stream: what its manifest lists, with bodies. */
#include <glib.h>
#include <string.h>

#include "sim/scenario/run.h"

#define TRACE "traces/pc-idle-7.2.mig.zst"

static json_object *load(const char *name)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, name, NULL);
    json_object *v = json_object_from_file(path);
    g_assert_nonnull(v);
    return v;
}

static MigScenario *make_scenario(const char *trace, GError **error)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, trace, NULL);
    g_autofree char *text = g_strdup_printf(
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"7.2\", \"guest\": {\"machine\": \"pc\", "
        "\"ram\": [{\"name\": \"ram\", \"size\": \"1M\"}], \"devices\": \"%s\"}}",
        path);
    json_object *v = json_tokener_parse(text);
    MigScenario *s = mig_scenario_read(v, "test", ".", error);
    json_object_put(v);
    return s;
}

static void test_devices(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigScenario) s = make_scenario(TRACE, &error);
    json_object *manifest = load("traces/pc-idle-7.2.json"), *list = NULL;
    g_assert_no_error(error);
    g_assert_true(json_object_object_get_ex(manifest, "devices", &list));
    g_assert_cmpuint(s->devices->len, ==, json_object_array_length(list));
    g_assert_cmpuint(s->devices->len, >, 10);
    for (guint i = 0; i < s->devices->len; i++) {
        const MigScenarioDevice *d = &g_array_index(s->devices, MigScenarioDevice, i);
        json_object *row = json_object_array_get_idx(list, i), *idstr = NULL, *length = NULL;
        g_assert_true(json_object_object_get_ex(row, "idstr", &idstr));
        g_assert_cmpstr(d->idstr, ==, json_object_get_string(idstr));
        if (json_object_object_get_ex(row, "length", &length)) {
            g_assert_cmpuint(d->length, ==, json_object_get_uint64(length));
        }
        g_assert_true(d->has_section_id);
        g_assert_true(d->body != NULL || d->length == 0);
    }
    json_object_put(manifest);
}

/* What is sent is what was recorded, the devices included that the engine knows itself. */
static void test_sent(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigScenario) s = make_scenario(TRACE, &error);
    g_assert_no_error(error);
    MigScenarioRun run = { .scenario = s };
    mig_era_resolve(s->version, s->machine, &run.era);
    MigDevices *devices = mig_scenario_run_devices(&run, 12345);
    g_assert_cmpuint(devices->count, ==, s->devices->len);
    for (size_t i = 0; i < devices->count; i++) {
        const MigScenarioDevice *d = &g_array_index(s->devices, MigScenarioDevice, i);
        g_assert_cmpmem(devices->list[i].body, devices->list[i].body_len, d->body, d->length);
        g_assert_cmpuint(devices->list[i].section_id, ==, d->section_id);
    }
    mig_devices_free(devices);
}

static void test_refused(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigScenario) none = make_scenario("traces/README.md", &error);
    g_assert_null(none);
    g_assert_nonnull(strstr(error->message, "guest.devices"));
    g_assert_nonnull(strstr(error->message, "README.md"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace-devices/listed", test_devices);
    g_test_add_func("/trace-devices/sent", test_sent);
    g_test_add_func("/trace-devices/refused", test_refused);
    return g_test_run();
}
