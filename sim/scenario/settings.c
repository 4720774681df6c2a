/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities and parameters of a scenario, see scenario.h; the tables are the engine's. */
#include <string.h>

#include "sim/scenario/scenario.h"

/* Capabilities ----------------------------------------------------------------------------- */

static bool fail_with(MigReader *r, char *message)
{
    if (message) {
        mig_read_fail(r, "%s", message);
    }
    g_free(message);
    return false;
}

static MigCapability find_capability(MigReader *r, const MigScenario *s, const char *name)
{
    const char *names[MIG_CAP_COUNT + 1] = { NULL };
    for (unsigned i = 0; i < MIG_CAP_COUNT; i++) {
        names[i] = mig_capability_name_in((MigCapability)i, s->version);
    }
    MigCapability cap = mig_capability_find_in(name, s->version);
    if (cap == MIG_CAP_COUNT) {
        mig_read_fail_unknown(r, "capability", name, names);
    }
    return cap;
}

static bool read_capability(MigReader *r, MigScenario *s, const char *name, json_object *v)
{
    MigCapability cap = find_capability(r, s, name);
    bool on = false;
    if (cap == MIG_CAP_COUNT || !mig_read_bool(r, v, &on)) {
        return false;
    }
    char *absent = mig_capability_absent(cap, s->version);
    if (absent) {
        return fail_with(r, absent);
    }
    if (on && !(MIG_CAPS_IMPLEMENTED & MIG_CAP_BIT(cap))) {
        return mig_read_fail(r, "this capability is known to QEMU, but not simulated yet");
    }
    s->capabilities &= ~MIG_CAP_BIT(cap);
    s->capabilities |= on ? MIG_CAP_BIT(cap) : 0;
    return true;
}

bool mig_scenario_read_capabilities(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    if (!json_object_is_type(v, json_type_object)) {
        return mig_read_fail(r, "expected an object such as { \"return-path\": true }");
    }
    json_object_object_foreach(v, key, value)
    {
        size_t mark = mig_read_enter(r, key);
        if (!read_capability(r, s, key, value)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    unsigned host = s->tracking == MIG_TRACKING_KVM_RING ? MIG_HOST_DIRTY_RING : 0;
    char *refused = mig_capabilities_check(s->capabilities, s->version, host);
    return !refused || fail_with(r, refused);
}

/* Parameters ------------------------------------------------------------------------------- */

static bool read_choice(MigReader *r, const MigParameterRow *row, json_object *v, uint64_t *value)
{
    unsigned index = 0;
    bool fine = mig_read_choice(r, v, row->choices, &index);
    *value = index;
    return fine;
}

static bool read_flag(MigReader *r, json_object *v, uint64_t *value)
{
    bool on = false;
    bool fine = mig_read_bool(r, v, &on);
    *value = on;
    return fine;
}

static bool read_value(MigReader *r, const MigParameterRow *row, json_object *v, uint64_t *value)
{
    switch (row->kind) {
    case MIG_PARAMETER_NUMBER:
        return mig_read_u64(r, v, value);
    case MIG_PARAMETER_SIZE:
        return mig_read_size(r, v, value);
    case MIG_PARAMETER_RATE:
        return mig_read_bandwidth(r, v, value);
    case MIG_PARAMETER_TIME:
        return mig_read_ms(r, v, value);
    case MIG_PARAMETER_FLAG:
        return read_flag(r, v, value);
    case MIG_PARAMETER_CHOICE:
        return read_choice(r, row, v, value);
    case MIG_PARAMETER_TEXT:
        break;
    }
    return mig_read_fail(r, "this parameter is known to QEMU, but not simulated yet");
}

static bool read_parameter(MigReader *r, const MigScenario *s, const MigParameterRow *row,
                           json_object *v, MigParameterSet *set)
{
    uint64_t value = 0;
    char *refused = mig_parameter_absent(row, s->version);
    if (refused) {
        return fail_with(r, refused);
    }
    if (!read_value(r, row, v, &value)) {
        return false;
    }
    refused = mig_parameter_refuse(row, value);
    if (refused) {
        return fail_with(r, refused);
    }
    if (!row->done && value != row->value) {
        return mig_read_fail(r, "this parameter is known to QEMU, but not simulated yet");
    }
    *mig_parameter_slot(&set->values, row) = value;
    set->given |= 1ull << (row - mig_parameter_rows);
    return true;
}

static bool fail_unknown(MigReader *r, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const MigParameterRow *row = mig_parameter_rows; row->name; row++) {
        g_ptr_array_add(names, (char *)row->name);
    }
    g_ptr_array_add(names, NULL);
    return mig_read_fail_unknown(r, "parameter", name, (const char *const *)names->pdata);
}

/* The values that it would give, over the era's defaults and |base|. */
static bool check_together(MigReader *r, const MigScenario *s, const MigParameterSet *base,
                           const MigParameterSet *set)
{
    MigEra era;
    if (mig_era_resolve(s->version, s->machine, &era) != MIG_ERA_OK) {
        return true; /* which is an error of its own */
    }
    MigParameters p = mig_parameters_default(&era);
    mig_parameters_apply(&p, base);
    mig_parameters_apply(&p, set);
    if (p.multifd_compression > MIG_MULTIFD_COMPRESSION_ZSTD) {
        return mig_read_fail(r, "multifd-compression: only none, zlib and zstd are simulated");
    }
    char *refused = mig_parameters_check(&p);
    return !refused || fail_with(r, refused);
}

bool mig_scenario_read_parameter_set(MigReader *r, const MigScenario *s, json_object *v,
                                     MigParameterSet *set)
{
    if (!json_object_is_type(v, json_type_object)) {
        return mig_read_fail(r, "expected an object such as { \"downtime-limit\": 300 }");
    }
    json_object_object_foreach(v, key, value)
    {
        size_t mark = mig_read_enter(r, key);
        const MigParameterRow *row = mig_parameter_find(key);
        if (!row) {
            return fail_unknown(r, key);
        }
        if (!read_parameter(r, s, row, value, set)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    return check_together(r, s, &s->parameters, set);
}

bool mig_scenario_read_parameters(MigReader *r, json_object *v, void *dst)
{
    static const char mapping[] = "block-bitmap-mapping";
    MigScenario *s = dst;
    json_object *list, *rest = NULL;
    if (!json_object_object_get_ex(v, mapping, &list)) {
        return mig_scenario_read_parameter_set(r, s, v, &s->parameters);
    }
    size_t mark = mig_read_enter(r, mapping);
    char *refused = mig_parameter_absent(mig_parameter_find(mapping), s->version);
    if (refused || !mig_scenario_read_bitmap_mapping(r, list, s)) {
        return refused && fail_with(r, refused);
    }
    mig_read_leave(r, mark);
    if (json_object_deep_copy(v, &rest, NULL) != 0) {
        g_error("out of memory");
    }
    json_object_object_del(rest, mapping);
    bool fine = mig_scenario_read_parameter_set(r, s, rest, &s->parameters);
    json_object_put(rest);
    return fine;
}

void mig_parameters_apply(MigParameters *p, const MigParameterSet *set)
{
    MigParameters values = set->values;
    for (const MigParameterRow *row = mig_parameter_rows; row->name; row++) {
        if (set->given >> (row - mig_parameter_rows) & 1) {
            *mig_parameter_slot(p, row) = *mig_parameter_slot(&values, row);
        }
    }
}
