/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs over memory that is on its way, see vcpus.h.
 *
 * Limits. Every access of a workload is a write as far as memory goes; nothing is written: what a
 * page would hold is not followed at the destination.
 */
#include "sim/world/vcpus.h"

#include <glib.h>

#include "sim/world/clock.h"

#define LOOK_AHEAD   (20 * MIG_NS_PER_MS) /* how far accesses are looked at in one go */
#define LOOK_AT_MOST 100000u              /* and how many */

typedef struct Vcpu {
    MigVcpus *all;
    MigWorkloadRun run;
    uint32_t number;
    bool waits;
    int64_t since; /* ns, when it began to */
    uint64_t page;
    uint64_t event; /* its next; 0: none */
} Vcpu;

struct MigVcpus {
    Vcpu *list;
    uint32_t count;
    MigEvents *events;
    MigVcpusHooks hooks;
    MigVcpusCounts counts;
};

MigVcpus *mig_vcpus_new(const MigWorkloadRun *runs, uint32_t count, MigEvents *events,
                        const MigVcpusHooks *hooks)
{
    MigVcpus *v = g_new0(MigVcpus, 1);
    v->list = g_new0(Vcpu, count + 1);
    v->count = count;
    v->events = events;
    v->hooks = *hooks;
    for (uint32_t i = 0; i < count; i++) {
        v->list[i] = (Vcpu){ .all = v, .run = runs[i], .number = i };
    }
    return v;
}

void mig_vcpus_free(MigVcpus *v)
{
    for (uint32_t i = 0; v && i < v->count; i++) {
        if (v->list[i].event) {
            mig_events_cancel(v->events, v->list[i].event);
        }
    }
    if (v) {
        g_free(v->list);
        g_free(v);
    }
}

static void go_on(Vcpu *c, int64_t now);

static void wake(void *opaque, int64_t at)
{
    Vcpu *c = opaque;
    c->event = 0;
    go_on(c, at);
}

/* Waits for the page of its next access. False: it came in between. */
static bool fault(Vcpu *c, int64_t now)
{
    MigVcpus *v = c->all;
    c->waits = v->hooks.fault(v->hooks.opaque, c->run.w.block, c->page, c->number);
    c->since = now;
    v->counts.faults += c->waits;
    v->counts.waiting += c->waits;
    return c->waits;
}

/* Looks at its accesses from |now| on, to the first that has to be waited for. */
static void go_on(Vcpu *c, int64_t now)
{
    MigVcpus *v = c->all;
    for (uint32_t looked = 0; !v->hooks.has_all(v->hooks.opaque); looked++) {
        int64_t at = mig_workload_next(&c->run);
        if (at == INT64_MAX) {
            return;
        }
        c->page = mig_workload_page(&c->run);
        bool there = v->hooks.has(v->hooks.opaque, c->run.w.block, c->page);
        if (!there && at <= now && fault(c, now)) {
            return;
        }
        if ((!there && at > now) || at > now + LOOK_AHEAD || looked == LOOK_AT_MOST) {
            c->event = mig_events_add(v->events, MAX(at, now), wake, c);
            return;
        }
        mig_workload_step(&c->run);
        v->counts.accesses++;
    }
}

static void go_on_after(Vcpu *c, int64_t now, int64_t delay)
{
    if (delay > 0) {
        c->event = mig_events_add(c->all->events, now + delay, wake, c);
    } else {
        go_on(c, now);
    }
}

void mig_vcpus_run(MigVcpus *v, int64_t stopped, int64_t now)
{
    for (uint32_t i = 0; i < v->count; i++) {
        mig_workload_stall(&v->list[i].run, stopped, now);
        go_on(&v->list[i], now);
    }
}

void mig_vcpus_placed(MigVcpus *v, uint32_t block, uint64_t first, uint64_t count, int64_t now)
{
    for (uint32_t i = 0; i < v->count; i++) {
        Vcpu *c = &v->list[i];
        if (c->waits && c->run.w.block == block && c->page >= first && c->page - first < count) {
            c->waits = false;
            v->counts.waiting--;
            mig_workload_stall(&c->run, c->since, now + v->hooks.wake);
            if (v->hooks.waited) {
                v->hooks.waited(v->hooks.opaque, c->number, block, c->page, c->since, now);
            }
            mig_workload_step(&c->run); /* the access that waited is made */
            v->counts.accesses++;
            go_on_after(c, now, v->hooks.wake);
        }
    }
}

const MigVcpusCounts *mig_vcpus_counts(const MigVcpus *v)
{
    return &v->counts;
}
