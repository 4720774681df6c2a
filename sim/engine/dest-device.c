/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices at the destination: globalstate is read as every QEMU reads it, the body of any other is
 * kept for the machine, if there is one that wants it (MigDestConfig.device).
 */
#include "sim/engine/dest-internal.h"

#include <glib.h>
#include <string.h>

#include "stream/vmstate-devices.h"

/* The section of migration/global_state.c, in all versions. */
#define GLOBALSTATE_VERSION 1
#define GLOBALSTATE_BYTES   104

bool mig_dest_device_version(MigDest *d)
{
    return !d->is_globalstate || d->device_version == GLOBALSTATE_VERSION ||
           mig_dest_refuse_number(d, "version", d->device_version, GLOBALSTATE_VERSION);
}

bool mig_dest_on_body(MigDest *d, const MigRecord *r)
{
    if (d->is_globalstate && r->payload != GLOBALSTATE_BYTES) {
        return mig_dest_refuse_number(d, "length", r->payload, GLOBALSTATE_BYTES);
    }
    if (d->is_globalstate || d->config.device) {
        g_free(d->body);
        d->body = g_malloc(r->payload);
        mig_decoder_payload_into(d->decoder, d->body);
    }
    return true;
}

/* The body of globalstate: be32 size, which no receiver looks at, then a name with its NUL. */
static bool take_run_state(MigDest *d)
{
    memcpy(d->run_state, d->body + 4, sizeof(d->run_state) - 1);
    g_autofree char *name = g_strescape(d->run_state, NULL);
    return mig_is_runstate(d->run_state) ||
           mig_dest_refuse(d, MIG_FAULT_NONE, name, "the name of a run state");
}

bool mig_dest_device_done(MigDest *d, size_t n)
{
    if (d->is_globalstate && !take_run_state(d)) {
        return false;
    }
    if (!d->config.device) {
        return true;
    }
    const char *wrong = d->config.device(d->config.opaque, d->device, d->device_instance,
                                         d->device_version, d->body, n);
    return !wrong || mig_dest_refuse(d, MIG_FAULT_NONE, wrong, "a state that this machine takes");
}
