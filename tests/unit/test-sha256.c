/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 says what GLib's does, whatever the length and however the bytes are cut. */
#include <glib.h>
#include <string.h>

#include "sim/world/sha256.h"

#define LONGEST 100000u

static guint8 *bytes(void)
{
    guint8 *data = g_malloc(LONGEST);
    for (guint i = 0; i < LONGEST; i++) {
        data[i] = (guint8)(i * 2654435761u >> 24);
    }
    return data;
}

/* The digest of |n| bytes in pieces of |step|. */
static void expect_same(const guint8 *data, gsize n, gsize step)
{
    g_autofree char *expected = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, n);
    g_autoptr(MigSha256) s = mig_sha256_new();
    for (gsize at = 0; at < n; at += step) {
        mig_sha256_update(s, data + at, MIN(step, n - at));
    }
    g_assert_cmpstr(mig_sha256_text(s), ==, expected);
    g_assert_cmpstr(mig_sha256_text(s), ==, expected);
}

static void test_every_length(void)
{
    g_autofree guint8 *data = bytes();
    for (gsize n = 0; n < 300; n++) {
        expect_same(data, n, LONGEST);
    }
}

static void test_every_step(void)
{
    g_autofree guint8 *data = bytes();
    for (gsize step = 1; step < 200; step++) {
        expect_same(data, 1000, step);
    }
    expect_same(data, LONGEST, LONGEST);
    expect_same(data, LONGEST, 4099);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sha256/every-length", test_every_length);
    g_test_add_func("/sha256/every-step", test_every_step);
    return g_test_run();
}
