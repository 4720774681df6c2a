/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histories, see history.h.
 *
 * Limits. Pages that postcopy-preempt sends on its own channel are not operations of the migration
 * thread, and not in the heat map. Blocks that come later are not followed.
 */
#include "sim/report/history.h"

#include "sim/report/heat.h"
#include "sim/report/samples.h"

struct MigHistory {
    MigSamples *samples;
    GPtrArray *heat;       /* MigHeat by block */
    GPtrArray *names;      /* of blocks, for |timeline| */
    MigTimeline *timeline; /* NULL: not wanted */
};

MigHistory *mig_history_new(const MigScenario *s, bool with_timeline)
{
    MigHistory *h = g_new0(MigHistory, 1);
    h->samples = mig_samples_new();
    h->heat = g_ptr_array_new_with_free_func((GDestroyNotify)mig_heat_free);
    h->names = g_ptr_array_new_with_free_func(g_free);
    h->timeline = with_timeline ? mig_timeline_new() : NULL;
    for (guint i = 0; i < s->blocks->len; i++) {
        const MigScenarioBlock *b = &g_array_index(s->blocks, MigScenarioBlock, i);
        g_ptr_array_add(h->heat, mig_heat_new(b->name, b->max_size / MIG_SCENARIO_PAGE));
        g_ptr_array_add(h->names, g_strdup(b->name));
    }
    return h;
}

void mig_history_free(MigHistory *h)
{
    if (h) {
        mig_samples_free(h->samples);
        mig_timeline_free(h->timeline);
        g_ptr_array_unref(h->heat);
        g_ptr_array_unref(h->names);
        g_free(h);
    }
}

static void add_heat(MigHistory *h, uint32_t block, int64_t at, uint64_t first, uint64_t mask)
{
    if (block < h->heat->len) {
        mig_heat_add(h->heat->pdata[block], at, first, mask);
    }
}

/* A run of any length: what was dirty in it, up to where it ended. */
static void add_run(MigHistory *h, const MigOp *op, const MigOutcome *outcome)
{
    for (uint64_t page = op->run.first; page < outcome->run_end;) {
        uint64_t word = page / 64, next = MIN((word + 1) * 64, outcome->run_end);
        uint64_t mask = mig_bitmap_word(op->run.dirty, word) >> page % 64;
        mask &= next - page == 64 ? UINT64_MAX : (1ull << (next - page)) - 1;
        if (mask) {
            add_heat(h, op->run.block, outcome->now, page, mask);
        }
        page = next;
    }
}

static void take_sample(MigHistory *h, const MigSource *source, int64_t now)
{
    MigStats stats;
    mig_source_query(source, now, &stats);
    mig_samples_add(h->samples, now, &stats);
}

void mig_history_did(MigHistory *h, const MigSource *source, const MigOp *op, int64_t began,
                     const MigOutcome *outcome)
{
    if (op->kind == MIG_OP_SEND_PAGES) {
        add_heat(h, op->pages.block, outcome->now, op->pages.first, outcome->sent);
    } else if (op->kind == MIG_OP_SEND_RUN) {
        add_run(h, op, outcome);
    } else if (op->kind == MIG_OP_SEND_PAGE && op->page.record) {
        add_heat(h, op->page.block, outcome->now, op->page.page, 1);
    }
    if (h->timeline) {
        mig_timeline_op(h->timeline, op, began, outcome->now);
    }
    if (mig_samples_due(h->samples, outcome->now)) {
        take_sample(h, source, outcome->now);
    }
}

void mig_history_waited(MigHistory *h, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                        int64_t to)
{
    if (h->timeline && block < h->names->len) {
        mig_timeline_fault(h->timeline, vcpu, h->names->pdata[block], page, from, to);
    }
}

void mig_history_put(MigHistory *h, const MigSource *source, int64_t now, json_object *result)
{
    json_object *maps = json_object_new_array();
    take_sample(h, source, now);
    for (guint i = 0; i < h->heat->len; i++) {
        json_object *map = mig_heat_to_json(h->heat->pdata[i]);
        if (map) {
            json_object_array_add(maps, map);
        }
    }
    json_object_object_add(result, "samples", mig_samples_to_json(h->samples));
    json_object_object_add(result, "heat-map", maps);
}

json_object *mig_history_timeline(const MigHistory *h, json_object *result)
{
    return h->timeline ? mig_timeline_to_json(h->timeline, result) : NULL;
}
