/* SPDX-License-Identifier: Apache-2.0 */
/* RDMA in virtual time: marks in the stream, pages past it, registration by chunk. */
#include <glib.h>
#include <string.h>

#include "stream/decoder.h"
#include "tests/unit/simulated.h"

/* 10 MiB in full chunks, 6 MiB of zeros; nobody writes. */
#define IDLE                                                                                  \
    "'schema': 'migbench-scenario-1', 'seed': 3, 'qemu': '%s', 'guest': { 'machine': 'none'," \
    "  'ram': [ { 'name': 'ram', 'size': '16M', 'content': ["                                 \
    "     { 'length': '10M', 'kind': 'random' } ] } ]%s },"                                   \
    "'link': { 'transport': 'rdma', 'bandwidth': '10Gbit/s', 'latency': '5us' },"             \
    "'parameters': { 'max-bandwidth': %s }, 'capabilities': { %s }"
#define BUSY                                                                                 \
    ", 'workload': [ { 'block': 'ram', 'offset': '8M', 'length': '4M', 'pattern': 'random'," \
    "  'rate': 20000, 'write': 'page' } ]"

static bool take(void *opaque, const void *data, size_t n, GError **error)
{
    (void)error;
    g_byte_array_append(opaque, data, (guint)n);
    return true;
}

/* Quotes are single ones in |format|. */
static Simulated run(GByteArray *bytes, unsigned max_run, const char *format, ...)
{
    MigSimulateOptions options = { .stream = bytes ? take : NULL,
                                   .opaque = bytes,
                                   .max_run = max_run };
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdelimit(g_strdup_vprintf(format, args), "'", '"');
    va_end(args);
    return simulated_run(&options, "{ %s }", text);
}

/* Every section of RAM holds a mark and its end, and no page. */
static void test_marks_only(void)
{
    static const char *const eras[] = { "1.7", "5.2", "7.2", "10.0", "11.1" };
    for (guint i = 0; i < G_N_ELEMENTS(eras); i++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_auto(Simulated) s = run(bytes, 0, IDLE, eras[i], BUSY, "0", "");
        simulated_expect_fine(&s);
        MigDecoderOptions options = { .channel = MIG_CHANNEL_MAIN,
                                      .page_size = 4096,
                                      .footers = i ? MIG_YES : MIG_NO };
        MigDecoder *d = mig_decoder_new(&options);
        MigRecord r;
        MigStatus status;
        guint sections = 0, marks = 0;
        mig_decoder_feed(d, bytes->data, bytes->len);
        mig_decoder_feed_eof(d);
        while ((status = mig_decoder_next(d, &r)) == MIG_STATUS_RECORD ||
               status == MIG_STATUS_PAYLOAD) {
            if (status == MIG_STATUS_RECORD) {
                sections += r.type == MIG_REC_SECTION && r.section.kind != MIG_ITEM_FULL;
                marks += r.type == MIG_REC_RAM_HOOK;
                g_assert_cmpint(r.type, !=, MIG_REC_RAM_PAGE);
                g_assert_cmpint(r.type, !=, MIG_REC_RAM_ZERO);
            }
            if (r.type == MIG_REC_END_OF_STREAM) {
                break;
            }
        }
        g_assert_cmpuint(sections, >=, 3);
        g_assert_cmpuint(marks, ==, sections);
        mig_decoder_free(d);
    }
}

/* A chunk is registered once, before its first write; chunks of zeros are filled instead. */
static void test_registration(void)
{
    static const struct {
        const char *qemu, *parameters, *capabilities;
        guint registrations, fills, writes;
        uint64_t normal;
    } rows[] = {
        { "7.2", "0", "", 10, 6, 10, 2560 },
        { "10.0", "0", "", 10, 6, 10, 2560 },
        { "11.1", "0, 'x-rdma-chunk-size': '64k'", "", 160, 96, 160, 2560 },
        { "7.2", "0", "'rdma-pin-all': true", 0, 0, 16, 4096 },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s =
            run(NULL, 0, IDLE, rows[i].qemu, "", rows[i].parameters, rows[i].capabilities);
        simulated_expect_fine(&s);
        g_assert_cmpuint(s.m->rdma.registrations, ==, rows[i].registrations);
        g_assert_cmpuint(s.m->rdma.fills, ==, rows[i].fills);
        g_assert_cmpuint(s.m->rdma.writes, ==, rows[i].writes);
        g_assert_cmpuint(s.stats.ram.normal, ==, rows[i].normal);
        g_assert_cmpuint(s.stats.ram.normal + s.stats.ram.duplicate, ==, 4096);
    }
}

/* Pinning takes its time in the setup, in virtual time; what follows is faster for it. */
static void test_pin_all(void)
{
    g_auto(Simulated) lazy = run(NULL, 0, IDLE, "7.2", "", "0", "");
    g_auto(Simulated) pinned = run(NULL, 0, IDLE, "7.2", "", "0", "'rdma-pin-all': true");
    g_assert_cmpint(pinned.stats.setup_time, >=, lazy.stats.setup_time + 7); /* 2 * 16 * 0.25 ms */
}

/* What a guest rewrites arrives, whatever was merged; a chunk needs no second registration. */
static void test_dirty_guest(void)
{
    g_auto(Simulated) s = run(NULL, 0, IDLE, "7.2", BUSY, "'40M', 'downtime-limit': 1", "");
    simulated_expect_fine(&s);
    g_assert_cmpuint(s.stats.ram.dirty_sync_count, >, 2);
    g_assert_cmpuint(s.m->rdma.registrations, <=, 16);
    g_assert_cmpuint(s.m->rdma.writes, >, 20);
}

/* Runs of pages give what pages one by one give. */
static void test_runs(void)
{
    g_auto(Simulated) runs = run(NULL, 0, IDLE, "10.0", BUSY, "0", "");
    g_auto(Simulated) pages = run(NULL, 1, IDLE, "10.0", BUSY, "0", "");
    g_assert_cmpstr(runs.m->events_digest, ==, pages.m->events_digest);
    g_assert_cmpstr(runs.m->bytes_digest, ==, pages.m->bytes_digest);
}

/* A destination that doesn't speak RDMA refuses the mark. */
static void test_plain_destination(void)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_auto(Simulated) s = run(bytes, 0, IDLE, "7.2", "", "0", "");
    MigDestConfig config = { .machine = "none", .memory = mig_buffer_memory(s.m->memory) };
    mig_era_resolve(MIG_VERSION_OF(7, 2), "none", &config.era);
    MigDest *d = mig_dest_new(&config);
    g_assert_false(mig_dest_feed(d, bytes->data, bytes->len));
    g_assert_cmpstr(mig_dest_error(d)->found, ==, "an RDMA hook");
    mig_dest_free(d);
}

static void test_refusals(void)
{
    static const struct {
        const char *qemu, *capability, *why;
    } rows[] = {
        { "1.5", "", "came with 1.6" },
        { "7.2", "'multifd': true", "multifd" },
        { "7.2", "'postcopy-ram': true", "postcopy-ram" },
        { "7.2", "'compress': true", "compress" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf(IDLE, rows[i].qemu, "", "0", rows[i].capability);
        g_autofree char *why = simulated_refusal("{ %s }", g_strdelimit(text, "'", '"'));
        g_assert_nonnull(strstr(why, rows[i].why));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rdma/stream/marks-only", test_marks_only);
    g_test_add_func("/rdma/chunks/registered-once", test_registration);
    g_test_add_func("/rdma/chunks/pin-all-in-setup", test_pin_all);
    g_test_add_func("/rdma/guest/dirty", test_dirty_guest);
    g_test_add_func("/rdma/runs-equal-pages", test_runs);
    g_test_add_func("/rdma/destination/plain-refuses", test_plain_destination);
    g_test_add_func("/rdma/scenario/refused", test_refusals);
    return g_test_run();
}
