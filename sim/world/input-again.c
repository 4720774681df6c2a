/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking ahead in what can't seek: the same contents are opened once more and read from the
 * beginning. Costs a pass over the file, so callers look once and keep what they saw.
 */
#include <string.h>

#include "sim/world/input.h"

/* Keeps the last |cap| of what went by in |kept|. */
static void keep_tail(GByteArray *kept, size_t cap, const uint8_t *data, size_t n)
{
    if (n >= cap) {
        g_byte_array_set_size(kept, 0);
        g_byte_array_append(kept, data + (n - cap), (guint)cap);
        return;
    }
    if (kept->len > 2 * cap) { /* move seldom */
        g_byte_array_remove_range(kept, 0, kept->len - (guint)cap);
    }
    g_byte_array_append(kept, data, (guint)n);
}

GBytes *mig_input_again_tail(MigInput *in, size_t cap, GError **error)
{
    const uint8_t *data;
    size_t n;

    if (!in->path || cap > G_MAXUINT / 4) {
        return NULL;
    }
    g_autoptr(MigInput) again = mig_input_again(in, error);
    g_autoptr(GByteArray) kept = g_byte_array_new();
    if (!again) {
        return NULL;
    }
    do {
        if (!mig_input_next(again, &data, &n, error)) {
            return NULL;
        }
        keep_tail(kept, cap, data, n);
    } while (n > 0);
    in->size = again->offset;
    if (kept->len > cap) {
        g_byte_array_remove_range(kept, 0, kept->len - (guint)cap);
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&kept));
}

size_t mig_input_again_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    const uint8_t *data;
    size_t got, filled = 0;

    if (!in->path) {
        return 0;
    }
    g_autoptr(MigInput) again = mig_input_again(in, NULL);
    while (again && filled < n && mig_input_next(again, &data, &got, NULL) && got > 0) {
        uint64_t begin = again->offset - got;
        uint64_t want = offset + filled;
        if (again->offset > want) {
            size_t part = (size_t)MIN(n - filled, again->offset - want);
            memcpy((uint8_t *)dst + filled, data + (want - begin), part);
            filled += part;
        }
    }
    return filled;
}
