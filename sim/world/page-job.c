/* SPDX-License-Identifier: Apache-2.0 */
/* A compress thread's page, see page-job.h. Mirrors do_compress_ram_page() (migration/ram.c, 7.2).
 */
#include "sim/world/page-job.h"

#include <glib.h>

#include "stream/limits.h"
#include "stream/zero.h"

void mig_page_job_init(MigPageJob *j, uint32_t page_size, int level)
{
    *j = (MigPageJob){ .page_size = page_size };
    j->bytes = g_malloc(mig_limit_compressed(page_size));
    j->codec = mig_page_compressor_new(level);
    g_assert(j->codec);
}

void mig_page_job_clear(MigPageJob *j)
{
    g_free(j->bytes);
    mig_page_codec_free(j->codec);
}

void mig_page_job_do(MigPageJob *j, uint32_t block, uint64_t page, const uint8_t *data)
{
    g_assert(!j->full);
    j->block = block;
    j->page = page;
    j->full = true;
    j->zero = mig_is_zero(data, j->page_size);
    j->size = j->zero ? 0 : (uint32_t)mig_page_compress(j->codec, data, j->page_size, j->bytes);
}

bool mig_page_job_take(MigPageJob *j, MigRecord *r, MigCompressCounts *c)
{
    if (!j->full) {
        *(j->zero ? &c->idle_zero : &c->idle) += 1;
        return false;
    }
    *r = (MigRecord){ .type = j->zero ? MIG_REC_RAM_ZERO : MIG_REC_RAM_COMPRESS };
    r->ram.block = j->block;
    r->ram.offset = j->page * j->page_size;
    r->ram.cont = true;
    r->payload = j->size;
    j->full = false;
    if (j->zero) {
        c->zero++;
    } else {
        c->pages++;
        c->bytes += 8 + 4 + j->size; /* the word, the length, the data */
    }
    return true;
}
