/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending threads of multifd, one for each channel: the world hands packets to them and goes
 * on, and hears of what they have done through a descriptor.
 *
 *     world --packet, addresses of its pages--> idle channel's thread --> zero? compress, writev
 *           <--descriptor, counters, error------
 *
 * Guest memory itself is asked by the world alone; a thread reads the pages that it was told of.
 */
#ifndef MIG_SIM_WORLD_SENDERS_H
#define MIG_SIM_WORLD_SENDERS_H

#include "sim/engine/memory.h"
#include "sim/world/packet.h"
#include "sim/world/real-channel.h"

typedef struct MigSenders MigSenders;

/* What the threads have done so far. */
typedef struct MigSendersCounts {
    uint64_t bytes;        /* written, headers and initial packets included */
    uint64_t normal, zero; /* pages that they have looked at */
    uint64_t writes;       /* system calls */
} MigSendersCounts;

/* |memory| must outlive it. NULL when there are no descriptors left. */
MigSenders *mig_senders_new(MigMemory *memory, GError **error);
/* Shuts every channel down and waits for the threads. NULL is fine. */
void mig_senders_free(MigSenders *s);

/* Begins a thread for |c|, a connected channel that is to be left to it until mig_senders_stop().
 */
void mig_senders_add(MigSenders *s, MigRealChannel *c);

/* Readable when a thread has done something; mig_senders_heard() empties it. */
int mig_senders_fd(const MigSenders *s);
void mig_senders_heard(MigSenders *s);

/* Hands the packet to the next idle channel in turn. False: none is idle. */
bool mig_senders_send(MigSenders *s, const MigPacket *p);
/*
 * Hands an empty packet that says SYNC to every channel that hasn't got one since the last
 * mig_senders_synced(), and is idle. False: there are more.
 */
bool mig_senders_sync(MigSenders *s, const MigPacket *p);
/* True when all channels are idle; the next SYNC is another one. */
bool mig_senders_synced(MigSenders *s);

/* Wakes every thread that waits for its channel, which is dead from now on. */
void mig_senders_shutdown(MigSenders *s);
/* Lets the threads end, after what they have in hand, and waits for that. */
void mig_senders_stop(MigSenders *s);

/* Why the first of them failed, borrowed, or NULL. */
const char *mig_senders_error(MigSenders *s);
MigSendersCounts mig_senders_counts(MigSenders *s);

#endif
