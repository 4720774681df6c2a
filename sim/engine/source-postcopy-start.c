/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy's switchover: stop, what must go before, last sync, discards, the devices as a package,
 * and into the loop of the postcopy phase. Mirrors postcopy_start()
 * (migration/migration.c; 5.2, 7.2 and 10.0), and the empty PART that 10.2 puts in front.
 *
 * Until the package goes out a failure lets the guest run on; from then on the destination may run
 * it. 10.2 and later know better as soon as PING 0x42 was answered: until then they are in
 * postcopy-device, and a failure still is one of the source's.
 *
 * Limits: block devices do not exist yet; see source-complete.c.
 */
#include "sim/engine/source-postcopy-internal.h"

#include "stream/encoder.h"

bool mig_source_starts_postcopy(const MigSource *s, const MigPending *pending)
{
    return s->postcopy->wanted && !s->postcopy->entered && pending->precopy_only <= s->threshold;
}

/* The end of it ---------------------------------------------------------------------------- */

/* Somebody is to say that the package was loaded. */
static bool asks_loaded(const MigSource *s)
{
    return mig_source_era(s)->ping_loaded && mig_source_wants_return(s);
}

static void state_started(MigSource *s)
{
    const MigEra *era = mig_source_era(s);
    MigSourcePostcopy *p = s->postcopy;
    p->downtime = mig_source_ms(s) - s->times.began / 1000000;
    s->times.devices_sent = s->outcome.now;
    p->counts.began = s->outcome.now;
    if (mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) {
        mig_source_command(s, MIG_CMD_PING, 4, MIG_PING_LISTEN);
    }
    mig_source_op(s, MIG_OP_FLUSH);
    mig_source_release_sent(s);
    s->unlimited = false;
    p->pushing = true;
    if (era->device_state) {
        mig_source_change(s, MIG_STATUS_IS_DEVICE,
                          asks_loaded(s) ? MIG_STATUS_IS_POSTCOPY_DEVICE
                                         : MIG_STATUS_IS_POSTCOPY_ACTIVE);
    }
    s->state = mig_source_state_loop;
}

/* The package ------------------------------------------------------------------------------ */

/* The bytes of what was queued from |from| on. */
static uint64_t queued_bytes(const MigSource *s, size_t from)
{
    uint64_t n = 0;
    for (size_t i = from; i < s->queue_count; i++) {
        const MigRecord *r = &s->queue[i].record;
        n += mig_record_encode(r, NULL, 0) + r->payload;
    }
    return n;
}

static void pack_device(MigSource *s, const MigDevice *d)
{
    mig_source_section(s, MIG_ITEM_FULL, d->section_id, d->idstr, d->instance, d->version);
    mig_source_send_payload(s, MIG_REC_BODY, d->body, d->body_len);
    mig_source_footer(s, d->section_id);
}

static void pack(MigSource *s, const MigDevices *d)
{
    mig_source_command(s, MIG_CMD_POSTCOPY_LISTEN, 0, 0);
    for (size_t i = 0; d && i < d->count; i++) {
        pack_device(s, &d->list[i]);
    }
    if (mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) {
        mig_source_command(s, MIG_CMD_PING, 4, MIG_PING_PACKAGED);
    }
    if (asks_loaded(s)) {
        mig_source_command(s, MIG_CMD_PING, 4, MIG_PING_LOADED);
    }
    mig_source_command(s, MIG_CMD_POSTCOPY_RUN, 0, 0);
}

static void state_package(MigSource *s)
{
    const MigDevices *d = s->outcome.devices;
    uint64_t most = mig_source_era(s)->package_max;
    if (mig_source_step_fails(s, MIG_STEP_DEVICES)) {
        return;
    }
    mig_source_command(s, MIG_CMD_PACKAGED, 4, 0);
    size_t head = s->queue_count - 1;
    pack(s, d);
    uint64_t length = queued_bytes(s, head + 1);
    if (length > most) {
        mig_source_fail(s,
                        g_strdup_printf("the devices' state makes a package of %" G_GUINT64_FORMAT
                                        " bytes: this version takes at most %" G_GUINT64_FORMAT,
                                        (guint64)length, (guint64)most));
        return;
    }
    s->queue[head].record.command.package_length = (uint32_t)length;
    if (mig_source_step_fails(s, MIG_STEP_PACKAGE)) {
        return;
    }
    s->postcopy->running = true;
    mig_source_op(s, MIG_OP_FLUSH);
    s->state = state_started;
}

static void state_devices(MigSource *s)
{
    mig_source_op(s, MIG_OP_DEVICES);
    s->state = state_package;
}

/* Discards --------------------------------------------------------------------------------- */

static void state_synced(MigSource *s)
{
    s->times.synced = s->times.ram_sent = s->outcome.now;
    s->last_sent = UINT32_MAX;
    s->position_block = 0;
    s->position_page = 0;
    mig_source_discard(s);
    mig_source_command(s, MIG_CMD_PING, 4, MIG_PING_DISCARD);
    s->state = state_devices;
}

static void state_precopied(MigSource *s)
{
    const MigEra *era = mig_source_era(s);
    if (mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) {
        mig_source_sync(s, era->final_sync_counts, era->final_sync_counts, state_synced);
    } else {
        state_devices(s);
    }
}

void mig_source_postcopy_stopped(MigSource *s)
{
    const MigEra *era = mig_source_era(s);
    if (mig_source_step_fails(s, MIG_STEP_INACTIVATE)) {
        return;
    }
    s->unlimited = true;
    if (era->switchover_start) {
        mig_source_command(s, MIG_CMD_SWITCHOVER_START, 0, 0);
    }
    mig_source_complete_precopy(s, true, state_precopied);
}

/* Its beginning ---------------------------------------------------------------------------- */

/* Stops the guest as a completion does, which comes back to mig_source_postcopy_stopped(). */
static void state_stop(MigSource *s)
{
    if (!mig_source_era(s)->device_state && !mig_source_has(s, MIG_CAP_PAUSE_BEFORE_SWITCHOVER)) {
        mig_source_change(s, MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_POSTCOPY_ACTIVE);
    }
    mig_source_state_complete(s);
}

static void state_flushed(MigSource *s)
{
    mig_source_send(s, MIG_REC_RAM_EOS)->ram.block = UINT32_MAX;
    mig_source_op(s, MIG_OP_FLUSH);
    mig_source_footer(s, mig_source_era(s)->ram_section_id);
    s->ram_bytes += 8;
    s->state = state_stop;
}

/* Since multifd goes with postcopy: what it has under way is over before the switchover. */
static void prepare(MigSource *s)
{
    if (!mig_source_era(s)->postcopy_prepare || !mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) {
        s->state = state_stop;
        return;
    }
    mig_source_section(s, MIG_ITEM_PART, mig_source_era(s)->ram_section_id, "ram", 0,
                       MIG_RAM_VERSION);
    if (s->packet) {
        mig_source_multifd_sync(s, state_flushed);
    } else {
        state_flushed(s);
    }
}

static void state_preempt_open(MigSource *s)
{
    s->postcopy->preempt_open = true;
    prepare(s);
}

/* The channel is made when the destination has shown that it listens to the main one. */
static void state_preempt(MigSource *s)
{
    if (s->postcopy->pongs == 0) {
        mig_source_op(s, MIG_OP_WAIT_RETURN);
        return;
    }
    mig_source_op(s, MIG_OP_CONNECT)->channel = mig_source_preempt_channel(s);
    s->state = state_preempt_open;
}

void mig_source_state_switchover(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    p->entered = true;
    if (mig_source_preempt_channel(s) && !p->preempt_open) {
        s->state = state_preempt;
    } else {
        prepare(s);
    }
}
