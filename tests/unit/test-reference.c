/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random scenarios, three ways: with bytes and a destination, in accounting mode, and through the
 * plain simulator of reference.h, which shares no rule with either. Times are compared to the
 * nanosecond. Scenarios that it doesn't know (codecs, channels) are compared between the modes.
 * MIGBENCH_SEEDS says how many (10000 is the promise; the default keeps CI short).
 */
#include <glib.h>

#include "sim/world/prng.h"
#include "tests/unit/counts.h"
#include "tests/unit/reference.h"
#include "tests/unit/simulated.h"

#define SEEDS 300

static const char *const versions[] = {
    "1.4", "1.5", "1.6", "2.0", "2.3", "2.4", "2.5", "2.9", "2.12", "3.0",  "4.0",  "4.1",  "4.2",
    "5.0", "5.2", "6.0", "7.2", "8.0", "8.1", "8.2", "9.0", "9.2",  "10.0", "10.2", "11.0", "11.1",
};

static unsigned below(MigPrng *p, unsigned n)
{
    return (unsigned)mig_prng_below(p, n);
}

static const char *one_of(MigPrng *p, const char *const *list, unsigned n)
{
    return list[below(p, n)];
}

#define ONE_OF(p, ...)                              \
    one_of(p, (const char *const[]){ __VA_ARGS__ }, \
           G_N_ELEMENTS(((const char *const[]){ __VA_ARGS__ })))

static void add_workload(GString *text, MigPrng *p, const char *block, unsigned pages)
{
    unsigned length = 1 + below(p, pages), first = below(p, pages - length + 1);
    g_string_append_printf(
        text,
        "%s{\"block\":\"%s\",\"offset\":%u,\"length\":%u,\"pattern\":\"%s\",\"rate\":%u,"
        "\"pace\":\"%s\",\"catch-up\":\"%ums\",\"write-cost\":\"%uns\",\"write\":\"%s\"}",
        text->str[text->len - 1] == '}' ? "," : "", block, first * 4096, length * 4096,
        ONE_OF(p, "random", "sequential"), 1 + below(p, below(p, 2) ? 500 : 20000),
        ONE_OF(p, "clock", "cpu"), below(p, 100), below(p, 200000),
        ONE_OF(p, "counter", "page", "zero"));
}

static void add_block(GString *text, MigPrng *p, const char *name, unsigned pages)
{
    unsigned length = 1 + below(p, pages), first = below(p, pages - length + 1);
    g_string_append_printf(
        text,
        "%s{\"name\":\"%s\",\"size\":%u,\"content\":[{\"offset\":%u,\"length\":%u,"
        "\"kind\":\"random\",\"zeros\":%s}]}",
        text->str[text->len - 1] == '}' ? "," : "", name, pages * 4096, first * 4096, length * 4096,
        ONE_OF(p, "0", "50", "7", "93"));
}

static void add_guest(GString *text, MigPrng *p)
{
    static const char *const names[] = { "ram", "a-block-with-a-longer-name" };
    unsigned pages[2] = { 1 + below(p, 1500), 1 + below(p, 300) }, blocks = 1 + below(p, 2);
    g_string_append_printf(text,
                           "\"guest\":{\"machine\":\"none\",\"dirty-tracking\":\"%s\",\"ram\":[",
                           ONE_OF(p, "tcg", "kvm-log", "kvm-manual-clear"));
    for (unsigned i = 0; i < blocks; i++) {
        add_block(text, p, names[i], pages[i]);
    }
    g_string_append(text, "],\"workload\":[");
    for (unsigned n = below(p, 4); n > 0; n--) {
        unsigned i = below(p, blocks);
        add_workload(text, p, names[i], pages[i]);
    }
    g_string_append(text, "]},");
}

static void add_surroundings(GString *text, MigPrng *p)
{
    g_string_append_printf(
        text,
        "\"link\":{\"bandwidth\":\"%uMbit/s\",\"latency\":\"%uus\",\"framing\":\"%s\","
        "\"send-buffer\":%u,\"receive-buffer\":%u},"
        "\"host\":{\"normal_page\":%u,\"zero_page\":%u,\"sync_base\":%u,\"clear_chunk\":%u},"
        "\"destination-host\":{\"receive_page\":%u,\"first_touch\":%u,\"receive_zero\":%u},",
        1 + below(p, below(p, 2) ? 30 : 2000), below(p, 3000), ONE_OF(p, "none", "ethernet-tcp"),
        4096 + below(p, 200000), 4096 + below(p, 200000), below(p, 9000000), below(p, 900000),
        below(p, 900000), below(p, 90000), below(p, 9000000), below(p, 900000), below(p, 900000));
    g_string_append_printf(
        text, "\"parameters\":{\"max-bandwidth\":%u,\"downtime-limit\":%u},\"limit\":\"%ums\"}",
        below(p, 4) ? 100000 + below(p, 9000000) : 0, 1 + below(p, 300), 200 + below(p, 6000));
}

/* |codecs|: with what the reference doesn't know. */
static char *scenario(unsigned seed, bool codecs)
{
    MigPrng p = mig_prng(seed, "reference", codecs);
    const char *qemu = one_of(&p, versions, G_N_ELEMENTS(versions));
    MigVersion v = 0;
    g_assert_true(mig_version_parse(qemu, &v));
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "{\"schema\":\"migbench-scenario-1\",\"qemu\":\"%s\",\"seed\":%u,",
                           qemu, seed);
    bool converges = below(&p, 2) && v >= MIG_VERSION_OF(1, 6);
    bool postcopy = below(&p, 3) == 0 && v >= MIG_VERSION_OF(2, 6) && !codecs;
    bool returns = below(&p, 2) && v >= MIG_VERSION_OF(4, 0);
    bool xbzrle = codecs && (v < MIG_VERSION_OF(4, 0) || below(&p, 2));
    g_string_append_printf(
        text, "\"capabilities\":{%s%s%s%s", converges ? "\"auto-converge\":true," : "",
        postcopy ? "\"postcopy-ram\":true," : "", returns ? "\"return-path\":true," : "",
        xbzrle   ? "\"xbzrle\":true,"
        : codecs ? "\"multifd\":true,"
                 : "");
    g_string_truncate(text, text->len - (text->str[text->len - 1] == ','));
    g_string_append(text, "},");
    add_guest(text, &p);
    add_surroundings(text, &p);
    return g_string_free(text, FALSE);
}

static bool count(void *opaque, const void *data, size_t n, GError **error)
{
    (void)data, (void)error;
    *(uint64_t *)opaque += n;
    return true;
}

/* Bytes behind RAM's END section: what an idle and empty guest of that QEMU sends, less its RAM. */
static uint64_t tail_of(const MigScenario *s)
{
    static const char *const idle =
        "{\"schema\":\"migbench-scenario-1\",\"qemu\":\"%s\",\"guest\":{\"machine\":\"none\","
        "\"ram\":[{\"name\":\"ram\",\"size\":4096,\"content\":[{\"kind\":\"random\"}]}]},"
        "\"link\":{\"bandwidth\":\"1Gbit/s\",\"send-buffer\":1000000,"
        "\"receive-buffer\":1000000}}";
    uint64_t bytes = 0;
    MigSimulateOptions options = { .stream = count, .opaque = &bytes };
    g_autofree char *text = g_strdup_printf(idle, s->qemu);
    g_auto(Simulated) one = simulated_run(&options, "%s", text);
    Reference r;
    reference_run(one.scenario, mig_source_parameters(one.m->source), 0, &r);
    g_array_unref(r.passes);
    return bytes - r.queued;
}

static void compare(const Simulated *a, const Reference *r)
{
    size_t passes;
    const MigPass *p = mig_source_passes(a->m->source, &passes);
    for (size_t i = 0; i < MIN(passes, r->passes->len); i++) {
        const ReferencePass *q = &g_array_index(r->passes, ReferencePass, i);
        g_assert_cmpint(p[i].at, ==, q->at);
        g_assert_cmpuint(p[i].sync, ==, q->sync);
        g_assert_cmpuint(p[i].dirty_pages, ==, q->dirty_pages);
        g_assert_cmpuint(p[i].remaining, ==, q->remaining);
        g_assert_cmpuint(p[i].transferred, ==, q->transferred);
        g_assert_cmpuint(p[i].throttle, ==, q->throttle);
    }
    g_assert_cmpuint(passes, ==, r->passes->len);
    g_assert_cmpint(a->m->outcome != NULL, ==, r->limit);
    g_assert_cmpint(a->m->now, ==, r->now);
    g_assert_cmpuint(a->stats.ram.normal, ==, r->normal);
    g_assert_cmpuint(a->stats.ram.duplicate, ==, r->duplicate);
    g_assert_cmpuint(a->stats.ram.dirty_sync_count, ==, r->syncs);
    g_assert_cmpuint(a->stats.ram.transferred, ==, r->transferred);
    if (!r->limit) {
        g_assert_cmpint(a->stats.total_time, ==, r->total);
        g_assert_cmpint(a->stats.downtime, ==, r->downtime);
    }
}

static void compare_modes(const Simulated *a, const Simulated *b)
{
    g_assert_cmpstr(a->m->outcome, ==, b->m->outcome);
    g_assert_cmpstr(a->stats.status, ==, b->stats.status);
    g_assert_cmpint(a->m->now, ==, b->m->now);
    g_assert_cmpuint(a->stats.ram.normal, ==, b->stats.ram.normal);
    g_assert_cmpuint(a->stats.ram.duplicate, ==, b->stats.ram.duplicate);
    g_assert_cmpuint(a->stats.ram.transferred, ==, b->stats.ram.transferred);
    g_assert_cmpuint(a->m->guest_stats.written, ==, b->m->guest_stats.written);
    g_assert_cmpuint(a->m->guest_stats.touched, ==, b->m->guest_stats.touched);
    g_assert_cmpstr(a->m->events_digest, ==, b->m->events_digest);
}

/* One scenario; |r| NULL: without the reference. */
static void run_one(unsigned seed, bool codecs, unsigned *ended)
{
    static const MigSimulateOptions accounting = { .accounting = true };
    g_autofree char *text = scenario(seed, codecs);
    g_test_message("seed %u: %s", seed, text);
    g_auto(Simulated) a = simulated_run(&accounting, "%s", text);
    g_auto(Simulated) b = simulated_run(NULL, "%s", text);
    compare_modes(&a, &b);
    ended[a.m->outcome != NULL]++;
    if (!codecs) {
        Reference r;
        reference_run(a.scenario, mig_source_parameters(a.m->source), tail_of(a.scenario), &r);
        compare(&a, &r);
        g_array_unref(r.passes);
    }
}

static void run_many(bool codecs, unsigned seeds)
{
    unsigned ended[2] = { 0 };
    for (unsigned seed = 1; seed <= seeds; seed++) {
        run_one(seed, codecs, ended);
    }
    g_test_message("%u completed, %u met the limit", ended[0], ended[1]);
    g_assert_cmpuint(ended[0], >, seeds / 4); /* else too little is compared */
}

static void test_plain(void)
{
    run_many(false, (unsigned)mig_test_count("MIGBENCH_SEEDS", SEEDS));
}

static void test_codecs(void)
{
    run_many(true, (unsigned)mig_test_count("MIGBENCH_SEEDS", SEEDS) / 5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/reference/plain", test_plain);
    g_test_add_func("/reference/codecs", test_codecs);
    return g_test_run();
}
