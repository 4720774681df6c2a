/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulation's side of the monitor, see simulated.h. Two places wait for clients, and only they
 * read sockets: between migrations (wait_idle), and in an event of the virtual clock that was asked
 * for at the end of an advance (pause_engine), that is inside an operation of the engine. So a
 * command comes at an exact virtual time, as the scenario's own events do, through the same
 * functions (scenario/run.c).
 *
 * Limits: a URI is looked at, and then not used: the other end is the simulation's. Postcopy, pause
 * and recovery are not there yet. With a pace, a command comes at the next tick of TICK.
 */
#include "sim/monitor/simulated.h"

#include <string.h>

#include "sim/monitor/monitored.h"
#include "sim/world/clock.h"
#include "sim/world/uri.h"

#define TICK (10 * MIG_NS_PER_MS)

typedef struct Session {
    MigMonitored common; /* first: the monitor's target */
    const MigSimulatedOptions *options;
    MigSteered *steered; /* NULL before the first wait */
    GError *error;       /* of the server */
    int64_t until;       /* of the advance under way; -1: none */
    bool advancing;
    bool engine_runs, started;
    gint64 paced_from; /* wall clock, us, at virtual time 0 */
} Session;

/* What the monitor tells to do --------------------------------------------------------------- */

static int64_t now(void *opaque)
{
    return mig_steered_now(((Session *)opaque)->steered);
}

/* The target's |opaque| is what all monitored sources have: the session's first member. */
static bool migrate(void *opaque, const MigMonitorMigrate *how, GError **error)
{
    Session *s = opaque;
    g_autoptr(MigUri) uri = mig_monitor_where(how, error);
    if (!uri) {
        return false;
    }
    if (how->resume) { /* and migrate-recover at the other end */
        MigScenarioRun *run = mig_steered_run(s->steered);
        run->recover(run->postcopy, now(s), 0);
        return true;
    }
    if (s->engine_runs) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC,
                    "the last migration is not cleaned up yet");
        return false;
    }
    MigParameters p = *mig_monitor_parameters(s->common.monitor);
    s->started =
        mig_steered_begin(s->steered, mig_monitor_capabilities(s->common.monitor), &p, error);
    return s->started;
}

static bool quit(void *opaque, GError **error)
{
    Session *s = opaque;
    (void)error;
    s->common.quit = true;
    mig_steered_quit(s->steered);
    return true;
}

static bool advance(void *opaque, int64_t ns, GError **error)
{
    Session *s = opaque;
    if (ns > MIG_FOREVER - now(s)) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC, "that is beyond all time");
        return false;
    }
    s->until = now(s) + ns;
    s->advancing = true;
    return true;
}

/* Waiting ------------------------------------------------------------------------------------ */

static bool must_stop(Session *s)
{
    const volatile sig_atomic_t *interrupted = s->options->interrupted;
    if (interrupted && *interrupted) {
        mig_steered_quit(s->steered);
        s->common.quit = true;
    }
    return s->common.quit;
}

/* Serves clients until the wall clock has come to the next tick, which becomes the next advance. */
static void wait_paced(Session *s)
{
    s->until = now(s) + TICK;
    gint64 wall = s->paced_from + (gint64)((double)s->until / 1000.0 / s->options->pace), left;
    do {
        left = wall - g_get_monotonic_time();
        mig_monitor_server_work(s->common.server, (int)CLAMP(left / 1000, 0, 1000));
    } while (left >= 1000 && !must_stop(s));
    s->advancing = true;
}

/* Serves clients until one moves the clock, or ends it all. */
static void wait_for_advance(Session *s)
{
    if (s->options->pace > 0) {
        wait_paced(s);
        return;
    }
    mig_monitor_server_flush(s->common.server);
    while (!s->advancing && !must_stop(s)) {
        mig_monitor_server_work(s->common.server, -1);
    }
}

/* The advance has come to its end. */
static void advanced(Session *s)
{
    s->advancing = false;
    mig_monitor_advanced(s->common.monitor, now(s));
}

static void ask_for_pause(Session *s);

/* At the end of an advance, inside an operation of the engine. */
static void pause_engine(void *opaque, int64_t at)
{
    Session *s = opaque;
    if (!s->engine_runs || !s->advancing || at < s->until) {
        return; /* the engine ended before it, and wait_idle() went on */
    }
    do {
        advanced(s);
        wait_for_advance(s);
    } while (s->advancing && s->until <= now(s) && !s->common.quit);
    ask_for_pause(s);
}

static void ask_for_pause(Session *s)
{
    if (s->advancing && !s->common.quit) {
        mig_events_add(mig_steered_run(s->steered)->events, s->until, pause_engine, s);
    }
}

static bool serve(Session *s)
{
    MigMonitored *t = &s->common;
    MigMonitorTarget target;
    t->run = mig_steered_run(s->steered);
    t->m = mig_steered_simulation(s->steered);
    t->clock = now;
    t->opaque = s;
    mig_monitored_begin(t, &target);
    target.migrate = migrate;
    target.quit = quit;
    target.advance = s->options->pace > 0 ? NULL : advance;
    if (!mig_monitored_serve(t, &target, s->options->address, &s->error)) {
        return false;
    }
    s->paced_from = g_get_monotonic_time();
    if (s->options->listening) {
        s->options->listening(s->options->opaque, mig_monitor_server_address(t->server));
    }
    return true;
}

/* The steerer's turn: nothing migrates. True when the engine is to run. */
static bool wait_idle(void *opaque, MigSteered *steered)
{
    Session *s = opaque;
    s->engine_runs = s->started = false;
    if (!s->steered) {
        s->steered = steered;
        if (!serve(s)) {
            return false;
        }
    }
    while (!must_stop(s)) {
        if (!s->advancing) {
            wait_for_advance(s);
        }
        if (s->advancing && s->started) {
            s->engine_runs = true;
            ask_for_pause(s);
            return !must_stop(s);
        }
        if (s->advancing) {
            mig_steered_advance(s->steered, s->until);
            advanced(s);
        }
    }
    return false;
}

/* What the engine tells ---------------------------------------------------------------------- */

static void on_event(void *opaque, const char *name, const char *status, uint64_t pass)
{
    mig_monitored_event(&((Session *)opaque)->common, name, status, pass);
}

static bool on_guest(void *opaque, bool running)
{
    return mig_monitored_guest(&((Session *)opaque)->common, running);
}

MigSimulation *mig_simulate_monitored(const MigScenario *s, const MigSimulateOptions *options,
                                      const MigSimulatedOptions *monitor, GError **error)
{
    Session session = { .common = { .scenario = s }, .options = monitor };
    MigSteering steering = {
        .opaque = &session,
        .wait = wait_idle,
        .event = on_event,
        .guest = on_guest,
    };
    MigSimulateOptions all = *options;
    all.steering = &steering;
    MigSimulation *m = mig_simulate(s, &all, error);
    mig_monitored_clear(&session.common);
    if (session.error) {
        mig_simulation_free(m);
        g_clear_error(error);
        g_propagate_error(error, session.error);
        return NULL;
    }
    return m;
}
