/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real world's mapped-ram: pages go to their places in the file in as few writes as their
 * addresses allow (QEMU: one each). Files take everything at once, so nothing waits here.
 */
#include "sim/world/real-internal.h"

static void place(MigReal *r, MigRealChannel *c, uint64_t at, struct iovec v, MigOutcome *out)
{
    g_autoptr(GError) error = NULL;
    size_t n = v.iov_len;
    if (n == 0 || c->error || !c->transport) {
        return;
    }
    if (!mig_transport_place(c->transport, at, &v, 1, &error)) {
        mig_real_channel_die(c, error->message);
        return;
    }
    c->writes++;
    c->bytes += n;
    out->placed += n;
}

void mig_real_seek(MigReal *r, MigRealChannel *c, uint64_t at)
{
    g_autoptr(GError) error = NULL;
    mig_real_channel_flush(c);
    if (!c->error && c->transport && !mig_transport_seek(c->transport, at, &error)) {
        mig_real_channel_die(c, error->message);
    }
}

void mig_real_place(MigReal *r, MigRealChannel *c, const MigOp *op, MigOutcome *out)
{
    struct iovec v = { (void *)(uintptr_t)op->place.data, op->place.n };
    place(r, c, op->place.at, v, out);
}

void mig_real_place_pages(MigReal *r, MigRealChannel *c, const MigOp *op, MigOutcome *out)
{
    MigMemory *m = r->config.memory;
    bool queue = op->pages.how == MIG_PAGES_QUEUE || op->pages.how == MIG_PAGES_QUEUE_NORMAL;
    bool look = op->pages.how == MIG_PAGES_LOOK || op->pages.how == MIG_PAGES_QUEUE_NORMAL;
    struct iovec v = { NULL, 0 };
    uint64_t at = 0;
    mig_real_channel_flush(c); /* as qemu_put_buffer_at() does */
    for (uint64_t left = op->pages.dirty; left && !c->error; left &= left - 1) {
        uint64_t bit = left & -left, page = op->pages.first + (unsigned)__builtin_ctzll(left);
        bool zero = look && m->ops->is_zero(m, op->pages.block, page);
        out->sent |= bit;
        out->zero |= zero ? bit : 0;
        if (zero || queue) {
            continue;
        }
        uint64_t place_of = op->pages.mapped->pages_at + page * m->page_size;
        const uint8_t *bytes = m->ops->read(m, op->pages.block, page, NULL);
        bool joins = v.iov_len && at + v.iov_len == place_of &&
                     (const uint8_t *)v.iov_base + v.iov_len == bytes;
        if (!joins) {
            place(r, c, at, v, out);
            at = place_of;
            v = (struct iovec){ (void *)(uintptr_t)bytes, 0 };
        }
        v.iov_len += m->page_size;
        if (out->placed + v.iov_len > op->pages.quota) {
            break;
        }
    }
    place(r, c, at, v, out);
}

/* Channels of a file are descriptors of it; they begin with nothing. */
bool mig_real_connect_again(MigReal *r, MigRealChannel *c, GError **error)
{
    c->transport = mig_transport_again(r->config.uri, r->config.direct_io, error);
    if (c->transport) {
        mig_real_multifd_begin(r, c);
    }
    return c->transport != NULL;
}
