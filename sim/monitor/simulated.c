/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulation's side of the monitor, see simulated.h. Two places wait for clients, and only they
 * read sockets: between migrations (wait_idle), and in an event of the virtual clock that was asked
 * for at the end of an advance (pause_engine), that is inside an operation of the engine. So a
 * command comes at an exact virtual time, as the scenario's own events do, through the same
 * functions (scenario-run.c).
 *
 * Limits: a URI is looked at, and then not used: the other end is the simulation's. Postcopy, pause
 * and recovery are not there yet. With a pace, a command comes at the next tick of TICK.
 */
#include "sim/monitor/simulated.h"

#include <string.h>

#include "sim/monitor/monitor.h"
#include "sim/monitor/query.h"
#include "sim/monitor/server.h"
#include "sim/world/clock.h"
#include "sim/world/uri.h"

#define TICK (10 * MIG_NS_PER_MS)

typedef struct Session {
    const MigScenario *scenario;
    const MigSimulatedOptions *options;
    MigSteered *steered; /* NULL before the first wait */
    MigMonitor *monitor;
    MigMonitorServer *server;
    GError *error; /* of the server */
    int64_t until; /* of the advance under way; -1: none */
    bool advancing;
    bool engine_runs, started, quit;
    bool guest_runs;   /* as far as stop and cont are concerned */
    bool engine_stops; /* the engine has stopped it */
    bool gone;         /* migrated away */
    gint64 paced_from; /* wall clock, us, at virtual time 0 */
} Session;

/* What the monitor asks ---------------------------------------------------------------------- */

static MigSource *source_of(Session *s)
{
    return mig_steered_simulation(s->steered)->source;
}

static int64_t now(void *opaque)
{
    return mig_steered_now(((Session *)opaque)->steered);
}

static const char *status(void *opaque)
{
    return mig_source_status(source_of(opaque));
}

static const char *run_state(void *opaque)
{
    const Session *s = opaque;
    if (s->gone) {
        return "postmigrate";
    }
    return s->engine_stops ? "finish-migrate" : s->guest_runs ? "running" : "paused";
}

static json_object *query_migrate(void *opaque)
{
    Session *s = opaque;
    return mig_monitor_query(source_of(s), s->scenario->version, now(s));
}

static const MigParameters *parameters(void *opaque)
{
    return mig_source_parameters(source_of(opaque));
}

static char *refused(void *opaque, MigCapabilitySet set, const MigParameters *p)
{
    return mig_scenario_run_refused(mig_steered_run(((Session *)opaque)->steered), set, p);
}

/* What it tells to do ------------------------------------------------------------------------ */

static bool set_parameters(void *opaque, const MigParameters *p, GError **error)
{
    Session *s = opaque;
    (void)error;
    mig_scenario_run_set_parameters(mig_steered_run(s->steered), p, now(s));
    return true;
}

static bool migrate(void *opaque, const MigMonitorMigrate *how, GError **error)
{
    Session *s = opaque;
    g_autoptr(MigUri) uri = how->uri ? mig_uri_parse(how->uri, error) : NULL;
    if (how->uri && !uri) {
        return false;
    }
    if (s->engine_runs) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC,
                    "the last migration is not cleaned up yet");
        return false;
    }
    MigParameters p = *mig_monitor_parameters(s->monitor);
    s->started = mig_steered_begin(s->steered, mig_monitor_capabilities(s->monitor), &p, error);
    return s->started;
}

static bool cancel(void *opaque, GError **error)
{
    Session *s = opaque;
    (void)error;
    mig_scenario_run_cancel(mig_steered_run(s->steered), now(s));
    mig_monitor_event(s->monitor, "MIGRATION", status(s), 0);
    return true;
}

static bool proceed(void *opaque, GError **error)
{
    Session *s = opaque;
    g_autofree char *refused =
        mig_scenario_run_continue(mig_steered_run(s->steered), status(s), now(s));
    if (refused) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC, "%s", refused);
    }
    return !refused;
}

static bool cut_link(void *opaque, GError **error)
{
    Session *s = opaque;
    (void)error;
    MigScenarioRun *run = mig_steered_run(s->steered);
    mig_scenario_run_note(run, now(s), "x-cut-link", NULL, 0);
    run->cut(run->world);
    return true;
}

static bool stop(void *opaque, GError **error)
{
    Session *s = opaque;
    (void)error;
    s->guest_runs = false;
    mig_guest_stop(mig_steered_simulation(s->steered)->guest, now(s));
    mig_monitor_event(s->monitor, "STOP", NULL, 0);
    return true;
}

static bool cont(void *opaque, GError **error)
{
    Session *s = opaque;
    (void)error;
    s->guest_runs = true;
    s->gone = s->engine_stops = false;
    mig_guest_start(mig_steered_simulation(s->steered)->guest, now(s));
    mig_monitor_event(s->monitor, "RESUME", NULL, 0);
    return true;
}

static bool quit(void *opaque, GError **error)
{
    Session *s = opaque;
    (void)error;
    s->quit = true;
    mig_steered_quit(s->steered);
    return true;
}

static bool pmemsave(void *opaque, uint64_t address, uint64_t size, const char *path,
                     GError **error)
{
    Session *s = opaque;
    MigMemory *m = mig_guest_memory(mig_steered_simulation(s->steered)->guest);
    const MigMemoryBlock *block = m->ops->count(m) ? m->ops->block(m, 0) : NULL;
    if (!block || address > block->used_length || size > block->used_length - address) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC,
                    "there is no memory at that address; block \"%s\" has %" G_GUINT64_FORMAT
                    " bytes from address 0",
                    block ? block->name : "-", block ? block->used_length : 0);
        return false;
    }
    GByteArray *bytes = g_byte_array_new();
    g_autofree uint8_t *scratch = g_malloc(m->page_size);
    for (uint64_t at = address; at < address + size;) {
        uint64_t offset = at % m->page_size, n = MIN(m->page_size - offset, address + size - at);
        const uint8_t *page = m->ops->read(m, 0, at / m->page_size, scratch);
        g_byte_array_append(bytes, page + offset, (guint)n);
        at += n;
    }
    bool fine = g_file_set_contents(path, (const char *)bytes->data, bytes->len, error);
    g_byte_array_unref(bytes);
    return fine;
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
        s->quit = true;
    }
    return s->quit;
}

/* Serves clients until the wall clock has come to the next tick, which becomes the next advance. */
static void wait_paced(Session *s)
{
    s->until = now(s) + TICK;
    gint64 wall = s->paced_from + (gint64)((double)s->until / 1000.0 / s->options->pace), left;
    do {
        left = wall - g_get_monotonic_time();
        mig_monitor_server_work(s->server, (int)CLAMP(left / 1000, 0, 1000));
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
    mig_monitor_server_flush(s->server);
    while (!s->advancing && !must_stop(s)) {
        mig_monitor_server_work(s->server, -1);
    }
}

/* The advance has come to its end. */
static void advanced(Session *s)
{
    s->advancing = false;
    mig_monitor_advanced(s->monitor, now(s));
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
    } while (s->advancing && s->until <= now(s) && !s->quit);
    ask_for_pause(s);
}

static void ask_for_pause(Session *s)
{
    if (s->advancing && !s->quit) {
        mig_events_add(mig_steered_run(s->steered)->events, s->until, pause_engine, s);
    }
}

static bool serve(Session *s)
{
    s->server = mig_monitor_server_new(s->monitor, s->options->address, &s->error);
    if (!s->server) {
        return false;
    }
    s->paced_from = g_get_monotonic_time();
    if (s->options->listening) {
        s->options->listening(s->options->opaque, mig_monitor_server_address(s->server));
    }
    return true;
}

static void make_monitor(Session *s)
{
    MigMonitorTarget target = {
        .opaque = s,
        .era = mig_steered_run(s->steered)->era,
        .version = s->scenario->qemu,
        .now = now,
        .run_state = run_state,
        .status = status,
        .query_migrate = query_migrate,
        .parameters = parameters,
        .refused = refused,
        .set_parameters = set_parameters,
        .migrate = migrate,
        .cancel = cancel,
        .proceed = proceed,
        .stop = stop,
        .cont = cont,
        .quit = quit,
        .pmemsave = pmemsave,
        .cut_link = cut_link,
        .advance = s->options->pace > 0 ? NULL : advance,
    };
    s->guest_runs = mig_guest_running(mig_steered_simulation(s->steered)->guest);
    s->monitor = mig_monitor_new(&target, s->scenario->capabilities, parameters(s));
}

/* The steerer's turn: nothing migrates. True when the engine is to run. */
static bool wait_idle(void *opaque, MigSteered *steered)
{
    Session *s = opaque;
    s->engine_runs = s->started = false;
    if (!s->steered) {
        s->steered = steered;
        make_monitor(s);
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

static void on_event(void *opaque, const char *name, const char *event_status, uint64_t pass)
{
    Session *s = opaque;
    bool of_guest = strcmp(name, "STOP") == 0 || strcmp(name, "RESUME") == 0;
    if (event_status && strcmp(event_status, "completed") == 0) {
        s->gone = true;
    }
    if (s->monitor && (!of_guest || s->guest_runs)) { /* a guest that stood still is not stopped */
        mig_monitor_event(s->monitor, name, event_status, pass);
    }
}

static bool on_guest(void *opaque, bool running)
{
    Session *s = opaque;
    s->engine_stops = !running;
    return s->guest_runs;
}

MigSimulation *mig_simulate_monitored(const MigScenario *s, const MigSimulateOptions *options,
                                      const MigSimulatedOptions *monitor, GError **error)
{
    Session session = { .scenario = s, .options = monitor };
    MigSteering steering = {
        .opaque = &session,
        .wait = wait_idle,
        .event = on_event,
        .guest = on_guest,
    };
    MigSimulateOptions all = *options;
    all.steering = &steering;
    MigSimulation *m = mig_simulate(s, &all, error);
    mig_monitor_server_free(session.server);
    mig_monitor_free(session.monitor);
    if (session.error) {
        mig_simulation_free(m);
        g_clear_error(error);
        g_propagate_error(error, session.error);
        return NULL;
    }
    return m;
}
