/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting the pages that a KVM guest writes, for calc-dirty-rate, and the dirty limit's hold on
 * its rings.
 *
 * Model. Counting keeps the log on beside a migration. When it begins, what the kernel has is
 * fetched for the migration, and with manual clear all of it is dropped, so that what comes behind
 * was written since; a page that the migration has not sent yet then only comes once more. As
 * calculate_dirtyrate_dirty_bitmap(), vcpu_calculate_dirtyrate() (migration/dirtyrate.c, 10.0) and
 * the reaping of softmmu/dirtylimit.c.
 */
#include "sim/guest/kvm-internal.h"

static void begin(MigKvm *k)
{
    mig_kvm_set_logger(k, KVM_LOGGER_COUNT, true);
    mig_kvm_fetch(k);
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        KvmBlock *b = &k->blocks[i];
        mig_kvm_clear(&k->memory, i, 0, b->log->bits);
        g_mutex_lock(&k->lock);
        mig_bitmap_free(b->counted);
        b->counted = mig_bitmap_new(b->log->bits);
        g_mutex_unlock(&k->lock);
    }
    g_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        k->vcpus[i].counted_from = k->vcpus[i].noted;
    }
    g_mutex_unlock(&k->lock);
}

static void end(MigKvm *k)
{
    mig_kvm_fetch(k);
    mig_kvm_set_logger(k, KVM_LOGGER_COUNT, false);
    k->counted = 0;
    g_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        k->counted += k->blocks[i].counted->set;
        g_clear_pointer(&k->blocks[i].counted, mig_bitmap_free);
    }
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        k->vcpus[i].counted = k->vcpus[i].noted - k->vcpus[i].counted_from;
    }
    g_mutex_unlock(&k->lock);
}

void mig_kvm_count(MigKvm *k, bool on)
{
    (on ? begin : end)(k);
}

uint64_t mig_kvm_counted(const MigKvm *k)
{
    return k->counted;
}

uint64_t mig_kvm_counted_by(const MigKvm *k, uint32_t vcpu)
{
    return k->vcpus[vcpu].counted;
}

/* Dirty limits ------------------------------------------------------------------------------ */

bool mig_kvm_has_rings(const MigKvm *k)
{
    return k->ring_entries > 0;
}

void mig_kvm_watch_rings(MigKvm *k, bool on)
{
    if (k->ring_entries) {
        mig_kvm_set_logger(k, KVM_LOGGER_LIMIT, on);
    }
}

void mig_kvm_take_rings(MigKvm *k, uint64_t *noted)
{
    mig_kvm_fetch(k);
    g_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        noted[i] = k->vcpus[i].noted;
    }
    g_mutex_unlock(&k->lock);
}

void mig_kvm_sleep_when_full(MigKvm *k, uint32_t vcpu, int64_t ns)
{
    g_mutex_lock(&k->lock);
    k->vcpus[vcpu].full_nap = ns;
    g_mutex_unlock(&k->lock);
}
