/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a result says of postcopy: pages by cause, the latencies of faults, block times, and, where
 * a migration ended badly after the switchover, what is lost. In QEMU's words where it has them
 * (the destination's query-migrate); everything of ours is in nanoseconds.
 */
#include <string.h>

#include "sim/simulate/result.h"

static void put(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static int compare(gconstpointer a, gconstpointer b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The smallest value that |percent| of |n| sorted ones do not exceed; 0 of none. */
static int64_t percentile(const int64_t *sorted, uint64_t n, unsigned percent)
{
    uint64_t rank = (n * percent + 99) / 100;
    return n ? sorted[rank ? rank - 1 : 0] : 0;
}

static json_object *latency_to_json(const MigBlocktime *b)
{
    json_object *o = json_object_new_object();
    uint64_t n = b->latencies_count;
    g_autofree int64_t *sorted = g_memdup2(b->latencies, n * sizeof(int64_t));
    if (n) {
        qsort(sorted, n, sizeof(int64_t), compare);
    }
    put(o, "count", n);
    put(o, "mean", n ? b->latency_sum / n : 0);
    put(o, "p50", (uint64_t)percentile(sorted, n, 50));
    put(o, "p95", (uint64_t)percentile(sorted, n, 95));
    put(o, "p99", (uint64_t)percentile(sorted, n, 99));
    put(o, "max", (uint64_t)percentile(sorted, n, 100));
    return o;
}

/* Bucket i: from 2^i us, below 2^(i+1). */
static json_object *buckets_to_json(const MigBlocktime *b)
{
    json_object *list = json_object_new_array();
    for (unsigned i = 0; i < MIG_LATENCY_BUCKETS; i++) {
        json_object_array_add(list, json_object_new_uint64(b->buckets[i]));
    }
    return list;
}

static json_object *vcpus_to_json(const MigBlocktime *b)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < b->vcpus; i++) {
        json_object_array_add(list, json_object_new_int64(b->vcpu[i]));
    }
    return list;
}

/* What is left of the guest at the source; g_free(). */
static char *at_source(const MigSimulation *m, const char *what)
{
    uint64_t released = mig_source_postcopy(m->source)->released;
    return released > 0 ? g_strdup_printf("The source has given back %" G_GUINT64_FORMAT
                                          " pages that it had sent (release-ram)",
                                          released)
                        : g_strdup_printf("The source has %s of the switchover", what);
}

char *mig_result_lost(const MigSimulation *m)
{
    bool completed = mig_dest_state(m->dest) == MIG_DEST_COMPLETED;
    if (!m->postcopy || !mig_source_in_postcopy(m->source) || (completed && !m->incoming.died)) {
        return NULL;
    }
    if (m->incoming.died) {
        g_autofree char *left = at_source(m, "the memory");
        return g_strdup_printf("the destination died with the guest: all that it did since the "
                               "switchover is lost. %s; its guest is stopped and was not let run",
                               left);
    }
    if (!m->incoming.ran) {
        g_autofree char *left = at_source(m, "the memory and the devices");
        return g_strdup_printf("nobody runs the guest: the line broke between the package and its "
                               "end. %s",
                               left);
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT
                           " pages are at the source only; the guest waits for "
                           "them at the destination",
                           mig_dest_missing(m->dest));
}

json_object *mig_result_postcopy_source(const MigSource *source)
{
    json_object *o = json_object_new_object();
    const MigPostcopyCounts *c = mig_source_postcopy(source);
    put(o, "requests", c->requests);
    put(o, "requests-stale", c->stale);
    put(o, "pages-requested", c->requested);
    put(o, "pages-background", c->background);
    put(o, "pages-released", c->released);
    put(o, "pages-sent-again", c->resent);
    put(o, "pauses", c->pauses);
    put(o, "package-sent-ns", (uint64_t)c->began);
    return o;
}

json_object *mig_result_postcopy(const MigSimulation *m)
{
    json_object *o = mig_result_postcopy_source(m->source);
    const MigBlocktime *b = mig_dest_blocktime(m->dest);
    const MigPlaced *placed = mig_dest_placed(m->dest);
    g_autofree char *lost = mig_result_lost(m);
    put(o, "pages-discarded", placed->discarded);
    put(o, "pages-by-preempt", placed->preempt);
    put(o, "pages-missing", mig_dest_missing(m->dest));
    put(o, "host-pages-copied", placed->copied);
    put(o, "host-pages-zero", placed->zero);
    put(o, "guest-ran-ns", (uint64_t)m->incoming.ran_at);
    put(o, "complete-ns", (uint64_t)m->incoming.complete_at);
    put(o, "accesses", m->incoming.vcpus.accesses);
    put(o, "faults", b->faults);
    json_object_object_add(o, "fault-latency-ns", latency_to_json(b));
    json_object_object_add(o, "fault-latency-buckets", buckets_to_json(b));
    put(o, "blocktime-ns", (uint64_t)b->total);
    json_object_object_add(o, "vcpu-blocktime-ns", vcpus_to_json(b));
    if (lost) {
        json_object_object_add(o, "lost", json_object_new_string(lost));
    }
    return o;
}

/* The destination's own answers ------------------------------------------------------------ */

static json_object *each_vcpu(const MigBlocktime *b, bool latency)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < b->vcpus; i++) {
        uint64_t mean = b->vcpu_count[i] ? b->vcpu_latency[i] / b->vcpu_count[i] : 0;
        json_object_array_add(list, latency ? json_object_new_uint64(mean)
                                            : json_object_new_int64(b->vcpu[i] / 1000000));
    }
    return list;
}

static void put_latencies(json_object *o, const MigBlocktime *b)
{
    put(o, "postcopy-latency", b->latency_count ? b->latency_sum / b->latency_count : 0);
    json_object_object_add(o, "postcopy-latency-dist", buckets_to_json(b));
    json_object_object_add(o, "postcopy-vcpu-latency", each_vcpu(b, true));
    put(o, "postcopy-non-vcpu-latency", b->other_count ? b->other_latency_sum / b->other_count : 0);
}

json_object *mig_result_query_destination(const MigDest *d, const MigEra *era,
                                          MigCapabilitySet capabilities)
{
    json_object *o = json_object_new_object();
    const MigBlocktime *b = mig_dest_blocktime(d);
    json_object_object_add(o, "status", json_object_new_string(mig_dest_status(d)));
    bool began = mig_dest_incoming(d) >= MIG_INCOMING_LISTENING; /* asked since 10.2 */
    if (capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_BLOCKTIME) && (began || !era->ping_loaded)) {
        put(o, "postcopy-blocktime", (uint64_t)b->total / 1000000);
        json_object_object_add(o, "postcopy-vcpu-blocktime", each_vcpu(b, false));
        if (era->ping_loaded) { /* the latencies came with 10.2, too */
            put_latencies(o, b);
        }
    }
    return o;
}

void mig_result_postcopy_lines(const MigSimulation *m, GString *text)
{
    const MigPostcopyCounts *c = mig_source_postcopy(m->source);
    const MigBlocktime *b = mig_dest_blocktime(m->dest);
    g_autofree int64_t *sorted = g_memdup2(b->latencies, b->latencies_count * sizeof(int64_t));
    g_autofree char *lost = mig_result_lost(m);
    if (!c->began) {
        return;
    }
    if (b->latencies_count) {
        qsort(sorted, b->latencies_count, sizeof(int64_t), compare);
    }
    g_string_append_printf(text,
                           "postcopy     %" G_GUINT64_FORMAT " faults, p50 %" G_GINT64_FORMAT
                           " us, p99 %" G_GINT64_FORMAT " us; %" G_GUINT64_FORMAT
                           " pages requested, %" G_GUINT64_FORMAT
                           " pushed; blocked %" G_GINT64_FORMAT " ms\n",
                           b->faults, percentile(sorted, b->latencies_count, 50) / 1000,
                           percentile(sorted, b->latencies_count, 99) / 1000, c->requested,
                           c->background, b->total / 1000000);
    if (lost) {
        g_string_append_printf(text, "LOST         %s\n", lost);
    }
}
