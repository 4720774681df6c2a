/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's end: completion (stop, final sync, the rest of RAM, devices, the destination's
 * verdict), failure and cancellation. Mirrors migration_completion() and
 * migration_iteration_finish() (migration/migration.c, 10.0).
 *
 * Limits: block devices do not exist yet, so inactivating them takes no time, and fails only where
 * a scenario wants it to.
 */
#include "sim/engine/source-internal.h"
#include "sim/engine/source-postcopy-internal.h"

static void resume_guest(MigSource *s, MigState next);

void mig_source_finish(MigSource *s)
{
    mig_source_op(s, MIG_OP_CLOSE);
    s->finished = true;
}

void mig_source_final_rate(MigSource *s)
{
    int64_t ms = s->total_time - s->setup_time;
    uint64_t bytes = mig_source_transferred(s);
    if (ms > 0) {
        s->ram.mbps = (double)bytes * 8.0 / (double)ms / 1000.0;
    }
}

/* As after a failover to this side: colo_process_checkpoint() (migration/colo.c, 10.0). */
static void state_colo_ends(MigSource *s)
{
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
        return;
    }
    mig_source_notify(s, "COLO_EXIT", NULL, 0);
    mig_source_change(s, MIG_STATUS_IS_COLO, MIG_STATUS_IS_COMPLETED);
    mig_source_finish(s);
}

/* The copy is there, and both guests could run; checkpoints are nothing that this source makes. */
static void begin_colo(MigSource *s)
{
    s->error = g_strdup("COLO: the initial migration is complete; checkpoints are not made, so it "
                        "ends as if the destination had been lost then");
    mig_source_change(s, s->status, MIG_STATUS_IS_COLO);
    resume_guest(s, state_colo_ends);
}

static void state_completed(MigSource *s)
{
    int64_t now = mig_source_ms(s);
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
        return;
    }
    s->times.ended = s->outcome.now;
    s->total_time = now - s->start_ms;
    s->downtime = now - s->times.began / 1000000;
    if (s->postcopy->running && (s->postcopy->downtime || !mig_source_era(s)->device_state)) {
        s->downtime = s->postcopy->downtime; /* 10.0 and 11.1 take 0 for "not known so far" */
    }
    mig_source_final_rate(s);
    s->ending = true;
    if (mig_source_has(s, MIG_CAP_X_COLO) && !s->postcopy->running) {
        begin_colo(s);
        return;
    }
    mig_source_cleanup(s);
    mig_source_unthrottle(s);
    mig_source_change(s, s->status, MIG_STATUS_IS_COMPLETED);
    mig_source_finish(s);
}

void mig_source_state_verdict(MigSource *s)
{
    const MigSourcePostcopy *p = s->postcopy;
    if (!mig_source_wants_return(s) || (p->shut && p->verdict == 0)) {
        s->state = state_completed;
    } else if (!p->shut) {
        mig_source_op(s, MIG_OP_WAIT_RETURN);
    } else {
        mig_source_fail(s, g_strdup_printf("Sibling indicated error %u", p->verdict));
    }
}

static void state_sent_all(MigSource *s)
{
    s->times.devices_sent = s->outcome.now;
    if (mig_source_step_fails(s, MIG_STEP_FINAL_WRITE)) {
        return;
    }
    s->state = mig_source_state_verdict;
}

static void send_device(MigSource *s, const MigDevice *d)
{
    mig_source_section(s, MIG_ITEM_FULL, d->section_id, d->idstr, d->instance, d->version);
    mig_source_send_payload(s, MIG_REC_BODY, d->body, d->body_len);
    mig_source_footer(s, d->section_id);
}

void mig_source_send_devices(MigSource *s, const MigDevices *d)
{
    for (size_t i = 0; d && i < d->count; i++) {
        send_device(s, &d->list[i]);
    }
    mig_source_send(s, MIG_REC_END_OF_STREAM);
    if (d && d->text) {
        mig_source_send_payload(s, MIG_REC_VMDESC, d->text, d->text_len);
    }
    mig_source_op(s, MIG_OP_FLUSH);
}

static void state_devices(MigSource *s)
{
    if (mig_source_step_fails(s, MIG_STEP_DEVICES)) {
        return;
    }
    bool inactivates = !mig_source_has(s, MIG_CAP_X_COLO); /* both sides will write */
    if (inactivates && !mig_source_era(s)->inactivate_first &&
        mig_source_step_fails(s, MIG_STEP_INACTIVATE)) {
        return;
    }
    mig_source_send_devices(s, s->outcome.devices);
    mig_source_drain_all(s);
    s->state = state_sent_all;
}

static void state_ram_done(MigSource *s)
{
    mig_source_op(s, MIG_OP_DEVICES);
    s->state = state_devices;
}

/* Its flush failed; the guest had stopped before that. */
static void state_stop_failed(MigSource *s)
{
    mig_source_step_fails(s, MIG_STEP_STOP);
}

/* The guest stands still, and nobody holds the switchover back. */
static void begin_switchover(MigSource *s)
{
    const MigEra *era = mig_source_era(s);
    if (s->postcopy->entered) {
        mig_source_postcopy_stopped(s);
        return;
    }
    bool inactivates = !mig_source_has(s, MIG_CAP_X_COLO); /* both sides will write */
    if (inactivates && era->inactivate_first && mig_source_step_fails(s, MIG_STEP_INACTIVATE)) {
        return;
    }
    s->unlimited = true;
    if (era->switchover_start) {
        mig_source_command(s, MIG_CMD_SWITCHOVER_START, 0, 0);
    }
    mig_source_complete_precopy(s, false, state_ram_done);
}

static void state_paused(MigSource *s)
{
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
    } else if (s->continued) {
        bool at_once = s->postcopy->entered && !mig_source_era(s)->device_state;
        mig_source_change(s, MIG_STATUS_IS_PRE_SWITCHOVER,
                          at_once ? MIG_STATUS_IS_POSTCOPY_ACTIVE : MIG_STATUS_IS_DEVICE);
        begin_switchover(s);
    } else {
        mig_source_op(s, MIG_OP_WAIT_CONTINUE);
    }
}

static void state_stopped(MigSource *s)
{
    s->times.stopped = s->outcome.now;
    s->guest_stopped = true;
    if (s->config.guest_running) {
        mig_source_notify(s, "STOP", NULL, 0);
    }
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
    } else if (s->fail_steps >> MIG_STEP_STOP & 1) {
        s->state = state_stop_failed;
    } else if (mig_source_has(s, MIG_CAP_PAUSE_BEFORE_SWITCHOVER)) {
        s->continued = false;
        s->state = state_paused;
        mig_source_change(s, MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_PRE_SWITCHOVER);
        mig_source_op(s, MIG_OP_WAIT_CONTINUE);
    } else {
        if (mig_source_era(s)->device_state) {
            mig_source_change(s, MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_DEVICE);
        }
        s->state = begin_switchover;
    }
}

void mig_source_acknowledge(MigSource *s)
{
    s->acks++;
}

/* A guest that stands still has nothing to wait for. */
bool mig_source_can_switchover(const MigSource *s)
{
    bool counts = mig_source_era(s)->switchover_ack == 2;
    uint32_t wanted = counts ? s->config.acks : 1;
    return s->acks >= wanted || !s->config.guest_running ||
           !mig_source_has(s, MIG_CAP_SWITCHOVER_ACK);
}

void mig_source_state_complete(MigSource *s)
{
    s->times.began = s->outcome.now;
    if (mig_source_step_fails(s, MIG_STEP_GLOBAL_STATE)) {
        return;
    }
    if (mig_source_era(s)->wakes_guest && s->config.guest_suspended) {
        s->config.guest_suspended = false;
        s->woke_guest = true;
        s->config.guest_running = true; /* as far as its run state goes: it is stopped at once */
        mig_source_notify(s, "WAKEUP", NULL, 0);
    }
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
    mig_source_cleanup(s);
    mig_source_unthrottle(s);
    s->state = next;
    if (s->guest_stopped && s->config.guest_running && !mig_source_in_postcopy(s)) {
        mig_source_op(s, MIG_OP_START_GUEST);
        s->guest_stopped = false;
        s->after_sync = next;
        s->state = state_resumed;
    }
}

static void state_failed_end(MigSource *s)
{
    mig_source_change(s, MIG_STATUS_IS_FAILING, MIG_STATUS_IS_FAILED);
    mig_source_finish(s);
}

static void state_failed_resumed(MigSource *s)
{
    mig_source_finish(s);
}

void mig_source_state_failed(MigSource *s)
{
    s->ending = true;
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
        return;
    }
    bool late = mig_source_era(s)->failing_state;
    mig_source_change(s, s->status, late ? MIG_STATUS_IS_FAILING : MIG_STATUS_IS_FAILED);
    resume_guest(s, late ? state_failed_end : state_failed_resumed);
}

static void state_cancelled_end(MigSource *s)
{
    mig_source_change(s, MIG_STATUS_IS_CANCELLING, MIG_STATUS_IS_CANCELLED);
    mig_source_finish(s);
}

void mig_source_state_cancelled(MigSource *s)
{
    s->ending = true;
    resume_guest(s, state_cancelled_end);
}
