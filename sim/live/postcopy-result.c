/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a live destination's postcopy, for a result. */
#include "sim/live/postcopy-internal.h"

static void put(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static json_object *latencies_to_json(const MigBlocktime *b)
{
    static const struct {
        const char *name;
        unsigned percent;
    } marks[] = { { "p50", 50 }, { "p90", 90 }, { "p95", 95 }, { "p99", 99 }, { "max", 100 } };
    json_object *o = json_object_new_object(), *buckets = json_object_new_array();
    uint64_t n = b->latencies_count;
    g_autofree int64_t *sorted = n ? g_memdup2(b->latencies, n * sizeof(*sorted)) : NULL;
    if (n > 0) {
        qsort(sorted, n, sizeof(*sorted), compare);
    }
    put(o, "count", n);
    put(o, "mean", n ? b->latency_sum / n : 0);
    for (size_t i = 0; n > 0 && i < G_N_ELEMENTS(marks); i++) {
        put(o, marks[i].name, (uint64_t)sorted[(n - 1) * marks[i].percent / 100]);
    }
    for (size_t i = 0; i < MIG_LATENCY_BUCKETS; i++) {
        json_object_array_add(buckets, json_object_new_uint64(b->buckets[i]));
    }
    json_object_object_add(o, "buckets", buckets);
    return o;
}

static json_object *guest_to_json(const MigLivePostcopy *p)
{
    const MigLiveGuestReport *r = mig_live_guest_report(p->guest);
    json_object *o = json_object_new_object();
    json_object_object_add(o, "ran", json_object_new_boolean(r->ran));
    put(o, "touches", r->touches.touches);
    put(o, "touched-pages", r->touches.pages);
    put(o, "wrong", r->wrong + r->touches.wrong);
    put(o, "checksum", r->touches.checksum);
    put(o, "first-touch-ns", (uint64_t)r->touches.waited);
    put(o, "longest-touch-ns", (uint64_t)r->touches.longest);
    return o;
}

json_object *mig_live_postcopy_to_json(const MigLivePostcopy *p)
{
    const MigBlocktime *b = mig_dest_blocktime(p->load->dest);
    const MigPlaced *placed = mig_dest_placed(p->load->dest);
    json_object *o = json_object_new_object(), *vcpus = json_object_new_array();
    put(o, "faults", b->faults);
    put(o, "requests", b->requests);
    put(o, "repeats", b->repeats);
    put(o, "blocktime-ns", (uint64_t)b->total);
    for (uint32_t i = 0; i < b->vcpus; i++) {
        json_object_array_add(vcpus, json_object_new_int64(b->vcpu[i]));
    }
    json_object_object_add(o, "vcpu-blocktime-ns", vcpus);
    json_object_object_add(o, "latency-ns", latencies_to_json(b));
    put(o, "placed-zero", placed->zero);
    put(o, "placed-copied", placed->copied);
    put(o, "preempt-pages", placed->preempt);
    put(o, "preempt-bytes", p->preempt_bytes);
    put(o, "discarded-pages", placed->discarded);
    put(o, "dropped-pages", placed->dropped);
    put(o, "pauses", p->pauses);
    json_object_object_add(o, "guest", guest_to_json(p));
    return o;
}
