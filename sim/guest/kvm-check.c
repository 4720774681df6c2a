/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's memory should hold, recomputed from what stands in its own parameters and
 * counters: so it can be asked at a destination that was never told what the guest does, and of a
 * guest that a real QEMU has run in between.
 *
 * A write is made before it is counted. A guest can be stopped between the two; then the page of
 * the next write holds the next number already, and that one counts as written here.
 */
#include <string.h>

#include "sim/guest/kvm-internal.h"

#define REPEAT_MAX (1ull << 31) /* writes that are recomputed at most: some ten seconds */

typedef struct Region {
    struct mig_guest_region r;
    const struct mig_guest_counters *counters;
    uint32_t number; /* in its vCPU */
    uint32_t block;
    uint64_t first, pages; /* in the block */
    const uint8_t *at;
} Region;

static uint64_t counter_at(const Region *r, uint32_t page)
{
    uint64_t value;
    memcpy(&value, r->at + (uint64_t)page * MIG_KVM_PAGE, 8);
    return GUINT64_FROM_LE(value);
}

static uint32_t page_of(const Region *r, uint64_t n)
{
    uint32_t page = mig_guest_page_of(&r->r, n, (uint32_t)(n % r->pages));
    return page < r->pages ? page : 0; /* memory is a stranger's: its parameters may be anything */
}

static uint64_t written(const Region *r)
{
    uint64_t n = r->counters->written[r->number];
    bool ends = r->r.pattern == MIG_GUEST_ONCE && n >= r->pages;
    bool ahead = r->r.write == MIG_GUEST_COUNTER && !ends && counter_at(r, page_of(r, n)) == n + 1;
    return n + ahead;
}

/* Region |number| of |vcpu|; false: it lies in no block. */
static bool find_region(MigKvm *k, uint32_t vcpu, uint32_t number, Region *r)
{
    const struct mig_guest_parameters *p = mig_kvm_parameters(k, vcpu);
    *r =
        (Region){ .r = p->region[number], .counters = mig_kvm_counters(k, vcpu), .number = number };
    r->pages = r->r.length / MIG_KVM_PAGE;
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        const MigMemoryBlock *b = &k->blocks[i].memory;
        if (b->address != MIG_KVM_UNMAPPED && r->r.offset >= b->address &&
            r->r.offset + r->r.length <= b->address + b->used_length && r->pages > 0) {
            r->block = i;
            r->first = (r->r.offset - b->address) / MIG_KVM_PAGE;
            r->at = k->blocks[i].at + r->first * MIG_KVM_PAGE;
            return true;
        }
    }
    return false;
}

static bool shares_pages(const GArray *all, guint index)
{
    const Region *a = &g_array_index(all, Region, index);
    for (guint i = 0; i < all->len; i++) {
        const Region *b = &g_array_index(all, Region, i);
        if (i != index && b->r.write != MIG_GUEST_READ && a->r.offset < b->r.offset + b->r.length &&
            b->r.offset < a->r.offset + a->r.length) {
            return true;
        }
    }
    return false;
}

static void compare(const Region *r, const uint64_t *newest, MigKvmCheck *check)
{
    for (uint64_t page = 0; page < r->pages; page++) {
        uint64_t found = counter_at(r, (uint32_t)page);
        if (newest[page] == 0) {
            continue; /* never written */
        }
        check->pages++;
        if (found != newest[page] && check->wrong++ == 0) {
            check->block = r->block;
            check->page = r->first + page;
            check->found = found;
            check->expected = newest[page];
        }
    }
}

static void check_region(const GArray *all, guint index, MigKvmCheck *check)
{
    const Region *r = &g_array_index(all, Region, index);
    uint64_t n = written(r);
    check->written += r->r.write == MIG_GUEST_READ ? 0 : n;
    check->lost += r->counters->lost[r->number];
    check->noticed += r->counters->wrong[r->number];
    if (r->r.write != MIG_GUEST_COUNTER || shares_pages(all, index) || n > REPEAT_MAX) {
        return;
    }
    uint64_t *newest = g_new0(uint64_t, r->pages);
    for (uint64_t i = 0; i < n; i++) {
        newest[page_of(r, i)] = i + 1;
    }
    compare(r, newest, check);
    g_free(newest);
}

bool mig_kvm_check(MigKvm *k, MigKvmCheck *check, GError **error)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Region));
    *check = (MigKvmCheck){ 0 };
    for (uint32_t vcpu = 0; vcpu < k->config.vcpus; vcpu++) {
        const struct mig_guest_parameters *p = mig_kvm_parameters(k, vcpu);
        const struct mig_guest_counters *c = mig_kvm_counters(k, vcpu);
        if (!p || !c) {
            g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE,
                        "vCPU %u: there is no migbench guest in this memory that is ready", vcpu);
            return false;
        }
        for (uint32_t i = 0; i < p->region_count; i++) {
            Region r;
            if (find_region(k, vcpu, i, &r)) {
                g_array_append_val(all, r);
            }
        }
        check->stalls += c->stalls;
        uint64_t ns = (uint64_t)((double)c->longest_stall * 1e9 / (double)MAX(c->tsc_hz, 1));
        check->longest_stall = MAX(check->longest_stall, ns);
    }
    for (guint i = 0; i < all->len; i++) {
        check_region(all, i, check);
    }
    return true;
}

void mig_kvm_written(MigKvm *k, uint32_t vcpu, uint64_t *out)
{
    const struct mig_guest_parameters *p = mig_kvm_parameters(k, vcpu);
    memset(out, 0, MIG_GUEST_MAX_REGIONS * sizeof(*out));
    for (uint32_t i = 0; p && mig_kvm_counters(k, vcpu) && i < p->region_count; i++) {
        Region r;
        out[i] = find_region(k, vcpu, i, &r) ? written(&r) : 0;
    }
}

void mig_kvm_pages_between(MigKvm *k, uint32_t vcpu, uint32_t block, const uint64_t *from,
                           const uint64_t *to, MigBitmap *pages)
{
    const struct mig_guest_parameters *p = mig_kvm_parameters(k, vcpu);
    for (uint32_t i = 0; p && i < p->region_count; i++) {
        Region r;
        if (find_region(k, vcpu, i, &r) && r.block == block && r.r.write != MIG_GUEST_READ) {
            for (uint64_t n = from[i]; n < to[i]; n++) {
                mig_bitmap_set(pages, r.first + page_of(&r, n));
            }
        }
    }
}
