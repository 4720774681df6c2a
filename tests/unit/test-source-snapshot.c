/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Background snapshots in whole migrations: what arrives is the memory of one instant, whatever the
 * guest writes while it is saved; every page once; nobody waits for longer than a page takes.
 */
#include <string.h>
#include <unistd.h>

#include "sim/scenario/from-manifest.h"
#include "sim/world/stream-reader.h"
#include "tests/unit/simulated.h"
#include "tests/unit/traces.h"

#define SCENARIO                                                                               \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": %u, \"guest\": "        \
    "{\"vcpus\": %u, \"ram\": [{\"name\": \"a\", \"size\": \"16M\", \"content\": "             \
    "[{\"length\": \"12M\", \"kind\": \"random\"}]}, {\"name\": \"b\", \"size\": \"4M\"}], "   \
    "\"workload\": [{\"block\": \"a\", \"pattern\": \"random\", \"rate\": %u, \"write\": "     \
    "\"page\"}, {\"block\": \"b\", \"pattern\": \"random\", \"rate\": %u, \"write\": "         \
    "\"counter\"}, {\"block\": \"a\", \"length\": \"2M\", \"pattern\": \"random\", \"rate\": " \
    "%u, \"write\": \"zero\"}]}, \"link\": {\"bandwidth\": \"400Mbit/s\", \"send-buffer\": "   \
    "\"64k\"}, \"capabilities\": {\"background-snapshot\": true}, \"parameters\": "            \
    "{\"max-bandwidth\": 1000000}, \"limit\": \"60s\"}"

#define PAGES (4096u + 1024u)

static const char *const qemus[] = { "6.0", "7.2", "10.0", "11.1" };

static unsigned count_events(const Simulated *s, const char *name, const char *status)
{
    unsigned count = 0;
    for (guint i = 0; i < s->m->events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(s->m->events, MigSimulationEvent, i);
        count += strcmp(e->name, name) == 0 && (!status || g_strcmp0(e->status, status) == 0);
    }
    return count;
}

static void test_instant(void)
{
    for (unsigned k = 0; k < G_N_ELEMENTS(qemus) * 4; k++) {
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, qemus[k % 4], k, k / 4 % 2 ? 3u : 1u,
                                            2000u, k / 8 ? 5000u : 100u, 300u);
        simulated_expect_fine(&s);
        g_assert_cmpuint(s.stats.ram.normal + s.stats.ram.duplicate, ==, PAGES);
        g_assert_cmpuint(s.m->guest_stats.faults, >, 0);
        g_assert_cmpuint(s.m->guest_stats.written, >, s.m->guest_stats.faults);
        g_assert_true(mig_guest_running(s.m->guest));
        /* The guest has changed since: it is not what was compared. */
        MigMemoryDifference d;
        g_assert_false(
            mig_memory_equal(mig_guest_memory(s.m->guest), mig_buffer_memory(s.m->memory), &d));
    }
}

/* No rate limit, no device, no sync that is told of; the downtime is the short stop. */
static void test_statistics(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, qemus[i], 1u, 1u, 2000u, 100u, 0u);
        bool counts = strcmp(qemus[i], "11.1") == 0;
        g_assert_cmpuint(s.stats.ram.dirty_sync_count, ==, counts);
        g_assert_cmpint(s.stats.downtime, <, 10);
        g_assert_cmpint(s.stats.total_time, <, 1000); /* 12 MiB at 1 MB/s would take longer */
        g_assert_cmpuint(count_events(&s, "MIGRATION", "device"), ==, 0);
        g_assert_cmpuint(count_events(&s, "MIGRATION", "active"), ==, 1);
        g_assert_cmpuint(count_events(&s, "MIGRATION_PASS", NULL), ==, 0);
        g_assert_cmpuint(count_events(&s, "STOP", NULL), ==, 1);
        g_assert_cmpuint(count_events(&s, "RESUME", NULL), ==, 1);
    }
}

static bool append(void *opaque, const void *data, size_t n, GError **error)
{
    (void)error;
    g_byte_array_append(opaque, data, (guint)n);
    return true;
}

/* START, PARTs, devices; no END. A page that was waited for comes out of turn. */
static void test_order(void)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    MigSimulateOptions options = { .stream = append, .opaque = bytes };
    G_GNUC_UNUSED g_auto(Simulated) s =
        simulated_run(&options, SCENARIO, "10.0", 1u, 1u, 2000u, 100u, 0u);
    MigDecoder *d = mig_decoder_new(NULL);
    MigRecord r;
    MigStatus status;
    unsigned ends = 0, devices = 0, jumps = 0, named = 0;
    bool ram_late = false;
    uint64_t last = 0;
    uint32_t block = 0;
    mig_decoder_feed(d, bytes->data, bytes->len);
    while ((status = mig_decoder_next(d, &r)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        bool page = r.type == MIG_REC_RAM_PAGE || r.type == MIG_REC_RAM_ZERO;
        if (status == MIG_STATUS_PAYLOAD) {
            continue;
        }
        ends += r.type == MIG_REC_SECTION && r.section.kind == MIG_ITEM_END;
        devices += r.type == MIG_REC_SECTION && r.section.kind == MIG_ITEM_FULL;
        ram_late = ram_late || (page && devices > 0);
        jumps += page && r.ram.block == block && r.ram.offset != last + 4096;
        named += page && !r.ram.cont;
        last = page ? r.ram.offset : last;
        block = page ? r.ram.block : block;
    }
    g_assert_cmpuint(ends, ==, 0);
    g_assert_cmpuint(devices, >, 0);
    g_assert_false(ram_late);
    g_assert_cmpuint(jumps, >, 3);
    g_assert_cmpuint(named, >=, 2);
    mig_decoder_free(d);
}

/*
 * A recording: its records in their order without pages (and the ends of PARTs, which are a matter
 * of time), and its pages, sorted. Which came first a guest has decided that we can't repeat.
 */
typedef struct Recording {
    GPtrArray *records, *pages;
} Recording;

static void note(Recording *rec, const MigRecord *r, bool *part)
{
    bool section = r->type == MIG_REC_SECTION;
    *part = section ? r->section.kind == MIG_ITEM_PART : *part;
    if (!*part) {
        char *what = section ? g_strdup_printf("%s %.*s", mig_item_name(r->section.kind),
                                               (int)r->section.idstr.len, r->section.idstr.text)
                             : g_strdup_printf("%s %" G_GUINT64_FORMAT, mig_record_name(r->type),
                                               r->type == MIG_REC_VMDESC ? 0 : r->payload);
        g_ptr_array_add(rec->records, what);
    }
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static Recording read_recording(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigStreamReader) reader = mig_stream_reader_open(path, NULL, &error);
    g_assert_no_error(error);
    Recording rec = { g_ptr_array_new_with_free_func(g_free),
                      g_ptr_array_new_with_free_func(g_free) };
    g_autofree uint8_t *bytes = g_malloc0(65536);
    g_autofree char *open = NULL;
    MigRecord r;
    MigStatus status;
    bool part = false;
    while ((status = mig_stream_reader_next(reader, &r, &error)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        bool page = r.type == MIG_REC_RAM_PAGE || r.type == MIG_REC_RAM_ZERO;
        if (status == MIG_STATUS_PAYLOAD && open) {
            g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, 4096);
            g_ptr_array_add(rec.pages, g_strconcat(open, sum, NULL));
            g_clear_pointer(&open, g_free);
        } else if (status == MIG_STATUS_RECORD && page) {
            char *line = g_strdup_printf("%.*s %08" G_GINT64_MODIFIER "x %s ", (int)r.ram.name.len,
                                         r.ram.name.text, r.ram.offset, mig_record_name(r.type));
            if (r.payload) {
                open = line;
                mig_stream_reader_payload_into(reader, bytes);
            } else {
                g_ptr_array_add(rec.pages, line);
            }
        } else if (status == MIG_STATUS_RECORD) {
            note(&rec, &r, &part);
        }
    }
    g_assert_cmpint(status, ==, MIG_STATUS_END);
    g_ptr_array_sort(rec.pages, compare_lines);
    return rec;
}

static void expect_equal(GPtrArray *have, GPtrArray *want)
{
    for (guint i = 0; i < MIN(have->len, want->len); i++) {
        g_assert_cmpstr(have->pdata[i], ==, want->pdata[i]);
    }
    g_assert_cmpuint(have->len, ==, want->len);
}

static void test_trace(gconstpointer id)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *manifest = mig_test_trace_path(id, ".json");
    g_autofree char *trace = mig_test_trace_path(id, ".mig.zst");
    g_autofree char *path = NULL;
    g_autoptr(MigScenario) s = mig_scenario_from_manifest(manifest, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    MigSimulateOptions options = { .stream = append, .opaque = bytes };
    g_autoptr(MigSimulation) m = mig_simulate(s, &options, &error);
    g_assert_no_error(error);
    g_assert_true(mig_simulation_fine(m));
    close(g_file_open_tmp("migbench-test-XXXXXX", &path, &error));
    g_assert_true(g_file_set_contents(path, (const char *)bytes->data, bytes->len, &error));
    Recording want = read_recording(trace), have = read_recording(path);
    unlink(path);
    expect_equal(have.records, want.records);
    expect_equal(have.pages, want.pages);
    g_ptr_array_unref(want.records);
    g_ptr_array_unref(want.pages);
    g_ptr_array_unref(have.records);
    g_ptr_array_unref(have.pages);
}

static void test_idle(void)
{
    g_auto(Simulated) s = simulated_run(NULL, SCENARIO, "10.0", 1u, 1u, 0u, 0u, 0u);
    simulated_expect_fine(&s);
    g_assert_cmpuint(s.m->guest_stats.faults, ==, 0);
    g_assert_cmpuint(s.stats.ram.normal, ==, 3072);
}

static void test_accounting(void)
{
    static const MigSimulateOptions accounting = { .accounting = true };
    g_auto(Simulated) a = simulated_run(NULL, SCENARIO, "10.0", 2u, 2u, 2000u, 100u, 50u);
    g_auto(Simulated) b = simulated_run(&accounting, SCENARIO, "10.0", 2u, 2u, 2000u, 100u, 50u);
    g_assert_cmpstr(a.m->events_digest, ==, b.m->events_digest);
    g_assert_cmpuint(a.m->guest_stats.held, ==, b.m->guest_stats.held);
}

static void test_refused(void)
{
    static const char *const text =
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"ram\": [{\"name\": "
        "\"a\", \"size\": \"1M\"}]}, \"capabilities\": {\"background-snapshot\": true%s}}";
    g_autofree char *early = simulated_refusal(text, "5.2", "");
    g_autofree char *both = simulated_refusal(text, "7.2", ", \"xbzrle\": true");
    g_assert_nonnull(strstr(early, "came with 6.0"));
    g_assert_nonnull(strstr(both, "background-snapshot excludes xbzrle"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source/snapshot/instant", test_instant);
    g_test_add_func("/source/snapshot/statistics", test_statistics);
    g_test_add_func("/source/snapshot/order", test_order);
    g_test_add_func("/source/snapshot/idle", test_idle);
    g_test_add_func("/source/snapshot/accounting", test_accounting);
    g_test_add_func("/source/snapshot/refused", test_refused);
    static const char *const traces[] = { "7.2", "10.0", "11.1" };
    for (size_t i = 0; i < G_N_ELEMENTS(traces); i++) {
        g_autofree char *path = g_strconcat("/source/snapshot/trace/", traces[i], NULL);
        g_test_add_data_func_full(path, g_strconcat("background-snapshot-", traces[i], NULL),
                                  test_trace, g_free);
    }
    return g_test_run();
}
