/* SPDX-License-Identifier: Apache-2.0 */
/* RDMA at the destination: pages come past the stream, whose RAM sections hold marks. */
#ifndef MIG_SIM_ENGINE_DEST_REMOTE_H
#define MIG_SIM_ENGINE_DEST_REMOTE_H

#include "sim/engine/dest.h"

/* |block| in the memory's order; |bytes| NULL: the page was filled with zeros. */
void mig_dest_remote(MigDest *d, uint32_t block, uint64_t page, const void *bytes);

/* The handler of HOOK records. */
bool mig_dest_on_hook(MigDest *d, const MigRecord *r);

#endif
