/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broken line in postcopy: pause, and recovery over a new one. Mirrors postcopy_pause(),
 * postcopy_do_resume() and ram_dirty_bitmap_sync_all() (migration/migration.c, ram.c; 10.0).
 *
 *     paused --recover--> connect [preempt] --> RECV_BITMAP of every block, bitmaps --> [preempt]
 *         --> RESUME, RESUME_ACK --> the loop goes on
 *
 * Where QEMU does worse: a line that breaks while the END sections or the verdict are on their way
 * makes its source fail, and the pages that the destination lacks are gone. Here that pauses, too.
 * A paused migration that is cancelled ends (5.2 and 7.2 stay in cancelling for ever).
 */
#include "sim/engine/source-postcopy-internal.h"

static void state_paused(MigSource *s);

/* Nothing that was under way goes on. */
static void forget_line(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    mig_source_forget_requests(s);
    g_array_set_size(p->to_release, 0);
    p->page.busy = p->served.busy = p->urgent_page.busy = p->urgent_flush = p->hinted = false;
    p->urgent_last = s->last_sent = UINT32_MAX;
    p->last_channel = 0;
    p->preempt_open = p->resume = false;
    p->bitmaps = p->acks = 0;
    s->position_block = 0;
    s->position_page = 0;
    s->unlimited = false;
}

static void pause_postcopy(MigSource *s, const char *error)
{
    MigSourcePostcopy *p = s->postcopy;
    s->queue_count = s->queue_head = 0;
    mig_source_change(s, MIG_STATUS_IS_POSTCOPY_DEVICE, MIG_STATUS_IS_POSTCOPY_ACTIVE);
    bool again = s->status != MIG_STATUS_IS_POSTCOPY_ACTIVE;
    g_free(s->error);
    s->error = p->said ? g_steal_pointer(&p->said) : g_strdup(error);
    p->counts.pauses += !again;
    forget_line(s);
    mig_source_op(s, MIG_OP_DROP);
    if (s->status != MIG_STATUS_IS_POSTCOPY_PAUSED) {
        mig_source_change(s, s->status, MIG_STATUS_IS_POSTCOPY_PAUSED);
    }
    mig_source_op(s, MIG_OP_WAIT_RECOVER);
    s->state = state_paused;
}

bool mig_source_postcopy_breaks(MigSource *s, const char *error)
{
    MigSourcePostcopy *p = s->postcopy;
    if (!p->running) {
        return false;
    }
    if (p->shut && p->verdict == 0 && p->counts.ended) {
        s->queue_count = s->queue_head = 0;
        s->state = mig_source_state_verdict; /* it had said so before it hung up */
        return true;
    }
    if (s->status == MIG_STATUS_IS_POSTCOPY_DEVICE && !p->loaded) {
        p->running = false; /* it has not said that it has loaded all: the guest is ours */
        return false;
    }
    switch (s->status) {
    case MIG_STATUS_IS_POSTCOPY_DEVICE:
    case MIG_STATUS_IS_POSTCOPY_ACTIVE:
    case MIG_STATUS_IS_POSTCOPY_PAUSED:
    case MIG_STATUS_IS_POSTCOPY_RECOVER_SETUP:
    case MIG_STATUS_IS_POSTCOPY_RECOVER:
        if (p->pushing && mig_source_era(s)->recovery && !(p->shut && p->verdict)) {
            pause_postcopy(s, error);
            return true;
        }
        return false;
    default:
        return false;
    }
}

/* Recovery --------------------------------------------------------------------------------- */

static void state_resumed(MigSource *s)
{
    if (s->postcopy->acks == 0) {
        mig_source_op(s, MIG_OP_WAIT_RETURN);
        return;
    }
    g_clear_pointer(&s->error, g_free);
    mig_source_change(s, MIG_STATUS_IS_POSTCOPY_RECOVER, MIG_STATUS_IS_POSTCOPY_ACTIVE);
    mig_source_restart_window(s);
    s->state = mig_source_state_loop;
}

static void state_handshake(MigSource *s)
{
    s->postcopy->preempt_open = mig_source_preempt_channel(s) > 0;
    mig_source_command(s, MIG_CMD_POSTCOPY_RESUME, 0, 0);
    mig_source_op(s, MIG_OP_FLUSH);
    s->state = state_resumed;
}

static void state_prepared(MigSource *s)
{
    uint32_t preempt = mig_source_preempt_channel(s);
    s->state = state_handshake;
    if (preempt && !mig_source_era(s)->preempt_early) {
        mig_source_op(s, MIG_OP_CONNECT)->channel = preempt;
    }
}

static void state_bitmaps(MigSource *s)
{
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < s->block_count; i++) {
        wanted += !s->blocks[i].skipped;
    }
    if (s->postcopy->bitmaps < wanted) {
        mig_source_op(s, MIG_OP_WAIT_RETURN);
    } else {
        s->state = s->postcopy->after_push;
    }
}

void mig_source_resume_ram(MigSource *s, MigState next)
{
    for (uint32_t i = 0; i < s->block_count; i++) {
        MigStr name = mig_str(s->blocks[i].info->name);
        if (!s->blocks[i].skipped) {
            mig_source_command(s, MIG_CMD_RECV_BITMAP, (uint16_t)(1 + name.len), 0);
            s->queue[s->queue_count - 1].record.command.bitmap_name = name;
        }
    }
    mig_source_op(s, MIG_OP_FLUSH);
    s->postcopy->after_push = next;
    s->state = state_bitmaps;
}

static void state_reconnected(MigSource *s)
{
    mig_source_change(s, s->status, MIG_STATUS_IS_POSTCOPY_RECOVER);
    mig_source_resume_prepare(s, state_prepared);
}

static void state_paused(MigSource *s)
{
    uint32_t preempt = mig_source_preempt_channel(s);
    if (mig_source_is_cancelled(s)) {
        s->state = mig_source_state_cancelled;
        return;
    }
    if (!s->postcopy->resume) {
        mig_source_op(s, MIG_OP_WAIT_RECOVER);
        return;
    }
    forget_line(s);
    if (mig_source_era(s)->recover_setup) {
        mig_source_change(s, MIG_STATUS_IS_POSTCOPY_PAUSED, MIG_STATUS_IS_POSTCOPY_RECOVER_SETUP);
    }
    mig_source_op(s, MIG_OP_CONNECT);
    if (preempt && mig_source_era(s)->preempt_early) {
        mig_source_op(s, MIG_OP_CONNECT)->channel = preempt;
    }
    s->state = state_reconnected;
}
