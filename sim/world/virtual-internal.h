/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the virtual world: what its files share. */
#ifndef MIG_SIM_WORLD_VIRTUAL_INTERNAL_H
#define MIG_SIM_WORLD_VIRTUAL_INTERNAL_H

#include <glib.h>

#include "sim/engine/bitmap.h"
#include "sim/engine/outbuf.h"
#include "sim/world/sha256.h"
#include "sim/world/virtual.h"
#include "stream/multifd-codec.h"

#define MIG_VIRTUAL_PROCESSORS  64u
#define MIG_VIRTUAL_RETURN_POLL 1000000000ll /* ns: a wait for an answer ends without one */

/* The thread of a multifd channel: one packet at a time. */
typedef struct MigVirtualChannel {
    MigVirtual *world;
    uint32_t number; /* from 1 */
    bool busy;
    uint64_t event;    /* its next, to be cancelled with */
    GByteArray *bytes; /* of the packet; with a sink only */
    uint64_t size;     /* of the packet */
    uint64_t work;     /* ps of the receiver's */
    MigMultifdCodec *codec;
} MigVirtualChannel;

typedef struct MigVirtualCompressor MigVirtualCompressor;
typedef struct MigVirtualPostcopy MigVirtualPostcopy;

struct MigVirtual {
    MigVirtualConfig config;
    MigEvents events;
    MigLink link;
    MigOutbuf outbuf;
    GByteArray *bytes;      /* queued, not flushed; with a sink only */
    MigBitmap **touched;    /* by block: pages that the receiver has written */
    uint64_t ram_bytes;     /* of all blocks */
    uint64_t cost, charged; /* ps so far; ns of it that the clock was moved by */
    uint64_t work;          /* ps that the receiver will spend on what is queued */
    uint64_t work_given;    /* ns of it that the link knows */
    uint64_t happened;      /* events, ever */
    MigInterrupt pending;
    const char *cut; /* the channel's error */
    bool sink_failed;
    bool return_path, answered;
    uint32_t pings[4];
    uint32_t ping_count, ping_at;
    uint8_t *scratch;
    uint8_t *encoded;
    MigRecord answer;
    MigDevices *devices;
    MigSha256 *events_sum, *bytes_sum;

    MigVirtualPostcopy *postcopy;
    bool heard; /* a message of the return path arrived since somebody waited */

    MigVirtualCompressor *compressor; /* NULL: not used so far */
    uint64_t placed;                  /* bytes, by the operation under way */
    MigCompressCounts compressed;     /* by the operation under way */

    uint64_t waiting, drained;   /* elastic: bytes in the buffer; ever written of it */
    struct MigVirtualRdma *rdma; /* NULL: pages travel in the stream */

    /* Multifd. */
    MigVirtualChannel **channels;
    uint32_t channel_count, channel_last;          /* the last one that was given something */
    int64_t processors[MIG_VIRTUAL_PROCESSORS];    /* ns: when each is free for a thread */
    uint64_t packets;                              /* so far: the next packet's number */
    uint64_t written;                              /* bytes of its channels, ever */
    uint64_t looked_normal, looked_zero;           /* pages that its threads looked at, ever */
    uint64_t written_told, normal_told, zero_told; /* of them, in outcomes */
};

/* What may end a wait early. */
#define MIG_BY_CUT        1u /* a channel that was cut, or shut down by a cancel */
#define MIG_BY_URGENT     2u
#define MIG_BY_ANY_SIGNAL 4u
#define MIG_BY_ANSWER     8u

void mig_virtual_advance(MigVirtual *v, int64_t until, unsigned by);
void mig_virtual_spend_ps(MigVirtual *v, int64_t ps);

/* When work of |ps| is done, on the one of |wanted| processors that is free first. */
int64_t mig_virtual_work_until(MigVirtual *v, int64_t ps, int64_t wanted);

/* Main channel: bytes for the sink; |n| bytes leave the outbuf, for which the writer may wait. */
void mig_virtual_append(MigVirtual *v, const void *data, size_t n);
void mig_virtual_flushed(MigVirtual *v, uint64_t n);

/* mapped-ram: bytes at a place of the file, with the time that it takes or without. */
void mig_virtual_place(MigVirtual *v, uint64_t at, const void *data, uint64_t n);
void mig_virtual_place_page(MigVirtual *v, const MigOp *op, uint64_t page, bool zero);
void mig_virtual_seek(MigVirtual *v, uint64_t at);
void mig_virtual_put_at(MigVirtual *v, uint64_t at, const void *data, uint64_t n);

/* The operations SEND_PAGES, SEND_RUN and SEND_PAGE. */
void mig_virtual_pages(MigVirtual *v, const MigOp *op, MigOutcome *out);
void mig_virtual_run(MigVirtual *v, const MigOp *op, MigOutcome *out);
void mig_virtual_page(MigVirtual *v, const MigOp *op);
/* One page of SEND_PAGES: looked at now, queued; true if it was zero. */
bool mig_virtual_send_page(MigVirtual *v, const MigOp *op, uint64_t page, bool named);

/* Between pages: something has happened since |v->happened| was |then|, or time is up. */
static inline bool mig_virtual_must_look_up(const MigVirtual *v, uint64_t then)
{
    return v->cut || v->happened != then ||
           (v->config.limit && v->config.clock->now > v->config.limit);
}

/* Compress threads: true when one has (or will have) the page; else it goes as it is. */
bool mig_virtual_compress(MigVirtual *v, const MigOp *op, uint64_t page, bool named);
void mig_virtual_compress_flush(MigVirtual *v, const MigOp *op);
void mig_virtual_compress_free(MigVirtual *v);

/* RDMA. */
typedef struct MigVirtualRdma MigVirtualRdma;
void mig_virtual_rdma_init(MigVirtual *v);
void mig_virtual_rdma_free(MigVirtual *v);
void mig_virtual_rdma_page(MigVirtual *v, uint32_t block, uint64_t page);
void mig_virtual_rdma_sync(MigVirtual *v, MigRamPhase phase);

/* Hands bytes to the sink, and takes note when it fails. */
void mig_virtual_deliver(MigVirtual *v, uint32_t channel, const uint8_t *data, uint64_t n,
                         int64_t arrival);

/* Multifd: the operations, and a record of a channel (its initial packet). */
void mig_virtual_multifd_open(MigVirtual *v, uint32_t channel);
void mig_virtual_multifd_record(MigVirtual *v, uint32_t channel, const MigRecord *r);
void mig_virtual_multifd_send(MigVirtual *v, const MigOp *op);
void mig_virtual_multifd_sync(MigVirtual *v, const MigOp *op);
void mig_virtual_multifd_close(MigVirtual *v);
void mig_virtual_multifd_free(MigVirtual *v);

/* Postcopy. */
void mig_virtual_postcopy_init(MigVirtual *v);
void mig_virtual_postcopy_free(MigVirtual *v);
void mig_virtual_postcopy_close(MigVirtual *v);
void mig_virtual_packaged(MigVirtual *v); /* the package goes out */
bool mig_virtual_is_late(const MigVirtual *v);
/* Bytes of the main channel that were written as |w| says; they reach the sink in time. */
void mig_virtual_late(MigVirtual *v, const uint8_t *data, uint64_t n, const MigLinkWrite *w,
                      int64_t work);
bool mig_virtual_is_preempt(const MigVirtual *v, uint32_t channel);
void mig_virtual_preempt(MigVirtual *v, const MigOp *op, MigOutcome *out);
uint64_t mig_virtual_place_cost(const MigVirtual *v, uint32_t block, uint64_t page); /* ps */
void mig_virtual_line_breaks(MigVirtual *v);
void mig_virtual_drop(MigVirtual *v);
void mig_virtual_connected(MigVirtual *v); /* the main channel is, unless it can't be */
void mig_virtual_wait_answer(MigVirtual *v);
/* What an answer of |n| bytes, given at |at|, takes on the way back beside the latency. */
int64_t mig_virtual_answer_span(const MigVirtual *v, int64_t at, uint64_t n);
void mig_virtual_wait_recover(MigVirtual *v);

#endif
