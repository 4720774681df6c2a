/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty log of a KVM guest, in its three forms.
 *
 *     bitmap   KVM_GET_DIRTY_LOG takes the bits and protects their pages again
 *     manual   KVM_GET_DIRTY_LOG only reads; KVM_CLEAR_DIRTY_LOG protects what a sync had reported
 *     ring     each vCPU has a ring of page numbers; taking them and KVM_RESET_DIRTY_RINGS protects
 *
 * As kvm_physical_sync_dirty_bitmap(), kvm_log_clear_one_slot() and kvm_dirty_ring_reap() of QEMU's
 * accel/kvm/kvm-all.c do it. A ring is taken at a sync, when it is full, and every second.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sim/guest/kvm-internal.h"

static bool is_manual(const MigKvm *k)
{
    return k->config.tracking == MIG_TRACKING_KVM_MANUAL;
}

static bool enable(MigKvm *k, uint32_t cap, uint64_t argument)
{
    struct kvm_enable_cap enable = { .cap = cap, .args = { argument } };
    return ioctl(k->vm, KVM_ENABLE_CAP, &enable) == 0;
}

static bool lacks(GError **error, const char *what)
{
    g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_LACKS,
                "this kernel's KVM has no %s; choose another guest.dirty-tracking: kvm-log is in "
                "every KVM",
                what);
    return false;
}

static bool init_manual(MigKvm *k, GError **error)
{
    int offered = ioctl(k->vm, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
    uint64_t wanted = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
    return (offered > 0 &&
            enable(k, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, (uint64_t)offered & wanted)) ||
           lacks(error, "manual dirty log protection (Linux 5.5)");
}

static bool init_ring(MigKvm *k, GError **error)
{
    uint64_t bytes =
        (k->config.ring_entries ? k->config.ring_entries : 4096) * sizeof(struct kvm_dirty_gfn);
    static const uint32_t caps[] = { KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING };
    for (size_t i = 0; i < G_N_ELEMENTS(caps); i++) {
        int most = ioctl(k->vm, KVM_CHECK_EXTENSION, caps[i]);
        if (most > 0 && bytes <= (uint64_t)most && enable(k, caps[i], bytes)) {
            k->ring_entries = (uint32_t)(bytes / sizeof(struct kvm_dirty_gfn));
            return true;
        }
    }
    return lacks(error, "dirty ring of this size (Linux 5.11)");
}

bool mig_kvm_dirty_init(MigKvm *k, GError **error)
{
    return is_manual(k)                                  ? init_manual(k, error)
           : k->config.tracking == MIG_TRACKING_KVM_RING ? init_ring(k, error)
                                                         : true;
}

/* Slots ------------------------------------------------------------------------------------ */

static bool set_slot(MigKvm *k, uint32_t index)
{
    const KvmSlot *s = &k->slots[index];
    struct kvm_userspace_memory_region region = {
        .slot = index,
        .flags = s->read_only ? KVM_MEM_READONLY
                 : k->loggers ? KVM_MEM_LOG_DIRTY_PAGES
                              : 0,
        .guest_phys_addr = s->address,
        .memory_size = s->pages * MIG_KVM_PAGE,
        .userspace_addr = (uintptr_t)(k->blocks[s->block].at + s->first * MIG_KVM_PAGE),
    };
    return ioctl(k->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

bool mig_kvm_set_slots(MigKvm *k, GError **error)
{
    for (uint32_t i = 0; i < k->slot_count; i++) {
        if (!set_slot(k, i)) {
            return mig_kvm_fail(error, MIG_KVM_ERROR_LACKS, "KVM_SET_USER_MEMORY_REGION");
        }
    }
    return true;
}

/*
 * The log is on as long as somebody needs it. The kernel does not refuse a flag of a slot that it
 * has taken: failing would be a bug.
 */
void mig_kvm_set_logger(MigKvm *k, KvmLogger who, bool on)
{
    bool before = k->loggers != 0;
    k->loggers = on ? k->loggers | who : k->loggers & ~(unsigned)who;
    for (uint32_t i = 0; i < k->slot_count && before != (k->loggers != 0); i++) {
        if (!set_slot(k, i)) {
            g_error("KVM_SET_USER_MEMORY_REGION: %s", g_strerror(errno));
        }
    }
}

/* Rings ------------------------------------------------------------------------------------ */

static void note(MigKvm *k, uint32_t slot, uint64_t offset)
{
    const KvmSlot *s = slot < k->slot_count ? &k->slots[slot] : NULL;
    if (s && offset < s->pages) {
        const KvmBlock *b = &k->blocks[s->block];
        mig_bitmap_set(b->log, s->first + offset);
        if (b->counted) {
            mig_bitmap_set(b->counted, s->first + offset);
        }
    }
}

static uint64_t take_entries(MigKvm *k, KvmVcpu *v)
{
    uint64_t count = 0;
    for (;;) {
        struct kvm_dirty_gfn *entry = &v->ring[v->ring_next % k->ring_entries];
        if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY)) {
            v->noted += count;
            return count;
        }
        note(k, entry->slot & 0xffff, entry->offset);
        __atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        v->ring_next++;
        count++;
    }
}

static void reset_rings(MigKvm *k, uint64_t taken)
{
    if (taken > 0) {
        k->stats.reaped += taken;
        ioctl(k->vm, KVM_RESET_DIRTY_RINGS, 0);
    }
}

void mig_kvm_reap_vcpu(MigKvm *k, KvmVcpu *v)
{
    reset_rings(k, take_entries(k, v));
}

void mig_kvm_reap(MigKvm *k)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < k->config.vcpus && k->ring_entries; i++) {
        count += take_entries(k, &k->vcpus[i]);
    }
    reset_rings(k, count);
}

/* The memory interface --------------------------------------------------------------------- */

/* For who begins to log; the bits that the kernel still has come once more. */
static void forget(MigKvm *k)
{
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        KvmBlock *b = &k->blocks[i];
        mig_bitmap_clear_range(b->log, 0, b->log->bits);
        mig_bitmap_clear_range(b->reported, 0, b->reported->bits);
    }
}

void mig_kvm_log_start(MigMemory *m)
{
    MigKvm *k = (MigKvm *)m;
    g_mutex_lock(&k->lock);
    mig_kvm_reap(k);
    forget(k);
    g_mutex_unlock(&k->lock);
    mig_kvm_set_logger(k, KVM_LOGGER_MIGRATION, true);
}

void mig_kvm_log_stop(MigMemory *m)
{
    MigKvm *k = (MigKvm *)m;
    mig_kvm_set_logger(k, KVM_LOGGER_MIGRATION, false);
    g_mutex_lock(&k->lock);
    mig_kvm_reap(k);
    g_mutex_unlock(&k->lock);
}

/* What the kernel has for a slot, into its block's log; with manual clear it keeps its bits. */
static void fetch(MigKvm *k, uint32_t index)
{
    KvmSlot *s = &k->slots[index];
    KvmBlock *b = &k->blocks[s->block];
    struct kvm_dirty_log log = { .slot = index, .dirty_bitmap = s->bits };
    if (ioctl(k->vm, KVM_GET_DIRTY_LOG, &log) != 0) {
        g_error("KVM_GET_DIRTY_LOG of slot %u: %s", index, g_strerror(errno));
    }
    for (uint64_t w = 0; w < (s->pages + 63) / 64; w++) {
        uint64_t left = s->pages - w * 64;
        uint64_t word = s->bits[w] & (left < 64 ? (1ull << left) - 1 : ~0ull);
        if (word) {
            mig_bitmap_set_mask(b->log, s->first / 64 + w, word);
            mig_bitmap_set_mask(b->reported, s->first / 64 + w, is_manual(k) ? word : 0);
            if (b->counted) {
                mig_bitmap_set_mask(b->counted, s->first / 64 + w, word);
            }
        }
    }
}

/* All that the kernel has for a block; with the lock held. */
static void fetch_block(MigKvm *k, uint32_t block)
{
    mig_kvm_reap(k);
    for (uint32_t i = 0; i < k->slot_count && !k->ring_entries && k->loggers; i++) {
        if (k->slots[i].block == block && !k->slots[i].read_only) {
            fetch(k, i);
        }
    }
}

uint64_t mig_kvm_sync(MigMemory *m, uint32_t block, MigBitmap *dirty)
{
    MigKvm *k = (MigKvm *)m;
    int64_t from = mig_kvm_now();
    if (k->ring_entries) {
        mig_kvm_flush_vcpus(k);
    }
    g_mutex_lock(&k->lock);
    fetch_block(k, block);
    uint64_t fresh = mig_bitmap_move(dirty, k->blocks[block].log);
    k->stats.syncs++;
    k->stats.sync_time += mig_kvm_now() - from;
    g_mutex_unlock(&k->lock);
    return fresh;
}

void mig_kvm_fetch(MigKvm *k)
{
    if (k->ring_entries) {
        mig_kvm_flush_vcpus(k);
    }
    g_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        fetch_block(k, i);
    }
    g_mutex_unlock(&k->lock);
}

/* KVM wants a multiple of 64 pages, but at a slot's end. Bits that are not set stay as they are. */
static void clear_slot(MigKvm *k, uint32_t index, uint64_t first, uint64_t end)
{
    KvmSlot *s = &k->slots[index];
    MigBitmap *reported = k->blocks[s->block].reported;
    uint64_t from = MAX(first, s->first), to = MIN(end, s->first + s->pages), any = 0;
    if (from >= to) {
        return;
    }
    uint64_t word = from / 64, words = (to + 63) / 64 - word;
    for (uint64_t w = 0; w < words; w++) {
        uint64_t mask = ~0ull;
        mask &= (word + w) * 64 < from ? ~0ull << (from - (word + w) * 64) : ~0ull;
        mask &= (word + w + 1) * 64 > to ? ~0ull >> ((word + w + 1) * 64 - to) : ~0ull;
        s->bits[w] = mig_bitmap_clear_mask(reported, word + w, mask);
        any |= s->bits[w];
    }
    struct kvm_clear_dirty_log clear = {
        .slot = index,
        .first_page = word * 64 - s->first,
        .num_pages = (uint32_t)MIN(words * 64, s->first + s->pages - word * 64),
        .dirty_bitmap = s->bits,
    };
    if (any && ioctl(k->vm, KVM_CLEAR_DIRTY_LOG, &clear) != 0) {
        g_error("KVM_CLEAR_DIRTY_LOG of slot %u: %s", index, g_strerror(errno));
    }
}

void mig_kvm_clear(MigMemory *m, uint32_t block, uint64_t first, uint64_t count)
{
    MigKvm *k = (MigKvm *)m;
    int64_t from = mig_kvm_now();
    for (uint32_t i = 0; i < k->slot_count && is_manual(k) && k->loggers; i++) {
        if (k->slots[i].block == block && !k->slots[i].read_only) {
            clear_slot(k, i, first, first + count);
        }
    }
    k->stats.sync_time += mig_kvm_now() - from;
}
