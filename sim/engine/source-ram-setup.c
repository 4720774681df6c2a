/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM as a row of the table of iterables: its setup (dirty logging, sync number 1, the list of
 * blocks), what is pending, its completion. Mirrors ram_save_setup(), ram_state_pending_estimate(),
 * ram_state_pending_exact() and ram_save_complete() (migration/ram.c, 10.0). Its pages are in
 * source-ram.c.
 */
#include "sim/engine/source-postcopy-internal.h"

/* Setup. */

static void send_blocks(MigSource *s)
{
    for (uint32_t i = 0; i < s->block_count; i++) {
        const MigMemoryBlock *info = s->blocks[i].info;
        if (s->blocks[i].absent) {
            continue;
        }
        bool huge = mig_source_has(s, MIG_CAP_POSTCOPY_RAM) && mig_source_host_pages(s, i) > 1 &&
                    mig_source_era(s)->advise_all_sizes;
        mig_source_send(s, MIG_REC_RAM_BLOCK)->block = (MigRecordRamBlock){
            .name = mig_str(info->name),
            .index = i,
            .used_length = info->used_length,
            .has_page_size = huge,
            .page_size = huge ? info->host_page : 0,
            .has_address = mig_source_has(s, MIG_CAP_X_IGNORE_SHARED),
            .address = info->address,
        };
    }
}

static void state_start_end(MigSource *s)
{
    mig_source_send(s, MIG_REC_RAM_EOS)->ram.block = UINT32_MAX;
    mig_source_op(s, MIG_OP_FLUSH);
    s->state = s->after_ram;
}

static void state_listed(MigSource *s)
{
    mig_source_before_iterate(s, MIG_RAM_SETUP);
    mig_source_after_iterate(s, MIG_RAM_SETUP);
    if (s->packet) {
        mig_source_multifd_sync(s, state_start_end);
    } else {
        state_start_end(s);
    }
}

/* The first sync is over: what is left of the START section. */
static void state_list(MigSource *s)
{
    mig_source_send(s, MIG_REC_RAM_MEM_SIZE)->ram =
        (MigRecordRam){ .offset = s->ram_total, .block = UINT32_MAX };
    if (mig_source_is_mapped(s)) {
        mig_source_mapped_list(s, state_listed);
    } else {
        send_blocks(s);
        state_listed(s);
    }
}

static void state_log(MigSource *s)
{
    MigMemory *m = s->config.memory;
    bool snapshot = mig_source_is_snapshot(s); /* which needs no log */
    if (!snapshot) {
        m->ops->log_start(m);
    }
    for (uint32_t i = 0; i < s->block_count; i++) {
        MigSourceBlock *b = &s->blocks[i];
        if (!b->skipped && !b->absent) {
            s->dirty_pages += mig_bitmap_set_range(b->dirty, 0, b->pages);
        }
    }
    if (snapshot) {
        s->ram.dirty_sync_count += mig_source_era(s)->snapshot_counts;
        s->state = state_list;
    } else {
        mig_source_sync(s, true, mig_source_era(s)->setup_sync_event, state_list);
    }
}

static void setup(MigSource *s, MigState next)
{
    s->after_ram = next;
    mig_source_op(s, MIG_OP_LOG_START);
    s->state = state_log;
}

/* Pending. */

static bool has_postcopy(const MigSource *s)
{
    return mig_source_has(s, MIG_CAP_POSTCOPY_RAM);
}

static void pending_estimate(const MigSource *s, MigPending *p)
{
    *(has_postcopy(s) ? &p->compatible : &p->precopy_only) += mig_source_remaining(s);
}

static void pending_exact(MigSource *s, MigState next)
{
    mig_source_sync(s, true, true, next);
}

/* Iterate and complete. */

static void iterate(MigSource *s, MigState next)
{
    if (s->postcopy->pushing) {
        mig_source_push(s, false, next);
    } else {
        mig_source_ram(s, false, next);
    }
}

static void state_final_synced(MigSource *s)
{
    s->times.synced = s->outcome.now;
    mig_source_ram(s, true, s->after_final);
    s->state(s);
}

static void complete_precopy(MigSource *s, MigState next)
{
    const MigEra *era = mig_source_era(s);
    s->after_final = next;
    mig_source_sync(s, era->final_sync_counts, era->final_sync_counts, state_final_synced);
}

/* The sync was made when the guest stopped; what is left is what was asked for or not pushed. */
static void complete_postcopy(MigSource *s, MigState next)
{
    mig_source_push(s, true, next);
}

static void cleanup(MigSource *s)
{
    mig_source_snapshot_cleanup(s);
    s->config.memory->ops->log_stop(s->config.memory);
}

const MigIterable mig_iterable_ram = {
    .idstr = "ram",
    .version = MIG_RAM_VERSION,
    .has_postcopy = has_postcopy,
    .setup = setup,
    .pending_estimate = pending_estimate,
    .pending_exact = pending_exact,
    .iterate = iterate,
    .complete_precopy = complete_precopy,
    .complete_postcopy = complete_postcopy,
    .resume_prepare = mig_source_resume_ram,
    .cleanup = cleanup,
};
