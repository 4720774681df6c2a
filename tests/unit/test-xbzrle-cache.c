/* SPDX-License-Identifier: Apache-2.0 */
/* The XBZRLE cache: slots, ages, who may push whom out, resizing. */
#include <glib.h>
#include <string.h>

#include "stream/xbzrle-cache.h"

#define PAGE 64u

typedef MigXbzrleCache Cache;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cache, mig_xbzrle_cache_free)

static void fill(uint8_t *page, uint8_t value)
{
    memset(page, value, PAGE);
}

static const uint8_t *insert(Cache *cache, uint64_t page_number, uint8_t value, uint64_t age)
{
    uint8_t page[PAGE];

    fill(page, value);
    return mig_xbzrle_cache_insert(cache, page_number * PAGE, page, age);
}

static void test_sizes(void)
{
    static const struct {
        uint64_t size;
        size_t page;
        size_t slots; /* 0: refused */
    } rows[] = {
        { 64 << 10, 4096, 16 },    { 4096, 4096, 1 },
        { 4095, 4096, 0 },         { 0, 4096, 0 },
        { 3 * 4096, 4096, 0 },     { 4096, 0, 0 },
        { 4 * 4096 + 1, 4096, 4 }, { 1 << 20, 65536, 16 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Cache) cache = mig_xbzrle_cache_new(rows[i].size, rows[i].page);

        g_assert_cmpuint(cache ? mig_xbzrle_cache_slots(cache) : 0, ==, rows[i].slots);
    }
}

static void test_insert_and_get(void)
{
    g_autoptr(Cache) cache = mig_xbzrle_cache_new(4 * PAGE, PAGE);
    const uint8_t *copy = insert(cache, 5, 0xaa, 1);

    g_assert_nonnull(copy);
    g_assert_true(mig_xbzrle_cache_get(cache, 5 * PAGE, 1) == copy);
    g_assert_cmpuint(copy[PAGE - 1], ==, 0xaa);
    g_assert_null(mig_xbzrle_cache_get(cache, 1 * PAGE, 1)); /* same slot, another page */
    g_assert_null(mig_xbzrle_cache_get(cache, 0, 1));        /* an unused slot */
    g_assert_nonnull(mig_xbzrle_cache_insert(cache, 0, NULL, 1));
    g_assert_cmpuint(mig_xbzrle_cache_peek(cache, 0)[0], ==, 0);
    g_assert_cmpuint(mig_xbzrle_cache_used(cache), ==, 2);
    mig_xbzrle_cache_clear(cache);
    g_assert_cmpuint(mig_xbzrle_cache_used(cache), ==, 0);
    g_assert_null(mig_xbzrle_cache_peek(cache, 0));
}

/* Page 1 is in the slot; page 5 comes for it. */
static void test_who_may_push(void)
{
    static const struct {
        uint64_t inserted, hit; /* ages; hit 0: never asked for */
        uint64_t now;
        bool pushed;
    } rows[] = {
        { 1, 0, 1, false }, { 1, 0, 2, false }, { 1, 0, 3, true },  { 1, 0, 9, true },
        { 1, 2, 3, false }, { 1, 2, 4, true },  { 7, 7, 8, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Cache) cache = mig_xbzrle_cache_new(4 * PAGE, PAGE);

        g_assert_nonnull(insert(cache, 1, 0x11, rows[i].inserted));
        if (rows[i].hit) {
            g_assert_nonnull(mig_xbzrle_cache_get(cache, PAGE, rows[i].hit));
        }
        g_assert_nonnull(mig_xbzrle_cache_peek(cache, PAGE)); /* looking keeps nobody young */
        g_assert_true((insert(cache, 5, 0x55, rows[i].now) != NULL) == rows[i].pushed);
        g_assert_true((mig_xbzrle_cache_peek(cache, 5 * PAGE) != NULL) == rows[i].pushed);
        g_assert_true((mig_xbzrle_cache_peek(cache, PAGE) != NULL) == !rows[i].pushed);
        g_assert_cmpuint(mig_xbzrle_cache_used(cache), ==, 1);
    }
}

static void test_own_page_is_always_replaced(void)
{
    g_autoptr(Cache) cache = mig_xbzrle_cache_new(4 * PAGE, PAGE);

    g_assert_nonnull(insert(cache, 1, 0x11, 5));
    g_assert_nonnull(insert(cache, 1, 0x22, 5));
    g_assert_cmpuint(mig_xbzrle_cache_peek(cache, PAGE)[0], ==, 0x22);
}

static void test_resize_drop(void)
{
    g_autoptr(Cache) cache = mig_xbzrle_cache_new(4 * PAGE, PAGE);

    insert(cache, 1, 0x11, 1);
    g_assert_true(mig_xbzrle_cache_resize(cache, 4 * PAGE, MIG_XBZRLE_CACHE_DROP));
    g_assert_nonnull(mig_xbzrle_cache_peek(cache, PAGE)); /* the same size changes nothing */
    g_assert_false(mig_xbzrle_cache_resize(cache, 3 * PAGE, MIG_XBZRLE_CACHE_DROP));
    g_assert_nonnull(mig_xbzrle_cache_peek(cache, PAGE)); /* a refusal neither */
    g_assert_true(mig_xbzrle_cache_resize(cache, 8 * PAGE, MIG_XBZRLE_CACHE_DROP));
    g_assert_cmpuint(mig_xbzrle_cache_slots(cache), ==, 8);
    g_assert_cmpuint(mig_xbzrle_cache_used(cache), ==, 0);
}

static void test_resize_keep(void)
{
    g_autoptr(Cache) cache = mig_xbzrle_cache_new(8 * PAGE, PAGE);

    insert(cache, 1, 0x11, 3);
    insert(cache, 5, 0x55, 4); /* meets page 1 in 4 slots, and is younger */
    insert(cache, 2, 0x22, 6);
    insert(cache, 6, 0x66, 5); /* meets page 2, and is older */
    g_assert_true(mig_xbzrle_cache_resize(cache, 4 * PAGE, MIG_XBZRLE_CACHE_KEEP));
    g_assert_cmpuint(mig_xbzrle_cache_used(cache), ==, 2);
    g_assert_null(mig_xbzrle_cache_peek(cache, 1 * PAGE));
    g_assert_cmpuint(mig_xbzrle_cache_peek(cache, 5 * PAGE)[7], ==, 0x55);
    g_assert_cmpuint(mig_xbzrle_cache_peek(cache, 2 * PAGE)[7], ==, 0x22);
    g_assert_null(mig_xbzrle_cache_peek(cache, 6 * PAGE));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/xbzrle-cache/sizes", test_sizes);
    g_test_add_func("/stream/xbzrle-cache/insert-and-get", test_insert_and_get);
    g_test_add_func("/stream/xbzrle-cache/who-may-push-whom", test_who_may_push);
    g_test_add_func("/stream/xbzrle-cache/own-page-replaced", test_own_page_is_always_replaced);
    g_test_add_func("/stream/xbzrle-cache/resize-drops", test_resize_drop);
    g_test_add_func("/stream/xbzrle-cache/resize-keeps-younger", test_resize_keep);
    return g_test_run();
}
