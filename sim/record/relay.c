/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay, see relay.h. Model: every direction of every connection is a queue of parcels, each
 * with the time at which it may go on; one loop polls whatever can be read, written, or accepted.
 * The source's direction has a line that all its connections share: a parcel takes it for bytes /
 * rate and arrives a delay later, and never before the one in front of it.
 *
 * Limits: a queue holds at most QUEUE_BYTES, then its reader waits, as a socket buffer would make
 * it. A line with a large rate times delay needs more than that to be full.
 */
#include "sim/record/relay.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "sim/world/clock.h"
#include "sim/world/prng.h"
#include "sim/world/transport.h"

#define READ_BYTES  (256u << 10)
#define QUEUE_BYTES (8u << 20)

#define LAST_WORDS_NS (2 * MIG_NS_PER_S)

typedef struct Parcel {
    guint8 *data;
    gsize n, done;
    gint64 due; /* ns, monotonic */
} Parcel;

typedef struct Connection Connection;

typedef struct Half {
    Connection *connection;
    MigTransport *from, *to; /* the connection's */
    GQueue parcels;          /* Parcel */
    gsize queued;            /* bytes in them */
    gint64 last_due;
    gboolean ended;  /* nothing more comes */
    gboolean closed; /* and the other end knows */
} Half;

struct Connection {
    Half forward, back;
    MigTold told;
};

struct MigRelay {
    MigRelayConfig config;
    MigListener *listener;
    GPtrArray *connections; /* Connection, those that are open */
    guint generation, generation_connections;
    MigTeller teller;
    unsigned cuts_done;
    gboolean stalled, timed_cut_done;
    gboolean cutting;  /* no more is read from the source; what was arrives, then the line breaks */
    gint64 began;      /* of the first connection; 0: nobody came yet */
    gint64 line_free;  /* when the line has carried what it was given */
    gint64 held_until; /* a stall */
    MigPrng prng;
    guint8 *buffer;
    MigRelayCounts counts;
};

static gint64 monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * MIG_NS_PER_S + t.tv_nsec;
}

/* Connections ------------------------------------------------------------------------------ */

static void parcel_free(gpointer data)
{
    Parcel *p = data;
    g_free(p->data);
    g_free(p);
}

static void half_init(Half *h, Connection *c, MigTransport *from, MigTransport *to)
{
    *h = (Half){ .connection = c, .from = from, .to = to };
    g_queue_init(&h->parcels);
    h->ended = !mig_transport_has_return(from) && from == c->forward.to;
}

static void connection_free(gpointer data)
{
    Connection *c = data;
    MigTransport *ends[] = { c->forward.from, c->forward.to };
    g_queue_clear_full(&c->forward.parcels, parcel_free);
    g_queue_clear_full(&c->back.parcels, parcel_free);
    for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
        mig_transport_shutdown(ends[i]);
        mig_transport_close(ends[i], NULL);
    }
    mig_told_clear(&c->told);
    g_free(c);
}

MigRelay *mig_relay_new(const MigRelayConfig *config, GError **error)
{
    MigListener *listener = mig_listener_new(config->listen, error);
    if (!listener) {
        return NULL;
    }
    MigRelay *r = g_new0(MigRelay, 1);
    r->config = *config;
    r->teller.tap = config->tap;
    r->listener = listener;
    r->connections = g_ptr_array_new_with_free_func(connection_free);
    r->prng = mig_prng(config->shape.seed, "relay-jitter", 0);
    r->buffer = g_malloc(READ_BYTES);
    return r;
}

void mig_relay_free(MigRelay *r)
{
    if (r) {
        g_ptr_array_unref(r->connections);
        mig_listener_free(r->listener);
        g_free(r->buffer);
        g_free(r);
    }
}

const char *mig_relay_address(const MigRelay *r)
{
    return mig_listener_address(r->listener);
}

const MigRelayCounts *mig_relay_counts(const MigRelay *r)
{
    return &r->counts;
}

static gboolean take_in(MigRelay *r, int wake, GError **error)
{
    const MigUri *again = r->config.connect_again;
    MigTransport *source = mig_listener_accept(r->listener, wake, error);
    if (!source) {
        return FALSE;
    }
    const MigUri *to = r->generation && again ? again : r->config.connect;
    MigTransport *target = mig_transport_connect(to, true, wake, error);
    if (!target) {
        mig_transport_close(source, NULL);
        return FALSE;
    }
    Connection *c = g_new0(Connection, 1);
    half_init(&c->forward, c, source, target);
    half_init(&c->back, c, target, source);
    mig_told_init(&c->told, r->generation_connections++ == 0, r->generation);
    g_ptr_array_add(r->connections, c);
    r->counts.connections++;
    r->began = r->began ? r->began : monotonic();
    return TRUE;
}

static gboolean heard(MigRelay *r, Half *h, const void *data, gsize n, GError **error)
{
    Connection *c = h->connection;
    gboolean forward = h == &c->forward;
    guint64 ns = (guint64)g_get_real_time() * 1000;
    *(forward ? &r->counts.forward : &r->counts.back) += n;
    if (mig_teller_heard(&r->teller, &c->told, forward ? MIG_FORWARD : MIG_BACK, ns, data, n)) {
        return TRUE;
    }
    g_set_error_literal(error, MIG_TRANSPORT_ERROR, EIO, "the recording can't be written");
    return FALSE;
}

/* The line --------------------------------------------------------------------------------- */

/* When |n| bytes that came in at |now| may go on. */
static gint64 carry(MigRelay *r, Half *h, gint64 now, gsize n)
{
    const MigRelayShape *s = &r->config.shape;
    gint64 at = now;
    if (h == &h->connection->forward) {
        if (s->stall_for && !r->stalled && r->counts.forward > s->stall_at) {
            r->stalled = TRUE;
            r->held_until = now + s->stall_for;
        }
        at = MAX(MAX(now, r->line_free), r->held_until) + mig_clock_span(n, s->rate);
        r->line_free = s->rate || r->stalled ? at : 0;
    }
    at += s->delay + (s->jitter ? (gint64)mig_prng_below(&r->prng, (guint64)s->jitter + 1) : 0);
    return MAX(at, h->last_due);
}

static void push(MigRelay *r, Half *h, gint64 now, const guint8 *data, gsize n)
{
    Parcel *p = g_new0(Parcel, 1);
    p->data = g_memdup2(data, n);
    p->n = n;
    p->due = h->last_due = carry(r, h, now, n);
    g_queue_push_tail(&h->parcels, p);
    h->queued += n;
}

/* Bytes that may pass until the next cut. */
static guint64 until_cut(const MigRelay *r)
{
    const MigRelayShape *s = &r->config.shape;
    return r->cuts_done < s->cut_count ? s->cuts[r->cuts_done] - r->counts.forward : G_MAXUINT64;
}

/* Nothing is under way to the destination: what was recorded has arrived. */
static gboolean is_flushed(const MigRelay *r)
{
    for (guint i = 0; i < r->connections->len; i++) {
        const Connection *c = r->connections->pdata[i];
        if (c->forward.queued) {
            return FALSE;
        }
    }
    return TRUE;
}

/*
 * Breaks the line. The destination first sees an orderly end, and is heard until it has ended, too:
 * a socket that is closed over unread answers may throw away what the other end has not read yet.
 */
static void cut(MigRelay *r)
{
    for (guint i = 0; i < r->connections->len; i++) {
        Connection *c = r->connections->pdata[i];
        gint64 end = monotonic() + LAST_WORDS_NS, left;
        mig_transport_end(c->forward.to);
        while ((left = end - monotonic()) > 0 &&
               mig_transport_wait(c->forward.to, MIG_WAIT_READ, -1, left)) {
            struct iovec v = { r->buffer, READ_BYTES };
            int64_t n = mig_transport_read(c->forward.to, &v, 1, NULL);
            if (n == 0 || n == MIG_IO_ERROR) {
                break;
            }
        }
    }
    g_ptr_array_set_size(r->connections, 0);
}

/* True: a cut waits for what is under way, and nothing more is to be read from the source. */
static gboolean holds(const MigRelay *r, const Half *h)
{
    return h == &h->connection->forward && (r->cutting || until_cut(r) == 0);
}

static gboolean read_half(MigRelay *r, Half *h, GError **error)
{
    gboolean forward = h == &h->connection->forward;
    gsize room = forward ? (gsize)MIN(READ_BYTES, until_cut(r)) : READ_BYTES;
    struct iovec v = { r->buffer, room };
    if (holds(r, h)) {
        return TRUE;
    }
    int64_t n = mig_transport_read(h->from, &v, 1, NULL);
    if (n > 0) {
        if (!heard(r, h, r->buffer, (gsize)n, error)) {
            return FALSE;
        }
        push(r, h, monotonic(), r->buffer, (gsize)n);
    } else if (n != MIG_IO_AGAIN) {
        h->ended = TRUE; /* by an error, too: the other end will see a broken line */
    }
    return TRUE;
}

static void write_half(Half *h, gint64 now)
{
    Parcel *p;
    while ((p = g_queue_peek_head(&h->parcels)) && p->due <= now) {
        struct iovec v = { p->data + p->done, p->n - p->done };
        int64_t n = mig_transport_write(h->to, &v, 1, NULL);
        if (n == MIG_IO_AGAIN) {
            return;
        }
        if (n == MIG_IO_ERROR) { /* nobody listens: drop it, and hear no more */
            g_queue_clear_full(&h->parcels, parcel_free);
            h->queued = 0;
            h->ended = TRUE;
            return;
        }
        p->done += (gsize)n;
        h->queued -= (gsize)n;
        if (p->done == p->n) {
            parcel_free(g_queue_pop_head(&h->parcels));
        }
    }
    if (h->ended && !p && !h->closed) {
        h->closed = TRUE;
        mig_transport_end(h->to);
    }
}

/* The loop --------------------------------------------------------------------------------- */

typedef struct Poll {
    GArray *fds;    /* struct pollfd; the first two are wake and listener */
    GArray *halves; /* Half *, of those behind */
    gint64 next;    /* monotonic ns; G_MAXINT64: nothing is due */
} Poll;

static void watch(const MigRelay *r, Poll *p, Half *h, gint64 now)
{
    Parcel *parcel = g_queue_peek_head(&h->parcels);
    struct pollfd in = { .fd = -1 }, out = { .fd = -1 };
    if (!h->ended && h->queued < QUEUE_BYTES && !holds(r, h)) {
        in = (struct pollfd){ mig_transport_fd(h->from, MIG_WAIT_READ), POLLIN, 0 };
    }
    if (parcel && parcel->due <= now) {
        out = (struct pollfd){ mig_transport_fd(h->to, MIG_WAIT_WRITE), POLLOUT, 0 };
    } else if (parcel) {
        p->next = MIN(p->next, parcel->due);
    }
    g_array_append_val(p->fds, in);
    g_array_append_val(p->fds, out);
    g_array_append_val(p->halves, h);
}

static gboolean may_come(const MigRelay *r)
{
    return r->generation <= r->config.breaks;
}

static void set_up(MigRelay *r, Poll *p, int wake, gint64 now)
{
    struct pollfd fds[] = { { wake, POLLIN, 0 },
                            { may_come(r) ? mig_listener_fd(r->listener) : -1, POLLIN, 0 } };
    g_array_set_size(p->fds, 0);
    g_array_set_size(p->halves, 0);
    p->next = G_MAXINT64;
    g_array_append_vals(p->fds, fds, G_N_ELEMENTS(fds));
    for (guint i = 0; i < r->connections->len; i++) {
        Connection *c = r->connections->pdata[i];
        watch(r, p, &c->forward, now);
        watch(r, p, &c->back, now);
    }
    const MigRelayShape *s = &r->config.shape;
    if (s->cut_after && r->began && !r->timed_cut_done) {
        p->next = MIN(p->next, r->began + s->cut_after);
    }
}

static gboolean wait_for_something(Poll *p, gint64 now)
{
    gint64 left = MAX(p->next - now, 0);
    struct timespec span = { left / MIG_NS_PER_S, left % MIG_NS_PER_S };
    return ppoll((struct pollfd *)(void *)p->fds->data, p->fds->len,
                 p->next == G_MAXINT64 ? NULL : &span, NULL) > 0;
}

static gboolean move(MigRelay *r, const Poll *p, GError **error)
{
    for (guint i = 0; i < p->halves->len; i++) {
        Half *h = g_array_index(p->halves, Half *, i);
        if (g_array_index(p->fds, struct pollfd, 2 + 2 * i).revents && !read_half(r, h, error)) {
            return FALSE;
        }
        write_half(h, monotonic());
    }
    return TRUE;
}

/* Cuts that are due, connections that have ended, and a generation that is over. */
static void settle(MigRelay *r)
{
    const MigRelayShape *s = &r->config.shape;
    guint before = r->connections->len;
    if (s->cut_after && r->began && !r->timed_cut_done && monotonic() >= r->began + s->cut_after) {
        r->timed_cut_done = r->cutting = TRUE;
    }
    if (until_cut(r) == 0) {
        r->cuts_done++;
        r->cutting = TRUE;
    }
    if (r->cutting && is_flushed(r)) {
        r->cutting = FALSE;
        cut(r);
    }
    for (guint i = r->connections->len; i-- > 0;) {
        Connection *c = r->connections->pdata[i];
        if (c->forward.closed && c->back.closed) {
            g_ptr_array_remove_index(r->connections, i);
        }
    }
    if (before && !r->connections->len) {
        r->generation++;
        r->generation_connections = 0;
        r->line_free = r->held_until = 0;
        r->counts.breaks = r->generation - 1;
    }
}

bool mig_relay_run(MigRelay *r, int wake, GError **error)
{
    Poll p = { g_array_new(FALSE, TRUE, sizeof(struct pollfd)),
               g_array_new(FALSE, TRUE, sizeof(Half *)), 0 };
    gboolean fine = TRUE;
    while (fine && (r->connections->len || may_come(r))) {
        gint64 now = monotonic();
        set_up(r, &p, wake, now);
        gboolean ready = wait_for_something(&p, now);
        if (ready && g_array_index(p.fds, struct pollfd, 0).revents) {
            break;
        }
        fine = move(r, &p, error);
        if (fine && ready && g_array_index(p.fds, struct pollfd, 1).revents) {
            fine = take_in(r, wake, error);
        }
        settle(r);
    }
    g_array_unref(p.fds);
    g_array_unref(p.halves);
    return fine;
}
