/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set-, cancel- and query-vcpu-dirty-limit (7.1 and later): limits by hand. A target keeps them;
 * this checks, in QEMU's order (qmp_set_vcpu_dirty_limit() and its kin, softmmu/dirtylimit.c,
 * compared with 7.2, 10.0 and 11.1).
 */
#include "sim/monitor/monitor-internal.h"

const MigArgument mig_set_dirty_limit_arguments[] = {
    { "cpu-index", MIG_ARGUMENT_INT, true },
    { "dirty-rate", MIG_ARGUMENT_UINT },
    { NULL },
};
const MigArgument mig_cancel_dirty_limit_arguments[] = {
    { "cpu-index", MIG_ARGUMENT_INT, true },
    { NULL },
};

static bool has_rings(const MigMonitor *m)
{
    return m->target.set_dirty_limit && m->target.host & MIG_HOST_DIRTY_RING;
}

/* A migration that limits vCPUs itself owns them. */
static bool may_set(const MigMonitor *m, GError **error)
{
    bool own = m->capabilities & MIG_CAP_BIT(MIG_CAP_DIRTY_LIMIT);
    if (own && mig_monitor_is_migrating(m)) {
        mig_monitor_fail(error, "the migration under way limits vCPUs itself (dirty-limit)");
        return false;
    }
    return true;
}

/* |vcpu|: MIG_ALL_VCPUS when none is given. */
static bool read_vcpu(const MigMonitor *m, json_object *arguments, uint32_t *vcpu, GError **error)
{
    bool given = json_object_object_get_ex(arguments, "cpu-index", NULL);
    uint64_t index = mig_argument_uint(arguments, "cpu-index", 0);
    if (given && index >= m->target.vcpus) {
        mig_monitor_fail(error, "cpu-index: there are vCPUs 0 to %u", m->target.vcpus - 1);
        return false;
    }
    *vcpu = given ? (uint32_t)index : MIG_ALL_VCPUS;
    return true;
}

static json_object *set(MigMonitor *m, json_object *arguments, uint64_t rate, GError **error)
{
    uint32_t vcpu;
    bool fine = read_vcpu(m, arguments, &vcpu, error) && may_set(m, error);
    if (fine) {
        m->target.set_dirty_limit(m->target.opaque, vcpu, rate);
    }
    return fine ? mig_monitor_empty() : NULL;
}

/* No rate is no limit. */
json_object *mig_command_set_dirty_limit(MigMonitor *m, json_object *arguments, GError **error)
{
    if (!has_rings(m)) {
        return mig_monitor_fail(error, "a dirty limit needs a guest with dirty rings: see the "
                                       "scenario's guest.dirty-tracking (kvm-ring)");
    }
    return set(m, arguments, mig_argument_uint(arguments, "dirty-rate", 0), error);
}

json_object *mig_command_cancel_dirty_limit(MigMonitor *m, json_object *arguments, GError **error)
{
    return has_rings(m) ? set(m, arguments, 0, error) : mig_monitor_empty();
}

/* Of the vCPUs that have a limit, whoever set it. */
json_object *mig_command_query_dirty_limit(MigMonitor *m, json_object *arguments, GError **error)
{
    json_object *list = json_object_new_array();
    (void)arguments, (void)error;
    for (uint32_t i = 0; has_rings(m) && i < m->target.vcpus; i++) {
        uint64_t limit = 0, rate = 0;
        if (m->target.dirty_limit(m->target.opaque, i, &limit, &rate)) {
            json_object *o = json_object_new_object();
            json_object_object_add(o, "limit-rate", json_object_new_uint64(limit));
            json_object_object_add(o, "current-rate", json_object_new_uint64(rate));
            json_object_object_add(o, "cpu-index", json_object_new_int64(i));
            json_object_array_add(list, o);
        }
    }
    return list;
}
