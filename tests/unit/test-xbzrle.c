/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XBZRLE: the canonical bytes, every implementation against a byte-at-a-time model, decoding back,
 * and each way a delta can be wrong.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "stream/xbzrle.h"

/* The rules of the encoder one byte at a time, written for clarity and checked by eye. */
static int model_encode(const uint8_t *a, const uint8_t *b, size_t n, uint8_t *out, size_t room)
{
    size_t used = 0, i = 0;

    while (i < n) {
        size_t run[2] = { 0, 0 };
        size_t start;

        if (room < used + 2) {
            return MIG_XBZRLE_OVERFLOW;
        }
        for (; i < n && a[i] == b[i]; i++) {
            run[0]++;
        }
        if (i == n) {
            break;
        }
        for (start = i; i < n && a[i] != b[i]; i++) {
            run[1]++;
        }
        for (unsigned k = 0; k < 2; k++) {
            if (run[k] > 16383 || room < used + 2) {
                return MIG_XBZRLE_OVERFLOW;
            }
            if (run[k] > 127) {
                out[used++] = (uint8_t)(run[k] % 128 + 128);
            }
            out[used++] = (uint8_t)(run[k] > 127 ? run[k] / 128 : run[k]);
        }
        if (run[1] > room - used) {
            return MIG_XBZRLE_OVERFLOW;
        }
        for (size_t j = 0; j < run[1]; j++) {
            out[used++] = b[start + j];
        }
    }
    return (int)used;
}

/* Both pages and the delta end exactly at the end of a heap block: ASan sees every overrun. */
static void check_pair(const uint8_t *old_page, const uint8_t *new_page, size_t n, size_t room)
{
    g_autofree uint8_t *a = g_memdup2(old_page, n), *b = g_memdup2(new_page, n);
    g_autofree uint8_t *expected = g_malloc(room + 1), *delta = g_malloc(room ? room : 1);
    int length = model_encode(a, b, n, expected, room);

    for (const MigXbzrleImpl *impl = mig_xbzrle_impls; impl->name; impl++) {
        if (!impl->supported()) {
            continue;
        }
        g_assert_cmpint(impl->encode(a, b, n, delta, room), ==, length);
        if (length > 0) {
            g_assert_cmpmem(delta, (size_t)length, expected, (size_t)length);
        }
    }
    g_assert_cmpint(mig_xbzrle_encode(a, b, n, delta, room), ==, length);
    if (length > 0 && (size_t)length <= n) {
        MigXbzrleInfo info, check;

        g_assert_cmpint(mig_xbzrle_decode(delta, (size_t)length, a, n, &info), ==, MIG_XBZRLE_OK);
        g_assert_cmpmem(a, n, b, n);
        g_assert_cmpuint(info.notes, ==, 0);
        g_assert_cmpint(mig_xbzrle_check(delta, (size_t)length, n, &check), ==, MIG_XBZRLE_OK);
        g_assert_cmpuint(check.end, ==, info.end);
        g_assert_cmpuint(check.written, ==, info.written);
    }
}

static void test_canonical_bytes(void)
{
    static const struct {
        const char *old_page, *new_page;
        int length;
        const char *delta;
    } rows[] = {
        { "abcdefgh", "abcdefgh", 0, "" },
        { "abcdefgh", "Xbcdefgh", 3, "\0\1X" },
        { "abcdefgh", "abcdefgX", 3, "\7\1X" },
        { "abcdefgh", "aXYdeZgh", 7, "\1\2XY\2\1Z" },
        { "abcdefgh", "ABCDEFGH", MIG_XBZRLE_OVERFLOW, "" },
        { "abcdefgh", "ABCDEFgh", 8, "\0\6ABCDEF" },
    };
    uint8_t delta[16];

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        size_t room = rows[i].length > 3 ? 10 : 8;
        int length = mig_xbzrle_encode((const uint8_t *)rows[i].old_page,
                                       (const uint8_t *)rows[i].new_page, 8, delta, room);

        g_assert_cmpint(length, ==, rows[i].length);
        if (length > 0) {
            g_assert_cmpmem(delta, (size_t)length, rows[i].delta, (size_t)length);
        }
    }
    /* Full to the last byte with an unwritten zrun to come: QEMU wants room to look at it. */
    g_assert_cmpint(
        mig_xbzrle_encode((const uint8_t *)"abcdefgh", (const uint8_t *)"ABCDEFgh", 8, delta, 8),
        ==, MIG_XBZRLE_OVERFLOW);
}

/* Every single run [start, end) of a small page, at every capacity. */
static void test_every_run(void)
{
    uint8_t a[80], b[80];

    for (size_t n = 1; n <= sizeof(a); n += n < 20 ? 1 : 12) {
        for (size_t start = 0; start <= n; start++) {
            for (size_t end = start; end <= n; end++) {
                memset(a, 7, sizeof(a));
                memset(b, 7, sizeof(b));
                memset(b + start, 9, end - start);
                check_pair(a, b, n, n);
            }
        }
    }
}

static void test_every_capacity(void)
{
    uint8_t a[256] = { 0 }, b[256] = { 0 };

    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] = (uint8_t)(i % 5 == 0 || i % 40 > 20);
    }
    for (size_t room = 0; room < 300; room++) {
        check_pair(a, b, sizeof(a), room);
        check_pair(a, b, 100, room);
    }
}

/* Changes about one byte in `every`, in clumps of up to `clump`. */
static void scatter(GRand *rand, uint8_t *page, size_t n, size_t every, size_t clump)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++) {
        if (left == 0 && g_rand_int_range(rand, 0, (gint32)(every * clump)) == 0) {
            left = (size_t)g_rand_int_range(rand, 1, (gint32)clump + 1);
        }
        if (left > 0) {
            page[i] = (uint8_t)(page[i] + g_rand_int_range(rand, 0, 256));
            left--;
        }
    }
}

static void test_random_pages(void)
{
    static const size_t sizes[] = { 64, 200, 512, 1000, 4096, 4096, 4096, 8192, 16384, 65536 };
    static const size_t everies[] = { 1, 2, 3, 8, 64, 500, 4000 };
    static const size_t clumps[] = { 1, 2, 9, 33, 70, 600, 5000, 20000 };
    GRand *rand = g_rand_new_with_seed(20);
    g_autofree uint8_t *a = g_malloc(65536), *b = g_malloc(65536);

    for (unsigned round = 0; round < 2000; round++) {
        size_t n = sizes[g_rand_int_range(rand, 0, G_N_ELEMENTS(sizes))];
        size_t every = everies[g_rand_int_range(rand, 0, G_N_ELEMENTS(everies))];
        size_t clump = clumps[g_rand_int_range(rand, 0, G_N_ELEMENTS(clumps))];

        for (size_t i = 0; i < n; i++) {
            a[i] = (uint8_t)g_rand_int(rand);
        }
        memcpy(b, a, n);
        scatter(rand, b, n, every, clump);
        check_pair(a, b, n, n);
    }
    g_rand_free(rand);
}

/* Runs whose lengths stand on the steps of the length's form, and beyond what it can say. */
static void test_length_steps(void)
{
    static const size_t steps[] = { 1, 127, 128, 129, 4095, 4096, 16382, 16383, 16384, 40000 };
    g_autofree uint8_t *a = g_malloc0(65536), *b = g_malloc0(65536);

    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(steps); j++) {
            size_t end = steps[i] + steps[j];
            if (end < 65536) {
                for (size_t k = 0; k < 65536; k++) {
                    b[k] = k >= steps[i] && k < end;
                }
                check_pair(a, b, 65536, 65536);
            }
        }
    }
}

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static const struct {
    const char *name;
    const uint8_t *delta;
    size_t n;
    MigXbzrleFault fault;
    size_t at;
    uint32_t notes;
} deltas[] = {
    { "empty", BYTES(""), MIG_XBZRLE_OK, 0, MIG_XBZRLE_NOTE_EMPTY },
    { "plain", BYTES("\1\2ab"), MIG_XBZRLE_OK, 4, 0 },
    { "to-the-end", BYTES("\6\2ab"), MIG_XBZRLE_OK, 4, 0 },
    { "wide-zrun", BYTES("\x81\0\2ab"), MIG_XBZRLE_OK, 5, MIG_XBZRLE_NOTE_WIDE_LENGTH },
    { "wide-nzrun", BYTES("\1\x82\0ab"), MIG_XBZRLE_OK, 5, MIG_XBZRLE_NOTE_WIDE_LENGTH },
    { "wide-empty-first", BYTES("\x80\0\1a"), MIG_XBZRLE_OK, 4, MIG_XBZRLE_NOTE_WIDE_LENGTH },
    { "too-long", BYTES("\0\1a\1\1a\1\1a"), MIG_XBZRLE_DELTA_TOO_LONG, 0, 0 },
    { "truncated-zrun", BYTES("\x81"), MIG_XBZRLE_LENGTH_TRUNCATED, 0, 0 },
    { "truncated-nzrun", BYTES("\1\x81"), MIG_XBZRLE_LENGTH_TRUNCATED, 1, 0 },
    { "too-wide-zrun", BYTES("\x81\x80\1a"), MIG_XBZRLE_LENGTH_TOO_WIDE, 0, 0 },
    { "too-wide-nzrun",
      BYTES("\1\x81\x80"
            "a"),
      MIG_XBZRLE_LENGTH_TOO_WIDE, 1, 0 },
    { "second-zrun-empty", BYTES("\1\1a\0\1b"), MIG_XBZRLE_ZRUN_EMPTY, 3, 0 },
    { "second-zrun-wide-empty", BYTES("\1\1a\x80\0\1b"), MIG_XBZRLE_ZRUN_EMPTY, 3, 0 },
    { "zrun-past-page", BYTES("\x9\1a"), MIG_XBZRLE_ZRUN_PAST_PAGE, 0, 0 },
    { "zrun-trailing", BYTES("\1\1a\3"), MIG_XBZRLE_ZRUN_TRAILING, 3, 0 },
    { "zrun-trailing-wide", BYTES("\1\1a\x83\0"), MIG_XBZRLE_ZRUN_TRAILING, 3, 0 },
    { "zrun-alone", BYTES("\3"), MIG_XBZRLE_ZRUN_TRAILING, 0, 0 },
    { "zrun-to-end-then-nzrun", BYTES("\x8\1a"), MIG_XBZRLE_NZRUN_PAST_PAGE, 1, 0 },
    { "nzrun-empty", BYTES("\1\0\1a"), MIG_XBZRLE_NZRUN_EMPTY, 1, 0 },
    { "nzrun-past-page", BYTES("\7\2ab"), MIG_XBZRLE_NZRUN_PAST_PAGE, 1, 0 },
    { "nzrun-past-delta", BYTES("\1\3ab"), MIG_XBZRLE_NZRUN_PAST_DELTA, 2, 0 },
    { "nzrun-huge",
      BYTES("\1\xff\x7f"
            "a"),
      MIG_XBZRLE_NZRUN_PAST_DELTA, 3, 0 },
};

static void test_delta(gconstpointer data)
{
    unsigned i = GPOINTER_TO_UINT(data);
    g_autofree uint8_t *delta = g_malloc(deltas[i].n ? deltas[i].n : 1);
    g_autofree uint8_t *page = g_malloc0(8);
    MigXbzrleInfo info;

    memcpy(delta, deltas[i].delta, deltas[i].n);
    g_assert_cmpint(mig_xbzrle_check(delta, deltas[i].n, 8, &info), ==, deltas[i].fault);
    g_assert_cmpint(info.fault, ==, deltas[i].fault);
    g_assert_cmpuint(info.at, ==, deltas[i].at);
    if (!deltas[i].fault) {
        g_assert_cmpuint(info.notes, ==, deltas[i].notes);
    }
    g_assert_cmpint(mig_xbzrle_decode(delta, deltas[i].n, page, 8, NULL), ==, deltas[i].fault);
    g_assert_cmpint(mig_xbzrle_decode(delta, deltas[i].n, page, 8, &info), ==, deltas[i].fault);
    g_assert_cmpuint(info.at, ==, deltas[i].at);
    g_assert_nonnull(mig_xbzrle_fault_name(deltas[i].fault));
    g_assert_nonnull(mig_xbzrle_fault_text(deltas[i].fault));
}

static void test_same_byte_is_noted(void)
{
    uint8_t page[8] = "abcdefg";
    MigXbzrleInfo info;

    g_assert_cmpint(mig_xbzrle_decode(BYTES("\1\3XcY"), page, 8, &info), ==, MIG_XBZRLE_OK);
    g_assert_cmpuint(info.notes, ==, MIG_XBZRLE_NOTE_SAME_BYTE);
    g_assert_cmpstr((char *)page, ==, "aXcYefg");
    g_assert_cmpuint(info.end, ==, 4);
    g_assert_cmpuint(info.written, ==, 3);
    g_assert_cmpuint(info.runs, ==, 1);
}

/* Random bytes and broken deltas: the decoder stays inside, and check and decode agree. */
static void test_hostile(void)
{
    GRand *rand = g_rand_new_with_seed(35);

    for (unsigned round = 0; round < 200000; round++) {
        size_t n = (size_t)g_rand_int_range(rand, 0, 40);
        size_t page_size = (size_t)g_rand_int_range(rand, 0, 64);
        g_autofree uint8_t *delta = g_malloc(n ? n : 1);
        g_autofree uint8_t *page = g_malloc0(page_size ? page_size : 1);
        MigXbzrleInfo checked, decoded;

        for (size_t i = 0; i < n; i++) {
            delta[i] = (uint8_t)(g_rand_boolean(rand) ? g_rand_int(rand)
                                                      : (guint32)g_rand_int_range(rand, 0, 4));
        }
        mig_xbzrle_check(delta, n, page_size, &checked);
        mig_xbzrle_decode(delta, n, page, page_size, &decoded);
        decoded.notes &= ~MIG_XBZRLE_NOTE_SAME_BYTE;
        g_assert_cmpint(checked.fault, ==, decoded.fault);
        g_assert_cmpuint(checked.at, ==, decoded.at);
        g_assert_cmpuint(checked.notes, ==, decoded.notes);
        g_assert_cmpuint(checked.end, <=, page_size);
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/xbzrle/canonical-bytes", test_canonical_bytes);
    g_test_add_func("/stream/xbzrle/every-run", test_every_run);
    g_test_add_func("/stream/xbzrle/every-capacity", test_every_capacity);
    g_test_add_func("/stream/xbzrle/length-steps", test_length_steps);
    g_test_add_func("/stream/xbzrle/random-pages", test_random_pages);
    for (unsigned i = 0; i < G_N_ELEMENTS(deltas); i++) {
        g_autofree char *path = g_strdup_printf("/stream/xbzrle/delta/%s", deltas[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_delta);
    }
    g_test_add_func("/stream/xbzrle/same-byte-noted", test_same_byte_is_noted);
    g_test_add_func("/stream/xbzrle/hostile", test_hostile);
    return g_test_run();
}
