/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second thread of a real source in postcopy: from 8.0 on QEMU's return-path thread sends what
 * it is asked for on the preempt channel, whatever the migration thread is held up by.
 *
 *     main thread:    engine --op--> background pages --> write, or wait --> ...
 *                        has the turn        a look between two | lets go of it
 *     urgent thread:  poll --> turn: return path --> second machine --> preempt channel --> poll
 *
 * What both use (engine, memory, clock, errors) is used in turns (turns.h). The main thread has the
 * turn all the time but around system calls that may take long, and lets the urgent one in between
 * two pages. A channel with its queue and its buffers belongs to one of them, the preempt channel
 * to the urgent one, so neither meets half a record of the other's.
 *
 * Without a thread (no preempt channel of that kind) all of it does nothing, and the main thread
 * listens by itself.
 */
#ifndef MIG_SIM_WORLD_REAL_URGENT_H
#define MIG_SIM_WORLD_REAL_URGENT_H

#include "sim/world/real-channel.h"

typedef struct MigReal MigReal;
typedef struct MigRealUrgent MigRealUrgent;

/* The main thread's: begins the other one when there is something for it to do; ends it. */
void mig_real_urgent_begin(MigReal *r);
void mig_real_urgent_end(MigReal *r);

/* The main thread's, around what may take long; and between two pages. */
void mig_real_urgent_away(MigReal *r);
void mig_real_urgent_back(MigReal *r);
void mig_real_urgent_let(MigReal *r);

/* Rung when the main thread has to look; -1 without a thread. */
int mig_real_urgent_bell(const MigReal *r);

/* The channel is the urgent thread's. It waits for it there: until it takes something or dies. */
bool mig_real_urgent_owns(const MigReal *r, const MigRealChannel *c);
void mig_real_urgent_wait(MigReal *r, MigRealChannel *c);

#endif
