/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's setup: connect, header, configuration, commands, the START sections of the
 * iterables. Mirrors migration_thread() up to the loop (10.0).
 */
#include <string.h>

#include "sim/engine/source-internal.h"
#include "sim/engine/source-postcopy-internal.h"

static void state_active(MigSource *s)
{
    s->setup_time = mig_source_ms(s) - s->setup_ms;
    mig_source_change(s, MIG_STATUS_IS_SETUP, MIG_STATUS_IS_ACTIVE);
    s->state = mig_source_is_snapshot(s) ? mig_source_state_snapshot : mig_source_state_loop;
}

/* Lists are static: they must live as long as the queued record. */
static void send_configuration(MigSource *s)
{
    static const MigStr both[] = { { "x-ignore-shared", 15 }, { "mapped-ram", 10 } };
    mig_source_send(s, MIG_REC_CONFIG)->config.machine = mig_str(s->config.machine);
    bool ignore = mig_source_has(s, MIG_CAP_X_IGNORE_SHARED);
    bool mapped = mig_source_has(s, MIG_CAP_MAPPED_RAM);
    if (ignore || mapped) {
        MigRecord *r = mig_source_send(s, MIG_REC_CONFIG_CAPABILITIES);
        r->capabilities.version = 1;
        r->capabilities.count = ignore + mapped;
        r->capabilities.names = ignore ? both : both + 1;
    }
    if (mig_source_has(s, MIG_CAP_VALIDATE_UUID) && s->config.has_uuid) {
        MigRecord *r = mig_source_send(s, MIG_REC_CONFIG_UUID);
        r->uuid.version = 1;
        memcpy(r->uuid.uuid, s->config.uuid, sizeof(r->uuid.uuid));
    }
}

static void state_connected(MigSource *s)
{
    const MigEra *era = mig_source_era(s);
    s->window_ms = s->setup_ms = mig_source_ms(s);
    s->expected_downtime = (int64_t)s->parameters.downtime_limit;
    MigRecord *r = mig_source_send(s, MIG_REC_HEADER);
    r->header.magic = MIG_MAGIC;
    r->header.version = MIG_VERSION;
    if (era->configuration) {
        send_configuration(s);
    }
    if (mig_source_wants_return(s)) {
        mig_source_command(s, MIG_CMD_OPEN_RETURN_PATH, 0, 0);
        mig_source_command(s, MIG_CMD_PING, 4, MIG_PING_SETUP);
    }
    mig_source_advise(s);
    if (mig_source_has(s, MIG_CAP_X_COLO) && era->enable_colo) {
        mig_source_command(s, MIG_CMD_ENABLE_COLO, 0, 0);
    }
    mig_source_arm_sync(s);
    mig_source_setup(s, state_active);
    mig_source_notify_precopy(s, MIG_PRECOPY_SETUP);
}

static void state_channels(MigSource *s)
{
    uint32_t preempt = mig_source_preempt_channel(s);
    s->state = state_connected;
    if (preempt && mig_source_era(s)->preempt_early) {
        mig_source_op(s, MIG_OP_CONNECT)->channel = preempt;
        s->postcopy->preempt_open = true;
    }
}

void mig_source_state_begin(MigSource *s)
{
    s->start_ms = mig_source_ms(s);
    mig_source_change(s, s->status, MIG_STATUS_IS_SETUP);
    mig_source_set_params(s);
    mig_source_op(s, MIG_OP_CONNECT);
    mig_source_multifd_connect(s, state_channels);
}
