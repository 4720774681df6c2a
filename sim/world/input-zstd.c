/* SPDX-License-Identifier: Apache-2.0 */
/* zstd: any number of frames, windows up to MIG_INPUT_WINDOW_LOG. */
#include <zstd.h>

#include "sim/world/input-packed.h"

static void *create(void)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();
    if (!z) {
        g_error("memory is exhausted");
    }
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, MIG_INPUT_WINDOW_LOG);
    return z;
}

static const char *step(void *codec, MigUnpackStep *s)
{
    ZSTD_inBuffer in = { s->in, s->in_left, 0 };
    ZSTD_outBuffer out = { s->out, s->out_left, 0 };
    size_t hint = ZSTD_decompressStream(codec, &out, &in);

    if (ZSTD_isError(hint)) {
        return ZSTD_getErrorName(hint);
    }
    s->in += in.pos;
    s->in_left -= in.pos;
    s->out += out.pos;
    s->out_left -= out.pos;
    s->between = hint == 0;
    return NULL;
}

static void destroy(void *codec)
{
    ZSTD_freeDCtx(codec);
}

static const MigUnpack unpack = { MIG_INPUT_PACKED_OPS("zstd"), create, step, destroy };

MigInput *mig_input_zstd_new(MigInput *inner, GError **error)
{
    return mig_input_packed_new(inner, &unpack);
}
