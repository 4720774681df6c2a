/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM takes for its part of a migration, see measures.h: a guest of ours (sim/guest/kvm.h)
 * writes to memory, stands still, and its dirty log is read and cleared as QEMU does it with manual
 * clear. Where there is no KVM there is no measure.
 *
 * Limits. One memory slot, small pages, one vCPU, and some hundred pages that were written between
 * two looks; a chunk of which every page was costs much more to clear. QEMU does more around it
 * (RCU, listeners, drained disks): where there is a QEMU, it is asked instead.
 */

#include "sim/calibrate/measures.h"
#include "sim/guest/kvm.h"

#define PAGE        4096u
#define MIB         (1u << 20)
#define SMALL       (4u * MIB) /* bytes of a guest whose bitmap is next to nothing */
#define LARGE       (1024u * MIB)
#define FIRST       512u     /* page; in front is the guest's program */
#define WRITTEN     256u     /* pages */
#define RATE        1000000u /* writes/s */
#define PATIENCE_MS 5000

typedef struct Guest {
    MigKvm *kvm;
    MigBitmap *dirty;
} Guest;

static void clear_guest(Guest *g)
{
    mig_kvm_free(g->kvm);
    g_clear_pointer(&g->dirty, mig_bitmap_free);
}

static guint64 written(MigKvm *k)
{
    guint64 counts[MIG_GUEST_MAX_REGIONS];
    mig_kvm_written(k, 0, counts);
    return counts[0];
}

/* Lets it write to all of its pages; false: it didn't in time. */
static bool run_through(MigKvm *k)
{
    guint64 enough = written(k) + WRITTEN;
    mig_kvm_run(k, true);
    for (int left = PATIENCE_MS; left > 0 && written(k) < enough && !mig_kvm_death(k); left--) {
        g_usleep(1000);
    }
    mig_kvm_run(k, false);
    return written(k) >= enough && !mig_kvm_death(k);
}

/* A guest with |bytes| of memory that has written to some of it, and stands still. */
static bool make_guest(Guest *g, guint64 bytes)
{
    const MigWorkload workload = {
        .first = FIRST, .pages = WRITTEN, .pattern = MIG_PATTERN_SEQUENTIAL, .rate = RATE
    };
    const MigGuestBlock block = {
        .memory = { .name = "ram", .used_length = bytes, .max_length = bytes, .host_page = PAGE },
    };
    const MigKvmConfig config = {
        .seed = 1,
        .vcpus = 1,
        .tracking = MIG_TRACKING_KVM_MANUAL,
        .blocks = &block,
        .block_count = 1,
        .workloads = &workload,
        .workload_count = 1,
    };
    *g = (Guest){ .kvm = mig_kvm_available(NULL) ? mig_kvm_new(&config, NULL) : NULL };
    if (!g->kvm || !run_through(g->kvm)) {
        clear_guest(g);
        return false;
    }
    g->dirty = mig_bitmap_new(bytes / PAGE);
    return true;
}

/* A guest whose log is on and has been cleared, and that has written some hundred pages since. */
static bool make_logged(Guest *g, guint64 bytes)
{
    if (!make_guest(g, bytes)) {
        return false;
    }
    MigMemory *m = mig_kvm_memory(g->kvm);
    m->ops->log_start(m);
    m->ops->sync(m, 0, g->dirty);
    m->ops->clear(m, 0, 0, bytes / PAGE);
    if (!run_through(g->kvm)) {
        clear_guest(g);
        return false;
    }
    return true;
}

static gint64 sync_of(guint64 bytes)
{
    Guest g;
    if (!make_logged(&g, bytes)) {
        return -1;
    }
    MigMemory *m = mig_kvm_memory(g.kvm);
    gint64 began = mig_measure_wall();
    m->ops->sync(m, 0, g.dirty);
    gint64 spent = mig_measure_wall() - began;
    clear_guest(&g);
    return spent;
}

gint64 mig_measure_sync_gib(bool shared)
{
    gint64 small = sync_of(SMALL), large = small < 0 ? -1 : sync_of(LARGE);
    (void)shared;
    return large < 0 ? -1 : MAX(large - small, 0);
}

gint64 mig_measure_clear_chunk(bool shared)
{
    Guest g;
    (void)shared;
    if (!make_logged(&g, LARGE)) {
        return -1;
    }
    MigMemory *m = mig_kvm_memory(g.kvm);
    m->ops->sync(m, 0, g.dirty);
    gint64 began = mig_measure_wall();
    m->ops->clear(m, 0, 0, LARGE / PAGE);
    gint64 spent = mig_measure_wall() - began;
    clear_guest(&g);
    return spent;
}

/* ns, until a guest at work stands still. */
gint64 mig_measure_stop(bool shared)
{
    Guest g;
    (void)shared;
    if (!make_guest(&g, SMALL)) {
        return -1;
    }
    guint64 before = written(g.kvm);
    mig_kvm_run(g.kvm, true);
    for (int left = PATIENCE_MS; left > 0 && written(g.kvm) == before; left--) {
        g_usleep(1000);
    }
    bool works = written(g.kvm) != before;
    gint64 began = mig_measure_wall();
    mig_kvm_run(g.kvm, false);
    gint64 spent = mig_measure_wall() - began;
    clear_guest(&g);
    return works ? spent : -1;
}
