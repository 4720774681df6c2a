/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One channel of the real world: what is queued on it, and how that leaves.
 *
 *     put*()  -> 32 KiB buffer, vectors -> (as QEMU's stream object would) -> writev -> transport
 *
 * Whoever owns the channel waits for it: a full one calls `full`.
 */
#ifndef MIG_SIM_WORLD_REAL_CHANNEL_H
#define MIG_SIM_WORLD_REAL_CHANNEL_H

#include "sim/engine/outbuf.h"
#include "sim/world/transport.h"

typedef struct MigRealChannel MigRealChannel;

struct MigRealChannel {
    uint32_t number;         /* 0: main */
    MigTransport *transport; /* NULL: not connected, or closed */
    char *error;             /* why it is dead; NULL: it lives */
    bool lent;               /* a thread has it: its owner may only shut the transport down */

    /* Queued, not flushed. */
    MigOutbuf outbuf;
    struct iovec vectors[MIG_OUTBUF_VECTORS];
    int vector_count;
    uint8_t *copied;  /* MIG_OUTBUF_BYTES */
    uint8_t *encoded; /* MIG_ENCODED_MAX: the owner's, for one record on its way into the queue */

    uint64_t writes, bytes; /* system calls, and what they took */

    /* It takes nothing at present: returns when it does, or when it is dead. */
    void (*full)(void *opaque, MigRealChannel *c);
    /* A write has failed: the last chance to say why, before the transport's own words. May be
     * NULL. */
    void (*broken)(void *opaque, MigRealChannel *c);
    /* A system call begins that may take long, or has ended. May be NULL. */
    void (*slow)(void *opaque, bool begins);
    void *opaque;
};

MigRealChannel *mig_real_channel_new(uint32_t number);
void mig_real_channel_free(MigRealChannel *c); /* NULL is fine; closes what is open */

/* |error| is remembered unless there was one before. */
void mig_real_channel_die(MigRealChannel *c, const char *error);

/* Integers in one piece; bytes in one piece: both are copied. See mig_outbuf_put(). */
void mig_real_channel_put(MigRealChannel *c, const uint8_t *data, size_t n);
void mig_real_channel_put_piece(MigRealChannel *c, const uint8_t *data, size_t n);
/* Bytes that stay where they are until they have left. */
void mig_real_channel_put_page(MigRealChannel *c, const uint8_t *page, size_t n);
/* Has everything queued leave. */
void mig_real_channel_flush(MigRealChannel *c);

/* Writes |count| vectors whole, past the queue; uses them up. False: it is dead. */
bool mig_real_channel_write(MigRealChannel *c, struct iovec *v, int count);

/*
 * Closes the transport; a dead channel's is shut down before. NULL, or what was wrong with it (a
 * command that ended badly), to be freed.
 */
char *mig_real_channel_close(MigRealChannel *c);

#endif
