/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live destination in postcopy, see live-postcopy.h.
 *
 * Model. QEMU has a thread for faults, one for the main channel and one for the preempt channel.
 * Here one thread owns the engine and looks at all of them in turn, what is urgent first: faults,
 * so that their requests leave at once; then the preempt channel; then some pages of background, at
 * most SLICE_BYTES, and so on. Only the guest's vCPUs are threads of their own.
 *
 * A broken line that can be recovered closes the channels. Without a steerer the next connection is
 * taken for the recovery, as if migrate-recover had named the same address.
 */
#include "sim/live/postcopy.h"

#include <errno.h>
#include <poll.h>

#include "sim/live/postcopy-guest.h"
#include "stream/encoder.h"
#include "stream/limits.h"

#define READ_BYTES  (256u << 10)
#define SLICE_BYTES (32u << 10)
#define STEERER_US  1000 /* between two looks at what the steerer wants, while busy */

struct MigLivePostcopy {
    const MigLiveOptions *options;
    MigLoad *load;
    MigLiveGuest *guest;
    MigListener *listener;        /* borrowed */
    MigTransport *main, *preempt; /* NULL: not there */
    bool wants_preempt;
    bool waiting;        /* for a recovery's main channel */
    GByteArray *replies; /* encoded, not sent */
    uint8_t *buffer;
    int64_t looked; /* us: at the steerer, last */
    uint64_t pauses, preempt_bytes, turns;
    GError *refused; /* what a backend has against a device */
};

static bool fail(MigLivePostcopy *p, const char *error)
{
    if (!p->load->error) { /* what a stranger sent may stand in it */
        p->load->error = g_strescape(error, "\"\\");
    }
    return false;
}

static bool fail_diagnosis(MigLivePostcopy *p)
{
    const MigDiagnosis *d = mig_dest_error(p->load->dest);
    const char *memory = mig_live_guest_error(p->guest);
    g_autofree char *text = g_strdup_printf(
        "byte %" G_GUINT64_FORMAT ", %s: expected %s, found %s%s%s%s", d->offset, d->path,
        d->expected, d->found, memory ? " (" : "", memory ? memory : "", memory ? ")" : "");
    return fail(p, text);
}

static void tell_time(MigLivePostcopy *p)
{
    mig_dest_at(p->load->dest, g_get_monotonic_time() * MIG_NS_PER_US);
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
        fail(p, error->message);
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

static const char *load_device(void *opaque, const char *idstr, uint32_t instance, uint32_t version,
                               const uint8_t *body, size_t n)
{
    MigLivePostcopy *p = opaque;
    MigBackend *b = p->load->backend;
    g_clear_error(&p->refused);
    return b->ops->load(b, idstr, instance, version, body, n, &p->refused) ? NULL
                                                                           : p->refused->message;
}

MigLivePostcopy *mig_live_postcopy_new(const MigScenario *s, MigCapabilitySet capabilities,
                                       const MigLiveOptions *options, MigLoad *load, GError **error)
{
    MigLiveGuest *guest = mig_live_guest_new(s, load->memory, load->backend, error);
    if (!guest) {
        return NULL;
    }
    MigLivePostcopy *p = g_new0(MigLivePostcopy, 1);
    MigDestConfig config = {
        .machine = s->machine,
        .capabilities = capabilities,
        .memory = mig_live_guest_memory(guest),
        .device = load->backend ? load_device : NULL,
        .reply = reply,
        .opaque = p,
    };
    MigDestHooks hooks = { .opaque = p, .run = run_guest, .status = tell_status };
    mig_era_resolve(s->destination_version, s->machine, &config.era);
    p->options = options;
    p->load = load;
    p->guest = guest;
    p->wants_preempt = capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT);
    p->replies = g_byte_array_new();
    p->buffer = g_malloc(READ_BYTES);
    load->dest = mig_dest_new(&config);
    mig_dest_set_hooks(load->dest, &hooks, mig_live_guest_vcpus(guest));
    return p;
}

static void drop(MigTransport **t)
{
    if (*t) {
        mig_transport_shutdown(*t);
        mig_transport_close(g_steal_pointer(t), NULL);
    }
}

void mig_live_postcopy_free(MigLivePostcopy *p)
{
    if (p) {
        drop(&p->main);
        drop(&p->preempt);
        mig_live_guest_free(p->guest);
        g_byte_array_unref(p->replies);
        g_clear_error(&p->refused);
        g_free(p->buffer);
        g_free(p);
    }
}

/* A broken line ---------------------------------------------------------------------------- */

/* True: it is paused, and may go on. */
static bool line_broke(MigLivePostcopy *p, const char *error)
{
    MigDest *d = p->load->dest;
    if (mig_dest_incoming(d) < MIG_INCOMING_RUNNING || !mig_dest_break(d, error)) {
        return fail(p, error);
    }
    drop(&p->main);
    drop(&p->preempt);
    g_byte_array_set_size(p->replies, 0);
    p->pauses++;
    p->waiting = false;
    if (!p->options->load_steering) {
        g_free(mig_live_postcopy_recover(p, NULL));
        if (p->options->listening) {
            p->options->listening(p->options->opaque, mig_listener_address(p->listener));
        }
    }
    return true;
}

char *mig_live_postcopy_pause(MigLivePostcopy *p)
{
    char *refused = mig_dest_pause(p->load->dest);
    if (!refused) {
        line_broke(p, "Postcopy migration is paused by the user");
    }
    return refused;
}

char *mig_live_postcopy_recover(MigLivePostcopy *p, MigListener *listener)
{
    char *refused = mig_dest_recover(p->load->dest);
    if (!refused) {
        p->waiting = true;
        p->listener = listener ? listener : p->listener;
    }
    return refused;
}

/* Channels --------------------------------------------------------------------------------- */

/* As much as goes without waiting: a source that doesn't read is no reason to stop reading. */
static bool send_replies(MigLivePostcopy *p)
{
    while (p->main && p->replies->len > 0) {
        g_autoptr(GError) error = NULL;
        struct iovec v = { p->replies->data, p->replies->len };
        int64_t n = mig_transport_write(p->main, &v, 1, &error);
        if (n == MIG_IO_ERROR) {
            return line_broke(p, error->message);
        }
        if (n == MIG_IO_AGAIN) {
            return true;
        }
        g_byte_array_remove_range(p->replies, 0, (guint)n);
    }
    return true;
}

/* Bytes of which the first |direct| may stand where they belong already. */
static bool take(MigLivePostcopy *p, size_t direct, size_t n)
{
    MigDest *d = p->load->dest;
    size_t placed = MIN(direct, n);
    tell_time(p);
    bool fine = (placed == 0 || mig_dest_filled(d, placed)) &&
                (n == placed || mig_dest_feed(d, p->buffer, n - placed));
    return fine || fail_diagnosis(p);
}

static bool take_preempt(MigLivePostcopy *p, size_t direct, size_t n)
{
    MigDest *d = p->load->dest;
    size_t placed = MIN(direct, n);
    tell_time(p);
    p->preempt_bytes += n;
    bool fine = (placed == 0 || mig_dest_filled_preempt(d, placed)) &&
                (n == placed || mig_dest_feed_preempt(d, p->buffer, n - placed));
    return fine || fail_diagnosis(p);
}

static int64_t read_from(MigLivePostcopy *p, MigTransport *t, size_t direct, void *page,
                         size_t at_most, GError **error)
{
    struct iovec v[2] = { { page, direct }, { p->buffer, at_most } };
    p->load->reads++;
    return direct ? mig_transport_read(t, v, 2, error) : mig_transport_read(t, v + 1, 1, error);
}

static bool read_main(MigLivePostcopy *p)
{
    MigDest *d = p->load->dest;
    void *page = NULL;
    g_autoptr(GError) error = NULL;
    size_t direct = mig_dest_direct(d, &page);
    bool postcopy = mig_dest_incoming(d) >= MIG_INCOMING_LISTENING;
    size_t at_most = postcopy ? SLICE_BYTES : READ_BYTES;
    int64_t n = read_from(p, p->main, direct, page, at_most, &error);
    if (n == MIG_IO_ERROR) {
        return line_broke(p, error->message);
    }
    if (n == 0 && mig_dest_incoming(d) >= MIG_INCOMING_RUNNING) {
        return line_broke(p, "the source closed the channel before the end of the stream");
    }
    if (n == 0) {
        return mig_dest_end(d) || fail_diagnosis(p);
    }
    return n == MIG_IO_AGAIN || take(p, direct, (size_t)n);
}

/* All that is there. Its end is of no importance: a source that broke says so on the main one. */
static bool read_preempt(MigLivePostcopy *p)
{
    int64_t n = 1;
    while (p->preempt && n > 0 && mig_dest_state(p->load->dest) == MIG_DEST_LOADING) {
        void *page = NULL;
        size_t direct = mig_dest_direct_preempt(p->load->dest, &page);
        n = read_from(p, p->preempt, direct, page, SLICE_BYTES, NULL);
        if (n > 0 && !take_preempt(p, direct, (size_t)n)) {
            return false;
        }
        if (n == 0 || n == MIG_IO_ERROR) {
            drop(&p->preempt);
        }
    }
    return true;
}

/* The preempt channel, a recovery's main channel, or nobody whom we know. */
static void accept_channel(MigLivePostcopy *p)
{
    MigTransport *t = mig_listener_accept(p->listener, -1, NULL);
    if (!p->main && p->waiting) {
        p->main = t;
        p->waiting = false;
        mig_dest_reconnect(p->load->dest);
    } else if (p->main && p->wants_preempt && !p->preempt) {
        p->preempt = t;
    } else {
        drop(&t);
    }
}

/* The loop --------------------------------------------------------------------------------- */

/* Somebody wants something; false: that it ends. */
static bool look(MigLivePostcopy *p)
{
    const MigLoadSteering *steering = p->options->load_steering;
    p->looked = g_get_monotonic_time();
    return (steering && steering->woken(steering->opaque)) || fail(p, "interrupted");
}

static bool serve_faults(MigLivePostcopy *p)
{
    g_autoptr(GError) error = NULL;
    tell_time(p);
    return mig_live_guest_serve(p->guest, p->load->dest, &error) || fail(p, error->message);
}

static int fd_of(const MigTransport *t, unsigned what)
{
    return t ? mig_transport_fd(t, what) : -1;
}

/* Waits until there is something to do, and does some of it. False: over. */
static bool turn(MigLivePostcopy *p)
{
    bool writes = p->main && p->replies->len > 0;
    bool accepts = p->waiting || (p->main && p->wants_preempt && !p->preempt);
    struct pollfd f[] = {
        { .fd = mig_live_guest_fd(p->guest), .events = POLLIN },
        { .fd = fd_of(p->preempt, MIG_WAIT_READ), .events = POLLIN },
        { .fd = fd_of(p->main, MIG_WAIT_READ), .events = POLLIN },
        { .fd = writes ? fd_of(p->main, MIG_WAIT_WRITE) : -1, .events = POLLOUT },
        { .fd = accepts && p->listener ? mig_listener_fd(p->listener) : -1, .events = POLLIN },
        { .fd = p->options->wake, .events = POLLIN },
    };
    bool due = p->options->load_steering && g_get_monotonic_time() - p->looked >= STEERER_US;
    p->turns++;
    if (poll(f, G_N_ELEMENTS(f), due ? 0 : -1) < 0) {
        return errno == EINTR || fail(p, g_strerror(errno));
    }
    if ((f[5].revents || due) && !look(p)) {
        return false;
    }
    if (f[4].revents) {
        accept_channel(p);
    }
    return (!f[0].revents || (serve_faults(p) && send_replies(p))) &&
           (!f[1].revents || read_preempt(p)) && (!f[2].revents || !p->main || read_main(p)) &&
           send_replies(p);
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
    while (p->main && p->replies->len > 0 && send_replies(p)) {
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

void mig_live_postcopy_load(MigLivePostcopy *p, MigListener *listener, MigTransport *main)
{
    MigLoad *l = p->load;
    int64_t began = g_get_monotonic_time();
    p->listener = listener;
    p->main = main;
    while (mig_dest_state(l->dest) == MIG_DEST_LOADING && !l->error && turn(p)) {
    }
    if (mig_dest_counts(l->dest)->return_path && p->main && !mig_transport_has_return(p->main)) {
        fail(p, "the source wants a return path, which this transport doesn't have");
    }
    send_verdict(p);
    mig_live_guest_end(p->guest);
    l->completed = !l->error && mig_dest_state(l->dest) == MIG_DEST_COMPLETED;
    if (l->completed) { /* nothing is cut off that the source may still have to read */
        mig_transport_close(g_steal_pointer(&p->main), NULL);
    }
    drop(&p->main);
    drop(&p->preempt);
    l->time = (g_get_monotonic_time() - began) * MIG_NS_PER_US;
}

/* Result ----------------------------------------------------------------------------------- */

static void put(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static json_object *latencies_to_json(const MigBlocktime *b)
{
    static const struct {
        const char *name;
        unsigned percent;
    } marks[] = { { "p50", 50 }, { "p90", 90 }, { "p95", 95 }, { "p99", 99 }, { "max", 100 } };
    json_object *o = json_object_new_object(), *buckets = json_object_new_array();
    uint64_t n = b->latencies_count;
    g_autofree int64_t *sorted = n ? g_memdup2(b->latencies, n * sizeof(*sorted)) : NULL;
    if (n > 0) {
        qsort(sorted, n, sizeof(*sorted), compare);
    }
    put(o, "count", n);
    for (size_t i = 0; n > 0 && i < G_N_ELEMENTS(marks); i++) {
        put(o, marks[i].name, (uint64_t)sorted[(n - 1) * marks[i].percent / 100]);
    }
    for (size_t i = 0; i < MIG_LATENCY_BUCKETS; i++) {
        json_object_array_add(buckets, json_object_new_uint64(b->buckets[i]));
    }
    json_object_object_add(o, "buckets", buckets);
    return o;
}

static json_object *guest_to_json(const MigLivePostcopy *p)
{
    const MigLiveGuestReport *r = mig_live_guest_report(p->guest);
    json_object *o = json_object_new_object();
    json_object_object_add(o, "ran", json_object_new_boolean(r->ran));
    put(o, "touches", r->touches.touches);
    put(o, "touched-pages", r->touches.pages);
    put(o, "wrong", r->wrong + r->touches.wrong);
    put(o, "checksum", r->touches.checksum);
    put(o, "first-touch-ns", (uint64_t)r->touches.waited);
    put(o, "longest-touch-ns", (uint64_t)r->touches.longest);
    return o;
}

json_object *mig_live_postcopy_to_json(const MigLivePostcopy *p)
{
    const MigBlocktime *b = mig_dest_blocktime(p->load->dest);
    const MigPlaced *placed = mig_dest_placed(p->load->dest);
    json_object *o = json_object_new_object(), *vcpus = json_object_new_array();
    put(o, "faults", b->faults);
    put(o, "requests", b->requests);
    put(o, "repeats", b->repeats);
    put(o, "blocktime-ns", (uint64_t)b->total);
    for (uint32_t i = 0; i < b->vcpus; i++) {
        json_object_array_add(vcpus, json_object_new_int64(b->vcpu[i]));
    }
    json_object_object_add(o, "vcpu-blocktime-ns", vcpus);
    json_object_object_add(o, "latency-ns", latencies_to_json(b));
    put(o, "placed-zero", placed->zero);
    put(o, "placed-copied", placed->copied);
    put(o, "preempt-pages", placed->preempt);
    put(o, "preempt-bytes", p->preempt_bytes);
    put(o, "discarded-pages", placed->discarded);
    put(o, "dropped-pages", placed->dropped);
    put(o, "pauses", p->pauses);
    json_object_object_add(o, "guest", guest_to_json(p));
    return o;
}
