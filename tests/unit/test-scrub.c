/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrubbing: of every recording, verdict and statistics stay and the guest's bytes don't. Noise
 * and disguises by themselves: what they keep, and that nothing else is kept.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <zlib.h>

#include "conformance/check.h"
#include "conformance/commands.h"
#include "conformance/summary.h"
#include "sim/fit/passes.h"
#include "sim/record/disguise.h"
#include "sim/record/scrub.h"
#include "stream/multifd-codec.h"
#include "stream/xbzrle.h"
#include "tests/unit/traces.h"

#define PAGE 4096u

/* Recordings ------------------------------------------------------------------------------- */

typedef struct Trace {
    char *id;
    const char *suffix;
} Trace;

/* How the command line calls |path|; the libvirt images are found without an offset. */
static char *spell(const Trace *t, const char *path)
{
    gsize offset = strcmp(t->suffix, ".mig.zst") == 0 ? mig_test_trace_offset(t->id) : 0;
    return offset ? g_strdup_printf("file:%s,offset=%" G_GSIZE_FORMAT, path, offset)
                  : g_strdup(path);
}

static void scrub(const char *in, const char *out)
{
    const char *argv[] = { "migbench scrub", in, "-o", out, "--key", "a test's", NULL };
    g_assert_cmpint(mig_cmd_scrub(6, (char **)argv), ==, 0);
}

/* All that check says, but names of files. */
static char *judge(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRecording) recording = mig_recording_open(path, &error);
    g_assert_no_error(error);
    g_autoptr(MigCheck) check = mig_check_new(MIG_PROFILE_CANONICAL);
    g_assert_true(mig_check_recording(check, recording, &error));
    GString *said = g_string_new(mig_verdict_name(mig_check_verdict(check)));
    for (unsigned i = 0; i < check->result_count; i++) {
        g_string_append_printf(said, " %d", (int)check->results[i].verdict);
    }
    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        g_string_append_printf(said, "\n%s at %" G_GUINT64_FORMAT, f->rule->id, f->offset);
    }
    return g_string_free(said, FALSE);
}

static char *summarize(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRecording) recording = mig_recording_open(path, &error);
    g_autoptr(MigSummary) summary = mig_summary_new();
    GString *said = g_string_new(NULL);
    MigStatus status;
    unsigned channel;
    MigRecord r;
    while ((status = mig_recording_next(recording, &channel, &r, &error)) != MIG_STATUS_END) {
        g_assert_no_error(error);
        if (status == MIG_STATUS_RECORD && channel == 0) {
            mig_summary_record(summary, &r);
        }
    }
    mig_summary_end(summary, mig_recording_main(recording));
    mig_summary_json(summary, mig_recording_main(recording), said);
    return g_string_free(said, FALSE);
}

/* Rounds, repeats, unchanged pages, heat. */
static char *count_passes(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRecording) recording = mig_recording_open(path, &error);
    g_autoptr(MigSends) sends = mig_sends_read(recording, &error);
    g_assert_no_error(error);
    json_object *o = mig_passes_to_json(sends);
    char *said = g_strdup(json_object_to_json_string(o));
    json_object_put(o);
    return said;
}

typedef struct Page {
    uint32_t block;
    uint64_t offset;
    uint8_t bytes[PAGE];
} Page;

/* Plain pages of the main channel. */
static GArray *pages_of(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRecording) recording = mig_recording_open(path, &error);
    GArray *pages = g_array_new(FALSE, FALSE, sizeof(Page));
    Page page;
    MigStatus status;
    unsigned channel;
    MigRecord r;
    while ((status = mig_recording_next(recording, &channel, &r, &error)) != MIG_STATUS_END) {
        if (status == MIG_STATUS_RECORD && r.type == MIG_REC_RAM_PAGE && r.payload == PAGE) {
            page.block = r.ram.block;
            page.offset = r.ram.offset;
            mig_recording_payload_into(recording, channel, page.bytes);
        } else if (status == MIG_STATUS_PAYLOAD) {
            g_array_append_val(pages, page);
        }
    }
    return pages;
}

/* Not one page is as it was, and no byte that isn't 0 became it or the other way round. */
static void expect_disguised(const char *in, const char *out)
{
    g_autoptr(GArray) before = pages_of(in), after = pages_of(out);
    g_assert_cmpuint(before->len, ==, after->len);
    for (guint i = 0; i < before->len; i++) {
        const Page *a = &g_array_index(before, Page, i), *b = &g_array_index(after, Page, i);
        guint filled = 0, same = 0;
        g_assert_cmpuint(a->offset, ==, b->offset);
        for (guint k = 0; k < PAGE; k++) {
            g_assert_true(!a->bytes[k] == !b->bytes[k]);
            filled += a->bytes[k] != 0;
            same += a->bytes[k] && a->bytes[k] == b->bytes[k];
        }
        g_assert_cmpuint(same, <=, filled / 16 + 8); /* one in 255 by chance */
    }
}

static void test_trace(gconstpointer data)
{
    const Trace *t = data;
    g_autofree char *file = mig_test_trace_path(t->id, t->suffix);
    g_autofree char *folder = g_dir_make_tmp("scrub-XXXXXX", NULL);
    g_autofree char *copy = g_build_filename(folder, "out", NULL);
    g_autofree char *in = spell(t, file), *out = spell(t, copy);
    if (g_str_has_prefix(t->id, "libvirt-sparse")) { /* its pages have places in the image */
        g_free(out);
        out =
            g_strdup_printf("file:%s,offset=%" G_GSIZE_FORMAT, copy, mig_test_trace_offset(t->id));
    }
    scrub(in, copy);
    g_autofree char *judged = judge(in), *judged_again = judge(out);
    g_assert_cmpstr(judged, ==, judged_again);
    g_autofree char *summary = summarize(in), *summary_again = summarize(out);
    g_assert_cmpstr(summary, ==, summary_again);
    g_autofree char *passes = count_passes(in), *passes_again = count_passes(out);
    g_assert_cmpstr(passes, ==, passes_again);
    expect_disguised(in, out);
    g_unlink(copy);
    g_rmdir(folder);
}

/* Noise ------------------------------------------------------------------------------------ */

static void test_noise_keeps(void)
{
    g_autoptr(MigNoise) noise = mig_noise_new("k");
    const MigNoisePlace *ram = mig_noise_place(noise, "ram/a"),
                        *other = mig_noise_place(noise, "b");
    uint8_t a[PAGE], b[PAGE], c[PAGE];
    for (guint i = 0; i < PAGE; i++) {
        a[i] = b[i] = c[i] = (uint8_t)(i * 7 % 256);
    }
    b[100] = 9;
    mig_noise_apply(noise, ram, 0, a, PAGE);
    mig_noise_apply(noise, ram, 0, b, 77); /* in two pieces */
    mig_noise_apply(noise, ram, 77, b + 77, PAGE - 77);
    mig_noise_apply(noise, other, 0, c, PAGE);
    for (guint i = 0; i < PAGE; i++) {
        g_assert_true((a[i] == b[i]) == (i != 100));
        g_assert_true(!a[i] == !(i * 7 % 256));
    }
    g_assert_true(memcmp(a, c, PAGE) != 0);
}

/* Each of a byte's 255 values becomes another one. */
static void test_noise_is_one_to_one(void)
{
    g_autoptr(MigNoise) noise = mig_noise_new(NULL);
    const MigNoisePlace *place = mig_noise_place(noise, "p");
    for (guint64 at = 0; at < 300; at++) {
        bool seen[256] = { false };
        for (guint v = 0; v < 256; v++) {
            uint8_t byte = (uint8_t)v;
            mig_noise_apply(noise, place, at, &byte, 1);
            g_assert_false(seen[byte]);
            seen[byte] = true;
        }
    }
}

/* A delta of two pages, disguised, is one of the disguised pages. */
static void test_noise_fits_deltas(void)
{
    g_autoptr(MigNoise) noise = mig_noise_new("k");
    const MigNoisePlace *place = mig_noise_place(noise, "ram/a");
    uint8_t old[PAGE], new[PAGE], delta[PAGE], again[PAGE];
    for (guint i = 0; i < PAGE; i++) {
        old[i] = (uint8_t)g_test_rand_int();
        new[i] = i % 50 < 3 ? (uint8_t)g_test_rand_int() : old[i];
    }
    int n = mig_xbzrle_encode(old, new, PAGE, delta, PAGE);
    mig_noise_apply(noise, place, 8192, old, PAGE);
    mig_noise_apply(noise, place, 8192, new, PAGE);
    g_assert_cmpint(mig_xbzrle_encode(old, new, PAGE, again, PAGE), ==, n);
}

/* Disguises -------------------------------------------------------------------------------- */

/* Pages from ever the same byte to all random. */
static void make_pages(uint8_t *data, gsize n, guint noise)
{
    for (gsize i = 0; i < n; i++) {
        data[i] = i % 256 < noise ? (uint8_t)g_test_rand_int() : (uint8_t)(i / PAGE + 1);
    }
}

static void test_disguise_page(void)
{
    g_autoptr(MigNoise) noise = mig_noise_new("k");
    for (guint random = 0; random <= 256; random++) {
        uint8_t page[PAGE], packed[2 * PAGE], out[PAGE + 1];
        uLongf n = sizeof(packed), plain = sizeof(out);
        make_pages(page, PAGE, random);
        g_assert_cmpint(compress2(packed, &n, page, PAGE, 1), ==, Z_OK);
        if (!mig_disguise(noise, MIG_DISGUISE_ZLIB, packed, n, PAGE)) {
            g_assert_cmpuint(n, <, 60);
            continue;
        }
        g_assert_cmpint(uncompress(out, &plain, packed, n), ==, Z_OK);
        g_assert_cmpuint(plain, ==, PAGE);
        g_assert_true(random == 0 || memcmp(out, page, PAGE) != 0);
    }
}

static void test_disguise_packets(gconstpointer data)
{
    MigMultifdMethod method = GPOINTER_TO_INT(data);
    bool zlib = method == MIG_MULTIFD_ZLIB;
    uint32_t flags = zlib ? MIG_MULTIFD_FLAG_ZLIB : MIG_MULTIFD_FLAG_ZSTD;
    MigDisguiseForm first = zlib ? MIG_DISGUISE_ZLIB_FIRST : MIG_DISGUISE_ZSTD_FIRST;
    g_autoptr(MigNoise) noise = mig_noise_new("k");
    MigMultifdCodec *in = mig_multifd_compressor_new(method, 1);
    MigMultifdCodec *out = mig_multifd_decompressor_new();
    for (guint i = 0; i < 40; i++) {
        uint32_t count = 1 + i * 3;
        gsize plain = count * PAGE, n, cap = mig_multifd_bound(method, plain);
        g_autofree uint8_t *pages = g_malloc(plain), *packed = g_malloc(cap);
        g_autofree const uint8_t **list = g_new(const uint8_t *, count);
        make_pages(pages, plain, 8 + i * 6);
        for (uint32_t k = 0; k < count; k++) {
            list[k] = pages + k * PAGE;
        }
        g_assert_cmpint(mig_multifd_compress(in, list, count, PAGE, packed, cap, &n), ==,
                        MIG_CODEC_OK);
        g_assert_true(mig_disguise(noise, i ? first + 1 : first, packed, n, plain));
        g_autofree uint8_t *seen = g_malloc(plain);
        g_assert_cmpint(mig_multifd_decompress(out, flags, packed, n, seen, plain), ==,
                        MIG_CODEC_OK);
        g_assert_true(memcmp(seen, pages, plain) != 0);
    }
    mig_multifd_codec_free(in);
    mig_multifd_codec_free(out);
}

static void free_trace(gpointer data)
{
    Trace *t = data;
    g_free(t->id);
    g_free(t);
}

static void add_traces(const char *container, const char *suffix)
{
    g_autoptr(GPtrArray) ids = mig_test_trace_ids(container);
    for (guint i = 0; i < ids->len; i++) {
        Trace *t = g_new(Trace, 1);
        *t = (Trace){ g_strdup(ids->pdata[i]), suffix };
        g_autofree char *name = g_strdup_printf("/scrub/trace/%s", t->id);
        g_test_add_data_func_full(name, t, test_trace, free_trace);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/noise/keeps-zeros-and-repeats", test_noise_keeps);
    g_test_add_func("/noise/is-one-to-one", test_noise_is_one_to_one);
    g_test_add_func("/noise/fits-deltas", test_noise_fits_deltas);
    g_test_add_func("/disguise/page", test_disguise_page);
    g_test_add_data_func("/disguise/packets/zlib", GINT_TO_POINTER(MIG_MULTIFD_ZLIB),
                         test_disguise_packets);
    g_test_add_data_func("/disguise/packets/zstd", GINT_TO_POINTER(MIG_MULTIFD_ZSTD),
                         test_disguise_packets);
    add_traces("raw", ".mig.zst");
    add_traces("pcapng", ".pcapng.zst");
    add_traces("libvirt", ".save.zst");
    return g_test_run();
}
