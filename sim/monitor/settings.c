/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities and parameters: asked for, set, printed. Their names, eras, ranges and rules are the
 * engine's tables (capabilities.h, parameters.h); the monitor keeps the values. Whole or not at
 * all: a list is checked to its end before anything changes. Mirrors qmp_migrate_set_capabilities()
 * and qmp_migrate_set_parameters() (migration/options.c, 10.0).
 *
 * Limits: what the engine can't do yet is refused when it is switched on; parameters without effect
 * here (announce-*, ...) are kept and shown. tls-creds is kept, and `migrate` refuses it.
 */
#include <string.h>

#include "sim/monitor/monitor-internal.h"
#include "sim/world/units.h"

#define V MIG_VERSION_OF

/* Capabilities ------------------------------------------------------------------------------- */

json_object *mig_command_query_capabilities(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments, (void)error;
    json_object *list = json_object_new_array();
    for (MigCapability cap = 0; cap < MIG_CAP_COUNT; cap++) {
        if (mig_capability_exists(cap, mig_monitor_binary(m))) {
            json_object *o = json_object_new_object();
            bool on = m->capabilities & MIG_CAP_BIT(cap);
            const char *name = mig_capability_name_in(cap, mig_monitor_binary(m));
            json_object_object_add(o, "state", json_object_new_boolean(on));
            json_object_object_add(o, "capability", json_object_new_string(name));
            json_object_array_add(list, o);
        }
    }
    return list;
}

static bool is_capability(MigVersion binary, const char *name)
{
    MigCapability cap = mig_capability_find_in(name, binary);
    return cap < MIG_CAP_COUNT && mig_capability_exists(cap, binary);
}

static const MigArgument capability_arguments[] = {
    { "capability", MIG_ARGUMENT_CHOICE, false, .accepts = is_capability },
    { "state", MIG_ARGUMENT_BOOL },
    { NULL },
};

/* Up to 7.2 these could be set when it was too late, and the migration hung. */
static const MigCapabilitySet channels =
    MIG_CAP_BIT(MIG_CAP_MULTIFD) | MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT);

static bool apply_capabilities(MigMonitor *m, MigCapabilitySet set, GError **error)
{
    MigCapabilitySet more = set & ~m->capabilities, new = more & ~MIG_CAPS_IMPLEMENTED;
    g_autofree char *why = mig_capabilities_check(set, mig_monitor_binary(m), m->target.host);
    if (mig_monitor_is_migrating(m)) {
        mig_monitor_fail(error, "a migration is under way already");
    } else if (why) {
        mig_monitor_fail(error, "%s", why);
    } else if (more & channels && m->incoming_started && mig_monitor_binary(m) >= V(8, 0)) {
        mig_monitor_fail(error, "multifd and postcopy-preempt have to be set before "
                                "migrate-incoming: they decide who is let in");
    } else if (new) {
        mig_monitor_fail(error, "%s is known to QEMU, but not done here yet",
                         mig_capability_name((MigCapability)__builtin_ctzll(new)));
    } else if (!m->target.set_capabilities ||
               m->target.set_capabilities(m->target.opaque, set, error)) {
        m->capabilities = set;
        return true;
    }
    return false;
}

json_object *mig_command_set_capabilities(MigMonitor *m, json_object *arguments, GError **error)
{
    json_object *list = json_object_object_get(arguments, "capabilities");
    MigCapabilitySet set = m->capabilities;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i);
        if (!json_object_is_type(o, json_type_object)) {
            return mig_monitor_fail(error, "capabilities[%zu]: expected an object", i);
        }
        if (!mig_arguments_check(capability_arguments, mig_monitor_binary(m), o, error)) {
            g_prefix_error(error, "capabilities[%zu]: ", i);
            return NULL;
        }
        MigCapability cap =
            mig_capability_find_in(mig_argument_string(o, "capability"), mig_monitor_binary(m));
        set &= ~MIG_CAP_BIT(cap);
        set |= mig_argument_bool(o, "state", false) ? MIG_CAP_BIT(cap) : 0;
    }
    return apply_capabilities(m, set, error) ? mig_monitor_empty() : NULL;
}

void mig_settings_print_capabilities(const MigMonitor *m, GString *out)
{
    for (MigCapability cap = 0; cap < MIG_CAP_COUNT; cap++) {
        if (mig_capability_exists(cap, mig_monitor_binary(m))) {
            g_string_append_printf(out, "%s: %s\r\n",
                                   mig_capability_name_in(cap, mig_monitor_binary(m)),
                                   m->capabilities & MIG_CAP_BIT(cap) ? "on" : "off");
        }
    }
}

/* Parameters: what is asked for -------------------------------------------------------------- */

/* The place of a TEXT row's value, counted over the TEXT rows. */
static size_t text_index(const MigParameterRow *row)
{
    size_t index = 0;
    for (const MigParameterRow *r = mig_parameter_rows; r != row; r++) {
        index += r->kind == MIG_PARAMETER_TEXT;
    }
    g_assert(index < MIG_MONITOR_TEXTS);
    return index;
}

static bool is_list(const MigParameterRow *row)
{
    return !g_str_has_prefix(row->name, "tls-");
}

const char *mig_settings_text(const MigMonitor *m, const char *name)
{
    const char *text = m->texts[text_index(mig_parameter_find(name))];
    return text ? text : "";
}

static uint64_t value_of(const MigMonitor *m, const MigParameterRow *row)
{
    MigParameters copy = m->parameters;
    return *mig_parameter_slot(&copy, row);
}

static json_object *value_to_json(const MigMonitor *m, const MigParameterRow *row)
{
    switch (row->kind) {
    case MIG_PARAMETER_NUMBER:
    case MIG_PARAMETER_SIZE:
    case MIG_PARAMETER_RATE:
    case MIG_PARAMETER_TIME:
        return json_object_new_uint64(value_of(m, row));
    case MIG_PARAMETER_FLAG:
        return json_object_new_boolean(value_of(m, row) != 0);
    case MIG_PARAMETER_CHOICE:
        return json_object_new_string(row->choices[value_of(m, row)]);
    case MIG_PARAMETER_TEXT:
        break;
    }
    if (!is_list(row)) {
        return json_object_new_string(mig_settings_text(m, row->name));
    }
    json_object *list = m->lists[text_index(row)];
    bool always = strcmp(row->name, "cpr-exec-command") == 0;
    return list ? json_object_get(list) : always ? json_object_new_array() : NULL;
}

static void refresh(MigMonitor *m)
{
    if (m->target.parameters) {
        m->parameters = *m->target.parameters(m->target.opaque);
    }
}

json_object *mig_command_query_parameters(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments, (void)error;
    refresh(m);
    json_object *o = json_object_new_object();
    for (const MigParameterRow *row = mig_parameter_rows; row->name; row++) {
        json_object *v =
            mig_parameter_exists(row, mig_monitor_binary(m)) ? value_to_json(m, row) : NULL;
        if (v) {
            json_object_object_add(o, row->name, v);
        }
    }
    return o;
}

void mig_settings_print_parameters(MigMonitor *m, GString *out)
{
    refresh(m);
    for (const MigParameterRow *row = mig_parameter_rows; row->name; row++) {
        json_object *v =
            mig_parameter_exists(row, mig_monitor_binary(m)) ? value_to_json(m, row) : NULL;
        if (v) {
            bool flag = row->kind == MIG_PARAMETER_FLAG;
            const char *text = flag ? (json_object_get_boolean(v) ? "on" : "off")
                                    : json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
            bool choice = row->kind == MIG_PARAMETER_CHOICE;
            g_string_append_printf(out, "%s: %s\r\n", row->name,
                                   choice ? json_object_get_string(v) : text);
        }
        json_object_put(v);
    }
}

/* Parameters: setting them ------------------------------------------------------------------- */

static const MigArgumentType types[] = {
    [MIG_PARAMETER_NUMBER] = MIG_ARGUMENT_UINT,
    [MIG_PARAMETER_SIZE] = MIG_ARGUMENT_UINT,
    [MIG_PARAMETER_RATE] = MIG_ARGUMENT_UINT,
    [MIG_PARAMETER_TIME] = MIG_ARGUMENT_UINT,
    [MIG_PARAMETER_FLAG] = MIG_ARGUMENT_BOOL,
    [MIG_PARAMETER_CHOICE] = MIG_ARGUMENT_STRING,
    [MIG_PARAMETER_TEXT] = MIG_ARGUMENT_STRING_OR_NULL,
};

static bool find_choice(const MigParameterRow *row, const char *name, uint64_t *index)
{
    for (*index = 0; row->choices[*index]; ++*index) {
        if (strcmp(row->choices[*index], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Type and choice of one; numbers land in |p|, not looked at. */
static bool read_value(const MigMonitor *m, const MigParameterRow *row, json_object *object,
                       MigParameters *p, GError **error)
{
    MigArgument a = { row->name, types[row->kind] };
    uint64_t value;
    if (row->kind == MIG_PARAMETER_TEXT && is_list(row)) {
        a.type = MIG_ARGUMENT_ARRAY;
    }
    json_object *v = json_object_object_get(object, row->name);
    if (!mig_argument_check(&a, mig_monitor_binary(m), v, row->name, error)) {
        return false;
    }
    if (row->kind == MIG_PARAMETER_TEXT) {
        return true;
    }
    if (row->kind == MIG_PARAMETER_CHOICE) {
        if (!find_choice(row, json_object_get_string(v), &value)) {
            mig_monitor_fail(error, "argument \"%s\": \"%s\" is not one of its values", row->name,
                             json_object_get_string(v));
            return false;
        }
    } else if (row->kind == MIG_PARAMETER_FLAG) {
        value = json_object_get_boolean(v);
    } else {
        value = mig_argument_uint(object, row->name, 0);
    }
    *mig_parameter_slot(p, row) = value;
    return true;
}

static const MigParameterRow *row_of(const MigMonitor *m, const char *name)
{
    const MigParameterRow *row = mig_parameter_find(name);
    return row && strcmp(row->name, name) == 0 && mig_parameter_exists(row, mig_monitor_binary(m))
               ? row
               : NULL;
}

static bool check_values(json_object *arguments, MigParameters *p, GError **error)
{
    json_object_object_foreach(arguments, key, unused)
    {
        (void)unused;
        const MigParameterRow *row = mig_parameter_find(key);
        g_autofree char *why = row->kind == MIG_PARAMETER_TEXT
                                   ? NULL
                                   : mig_parameter_refuse(row, *mig_parameter_slot(p, row));
        if (why) {
            mig_monitor_fail(error, "argument \"%s\": %s", key, why);
            return false;
        }
    }
    g_autofree char *why = mig_parameters_check(p);
    if (why) {
        mig_monitor_fail(error, "%s", why);
    }
    return !why;
}

static void keep_texts(MigMonitor *m, json_object *arguments)
{
    json_object_object_foreach(arguments, key, v)
    {
        const MigParameterRow *row = mig_parameter_find(key);
        if (row->kind == MIG_PARAMETER_TEXT && is_list(row)) {
            json_object_put(m->lists[text_index(row)]);
            m->lists[text_index(row)] = json_object_get(v);
        } else if (row->kind == MIG_PARAMETER_TEXT) {
            g_free(m->texts[text_index(row)]);
            m->texts[text_index(row)] = g_strdup(v ? json_object_get_string(v) : "");
        }
    }
}

json_object *mig_command_set_parameters(MigMonitor *m, json_object *arguments, GError **error)
{
    refresh(m);
    MigParameters p = m->parameters;
    if (!arguments) {
        return mig_monitor_empty();
    }
    json_object_object_foreach(arguments, key, unused)
    {
        (void)unused;
        const MigParameterRow *row = row_of(m, key);
        if (!row) {
            return mig_monitor_fail(error, "there is no parameter \"%s\" in QEMU %s", key,
                                    m->target.version);
        }
        if (!read_value(m, row, arguments, &p, error)) {
            return NULL;
        }
    }
    if (!check_values(arguments, &p, error) ||
        (m->target.set_parameters && !m->target.set_parameters(m->target.opaque, &p, error))) {
        return NULL;
    }
    m->parameters = p;
    keep_texts(m, arguments);
    return mig_monitor_empty();
}

/* Sets the one parameter, taking |v|. */
static json_object *set_one(MigMonitor *m, const char *name, json_object *v, GError **error)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, name, v);
    json_object *result = mig_command_set_parameters(m, o, error);
    json_object_put(o);
    return result;
}

/* Rates have MiB as their unit where none is given. */
static bool number_from_text(const MigParameterRow *row, const char *text, uint64_t *value,
                             GError **error)
{
    if (row->kind == MIG_PARAMETER_SIZE || row->kind == MIG_PARAMETER_RATE) {
        bool mib =
            row->kind == MIG_PARAMETER_RATE && *text && strspn(text, "0123456789") == strlen(text);
        g_autofree char *with_unit = g_strconcat(text, mib ? "M" : "", NULL);
        return mig_parse_size(with_unit, value, error);
    }
    return g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, value, error);
}

bool mig_settings_from_text(MigMonitor *m, const char *name, const char *text, GError **error)
{
    const MigParameterRow *row = row_of(m, name);
    json_object *v = NULL;
    uint64_t number;
    if (!row || (row->kind == MIG_PARAMETER_TEXT && is_list(row))) {
        return mig_monitor_fail(error, "there is no parameter \"%s\" to be set here", name);
    }
    if (row->kind == MIG_PARAMETER_FLAG) {
        if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0) {
            return mig_monitor_fail(error, "%s: expected on or off", name);
        }
        v = json_object_new_boolean(strcmp(text, "on") == 0);
    } else if (row->kind == MIG_PARAMETER_CHOICE || row->kind == MIG_PARAMETER_TEXT) {
        v = json_object_new_string(text);
    } else if (number_from_text(row, text, &number, error)) {
        v = json_object_new_uint64(number);
    } else {
        return false;
    }
    json_object *result = set_one(m, name, v, error);
    json_object_put(result);
    return result != NULL;
}

/* The old ones, up to 5.2 -------------------------------------------------------------------- */

json_object *mig_command_set_speed(MigMonitor *m, json_object *arguments, GError **error)
{
    return set_one(m, "max-bandwidth", json_object_get(json_object_object_get(arguments, "value")),
                   error);
}

/* In seconds; json_object_get_double() of an integer is that number. */
json_object *mig_command_set_downtime(MigMonitor *m, json_object *arguments, GError **error)
{
    double seconds = json_object_get_double(json_object_object_get(arguments, "value"));
    if (!(seconds >= 0 && seconds <= 2000)) {
        return mig_monitor_fail(error, "value: expected 0 to 2000 seconds");
    }
    return set_one(m, "downtime-limit", json_object_new_int64((int64_t)(seconds * 1000)), error);
}

json_object *mig_command_set_cache_size(MigMonitor *m, json_object *arguments, GError **error)
{
    return set_one(m, "xbzrle-cache-size",
                   json_object_get(json_object_object_get(arguments, "value")), error);
}

json_object *mig_command_query_cache_size(MigMonitor *m, json_object *arguments, GError **error)
{
    (void)arguments, (void)error;
    return json_object_new_uint64(m->parameters.xbzrle_cache_size);
}
