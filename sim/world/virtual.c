/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual world, see virtual.h. Model:
 *
 * - An operation takes its host cost, page by page where it has pages; then what it flushed is
 *   written to the link, which may hold the writer. Host costs of pages are added up in picoseconds
 *   and charged as whole nanoseconds of the sum so far, so that runs cost what their pages cost.
 * - A page is looked at, and read, when its turn comes. (QEMU looks then, but reads normal pages
 *   when they are flushed, up to 31 pages later: a write in between is sent twice by both.)
 * - The receiver works on what was flushed at once, one flush after the other.
 *
 * - Multifd: see virtual-multifd.c. Compress threads: see virtual-compress.c. Postcopy: see
 *   virtual-postcopy.c.
 *
 * Limits: the return path answers when the receiver has loaded everything.
 */
#include "sim/world/virtual.h"

#include <glib.h>
#include <string.h>

#include "sim/world/virtual-internal.h"
#include "stream/encoder.h"

#define CONTINUE_POLL 100000000ll /* ns after which a wait for nothing returns */
#define ANSWER        8u          /* bytes of the destination's verdict */

MigVirtual *mig_virtual_new(const MigVirtualConfig *config)
{
    MigVirtual *v = g_new0(MigVirtual, 1);
    MigMemory *m = config->memory;
    v->config = *config;
    mig_link_init(&v->link, &config->link);
    v->touched = g_new0(MigBitmap *, m->ops->count(m) + 1);
    for (uint32_t i = 0; i < m->ops->count(m); i++) {
        uint64_t length = m->ops->block(m, i)->used_length;
        v->ram_bytes += length;
        uint64_t most = MAX(length, m->ops->block(m, i)->max_length);
        v->touched[i] = mig_bitmap_new(most / m->page_size);
    }
    mig_virtual_rdma_init(v);
    v->scratch = g_malloc(m->page_size);
    v->encoded = g_malloc(MIG_ENCODED_MAX);
    mig_virtual_postcopy_init(v);
    v->events_sum = mig_sha256_new();
    if (config->sink.bytes) {
        v->bytes = g_byte_array_new();
        v->bytes_sum = mig_sha256_new();
    }
    return v;
}

void mig_virtual_free(MigVirtual *v)
{
    if (!v) {
        return;
    }
    MigMemory *m = v->config.memory;
    for (uint32_t i = 0; i < m->ops->count(m); i++) {
        mig_bitmap_free(v->touched[i]);
    }
    g_free(v->touched);
    mig_virtual_multifd_free(v);
    mig_virtual_rdma_free(v);
    mig_virtual_compress_free(v);
    mig_virtual_postcopy_free(v);
    mig_link_clear(&v->link);
    mig_events_clear(&v->events);
    mig_devices_free(v->devices);
    mig_sha256_free(v->events_sum);
    if (v->bytes) {
        g_byte_array_unref(v->bytes);
        mig_sha256_free(v->bytes_sum);
    }
    g_free(v->scratch);
    g_free(v->encoded);
    g_free(v);
}

/* Time. */

static bool wait_ends(const MigVirtual *v, unsigned by)
{
    return (by & MIG_BY_CUT && v->cut) || (by & MIG_BY_ANY_SIGNAL && v->pending) ||
           (by & MIG_BY_URGENT && v->pending == MIG_INTERRUPT_URGENT) ||
           (by & MIG_BY_ANSWER && v->heard);
}

/* Moves the clock, running what is due on the way. */
void mig_virtual_advance(MigVirtual *v, int64_t until, unsigned by)
{
    MigEvent e;
    while (!wait_ends(v, by) && mig_events_take(&v->events, until, &e)) {
        mig_clock_advance(v->config.clock, e.at);
        v->happened++;
        e.fn(e.opaque, e.at);
    }
    if (!wait_ends(v, by)) {
        mig_clock_advance(v->config.clock, until);
    }
}

static void spend(MigVirtual *v, int64_t ns)
{
    mig_virtual_advance(v, v->config.clock->now + ns, 0);
}

/* A cost in picoseconds: the sum so far is rounded, not each one. */
void mig_virtual_spend_ps(MigVirtual *v, int64_t ps)
{
    v->cost += (uint64_t)ps;
    uint64_t due = v->cost / 1000 - v->charged;
    v->charged += due;
    if (due) {
        spend(v, (int64_t)due);
    }
}

/* Digest. */

static void digest(MigVirtual *v, const char *what, const char *status, uint64_t number)
{
    char line[160];
    int n = g_snprintf(line, sizeof(line),
                       "%" G_GINT64_FORMAT " %s %s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                       " %" G_GUINT64_FORMAT "\n",
                       v->config.clock->now, what, status ? status : "-", number, v->outbuf.queued,
                       v->outbuf.flushed);
    mig_sha256_update(v->events_sum, line, (size_t)n);
}

/* Bytes. */

void mig_virtual_deliver(MigVirtual *v, uint32_t channel, const uint8_t *data, uint64_t n,
                         int64_t arrival)
{
    if (!mig_virtual_is_late(v)) { /* else it was when it was written */
        mig_sha256_update(v->bytes_sum, data, n);
    }
    if (!v->sink_failed) {
        v->sink_failed = !v->config.sink.bytes(v->config.sink.opaque, channel, data, n, arrival);
    }
}

static void deliver(MigVirtual *v, uint64_t n, int64_t arrival)
{
    if (v->bytes) {
        mig_virtual_deliver(v, 0, v->bytes->data, n, arrival);
        g_byte_array_remove_range(v->bytes, 0, (guint)n);
    }
}

/* |n| bytes leave the buffer: the writer waits until they are in the socket. */
static void write_out(MigVirtual *v, uint64_t n)
{
    uint64_t work = v->work / 1000 - v->work_given;
    v->work_given += work;
    if (v->cut) {
        return;
    }
    MigLinkWrite w = mig_link_write(&v->link, v->config.clock->now, n, (int64_t)work);
    if (mig_virtual_is_late(v)) {
        mig_sha256_update(v->bytes_sum, v->bytes->data, n);
        mig_virtual_late(v, v->bytes->data, n, &w, (int64_t)work);
        g_byte_array_remove_range(v->bytes, 0, (guint)n);
    } else {
        deliver(v, n, w.arrived);
    }
    mig_virtual_advance(v, w.accepted, MIG_BY_CUT);
    if (v->sink_failed && !v->return_path) {
        v->cut = "the destination has closed the connection";
    }
}

void mig_virtual_flushed(MigVirtual *v, uint64_t n)
{
    if (v->config.elastic) {
        v->waiting += n;
    } else if (n > 0) {
        write_out(v, n);
    }
}

static void drain(MigVirtual *v, uint64_t limit)
{
    uint64_t n = MIN(v->waiting, limit);
    v->waiting -= n;
    v->drained += n;
    if (n > 0) {
        write_out(v, n);
    }
}

void mig_virtual_append(MigVirtual *v, const void *data, size_t n)
{
    if (v->bytes && n) {
        g_byte_array_append(v->bytes, data, (guint)n);
    }
}

/* Operations. */

static void note_command(MigVirtual *v, const MigRecordCommand *c)
{
    v->return_path |= c->number == MIG_CMD_OPEN_RETURN_PATH;
    if (c->number == MIG_CMD_PACKAGED && v->config.source) {
        mig_virtual_packaged(v);
    }
    if (c->number == MIG_CMD_PING && v->ping_count < G_N_ELEMENTS(v->pings)) {
        v->pings[v->ping_count++] = c->ping;
    }
}

static void do_send(MigVirtual *v, const MigOp *op, MigOutcome *out)
{
    const MigRecord *r = op->send.record;
    if (mig_virtual_is_preempt(v, op->channel)) {
        mig_virtual_preempt(v, op, out);
        return;
    }
    if (op->channel > 0) {
        mig_virtual_multifd_record(v, op->channel, r);
        return;
    }
    size_t n = mig_record_encode(r, v->encoded, MIG_ENCODED_MAX);
    g_assert(n <= MIG_ENCODED_MAX);
    if (r->type == MIG_REC_COMMAND) {
        note_command(v, &r->command);
    }
    if (r->type == MIG_REC_BLOCK && r->disk.flags & MIG_BLOCK_DEVICE) {
        v->work += (uint64_t)v->config.receiver.disk_write * 1000;
    }
    mig_virtual_append(v, v->encoded, n);
    mig_virtual_append(v, op->send.payload, r->payload);
    mig_virtual_flushed(v, mig_outbuf_put(&v->outbuf, n));
    mig_virtual_flushed(v, mig_outbuf_put_piece(&v->outbuf, r->payload));
}

/* A vCPU that a dirty limit has put to sleep hears of a sync, or a stop, when it wakes. */
static void wait_for_vcpus(MigVirtual *v)
{
    MigMemory *m = v->config.memory;
    int64_t at = m->ops->answers_at ? m->ops->answers_at(m) : 0;
    if (at > v->config.clock->now) {
        spend(v, at - v->config.clock->now);
    }
}

static void do_sync(MigVirtual *v)
{
    wait_for_vcpus(v);
    const MigCosts *c = &v->config.costs;
    __uint128_t part = (__uint128_t)(uint64_t)c->sync_gib * v->ram_bytes;
    spend(v, c->sync_base + (int64_t)(part >> 30));
    digest(v, "sync", NULL, 0);
}

static void do_protect(MigVirtual *v)
{
    __uint128_t part = (__uint128_t)(uint64_t)v->config.costs.protect_gib * v->ram_bytes;
    spend(v, (int64_t)(part >> 30));
    if (v->config.guest.frozen) {
        v->config.guest.frozen(v->config.guest.opaque);
    }
}

static void do_guest(MigVirtual *v, bool run)
{
    if (!run) {
        wait_for_vcpus(v);
    }
    spend(v, run ? v->config.costs.start : v->config.costs.stop);
    if (v->config.guest.run) {
        v->config.guest.run(v->config.guest.opaque, run);
    }
}

static void do_devices(MigVirtual *v, MigOutcome *out)
{
    spend(v, v->config.costs.devices);
    if (!v->devices && v->config.devices) {
        v->devices = v->config.devices(v->config.devices_opaque);
    }
    out->devices = v->devices;
}

/* The next message: pongs as they were asked for, then the verdict. */
static void do_wait_return(MigVirtual *v, MigOutcome *out)
{
    int64_t at = v->link.receiver + (v->sink_failed ? 0 : v->config.receiver.load_devices);
    MigRecord *r = &v->answer;
    if (v->config.source) {
        mig_virtual_wait_answer(v);
        return;
    }
    *r = (MigRecord){ .type = MIG_REC_RP };
    r->rp.length = 4;
    if (v->ping_at < v->ping_count) {
        r->rp.type = MIG_RP_PONG;
        r->rp.value = v->pings[v->ping_at++];
        at = v->config.clock->now; /* came long ago */
    } else if (!v->answered && !v->cut) {
        at += mig_virtual_answer_span(v, at, ANSWER) + v->config.link.latency;
        if (at > v->config.clock->now + MIG_VIRTUAL_RETURN_POLL) { /* the engine asks again */
            mig_virtual_wait_answer(v);
            return;
        }
        v->answered = true;
        r->rp.type = MIG_RP_SHUT;
        r->rp.value = v->sink_failed;
    } else {
        v->cut = v->cut ? v->cut : "the return path was closed";
    }
    mig_virtual_advance(v, at, MIG_BY_CUT | MIG_BY_ANY_SIGNAL);
    out->record = v->cut ? NULL : r;
}

static void do_notify(MigVirtual *v, const MigOp *op)
{
    const MigObserver *o = &v->config.observer;
    digest(v, op->notify.event, op->notify.status, op->notify.pass);
    if (o->event) {
        o->event(o->opaque, v->config.clock->now, op->notify.event, op->notify.status,
                 op->notify.pass);
    }
}

static void do_close(MigVirtual *v)
{
    mig_virtual_flushed(v, mig_outbuf_flush(&v->outbuf));
    drain(v, UINT64_MAX);
    mig_virtual_multifd_close(v);
    mig_virtual_postcopy_close(v);
    if (v->config.sink.end) {
        v->config.sink.end(v->config.sink.opaque, 0);
    }
}

static void dispatch(MigVirtual *v, const MigOp *op, MigOutcome *out)
{
    switch (op->kind) {
    case MIG_OP_CONNECT:
        spend(v, v->config.costs.connect + 2 * v->config.link.latency);
        if (op->channel == 0) {
            mig_virtual_connected(v);
        } else if (!mig_virtual_is_preempt(v, op->channel)) {
            mig_virtual_multifd_open(v, op->channel);
        }
        break;
    case MIG_OP_MULTIFD_SEND:
        mig_virtual_multifd_send(v, op);
        break;
    case MIG_OP_MULTIFD_SYNC:
        mig_virtual_multifd_sync(v, op);
        break;
    case MIG_OP_SEND:
        do_send(v, op, out);
        break;
    case MIG_OP_SEND_PAGES:
        (mig_virtual_is_preempt(v, op->channel) ? mig_virtual_preempt : mig_virtual_pages)(v, op,
                                                                                           out);
        break;
    case MIG_OP_SEND_RUN:
        mig_virtual_run(v, op, out);
        break;
    case MIG_OP_SEND_PAGE:
        mig_virtual_page(v, op);
        break;
    case MIG_OP_PROTECT:
        do_protect(v);
        break;
    case MIG_OP_SEEK:
        mig_virtual_seek(v, op->seek);
        break;
    case MIG_OP_PLACE:
        mig_virtual_place(v, op->place.at, op->place.data, op->place.n);
        break;
    case MIG_OP_COMPRESS_FLUSH:
        mig_virtual_compress_flush(v, op);
        break;
    case MIG_OP_FLUSH:
        if (mig_virtual_is_preempt(v, op->channel)) {
            mig_virtual_preempt(v, op, out);
        } else {
            mig_virtual_flushed(v, mig_outbuf_flush(&v->outbuf));
        }
        break;
    case MIG_OP_LOG_START:
        spend(v, v->config.costs.setup);
        break;
    case MIG_OP_SYNC:
        do_sync(v);
        break;
    case MIG_OP_CLEAR:
        spend(v, v->config.costs.clear_chunk);
        break;
    case MIG_OP_STOP_GUEST:
    case MIG_OP_START_GUEST:
        do_guest(v, op->kind == MIG_OP_START_GUEST);
        break;
    case MIG_OP_THROTTLE:
        if (v->config.guest.throttle) {
            v->config.guest.throttle(v->config.guest.opaque, op->percent);
        }
        break;
    case MIG_OP_DRAIN:
        drain(v, op->limit);
        break;
    case MIG_OP_TRANSPORT_SYNC:
        mig_virtual_rdma_sync(v, op->phase);
        break;
    case MIG_OP_DISK_READ:
        spend(v, v->config.costs.disk_read * op->chunks);
        break;
    case MIG_OP_FREE_PAGES:
        if (v->config.guest.free_pages) {
            v->config.guest.free_pages(v->config.guest.opaque, op->hinting);
        }
        break;
    case MIG_OP_DIRTY_LIMIT:
        if (v->config.guest.dirty_limit) {
            v->config.guest.dirty_limit(v->config.guest.opaque);
        }
        break;
    case MIG_OP_DEVICES:
        do_devices(v, out);
        break;
    case MIG_OP_SLEEP:
        mig_virtual_advance(v, op->until + v->config.costs.wake, MIG_BY_URGENT);
        break;
    case MIG_OP_WAIT_RETURN:
        do_wait_return(v, out);
        break;
    case MIG_OP_CLOSE:
        do_close(v);
        break;
    case MIG_OP_NOTIFY:
        do_notify(v, op);
        break;
    case MIG_OP_WAIT_CONTINUE:
        mig_virtual_advance(v, v->config.clock->now + CONTINUE_POLL,
                            MIG_BY_CUT | MIG_BY_ANY_SIGNAL);
        break;
    case MIG_OP_DROP:
        mig_virtual_drop(v);
        break;
    case MIG_OP_WAIT_RECOVER:
        mig_virtual_wait_recover(v);
        break;
    case MIG_OP_DONE:
        break;
    }
}

MigOutcome mig_virtual_do(MigVirtual *v, const MigOp *op)
{
    const uint64_t *written = v->config.elastic ? &v->drained : &v->outbuf.flushed;
    uint64_t queued = v->outbuf.queued, flushed_before = *written;
    MigOutcome out = { 0 };
    v->compressed = (MigCompressCounts){ 0 };
    v->placed = 0;
    dispatch(v, op, &out);
    out.compressed = v->compressed;
    out.placed = v->placed;
    out.now = v->config.clock->now;
    out.queued_bytes += v->outbuf.queued - queued; /* to what the preempt channel took */
    out.flushed += op->kind == MIG_OP_DROP ? 0 : *written - flushed_before;
    out.multifd_bytes = v->written - v->written_told;
    out.multifd_normal = v->looked_normal - v->normal_told;
    out.multifd_zero = v->looked_zero - v->zero_told;
    v->written_told = v->written;
    v->normal_told = v->looked_normal;
    v->zero_told = v->looked_zero;
    out.interrupt = v->pending;
    v->pending = MIG_UNINTERRUPTED;
    if (v->cut) {
        out.interrupt = MIG_INTERRUPT_ERROR;
        out.error = v->cut;
    }
    if (v->config.observer.op) {
        v->config.observer.op(v->config.observer.opaque, op, &out);
    }
    return out;
}

void mig_virtual_wait(MigVirtual *v, int64_t until)
{
    mig_virtual_advance(v, until, MIG_BY_URGENT);
    v->pending = MIG_UNINTERRUPTED;
}

MigEvents *mig_virtual_events(MigVirtual *v)
{
    return &v->events;
}

void mig_virtual_interrupt(MigVirtual *v, MigInterrupt why)
{
    v->pending = why;
}

void mig_virtual_cut(MigVirtual *v, const char *error)
{
    v->cut = error;
    mig_virtual_line_breaks(v);
}

void mig_virtual_cancel(MigVirtual *v)
{
    v->pending = MIG_INTERRUPT_CANCEL;
    v->cut = v->cut ? v->cut : "the channel was shut down";
}

int64_t mig_virtual_receiver_done(const MigVirtual *v)
{
    return v->link.receiver;
}

const char *mig_virtual_events_digest(MigVirtual *v)
{
    return mig_sha256_text(v->events_sum);
}

const char *mig_virtual_bytes_digest(MigVirtual *v)
{
    return v->bytes_sum ? mig_sha256_text(v->bytes_sum) : NULL;
}
