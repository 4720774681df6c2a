/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a scenario, see simulate.h.
 *
 * Conditional events are looked for every `x-poll`, as a management tool does that asks
 * query-migrate; those with "at" and a time alone happen at it. The limit ends the run before the
 * first operation that begins behind it.
 *
 * Limits. The destination engine works through bytes when they are sent, not when they arrive; what
 * that takes is priced by the world.
 */
#include "sim/simulate.h"

#include <string.h>

#include "sim/world/virtual.h"

#define PROGRESS_OPS 256u /* operations between two looks at the progress */

typedef struct Run {
    MigSimulation *m;
    const MigScenario *s;
    const MigSimulateOptions *options;
    MigClock clock;
    MigVirtual *world;
    MigEra era;
    bool *fired; /* one per event of the scenario */
    bool stream_failed;
    GError *error;
} Run;

typedef struct Timed {
    Run *run;
    uint32_t event;
} Timed;

static void note(Run *run, int64_t at, const char *name, const char *status, uint64_t pass)
{
    MigSimulationEvent e = { .at = at, .name = name, .status = status, .pass = pass };
    g_array_append_val(run->m->events, e);
}

/* Events of the scenario ------------------------------------------------------------------- */

static void set_parameters(Run *run, const MigScenarioEvent *e, int64_t at)
{
    MigParameters p = *mig_source_parameters(run->m->source);
    mig_parameters_apply(&p, &e->parameters);
    mig_source_set_parameters(run->m->source, &p);
    note(run, at, "migrate-set-parameters", NULL, 0);
}

static void cancel(Run *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    note(run, at, "migrate_cancel", NULL, 0);
    if (mig_source_cancel(run->m->source)) {
        note(run, at, "MIGRATION", "cancelling", 0);
        mig_virtual_interrupt(run->world, MIG_INTERRUPT_CANCEL);
    }
}

static void cut_link(Run *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    note(run, at, "x-cut-link", NULL, 0);
    mig_virtual_cut(run->world, "Connection reset by peer");
}

static void write_pages(Run *run, const MigScenarioEvent *e, int64_t at)
{
    const MigScenarioWrite *w = &e->write;
    note(run, at, "x-write", NULL, 0);
    mig_guest_advance(run->m->guest, at);
    mig_guest_fill(run->m->guest, w->block, w->first, w->pages, w->byte);
}

static void fire(Run *run, uint32_t index, int64_t at)
{
    static void (*const actions[])(Run *, const MigScenarioEvent *, int64_t) = {
        [MIG_ACTION_SET_PARAMETERS] = set_parameters,
        [MIG_ACTION_CANCEL] = cancel,
        [MIG_ACTION_CUT_LINK] = cut_link,
        [MIG_ACTION_WRITE] = write_pages,
    };
    const MigScenarioEvent *e = &g_array_index(run->s->events, MigScenarioEvent, index);
    if (!run->fired[index]) {
        run->fired[index] = true;
        actions[e->action](run, e, at);
    }
}

static bool only_time(const MigScenarioEvent *e)
{
    return e->has_at && !e->has_after_pass && !e->has_remaining;
}

static bool holds(const Run *run, const MigScenarioEvent *e, int64_t at)
{
    const MigSource *source = run->m->source;
    uint64_t remaining = mig_source_remaining(source);
    return (!e->has_at || at >= e->at) &&
           (!e->has_after_pass || mig_source_sync_count(source) > e->after_pass) &&
           (!e->has_remaining || (remaining > 0 && remaining < e->remaining_below));
}

static void poll_events(void *opaque, int64_t at)
{
    Run *run = opaque;
    bool more = false;
    for (uint32_t i = 0; i < run->s->events->len; i++) {
        const MigScenarioEvent *e = &g_array_index(run->s->events, MigScenarioEvent, i);
        if (!run->fired[i] && !only_time(e) && holds(run, e, at)) {
            fire(run, i, at);
        }
        more = more || (!run->fired[i] && !only_time(e));
    }
    if (more) {
        mig_events_add(mig_virtual_events(run->world), at + run->s->poll, poll_events, run);
    }
}

static void timed_event(void *opaque, int64_t at)
{
    const Timed *t = opaque;
    fire(t->run, t->event, at);
}

static void plan_events(Run *run, Timed *timed)
{
    bool conditional = false;
    for (uint32_t i = 0; i < run->s->events->len; i++) {
        const MigScenarioEvent *e = &g_array_index(run->s->events, MigScenarioEvent, i);
        conditional = conditional || !only_time(e);
        timed[i] = (Timed){ run, i };
        if (only_time(e)) {
            mig_events_add(mig_virtual_events(run->world), e->at, timed_event, &timed[i]);
        }
    }
    if (conditional) {
        mig_events_add(mig_virtual_events(run->world), run->s->poll, poll_events, run);
    }
}

/* What the world asks for ------------------------------------------------------------------ */

static void run_guest(void *opaque, bool running)
{
    Run *run = opaque;
    (running ? mig_guest_start : mig_guest_stop)(run->m->guest, run->clock.now);
}

static void throttle_guest(void *opaque, unsigned percent)
{
    Run *run = opaque;
    mig_guest_throttle(run->m->guest, run->clock.now, percent);
}

static bool take_bytes(void *opaque, uint32_t channel, const void *data, size_t n, int64_t arrival)
{
    Run *run = opaque;
    (void)arrival;
    if (channel == 0 && run->options->stream && !run->stream_failed) {
        run->stream_failed = !run->options->stream(run->options->opaque, data, n, &run->error);
    }
    return channel != 0 || mig_dest_feed(run->m->dest, data, n);
}

static bool take_end(void *opaque, uint32_t channel)
{
    Run *run = opaque;
    return channel != 0 || mig_dest_end(run->m->dest);
}

static void take_event(void *opaque, int64_t at, const char *name, const char *status,
                       uint64_t pass)
{
    note(opaque, at, name, status, pass);
}

/* One device of the list; those that the engine knows have their own states. */
static void add_device(const Run *run, MigDevices *devices, const MigScenarioDevice *d,
                       uint32_t section_id)
{
    if (strcmp(d->idstr, "timer") == 0) {
        mig_devices_add_timer(devices, &run->era, section_id, run->clock.now);
    } else if (strcmp(d->idstr, "globalstate") == 0) {
        mig_devices_add_globalstate(devices, &run->era, section_id, run->s->run_state);
    } else {
        g_autofree uint8_t *body = g_malloc0(d->length + 1);
        mig_devices_add_opaque(devices, d->idstr, d->instance, d->version, section_id, body,
                               d->length);
    }
}

/* Section ids behind those of RAM: the timer's is 0, as registered first. */
static uint32_t section_of(const Run *run, const MigScenarioDevice *d, uint32_t index)
{
    if (d->has_section_id) {
        return d->section_id;
    }
    return strcmp(d->idstr, "timer") == 0 ? 0 : run->era.ram_section_id + 1 + index;
}

static MigDevices *save_devices(void *opaque)
{
    const Run *run = opaque;
    const MigScenario *s = run->s;
    MigDevices *devices = mig_devices_new(&run->era, s->machine, MIG_SCENARIO_PAGE);
    MigScenarioDevice standard[] = {
        { .idstr = (char *)"timer" },
        { .idstr = (char *)"x-device-state", .version = 1, .length = s->device_state },
        { .idstr = (char *)"globalstate" },
    };
    for (uint32_t i = 0; !s->has_devices && i < G_N_ELEMENTS(standard); i++) {
        if (i != 1 || s->device_state > 0) {
            add_device(run, devices, &standard[i], section_of(run, &standard[i], i));
        }
    }
    for (uint32_t i = 0; s->has_devices && i < s->devices->len; i++) {
        const MigScenarioDevice *d = &g_array_index(s->devices, MigScenarioDevice, i);
        add_device(run, devices, d, section_of(run, d, i));
    }
    mig_devices_finish(devices);
    return devices;
}

/* Making and running it -------------------------------------------------------------------- */

static bool make_destination(Run *run, GError **error)
{
    MigSimulation *m = run->m;
    MigDestConfig config = { .machine = run->s->machine, .capabilities = run->s->capabilities };
    mig_era_resolve(run->s->destination_version, run->s->machine, &config.era);
    m->memory = mig_buffer_new(mig_guest_memory(m->guest), NULL, error);
    if (!m->memory) {
        return false;
    }
    config.memory = mig_buffer_memory(m->memory);
    m->dest = mig_dest_new(&config);
    return true;
}

static void make_source(Run *run)
{
    const MigScenario *s = run->s;
    MigSourceConfig config = {
        .era = run->era,
        .machine = s->machine,
        .memory = mig_guest_memory(run->m->guest),
        .capabilities = s->capabilities,
        .parameters = mig_parameters_default(&run->era),
        .guest_running = mig_guest_running(run->m->guest),
        .max_run = run->options->max_run,
    };
    if (s->tracking == MIG_TRACKING_KVM_MANUAL && run->era.lazy_clear) {
        config.clear_chunk_pages = 1u << 18; /* CLEAR_BITMAP_SHIFT_DEFAULT: 1 GiB of 4 KiB pages */
    }
    mig_parameters_apply(&config.parameters, &s->parameters);
    run->m->source = mig_source_new(&config);
}

static void make_world(Run *run)
{
    MigVirtualConfig config = {
        .clock = &run->clock,
        .memory = mig_guest_memory(run->m->guest),
        .costs = run->s->host,
        .receiver = run->s->destination_host,
        .link = run->s->link,
        .guest = { .opaque = run, .run = run_guest, .throttle = throttle_guest },
        .observer = { .opaque = run, .event = take_event },
        .devices = save_devices,
        .devices_opaque = run,
    };
    if (run->m->dest) {
        config.sink = (MigSink){ .opaque = run, .bytes = take_bytes, .end = take_end };
    }
    run->world = mig_virtual_new(&config);
}

static const char *must_end(const Run *run)
{
    const volatile sig_atomic_t *interrupted = run->options->interrupted;
    if (interrupted && *interrupted) {
        return "interrupted";
    }
    return run->clock.now > run->s->limit ? "limit" : NULL;
}

static void run_engine(Run *run)
{
    MigOutcome outcome = { .now = run->clock.now };
    const MigOp *op;
    uint64_t ops = 0;
    while ((op = mig_source_next(run->m->source, &outcome))->kind != MIG_OP_DONE) {
        run->m->outcome = must_end(run);
        if (run->m->outcome || run->stream_failed) {
            return;
        }
        outcome = mig_virtual_do(run->world, op);
        if (run->options->progress && ops++ % PROGRESS_OPS == 0) {
            run->options->progress(run->options->opaque, run->m->source, run->clock.now);
        }
    }
}

static void describe_failure(MigSimulation *m)
{
    if (m->dest && mig_dest_state(m->dest) == MIG_DEST_FAILED) {
        const MigDiagnosis *d = mig_dest_error(m->dest);
        m->dest_error = g_strdup_printf("byte %" G_GUINT64_FORMAT ", %s: expected %s, found %s",
                                        d->offset, d->path, d->expected, d->found);
    }
}

static void conclude(Run *run)
{
    MigSimulation *m = run->m;
    m->now = run->clock.now;
    m->dest_done = mig_virtual_receiver_done(run->world);
    m->events_digest = g_strdup(mig_virtual_events_digest(run->world));
    m->bytes_digest = m->dest ? g_strdup(mig_virtual_bytes_digest(run->world)) : NULL;
    m->guest_stats = mig_guest_stats(m->guest);
    describe_failure(m);
    if (m->dest && mig_source_completed(m->source)) {
        bool equal = mig_memory_equal(mig_guest_memory(m->guest), mig_buffer_memory(m->memory),
                                      &m->difference);
        m->verdict = equal ? MIG_MEMORY_EQUAL : MIG_MEMORY_DIFFERS;
    }
}

MigSimulation *mig_simulate(const MigScenario *s, const MigSimulateOptions *options, GError **error)
{
    g_autoptr(MigSimulation) m = g_new0(MigSimulation, 1);
    g_autofree Timed *timed = g_new0(Timed, s->events->len + 1);
    g_autofree bool *fired = g_new0(bool, s->events->len + 1);
    Run run = { .m = m, .s = s, .options = options, .fired = fired };
    m->scenario = s;
    m->events = g_array_new(FALSE, FALSE, sizeof(MigSimulationEvent));
    m->guest = mig_scenario_guest(s, &run.clock.now);
    mig_era_resolve(s->version, s->machine, &run.era);
    if (!options->accounting && !make_destination(&run, error)) {
        return NULL;
    }
    make_source(&run);
    make_world(&run);
    plan_events(&run, timed);
    run_engine(&run);
    conclude(&run);
    mig_virtual_free(run.world);
    mig_guest_detach(m->guest);
    if (run.error) {
        g_propagate_error(error, run.error);
        return NULL;
    }
    return g_steal_pointer(&m);
}

void mig_simulation_free(MigSimulation *m)
{
    if (!m) {
        return;
    }
    mig_source_free(m->source);
    mig_dest_free(m->dest);
    mig_guest_free(m->guest);
    mig_buffer_free(m->memory);
    g_array_unref(m->events);
    g_free(m->dest_error);
    g_free(m->events_digest);
    g_free(m->bytes_digest);
    g_free(m);
}

bool mig_simulation_fine(const MigSimulation *m)
{
    return !m->outcome && mig_source_completed(m->source) && !m->dest_error &&
           m->verdict != MIG_MEMORY_DIFFERS &&
           (!m->dest || mig_dest_state(m->dest) == MIG_DEST_COMPLETED);
}
