/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The precopy engine on the virtual clock: source, world and destination in one process.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/dest.h"
#include "sim/engine/outbuf.h"
#include "sim/engine/source.h"
#include "sim/world/virtual.h"
#include "tests/unit/fake-memory.h"

#define MIB (1ull << 20)

typedef struct Setup {
    const char *qemu;
    const char *machine;
    uint64_t pages[FAKE_BLOCKS + 1];
    uint64_t random; /* pages of block 0 that are not zero */
    FakeWriter writer;
    uint64_t bandwidth; /* max-bandwidth */
    uint64_t downtime;  /* downtime-limit; 0: 300 */
    uint64_t no_downtime;
    MigCapabilitySet caps;
    unsigned max_run;
    bool accounting, free_host;
    unsigned channels; /* multifd; 0: without */
    uint64_t link;     /* bit/s */
    int64_t cut_at;
    int64_t cancel_at;
    uint64_t clear_chunk;
    uint64_t other_pages; /* size of the destination's block 0, if another */
} Setup;

typedef struct Run {
    MigClock clock;
    FakeMemory *memory, *copy;
    MigSource *source;
    MigDest *dest;
    MigVirtual *world;
    MigEra era;
    GString *events;
    GArray *windows; /* uint64_t: bytes flushed between two sleeps */
    uint64_t flushed, ops, sleeps;
    MigStats stats;
    char *digest, *bytes_digest;
    bool dest_ok;
    GByteArray *stream;
} Run;

static bool on_bytes(void *opaque, uint32_t channel, const void *data, size_t n, int64_t arrival)
{
    Run *r = opaque;
    g_byte_array_append(r->stream, data, (guint)n);
    return mig_dest_feed(r->dest, data, n);
}

static bool on_end(void *opaque, uint32_t channel)
{
    Run *r = opaque;
    r->dest_ok = mig_dest_end(r->dest);
    return r->dest_ok;
}

static void on_event(void *opaque, int64_t at, const char *name, const char *status, uint64_t pass)
{
    Run *r = opaque;
    if (status) {
        g_string_append_printf(r->events, "%s ", status);
    } else if (pass) {
        g_string_append_printf(r->events, "P%d ", (int)pass);
    } else {
        g_string_append_printf(r->events, "%s ", name);
    }
}

static void on_op(void *opaque, const MigOp *op, const MigOutcome *outcome)
{
    Run *r = opaque;
    r->flushed += outcome->flushed + outcome->multifd_bytes;
    r->ops++;
    if (op->kind == MIG_OP_SLEEP) {
        g_array_append_val(r->windows, r->flushed);
        r->flushed = 0;
        r->sleeps++;
    }
}

static void do_cut(void *opaque, int64_t at)
{
    Run *r = opaque;
    mig_virtual_cut(r->world, "connection reset");
}

static void do_cancel(void *opaque, int64_t at)
{
    Run *r = opaque;
    g_assert_true(mig_source_cancel(r->source));
}

static MigDevices *make_devices(void *opaque)
{
    Run *r = opaque;
    static const uint8_t blob[3000] = { 1, 2, 3 };
    MigDevices *d = mig_devices_new(&r->era, "none", 4096);
    mig_devices_add_timer(d, &r->era, 0, r->clock.now);
    mig_devices_add_opaque(d, "blob", 0, 1, 9, blob, sizeof(blob));
    mig_devices_add_globalstate(d, &r->era, 4, "running");
    mig_devices_finish(d);
    return d;
}

static uint64_t size_of(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal)
{
    return mig_str_equal(idstr, mig_str("blob")) ? 3000 : MIG_BODY_SIZE_UNKNOWN;
}

static void make(Run *r, const Setup *s)
{
    MigVersion version;
    memset(r, 0, sizeof(*r));
    g_assert_true(mig_version_parse(s->qemu, &version));
    g_assert_cmpint(mig_era_resolve(version, s->machine, &r->era), ==, MIG_ERA_OK);
    r->memory = fake_memory_new(&r->clock, s->pages);
    r->memory->writer = s->writer;
    uint64_t pages[FAKE_BLOCKS + 1];
    memcpy(pages, s->pages, sizeof(pages));
    pages[0] = s->other_pages ? s->other_pages : pages[0];
    r->copy = fake_memory_new(&r->clock, pages);
    fake_memory_fill(r->memory, 0, 0, s->random);
    r->events = g_string_new(NULL);
    r->windows = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    r->stream = g_byte_array_new();
    MigSourceConfig source = {
        .era = r->era,
        .machine = s->machine ? s->machine : "none",
        .memory = &r->memory->memory,
        .capabilities = s->caps,
        .parameters = { .max_bandwidth = s->bandwidth,
                        .zero_page_detection = MIG_ZERO_LEGACY,
                        .downtime_limit = s->no_downtime ? 0
                                          : s->downtime  ? s->downtime
                                                         : 300 },
        .guest_running = true,
        .clear_chunk_pages = s->clear_chunk,
        .max_run = s->max_run,
    };
    MigDestConfig dest = {
        .era = r->era,
        .machine = source.machine,
        .memory = &r->copy->memory,
        .capabilities = s->caps,
        .body_size = size_of,
    };
    MigVirtualConfig world = {
        .clock = &r->clock,
        .memory = &r->memory->memory,
        .costs = s->free_host ? mig_costs_free() : mig_costs_default(),
        .receiver = mig_costs_free(),
        .link = { .bandwidth = s->link },
        .guest = { .opaque = r->memory, .run = fake_memory_run },
        .sink = { .opaque = r, .bytes = s->accounting ? NULL : on_bytes, .end = on_end },
        .observer = { .opaque = r, .event = on_event, .op = on_op },
        .devices = make_devices,
        .devices_opaque = r,
    };
    if (s->accounting) {
        world.sink.end = NULL;
    }
    if (s->channels) {
        source.capabilities |= MIG_CAP_BIT(MIG_CAP_MULTIFD);
        source.parameters.multifd_channels = s->channels;
        source.parameters.zero_page_detection =
            r->era.multifd_zero_pages ? MIG_ZERO_MULTIFD : MIG_ZERO_LEGACY;
    }
    r->source = mig_source_new(&source);
    r->dest = mig_dest_new(&dest);
    r->world = mig_virtual_new(&world);
    if (s->cut_at) {
        mig_events_add(mig_virtual_events(r->world), s->cut_at, do_cut, r);
    }
    if (s->cancel_at) {
        mig_events_add(mig_virtual_events(r->world), s->cancel_at, do_cancel, r);
    }
}

static void run(Run *r, const Setup *s)
{
    make(r, s);
    fake_memory_run(r->memory, true);
    MigOutcome outcome = { .now = r->clock.now };
    const MigOp *op;
    while ((op = mig_source_next(r->source, &outcome))->kind != MIG_OP_DONE) {
        outcome = mig_virtual_do(r->world, op);
        g_assert_cmpint(r->clock.now, <, 600 * MIG_NS_PER_S);
    }
    mig_source_query(r->source, r->clock.now, &r->stats);
    r->digest = g_strdup(mig_virtual_events_digest(r->world));
    r->bytes_digest = g_strdup(mig_virtual_bytes_digest(r->world));
}

static void done(Run *r)
{
    mig_source_free(r->source);
    mig_dest_free(r->dest);
    mig_virtual_free(r->world);
    fake_memory_free(r->memory);
    fake_memory_free(r->copy);
    g_string_free(r->events, TRUE);
    g_array_unref(r->windows);
    g_byte_array_unref(r->stream);
    g_free(r->digest);
    g_free(r->bytes_digest);
}

/* state-machine facts, 2.4: bytes per rate-limited window of normal pages. */
static void test_window_bytes(void)
{
    static const struct {
        const char *qemu;
        uint64_t bandwidth, window;
    } rows[] = {
        { "10.0", 100000000, 10112274 }, { "11.1", 100000000, 10112274 },
        { "10.0", 50000000, 5121810 },   { "11.1", 50000000, 5121810 },
        { "10.0", 10000000, 1050642 },   { "11.1", 10000000, 1050642 },
        { "7.2", 100000000, 10001466 },  { "5.2", 100000000, 10001466 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup s = { .qemu = rows[i].qemu,
                    .pages = { rows[i].bandwidth / 6000 },
                    .random = rows[i].bandwidth / 6000,
                    .bandwidth = rows[i].bandwidth,
                    .downtime = 1 };
        Run r;
        run(&r, &s);
        g_assert_cmpuint(r.windows->len, >=, 5);
        /* The first window has the setup in it, and a page with its block's name. */
        for (guint w = 1; w + 1 < r.windows->len; w++) {
            uint64_t bytes = g_array_index(r.windows, uint64_t, w);
            if (bytes != rows[i].window) {
                g_test_message("%s at %" G_GUINT64_FORMAT ", window %u: %" G_GUINT64_FORMAT,
                               rows[i].qemu, rows[i].bandwidth, w, bytes);
            }
            g_assert_cmpuint(bytes, ==, rows[i].window);
        }
        g_assert_true(fake_memory_equal(r.memory, r.copy));
        done(&r);
    }
}

/* The same with multifd: packets of 525632 bytes, two of 1344 at each old sync point, 18 of PART.
 */
static void test_multifd_windows(void)
{
    static const struct {
        const char *qemu;
        unsigned channels;
        uint64_t window;
    } rows[] = {
        { "7.2", 2, 20 * 525632 + 2 * 1344 + 18 }, { "5.2", 2, 20 * 525632 + 2 * 1344 + 18 },
        { "10.0", 2, 22 * 525632 + 18 },           { "10.0", 4, 24 * 525632 + 18 },
        { "11.1", 2, 22 * 525632 + 18 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup s = { .qemu = rows[i].qemu,
                    .channels = rows[i].channels,
                    .pages = { 30000 },
                    .random = 30000,
                    .bandwidth = 100000000,
                    .downtime = 1,
                    .accounting = true };
        Run r;
        run(&r, &s);
        g_assert_cmpstr(r.stats.status, ==, "completed");
        g_assert_cmpuint(r.windows->len, >=, 8);
        for (guint w = 2; w + 1 < r.windows->len; w++) {
            uint64_t bytes = g_array_index(r.windows, uint64_t, w);
            g_test_message("%s, %u channels, window %u: %" G_GUINT64_FORMAT, rows[i].qemu,
                           rows[i].channels, w, bytes);
            g_assert_cmpuint(bytes, ==, rows[i].window);
        }
        done(&r);
    }
}

static void test_event_order(void)
{
    static const struct {
        const char *qemu, *events;
    } rows[] = {
        { "5.2", "setup P1 active STOP P2 completed " },
        { "7.2", "setup P1 active STOP P2 completed " },
        { "10.0", "setup P1 active STOP device P2 completed " },
        { "11.1", "setup active P2 STOP device completed " },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup s = { .qemu = rows[i].qemu, .pages = { 64 }, .random = 10, .bandwidth = 100000000 };
        Run r;
        run(&r, &s);
        g_assert_cmpstr(r.events->str, ==, rows[i].events);
        g_assert_true(r.dest_ok);
        g_assert_cmpstr(mig_dest_run_state(r.dest), ==, "running");
        g_assert_cmpuint(r.stats.ram.normal, ==, 10);
        g_assert_cmpuint(r.stats.ram.duplicate, ==, 54);
        done(&r);
    }
}

/* Every release and both ends of its machine types: the destination takes it, memory is equal. */
static void test_every_version_loads(void)
{
    static const char *const qemus[] = {
        "1.4", "1.7", "2.0", "2.3", "2.5", "2.12", "3.1",  "4.1",
        "5.2", "6.2", "7.2", "8.1", "9.0", "10.0", "10.2", "11.1"
    };
    static const char *const machines[] = { NULL, "pc-1.4", "pc-i440fx-2.1", "pc-i440fx-2.3" };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(machines); k++) {
            MigVersion v;
            MigEra era;
            g_assert_true(mig_version_parse(qemus[i], &v));
            if (mig_era_resolve(v, machines[k], &era) != MIG_ERA_OK) {
                continue;
            }
            Setup s = {
                .qemu = qemus[i],
                .machine = machines[k],
                .pages = { 2000, 300 },
                .random = 1200,
                .writer = { .first = 100, .pages = 500, .interval = 20000, .zero_every = 7 },
                .bandwidth = 20000000
            };
            Run r;
            run(&r, &s);
            if (!r.dest_ok) {
                const MigDiagnosis *e = mig_dest_error(r.dest);
                g_test_message("%s %s: %s at %s, expected %s, found %s", qemus[i], s.machine,
                               mig_fault_name(e->fault), e->path, e->expected, e->found);
            }
            g_assert_true(r.dest_ok);
            g_assert_cmpstr(r.stats.status, ==, "completed");
            g_assert_true(fake_memory_equal(r.memory, r.copy));
            done(&r);
        }
    }
}

/* Runs of pages are priced and counted as pages one by one. */
static void test_runs_equal_pages(void)
{
    GRand *rand = g_rand_new_with_seed(7);
    static const char *const qemus[] = { "5.2", "7.2", "10.0", "11.1" };
    for (int i = 0; i < 40; i++) {
        Setup s = {
            .qemu = qemus[i % 4],
            .pages = { (guint)g_rand_int_range(rand, 65, 5000),
                       (guint)g_rand_int_range(rand, 1, 300) },
            .bandwidth = (guint)g_rand_int_range(rand, 1000000, 60000000),
            .downtime = (guint)g_rand_int_range(rand, 1, 500),
            .link = (guint)g_rand_int_range(rand, 0, 2) ? 400000000 : 0,
            .clear_chunk = g_rand_int_range(rand, 0, 2) ? 128 : 0,
        };
        s.random = (guint)g_rand_int_range(rand, 0, (gint)s.pages[0]);
        s.writer = (FakeWriter){ .first = (guint)g_rand_int_range(rand, 0, 30),
                                 .pages = (guint)g_rand_int_range(rand, 1, 30),
                                 .interval = g_rand_int_range(rand, 5000, 2000000),
                                 .zero_every = (guint)g_rand_int_range(rand, 0, 9) };
        Run by_run, by_page, counted;
        run(&by_run, &s);
        s.max_run = 1;
        run(&by_page, &s);
        s.max_run = 64;
        s.accounting = true;
        run(&counted, &s);
        g_test_message("digests %s %s", by_run.digest, by_run.bytes_digest);
        g_assert_cmpuint(by_page.ops, >=, by_run.ops);
        g_assert_cmpint(by_run.clock.now, ==, by_page.clock.now);
        g_assert_cmpstr(by_run.digest, ==, by_page.digest);
        g_assert_cmpstr(by_run.bytes_digest, ==, by_page.bytes_digest);
        g_assert_cmpstr(by_run.digest, ==, counted.digest);
        g_assert_null(counted.bytes_digest);
        g_assert_true(fake_memory_equal(by_run.memory, by_run.copy));
        done(&by_run);
        done(&by_page);
        done(&counted);
    }
    g_rand_free(rand);
}

/*
 * Runs that were measured on real QEMUs (1 GiB guest, nothing shaped): total time in ms, the number
 * of syncs. The tolerance says how well this host model is expected to do: 2 % of the time, one
 * sync more or less.
 */
static void test_measured_runs(void)
{
    static const struct {
        const char *name, *qemu;
        uint64_t normal, set, rate; /* pages that are not zero; pages written, pages/s */
        uint64_t bandwidth, downtime;
        int64_t total, syncs; /* syncs 0: not measured */
    } rows[] = {
        { "idle", "7.2", 65652, 0, 0, 100000000, 300, 2726, 0 },
        { "idle", "10.0", 65652, 0, 0, 100000000, 300, 2642, 0 },
        { "idle", "11.1", 65652, 0, 0, 100000000, 300, 2648, 0 },
        { "128M-at-40M/s", "7.2", 65652, 32768, 10240, 100000000, 300, 4225, 7 },
        { "128M-at-40M/s", "10.0", 65652, 32768, 10240, 100000000, 300, 4158, 6 },
        { "128M-at-40M/s", "11.1", 65652, 32768, 10240, 100000000, 300, 4117, 5 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup s = { .qemu = rows[i].qemu,
                    .pages = { 262274 },
                    .random = rows[i].normal,
                    .writer = { .first = rows[i].normal - rows[i].set,
                                .pages = rows[i].set,
                                .interval =
                                    rows[i].rate ? (int64_t)(1000000000 / rows[i].rate) : 1 },
                    .bandwidth = rows[i].bandwidth,
                    .downtime = rows[i].downtime,
                    .accounting = true };
        Run r;
        run(&r, &s);
        g_test_message("%s %s: %d ms (%d), %d syncs (%d), downtime %d", rows[i].name, rows[i].qemu,
                       (int)r.stats.total_time, (int)rows[i].total,
                       (int)r.stats.ram.dirty_sync_count, (int)rows[i].syncs,
                       (int)r.stats.downtime);
        g_assert_cmpint(ABS(r.stats.total_time - rows[i].total) * 100, <=, rows[i].total * 2);
        if (rows[i].syncs) {
            g_assert_cmpint(ABS((int64_t)r.stats.ram.dirty_sync_count - rows[i].syncs), <=, 1);
        }
        done(&r);
    }
}

static void test_zero_downtime_limit(void)
{
    /* Facts, rule 42: with limit 0 it completes after the first pass (11.1: wants an exact 0). */
    Setup s = { .qemu = "10.0",
                .pages = { 8192 },
                .random = 8192,
                .writer = { .pages = 4096, .interval = 200000 },
                .bandwidth = 50000000,
                .no_downtime = 1,
                .accounting = true };
    Run r;
    run(&r, &s);
    g_assert_cmpuint(r.stats.ram.dirty_sync_count, ==, 2);
    done(&r);
    s.qemu = "11.1";
    run(&r, &s);
    g_assert_cmpuint(r.stats.ram.dirty_sync_count, >, 2);
    done(&r);
}

static void test_return_path(void)
{
    Setup s = { .qemu = "10.0",
                .pages = { 64 },
                .random = 10,
                .bandwidth = 100000000,
                .caps = MIG_CAP_BIT(MIG_CAP_RETURN_PATH) };
    Run r;
    run(&r, &s);
    g_assert_cmpstr(r.stats.status, ==, "completed");
    g_assert_true(mig_dest_counts(r.dest)->return_path);
    g_assert_cmpuint(mig_dest_counts(r.dest)->pings, ==, 1);
    done(&r);
    s.other_pages = 65;
    run(&r, &s);
    g_assert_cmpstr(r.stats.status, ==, "failed");
    g_assert_cmpstr(r.stats.error_desc, ==, "Sibling indicated error 1");
    g_assert_true(r.memory->running);
    g_assert_nonnull(strstr(mig_dest_error(r.dest)->expected, "size of block ram"));
    done(&r);
}

static void test_cut_and_cancel(void)
{
    static const struct {
        const char *qemu;
        bool cut;
        int64_t at;
        const char *tail;
    } rows[] = {
        { "10.0", true, 250 * MIG_NS_PER_MS, "active failed " },
        { "11.1", true, 250 * MIG_NS_PER_MS, "active failing failed " },
        { "10.0", false, 250 * MIG_NS_PER_MS, "active cancelled " },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup s = { .qemu = rows[i].qemu,
                    .pages = { 16384 },
                    .random = 16384,
                    .bandwidth = 100000000,
                    .cut_at = rows[i].cut ? rows[i].at : 0,
                    .cancel_at = rows[i].cut ? 0 : rows[i].at };
        Run r;
        run(&r, &s);
        g_assert_true(g_str_has_suffix(r.events->str, rows[i].tail));
        g_assert_true(r.memory->running);
        g_assert_false(r.dest_ok);
        g_assert_cmpint(r.clock.now, <=, rows[i].at + 110 * MIG_NS_PER_MS);
        done(&r);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/engine/window/exact-bytes", test_window_bytes);
    g_test_add_func("/engine/window/multifd", test_multifd_windows);
    g_test_add_func("/engine/events/order-by-version", test_event_order);
    g_test_add_func("/engine/versions/destination-equals-source", test_every_version_loads);
    g_test_add_func("/engine/runs/equal-page-at-a-time-and-accounting", test_runs_equal_pages);
    g_test_add_func("/engine/measured/time-and-syncs", test_measured_runs);
    g_test_add_func("/engine/threshold/zero-downtime-limit", test_zero_downtime_limit);
    g_test_add_func("/engine/return-path/verdict", test_return_path);
    g_test_add_func("/engine/failure/cut-and-cancel", test_cut_and_cancel);
    return g_test_run();
}
