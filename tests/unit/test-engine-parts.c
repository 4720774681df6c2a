/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's bookkeeping: dirty bitmap, stream object, devices. */
#include <glib.h>
#include <string.h>

#include "sim/engine/bitmap.h"
#include "sim/engine/config.h"
#include "sim/engine/devices.h"
#include "sim/engine/outbuf.h"
#include "sim/world/prng.h"

/* Against an array of bools, over sizes around the words of both levels. */
static void test_bitmap_model(void)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 4095, 4096, 4097, 9000 };
    GRand *rand = g_rand_new_with_seed(3);
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint64_t n = sizes[i], count = 0;
        MigBitmap *b = mig_bitmap_new(n);
        g_autofree bool *model = g_new0(bool, n);
        for (int step = 0; step < 400; step++) {
            uint64_t first = g_rand_int(rand) % n, len = g_rand_int(rand) % (n - first) / 8 + 1;
            bool set = g_rand_boolean(rand);
            uint64_t changed = 0, dirty = 0;
            for (uint64_t k = first; k < first + len; k++) {
                changed += model[k] != set;
                model[k] = set;
            }
            g_assert_cmpuint(set ? mig_bitmap_set_range(b, first, len)
                                 : mig_bitmap_clear_range(b, first, len),
                             ==, changed);
            count += set ? changed : -changed;
            g_assert_cmpuint(b->set, ==, count);
            uint64_t from = g_rand_int(rand) % n, next = from;
            while (next < n && !model[next]) {
                next++;
            }
            g_assert_cmpuint(mig_bitmap_next(b, from), ==, next);
            for (uint64_t k = from; k < n; k++) {
                dirty += model[k];
            }
            g_assert_cmpuint(mig_bitmap_count_range(b, from, n - from), ==, dirty);
        }
        mig_bitmap_free(b);
    }
    g_rand_free(rand);
}

/* Three bitmaps as arrays of flags: ranges, whole or not, move what is set and drop the same. */
static void test_bitmap_move_range(void)
{
    enum { BITS = 9000 };
    g_autoptr(GRand) random = g_rand_new_with_seed(3);
    for (unsigned round = 0; round < 500; round++) {
        g_autofree bool *flags = g_new0(bool, 3 * BITS);
        MigBitmap *maps[3];
        int one_in = g_rand_int_range(random, 1, 200);
        for (unsigned k = 0; k < 3; k++) {
            maps[k] = mig_bitmap_new(BITS);
            for (uint64_t i = 0; i < BITS; i++) {
                flags[k * BITS + i] = g_rand_int_range(random, 0, one_in) == 0;
                if (flags[k * BITS + i]) {
                    mig_bitmap_set(maps[k], i);
                }
            }
        }
        uint64_t first = (uint64_t)g_rand_int_range(random, 0, BITS), n = BITS - first;
        n = round % 2 ? n : (uint64_t)g_rand_int_range(random, 0, (int)n + 1);
        bool drops = round % 3 == 0;
        mig_bitmap_move_range(drops ? NULL : maps[0], maps[1], maps[2], first, n);
        for (uint64_t i = first; i < first + n; i++) {
            flags[i] = flags[i] || (flags[BITS + i] && !drops);
            flags[2 * BITS + i] = flags[2 * BITS + i] && !flags[BITS + i];
            flags[BITS + i] = false;
        }
        for (unsigned k = 0; k < 3; k++) {
            uint64_t set = 0, at = 0;
            for (uint64_t i = 0; i < BITS; i++) {
                set += flags[k * BITS + i];
                if (flags[k * BITS + i]) {
                    g_assert_cmpuint(mig_bitmap_next(maps[k], at), ==, i); /* the summary, too */
                    at = i + 1;
                }
            }
            g_assert_cmpuint(maps[k]->set, ==, set);
            g_assert_cmpuint(mig_bitmap_next(maps[k], at), ==, BITS);
            mig_bitmap_free(maps[k]);
        }
    }
}

/* Lists of bits: what is new goes on, and what lies where nobody is sure. */
static void test_bitmap_set_list(void)
{
    enum { BITS = 5 * MIG_BITMAP_GROUP + 77, MOST = 200 };
    MigPrng p = mig_prng(1, "set-list", 0);
    g_autofree bool *flags = g_new0(bool, BITS);
    MigBitmap *b = mig_bitmap_new(BITS);
    for (unsigned round = 0; round < 300; round++) {
        bool sure[6];
        uint64_t list[MOST], expected[MOST], got[MOST];
        unsigned n = (unsigned)mig_prng_below(&p, MOST + 1), left = 0;
        for (unsigned i = 0; i < G_N_ELEMENTS(sure); i++) {
            sure[i] = mig_prng_chance(&p, 1, 2);
        }
        for (unsigned i = 0; i < n; i++) {
            list[i] = mig_prng_below(&p, BITS);
            expected[left] = list[i];
            left += !flags[list[i]] || !sure[list[i] / MIG_BITMAP_GROUP];
            flags[list[i]] = true;
        }
        if (round % 3 == 0) {
            mig_bitmap_set_list(b, list, n);
        } else {
            g_assert_cmpuint(mig_bitmap_set_list_but(b, list, n, sure, got), ==, left);
            g_assert_cmpmem(got, left * sizeof *got, expected, left * sizeof *got);
        }
    }
    uint64_t set = 0;
    for (uint64_t i = 0; i < BITS; i++) {
        g_assert_cmpint(mig_bitmap_test(b, i), ==, flags[i]);
        set += flags[i];
    }
    g_assert_cmpuint(b->set, ==, set);
    g_assert_cmpuint(mig_bitmap_clear_range(b, 0, BITS), ==, set);
    g_assert_cmpuint(mig_bitmap_next(b, 0), ==, BITS);
    mig_bitmap_free(b);
}

static void test_bitmap_sparse(void)
{
    uint64_t n = 1ull << 28; /* 1 TiB of 4 KiB pages */
    MigBitmap *b = mig_bitmap_new(n);
    g_assert_cmpuint(mig_bitmap_next(b, 0), ==, n);
    g_assert_true(mig_bitmap_set(b, n - 1));
    g_assert_false(mig_bitmap_set(b, n - 1));
    g_assert_true(mig_bitmap_set(b, 5));
    g_assert_cmpuint(mig_bitmap_next(b, 6), ==, n - 1);
    MigBitmap *into = mig_bitmap_new(n);
    mig_bitmap_set(into, 5);
    g_assert_cmpuint(mig_bitmap_move(into, b), ==, 1);
    g_assert_cmpuint(b->set, ==, 0);
    g_assert_cmpuint(into->set, ==, 2);
    mig_bitmap_free(b);
    mig_bitmap_free(into);
}

static void test_outbuf_pages(void)
{
    MigOutbuf b = { 0 };
    for (int i = 1; i <= 96; i++) {
        uint64_t out = mig_outbuf_put(&b, 8);
        g_assert_cmpuint(out, ==, 0);
        out = mig_outbuf_put_page(&b, 4096);
        g_assert_cmpuint(out, ==, i % 32 == 0 ? 131328 : 0);
    }
    g_assert_cmpuint(b.flushed, ==, 3 * 131328);
}

static void test_outbuf_small(void)
{
    MigOutbuf b = { 0 };
    uint64_t out = 0;
    for (int i = 0; i < 3641; i++) { /* zero pages: 9 bytes each, a flush per 32 KiB */
        out += mig_outbuf_put(&b, 9);
    }
    g_assert_cmpuint(out, ==, 32768);
    g_assert_cmpuint(b.pending, ==, 3641 * 9 - 32768);
    g_assert_cmpuint(mig_outbuf_flush(&b), ==, 3641 * 9 - 32768);
    g_assert_cmpuint(mig_outbuf_flush(&b), ==, 0);
    g_assert_cmpuint(mig_outbuf_put_piece(&b, 100000), ==, 3 * 32768);
}

/* 63 vectors, then a header: its first byte is the 64th, and leaves without the others. */
static void test_outbuf_splits_header(void)
{
    MigOutbuf b = { 0 };
    for (int i = 0; i < 63; i++) {
        g_assert_cmpuint(mig_outbuf_put_page(&b, 10), ==, 0);
    }
    g_assert_cmpuint(mig_outbuf_put(&b, 8), ==, 631);
    g_assert_cmpuint(b.pending, ==, 7);
    for (int i = 0; i < 62; i++) {
        mig_outbuf_put_page(&b, 10);
    }
    g_assert_cmpuint(mig_outbuf_put_piece(&b, 8), ==, 7 + 620 + 8);
    g_assert_cmpuint(b.pending, ==, 0);
}

static void test_capability_names(void)
{
    for (MigCapability cap = 0; cap < MIG_CAP_COUNT; cap++) {
        g_assert_cmpint(mig_capability_find(mig_capability_name(cap)), ==, cap);
    }
    g_assert_cmpint(mig_capability_find("no-such"), ==, MIG_CAP_COUNT);
}

/* The lengths of the description on -M none, as captured from real sources. */
static void test_devices_description(void)
{
    static const struct {
        MigVersion version;
        size_t length;
    } rows[] = { { MIG_VERSION_OF(5, 2), 535 },
                 { MIG_VERSION_OF(7, 2), 486 },
                 { MIG_VERSION_OF(10, 0), 823 },
                 { MIG_VERSION_OF(11, 1), 823 } };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        MigEra era;
        g_assert_cmpint(mig_era_resolve(rows[i].version, NULL, &era), ==, MIG_ERA_OK);
        MigDevices *d = mig_devices_new(&era, "none", 4096);
        mig_devices_add_timer(d, &era, 0, 0);
        mig_devices_add_globalstate(d, &era, 4, "prelaunch");
        mig_devices_finish(d);
        g_assert_cmpuint(d->count, ==, 2);
        g_assert_cmpuint(d->list[0].body_len, ==, 24);
        g_assert_cmpuint(d->list[1].body_len, ==, 104);
        g_assert_cmpuint(d->text_len, ==, rows[i].length);
        mig_devices_free(d);
    }
}

/* Groups of pages, as large as there is room for, leave the buffer as the pages do one by one. */
static void test_groups(void)
{
    MigPrng p = mig_prng(1, "groups", 0);
    MigOutbuf one = { 0 }, many = { 0 };
    for (unsigned i = 0, grouped = 0; i < 5000 || grouped < 1000; i++) {
        unsigned room = mig_outbuf_room(&many, 9 * 64), zero = (unsigned)mig_prng_below(&p, 30);
        unsigned normal = room ? (unsigned)mig_prng_below(&p, MIN(room, 34) + 1) : 1;
        uint64_t flushed = 0;
        zero = room ? zero : 0;
        for (unsigned n = 0; n < zero + normal; n++) { /* zero ones first */
            flushed += mig_outbuf_put(&one, 8);
            flushed += n < zero ? mig_outbuf_put(&one, 1) : mig_outbuf_put_page(&one, 4096);
        }
        if (room && zero + normal > 0) {
            grouped++;
            g_assert_cmpuint(mig_outbuf_put_pages(&many, zero, normal, normal == 0, 4096), ==,
                             flushed);
        } else {
            many = one;
        }
        g_assert_cmpmem(&one, sizeof(one), &many, sizeof(many));
        if (mig_prng_chance(&p, 1, 50)) { /* the buffer nearly full, or what a section ends with */
            mig_outbuf_put(&one, mig_prng_below(&p, 32000));
            many = one;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/engine/bitmap/model", test_bitmap_model);
    g_test_add_func("/engine/bitmap/move-range", test_bitmap_move_range);
    g_test_add_func("/engine/bitmap/set-list", test_bitmap_set_list);
    g_test_add_func("/engine/bitmap/sparse", test_bitmap_sparse);
    g_test_add_func("/engine/outbuf/pages-leave-by-32", test_outbuf_pages);
    g_test_add_func("/engine/outbuf/small-records-leave-by-32-KiB", test_outbuf_small);
    g_test_add_func("/engine/outbuf/flush-splits-a-header", test_outbuf_splits_header);
    g_test_add_func("/engine/outbuf/groups", test_groups);
    g_test_add_func("/engine/capabilities/names", test_capability_names);
    g_test_add_func("/engine/devices/description-length", test_devices_description);
    return g_test_run();
}
