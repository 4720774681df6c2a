/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both kinds of monitored sources do alike, see monitored.h. A command comes at an exact time
 * of the guest's clock, as the scenario's own events do, through the same functions
 * (scenario/run.c).
 *
 * Limits: pmemsave knows the scenario's first block only.
 */
#include "sim/monitor/monitored.h"

#include <string.h>

#include "sim/engine/source-postcopy.h"
#include "sim/monitor/query.h"
#include "sim/world/clock.h"

static int64_t now_of(const MigMonitored *t)
{
    return t->clock(t->opaque);
}

static bool refuse(GError **error, char *why)
{
    if (why) {
        g_set_error_literal(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC, why);
        g_free(why);
        return false;
    }
    return true;
}

/* What the monitor asks ---------------------------------------------------------------------- */

static int64_t now(void *opaque)
{
    return now_of(opaque);
}

static const char *status(void *opaque)
{
    return mig_source_status(((MigMonitored *)opaque)->m->source);
}

static const char *run_state(void *opaque)
{
    const MigMonitored *t = opaque;
    if (t->gone) {
        return "postmigrate";
    }
    return t->engine_stops ? "finish-migrate" : t->guest_runs ? "running" : "paused";
}

static json_object *query_migrate(void *opaque)
{
    MigMonitored *t = opaque;
    return mig_monitor_query(t->m->source, t->scenario->version, now_of(t));
}

static char *refused(void *opaque, MigCapabilitySet set, const MigParameters *p)
{
    return mig_scenario_run_refused(((MigMonitored *)opaque)->run, set, p);
}

static const MigParameters *parameters(void *opaque)
{
    return mig_source_parameters(((MigMonitored *)opaque)->m->source);
}

/* What it tells to do ------------------------------------------------------------------------ */

static bool set_parameters(void *opaque, const MigParameters *p, GError **error)
{
    MigMonitored *t = opaque;
    (void)error;
    mig_scenario_run_set_parameters(t->run, p, now_of(t));
    return true;
}

static bool cancel(void *opaque, GError **error)
{
    MigMonitored *t = opaque;
    (void)error;
    mig_scenario_run_cancel(t->run, now_of(t));
    mig_monitor_event(t->monitor, "MIGRATION", status(t), 0);
    return true;
}

static bool proceed(void *opaque, GError **error)
{
    MigMonitored *t = opaque;
    return refuse(error, mig_scenario_run_continue(t->run, status(t), now_of(t)));
}

static bool start_postcopy(void *opaque, GError **error)
{
    MigMonitored *t = opaque;
    mig_scenario_run_note(t->run, now_of(t), "migrate-start-postcopy", NULL, 0);
    return refuse(error, mig_source_start_postcopy(t->m->source));
}

static bool pause_line(void *opaque, GError **error)
{
    MigMonitored *t = opaque;
    const MigScenarioRun *run = t->run;
    mig_scenario_run_note(t->run, now_of(t), "migrate-pause", NULL, 0);
    if (!refuse(error, mig_source_pause(t->m->source))) {
        return false;
    }
    if (run->paused) {
        run->paused(run->postcopy);
    } else {
        run->cut(run->world);
    }
    return true;
}

static bool cut_link(void *opaque, GError **error)
{
    MigMonitored *t = opaque;
    (void)error;
    mig_scenario_run_note(t->run, now_of(t), "x-cut-link", NULL, 0);
    t->run->cut(t->run->world);
    return true;
}

static void run_guest(MigMonitored *t, bool running)
{
    MigBackend *b = t->run->backend;
    if (b) {
        b->ops->run(b, running);
    }
    (running ? mig_guest_start : mig_guest_stop)(t->m->guest, now_of(t));
}

static MigMemory *memory_of(const MigMonitored *t)
{
    MigBackend *b = t->run->backend;
    return b ? b->ops->memory(b) : mig_guest_memory(t->m->guest);
}

static bool stop(void *opaque, GError **error)
{
    MigMonitored *t = opaque;
    (void)error;
    t->guest_runs = false;
    run_guest(t, false);
    mig_monitor_event(t->monitor, "STOP", NULL, 0);
    return true;
}

static bool cont(void *opaque, GError **error)
{
    MigMonitored *t = opaque;
    (void)error;
    t->guest_runs = true;
    t->gone = t->engine_stops = false;
    run_guest(t, true);
    mig_monitor_event(t->monitor, "RESUME", NULL, 0);
    return true;
}

static bool pmemsave(void *opaque, uint64_t address, uint64_t size, const char *path,
                     GError **error)
{
    MigMonitored *t = opaque;
    return mig_monitor_save_memory(memory_of(t), address, size, path, error);
}

/* calc-dirty-rate ---------------------------------------------------------------------------- */

static void measured(void *opaque, int64_t at)
{
    MigMonitored *t = opaque;
    int64_t ms = (at - t->measured_from) / MIG_NS_PER_MS;
    mig_guest_advance(t->m->guest, at);
    MigDirtyRateResult r = mig_dirty_rate_end(g_steal_pointer(&t->measuring), ms);
    mig_monitor_measured(t->monitor, &r);
    g_free(r.by_vcpu);
}

static bool measure(void *opaque, const MigMonitorMeasure *how, GError **error)
{
    MigMonitored *t = opaque;
    const MigScenario *s = t->scenario;
    bool ring = s->tracking == MIG_TRACKING_KVM_RING;
    int64_t at = now_of(t);
    if (how->mode != MIG_DIRTY_RATE_PAGE_SAMPLING &&
        ring != (how->mode == MIG_DIRTY_RATE_DIRTY_RING)) {
        return refuse(error, g_strdup_printf("mode %s needs %s dirty ring: see the scenario's "
                                             "guest.dirty-tracking",
                                             mig_dirty_rate_mode_name(how->mode),
                                             ring ? "a guest without a" : "a guest with a"));
    }
    MigDirtyRateConfig config = {
        .mode = how->mode,
        .sample_pages = how->sample_pages,
        .seed = s->seed,
        .number = t->measurements++,
        .vcpus = MAX(s->vcpus, 1),
    };
    MigBackend *b = t->run->backend;
    mig_guest_advance(t->m->guest, at);
    t->measured_from = at;
    t->measuring = b ? b->ops->measure(b, &config) : mig_dirty_rate_begin(t->m->guest, &config);
    mig_events_add(t->run->events, at + how->ms * MIG_NS_PER_MS, measured, t);
    return true;
}

/* Dirty limits by hand ----------------------------------------------------------------------- */

static void set_dirty_limit(void *opaque, uint32_t vcpu, uint64_t rate)
{
    MigMonitored *t = opaque;
    uint32_t vcpus = MAX(t->scenario->vcpus, 1);
    for (uint32_t i = 0; i < vcpus; i++) {
        if (vcpu == MIG_ALL_VCPUS || vcpu == i) {
            mig_dirty_limit_set(t->limit, i, rate);
        }
    }
    mig_scenario_run_dirty_limit(t->run, now_of(t));
}

static bool dirty_limit(void *opaque, uint32_t vcpu, uint64_t *limit, uint64_t *rate)
{
    const MigDirtyLimit *d = ((MigMonitored *)opaque)->run->limit;
    *limit = d ? mig_dirty_limit_quota(d, vcpu) : 0;
    *rate = d ? mig_dirty_limit_rate(d, vcpu) : 0;
    return *limit > 0;
}

/* Making it ---------------------------------------------------------------------------------- */

void mig_monitored_begin(MigMonitored *t, MigMonitorTarget *target)
{
    *target = (MigMonitorTarget){
        .opaque = t,
        .era = t->run->era,
        .version = t->scenario->qemu,
        .host = t->scenario->tracking == MIG_TRACKING_KVM_RING ? MIG_HOST_DIRTY_RING : 0,
        .vcpus = MAX(t->scenario->vcpus, 1),
        .now = now,
        .run_state = run_state,
        .status = status,
        .query_migrate = query_migrate,
        .parameters = parameters,
        .refused = refused,
        .set_parameters = set_parameters,
        .cancel = cancel,
        .proceed = proceed,
        .start_postcopy = start_postcopy,
        .pause = pause_line,
        .stop = stop,
        .cont = cont,
        .pmemsave = pmemsave,
        .cut_link = cut_link,
        .measure = measure,
        .set_dirty_limit = set_dirty_limit,
        .dirty_limit = dirty_limit,
    };
    t->limit = mig_dirty_limit_new(target->vcpus, t->scenario->ring_pages, MIG_SCENARIO_PAGE);
    t->run->limit_by_hand = t->limit;
    t->guest_runs = mig_guest_running(t->m->guest);
}

bool mig_monitored_serve(MigMonitored *t, const MigMonitorTarget *target, const char *address,
                         GError **error)
{
    t->monitor = mig_monitor_new(target, t->scenario->capabilities, parameters(t));
    t->server = mig_monitor_server_new(t->monitor, address, error);
    return t->server != NULL;
}

void mig_monitored_clear(MigMonitored *t)
{
    mig_dirty_rate_free(g_steal_pointer(&t->measuring));
    mig_dirty_limit_free(g_steal_pointer(&t->limit));
    mig_monitor_server_free(g_steal_pointer(&t->server));
    mig_monitor_free(g_steal_pointer(&t->monitor));
}

/* What the engine tells ---------------------------------------------------------------------- */

void mig_monitored_event(MigMonitored *t, const char *name, const char *event_status, uint64_t pass)
{
    bool of_guest = strcmp(name, "STOP") == 0 || strcmp(name, "RESUME") == 0;
    if (event_status && strcmp(event_status, "completed") == 0) {
        t->gone = true;
    }
    if (t->monitor && (!of_guest || t->guest_runs)) { /* a guest that stood still is not stopped */
        mig_monitor_event(t->monitor, name, event_status, pass);
    }
}

bool mig_monitored_guest(MigMonitored *t, bool running)
{
    t->engine_stops = !running;
    return t->guest_runs;
}
