/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports' hooks, see source-transport.h. RDMA mirrors qemu_rdma_registration_start(),
 * qemu_rdma_registration_stop() and qemu_rdma_save_page() (migration/rdma.c, 7.2 and 10.0).
 */
#include "sim/engine/source-transport.h"

#include "sim/engine/source-internal.h"

/* The destination's loader meets the mark and serves the control channel until FINISHED. */
static void rdma_before(MigSource *s, MigRamPhase phase)
{
    (void)phase;
    mig_source_send(s, MIG_REC_RAM_HOOK)->ram.block = UINT32_MAX;
    mig_source_op(s, MIG_OP_FLUSH);
}

static void rdma_after(MigSource *s, MigRamPhase phase)
{
    mig_source_op(s, MIG_OP_FLUSH);
    mig_source_op(s, MIG_OP_TRANSPORT_SYNC)->phase = phase;
}

static void rdma_page(MigSource *s, MigOp *op)
{
    (void)s;
    op->pages.how = MIG_PAGES_REMOTE;
}

const MigTransportHooks mig_transports[MIG_TRANSPORT_COUNT] = {
    [MIG_TRANSPORT_STREAM] = { .name = "stream" },
    [MIG_TRANSPORT_RDMA] = { .name = "rdma",
                             .before_iterate = rdma_before,
                             .after_iterate = rdma_after,
                             .save_page = rdma_page },
};

static const MigTransportHooks *hooks(const MigSource *s)
{
    return &mig_transports[s->config.transport];
}

void mig_source_before_iterate(MigSource *s, MigRamPhase phase)
{
    if (hooks(s)->before_iterate) {
        hooks(s)->before_iterate(s, phase);
    }
}

void mig_source_after_iterate(MigSource *s, MigRamPhase phase)
{
    if (hooks(s)->after_iterate) {
        hooks(s)->after_iterate(s, phase);
    }
}

bool mig_source_takes_pages(const MigSource *s)
{
    return hooks(s)->save_page != NULL;
}

void mig_source_save_page(MigSource *s, MigOp *op)
{
    if (hooks(s)->save_page) {
        hooks(s)->save_page(s, op);
    }
}
