/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scenario: what migrates, over what, with which settings, and what happens meanwhile. Read from
 * strict JSON; docs/examples/ has some.
 *
 *     guest.c      "guest": blocks, contents, workloads, devices
 *     switchover.c ... of it: blockers, devices that acknowledge
 *     link.c       "link"
 *     migration.c  "events", "host"
 *     settings.c   "capabilities", "parameters"
 *     set.c        --set PATH=VALUE, before anything is read
 */
#ifndef MIG_SIM_SCENARIO_SCENARIO_H
#define MIG_SIM_SCENARIO_SCENARIO_H

#include <glib.h>

#include "sim/engine/config.h"
#include "sim/engine/source.h"
#include "sim/guest/guest.h"
#include "sim/scenario/json-reader.h"
#include "sim/world/costs.h"
#include "sim/world/link.h"

#define MIG_SCENARIO_SCHEMA "migbench-scenario-1"
#define MIG_HOST_SCHEMA     "migbench-host-1"
#define MIG_SCENARIO_PAGE   4096u /* target page: x86 */

typedef struct MigScenarioBlock {
    char *name;
    uint64_t size, max_size; /* bytes; max_size 0: as size */
    uint64_t page_size;      /* of the host, bytes */
    uint64_t address;
    bool has_address;
    bool shared, rom;
    GArray *content; /* MigContent */
} MigScenarioBlock;

typedef struct MigScenarioDevice {
    char *idstr;
    uint32_t instance, version;
    uint64_t length;     /* of the body, bytes */
    const uint8_t *body; /* of |lent|; NULL: what the engine knows of it, or zeros */
    uint32_t section_id;
    bool has_section_id;
} MigScenarioDevice;

typedef struct MigScenarioRange {
    uint64_t offset, length; /* bytes */
} MigScenarioRange;

typedef struct MigScenarioBitmap {
    uint32_t disk;
    char *name;
    uint64_t granularity; /* bytes */
    bool persistent, enabled;
    GArray *dirty; /* MigScenarioRange: when the guest begins */
} MigScenarioBitmap;

/* Its size, contents and writers are those of a block of `disks`. */
typedef struct MigScenarioDisk {
    char *name, *node;
    uint64_t size; /* bytes */
    bool read_only;
} MigScenarioDisk;

typedef enum MigAction {
    MIG_ACTION_SET_PARAMETERS, /* migrate-set-parameters */
    MIG_ACTION_CANCEL,         /* migrate_cancel */
    MIG_ACTION_CUT_LINK,       /* x-cut-link */
    MIG_ACTION_WRITE,          /* x-write */
    MIG_ACTION_CONTINUE,       /* migrate-continue */
    MIG_ACTION_FAIL,           /* x-fail: a step of the switchover */
    MIG_ACTION_START_POSTCOPY, /* migrate-start-postcopy */
    MIG_ACTION_PAUSE,          /* migrate-pause, at the source */
    MIG_ACTION_RECOVER,        /* migrate-recover there, then migrate with resume here */
    MIG_ACTION_ADD_BLOCK,      /* x-add-block */
    MIG_ACTION_REMOVE_BLOCK,   /* x-remove-block */
    MIG_ACTION_RESIZE_BLOCK,   /* x-resize-block */
    MIG_ACTION_KILL,           /* x-kill-destination: its process is gone */
    MIG_ACTION_STOP,           /* stop: the guest is paused */
} MigAction;

typedef struct MigScenarioWrite {
    uint32_t block;
    uint64_t first, pages;
    uint8_t byte;
} MigScenarioWrite;

/* Pages that the guest doesn't use for a while: |from| <= time < |until|, ns. */
typedef struct MigScenarioFree {
    uint32_t block;
    uint64_t first, pages;
    int64_t from, until;
} MigScenarioFree;

/* A RAM block that comes, goes, or changes its length. */
typedef struct MigScenarioChange {
    char name[256];
    uint32_t block; /* not of one that comes */
    uint64_t size;  /* bytes */
    bool migratable;
} MigScenarioChange;

typedef struct MigParameterSet {
    MigParameters values;
    uint64_t given; /* which: bit n is row n of mig_parameter_rows */
} MigParameterSet;

/* All conditions that are there have to hold; it fires once. */
typedef struct MigScenarioEvent {
    bool has_at, has_after_pass, has_remaining;
    int64_t at;               /* ns */
    uint64_t after_pass;      /* dirty-sync-count exceeds it */
    uint64_t remaining_below; /* bytes */
    const char *status;       /* the migration's; NULL: any */
    MigAction action;
    MigParameterSet parameters;
    MigScenarioWrite write;
    MigScenarioChange change; /* *_BLOCK */
    const char *state;        /* CONTINUE */
    int64_t link_back;        /* RECOVER: ns until a cut link is back, and `migrate` comes */
    MigStep step;             /* FAIL */
} MigScenarioEvent;

typedef struct MigScenario {
    char *name; /* the file */
    char *description;
    char *qemu, *destination_qemu; /* the latter may be NULL */
    MigVersion version, destination_version;
    uint64_t seed;

    char *machine, *run_state;
    uint8_t uuid[16]; /* of the machine, when has_uuid; both ends' */
    bool has_uuid;
    uint32_t vcpus;
    int64_t ran;           /* ns that the guest has run when the migration begins */
    GArray *free_pages;    /* MigScenarioFree */
    int64_t hint_delay;    /* ns from the wish for hints to them */
    uint32_t ring_pages;   /* entries of a vCPU's dirty ring */
    uint64_t device_state; /* bytes of one opaque device; 0: none */
    MigTracking tracking;
    bool counts_pages; /* the guest's clock moves with pages sent, see sim/simulate/guest-clock.h */
    GArray *blocks;    /* MigScenarioBlock, in the order of the RAM list */
    GArray *workloads; /* MigWorkload */
    GArray *devices;   /* MigScenarioDevice; empty: timer, device-state, globalstate */
    bool has_devices;
    MigBlockers *blockers;
    GArray *acks; /* int64_t: when a device of the destination acknowledges, ns; -1: never */

    struct MigScenario *disks; /* blocks and workloads of the disks, and nothing else */
    GArray *disk_list;         /* MigScenarioDisk */
    GArray *bitmaps;           /* MigScenarioBitmap, in the order in which they were made */
    GArray *bitmap_aliases;    /* MigBitmapAlias; of block-bitmap-mapping */
    bool has_bitmap_aliases;
    bool blk, inc; /* of `migrate` */

    MigLinkConfig link;
    MigCosts host, destination_host;
    MigCosts noise, destination_noise; /* of these between runs, see mig_costs_noise() */
    MigCapabilitySet capabilities;
    MigParameterSet parameters;
    GArray *events;  /* MigScenarioEvent */
    int64_t poll;    /* ns */
    int64_t limit;   /* ns */
    GPtrArray *lent; /* GBytes that contents point to */
} MigScenario;

/*
 * Loads |path| with |sets| ("PATH=VALUE", ended by NULL; may be NULL) applied. NULL and *error,
 * which names the file and the key.
 */
MigScenario *mig_scenario_load(const char *path, const char *const *sets, GError **error);

/* From a parsed value; |name| for messages, |folder| where relative file names begin. */
MigScenario *mig_scenario_read(json_object *v, const char *name, const char *folder,
                               GError **error);
void mig_scenario_free(MigScenario *s); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigScenario, mig_scenario_free)

/* Sets one value of |root|: "link.bandwidth=1Gbit/s", "guest.ram[0].size=1G",
 * "guest.ram.0.size=1G". A value that is JSON is taken as such, anything else as a string. */
bool mig_scenario_set(json_object *root, const char *assignment, GError **error);

/* The same with a path and a value, which is taken over, also by a failure. */
bool mig_scenario_set_value(json_object *root, const char *path, json_object *v, GError **error);

/* The guest that it describes; |now| as in MigGuestConfig. The scenario must outlive it. */
MigGuest *mig_scenario_guest(const MigScenario *s, const int64_t *now);

/* Bytes of a device's section; MIG_BODY_SIZE_UNKNOWN where the scenario doesn't list it. */
uint64_t mig_scenario_body_size(const MigScenario *s, MigStr idstr, uint32_t instance);

/* The parameters of |s| over the era's defaults; |p| changed by those that |set| gives. */
void mig_parameters_apply(MigParameters *p, const MigParameterSet *set);

/* Readers of the parts, for scenario.c. |dst| is the MigScenario. */
MigReadFn mig_scenario_read_guest;
MigReadFn mig_scenario_read_blockers, mig_scenario_read_unmigratable;
MigReadFn mig_scenario_read_only_migratable, mig_scenario_read_acks;
MigReadFn mig_scenario_read_link;
bool mig_scenario_read_host(MigReader *r, json_object *v, MigCosts *costs, MigCosts *noise);
MigReadFn mig_scenario_read_capabilities;
MigReadFn mig_scenario_read_parameters;
MigReadFn mig_scenario_read_events;
MigReadFn mig_scenario_read_disks;
MigReadFn mig_scenario_read_bitmap_mapping;
/* One element of those lists: of the last block, of any. */
MigReadFn mig_scenario_read_content;
MigReadFn mig_scenario_read_workload;

#define MIG_LENGTH_REST UINT64_MAX

/* The pages of a range inside |block|, in bytes; MIG_LENGTH_REST: up to its end. Or fails. */
bool mig_scenario_range(MigReader *r, const MigScenarioBlock *block, uint64_t offset,
                        uint64_t length, uint64_t *first, uint64_t *pages);
bool mig_scenario_check_block(MigReader *r, const MigScenario *s, MigScenarioBlock *b);

/* Makes and frees what disks.c reads into. */
void mig_scenario_disks_begin(MigScenario *s);
void mig_scenario_disks_end(MigScenario *s);

bool mig_scenario_read_parameter_set(MigReader *r, const MigScenario *s, json_object *v,
                                     MigParameterSet *set);

/* The index of the block of that name, or fails. */
bool mig_scenario_find_block(MigReader *r, const MigScenario *s, const char *name, uint32_t *index);

#endif
