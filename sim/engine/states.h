/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status of a migration's source, QEMU's MigrationStatus, and which may follow which:
 *
 *     none --> setup --> active --> [pre-switchover -->] [device -->] completed
 *                |          |                               |
 *                +----------+------- cancelling --> cancelled, [failing -->] failed
 *
 * A change is a compare-and-swap: it names the status that it expects, and is lost when another one
 * has come in between. That is how migrate_cancel wins its races.
 */
#ifndef MIG_SIM_ENGINE_STATES_H
#define MIG_SIM_ENGINE_STATES_H

#include <stdbool.h>

#include "stream/version.h"

#define MIG_STATUSES(X)                                 \
    X(NONE, "none")                                     \
    X(SETUP, "setup")                                   \
    X(CANCELLING, "cancelling")                         \
    X(CANCELLED, "cancelled")                           \
    X(ACTIVE, "active")                                 \
    X(POSTCOPY_DEVICE, "postcopy-device")               \
    X(POSTCOPY_ACTIVE, "postcopy-active")               \
    X(POSTCOPY_PAUSED, "postcopy-paused")               \
    X(POSTCOPY_RECOVER_SETUP, "postcopy-recover-setup") \
    X(POSTCOPY_RECOVER, "postcopy-recover")             \
    X(COMPLETED, "completed")                           \
    X(FAILING, "failing")                               \
    X(FAILED, "failed")                                 \
    X(COLO, "colo")                                     \
    X(PRE_SWITCHOVER, "pre-switchover")                 \
    X(DEVICE, "device")                                 \
    X(WAIT_UNPLUG, "wait-unplug")

typedef enum MigStatusName {
#define X(symbol, name) MIG_STATUS_IS_##symbol,
    MIG_STATUSES(X)
#undef X
        MIG_STATUS_NAMES
} MigStatusName;

/* "active"; and back: MIG_STATUS_NAMES for a name that is none. */
const char *mig_status_text(MigStatusName status);
MigStatusName mig_status_find(const char *name);

/* May |to| follow |from| at the source of |binary|? */
bool mig_status_may_follow(MigStatusName from, MigStatusName to, MigVersion binary);

/* A migration is under way: another `migrate`, and changes of capabilities, are refused. */
bool mig_status_running(MigStatusName status);

/* What migrate_cancel makes of this status; the status itself where it does nothing. */
MigStatusName mig_status_cancelled(MigStatusName status, MigVersion binary);

#endif
