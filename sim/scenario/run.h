/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scenario while it runs, on whichever clock: its source, the events that it asked for, the
 * devices that it saves, and the log of what happened.
 *
 *     run.scenario, run.era, run.guest set; mig_scenario_run_source(&run, memory, max_run)
 *     run.events, run.world and the hooks set; mig_scenario_run_plan(&run)
 *     ... engine and world; events fire out of the world's queue ...
 *     mig_scenario_run_clear(&run)
 */
#ifndef MIG_SIM_SCENARIO_RUN_H
#define MIG_SIM_SCENARIO_RUN_H

#include "sim/engine/source.h"
#include "sim/live/backend.h"
#include "sim/scenario/scenario.h"
#include "sim/world/events.h"

/* A monitor event, or an action of the scenario. */
typedef struct MigSimulationEvent {
    int64_t at;
    const char *name;   /* "MIGRATION", "MIGRATION_PASS", "STOP", "RESUME", "x-write"... */
    const char *status; /* MIGRATION; else NULL */
    uint64_t pass;      /* MIGRATION_PASS; else 0 */
} MigSimulationEvent;

typedef struct MigScenarioRun {
    const MigScenario *scenario;
    MigEra era;
    MigGuest *guest;
    MigDisks *disks; /* of the source; NULL: none */
    MigTransportKind transport;
    MigSourceObserver observer;
    MigBackend *backend; /* who really is the guest, on the real clock; NULL: |guest| */
    MigSource *source;   /* not owned */
    bool stopped;        /* by a `stop` of the scenario's */
    MigMemory *memory;   /* that it migrates; not owned */
    GArray *log;         /* MigSimulationEvent; not owned */
    MigEvents *events;   /* the world's */
    void *world;
    void (*cancelled)(void *world); /* the source's status became cancelling */
    void (*cut)(void *world);       /* x-cut-link */
    void (*continued)(void *world); /* migrate-continue; NULL: the world looks by itself */
    /* Postcopy; NULL where it can't be. |postcopy| is theirs. */
    void (*paused)(void *postcopy); /* migrate-pause was taken: shut the channels */
    void (*recover)(void *postcopy, int64_t at, int64_t link_back);
    void (*kill)(void *postcopy); /* the destination dies */
    void *postcopy;
    /* Instead of the scenario's, for the next source; NULL: those. */
    const MigCapabilitySet *capabilities;
    const MigParameters *parameters;
    uint64_t hint_event;          /* the report of free pages that is planned; 0: none */
    MigDirtyLimit *limit_by_hand; /* set-vcpu-dirty-limit's, not owned; NULL: there is no monitor */
    MigDirtyLimit *limit;         /* that is in force; its timer runs. NULL: none */
    bool limit_timer;             /* it is in the queue */
    int64_t limit_began;          /* ns: the present period */
    uint64_t file_offset;         /* see MigSourceConfig */
    bool *fired;                  /* one per event of the scenario */
    struct MigTimedEvent *timed;  /* likewise */
} MigScenarioRun;

/* Makes run->source, which migrates |memory|. |max_run|: see MigSourceConfig. */
void mig_scenario_run_source(MigScenarioRun *run, MigMemory *memory, unsigned max_run);

/*
 * Why `migrate` with these settings is refused by the guest's blockers, before anything changes;
 * NULL: it isn't; g_free().
 */
char *mig_scenario_run_refused(const MigScenarioRun *run, MigCapabilitySet capabilities,
                               const MigParameters *p);

/* Asks run->events for everything that the scenario wants to happen. */
void mig_scenario_run_plan(MigScenarioRun *run);
void mig_scenario_run_clear(MigScenarioRun *run);

/* What migrate_cancel does, at |at| ns. */
void mig_scenario_run_cancel(MigScenarioRun *run, int64_t at);

/* What migrate-set-parameters and migrate-continue do; the latter: NULL, or why not; g_free(). */
void mig_scenario_run_set_parameters(MigScenarioRun *run, const MigParameters *p, int64_t at);
char *mig_scenario_run_continue(MigScenarioRun *run, const char *state, int64_t at);

/* MIG_OP_FREE_PAGES: tells the source of what is free, a little later. */
void mig_scenario_run_free_pages(MigScenarioRun *run, int64_t at, bool hinting);

/*
 * MIG_OP_DIRTY_LIMIT, or a limit was set by hand: measures the guest's vCPUs while one is in
 * service. The migration's goes before the one by hand.
 */
void mig_scenario_run_dirty_limit(MigScenarioRun *run, int64_t at);

/* Appends to the log. */
void mig_scenario_run_note(MigScenarioRun *run, int64_t at, const char *name, const char *status,
                           uint64_t pass);

/* The devices' state at |now| ns; the caller's. */
MigDevices *mig_scenario_run_devices(const MigScenarioRun *run, int64_t now);

#endif
