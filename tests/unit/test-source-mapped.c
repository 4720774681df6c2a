/* SPDX-License-Identifier: Apache-2.0 */
/* mapped-ram in whole migrations: where things stand in the file, and that memory is equal. */
#include <string.h>

#include "tests/unit/simulated.h"

#define SCENARIO                                                                               \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": 5, \"guest\": "         \
    "{\"machine\": \"%s\", \"dirty-tracking\": \"%s\", \"ram\": [{\"name\": \"a\", \"size\": " \
    "\"8M\", \"content\": [{\"length\": \"5M\", \"kind\": \"random\"}]}, {\"name\": \"b\", "   \
    "\"size\": \"516k\"}], \"workload\": [{\"block\": \"a\", \"length\": \"2M\", "             \
    "\"pattern\": \"random\", \"rate\": 3000, \"write\": \"bytes:100\"}, {\"block\": \"a\", "  \
    "\"length\": \"1M\", \"pattern\": \"random\", \"rate\": 500, \"write\": \"zero\"}, "       \
    "{\"block\": \"b\", \"length\": \"256k\", \"pattern\": \"random\", \"rate\": 900, "        \
    "\"write\": \"page\"}]}, \"capabilities\": {\"mapped-ram\": true, \"multifd\": %s}, "      \
    "\"parameters\": {\"max-bandwidth\": 6000000, \"downtime-limit\": 1, "                     \
    "\"zero-page-detection\": \"%s\"}, \"events\": [{\"after-pass\": 4, \"do\": \"%s\"%s}], "  \
    "\"limit\": \"60s\"}"
#define LONGER "migrate-set-parameters", ", \"arguments\": {\"downtime-limit\": 2000}"

static void test_memory_equal(void)
{
    static const char *const qemus[] = { "9.0", "10.0", "11.1" };
    static const char *const machines[] = { "none", "pc-i440fx-7.2" };
    static const char *const detections[] = { "none", "legacy", "multifd" };
    for (unsigned k = 0; k < G_N_ELEMENTS(qemus) * 12; k++) {
        g_auto(Simulated) s = simulated_run(
            NULL, SCENARIO, qemus[k % 3], machines[k / 3 % 2], k % 2 ? "kvm-manual-clear" : "tcg",
            k / 6 % 2 ? "true" : "false", detections[k / 12], LONGER);
        const MigDestCounts *d = mig_dest_counts(s.m->dest);
        simulated_expect_fine(&s);
        g_assert_cmpuint(s.stats.ram.dirty_sync_count, >=, 4);
        g_assert_cmpuint(d->normal + d->zero, ==, 2048 + 129);
        g_assert_cmpuint(s.stats.ram.normal, >=, d->normal);
        g_assert_true((k / 12 == 0) == (s.stats.ram.duplicate == 0));
    }
}

/* What came, where. */
typedef struct Image {
    GByteArray *bytes;
} Image;

static bool place(void *opaque, uint64_t at, const void *data, size_t n, GError **error)
{
    Image *image = opaque;
    (void)error;
    if (at + n > image->bytes->len) {
        guint old = image->bytes->len;
        g_byte_array_set_size(image->bytes, (guint)(at + n));
        memset(image->bytes->data + old, 0, image->bytes->len - old);
    }
    memcpy(image->bytes->data + at, data, n);
    return true;
}

static uint64_t be64(const Image *image, uint64_t at)
{
    g_assert_cmpuint(at + 8, <=, image->bytes->len);
    uint64_t value;
    memcpy(&value, image->bytes->data + at, sizeof(value));
    return GUINT64_FROM_BE(value);
}

/* Header behind the entry |name|; returns where the next entry is. */
static uint64_t check_entry(const Image *image, uint64_t at, const char *name, uint64_t length,
                            uint64_t *bitmap)
{
    uint64_t header = at + 1 + strlen(name) + 8, bytes = (length / 4096 + 63) / 64 * 8;
    g_assert_cmpuint(image->bytes->data[at], ==, strlen(name));
    g_assert_cmpint(memcmp(image->bytes->data + at + 1, name, strlen(name)), ==, 0);
    g_assert_cmpuint(be64(image, header - 8), ==, length);
    g_assert_cmpuint(be64(image, header) >> 32, ==, 1);
    g_assert_cmpuint(be64(image, header + 4), ==, 4096);
    *bitmap = be64(image, header + 12);
    uint64_t pages = be64(image, header + 20);
    g_assert_cmpuint(*bitmap, ==, header + 28);
    g_assert_cmpuint(pages % (1u << 20), ==, 0);
    g_assert_cmpuint(pages, >=, *bitmap + bytes);
    g_assert_cmpuint(pages - (*bitmap + bytes), <, 1u << 20);
    return pages + length;
}

/* Of the entry of block a, which has 8 MiB. */
static uint64_t find_list(const Image *image)
{
    const uint8_t entry[] = { 1, 'a', 0, 0, 0, 0, 0, 0x80, 0, 0 };
    const void *at = memmem(image->bytes->data, 1024, entry, sizeof(entry));
    g_assert_nonnull(at);
    return (uint64_t)((const uint8_t *)at - image->bytes->data);
}

static unsigned bits_of(const Image *image, uint64_t bitmap, uint64_t pages)
{
    unsigned count = 0;
    for (uint64_t i = 0; i < pages; i++) {
        count += image->bytes->data[bitmap + i / 8] >> i % 8 & 1;
    }
    return count;
}

static void test_layout(void)
{
    for (unsigned multifd = 0; multifd < 2; multifd++) {
        Image image = { .bytes = g_byte_array_new() };
        MigSimulateOptions options = { .place = place, .opaque = &image };
        g_auto(Simulated) s = simulated_run(&options, SCENARIO, "10.0", "none", "tcg",
                                            multifd ? "true" : "false", "multifd", LONGER);
        uint64_t a, b;
        simulated_expect_fine(&s);
        uint64_t end = check_entry(&image, find_list(&image), "a", 8u << 20, &a);
        end = check_entry(&image, end, "b", 516u << 10, &b);
        g_assert_cmphex(be64(&image, end), ==, 0x10); /* the end of the list's section */
        g_assert_cmpuint(bits_of(&image, a, 2048) + bits_of(&image, b, 129), ==,
                         mig_dest_counts(s.m->dest)->normal);
        g_assert_cmpuint(bits_of(&image, b, 192), ==, bits_of(&image, b, 129));
        g_byte_array_unref(image.bytes);
    }
}

/* Until it has completed a file has no page. */
static void test_cancelled(void)
{
    Image image = { .bytes = g_byte_array_new() };
    MigSimulateOptions options = { .place = place, .opaque = &image };
    g_auto(Simulated) s = simulated_run(&options, SCENARIO, "10.0", "none", "tcg", "false",
                                        "multifd", "migrate_cancel", "");
    uint64_t bitmap;
    g_assert_cmpstr(s.stats.status, ==, "cancelled");
    check_entry(&image, find_list(&image), "a", 8u << 20, &bitmap);
    g_assert_cmpuint(bits_of(&image, bitmap, 2048), ==, 0);
    g_assert_cmpuint(image.bytes->len, >, 8u << 20);
    g_byte_array_unref(image.bytes);
}

/* A page is a page, and zero ones are nothing. */
static void test_bytes(void)
{
    g_auto(Simulated) s =
        simulated_run(NULL, SCENARIO, "10.0", "none", "tcg", "true", "multifd", LONGER);
    g_auto(Simulated) single =
        simulated_run(NULL, SCENARIO, "10.0", "none", "tcg", "false", "multifd", LONGER);
    g_assert_cmpuint(s.stats.ram.multifd_bytes, ==, s.stats.ram.normal_bytes);
    g_assert_cmpuint(single.stats.ram.multifd_bytes, ==, 0);
    g_assert_cmpuint(single.stats.ram.transferred, >, single.stats.ram.normal_bytes);
    g_assert_cmpuint(single.stats.ram.transferred, <, single.stats.ram.normal_bytes + 8192);
}

static void test_accounting(void)
{
    static const MigSimulateOptions accounting = { .accounting = true }, one = { .max_run = 1 };
    for (unsigned multifd = 0; multifd < 2; multifd++) {
        const char *on = multifd ? "true" : "false";
        g_auto(Simulated) a =
            simulated_run(NULL, SCENARIO, "10.0", "none", "tcg", on, "multifd", LONGER);
        g_auto(Simulated) b =
            simulated_run(&accounting, SCENARIO, "10.0", "none", "tcg", on, "multifd", LONGER);
        g_auto(Simulated) c =
            simulated_run(&one, SCENARIO, "10.0", "none", "tcg", on, "multifd", LONGER);
        g_assert_cmpstr(a.m->events_digest, ==, b.m->events_digest);
        g_assert_cmpstr(a.m->events_digest, ==, c.m->events_digest);
        g_assert_cmpstr(a.m->bytes_digest, ==, c.m->bytes_digest);
    }
}

static void test_refused(void)
{
    g_autofree char *early = simulated_refusal(
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"8.2\", \"guest\": {\"ram\": "
        "[{\"name\": \"a\", \"size\": \"1M\"}]}, \"capabilities\": {\"mapped-ram\": true}}");
    g_autofree char *delta = simulated_refusal(
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"10.0\", \"guest\": {\"ram\": "
        "[{\"name\": \"a\", \"size\": \"1M\"}]}, \"capabilities\": {\"mapped-ram\": true, "
        "\"xbzrle\": true}}");
    g_assert_nonnull(strstr(early, "came with 9.0"));
    g_assert_nonnull(strstr(delta, "xbzrle"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source/mapped/memory-equal", test_memory_equal);
    g_test_add_func("/source/mapped/layout", test_layout);
    g_test_add_func("/source/mapped/cancelled", test_cancelled);
    g_test_add_func("/source/mapped/bytes", test_bytes);
    g_test_add_func("/source/mapped/accounting", test_accounting);
    g_test_add_func("/source/mapped/refused", test_refused);
    return g_test_run();
}
