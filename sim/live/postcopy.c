/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live destination in postcopy, see postcopy.h.
 *
 * Model. QEMU has a thread for faults, one for the main channel and one for the preempt channel.
 * Here are two: the main thread reads the main channel, and whatever a monitor wants; the urgent
 * one has the faults, so that their requests leave at once, and the preempt channel. It sleeps most
 * of the time, so the kernel lets it run when there is something to do. The engine is worked on in
 * turns (turns.h). The main thread has none while it places a page, which is what takes time.
 *
 *     main:   read (at most MIG_POSTCOPY_SLICE) --> a turn: engine --> page by page, without: place
 *     urgent: poll --> a turn: faults --> requests --> return path; preempt channel --> place
 *
 * Who opens, closes or gives a channel up is the main thread; the urgent one writes to the return
 * path, and leaves it to the main one when it is full or broken.
 *
 * A broken line that can be recovered closes the channels. Without a steerer the next connection is
 * taken for the recovery, as if migrate-recover had named the same address.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "sim/live/postcopy-internal.h"
#include "sim/simulate/result.h"
#include "sim/world/bell.h"
#include "stream/encoder.h"
#include "stream/limits.h"

#define READ_BYTES (256u << 10)
#define STEERER_US 1000 /* between two looks at what the steerer wants, while busy */

/* Errors are kept in a turn. Always false. */
bool mig_live_postcopy_fail(MigLivePostcopy *p, const char *error)
{
    if (!p->load->error) { /* what a stranger sent may stand in it */
        p->load->error = g_strescape(error, "\"\\");
    }
    return false;
}

bool mig_live_postcopy_fail_diagnosis(MigLivePostcopy *p)
{
    const MigDiagnosis *d = mig_dest_error(p->load->dest);
    const char *memory = mig_live_guest_error(p->guest);
    g_autofree char *text = g_strdup_printf(
        "byte %" G_GUINT64_FORMAT ", %s: expected %s, found %s%s%s%s", d->offset, d->path,
        d->expected, d->found, memory ? " (" : "", memory ? memory : "", memory ? ")" : "");
    return mig_live_postcopy_fail(p, text);
}

/* Hooks of the engine ---------------------------------------------------------------------- */

static void reply(void *opaque, const MigRecord *message)
{
    MigLivePostcopy *p = opaque;
    uint8_t bytes[MIG_LIMIT_RP_PAYLOAD + 64];
    size_t n = mig_record_encode(message, bytes, sizeof(bytes));
    g_assert(n <= sizeof(bytes));
    g_byte_array_append(p->replies, bytes, (guint)n);
    if (message->payload > 0) {
        g_byte_array_append(p->replies, mig_dest_reply_payload(p->load->dest),
                            (guint)message->payload);
        n = mig_record_encode_tail(message, bytes, sizeof(bytes));
        g_byte_array_append(p->replies, bytes, (guint)n);
    }
}

static void run_guest(void *opaque)
{
    MigLivePostcopy *p = opaque;
    g_autoptr(GError) error = NULL;
    const MigLoadSteering *steering = p->options->load_steering;
    if (!mig_live_guest_run(p->guest, &error)) {
        mig_live_postcopy_fail(p, error->message);
    } else if (steering && steering->run) {
        steering->run(steering->opaque);
    }
}

static void tell_status(void *opaque, const char *status)
{
    MigLivePostcopy *p = opaque;
    const MigLoadSteering *steering = p->options->load_steering;
    if (steering && steering->status && mig_dest_state(p->load->dest) == MIG_DEST_LOADING) {
        steering->status(steering->opaque, status);
    }
}

/* What a guest waits for is over when its page is there, not when its bytes have come. */
static int64_t monotonic(void *opaque)
{
    struct timespec t;
    (void)opaque;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * MIG_NS_PER_S + t.tv_nsec;
}

static const char *load_device(void *opaque, const char *idstr, uint32_t instance, uint32_t version,
                               const uint8_t *body, size_t n)
{
    MigLivePostcopy *p = opaque;
    MigBackend *b = p->load->backend;
    g_clear_error(&p->refused);
    return b->ops->load(b, idstr, instance, version, body, n, &p->refused) ? NULL
                                                                           : p->refused->message;
}

/* The main thread places a page: the urgent one may have the turn. Its own turns are short. */
static bool leave_turn(void *opaque)
{
    MigLivePostcopy *p = opaque;
    bool leaves = !p->hurries;
    if (leaves) {
        mig_turns_give(&p->turns);
    }
    return leaves;
}

static void enter_turn(void *opaque)
{
    MigLivePostcopy *p = opaque;
    mig_turns_take(&p->turns, false);
}

static bool look(MigLivePostcopy *p);

/* The main channel is at a sync point, in precopy: the urgent thread has nothing to do yet. */
static bool sync_channels(void *opaque, MigDestMultifd *channels, MigDiagnosis *error)
{
    MigLivePostcopy *p = opaque;
    g_autoptr(GError) error_of_line = NULL;
    const char *why = NULL;
    (void)channels;
    if (!mig_live_postcopy_send(p, &error_of_line)) { /* the source may wait for a pong */
        why = error_of_line->message;
    }
    while (!why && !mig_receivers_sync(p->receivers)) {
        struct pollfd f[] = { { .fd = mig_receivers_fd(p->receivers), .events = POLLIN },
                              { .fd = p->options->wake, .events = POLLIN } };
        poll(f, G_N_ELEMENTS(f), -1);
        mig_receivers_heard(p->receivers);
        why = mig_receivers_error(p->receivers);
        if (f[1].revents) { /* a monitor takes turns, too */
            mig_turns_give(&p->turns);
            why = look(p) ? why : "interrupted";
            mig_turns_take(&p->turns, false);
        }
    }
    if (why) {
        *error = (MigDiagnosis){ .fault = MIG_FAULT_NONE };
        g_strlcpy(error->expected, "a SYNC on every channel", sizeof(error->expected));
        g_strlcpy(error->found, why, sizeof(error->found));
    }
    return !why;
}

static void make_engine(MigLivePostcopy *p, const MigScenario *s, uint32_t multifd_channels)
{
    MigDestConfig config = {
        .era = p->era,
        .machine = s->machine,
        .capabilities = p->capabilities,
        .memory = mig_live_guest_memory(p->guest),
        .disks = mig_scenario_disks_of(p->load->disks),
        .multifd_channels = multifd_channels,
        .sync_channels = sync_channels,
        .device = p->load->backend ? load_device : NULL,
        .reply = reply,
        .opaque = p,
    };
    MigDestHooks hooks = { .opaque = p, .run = run_guest, .status = tell_status, .now = monotonic };
    p->load->dest = mig_dest_new(&config);
    mig_dest_set_hooks(p->load->dest, &hooks, mig_live_guest_vcpus(p->guest));
}

MigLivePostcopy *mig_live_postcopy_new(const MigScenario *s, MigCapabilitySet capabilities,
                                       uint32_t multifd_channels, const MigLiveOptions *options,
                                       MigLoad *load, GError **error)
{
    MigLiveGuest *guest = mig_live_guest_new(s, load->memory, load->backend, error);
    if (!guest) {
        return NULL;
    }
    MigLivePostcopy *p = g_new0(MigLivePostcopy, 1);
    mig_era_resolve(s->destination_version, s->machine, &p->era);
    mig_turns_init(&p->turns);
    p->options = options;
    p->capabilities = capabilities;
    p->load = load;
    p->guest = guest;
    p->replies = g_byte_array_new();
    p->buffer = g_malloc(READ_BYTES);
    p->urgent_buffer = g_malloc(MIG_POSTCOPY_SLICE);
    p->kick = mig_bell_new();
    p->told = mig_bell_new();
    if (p->kick < 0 || p->told < 0) {
        g_set_error_literal(error, MIG_TRANSPORT_ERROR, errno, "postcopy: no descriptors left");
        mig_live_postcopy_free(p);
        return NULL;
    }
    MigFaultPause pause = { .leave = leave_turn, .enter = enter_turn, .opaque = p };
    mig_live_guest_set_pause(p->guest, &pause);
    make_engine(p, s, multifd_channels);
    return p;
}

static bool wants_preempt(const MigLivePostcopy *p)
{
    return p->capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT) && !p->preempt;
}

void mig_live_postcopy_drop(MigTransport **t)
{
    if (*t) {
        mig_transport_shutdown(*t);
        mig_transport_close(g_steal_pointer(t), NULL);
    }
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void mig_live_postcopy_free(MigLivePostcopy *p)
{
    if (p) {
        mig_live_postcopy_drop(&p->main);
        mig_live_postcopy_drop(&p->preempt);
        mig_live_guest_free(p->guest);
        mig_turns_clear(&p->turns);
        g_byte_array_unref(p->replies);
        g_clear_error(&p->refused);
        g_free(p->buffer);
        g_free(p->urgent_buffer);
        close_if_open(p->kick);
        close_if_open(p->told);
        g_free(p);
    }
}

/* A broken line ---------------------------------------------------------------------------- */

static char *recover(MigLivePostcopy *p, MigListener *listener)
{
    char *refused = mig_dest_recover(p->load->dest);
    if (!refused) {
        p->waiting = true;
        p->listener = listener ? listener : p->listener;
    }
    return refused;
}

/* In a turn. True: it is paused, and may go on. */
static bool line_broke(MigLivePostcopy *p, const char *error)
{
    MigDest *d = p->load->dest;
    if (mig_dest_incoming(d) < MIG_INCOMING_RUNNING || !mig_dest_break(d, error)) {
        return mig_live_postcopy_fail(p, error);
    }
    mig_live_postcopy_drop(&p->main);
    mig_live_postcopy_drop(&p->preempt);
    g_byte_array_set_size(p->replies, 0);
    p->pauses++;
    p->waiting = false;
    if (!p->options->load_steering) {
        g_free(recover(p, NULL));
        if (p->options->listening) {
            p->options->listening(p->options->opaque, mig_listener_address(p->listener));
        }
    }
    return true;
}

char *mig_live_postcopy_pause(MigLivePostcopy *p)
{
    mig_turns_take(&p->turns, false);
    char *refused = mig_dest_pause(p->load->dest);
    if (!refused) {
        line_broke(p, "Postcopy migration is paused by the user");
    }
    mig_turns_give(&p->turns);
    return refused;
}

char *mig_live_postcopy_recover(MigLivePostcopy *p, MigListener *listener)
{
    mig_turns_take(&p->turns, false);
    char *refused = recover(p, listener);
    mig_turns_give(&p->turns);
    return refused;
}

json_object *mig_live_postcopy_query(MigLivePostcopy *p)
{
    mig_turns_take(&p->turns, false);
    json_object *o = mig_result_query_destination(p->load->dest, &p->era, p->capabilities);
    mig_turns_give(&p->turns);
    return o;
}

/* Channels --------------------------------------------------------------------------------- */

/* As much as goes without waiting: a source that doesn't read is no reason to stop reading. False
 * and *error: the line is broken. */
bool mig_live_postcopy_send(MigLivePostcopy *p, GError **error)
{
    while (p->main && p->replies->len > 0) {
        struct iovec v = { p->replies->data, p->replies->len };
        int64_t n = mig_transport_write(p->main, &v, 1, error);
        if (n < 0) {
            return n == MIG_IO_AGAIN;
        }
        g_byte_array_remove_range(p->replies, 0, (guint)n);
    }
    return true;
}

/* The main thread's. */
static bool reply_all(MigLivePostcopy *p)
{
    g_autoptr(GError) error = NULL;
    return mig_live_postcopy_send(p, &error) || line_broke(p, error->message);
}

/* Bytes of which the first |direct| may stand where they belong already. */
static bool take(MigLivePostcopy *p, size_t direct, size_t n)
{
    MigDest *d = p->load->dest;
    size_t placed = MIN(direct, n);
    mig_turns_take(&p->turns, false);
    MigIncoming before = mig_dest_incoming(d);
    bool fine = ((placed == 0 || mig_dest_filled(d, placed)) &&
                 (n == placed || mig_dest_feed(d, p->buffer, n - placed))) ||
                mig_live_postcopy_fail_diagnosis(p);
    fine = fine && reply_all(p);
    bool changed = mig_dest_incoming(d) != before;
    mig_turns_give(&p->turns);
    if (changed) { /* there may be faults from now on, or none any more */
        mig_bell_ring(p->kick);
    }
    return fine;
}

int64_t mig_live_postcopy_read(MigTransport *t, size_t direct, void *page, uint8_t *buffer,
                               size_t at_most, GError **error)
{
    struct iovec v[2] = { { page, direct }, { buffer, at_most } };
    return direct ? mig_transport_read(t, v, 2, error) : mig_transport_read(t, v + 1, 1, error);
}

/* The main channel's end, or that it is broken. */
static bool end_main(MigLivePostcopy *p, const char *error)
{
    MigDest *d = p->load->dest;
    mig_turns_take(&p->turns, false);
    bool runs = mig_dest_incoming(d) >= MIG_INCOMING_RUNNING;
    const char *early = "the source closed the channel before the end of the stream";
    bool fine = error  ? line_broke(p, error)
                : runs ? line_broke(p, early)
                       : mig_dest_end(d) || mig_live_postcopy_fail_diagnosis(p);
    mig_turns_give(&p->turns);
    return fine;
}

static bool read_main(MigLivePostcopy *p)
{
    MigDest *d = p->load->dest;
    void *page = NULL;
    g_autoptr(GError) error = NULL;
    mig_turns_take(&p->turns, false);
    size_t direct = mig_dest_direct(d, &page);
    bool postcopy = mig_dest_incoming(d) >= MIG_INCOMING_LISTENING;
    mig_turns_give(&p->turns);
    size_t at_most = postcopy ? MIG_POSTCOPY_SLICE : READ_BYTES;
    int64_t n = mig_live_postcopy_read(p->main, direct, page, p->buffer, at_most, &error);
    p->load->reads++;
    if (n == MIG_IO_ERROR || n == 0) {
        return end_main(p, error ? error->message : NULL);
    }
    return n == MIG_IO_AGAIN || take(p, direct, (size_t)n);
}

/* The preempt channel, a recovery's main channel, or nobody whom we know. */
static void accept_channel(MigLivePostcopy *p)
{
    MigTransport *t = mig_listener_accept(p->listener, -1, NULL);
    mig_turns_take(&p->turns, false);
    if (!p->main && p->waiting) {
        p->main = t;
        p->waiting = false;
        mig_dest_reconnect(p->load->dest);
    } else if (p->main && wants_preempt(p)) {
        p->preempt = t;
        mig_bell_ring(p->kick);
    } else {
        mig_live_postcopy_drop(&t);
    }
    mig_turns_give(&p->turns);
}

int mig_live_postcopy_fd(const MigTransport *t, unsigned what)
{
    return t ? mig_transport_fd(t, what) : -1;
}

/* The main thread -------------------------------------------------------------------------- */

static bool fail_in_turn(MigLivePostcopy *p, const char *error)
{
    mig_turns_take(&p->turns, false);
    mig_live_postcopy_fail(p, error);
    mig_turns_give(&p->turns);
    return false;
}

/* Somebody wants something; false: that it ends. */
static bool look(MigLivePostcopy *p)
{
    const MigLoadSteering *steering = p->options->load_steering;
    p->looked = g_get_monotonic_time();
    if (steering && steering->woken(steering->opaque)) {
        return true;
    }
    return fail_in_turn(p, "interrupted");
}

/* A thread of multifd has said something: of interest as long as pages come that way. */
static bool hear_receivers(MigLivePostcopy *p)
{
    mig_receivers_heard(p->receivers);
    mig_turns_take(&p->turns, false);
    const char *error = mig_receivers_error(p->receivers);
    bool precopy = mig_dest_incoming(p->load->dest) < MIG_INCOMING_LISTENING;
    bool fine = !error || !precopy || mig_live_postcopy_fail(p, error);
    mig_turns_give(&p->turns);
    return fine;
}

static bool reply_in_turn(MigLivePostcopy *p)
{
    mig_turns_take(&p->turns, false);
    bool fine = reply_all(p);
    mig_turns_give(&p->turns);
    return fine;
}

/* Waits until there is something to do, and does some of it. False: over. */
static bool turn(MigLivePostcopy *p)
{
    mig_turns_take(&p->turns, false);
    bool over = p->load->error || mig_dest_state(p->load->dest) != MIG_DEST_LOADING;
    bool writes = p->main && p->replies->len > 0;
    bool accepts = p->waiting || (p->main && wants_preempt(p));
    mig_turns_give(&p->turns);
    struct pollfd f[] = {
        { .fd = mig_live_postcopy_fd(p->main, MIG_WAIT_READ), .events = POLLIN },
        { .fd = writes ? mig_live_postcopy_fd(p->main, MIG_WAIT_WRITE) : -1, .events = POLLOUT },
        { .fd = accepts && p->listener ? mig_listener_fd(p->listener) : -1, .events = POLLIN },
        { .fd = p->options->wake, .events = POLLIN },
        { .fd = p->told, .events = POLLIN },
        { .fd = p->receivers ? mig_receivers_fd(p->receivers) : -1, .events = POLLIN },
    };
    bool due = p->options->load_steering && g_get_monotonic_time() - p->looked >= STEERER_US;
    if (over) {
        return false;
    }
    if (poll(f, G_N_ELEMENTS(f), due ? 0 : -1) < 0) {
        return errno == EINTR || fail_in_turn(p, g_strerror(errno));
    }
    if ((f[3].revents || due) && !look(p)) {
        return false;
    }
    if (f[2].revents) {
        accept_channel(p);
    }
    if (f[4].revents) {
        mig_bell_heard(p->told);
    }
    return (!f[5].revents || hear_receivers(p)) && (!f[0].revents || !p->main || read_main(p)) &&
           ((!f[1].revents && !f[4].revents) || reply_in_turn(p));
}

/* The last word of a destination: 0, or 1 after a failure. */
static void send_verdict(MigLivePostcopy *p)
{
    MigRecord r = { .type = MIG_REC_RP };
    r.rp.type = MIG_RP_SHUT;
    r.rp.length = 4;
    r.rp.value = p->load->error != NULL;
    if (!mig_dest_counts(p->load->dest)->return_path || !p->main ||
        !mig_transport_has_return(p->main)) {
        return;
    }
    reply(p, &r);
    while (p->main && p->replies->len > 0 && reply_all(p)) {
        unsigned ready = MIG_WAIT_WRITE;
        if (p->main && p->replies->len > 0) {
            ready =
                mig_transport_wait(p->main, MIG_WAIT_WRITE | MIG_WAIT_WAKE, p->options->wake, -1);
        }
        if (ready & MIG_WAIT_WAKE) {
            return;
        }
    }
}

void mig_live_postcopy_load(MigLivePostcopy *p, MigListener *listener, MigTransport *main,
                            MigReceivers *receivers)
{
    MigLoad *l = p->load;
    int64_t began = g_get_monotonic_time();
    p->listener = listener;
    p->main = main;
    p->receivers = receivers;
    mig_live_urgent_begin(p);
    while (turn(p)) {
    }
    mig_live_urgent_end(p);
    if (mig_dest_counts(l->dest)->return_path && p->main && !mig_transport_has_return(p->main)) {
        mig_live_postcopy_fail(p,
                               "the source wants a return path, which this transport doesn't have");
    }
    send_verdict(p);
    mig_live_guest_end(p->guest);
    l->completed = !l->error && mig_dest_state(l->dest) == MIG_DEST_COMPLETED;
    if (l->completed) { /* nothing is cut off that the source may still have to read */
        mig_transport_close(g_steal_pointer(&p->main), NULL);
    }
    mig_live_postcopy_drop(&p->main);
    mig_live_postcopy_drop(&p->preempt);
    l->time = (g_get_monotonic_time() - began) * MIG_NS_PER_US;
}
