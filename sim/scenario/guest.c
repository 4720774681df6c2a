/* SPDX-License-Identifier: Apache-2.0 */
/* The "guest" of a scenario, see scenario.h: blocks with their contents, workloads, devices. */
#include <string.h>

#include "sim/scenario/scenario.h"
#include "sim/scenario/trace-devices.h"
#include "sim/scenario/trace-image.h"

#define NAME_MAX_BYTES 255 /* one length byte on the wire */

static MigScenarioBlock *last_block(MigScenario *s)
{
    return &g_array_index(s->blocks, MigScenarioBlock, s->blocks->len - 1);
}

/* Bytes to pages; |what| must be whole pages. */
static bool to_pages(MigReader *r, const char *what, uint64_t bytes, uint64_t *pages)
{
    *pages = bytes / MIG_SCENARIO_PAGE;
    return bytes % MIG_SCENARIO_PAGE == 0 ||
           mig_read_fail(r, "the %s %" G_GUINT64_FORMAT " is not a multiple of the page size %u",
                         what, bytes, MIG_SCENARIO_PAGE);
}

bool mig_scenario_range(MigReader *r, const MigScenarioBlock *block, uint64_t offset,
                        uint64_t length, uint64_t *first, uint64_t *pages)
{
    if (offset >= block->size) {
        return mig_read_fail(r,
                             "the offset %" G_GUINT64_FORMAT " is beyond the end of block "
                             "\"%s\" (%" G_GUINT64_FORMAT ")",
                             offset, block->name, block->size);
    }
    if (length == MIG_LENGTH_REST) {
        length = block->size - offset;
    }
    if (length == 0 || length > block->size - offset) {
        return mig_read_fail(r,
                             "%" G_GUINT64_FORMAT " bytes from %" G_GUINT64_FORMAT " are not "
                             "inside block \"%s\" (%" G_GUINT64_FORMAT ")",
                             length, offset, block->name, block->size);
    }
    return to_pages(r, "offset", offset, first) && to_pages(r, "length", length, pages);
}

/* Contents --------------------------------------------------------------------------------- */

typedef struct ContentText {
    uint64_t offset, length;
    unsigned kind; /* content_kinds */
    uint64_t byte, zeros;
    char *file;
} ContentText;

#define KIND_TRACE 5u /* a scenario's word: the image of this block in a recorded stream */

static const char *const content_kinds[] = { "zero", "random", "text", "repeated",
                                             "file", "trace",  NULL };

static bool read_content_kind(MigReader *r, json_object *v, void *dst)
{
    return mig_read_choice(r, v, content_kinds, dst);
}

static bool read_byte(MigReader *r, json_object *v, void *dst)
{
    uint64_t *byte = dst;
    return mig_read_u64(r, v, byte) && (*byte <= 255 || mig_read_fail(r, "a byte is 0 to 255"));
}

static bool read_share(MigReader *r, json_object *v, void *dst)
{
    uint64_t *share = dst;
    return mig_read_u64(r, v, share) && (*share <= 100 || mig_read_fail(r, "a share is 0 to 100"));
}

static const MigField content_fields[] = {
    { "offset", mig_read_size, offsetof(ContentText, offset) },
    { "length", mig_read_size, offsetof(ContentText, length) },
    { "kind", read_content_kind, offsetof(ContentText, kind), true },
    { "byte", read_byte, offsetof(ContentText, byte) },
    { "zeros", read_share, offsetof(ContentText, zeros) },
    { "file", mig_read_string, offsetof(ContentText, file) },
    { NULL },
};

static GBytes *map_file(const char *path, GError **error)
{
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, error);
    return file ? g_mapped_file_get_bytes(file) : NULL;
}

static bool lend_file(MigReader *r, const ContentText *t, MigScenario *s, MigContent *c)
{
    GError *error = NULL;
    if (!t->file) {
        return mig_read_fail(r, "the key \"file\" is missing");
    }
    g_autofree char *path = g_path_is_absolute(t->file)
                                ? g_strdup(t->file)
                                : g_build_filename(r->folder, t->file, NULL);
    GBytes *bytes = t->kind == KIND_TRACE ? mig_trace_image(path, last_block(s)->name, &error)
                                          : map_file(path, &error);
    if (!bytes) {
        mig_read_fail(r, "%s", error->message);
        g_error_free(error);
        return false;
    }
    g_ptr_array_add(s->lent, bytes);
    gsize size;
    c->kind = MIG_CONTENT_FILE;
    c->data = g_bytes_get_data(bytes, &size);
    c->bytes = size;
    return true;
}

static bool add_content(MigReader *r, const ContentText *t, MigScenario *s)
{
    MigContent c = { .kind = (MigContentKind)t->kind,
                     .byte = (uint8_t)t->byte,
                     .zeros = (uint8_t)t->zeros };
    if (!mig_scenario_range(r, last_block(s), t->offset, t->length, &c.first, &c.pages)) {
        return false;
    }
    if ((t->kind == MIG_CONTENT_FILE || t->kind == KIND_TRACE) && !lend_file(r, t, s, &c)) {
        return false;
    }
    if (c.kind == MIG_CONTENT_FILE && t->kind == KIND_TRACE) {
        /* The image is the block's; the range takes its own part of it. */
        uint64_t skip = MIN(c.first * MIG_SCENARIO_PAGE, c.bytes);
        c.data += skip;
        c.bytes -= skip;
    }
    g_array_append_val(last_block(s)->content, c);
    return true;
}

bool mig_scenario_read_content(MigReader *r, json_object *v, void *dst)
{
    ContentText t = { .length = MIG_LENGTH_REST };
    bool fine = mig_read_object(r, v, content_fields, &t) && add_content(r, &t, dst);
    g_free(t.file);
    return fine;
}

/* Blocks ----------------------------------------------------------------------------------- */

static bool read_address(MigReader *r, json_object *v, void *dst)
{
    MigScenarioBlock *b = dst;
    b->has_address = true;
    return mig_read_size(r, v, &b->address);
}

static const MigField block_fields[] = {
    { "name", mig_read_string, offsetof(MigScenarioBlock, name), true },
    { "size", mig_read_size, offsetof(MigScenarioBlock, size), true },
    { "max-size", mig_read_size, offsetof(MigScenarioBlock, max_size) },
    { "page-size", mig_read_size, offsetof(MigScenarioBlock, page_size) },
    { "address", read_address, 0 },
    { "shared", mig_read_bool, offsetof(MigScenarioBlock, shared) },
    { "rom", mig_read_bool, offsetof(MigScenarioBlock, rom) },
    { "content", mig_read_ignore, 0 }, /* when the block is known */
    { NULL },
};

bool mig_scenario_check_block(MigReader *r, const MigScenario *s, MigScenarioBlock *b)
{
    size_t length = strlen(b->name);
    uint64_t page = b->page_size;
    if (length == 0 || length > NAME_MAX_BYTES) {
        return mig_read_fail(r, "a block's name has 1 to %d bytes", NAME_MAX_BYTES);
    }
    for (uint32_t i = 0; i + 1 < s->blocks->len; i++) {
        if (strcmp(g_array_index(s->blocks, MigScenarioBlock, i).name, b->name) == 0) {
            return mig_read_fail(r, "there are two blocks \"%s\"", b->name);
        }
    }
    if (page < MIG_SCENARIO_PAGE || page > (1u << 30) || (page & (page - 1)) != 0) {
        return mig_read_fail(r,
                             "the page size %" G_GUINT64_FORMAT " is not a power of two from "
                             "4k to 1G",
                             page);
    }
    if (b->size == 0 || b->size % MIG_SCENARIO_PAGE != 0 || b->size > (16ull << 40)) {
        return mig_read_fail(r, "the size %" G_GUINT64_FORMAT " is not a multiple of %u up to 16T",
                             b->size, MIG_SCENARIO_PAGE);
    }
    b->max_size = b->max_size ? b->max_size : b->size;
    if (b->max_size < b->size || b->max_size % MIG_SCENARIO_PAGE != 0 ||
        b->max_size > (16ull << 40)) {
        return mig_read_fail(r,
                             "the max-size %" G_GUINT64_FORMAT " is not a multiple of %u from the "
                             "size to 16T",
                             b->max_size, MIG_SCENARIO_PAGE);
    }
    return true;
}

static bool read_block(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    json_object *content;
    MigScenarioBlock fresh = { .page_size = MIG_SCENARIO_PAGE,
                               .content = g_array_new(FALSE, TRUE, sizeof(MigContent)) };
    g_array_append_val(s->blocks, fresh);
    MigScenarioBlock *b = last_block(s);
    if (!mig_read_object(r, v, block_fields, b) || !mig_scenario_check_block(r, s, b)) {
        return false;
    }
    if (!json_object_object_get_ex(v, "content", &content)) {
        return true;
    }
    size_t mark = mig_read_enter(r, "content");
    bool fine = mig_read_each(r, content, mig_scenario_read_content, s);
    if (fine) {
        mig_read_leave(r, mark);
    }
    return fine;
}

static bool read_ram(MigReader *r, json_object *v, void *dst)
{
    if (!mig_read_each(r, v, read_block, dst)) {
        return false;
    }
    return ((MigScenario *)dst)->blocks->len > 0 || mig_read_fail(r, "there is no block");
}

/* Free pages ------------------------------------------------------------------------------- */

typedef struct FreeText {
    char *block;
    uint64_t offset, length;
    MigScenarioFree f;
} FreeText;

static const MigField free_fields[] = {
    { "block", mig_read_string, offsetof(FreeText, block) },
    { "offset", mig_read_size, offsetof(FreeText, offset) },
    { "length", mig_read_size, offsetof(FreeText, length) },
    { "from", mig_read_time, offsetof(FreeText, f.from) },
    { "until", mig_read_time, offsetof(FreeText, f.until) },
    { NULL },
};

static bool check_free(MigReader *r, const MigScenario *s, const FreeText *t, MigScenarioFree *f)
{
    const char *name = t->block ? t->block : g_array_index(s->blocks, MigScenarioBlock, 0).name;
    return mig_scenario_find_block(r, s, name, &f->block) &&
           mig_scenario_range(r, &g_array_index(s->blocks, MigScenarioBlock, f->block), t->offset,
                              t->length, &f->first, &f->pages);
}

static bool read_free(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    FreeText t = { .length = MIG_LENGTH_REST, .f.until = INT64_MAX };
    bool fine = mig_read_object(r, v, free_fields, &t) && check_free(r, s, &t, &t.f);
    if (fine) {
        g_array_append_val(s->free_pages, t.f);
    }
    g_free(t.block);
    return fine;
}

/* Devices ---------------------------------------------------------------------------------- */

static bool read_section_id(MigReader *r, json_object *v, void *dst)
{
    MigScenarioDevice *d = dst;
    d->has_section_id = true;
    return mig_read_u32(r, v, &d->section_id);
}

static const MigField device_fields[] = {
    { "idstr", mig_read_string, offsetof(MigScenarioDevice, idstr), true },
    { "instance", mig_read_u32, offsetof(MigScenarioDevice, instance) },
    { "version", mig_read_u32, offsetof(MigScenarioDevice, version) },
    { "length", mig_read_size, offsetof(MigScenarioDevice, length), true },
    { "section-id", read_section_id, 0 },
    { NULL },
};

static bool read_device(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    MigScenarioDevice fresh = { .version = 1 };
    g_array_append_val(s->devices, fresh);
    MigScenarioDevice *d = &g_array_index(s->devices, MigScenarioDevice, s->devices->len - 1);
    return mig_read_object(r, v, device_fields, d) &&
           ((d->idstr[0] && strlen(d->idstr) <= NAME_MAX_BYTES) ||
            mig_read_fail(r, "a device's name has 1 to %d bytes", NAME_MAX_BYTES)) &&
           (d->length <= (16u << 20) || mig_read_fail(r, "a device's state has at most 16M"));
}

/* Those of a recorded stream. */
static bool read_recorded(MigReader *r, json_object *v, MigScenario *s)
{
    g_autofree char *file = NULL;
    g_autoptr(GError) error = NULL;
    if (!mig_read_string(r, v, &file)) {
        return false;
    }
    g_autofree char *path =
        g_path_is_absolute(file) ? g_strdup(file) : g_build_filename(r->folder, file, NULL);
    return mig_trace_devices(path, s, &error) || mig_read_fail(r, "%s", error->message);
}

static bool read_devices(MigReader *r, json_object *v, void *dst)
{
    ((MigScenario *)dst)->has_devices = true;
    return json_object_is_type(v, json_type_string) ? read_recorded(r, v, dst)
                                                    : mig_read_each(r, v, read_device, dst);
}

/* The guest -------------------------------------------------------------------------------- */

static bool read_tracking(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "tcg", "kvm-log", "kvm-manual-clear", "kvm-ring", NULL };
    unsigned index = 0;
    bool fine = mig_read_choice(r, v, names, &index);
    *(MigTracking *)dst = (MigTracking)index;
    return fine;
}

static bool read_clock(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "time", "pages", NULL };
    unsigned index = 0;
    bool fine = mig_read_choice(r, v, names, &index);
    *(bool *)dst = index == 1;
    return fine;
}

static bool read_run_state(MigReader *r, json_object *v, void *dst)
{
    /* QAPI: RunState, those in which a migration may begin. */
    static const char *const names[] = { "running",  "paused", "prelaunch", "suspended", "shutdown",
                                         "io-error", "debug",  "watchdog",  NULL };
    unsigned index;
    return mig_read_choice(r, v, names, &index) && mig_read_string(r, v, dst);
}

/* QEMU: -accel kvm,dirty-ring-size=N. */
static bool read_ring(MigReader *r, json_object *v, void *dst)
{
    uint32_t *n = dst;
    return mig_read_u32(r, v, n) &&
           ((*n >= 1024 && *n <= 65536 && (*n & (*n - 1)) == 0) ||
            mig_read_fail(r, "%u is not a power of two from 1024 to 65536", *n));
}

static bool read_vcpus(MigReader *r, json_object *v, void *dst)
{
    uint32_t *n = dst;
    return mig_read_u32(r, v, n) &&
           ((*n >= 1 && *n <= 4096) || mig_read_fail(r, "expected 1 to 4096 vCPUs"));
}

/* 32 hexadecimal digits, and dashes where -uuid has them. */
static bool read_uuid(MigReader *r, json_object *v, void *dst)
{
    static const unsigned digits[] = { 8, 4, 4, 4, 12 };
    MigScenario *s = dst;
    g_autofree char *text = NULL;
    if (!mig_read_string(r, v, &text)) {
        return false;
    }
    const char *at = text;
    for (unsigned group = 0, n = 0; group < G_N_ELEMENTS(digits); group++) {
        bool fine = group == 0 || *at++ == '-';
        for (unsigned i = 0; fine && i < digits[group]; i += 2, at += 2) {
            fine = g_ascii_isxdigit(at[0]) && g_ascii_isxdigit(at[1]);
            s->uuid[n++] =
                fine ? (uint8_t)(g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1]))
                     : 0;
        }
        if (!fine) {
            return mig_read_fail(r, "expected a UUID such as 12345678-9abc-def0-1234-56789abcdef0");
        }
    }
    s->has_uuid = *at == '\0';
    return s->has_uuid || mig_read_fail(r, "there is more behind the UUID");
}

static const MigField guest_fields[] = {
    { "machine", mig_read_string, offsetof(MigScenario, machine) },
    { "uuid", read_uuid, 0 },
    { "vcpus", read_vcpus, offsetof(MigScenario, vcpus) },
    { "dirty-ring-size", read_ring, offsetof(MigScenario, ring_pages) },
    { "ran", mig_read_time, offsetof(MigScenario, ran) },
    { "run-state", read_run_state, offsetof(MigScenario, run_state) },
    { "device-state", mig_read_size, offsetof(MigScenario, device_state) },
    { "dirty-tracking", read_tracking, offsetof(MigScenario, tracking) },
    { "clock", read_clock, offsetof(MigScenario, counts_pages) },
    { "ram", read_ram, 0, true },
    { "devices", read_devices, 0 },
    { "switchover-acks", mig_scenario_read_acks, 0 },
    { "free-pages", mig_read_ignore, 0 }, /* when the blocks are known */
    { "hint-delay", mig_read_time, offsetof(MigScenario, hint_delay) },
    { "blockers", mig_scenario_read_blockers, 0 },
    { "unmigratable", mig_scenario_read_unmigratable, 0 },
    { "only-migratable", mig_scenario_read_only_migratable, 0 },
    { "workload", mig_read_ignore, 0 }, /* when the blocks are known */
    { NULL },
};

/* A list that names blocks. */
static bool read_later(MigReader *r, MigScenario *s, json_object *v, const char *key,
                       MigReadFn *each)
{
    json_object *list;
    if (json_object_object_get_ex(v, key, &list)) {
        size_t mark = mig_read_enter(r, key);
        if (!mig_read_each(r, list, each, s)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    return true;
}

bool mig_scenario_read_guest(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    if (!mig_read_object(r, v, guest_fields, s)) {
        return false;
    }
    if (s->device_state > (16u << 20)) {
        return mig_read_fail(r, "device-state is at most 16M");
    }
    return read_later(r, s, v, "workload", mig_scenario_read_workload) &&
           read_later(r, s, v, "free-pages", read_free);
}
