/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real world, see real.h. Model:
 *
 * - A channel (real-channel.h) is opened by CONNECT with the next number: 0 is the main one.
 * - The clock is read at the beginning and the end of an operation, and whenever a channel was
 *   waited for: between two readings the guest stands still, as far as anybody can see.
 * - Messages of the return path are read while waiting and at every end of a section.
 */
#include "sim/world/real.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "sim/world/bell.h"
#include "sim/world/compressors.h"
#include "sim/world/real-internal.h"
#include "stream/encoder.h"

#define MONITOR_NS (10 * MIG_NS_PER_MS) /* at most, between two looks at what a monitor wants */

/* Time ------------------------------------------------------------------------------------- */

static int64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * MIG_NS_PER_S + t.tv_nsec;
}

int64_t mig_real_look(MigReal *r)
{
    mig_clock_advance(r->config.clock, monotonic() - r->epoch);
    return r->config.clock->now;
}

static void run_events(MigReal *r)
{
    MigEvent e;
    while (mig_events_take(&r->events, mig_real_look(r), &e)) {
        e.fn(e.opaque, r->config.clock->now);
    }
}

MigReal *mig_real_new(const MigRealConfig *config)
{
    MigReal *r = g_new0(MigReal, 1);
    r->config = *config;
    r->epoch = monotonic() - config->clock->now;
    r->channels = g_ptr_array_new_with_free_func((GDestroyNotify)mig_real_channel_free);
    r->answers = config->answers && !config->postcopy ? mig_answers_new() : NULL;
    r->postcopy = config->postcopy ? mig_real_postcopy_new(config->postcopy) : NULL;
    if (r->answers) {
        mig_answers_on_ack(r->answers, config->acknowledged, config->opaque);
    }
    return r;
}

void mig_real_free(MigReal *r)
{
    if (r) {
        mig_real_urgent_end(r);
        mig_senders_free(r->senders); /* they have channels */
        mig_compressors_free(r->compressors);
        g_ptr_array_unref(r->channels);
        mig_events_clear(&r->events);
        mig_answers_free(r->answers);
        mig_real_postcopy_free(r->postcopy);
        mig_devices_free(r->devices);
        g_free(r->error);
        g_free(r->close_error);
        g_free(r);
    }
}

/* Failing and waiting ---------------------------------------------------------------------- */

MigRealChannel *mig_real_channel_of(const MigReal *r, uint32_t number)
{
    return number < r->channels->len ? g_ptr_array_index(r->channels, number) : NULL;
}

void mig_real_die(MigReal *r, const char *error)
{
    if (!r->error) {
        r->error = g_strdup(error);
    }
}

void mig_real_shutdown(MigReal *r, const char *error)
{
    mig_real_die(r, error);
    for (guint i = 0; i < r->channels->len; i++) {
        MigRealChannel *c = g_ptr_array_index(r->channels, i);
        if (c && !c->lent) {
            mig_real_channel_die(c, error);
        }
        if (c && c->transport) {
            mig_transport_shutdown(c->transport);
        }
    }
}

/* Sleeps until one of |p| is ready or |ns| have passed (negative: for ever). */
static void sleep_for(MigReal *r, struct pollfd *p, nfds_t count, int64_t ns)
{
    struct timespec span = { ns / MIG_NS_PER_S, ns % MIG_NS_PER_S };
    mig_real_urgent_away(r);
    int ready = ppoll(p, count, ns < 0 ? NULL : &span, NULL);
    mig_real_urgent_back(r);
    if (ready <= 0) {
        for (nfds_t i = 0; i < count; i++) {
            p[i].revents = 0;
        }
    }
}

static int fd_for(MigRealChannel *c, unsigned what)
{
    return what && c && c->transport ? mig_transport_fd(c->transport, what) : -1;
}

/* What postcopy's return path has said. Requests are the urgent thread's, where there is one. */
static unsigned messages(const MigReal *r)
{
    bool urgent = r->postcopy && !r->urgent && mig_real_postcopy_urgent(r->postcopy);
    bool heard = r->postcopy && (urgent || mig_real_postcopy_heard(r->postcopy));
    return (heard ? MIG_WAIT_MESSAGE : 0) | (urgent ? MIG_WAIT_URGENT : 0);
}

unsigned mig_real_wait(MigReal *r, MigRealChannel *c, unsigned what, int64_t until)
{
    MigRealChannel *main = mig_real_channel_of(r, 0);
    bool listen = !r->urgent && mig_real_is_heard(r) && !(c == main && what & MIG_WAIT_READ);
    for (;;) {
        run_events(r);
        int64_t end = MIN(until, mig_events_next(&r->events)), now = mig_real_look(r);
        if ((r->error || (c && c->error)) && what) {
            return 0;
        }
        bool threads = r->senders && !r->error;
        struct pollfd p[] = {
            { .fd = fd_for(c, what & MIG_WAIT_READ), .events = POLLIN },
            { .fd = fd_for(c, what & MIG_WAIT_WRITE), .events = POLLOUT },
            { .fd = listen ? fd_for(main, MIG_WAIT_READ) : -1, .events = POLLIN },
            { .fd = r->config.wake, .events = POLLIN },
            { .fd = threads ? mig_senders_fd(r->senders) : -1, .events = POLLIN },
            { .fd = mig_real_urgent_bell(r), .events = POLLIN },
        };
        sleep_for(r, p, G_N_ELEMENTS(p), end == MIG_FOREVER ? -1 : MAX(end - now, 0));
        if (p[3].revents && r->config.woken) {
            mig_real_look(r);
            r->config.woken(r->config.opaque);
        }
        if (p[5].revents) {
            mig_bell_heard(p[5].fd);
        }
        if (p[2].revents && !mig_real_hear(r)) {
            listen = false; /* its end was seen: it would be readable for ever */
        }
        if (p[4].revents) {
            mig_real_multifd_hear(r);
        }
        unsigned ready = (p[0].revents ? MIG_WAIT_READ : 0) | (p[1].revents ? MIG_WAIT_WRITE : 0) |
                         (p[4].revents ? MIG_WAIT_SENDERS : 0) | messages(r);
        if (ready & what) {
            mig_real_look(r);
            return ready & what;
        }
        if (now >= until) { /* but not without a look at what has come */
            return 0;
        }
    }
}

/* A channel is full. */
static void wait_writable(void *opaque, MigRealChannel *c)
{
    MigReal *r = opaque;
    int64_t from = mig_real_look(r);
    r->counts.waits++;
    if (mig_real_urgent_owns(r, c)) {
        mig_real_urgent_wait(r, c);
        mig_real_look(r);
    } else {
        mig_real_wait(r, c, MIG_WAIT_WRITE, MIG_FOREVER);
    }
    r->counts.waited += r->config.clock->now - from;
    if (r->error) {
        mig_real_channel_die(c, r->error);
    }
}

/* The destination may have said why. */
static void hear_last_words(void *opaque, MigRealChannel *c)
{
    MigReal *r = opaque;
    mig_real_hear(r);
    if (r->error) {
        mig_real_channel_die(c, r->error);
    }
}

/* The other thread goes on while the main channel is written to. */
static void step_aside(void *opaque, bool begins)
{
    (begins ? mig_real_urgent_away : mig_real_urgent_back)(opaque);
}

/* Operations ------------------------------------------------------------------------------- */

static MigRealChannel *new_channel(MigReal *r, uint32_t number)
{
    MigRealChannel *c = mig_real_channel_new(number);
    c->full = wait_writable;
    c->broken = hear_last_words;
    c->slow = number == 0 ? step_aside : NULL;
    c->opaque = r;
    while (r->channels->len <= number) {
        g_ptr_array_add(r->channels, NULL);
    }
    mig_real_channel_free(g_ptr_array_index(r->channels, number));
    g_ptr_array_index(r->channels, number) = c;
    return c;
}

static void do_connect(MigReal *r, const MigOp *op)
{
    g_autoptr(GError) error = NULL;
    bool answers = r->config.answers && op->channel == 0;
    MigTransport *t;
    if (r->config.mapped && op->channel > 0) {
        MigRealChannel *c = new_channel(r, op->channel);
        if (!mig_real_connect_again(r, c, &error)) {
            mig_real_die(r, error->message);
        }
        return;
    }
    do { /* a wake-up ends the attempt; unless it was a cancel's the next one follows */
        g_clear_error(&error);
        t = mig_transport_connect(r->config.uri, answers, r->config.wake, &error);
        mig_real_wait(r, NULL, 0, mig_real_look(r) + 1);
    } while (!t && !r->error && g_error_matches(error, MIG_TRANSPORT_ERROR, EINTR));
    MigRealChannel *c = new_channel(r, op->channel);
    c->transport = t;
    if (t && r->config.send_buffer) {
        mig_transport_set_send_buffer(t, r->config.send_buffer);
    }
    if (!t) {
        mig_real_die(r, error->message);
    } else if (answers && !mig_transport_has_return(t)) {
        /* QEMU finds out with the guest stopped; that helps nobody. */
        mig_real_die(r, "capability return-path: this transport has no way back; turn it off");
    }
    if (t && r->config.mapped && mig_transport_file(t) < 0) {
        mig_real_die(r, "capability mapped-ram: pages have places in a file; use file:PATH");
    }
    if (r->error) {
        mig_real_channel_die(c, r->error);
    }
}

static void note_sent(MigReal *r, const MigRecord *record)
{
    if (!r->answers) {
        return;
    }
    if (record->type == MIG_REC_COMMAND && record->command.number == MIG_CMD_PING) {
        mig_answers_pinged(r->answers, record->command.ping);
    } else if (record->type == MIG_REC_END_OF_STREAM) {
        mig_answers_ended(r->answers);
    }
}

static void do_send(MigReal *r, MigRealChannel *c, const MigOp *op)
{
    const MigRecord *record = op->send.record;
    size_t n = mig_record_encode(record, c->encoded, MIG_ENCODED_MAX);
    g_assert(n <= MIG_ENCODED_MAX);
    note_sent(r, record);
    mig_real_channel_put(c, c->encoded, n);
    mig_real_channel_put_piece(c, op->send.payload, record->payload);
    if (record->type == MIG_REC_MULTIFD_INIT) {
        mig_real_multifd_begin(r, c);
    }
}

static void do_flush(MigReal *r, MigRealChannel *c)
{
    mig_real_channel_flush(c);
    if (c->number == 0) { /* answers are to what went there */
        mig_real_attend(r);
    }
}

static void do_guest(MigReal *r, bool run)
{
    if (r->config.guest.run) {
        r->config.guest.run(r->config.guest.opaque, run);
    }
}

static void do_devices(MigReal *r, MigOutcome *out)
{
    if (!r->devices && r->config.devices) {
        r->devices = r->config.devices(r->config.opaque);
    }
    out->devices = r->devices;
}

static void do_notify(MigReal *r, const MigOp *op)
{
    const MigObserver *o = &r->config.observer;
    if (o->event) {
        o->event(o->opaque, mig_real_look(r), op->notify.event, op->notify.status, op->notify.pass);
    }
}

/* Closes every channel. */
static void do_close(MigReal *r)
{
    mig_real_urgent_end(r);
    mig_real_multifd_end(r);
    for (guint i = 0; i < r->channels->len; i++) {
        MigRealChannel *c = g_ptr_array_index(r->channels, i);
        if (c) {
            if (r->error) {
                mig_real_channel_die(c, r->error);
            }
            do_flush(r, c);
            char *complaint = mig_real_channel_close(c);
            r->close_error = r->close_error ? r->close_error : g_steal_pointer(&complaint);
            g_free(complaint);
        }
    }
}

static void dispatch(MigReal *r, MigRealChannel *c, const MigOp *op, MigOutcome *out)
{
    switch (op->kind) {
    case MIG_OP_CONNECT:
        do_connect(r, op);
        break;
    case MIG_OP_SEND:
        do_send(r, c, op);
        break;
    case MIG_OP_SEND_PAGES:
        mig_real_pages(r, c, op, out);
        break;
    case MIG_OP_SEND_PAGE:
        mig_real_page(c, op);
        break;
    case MIG_OP_PROTECT: /* the engine asks memory itself */
        if (r->config.guest.frozen) {
            r->config.guest.frozen(r->config.guest.opaque);
        }
        break;
    case MIG_OP_SEEK:
        mig_real_seek(r, c, op->seek);
        break;
    case MIG_OP_PLACE:
        mig_real_place(r, c, op, out);
        break;
    case MIG_OP_COMPRESS_FLUSH:
        mig_real_compress_flush(r, c, op);
        break;
    case MIG_OP_FLUSH:
        do_flush(r, c);
        break;
    case MIG_OP_STOP_GUEST:
    case MIG_OP_START_GUEST:
        do_guest(r, op->kind == MIG_OP_START_GUEST);
        break;
    case MIG_OP_THROTTLE:
        if (r->config.guest.throttle) {
            r->config.guest.throttle(r->config.guest.opaque, op->percent);
        }
        break;
    case MIG_OP_DRAIN:          /* the channel drains by itself */
    case MIG_OP_TRANSPORT_SYNC: /* RDMA, which is not carried live */
    case MIG_OP_DISK_READ:      /* the engine has them at hand */
        break;
    case MIG_OP_FREE_PAGES:
        if (r->config.guest.free_pages) {
            r->config.guest.free_pages(r->config.guest.opaque, op->hinting);
        }
        break;
    case MIG_OP_DIRTY_LIMIT:
        if (r->config.guest.dirty_limit) {
            r->config.guest.dirty_limit(r->config.guest.opaque);
        }
        break;
    case MIG_OP_DEVICES:
        do_devices(r, out);
        break;
    case MIG_OP_SLEEP:
        mig_real_sleep(r, op, out);
        break;
    case MIG_OP_WAIT_RETURN:
        mig_real_wait_return(r, out);
        break;
    case MIG_OP_CLOSE:
        do_close(r);
        break;
    case MIG_OP_NOTIFY:
        do_notify(r, op);
        break;
    case MIG_OP_MULTIFD_SEND:
        mig_real_multifd_send(r, op);
        break;
    case MIG_OP_MULTIFD_SYNC:
        mig_real_multifd_sync(r, op);
        break;
    case MIG_OP_LOG_START: /* the engine asks memory itself when these have ended */
    case MIG_OP_SYNC:
    case MIG_OP_CLEAR:
    case MIG_OP_DONE:
        break;
    case MIG_OP_DROP:
        mig_real_postcopy_drop(r);
        break;
    case MIG_OP_WAIT_RECOVER: /* these may end for nothing */
    case MIG_OP_WAIT_CONTINUE:
        mig_real_wait(r, NULL, 0, mig_real_look(r) + MONITOR_NS);
        break;
    default: /* its capability should have been refused */
        mig_real_die(r, "only the simulator can do this so far");
        break;
    }
}

static void count(MigReal *r)
{
    r->counts.writes = r->gone.writes;
    r->counts.bytes = r->gone.bytes;
    for (guint i = 0; i < r->channels->len; i++) {
        const MigRealChannel *c = g_ptr_array_index(r->channels, i);
        r->counts.writes += c ? c->writes : 0;
        r->counts.bytes += c ? c->bytes : 0;
    }
}

MigOutcome mig_real_perform(MigReal *r, const MigOp *op)
{
    MigRealChannel *before = mig_real_channel_of(r, op->channel);
    uint64_t queued = before ? before->outbuf.queued : 0;
    uint64_t flushed = before ? before->outbuf.flushed : 0;
    MigOutcome out = { 0 };
    dispatch(r, before, op, &out);
    MigRealChannel *c = mig_real_channel_of(r, op->channel);
    out.now = mig_real_look(r);
    if (c && c == before && !c->lent) { /* what threads do they count themselves */
        out.queued_bytes = c->outbuf.queued - queued;
        out.flushed = c->outbuf.flushed - flushed;
    }
    if (c && !c->lent && c->error) {
        mig_real_die(r, c->error);
    }
    if (r->error) {
        out.interrupt = MIG_INTERRUPT_ERROR;
        out.error = r->error;
    }
    return out;
}

MigOutcome mig_real_do(MigReal *r, const MigOp *op)
{
    run_events(r);
    mig_real_urgent_begin(r);
    r->compressed = (MigCompressCounts){ 0 };
    MigOutcome out = mig_real_perform(r, op);
    out.compressed = r->compressed;
    mig_real_multifd_count(r, &out);
    if (out.interrupt != MIG_INTERRUPT_ERROR && r->pending != MIG_UNINTERRUPTED) {
        out.interrupt = r->pending;
    }
    r->pending = MIG_UNINTERRUPTED;
    if (r->config.observer.op) {
        r->config.observer.op(r->config.observer.opaque, op, &out);
    }
    return out;
}

void mig_real_pass(MigReal *r)
{
    run_events(r);
    mig_real_look(r);
}

void mig_real_set_uri(MigReal *r, const MigUri *uri)
{
    r->config.uri = uri;
}

MigEvents *mig_real_events(MigReal *r)
{
    return &r->events;
}

void mig_real_interrupt(MigReal *r, MigInterrupt why)
{
    r->pending = why;
}

const MigRealCounts *mig_real_counts(MigReal *r)
{
    count(r);
    return &r->counts;
}

const char *mig_real_close_error(const MigReal *r)
{
    return r->close_error;
}
