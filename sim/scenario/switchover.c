/* SPDX-License-Identifier: Apache-2.0 */
/* What of a "guest" keeps it from being migrated, or holds its switchover back; see scenario.h. */
#include "sim/scenario/scenario.h"

/* Blockers --------------------------------------------------------------------------------- */

static bool take_refusal(MigReader *r, char *refused)
{
    bool fine = !refused || mig_read_fail(r, "%s", refused);
    g_free(refused);
    return fine;
}

static bool read_blocker(MigReader *r, json_object *v, void *dst)
{
    g_autofree char *reason = NULL;
    return mig_read_string(r, v, &reason) &&
           take_refusal(
               r, mig_blockers_add(((MigScenario *)dst)->blockers, reason, MIG_STATUS_IS_NONE));
}

bool mig_scenario_read_blockers(MigReader *r, json_object *v, void *dst)
{
    return mig_read_each(r, v, read_blocker, dst);
}

static bool read_unmigratable_one(MigReader *r, json_object *v, void *dst)
{
    g_autofree char *idstr = NULL;
    return mig_read_string(r, v, &idstr) &&
           take_refusal(r, mig_blockers_add_device(((MigScenario *)dst)->blockers, idstr));
}

bool mig_scenario_read_unmigratable(MigReader *r, json_object *v, void *dst)
{
    return mig_read_each(r, v, read_unmigratable_one, dst);
}

bool mig_scenario_read_only_migratable(MigReader *r, json_object *v, void *dst)
{
    bool only = false;
    return mig_read_bool(r, v, &only) &&
           (!only || take_refusal(r, mig_blockers_only_migratable(((MigScenario *)dst)->blockers)));
}

/* Acknowledgements ------------------------------------------------------------------------- */

#define ACKS_MAX 64u

static const MigField ack_fields[] = {
    { "device", mig_read_ignore, 0, true }, /* for people */
    { "at", mig_read_time, 0 },
    { NULL },
};

static bool read_ack(MigReader *r, json_object *v, void *dst)
{
    GArray *acks = ((MigScenario *)dst)->acks;
    int64_t at = -1;
    bool fine = mig_read_object(r, v, ack_fields, &at);
    g_array_append_val(acks, at);
    return fine && (acks->len <= ACKS_MAX || mig_read_fail(r, "at most %u devices", ACKS_MAX));
}

bool mig_scenario_read_acks(MigReader *r, json_object *v, void *dst)
{
    return mig_read_each(r, v, read_ack, dst);
}
