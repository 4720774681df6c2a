/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page area of a mapped-ram block. It lies in the file as it lies in memory; a bit of the
 * bitmap says for each page whether what stands there counts. Where the input can seek, only the
 * pages whose bit is set are read; elsewhere the whole area is brought to the image and the other
 * pages are made holes.
 */
#ifndef MIG_CONFORMANCE_EXTRACT_MAPPED_H
#define MIG_CONFORMANCE_EXTRACT_MAPPED_H

#include "sim/world/recording.h"

typedef struct MigMappedImage {
    uint32_t page_size;
    const GByteArray *bitmap; /* bit i%8 of byte i/8: page i, as little-endian hosts write it */
    uint64_t length;          /* bytes of the area */
    uint64_t pages;           /* with their bit set, that were put */
    bool bad;                 /* a set page lies behind the end of the file */
    uint64_t bad_offset;
    /* private */
    void *map;
} MigMappedImage;

/*
 * To be called with the MAPPED_PAGES record at |file_offset|. Either all is done then, or the
 * payload is under way and mig_mapped_finish() is to be called when it is complete.
 */
bool mig_mapped_begin(MigMappedImage *m, MigRecording *recording, unsigned channel,
                      uint64_t file_offset, int fd, GError **error);
bool mig_mapped_finish(MigMappedImage *m, int fd, GError **error);
void mig_mapped_clear(MigMappedImage *m);

#endif
