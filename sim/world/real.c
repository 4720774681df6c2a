/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real world, see real.h. Model:
 *
 * - Bytes leave exactly when QEMU's stream object would flush (outbuf.h): the headers from one
 *   32 KiB buffer and the pages from where they are, in one writev of at most 64 vectors.
 * - The clock is read at the beginning and the end of an operation, and whenever the channel was
 *   waited for: between two readings the guest stands still, as far as anybody can see.
 * - Messages of the return path are read while waiting and at every end of a section.
 *
 * Limits: one channel.
 */
#include "sim/world/real.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "sim/engine/outbuf.h"
#include "sim/world/real-answers.h"
#include "stream/encoder.h"

#define MONITOR_NS (10 * MIG_NS_PER_MS) /* at most, between two looks at what a monitor wants */

struct MigReal {
    MigRealConfig config;
    int64_t epoch; /* CLOCK_MONOTONIC, ns, of clock 0 */
    MigEvents events;
    MigTransport *transport; /* NULL: not connected, or closed */
    MigAnswers *answers;
    MigOutbuf outbuf;
    struct iovec vectors[MIG_OUTBUF_VECTORS]; /* queued, not flushed */
    int vector_count;
    uint8_t copied[MIG_OUTBUF_BYTES];
    uint8_t *encoded;
    MigDevices *devices;
    MigRecord message;    /* of the last WAIT_RETURN */
    MigInterrupt pending; /* for the next outcome */
    MigRealCounts counts;
    char *error;       /* the channel's, once it is dead */
    char *close_error; /* or NULL */
};

/* Time ------------------------------------------------------------------------------------- */

static int64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * MIG_NS_PER_S + t.tv_nsec;
}

static int64_t look(MigReal *r)
{
    mig_clock_advance(r->config.clock, monotonic() - r->epoch);
    return r->config.clock->now;
}

static void run_events(MigReal *r)
{
    MigEvent e;
    while (mig_events_take(&r->events, look(r), &e)) {
        e.fn(e.opaque, r->config.clock->now);
    }
}

MigReal *mig_real_new(const MigRealConfig *config)
{
    MigReal *r = g_new0(MigReal, 1);
    r->config = *config;
    r->epoch = monotonic() - config->clock->now;
    r->encoded = g_malloc(MIG_ENCODED_MAX);
    r->answers = config->answers ? mig_answers_new() : NULL;
    return r;
}

void mig_real_free(MigReal *r)
{
    if (r) {
        if (r->transport) {
            mig_transport_shutdown(r->transport);
            mig_transport_close(r->transport, NULL);
        }
        mig_events_clear(&r->events);
        mig_answers_free(r->answers);
        mig_devices_free(r->devices);
        g_free(r->encoded);
        g_free(r->error);
        g_free(r->close_error);
        g_free(r);
    }
}

/* Failing and waiting ---------------------------------------------------------------------- */

static void die(MigReal *r, const char *error)
{
    if (!r->error) {
        r->error = g_strdup(error);
    }
}

void mig_real_shutdown(MigReal *r, const char *error)
{
    die(r, error);
    if (r->transport) {
        mig_transport_shutdown(r->transport);
    }
}

/* Reads what the destination says, without waiting. True when it said something. */
static bool hear(MigReal *r)
{
    uint8_t bytes[1024];
    struct iovec v = { bytes, sizeof(bytes) };
    g_autoptr(GError) error = NULL;
    bool said = false;
    int64_t n = 1;
    while (n > 0 && r->transport && r->answers && !mig_answers_done(r->answers)) {
        n = mig_transport_read(r->transport, &v, 1, &error);
        said = said || n > 0;
        if (n == MIG_IO_ERROR) {
            die(r, error->message);
        } else if (n == 0) {
            mig_answers_eof(r->answers);
        } else if (n > 0) {
            mig_answers_feed(r->answers, bytes, (size_t)n);
        }
    }
    if (r->answers && mig_answers_error(r->answers)) {
        die(r, mig_answers_error(r->answers));
    }
    r->counts.answers = r->answers ? mig_answers_count(r->answers) : 0;
    return said;
}

/*
 * Waits for |what| until |until| (ns of the clock), doing whatever else comes up. Returns which of
 * |what| is possible; 0 when the time is over or the channel is dead.
 */
static unsigned wait_for(MigReal *r, unsigned what, int64_t until)
{
    bool deaf = !r->answers || !r->transport || !mig_transport_has_return(r->transport);
    unsigned listen = deaf || what & MIG_WAIT_READ ? 0 : MIG_WAIT_READ;
    for (;;) {
        run_events(r);
        int64_t end = MIN(until, mig_events_next(&r->events)), now = look(r);
        if ((r->error && what) || now >= until) {
            return 0;
        }
        unsigned ready = mig_transport_wait(r->transport, what | listen | MIG_WAIT_WAKE,
                                            r->config.wake, end == MIG_FOREVER ? -1 : end - now);
        if (ready & MIG_WAIT_WAKE && r->config.woken) {
            r->config.woken(r->config.opaque);
        }
        if (ready & listen && !hear(r)) {
            listen = 0; /* its end was seen: it would be readable for ever */
        }
        if (ready & what) {
            look(r);
            return ready & what;
        }
    }
}

/* Bytes ------------------------------------------------------------------------------------ */

/* Drops |n| bytes from the front of the vectors. */
static void consume(struct iovec **v, int *count, uint64_t n)
{
    while (*count > 0 && n >= (*v)->iov_len) {
        n -= (*v)->iov_len;
        (*v)++;
        (*count)--;
    }
    if (n > 0) {
        (*v)->iov_base = (uint8_t *)(*v)->iov_base + n;
        (*v)->iov_len -= n;
    }
}

static void wait_writable(MigReal *r)
{
    int64_t from = r->config.clock->now;
    r->counts.waits++;
    wait_for(r, MIG_WAIT_WRITE, MIG_FOREVER);
    r->counts.waited += r->config.clock->now - from;
}

/* Writes everything queued: the outbuf has flushed. */
static void write_out(MigReal *r)
{
    struct iovec *v = r->vectors;
    int count = r->vector_count;
    while (count > 0 && !r->error && r->transport) {
        g_autoptr(GError) error = NULL;
        int64_t n = mig_transport_write(r->transport, v, count, &error);
        if (n == MIG_IO_AGAIN) {
            wait_writable(r);
        } else if (n == MIG_IO_ERROR) {
            hear(r); /* the destination may have said why */
            die(r, error->message);
        } else {
            r->counts.writes++;
            r->counts.bytes += (uint64_t)n;
            consume(&v, &count, (uint64_t)n);
        }
    }
    r->vector_count = 0;
}

static void add_vector(MigReal *r, const void *at, size_t n)
{
    struct iovec *last = r->vector_count ? &r->vectors[r->vector_count - 1] : NULL;
    if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
        last->iov_len += n;
        return;
    }
    r->vectors[r->vector_count++] = (struct iovec){ (void *)(uintptr_t)at, n };
}

/* Queues a copy, in the portions in which the outbuf may flush behind it. */
static void put_piece(MigReal *r, const uint8_t *data, size_t n)
{
    while (n > 0) {
        size_t room = MIG_OUTBUF_BYTES - r->outbuf.copied, part = MIN(n, room);
        uint8_t *at = r->copied + r->outbuf.copied;
        memcpy(at, data, part);
        add_vector(r, at, part);
        if (mig_outbuf_put_piece(&r->outbuf, part)) {
            write_out(r);
        }
        data += part;
        n -= part;
    }
}

/* The same of integers: see mig_outbuf_put(). */
static void put(MigReal *r, const uint8_t *data, size_t n)
{
    put_piece(r, data, MIN(n, 1));
    put_piece(r, data + MIN(n, 1), n - MIN(n, 1));
}

static void put_page(MigReal *r, const uint8_t *page, size_t n)
{
    add_vector(r, page, n);
    if (mig_outbuf_put_page(&r->outbuf, n)) {
        write_out(r);
    }
}

static void flush(MigReal *r)
{
    mig_outbuf_flush(&r->outbuf);
    write_out(r);
    hear(r);
}

/* Operations ------------------------------------------------------------------------------- */

static void do_connect(MigReal *r)
{
    g_autoptr(GError) error = NULL;
    r->transport = mig_transport_connect(r->config.uri, r->config.answers, r->config.wake, &error);
    if (!r->transport) {
        die(r, error->message);
    } else if (r->config.answers && !mig_transport_has_return(r->transport)) {
        /* QEMU finds out with the guest stopped; that helps nobody. */
        die(r, "capability return-path: this transport has no way back; turn it off");
    }
    /* A wake-up ends a connection attempt and is still to be handled. */
    wait_for(r, 0, look(r) + 1);
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

static void do_send(MigReal *r, const MigOp *op)
{
    const MigRecord *record = op->send.record;
    size_t n = mig_record_encode(record, r->encoded, MIG_ENCODED_MAX);
    g_assert(n <= MIG_ENCODED_MAX);
    note_sent(r, record);
    put(r, r->encoded, n);
    put_piece(r, op->send.payload, record->payload);
}

/* A page's record in the pieces in which QEMU puts it: word and name's length, name, the rest. */
static void put_head(MigReal *r, const MigRecord *record)
{
    size_t n = mig_record_encode(record, r->encoded, MIG_ENCODED_MAX);
    size_t head = record->ram.cont ? 8 : 9, name = record->ram.cont ? 0 : record->ram.name.len;
    put(r, r->encoded, head);
    put_piece(r, r->encoded + head, name);
    put(r, r->encoded + head + name, n - head - name);
}

/* A page that the engine has looked at: copied, as its cache may change it before the flush. */
static void do_page(MigReal *r, const MigOp *op)
{
    if (op->page.record) {
        put_head(r, op->page.record);
        put_piece(r, op->page.payload, op->page.record->payload);
    }
}

/* One page: looked at now, queued; true if it was zero. */
static bool send_page(MigReal *r, uint32_t block, uint64_t page, bool named)
{
    MigMemory *m = r->config.memory;
    bool zero = m->ops->is_zero(m, block, page);
    MigRecord record = { .type = zero ? MIG_REC_RAM_ZERO : MIG_REC_RAM_PAGE };
    record.ram.offset = page * m->page_size;
    record.ram.cont = !named;
    record.ram.block = block;
    record.ram.name = named ? mig_str(m->ops->block(m, block)->name) : (MigStr){ 0 };
    record.payload = zero ? 0 : m->page_size;
    put_head(r, &record);
    if (!zero) {
        put_page(r, m->ops->read(m, block, page, NULL), m->page_size);
    }
    return zero;
}

static void do_pages(MigReal *r, const MigOp *op, MigOutcome *out)
{
    uint64_t queued = r->outbuf.queued, flushed = r->outbuf.flushed;
    bool named = op->pages.named;
    for (uint64_t left = op->pages.dirty; left && !r->error; left &= left - 1) {
        uint64_t bit = left & -left, page = op->pages.first + (unsigned)__builtin_ctzll(left);
        bool zero = send_page(r, op->pages.block, page, named);
        named = false;
        out->sent |= bit;
        out->zero |= zero ? bit : 0;
        uint64_t counted = op->pages.counts == MIG_QUOTA_FLUSHED ? r->outbuf.flushed - flushed
                                                                 : r->outbuf.queued - queued;
        if (counted > op->pages.quota) {
            break;
        }
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

static void do_wait_return(MigReal *r, MigOutcome *out)
{
    while (!mig_answers_take(r->answers, &r->message)) {
        if (!wait_for(r, MIG_WAIT_READ, MIG_FOREVER)) {
            return; /* dead */
        }
        hear(r);
    }
    out->record = &r->message;
}

static void do_notify(MigReal *r, const MigOp *op)
{
    const MigObserver *o = &r->config.observer;
    if (o->event) {
        o->event(o->opaque, look(r), op->notify.event, op->notify.status, op->notify.pass);
    }
}

static void do_close(MigReal *r)
{
    g_autoptr(GError) error = NULL;
    MigTransport *t = g_steal_pointer(&r->transport);
    if (!t) {
        return;
    }
    if (r->error) {
        mig_transport_shutdown(t);
    }
    if (!mig_transport_close(t, &error)) {
        r->close_error = g_strdup(error->message);
    }
}

static void dispatch(MigReal *r, const MigOp *op, MigOutcome *out)
{
    switch (op->kind) {
    case MIG_OP_CONNECT:
        do_connect(r);
        break;
    case MIG_OP_SEND:
        do_send(r, op);
        break;
    case MIG_OP_SEND_PAGES:
        do_pages(r, op, out);
        break;
    case MIG_OP_SEND_PAGE:
        do_page(r, op);
        break;
    case MIG_OP_FLUSH:
        flush(r);
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
    case MIG_OP_DEVICES:
        do_devices(r, out);
        break;
    case MIG_OP_SLEEP:
        wait_for(r, 0, op->until);
        break;
    case MIG_OP_WAIT_RETURN:
        do_wait_return(r, out);
        break;
    case MIG_OP_CLOSE:
        flush(r);
        do_close(r);
        break;
    case MIG_OP_NOTIFY:
        do_notify(r, op);
        break;
    case MIG_OP_LOG_START: /* the engine asks memory itself when these have ended */
    case MIG_OP_SYNC:
    case MIG_OP_CLEAR:
    case MIG_OP_DONE:
        break;
    case MIG_OP_WAIT_CONTINUE: /* may end for nothing */
        wait_for(r, 0, look(r) + MONITOR_NS);
        break;
    default: /* its capability should have been refused */
        die(r, "only the simulator can do this so far");
        break;
    }
}

MigOutcome mig_real_do(MigReal *r, const MigOp *op)
{
    uint64_t queued = r->outbuf.queued, flushed = r->outbuf.flushed;
    MigOutcome out = { 0 };
    run_events(r);
    dispatch(r, op, &out);
    out.now = look(r);
    out.queued_bytes = r->outbuf.queued - queued;
    out.flushed = r->outbuf.flushed - flushed;
    out.interrupt = r->pending;
    r->pending = MIG_UNINTERRUPTED;
    if (r->error) {
        out.interrupt = MIG_INTERRUPT_ERROR;
        out.error = r->error;
    }
    if (r->config.observer.op) {
        r->config.observer.op(r->config.observer.opaque, op, &out);
    }
    return out;
}

MigEvents *mig_real_events(MigReal *r)
{
    return &r->events;
}

void mig_real_interrupt(MigReal *r, MigInterrupt why)
{
    r->pending = why;
}

const MigRealCounts *mig_real_counts(const MigReal *r)
{
    return &r->counts;
}

const char *mig_real_close_error(const MigReal *r)
{
    return r->close_error;
}
