/* SPDX-License-Identifier: Apache-2.0 */
/* Disks in a migration: what the iterables block and dirty-bitmap write, and what is loaded. */
#include <glib.h>
#include <string.h>

#include "sim/engine/source-disks.h"
#include "stream/decoder.h"
#include "tests/unit/simulated.h"

#define GUEST                                                               \
    "'schema': 'migbench-scenario-1', 'seed': 7,"                           \
    "'guest': { 'machine': 'none', 'ram': [ { 'name': 'ram', 'size': '4M'," \
    "   'content': [ { 'length': '2M', 'kind': 'random' } ] } ] },"         \
    "'link': { 'bandwidth': '200Mbit/s', 'send-buffer': '128k', 'receive-buffer': '128k' },"
#define DISKS                                                                                  \
    "'disks': [ { 'name': 'd0', 'node-name': 'n0', 'size': '6M',"                              \
    "   'content': [ { 'length': '3M', 'kind': 'random' } ],"                                  \
    "   'workload': [ { 'offset': '1M', 'length': '1M', 'pattern': 'random', 'rate': 300 } ]," \
    "   'dirty-bitmaps': [ { 'name': 'b0' },"                                                  \
    "      { 'name': 'b1', 'granularity': 4096, 'persistent': true,"                           \
    "        'dirty': [ { 'offset': 8192, 'length': '64k' } ] },"                              \
    "      { 'name': 'b2', 'granularity': 512, 'enabled': false } ] },"                        \
    "  { 'name': 'd1', 'size': '2560k', 'content': [ { 'kind': 'text' } ],"                    \
    "   'dirty-bitmaps': [ { 'name': 'b0' } ] },"                                              \
    "  { 'name': 'cd', 'size': '1M', 'read-only': true } ],"

/* A run and the records of its disks, as words: "start block", "progress 100", "d0@3"... */
typedef struct Told {
    GByteArray *bytes;
    GPtrArray *words;
} Told;

static bool take(void *opaque, const void *data, size_t n, GError **error)
{
    (void)error;
    g_byte_array_append(((Told *)opaque)->bytes, data, (guint)n);
    return true;
}

static const char *kind_of(MigItem kind)
{
    return kind == MIG_ITEM_START  ? "start"
           : kind == MIG_ITEM_PART ? "part"
           : kind == MIG_ITEM_END  ? "end"
                                   : "full";
}

static void tell(Told *told, char *word)
{
    g_ptr_array_add(told->words, word);
}

static void tell_disk(Told *told, const MigRecordBlock *b)
{
    if (b->flags == MIG_BLOCK_EOS) {
        tell(told, g_strdup("eos"));
    } else if (b->flags == MIG_BLOCK_PROGRESS) {
        tell(told, g_strdup_printf("progress %u", (unsigned)b->sector));
    } else {
        tell(told, g_strdup_printf("%.*s@%u%s", (int)b->device.len, b->device.text,
                                   (unsigned)(b->sector / 2048),
                                   b->flags & MIG_BLOCK_ZERO ? " zero" : ""));
    }
}

static void tell_bitmap(Told *told, const MigRecordDirtyBitmap *b)
{
    tell(told, g_strdup_printf("%02x %.*s/%.*s", b->flags, (int)b->node.len, b->node.text,
                               (int)b->bitmap.len, b->bitmap.text));
}

static void tell_record(Told *told, const MigRecord *r)
{
    if (r->type == MIG_REC_SECTION && r->section.kind != MIG_ITEM_FULL) {
        tell(told,
             g_strdup_printf("%s %.*s %u", kind_of(r->section.kind), (int)r->section.idstr.len,
                             r->section.idstr.text, r->section.id));
    } else if (r->type == MIG_REC_BLOCK) {
        tell_disk(told, &r->disk);
    } else if (r->type == MIG_REC_DIRTY_BITMAP) {
        tell_bitmap(told, &r->bitmap);
    }
}

/* Decodes what was sent. */
static void read_stream(Told *told, bool footers)
{
    MigDecoderOptions options = { .channel = MIG_CHANNEL_MAIN,
                                  .page_size = 4096,
                                  .footers = footers ? MIG_YES : MIG_NO };
    MigDecoder *d = mig_decoder_new(&options);
    MigRecord r;
    MigStatus status;
    mig_decoder_feed(d, told->bytes->data, told->bytes->len);
    mig_decoder_feed_eof(d);
    while ((status = mig_decoder_next(d, &r)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        if (status == MIG_STATUS_RECORD) {
            tell_record(told, &r);
        }
    }
    g_assert_cmpint(status, ==, MIG_STATUS_END);
    mig_decoder_free(d);
    g_ptr_array_add(told->words, NULL);
}

static Told told_new(void)
{
    return (Told){ g_byte_array_new(), g_ptr_array_new_with_free_func(g_free) };
}

static void told_clear(Told *told)
{
    g_byte_array_unref(told->bytes);
    g_ptr_array_unref(told->words);
}

static guint count(const Told *told, const char *word)
{
    guint n = 0;
    for (guint i = 0; i + 1 < told->words->len; i++) {
        n += strcmp(told->words->pdata[i], word) == 0;
    }
    return n;
}

static guint find(const Told *told, guint from, const char *word)
{
    guint i = from;
    while (i + 1 < told->words->len && strcmp(told->words->pdata[i], word) != 0) {
        i++;
    }
    if (i + 1 >= told->words->len) {
        g_error("no \"%s\" from word %u on", word, from);
    }
    return i;
}

static char *quoted(const char *format, va_list args)
{
    return g_strdelimit(g_strdup_vprintf(format, args), "'", '"');
}

/* Quotes are single ones in |format|. */
static Simulated run(Told *told, const char *format, ...)
{
    MigSimulateOptions options = { .stream = told ? take : NULL, .opaque = told };
    va_list args;
    va_start(args, format);
    g_autofree char *text = quoted(format, args);
    va_end(args);
    return simulated_run(&options, "%s", text);
}

static void expect_disks(const Simulated *s)
{
    simulated_expect_fine(s);
    g_assert_true(s->m->disks_compared);
    g_assert_cmpstr(s->m->disk_difference, ==, NULL);
}

/* Every era that copies disks does so, and both ends agree; words are those of the era. */
static void test_eras(void)
{
    static const struct {
        const char *qemu, *how;
        bool footers;
    } rows[] = {
        { "1.4", "'migrate': { 'blk': true }", false },
        { "2.5", "'migrate': { 'blk': true }", true },
        { "2.10", "'capabilities': { 'block': true }", true },
        { "5.2", "'capabilities': { 'block': true, 'zero-blocks': true }", true },
        { "7.2", "'capabilities': { 'block': true }", true },
        { "8.0", "'capabilities': { 'block': true }", true },
        { "9.0", "'migrate': { 'inc': true }", true },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Told told = told_new();
        g_auto(Simulated) s = run(&told,
                                  "{ " GUEST DISKS " 'qemu': '%s', %s,"
                                  "'parameters': { 'downtime-limit': 300 } }",
                                  rows[i].qemu, rows[i].how);
        expect_disks(&s);
        read_stream(&told, rows[i].footers);
        g_assert_cmpuint(count(&told, "start block 1"), ==, 1);
        g_assert_cmpuint(count(&told, "start ram 2"), ==, 1);
        guint end = find(&told, 0, "end block 1");
        g_assert_cmpuint(find(&told, end, "end ram 2"), >, find(&told, end, "progress 100"));
        g_assert_cmpuint(count(&told, "cd@0"), ==, 0);
        told_clear(&told);
    }
}

/* First every chunk of every disk in order, told by what was done before it; then what was written.
 */
static void test_bulk_then_dirty(void)
{
    static const char *const bulk[] = { "part block 1", "progress 0",  "progress 11", "progress 23",
                                        "progress 35",  "progress 47", "progress 58", "progress 70",
                                        "progress 82",  "d0@0",        "d0@1",        "d0@2",
                                        "d0@3",         "d0@4",        "d0@5",        "d1@0",
                                        "d1@1",         "d1@2",        "eos" };
    Told told = told_new();
    g_auto(Simulated) s =
        run(&told, "{ " GUEST DISKS " 'qemu': '7.2', 'capabilities': { 'block': true } }");
    expect_disks(&s);
    read_stream(&told, true);
    guint at = find(&told, 0, "part block 1");
    for (guint i = 0; i < G_N_ELEMENTS(bulk); i++) {
        g_assert_cmpstr(told.words->pdata[at + i], ==, bulk[i]);
    }
    g_assert_cmpuint(count(&told, "d0@1"), >, 1);
    g_assert_cmpuint(count(&told, "d0@0"), ==, 1);
    told_clear(&told);
}

/* The bulk stage reads on only while what waits doesn't fill a window; the quota holds. */
static void test_quota(void)
{
    Told told = told_new();
    g_auto(Simulated) s =
        run(&told, "{ " GUEST "'disks': [ { 'name': 'd', 'size': '40M' } ], 'qemu': '7.2',"
                   "'parameters': { 'max-bandwidth': '20M' },"
                   "'capabilities': { 'block': true } }");
    expect_disks(&s);
    read_stream(&told, true);
    guint chunks = 0;
    for (guint i = find(&told, 0, "part block 1") + 1; i + 1 < told.words->len; i++) {
        const char *word = told.words->pdata[i];
        if (g_str_has_prefix(word, "end")) {
            break;
        }
        chunks = g_str_has_prefix(word, "part") ? 0 : chunks + g_str_has_prefix(word, "d@");
        g_assert_cmpuint(chunks, <=, 3); /* 2 MiB a window, and what crosses its end */
    }
    g_assert_cmpint(s.stats.total_time, >=, 1900); /* virtual time: 40 MiB at 20 MiB/s */
    told_clear(&told);
}

/* With zero-blocks chunks of zeros have no bytes; inc leaves them out altogether. */
static void test_zeros(void)
{
    static const struct {
        const char *how;
        guint plain, bare;
    } rows[] = {
        { "'capabilities': { 'block': true }", 1, 0 },
        { "'capabilities': { 'block': true, 'zero-blocks': true }", 0, 1 },
        { "'migrate': { 'inc': true }", 0, 0 },
        { "'capabilities': { 'block': true }, 'parameters': { 'block-incremental': true }", 0, 0 },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Told told = told_new();
        g_auto(Simulated) s = run(&told, "{ " GUEST DISKS " 'qemu': '7.2', %s }", rows[i].how);
        expect_disks(&s);
        read_stream(&told, true);
        g_assert_cmpuint(count(&told, "d0@4"), ==, rows[i].plain);
        g_assert_cmpuint(count(&told, "d0@4 zero"), ==, rows[i].bare);
        g_assert_cmpuint(count(&told, "d0@0"), ==, 1);
        told_clear(&told);
    }
}

/* A guest that dirties memory too fast is not throttled while the disks' bulk stage holds RAM up.
 */
static void test_bulk_holds_throttle(void)
{
    static const char hot[] =
        "{ 'schema': 'migbench-scenario-1', 'qemu': '%s', 'guest': { 'machine': 'none',"
        "  'ram': [ { 'name': 'ram', 'size': '8M' } ], 'workload': [ { 'block': 'ram',"
        "     'pattern': 'random', 'rate': 200000, 'write': 'page' } ] },"
        "'disks': [ { 'name': 'd', 'size': '96M', 'content': [ { 'kind': 'random' } ] } ],"
        "'link': { 'bandwidth': '100Mbit/s', 'send-buffer': '128k', 'receive-buffer': '128k' },"
        "'parameters': { 'downtime-limit': 1 },"
        "'capabilities': { 'auto-converge': true%s }, 'limit': '5s' }";
    g_auto(Simulated) with = run(NULL, hot, "7.2", ", 'block': true");
    g_auto(Simulated) without = run(NULL, hot, "7.2", "");
    g_assert_true(mig_source_block_in_bulk(with.m->source));
    g_assert_cmpuint(with.stats.cpu_throttle_percentage, ==, 0);
    g_assert_cmpuint(without.stats.cpu_throttle_percentage, >, 0);
    g_assert_cmpuint(with.stats.disk.total, ==, 96u << 20);
    g_assert_cmpuint(with.stats.disk.transferred + with.stats.disk.remaining, ==, 96u << 20);
    g_assert_cmpuint(with.stats.disk.transferred, >, 0);
}

/* START of each in the setup, the latest first; bits, COMPLETE of each when the guest stands still.
 */
static void test_bitmaps(void)
{
    static const char *const words[] = {
        "start dirty-bitmap 3",
        "1c n0/b2",
        "14 /b1",
        "14 /b0",
        "1c d1/b0",
        "01 /",
        "end dirty-bitmap 3",
        "4e n0/b2",
        "42 /",
        "44 /b1",
        "44 /b0",
        "4e d1/b0",
        "2c n0/b2",
        "24 /b1",
        "24 /b0",
        "2c d1/b0",
        "01 /",
    };
    static const char *const eras[] = { "2.12", "5.2", "7.2" };
    for (guint e = 0; e < G_N_ELEMENTS(eras); e++) {
        Told told = told_new();
        g_auto(Simulated) s = run(&told,
                                  "{ " GUEST DISKS " 'qemu': '%s',"
                                  "'capabilities': { 'dirty-bitmaps': true } }",
                                  eras[e]);
        expect_disks(&s);
        read_stream(&told, true);
        guint at = find(&told, 0, words[0]);
        for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
            at = i == 6 ? find(&told, at, words[i]) : at;
            g_assert_cmpstr(told.words->pdata[at++], ==, words[i]);
        }
        told_clear(&told);
    }
}

/* Behind 9.0 nothing is registered in front of ram. */
static void test_section_ids(void)
{
    Told told = told_new();
    g_auto(Simulated) s = run(&told, "{ " GUEST DISKS " 'qemu': '10.0',"
                                     "'capabilities': { 'dirty-bitmaps': true } }");
    expect_disks(&s);
    read_stream(&told, true);
    find(&told, find(&told, 0, "start ram 1"), "start dirty-bitmap 2");
    told_clear(&told);
}

/* Without a bitmap there is a START that says so, and no END. */
static void test_no_bitmaps(void)
{
    Told told = told_new();
    g_auto(Simulated) s = run(&told, "{ " GUEST " 'qemu': '7.2',"
                                     "'capabilities': { 'dirty-bitmaps': true } }");
    simulated_expect_fine(&s);
    read_stream(&told, true);
    g_assert_cmpstr(told.words->pdata[find(&told, 0, "start dirty-bitmap 3") + 1], ==, "01 /");
    g_assert_cmpuint(count(&told, "end dirty-bitmap 3"), ==, 0);
    told_clear(&told);
}

/* A guest that is paused lets PARTs of bitmaps through: they say only their end. */
static void test_paused_guest(void)
{
    Told told = told_new();
    g_auto(Simulated) s = run(&told, "{ 'schema': 'migbench-scenario-1', 'qemu': '7.2',"
                                     "'guest': { 'machine': 'none', 'run-state': 'paused', 'ram': ["
                                     "   { 'name': 'ram', 'size': '1M' } ] },"
                                     "'disks': [ { 'name': 'd', 'size': '1M',"
                                     "   'dirty-bitmaps': [ { 'name': 'b' } ] } ],"
                                     "'capabilities': { 'dirty-bitmaps': true } }");
    expect_disks(&s);
    read_stream(&told, true);
    g_assert_cmpstr(told.words->pdata[find(&told, 0, "part dirty-bitmap 3") + 1], ==, "01 /");
    told_clear(&told);
}

/* A mapping renames on the wire, and what it does not name stays at home. */
static void test_aliases(void)
{
    Told told = told_new();
    g_auto(Simulated) s =
        run(&told, "{ " GUEST DISKS " 'qemu': '7.2',"
                   "'parameters': { 'block-bitmap-mapping': [ { 'node-name': 'n0',"
                   "   'alias': 'x', 'bitmaps': [ { 'name': 'b1', 'alias': 'y' } ] } ] },"
                   "'capabilities': { 'dirty-bitmaps': true } }");
    expect_disks(&s);
    g_assert_cmpuint(mig_disks_bitmap_count(s.m->dest_disks->disks), ==, 1);
    g_assert_cmpstr(mig_disks_bitmap(s.m->dest_disks->disks, 0)->name, ==, "b1");
    read_stream(&told, true);
    g_assert_cmpuint(count(&told, "1c x/y"), ==, 1);
    told_clear(&told);
}

static void test_refusals(void)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        { GUEST "'qemu': '10.0', 'migrate': { 'blk': true }", "removed in 9.1" },
        { GUEST "'qemu': '7.2', 'capabilities': { 'block': true }, 'migrate': { 'blk': true }",
          "capability block" },
        { GUEST "'disks': [ { 'name': 'd', 'size': 1000 } ]", "multiple of 4096" },
        { GUEST "'disks': [ { 'name': 'd', 'size': 4096 }, { 'name': 'd', 'size': 4096 } ]",
          "two" },
        { GUEST "'disks': [ { 'name': 'd', 'size': 4096, 'dirty-bitmaps': [ { 'name': 'b',"
                " 'granularity': 1000 } ] } ]",
          "power of two" },
        { GUEST "'disks': [ { 'name': 'd', 'size': 4096, 'workload': [ { 'block': 'ram',"
                " 'rate': 1 } ] } ]",
          "has no \"block\"" },
        { GUEST "'qemu': '5.1', 'parameters': { 'block-bitmap-mapping': [ ] }", "came with 5.2" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdelimit(g_strdup(rows[i].text), "'", '"');
        g_autofree char *why = simulated_refusal("{ %s }", text);
        if (!strstr(why, rows[i].why)) {
            g_error("\"%s\" doesn't say \"%s\"", why, rows[i].why);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source-disks/block/eras", test_eras);
    g_test_add_func("/source-disks/block/bulk-then-dirty", test_bulk_then_dirty);
    g_test_add_func("/source-disks/block/quota", test_quota);
    g_test_add_func("/source-disks/block/zeros", test_zeros);
    g_test_add_func("/source-disks/block/bulk-holds-throttle", test_bulk_holds_throttle);
    g_test_add_func("/source-disks/bitmap/order", test_bitmaps);
    g_test_add_func("/source-disks/bitmap/section-ids", test_section_ids);
    g_test_add_func("/source-disks/bitmap/none", test_no_bitmaps);
    g_test_add_func("/source-disks/bitmap/paused-guest", test_paused_guest);
    g_test_add_func("/source-disks/bitmap/aliases", test_aliases);
    g_test_add_func("/source-disks/scenario/refused", test_refusals);
    return g_test_run();
}
