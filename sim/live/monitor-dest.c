/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A destination behind a monitor, see monitor.h: started as QEMU is with -incoming defer (or
 * with -incoming URI). It waits for migrate-incoming and between the end of its migration and quit
 * here; while a source is waited for and loaded, dest.c waits and calls woken().
 *
 * Limits. Without a backend nothing runs behind the load: the guest is memory, and "running" a
 * word. It can't migrate on, and its dirty rate can't be measured.
 */
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sim/live/monitor.h"
#include "sim/live/postcopy.h"
#include "sim/monitor/monitor.h"
#include "sim/monitor/server.h"
#include "sim/world/clock.h"

#define V MIG_VERSION_OF

typedef struct Incoming {
    const MigScenario *scenario;
    const MigLiveOptions *options;
    const MigLiveMonitorOptions *monitor_options;
    MigEra era;
    MigLoad *load; /* NULL before the first wait */
    MigMonitor *monitor;
    MigMonitorServer *server;
    MigListener *listener;
    GError *error;      /* of the server, or of --uri */
    int wake;           /* an epoll set: of options->wake and the server */
    const char *status; /* the migration's */
    bool exit_on_error;
    bool autostart; /* the guest is to run when it is there */
    bool loaded, running;
    bool quit;
} Incoming;

/* What the monitor asks ---------------------------------------------------------------------- */

static int64_t now(void *opaque)
{
    (void)opaque;
    return g_get_real_time() * MIG_NS_PER_US;
}

static const char *run_state(void *opaque)
{
    const Incoming *in = opaque;
    return !in->loaded ? "inmigrate" : in->running ? "running" : "paused";
}

static const char *status(void *opaque)
{
    return ((const Incoming *)opaque)->status;
}

static void put_text(json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, json_object_new_string(text));
}

/* A SocketAddress, from "tcp:127.0.0.1:4444", "tcp:[::1]:4444", "unix:/path"; NULL: no socket. */
static json_object *socket_address(const char *text)
{
    g_autoptr(MigUri) uri = mig_uri_parse(text, NULL);
    json_object *o = json_object_new_object();
    if (uri && uri->kind == MIG_URI_UNIX) {
        put_text(o, "path", uri->path);
        put_text(o, "type", "unix");
    } else if (uri && uri->kind == MIG_URI_TCP) {
        const char *family = strchr(uri->host, ':') ? "ipv6" : "ipv4";
        put_text(o, "port", uri->port);
        json_object_object_add(o, family, json_object_new_boolean(true));
        put_text(o, "host", uri->host);
        put_text(o, "type", "inet");
    } else if (uri && uri->kind == MIG_URI_VSOCK) {
        g_autofree char *cid = g_strdup_printf("%u", uri->numbers[0]);
        g_autofree char *port = g_strdup_printf("%u", uri->numbers[1]);
        put_text(o, "cid", cid);
        put_text(o, "port", port);
        put_text(o, "type", "vsock");
    } else {
        json_object_put(o);
        return NULL;
    }
    return o;
}

static bool is_status(const Incoming *in, const char *name)
{
    return strcmp(in->status, name) == 0;
}

/* Up to 7.2 the status stays none until somebody comes, but the address is shown. */
static json_object *query_migrate(void *opaque)
{
    const Incoming *in = opaque;
    bool over = is_status(in, "completed") || is_status(in, "failed");
    bool early = is_status(in, "none") || (is_status(in, "setup") && in->era.binary < V(8, 2));
    /* Block times are told in the end: fill_destination_migration_info(), 7.2. */
    bool times = is_status(in, "completed") && in->load->postcopy;
    json_object *o = times ? mig_live_postcopy_query(in->load->postcopy) : json_object_new_object();
    json_object *address =
        in->listener && !over ? socket_address(mig_listener_address(in->listener)) : NULL;
    if (!early) {
        put_text(o, "status", in->status);
    }
    if (address) {
        json_object *list = json_object_new_array();
        json_object_array_add(list, address);
        json_object_object_add(o, "socket-address", list);
    }
    if (is_status(in, "failed") && in->era.binary >= V(9, 1)) {
        put_text(o, "error-desc", in->load->error ? in->load->error : "the migration failed");
    }
    return o;
}

/* What it tells to do ------------------------------------------------------------------------ */

static bool refuse(GError **error, char *why)
{
    if (why) {
        g_set_error_literal(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC, why);
        g_free(why);
        return false;
    }
    return true;
}

static bool set_capabilities(void *opaque, MigCapabilitySet set, GError **error)
{
    const MigLiveMonitorOptions *o = ((const Incoming *)opaque)->monitor_options;
    return !o->can_carry || o->can_carry(set, NULL, error);
}

static bool migrate_incoming(void *opaque, const MigMonitorMigrate *how, GError **error)
{
    Incoming *in = opaque;
    g_autoptr(MigUri) uri = mig_monitor_where(how, error);
    MigCapabilitySet set = mig_monitor_capabilities(in->monitor);
    if (!uri ||
        (in->monitor_options->can_carry && !in->monitor_options->can_carry(set, uri, error))) {
        return false;
    }
    if (is_status(in, "none") && in->era.binary >= V(8, 2)) { /* before: commands.c told it */
        mig_monitor_event(in->monitor, "MIGRATION", "setup", 0);
    }
    in->status = "setup";
    in->listener = mig_listener_new(uri, error);
    in->exit_on_error = how->exit_on_error;
    return in->listener != NULL;
}

/* These come while postcopy.c loads, between two of its turns. */
static bool pause_line(void *opaque, GError **error)
{
    const Incoming *in = opaque;
    return refuse(error, mig_live_postcopy_pause(in->load->postcopy));
}

static bool recover(void *opaque, const char *text, GError **error)
{
    Incoming *in = opaque;
    g_autoptr(MigUri) uri = mig_uri_parse(text, error);
    MigListener *l = uri ? mig_listener_new(uri, error) : NULL;
    if (!l) {
        return false;
    }
    if (!refuse(error, mig_live_postcopy_recover(in->load->postcopy, l))) {
        mig_listener_free(l);
        return false;
    }
    mig_listener_free(in->listener);
    in->listener = l;
    return true;
}

static void autostart(void *opaque, bool on)
{
    ((Incoming *)opaque)->autostart = on;
}

/* While postcopy goes on a vCPU may wait for a page that only this thread brings: nobody waits for
 * vCPUs then. */
static void run_backend(const Incoming *in, bool on)
{
    MigBackend *b = in->options->backend;
    if (b && !on && !is_status(in, "completed")) {
        b->ops->ask_stop(b);
    } else if (b) {
        b->ops->run(b, on);
    }
}

static bool run(Incoming *in, bool on)
{
    in->running = on;
    run_backend(in, on);
    mig_monitor_event(in->monitor, on ? "RESUME" : "STOP", NULL, 0);
    return true;
}

static bool stop(void *opaque, GError **error)
{
    (void)error;
    return run(opaque, false);
}

static bool cont(void *opaque, GError **error)
{
    (void)error;
    return run(opaque, true);
}

static bool quit(void *opaque, GError **error)
{
    (void)error;
    ((Incoming *)opaque)->quit = true;
    return true;
}

static bool pmemsave(void *opaque, uint64_t address, uint64_t size, const char *path,
                     GError **error)
{
    const Incoming *in = opaque;
    return mig_monitor_save_memory(mig_load_memory(in->load), address, size, path, error);
}

/* Waiting ------------------------------------------------------------------------------------ */

static bool woken(void *opaque)
{
    Incoming *in = opaque;
    struct pollfd p = { .fd = in->options->wake, .events = POLLIN };
    char bytes[64];
    if (in->options->wake >= 0 && poll(&p, 1, 0) > 0 && read(p.fd, bytes, sizeof(bytes)) > 0) {
        in->quit = true;
    }
    mig_monitor_server_work(in->server, 0);
    return !in->quit;
}

static void wait_some(Incoming *in)
{
    struct pollfd p = { .fd = in->wake, .events = POLLIN };
    poll(&p, 1, -1);
    woken(in);
}

static bool watch(int set, int fd)
{
    struct epoll_event e = { .events = EPOLLIN };
    return fd < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool serve(Incoming *in)
{
    const MigScenario *s = in->scenario;
    MigParameters parameters = mig_parameters_default(&in->era);
    MigMonitorTarget target = {
        .opaque = in,
        .era = in->era,
        .version = s->destination_qemu ? s->destination_qemu : s->qemu,
        .incoming = true,
        .now = now,
        .run_state = run_state,
        .status = status,
        .query_migrate = query_migrate,
        .set_capabilities = set_capabilities,
        .migrate_incoming = migrate_incoming,
        .pause = pause_line,
        .recover = recover,
        .autostart = autostart,
        .stop = stop,
        .cont = cont,
        .quit = quit,
        .pmemsave = pmemsave,
    };
    mig_parameters_apply(&parameters, &s->parameters);
    in->monitor = mig_monitor_new(&target, s->capabilities, &parameters);
    in->server = mig_monitor_server_new(in->monitor, in->monitor_options->address, &in->error);
    if (!in->server) {
        return false;
    }
    watch(in->wake, mig_monitor_server_descriptor(in->server));
    if (in->monitor_options->listening) {
        in->monitor_options->listening(in->monitor_options->opaque,
                                       mig_monitor_server_address(in->server));
    }
    return true;
}

/* --uri: as -incoming URI, that is as if a client had said so. */
static bool begin_at_once(Incoming *in)
{
    json_object *arguments = json_object_new_object();
    put_text(arguments, "uri", in->options->uri->text);
    json_object *result =
        mig_monitor_execute(in->monitor, "migrate-incoming", arguments, &in->error);
    json_object_put(arguments);
    json_object_put(result);
    if (result && in->options->listening) {
        in->options->listening(in->options->opaque, mig_listener_address(in->listener));
    }
    return result != NULL;
}

static MigListener *wait(void *opaque, MigLoad *load)
{
    Incoming *in = opaque;
    in->load = load;
    if (!serve(in) || (in->options->uri && !begin_at_once(in))) {
        return NULL;
    }
    while (!in->listener && !in->quit) {
        wait_some(in);
    }
    return in->quit ? NULL : in->listener;
}

/* What the load tells ------------------------------------------------------------------------ */

static void accepted(void *opaque, MigCapabilitySet *capabilities)
{
    *capabilities = mig_monitor_capabilities(((const Incoming *)opaque)->monitor);
}

static void parameters(void *opaque, MigParameters *p)
{
    *p = *mig_monitor_parameters(((const Incoming *)opaque)->monitor);
}

/* The guest is there. As process_incoming_migration_bh() (migration/migration.c) decides. */
static void start(Incoming *in)
{
    bool was_running = strcmp(mig_dest_run_state(in->load->dest), "running") == 0;
    in->loaded = true;
    if (in->autostart && was_running) {
        run(in, true);
    }
}

/* Postcopy's RUN: whatever the source's run state was. */
static void on_run(void *opaque)
{
    Incoming *in = opaque;
    in->loaded = true;
    if (in->autostart) {
        run(in, true);
    } else {
        run_backend(in, false);
    }
}

static void on_status(void *opaque, const char *name)
{
    Incoming *in = opaque;
    if (is_status(in, name)) {
        return; /* postcopy's engine and the loop that it is fed by both say "active" */
    }
    if (strcmp(name, "completed") == 0 && !in->loaded) {
        start(in);
    }
    in->status = name;
    mig_monitor_event(in->monitor, "MIGRATION", name, 0);
    mig_monitor_server_flush(in->server);
}

static void stay(void *opaque)
{
    Incoming *in = opaque;
    bool leaves = is_status(in, "failed") && (in->exit_on_error || in->era.binary < V(9, 1));
    g_clear_pointer(&in->listener, mig_listener_free);
    while (!leaves && !in->quit) {
        wait_some(in);
    }
}

MigLoad *mig_live_dest_monitored(const MigScenario *s, const MigLiveOptions *options,
                                 const MigLiveMonitorOptions *monitor, GError **error)
{
    Incoming in = {
        .scenario = s,
        .options = options,
        .monitor_options = monitor,
        .status = "none",
        .autostart = true,
        .wake = epoll_create1(EPOLL_CLOEXEC),
    };
    MigLoadSteering steering = {
        .opaque = &in,
        .wait = wait,
        .accepted = accepted,
        .parameters = parameters,
        .woken = woken,
        .status = on_status,
        .run = on_run,
        .stay = stay,
    };
    MigLiveOptions all = *options;
    watch(in.wake, options->wake);
    mig_era_resolve(s->destination_version, s->machine, &in.era);
    all.wake = in.wake;
    all.load_steering = &steering;
    MigLoad *l = mig_live_dest(s, &all, error);
    mig_monitor_server_free(in.server);
    mig_monitor_free(in.monitor);
    mig_listener_free(in.listener);
    close(in.wake);
    if (in.error) {
        mig_load_free(l);
        g_clear_error(error);
        g_propagate_error(error, in.error);
        return NULL;
    }
    return l;
}
