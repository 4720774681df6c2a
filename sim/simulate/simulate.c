/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a scenario, see simulate.h.
 *
 * The limit ends the run before the first operation that begins behind it.
 *
 * Limits. Until postcopy's package the destination engine works through bytes when they are sent,
 * not when they arrive; what that takes is priced by the world.
 */
#include "sim/simulate/internal.h"

#include <string.h>

#include "sim/simulate/snapshot.h"
#include "sim/simulate/stream-recorder.h"

#define PROGRESS_OPS 256u /* operations between two looks at the progress */

static void cancelled(void *world)
{
    mig_virtual_cancel(world);
}

static void continued(void *world)
{
    mig_virtual_interrupt(world, MIG_INTERRUPT_CONTINUE);
}

void mig_simulate_cut(void *world)
{
    mig_virtual_take_down(world);
    mig_virtual_cut(world, "Connection reset by peer");
}

/* What the world asks for ------------------------------------------------------------------ */

static void run_guest(void *opaque, bool running)
{
    Run *run = opaque;
    const MigSteering *steering = run->options->steering;
    if (steering && !steering->guest(steering->opaque, running)) {
        return;
    }
    (running ? mig_guest_start : mig_guest_stop)(run->m->guest,
                                                 *mig_guest_clock(&run->guest_clock));
    if (!running && run->incoming) {
        mig_incoming_stopped(run->incoming, run->clock.now);
    }
    mig_scenario_disks_run(run->m->disks, running, run->clock.now);
}

static void hint_free_pages(void *opaque, bool hinting)
{
    Run *run = opaque;
    mig_scenario_run_free_pages(&run->run, run->clock.now, hinting);
}

static void limit_dirt(void *opaque)
{
    Run *run = opaque;
    mig_scenario_run_dirty_limit(&run->run, run->clock.now);
}

/* The guest goes on; what arrives is compared with this. */
static void keep_snapshot(void *opaque)
{
    Run *run = opaque;
    g_clear_pointer(&run->m->snapshot, mig_buffer_free);
    if (run->m->dest && !run->stream_failed) {
        run->m->snapshot = mig_snapshot_take(mig_guest_memory(run->m->guest), &run->error);
        run->stream_failed = run->m->snapshot == NULL;
    }
}

static void throttle_guest(void *opaque, unsigned percent)
{
    Run *run = opaque;
    mig_guest_throttle(run->m->guest, *mig_guest_clock(&run->guest_clock), percent);
    mig_scenario_disks_throttle(run->m->disks, percent, run->clock.now);
}

/* mapped-ram: the file is there before anybody loads it. */
static void take_seek(void *opaque, uint64_t at)
{
    Run *run = opaque;
    mig_image_seek(run->image, at);
}

static bool take_place(void *opaque, uint64_t at, const void *data, size_t n)
{
    Run *run = opaque;
    const MigSimulateOptions *o = run->options;
    if (o->place && !run->stream_failed) {
        run->stream_failed = !o->place(o->opaque, at, data, n, &run->error);
    }
    if (!run->stream_failed) {
        run->stream_failed = !mig_image_place(run->image, at, data, n, &run->error);
    }
    return !run->stream_failed;
}

static bool take_bytes(void *opaque, uint32_t channel, const void *data, size_t n, int64_t arrival)
{
    Run *run = opaque;
    const MigSimulateOptions *o = run->options;
    (void)arrival;
    if (run->image) {
        return take_place(run, mig_image_next(run->image, n), data, n);
    }
    bool preempt =
        run->incoming && channel && channel == mig_source_preempt_channel(run->m->source);
    if (o->record && !run->stream_failed) {
        uint32_t kind = preempt ? MIG_RECORD_PREEMPT : channel;
        run->stream_failed = !o->record(o->opaque, MIG_RECORD_LINE(run->generation) | kind,
                                        run->clock.now, data, n, &run->error);
    } else if (channel == 0 && o->stream && !run->stream_failed) {
        run->stream_failed = !o->stream(o->opaque, data, n, &run->error);
    }
    if (run->incoming) {
        return mig_incoming_feed(run->incoming, channel, preempt, data, n);
    }
    return channel ? mig_dest_feed_channel(run->m->dest, channel, data, n)
                   : mig_dest_feed(run->m->dest, data, n);
}

static bool load_image(Run *run)
{
    g_autoptr(GError) error = NULL;
    bool multifd = run->s->capabilities & MIG_CAP_BIT(MIG_CAP_MULTIFD);
    const MigParameters *p = mig_source_parameters(run->m->source);
    bool fine = mig_image_load(run->image, run->m->dest, mig_buffer_memory(run->m->memory),
                               multifd ? (unsigned)p->multifd_channels : 0, &error);
    if (error) {
        run->m->dest_error = g_strdup(error->message);
    }
    return fine;
}

static void take_remote(void *opaque, uint32_t block, uint64_t page, const void *bytes)
{
    mig_dest_remote(((Run *)opaque)->m->dest, block, page, bytes);
}

static bool take_end(void *opaque, uint32_t channel)
{
    Run *run = opaque;
    if (run->incoming && channel == 0) {
        return mig_incoming_end(run->incoming);
    }
    if (channel == 0 && run->image) {
        return load_image(run);
    }
    return channel != 0 || mig_dest_end(run->m->dest);
}

static bool is_left_out(const void *source, uint32_t block, uint64_t page)
{
    return mig_source_is_left_out(source, block, page);
}

/* At the end of a migration: the source's guest may run on later, and with COLO it does at once. */
static void compare_memory(Run *run)
{
    MigSimulation *m = run->m;
    if (m->dest) {
        MigMemory *sent = m->snapshot ? mig_buffer_memory(m->snapshot) : mig_guest_memory(m->guest);
        bool equal = mig_memory_equal_but(sent, mig_buffer_memory(m->memory), is_left_out,
                                          m->source, &m->difference);
        m->verdict = equal ? MIG_MEMORY_EQUAL : MIG_MEMORY_DIFFERS;
    }
    run->compared = true;
}

static void take_event(void *opaque, int64_t at, const char *name, const char *status,
                       uint64_t pass)
{
    Run *run = opaque;
    const MigSteering *steering = run->options->steering;
    mig_scenario_run_note(&run->run, at, name, status, pass);
    if (status && strcmp(status, "colo") == 0) {
        compare_memory(run);
    }
    if (steering) {
        steering->event(steering->opaque, name, status, pass);
    }
}

static MigDevices *save_devices(void *opaque)
{
    const Run *run = opaque;
    return mig_scenario_run_devices(&run->run, run->clock.now);
}

/* Switchover-ack ----------------------------------------------------------------------------- */

/* It has come to the source. */
static void acknowledged(void *opaque, int64_t at)
{
    Run *run = opaque;
    mig_scenario_run_note(&run->run, at, "x-switchover-ack", NULL, 0);
    mig_source_acknowledge(run->m->source);
}

static void send_ack(Run *run)
{
    mig_events_add(run->run.events, run->clock.now + run->s->link.latency, acknowledged, run);
}

static void take_reply(void *opaque, const MigRecord *message)
{
    Run *run = opaque;
    if (message->rp.type == MIG_RP_SWITCHOVER_ACK) {
        send_ack(run);
    } else if (run->incoming) {
        mig_incoming_reply(run->incoming, message);
    }
}

/* A device of the destination; without a destination its last one speaks for it. */
static void device_acks(void *opaque, int64_t at)
{
    Run *run = opaque;
    (void)at;
    if (run->m->dest) {
        mig_dest_acknowledge(run->m->dest);
    } else if (--run->acks == 0 || run->run.era.switchover_ack == 2) {
        send_ack(run);
    }
}

static void plan_acks(Run *run)
{
    const GArray *acks = run->s->acks;
    bool wanted = run->s->capabilities & MIG_CAP_BIT(MIG_CAP_SWITCHOVER_ACK);
    run->acks = acks->len;
    for (guint i = 0; wanted && i < acks->len; i++) {
        int64_t at = g_array_index(acks, int64_t, i);
        if (at >= 0) {
            mig_events_add(run->run.events, at, device_acks, run);
        }
    }
    run->acks_at_once =
        wanted && acks->len == 0 && !run->m->dest && run->run.era.switchover_ack == 1;
}

/* A destination without such devices acknowledges when it hears that there is a return path, which
 * is in the first bytes that leave, at |at|. Here nobody reads them. */
static void see_first_bytes(Run *run, int64_t at, const MigOutcome *outcome)
{
    if (run->acks_at_once && outcome->flushed > 0) {
        run->acks_at_once = false;
        mig_events_add(run->run.events, at + run->s->link.latency, acknowledged, run);
    }
}

/* Making and running it -------------------------------------------------------------------- */

/* A machine knows its own devices, and without footers nothing else tells where they end. */
static uint64_t body_size(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal)
{
    const Run *run = opaque;
    (void)ordinal;
    return mig_scenario_body_size(run->s, idstr, instance);
}

static bool starts_postcopy(const Run *run)
{
    bool starts = run->options->steering != NULL;
    for (guint i = 0; i < run->s->events->len && !starts; i++) {
        const MigScenarioEvent *e = &g_array_index(run->s->events, MigScenarioEvent, i);
        starts = e->action == MIG_ACTION_START_POSTCOPY;
    }
    return starts;
}

/* For its bytes, or, without any, for its faults: where postcopy may begin. */
static bool wants_destination(const Run *run, MigCapabilitySet capabilities)
{
    MigCapabilitySet at_once =
        MIG_CAP_BIT(MIG_CAP_DIRTY_BITMAPS) | MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT);
    return !run->options->accounting || capabilities & at_once ||
           (capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) && starts_postcopy(run));
}

static bool make_destination(Run *run, MigCapabilitySet capabilities, GError **error)
{
    MigSimulation *m = run->m;
    bool mapped = capabilities & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM);
    g_clear_pointer(&run->image, mig_image_free);
    if (mapped && !(run->image = mig_image_new(error))) {
        return false;
    }
    MigDestConfig config = {
        .machine = run->s->machine,
        .capabilities = capabilities,
        .acks = run->s->acks->len,
        .reply = take_reply,
        .body_size = body_size,
        .opaque = run,
    };
    mig_era_resolve(run->s->destination_version, run->s->machine, &config.era);
    m->memory = mig_buffer_new(mig_guest_memory(m->guest), NULL, error);
    if (!m->memory) {
        return false;
    }
    mig_scenario_disks_free(m->dest_disks);
    m->dest_disks = mig_scenario_disks_destination(run->s, error);
    if (m->disks && !m->dest_disks) {
        return false;
    }
    config.disks = mig_scenario_disks_of(m->dest_disks);
    config.rdma = run->s->link.rdma;
    config.memory = mig_buffer_memory(m->memory);
    config.has_uuid = run->s->has_uuid;
    memcpy(config.uuid, run->s->uuid, sizeof(config.uuid));
    m->dest = mig_dest_new(&config);
    mig_simulate_postcopy_begin(run, capabilities);
    return true;
}

static void make_world(Run *run)
{
    MigVirtualConfig config = {
        .clock = &run->clock,
        .memory = mig_guest_memory(run->m->guest),
        .costs = run->s->host,
        .receiver = run->s->destination_host,
        .decompress_threads = mig_source_parameters(run->m->source)->decompress_threads,
        .link = run->s->link,
        .guest = { .opaque = run,
                   .run = run_guest,
                   .throttle = throttle_guest,
                   .frozen = keep_snapshot,
                   .dirty_limit = limit_dirt,
                   .free_pages = hint_free_pages },
        .observer = { .opaque = run, .event = take_event },
        .devices = save_devices,
        .devices_opaque = run,
    };
    config.elastic = run->run.era.quota == MIG_QUOTA_WRITTEN;
    config.limit = config.link.horizon = run->s->limit;
    if (run->s->capabilities & MIG_CAP_BIT(MIG_CAP_MULTIFD)) {
        config.link.flows = mig_source_parameters(run->m->source)->multifd_channels;
    }
    if (run->s->link.rdma) {
        const MigParameters *p = mig_source_parameters(run->m->source);
        config.rdma.chunk = p->x_rdma_chunk_size;
        config.rdma.pin_all = run->s->capabilities & MIG_CAP_BIT(MIG_CAP_RDMA_PIN_ALL);
    }
    if (run->m->dest) {
        config.sink = (MigSink){
            .opaque = run,
            .bytes = take_bytes,
            .end = take_end,
            .seek = take_seek,
            .place = take_place,
        };
        config.sink.remote = take_remote;
    }
    mig_simulate_postcopy_world(run, &config);
    run->world = mig_virtual_new(&config);
    if (run->incoming) {
        mig_incoming_attach(run->incoming, run->m->dest, run->world);
    }
    mig_simulate_postcopy_run(run);
    run->run.world = run->world;
    run->run.events = mig_virtual_events(run->world);
    run->run.cancelled = cancelled;
    run->run.cut = mig_simulate_cut;
    run->run.continued = continued;
}

static const char *must_end(const Run *run)
{
    const volatile sig_atomic_t *interrupted = run->options->interrupted;
    if (interrupted && *interrupted) {
        return "interrupted";
    }
    if (run->quit) {
        return "quit";
    }
    return run->clock.now > run->s->limit ? "limit" : NULL;
}

/* As far as no time passes: the status is setup then, and everybody was told. */
static void begin_engine(Run *run)
{
    MigOutcome outcome = { .now = run->clock.now };
    while ((run->op = mig_source_next(run->m->source, &outcome))->kind == MIG_OP_NOTIFY) {
        outcome = mig_virtual_do(run->world, run->op);
    }
}

/* Of disks that were to be copied; which are, the engine that has ended knows. */
static void compare_disks(Run *run)
{
    MigSimulation *m = run->m;
    bool contents = false, bitmaps = false;
    mig_source_copies(m->source, &contents, &bitmaps);
    g_clear_pointer(&m->disk_difference, g_free);
    m->disks_compared =
        m->disks && m->dest_disks && mig_source_completed(m->source) && (contents || bitmaps);
    if (m->disks_compared) {
        m->disk_difference =
            mig_scenario_disks_difference(m->disks, m->dest_disks, contents, bitmaps);
    }
}

static void run_engine(Run *run)
{
    MigOutcome outcome;
    uint64_t ops = 0;
    run->m->verdict = MIG_MEMORY_NOT_COMPARED;
    run->compared = false;
    for (; run->op->kind != MIG_OP_DONE; run->op = mig_source_next(run->m->source, &outcome)) {
        run->m->outcome = must_end(run);
        if (run->m->outcome || run->stream_failed) {
            return;
        }
        int64_t began = run->clock.now;
        outcome = mig_virtual_do(run->world, run->op);
        see_first_bytes(run, began, &outcome);
        mig_guest_clock_did(&run->guest_clock, run->op, &outcome);
        if (run->options->did) {
            run->options->did(run->options->opaque, run->m->source, run->op, began, &outcome);
        }
        if (run->options->progress && ops++ % PROGRESS_OPS == 0) {
            run->options->progress(run->options->opaque, run->m->source, run->clock.now);
        }
    }
    if (mig_source_completed(run->m->source) && !run->compared) {
        compare_memory(run);
    }
    compare_disks(run);
}

/* Steering --------------------------------------------------------------------------------- */

MigScenarioRun *mig_steered_run(MigSteered *s)
{
    return &s->run;
}

MigSimulation *mig_steered_simulation(MigSteered *s)
{
    return s->m;
}

int64_t mig_steered_now(const MigSteered *s)
{
    return s->clock.now;
}

void mig_steered_advance(MigSteered *s, int64_t until)
{
    mig_virtual_wait(s->world, until);
}

/* A world of its own for the next migration; who waits for a time goes on waiting. */
static void renew_world(Run *run)
{
    MigEvents waiting = *mig_virtual_events(run->world);
    *mig_virtual_events(run->world) = (MigEvents){ 0 };
    mig_virtual_free(run->world);
    make_world(run);
    *mig_virtual_events(run->world) = waiting;
}

/* Where nobody wants bytes, runs may be long; but a guest whose clock is pages is told of each. */
static unsigned run_length(const Run *run)
{
    bool may = run->options->accounting && !run->m->dest && !run->s->counts_pages;
    return may && !run->options->max_run ? MIG_RUN_LONG : run->options->max_run;
}

bool mig_steered_begin(MigSteered *s, MigCapabilitySet capabilities, const MigParameters *p,
                       GError **error)
{
    MigSimulation *m = s->m;
    mig_source_free(g_steal_pointer(&m->source));
    g_clear_pointer(&s->incoming, mig_incoming_free);
    mig_dest_free(g_steal_pointer(&m->dest));
    mig_buffer_free(g_steal_pointer(&m->memory));
    s->run.capabilities = &capabilities;
    s->run.parameters = p;
    mig_scenario_run_source(&s->run, mig_guest_memory(m->guest), run_length(s));
    s->run.capabilities = NULL;
    s->run.parameters = NULL;
    m->source = s->run.source;
    if (wants_destination(s, capabilities) && !make_destination(s, capabilities, error)) {
        return false;
    }
    renew_world(s);
    begin_engine(s);
    return true;
}

void mig_steered_quit(MigSteered *s)
{
    s->quit = true;
}

static void run_steered(Run *run)
{
    const MigSteering *steering = run->options->steering;
    while (steering->wait(steering->opaque, run)) {
        run_engine(run);
        if (run->m->outcome || run->stream_failed) {
            return;
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
    m->rdma = mig_virtual_rdma_counts(run->world);
    m->events_digest = g_strdup(mig_virtual_events_digest(run->world));
    m->bytes_digest = m->dest ? g_strdup(mig_virtual_bytes_digest(run->world)) : NULL;
    mig_guest_advance(m->guest, *mig_guest_clock(&run->guest_clock)); /* whoever looked last */
    m->guest_stats = mig_guest_stats(m->guest);
    if (run->incoming) {
        m->incoming = mig_incoming_result(run->incoming);
    }
    describe_failure(m);
}

MigSimulation *mig_simulate(const MigScenario *s, const MigSimulateOptions *options, GError **error)
{
    g_autoptr(MigSimulation) m = g_new0(MigSimulation, 1);
    Run run = { .m = m, .s = s, .options = options };
    m->scenario = s;
    m->events = g_array_new(FALSE, FALSE, sizeof(MigSimulationEvent));
    run.guest_clock = (MigGuestClock){ &run.clock, .counts_pages = s->counts_pages };
    m->guest = mig_scenario_guest(s, mig_guest_clock(&run.guest_clock));
    m->disks = mig_scenario_disks_source(s, &run.clock.now);
    run.run = (MigScenarioRun){ .scenario = s, .guest = m->guest, .log = m->events };
    run.run.disks = mig_scenario_disks_of(m->disks);
    run.run.transport = s->link.rdma ? MIG_TRANSPORT_RDMA : MIG_TRANSPORT_STREAM;
    mig_era_resolve(s->version, s->machine, &run.run.era);
    if (wants_destination(&run, s->capabilities) &&
        !make_destination(&run, s->capabilities, error)) {
        return NULL;
    }
    mig_scenario_run_source(&run.run, mig_guest_memory(m->guest), run_length(&run));
    m->source = run.run.source;
    m->refused =
        mig_scenario_run_refused(&run.run, s->capabilities, mig_source_parameters(m->source));
    make_world(&run);
    mig_scenario_run_plan(&run.run);
    plan_acks(&run);
    if (options->steering) {
        run_steered(&run);
    } else if (!m->refused) {
        begin_engine(&run);
        run_engine(&run);
    }
    conclude(&run);
    mig_incoming_free(run.incoming);
    mig_image_free(run.image);
    mig_virtual_free(run.world);
    mig_scenario_run_clear(&run.run);
    mig_guest_detach(m->guest);
    mig_scenario_disks_detach(m->disks);
    if (run.error) {
        g_propagate_error(error, run.error);
        return NULL;
    }
    return g_steal_pointer(&m);
}
