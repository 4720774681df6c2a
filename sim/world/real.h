/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real world of a source: does the engine's operations on the real clock, over a transport.
 *
 *     engine --op--> real --headers + pages where they are--> writev --> transport --> destination
 *            <--outcome--   <--PONG, SHUT--------------------------------------------- (answers)
 *
 * What an operation costs is what it takes. One thread does it all and blocks in one place, which
 * watches the channel, its answers, the events of the scenario and a wake-up descriptor; so nothing
 * the destination does or omits can keep a cancel out. Only pages that are asked for in postcopy
 * have a thread of their own, where QEMU has one (real-urgent.h).
 */
#ifndef MIG_SIM_WORLD_REAL_H
#define MIG_SIM_WORLD_REAL_H

#include "sim/engine/source.h"
#include "sim/world/transport.h"
#include "sim/world/virtual.h"

typedef struct MigRealConfig {
    MigClock *clock;   /* set to the real one, ns since mig_real_new(): the guest follows it */
    MigMemory *memory; /* the source's: read() gives addresses that last */
    const MigUri *uri;
    bool mapped;          /* mapped-ram: the URI must be a file's */
    bool direct_io;       /* of its channels' writes */
    bool answers;         /* there will be a return path */
    uint64_t send_buffer; /* bytes of each socket's; 0: the kernel's default */
    MigSource *postcopy;  /* it may come to postcopy: this engine hears all answers; or NULL */
    int wake;             /* when it is readable, woken() is called, which empties it; -1: none */
    void (*woken)(void *opaque);
    void (*acknowledged)(void *opaque); /* SWITCHOVER_ACK came; NULL: it may not */
    MigGuestHooks guest;
    MigObserver observer;
    MigDevices *(*devices)(void *opaque); /* as in MigVirtualConfig */
    void *opaque;                         /* of woken, acknowledged and devices */
} MigRealConfig;

typedef struct MigReal MigReal;

MigReal *mig_real_new(const MigRealConfig *config);
void mig_real_free(MigReal *r); /* NULL is fine; closes what is open */

MigOutcome mig_real_do(MigReal *r, const MigOp *op);

/* For events: asked for here, run when their time has come, inside operations. */
MigEvents *mig_real_events(MigReal *r);

/* Where CONNECT leads from now on. */
void mig_real_set_uri(MigReal *r, const MigUri *uri);

/* Between operations: runs the events that are due and looks at the clock, without waiting. */
void mig_real_pass(MigReal *r);

/* The outcome of the operation under way, or of the next one, says this. */
void mig_real_interrupt(MigReal *r, MigInterrupt why);

/* Shuts the channel down, whatever is under way on it. |error|: static text for the outcome. */
void mig_real_shutdown(MigReal *r, const char *error);

typedef struct MigRealCounts {
    uint64_t writes;  /* system calls */
    uint64_t bytes;   /* that they took */
    uint64_t waits;   /* times that the channel was full */
    int64_t waited;   /* ns of it */
    uint64_t answers; /* messages of the return path */
} MigRealCounts;

const MigRealCounts *mig_real_counts(MigReal *r);

/* After CLOSE: what was wrong with it (a command that ended badly), or NULL. */
const char *mig_real_close_error(const MigReal *r);

#endif
