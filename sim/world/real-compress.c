/* SPDX-License-Identifier: Apache-2.0 */
/* The real world's compress threads: what the operations on them do. */
#include "sim/world/compressors.h"
#include "sim/world/real-internal.h"
#include "stream/encoder.h"

static MigCompressors *compressors(MigReal *r, const MigCompress *how)
{
    if (!r->compressors) {
        r->compressors = mig_compressors_new(how->threads, how->level, r->config.memory->page_size);
    }
    return r->compressors;
}

/* A thread's record goes into the stream in one piece (qemu_put_qemu_file()). */
static void put_record(MigRealChannel *c, const MigRecord *record, const uint8_t *bytes)
{
    size_t n = mig_record_encode(record, c->encoded, MIG_ENCODED_MAX);
    mig_real_channel_put_piece(c, c->encoded, n);
    mig_real_channel_put_piece(c, bytes, record->payload);
}

static void take(MigReal *r, MigRealChannel *c, MigPageJob *job)
{
    MigRecord record;
    if (mig_page_job_take(job, &record, &r->compressed)) {
        put_record(c, &record, job->bytes);
    }
}

/* Here and now, with its name; QEMU before 3.1 does so with a block's first page. */
static void compress_named(MigReal *r, MigRealChannel *c, MigPageJob *job, const MigOp *op,
                           uint64_t page)
{
    MigMemory *m = r->config.memory;
    uint32_t block = op->pages.block;
    MigRecord record;
    mig_page_job_do(job, block, page, m->ops->read(m, block, page, NULL));
    mig_page_job_take(job, &record, &r->compressed);
    record.ram.cont = false;
    record.ram.name = mig_str(m->ops->block(m, block)->name);
    r->compressed.bytes += 1 + record.ram.name.len;
    put_record(c, &record, job->bytes);
}

bool mig_real_compress(MigReal *r, MigRealChannel *c, const MigOp *op, uint64_t page, bool named)
{
    MigMemory *m = r->config.memory;
    uint32_t block = op->pages.block;
    MigCompressors *threads = compressors(r, &op->pages.compress);
    if (op->pages.compress.look && m->ops->is_zero(m, block, page)) {
        return false;
    }
    MigPageJob *job = mig_compressors_idle(threads, op->pages.compress.wait);
    if (!job) {
        return false;
    }
    if (named) {
        compress_named(r, c, job, op, page);
        return true;
    }
    take(r, c, job);
    mig_compressors_give(threads, job, block, page, m->ops->read(m, block, page, NULL));
    return true;
}

void mig_real_compress_flush(MigReal *r, MigRealChannel *c, const MigOp *op)
{
    MigCompressors *threads = compressors(r, &op->compress);
    mig_compressors_finish(threads);
    for (uint32_t i = 0; mig_compressors_job(threads, i); i++) {
        take(r, c, mig_compressors_job(threads, i));
    }
}
