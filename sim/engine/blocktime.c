/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block times, see blocktime.h. Model: the total counts while every vCPU waits, that is from the
 * fault of the last one that was running to the first page that arrives.
 *
 * Limits. Waits are kept in a list that is searched from end to end: there are about as many as
 * vCPUs.
 */
#include "sim/engine/blocktime.h"

#include <glib.h>

typedef struct Wait {
    uint32_t block, vcpu;
    uint64_t page;
    int64_t since;
} Wait;

struct MigBlocktimes {
    MigBlocktime result;
    GArray *waits;     /* Wait */
    GArray *latencies; /* int64_t */
    int64_t *vcpu;
    uint64_t *vcpu_count, *vcpu_latency;
    uint32_t down;     /* vCPUs that wait */
    int64_t all_since; /* ns, when the last of them began to */
};

MigBlocktimes *mig_blocktimes_new(uint32_t vcpus)
{
    MigBlocktimes *b = g_new0(MigBlocktimes, 1);
    b->waits = g_array_new(FALSE, FALSE, sizeof(Wait));
    b->latencies = g_array_new(FALSE, FALSE, sizeof(int64_t));
    b->vcpu = g_new0(int64_t, vcpus + 1);
    b->vcpu_count = g_new0(uint64_t, vcpus + 1);
    b->vcpu_latency = g_new0(uint64_t, vcpus + 1);
    b->result.vcpus = vcpus;
    b->result.vcpu = b->vcpu;
    b->result.vcpu_count = b->vcpu_count;
    b->result.vcpu_latency = b->vcpu_latency;
    return b;
}

void mig_blocktimes_free(MigBlocktimes *b)
{
    if (b) {
        g_array_unref(b->waits);
        g_array_unref(b->latencies);
        g_free(b->vcpu);
        g_free(b->vcpu_count);
        g_free(b->vcpu_latency);
        g_free(b);
    }
}

void mig_blocktimes_begin(MigBlocktimes *b, uint32_t block, uint64_t page, uint32_t vcpu,
                          int64_t now)
{
    Wait w = { .block = block, .vcpu = vcpu, .page = page, .since = now };
    g_array_append_val(b->waits, w);
    b->result.faults++;
    if (vcpu < b->result.vcpus) {
        b->result.vcpu_faults++;
        b->down++;
        b->all_since = now;
    }
}

uint32_t mig_latency_bucket(int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
    uint32_t bucket = us ? 63 - (uint32_t)__builtin_clzll(us) : 0;
    return MIN(bucket, MIG_LATENCY_BUCKETS - 1);
}

static void end_wait(MigBlocktimes *b, const Wait *w, int64_t now)
{
    MigBlocktime *r = &b->result;
    int64_t ns = now - w->since;
    g_array_append_val(b->latencies, ns);
    r->buckets[mig_latency_bucket(ns)]++;
    r->latency_count++;
    r->latency_sum += (uint64_t)ns;
    if (w->vcpu >= r->vcpus) {
        r->other_count++;
        r->other_latency_sum += (uint64_t)ns;
        return;
    }
    r->vcpu_latency_sum += (uint64_t)ns;
    b->vcpu[w->vcpu] += ns;
    b->vcpu_count[w->vcpu]++;
    b->vcpu_latency[w->vcpu] += (uint64_t)ns;
}

uint32_t mig_blocktimes_end(MigBlocktimes *b, uint32_t block, uint64_t first, uint64_t count,
                            int64_t now)
{
    uint32_t ended = 0, released = 0;
    for (guint i = 0; i < b->waits->len;) {
        Wait w = g_array_index(b->waits, Wait, i);
        if (w.block != block || w.page < first || w.page - first >= count) {
            i++;
            continue;
        }
        end_wait(b, &w, now);
        g_array_remove_index(b->waits, i);
        released += w.vcpu < b->result.vcpus;
        ended++;
    }
    if (released > 0 && b->down == b->result.vcpus) {
        b->result.total += now - b->all_since;
    }
    b->down -= released;
    return ended;
}

MigBlocktime *mig_blocktimes(MigBlocktimes *b)
{
    b->result.latencies = (const int64_t *)(const void *)b->latencies->data;
    b->result.latencies_count = b->latencies->len;
    return &b->result;
}
