/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random scenarios (reference-scenario.h), four ways: with bytes and a destination, in accounting
 * mode, in that a page at a time, and through the plain simulator of reference.h, which shares no
 * rule of a migration with any of them. Times are compared to the nanosecond. What the plain one
 * doesn't know is compared between the modes. MIGBENCH_SEEDS says how many scenarios (10000 is the
 * promise; the default keeps CI short), MIGBENCH_FIRST_SEED the first; a table in the end says how
 * often each capability was compared.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/capabilities.h"
#include "tests/unit/counts.h"
#include "tests/unit/reference-scenario.h"
#include "tests/unit/reference.h"
#include "tests/unit/simulated.h"

#define SEEDS  80
#define ENOUGH 5 /* wrong scenarios; then it ends */

static bool keep(void *opaque, const void *data, size_t n, GError **error)
{
    (void)error;
    g_byte_array_append(opaque, data, (guint)n);
    return true;
}

/* Of the description of the devices, which stands at the end, with its head; 0: there is none. */
static uint64_t description_of(const GByteArray *stream)
{
    for (guint at = 0; at + 5 < stream->len; at++) {
        const uint8_t *b = stream->data + at;
        uint32_t n = (uint32_t)b[1] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 8 | b[4];
        if (b[0] == 6 && b[5] == '{' && n == stream->len - at - 5) {
            return n + 5;
        }
    }
    return 0;
}

/* What an idle and empty guest of that QEMU sends, less its RAM. */
static ReferenceDevices devices_of(const MigScenario *s)
{
    static const char *const idle =
        "{\"schema\":\"migbench-scenario-1\",\"qemu\":\"%s\",\"guest\":{\"machine\":\"none\","
        "\"ram\":[{\"name\":\"ram\",\"size\":4096,\"content\":[{\"kind\":\"random\"}]}]},"
        "\"link\":{\"bandwidth\":\"1Gbit/s\",\"send-buffer\":1000000,"
        "\"receive-buffer\":1000000}}";
    g_autoptr(GByteArray) stream = g_byte_array_new();
    MigSimulateOptions options = { .stream = keep, .opaque = stream };
    g_autofree char *text = g_strdup_printf(idle, s->qemu);
    g_auto(Simulated) one = simulated_run(&options, "%s", text);
    const ReferenceDevices none = { 0 };
    Reference r;
    reference_run(one.scenario, mig_source_parameters(one.m->source), &none, &r);
    g_array_unref(r.passes);
    uint64_t tail = stream->len - r.queued;
    return (ReferenceDevices){ tail, tail - 1 - description_of(stream) };
}

/* Scenarios in which each capability was on, and what else was there. */
typedef struct Tally {
    unsigned seed;
    unsigned completed, limited, wrong;
    unsigned throttled, limited_vcpus, varying, switched;
    unsigned by_capability[MIG_CAP_COUNT];
    uint64_t deltas, requests;
    bool differs; /* this one */
} Tally;

static void same(Tally *t, const char *what, int64_t one, int64_t other)
{
    if (one != other) {
        g_test_message("seed %u: %s: %" G_GINT64_FORMAT ", but %" G_GINT64_FORMAT, t->seed, what,
                       one, other);
        t->differs = true;
    }
}

static void compare_pass(Tally *t, const MigPass *p, const ReferencePass *q)
{
    same(t, "pass, ns", p->at, q->at);
    same(t, "pass, sync", (int64_t)p->sync, (int64_t)q->sync);
    same(t, "pass, dirty pages", (int64_t)p->dirty_pages, (int64_t)q->dirty_pages);
    same(t, "pass, remaining", (int64_t)p->remaining, (int64_t)q->remaining);
    same(t, "pass, transferred", (int64_t)p->transferred, (int64_t)q->transferred);
    same(t, "pass, throttle", p->throttle, q->throttle);
}

/* With what the plain simulator found. */
static void compare(Tally *t, const Simulated *a, const Reference *r)
{
    const MigRamStats *ram = &a->stats.ram;
    size_t passes;
    const MigPass *p = mig_source_passes(a->m->source, &passes);
    for (size_t i = 0; i < MIN(passes, r->passes->len) && !t->differs; i++) {
        compare_pass(t, &p[i], &g_array_index(r->passes, ReferencePass, i));
    }
    same(t, "passes", (int64_t)passes, r->passes->len);
    same(t, "limit", a->m->outcome != NULL, r->limit);
    same(t, "end, ns", a->m->now, r->now);
    same(t, "normal", (int64_t)ram->normal, (int64_t)r->normal);
    same(t, "duplicate", (int64_t)ram->duplicate, (int64_t)r->duplicate);
    same(t, "dirty-sync-count", (int64_t)ram->dirty_sync_count, (int64_t)r->syncs);
    same(t, "transferred", (int64_t)ram->transferred, (int64_t)r->transferred);
    if (!r->limit) {
        same(t, "completed", strcmp(a->stats.status, "completed"), 0);
        same(t, "total-time", a->stats.total_time, r->total);
        same(t, "downtime", a->stats.downtime, r->downtime);
    }
    same(t, "limited, ns", a->m->guest_stats.limited, r->limited);
    same(t, "postcopy-requests", (int64_t)ram->postcopy_requests, (int64_t)r->requests);
    same(t, "guest ran, ns", a->m->incoming.ran_at, r->ran_at);
    same(t, "memory complete, ns", a->m->incoming.complete_at, r->complete_at);
    same(t, "faults", (int64_t)a->m->incoming.vcpus.faults, (int64_t)r->faults);
}

static void compare_modes(Tally *t, const char *mode, const Simulated *a, const Simulated *b)
{
    const MigRamStats *one = &a->stats.ram, *other = &b->stats.ram;
    bool differed = t->differs;
    same(t, "outcome", 0, g_strcmp0(a->m->outcome, b->m->outcome));
    same(t, "status", 0, strcmp(a->stats.status, b->stats.status));
    same(t, "end, ns", a->m->now, b->m->now);
    same(t, "normal", (int64_t)one->normal, (int64_t)other->normal);
    same(t, "duplicate", (int64_t)one->duplicate, (int64_t)other->duplicate);
    same(t, "transferred", (int64_t)one->transferred, (int64_t)other->transferred);
    same(t, "written", (int64_t)a->m->guest_stats.written, (int64_t)b->m->guest_stats.written);
    same(t, "touched", (int64_t)a->m->guest_stats.touched, (int64_t)b->m->guest_stats.touched);
    same(t, "events", 0, strcmp(a->m->events_digest, b->m->events_digest));
    if (t->differs && !differed) {
        g_test_message("seed %u: so accounting differs from %s", t->seed, mode);
    }
}

static void compare_reference(Tally *t, const Simulated *a)
{
    Reference r;
    ReferenceDevices devices = devices_of(a->scenario);
    reference_run(a->scenario, mig_source_parameters(a->m->source), &devices, &r);
    compare(t, a, &r);
    g_array_unref(r.passes);
}

static bool is_throttled(const MigSource *source)
{
    size_t passes;
    const MigPass *p = mig_source_passes(source, &passes);
    return passes > 0 && p[passes - 1].throttle > 0;
}

/* One scenario; |known|: also through the plain simulator. */
static void run_one(Tally *t, bool known)
{
    static const MigSimulateOptions accounting = { .accounting = true };
    static const MigSimulateOptions one_by_one = { .accounting = true, .max_run = 1 };
    g_autofree char *text = reference_scenario(t->seed, known);
    g_auto(Simulated) a = simulated_run(&accounting, "%s", text);
    g_auto(Simulated) b = simulated_run(NULL, "%s", text);
    g_auto(Simulated) c = simulated_run(&one_by_one, "%s", text);
    const MigLinkConfig *link = &a.scenario->link;
    t->differs = false;
    compare_modes(t, "byte mode", &a, &b);
    compare_modes(t, "accounting a page at a time", &a, &c);
    known ? compare_reference(t, &a) : (void)0;
    *(a.m->outcome ? &t->limited : &t->completed) += 1;
    t->deltas += a.stats.xbzrle.pages - a.stats.xbzrle.overflow;
    t->throttled += is_throttled(a.m->source);
    t->limited_vcpus += a.m->guest_stats.limited > 0;
    t->switched += a.m->incoming.ran;
    t->requests += a.stats.ram.postcopy_requests;
    t->varying += link->trace.count || link->background.load.count || link->bucket.rate;
    for (MigCapability cap = 0; cap < MIG_CAP_COUNT; cap++) {
        t->by_capability[cap] += a.scenario->capabilities >> cap & 1;
    }
    if (t->differs) {
        t->wrong++;
        g_test_message("seed %u: %s", t->seed, text);
        g_test_fail();
    }
}

static void tell(const Tally *t, bool known, unsigned seeds)
{
    g_test_message("%u scenarios %s: %u completed, %u met the limit", seeds,
                   known ? "through the plain simulator, too" : "mode against mode", t->completed,
                   t->limited);
    g_test_message("%u with a link that varies; %u throttled the guest, %u had vCPUs sleep for a "
                   "limit, %u went on in postcopy",
                   t->varying, t->throttled, t->limited_vcpus, t->switched);
    g_test_message("%" G_GUINT64_FORMAT " XBZRLE deltas, %" G_GUINT64_FORMAT " pages requested",
                   t->deltas, t->requests);
    for (MigCapability cap = 0; cap < MIG_CAP_COUNT; cap++) {
        if (t->by_capability[cap]) {
            g_test_message("%6u %s", t->by_capability[cap], mig_capability_name(cap));
        }
    }
}

static void run_many(bool known, unsigned seeds)
{
    unsigned first = (unsigned)mig_test_count("MIGBENCH_FIRST_SEED", 1);
    Tally t = { 0 };
    for (unsigned i = 0; i < seeds && t.wrong < ENOUGH; i++) {
        t.seed = first + i;
        run_one(&t, known);
    }
    tell(&t, known, seeds);
    if (t.wrong == 0 && seeds >= SEEDS / 5) { /* else too little is compared */
        g_assert_cmpuint(t.completed, >, seeds / 4);
        g_assert_true(!known || seeds < SEEDS || (t.deltas > 0 && t.throttled > 0));
    }
}

static void test_known(void)
{
    run_many(true, (unsigned)mig_test_count("MIGBENCH_SEEDS", SEEDS));
}

static void test_modes(void)
{
    run_many(false, (unsigned)mig_test_count("MIGBENCH_SEEDS", SEEDS) / 5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/reference/plain", test_known);
    g_test_add_func("/reference/modes", test_modes);
    return g_test_run();
}
