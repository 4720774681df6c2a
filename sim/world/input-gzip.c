/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip: any number of members, and zero bytes behind the last, which is what tapes and whole disk
 * blocks leave there. Checksums are zlib's business.
 */
#include <zlib.h>

#include "sim/world/input-packed.h"

#define GZIP_ONLY (15 + 16) /* inflateInit2: the largest window; gzip's header and trailer */

typedef struct Gzip {
    z_stream z;
    bool started; /* inside a member */
} Gzip;

static void *create(void)
{
    Gzip *g = g_new0(Gzip, 1);
    if (inflateInit2(&g->z, GZIP_ONLY) != Z_OK) {
        g_error("memory is exhausted");
    }
    return g;
}

static void skip_padding(MigUnpackStep *s)
{
    while (s->in_left > 0 && *s->in == 0) {
        s->in++;
        s->in_left--;
    }
}

static const char *step(void *codec, MigUnpackStep *s)
{
    Gzip *g = codec;

    if (!g->started && s->between) {
        skip_padding(s);
        if (s->in_left == 0) {
            return NULL;
        }
    }
    g->z.next_in = (Bytef *)(uintptr_t)s->in; /* zlib does not write there */
    g->z.avail_in = (uInt)MIN(s->in_left, G_MAXINT);
    g->z.next_out = s->out;
    g->z.avail_out = (uInt)MIN(s->out_left, G_MAXINT);
    int result = inflate(&g->z, Z_NO_FLUSH);
    s->in_left -= (size_t)(g->z.next_in - s->in);
    s->in = g->z.next_in;
    s->out_left -= (size_t)(g->z.next_out - s->out);
    s->out = g->z.next_out;
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return g->z.msg ? g->z.msg : "not what gzip writes";
    }
    g->started = result != Z_STREAM_END;
    s->between = !g->started;
    if (!g->started) {
        inflateReset(&g->z);
    }
    return NULL;
}

static void destroy(void *codec)
{
    Gzip *g = codec;
    inflateEnd(&g->z);
    g_free(g);
}

static const MigUnpack unpack = { MIG_INPUT_PACKED_OPS("gzip"), create, step, destroy };

MigInput *mig_input_gzip_new(MigInput *inner, GError **error)
{
    return mig_input_packed_new(inner, &unpack);
}
