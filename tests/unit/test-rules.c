/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue is well formed, and the judge is specific: streams of real QEMUs have no finding,
 * and what the program counts in them is what the manifests say, whose numbers come from another
 * reader.
 */
#include <json-c/json.h>
#include <string.h>

#include "conformance/check.h"
#include "conformance/page-map.h"
#include "conformance/recode.h"
#include "conformance/summary.h"
#include "stream/encoder.h"
#include "tests/unit/recordings.h"
#include "tests/unit/traces.h"

/* ---- catalogue ---- */

static bool id_shape(const char *id)
{
    guint dashes = 0;
    for (; *id; id++) {
        dashes += *id == '-';
        if (!g_ascii_isupper(*id) && !g_ascii_isdigit(*id) && *id != '-') {
            return false;
        }
    }
    return dashes == 2;
}

static void check_rule(const MigRule *r)
{
    if (!id_shape(r->id)) {
        g_test_message("%s is not LAYER-NOUN-PROPERTY", r->id);
        g_test_fail();
    }
    g_assert_nonnull(r->title);
    g_assert_nonnull(r->why);
    g_assert_nonnull(r->source);
    g_assert_cmpint(strlen(r->why), >, 0);
    if (r->authority == MIG_AUTHORITY_OBSERVED) {
        g_assert_cmpint(r->level, !=, MIG_LEVEL_MUST);
    }
}

static void test_catalogue(void)
{
    g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);

    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        for (unsigned i = 0; i < (*g)->rule_count; i++) {
            const MigRule *r = &(*g)->rules[i];
            check_rule(r);
            g_assert_true(g_hash_table_add(ids, (gpointer)r->id));
            g_assert_true(mig_catalogue_find(r->id) == r);
        }
    }
    g_assert_cmpuint(g_hash_table_size(ids), ==, mig_catalogue_rule_count());
    g_assert_null(mig_catalogue_find("NO-SUCH-RULE"));
}

/* Each fault is somebody's; limits of what can be known are no faults. */
static void test_faults(void)
{
    g_assert_null(mig_catalogue_fault(MIG_FAULT_NONE));
    for (MigFault f = MIG_FAULT_NONE + 1; f < MIG_FAULT_COUNT; f++) {
        if (!mig_fault_is_inconclusive(f) && !mig_catalogue_fault(f)) {
            g_test_message("no rule for the fault %s", mig_fault_name(f));
            g_test_fail();
        }
    }
}

/* ---- traces ---- */

typedef struct Trace {
    const char *id;
    MigProfile profile;
} Trace;

static MigStreamReader *open_trace(const char *id, GError **error)
{
    g_autofree char *path = mig_test_trace_path(id, ".mig.zst");
    g_autofree char *uri =
        g_strdup_printf("file:%s,offset=%" G_GSIZE_FORMAT, path, mig_test_trace_offset(id));
    return mig_stream_reader_open(uri, NULL, error);
}

static void expect_pass(const char *id, MigProfile profile)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRecording) recording = mig_test_recording(id);
    g_autoptr(MigCheck) check = mig_check_new(profile);

    g_assert_true(mig_check_recording(check, recording, &error));
    g_assert_no_error(error);
    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        g_test_message("%s at %" G_GUINT64_FORMAT ": expected %s, found %s", f->rule->id, f->offset,
                       f->expected, f->found);
        g_test_fail();
    }
    g_assert_cmpstr(mig_verdict_name(mig_check_verdict(check)), ==, "pass");
}

static void test_conformant(gconstpointer id)
{
    expect_pass(id, MIG_PROFILE_LENIENT);
    expect_pass(id, MIG_PROFILE_INTEROP);
    expect_pass(id, MIG_PROFILE_STRICT);
}

static json_object *manifest_stats(const char *id, json_object **root)
{
    g_autofree char *path = mig_test_trace_path(id, ".json");
    json_object *expect, *stats;

    *root = json_object_from_file(path);
    g_assert_nonnull(*root);
    g_assert_true(json_object_object_get_ex(*root, "expect", &expect));
    g_assert_true(json_object_object_get_ex(expect, "stats", &stats));
    return stats;
}

static MigSummary *summary_of(const char *id)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigStreamReader) reader = open_trace(id, &error);
    MigSummary *s = mig_summary_new();
    MigRecord r;

    g_assert_no_error(error);
    while (mig_stream_reader_next(reader, &r, &error) == MIG_STATUS_RECORD) {
        mig_summary_record(s, &r);
    }
    g_assert_no_error(error);
    mig_summary_end(s, mig_stream_reader_decoder(reader));
    return s;
}

static void expect_number(json_object *in, const char *key, uint64_t n)
{
    json_object *value;
    g_assert_true(json_object_object_get_ex(in, key, &value));
    g_assert_cmpint(json_object_get_int64(value), ==, (gint64)n);
}

static void expect_ram(json_object *stats, const MigRamCounts *c, bool mapped)
{
    json_object *ram;
    g_assert_true(json_object_object_get_ex(stats, "ram", &ram));
    if (!mapped) { /* the manifest counts the bits of the bitmaps there */
        expect_number(ram, "normal", c->normal);
    }
    expect_number(ram, "zero", c->zero);
    expect_number(ram, "xbzrle", c->xbzrle);
    expect_number(ram, "compressed", c->compressed);
    expect_number(ram, "flush", c->flush);
    expect_number(ram, "continue", c->cont);
}

static void test_counts(gconstpointer id)
{
    static const char *const kinds[] = { "start", "part", "end", "full" };
    json_object *root, *sections;

    json_object *stats = manifest_stats(id, &root);
    g_autoptr(MigSummary) s = summary_of(id);
    expect_number(stats, "bytes", s->bytes);
    expect_number(stats, "page_size", s->page_size);
    expect_number(stats, "devices", s->devices);
    expect_number(stats, "vmdesc_bytes", s->vmdesc_bytes);
    g_assert_true(json_object_object_get_ex(stats, "sections", &sections));
    for (int i = 0; i < 4; i++) {
        expect_number(sections, kinds[i], s->sections[MIG_ITEM_START + i]);
    }
    expect_ram(stats, &s->ram, g_str_has_prefix(id, "mapped-ram"));
    json_object_put(root);
}

/* ---- recode ---- */

static GByteArray *recoded(const char *id)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigStreamReader) reader = open_trace(id, &error);
    char *data = NULL;
    size_t n = 0;
    MigRecodeResult result;

    g_assert_no_error(error);
    FILE *out = open_memstream(&data, &n);
    g_assert_true(mig_recode(reader, out, NULL, &result, &error));
    fclose(out);
    g_assert_cmpint(result.status, ==, MIG_STATUS_END);
    g_assert_cmpuint(result.trailing, ==, 0);
    g_assert_cmpuint(result.bytes, ==, n);
    GByteArray *bytes = g_byte_array_new();
    g_byte_array_append(bytes, (guint8 *)data, (guint)n);
    free(data);
    return bytes;
}

static void test_recode(gconstpointer id)
{
    g_autoptr(GBytes) good = mig_test_trace_load(id);
    g_autoptr(GByteArray) again = recoded(id);
    gsize n;
    const guint8 *data = g_bytes_get_data(good, &n);
    g_assert_cmpmem(again->data, again->len, data, n);
}

/*
 * Records are encoded from fields alone: the bytes that they were decoded from are overwritten
 * before the encoder runs. Each record is fed by itself, so that the decoder has no other copy.
 */
static void test_poison(gconstpointer id)
{
    g_autoptr(GBytes) good = mig_test_trace_load(id);
    gsize n;
    const guint8 *data = g_bytes_get_data(good, &n);
    g_autofree guint8 *lent = g_memdup2(data, n);
    g_autofree guint8 *out = g_malloc(MIG_ENCODED_MAX);
    MigDecoder *d = mig_decoder_new(NULL);
    MigRecord r;
    MigStatus status;
    bool ended = false;

    mig_decoder_feed(d, lent, n);
    while ((status = mig_decoder_next(d, &r)) == MIG_STATUS_RECORD || !ended) {
        if (status == MIG_STATUS_MORE) {
            mig_decoder_feed_eof(d);
            ended = true;
            continue;
        }
        g_assert_cmpint(status, ==, MIG_STATUS_RECORD);
        memset(lent + r.offset, 0xa5, r.wire);
        g_assert_cmpuint(mig_record_encode(&r, out, MIG_ENCODED_MAX), ==, r.wire);
        g_assert_cmpmem(out, r.wire, data + r.offset, r.wire);
    }
    g_assert_cmpint(status, ==, MIG_STATUS_END);
    mig_decoder_free(d);
}

/* ---- page maps ---- */

static void test_page_map(void)
{
    MigPageMap *map = mig_page_map_new();
    uint64_t pages = 3 * MIG_PAGE_MAP_CHUNK + 5;

    g_assert_cmpuint(mig_page_map_first_clear(map, 0, pages), ==, 0);
    g_assert_cmpuint(mig_page_map_first_clear(map, 7, 0), ==, 0);
    for (uint64_t i = 0; i < pages; i++) {
        g_assert_false(mig_page_map_set(map, 1, i));
        g_assert_true(mig_page_map_set(map, 1, i));
    }
    g_assert_cmpuint(mig_page_map_first_clear(map, 1, pages), ==, pages);
    g_assert_cmpuint(mig_page_map_first_clear(map, 1, pages + 1), ==, pages);
    g_assert_cmpuint(mig_page_map_first_clear(map, 0, 1), ==, 0);
    g_assert_false(mig_page_map_overflowed(map));
    g_assert_false(mig_page_map_set(map, 2, UINT64_MAX / 4096));
    g_assert_true(mig_page_map_overflowed(map));
    mig_page_map_free(map);
}

static void add(const char *prefix, const char *id, GTestDataFunc f)
{
    g_autofree char *path = g_strdup_printf("/traces/%s/%s", prefix, id);
    g_test_add_data_func(path, id, f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("raw");
    g_autoptr(GPtrArray) others = mig_test_trace_ids("pcapng");

    g_test_add_func("/rules/catalogue/well-formed", test_catalogue);
    g_test_add_func("/rules/faults/have-a-rule", test_faults);
    g_test_add_func("/page-map/set-and-first-clear", test_page_map);
    for (guint i = 0; i < ids->len; i++) {
        const char *id = g_ptr_array_index(ids, i);
        add("conformant", id, test_conformant);
        add("counts", id, test_counts);
        add("recode", id, test_recode);
        if (g_str_has_prefix(id, "none-") || g_str_has_prefix(id, "xbzrle-")) {
            add("recode-poisoned", id, test_poison);
        }
    }
    for (guint i = 0; i < others->len; i++) {
        add("conformant", g_ptr_array_index(others, i), test_conformant);
    }
    return g_test_run();
}
