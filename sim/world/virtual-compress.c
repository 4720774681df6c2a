/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compress threads in the virtual world. Model: a page is read when it is handed over; its thread
 * then takes as long as a zero page or a compressed one costs, on one of compress_threads
 * processors, and is idle from then on, its record in hand. The page goes to the idle thread of the
 * lowest number, as in QEMU.
 *
 * Limits: the time that the migration's thread and the compress threads take from each other is not
 * in it. Compression is done even where no bytes are wanted, because its sizes decide.
 */
#include "sim/world/page-job.h"
#include "sim/world/virtual-internal.h"
#include "stream/encoder.h"

struct MigVirtualCompressor {
    MigPageJob *jobs;
    int64_t *done; /* ns: when each is idle */
    uint32_t count;
};

static MigVirtualCompressor *compressor(MigVirtual *v, const MigCompress *how)
{
    MigVirtualCompressor *c = v->compressor;
    if (!c) {
        v->compressor = c = g_new0(MigVirtualCompressor, 1);
        c->count = how->threads;
        c->jobs = g_new0(MigPageJob, c->count);
        c->done = g_new0(int64_t, c->count);
        for (uint32_t i = 0; i < c->count; i++) {
            mig_page_job_init(&c->jobs[i], v->config.memory->page_size, how->level);
        }
    }
    return c;
}

void mig_virtual_compress_free(MigVirtual *v)
{
    MigVirtualCompressor *c = v->compressor;
    for (uint32_t i = 0; c && i < c->count; i++) {
        mig_page_job_clear(&c->jobs[i]);
    }
    if (c) {
        g_free(c->jobs);
        g_free(c->done);
        g_free(c);
    }
}

/* Puts a record of a thread on the channel, whole (qemu_put_qemu_file()). */
static void put_record(MigVirtual *v, const MigRecord *r, const uint8_t *payload)
{
    const MigCosts *rc = &v->config.receiver;
    size_t n = mig_record_encode(r, v->encoded, MIG_ENCODED_MAX);
    bool zero = r->type == MIG_REC_RAM_ZERO;
    uint64_t threads = MAX(MIN(v->config.decompress_threads, (uint64_t)rc->compress_threads), 1);
    bool touched =
        mig_bitmap_test(v->touched[r->ram.block], r->ram.offset / v->config.memory->page_size);
    v->work += zero ? (uint64_t)rc->receive_zero
                    : (uint64_t)(rc->receive_page + (touched ? 0 : rc->first_touch)) +
                          (uint64_t)rc->inflate_page / threads;
    if (!zero) {
        mig_bitmap_set(v->touched[r->ram.block], r->ram.offset / v->config.memory->page_size);
    }
    mig_virtual_append(v, v->encoded, n);
    mig_virtual_append(v, payload, r->payload);
    mig_virtual_flushed(v, mig_outbuf_put_piece(&v->outbuf, n + r->payload));
}

static void take(MigVirtual *v, MigPageJob *job)
{
    MigRecord r;
    if (mig_page_job_take(job, &r, &v->compressed)) {
        put_record(v, &r, job->bytes);
    }
}

/* The next idle one; waits until |wait| is over. NULL: none is, or the channel is dead. */
static MigPageJob *next_idle(MigVirtual *v, MigVirtualCompressor *c, bool wait)
{
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->done[i] <= v->config.clock->now) {
            return &c->jobs[i];
        }
        first = MIN(first, c->done[i]);
    }
    if (!wait) {
        return NULL;
    }
    mig_virtual_advance(v, first, MIG_BY_CUT);
    return v->cut ? NULL : next_idle(v, c, wait);
}

/* Here and now, with its name; QEMU before 3.1 does so with a block's first page. */
static void compress_named(MigVirtual *v, MigPageJob *job, const uint8_t *data, uint32_t block,
                           uint64_t page)
{
    MigMemory *m = v->config.memory;
    MigRecord r;
    mig_virtual_spend_ps(v, v->config.costs.zlib_page);
    mig_page_job_do(job, block, page, data);
    mig_page_job_take(job, &r, &v->compressed);
    r.ram.cont = false;
    r.ram.name = mig_str(m->ops->block(m, block)->name);
    v->compressed.bytes += 1 + r.ram.name.len;
    put_record(v, &r, job->bytes);
}

bool mig_virtual_compress(MigVirtual *v, const MigOp *op, uint64_t page, bool named)
{
    MigMemory *m = v->config.memory;
    uint32_t block = op->pages.block;
    const MigCosts *costs = &v->config.costs;
    MigVirtualCompressor *c = compressor(v, &op->pages.compress);
    if (op->pages.compress.look && m->ops->is_zero(m, block, page)) {
        return false;
    }
    MigPageJob *job = next_idle(v, c, op->pages.compress.wait);
    if (!job) {
        return v->cut != NULL;
    }
    if (named) {
        compress_named(v, job, m->ops->read(m, block, page, v->scratch), block, page);
        return true;
    }
    take(v, job);
    mig_page_job_do(job, block, page, m->ops->read(m, block, page, v->scratch));
    int64_t ps = costs->zero_page + (job->zero ? 0 : costs->zlib_page);
    c->done[job - c->jobs] = mig_virtual_work_until(v, ps, costs->compress_threads);
    mig_virtual_spend_ps(v, costs->compress_queue);
    return true;
}

void mig_virtual_compress_flush(MigVirtual *v, const MigOp *op)
{
    MigVirtualCompressor *c = compressor(v, &op->compress);
    for (uint32_t i = 0; i < c->count; i++) {
        mig_virtual_advance(v, MAX(c->done[i], v->config.clock->now), MIG_BY_CUT);
    }
    for (uint32_t i = 0; i < c->count && !v->cut; i++) {
        take(v, &c->jobs[i]);
    }
}
