/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound that the decoders put on what strangers send. A length field beyond its bound is
 * bad bytes, never an allocation.
 */
#ifndef MIG_STREAM_LIMITS_H
#define MIG_STREAM_LIMITS_H

#include <stdint.h>

#define MIG_LIMIT_NAME               255u        /* cstr: one length byte */
#define MIG_LIMIT_MACHINE_NAME       1024u       /* configuration: be32 length on the wire */
#define MIG_LIMIT_CAPABILITIES       256u        /* names in configuration/capabilities */
#define MIG_LIMIT_SECTIONS           4096u       /* sections started in one stream */
#define MIG_LIMIT_BLOCKS             4096u       /* RAM blocks in one list */
#define MIG_LIMIT_BODY               (16u << 20) /* of a device body searched for its end */
#define MIG_LIMIT_VMDESC             (16u << 20) /* bytes of the VMDESCRIPTION text */
#define MIG_LIMIT_RP_PAYLOAD         512u        /* return-path message */
#define MIG_LIMIT_BITMAP             (1u << 31)  /* bytes, received or mapped-ram */
#define MIG_LIMIT_BLOCK_LENGTH       (1ull << 52)
#define MIG_LIMIT_DIRTY_BITMAP_CHUNK 10240u
#define MIG_LIMIT_PAGE_BITS          16u         /* target pages up to 64 KiB */
#define MIG_LIMIT_MULTIFD_PAYLOAD    (4u << 20)  /* one packet's compressed pages */
#define MIG_LIMIT_DEVICE_STATE       (64u << 20) /* one multifd device-state buffer */

/* What zlib's compressBound() allows for one page. */
static inline uint32_t mig_limit_compressed(uint32_t page)
{
    return page + (page >> 12) + (page >> 14) + (page >> 25) + 13;
}

#endif
