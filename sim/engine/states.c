/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of states.h. What stands here is what sources were seen to do (5.2, 7.2, 10.0, 11.1) or
 * what their code says; before 2.5 it is from texts.
 */
#include "sim/engine/states.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define V       MIG_VERSION_OF
#define ALWAYS  V(1, 4)
#define FOREVER UINT32_MAX
#define S(name) MIG_STATUS_IS_##name

static const char *const names[] = {
#define X(symbol, name) [MIG_STATUS_IS_##symbol] = name,
    MIG_STATUSES(X)
#undef X
};

typedef struct Transition {
    MigStatusName from, to;
    MigVersion since, until;
} Transition;

static const Transition transitions[] = {
    { S(NONE), S(SETUP), ALWAYS, FOREVER },
    { S(COMPLETED), S(SETUP), ALWAYS, FOREVER },
    { S(FAILED), S(SETUP), ALWAYS, FOREVER },
    { S(CANCELLED), S(SETUP), ALWAYS, FOREVER },

    { S(SETUP), S(ACTIVE), ALWAYS, FOREVER },
    { S(SETUP), S(WAIT_UNPLUG), V(4, 2), FOREVER },
    { S(WAIT_UNPLUG), S(ACTIVE), V(4, 2), FOREVER },

    { S(ACTIVE), S(COMPLETED), ALWAYS, FOREVER }, /* from 9.0 on: a background snapshot only */
    { S(ACTIVE), S(PRE_SWITCHOVER), V(2, 11), FOREVER },
    { S(PRE_SWITCHOVER), S(DEVICE), V(2, 11), FOREVER },
    { S(ACTIVE), S(DEVICE), V(9, 0), FOREVER },
    { S(DEVICE), S(COMPLETED), V(2, 11), FOREVER },
    { S(DEVICE), S(COLO), V(2, 11), FOREVER },
    { S(ACTIVE), S(COLO), V(2, 8), V(9, 0) },
    { S(COLO), S(COMPLETED), V(2, 8), FOREVER },

    { S(ACTIVE), S(POSTCOPY_ACTIVE), V(2, 5), V(9, 0) },
    { S(PRE_SWITCHOVER), S(POSTCOPY_ACTIVE), V(2, 11), V(9, 0) },
    { S(DEVICE), S(POSTCOPY_ACTIVE), V(2, 11), FOREVER },
    { S(DEVICE), S(POSTCOPY_DEVICE), V(10, 2), FOREVER },
    { S(POSTCOPY_DEVICE), S(POSTCOPY_ACTIVE), V(10, 2), FOREVER },
    { S(POSTCOPY_ACTIVE), S(COMPLETED), V(2, 5), FOREVER },
    { S(POSTCOPY_ACTIVE), S(POSTCOPY_PAUSED), V(3, 0), FOREVER },
    { S(POSTCOPY_PAUSED), S(POSTCOPY_RECOVER), V(3, 0), V(9, 1) },
    { S(POSTCOPY_PAUSED), S(POSTCOPY_RECOVER_SETUP), V(9, 1), FOREVER },
    { S(POSTCOPY_RECOVER_SETUP), S(POSTCOPY_PAUSED), V(9, 1), FOREVER },
    { S(POSTCOPY_RECOVER_SETUP), S(POSTCOPY_RECOVER), V(9, 1), FOREVER },
    { S(POSTCOPY_RECOVER), S(POSTCOPY_ACTIVE), V(3, 0), FOREVER },
    { S(POSTCOPY_RECOVER), S(POSTCOPY_PAUSED), V(3, 0), FOREVER },

    { S(SETUP), S(FAILED), ALWAYS, V(11, 0) },
    { S(ACTIVE), S(FAILED), ALWAYS, V(11, 0) },
    { S(PRE_SWITCHOVER), S(FAILED), V(2, 11), V(11, 0) },
    { S(DEVICE), S(FAILED), V(2, 11), V(11, 0) },
    { S(POSTCOPY_ACTIVE), S(FAILED), V(2, 5), V(11, 0) },
    { S(POSTCOPY_DEVICE), S(FAILED), V(10, 2), V(11, 0) },
    { S(SETUP), S(FAILING), V(11, 0), FOREVER },
    { S(ACTIVE), S(FAILING), V(11, 0), FOREVER },
    { S(PRE_SWITCHOVER), S(FAILING), V(11, 0), FOREVER },
    { S(DEVICE), S(FAILING), V(11, 0), FOREVER },
    { S(POSTCOPY_DEVICE), S(FAILING), V(11, 0), FOREVER },
    { S(POSTCOPY_ACTIVE), S(FAILING), V(11, 0), FOREVER },
    { S(FAILING), S(FAILED), V(11, 0), FOREVER },

    { S(CANCELLING), S(CANCELLED), V(2, 0), FOREVER },
};

/* migrate_cancel, see qmp_migrate_cancel(). */
static const Transition cancels[] = {
    { S(SETUP), S(CANCELLED), ALWAYS, V(2, 0) },
    { S(ACTIVE), S(CANCELLED), ALWAYS, V(2, 0) },
    { S(SETUP), S(CANCELLING), V(2, 0), FOREVER },
    { S(WAIT_UNPLUG), S(CANCELLING), V(4, 2), FOREVER },
    { S(ACTIVE), S(CANCELLING), V(2, 0), FOREVER },
    { S(PRE_SWITCHOVER), S(CANCELLING), V(2, 11), FOREVER },
    { S(DEVICE), S(CANCELLING), V(2, 11), FOREVER },
    { S(COLO), S(CANCELLING), V(2, 8), FOREVER },
    { S(POSTCOPY_ACTIVE), S(CANCELLING), V(2, 5), V(9, 2) }, /* later it is refused */
    { S(POSTCOPY_PAUSED), S(CANCELLING), V(3, 0), V(9, 2) },
    { S(POSTCOPY_RECOVER), S(CANCELLING), V(3, 0), V(9, 2) },
};

const char *mig_status_text(MigStatusName status)
{
    assert(status < MIG_STATUS_NAMES);
    return names[status];
}

MigStatusName mig_status_find(const char *name)
{
    MigStatusName status = 0;
    while (status < MIG_STATUS_NAMES && strcmp(names[status], name) != 0) {
        status++;
    }
    return status;
}

static bool applies(const Transition *t, MigStatusName from, MigVersion binary)
{
    return t->from == from && t->since <= binary && binary < t->until;
}

MigStatusName mig_status_cancelled(MigStatusName status, MigVersion binary)
{
    for (size_t i = 0; i < sizeof(cancels) / sizeof(*cancels); i++) {
        if (applies(&cancels[i], status, binary)) {
            return cancels[i].to;
        }
    }
    return status;
}

bool mig_status_may_follow(MigStatusName from, MigStatusName to, MigVersion binary)
{
    for (size_t i = 0; i < sizeof(transitions) / sizeof(*transitions); i++) {
        if (applies(&transitions[i], from, binary) && transitions[i].to == to) {
            return true;
        }
    }
    return from != to && mig_status_cancelled(from, binary) == to;
}

bool mig_status_running(MigStatusName status)
{
    switch (status) {
    case S(NONE):
    case S(CANCELLED):
    case S(COMPLETED):
    case S(FAILED):
        return false;
    default:
        return true;
    }
}
