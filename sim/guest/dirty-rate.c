/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty rates, see dirty-rate.h. Blocks get as many samples as their size earns, with replacement;
 * the hash is 64 bits wide and ours, as only "the same as before?" is ever asked of it.
 *
 * Limits, of the synthetic guest. Logging costs it nothing, so the bitmap and ring modes don't slow
 * it down as they do a real one. A ring's page counts once in a measurement; QEMU's reaper re-arms
 * pages every second and when a ring is full, and may count it again. A block that changes its size
 * in between is compared where it still has the page.
 */
#include "sim/guest/dirty-rate.h"

#include <glib.h>
#include <string.h>

#include "sim/guest/write-counter.h"
#include "sim/world/prng.h"

#define MIB_SHIFT 20
#define GIB_SHIFT 30

typedef struct Sample {
    uint32_t block;
    uint64_t page, hash;
} Sample;

struct MigDirtyRate {
    MigMemory *memory;
    MigDirtyRateConfig config;
    MigWriteCounts counts;
    GArray *samples;          /* Sample */
    uint64_t mib;             /* of the blocks sampled */
    MigGuest *guest;          /* synthetic, with its counter; else NULL */
    MigWriteCounter *counter; /* NULL: page-sampling */
};

static const char *const modes[] = {
    [MIG_DIRTY_RATE_PAGE_SAMPLING] = "page-sampling",
    [MIG_DIRTY_RATE_DIRTY_RING] = "dirty-ring",
    [MIG_DIRTY_RATE_DIRTY_BITMAP] = "dirty-bitmap",
};

const char *mig_dirty_rate_mode_name(MigDirtyRateMode mode)
{
    g_assert(mode < MIG_DIRTY_RATE_MODES);
    return modes[mode];
}

/* Sampling --------------------------------------------------------------------------------- */

static uint64_t hash_page(const uint8_t *page, uint32_t size)
{
    uint64_t h = size;
    for (uint32_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, page + i, sizeof(word));
        h = (h ^ word) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
    }
    return h;
}

static uint64_t look(MigMemory *m, const Sample *s, uint8_t *scratch)
{
    return hash_page(m->ops->read(m, s->block, s->page, scratch), m->page_size);
}

static void sample_block(MigDirtyRate *d, uint32_t block, MigPrng *random)
{
    MigMemory *m = d->memory;
    uint64_t length = m->ops->block(m, block)->used_length, pages = length / m->page_size;
    uint64_t count = (uint64_t)(((__uint128_t)length * d->config.sample_pages) >> GIB_SHIFT);
    g_autofree uint8_t *scratch = g_malloc(m->page_size);
    if (length < MIG_DIRTY_RATE_MIN_BLOCK) {
        return;
    }
    d->mib += length >> MIB_SHIFT;
    for (uint64_t i = 0; i < count; i++) {
        Sample s = { .block = block, .page = mig_prng_below(random, pages) };
        s.hash = look(m, &s, scratch);
        g_array_append_val(d->samples, s);
    }
}

static void sample_all(MigDirtyRate *d)
{
    MigMemory *m = d->memory;
    MigPrng random = mig_prng(d->config.seed, "dirty-rate", d->config.number);
    for (uint32_t i = 0; i < m->ops->count(m); i++) {
        sample_block(d, i, &random);
    }
}

static uint64_t count_changed(MigDirtyRate *d)
{
    MigMemory *m = d->memory;
    g_autofree uint8_t *scratch = g_malloc(m->page_size);
    uint64_t changed = 0;
    for (guint i = 0; i < d->samples->len; i++) {
        const Sample *s = &g_array_index(d->samples, Sample, i);
        bool there = s->block < m->ops->count(m) &&
                     s->page < m->ops->block(m, s->block)->used_length / m->page_size;
        changed += there && look(m, s, scratch) != s->hash;
    }
    return changed;
}

/* The measurement -------------------------------------------------------------------------- */

static MigDirtyRate *begin(MigMemory *m, MigGuest *g, const MigWriteCounts *counts,
                           const MigDirtyRateConfig *config)
{
    g_assert(config->vcpus > 0);
    MigDirtyRate *d = g_new0(MigDirtyRate, 1);
    d->memory = m;
    d->guest = g;
    d->config = *config;
    d->counts = *counts;
    d->counts.opaque = g ? d : counts->opaque;
    d->samples = g_array_new(FALSE, FALSE, sizeof(Sample));
    if (config->mode == MIG_DIRTY_RATE_PAGE_SAMPLING) {
        sample_all(d);
    } else {
        d->counts.count(d->counts.opaque, true);
    }
    return d;
}

MigDirtyRate *mig_dirty_rate_begin_on(MigMemory *m, const MigWriteCounts *counts,
                                      const MigDirtyRateConfig *config)
{
    return begin(m, NULL, counts, config);
}

static uint64_t count_synthetic(void *opaque, uint32_t vcpu)
{
    const MigDirtyRate *d = opaque;
    return vcpu == MIG_ALL_VCPUS ? mig_write_counter_pages(d->counter)
                                 : mig_write_counter_by(d->counter, vcpu);
}

static void switch_synthetic(void *opaque, bool on)
{
    MigDirtyRate *d = opaque;
    if (on) {
        d->counter = mig_write_counter_new(d->memory, d->config.vcpus);
    }
    mig_guest_count_into(d->guest, on ? d->counter : NULL);
}

MigDirtyRate *mig_dirty_rate_begin(MigGuest *g, const MigDirtyRateConfig *config)
{
    const MigWriteCounts counts = { NULL, switch_synthetic, count_synthetic };
    return begin(mig_guest_memory(g), g, &counts, config);
}

void mig_dirty_rate_free(MigDirtyRate *d)
{
    if (d) {
        mig_write_counter_free(d->counter);
        g_array_unref(d->samples);
        g_free(d);
    }
}

static int64_t rate_of_pages(const MigDirtyRate *d, uint64_t pages, int64_t ms)
{
    uint64_t bytes = pages * d->memory->page_size;
    return (int64_t)((bytes >> MIB_SHIFT) * 1000) / ms;
}

static MigDirtyRateResult rate_of_samples(MigDirtyRate *d, int64_t ms)
{
    MigDirtyRateResult r = { .samples = d->samples->len };
    __uint128_t part = (__uint128_t)count_changed(d) * d->mib * 1000;
    if (r.samples > 0) {
        r.rate = (int64_t)(part / ((uint64_t)ms * r.samples));
    }
    return r;
}

/* A ring knows vCPUs only: their rates make the whole. */
static MigDirtyRateResult rate_of_rings(const MigDirtyRate *d, int64_t ms)
{
    MigDirtyRateResult r = { .by_vcpu = g_new0(int64_t, d->config.vcpus),
                             .vcpus = d->config.vcpus };
    for (uint32_t i = 0; i < d->config.vcpus; i++) {
        r.by_vcpu[i] = rate_of_pages(d, d->counts.pages(d->counts.opaque, i), ms);
        r.rate += r.by_vcpu[i];
    }
    return r;
}

MigDirtyRateResult mig_dirty_rate_end(MigDirtyRate *d, int64_t ms)
{
    g_assert(ms > 0);
    MigDirtyRateResult r = { 0 };
    if (d->config.mode != MIG_DIRTY_RATE_PAGE_SAMPLING) {
        d->counts.count(d->counts.opaque, false);
    }
    switch (d->config.mode) {
    case MIG_DIRTY_RATE_PAGE_SAMPLING:
        r = rate_of_samples(d, ms);
        break;
    case MIG_DIRTY_RATE_DIRTY_RING:
        r = rate_of_rings(d, ms);
        break;
    case MIG_DIRTY_RATE_DIRTY_BITMAP:
        r.rate = rate_of_pages(d, d->counts.pages(d->counts.opaque, MIG_ALL_VCPUS), ms);
        break;
    case MIG_DIRTY_RATE_MODES:
        g_assert_not_reached();
    }
    mig_dirty_rate_free(d);
    r.ms = ms;
    return r;
}
