/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scenario while it runs, see run.h. Conditional events are looked for every `x-poll`,
 * as a management tool does that asks query-migrate; those with "at" and a time alone happen at it.
 */
#include "sim/scenario/run.h"

#include "sim/engine/source-postcopy.h"

#include <string.h>

typedef struct MigTimedEvent {
    MigScenarioRun *run;
    uint32_t event;
} MigTimedEvent;

/* Events ----------------------------------------------------------------------------------- */

void mig_scenario_run_note(MigScenarioRun *run, int64_t at, const char *name, const char *status,
                           uint64_t pass)
{
    MigSimulationEvent e = { .at = at, .name = name, .status = status, .pass = pass };
    g_array_append_val(run->log, e);
}

void mig_scenario_run_set_parameters(MigScenarioRun *run, const MigParameters *p, int64_t at)
{
    mig_source_set_parameters(run->source, p);
    mig_scenario_run_note(run, at, "migrate-set-parameters", NULL, 0);
}

static void set_parameters(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    MigParameters p = *mig_source_parameters(run->source);
    mig_parameters_apply(&p, &e->parameters);
    mig_scenario_run_set_parameters(run, &p, at);
}

void mig_scenario_run_cancel(MigScenarioRun *run, int64_t at)
{
    mig_scenario_run_note(run, at, "migrate_cancel", NULL, 0);
    if (mig_source_cancel(run->source)) {
        mig_scenario_run_note(run, at, "MIGRATION", mig_source_status(run->source), 0);
        run->cancelled(run->world);
    }
}

static void cancel(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    mig_scenario_run_cancel(run, at);
}

static void cut_link(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    mig_scenario_run_note(run, at, "x-cut-link", NULL, 0);
    run->cut(run->world);
}

char *mig_scenario_run_continue(MigScenarioRun *run, const char *state, int64_t at)
{
    char *refused = mig_source_continue(run->source, state);
    mig_scenario_run_note(run, at, "migrate-continue", NULL, 0);
    if (!refused && run->continued) {
        run->continued(run->world);
    }
    return refused;
}

/* In a wrong state it does nothing, as a monitor would say. */
static void go_on(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    g_free(mig_scenario_run_continue(run, e->state, at));
}

static void make_fail(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    mig_scenario_run_note(run, at, "x-fail", NULL, 0);
    mig_source_make_fail(run->source, e->step);
}

/* In a wrong state these do nothing either. */
static void start_postcopy(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    mig_scenario_run_note(run, at, "migrate-start-postcopy", NULL, 0);
    g_free(mig_source_start_postcopy(run->source));
}

static void pause_postcopy(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    g_autofree char *refused = mig_source_pause(run->source);
    mig_scenario_run_note(run, at, "migrate-pause", NULL, 0);
    if (!refused && run->paused) {
        run->paused(run->postcopy);
    }
}

static void recover(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    mig_scenario_run_note(run, at, "migrate-recover", NULL, 0);
    if (run->recover) {
        run->recover(run->postcopy, at, e->link_back);
    }
}

static void kill_destination(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    mig_scenario_run_note(run, at, "x-kill-destination", NULL, 0);
    if (run->kill) {
        run->kill(run->postcopy);
    }
}

static void write_pages(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    const MigScenarioWrite *w = &e->write;
    mig_scenario_run_note(run, at, "x-write", NULL, 0);
    if (run->backend) {
        run->backend->ops->fill(run->backend, w->block, w->first, w->pages, w->byte);
        return;
    }
    if (!run->scenario->counts_pages) {
        mig_guest_advance(run->guest, at);
    }
    mig_guest_fill(run->guest, w->block, w->first, w->pages, w->byte);
}

/* Its run state is paused from now on, also at the destination. */
static void stop_guest(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    (void)e;
    mig_scenario_run_note(run, at, "STOP", NULL, 0);
    run->stopped = true;
    if (run->backend) {
        run->backend->ops->run(run->backend, false);
    } else {
        mig_guest_stop(run->guest, at);
    }
}

static void add_block(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    mig_scenario_run_note(run, at, "x-add-block", NULL, 0);
    mig_source_add_block(run->source, e->change.name, e->change.migratable);
}

static void remove_block(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    mig_scenario_run_note(run, at, "x-remove-block", NULL, 0);
    mig_source_remove_block(run->source, e->change.block);
}

static void resize_block(MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    MigMemory *m = run->memory;
    mig_scenario_run_note(run, at, "x-resize-block", NULL, 0);
    bool resized = m->ops->resize && m->ops->resize(m, e->change.block, e->change.size);
    if (mig_source_resize_block(run->source, e->change.block)) {
        mig_scenario_run_cancel(run, at);
    } else if (!resized) {
        mig_source_abort(run->source, g_strdup("this guest's memory can't be resized"));
    }
}

static void fire(MigScenarioRun *run, uint32_t index, int64_t at)
{
    static void (*const actions[])(MigScenarioRun *, const MigScenarioEvent *, int64_t) = {
        [MIG_ACTION_SET_PARAMETERS] = set_parameters,
        [MIG_ACTION_CANCEL] = cancel,
        [MIG_ACTION_CUT_LINK] = cut_link,
        [MIG_ACTION_WRITE] = write_pages,
        [MIG_ACTION_CONTINUE] = go_on,
        [MIG_ACTION_FAIL] = make_fail,
        [MIG_ACTION_START_POSTCOPY] = start_postcopy,
        [MIG_ACTION_PAUSE] = pause_postcopy,
        [MIG_ACTION_RECOVER] = recover,
        [MIG_ACTION_ADD_BLOCK] = add_block,
        [MIG_ACTION_REMOVE_BLOCK] = remove_block,
        [MIG_ACTION_RESIZE_BLOCK] = resize_block,
        [MIG_ACTION_KILL] = kill_destination,
        [MIG_ACTION_STOP] = stop_guest,
    };
    const MigScenarioEvent *e = &g_array_index(run->scenario->events, MigScenarioEvent, index);
    if (!run->fired[index]) {
        run->fired[index] = true;
        actions[e->action](run, e, at);
    }
}

static bool only_time(const MigScenarioEvent *e)
{
    return e->has_at && !e->has_after_pass && !e->has_remaining && !e->status;
}

static bool holds(const MigScenarioRun *run, const MigScenarioEvent *e, int64_t at)
{
    const MigSource *source = run->source;
    uint64_t remaining = mig_source_remaining(source);
    return (!e->has_at || at >= e->at) &&
           (!e->has_after_pass || mig_source_sync_count(source) > e->after_pass) &&
           (!e->status || strcmp(mig_source_status(source), e->status) == 0) &&
           (!e->has_remaining || (remaining > 0 && remaining < e->remaining_below));
}

static void poll_events(void *opaque, int64_t at)
{
    MigScenarioRun *run = opaque;
    bool more = false;
    for (uint32_t i = 0; i < run->scenario->events->len; i++) {
        const MigScenarioEvent *e = &g_array_index(run->scenario->events, MigScenarioEvent, i);
        if (!run->fired[i] && !only_time(e) && holds(run, e, at)) {
            fire(run, i, at);
        }
        more = more || (!run->fired[i] && !only_time(e));
    }
    if (more) {
        mig_events_add(run->events, at + run->scenario->poll, poll_events, run);
    }
}

static void timed_event(void *opaque, int64_t at)
{
    const MigTimedEvent *t = opaque;
    fire(t->run, t->event, at);
}

void mig_scenario_run_plan(MigScenarioRun *run)
{
    run->fired = g_new0(bool, run->scenario->events->len + 1);
    run->timed = g_new0(MigTimedEvent, run->scenario->events->len + 1);
    bool conditional = false;
    for (uint32_t i = 0; i < run->scenario->events->len; i++) {
        const MigScenarioEvent *e = &g_array_index(run->scenario->events, MigScenarioEvent, i);
        conditional = conditional || !only_time(e);
        run->timed[i] = (MigTimedEvent){ run, i };
        if (only_time(e)) {
            mig_events_add(run->events, e->at, timed_event, &run->timed[i]);
        }
    }
    if (conditional) {
        mig_events_add(run->events, run->scenario->poll, poll_events, run);
    }
}

void mig_scenario_run_clear(MigScenarioRun *run)
{
    g_clear_pointer(&run->fired, g_free);
    g_clear_pointer(&run->timed, g_free);
}

/* Free pages ------------------------------------------------------------------------------- */

/* The balloon's driver answers: what is free at this time. */
static void report_free_pages(void *opaque, int64_t at)
{
    MigScenarioRun *run = opaque;
    const GArray *list = run->scenario->free_pages;
    run->hint_event = 0;
    for (guint i = 0; i < list->len; i++) {
        const MigScenarioFree *f = &g_array_index(list, MigScenarioFree, i);
        if (at >= f->from && at < f->until) {
            mig_source_hint_free(run->source, f->block, f->first, f->pages);
        }
    }
}

void mig_scenario_run_free_pages(MigScenarioRun *run, int64_t at, bool hinting)
{
    if (run->hint_event) {
        mig_events_cancel(run->events, run->hint_event);
        run->hint_event = 0;
    }
    if (hinting) {
        run->hint_event =
            mig_events_add(run->events, at + run->scenario->hint_delay, report_free_pages, run);
    }
}

/* Devices ---------------------------------------------------------------------------------- */

/* One device of the list; those that the engine knows have their own states. */
static void add_device(const MigScenarioRun *run, int64_t now, MigDevices *devices,
                       const MigScenarioDevice *d, uint32_t section_id)
{
    if (d->body) {
        mig_devices_add_opaque(devices, d->idstr, d->instance, d->version, section_id, d->body,
                               d->length);
    } else if (strcmp(d->idstr, "timer") == 0) {
        mig_devices_add_timer(devices, &run->era, section_id, now);
    } else if (strcmp(d->idstr, "globalstate") == 0) {
        bool woken = run->source && mig_source_woke_guest(run->source);
        mig_devices_add_globalstate(devices, &run->era, section_id,
                                    woken          ? "running"
                                    : run->stopped ? "paused"
                                                   : run->scenario->run_state);
    } else {
        g_autofree uint8_t *body = g_malloc0(d->length + 1);
        mig_devices_add_opaque(devices, d->idstr, d->instance, d->version, section_id, body,
                               d->length);
    }
}

/* Section ids behind those of RAM: the timer's is 0, as registered first. */
static uint32_t section_of(const MigScenarioRun *run, const MigScenarioDevice *d, uint32_t index)
{
    if (d->has_section_id) {
        return d->section_id;
    }
    return strcmp(d->idstr, "timer") == 0 ? 0 : run->era.ram_section_id + 1 + index;
}

MigDevices *mig_scenario_run_devices(const MigScenarioRun *run, int64_t now)
{
    const MigScenario *s = run->scenario;
    MigDevices *devices = mig_devices_new(&run->era, s->machine, MIG_SCENARIO_PAGE);
    MigScenarioDevice standard[] = {
        { .idstr = (char *)"timer" },
        { .idstr = (char *)"x-device-state", .version = 1, .length = s->device_state },
        { .idstr = (char *)"globalstate" },
    };
    for (uint32_t i = 0; !s->has_devices && i < G_N_ELEMENTS(standard); i++) {
        if (i != 1 || s->device_state > 0) {
            add_device(run, now, devices, &standard[i], section_of(run, &standard[i], i));
        }
    }
    for (uint32_t i = 0; s->has_devices && i < s->devices->len; i++) {
        const MigScenarioDevice *d = &g_array_index(s->devices, MigScenarioDevice, i);
        add_device(run, now, devices, d, section_of(run, d, i));
    }
    mig_devices_finish(devices);
    return devices;
}

/* The source ------------------------------------------------------------------------------- */

void mig_scenario_run_source(MigScenarioRun *run, MigMemory *memory, unsigned max_run)
{
    const MigScenario *s = run->scenario;
    MigSourceConfig config = {
        .era = run->era,
        .machine = s->machine,
        .memory = memory,
        .disks = run->disks,
        .transport = run->transport,
        .guest_suspended = strcmp(s->run_state, "suspended") == 0,
        .observer = run->observer,
        .blk = s->blk,
        .inc = s->inc,
        .blockers = s->blockers,
        .acks = s->acks->len,
        .free_page_hints = s->free_pages->len > 0,
        .vcpus = s->vcpus,
        .ring_pages = s->tracking == MIG_TRACKING_KVM_RING ? s->ring_pages : 0,
        .capabilities = s->capabilities,
        .parameters = mig_parameters_default(&run->era),
        .guest_running = mig_guest_running(run->guest),
        .max_run = max_run,
        .file_offset = run->file_offset,
    };
    if (s->tracking == MIG_TRACKING_KVM_MANUAL && run->era.lazy_clear) {
        config.clear_chunk_pages = 1u << 18; /* CLEAR_BITMAP_SHIFT_DEFAULT: 1 GiB of 4 KiB pages */
    }
    mig_parameters_apply(&config.parameters, &s->parameters);
    config.capabilities = run->capabilities ? *run->capabilities : config.capabilities;
    config.parameters = run->parameters ? *run->parameters : config.parameters;
    run->memory = memory;
    config.has_uuid = s->has_uuid;
    memcpy(config.uuid, s->uuid, sizeof(config.uuid));
    run->source = mig_source_new(&config);
}

char *mig_scenario_run_refused(const MigScenarioRun *run, MigCapabilitySet capabilities,
                               const MigParameters *p)
{
    return mig_migrate_refused(run->scenario->blockers, capabilities, p, run->era.binary);
}
