/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: QEMU's commands and events of a migration, in QMP and HMP, for anything that
 * migrates.
 *
 *     client <--bytes--> MigQmp (one per client) --command--> MigMonitor --> MigMonitorTarget
 *     client <--bytes--> MigQmp <------------------- event ------- MigMonitor <-- the engine's
 * owner
 *
 *     qmp.c          the protocol: JSON in, JSON out, negotiation, ids
 *     arguments.c    checking a command's arguments along a table
 *     commands.c     the commands that ask and act
 *     settings.c     those that set capabilities and parameters
 *     dirty-rate.c   calc-dirty-rate and query-dirty-rate
 *     dirty-limit.c  set-vcpu-dirty-limit and its kin
 *     hmp.c, info.c  human-monitor-command
 *     server.c       sockets
 *
 * Sans-IO but for server.c: no clock, no socket, no thread. All of one monitor happens in one
 * thread, and commands are answered at once, as QEMU does; what takes long is told by events.
 * A command that the followed version does not have is unknown here, too, and so are arguments,
 * capabilities and parameters. Errors have QEMU's class and come in QEMU's order; their words are
 * our own.
 */
#ifndef MIG_SIM_MONITOR_MONITOR_H
#define MIG_SIM_MONITOR_MONITOR_H

#include <glib.h>
#include <json-c/json.h>

#include "sim/engine/capabilities.h"
#include "sim/engine/parameters.h"
#include "sim/guest/dirty-rate.h"
#include "sim/world/uri.h"
#include "stream/version.h"

/* A GError of this domain has one of these codes: QAPI's QapiErrorClass. */
#define MIG_MONITOR_ERROR (g_quark_from_static_string("mig-monitor-error"))
typedef enum MigMonitorError {
    MIG_MONITOR_GENERIC,
    MIG_MONITOR_COMMAND_NOT_FOUND,
} MigMonitorError;

/* What `migrate` or `migrate-incoming` was asked for. Borrowed for the call. */
typedef struct MigMonitorMigrate {
    const char *uri;       /* NULL: by channels */
    json_object *channels; /* NULL: by uri; else an array of one MigrationChannel */
    bool resume;
    bool exit_on_error; /* migrate-incoming */
} MigMonitorMigrate;

/* The URI, or the one that says what the channel says. NULL and *error. */
MigUri *mig_monitor_where(const MigMonitorMigrate *how, GError **error);

/* What calc-dirty-rate was asked for; checked. */
typedef struct MigMonitorMeasure {
    MigDirtyRateMode mode;
    int64_t ms;
    uint32_t sample_pages; /* per GiB */
} MigMonitorMeasure;

/*
 * Who does it. A function that is NULL makes its command an error ("not here"). Those that can fail
 * return false with *error (any domain: it is told as GenericError). Checks that QEMU makes by
 * status, capability and run state have been made before a function is called.
 */
typedef struct MigMonitorTarget {
    void *opaque;
    MigEra era;
    const char *version; /* of the QEMU to be: "10.0" or "10.0.13" */
    bool incoming;       /* was started to wait for migrate-incoming */
    unsigned host;       /* what it has: MIG_HOST_x */
    uint32_t vcpus;      /* of a guest that can be limited */

    int64_t (*now)(void *opaque);                /* ns since the epoch (of the clock), for events */
    const char *(*run_state)(void *opaque);      /* "running"; QAPI: RunState. Required */
    const char *(*status)(void *opaque);         /* "none", "active": the migration's. Required */
    json_object *(*query_migrate)(void *opaque); /* to be freed by the monitor. Required */

    /* The parameters in force, where others than the monitor can change them, too. May be NULL. */
    const MigParameters *(*parameters)(void *opaque);

    /* Why `migrate` with these settings is refused by blockers; g_free(). NULL: it isn't. */
    char *(*refused)(void *opaque, MigCapabilitySet set, const MigParameters *p);

    bool (*set_capabilities)(void *opaque, MigCapabilitySet set, GError **error);
    bool (*set_parameters)(void *opaque, const MigParameters *parameters, GError **error);
    bool (*migrate)(void *opaque, const MigMonitorMigrate *how, GError **error);
    bool (*migrate_incoming)(void *opaque, const MigMonitorMigrate *how, GError **error);
    bool (*cancel)(void *opaque, GError **error);
    bool (*proceed)(void *opaque, GError **error); /* migrate-continue; the status is right */
    bool (*start_postcopy)(void *opaque, GError **error);
    bool (*pause)(void *opaque, GError **error);
    bool (*recover)(void *opaque, const char *uri, GError **error);
    /* stop and cont before the migration has come: is the guest to run then? */
    void (*autostart)(void *opaque, bool on);
    bool (*stop)(void *opaque, GError **error);
    bool (*cont)(void *opaque, GError **error);
    bool (*quit)(void *opaque, GError **error);
    /* Writes |size| bytes of guest memory from physical address |address| to a file. */
    bool (*pmemsave)(void *opaque, uint64_t address, uint64_t size, const char *path,
                     GError **error);
    /* calc-dirty-rate: begins; mig_monitor_measured() when it is done. */
    bool (*measure)(void *opaque, const MigMonitorMeasure *how, GError **error);
    /* A limit by hand, MB/s, of |vcpu| or MIG_ALL_VCPUS; 0: none any more. NULL: can't be here. */
    void (*set_dirty_limit)(void *opaque, uint32_t vcpu, uint64_t rate);
    /* What is in force, by hand or the migration's, and the vCPU's rate. False: nothing. */
    bool (*dirty_limit)(void *opaque, uint32_t vcpu, uint64_t *limit, uint64_t *rate);
    /* x-cut-link: the connection breaks. */
    bool (*cut_link)(void *opaque, GError **error);
    /* x-advance: a request that is answered when it is done, see mig_monitor_advanced(). */
    bool (*advance)(void *opaque, int64_t ns, GError **error);
} MigMonitorTarget;

typedef struct MigMonitor MigMonitor;

/* Keeps a copy of |target|; |parameters| and |set| are what is set so far. Never NULL. */
MigMonitor *mig_monitor_new(const MigMonitorTarget *target, MigCapabilitySet set,
                            const MigParameters *parameters);
void mig_monitor_free(MigMonitor *m); /* after its clients; NULL is fine */

/*
 * Executes one command as a client would, without one. The answer ("return"), to be freed with
 * json_object_put(), or NULL and *error. |arguments| may be NULL.
 */
json_object *mig_monitor_execute(MigMonitor *m, const char *command, json_object *arguments,
                                 GError **error);

/*
 * Tells every client that has negotiated of an event: MIGRATION with |status|, MIGRATION_PASS with
 * |pass| (both only while the capability `events` is on), STOP, RESUME, SHUTDOWN...
 */
void mig_monitor_event(MigMonitor *m, const char *name, const char *status, uint64_t pass);

/* Answers the x-advance under way, which has come to |now| ns. Nothing if there is none. */
void mig_monitor_advanced(MigMonitor *m, int64_t now);

/* The dirty rate was measured. */
void mig_monitor_measured(MigMonitor *m, const MigDirtyRateResult *result);

/*
 * What pmemsave does: the bytes of |m|'s first block from |address| into a file. False and *error.
 */
bool mig_monitor_save_memory(MigMemory *m, uint64_t address, uint64_t size, const char *path,
                             GError **error);

MigCapabilitySet mig_monitor_capabilities(const MigMonitor *m);
const MigParameters *mig_monitor_parameters(const MigMonitor *m);

#endif
