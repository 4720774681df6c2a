/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multifd payloads over zlib and zstd.
 *
 * As the send and receive threads do it (multifd-zlib.c, multifd-zstd.c of 5.0 and later): pages
 * are handed to the compressor one by one and only the last one flushes. That makes our compressed
 * bytes equal to QEMU's for the same library version and level.
 */
#include "stream/multifd-codec.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "stream/format.h"

struct MigMultifdCodec {
    MigMultifdMethod method;
    _Bool compressing;
    z_stream zlib;
    _Bool zlib_open;
    ZSTD_CCtx *zstd_out;
    ZSTD_DCtx *zstd_in;
};

const char *mig_codec_status_text(MigCodecStatus status)
{
    static const char *const texts[] = {
        [MIG_CODEC_OK] = "fine",
        [MIG_CODEC_BAD_DATA] = "damaged compressed data",
        [MIG_CODEC_TOO_SHORT] = "compressed data that holds too few bytes",
        [MIG_CODEC_TOO_LONG] = "compressed data that holds too many bytes",
        [MIG_CODEC_NO_ROOM] = "too little room for the compressed data",
        [MIG_CODEC_UNSUPPORTED] = "a compression method that needs hardware",
        [MIG_CODEC_NO_MEMORY] = "memory exhausted",
    };
    return (size_t)status < sizeof(texts) / sizeof(texts[0]) ? texts[status] : "unknown";
}

static _Bool open_compressor(MigMultifdCodec *c, int level)
{
    switch (c->method) {
    case MIG_MULTIFD_ZLIB:
        c->zlib_open = deflateInit(&c->zlib, level) == Z_OK;
        return c->zlib_open;
    case MIG_MULTIFD_ZSTD:
        c->zstd_out = ZSTD_createCCtx();
        return c->zstd_out &&
               !ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd_out, ZSTD_c_compressionLevel, level));
    default:
        return 1;
    }
}

MigMultifdCodec *mig_multifd_compressor_new(MigMultifdMethod method, int level)
{
    MigMultifdCodec *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->method = method;
    c->compressing = 1;
    if (!open_compressor(c, level)) {
        mig_multifd_codec_free(c);
        return NULL;
    }
    return c;
}

MigMultifdCodec *mig_multifd_decompressor_new(void)
{
    return calloc(1, sizeof(MigMultifdCodec));
}

void mig_multifd_codec_free(MigMultifdCodec *c)
{
    if (!c) {
        return;
    }
    if (c->zlib_open && c->compressing) {
        deflateEnd(&c->zlib);
    } else if (c->zlib_open) {
        inflateEnd(&c->zlib);
    }
    ZSTD_freeCCtx(c->zstd_out);
    ZSTD_freeDCtx(c->zstd_in);
    free(c);
}

/* ---- decompressing ---- */

static MigCodecStatus copy(MigMultifdCodec *c, const uint8_t *in, size_t in_len, uint8_t *out,
                           size_t out_len)
{
    if (in_len != out_len) {
        return in_len < out_len ? MIG_CODEC_TOO_SHORT : MIG_CODEC_TOO_LONG;
    }
    memcpy(out, in, in_len);
    return MIG_CODEC_OK;
}

static MigCodecStatus inflate_packet(MigMultifdCodec *c, const uint8_t *in, size_t in_len,
                                     uint8_t *out, size_t out_len)
{
    if (!c->zlib_open && inflateInit(&c->zlib) != Z_OK) {
        return MIG_CODEC_NO_MEMORY;
    }
    c->zlib_open = 1;
    c->zlib.next_in = (uint8_t *)(uintptr_t)in;
    c->zlib.avail_in = (uInt)in_len;
    c->zlib.next_out = out;
    c->zlib.avail_out = (uInt)out_len;
    int result = inflate(&c->zlib, Z_SYNC_FLUSH);
    if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) {
        return MIG_CODEC_BAD_DATA;
    }
    if (c->zlib.avail_out > 0) {
        return MIG_CODEC_TOO_SHORT;
    }
    if (c->zlib.avail_in > 0) { /* the flush marker is all that may be left */
        uint8_t one;
        c->zlib.next_out = &one;
        c->zlib.avail_out = 1;
        result = inflate(&c->zlib, Z_SYNC_FLUSH);
        if (c->zlib.avail_out == 0 || c->zlib.avail_in > 0) {
            return result == Z_DATA_ERROR ? MIG_CODEC_BAD_DATA : MIG_CODEC_TOO_LONG;
        }
    }
    return MIG_CODEC_OK;
}

static MigCodecStatus unzstd_packet(MigMultifdCodec *c, const uint8_t *in, size_t in_len,
                                    uint8_t *out, size_t out_len)
{
    ZSTD_inBuffer i = { in, in_len, 0 };
    ZSTD_outBuffer o = { out, out_len, 0 };

    if (!c->zstd_in) {
        c->zstd_in = ZSTD_createDCtx();
    }
    if (!c->zstd_in) {
        return MIG_CODEC_NO_MEMORY;
    }
    while (i.pos < i.size && o.pos < o.size) {
        if (ZSTD_isError(ZSTD_decompressStream(c->zstd_in, &o, &i))) {
            return MIG_CODEC_BAD_DATA;
        }
    }
    if (o.pos < o.size) {
        return MIG_CODEC_TOO_SHORT;
    }
    uint8_t one;
    ZSTD_outBuffer more = { &one, 1, 0 };
    if (ZSTD_isError(ZSTD_decompressStream(c->zstd_in, &more, &i))) {
        return MIG_CODEC_BAD_DATA;
    }
    return more.pos || i.pos < i.size ? MIG_CODEC_TOO_LONG : MIG_CODEC_OK;
}

MigCodecStatus mig_multifd_decompress(MigMultifdCodec *c, uint32_t flags, const uint8_t *in,
                                      size_t in_len, uint8_t *out, size_t out_len)
{
    switch (flags & MIG_MULTIFD_FLAG_COMPRESSION) {
    case 0:
        return copy(c, in, in_len, out, out_len);
    case MIG_MULTIFD_FLAG_ZLIB:
        return inflate_packet(c, in, in_len, out, out_len);
    case MIG_MULTIFD_FLAG_ZSTD:
        return unzstd_packet(c, in, in_len, out, out_len);
    default:
        return MIG_CODEC_UNSUPPORTED;
    }
}

/* ---- compressing ---- */

size_t mig_multifd_bound(MigMultifdMethod method, size_t bytes)
{
    switch (method) {
    case MIG_MULTIFD_ZLIB:
        return compressBound((uLong)bytes) + 64;
    case MIG_MULTIFD_ZSTD:
        return ZSTD_compressBound(bytes) + 64;
    default:
        return bytes;
    }
}

static MigCodecStatus deflate_page(MigMultifdCodec *c, const uint8_t *page, size_t n, _Bool last)
{
    c->zlib.next_in = (uint8_t *)(uintptr_t)page;
    c->zlib.avail_in = (uInt)n;
    int result = deflate(&c->zlib, last ? Z_SYNC_FLUSH : Z_NO_FLUSH);
    return result == Z_OK && c->zlib.avail_in == 0 ? MIG_CODEC_OK : MIG_CODEC_NO_ROOM;
}

static MigCodecStatus zstd_page(MigMultifdCodec *c, const uint8_t *page, size_t n, _Bool last,
                                ZSTD_outBuffer *o)
{
    ZSTD_inBuffer i = { page, n, 0 };
    size_t left;
    do {
        left = ZSTD_compressStream2(c->zstd_out, o, &i, last ? ZSTD_e_flush : ZSTD_e_continue);
        if (ZSTD_isError(left)) {
            return MIG_CODEC_BAD_DATA;
        }
        if (o->pos == o->size && (left || i.pos < i.size)) {
            return MIG_CODEC_NO_ROOM;
        }
    } while (i.pos < i.size || (last && left));
    return MIG_CODEC_OK;
}

MigCodecStatus mig_multifd_compress(MigMultifdCodec *c, const uint8_t *const *pages, uint32_t count,
                                    size_t page_size, uint8_t *out, size_t cap, size_t *out_len)
{
    MigCodecStatus status = MIG_CODEC_OK;
    ZSTD_outBuffer o = { out, cap, 0 };

    c->zlib.next_out = out;
    c->zlib.avail_out = (uInt)cap;
    for (uint32_t i = 0; i < count && status == MIG_CODEC_OK; i++) {
        _Bool last = i + 1 == count;
        switch (c->method) {
        case MIG_MULTIFD_ZLIB:
            status = deflate_page(c, pages[i], page_size, last);
            break;
        case MIG_MULTIFD_ZSTD:
            status = zstd_page(c, pages[i], page_size, last, &o);
            break;
        default:
            if (cap - o.pos < page_size) {
                return MIG_CODEC_NO_ROOM;
            }
            memcpy(out + o.pos, pages[i], page_size);
            o.pos += page_size;
            break;
        }
    }
    *out_len = c->method == MIG_MULTIFD_ZLIB ? cap - c->zlib.avail_out : o.pos;
    return status;
}
