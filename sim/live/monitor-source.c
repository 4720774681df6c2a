/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source behind a monitor on the real clock, see monitor.h. Between migrations it waits
 * here, and has the guest follow the clock; during one the real world waits, and calls woken().
 *
 * Limits. Closing an exec: channel waits for its command, and the monitor with it, as QEMU's does.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sim/live/monitor.h"
#include "sim/monitor/monitored.h"
#include "sim/world/clock.h"

#define FOLLOW_NS \
    (50 * MIG_NS_PER_MS) /* at most, between two looks of an idle guest at the clock */

typedef struct Session {
    MigMonitored common; /* first: the monitor's target */
    const MigLiveOptions *options;
    const MigLiveMonitorOptions *monitor;
    MigLive *live; /* NULL before the first wait */
    MigUri *uri;   /* of the last migration */
    GError *error; /* of the server */
    int wake;      /* an epoll set: of options->wake and the server */
    bool engine_runs, started;
} Session;

static int64_t guest_now(void *opaque)
{
    return mig_live_now(((Session *)opaque)->live);
}

/* What the monitor tells to do --------------------------------------------------------------- */

/* Events have the time of the world outside. */
static int64_t now(void *opaque)
{
    (void)opaque;
    return g_get_real_time() * MIG_NS_PER_US;
}

static bool set_capabilities(void *opaque, MigCapabilitySet set, GError **error)
{
    const Session *s = opaque;
    return !s->monitor->can_carry || s->monitor->can_carry(set, NULL, error);
}

static bool refuse(GError **error, const char *why)
{
    g_set_error_literal(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC, why);
    return false;
}

static bool begin(Session *s, const MigMonitorMigrate *how, GError **error)
{
    MigCapabilitySet set = mig_monitor_capabilities(s->common.monitor);
    MigUri *uri = mig_monitor_where(how, error);
    if (!uri || (s->monitor->can_carry && !s->monitor->can_carry(set, uri, error))) {
        mig_uri_free(uri);
        return false;
    }
    MigParameters p = *mig_monitor_parameters(s->common.monitor);
    mig_uri_free(s->uri);
    s->uri = uri;
    s->started = true;
    mig_live_begin(s->live, uri, set, &p);
    return true;
}

/* A paused postcopy goes on, maybe elsewhere. */
static bool resume(Session *s, const MigMonitorMigrate *how, GError **error)
{
    MigUri *uri = mig_monitor_where(how, error);
    g_autofree char *refused = uri ? mig_live_resume(s->live, uri) : NULL;
    if (uri) { /* the world has it now */
        mig_uri_free(s->uri);
        s->uri = uri;
    }
    return refused ? refuse(error, refused) : uri != NULL;
}

static bool migrate(void *opaque, const MigMonitorMigrate *how, GError **error)
{
    Session *s = opaque;
    if (how->resume) {
        return resume(s, how, error);
    }
    if (s->engine_runs) {
        return refuse(error, "the last migration is not cleaned up yet");
    }
    return begin(s, how, error);
}

static bool quit(void *opaque, GError **error)
{
    Session *s = opaque;
    (void)error;
    s->common.quit = true;
    if (s->engine_runs && !mig_source_completed(s->common.m->source)) { /* else: it is closing */
        mig_live_quit(s->live);
    }
    return true;
}

/* Waiting ------------------------------------------------------------------------------------ */

/* A signal; whatever comes behind it is too late. */
static void look_for_signals(Session *s)
{
    struct pollfd p = { .fd = s->options->wake, .events = POLLIN };
    char bytes[64];
    if (s->options->wake >= 0 && poll(&p, 1, 0) > 0 && read(p.fd, bytes, sizeof(bytes)) > 0) {
        quit(s, NULL);
    }
}

static void woken(void *opaque)
{
    Session *s = opaque;
    look_for_signals(s);
    mig_monitor_server_work(s->common.server, 0);
}

static bool watch(int set, int fd)
{
    struct epoll_event e = { .events = EPOLLIN };
    return fd < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool serve(Session *s)
{
    MigMonitored *t = &s->common;
    MigMonitorTarget target;
    t->run = mig_live_run(s->live);
    t->m = mig_live_simulation(s->live);
    t->clock = guest_now;
    t->opaque = s;
    mig_monitored_begin(t, &target);
    target.now = now;
    target.set_capabilities = set_capabilities;
    target.migrate = migrate;
    target.quit = quit;
    if (!mig_monitored_serve(t, &target, s->monitor->address, &s->error)) {
        return false;
    }
    watch(s->wake, mig_monitor_server_descriptor(t->server));
    if (s->monitor->listening) {
        s->monitor->listening(s->monitor->opaque, mig_monitor_server_address(t->server));
    }
    return true;
}

/* --uri: as if a client had said so. */
static bool begin_at_once(Session *s)
{
    MigMonitorMigrate how = { .uri = s->options->uri->text };
    return begin(s, &how, &s->error);
}

static void wait_some(Session *s)
{
    int64_t next = mig_events_next(s->common.run->events), at = mig_live_pass(s->live);
    int64_t left = MIN(MAX(next - at, 0), FOLLOW_NS);
    bool follows = !s->options->backend && s->common.scenario->workloads->len > 0;
    bool idle = next == MIG_FOREVER && !follows;
    struct pollfd p = { .fd = s->wake, .events = POLLIN };
    poll(&p, 1, idle ? -1 : (int)((left + MIG_NS_PER_MS - 1) / MIG_NS_PER_MS));
    mig_live_pass(s->live);
    woken(s);
}

static bool wait(void *opaque, MigLive *live)
{
    Session *s = opaque;
    bool first = !s->live;
    s->live = live;
    s->engine_runs = s->started = false;
    if (first && (!serve(s) || (s->options->uri && !begin_at_once(s)))) {
        return false;
    }
    while (!s->started && !s->common.quit) {
        wait_some(s);
    }
    s->engine_runs = !s->common.quit;
    return s->engine_runs;
}

/* What the engine tells ---------------------------------------------------------------------- */

/* It may be a while until somebody waits for clients again. */
static void on_event(void *opaque, const char *name, const char *status, uint64_t pass)
{
    Session *s = opaque;
    mig_monitored_event(&s->common, name, status, pass);
    if (s->common.server) {
        mig_monitor_server_flush(s->common.server);
    }
}

static bool on_guest(void *opaque, bool running)
{
    return mig_monitored_guest(&((Session *)opaque)->common, running);
}

MigSimulation *mig_live_source_monitored(const MigScenario *s, const MigLiveOptions *options,
                                         const MigLiveMonitorOptions *monitor,
                                         MigLiveReport *report, GError **error)
{
    Session session = { .common = { .scenario = s }, .options = options, .monitor = monitor };
    MigLiveSteering steering = {
        .opaque = &session, .wait = wait, .woken = woken, .event = on_event, .guest = on_guest
    };
    MigLiveOptions all = *options;
    session.wake = epoll_create1(EPOLL_CLOEXEC);
    watch(session.wake, options->wake);
    all.wake = session.wake;
    all.steering = &steering;
    MigSimulation *m = mig_live_source(s, &all, report, error);
    mig_monitored_clear(&session.common);
    mig_uri_free(session.uri);
    close(session.wake);
    if (session.error) {
        mig_simulation_free(m);
        g_clear_error(error);
        g_propagate_error(error, session.error);
        return NULL;
    }
    return m;
}
