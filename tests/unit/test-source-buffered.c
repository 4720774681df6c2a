/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of QEMU 1.4: an elastic buffer that drains at the window's quota. */
#include <glib.h>
#include <string.h>

#include "stream/decoder.h"
#include "tests/unit/simulated.h"

#define MIB (1u << 20)
#define GUEST                                                                                \
    "{ 'schema': 'migbench-scenario-1', 'qemu': '%s', 'guest': { 'machine': 'none',"         \
    "  'ram': [ { 'name': 'ram', 'size': '4M', 'content': [ { 'kind': 'random' } ] } ]%s }," \
    "'parameters': { 'max-bandwidth': '%s' }, 'limit': '60s' }"
#define BUSY \
    ", 'workload': [ { 'block': 'ram', 'length': '512k', 'pattern': 'sequential', 'rate': 40 } ]"

typedef struct Seen {
    GByteArray *bytes;
    GArray *windows; /* uint64_t: bytes written in each 100 ms */
} Seen;

static bool take(void *opaque, uint32_t channel, int64_t at, const void *data, size_t n,
                 GError **error)
{
    Seen *seen = opaque;
    (void)channel, (void)error;
    guint window = (guint)(at / 100000000);
    if (window >= seen->windows->len) {
        g_array_set_size(seen->windows, window + 1);
    }
    g_array_index(seen->windows, uint64_t, window) += n;
    g_byte_array_append(seen->bytes, data, (guint)n);
    return true;
}

static Simulated run(Seen *seen, const char *qemu, const char *busy, const char *bandwidth)
{
    MigSimulateOptions options = { .record = take, .opaque = seen };
    g_autofree char *text = g_strdelimit(g_strdup_printf(GUEST, qemu, busy, bandwidth), "'", '"');
    seen->bytes = g_byte_array_new();
    seen->windows = g_array_new(FALSE, TRUE, sizeof(uint64_t));
    return simulated_run(&options, "%s", text);
}

static void seen_clear(Seen *seen)
{
    g_byte_array_unref(seen->bytes);
    g_array_unref(seen->windows);
}

static guint parts_of(const Seen *seen)
{
    MigDecoderOptions options = { .channel = MIG_CHANNEL_MAIN,
                                  .page_size = 4096,
                                  .footers = MIG_NO };
    MigDecoder *d = mig_decoder_new(&options);
    MigRecord r;
    MigStatus status;
    guint parts = 0;
    mig_decoder_feed(d, seen->bytes->data, seen->bytes->len);
    mig_decoder_feed_eof(d);
    while ((status = mig_decoder_next(d, &r)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        parts += status == MIG_STATUS_RECORD && r.type == MIG_REC_SECTION &&
                 r.section.kind == MIG_ITEM_PART;
        if (r.type == MIG_REC_END_OF_STREAM) {
            break;
        }
    }
    mig_decoder_free(d);
    return parts;
}

/* One call of iterate takes all pages; they leave window by window, none with more than its part.
 * (Windows of the source and of this test lie apart: two of its in one of ours at most.) */
static void test_drains(void)
{
    Seen seen;
    g_auto(Simulated) s = run(&seen, "1.4", "", "1M");
    simulated_expect_fine(&s);
    g_assert_cmpuint(parts_of(&seen), ==, 1);
    g_assert_cmpint(s.stats.total_time, >=, 3900); /* virtual: 4 MiB at 1 MiB/s */
    g_assert_cmpint(s.stats.total_time, <=, 4300);
    for (guint i = 0; i + 1 < seen.windows->len; i++) {
        g_assert_cmpuint(g_array_index(seen.windows, uint64_t, i), <=, 2 * (MIB / 10));
    }
    seen_clear(&seen);
}

/* The thread's loop looks at the quota page by page instead. */
static void test_other_loop(void)
{
    Seen seen;
    g_auto(Simulated) s = run(&seen, "1.7", "", "1M");
    simulated_expect_fine(&s);
    g_assert_cmpuint(parts_of(&seen), >=, 38);
    seen_clear(&seen);
}

/* The last pages leave without a limit, and the guest stands still meanwhile. */
static void test_completion_is_unlimited(void)
{
    Seen seen;
    g_auto(Simulated) s = run(&seen, "1.4", BUSY, "2M");
    simulated_expect_fine(&s);
    g_assert_cmpuint(s.stats.ram.dirty_sync_count, >, 2);
    uint64_t last = g_array_index(seen.windows, uint64_t, seen.windows->len - 1);
    g_assert_cmpuint(last, >, 4096);
    g_assert_cmpint(mig_source_downtime(s.m->source)->devices_sent, >, 0);
    seen_clear(&seen);
}

/* 0 is no limit, as in later versions. */
static void test_no_limit(void)
{
    Seen seen;
    g_auto(Simulated) s = run(&seen, "1.4", BUSY, "0");
    simulated_expect_fine(&s);
    g_assert_cmpint(s.stats.total_time, <, 1000);
    seen_clear(&seen);
}

/* A migrate_cancel in the middle of draining ends with the guest running. */
static void test_cancel(void)
{
    g_autofree char *text = g_strdelimit(
        g_strdup_printf("{ 'schema': 'migbench-scenario-1', 'qemu': '1.4',"
                        "'guest': { 'machine': 'none', 'ram': [ { 'name': 'ram', 'size': '4M',"
                        "   'content': [ { 'kind': 'random' } ] } ] },"
                        "'parameters': { 'max-bandwidth': '1M' },"
                        "'events': [ { 'at': '1s', 'do': 'migrate_cancel' } ] }"),
        "'", '"');
    g_auto(Simulated) s = simulated_run(NULL, "%s", text);
    g_assert_cmpstr(s.stats.status, ==, "cancelled");
    g_assert_true(mig_guest_running(s.m->guest));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source-buffered/drains-by-window", test_drains);
    g_test_add_func("/source-buffered/thread-loop-does-not", test_other_loop);
    g_test_add_func("/source-buffered/completion-is-unlimited", test_completion_is_unlimited);
    g_test_add_func("/source-buffered/no-limit", test_no_limit);
    g_test_add_func("/source-buffered/cancel", test_cancel);
    return g_test_run();
}
