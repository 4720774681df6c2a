/* SPDX-License-Identifier: Apache-2.0 */
/* See packing.h. */
#include "tests/unit/packing.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "sim/world/input.h"

#define XML "<domain type='qemu'>\n  <name>guest &amp; co</name>\n</domain>\n"

GBytes *mig_test_contents(gsize n)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    guint8 *data = g_malloc(n + 4);

    for (gsize i = 0; i < n; i++) { /* half of it packs well */
        data[i] = (i / 1000) % 2 ? (guint8)(i / 4096) : (guint8)g_rand_int(rand);
    }
    memcpy(data, "QEVM", 4);
    return g_bytes_new_take(data, n);
}

static GBytes *join(GBytes *a, GBytes *b)
{
    GByteArray *out = g_byte_array_new();
    g_byte_array_append(out, g_bytes_get_data(a, NULL), (guint)g_bytes_get_size(a));
    g_byte_array_append(out, g_bytes_get_data(b, NULL), (guint)g_bytes_get_size(b));
    return g_byte_array_free_to_bytes(out);
}

GBytes *mig_test_pack_raw(GBytes *in)
{
    return g_bytes_ref(in);
}

GBytes *mig_test_pack_gzip(GBytes *in)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(in, &n);
    z_stream z = { 0 };

    g_assert_cmpint(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), ==, Z_OK);
    gsize cap = deflateBound(&z, n);
    guint8 *out = g_malloc(cap);
    z.next_in = (Bytef *)(guintptr)data;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    g_assert_cmpint(deflate(&z, Z_FINISH), ==, Z_STREAM_END);
    GBytes *packed = g_bytes_new_take(out, z.total_out);
    deflateEnd(&z);
    return packed;
}

GBytes *mig_test_pack_gzip_members(GBytes *in)
{
    gsize n = g_bytes_get_size(in);
    g_autoptr(GBytes) a = g_bytes_new_from_bytes(in, 0, n / 3);
    g_autoptr(GBytes) b = g_bytes_new_from_bytes(in, n / 3, n - n / 3);
    g_autoptr(GBytes) pa = mig_test_pack_gzip(a), pb = mig_test_pack_gzip(b), both = join(pa, pb);
    g_autoptr(GBytes) zeros = g_bytes_new_take(g_malloc0(700), 700);
    return join(both, zeros);
}

GBytes *mig_test_pack_zstd(GBytes *in)
{
    gsize cap = ZSTD_compressBound(g_bytes_get_size(in));
    guint8 *out = g_malloc(cap);
    size_t n = ZSTD_compress(out, cap, g_bytes_get_data(in, NULL), g_bytes_get_size(in), 3);
    g_assert_false(ZSTD_isError(n));
    return g_bytes_new_take(out, n);
}

static void put(guint8 *h, guint word, guint32 v, bool big)
{
    v = big ? GUINT32_TO_BE(v) : GUINT32_TO_LE(v);
    memcpy(h + 16 + 4 * word, &v, 4);
}

GBytes *mig_test_pack_image(GBytes *in, guint32 compression, bool big)
{
    guint8 h[MIG_LIBVIRT_HEADER + sizeof(XML) + 100] = "LibvirtQemudSave";
    put(h, 0, 2, big);
    put(h, 1, sizeof(XML) + 100, big);
    put(h, 2, 1, big);
    put(h, 3, compression, big);
    memcpy(h + MIG_LIBVIRT_HEADER, XML, sizeof(XML));
    g_autoptr(GBytes) head = g_bytes_new(h, sizeof(h));
    return join(head, in);
}

GBytes *mig_test_pack_libvirt(GBytes *in)
{
    return mig_test_pack_image(in, 0, false);
}

GBytes *mig_test_pack_libvirt_big(GBytes *in)
{
    return mig_test_pack_image(in, 0, true);
}

GBytes *mig_test_pack_libvirt_gzip(GBytes *in)
{
    g_autoptr(GBytes) inner = mig_test_pack_gzip(in);
    return mig_test_pack_image(inner, 1, false);
}

GBytes *mig_test_pack_libvirt_zstd(GBytes *in)
{
    g_autoptr(GBytes) inner = mig_test_pack_zstd(in);
    return mig_test_pack_image(inner, 5, true);
}

GBytes *mig_test_pack_nested(GBytes *in)
{
    g_autoptr(GBytes) a = mig_test_pack_libvirt_gzip(in), b = mig_test_pack_zstd(a);
    return mig_test_pack_gzip_members(b);
}
