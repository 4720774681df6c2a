/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of a simulated postcopy: a destination engine that is fed in time, answers over the
 * reverse way, and whose guest runs on memory that is still coming.
 *
 *     world --bytes--> incoming --> destination engine --placed--> vCPUs --faults--> engine
 *       ^                                 |
 *       `---------- answers --------------'
 */
#ifndef MIG_SIM_SIMULATE_INCOMING_H
#define MIG_SIM_SIMULATE_INCOMING_H

#include "sim/engine/dest-postcopy.h"
#include "sim/guest/guest.h"
#include "sim/world/vcpus.h"
#include "sim/world/virtual.h"

typedef struct MigIncomingConfig {
    const MigClock *clock;
    MigCosts costs;        /* the destination's host */
    const MigGuest *guest; /* whose workloads go on */
    /* A status of the destination, to be noted. */
    void (*status)(void *opaque, int64_t at, const char *status);
    /* See MigVcpusHooks. May be NULL. */
    void (*waited)(void *opaque, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                   int64_t to);
    void *opaque;
} MigIncomingConfig;

typedef struct MigSimulatedIncoming MigSimulatedIncoming;

MigSimulatedIncoming *mig_incoming_new(const MigIncomingConfig *config);
void mig_incoming_free(MigSimulatedIncoming *in); /* NULL is fine */

/* Both are not owned, and to be told before the first byte. */
void mig_incoming_attach(MigSimulatedIncoming *in, MigDest *dest, MigVirtual *world);

/* MigDestConfig.reply. */
void mig_incoming_reply(MigSimulatedIncoming *in, const MigRecord *message);
/* Bytes of a channel: main (0), preempt, others are multifd's. */
bool mig_incoming_feed(MigSimulatedIncoming *in, uint32_t channel, bool preempt, const void *data,
                       size_t n);
/* The source closed the main channel. */
bool mig_incoming_end(MigSimulatedIncoming *in);
/* MigSink.broken and .connected. */
void mig_incoming_broken(MigSimulatedIncoming *in);
bool mig_incoming_connected(MigSimulatedIncoming *in);

/* The source's guest has stopped. */
void mig_incoming_stopped(MigSimulatedIncoming *in, int64_t at);
/* The process is gone, with all it had. */
void mig_incoming_die(MigSimulatedIncoming *in);

typedef struct MigIncomingResult {
    bool ran, died;
    int64_t ran_at;      /* ns: its guest's start */
    int64_t complete_at; /* ns: every page was there; 0: never */
    MigVcpusCounts vcpus;
} MigIncomingResult;

MigIncomingResult mig_incoming_result(const MigSimulatedIncoming *in);

#endif
