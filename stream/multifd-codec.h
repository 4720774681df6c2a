/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressed payloads of multifd packets. zlib and zstd are streaming: one context per channel
 * and direction lives as long as the channel, and every packet ends with a flush, so packets must
 * be given in order and none may be left out.
 */
#ifndef MIG_STREAM_MULTIFD_CODEC_H
#define MIG_STREAM_MULTIFD_CODEC_H

#include <stddef.h>
#include <stdint.h>

typedef enum MigMultifdMethod {
    MIG_MULTIFD_NONE,
    MIG_MULTIFD_ZLIB,
    MIG_MULTIFD_ZSTD,
} MigMultifdMethod;

typedef enum MigCodecStatus {
    MIG_CODEC_OK,
    MIG_CODEC_BAD_DATA,    /* the compressed bytes are damaged */
    MIG_CODEC_TOO_SHORT,   /* they hold fewer bytes than the packet's pages */
    MIG_CODEC_TOO_LONG,    /* they hold more */
    MIG_CODEC_NO_ROOM,     /* compressing: |cap| is too small */
    MIG_CODEC_UNSUPPORTED, /* a method that needs hardware: QPL, UADK, QATzip */
    MIG_CODEC_NO_MEMORY,
} MigCodecStatus;

/* A few words for people; never NULL. */
const char *mig_codec_status_text(MigCodecStatus status);

typedef struct MigMultifdCodec MigMultifdCodec;

/* |level| as multifd-zlib-level or multifd-zstd-level. NULL: memory exhausted or a level refused.
 */
MigMultifdCodec *mig_multifd_compressor_new(MigMultifdMethod method, int level);
MigMultifdCodec *mig_multifd_decompressor_new(void);
void mig_multifd_codec_free(MigMultifdCodec *c);

/*
 * Decompresses the payload |in| of a packet with |flags| to exactly |out_len| bytes at |out|
 * (normal_pages times the page size). The method is the one in |flags|; none copies.
 */
MigCodecStatus mig_multifd_decompress(MigMultifdCodec *c, uint32_t flags, const uint8_t *in,
                                      size_t in_len, uint8_t *out, size_t out_len);

/*
 * Compresses |count| pages of |page_size| bytes into one packet's payload at |out|; *|out_len|
 * bytes were written. |cap| should be mig_multifd_bound().
 */
MigCodecStatus mig_multifd_compress(MigMultifdCodec *c, const uint8_t *const *pages, uint32_t count,
                                    size_t page_size, uint8_t *out, size_t cap, size_t *out_len);
size_t mig_multifd_bound(MigMultifdMethod method, size_t bytes);

#endif
