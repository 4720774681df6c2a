/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounting of QEMU's stream object (QEMUFile, migration/qemu-file.c): bytes are copied into a
 * buffer of 32 KiB and gathered, with pages that stay where they are, in a list of at most 64
 * vectors. A full buffer or a full list is a flush, and from 8.1 on only flushed bytes count
 * against the quota: a run of normal pages leaves in steps of 32 (2 vectors each).
 *
 * It keeps counts, no bytes.
 */
#ifndef MIG_SIM_ENGINE_OUTBUF_H
#define MIG_SIM_ENGINE_OUTBUF_H

#include <stdbool.h>
#include <stdint.h>

#define MIG_OUTBUF_BYTES   32768u
#define MIG_OUTBUF_VECTORS 64u

typedef struct MigOutbuf {
    uint32_t copied;  /* bytes in the buffer */
    uint32_t vectors; /* in the list */
    bool open;        /* the last vector ends where the buffer's next byte goes */
    uint64_t pending; /* bytes in the list */
    uint64_t queued;  /* bytes ever put */
    uint64_t flushed; /* bytes ever flushed: queued - pending */
} MigOutbuf;

/* |n| integers' bytes (qemu_put_byte, qemu_put_be64); returns the bytes that were flushed. */
uint64_t mig_outbuf_put(MigOutbuf *b, uint64_t n);
/* |n| bytes in one piece (qemu_put_buffer). */
uint64_t mig_outbuf_put_piece(MigOutbuf *b, uint64_t n);
/* |n| bytes by reference (qemu_put_buffer_async): a page. */
uint64_t mig_outbuf_put_page(MigOutbuf *b, uint64_t n);
uint64_t mig_outbuf_flush(MigOutbuf *b);

/*
 * Many pages at once, without their block's name: each is 8 bytes, and one more of a zero page, or
 * the |page| bytes by reference. mig_outbuf_room() says how many normal ones there can be, the last
 * of which then flushes; 0: nobody can tell, they have to be put one by one, as when |bytes|, what
 * all of them have to be copied, may fill the buffer. Returns the bytes that were flushed.
 */
unsigned mig_outbuf_room(const MigOutbuf *b, uint64_t bytes);
uint64_t mig_outbuf_put_pages(MigOutbuf *b, unsigned zero, unsigned normal, bool last_is_zero,
                              uint64_t page);

#endif
