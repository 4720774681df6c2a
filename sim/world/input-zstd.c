/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A zstd-compressed input (any number of frames) around another input. Looking ahead costs a second
 * decompression of the whole file: its last bytes are kept, nothing else.
 */
#include <gio/gio.h>
#include <string.h>
#include <zstd.h>

#include "sim/world/input.h"

typedef struct ZstdInput {
    MigInput base;
    MigInput *inner;
    char *path;
    ZSTD_DCtx *context;
    ZSTD_inBuffer in;
    size_t hint; /* of the last call: 0 between frames */
    uint8_t *out;
    size_t out_size;
    size_t held; /* bytes of out that a peek made and nobody has got yet */
} ZstdInput;

static bool corrupt(ZstdInput *z, const char *why, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s: zstd data is damaged near compressed offset %" G_GUINT64_FORMAT ": %s",
                z->base.name, z->inner->offset - (z->in.size - z->in.pos), why);
    return false;
}

/* More compressed bytes; *end when there are none. */
static bool refill(ZstdInput *z, bool *end, GError **error)
{
    const uint8_t *data = NULL;
    size_t n = 0;

    if (!mig_input_next(z->inner, &data, &n, error)) {
        return false;
    }
    z->in = (ZSTD_inBuffer){ data, n, 0 };
    *end = n == 0;
    return true;
}

static bool zstd_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    ZstdInput *z = (ZstdInput *)in;
    ZSTD_outBuffer out = { z->out, z->out_size, 0 };
    bool end = false;

    out.pos = z->held;
    z->held = 0;
    while (out.pos == 0) {
        if (z->in.pos == z->in.size && !refill(z, &end, error)) {
            return false;
        }
        if (end && z->hint == 0) {
            break;
        }
        size_t before = z->in.pos;
        z->hint = ZSTD_decompressStream(z->context, &out, &z->in);
        if (ZSTD_isError(z->hint)) {
            return corrupt(z, ZSTD_getErrorName(z->hint), error);
        }
        if (end && out.pos == 0 && z->in.pos == before) {
            return corrupt(z, "it ends inside a frame", error);
        }
    }
    *data = z->out;
    *n = out.pos;
    return true;
}

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

static GBytes *zstd_tail(MigInput *in, size_t cap, GError **error)
{
    ZstdInput *z = (ZstdInput *)in;
    const uint8_t *data;
    size_t n;

    if (!z->path || cap > G_MAXUINT / 4) {
        return NULL;
    }
    g_autoptr(MigInput) again = mig_input_open(z->path, error);
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

static size_t zstd_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    ZstdInput *z = (ZstdInput *)in;
    const uint8_t *data;
    size_t got, filled = 0;

    if (in->offset == 0 && offset == 0) { /* the beginning, to see what it is */
        if (!zstd_next(in, &data, &got, NULL)) {
            return 0;
        }
        z->held = got;
        memcpy(dst, data, MIN(n, got));
        return MIN(n, got);
    }
    if (!z->path) {
        return 0;
    }
    g_autoptr(MigInput) again = mig_input_open(z->path, NULL);
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

static void zstd_close(MigInput *in)
{
    ZstdInput *z = (ZstdInput *)in;
    mig_input_free(z->inner);
    ZSTD_freeDCtx(z->context);
    g_free(z->path);
    g_free(z->out);
    g_free(z);
}

static const MigInputOps zstd_ops = { "zstd", zstd_next, NULL, zstd_tail, zstd_peek, zstd_close };

MigInput *mig_input_zstd_new(MigInput *inner, const char *path, GError **error)
{
    ZstdInput *z = g_new0(ZstdInput, 1);
    z->base =
        (MigInput){ .ops = &zstd_ops, .name = g_strdup(inner->name), .size = MIG_INPUT_UNKNOWN };
    z->inner = inner;
    z->path = g_strdup(path);
    z->context = ZSTD_createDCtx();
    z->out_size = MAX(ZSTD_DStreamOutSize(), MIG_INPUT_BUFFER);
    z->out = g_malloc(z->out_size);
    ZSTD_DCtx_setParameter(z->context, ZSTD_d_windowLogMax, MIG_INPUT_WINDOW_LOG);
    return &z->base;
}
