/* SPDX-License-Identifier: Apache-2.0 */
/* The plain simulator's guest, see reference-guest.h. */
#include "tests/unit/reference-guest.h"

#include "sim/world/prng.h"

#define PAGE  REFERENCE_PAGE
#define SLICE 10000000 /* ns that a throttled guest runs */

static MigPageOrigin origin_of(const ReferenceGuest *g, const ReferencePage *p)
{
    const MigScenarioBlock *b = &g_array_index(g->s->blocks, MigScenarioBlock, p->block);
    const MigContent *c = &g_array_index(b->content, MigContent, 0);
    bool inside = p->number >= c->first && p->number < c->first + c->pages;
    uint64_t key = mig_prng_key(g->s->seed, "content", p->block);
    return (MigPageOrigin){ inside ? c : NULL, p->number, key, PAGE };
}

/* A block with one range of random content, zero beside it, and who writes to it. */
static void add_block(ReferenceGuest *g, guint block)
{
    const MigScenarioBlock *b = &g_array_index(g->s->blocks, MigScenarioBlock, block);
    const MigContent *c = &g_array_index(b->content, MigContent, 0);
    uint64_t key = mig_prng_key(g->s->seed, "content", block), pages = b->size / PAGE;
    for (guint i = 0; i < g->s->workloads->len; i++) {
        MigWorkload w = g_array_index(g->s->workloads, MigWorkload, i);
        if (w.block == block) {
            w.first += g->count; /* of all pages */
            g->runs[i] = mig_workload_begin(&w, g->s->seed, i);
        }
    }
    g->pages = g_renew(ReferencePage, g->pages, g->count + pages);
    for (uint64_t i = 0; i < pages; i++) {
        bool left = mig_content_zeros(key, i / 64, c->zeros) >> i % 64 & 1;
        bool zero = left || i < c->first || i >= c->first + c->pages;
        g->pages[g->count++] = (ReferencePage){ .block = block, .number = i, .zero = zero };
    }
}

void reference_guest_init(ReferenceGuest *g, const MigScenario *s)
{
    *g = (ReferenceGuest){ .s = s, .runs = g_new0(MigWorkloadRun, s->workloads->len) };
    g->vcpus = MAX(s->vcpus, 1);
    g->holds = g_new0(ReferenceHold, g->vcpus);
    g->rings = g_new0(ReferenceRing, g->vcpus);
    for (guint b = 0; b < s->blocks->len; b++) {
        add_block(g, b);
    }
}

void reference_guest_clear(ReferenceGuest *g)
{
    for (ReferencePage *p = g->pages; p < g->pages + g->count; p++) {
        mig_content_release(&p->state);
    }
    g_free(g->pages);
    g_free(g->runs);
    g_free(g->holds);
    g_free(g->rings);
}

/* The vCPU of a workload waits. */
static ReferenceHold *hold_of(const ReferenceGuest *g, const MigWorkloadRun *r)
{
    return &g->holds[(guint)(r - g->runs) % g->vcpus];
}

/* Of all workloads, the one whose next write comes first; of equal ones the scenario's first. */
static MigWorkloadRun *first_of(const ReferenceGuest *g)
{
    MigWorkloadRun *first = NULL;
    for (MigWorkloadRun *r = g->runs; r < g->runs + g->s->workloads->len; r++) {
        bool sooner = !first || mig_workload_next(r) < mig_workload_next(first);
        first = sooner && !hold_of(g, r)->page ? r : first;
    }
    return first;
}

static void reap(const ReferenceGuest *g, guint vcpu)
{
    for (ReferencePage *p = g->pages; p < g->pages + g->count; p++) {
        p->ring = p->ring == vcpu + 1 ? 0 : p->ring;
    }
    g->rings[vcpu].count = 0;
}

void reference_guest_reap(ReferenceGuest *g)
{
    for (guint v = 0; v < g->vcpus; v++) {
        reap(g, v);
    }
}

/* A page was written to at |at|: in a ring that is full then, it is the last one. */
static void note(ReferenceGuest *g, guint vcpu, ReferencePage *p, int64_t at)
{
    ReferenceRing *ring = &g->rings[vcpu];
    if (g->s->tracking != MIG_TRACKING_KVM_RING || !g->logs || p->ring) {
        return;
    }
    p->ring = vcpu + 1;
    ring->noted++;
    if (++ring->count == g->s->ring_pages) {
        int64_t until = at + ring->sleep * 1000;
        reap(g, vcpu);
        for (guint i = vcpu; i < g->s->workloads->len; i += g->vcpus) {
            mig_workload_stall(&g->runs[i], at, until);
        }
        g->limited += until - at;
        g->asleep_until = MAX(g->asleep_until, until);
    }
}

static void run(ReferenceGuest *g, int64_t until)
{
    MigWorkloadRun *r;
    while ((r = first_of(g)) && mig_workload_next(r) <= until) {
        ReferencePage *p = &g->pages[mig_workload_page(r)];
        if (r->w.access == MIG_ACCESS_WRITE && p->held_back) {
            *hold_of(g, r) = (ReferenceHold){ p, mig_workload_next(r) };
            continue;
        }
        int64_t at = mig_workload_next(r);
        if (r->w.access == MIG_ACCESS_WRITE) {
            MigPageOrigin origin = origin_of(g, p);
            MigWrite w = mig_workload_write(r);
            mig_content_write(&p->state, &origin, &w);
            p->logged = true;
            p->zero = w.kind == MIG_WRITE_FILL;
        }
        mig_workload_step(r);
        if (r->w.access == MIG_ACCESS_WRITE) {
            note(g, (guint)(r - g->runs) % g->vcpus, p, at);
        }
    }
}

void reference_guest_at(ReferenceGuest *g, int64_t now)
{
    int64_t length = (int64_t)SLICE * g->throttle / (100 - g->throttle);
    int64_t late = MIN(g->s->host.wake, SLICE);
    if (now <= g->seen) {
        return;
    }
    g->seen = now;
    for (; !g->stopped && g->throttle && g->nap <= now; g->nap += length + SLICE) {
        run(g, g->nap);
        for (guint i = 0; i < g->s->workloads->len; i++) {
            mig_workload_stall(&g->runs[i], g->nap, g->nap + length + late);
        }
    }
    if (!g->stopped) {
        run(g, now);
    }
}

uint64_t reference_guest_start_log(ReferenceGuest *g, bool ignore_shared)
{
    uint64_t dirty = 0;
    g->logs = true;
    for (ReferencePage *p = g->pages; p < g->pages + g->count; p++) {
        p->left_out =
            ignore_shared && g_array_index(g->s->blocks, MigScenarioBlock, p->block).shared;
        p->dirty = !p->left_out;
        p->logged = false;
        dirty += p->dirty;
    }
    return dirty;
}

uint64_t reference_guest_sync(ReferenceGuest *g, bool manual)
{
    uint64_t fresh = 0;
    for (ReferencePage *p = g->pages; p < g->pages + g->count; p++) {
        fresh += p->logged && !p->dirty && !p->left_out;
        p->dirty |= p->logged && !p->left_out;
        p->reported = manual && (p->reported || p->logged);
        p->logged = manual && p->logged;
    }
    return fresh;
}

void reference_guest_clear_log(ReferenceGuest *g, uint64_t block)
{
    for (ReferencePage *p = g->pages; p < g->pages + g->count; p++) {
        if (p->block == block) {
            p->logged &= !p->reported;
            p->reported = false;
        }
    }
}

void reference_guest_read(const ReferenceGuest *g, uint64_t page, uint8_t *bytes)
{
    MigPageOrigin origin = origin_of(g, &g->pages[page]);
    mig_content_read(&g->pages[page].state, &origin, bytes);
}

void reference_guest_go_on(ReferenceGuest *g, int64_t from, int64_t now)
{
    for (guint i = 0; i < g->s->workloads->len; i++) {
        mig_workload_stall(&g->runs[i], from, now);
    }
    g->stopped = false;
    g->seen = now;
}

void reference_guest_protect(ReferenceGuest *g)
{
    g->protects = true;
    for (ReferencePage *p = g->pages; p < g->pages + g->count; p++) {
        p->held_back = true;
    }
}

void reference_guest_release(ReferenceGuest *g, ReferencePage *p, int64_t now)
{
    p->held_back = false;
    for (guint v = 0; v < g->vcpus; v++) {
        for (guint i = v; i < g->s->workloads->len && g->holds[v].page == p; i += g->vcpus) {
            mig_workload_stall(&g->runs[i], g->holds[v].since, now);
        }
        g->holds[v].page = g->holds[v].page == p ? NULL : g->holds[v].page;
    }
}

const ReferencePage *reference_guest_wanted(const ReferenceGuest *g)
{
    const ReferenceHold *first = &g->holds[0];
    for (guint v = 1; v < g->vcpus; v++) {
        bool sooner = !first->page || g->holds[v].since < first->since;
        first = g->holds[v].page && sooner ? &g->holds[v] : first;
    }
    return first->page;
}
