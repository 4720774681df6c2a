/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One simulated migration: the synthetic guest of a scenario, the source engine, the virtual world,
 * and a destination engine that loads the same bytes into memory of its own, which is then compared
 * with the source's.
 *
 *     guest <-- source <--> virtual world --bytes--> tap (--stream) --> destination --> buffer
 */
#ifndef MIG_SIM_SIMULATE_SIMULATE_H
#define MIG_SIM_SIMULATE_SIMULATE_H

#include <glib.h>
#include <signal.h>

#include "sim/engine/dest-remote.h"
#include "sim/engine/source.h"
#include "sim/guest/mapped.h"
#include "sim/scenario/disks.h"
#include "sim/scenario/run.h"
#include "sim/simulate/incoming.h"
#include "sim/world/virtual.h"

/*
 * A simulation that is steered from outside, by a monitor: it migrates when it is told to, and may
 * do so again.
 *
 *     wait() --true--> the engine runs --ended--> wait() ... --false--> the end
 *
 * Where its clock is to stand still, the steerer asks mig_steered_run()->events for a call, and
 * takes its time in it.
 */
typedef struct MigSteered MigSteered;

typedef struct MigSteering {
    void *opaque;
    /* True when mig_steered_begin() was called and the engine is to run; false ends it all. */
    bool (*wait)(void *opaque, MigSteered *s);
    /* An event of the engine or the world, when it happens. */
    void (*event)(void *opaque, const char *name, const char *status, uint64_t pass);
    /* The engine stops or starts the guest; false: leave it as it is. */
    bool (*guest)(void *opaque, bool running);
} MigSteering;

typedef struct MigSimulateOptions {
    bool accounting; /* no bytes: no destination, no stream, no digest of it; but with postcopy,
                        where a destination's faults decide */
    /* Gets the main channel's bytes; false ends the run with the error set. May be NULL. */
    bool (*stream)(void *opaque, const void *data, size_t n, GError **error);
    /* mapped-ram: gets the file's bytes, anywhere in it, instead of `stream`. May be NULL. */
    bool (*place)(void *opaque, uint64_t at, const void *data, size_t n, GError **error);
    /*
     * Gets every channel's bytes (0: main; with postcopy see stream-recorder.h) with the time of
     * their writing, instead. May be NULL.
     */
    bool (*record)(void *opaque, uint32_t channel, int64_t at, const void *data, size_t n,
                   GError **error);
    /* Called now and then, with the virtual time. May be NULL. */
    void (*progress)(void *opaque, const MigSource *source, int64_t now);
    /* Called behind every operation; it began at |began| ns. May be NULL. */
    void (*did)(void *opaque, const MigSource *source, const MigOp *op, int64_t began,
                const MigOutcome *outcome);
    /* A vCPU of the destination has waited for a page; ns. May be NULL. */
    void (*waited)(void *opaque, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                   int64_t to);
    void *opaque;
    const volatile sig_atomic_t *interrupted; /* not 0: end as soon as possible. May be NULL */
    unsigned max_run;                         /* see MigSourceConfig; 0 but in tests */
    const MigSteering *steering;              /* NULL: it begins at once, and once */
} MigSimulateOptions;

/* What became of the destination's memory. */
typedef enum MigMemoryVerdict {
    MIG_MEMORY_NOT_COMPARED, /* accounting, or the migration did not complete */
    MIG_MEMORY_EQUAL,
    MIG_MEMORY_DIFFERS,
} MigMemoryVerdict;

typedef struct MigSimulation {
    const MigScenario *scenario; /* borrowed */
    MigSource *source;
    MigGuest *guest;
    MigMapped *mapped;   /* the source's memory on the real clock, else NULL */
    MigDest *dest;       /* NULL: accounting */
    MigBuffer *memory;   /* the destination's; NULL: accounting */
    MigBuffer *snapshot; /* what a background snapshot is to hold; NULL: there is none */
    int64_t now;         /* ns, the end */
    const char *outcome; /* x-outcome: "limit", "interrupted", or NULL */
    char *refused;       /* why `migrate` was refused: nothing has happened; or NULL. Unsteered */
    GArray *events;      /* MigSimulationEvent */
    MigScenarioDisks *disks, *dest_disks; /* NULL: none */
    char *disk_difference;                /* what the destination's disks lack, or NULL */
    bool disks_compared;
    MigRdmaCounts rdma; /* of the last world */
    MigMemoryVerdict verdict;
    MigMemoryDifference difference;
    char *dest_error;                   /* why the destination failed, or NULL */
    char *events_digest, *bytes_digest; /* hexadecimal; the latter NULL in accounting mode */
    int64_t dest_done;                  /* ns, when the destination had worked on everything */
    MigGuestStats guest_stats;
    bool postcopy; /* the capability was on: |incoming| says what became of it */
    MigIncomingResult incoming;
} MigSimulation;

/*
 * Runs |s|. NULL and *error only when the environment fails (memory, the stream's file); a
 * migration that fails, is cancelled or meets the limit is a result.
 */
MigSimulation *mig_simulate(const MigScenario *s, const MigSimulateOptions *options,
                            GError **error);
void mig_simulation_free(MigSimulation *m); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigSimulation, mig_simulation_free)

/*
 * For who steers. A beginning makes source, destination and world anew, takes the first steps (the
 * status is setup then), and must not come while the engine runs. |s| is valid in wait() and
 * events.
 */
MigScenarioRun *mig_steered_run(MigSteered *s);
MigSimulation *mig_steered_simulation(MigSteered *s);
int64_t mig_steered_now(const MigSteered *s);           /* ns */
void mig_steered_advance(MigSteered *s, int64_t until); /* in wait() only */
bool mig_steered_begin(MigSteered *s, MigCapabilitySet capabilities, const MigParameters *p,
                       GError **error);
void mig_steered_quit(MigSteered *s); /* the engine ends before its next operation */

/* Completed, and the destination has what the source had (where that was compared). */
bool mig_simulation_fine(const MigSimulation *m);

#endif
