/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's background snapshot: the guest stops for as long as its devices are saved and its
 * memory is protected from writes; then it runs, and a vCPU that wants to write to a page waits
 * until that is saved, which comes first. Devices follow behind RAM. Mirrors bg_migration_thread(),
 * bg_migration_completion() (migration/migration.c, 10.0), poll_fault_page() and
 * ram_save_release_protection() (migration/ram.c, 10.0).
 *
 * There is no sync, no rate limit, no END of ram, and no status but active.
 *
 * Limit: QEMU's vCPUs begin to run a little after its thread has begun to save; here before.
 */
#include "sim/engine/source-internal.h"

bool mig_source_is_snapshot(const MigSource *s)
{
    return mig_source_has(s, MIG_CAP_BACKGROUND_SNAPSHOT);
}

/* Pages. */

void mig_source_snapshot_jump(MigSource *s)
{
    MigMemory *m = s->config.memory;
    uint32_t block = 0;
    uint64_t page = 0;
    if (s->snapshot_protected && m->ops->wanted(m, &block, &page) &&
        mig_bitmap_test(s->blocks[block].dirty, page)) {
        s->position_block = block;
        s->position_page = page;
    }
}

static void state_flushed(MigSource *s)
{
    MigMemory *m = s->config.memory;
    uint64_t word = s->position_page / 64;
    uint64_t page = word * 64 + (unsigned)__builtin_ctzll(s->run_sent);
    m->ops->unprotect(m, s->position_block, page, 1);
    s->after_flush(s);
}

/* What was sent by address has to be gone before anybody may write there. */
void mig_source_snapshot_sent(MigSource *s, MigState next)
{
    mig_source_op(s, MIG_OP_FLUSH);
    s->after_flush = next;
    s->state = state_flushed;
}

bool mig_source_snapshot_holds(const MigSource *s, uint32_t block)
{
    return s->snapshot_protected && !s->blocks[block].info->rom;
}

void mig_source_snapshot_cleanup(MigSource *s)
{
    MigMemory *m = s->config.memory;
    for (uint32_t i = 0; i < s->block_count && s->snapshot_protected; i++) {
        m->ops->unprotect(m, i, 0, s->blocks[i].pages);
    }
    s->snapshot_protected = false;
}

/* The end. */

static void state_completed(MigSource *s)
{
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
        return;
    }
    s->times.ended = s->outcome.now;
    s->total_time = mig_source_ms(s) - s->start_ms;
    s->downtime =
        s->snapshot_downtime ? s->snapshot_downtime : mig_source_ms(s) - s->times.began / 1000000;
    mig_source_final_rate(s);
    mig_source_cleanup(s);
    s->ending = true;
    mig_source_change(s, MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_COMPLETED);
    mig_source_finish(s);
}

static void send_devices(MigSource *s)
{
    mig_source_send_devices(s, s->devices);
    s->times.devices_sent = s->outcome.now;
    s->state = state_completed;
}

/* A round of RAM is over. */
static void state_saved(MigSource *s)
{
    mig_source_update_counters(s);
    if (s->status != MIG_STATUS_IS_ACTIVE) {
        s->state = mig_source_state_cancelled;
    } else if (s->walk.finished) {
        s->times.ram_sent = s->outcome.now;
        send_devices(s);
    } else {
        mig_source_iterate(s, false, state_saved);
    }
}

/* The beginning. */

static void state_running(MigSource *s)
{
    s->snapshot_downtime = mig_source_ms(s) - s->times.began / 1000000;
    s->guest_stopped = false;
    if (s->config.guest_running) {
        mig_source_notify(s, "RESUME", NULL, 0);
    }
    mig_source_iterate(s, false, state_saved);
}

static void state_protected(MigSource *s)
{
    MigMemory *m = s->config.memory;
    char *refused = m->ops->protect
                        ? m->ops->protect(m)
                        : g_strdup("background-snapshot: the writes of this guest can't "
                                   "be held back");
    if (refused) {
        mig_source_fail(s, refused);
        return;
    }
    s->snapshot_protected = true;
    s->state = state_running;
    if (s->config.guest_running) {
        mig_source_op(s, MIG_OP_START_GUEST);
    }
}

static void state_devices(MigSource *s)
{
    s->devices = s->outcome.devices;
    if (!mig_source_step_fails(s, MIG_STEP_DEVICES)) {
        mig_source_op(s, MIG_OP_PROTECT);
        s->state = state_protected;
    }
}

static void state_stopped(MigSource *s)
{
    s->times.stopped = s->times.synced = s->outcome.now;
    s->guest_stopped = true;
    if (s->config.guest_running) {
        mig_source_notify(s, "STOP", NULL, 0);
    }
    mig_source_op(s, MIG_OP_DEVICES);
    s->state = state_devices;
}

void mig_source_state_snapshot(MigSource *s)
{
    s->unlimited = true;
    s->times.began = s->outcome.now;
    s->state = state_stopped;
    if (s->config.guest_running) {
        mig_source_op(s, MIG_OP_STOP_GUEST);
    }
}
