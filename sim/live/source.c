/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source whose destination is real, see live.h. On the real clock the guest's memory is a mapping
 * that follows it. On the virtual clock the simulator runs as it always does and its bytes go to
 * the transport instead of a file; the destination's verdict is waited for in the end.
 */
#include <unistd.h>

#include "sim/engine/source-postcopy.h"
#include "sim/live/live.h"
#include "sim/simulate/guest-clock.h"
#include "sim/simulate/snapshot.h"
#include "sim/world/hurry.h"
#include "sim/world/real-answers.h"

#define PROGRESS_OPS 64u           /* operations between two looks at the progress */
#define STEERER_NS   MIG_NS_PER_MS /* between two looks at what the steerer wants, while busy */
#define RESUME_NS    (100 * MIG_NS_PER_MS) /* between two attempts to resume, where nobody steers */

struct MigLive {
    MigSimulation *m;
    const MigLiveOptions *options;
    const MigUri *uri; /* of the migration under way */
    MigCapabilitySet capabilities;
    MigScenarioRun run;
    MigClock clock;
    MigGuestClock guest_clock;
    MigReal *world;
    const MigOp *op; /* the engine's next; NULL: it has not begun */
    int64_t looked;  /* ns: at the steerer, last */
    int64_t resumed; /* ns: the last attempt */
    bool hurries;    /* a guest at the other end waits for what it asked for */
};

typedef MigLive Live;

unsigned mig_count_descriptors(void)
{
    unsigned count = 0;
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (dir && g_dir_read_name(dir)) {
        count++;
    }
    if (dir) {
        g_dir_close(dir);
    }
    return count ? count - 1 : 0; /* the directory itself */
}

void mig_live_report_clear(MigLiveReport *r)
{
    g_clear_pointer(&r->error, g_free);
}

/* Hooks of the world ------------------------------------------------------------------------ */

static void run_guest(void *opaque, bool running)
{
    Live *live = opaque;
    const MigLiveSteering *steering = live->options->steering;
    if (steering && !steering->guest(steering->opaque, running)) {
        return;
    }
    (running ? mig_guest_start : mig_guest_stop)(live->m->guest,
                                                 *mig_guest_clock(&live->guest_clock));
    if (live->options->backend) {
        live->options->backend->ops->run(live->options->backend, running);
    }
    mig_scenario_disks_run(live->m->disks, running, live->clock.now);
}

static void hint_free_pages(void *opaque, bool hinting)
{
    Live *live = opaque;
    mig_scenario_run_free_pages(&live->run, live->clock.now, hinting);
}

static void limit_dirt(void *opaque)
{
    Live *live = opaque;
    mig_scenario_run_dirty_limit(&live->run, live->clock.now);
}

/* The guest goes on: --dump is of the memory as it is now. */
static void keep_snapshot(void *opaque)
{
    Live *live = opaque;
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&live->m->snapshot, mig_buffer_free);
    if (live->options->keep_snapshot) {
        live->m->snapshot = mig_snapshot_take(mig_live_memory(live), &error);
    }
    if (error) {
        mig_real_shutdown(live->world, "no memory for a copy of the guest's (--dump)");
    }
}

static void throttle_guest(void *opaque, unsigned percent)
{
    Live *live = opaque;
    mig_guest_throttle(live->m->guest, *mig_guest_clock(&live->guest_clock), percent);
    if (live->options->backend) {
        live->options->backend->ops->throttle(live->options->backend, percent);
    }
    mig_scenario_disks_throttle(live->m->disks, percent, live->clock.now);
}

static void take_event(void *opaque, int64_t at, const char *name, const char *status,
                       uint64_t pass)
{
    Live *live = opaque;
    const MigLiveSteering *steering = live->options->steering;
    mig_scenario_run_note(&live->run, at, name, status, pass);
    if (steering) {
        steering->event(steering->opaque, name, status, pass);
    }
}

/* Of a guest that really runs; one that can't be saved ends the migration. */
static MigDevices *save_backend(Live *live)
{
    g_autoptr(GError) error = NULL;
    MigBackend *b = live->options->backend;
    MigDevices *devices =
        mig_devices_new(&live->run.era, live->m->scenario->machine, MIG_SCENARIO_PAGE);
    if (!b->ops->save(b, &live->run.era, live->clock.now, devices, &error)) {
        mig_real_shutdown(live->world, error->message);
    }
    mig_devices_finish(devices);
    return devices;
}

static MigDevices *save_devices(void *opaque)
{
    Live *live = opaque;
    if (live->options->backend) {
        return save_backend(live);
    }
    return mig_scenario_run_devices(&live->run, live->clock.now);
}

static void drain(int wake)
{
    uint8_t bytes[64];
    if (read(wake, bytes, sizeof(bytes)) < 0) {
        return; /* somebody else was faster */
    }
}

static void woken(void *opaque)
{
    Live *live = opaque;
    const MigLiveSteering *steering = live->options->steering;
    if (steering) {
        live->looked = live->clock.now;
        steering->woken(steering->opaque);
        return;
    }
    drain(live->options->wake);
    mig_scenario_run_cancel(&live->run, live->clock.now);
}

static void acknowledged(void *opaque)
{
    Live *live = opaque;
    mig_scenario_run_note(&live->run, live->clock.now, "x-switchover-ack", NULL, 0);
    mig_source_acknowledge(live->m->source);
}

static void cancelled(void *world)
{
    mig_real_shutdown(world, "the migration was cancelled");
}

static void cut(void *world)
{
    mig_real_shutdown(world, "Connection reset by peer");
}

static void continued(void *world)
{
    mig_real_interrupt(world, MIG_INTERRUPT_CONTINUE);
}

static void reach_limit(void *opaque, int64_t at)
{
    Live *live = opaque;
    (void)at;
    live->m->outcome = "limit";
    mig_real_shutdown(live->world, "the scenario's limit was reached");
}

/* The real clock ---------------------------------------------------------------------------- */

static bool wants_answers(MigCapabilitySet capabilities, const MigEra *era)
{
    return capabilities & MIG_CAP_BIT(MIG_CAP_RETURN_PATH) && era->commands;
}

static void make_world(Live *live)
{
    bool postcopy = mig_source_can_postcopy(live->m->source);
    MigRealConfig config = {
        .clock = &live->clock,
        .memory = mig_live_memory(live),
        .uri = live->uri,
        .mapped = live->capabilities & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM),
        .direct_io = mig_source_parameters(live->m->source)->direct_io,
        .answers = postcopy ? mig_source_wants_return(live->m->source)
                            : wants_answers(live->capabilities, &live->run.era),
        .send_buffer = live->m->scenario->link.send_buffer,
        .postcopy = postcopy ? live->m->source : NULL,
        .wake = live->options->wake,
        .woken = woken,
        .acknowledged = acknowledged,
        .guest = { .opaque = live,
                   .run = run_guest,
                   .throttle = throttle_guest,
                   .frozen = keep_snapshot,
                   .dirty_limit = limit_dirt,
                   .free_pages = hint_free_pages },
        .observer = { .opaque = live, .event = take_event },
        .devices = save_devices,
        .opaque = live,
    };
    if (postcopy && live->m->mapped) {
        mig_mapped_expect_requests(live->m->mapped);
    }
    live->world = mig_real_new(&config);
    live->run.world = live->world;
    live->run.events = mig_real_events(live->world);
    live->run.cancelled = cancelled;
    live->run.cut = cut;
    live->run.continued = continued;
}

/* As far as nothing has to be waited for: the status is setup then, and everybody was told. */
static void begin_engine(Live *live)
{
    MigOutcome outcome = { .now = live->clock.now };
    while ((live->op = mig_source_next(live->m->source, &outcome))->kind == MIG_OP_NOTIFY) {
        outcome = mig_real_do(live->world, live->op);
    }
}

/* A paused migration: a monitor would say when and where to resume it, else it is tried there. */
static void resume(Live *live)
{
    int64_t now = live->clock.now;
    if (!live->options->steering && now - live->resumed >= RESUME_NS) {
        live->resumed = now;
        g_free(mig_source_recover(live->m->source));
    }
}

/* This thread is also the one that answers requests, unless the world has another one for them. */
static void hurry(Live *live, bool on)
{
    if (on != live->hurries) {
        live->hurries = on;
        mig_hurry(on);
    }
}

static void run_engine(Live *live)
{
    const MigLiveOptions *o = live->options;
    MigOutcome outcome;
    uint64_t ops = 0;
    for (; live->op->kind != MIG_OP_DONE; live->op = mig_source_next(live->m->source, &outcome)) {
        int64_t began = live->clock.now;
        outcome = mig_real_do(live->world, live->op);
        mig_guest_clock_did(&live->guest_clock, live->op, &outcome);
        if (o->did) {
            o->did(o->opaque, live->m->source, live->op, began, &outcome);
        }
        hurry(live,
              mig_source_in_postcopy(live->m->source) && !mig_source_urgent_runs(live->m->source));
        if (live->op->kind == MIG_OP_WAIT_RECOVER) {
            resume(live);
        }
        if (o->steering && live->clock.now - live->looked >= STEERER_NS) {
            woken(live);
        }
        if (live->m->outcome) {
            return;
        }
        if (o->progress && ops++ % PROGRESS_OPS == 0) {
            o->progress(o->opaque, live->m->source, live->clock.now);
        }
    }
    hurry(live, false);
}

/* Steering --------------------------------------------------------------------------------- */

MigScenarioRun *mig_live_run(MigLive *live)
{
    return &live->run;
}

MigSimulation *mig_live_simulation(MigLive *live)
{
    return live->m;
}

MigMemory *mig_live_memory(const MigLive *live)
{
    MigBackend *b = live->options->backend;
    return b ? b->ops->memory(b) : mig_mapped_memory(live->m->mapped);
}

int64_t mig_live_pass(MigLive *live)
{
    mig_real_pass(live->world); /* and no operation: a client's `migrate` would end its world */
    mig_guest_advance(live->m->guest, *mig_guest_clock(&live->guest_clock));
    return live->clock.now;
}

int64_t mig_live_now(const MigLive *live)
{
    return live->clock.now;
}

/* A world of its own for the next migration; who waits for a time goes on waiting. */
static void renew_world(Live *live)
{
    MigEvents waiting = *mig_real_events(live->world);
    *mig_real_events(live->world) = (MigEvents){ 0 };
    mig_real_free(live->world);
    make_world(live);
    *mig_real_events(live->world) = waiting;
}

void mig_live_begin(MigLive *live, const MigUri *uri, MigCapabilitySet capabilities,
                    const MigParameters *p)
{
    mig_source_free(g_steal_pointer(&live->m->source));
    live->uri = uri;
    live->capabilities = capabilities;
    live->run.capabilities = &capabilities;
    live->run.parameters = p;
    live->run.file_offset = uri->offset;
    mig_scenario_run_source(&live->run, mig_live_memory(live), 0);
    live->run.capabilities = NULL;
    live->run.parameters = NULL;
    live->m->source = live->run.source;
    renew_world(live);
    begin_engine(live);
}

char *mig_live_resume(MigLive *live, const MigUri *uri)
{
    live->uri = uri;
    mig_real_set_uri(live->world, uri);
    return mig_source_recover(live->m->source);
}

void mig_live_quit(MigLive *live)
{
    live->m->outcome = "quit";
    mig_real_shutdown(live->world, "quit");
}

static void run_all(Live *live)
{
    const MigLiveSteering *steering = live->options->steering;
    mig_scenario_run_plan(&live->run);
    if (!steering) {
        mig_events_add(live->run.events, live->m->scenario->limit, reach_limit, live);
        begin_engine(live);
        run_engine(live);
        return;
    }
    while (steering->wait(steering->opaque, live)) {
        run_engine(live);
    }
}

/* Behind a backend the synthetic guest only says whether it runs: it has no workloads. */
static MigGuest *shell(const MigScenario *s)
{
    MigScenario quiet = *s;
    quiet.workloads = g_array_new(FALSE, FALSE, sizeof(MigWorkload));
    MigGuest *guest = mig_scenario_guest(&quiet, NULL);
    g_array_unref(quiet.workloads);
    return guest;
}

static bool make_guest(Live *live, GError **error)
{
    MigSimulation *m = live->m;
    if (live->options->backend) {
        m->guest = shell(m->scenario);
        return true;
    }
    const int64_t *now = mig_guest_clock(&live->guest_clock);
    m->guest = mig_scenario_guest(m->scenario, now);
    m->mapped = mig_mapped_new(m->guest, now, error);
    return m->mapped != NULL;
}

/* The clock that the guest followed is gone when this returns. */
static void detach(Live *live)
{
    MigSimulation *m = live->m;
    MigBackend *b = live->options->backend;
    if (!b) {
        mig_mapped_detach(m->mapped);
    }
    mig_guest_detach(m->guest);
    m->guest_stats = b ? b->ops->stats(b) : mig_guest_stats(m->guest);
}

MigSimulation *mig_live_source(const MigScenario *s, const MigLiveOptions *options,
                               MigLiveReport *report, GError **error)
{
    g_autoptr(MigSimulation) m = g_new0(MigSimulation, 1);
    Live live = { .m = m, .options = options, .uri = options->uri };
    live.capabilities = s->capabilities;
    live.guest_clock = (MigGuestClock){ &live.clock, .counts_pages = s->counts_pages };
    report->descriptors_before = mig_count_descriptors();
    m->scenario = s;
    m->events = g_array_new(FALSE, FALSE, sizeof(MigSimulationEvent));
    if (!make_guest(&live, error)) {
        return NULL;
    }
    m->disks = mig_scenario_disks_source(s, &live.clock.now);
    live.run = (MigScenarioRun){ .scenario = s,
                                 .guest = m->guest,
                                 .disks = mig_scenario_disks_of(m->disks),
                                 .backend = options->backend,
                                 .log = m->events };
    mig_era_resolve(s->version, s->machine, &live.run.era);
    live.run.file_offset = options->uri ? options->uri->offset : 0;
    mig_scenario_run_source(&live.run, mig_live_memory(&live), 0);
    m->source = live.run.source;
    m->refused = options->steering ? NULL
                                   : mig_scenario_run_refused(&live.run, s->capabilities,
                                                              mig_source_parameters(m->source));
    make_world(&live);
    if (!m->refused) {
        run_all(&live);
    }
    m->now = live.clock.now;
    detach(&live);
    mig_scenario_disks_detach(m->disks);
    report->counts = *mig_real_counts(live.world);
    report->error = g_strdup(mig_real_close_error(live.world));
    mig_real_free(live.world);
    mig_scenario_run_clear(&live.run);
    report->descriptors_after = mig_count_descriptors();
    return g_steal_pointer(&m);
}

/* The virtual clock ------------------------------------------------------------------------- */

typedef struct Sending {
    MigTransport *transport;
    const MigLiveOptions *options;
    MigLiveReport *report;
    bool peer; /* it is the peer (or the user) that ended it */
} Sending;

/* Waits until |what| is possible; false when the user wants an end. */
static bool await(Sending *out, unsigned what)
{
    unsigned ready =
        mig_transport_wait(out->transport, what | MIG_WAIT_WAKE, out->options->wake, -1);
    return !(ready & MIG_WAIT_WAKE);
}

static bool send_bytes(void *opaque, const void *data, size_t n, GError **error)
{
    Sending *out = opaque;
    struct iovec v = { (void *)(uintptr_t)data, n };
    while (v.iov_len > 0) {
        int64_t sent = mig_transport_write(out->transport, &v, 1, error);
        out->peer = sent == MIG_IO_ERROR;
        if (sent == MIG_IO_AGAIN && !await(out, MIG_WAIT_WRITE)) {
            out->peer = true;
            g_set_error(error, MIG_TRANSPORT_ERROR, 0, "interrupted");
        }
        if (out->peer) {
            return false;
        }
        if (sent > 0) {
            out->report->counts.writes++;
            out->report->counts.bytes += (uint64_t)sent;
            v.iov_base = (uint8_t *)v.iov_base + sent;
            v.iov_len -= (size_t)sent;
        }
    }
    return true;
}

/* The simulated destination has said it long ago. */
static void ignore_ack(void *opaque)
{
    (void)opaque;
}

/* Everything was sent: what does the destination say? Returns its complaint, or NULL. */
static char *hear_verdict(Sending *out)
{
    uint8_t bytes[512];
    struct iovec v = { bytes, sizeof(bytes) };
    MigRecord r = { 0 };
    g_autoptr(GError) error = NULL;
    MigAnswers *a = mig_answers_new();
    mig_answers_on_ack(a, ignore_ack, NULL);
    mig_answers_pinged(a, MIG_PING_SETUP);
    mig_answers_ended(a);
    while (!mig_answers_done(a) && !error && await(out, MIG_WAIT_READ)) {
        int64_t n = mig_transport_read(out->transport, &v, 1, &error);
        if (n == 0) {
            mig_answers_eof(a);
        } else if (n > 0) {
            mig_answers_feed(a, bytes, (size_t)n);
        }
    }
    char *complaint = g_strdup(error ? error->message : mig_answers_error(a));
    if (!complaint && !mig_answers_done(a)) {
        complaint = g_strdup("interrupted before the destination had said how it ended");
    }
    while (!complaint && mig_answers_take(a, &r)) {
        if (r.rp.type == MIG_RP_SHUT && r.rp.value) {
            complaint = g_strdup_printf("Sibling indicated error %u", r.rp.value);
        }
    }
    mig_answers_free(a);
    return complaint;
}

static void finish_sending(Sending *out, MigSimulation *m, bool answers, GError **failure)
{
    g_autoptr(GError) error = NULL;
    if (out->peer) {
        out->report->error = g_strdup((*failure)->message);
        g_clear_error(failure);
        mig_transport_shutdown(out->transport);
    } else if (m && answers && mig_source_completed(m->source)) {
        out->report->error = hear_verdict(out);
    }
    if (!mig_transport_close(out->transport, &error) && !out->report->error) {
        out->report->error = g_strdup(error->message);
    }
}

MigSimulation *mig_live_source_virtual(const MigScenario *s, const MigLiveOptions *options,
                                       MigLiveReport *report, GError **error)
{
    MigEra era;
    g_autoptr(GError) failure = NULL;
    Sending out = { .options = options, .report = report };
    report->descriptors_before = mig_count_descriptors();
    mig_era_resolve(s->version, s->machine, &era);
    bool answers = wants_answers(s->capabilities, &era);
    out.transport = mig_transport_connect(options->uri, answers, options->wake, &failure);
    if (!out.transport) {
        report->error = g_strdup(failure->message);
        return NULL;
    }
    MigSimulateOptions simulate = { .stream = send_bytes, .opaque = &out };
    MigSimulation *m = mig_simulate(s, &simulate, &failure);
    finish_sending(&out, m, answers, &failure);
    report->descriptors_after = mig_count_descriptors();
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
    }
    return m;
}
