/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream object's accounting, see outbuf.h. Mirrors add_to_iovec(), add_buf_to_iovec() and
 * qemu_fflush() (migration/qemu-file.c, 5.2 to 11.1): a vector grows while what is added lies
 * behind its end; the 64th vector and the last byte of the buffer each cause a flush at once.
 */
#include "sim/engine/outbuf.h"

uint64_t mig_outbuf_flush(MigOutbuf *b)
{
    uint64_t n = b->pending;
    b->flushed += n;
    b->pending = 0;
    b->copied = b->vectors = 0;
    b->open = false;
    return n;
}

/* Adds |n| bytes to the list; flushes when that filled it. */
static uint64_t add_vector(MigOutbuf *b, uint64_t n, bool copied)
{
    b->queued += n;
    b->pending += n;
    if (!(copied && b->open)) {
        b->vectors++;
    }
    b->open = copied;
    return b->vectors == MIG_OUTBUF_VECTORS ? mig_outbuf_flush(b) : 0;
}

uint64_t mig_outbuf_put_piece(MigOutbuf *b, uint64_t n)
{
    uint64_t flushed = 0;
    while (n > 0) {
        uint64_t room = MIG_OUTBUF_BYTES - b->copied, part = n < room ? n : room;
        uint64_t now = add_vector(b, part, true);
        if (!now) {
            b->copied += (uint32_t)part;
            now = b->copied == MIG_OUTBUF_BYTES ? mig_outbuf_flush(b) : 0;
        }
        flushed += now;
        n -= part;
    }
    return flushed;
}

uint64_t mig_outbuf_put(MigOutbuf *b, uint64_t n)
{
    if (n == 0) {
        return 0;
    }
    /* The first byte may take a new vector (and fill the list); the others go where it went. */
    uint64_t flushed = mig_outbuf_put_piece(b, 1);
    return flushed + mig_outbuf_put_piece(b, n - 1);
}

uint64_t mig_outbuf_put_page(MigOutbuf *b, uint64_t n)
{
    return add_vector(b, n, false);
}

/* In front of a page's reference stands always one vector of copied bytes. */
unsigned mig_outbuf_room(const MigOutbuf *b, uint64_t bytes)
{
    uint32_t next = b->vectors + !b->open; /* the vector that the next copied byte is in */
    bool odd = next % 2 == 1;              /* else one of those fills the list, not a page */
    return odd && b->copied + bytes < MIG_OUTBUF_BYTES ? (MIG_OUTBUF_VECTORS + 1 - next) / 2 : 0;
}

uint64_t mig_outbuf_put_pages(MigOutbuf *b, unsigned zero, unsigned normal, bool last_is_zero,
                              uint64_t page)
{
    uint64_t copied = 8ull * (zero + normal) + zero, bytes = copied + normal * page;
    b->vectors += !b->open;
    b->open = true;
    b->copied += (uint32_t)copied;
    b->queued += bytes;
    b->pending += bytes;
    if (normal > 0) {
        b->vectors += 2 * normal - 1 + last_is_zero;
        b->open = last_is_zero;
    }
    return b->vectors == MIG_OUTBUF_VECTORS ? mig_outbuf_flush(b) : 0;
}
