/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transport does to RAM's sections (QEMU: the hooks of QEMUFile): one row each. A plain
 * stream has no hooks; RDMA takes every page itself, so that sections hold HOOK records only.
 */
#ifndef MIG_SIM_ENGINE_SOURCE_TRANSPORT_H
#define MIG_SIM_ENGINE_SOURCE_TRANSPORT_H

#include "sim/engine/op.h"
#include "sim/engine/source.h"

typedef struct MigTransportHooks {
    const char *name; /* as scenarios have it */
    /* Queues what stands in front of a section's pages, and behind them; NULL: nothing. */
    void (*before_iterate)(MigSource *s, MigRamPhase phase);
    void (*after_iterate)(MigSource *s, MigRamPhase phase);
    /* |op| is a run of pages: says what becomes of them; NULL: the stream has them. */
    void (*save_page)(MigSource *s, MigOp *op);
} MigTransportHooks;

extern const MigTransportHooks mig_transports[MIG_TRANSPORT_COUNT];

void mig_source_before_iterate(MigSource *s, MigRamPhase phase);
void mig_source_after_iterate(MigSource *s, MigRamPhase phase);
/* True: the transport takes the pages of |op|. */
bool mig_source_takes_pages(const MigSource *s);
void mig_source_save_page(MigSource *s, MigOp *op);

#endif
