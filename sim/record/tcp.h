/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP out of captured packets: which segment a frame holds, and the bytes of one direction in
 * order.
 *
 *     frame -> mig_tcp_parse() -> segment -> mig_tcp_flow_put() -> bytes in order, once
 */
#ifndef MIG_SIM_RECORD_TCP_H
#define MIG_SIM_RECORD_TCP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIG_TCP_HELD (64u << 20) /* bytes that wait for what is missing in front of them */

typedef struct MigTcpEnd {
    uint8_t address[16]; /* IPv4: the last four, the others 0 */
    uint16_t port;
} MigTcpEnd;

typedef struct MigTcpSegment {
    MigTcpEnd from, to;
    uint32_t seq;
    bool syn, ack, fin, rst;
    const uint8_t *data; /* in the frame */
    size_t n;
    size_t cut; /* bytes behind |data| that were not captured */
} MigTcpSegment;

/* Link types as in the capture: Ethernet (VLAN too), raw IP, loopback, Linux cooked 1 and 2. */
bool mig_tcp_link_is_known(int link_type);

/* |link_type|'s frame of |n| captured bytes. False: it holds no TCP segment, or not all of its
 * headers. */
bool mig_tcp_parse(int link_type, const uint8_t *frame, size_t n, MigTcpSegment *segment);

bool mig_tcp_end_equal(const MigTcpEnd *a, const MigTcpEnd *b);

/* One direction of a connection. */
typedef struct MigTcpFlow {
    bool started;     /* |next| is known */
    bool broken;      /* bytes are missing for good: nothing more is given */
    uint32_t next;    /* sequence number of the next byte */
    bool ended;       /* a FIN told where it ends */
    uint32_t end;     /* sequence number behind the last byte */
    uint64_t passed;  /* bytes given */
    uint64_t missing; /* once broken: how many at |passed|, 0: not known */
    GQueue held;      /* segments ahead, by sequence number */
    size_t held_bytes;
} MigTcpFlow;

void mig_tcp_flow_init(MigTcpFlow *f);
void mig_tcp_flow_clear(MigTcpFlow *f);

typedef bool (*MigTcpGive)(void *opaque, const uint8_t *data, size_t n);

/* Gives what |s| adds in order. False: |give| said so. */
bool mig_tcp_flow_put(MigTcpFlow *f, const MigTcpSegment *s, MigTcpGive give, void *opaque);

/* No more will come: what is held shows a gap. */
void mig_tcp_flow_end(MigTcpFlow *f);

#endif
