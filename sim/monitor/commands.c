/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that ask and act, and the table of all of them. What QEMU refuses by status,
 * capability or run state is refused here, in its order; a target sees what is left. Mirrors
 * migrate_prepare(), qmp_migrate_*() (migration/migration.c), qmp_stop(), qmp_cont()
 * (monitor/qmp-cmds.c) of 10.0; where other versions differ, a comment says what was seen.
 */
#include <stdio.h>
#include <string.h>

#include "sim/monitor/monitor-internal.h"
#include "sim/world/units.h"

#define V MIG_VERSION_OF

/* What commands share ------------------------------------------------------------------------ */

void *mig_monitor_fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC, text);
    return NULL;
}

json_object *mig_monitor_empty(void)
{
    return json_object_new_object();
}

static json_object *done(bool fine)
{
    return fine ? mig_monitor_empty() : NULL;
}

static json_object *not_here(GError **error, const char *command)
{
    return mig_monitor_fail(error, "%s can't be done here", command);
}

static bool among(const char *text, const char *const *names)
{
    while (*names && strcmp(*names, text) != 0) {
        names++;
    }
    return *names != NULL;
}

bool mig_monitor_status_is(const MigMonitor *m, const char *const *names)
{
    return among(m->target.status(m->target.opaque), names);
}

bool mig_monitor_is_migrating(const MigMonitor *m)
{
    static const char *const names[] = {
        "setup",
        "wait-unplug",
        "active",
        "pre-switchover",
        "device",
        "postcopy-device",
        "postcopy-active",
        "postcopy-paused",
        "cancelling",
        "postcopy-recover-setup",
        "postcopy-recover",
        "colo",
        "failing",
        NULL,
    };
    return !m->target.incoming && mig_monitor_status_is(m, names);
}

static bool run_state_is(const MigMonitor *m, const char *name)
{
    return strcmp(m->target.run_state(m->target.opaque), name) == 0;
}

/* Asking ------------------------------------------------------------------------------------- */

static json_object *query_version(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments, (void)error;
    int numbers[3] = { 0 };
    sscanf(m->target.version, "%d.%d.%d", &numbers[0], &numbers[1], &numbers[2]);
    json_object *o = json_object_new_object(), *qemu = json_object_new_object();
    json_object_object_add(qemu, "micro", json_object_new_int(numbers[2]));
    json_object_object_add(qemu, "minor", json_object_new_int(numbers[1]));
    json_object_object_add(qemu, "major", json_object_new_int(numbers[0]));
    json_object_object_add(o, "qemu", qemu);
    json_object_object_add(o, "package", json_object_new_string("migbench"));
    return o;
}

static json_object *query_status(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments, (void)error;
    json_object *o = json_object_new_object();
    json_object_object_add(o, "status",
                           json_object_new_string(m->target.run_state(m->target.opaque)));
    if (mig_monitor_binary(m) < V(8, 1)) { /* there in 7.2, gone in 10.0 */
        json_object_object_add(o, "singlestep", json_object_new_boolean(false));
    }
    json_object_object_add(o, "running", json_object_new_boolean(run_state_is(m, "running")));
    return o;
}

static json_object *query_migrate(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments, (void)error;
    return m->target.query_migrate(m->target.opaque);
}

bool mig_monitor_has(const MigMonitor *m, const MigCommand *c)
{
    MigVersion binary = mig_monitor_binary(m);
    return c->since <= binary && (!c->until || binary < c->until);
}

static json_object *query_commands(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments, (void)error;
    json_object *list = json_object_new_array();
    for (const MigCommand *c = mig_monitor_commands; c->name; c++) {
        if (mig_monitor_has(m, c)) {
            json_object *o = json_object_new_object();
            json_object_object_add(o, "name", json_object_new_string(c->name));
            json_object_array_add(list, o);
        }
    }
    return list;
}

/* migrate ------------------------------------------------------------------------------------ */

static const char *const transports[] = { "tcp:",   "unix:", "exec:", "fd:",
                                          "vsock:", "rdma:", "file:", NULL };

static bool known_transport(const MigMonitor *m, const char *uri)
{
    for (size_t i = 0; transports[i]; i++) {
        if (g_str_has_prefix(uri, transports[i])) {
            return strcmp(transports[i], "file:") != 0 || mig_monitor_binary(m) >= V(8, 2);
        }
    }
    return false;
}

/* One MigrationChannel: its type, and an address with a transport. */
static bool check_channel(const MigMonitor *m, json_object *channel, size_t index, GError **error)
{
    json_object *type, *addr, *transport;
    static const char *const known[] = { "socket", "exec", "rdma", "file", NULL };
    (void)m;
    if (!json_object_object_get_ex(channel, "channel-type", &type) ||
        !json_object_object_get_ex(channel, "addr", &addr) ||
        !json_object_object_get_ex(addr, "transport", &transport)) {
        mig_monitor_fail(error, "channels[%zu]: expected channel-type, and addr with a transport",
                         index);
        return false;
    }
    if (!json_object_is_type(type, json_type_string) ||
        strcmp(json_object_get_string(type), "main") != 0) {
        mig_monitor_fail(error, "channels[%zu]: this channel-type is not supported, use \"main\"",
                         index);
        return false;
    }
    if (!json_object_is_type(transport, json_type_string) ||
        !among(json_object_get_string(transport), known)) {
        mig_monitor_fail(error, "channels[%zu]: there is no such transport", index);
        return false;
    }
    return true;
}

/* Fills |how| in. QEMU takes an empty list of channels for none. */
static bool read_where(const MigMonitor *m, json_object *arguments, MigMonitorMigrate *how,
                       GError **error)
{
    json_object *channels = NULL;
    how->uri = mig_argument_string(arguments, "uri");
    json_object_object_get_ex(arguments, "channels", &channels);
    how->channels = channels && json_object_array_length(channels) > 0 ? channels : NULL;
    if ((how->uri != NULL) == (how->channels != NULL)) {
        mig_monitor_fail(error, how->uri ? "uri and channels exclude each other"
                                         : "expected either uri or channels");
        return false;
    }
    for (size_t i = 0; how->channels && i < json_object_array_length(channels); i++) {
        if (!check_channel(m, json_object_array_get_idx(channels, i), i, error)) {
            return false;
        }
    }
    if (how->channels && json_object_array_length(channels) > 1) {
        mig_monitor_fail(error, "channels: at most one of each type");
        return false;
    }
    if (how->uri && !known_transport(m, how->uri)) {
        mig_monitor_fail(error,
                         "uri \"%s\": there is no such transport; known are tcp, unix, "
                         "vsock, fd, exec, rdma%s",
                         how->uri, mig_monitor_binary(m) >= V(8, 2) ? ", file" : "");
        return false;
    }
    return true;
}

static bool is_blocked(const MigMonitor *m, GError **error)
{
    const MigMonitorTarget *to = &m->target;
    g_autofree char *why =
        to->refused ? to->refused(to->opaque, m->capabilities, &m->parameters) : NULL;
    if (why) {
        mig_monitor_fail(error, "%s", why);
    }
    return why != NULL;
}

static bool may_migrate(const MigMonitor *m, const MigMonitorMigrate *how, GError **error)
{
    static const char *const paused[] = { "postcopy-paused", NULL };
    if (how->resume) {
        if (!mig_monitor_status_is(m, paused)) {
            mig_monitor_fail(error, "resume: no migration is paused");
            return false;
        }
        return true;
    }
    if (mig_monitor_is_migrating(m)) {
        mig_monitor_fail(error, "a migration is under way already");
    } else if (run_state_is(m, "inmigrate")) {
        mig_monitor_fail(error, "this guest waits for a migration itself");
    } else if (run_state_is(m, "postmigrate") && mig_monitor_binary(m) >= V(7, 0)) {
        mig_monitor_fail(error, "this guest was migrated away: cont makes it run here again");
    } else if (is_blocked(m, error)) {
        return false;
    } else if (*mig_settings_text(m, "tls-creds")) {
        mig_monitor_fail(error, "TLS is not supported: set tls-creds to \"\"");
    } else if (m->parameters.mode) {
        mig_monitor_fail(error, "the CPR modes are not supported: set mode to normal");
    } else {
        return true;
    }
    return false;
}

static json_object *do_migrate(MigMonitor *m, json_object *arguments, GError **error)
{
    MigMonitorMigrate how = { .resume = mig_argument_bool(arguments, "resume", false) };
    /* Up to 7.2 the URI is looked at last (and the status becomes failed, which is not copied). */
    bool first = mig_monitor_binary(m) >= V(8, 2);
    if ((first && !read_where(m, arguments, &how, error)) || !may_migrate(m, &how, error) ||
        (!first && !read_where(m, arguments, &how, error))) {
        return NULL;
    }
    if (!m->target.migrate) {
        return not_here(error, "migrate");
    }
    return done(m->target.migrate(m->target.opaque, &how, error));
}

static json_object *do_migrate_incoming(MigMonitor *m, json_object *arguments, GError **error)
{
    MigMonitorMigrate how = { .exit_on_error =
                                  mig_argument_bool(arguments, "exit-on-error", true) };
    if (!m->target.incoming || !m->target.migrate_incoming) {
        return mig_monitor_fail(error, "this guest was not started to wait for a migration");
    }
    if (m->incoming_started) {
        return mig_monitor_fail(error, "the incoming migration was started already");
    }
    if (mig_monitor_binary(m) < V(8, 2)) { /* before it looks at the URI, and whoever wants it */
        mig_monitor_event_always(m, "MIGRATION", "setup", 0);
    }
    if (!read_where(m, arguments, &how, error) ||
        !m->target.migrate_incoming(m->target.opaque, &how, error)) {
        return NULL;
    }
    m->incoming_started = true;
    return mig_monitor_empty();
}

/* The other ones that act -------------------------------------------------------------------- */

static json_object *do_cancel(MigMonitor *m, json_object *arguments, GError **error)
{
    static const char *const postcopy[] = { "postcopy-active",        "postcopy-paused",
                                            "postcopy-recover-setup", "postcopy-recover",
                                            "postcopy-device",        NULL };
    (void)arguments;
    if (mig_monitor_binary(m) >= V(9, 2) && mig_monitor_status_is(m, postcopy)) {
        return mig_monitor_fail(error, "postcopy can't be cancelled: the guest runs elsewhere");
    }
    if (!mig_monitor_is_migrating(m) || !m->target.cancel) {
        return mig_monitor_empty();
    }
    return done(m->target.cancel(m->target.opaque, error));
}

/* A destination has none of its own. */
static const char *outgoing_status(const MigMonitor *m)
{
    return m->target.incoming ? "none" : m->target.status(m->target.opaque);
}

static json_object *do_continue(MigMonitor *m, json_object *arguments, GError **error)
{
    const char *state = mig_argument_string(arguments, "state");
    const char *status = outgoing_status(m);
    if (strcmp(state, status) != 0) {
        return mig_monitor_fail(error, "expected the status %s, it is %s", state, status);
    }
    return m->target.proceed ? done(m->target.proceed(m->target.opaque, error))
                             : mig_monitor_empty();
}

static json_object *do_start_postcopy(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments;
    MigCapabilitySet wanted =
        MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) | MIG_CAP_BIT(MIG_CAP_DIRTY_BITMAPS);
    if (!(m->capabilities & wanted)) {
        return mig_monitor_fail(error, "set the capability postcopy-ram before migrate");
    }
    if (strcmp(outgoing_status(m), "none") == 0) {
        return mig_monitor_fail(error, "start a migration first");
    }
    return m->target.start_postcopy ? done(m->target.start_postcopy(m->target.opaque, error))
                                    : not_here(error, "migrate-start-postcopy");
}

static json_object *do_pause(MigMonitor *m, json_object *arguments, GError **error)
{
    /* postcopy-recover: not in 7.2 */
    static const char *const states[] = { "postcopy-active", "postcopy-recover", NULL };
    static const char *const old[] = { "postcopy-active", NULL };
    (void)arguments;
    if (!mig_monitor_status_is(m, mig_monitor_binary(m) >= V(8, 2) ? states : old)) {
        return mig_monitor_fail(error, "only a migration in postcopy can be paused");
    }
    return m->target.pause ? done(m->target.pause(m->target.opaque, error))
                           : not_here(error, "migrate-pause");
}

static json_object *do_recover(MigMonitor *m, json_object *arguments, GError **error)
{
    static const char *const paused[] = { "postcopy-paused", NULL };
    if (!m->target.recover || !mig_monitor_status_is(m, paused)) {
        return mig_monitor_fail(error, "only a destination whose postcopy is paused can recover");
    }
    return done(m->target.recover(m->target.opaque, mig_argument_string(arguments, "uri"), error));
}

/* Before the guest has come: what becomes of it then. */
static bool set_autostart(const MigMonitor *m, bool on)
{
    bool waits = m->target.autostart && run_state_is(m, "inmigrate");
    if (waits) {
        m->target.autostart(m->target.opaque, on);
    }
    return waits;
}

static json_object *do_stop(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments;
    set_autostart(m, false);
    if (!run_state_is(m, "running")) {
        return mig_monitor_empty();
    }
    return m->target.stop ? done(m->target.stop(m->target.opaque, error)) : not_here(error, "stop");
}

static json_object *do_cont(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments;
    if (run_state_is(m, "finish-migrate")) {
        return mig_monitor_fail(error, "the migration is not over yet");
    }
    if (set_autostart(m, true) || run_state_is(m, "running")) {
        return mig_monitor_empty();
    }
    return m->target.cont ? done(m->target.cont(m->target.opaque, error)) : not_here(error, "cont");
}

static json_object *do_quit(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments;
    if (!m->target.quit) {
        return not_here(error, "quit");
    }
    if (mig_monitor_binary(m) >= V(6, 0)) { /* seen: behind the answer in 5.2, before it in 7.2 */
        mig_monitor_event(m, "SHUTDOWN", NULL, 0);
    } else {
        m->event_behind = "SHUTDOWN";
    }
    return done(m->target.quit(m->target.opaque, error));
}

static json_object *do_pmemsave(MigMonitor *m, json_object *arguments, GError **error)
{
    if (!m->target.pmemsave) {
        return not_here(error, "pmemsave");
    }
    return done(m->target.pmemsave(m->target.opaque, mig_argument_uint(arguments, "val", 0),
                                   mig_argument_uint(arguments, "size", 0),
                                   mig_argument_string(arguments, "filename"), error));
}

static json_object *do_cut_link(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments;
    if (!mig_monitor_is_migrating(m) || !m->target.cut_link) {
        return mig_monitor_fail(error, "x-cut-link: there is no simulated connection");
    }
    return done(m->target.cut_link(m->target.opaque, error));
}

static json_object *do_advance(MigMonitor *m, json_object *arguments, GError **error)
{
    int64_t ns = 0;
    if (!m->target.advance) {
        return not_here(error, "x-advance (the clock is not virtual, or it is paced)");
    }
    if (!m->executing || m->advancing) {
        return mig_monitor_fail(error, "another x-advance is under way");
    }
    if (!mig_parse_time(mig_argument_string(arguments, "time"), &ns, error) ||
        !m->target.advance(m->target.opaque, ns, error)) {
        return NULL;
    }
    m->advancing = m->executing;
    m->deferred = true;
    return mig_monitor_empty();
}

/* The table ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    MigVersion since;
} statuses[] = {
    { "none", 0 },
    { "setup", 0 },
    { "cancelling", 0 },
    { "cancelled", 0 },
    { "active", 0 },
    { "postcopy-device", V(10, 2) },
    { "postcopy-active", V(2, 5) },
    { "postcopy-paused", V(3, 0) },
    { "postcopy-recover-setup", V(9, 1) },
    { "postcopy-recover", V(3, 0) },
    { "completed", 0 },
    { "failing", V(11, 0) },
    { "failed", 0 },
    { "colo", V(2, 8) },
    { "pre-switchover", V(2, 11) },
    { "device", V(2, 11) },
    { "wait-unplug", V(4, 2) },
};

static bool is_status(MigVersion binary, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        if (strcmp(statuses[i].name, name) == 0) {
            return statuses[i].since <= binary;
        }
    }
    return false;
}

static const MigArgument migrate_arguments[] = {
    { "uri", MIG_ARGUMENT_STRING, false, 0, V(8, 2) },
    { "uri", MIG_ARGUMENT_STRING, true, V(8, 2) },
    { "channels", MIG_ARGUMENT_ARRAY, true, V(8, 2) },
    { "blk", MIG_ARGUMENT_BOOL, true, 0, V(9, 1) },
    { "inc", MIG_ARGUMENT_BOOL, true, 0, V(9, 1) },
    { "detach", MIG_ARGUMENT_BOOL, true, 0, V(11, 0) },
    { "resume", MIG_ARGUMENT_BOOL, true, V(3, 0) },
    { NULL },
};
static const MigArgument incoming_arguments[] = {
    { "uri", MIG_ARGUMENT_STRING, false, 0, V(8, 2) },
    { "uri", MIG_ARGUMENT_STRING, true, V(8, 2) },
    { "channels", MIG_ARGUMENT_ARRAY, true, V(8, 2) },
    { "exit-on-error", MIG_ARGUMENT_BOOL, true, V(9, 1) },
    { NULL },
};
static const MigArgument continue_arguments[] = {
    { "state", MIG_ARGUMENT_CHOICE, false, .accepts = is_status },
    { NULL },
};
static const MigArgument uri_arguments[] = { { "uri", MIG_ARGUMENT_STRING }, { NULL } };
static const MigArgument pmemsave_arguments[] = {
    { "val", MIG_ARGUMENT_INT },
    { "size", MIG_ARGUMENT_INT },
    { "filename", MIG_ARGUMENT_STRING },
    { NULL },
};
static const MigArgument hmp_arguments[] = {
    { "command-line", MIG_ARGUMENT_STRING },
    { "cpu-index", MIG_ARGUMENT_INT, true },
    { NULL },
};
static const MigArgument int_value[] = { { "value", MIG_ARGUMENT_INT }, { NULL } };
static const MigArgument number_value[] = { { "value", MIG_ARGUMENT_NUMBER }, { NULL } };
static const MigArgument capabilities_arguments[] = { { "capabilities", MIG_ARGUMENT_ARRAY },
                                                      { NULL } };
static const MigArgument advance_arguments[] = { { "time", MIG_ARGUMENT_STRING }, { NULL } };

const MigCommand mig_monitor_commands[] = {
    { "query-version", query_version },
    { "query-status", query_status },
    { "query-commands", query_commands },
    { "query-migrate", query_migrate },
    { "query-migrate-capabilities", mig_command_query_capabilities },
    { "query-migrate-parameters", mig_command_query_parameters, .since = V(2, 4) },
    { "query-migrate-cache-size", mig_command_query_cache_size, .until = V(6, 0) },
    { "migrate-set-capabilities", mig_command_set_capabilities, capabilities_arguments },
    { "migrate-set-parameters", mig_command_set_parameters, .since = V(2, 4), .free_form = true },
    { "migrate_set_speed", mig_command_set_speed, int_value, .until = V(6, 0) },
    { "migrate_set_downtime", mig_command_set_downtime, number_value, .until = V(6, 0) },
    { "migrate-set-cache-size", mig_command_set_cache_size, int_value, .until = V(6, 0) },
    { "migrate", do_migrate, migrate_arguments },
    { "migrate-incoming", do_migrate_incoming, incoming_arguments, V(2, 3) },
    { "migrate_cancel", do_cancel },
    { "migrate-continue", do_continue, continue_arguments, V(2, 11) },
    { "migrate-start-postcopy", do_start_postcopy, .since = V(2, 5) },
    { "migrate-pause", do_pause, .since = V(3, 0) },
    { "migrate-recover", do_recover, uri_arguments, V(3, 0) },
    { "stop", do_stop },
    { "cont", do_cont },
    { "quit", do_quit },
    { "pmemsave", do_pmemsave, pmemsave_arguments },
    { "calc-dirty-rate", mig_command_calc_dirty_rate, mig_calc_dirty_rate_arguments, V(5, 2) },
    { "query-dirty-rate", mig_command_query_dirty_rate, mig_query_dirty_rate_arguments, V(5, 2) },
    { "set-vcpu-dirty-limit", mig_command_set_dirty_limit, mig_set_dirty_limit_arguments, V(7, 1) },
    { "cancel-vcpu-dirty-limit", mig_command_cancel_dirty_limit, mig_cancel_dirty_limit_arguments,
      V(7, 1) },
    { "query-vcpu-dirty-limit", mig_command_query_dirty_limit, .since = V(7, 1) },
    { "human-monitor-command", mig_command_hmp, hmp_arguments },
    { "x-advance", do_advance, advance_arguments },
    { "x-cut-link", do_cut_link },
    { NULL },
};
