/* SPDX-License-Identifier: Apache-2.0 */
/* See traces.h. A raw trace is <id>.mig.zst, a container of several channels <id>.pcapng.zst. */
#include "tests/unit/traces.h"

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
    const char *suffix = strcmp(container, "raw") == 0 ? ".mig.zst" : ".pcapng.zst";
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

GBytes *mig_test_trace_load(const char *id)
{
    g_autofree char *folder = trace_folder();
    g_autofree char *name = g_strconcat(id, ".mig.zst", NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *data = NULL;
    g_autoptr(GError) error = NULL;
    gsize n;

    g_file_get_contents(path, &data, &n, &error);
    g_assert_no_error(error);
    return decompress(data, n);
}
