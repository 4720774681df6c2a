/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zero detection: every implementation gives the right answer for every length, alignment and
 * place of a non-zero byte, and reads nothing outside.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/zero.h"

static bool dispatch_supported(void)
{
    return true;
}

static const MigZeroImpl dispatched = { "dispatched", dispatch_supported, mig_is_zero };

/* Two inaccessible pages around `pages` accessible ones: a read outside crashes. */
static unsigned char *guarded(size_t pages)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *p =
        mmap(NULL, (pages + 2) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(p != MAP_FAILED);
    g_assert_cmpint(mprotect(p, page, PROT_NONE), ==, 0);
    g_assert_cmpint(mprotect(p + (pages + 1) * page, page, PROT_NONE), ==, 0);
    return p + page;
}

static void release(unsigned char *p, size_t pages)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    munmap(p - page, (pages + 2) * page);
}

/* Buffers of n bytes at both ends of the accessible memory, so that every alignment comes up. */
static void check_length(const MigZeroImpl *impl, unsigned char *memory, size_t size, size_t n)
{
    unsigned char *starts[] = { memory, memory + size - n };

    for (unsigned k = 0; k < G_N_ELEMENTS(starts); k++) {
        unsigned char *p = starts[k];

        g_assert_true(impl->fn(p, n));
        for (size_t i = 0; i < n; i++) {
            p[i] = (unsigned char)(1u << i % 8);
            g_assert_false(impl->fn(p, n));
            p[i] = 0;
        }
    }
}

static void test_every_place(gconstpointer data)
{
    const MigZeroImpl *impl = data;
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *memory;

    if (!impl->supported()) {
        g_test_skip("this processor does not have it");
        return;
    }
    memory = guarded(1);
    for (size_t n = 0; n <= 300; n++) {
        check_length(impl, memory, size, n);
    }
    check_length(impl, memory, size, 4096);
    check_length(impl, memory, size, 4095);
    check_length(impl, memory, size, 4089);
    release(memory, 1);
}

/* A byte outside the buffer never counts. */
static void test_neighbours(gconstpointer data)
{
    const MigZeroImpl *impl = data;
    unsigned char memory[512];

    if (!impl->supported()) {
        g_test_skip("this processor does not have it");
        return;
    }
    for (size_t start = 1; start < 70; start++) {
        for (size_t n = 0; n <= 400; n++) {
            memset(memory, 0xff, sizeof(memory));
            memset(memory + start, 0, n);
            g_assert_true(impl->fn(memory + start, n));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const MigZeroImpl *impl = mig_zero_impls;; impl++) {
        const MigZeroImpl *row = impl->name ? impl : &dispatched;
        g_autofree char *places = g_strdup_printf("/stream/zero/%s/every-place", row->name);
        g_autofree char *neighbours = g_strdup_printf("/stream/zero/%s/neighbours", row->name);

        g_test_add_data_func(places, row, test_every_place);
        g_test_add_data_func(neighbours, row, test_neighbours);
        if (!impl->name) {
            break;
        }
    }
    return g_test_run();
}
