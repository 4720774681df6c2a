/* SPDX-License-Identifier: Apache-2.0 */
/* Merging, see merge.h. Rows stay where they are, in the mapped files; what is sorted is a table.
 */
#include "sim/sweep/merge.h"

#include <string.h>

#include "sim/sweep/output.h"

static gint compare(gconstpointer a, gconstpointer b)
{
    uint64_t x = ((const MigRowLine *)a)->index, y = ((const MigRowLine *)b)->index;
    return x < y ? -1 : x > y;
}

static bool add_file(MigRowsSet *s, const char *path, GError **error)
{
    MigRows *r = mig_rows_load(path, error);
    if (!r) {
        return false;
    }
    g_ptr_array_add(s->files, r);
    if (!r->header.spec) {
        g_set_error(error, MIG_ROWS_ERROR, 0,
                    "%s: expected the header of a sweep's rows, the "
                    "file is empty",
                    path);
        return false;
    }
    const MigRows *first = s->files->pdata[0];
    if (!mig_rows_same(&first->header, first->path, &r->header, path, error)) {
        return false;
    }
    g_array_append_vals(s->lines, r->lines->data, r->lines->len);
    return true;
}

static bool drop_repeated(MigRowsSet *s, GError **error)
{
    guint kept = 0;
    for (guint i = 0; i < s->lines->len; i++) {
        MigRowLine *line = &g_array_index(s->lines, MigRowLine, i);
        MigRowLine *last = kept ? &g_array_index(s->lines, MigRowLine, kept - 1) : NULL;
        if (!last || last->index != line->index) {
            g_array_index(s->lines, MigRowLine, kept++) = *line;
            s->invalid += line->invalid;
        } else if (last->length != line->length ||
                   memcmp(last->text, line->text, line->length) != 0) {
            g_set_error(error, MIG_ROWS_SET_ERROR, MIG_ROWS_SET_ERROR_DIFFERS,
                        "cell %" G_GUINT64_FORMAT " has two different rows:\n%.*s%.*s", line->index,
                        (int)last->length, last->text, (int)line->length, line->text);
            return false;
        }
    }
    g_array_set_size(s->lines, kept);
    return true;
}

MigRowsSet *mig_rows_set_load(const char *const *paths, GError **error)
{
    g_autoptr(MigRowsSet) s = g_new0(MigRowsSet, 1);
    s->files = g_ptr_array_new_with_free_func((GDestroyNotify)mig_rows_free);
    s->lines = g_array_new(FALSE, FALSE, sizeof(MigRowLine));
    for (; *paths; paths++) {
        if (!add_file(s, *paths, error)) {
            return NULL;
        }
    }
    g_array_sort(s->lines, compare);
    if (!drop_repeated(s, error)) {
        return NULL;
    }
    s->missing = mig_rows_set_header(s)->cells - s->lines->len;
    return g_steal_pointer(&s);
}

void mig_rows_set_free(MigRowsSet *s)
{
    if (s) {
        g_array_unref(s->lines);
        g_ptr_array_unref(s->files);
        g_free(s);
    }
}

const MigRowsHeader *mig_rows_set_header(const MigRowsSet *s)
{
    return &((const MigRows *)s->files->pdata[0])->header;
}

const MigRowLine *mig_rows_set_find(const MigRowsSet *s, uint64_t index)
{
    const MigRowLine key = { .index = index };
    guint at;
    return g_array_binary_search(s->lines, &key, compare, &at)
               ? &g_array_index(s->lines, MigRowLine, at)
               : NULL;
}

bool mig_rows_set_merge(const MigRowsSet *s, const char *path, char **hash, GError **error)
{
    g_autoptr(MigSweepOutput) out = mig_sweep_output_open(path, error);
    MigRowsHeader header = *mig_rows_set_header(s);
    header.shard = NULL;
    g_autofree char *first = mig_rows_header_line(&header);
    g_autofree char *last = mig_rows_end_line(s->lines->len);
    if (!out) {
        return false;
    }
    mig_sweep_output_write(out, first, strlen(first));
    for (guint i = 0; i < s->lines->len; i++) {
        const MigRowLine *line = &g_array_index(s->lines, MigRowLine, i);
        mig_sweep_output_write(out, line->text, line->length);
    }
    if (s->missing == 0) {
        mig_sweep_output_write(out, last, strlen(last));
    }
    *hash = g_strdup(mig_sweep_output_hash(out));
    return mig_sweep_output_close(out, error);
}
