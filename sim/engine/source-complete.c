/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's end: completion (stop, final sync, the rest of RAM, devices, the destination's
 * verdict), failure and cancellation. Mirrors migration_completion() and
 * migration_iteration_finish() (migration/migration.c, 10.0).
 *
 * Limits: block devices do not exist yet, so nothing is inactivated and nothing can fail in it.
 */
#include <string.h>

#include "sim/engine/source-internal.h"

static void finish(MigSource *s)
{
    mig_source_op(s, MIG_OP_CLOSE);
    s->finished = true;
}

static void final_rate(MigSource *s)
{
    int64_t ms = s->total_time - s->setup_time;
    uint64_t bytes = mig_source_transferred(s);
    if (ms > 0) {
        s->ram.mbps = (double)bytes * 8.0 / (double)ms / 1000.0;
    }
}

static void state_completed(MigSource *s)
{
    int64_t now = mig_source_ms(s);
    s->times.ended = s->outcome.now;
    s->total_time = now - s->start_ms;
    s->downtime = now - s->times.began / 1000000;
    final_rate(s);
    s->config.memory->ops->log_stop(s->config.memory);
    s->ending = true;
    mig_source_set_status(s, "completed");
    finish(s);
}

static void state_verdict(MigSource *s)
{
    const MigRecord *r = s->outcome.record;
    if (r && r->type == MIG_REC_RP && r->rp.type == MIG_RP_SHUT) {
        if (r->rp.value == 0) {
            s->state = state_completed;
        } else {
            mig_source_fail(s, g_strdup_printf("Sibling indicated error %u", r->rp.value));
        }
        return;
    }
    mig_source_op(s, MIG_OP_WAIT_RETURN);
}

static void state_sent_all(MigSource *s)
{
    s->times.devices_sent = s->outcome.now;
    if (mig_source_has(s, MIG_CAP_RETURN_PATH) && mig_source_era(s)->commands) {
        mig_source_op(s, MIG_OP_WAIT_RETURN);
        s->state = state_verdict;
    } else {
        s->state = state_completed;
    }
}

static void send_device(MigSource *s, const MigDevice *d)
{
    mig_source_section(s, MIG_ITEM_FULL, d->section_id, d->idstr, d->instance, d->version);
    mig_source_send_payload(s, MIG_REC_BODY, d->body, d->body_len);
    mig_source_footer(s, d->section_id);
}

static void state_devices(MigSource *s)
{
    const MigDevices *d = s->outcome.devices;
    for (size_t i = 0; d && i < d->count; i++) {
        send_device(s, &d->list[i]);
    }
    mig_source_send(s, MIG_REC_END_OF_STREAM);
    if (d && d->text) {
        mig_source_send_payload(s, MIG_REC_VMDESC, d->text, d->text_len);
    }
    mig_source_op(s, MIG_OP_FLUSH);
    s->state = state_sent_all;
}

static void state_ram_done(MigSource *s)
{
    mig_source_op(s, MIG_OP_DEVICES);
    s->state = state_devices;
}

static void state_final_synced(MigSource *s)
{
    s->times.synced = s->outcome.now;
    mig_source_ram(s, true, state_ram_done);
    s->state(s);
}

static void state_stopped(MigSource *s)
{
    const MigEra *era = mig_source_era(s);
    s->times.stopped = s->outcome.now;
    s->guest_stopped = true;
    if (strcmp(s->status, "cancelling") == 0) {
        s->state = mig_source_state_cancelled;
        return;
    }
    if (s->config.guest_running) {
        mig_source_notify(s, "STOP", NULL, 0);
    }
    if (era->device_state) {
        mig_source_set_status(s, "device");
    }
    s->unlimited = true;
    if (era->switchover_start) {
        mig_source_command(s, MIG_CMD_SWITCHOVER_START, 0, 0);
    }
    mig_source_section(s, MIG_ITEM_END, era->ram_section_id, "ram", 0, MIG_RAM_VERSION);
    mig_source_sync(s, era->final_sync_counts, era->final_sync_counts, state_final_synced);
}

void mig_source_state_complete(MigSource *s)
{
    s->times.began = s->outcome.now;
    s->state = state_stopped;
    if (s->config.guest_running) {
        mig_source_op(s, MIG_OP_STOP_GUEST);
    }
}

/* Failure and cancel: the guest goes on at the source. */

static void state_resumed(MigSource *s)
{
    mig_source_notify(s, "RESUME", NULL, 0);
    s->state = s->after_sync;
}

/* Lets the guest run if it did before, then |next|. */
static void resume_guest(MigSource *s, MigState next)
{
    s->config.memory->ops->log_stop(s->config.memory);
    s->state = next;
    if (s->guest_stopped && s->config.guest_running) {
        mig_source_op(s, MIG_OP_START_GUEST);
        s->guest_stopped = false;
        s->after_sync = next;
        s->state = state_resumed;
    }
}

static void state_failed_end(MigSource *s)
{
    mig_source_set_status(s, "failed");
    finish(s);
}

static void state_failed_resumed(MigSource *s)
{
    finish(s);
}

void mig_source_state_failed(MigSource *s)
{
    s->ending = true;
    if (strcmp(s->status, "cancelling") == 0) {
        s->state = mig_source_state_cancelled;
        return;
    }
    bool late = mig_source_era(s)->failing_state;
    mig_source_set_status(s, late ? "failing" : "failed");
    resume_guest(s, late ? state_failed_end : state_failed_resumed);
}

static void state_cancelled_end(MigSource *s)
{
    mig_source_set_status(s, "cancelled");
    finish(s);
}

void mig_source_state_cancelled(MigSource *s)
{
    s->ending = true;
    resume_guest(s, state_cancelled_end);
}
