/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a real migration: a scenario's guest that migrates to whoever listens at a URI, or a
 * scenario's memory that loads what comes from one.
 *
 *     guest -> mapping -> source engine -> real world -> URI      mig_live_source()
 *     guest -> source engine -> virtual world -> URI              mig_live_source_virtual()
 *     URI -> decoder, destination engine -> buffer                mig_live_dest()
 */
#ifndef MIG_SIM_LIVE_LIVE_H
#define MIG_SIM_LIVE_LIVE_H

#include "sim/live/backend.h"
#include "sim/simulate/simulate.h"
#include "sim/world/real.h"

/*
 * A source that is steered from outside, by a monitor: it migrates when it is told to, and may do
 * so again. See MigSteering of simulate.h.
 */
typedef struct MigLive MigLive;

typedef struct MigLiveSteering {
    void *opaque;
    /* True when mig_live_begin() was called and the engine is to run; false ends it all. */
    bool (*wait)(void *opaque, MigLive *live);
    /* `wake` is readable, or it is time to look: does what there is to do, without waiting. */
    void (*woken)(void *opaque);
    /* An event of the engine or the world, when it happens. */
    void (*event)(void *opaque, const char *name, const char *status, uint64_t pass);
    /* The engine stops or starts the guest; false: leave it as it is. */
    bool (*guest)(void *opaque, bool running);
} MigLiveSteering;

/* The same for a destination: when and where to wait for a source. */
typedef struct MigLoad MigLoad;

typedef struct MigLoadSteering {
    void *opaque;
    /* Waits for an order to wait for a source, and returns where; it stays the steerer's. NULL: no
     * source is to come. |load| has its memory already. */
    MigListener *(*wait)(void *opaque, MigLoad *load);
    /* The source is there. What the capabilities are by now. */
    void (*accepted)(void *opaque, MigCapabilitySet *capabilities);
    /* Behind that: the parameters likewise. NULL: they are the scenario's. */
    void (*parameters)(void *opaque, MigParameters *parameters);
    /* `wake` is readable, or it is time to look: does what there is to do, without waiting. False:
     * give up. */
    bool (*woken)(void *opaque);
    /* The migration's status became this: "active", "completed". */
    void (*status)(void *opaque, const char *status);
    /* Postcopy: the guest runs from now on. Without postcopy it does when it has completed. */
    void (*run)(void *opaque);
    /* Everything is over: waits until nobody needs it any more. */
    void (*stay)(void *opaque);
} MigLoadSteering;

typedef struct MigLiveOptions {
    const MigUri *uri; /* NULL with a steerer: it says where */
    int wake;          /* readable: migrate_cancel (a source), or give up; -1: none */
    /* A destination listens at |address|. May be NULL. */
    void (*listening)(void *opaque, const char *address);
    /* See MigSimulateOptions. May be NULL. */
    void (*progress)(void *opaque, const MigSource *source, int64_t now);
    /* Likewise. May be NULL. */
    void (*did)(void *opaque, const MigSource *source, const MigOp *op, int64_t began,
                const MigOutcome *outcome);
    bool keep_snapshot; /* of a source: keep a copy of what a background snapshot is to hold */
    void *opaque;
    const MigLiveSteering *steering;      /* of a source; NULL: it begins at once, and once */
    const MigLoadSteering *load_steering; /* of a destination; NULL: likewise */
    MigBackend *backend; /* the guest, borrowed; NULL: the scenario's synthetic one */
} MigLiveOptions;

/* What the transport was like. To be cleared by mig_live_report_clear(). */
typedef struct MigLiveReport {
    MigRealCounts counts;
    char *error; /* of the peer or of closing, where the engine does not know it; or NULL */
    unsigned descriptors_before, descriptors_after; /* open in this process */
} MigLiveReport;

void mig_live_report_clear(MigLiveReport *r);

/*
 * Runs the source. A migration that fails, is cancelled or meets the limit is a result; NULL and
 * *error when the environment fails.
 */
MigSimulation *mig_live_source(const MigScenario *s, const MigLiveOptions *options,
                               MigLiveReport *report, GError **error);

/*
 * For who steers. A beginning makes source and world anew, takes the first steps (the status is
 * setup then), and must not come while the engine runs; |uri| has to last until the engine ended.
 */
MigScenarioRun *mig_live_run(MigLive *live);
MigSimulation *mig_live_simulation(MigLive *live);
MigMemory *mig_live_memory(const MigLive *live); /* of the guest */
int64_t mig_live_now(const MigLive *live);       /* ns, as of the last look at the clock */
/* In wait() only: looks at the clock, runs the events and writes of the guest that are due. */
int64_t mig_live_pass(MigLive *live);
void mig_live_begin(MigLive *live, const MigUri *uri, MigCapabilitySet capabilities,
                    const MigParameters *p);
/* `migrate` with resume=true: NULL, or why not; g_free(). |uri| has to last likewise. */
char *mig_live_resume(MigLive *live, const MigUri *uri);
void mig_live_quit(MigLive *live); /* the engine ends before its next operation */

/*
 * The same on the virtual clock: what is written is what mig_simulate() writes. A peer that goes
 * away in the middle leaves report->error and the simulation NULL, without *error.
 */
MigSimulation *mig_live_source_virtual(const MigScenario *s, const MigLiveOptions *options,
                                       MigLiveReport *report, GError **error);

struct MigLoad {
    MigDest *dest;                    /* NULL: it was steered, and no source came */
    struct MigLivePostcopy *postcopy; /* NULL: the capability postcopy-ram was off */
    MigBuffer *memory;                /* NULL: a backend's */
    MigBackend *backend;     /* borrowed from the options; stands still, its states loaded */
    MigScenarioDisks *disks; /* NULL: none */
    bool completed;
    char *error;  /* why not */
    int64_t time; /* ns, from the connection to the end */
    uint64_t reads;
    unsigned descriptors_before, descriptors_after;
};

/* Waits for one source and loads what it sends. NULL and *error when nobody could come. */
MigLoad *mig_live_dest(const MigScenario *s, const MigLiveOptions *options, GError **error);
void mig_load_free(MigLoad *l); /* NULL is fine */

/* What was loaded into. */
MigMemory *mig_load_memory(const MigLoad *l);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigLoad, mig_load_free)

/* Descriptors open in this process, 0 where that can't be told. */
unsigned mig_count_descriptors(void);

#endif
