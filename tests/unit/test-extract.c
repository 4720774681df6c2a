/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extracted memory is QEMU's: for every trace whose manifest has the hash of a block's memory,
 * taken from the emulator at the other end (or its file), the image has the same hash. And bytes of
 * strangers are refused with their place.
 */
#include <json-c/json.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance/extract.h"
#include "tests/unit/recordings.h"
#include "tests/unit/traces.h"

static char *hash_of(int fd)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    off_t size = lseek(fd, 0, SEEK_END);
    uint8_t *data = size ? mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0) : NULL;

    g_assert_true(data != MAP_FAILED);
    g_checksum_update(sum, data, (gssize)size);
    if (data) {
        munmap(data, (size_t)size);
    }
    return g_strdup(g_checksum_get_string(sum));
}

static int extract(MigRecording *m, const char *block, MigExtractResult *result)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(fd, >=, 0);
    g_assert_true(mig_extract(m, block, fd, result, &error));
    g_assert_no_error(error);
    return fd;
}

static json_object *manifest(const char *id)
{
    g_autofree char *path = mig_test_trace_path(id, ".json");
    json_object *root = json_object_from_file(path);
    g_assert_nonnull(root);
    return root;
}

static void expect_memory(const char *id, const char *block, const char *hash)
{
    g_autoptr(MigRecording) m = mig_test_recording(id);
    g_auto(MigExtractResult) result = { 0 };
    int fd = extract(m, block, &result);

    g_test_message("%s: %s", id, block);
    if (result.bad) {
        g_test_message("offset %" G_GUINT64_FORMAT " %s: expected %s, found %s", result.why.offset,
                       result.why.path, result.why.expected, result.why.found);
    }
    g_assert_false(result.bad);
    g_assert_true(result.found);
    if (g_str_has_prefix(id, "ignore-shared")) {
        g_assert_true(result.left_out);
    } else {
        g_autofree char *mine = hash_of(fd);
        g_assert_false(result.left_out);
        g_assert_cmpuint(result.pages, >, 0);
        g_assert_cmpstr(mine, ==, hash);
    }
    close(fd);
}

static void test_memory(gconstpointer id)
{
    json_object *root = manifest(id), *memory;

    g_assert_true(json_object_object_get_ex(root, "memory", &memory));
    json_object_object_foreach(memory, block, hash)
    {
        expect_memory(id, block, json_object_get_string(hash));
    }
    json_object_put(root);
}

static bool has_memory(const char *id)
{
    json_object *root = manifest(id);
    bool has = json_object_object_get_ex(root, "memory", NULL);
    json_object_put(root);
    return has;
}

/* |keep| owns the ids, which the tests point to. */
static guint add_all(const char *container, GPtrArray *keep)
{
    GPtrArray *ids = mig_test_trace_ids(container);
    g_ptr_array_add(keep, ids);
    guint n = 0;

    for (guint i = 0; i < ids->len; i++) {
        if (has_memory(ids->pdata[i])) {
            g_autofree char *path =
                g_strdup_printf("/extract/memory-is-qemus/%s", (char *)ids->pdata[i]);
            g_test_add_data_func(path, ids->pdata[i], test_memory);
            n++;
        }
    }
    return n;
}

static guint tested;

static void test_enough(void)
{
    g_assert_cmpuint(tested, >=, 55);
}

/* Every block of every recording can be extracted, whether or not somebody knows its memory. */
static void test_every_block(gconstpointer id)
{
    g_autoptr(MigRecording) list = mig_test_recording(id);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    unsigned channel;
    MigRecord r;

    while (mig_recording_next(list, &channel, &r, NULL) == MIG_STATUS_RECORD &&
           r.type != MIG_REC_RAM_EOS) {
        if (r.type == MIG_REC_RAM_BLOCK) {
            g_ptr_array_add(names, g_strndup(r.block.name.text, r.block.name.len));
        }
    }
    g_assert_cmpuint(names->len, >, 0);
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(MigRecording) m = mig_test_recording(id);
        g_auto(MigExtractResult) result = { 0 };
        int fd = extract(m, names->pdata[i], &result);
        g_assert_false(result.bad);
        g_assert_true(result.found);
        g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, (off_t)result.length);
        close(fd);
    }
}

/* ---- bytes of strangers ---- */

typedef struct Hostile {
    const char *name, *base, *channel;
    MigRecordType type;
    int nth;
    bool end; /* delta counts from behind the record, not its payload */
    int delta;
    const char *hex;
    int expect; /* offset of the diagnosis from the record */
    const char *found;
} Hostile;

static const Hostile hostiles[] = {
    { "multifd-offset-behind-the-block", "multifd-none-2-10.0", "multifd0", MIG_REC_MULTIFD_PACKET,
      1, false, 320, "00000000ffff0000", 320, "0xffff0000" },
    { "multifd-offset-that-wraps", "multifd-none-2-7.2", "multifd0", MIG_REC_MULTIFD_PACKET, 1,
      false, 328, "fffffffffffff000", 328, "0xfffffffffffff000" },
    { "multifd-offset-unaligned", "multifd-none-2-11.1", "multifd1", MIG_REC_MULTIFD_PACKET, 1,
      false, 320, "0000000000000008", 320, "0x8" },
    { "multifd-zlib-damaged", "multifd-zlib-2-10.0", "multifd0", MIG_REC_MULTIFD_PACKET, 1, true, 8,
      "ffffffffffffffffffffffff", -1, NULL },
    { "multifd-zstd-damaged", "multifd-zstd-2-10.0", "multifd0", MIG_REC_MULTIFD_PACKET, 1, true, 0,
      "00000000", -1, NULL },
    { "xbzrle-run-behind-the-page", "xbzrle-7.2", "main", MIG_REC_RAM_XBZRLE, 3, true, 0, "ff7f",
      -1, NULL },
    { "zlib-page-damaged", "compress-7.2", "main", MIG_REC_RAM_COMPRESS, 2, true, 2, "ffffffff", -1,
      NULL },
    { "mapped-pages-behind-the-file", "mapped-ram-10.0", "main", MIG_REC_RAM_BLOCK, 0, false, 31,
      "0000000010000000", -1, NULL },
    { NULL },
};

static void test_hostile(gconstpointer data)
{
    const Hostile *h = data;
    g_autoptr(MigTestRecording) t = mig_test_recording_load(h->base);
    g_auto(MigExtractResult) result = { 0 };
    uint64_t at;
    const MigRecord *r = mig_test_recording_find(t, h->channel, h->type, h->nth);

    at = r->offset + (h->end ? r->wire : 0) + (uint64_t)h->delta;
    mig_test_recording_replace(t, h->channel, at, (unsigned)strlen(h->hex) / 2, h->hex);
    g_autoptr(MigRecording) m = mig_test_recording_open(t);
    int fd = extract(m, "m0", &result);
    if (strstr(h->base, "xbzrle") && !result.bad) {
        close(fd);
        g_autoptr(MigRecording) again = mig_test_recording_open(t);
        fd = extract(again, "pc.ram", &result);
    }
    g_assert_true(result.bad);
    g_assert_cmpstr(result.channel, ==, h->channel);
    g_assert_cmpstr(result.why.path, !=, "");
    g_assert_cmpstr(result.why.expected, !=, "");
    if (h->expect >= 0) {
        g_assert_cmpuint(result.why.offset, ==, r->offset + (uint64_t)h->expect);
        g_assert_cmpstr(result.why.found, ==, h->found);
    } else {
        g_assert_cmpuint(result.why.offset, >=, r->offset);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) keep = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    tested = add_all("raw", keep) + add_all("pcapng", keep) + add_all("libvirt", keep);
    g_test_add_func("/extract/memory-of-enough-traces", test_enough);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("pcapng");
    for (guint i = 0; i < ids->len; i++) {
        g_autofree char *path = g_strdup_printf("/extract/every-block/%s", (char *)ids->pdata[i]);
        g_test_add_data_func(path, ids->pdata[i], test_every_block);
    }
    for (const Hostile *h = hostiles; h->name; h++) {
        g_autofree char *path = g_strdup_printf("/extract/hostile/%s", h->name);
        g_test_add_data_func(path, h, test_hostile);
    }
    return g_test_run();
}
