/* SPDX-License-Identifier: Apache-2.0 */
/* See traces.h. A raw trace is <id>.mig.zst, a container of several channels <id>.pcapng.zst,
 * a libvirt image <id>.save.zst. */
#include "tests/unit/traces.h"

#include <json-c/json.h>
#include <string.h>
#include <zstd.h>

static char *trace_folder(void)
{
    return g_test_build_filename(G_TEST_DIST, "traces", NULL);
}

static int compare_ids(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *mig_test_trace_ids(const char *container)
{
    g_autofree char *folder = trace_folder();
    const char *suffix = strcmp(container, "raw") == 0       ? ".mig.zst"
                         : strcmp(container, "libvirt") == 0 ? ".save.zst"
                                                             : ".pcapng.zst";
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, suffix)) {
            g_ptr_array_add(ids, g_strndup(name, strlen(name) - strlen(suffix)));
        }
    }
    g_ptr_array_sort(ids, compare_ids);
    return ids;
}

static GBytes *decompress(const char *data, gsize n)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    GByteArray *out = g_byte_array_new();
    g_autofree guint8 *chunk = g_malloc(ZSTD_DStreamOutSize());
    ZSTD_inBuffer in = { data, n, 0 };

    while (in.pos < in.size) {
        ZSTD_outBuffer o = { chunk, ZSTD_DStreamOutSize(), 0 };
        size_t left = ZSTD_decompressStream(z, &o, &in);
        g_assert_false(ZSTD_isError(left));
        g_byte_array_append(out, chunk, (guint)o.pos);
    }
    ZSTD_freeDStream(z);
    return g_byte_array_free_to_bytes(out);
}

char *mig_test_trace_path(const char *id, const char *suffix)
{
    g_autofree char *folder = trace_folder();
    g_autofree char *name = g_strconcat(id, suffix, NULL);
    return g_build_filename(folder, name, NULL);
}

gsize mig_test_trace_offset(const char *id)
{
    g_autofree char *path = mig_test_trace_path(id, ".json");
    json_object *manifest = json_object_from_file(path), *offset;
    g_assert_nonnull(manifest);
    gsize n = json_object_object_get_ex(manifest, "offset", &offset)
                  ? (gsize)json_object_get_int64(offset)
                  : 0;
    json_object_put(manifest);
    return n;
}

GBytes *mig_test_trace_load(const char *id)
{
    g_autofree char *path = mig_test_trace_path(id, ".mig.zst");
    g_autofree char *data = NULL;
    g_autoptr(GError) error = NULL;
    gsize n;

    g_file_get_contents(path, &data, &n, &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) file = decompress(data, n);
    gsize offset = mig_test_trace_offset(id);
    return g_bytes_new_from_bytes(file, offset, g_bytes_get_size(file) - offset);
}
