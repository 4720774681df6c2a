/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's driver: the queue of operations, what they add to the totals, and the public face.
 * The states are in source-setup.c, source-ram.c, source-loop.c and source-complete.c.
 */
#include <string.h>

#include "sim/engine/source-internal.h"
#include "sim/engine/source-postcopy-internal.h"

static MigSourceBlock new_block(const MigSource *s, uint32_t i)
{
    MigMemory *m = s->config.memory;
    const MigMemoryBlock *info = m->ops->block(m, i);
    uint64_t pages = info->used_length / m->page_size;
    uint64_t most = MAX(info->max_length, info->used_length) / m->page_size;
    uint64_t chunk = s->config.clear_chunk_pages;
    bool lazy = chunk && mig_source_era(s)->lazy_clear;
    return (MigSourceBlock){
        .info = info,
        .pages = pages,
        .dirty = mig_bitmap_new(most),
        .uncleared = lazy ? mig_bitmap_new((most + chunk - 1) / chunk) : NULL,
        .skipped = info->shared && mig_source_has(s, MIG_CAP_X_IGNORE_SHARED),
    };
}

MigSource *mig_source_new(const MigSourceConfig *config)
{
    MigSource *s = g_new0(MigSource, 1);
    s->config = *config;
    s->parameters = config->parameters;
    s->config.machine = s->machine = g_strdup(config->machine);
    if (!s->config.max_run) {
        s->config.max_run = 64;
    }
    g_assert(config->clear_chunk_pages % 64 == 0);
    s->block_count = config->memory->ops->count(config->memory);
    s->blocks = g_new0(MigSourceBlock, s->block_count);
    for (uint32_t i = 0; i < s->block_count; i++) {
        s->blocks[i] = new_block(s, i);
        s->blocks[i].address = s->ram_total;
        s->ram_total += s->blocks[i].info->used_length;
    }
    mig_source_multifd_init(s);
    mig_source_hints_init(s);
    if (mig_source_has(s, MIG_CAP_DIRTY_LIMIT) && config->ring_pages) {
        s->limit = mig_dirty_limit_new(MAX(config->vcpus, 1), config->ring_pages,
                                       config->memory->page_size);
    }
    mig_source_postcopy_init(s);
    mig_source_compress_init(s);
    if (mig_source_has(s, MIG_CAP_XBZRLE)) {
        s->page = g_malloc(config->memory->page_size);
        s->delta = g_malloc(config->memory->page_size);
        mig_source_xbzrle_resize(s);
    }
    s->block_copy = mig_block_copy_new();
    s->bitmap_copy = mig_bitmap_copy_new();
    s->status = MIG_STATUS_IS_NONE;
    s->last_sent = UINT32_MAX;
    s->passes = g_array_new(FALSE, TRUE, sizeof(MigPass));
    s->state = mig_source_state_begin;
    return s;
}

void mig_source_free(MigSource *s)
{
    if (!s) {
        return;
    }
    mig_source_mapped_free(s);
    for (uint32_t i = 0; i < s->block_count; i++) {
        mig_bitmap_free(s->blocks[i].dirty);
        mig_bitmap_free(s->blocks[i].uncleared);
    }
    g_array_unref(s->passes);
    mig_dirty_limit_free(s->limit);
    mig_source_hints_free(s);
    mig_source_postcopy_free(s);
    mig_block_copy_free(s->block_copy);
    mig_bitmap_copy_free(s->bitmap_copy);
    mig_xbzrle_cache_free(s->cache);
    g_free(s->packet);
    g_free(s->page);
    g_free(s->delta);
    g_free(s->blocks);
    g_free(s->queue);
    g_free(s->machine);
    g_free(s->error);
    g_free(s->abort);
    g_free(s);
}

/* Queueing. */

MigOp *mig_source_op(MigSource *s, MigOpKind kind)
{
    if (s->queue_count == s->queue_cap) {
        s->queue_cap = s->queue_cap ? s->queue_cap * 2 : 32;
        s->queue = g_renew(MigQueued, s->queue, s->queue_cap);
    }
    MigQueued *q = &s->queue[s->queue_count++];
    memset(&q->op, 0, sizeof(q->op));
    q->op.kind = kind;
    return &q->op;
}

MigRecord *mig_source_send_payload(MigSource *s, MigRecordType type, const void *data, uint64_t n)
{
    MigOp *op = mig_source_op(s, MIG_OP_SEND);
    MigRecord *r = &s->queue[s->queue_count - 1].record;
    memset(r, 0, sizeof(*r));
    r->type = type;
    r->payload = n;
    op->send.payload = data;
    return r;
}

MigRecord *mig_source_send(MigSource *s, MigRecordType type)
{
    return mig_source_send_payload(s, type, NULL, 0);
}

void mig_source_section(MigSource *s, MigItem kind, uint32_t id, const char *idstr,
                        uint32_t instance, uint32_t version)
{
    mig_source_send(s, MIG_REC_SECTION)->section = (MigRecordSection){
        .kind = kind,
        .id = id,
        .idstr = mig_str(idstr),
        .instance = instance,
        .version = version,
    };
}

void mig_source_footer(MigSource *s, uint32_t id)
{
    if (mig_source_era(s)->footers) {
        mig_source_send(s, MIG_REC_FOOTER)->footer.id = id;
    }
}

void mig_source_command(MigSource *s, uint16_t number, uint16_t length, uint32_t ping)
{
    MigRecord *r = mig_source_send(s, MIG_REC_COMMAND);
    r->command.number = number;
    r->command.length = length;
    r->command.ping = ping;
}

void mig_source_notify(MigSource *s, const char *event, const char *status, uint64_t pass)
{
    MigOp *op = mig_source_op(s, MIG_OP_NOTIFY);
    op->notify.event = event;
    op->notify.status = status;
    op->notify.pass = pass;
}

bool mig_source_change(MigSource *s, MigStatusName from, MigStatusName to)
{
    if (s->status != from) {
        return false;
    }
    g_assert(mig_status_may_follow(from, to, mig_source_era(s)->binary));
    s->status = to;
    mig_source_notify(s, "MIGRATION", mig_status_text(to), 0);
    mig_source_notify_state(s, mig_status_text(to));
    return true;
}

void mig_source_fail(MigSource *s, char *error)
{
    if (s->has_reason) {
        g_free(error);
    } else {
        g_free(s->error);
        s->error = error;
    }
    s->ending = true;
    s->queue_count = s->queue_head = 0;
    s->state = mig_source_state_failed;
}

static const struct {
    const char *name, *text;
} steps[] = {
#define X(symbol, name, text) [MIG_STEP_##symbol] = { name, text },
    MIG_STEPS(X)
#undef X
};

const char *mig_step_name(MigStep step)
{
    g_assert(step < MIG_STEP_COUNT);
    return steps[step].name;
}

void mig_source_make_fail(MigSource *s, MigStep step)
{
    s->fail_steps |= 1u << step;
}

bool mig_source_step_fails(MigSource *s, MigStep step)
{
    bool fails = s->fail_steps >> step & 1;
    if (fails) {
        mig_source_fail(s, g_strdup_printf("%s failed, as the scenario wants", steps[step].text));
    }
    return fails;
}

/* Driving. */

/* A channel broke while the guest was being stopped: it stands still all the same. */
static void note_stopped(MigSource *s)
{
    if (s->current.op.kind == MIG_OP_STOP_GUEST) {
        s->guest_stopped = true;
        mig_source_notify(s, "STOP", NULL, 0);
    }
}

static const char *channel_error(const MigSource *s)
{
    const char *error = s->outcome.error ? s->outcome.error : "the channel failed";
    return s->postcopy->said ? s->postcopy->said : error;
}

const MigOp *mig_source_next(MigSource *s, const MigOutcome *outcome)
{
    s->outcome = *outcome;
    mig_source_xbzrle_resize(s); /* not while an operation may be sending a page of the cache */
    s->queued += outcome->queued_bytes;
    s->flushed += outcome->flushed;
    s->multifd_bytes += outcome->multifd_bytes;
    s->placed += outcome->placed;
    s->ram.normal += outcome->multifd_normal;
    s->ram.duplicate += outcome->multifd_zero;
    mig_source_compress_count(s);
    bool bad = outcome->record && mig_source_message(s, outcome->record, NULL) == MIG_MESSAGE_BAD;
    if ((bad || outcome->interrupt == MIG_INTERRUPT_ERROR) && !s->ending &&
        !mig_source_postcopy_breaks(s, channel_error(s))) {
        mig_source_fail(s, g_strdup(channel_error(s)));
        note_stopped(s);
    }
    if (s->abort && !s->ending) {
        mig_source_fail(s, g_steal_pointer(&s->abort));
        note_stopped(s);
    }
    while (s->queue_head == s->queue_count) {
        s->queue_head = s->queue_count = 0;
        if (s->finished) {
            mig_source_op(s, MIG_OP_DONE);
        } else {
            s->state(s);
        }
    }
    s->current = s->queue[s->queue_head++];
    if (s->current.op.kind == MIG_OP_SEND) {
        s->current.op.send.record = &s->current.record;
    } else if (s->current.op.kind == MIG_OP_SEND_PAGE && s->current.op.page.record) {
        s->current.op.page.record = &s->current.record;
    }
    return &s->current.op;
}

bool mig_source_cancel(MigSource *s)
{
    MigStatusName to = mig_status_cancelled(s->status, mig_source_era(s)->binary);
    bool changes = to != s->status;
    s->status = to;
    return changes;
}

char *mig_source_continue(MigSource *s, const char *state)
{
    const char *now = mig_status_text(s->status);
    if (strcmp(now, state) != 0) {
        return g_strdup_printf("the migration is in state %s, not %s", now, state);
    }
    s->continued = true;
    return NULL;
}

void mig_source_set_parameters(MigSource *s, const MigParameters *parameters)
{
    s->parameters = *parameters;
}

const MigParameters *mig_source_parameters(const MigSource *s)
{
    return &s->parameters;
}

const char *mig_source_status(const MigSource *s)
{
    return mig_status_text(s->status);
}

bool mig_source_completed(const MigSource *s)
{
    return s->status == MIG_STATUS_IS_COMPLETED;
}

uint64_t mig_source_sync_count(const MigSource *s)
{
    return s->ram.dirty_sync_count;
}

uint64_t mig_source_remaining(const MigSource *s)
{
    return s->dirty_pages * mig_source_page(s);
}

const MigPass *mig_source_passes(const MigSource *s, size_t *count)
{
    *count = s->passes->len;
    return &g_array_index(s->passes, MigPass, 0);
}

const MigDowntime *mig_source_downtime(const MigSource *s)
{
    return &s->times;
}

bool mig_source_woke_guest(const MigSource *s)
{
    return s->woke_guest;
}
