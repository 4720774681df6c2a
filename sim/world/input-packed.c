/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See input-packed.h. Memory is the buffer and what the codec needs. Looking ahead costs a second
 * decompression of the file from its beginning (input-again.c).
 */
#include "sim/world/input-packed.h"

#include <gio/gio.h>
#include <string.h>

typedef struct PackedInput {
    MigInput base;
    const MigUnpack *unpack;
    void *codec;
    const uint8_t *in; /* lent by the inner input */
    size_t in_left;
    bool in_end, between;
    GError *error; /* the first; nothing is read behind it */
    size_t ready;  /* bytes of out that nobody has got yet */
    uint8_t out[MIG_INPUT_BUFFER];
} PackedInput;

static bool damaged(PackedInput *p, const char *why)
{
    p->error =
        g_error_new(G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: %s data is damaged near compressed offset %" G_GUINT64_FORMAT ": %s",
                    p->base.name, p->unpack->ops.name, p->base.inner->offset - p->in_left, why);
    return false;
}

/* One step of the codec; false at the end and after a failure. */
static bool step(PackedInput *p)
{
    if (p->in_left == 0 && !p->in_end) {
        if (!mig_input_next(p->base.inner, &p->in, &p->in_left, &p->error)) {
            return false;
        }
        p->in_end = p->in_left == 0;
    }
    if (p->in_end && p->between) {
        return false;
    }
    MigUnpackStep s = { p->in, p->in_left, p->out + p->ready, sizeof(p->out) - p->ready,
                        p->between };
    const char *wrong = p->unpack->step(p->codec, &s);
    bool stuck = s.in_left == p->in_left && s.out == p->out + p->ready;
    p->ready = (size_t)(s.out - p->out);
    p->in = s.in;
    p->in_left = s.in_left;
    p->between = s.between;
    if (wrong) {
        return damaged(p, wrong);
    }
    if (stuck) {
        return damaged(p, p->in_end ? "it ends in the middle" : "the rest means nothing");
    }
    return true;
}

/* Tries to have |want| bytes ready. */
static void fill(PackedInput *p, size_t want)
{
    while (p->ready < want && !p->error && step(p)) {
    }
}

bool mig_input_packed_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    PackedInput *p = (PackedInput *)in;

    fill(p, 1);
    if (p->ready == 0 && p->error) {
        g_propagate_error(error, g_error_copy(p->error));
        return false;
    }
    *data = p->out;
    *n = p->ready;
    p->ready = 0;
    return true;
}

size_t mig_input_packed_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    PackedInput *p = (PackedInput *)in;

    if (in->offset != 0 || offset != 0 || n > sizeof(p->out)) {
        return mig_input_again_peek(in, offset, dst, n);
    }
    fill(p, n);
    n = MIN(n, p->ready);
    memcpy(dst, p->out, n);
    return n;
}

void mig_input_packed_close(MigInput *in)
{
    PackedInput *p = (PackedInput *)in;
    p->unpack->destroy(p->codec);
    g_clear_error(&p->error);
    g_free(p);
}

MigInput *mig_input_packed_new(MigInput *inner, const MigUnpack *unpack)
{
    PackedInput *p = g_new(PackedInput, 1);
    memset(p, 0, offsetof(PackedInput, out));
    mig_input_wrap(&p->base, &unpack->ops, inner);
    p->unpack = unpack;
    p->codec = unpack->create();
    return &p->base;
}
