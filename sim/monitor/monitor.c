/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor itself: finding commands, telling events. See monitor.h. */
#include "sim/monitor/monitor.h"

#include <string.h>

#include "sim/monitor/monitor-internal.h"

MigMonitor *mig_monitor_new(const MigMonitorTarget *target, MigCapabilitySet set,
                            const MigParameters *parameters)
{
    MigMonitor *m = g_new0(MigMonitor, 1);
    m->target = *target;
    m->capabilities = set;
    m->parameters = *parameters;
    m->clients = g_ptr_array_new();
    return m;
}

void mig_monitor_free(MigMonitor *m)
{
    if (!m) {
        return;
    }
    g_assert(m->clients->len == 0);
    for (size_t i = 0; i < MIG_MONITOR_TEXTS; i++) {
        g_free(m->texts[i]);
        json_object_put(m->lists[i]);
    }
    json_object_put(m->rate.by_vcpu);
    g_ptr_array_unref(m->clients);
    g_free(m);
}

static const MigCommand *find(const MigMonitor *m, const char *name)
{
    for (const MigCommand *c = mig_monitor_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0 && mig_monitor_has(m, c)) {
            return c;
        }
    }
    return NULL;
}

json_object *mig_monitor_execute(MigMonitor *m, const char *command, json_object *arguments,
                                 GError **error)
{
    const MigCommand *c = find(m, command);
    if (!c) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_COMMAND_NOT_FOUND,
                    "there is no command \"%s\" here as of QEMU %s; query-commands lists them",
                    command, m->target.version);
        return NULL;
    }
    if (!c->free_form &&
        !mig_arguments_check(c->arguments, mig_monitor_binary(m), arguments, error)) {
        return NULL;
    }
    return c->run(m, arguments, error);
}

/* Events ------------------------------------------------------------------------------------- */

static json_object *event_data(const char *name, const char *status, uint64_t pass)
{
    json_object *data = json_object_new_object();
    if (status) {
        json_object_object_add(data, "status", json_object_new_string(status));
    } else if (pass) {
        json_object_object_add(data, "pass", json_object_new_uint64(pass));
    } else if (strcmp(name, "SHUTDOWN") == 0) {
        json_object_object_add(data, "guest", json_object_new_boolean(false));
        json_object_object_add(data, "reason", json_object_new_string("host-qmp-quit"));
    } else {
        json_object_put(data);
        return NULL;
    }
    return data;
}

static json_object *event_object(MigMonitor *m, const char *name, const char *status, uint64_t pass)
{
    int64_t now = m->target.now ? m->target.now(m->target.opaque) : 0;
    json_object *o = json_object_new_object(), *time = json_object_new_object();
    json_object *data = event_data(name, status, pass);
    json_object_object_add(time, "seconds", json_object_new_int64(now / 1000000000));
    json_object_object_add(time, "microseconds", json_object_new_int64(now / 1000 % 1000000));
    json_object_object_add(o, "timestamp", time);
    json_object_object_add(o, "event", json_object_new_string(name));
    if (data) {
        json_object_object_add(o, "data", data);
    }
    return o;
}

void mig_monitor_event_always(MigMonitor *m, const char *name, const char *status, uint64_t pass)
{
    json_object *o = event_object(m, name, status, pass);
    const char *line =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    for (guint i = 0; i < m->clients->len; i++) {
        mig_qmp_tell_event(m->clients->pdata[i], line);
    }
    json_object_put(o);
}

void mig_monitor_event(MigMonitor *m, const char *name, const char *status, uint64_t pass)
{
    bool of_migration = strcmp(name, "MIGRATION") == 0 || strcmp(name, "MIGRATION_PASS") == 0;
    if (!of_migration || m->capabilities & MIG_CAP_BIT(MIG_CAP_EVENTS)) {
        mig_monitor_event_always(m, name, status, pass);
    }
}

void mig_monitor_advanced(MigMonitor *m, int64_t now)
{
    MigQmp *q = m->advancing;
    if (!q) {
        return;
    }
    json_object *o = json_object_new_object();
    json_object_object_add(o, "now-ns", json_object_new_int64(now));
    json_object_object_add(o, "status", json_object_new_string(m->target.status(m->target.opaque)));
    m->advancing = NULL;
    MigQmpId id = m->advance_id;
    m->advance_id = (MigQmpId){ 0 };
    mig_qmp_answer_later(q, id, o);
}

MigCapabilitySet mig_monitor_capabilities(const MigMonitor *m)
{
    return m->capabilities;
}

const MigParameters *mig_monitor_parameters(const MigMonitor *m)
{
    return &m->parameters;
}
