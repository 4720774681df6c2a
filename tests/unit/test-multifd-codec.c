/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of multifd packets: what is compressed comes back, and damage is told. */
#include <glib.h>
#include <string.h>

#include "sim/world/prng.h"
#include "stream/format.h"
#include "stream/multifd-codec.h"

#define PAGE    4096u
#define PAGES   16u
#define PACKETS 20u

typedef struct Method {
    const char *name;
    MigMultifdMethod method;
    guint32 flags;
} Method;

static const Method methods[] = {
    { "none", MIG_MULTIFD_NONE, 0 },
    { "zlib", MIG_MULTIFD_ZLIB, MIG_MULTIFD_FLAG_ZLIB },
    { "zstd", MIG_MULTIFD_ZSTD, MIG_MULTIFD_FLAG_ZSTD },
};

static void fill(guint8 *pages, const uint8_t **each, guint count, guint64 seed)
{
    MigPrng prng = mig_prng(seed, "multifd", 0);
    for (guint i = 0; i < count; i++) {
        each[i] = pages + i * PAGE;
        for (guint k = 0; k < PAGE; k++) {
            pages[i * PAGE + k] = (guint8)(mig_prng_below(&prng, 4) ? k / 7 : mig_prng_next(&prng));
        }
    }
}

static guint8 *compress(MigMultifdCodec *c, const Method *m, const uint8_t *const *each,
                        guint count, gsize *n)
{
    gsize cap = mig_multifd_bound(m->method, count * PAGE);
    guint8 *out = g_malloc(cap);
    g_assert_cmpint(mig_multifd_compress(c, each, count, PAGE, out, cap, n), ==, MIG_CODEC_OK);
    return out;
}

/* One stream over many packets: the contexts carry over from packet to packet. */
static void test_round_trip(gconstpointer data)
{
    const Method *m = data;
    MigMultifdCodec *out = mig_multifd_compressor_new(m->method, 1);
    MigMultifdCodec *in = mig_multifd_decompressor_new();
    guint8 pages[PAGES * PAGE], back[PAGES * PAGE];
    const uint8_t *each[PAGES];

    for (guint packet = 0; packet < PACKETS; packet++) {
        guint count = 1 + packet % PAGES;
        gsize n;
        fill(pages, each, count, packet);
        g_autofree guint8 *bytes = compress(out, m, each, count, &n);
        g_assert_cmpint(mig_multifd_decompress(in, m->flags, bytes, n, back, count * PAGE), ==,
                        MIG_CODEC_OK);
        g_assert_cmpmem(back, count * PAGE, pages, count * PAGE);
    }
    mig_multifd_codec_free(out);
    mig_multifd_codec_free(in);
}

static MigCodecStatus decompress_fresh(const Method *m, const guint8 *bytes, gsize n, gsize out_len)
{
    MigMultifdCodec *in = mig_multifd_decompressor_new();
    g_autofree guint8 *back = g_malloc(out_len);
    MigCodecStatus s = mig_multifd_decompress(in, m->flags, bytes, n, back, out_len);
    mig_multifd_codec_free(in);
    return s;
}

static void test_damage(gconstpointer data)
{
    const Method *m = data;
    MigMultifdCodec *out = mig_multifd_compressor_new(m->method, 1);
    guint8 pages[4 * PAGE];
    const uint8_t *each[4];
    gsize n;

    fill(pages, each, 4, 1);
    g_autofree guint8 *bytes = compress(out, m, each, 4, &n);
    g_assert_cmpint(decompress_fresh(m, bytes, n / 2, 4 * PAGE), ==, MIG_CODEC_TOO_SHORT);
    g_assert_cmpint(decompress_fresh(m, bytes, n, 5 * PAGE), ==, MIG_CODEC_TOO_SHORT);
    g_assert_cmpint(decompress_fresh(m, bytes, n, 3 * PAGE), ==, MIG_CODEC_TOO_LONG);
    if (m->flags) {
        memset(bytes, 0x5a, MIN(n, 16));
        g_assert_cmpint(decompress_fresh(m, bytes, n, 4 * PAGE), ==, MIG_CODEC_BAD_DATA);
    }
    mig_multifd_codec_free(out);
}

static void test_hardware(void)
{
    Method qpl = { .flags = MIG_MULTIFD_FLAG_QPL };
    guint8 byte = 0;
    g_assert_cmpint(decompress_fresh(&qpl, &byte, 1, PAGE), ==, MIG_CODEC_UNSUPPORTED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(methods); i++) {
        g_autofree char *trip = g_strconcat("/multifd-codec/round-trip/", methods[i].name, NULL);
        g_autofree char *damage = g_strconcat("/multifd-codec/damage/", methods[i].name, NULL);
        g_test_add_data_func(trip, &methods[i], test_round_trip);
        g_test_add_data_func(damage, &methods[i], test_damage);
    }
    g_test_add_func("/multifd-codec/hardware-methods", test_hardware);
    return g_test_run();
}
