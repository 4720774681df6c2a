/* SPDX-License-Identifier: Apache-2.0 */
/* The fake target and its transcripts, see fake-monitor.h. */
#include "tests/unit/fake-monitor.h"

#include <string.h>

static bool called(FakeMonitor *f, const char *what, GError **error)
{
    g_string_append_printf(f->calls, "%s;", what);
    if (f->refuses && error) {
        g_set_error(error, G_FILE_ERROR, 0, "no");
    }
    return !f->refuses;
}

static int64_t fake_now(void *opaque)
{
    (void)opaque;
    return 3000000000ll + 7008;
}

static const char *fake_run_state(void *opaque)
{
    return ((FakeMonitor *)opaque)->run_state;
}

static const char *fake_status(void *opaque)
{
    return ((FakeMonitor *)opaque)->status;
}

static json_object *fake_query(void *opaque)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "status", json_object_new_string(fake_status(opaque)));
    return o;
}

static bool fake_set_capabilities(void *opaque, MigCapabilitySet set, GError **error)
{
    g_autofree char *text = g_strdup_printf("capabilities %" G_GINT64_MODIFIER "x", set);
    return called(opaque, text, error);
}

static bool fake_set_parameters(void *opaque, const MigParameters *p, GError **error)
{
    ((FakeMonitor *)opaque)->parameters = *p;
    return called(opaque, "parameters", error);
}

static bool fake_migrate(void *opaque, const MigMonitorMigrate *how, GError **error)
{
    FakeMonitor *f = opaque;
    g_autofree char *text = g_strdup_printf("migrate %s%s", how->uri ? how->uri : "by channels",
                                            how->resume ? " resume" : "");
    if (!called(f, text, error)) {
        return false;
    }
    f->status = "setup";
    mig_monitor_event(f->monitor, "MIGRATION", "setup", 0);
    return true;
}

static bool fake_incoming(void *opaque, const MigMonitorMigrate *how, GError **error)
{
    g_autofree char *text = g_strdup_printf("incoming %s %d", how->uri, how->exit_on_error);
    return called(opaque, text, error);
}

#define SIMPLE(name)                                      \
    static bool fake_##name(void *opaque, GError **error) \
    {                                                     \
        return called(opaque, #name, error);              \
    }
SIMPLE(cancel)
SIMPLE(proceed)
SIMPLE(start_postcopy)
SIMPLE(pause)
SIMPLE(stop)
SIMPLE(cont)
SIMPLE(quit)

static bool fake_recover(void *opaque, const char *uri, GError **error)
{
    g_autofree char *text = g_strdup_printf("recover %s", uri);
    return called(opaque, text, error);
}

static bool fake_pmemsave(void *opaque, uint64_t address, uint64_t size, const char *path,
                          GError **error)
{
    g_autofree char *text =
        g_strdup_printf("pmemsave %u %u %s", (unsigned)address, (unsigned)size, path);
    return called(opaque, text, error);
}

static bool fake_advance(void *opaque, int64_t ns, GError **error)
{
    g_autofree char *text = g_strdup_printf("advance %u", (unsigned)ns);
    return called(opaque, text, error);
}

static void fake_autostart(void *opaque, bool on)
{
    called(opaque, on ? "autostart" : "no autostart", NULL);
}

static bool fake_measure(void *opaque, const MigMonitorMeasure *how, GError **error)
{
    g_autofree char *text = g_strdup_printf("measure %s %d %u", mig_dirty_rate_mode_name(how->mode),
                                            (int)how->ms, how->sample_pages);
    return called(opaque, text, error);
}

void fake_monitor_begin(FakeMonitor *f, const char *version, bool incoming)
{
    MigMonitorTarget target = {
        .opaque = f,
        .version = version,
        .incoming = incoming,
        .now = fake_now,
        .run_state = fake_run_state,
        .status = fake_status,
        .query_migrate = fake_query,
        .set_capabilities = fake_set_capabilities,
        .set_parameters = fake_set_parameters,
        .migrate = fake_migrate,
        .migrate_incoming = fake_incoming,
        .cancel = fake_cancel,
        .proceed = fake_proceed,
        .start_postcopy = fake_start_postcopy,
        .pause = fake_pause,
        .recover = fake_recover,
        .stop = fake_stop,
        .cont = fake_cont,
        .quit = fake_quit,
        .pmemsave = fake_pmemsave,
        .advance = fake_advance,
        .autostart = fake_autostart,
        .measure = fake_measure,
    };
    MigVersion v;
    g_assert_true(mig_version_parse(version, &v));
    g_assert_cmpint(mig_era_resolve(v, "none", &target.era), ==, MIG_ERA_OK);
    MigParameters defaults = mig_parameters_default(&target.era);
    *f = (FakeMonitor){ .status = "none", .run_state = incoming ? "inmigrate" : "running" };
    f->calls = g_string_new(NULL);
    f->monitor = mig_monitor_new(&target, 0, &defaults);
    f->client = mig_qmp_new(f->monitor, NULL, NULL);
}

void fake_monitor_end(FakeMonitor *f)
{
    mig_qmp_free(f->client);
    mig_monitor_free(f->monitor);
    g_string_free(f->calls, TRUE);
}

/* One line of output for comparing: an error is "error CLASS" and the id, if it has one. */
static char *canonical(const char *line)
{
    json_object *o = json_tokener_parse(line), *error, *id;
    g_assert_nonnull(o);
    char *text;
    if (json_object_object_get_ex(o, "error", &error)) {
        const char *desc = json_object_get_string(json_object_object_get(error, "desc"));
        g_assert_cmpuint(strlen(desc), >, 0);
        bool has_id = json_object_object_get_ex(o, "id", &id);
        text = g_strdup_printf(
            "error %s%s%s", json_object_get_string(json_object_object_get(error, "class")),
            has_id ? " " : "",
            has_id ? json_object_to_json_string_ext(id, JSON_C_TO_STRING_PLAIN) : "");
    } else {
        text = g_strdup(line);
    }
    json_object_put(o);
    return text;
}

/* All output so far, lines separated by "|". */
char *fake_monitor_take(MigQmp *q)
{
    size_t n;
    const char *out = mig_qmp_output(q, &n);
    g_autofree char *copy = g_strndup(out, n);
    g_auto(GStrv) lines = g_strsplit(copy, "\r\n", -1);
    GString *all = g_string_new(NULL);
    g_assert_true(n == 0 || g_str_has_suffix(copy, "\r\n"));
    for (size_t i = 0; lines[i]; i++) {
        if (lines[i][0]) {
            g_autofree char *one = canonical(lines[i]);
            g_string_append_printf(all, "%s%s", all->len ? "|" : "", one);
        }
    }
    mig_qmp_written(q, n);
    return g_string_free(all, FALSE);
}

void fake_monitor_say(FakeMonitor *f, const char *text)
{
    mig_qmp_feed(f->client, text, strlen(text));
}

void fake_monitor_negotiate(FakeMonitor *f)
{
    fake_monitor_say(f, "{\"execute\":\"qmp_capabilities\"}\n");
    g_free(fake_monitor_take(f->client));
}

void fake_monitor_rows(FakeMonitor *f, const FakeMonitorRow *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fake_monitor_say(f, rows[i].in);
        fake_monitor_say(f, "\n");
        g_autofree char *got = fake_monitor_take(f->client);
        if (strcmp(got, rows[i].out) != 0) {
            g_test_message("row %zu: %s", i, rows[i].in);
        }
        g_assert_cmpstr(got, ==, rows[i].out);
    }
}
