/* SPDX-License-Identifier: Apache-2.0 */
/* How a scenario migrates, see scenario.h: hosts, events. */
#include <string.h>

#include "sim/engine/states.h"
#include "sim/scenario/scenario.h"

/* Hosts ------------------------------------------------------------------------------------ */

static bool read_cost(MigReader *r, json_object *v, void *dst)
{
    uint64_t value;
    if (!mig_read_u64(r, v, &value)) {
        return false;
    }
    *(int64_t *)dst = (int64_t)MIN(value, (uint64_t)INT64_MAX);
    return value <= INT64_MAX / 1024 || mig_read_fail(r, "is too large");
}

static const MigField cost_fields[] = {
    { "description", mig_read_ignore, 0 },
#define X(field, value, text) { #field, read_cost, offsetof(MigCosts, field) },
    MIG_COSTS(X)
#undef X
        { NULL },
};

/* A profile, as migbench calibrate writes it. */
typedef struct HostProfile {
    MigCosts *costs, *noise;
} HostProfile;

static bool read_profile_schema(MigReader *r, json_object *v, void *dst)
{
    (void)dst;
    return g_strcmp0(json_object_get_string(v), MIG_HOST_SCHEMA) == 0 ||
           mig_read_fail(r, "expected \"%s\"", MIG_HOST_SCHEMA);
}

static bool read_profile_costs(MigReader *r, json_object *v, void *dst)
{
    return mig_read_object(r, v, cost_fields, ((HostProfile *)dst)->costs);
}

static bool read_profile_noise(MigReader *r, json_object *v, void *dst)
{
    return mig_read_object(r, v, cost_fields, ((HostProfile *)dst)->noise);
}

static bool read_costs(MigReader *r, json_object *v, HostProfile *profile)
{
    static const MigField profile_fields[] = {
        { "schema", read_profile_schema, 0, true },
        { "description", mig_read_ignore, 0 },
        { "host", mig_read_ignore, 0 }, /* for people: what it was measured on */
        { "costs", read_profile_costs, 0, true },
        { "noise", read_profile_noise, 0 },
        { NULL },
    };
    return json_object_object_get_ex(v, "schema", NULL)
               ? mig_read_object(r, v, profile_fields, profile)
               : mig_read_object(r, v, cost_fields, profile->costs);
}

static bool read_host_file(MigReader *r, const char *name, HostProfile *profile)
{
    g_autofree char *path =
        g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(r->folder, name, NULL);
    GError *error = NULL;
    json_object *root = mig_json_load(path, &error);
    if (!root) {
        mig_read_fail(r, "%s", error->message);
        g_error_free(error);
        return false;
    }
    bool fine = read_costs(r, root, profile);
    json_object_put(root);
    return fine;
}

/*
 * A profile, or just an object of costs, or the name of a file that holds one of them. What is not
 * named keeps its default.
 */
bool mig_scenario_read_host(MigReader *r, json_object *v, MigCosts *costs, MigCosts *noise)
{
    HostProfile profile = { costs, noise };
    if (json_object_is_type(v, json_type_string)) {
        return read_host_file(r, json_object_get_string(v), &profile);
    }
    return read_costs(r, v, &profile);
}

/* Events ----------------------------------------------------------------------------------- */

static bool read_at(MigReader *r, json_object *v, void *dst)
{
    MigScenarioEvent *e = dst;
    e->has_at = true;
    return mig_read_time(r, v, &e->at);
}

static bool read_after_pass(MigReader *r, json_object *v, void *dst)
{
    MigScenarioEvent *e = dst;
    e->has_after_pass = true;
    return mig_read_u64(r, v, &e->after_pass);
}

static bool read_remaining(MigReader *r, const char *text, MigScenarioEvent *e)
{
    json_object *size = json_object_new_string(text);
    e->has_remaining = true;
    bool fine = mig_read_size(r, size, &e->remaining_below);
    json_object_put(size);
    return fine;
}

static bool read_status(MigReader *r, const char *text, MigScenarioEvent *e)
{
    MigStatusName status = mig_status_find(text);
    if (status == MIG_STATUS_NAMES) {
        return mig_read_fail(r, "\"%s\" is not a status of a migration", text);
    }
    e->status = mig_status_text(status);
    return true;
}

static bool read_when(MigReader *r, json_object *v, void *dst)
{
    static const struct {
        const char *prefix;
        bool (*read)(MigReader *r, const char *text, MigScenarioEvent *e);
    } forms[] = { { "remaining-below ", read_remaining }, { "status ", read_status } };
    g_autofree char *text = NULL;
    if (!mig_read_string(r, v, &text)) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (g_str_has_prefix(text, forms[i].prefix)) {
            return forms[i].read(r, text + strlen(forms[i].prefix), dst);
        }
    }
    return mig_read_fail(r, "\"%s\": expected \"remaining-below SIZE\" or \"status NAME\"", text);
}

static bool read_do(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = {
        [MIG_ACTION_SET_PARAMETERS] = "migrate-set-parameters",
        [MIG_ACTION_CANCEL] = "migrate_cancel",
        [MIG_ACTION_CUT_LINK] = "x-cut-link",
        [MIG_ACTION_WRITE] = "x-write",
        [MIG_ACTION_CONTINUE] = "migrate-continue",
        [MIG_ACTION_FAIL] = "x-fail",
        [MIG_ACTION_START_POSTCOPY] = "migrate-start-postcopy",
        [MIG_ACTION_PAUSE] = "migrate-pause",
        [MIG_ACTION_RECOVER] = "migrate-recover",
        [MIG_ACTION_ADD_BLOCK] = "x-add-block",
        [MIG_ACTION_REMOVE_BLOCK] = "x-remove-block",
        [MIG_ACTION_RESIZE_BLOCK] = "x-resize-block",
        [MIG_ACTION_KILL] = "x-kill-destination",
        [MIG_ACTION_STOP] = "stop",
        NULL,
    };
    unsigned index = 0;
    if (!mig_read_choice(r, v, names, &index)) {
        return false;
    }
    ((MigScenarioEvent *)dst)->action = (MigAction)index;
    return true;
}

static const MigField event_fields[] = {
    { "at", read_at, 0 },
    { "after-pass", read_after_pass, 0 },
    { "when", read_when, 0 },
    { "do", read_do, 0, true },
    { "arguments", mig_read_ignore, 0 }, /* when it is known what is done */
    { NULL },
};

typedef struct WriteText {
    char *block;
    MigScenarioWrite w;
    uint32_t byte;
} WriteText;

static const MigField write_fields[] = {
    { "block", mig_read_string, offsetof(WriteText, block), true },
    { "first-page", mig_read_u64, offsetof(WriteText, w.first), true },
    { "pages", mig_read_u64, offsetof(WriteText, w.pages) },
    { "byte", mig_read_u32, offsetof(WriteText, byte), true },
    { NULL },
};

static bool check_write(MigReader *r, const MigScenario *s, WriteText *t)
{
    if (!mig_scenario_find_block(r, s, t->block, &t->w.block)) {
        return false;
    }
    uint64_t size = g_array_index(s->blocks, MigScenarioBlock, t->w.block).size;
    uint64_t pages = size / MIG_SCENARIO_PAGE;
    if (t->byte > 255) {
        return mig_read_fail(r, "a byte is 0 to 255");
    }
    t->w.byte = (uint8_t)t->byte;
    return (t->w.first < pages && t->w.pages > 0 && t->w.pages <= pages - t->w.first) ||
           mig_read_fail(r, "these pages are not inside block \"%s\" (%" G_GUINT64_FORMAT " pages)",
                         t->block, pages);
}

static bool read_write(MigReader *r, const MigScenario *s, json_object *v, MigScenarioWrite *w)
{
    WriteText t = { .w.pages = 1 };
    bool fine = mig_read_object(r, v, write_fields, &t) && check_write(r, s, &t);
    *w = t.w;
    g_free(t.block);
    return fine;
}

static bool read_state(MigReader *r, json_object *v, void *dst)
{
    g_autofree char *text = NULL;
    return mig_read_string(r, v, &text) && read_status(r, text, dst);
}

static bool read_step(MigReader *r, json_object *v, void *dst)
{
    const char *names[MIG_STEP_COUNT + 1] = { NULL };
    unsigned index = 0;
    for (unsigned i = 0; i < MIG_STEP_COUNT; i++) {
        names[i] = mig_step_name((MigStep)i);
    }
    bool fine = mig_read_choice(r, v, names, &index);
    ((MigScenarioEvent *)dst)->step = (MigStep)index;
    return fine;
}

/* Its only argument is read as a status of its own: the event's must stay as it is. */
static bool read_continue(MigReader *r, json_object *v, MigScenarioEvent *e)
{
    static const MigField fields[] = { { "state", read_state, 0 }, { NULL } };
    MigScenarioEvent named = { .status = e->state };
    bool fine = mig_read_object(r, v, fields, &named);
    e->state = named.status;
    return fine;
}

static bool read_block_name(MigReader *r, json_object *v, void *dst)
{
    char *name = dst;
    g_autofree char *text = NULL;
    if (!mig_read_string(r, v, &text)) {
        return false;
    }
    g_strlcpy(name, text, sizeof(((MigScenarioChange *)NULL)->name));
    return (*text && strlen(text) < 256) || mig_read_fail(r, "a block's name has 1 to 255 bytes");
}

/* A block that is there, and its new length. */
static bool check_change(MigReader *r, const MigScenario *s, MigScenarioEvent *e)
{
    if (!mig_scenario_find_block(r, s, e->change.name, &e->change.block)) {
        return false;
    }
    const MigScenarioBlock *b = &g_array_index(s->blocks, MigScenarioBlock, e->change.block);
    uint64_t size = e->change.size;
    bool fine = size > 0 && size % MIG_SCENARIO_PAGE == 0 && size <= b->max_size;
    return fine || e->action == MIG_ACTION_REMOVE_BLOCK ||
           mig_read_fail(r,
                         "the size %" G_GUINT64_FORMAT " is not a multiple of %u up to the "
                         "max-size %" G_GUINT64_FORMAT " of block \"%s\"",
                         size, MIG_SCENARIO_PAGE, b->max_size, b->name);
}

static bool read_change(MigReader *r, const MigScenario *s, json_object *v, MigScenarioEvent *e)
{
    static const MigField add[] = {
        { "block", read_block_name, offsetof(MigScenarioChange, name), true },
        { "migratable", mig_read_bool, offsetof(MigScenarioChange, migratable) },
        { NULL }
    };
    static const MigField gone[] = {
        { "block", read_block_name, offsetof(MigScenarioChange, name), true }, { NULL }
    };
    static const MigField resized[] = {
        { "block", read_block_name, offsetof(MigScenarioChange, name), true },
        { "size", mig_read_size, offsetof(MigScenarioChange, size), true },
        { NULL }
    };
    e->change.migratable = true;
    if (e->action == MIG_ACTION_ADD_BLOCK) {
        return mig_read_object(r, v, add, &e->change);
    }
    return mig_read_object(r, v, e->action == MIG_ACTION_REMOVE_BLOCK ? gone : resized,
                           &e->change) &&
           check_change(r, s, e);
}

static bool read_arguments(MigReader *r, const MigScenario *s, json_object *v, MigScenarioEvent *e)
{
    static const MigField none[] = { { NULL } };
    static const MigField recover_fields[] = {
        { "x-link-back", mig_read_time, offsetof(MigScenarioEvent, link_back) }, { NULL }
    };
    static const MigField step_fields[] = { { "step", read_step, 0, true }, { NULL } };
    switch (e->action) {
    case MIG_ACTION_SET_PARAMETERS:
        return mig_scenario_read_parameter_set(r, s, v, &e->parameters);
    case MIG_ACTION_WRITE:
        return read_write(r, s, v, &e->write);
    case MIG_ACTION_CONTINUE:
        return read_continue(r, v, e);
    case MIG_ACTION_FAIL:
        return mig_read_object(r, v, step_fields, e);
    case MIG_ACTION_ADD_BLOCK:
    case MIG_ACTION_REMOVE_BLOCK:
    case MIG_ACTION_RESIZE_BLOCK:
        return read_change(r, s, v, e);
    case MIG_ACTION_RECOVER:
        return mig_read_object(r, v, recover_fields, e);
    default:
        return mig_read_object(r, v, none, NULL);
    }
}

static bool read_event(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    MigScenarioEvent e = { .state = mig_status_text(MIG_STATUS_IS_PRE_SWITCHOVER) };
    json_object *arguments;
    if (!mig_read_object(r, v, event_fields, &e)) {
        return false;
    }
    if (!e.has_at && !e.has_after_pass && !e.has_remaining && !e.status) {
        return mig_read_fail(r, "an event needs \"at\", \"after-pass\" or \"when\"");
    }
    bool given = json_object_object_get_ex(v, "arguments", &arguments);
    bool needs = e.action == MIG_ACTION_SET_PARAMETERS || e.action == MIG_ACTION_WRITE ||
                 e.action == MIG_ACTION_FAIL ||
                 (e.action >= MIG_ACTION_ADD_BLOCK && e.action <= MIG_ACTION_RESIZE_BLOCK);
    if (!given && needs) {
        return mig_read_fail(r, "the key \"arguments\" is missing");
    }
    size_t mark = mig_read_enter(r, "arguments");
    if (given && !read_arguments(r, s, arguments, &e)) {
        return false;
    }
    mig_read_leave(r, mark);
    g_array_append_val(s->events, e);
    return true;
}

bool mig_scenario_read_events(MigReader *r, json_object *v, void *dst)
{
    return mig_read_each(r, v, read_event, dst);
}
