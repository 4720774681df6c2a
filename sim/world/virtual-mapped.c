/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapped-ram in the virtual world. Model: the link is the way to the file; a page takes what its
 * look and its write take, and nobody works at the other end.
 */
#include "sim/world/virtual-internal.h"

void mig_virtual_seek(MigVirtual *v, uint64_t at)
{
    mig_virtual_flushed(v, mig_outbuf_flush(&v->outbuf));
    if (v->bytes && v->config.sink.seek) {
        v->config.sink.seek(v->config.sink.opaque, at);
    }
}

void mig_virtual_put_at(MigVirtual *v, uint64_t at, const void *data, uint64_t n)
{
    if (v->bytes && !v->sink_failed) {
        mig_sha256_update(v->bytes_sum, data, n);
        v->sink_failed = !v->config.sink.place(v->config.sink.opaque, at, data, n);
    }
}

void mig_virtual_place(MigVirtual *v, uint64_t at, const void *data, uint64_t n)
{
    mig_virtual_flushed(v, mig_outbuf_flush(&v->outbuf)); /* as qemu_put_buffer_at() does */
    MigLinkWrite w = mig_link_write(&v->link, v->config.clock->now, n, 0);
    mig_virtual_put_at(v, at, data, n);
    mig_virtual_advance(v, w.accepted, MIG_BY_CUT);
    v->placed += n;
}

void mig_virtual_place_page(MigVirtual *v, const MigOp *op, uint64_t page, bool zero)
{
    MigMemory *m = v->config.memory;
    const MigCosts *c = &v->config.costs;
    mig_virtual_spend_ps(v, zero ? c->zero_page : c->normal_page);
    if (!zero) {
        const uint8_t *bytes = v->bytes ? m->ops->read(m, op->pages.block, page, v->scratch) : NULL;
        mig_virtual_place(v, op->pages.mapped->pages_at + page * m->page_size, bytes, m->page_size);
    }
}
