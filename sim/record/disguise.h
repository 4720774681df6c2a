/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed payloads in disguise: other bytes of exactly the same length that decompress to
 * exactly as many bytes, of which nothing goes back to the original. What their pages hold
 * afterwards is noise and runs of equal bytes; which pages were equal is not kept.
 */
#ifndef MIG_SIM_RECORD_DISGUISE_H
#define MIG_SIM_RECORD_DISGUISE_H

#include "sim/record/noise.h"

typedef enum MigDisguiseForm {
    MIG_DISGUISE_ZLIB,       /* a whole stream, with its checksum: COMPRESS_PAGE */
    MIG_DISGUISE_ZLIB_FIRST, /* up to a flush, with the header: a channel's first packet */
    MIG_DISGUISE_ZLIB_NEXT,  /* up to a flush */
    MIG_DISGUISE_ZSTD_FIRST, /* up to a flush, with the frame's header, which stays */
    MIG_DISGUISE_ZSTD_NEXT,
} MigDisguiseForm;

/*
 * Overwrites the |n| bytes at |data|, which decompress to |plain| bytes. False, and |data| as it
 * was: there are no such bytes (data that is compressed to less than a hundredth).
 */
bool mig_disguise(MigNoise *noise, MigDisguiseForm form, uint8_t *data, size_t n, size_t plain);

#endif
