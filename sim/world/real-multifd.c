/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd in the real world: the operations, carried out by senders.h, and how the world waits for
 * them: as it waits for everything, so that a cancel gets through while every channel is full.
 */
#include "sim/world/real-internal.h"

void mig_real_multifd_begin(MigReal *r, MigRealChannel *c)
{
    g_autoptr(GError) error = NULL;
    mig_real_channel_flush(c);
    if (!r->senders) {
        r->senders = mig_senders_new(r->config.memory, &error);
    }
    if (!r->senders) {
        mig_real_die(r, error->message);
    } else if (c->transport && !c->error) {
        c->lent = true;
        mig_senders_add(r->senders, c);
    }
}

void mig_real_multifd_hear(MigReal *r)
{
    mig_senders_heard(r->senders);
    const char *error = mig_senders_error(r->senders);
    if (error && !r->error) {
        mig_real_hear(r); /* the destination may have said why */
        mig_real_die(r, error);
    }
}

void mig_real_multifd_send(MigReal *r, const MigOp *op)
{
    while (!r->error && r->senders && !mig_senders_send(r->senders, &op->packet)) {
        mig_real_wait(r, NULL, MIG_WAIT_SENDERS, MIG_FOREVER);
    }
}

void mig_real_multifd_sync(MigReal *r, const MigOp *op)
{
    while (!r->error && r->senders && !mig_senders_sync(r->senders, &op->packet)) {
        mig_real_wait(r, NULL, MIG_WAIT_SENDERS, MIG_FOREVER);
    }
    while (!r->error && r->senders && !mig_senders_synced(r->senders)) {
        mig_real_wait(r, NULL, MIG_WAIT_SENDERS, MIG_FOREVER);
    }
}

void mig_real_multifd_count(MigReal *r, MigOutcome *out)
{
    if (r->senders) {
        MigSendersCounts now = mig_senders_counts(r->senders);
        out->multifd_bytes = now.bytes - r->told.bytes;
        out->multifd_normal = now.normal - r->told.normal;
        out->multifd_zero = now.zero - r->told.zero;
        r->told = now;
    }
}

void mig_real_multifd_end(MigReal *r)
{
    if (r->senders && r->error) {
        mig_senders_shutdown(r->senders);
    }
    if (r->senders) {
        mig_senders_stop(r->senders);
    }
    for (guint i = 0; i < r->channels->len; i++) {
        MigRealChannel *c = g_ptr_array_index(r->channels, i);
        if (c) {
            c->lent = false;
        }
    }
}
