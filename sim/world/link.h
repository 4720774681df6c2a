/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a link as the writer meets it: a socket buffer that drains at the link's rate
 * and blocks who finds it full, a latency, and a receiver that reads as fast as it can work.
 *
 *     writer --write(n)--> [ buffer, at most send_buffer bytes ] --rate--> latency --> receiver
 *
 * A writer who finds the buffer full sleeps until send_wake bytes of it have left, and fills it
 * again: a Linux TCP socket's wakes him when a third is free (sk_stream_write_space()).
 *
 * Exact: a byte's departure is the busy period's start plus (bytes of the period so far) / rate,
 * rounded up once; nothing is rounded per write. Where the rate changes (a trace, background
 * traffic, a token bucket) it is the first ns by which the wire has taken so many, see wire.h.
 * Framing is a ratio of payload to wire bytes, so that a segment that is not full is priced in
 * proportion (at most 90 bytes too cheap per write).
 */
#ifndef MIG_SIM_WORLD_LINK_H
#define MIG_SIM_WORLD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/world/wire.h"

typedef enum MigFraming {
    MIG_FRAMING_NONE,         /* unix sockets and pipes: every bit of bandwidth is payload */
    MIG_FRAMING_ETHERNET_TCP, /* MTU 1500: 1448 of 1538 bytes are payload */
} MigFraming;

#define MIG_LINK_SEND_BUFFER    (4u << 20) /* Linux: tcp_wmem's maximum */
#define MIG_LINK_RECEIVE_BUFFER (6u << 20) /* Linux: tcp_rmem's maximum */

/*
 * How much of what waits in a channel's socket stands in the one line in front of the wire (the
 * network device's, with its qdisc), bytes; 0: all. What is behind that is overtaken.
 */
typedef struct MigLinkQueue {
    uint64_t main, preempt;
} MigLinkQueue;

typedef struct MigLinkConfig {
    uint64_t bandwidth; /* of the wire, bit/s; 0: infinitely fast. With a trace: its most */
    int64_t latency;    /* ns, one way */
    MigFraming framing;
    uint64_t send_buffer, receive_buffer; /* bytes; 0: the defaults above */
    uint64_t send_wake; /* bytes that have to leave a full buffer for its writer to wake; 0: one */
    uint64_t segment;   /* bytes that arrive at once while more wait (mig_link_arrival()); 0: one */
    MigLinkQueue queue;
    bool rdma;                /* pages go past the stream: not the link's matter */
    MigRates trace;           /* bandwidth over time, of both directions */
    MigBackground background; /* beside what is sent, */
    MigBackground reverse;    /* and against it */
    MigTokenBucket bucket;    /* of the sender */
    uint32_t flows;           /* streams side by side, for their share of the wire; 0: one */
    int64_t horizon;          /* ns: what happens later need not be told apart; 0: 100 days */
} MigLinkConfig;

typedef struct MigLinkChunk {
    uint64_t end; /* bytes accepted up to and with it */
    int64_t done; /* ns, when the receiver has worked on it */
} MigLinkChunk;

typedef struct MigLinkRing {
    MigLinkChunk *chunks;
    size_t head, count, cap; /* cap: 0 or a power of two */
} MigLinkRing;

typedef struct MigLink {
    MigLinkConfig config;
    uint64_t up, down;   /* |n| bytes take n * up / down ns: the ratio in lowest terms */
    uint64_t accepted;   /* bytes, ever */
    int64_t busy_since;  /* ns; the period in which the buffer was never empty */
    uint64_t busy_bytes; /* accepted in it */
    int64_t empty_at;    /* ns, when the wire has taken them */
    bool varies;         /* the rate does: these count, and not the ratio */
    MigWire wire;
    MigWirePiece first;  /* of the period; */
    MigWirePiece end;    /* around empty_at, */
    MigWirePiece freed;  /* around when the last writer went on, */
    MigWirePiece seen;   /* around the last look at what is queued */
    int64_t receiver;    /* ns, when the receiver has worked on everything accepted */
    uint64_t worked;     /* bytes in front of the first chunk in the ring */
    uint64_t room;       /* bytes that may be under way: both buffers, and the line */
    MigLinkRing chunks;  /* those that the receiver has not worked on */
    uint64_t passed;     /* bytes of the stream beside this one, ever, */
    uint64_t passed_by;  /* and that the wire had taken at the last look; */
    MigLinkRing passing; /* the others of them (done: when it has) */
} MigLink;

/* A new link, with whose trace and loads the caller stays; its bucket is full. */
void mig_link_init(MigLink *l, const MigLinkConfig *config);
void mig_link_clear(MigLink *l);

/* The other direction of a link. */
MigLinkConfig mig_link_reverse(const MigLinkConfig *c);

typedef struct MigLinkWrite {
    uint64_t offset;  /* bytes in front of it since the wire was idle */
    int64_t start;    /* ns, when the receiver's room let it begin */
    int64_t began;    /* ns, when its first byte met the wire */
    int64_t accepted; /* ns, when the last byte was in the buffer: the writer goes on */
    int64_t arrived;  /* ns, when the last byte is at the other end */
    int64_t done;     /* ns, when the receiver has worked on it */
} MigLinkWrite;

/*
 * Writes |n| bytes at |now| (not before the last write's accepted), on which the receiver works for
 * |work| ns.
 */
MigLinkWrite mig_link_write(MigLink *l, int64_t now, uint64_t n, int64_t work);

/*
 * When the first |n| bytes of the last write are at the other end: with the whole segment in which
 * they are, which will have been filled if it has to wait for the wire, and is sent as it is if
 * not.
 */
int64_t mig_link_arrival(const MigLink *l, const MigLinkWrite *w, uint64_t n);

/*
 * |n| bytes of another stream, whose buffer is its own: when they have arrived. They share the wire
 * with what is in this one's buffer, half and half; what is written later comes later by them. In
 * front of a token bucket (Linux: tbf), and where the link has a queue, all stand in one line, and
 * nothing is overtaken but what this one's socket holds back (MigLinkQueue).
 */
int64_t mig_link_overtake(MigLink *l, int64_t now, uint64_t n);
bool mig_link_has_line(const MigLinkConfig *c);

/* Bytes in the buffer at |now|. */
uint64_t mig_link_queued(MigLink *l, int64_t now);

/* The time that |n| bytes take on a wire whose rate is constant, rounded up. */
int64_t mig_link_span(const MigLinkConfig *c, uint64_t n);

/* The same on this one, from |at| on, if nothing else is on it. */
int64_t mig_link_span_at(const MigLink *l, int64_t at, uint64_t n);

/* The same of the |n| bytes that were written as |w| says. */
int64_t mig_link_span_of(const MigLink *l, const MigLinkWrite *w, uint64_t n);

#endif
