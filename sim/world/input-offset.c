/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream that begins behind the start of its file, as QEMU's file:PATH,offset=N writes it. The
 * bytes in front belong to somebody else; places that the stream names stay those of the file.
 */
#include <gio/gio.h>

#include "sim/world/input.h"

typedef struct OffsetInput {
    MigInput base;
    uint64_t first; /* of the stream, in the inner input */
} OffsetInput;

static bool offset_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    OffsetInput *o = (OffsetInput *)in;

    while (o->base.inner->offset < o->first) {
        uint64_t left = o->first - o->base.inner->offset;
        if (mig_input_skip(o->base.inner, left) == left) {
            break;
        }
        left = o->first - o->base.inner->offset;
        if (!mig_input_next(o->base.inner, data, n, error)) {
            return false;
        }
        if (*n == 0) {
            return true; /* the file ends before the offset: an empty stream */
        }
        if (*n > left) {
            *data += left;
            *n -= (size_t)left;
            return true;
        }
    }
    return mig_input_next(o->base.inner, data, n, error);
}

static uint64_t offset_skip(MigInput *in, uint64_t n)
{
    OffsetInput *o = (OffsetInput *)in;
    return o->base.inner->offset < o->first ? 0 : mig_input_skip(o->base.inner, n);
}

static GBytes *offset_tail(MigInput *in, size_t cap, GError **error)
{
    OffsetInput *o = (OffsetInput *)in;
    g_autoptr(GBytes) tail = mig_input_tail(o->base.inner, cap, error);
    uint64_t size = o->base.inner->size;

    if (!tail || size == MIG_INPUT_UNKNOWN || size < o->first) {
        return NULL;
    }
    gsize n = g_bytes_get_size(tail);
    gsize mine = (gsize)MIN(n, size - o->first);
    return g_bytes_new_from_bytes(tail, n - mine, mine);
}

static size_t offset_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    OffsetInput *o = (OffsetInput *)in;
    return offset > UINT64_MAX - o->first
               ? 0
               : mig_input_peek(o->base.inner, o->first + offset, dst, n);
}

static void offset_close(MigInput *in)
{
    g_free(in);
}

static const MigInputOps ops = { "offset",    offset_next, offset_skip,
                                 offset_tail, offset_peek, offset_close };

MigInput *mig_input_offset_new(MigInput *inner, uint64_t offset)
{
    OffsetInput *o = g_new0(OffsetInput, 1);
    mig_input_wrap(&o->base, &ops, inner);
    o->first = offset;
    o->base.start = inner->start + offset;
    if (inner->size != MIG_INPUT_UNKNOWN) {
        o->base.size = inner->size > offset ? inner->size - offset : 0;
    }
    return &o->base;
}
