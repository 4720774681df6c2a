/* SPDX-License-Identifier: Apache-2.0 */
/* One zlib stream per page, see page-codec.h. The context is reset for each, not made anew. */
#include "stream/page-codec.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

#include "stream/limits.h"

struct MigPageCodec {
    z_stream zlib;
    bool deflates;
};

MigPageCodec *mig_page_compressor_new(int level)
{
    MigPageCodec *c = level < 0 || level > 9 ? NULL : calloc(1, sizeof(*c));
    if (c && deflateInit(&c->zlib, level) != Z_OK) {
        free(c);
        return NULL;
    }
    if (c) {
        c->deflates = true;
    }
    return c;
}

MigPageCodec *mig_page_decompressor_new(void)
{
    MigPageCodec *c = calloc(1, sizeof(*c));
    if (c && inflateInit(&c->zlib) != Z_OK) {
        free(c);
        return NULL;
    }
    return c;
}

void mig_page_codec_free(MigPageCodec *c)
{
    if (c) {
        (c->deflates ? deflateEnd : inflateEnd)(&c->zlib);
        free(c);
    }
}

size_t mig_page_compress(MigPageCodec *c, const uint8_t *page, size_t n, uint8_t *out)
{
    size_t room = mig_limit_compressed((uint32_t)n);
    assert(c->deflates);
    deflateReset(&c->zlib);
    c->zlib.next_in = (uint8_t *)(uintptr_t)page;
    c->zlib.avail_in = (uInt)n;
    c->zlib.next_out = out;
    c->zlib.avail_out = (uInt)room;
    int result = deflate(&c->zlib, Z_FINISH);
    assert(result == Z_STREAM_END); /* the bound holds for any page */
    (void)result;
    return room - c->zlib.avail_out;
}

size_t mig_page_decompress(MigPageCodec *c, const uint8_t *in, size_t in_len, uint8_t *page,
                           size_t n)
{
    assert(!c->deflates);
    inflateReset(&c->zlib);
    c->zlib.next_in = (uint8_t *)(uintptr_t)in;
    c->zlib.avail_in = (uInt)in_len;
    c->zlib.next_out = page;
    c->zlib.avail_out = (uInt)n;
    int result = inflate(&c->zlib, Z_SYNC_FLUSH);
    return result == Z_STREAM_END ? n - c->zlib.avail_out : SIZE_MAX;
}
