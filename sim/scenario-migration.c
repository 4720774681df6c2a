/* SPDX-License-Identifier: Apache-2.0 */
/* How a scenario migrates, see scenario.h: link, hosts, capabilities, parameters, events. */
#include <string.h>

#include "sim/scenario.h"

/* Link and hosts --------------------------------------------------------------------------- */

static bool read_framing(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "none", "ethernet-tcp", NULL };
    unsigned index = 0;
    bool fine = mig_read_choice(r, v, names, &index);
    *(MigFraming *)dst = index ? MIG_FRAMING_ETHERNET_TCP : MIG_FRAMING_NONE;
    return fine;
}

static const MigField link_fields[] = {
    { "bandwidth", mig_read_rate, offsetof(MigLinkConfig, bandwidth) },
    { "latency", mig_read_time, offsetof(MigLinkConfig, latency) },
    { "framing", read_framing, offsetof(MigLinkConfig, framing) },
    { "send-buffer", mig_read_size, offsetof(MigLinkConfig, send_buffer) },
    { "receive-buffer", mig_read_size, offsetof(MigLinkConfig, receive_buffer) },
    { NULL },
};

bool mig_scenario_read_link(MigReader *r, json_object *v, void *dst)
{
    return mig_read_object(r, v, link_fields, &((MigScenario *)dst)->link);
}

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

static bool read_host_file(MigReader *r, const char *name, MigCosts *costs)
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
    bool fine = mig_read_object(r, root, cost_fields, costs);
    json_object_put(root);
    return fine;
}

/* An object of costs, or the name of a file that holds one. What is not named keeps its default. */
bool mig_scenario_read_host(MigReader *r, json_object *v, void *dst)
{
    if (json_object_is_type(v, json_type_string)) {
        return read_host_file(r, json_object_get_string(v), dst);
    }
    return mig_read_object(r, v, cost_fields, dst);
}

/* Capabilities ----------------------------------------------------------------------------- */

bool mig_scenario_read_capabilities(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    const char *names[MIG_CAP_COUNT + 1] = { NULL };
    for (unsigned i = 0; i < MIG_CAP_COUNT; i++) {
        names[i] = mig_capability_name((MigCapability)i);
    }
    if (!json_object_is_type(v, json_type_object)) {
        return mig_read_fail(r, "expected an object such as { \"return-path\": true }");
    }
    json_object_object_foreach(v, key, value)
    {
        size_t mark = mig_read_enter(r, key);
        MigCapability cap = mig_capability_find(key);
        bool on = false;
        if (cap == MIG_CAP_COUNT) {
            return mig_read_fail_unknown(r, "capability", key, names);
        }
        if (!mig_read_bool(r, value, &on)) {
            return false;
        }
        if (on && !(MIG_CAPS_IMPLEMENTED & MIG_CAP_BIT(cap))) {
            return mig_read_fail(r, "this capability is known to QEMU, but not simulated yet");
        }
        s->capabilities &= ~MIG_CAP_BIT(cap);
        s->capabilities |= on ? MIG_CAP_BIT(cap) : 0;
        mig_read_leave(r, mark);
    }
    return true;
}

/* Parameters ------------------------------------------------------------------------------- */

#define NOT_YET SIZE_MAX

typedef struct Parameter {
    const char *name;
    size_t offset; /* in MigParameters; NOT_YET: QEMU has it, the engine doesn't */
    uint64_t max;
} Parameter;

#define PARAMETER(name, field, max)               \
    {                                             \
        name, offsetof(MigParameters, field), max \
    }
#define LATER(name)      \
    {                    \
        name, NOT_YET, 0 \
    }

/* The first rows' places are the bits of MigParameterSet.given. */
static const Parameter parameters[] = {
    PARAMETER("max-bandwidth", max_bandwidth, INT64_MAX),
    PARAMETER("downtime-limit", downtime_limit, 2000000),
    PARAMETER("max-postcopy-bandwidth", max_postcopy_bandwidth, INT64_MAX),
    PARAMETER("avail-switchover-bandwidth", avail_switchover_bandwidth, INT64_MAX),
    LATER("xbzrle-cache-size"),
    LATER("throttle-trigger-threshold"),
    LATER("cpu-throttle-initial"),
    LATER("cpu-throttle-increment"),
    LATER("cpu-throttle-tailslow"),
    LATER("max-cpu-throttle"),
    LATER("multifd-channels"),
    LATER("multifd-compression"),
    LATER("multifd-zlib-level"),
    LATER("multifd-zstd-level"),
    LATER("multifd-qatzip-level"),
    LATER("zero-page-detection"),
    LATER("compress-level"),
    LATER("compress-threads"),
    LATER("compress-wait-thread"),
    LATER("decompress-threads"),
    LATER("announce-initial"),
    LATER("announce-max"),
    LATER("announce-rounds"),
    LATER("announce-step"),
    LATER("x-checkpoint-delay"),
    LATER("vcpu-dirty-limit"),
    LATER("x-vcpu-dirty-limit-period"),
    LATER("mode"),
    LATER("direct-io"),
    LATER("tls-creds"),
    LATER("tls-hostname"),
    LATER("tls-authz"),
    LATER("block-incremental"),
    LATER("block-bitmap-mapping"),
    LATER("x-rdma-chunk-size"),
    LATER("cpr-exec-command"),
};

static bool read_parameter(MigReader *r, unsigned row, json_object *v, MigParameterSet *set)
{
    const Parameter *p = &parameters[row];
    uint64_t value;
    if (p->offset == NOT_YET) {
        return mig_read_fail(r, "this parameter is known to QEMU, but not simulated yet");
    }
    if (!mig_read_u64(r, v, &value)) {
        return false;
    }
    if (value > p->max) {
        return mig_read_fail(r,
                             "%" G_GUINT64_FORMAT " is above the largest value %" G_GUINT64_FORMAT,
                             value, p->max);
    }
    *(uint64_t *)(void *)((char *)&set->values + p->offset) = value;
    set->given |= 1u << row;
    return true;
}

static bool read_parameter_set(MigReader *r, json_object *v, MigParameterSet *set)
{
    const char *names[G_N_ELEMENTS(parameters) + 1] = { NULL };
    for (unsigned i = 0; i < G_N_ELEMENTS(parameters); i++) {
        names[i] = parameters[i].name;
    }
    if (!json_object_is_type(v, json_type_object)) {
        return mig_read_fail(r, "expected an object such as { \"downtime-limit\": 300 }");
    }
    json_object_object_foreach(v, key, value)
    {
        size_t mark = mig_read_enter(r, key);
        unsigned row = 0;
        while (names[row] && strcmp(names[row], key) != 0) {
            row++;
        }
        if (!names[row]) {
            return mig_read_fail_unknown(r, "parameter", key, names);
        }
        if (!read_parameter(r, row, value, set)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    return true;
}

bool mig_scenario_read_parameters(MigReader *r, json_object *v, void *dst)
{
    return read_parameter_set(r, v, &((MigScenario *)dst)->parameters);
}

void mig_parameters_apply(MigParameters *p, const MigParameterSet *set)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(parameters); i++) {
        if (set->given & (1u << (i & 31)) && parameters[i].offset != NOT_YET) {
            memcpy((char *)p + parameters[i].offset,
                   (const char *)&set->values + parameters[i].offset, sizeof(uint64_t));
        }
    }
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

static bool read_when(MigReader *r, json_object *v, void *dst)
{
    static const char prefix[] = "remaining-below ";
    MigScenarioEvent *e = dst;
    g_autofree char *text = NULL;
    if (!mig_read_string(r, v, &text)) {
        return false;
    }
    if (!g_str_has_prefix(text, prefix)) {
        return mig_read_fail(r, "\"%s\": expected \"remaining-below SIZE\"", text);
    }
    json_object *size = json_object_new_string(text + strlen(prefix));
    e->has_remaining = true;
    bool fine = mig_read_size(r, size, &e->remaining_below);
    json_object_put(size);
    return fine;
}

static bool read_do(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = {
        "migrate-set-parameters", "migrate_cancel",   "x-cut-link",    "x-write",
        "migrate-start-postcopy", "migrate-continue", "migrate-pause", NULL
    };
    unsigned index = 0;
    if (!mig_read_choice(r, v, names, &index)) {
        return false;
    }
    ((MigScenarioEvent *)dst)->action = (MigAction)index;
    return index <= MIG_ACTION_WRITE ||
           mig_read_fail(r, "\"%s\" is known to QEMU, but not simulated yet", names[index]);
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

static bool read_arguments(MigReader *r, const MigScenario *s, json_object *v, MigScenarioEvent *e)
{
    static const MigField none[] = { { NULL } };
    switch (e->action) {
    case MIG_ACTION_SET_PARAMETERS:
        return read_parameter_set(r, v, &e->parameters);
    case MIG_ACTION_WRITE:
        return read_write(r, s, v, &e->write);
    default:
        return mig_read_object(r, v, none, NULL);
    }
}

static bool read_event(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    MigScenarioEvent e = { 0 };
    json_object *arguments;
    if (!mig_read_object(r, v, event_fields, &e)) {
        return false;
    }
    if (!e.has_at && !e.has_after_pass && !e.has_remaining) {
        return mig_read_fail(r, "an event needs \"at\", \"after-pass\" or \"when\"");
    }
    bool given = json_object_object_get_ex(v, "arguments", &arguments);
    if (!given && (e.action == MIG_ACTION_SET_PARAMETERS || e.action == MIG_ACTION_WRITE)) {
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
