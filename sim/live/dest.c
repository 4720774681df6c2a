/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A destination whose source is real, see live.h. One loop: read what there is, feed it, send what
 * the engine wants to reply, until the stream has ended or is bad. Channels of multifd have threads
 * of their own.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "sim/engine/dest-postcopy.h"
#include "sim/live/postcopy.h"
#include "sim/world/arrivals.h"
#include "sim/world/mapped-reader.h"
#include "sim/world/page-reader.h"
#include "sim/world/receivers.h"
#include "stream/encoder.h"

#define STEERER_US 1000 /* between two looks at what the steerer wants, while busy */

/* What was set before the source came. */
typedef struct Settings {
    MigEra era;
    MigCapabilitySet capabilities;
    MigParameters parameters;
} Settings;

typedef struct Loading {
    MigLoad *load;
    const MigLiveOptions *options;
    MigTransport *transport; /* of the main channel */
    MigReceivers *receivers; /* of multifd's; NULL: none */
    MigMappedReader *mapped; /* of the file's pages; NULL: they are in the stream */
    uint64_t file_offset;    /* where the stream begins in its file */
    GByteArray *replies;     /* encoded, not sent */
    MigPageReader *reader;   /* of the main channel */
    int64_t looked;          /* us: at the steerer, last */
    const GArray *acks;      /* of the scenario: when devices acknowledge the switchover */
    uint64_t acked;          /* bits: those that have */
    int64_t began;           /* us: when the source had come */
    GError *refused;         /* what a backend has against a device */
} Loading;

static void reply(void *opaque, const MigRecord *message)
{
    Loading *in = opaque;
    uint8_t bytes[64];
    size_t n = mig_record_encode(message, bytes, sizeof(bytes));
    g_assert(n <= sizeof(bytes));
    g_byte_array_append(in->replies, bytes, (guint)n);
}

/* What a stranger sent may stand in |error|: only printable bytes go on. */
static bool fail(Loading *in, const char *error)
{
    if (!in->load->error) {
        in->load->error = g_strescape(error, "\"\\");
    }
    return false;
}

static bool send_replies(Loading *in);

/* Somebody wants something; false: that it ends. */
static bool look(Loading *in)
{
    const MigLoadSteering *steering = in->options->load_steering;
    in->looked = g_get_monotonic_time();
    return (steering && steering->woken(steering->opaque)) || fail(in, "interrupted");
}

/* Has devices acknowledge whose time has come; returns the ns until the next one's, or -1. */
static int64_t run_acks(Loading *in)
{
    int64_t now = (g_get_monotonic_time() - in->began) * MIG_NS_PER_US, next = -1;
    for (guint i = 0; i < in->acks->len; i++) {
        int64_t at = g_array_index(in->acks, int64_t, i);
        if (at < 0 || in->acked >> i & 1) {
            continue;
        }
        if (at <= now) {
            in->acked |= 1ull << i;
            mig_dest_acknowledge(in->load->dest);
        } else {
            next = next < 0 ? at - now : MIN(next, at - now);
        }
    }
    return next;
}

/* For poll(): not before |ns| have passed. */
static int in_ms(int64_t ns)
{
    return ns < 0 ? -1 : (int)MIN((ns + MIG_NS_PER_MS - 1) / MIG_NS_PER_MS, 1000);
}

/* The threads have said something. */
static bool hear_receivers(Loading *in)
{
    mig_receivers_heard(in->receivers);
    const char *error = mig_receivers_error(in->receivers);
    return !error || fail(in, error);
}

static void tell(const Loading *in, const char *status)
{
    const MigLoadSteering *steering = in->options->load_steering;
    steering->status(steering->opaque, status);
}

/* Waits for |what| (0: for the threads alone). True also when it has to be asked for again. */
static bool await(Loading *in, unsigned what)
{
    int64_t next = in->acks->len ? run_acks(in) : -1;
    if (what == MIG_WAIT_READ && in->replies->len > 0) {
        return send_replies(in);
    }
    struct pollfd p[] = {
        { .fd = what ? mig_transport_fd(in->transport, what) : -1,
          .events = what == MIG_WAIT_READ ? POLLIN : POLLOUT },
        { .fd = in->options->wake, .events = POLLIN },
        { .fd = in->receivers ? mig_receivers_fd(in->receivers) : -1, .events = POLLIN },
    };
    if (poll(p, G_N_ELEMENTS(p), in_ms(next)) <= 0) {
        return true;
    }
    return (!p[1].revents || look(in)) && (!p[2].revents || hear_receivers(in));
}

/* Between two reads, where there may be nothing to wait for. */
static bool keep_going(Loading *in)
{
    if (in->acks->len) {
        run_acks(in);
    }
    bool due = in->options->load_steering && g_get_monotonic_time() - in->looked >= STEERER_US;
    return !due || look(in);
}

/* Sends the replies. A source that doesn't hear them any more is told by its own stream's end. */
static bool send_replies(Loading *in)
{
    while (in->replies->len > 0) {
        g_autoptr(GError) error = NULL;
        struct iovec v = { in->replies->data, in->replies->len };
        int64_t n = mig_transport_write(in->transport, &v, 1, &error);
        if (n == MIG_IO_ERROR) {
            return fail(in, error->message);
        }
        if (n == MIG_IO_AGAIN) {
            if (!await(in, MIG_WAIT_WRITE)) {
                return false;
            }
        } else {
            g_byte_array_remove_range(in->replies, 0, (guint)n);
        }
    }
    return true;
}

static bool fail_diagnosis(Loading *in)
{
    const MigDiagnosis *d = mig_dest_error(in->load->dest);
    g_autofree char *text = g_strdup_printf("byte %" G_GUINT64_FORMAT ", %s: expected %s, found %s",
                                            d->offset, d->path, d->expected, d->found);
    return fail(in, text);
}

/* The main channel is at a sync point; the source may wait for what it has been told so far. */
static bool sync_channels(void *opaque, MigDestMultifd *channels, MigDiagnosis *error)
{
    Loading *in = opaque;
    bool fine = send_replies(in);
    (void)channels;
    while (fine && !mig_receivers_sync(in->receivers)) {
        const char *why = mig_receivers_error(in->receivers);
        fine = why ? fail(in, why) : await(in, 0);
    }
    if (!fine) {
        *error = (MigDiagnosis){ .fault = MIG_FAULT_NONE };
        g_strlcpy(error->expected, "a SYNC on every channel", sizeof(error->expected));
        g_strlcpy(error->found, in->load->error, sizeof(error->found));
    }
    return fine;
}

/* mapped-ram: what stands elsewhere in the file. */
static bool read_places(Loading *in)
{
    g_autoptr(GError) error = NULL;
    if (!in->mapped || mig_mapped_reader_step(in->mapped, in->load->dest, &error)) {
        return true;
    }
    return error ? fail(in, error->message) : fail_diagnosis(in);
}

/* Reads once. False: failed, or (without an error) the end. */
static bool read_some(Loading *in)
{
    g_autoptr(GError) error = NULL;
    int64_t n = mig_page_reader_read(in->reader, in->transport, &error);
    if (n == MIG_IO_ERROR) {
        return fail(in, error->message);
    }
    if (n == MIG_IO_AGAIN) {
        return await(in, MIG_WAIT_READ);
    }
    in->load->reads++;
    if (n == 0) {
        return mig_dest_end(in->load->dest) ? false : fail_diagnosis(in);
    }
    return (mig_dest_state(in->load->dest) != MIG_DEST_FAILED || fail_diagnosis(in)) &&
           read_places(in) && send_replies(in);
}

/* The last word of a destination: 0, or 1 after a failure. */
static void send_verdict(Loading *in)
{
    MigRecord r = { .type = MIG_REC_RP };
    r.rp.type = MIG_RP_SHUT;
    r.rp.length = 4;
    r.rp.value = in->load->error != NULL;
    if (mig_dest_counts(in->load->dest)->return_path && mig_transport_has_return(in->transport)) {
        reply(in, &r);
        send_replies(in);
    }
}

/* Their memory is ours again. */
static void end_receivers(Loading *in)
{
    if (in->receivers) {
        in->load->reads += mig_receivers_stop(in->receivers);
        mig_receivers_free(g_steal_pointer(&in->receivers));
    }
}

/* The devices' states, of a guest that will really run. */
static void take_effect(Loading *in)
{
    g_autoptr(GError) error = NULL;
    MigLoad *l = in->load;
    bool loaded = l->backend && !l->error && mig_dest_state(l->dest) == MIG_DEST_COMPLETED;
    if (loaded && !l->backend->ops->loaded(l->backend, &error)) {
        fail(in, error->message);
    }
}

static void load_stream(Loading *in)
{
    MigLoad *l = in->load;
    while (mig_dest_state(l->dest) == MIG_DEST_LOADING && keep_going(in) && read_some(in)) {
    }
    end_receivers(in);
    if (mig_dest_counts(l->dest)->return_path && !mig_transport_has_return(in->transport)) {
        fail(in, "the source wants a return path, which this transport doesn't have");
    }
    take_effect(in);
    send_verdict(in);
    l->completed = !l->error && mig_dest_state(l->dest) == MIG_DEST_COMPLETED;
}

/* Of a postcopy of dirty bitmaps alone: all of RAM is there. */
static void run_guest(void *opaque)
{
    Loading *in = opaque;
    const MigLoadSteering *steering = in->options->load_steering;
    if (steering && steering->run) {
        steering->run(steering->opaque);
    }
}

static void tell_status(void *opaque, const char *status)
{
    Loading *in = opaque;
    if (in->options->load_steering && mig_dest_state(in->load->dest) == MIG_DEST_LOADING) {
        tell(in, status);
    }
}

static bool make_memory(const MigScenario *s, MigLoad *l, bool steered, GError **error)
{
    if (l->backend) { /* what runs waits for pages in its own memory */
        bool postcopy = steered || s->capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM);
        l->memory = postcopy ? l->backend->ops->buffer(l->backend) : NULL;
        return true;
    }
    MigGuest *like = mig_scenario_guest(s, NULL);
    /* A steerer may want postcopy later. */
    bool paged = steered || s->capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM);
    l->memory = paged ? mig_buffer_new_paged(mig_guest_memory(like), error)
                      : mig_buffer_new(mig_guest_memory(like), NULL, error);
    if (l->memory && !paged) {
        mig_buffer_huge_pages(l->memory, true);
    }
    mig_guest_free(like);
    l->disks = l->memory ? mig_scenario_disks_destination(s, error) : NULL;
    return l->memory && (l->disks || s->disk_list->len == 0);
}

static Settings settings_of(const MigScenario *s)
{
    Settings set = { .capabilities = s->capabilities };
    mig_era_resolve(s->destination_version, s->machine, &set.era);
    set.parameters = mig_parameters_default(&set.era);
    mig_parameters_apply(&set.parameters, &s->parameters);
    return set;
}

static const char *load_device(void *opaque, const char *idstr, uint32_t instance, uint32_t version,
                               const uint8_t *body, size_t n)
{
    Loading *in = opaque;
    MigBackend *b = in->load->backend;
    g_clear_error(&in->refused);
    bool fine = b->ops->load(b, idstr, instance, version, body, n, &in->refused);
    return fine ? NULL : in->refused->message;
}

static void make_engine(const MigScenario *s, const Settings *set, Loading *in)
{
    MigDestConfig config = {
        .era = set->era,
        .machine = s->machine,
        .capabilities = set->capabilities,
        .acks = s->acks->len,
        .file_offset = in->file_offset,
        .memory = mig_load_memory(in->load),
        .disks = mig_scenario_disks_of(in->load->disks),
        .multifd_channels = (uint32_t)set->parameters.multifd_channels,
        .sync_channels = sync_channels,
        .device = in->load->backend ? load_device : NULL,
        .reply = reply,
        .opaque = in,
    };
    in->acks = s->acks;
    config.has_uuid = s->has_uuid;
    memcpy(config.uuid, s->uuid, sizeof(config.uuid));
    in->load->dest = mig_dest_new(&config);
    const MigDestHooks hooks = { .opaque = in, .run = run_guest, .status = tell_status };
    mig_dest_set_hooks(in->load->dest, &hooks, 1);
}

/* A wait for connections has ended for |error|, which it frees when it is to go on. */
static bool goes_on(Loading *in, GError **error)
{
    bool on = in->options->load_steering && g_error_matches(*error, MIG_TRANSPORT_ERROR, EINTR) &&
              look(in);
    if (on) {
        g_clear_error(error);
    }
    return on;
}

/* Waits for a source, and for what else may come meanwhile. */
static bool await_source(Loading *in, MigArrivals *a, GError **error)
{
    while (!mig_arrivals_any(a, in->options->wake, error)) {
        if (!goes_on(in, error)) {
            return false;
        }
    }
    return true;
}

static void close_one(gpointer t, gpointer unused)
{
    (void)unused;
    mig_transport_close(t, NULL);
}

/* Takes all of its channels in. |list|: multifd's. */
static bool collect(Loading *in, MigArrivals *a, GPtrArray *list, GError **error)
{
    while (!mig_arrivals_complete(a)) {
        MigArrival what;
        MigTransport *t = mig_arrivals_next(a, in->options->wake, &what, error);
        if (t && what == MIG_ARRIVAL_MAIN) {
            in->transport = t;
        } else if (t) {
            g_ptr_array_add(list, t);
        } else if (!goes_on(in, error)) {
            return false;
        }
    }
    return true;
}

/* mapped-ram: the file is read here, with as many threads as multifd has channels. */
static bool open_places(const Settings *set, Loading *in, GError **error)
{
    int fd = mig_transport_file(in->transport);
    bool multifd = set->capabilities & MIG_CAP_BIT(MIG_CAP_MULTIFD);
    if (!(set->capabilities & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM))) {
        return true;
    }
    if (fd < 0) {
        g_set_error(error, MIG_TRANSPORT_ERROR, ESPIPE,
                    "capability mapped-ram: %s has no places; expected file:PATH",
                    mig_transport_name(in->transport));
        return false;
    }
    in->mapped = mig_mapped_reader_new(mig_load_memory(in->load), fd,
                                       multifd ? (unsigned)set->parameters.multifd_channels : 0);
    return true;
}

/* The first of them is there. */
static bool accept_channels(const Settings *set, Loading *in, MigArrivals *a, GError **error)
{
    GPtrArray *list = g_ptr_array_new();
    MigDestMultifd *multifd = mig_dest_channels(in->load->dest);
    MigCapabilitySet opened = set->capabilities;
    if (opened & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM)) {
        opened &= ~MIG_CAP_BIT(MIG_CAP_MULTIFD);
    }
    mig_arrivals_expect(a, &set->era, opened, (uint32_t)set->parameters.multifd_channels);
    bool fine = collect(in, a, list, error) && open_places(set, in, error);
    if (!fine) {
        g_ptr_array_foreach(list, close_one, NULL);
    } else if (multifd) {
        in->receivers = mig_receivers_new(multifd, (MigTransport **)list->pdata, list->len, error);
        fine = in->receivers != NULL;
    }
    g_ptr_array_unref(list);
    return fine;
}

static MigListener *listen_at(const MigLiveOptions *o, GError **error)
{
    MigListener *l = mig_listener_new(o->uri, error);
    if (l && o->listening) {
        o->listening(o->opaque, mig_listener_address(l));
    }
    return l;
}

static void close_transport(Loading *in)
{
    g_autoptr(GError) error = NULL;
    if (!in->transport) {
        return;
    }
    if (in->load->error) {
        mig_transport_shutdown(in->transport);
    }
    if (!mig_transport_close(in->transport, &error) && in->load->error) {
        /* A command that failed says more than the stream that ended with it. */
        char *both = g_strdup_printf("%s (%s)", in->load->error, error->message);
        g_free(in->load->error);
        in->load->error = both;
    }
}

/* From the connection to the end of the transport. */
static void load_all(Loading *in)
{
    in->began = g_get_monotonic_time();
    in->replies = g_byte_array_new();
    in->reader = mig_page_reader_new(in->load->dest);
    load_stream(in);
    close_transport(in);
    in->load->time = (g_get_monotonic_time() - in->began) * MIG_NS_PER_US;
    g_clear_pointer(&in->mapped, mig_mapped_reader_free);
    g_byte_array_unref(in->replies);
    mig_page_reader_free(in->reader);
    g_clear_error(&in->refused);
}

/* The engine, before the source's channels are taken in. */
static bool prepare(const MigScenario *s, const Settings *set, Loading *in, GError **error)
{
    if (!(set->capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM))) {
        make_engine(s, set, in);
        return true;
    }
    in->load->postcopy =
        mig_live_postcopy_new(s, set->capabilities, (uint32_t)set->parameters.multifd_channels,
                              in->options, in->load, error);
    return in->load->postcopy != NULL;
}

/* What the source sends, with all channels that it opens at |listener|. */
static void load_from(Loading *in, MigListener *listener)
{
    if (in->load->postcopy) {
        mig_live_postcopy_load(in->load->postcopy, listener, in->transport, in->receivers);
        end_receivers(in);
    } else {
        load_all(in);
    }
}

/* A source comes when and where the steerer wants, or never. */
static void load_steered(const MigScenario *s, Loading *in)
{
    const MigLoadSteering *steering = in->options->load_steering;
    g_autoptr(GError) error = NULL;
    Settings set = settings_of(s);
    MigListener *l = steering->wait(steering->opaque, in->load);
    if (!l) {
        fail(in, "no source came");
        return;
    }
    in->file_offset = mig_listener_offset(l);
    MigArrivals *a = mig_arrivals_new(l);
    bool fine = await_source(in, a, &error);
    if (fine) {
        steering->accepted(steering->opaque, &set.capabilities);
        if (steering->parameters) {
            steering->parameters(steering->opaque, &set.parameters);
        }
        fine = prepare(s, &set, in, &error) && accept_channels(&set, in, a, &error);
    }
    mig_arrivals_free(a);
    if (fine) {
        tell(in, "active");
        load_from(in, l);
    } else {
        fail(in, error->message);
        close_transport(in);
    }
    tell(in, in->load->completed ? "completed" : "failed");
    steering->stay(steering->opaque);
}

/* The next source that comes, at the URI. False and *error when none could. */
static bool load_once(const MigScenario *s, Loading *in, GError **error)
{
    Settings set = settings_of(s);
    in->file_offset = in->options->uri->offset;
    MigListener *l = prepare(s, &set, in, error) ? listen_at(in->options, error) : NULL;
    MigArrivals *a = l ? mig_arrivals_new(l) : NULL;
    bool fine = l && await_source(in, a, error) && accept_channels(&set, in, a, error);
    mig_arrivals_free(a);
    if (fine) {
        load_from(in, l);
    } else {
        close_transport(in);
    }
    mig_listener_free(l);
    return fine;
}

MigLoad *mig_live_dest(const MigScenario *s, const MigLiveOptions *options, GError **error)
{
    g_autoptr(MigLoad) l = g_new0(MigLoad, 1);
    Loading in = { .load = l, .options = options };
    l->backend = options->backend;
    l->descriptors_before = mig_count_descriptors();
    if (!make_memory(s, l, options->load_steering != NULL, error)) {
        return NULL;
    }
    if (options->load_steering) {
        load_steered(s, &in);
    } else if (!load_once(s, &in, error)) {
        return NULL;
    }
    l->descriptors_after = mig_count_descriptors();
    return g_steal_pointer(&l);
}

MigMemory *mig_load_memory(const MigLoad *l)
{
    return l->backend ? l->backend->ops->memory(l->backend) : mig_buffer_memory(l->memory);
}

void mig_load_free(MigLoad *l)
{
    if (l) {
        mig_dest_free(l->dest);
        mig_live_postcopy_free(l->postcopy);
        mig_buffer_free(l->memory);
        mig_scenario_disks_free(l->disks);
        g_free(l->error);
        g_free(l);
    }
}
