/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's compress threads: what they get, when everybody hands in, what is counted. Mirrors
 * save_compress_page(), flush_compressed_data() and update_compress_thread_counts()
 * (migration/ram.c, 5.2 and 7.2).
 *
 * A thread's record has no name, so the first page of a block goes out before any thread has one of
 * it. Order between threads means nothing within a round; at its end they hand in, because the next
 * round may bring the same page again.
 *
 * Limits: postcopy does not use them; its pages go as they are.
 */
#include "sim/engine/source-internal.h"

void mig_source_compress_init(MigSource *s)
{
    if (mig_source_has(s, MIG_CAP_COMPRESS) && mig_source_era(s)->compress) {
        s->compress.threads = (uint32_t)s->parameters.compress_threads;
        s->compress.level = (int)s->parameters.compress_level;
        s->compress.look = mig_source_era(s)->compress_early;
    }
}

bool mig_source_compresses(const MigSource *s)
{
    return s->compress.threads > 0 && !(s->cache && s->round_done);
}

void mig_source_compress_run(const MigSource *s, MigOp *op)
{
    bool early = mig_source_era(s)->compress_early;
    if (mig_source_compresses(s) && (early || !op->pages.named)) {
        bool raw = op->pages.how == MIG_PAGES_RAW;
        op->pages.how = MIG_PAGES_COMPRESS;
        op->pages.compress = s->compress;
        op->pages.compress.raw = raw;
        op->pages.compress.wait = early || s->parameters.compress_wait_thread;
    }
}

/* Handing in. */

static void state_handed_in(MigSource *s)
{
    mig_source_count_bytes(s, s->outcome.queued_bytes);
    s->after_compress(s);
}

void mig_source_compress_flush(MigSource *s, MigState next)
{
    mig_source_op(s, MIG_OP_COMPRESS_FLUSH)->compress = s->compress;
    s->after_compress = next;
    s->state = state_handed_in;
}

/* Counting. */

void mig_source_compress_sent(MigSource *s, uint64_t sent, uint64_t packed)
{
    if (!mig_source_era(s)->compress_early) {
        s->compression.busy += (unsigned)__builtin_popcountll(sent & ~packed);
    }
}

void mig_source_compress_count(MigSource *s)
{
    const MigCompressCounts *c = &s->outcome.compressed;
    const MigEra *era = mig_source_era(s);
    uint64_t again = era->compress_counts_idle;
    s->ram.duplicate += c->zero + again * c->idle_zero;
    if (era->compress_stats) {
        s->compression.pages += c->pages + again * c->idle;
        s->compression.compressed_size += c->bytes - 8 * (c->pages + again * c->idle);
    } else {
        s->ram.normal += c->pages;
    }
}

/* Rates of a period in which |pages| pages were looked at (migration_update_rates()). */
void mig_source_compress_rates(MigSource *s, uint64_t pages)
{
    MigCompressionStats *c = &s->compression, *then = &s->compression_then;
    if (!s->compress.threads || pages == 0) {
        return;
    }
    uint64_t bytes = c->compressed_size - then->compressed_size;
    c->busy_rate = (double)(c->busy - then->busy) / (double)pages;
    then->busy = c->busy;
    if (bytes) {
        uint64_t whole = (c->pages - then->pages) * mig_source_page(s);
        c->compression_rate = (double)whole / (double)bytes;
        then->pages = c->pages;
        then->compressed_size = c->compressed_size;
    }
}
