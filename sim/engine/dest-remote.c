/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA at the destination, see dest-remote.h. Mirrors qemu_rdma_registration_handle()
 * (migration/rdma.c, 7.2): what a HOOK begins there, the world does here.
 */
#include "sim/engine/dest-remote.h"

#include "sim/engine/dest-internal.h"

void mig_dest_remote(MigDest *d, uint32_t block, uint64_t page, const void *bytes)
{
    MigMemory *m = d->config.memory;
    *(bytes ? &d->counts.normal : &d->counts.zero) += 1;
    if (!bytes) {
        m->ops->fill(m, block, page, 0);
    } else {
        memcpy(m->ops->map(m, block, page), bytes, m->page_size);
    }
}

bool mig_dest_on_hook(MigDest *d, const MigRecord *r)
{
    (void)r;
    return d->config.rdma ||
           mig_dest_refuse(d, MIG_FAULT_NONE, "an RDMA hook", "a record of a plain stream");
}
