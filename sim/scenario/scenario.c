/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios, see scenario.h: the top level, and what concerns several parts at once.
 *
 * Order matters in one place: events name blocks, so "guest" is read before "events" wherever it
 * stands in the file.
 */
#include "sim/scenario/scenario.h"

#include <string.h>

#include "sim/world/prng.h"

static bool read_schema(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { MIG_SCENARIO_SCHEMA, NULL };
    unsigned index;
    (void)dst;
    return mig_read_choice(r, v, names, &index);
}

static bool read_version(MigReader *r, json_object *v, char **text, MigVersion *version)
{
    MigEra era;
    if (!mig_read_string(r, v, text)) {
        return false;
    }
    if (!mig_version_parse(*text, version) || mig_era_resolve(*version, NULL, &era) != MIG_ERA_OK) {
        return mig_read_fail(r, "\"%s\" is not a QEMU version; expected 1.4 to 11.1", *text);
    }
    return true;
}

static bool read_qemu(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    return read_version(r, v, &s->qemu, &s->version);
}

static bool read_destination_qemu(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    return read_version(r, v, &s->destination_qemu, &s->destination_version);
}

static bool read_poll(MigReader *r, json_object *v, void *dst)
{
    int64_t *poll = &((MigScenario *)dst)->poll;
    return mig_read_time(r, v, poll) && (*poll > 0 || mig_read_fail(r, "must be above 0"));
}

static bool read_limit(MigReader *r, json_object *v, void *dst)
{
    int64_t *limit = &((MigScenario *)dst)->limit;
    return mig_read_time(r, v, limit) && (*limit > 0 || mig_read_fail(r, "must be above 0"));
}

static bool read_destination_host(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    return mig_scenario_read_host(r, v, &s->destination_host, &s->destination_noise);
}

static bool read_host(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    return mig_scenario_read_host(r, v, &s->host, &s->noise);
}

static bool read_migrate(MigReader *r, json_object *v, void *dst)
{
    static const MigField arguments[] = {
        { "blk", mig_read_bool, offsetof(MigScenario, blk) },
        { "inc", mig_read_bool, offsetof(MigScenario, inc) },
        { NULL },
    };
    return mig_read_object(r, v, arguments, dst);
}

static const MigField fields[] = {
    { "schema", read_schema, 0, true },
    { "license", mig_read_ignore, 0 },
    { "description", mig_read_string, offsetof(MigScenario, description) },
    { "qemu", read_qemu, 0 },
    { "destination-qemu", read_destination_qemu, 0 },
    { "seed", mig_read_u64, offsetof(MigScenario, seed) },
    { "guest", mig_scenario_read_guest, 0, true },
    { "disks", mig_scenario_read_disks, 0 },
    { "migrate", read_migrate, 0 },
    { "link", mig_scenario_read_link, 0 },
    { "host", read_host, 0 },
    { "destination-host", read_destination_host, 0 },
    { "capabilities", mig_read_ignore, 0 }, /* these three when it is known who migrates */
    { "parameters", mig_read_ignore, 0 },
    { "events", mig_read_ignore, 0 },
    { "x-poll", read_poll, 0 },
    { "limit", read_limit, 0 },
    { NULL },
};

static void clear_block(gpointer p)
{
    MigScenarioBlock *b = p;
    g_free(b->name);
    g_clear_pointer(&b->content, g_array_unref);
}

static void clear_device(gpointer p)
{
    g_free(((MigScenarioDevice *)p)->idstr);
}

/* What the disks need of a scenario: blocks, and workloads that write to them. */
static MigScenario *disks_new(void)
{
    MigScenario *s = g_new0(MigScenario, 1);
    s->blocks = g_array_new(FALSE, TRUE, sizeof(MigScenarioBlock));
    g_array_set_clear_func(s->blocks, clear_block);
    s->workloads = g_array_new(FALSE, TRUE, sizeof(MigWorkload));
    s->lent = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    return s;
}

static void disks_free(MigScenario *s)
{
    g_free(s->run_state);
    g_array_unref(s->blocks);
    g_array_unref(s->workloads);
    g_ptr_array_unref(s->lent);
    g_free(s);
}

static MigScenario *scenario_new(const char *name)
{
    MigScenario *s = g_new0(MigScenario, 1);
    s->name = g_strdup(name);
    s->qemu = g_strdup("10.0");
    s->version = MIG_VERSION_OF(10, 0);
    s->seed = 1;
    s->machine = g_strdup("none");
    s->run_state = g_strdup("running");
    s->vcpus = 1;
    s->ring_pages = 4096;
    s->hint_delay = 1000000;
    s->free_pages = g_array_new(FALSE, FALSE, sizeof(MigScenarioFree));
    s->blocks = g_array_new(FALSE, TRUE, sizeof(MigScenarioBlock));
    g_array_set_clear_func(s->blocks, clear_block);
    s->devices = g_array_new(FALSE, TRUE, sizeof(MigScenarioDevice));
    g_array_set_clear_func(s->devices, clear_device);
    s->workloads = g_array_new(FALSE, TRUE, sizeof(MigWorkload));
    s->events = g_array_new(FALSE, TRUE, sizeof(MigScenarioEvent));
    s->blockers = mig_blockers_new();
    s->acks = g_array_new(FALSE, FALSE, sizeof(int64_t));
    s->lent = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    s->disks = disks_new();
    mig_scenario_disks_begin(s);
    s->link = (MigLinkConfig){ .bandwidth = 1000000000, .latency = 100000 };
    s->host = s->destination_host = mig_costs_default();
    s->noise = s->destination_noise = mig_costs_noise();
    s->poll = 20000000;
    s->limit = 600000000000;
    return s;
}

void mig_scenario_free(MigScenario *s)
{
    if (!s) {
        return;
    }
    g_free(s->name);
    g_free(s->description);
    g_free(s->qemu);
    g_free(s->destination_qemu);
    g_free(s->machine);
    g_free(s->run_state);
    g_array_unref(s->blocks);
    g_array_unref(s->devices);
    g_array_unref(s->workloads);
    g_array_unref(s->events);
    g_ptr_array_unref(s->lent);
    disks_free(s->disks);
    mig_scenario_disks_end(s);
    mig_blockers_free(s->blockers);
    g_array_unref(s->acks);
    g_array_unref(s->free_pages);
    g_free(s);
}

bool mig_scenario_find_block(MigReader *r, const MigScenario *s, const char *name, uint32_t *index)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (uint32_t i = 0; i < s->blocks->len; i++) {
        const char *known = g_array_index(s->blocks, MigScenarioBlock, i).name;
        if (strcmp(known, name) == 0) {
            *index = i;
            return true;
        }
        g_ptr_array_add(names, (char *)known);
    }
    g_ptr_array_add(names, NULL);
    return mig_read_fail_unknown(r, "block", name, (const char *const *)names->pdata);
}

static bool check_machine(MigReader *r, const MigScenario *s, MigVersion version)
{
    MigEra era;
    size_t mark = mig_read_enter(r, "guest.machine");
    if (mig_era_resolve(version, s->machine, &era) != MIG_ERA_OK) {
        return mig_read_fail(r, "\"%s\" is not a machine that QEMU %u.%u has", s->machine,
                             MIG_VERSION_MAJOR(version), MIG_VERSION_MINOR(version));
    }
    mig_read_leave(r, mark);
    return true;
}

/* The arguments of `migrate`, which went to make room for the capability. */
static bool check_migrate(MigReader *r, const MigScenario *s)
{
    size_t mark = mig_read_enter(r, "migrate");
    if (!s->blk && !s->inc) {
        mig_read_leave(r, mark);
        return true;
    }
    if (s->version >= MIG_VERSION_OF(9, 1)) {
        return mig_read_fail(r, "blk and inc were removed in 9.1; this scenario follows %s",
                             s->qemu);
    }
    if (s->capabilities & MIG_CAP_BIT(MIG_CAP_BLOCK)) {
        return mig_read_fail(r, "blk and inc don't go with the capability block");
    }
    mig_read_leave(r, mark);
    return true;
}

/* RDMA takes every page by itself, so what else does something to pages can't go with it. */
static bool check_transport(MigReader *r, const MigScenario *s)
{
    static const MigCapability others[] = { MIG_CAP_MULTIFD, MIG_CAP_COMPRESS, MIG_CAP_POSTCOPY_RAM,
                                            MIG_CAP_BACKGROUND_SNAPSHOT, MIG_CAP_MAPPED_RAM };
    size_t mark = mig_read_enter(r, "link.transport");
    if (s->link.rdma && s->version < MIG_VERSION_OF(1, 6)) {
        return mig_read_fail(r, "rdma came with 1.6; this scenario follows %s", s->qemu);
    }
    for (size_t i = 0; s->link.rdma && i < G_N_ELEMENTS(others); i++) {
        if (s->capabilities & MIG_CAP_BIT(others[i])) {
            return mig_read_fail(r, "rdma doesn't go with the capability %s here",
                                 mig_capability_name(others[i]));
        }
    }
    mig_read_leave(r, mark);
    return true;
}

/* What depends on the version and the guest, in this order. */
static bool read_late(MigReader *r, json_object *root, MigScenario *s)
{
    static const MigField late[] = {
        { "capabilities", mig_scenario_read_capabilities, 0 },
        { "parameters", mig_scenario_read_parameters, 0 },
        { "events", mig_scenario_read_events, 0 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(late); i++) {
        json_object *v;
        size_t mark = mig_read_enter(r, late[i].key);
        if (json_object_object_get_ex(root, late[i].key, &v) && !late[i].read(r, v, s)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    return true;
}

static bool read_top(MigReader *r, json_object *v, MigScenario *s)
{
    if (!mig_read_object(r, v, fields, s)) {
        return false;
    }
    s->disks->seed = mig_prng_key(s->seed, "disks", 0);
    s->disks->run_state = g_strdup(s->run_state);
    if (!s->destination_version) {
        s->destination_version = s->version;
    }
    return check_machine(r, s, s->version) && check_machine(r, s, s->destination_version) &&
           read_late(r, v, s) && check_migrate(r, s) && check_transport(r, s);
}

MigScenario *mig_scenario_read(json_object *v, const char *name, const char *folder, GError **error)
{
    g_autoptr(MigScenario) s = scenario_new(name);
    MigReader r = { .path = g_string_new(NULL), .file = name, .folder = folder };
    bool fine = read_top(&r, v, s);
    g_string_free(r.path, TRUE);
    if (!fine) {
        g_propagate_error(error, r.error);
        return NULL;
    }
    return g_steal_pointer(&s);
}

MigScenario *mig_scenario_load(const char *path, const char *const *sets, GError **error)
{
    json_object *root = mig_json_load(path, error);
    if (!root) {
        return NULL;
    }
    MigScenario *s = NULL;
    bool fine = true;
    for (; sets && *sets && fine; sets++) {
        fine = mig_scenario_set(root, *sets, error);
    }
    if (fine) {
        g_autofree char *folder = g_path_get_dirname(path);
        s = mig_scenario_read(root, path, folder, error);
    }
    json_object_put(root);
    return s;
}

MigGuest *mig_scenario_guest(const MigScenario *s, const int64_t *now)
{
    g_autofree MigGuestBlock *blocks = g_new0(MigGuestBlock, s->blocks->len);
    uint64_t address = 0;
    for (uint32_t i = 0; i < s->blocks->len; i++) {
        const MigScenarioBlock *b = &g_array_index(s->blocks, MigScenarioBlock, i);
        blocks[i].memory = (MigMemoryBlock){
            .name = b->name,
            .used_length = b->size,
            .max_length = b->max_size,
            .host_page = (uint32_t)b->page_size,
            .address = b->has_address ? b->address : address,
            .shared = b->shared,
            .rom = b->rom,
        };
        address = blocks[i].memory.address + b->max_size;
        blocks[i].content = (const MigContent *)(void *)b->content->data;
        blocks[i].content_count = b->content->len;
    }
    MigGuestConfig config = {
        .seed = s->seed,
        .now = now,
        .page_size = MIG_SCENARIO_PAGE,
        .tracking = s->tracking,
        .vcpus = s->vcpus,
        .ring_pages = s->ring_pages,
        .nap_late = s->host.wake,
        .stopped = strcmp(s->run_state, "running") != 0,
        .blocks = blocks,
        .block_count = s->blocks->len,
        .workloads = (const MigWorkload *)(void *)s->workloads->data,
        .workload_count = s->workloads->len,
    };
    return mig_guest_new(&config);
}

uint64_t mig_scenario_body_size(const MigScenario *s, MigStr idstr, uint32_t instance)
{
    for (uint32_t i = 0; i < s->devices->len; i++) {
        const MigScenarioDevice *d = &g_array_index(s->devices, MigScenarioDevice, i);
        if (d->instance == instance && mig_str_equal(idstr, mig_str(d->idstr))) {
            return d->length;
        }
    }
    return MIG_BODY_SIZE_UNKNOWN;
}
