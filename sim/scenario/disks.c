/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks in scenarios, see disks.h. A disk is to its writers what a RAM block is to the
 * guest's: the same contents, patterns and log, in a guest of its own that is stopped, started and
 * throttled with the real one.
 *
 * Limits: writes are whole pages of 4 KiB; what a write takes the disk is not modelled; the backing
 * image of every disk is empty.
 */
#include "sim/scenario/disks.h"

#include <string.h>

#define NAME_MAX_BYTES 255

/* Reading ---------------------------------------------------------------------------------- */

static bool read_range(MigReader *r, json_object *v, void *dst)
{
    static const MigField fields[] = {
        { "offset", mig_read_size, offsetof(MigScenarioRange, offset) },
        { "length", mig_read_size, offsetof(MigScenarioRange, length), true },
        { NULL },
    };
    MigScenario *s = dst;
    MigScenarioBitmap *b = &g_array_index(s->bitmaps, MigScenarioBitmap, s->bitmaps->len - 1);
    const MigScenarioBlock *disk = &g_array_index(s->disks->blocks, MigScenarioBlock, b->disk);
    MigScenarioRange range = { 0 };
    if (!mig_read_object(r, v, fields, &range)) {
        return false;
    }
    if (range.length == 0 || range.offset > disk->size ||
        range.length > disk->size - range.offset) {
        return mig_read_fail(r, "is not inside the disk");
    }
    g_array_append_val(b->dirty, range);
    return true;
}

static bool check_bitmap(MigReader *r, const MigScenario *s, const MigScenarioBitmap *b)
{
    if (!b->name[0] || strlen(b->name) > NAME_MAX_BYTES) {
        return mig_read_fail(r, "a bitmap's name has 1 to %d bytes", NAME_MAX_BYTES);
    }
    for (uint32_t i = 0; i + 1 < s->bitmaps->len; i++) {
        const MigScenarioBitmap *other = &g_array_index(s->bitmaps, MigScenarioBitmap, i);
        if (other->disk == b->disk && strcmp(other->name, b->name) == 0) {
            return mig_read_fail(r, "the disk has two bitmaps \"%s\"", b->name);
        }
    }
    if (b->granularity < MIG_DISK_SECTOR || b->granularity > (1u << 31) ||
        b->granularity & (b->granularity - 1)) {
        return mig_read_fail(
            r, "the granularity %" G_GUINT64_FORMAT " is not a power of two from 512 to 2G",
            b->granularity);
    }
    return true;
}

static bool read_bitmap(MigReader *r, json_object *v, void *dst)
{
    static const MigField fields[] = {
        { "name", mig_read_string, offsetof(MigScenarioBitmap, name), true },
        { "granularity", mig_read_size, offsetof(MigScenarioBitmap, granularity) },
        { "persistent", mig_read_bool, offsetof(MigScenarioBitmap, persistent) },
        { "enabled", mig_read_bool, offsetof(MigScenarioBitmap, enabled) },
        { "dirty", mig_read_ignore, 0 }, /* when the bitmap is known */
        { NULL },
    };
    MigScenario *s = dst;
    json_object *dirty;
    MigScenarioBitmap fresh = { .disk = s->disks->blocks->len - 1,
                                .granularity = 65536,
                                .enabled = true,
                                .dirty = g_array_new(FALSE, TRUE, sizeof(MigScenarioRange)) };
    g_array_append_val(s->bitmaps, fresh);
    MigScenarioBitmap *b = &g_array_index(s->bitmaps, MigScenarioBitmap, s->bitmaps->len - 1);
    if (!mig_read_object(r, v, fields, b) || !check_bitmap(r, s, b)) {
        return false;
    }
    if (!json_object_object_get_ex(v, "dirty", &dirty)) {
        return true;
    }
    size_t mark = mig_read_enter(r, "dirty");
    bool fine = mig_read_each(r, dirty, read_range, s);
    if (fine) {
        mig_read_leave(r, mark);
    }
    return fine;
}

/* A writer names no block: it writes to the disk that it stands in. */
static bool read_writer(MigReader *r, json_object *v, void *dst)
{
    MigScenario *disks = dst;
    const MigScenarioBlock *last =
        &g_array_index(disks->blocks, MigScenarioBlock, disks->blocks->len - 1);
    if (json_object_is_type(v, json_type_object)) {
        if (json_object_object_get_ex(v, "block", NULL)) {
            return mig_read_fail(r, "the workload of a disk has no \"block\"");
        }
        json_object_object_add(v, "block", json_object_new_string(last->name));
    }
    bool fine = mig_scenario_read_workload(r, v, disks);
    if (json_object_is_type(v, json_type_object)) {
        json_object_object_del(v, "block");
    }
    return fine;
}

/* What needs the disk to be known. */
static bool read_late(MigReader *r, json_object *v, MigScenario *s)
{
    const struct {
        const char *key;
        MigReadFn *read;
        void *dst;
    } late[] = {
        { "content", mig_scenario_read_content, s->disks },
        { "workload", read_writer, s->disks },
        { "dirty-bitmaps", read_bitmap, s },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(late); i++) {
        json_object *list;
        size_t mark = mig_read_enter(r, late[i].key);
        if (json_object_object_get_ex(v, late[i].key, &list) &&
            !mig_read_each(r, list, late[i].read, late[i].dst)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    return true;
}

static bool check_disk(MigReader *r, MigScenario *s, MigScenarioDisk *d)
{
    MigScenarioBlock *b =
        &g_array_index(s->disks->blocks, MigScenarioBlock, s->disks->blocks->len - 1);
    b->name = g_strdup(d->name);
    b->size = d->size;
    d->node = d->node ? d->node : g_strdup(d->name);
    if (!d->node[0] || strlen(d->node) > NAME_MAX_BYTES) {
        return mig_read_fail(r, "a node's name has 1 to %d bytes", NAME_MAX_BYTES);
    }
    for (uint32_t i = 0; i + 1 < s->disk_list->len; i++) {
        if (strcmp(g_array_index(s->disk_list, MigScenarioDisk, i).node, d->node) == 0) {
            return mig_read_fail(r, "there are two nodes \"%s\"", d->node);
        }
    }
    return mig_scenario_check_block(r, s->disks, b);
}

static bool read_disk(MigReader *r, json_object *v, void *dst)
{
    static const MigField fields[] = {
        { "name", mig_read_string, offsetof(MigScenarioDisk, name), true },
        { "node-name", mig_read_string, offsetof(MigScenarioDisk, node) },
        { "size", mig_read_size, offsetof(MigScenarioDisk, size), true },
        { "read-only", mig_read_bool, offsetof(MigScenarioDisk, read_only) },
        { "content", mig_read_ignore, 0 }, /* these when the disk is known */
        { "workload", mig_read_ignore, 0 },
        { "dirty-bitmaps", mig_read_ignore, 0 },
        { NULL },
    };
    MigScenario *s = dst;
    MigScenarioDisk disk = { 0 };
    MigScenarioBlock block = { .page_size = MIG_SCENARIO_PAGE,
                               .content = g_array_new(FALSE, TRUE, sizeof(MigContent)) };
    g_array_append_val(s->disk_list, disk);
    g_array_append_val(s->disks->blocks, block);
    MigScenarioDisk *d = &g_array_index(s->disk_list, MigScenarioDisk, s->disk_list->len - 1);
    return mig_read_object(r, v, fields, d) && check_disk(r, s, d) && read_late(r, v, s);
}

bool mig_scenario_read_disks(MigReader *r, json_object *v, void *dst)
{
    return mig_read_each(r, v, read_disk, dst);
}

/* block-bitmap-mapping ---------------------------------------------------------------------- */

typedef struct NodeText {
    MigScenario *s;
    char *node, *alias;
} NodeText;

static bool read_bitmap_alias(MigReader *r, json_object *v, void *dst)
{
    static const MigField fields[] = {
        { "name", mig_read_string, offsetof(MigBitmapAlias, name), true },
        { "alias", mig_read_string, offsetof(MigBitmapAlias, alias), true },
        { NULL },
    };
    const NodeText *t = dst;
    MigBitmapAlias a = { .node = g_strdup(t->node), .node_alias = g_strdup(t->alias) };
    bool fine = mig_read_object(r, v, fields, &a);
    g_array_append_val(t->s->bitmap_aliases, a);
    return fine;
}

static bool read_node(MigReader *r, json_object *v, void *dst)
{
    static const MigField names[] = {
        { "node-name", mig_read_string, offsetof(NodeText, node), true },
        { "alias", mig_read_string, offsetof(NodeText, alias), true },
        { "bitmaps", mig_read_ignore, 0, true },
        { NULL },
    };
    NodeText t = { .s = dst };
    json_object *bitmaps;
    bool fine = mig_read_object(r, v, names, &t);
    if (fine && json_object_object_get_ex(v, "bitmaps", &bitmaps)) {
        size_t mark = mig_read_enter(r, "bitmaps");
        fine = mig_read_each(r, bitmaps, read_bitmap_alias, &t);
        mig_read_leave(r, mark);
    }
    g_free(t.node);
    g_free(t.alias);
    return fine;
}

bool mig_scenario_read_bitmap_mapping(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    s->has_bitmap_aliases = true;
    return mig_read_each(r, v, read_node, s);
}

/* Freeing ----------------------------------------------------------------------------------- */

static void clear_disk(gpointer p)
{
    MigScenarioDisk *d = p;
    g_free(d->name);
    g_free(d->node);
}

static void clear_bitmap(gpointer p)
{
    MigScenarioBitmap *b = p;
    g_free(b->name);
    g_clear_pointer(&b->dirty, g_array_unref);
}

static void clear_alias(gpointer p)
{
    MigBitmapAlias *a = p;
    g_free(a->node);
    g_free(a->node_alias);
    g_free(a->name);
    g_free(a->alias);
}

void mig_scenario_disks_begin(MigScenario *s)
{
    s->disk_list = g_array_new(FALSE, TRUE, sizeof(MigScenarioDisk));
    g_array_set_clear_func(s->disk_list, clear_disk);
    s->bitmaps = g_array_new(FALSE, TRUE, sizeof(MigScenarioBitmap));
    g_array_set_clear_func(s->bitmaps, clear_bitmap);
    s->bitmap_aliases = g_array_new(FALSE, TRUE, sizeof(MigBitmapAlias));
    g_array_set_clear_func(s->bitmap_aliases, clear_alias);
}

void mig_scenario_disks_end(MigScenario *s)
{
    g_array_unref(s->disk_list);
    g_array_unref(s->bitmaps);
    g_array_unref(s->bitmap_aliases);
}

/* Running ----------------------------------------------------------------------------------- */

static MigDisks *make_disks(const MigScenario *s, MigMemory *memory)
{
    g_autofree MigDisk *list = g_new0(MigDisk, s->disk_list->len);
    for (uint32_t i = 0; i < s->disk_list->len; i++) {
        const MigScenarioDisk *d = &g_array_index(s->disk_list, MigScenarioDisk, i);
        list[i] = (MigDisk){ .name = d->name, .node = d->node, .read_only = d->read_only };
    }
    MigDisks *disks = mig_disks_new(memory, list);
    if (s->has_bitmap_aliases) {
        mig_disks_map(disks, (const MigBitmapAlias *)(void *)s->bitmap_aliases->data,
                      s->bitmap_aliases->len);
    }
    return disks;
}

static void add_bitmap(MigDisks *disks, const MigScenarioBitmap *b)
{
    MigDiskBitmap like = { .disk = b->disk,
                           .name = b->name,
                           .granularity = (uint32_t)b->granularity,
                           .persistent = b->persistent,
                           .enabled = b->enabled };
    MigDiskBitmap *made = mig_disks_add_bitmap(disks, &like);
    for (uint32_t i = 0; i < b->dirty->len; i++) {
        const MigScenarioRange *range = &g_array_index(b->dirty, MigScenarioRange, i);
        uint64_t first = range->offset / b->granularity;
        uint64_t last = (range->offset + range->length - 1) / b->granularity;
        mig_bitmap_set_range(made->bits, first, last - first + 1);
    }
}

MigScenarioDisks *mig_scenario_disks_source(const MigScenario *s, const int64_t *now)
{
    if (s->disk_list->len == 0) {
        return NULL;
    }
    MigScenarioDisks *d = g_new0(MigScenarioDisks, 1);
    d->guest = mig_scenario_guest(s->disks, now);
    d->disks = make_disks(s, mig_guest_memory(d->guest));
    for (uint32_t i = 0; i < s->bitmaps->len; i++) {
        add_bitmap(d->disks, &g_array_index(s->bitmaps, MigScenarioBitmap, i));
    }
    return d;
}

MigScenarioDisks *mig_scenario_disks_destination(const MigScenario *s, GError **error)
{
    if (s->disk_list->len == 0) {
        return NULL;
    }
    MigGuest *like = mig_scenario_guest(s->disks, NULL);
    MigScenarioDisks *d = g_new0(MigScenarioDisks, 1);
    d->buffer = mig_buffer_new(mig_guest_memory(like), NULL, error);
    mig_guest_free(like);
    if (!d->buffer) {
        g_free(d);
        return NULL;
    }
    d->disks = make_disks(s, mig_buffer_memory(d->buffer));
    return d;
}

void mig_scenario_disks_free(MigScenarioDisks *d)
{
    if (d) {
        mig_disks_free(d->disks);
        mig_guest_free(d->guest);
        mig_buffer_free(d->buffer);
        g_free(d);
    }
}

void mig_scenario_disks_run(MigScenarioDisks *d, bool running, int64_t now)
{
    if (d && d->guest) {
        (running ? mig_guest_start : mig_guest_stop)(d->guest, now);
    }
}

void mig_scenario_disks_throttle(MigScenarioDisks *d, unsigned percent, int64_t now)
{
    if (d && d->guest) {
        mig_guest_throttle(d->guest, now, percent);
    }
}

void mig_scenario_disks_detach(MigScenarioDisks *d)
{
    if (d && d->guest) {
        mig_guest_detach(d->guest);
    }
}

MigDisks *mig_scenario_disks_of(const MigScenarioDisks *d)
{
    return d ? d->disks : NULL;
}

/* Comparing --------------------------------------------------------------------------------- */

static bool same_bits(const MigDiskBitmap *a, const MigDiskBitmap *b)
{
    if (a->bits->bits != b->bits->bits || a->bits->set != b->bits->set) {
        return false;
    }
    for (uint64_t w = 0; w < mig_bitmap_word_count(a->bits); w++) {
        if (mig_bitmap_word(a->bits, w) != mig_bitmap_word(b->bits, w)) {
            return false;
        }
    }
    return true;
}

static char *bitmap_difference(MigDisks *from, MigDisks *to, const MigDiskBitmap *b)
{
    MigStr node, name;
    if (!mig_disks_wire_names(from, b, &node, &name)) {
        return NULL; /* it stays at home */
    }
    const MigDiskBitmap *other = mig_disks_find_bitmap(to, b->disk, mig_str(b->name));
    if (!other) {
        return g_strdup_printf("bitmap %s didn't arrive", b->name);
    }
    if (other->inconsistent || other->enabled != b->enabled || other->persistent != b->persistent ||
        other->granularity != b->granularity) {
        return g_strdup_printf("bitmap %s arrived with other properties", b->name);
    }
    return same_bits(b, other) ? NULL : g_strdup_printf("bitmap %s has other bits", b->name);
}

static char *content_difference(MigDisks *from, MigDisks *to, uint32_t disk)
{
    g_autofree uint8_t *a = g_malloc(MIG_BLOCK_CHUNK_BYTES), *b = g_malloc(MIG_BLOCK_CHUNK_BYTES);
    for (uint64_t i = 0; i < mig_disk_chunks(from, disk); i++) {
        mig_disk_read(from, disk, i, a);
        mig_disk_read(to, disk, i, b);
        if (memcmp(a, b, MIG_BLOCK_CHUNK_BYTES) != 0) {
            return g_strdup_printf("disk %s differs in MiB %" G_GUINT64_FORMAT,
                                   mig_disks_at(from, disk)->name, i);
        }
    }
    return NULL;
}

char *mig_scenario_disks_difference(const MigScenarioDisks *source, const MigScenarioDisks *dest,
                                    bool contents, bool bitmaps)
{
    char *why = NULL;
    mig_disks_look(source->disks);
    for (uint32_t i = 0; contents && !why && i < mig_disks_count(source->disks); i++) {
        if (!mig_disks_at(source->disks, i)->read_only) {
            why = content_difference(source->disks, dest->disks, i);
        }
    }
    for (uint32_t i = 0; bitmaps && !why && i < mig_disks_bitmap_count(source->disks); i++) {
        why = bitmap_difference(source->disks, dest->disks, mig_disks_bitmap(source->disks, i));
    }
    return why;
}
