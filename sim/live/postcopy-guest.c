/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of a live destination, see postcopy-guest.h. When it has ended its touches are
 * looked at once more and then taken back: memory is what came, and can be compared.
 */
#include "sim/live/postcopy-guest.h"

#define AT_ONCE 16

struct MigLiveGuest {
    MigFaultMemory *memory;
    MigTouch *touch;     /* NULL: a backend's guest */
    MigBackend *backend; /* or NULL */
    uint32_t vcpus;
    MigLiveGuestReport report;
    bool ended;
};

static MigTouch *make_touch(const MigScenario *s, MigBuffer *buffer)
{
    MigMemory *m = mig_buffer_memory(buffer);
    uint32_t count = m->ops->count(m);
    g_autofree MigTouchBlock *blocks = g_new0(MigTouchBlock, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        blocks[i].at = mig_buffer_at(buffer, i);
        blocks[i].pages = m->ops->block(m, i)->used_length / m->page_size;
    }
    MigTouchConfig config = {
        .seed = s->seed,
        .page_size = m->page_size,
        .blocks = blocks,
        .block_count = count,
        .workloads = (const MigWorkload *)(void *)s->workloads->data,
        .workload_count = s->workloads->len,
    };
    return mig_touch_new(&config);
}

MigLiveGuest *mig_live_guest_new(const MigScenario *s, MigBuffer *buffer, MigBackend *backend,
                                 GError **error)
{
    MigFaultMemory *memory =
        mig_fault_memory_new(buffer, backend ? MIG_FAULTS_OF_KERNEL : MIG_FAULTS_OF_USERS, error);
    if (!memory) {
        return NULL;
    }
    MigLiveGuest *g = g_new0(MigLiveGuest, 1);
    g->memory = memory;
    g->backend = backend;
    g->vcpus = backend ? MAX(s->vcpus, 1) : s->workloads->len;
    g->touch = backend ? NULL : make_touch(s, buffer);
    return g;
}

void mig_live_guest_free(MigLiveGuest *g)
{
    if (g) {
        mig_live_guest_end(g);
        mig_touch_free(g->touch);
        mig_fault_memory_free(g->memory);
        g_free(g);
    }
}

MigMemory *mig_live_guest_memory(MigLiveGuest *g)
{
    return mig_fault_memory_memory(g->memory);
}

void mig_live_guest_set_pause(MigLiveGuest *g, const MigFaultPause *pause)
{
    mig_fault_memory_set_pause(g->memory, pause);
}

uint32_t mig_live_guest_vcpus(const MigLiveGuest *g)
{
    return g->vcpus;
}

bool mig_live_guest_run(MigLiveGuest *g, GError **error)
{
    g->report.ran = true;
    if (g->backend) {
        bool loaded = g->backend->ops->loaded(g->backend, error);
        g->backend->ops->run(g->backend, loaded);
        return loaded;
    }
    return mig_touch_start(g->touch, error);
}

int mig_live_guest_fd(const MigLiveGuest *g)
{
    MigFaults *faults = mig_fault_memory_faults(g->memory);
    return faults ? mig_faults_fd(faults) : -1;
}

/*
 * A page that the engine doesn't wait for: it came meanwhile (then this only wakes), or it was
 * neither sent nor discarded, and is zero.
 */
static bool settle(MigFaults *faults, void *at, GError **error)
{
    MigPlace placed = mig_faults_zero(faults, at, error);
    return placed == MIG_PLACE_EXISTS ? mig_faults_wake(faults, at, error)
                                      : placed == MIG_PLACE_DONE;
}

static uint32_t vcpu_of(const MigLiveGuest *g, pid_t thread)
{
    return g->touch ? mig_touch_vcpu(g->touch, thread)
                    : g->backend->ops->vcpu_of(g->backend, thread);
}

bool mig_live_guest_serve(MigLiveGuest *g, MigDest *d, GError **error)
{
    MigPageFault found[AT_ONCE];
    MigFaults *faults = mig_fault_memory_faults(g->memory);
    int count = faults ? mig_faults_read(faults, found, AT_ONCE, error) : 0;
    for (int i = 0; i < count; i++) {
        uint32_t block = 0, vcpu = vcpu_of(g, found[i].thread);
        uint64_t page = 0;
        bool known = mig_fault_memory_find(g->memory, found[i].at, &block, &page);
        g_assert(known);
        if (!mig_dest_fault(d, block, page, vcpu) && !settle(faults, found[i].at, error)) {
            return false;
        }
    }
    return count >= 0;
}

void mig_live_guest_end(MigLiveGuest *g)
{
    if (g->ended) {
        return;
    }
    g->ended = true;
    MigMemory *m = mig_live_guest_memory(g);
    m->ops->unlisten(m);
    if (!g->touch) {
        return;
    }
    mig_touch_stop(g->touch, -1);
    g->report.touches = mig_touch_counts(g->touch);
    g->report.wrong = mig_touch_check(g->touch);
    mig_touch_undo(g->touch);
}

const char *mig_live_guest_error(const MigLiveGuest *g)
{
    return mig_fault_memory_error(g->memory);
}

const MigLiveGuestReport *mig_live_guest_report(const MigLiveGuest *g)
{
    return &g->report;
}
