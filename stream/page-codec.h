/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of COMPRESS_PAGE records: each is a zlib stream (RFC 1950) of its own, so one context
 * serves any page in any order.
 */
#ifndef MIG_STREAM_PAGE_CODEC_H
#define MIG_STREAM_PAGE_CODEC_H

#include <stddef.h>
#include <stdint.h>

typedef struct MigPageCodec MigPageCodec;

/* |level| as compress-level, 0 to 9. NULL: memory exhausted, or a level that is none. */
MigPageCodec *mig_page_compressor_new(int level);
MigPageCodec *mig_page_decompressor_new(void);
void mig_page_codec_free(MigPageCodec *c); /* NULL is fine */

/*
 * Compresses |n| bytes that nobody may change meanwhile. Returns the bytes written to |out|, which
 * has room for mig_limit_compressed(n).
 */
size_t mig_page_compress(MigPageCodec *c, const uint8_t *page, size_t n, uint8_t *out);

/*
 * Decompresses to |page|, which has room for |n| bytes. Returns how many there were, or SIZE_MAX
 * for what is no whole zlib stream or holds more; some bytes of |page| may have changed then.
 */
size_t mig_page_decompress(MigPageCodec *c, const uint8_t *in, size_t in_len, uint8_t *page,
                           size_t n);

#endif
