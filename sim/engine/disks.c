/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks, see disks.h. Model: writes are known by page (4 KiB), as the memory's log says them; a
 * dirty bitmap of a finer granularity turns dirty for the whole page.
 */
#include "sim/engine/disks.h"

#include <glib.h>
#include <string.h>

struct MigDisks {
    MigMemory *memory;
    MigDisk *list;
    MigBitmap **fresh;             /* by disk: pages, empty between two looks */
    MigBitmap **chunks;            /* by disk; NULL: nobody tracks */
    GPtrArray *bitmaps;            /* MigDiskBitmap, the latest first */
    uint8_t *page;                 /* scratch */
    const MigBitmapAlias *aliases; /* NULL: names are as they are */
    uint32_t alias_count;
};

static void free_bitmap(gpointer p)
{
    MigDiskBitmap *b = p;
    g_free(b->name);
    mig_bitmap_free(b->bits);
    g_free(b);
}

MigDisks *mig_disks_new(MigMemory *memory, const MigDisk *list)
{
    MigDisks *d = g_new0(MigDisks, 1);
    uint32_t count = memory->ops->count(memory);
    d->memory = memory;
    d->list = g_memdup2(list, count * sizeof(*list));
    d->fresh = g_new0(MigBitmap *, count);
    for (uint32_t i = 0; i < count; i++) {
        d->fresh[i] = mig_bitmap_new(mig_disk_bytes(d, i) / memory->page_size);
    }
    d->bitmaps = g_ptr_array_new_with_free_func(free_bitmap);
    d->page = g_malloc(memory->page_size);
    memory->ops->log_start(memory);
    return d;
}

void mig_disks_free(MigDisks *d)
{
    if (!d) {
        return;
    }
    mig_disks_track(d, false);
    for (uint32_t i = 0; i < mig_disks_count(d); i++) {
        mig_bitmap_free(d->fresh[i]);
    }
    g_ptr_array_unref(d->bitmaps);
    g_free(d->fresh);
    g_free(d->list);
    g_free(d->page);
    g_free(d);
}

uint32_t mig_disks_count(const MigDisks *d)
{
    return d ? d->memory->ops->count(d->memory) : 0;
}

const MigDisk *mig_disks_at(const MigDisks *d, uint32_t disk)
{
    g_assert(disk < mig_disks_count(d));
    return &d->list[disk];
}

MigMemory *mig_disks_memory(MigDisks *d)
{
    return d->memory;
}

uint32_t mig_disks_find(const MigDisks *d, MigStr name)
{
    for (uint32_t i = 0; i < mig_disks_count(d); i++) {
        if (mig_str_equal(name, mig_str(d->list[i].name))) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint32_t mig_disks_find_node(const MigDisks *d, MigStr node)
{
    for (uint32_t i = 0; i < mig_disks_count(d); i++) {
        if (mig_str_equal(node, mig_str(d->list[i].node))) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint64_t mig_disk_bytes(const MigDisks *d, uint32_t disk)
{
    return d->memory->ops->block(d->memory, disk)->used_length;
}

uint64_t mig_disk_chunks(const MigDisks *d, uint32_t disk)
{
    return (mig_disk_bytes(d, disk) + MIG_BLOCK_CHUNK_BYTES - 1) / MIG_BLOCK_CHUNK_BYTES;
}

/* Writes. */

/* A page turns every granule that it touches dirty. */
static void mark(MigDiskBitmap *b, uint64_t page, uint32_t page_size)
{
    uint64_t first = page * page_size / b->granularity;
    uint64_t last = (page * page_size + page_size - 1) / b->granularity;
    mig_bitmap_set_range(b->bits, first, last - first + 1);
}

static void note(MigDisks *d, uint32_t disk, uint64_t page)
{
    uint32_t size = d->memory->page_size;
    if (d->chunks) {
        mig_bitmap_set(d->chunks[disk], page * size / MIG_BLOCK_CHUNK_BYTES);
    }
    for (uint32_t i = 0; i < d->bitmaps->len; i++) {
        MigDiskBitmap *b = d->bitmaps->pdata[i];
        if (b->enabled && b->disk == disk) {
            mark(b, page, size);
        }
    }
}

void mig_disks_look(MigDisks *d)
{
    for (uint32_t i = 0; i < mig_disks_count(d); i++) {
        MigBitmap *fresh = d->fresh[i];
        d->memory->ops->sync(d->memory, i, fresh);
        for (uint64_t p = mig_bitmap_next(fresh, 0); p < fresh->bits;
             p = mig_bitmap_next(fresh, p)) {
            note(d, i, p);
            mig_bitmap_clear(fresh, p);
        }
    }
}

void mig_disks_track(MigDisks *d, bool on)
{
    if (on == (d->chunks != NULL)) {
        return;
    }
    if (on) {
        mig_disks_look(d); /* what was written until now isn't of interest */
        d->chunks = g_new0(MigBitmap *, mig_disks_count(d) + 1);
    }
    for (uint32_t i = 0; i < mig_disks_count(d); i++) {
        if (on) {
            d->chunks[i] = mig_bitmap_new(mig_disk_chunks(d, i));
        } else {
            mig_bitmap_free(d->chunks[i]);
        }
    }
    if (!on) {
        g_clear_pointer(&d->chunks, g_free);
    }
}

MigBitmap *mig_disk_dirty(MigDisks *d, uint32_t disk)
{
    return d->chunks ? d->chunks[disk] : NULL;
}

/* Contents. */

typedef struct Range {
    uint64_t first, pages;
} Range;

static Range range_of(const MigDisks *d, uint32_t disk, uint64_t chunk)
{
    uint64_t at = chunk * MIG_BLOCK_CHUNK_BYTES;
    g_assert(at < mig_disk_bytes(d, disk));
    uint64_t length = MIN(MIG_BLOCK_CHUNK_BYTES, mig_disk_bytes(d, disk) - at);
    return (Range){ at / d->memory->page_size, length / d->memory->page_size };
}

bool mig_disk_is_allocated(MigDisks *d, uint32_t disk, uint64_t chunk)
{
    Range range = range_of(d, disk, chunk);
    for (uint64_t i = 0; i < range.pages; i++) {
        if (!d->memory->ops->is_zero(d->memory, disk, range.first + i)) {
            return true;
        }
    }
    return false;
}

bool mig_disk_read(MigDisks *d, uint32_t disk, uint64_t chunk, uint8_t *out)
{
    MigMemory *m = d->memory;
    Range range = range_of(d, disk, chunk);
    bool zero = true;
    memset(out, 0, MIG_BLOCK_CHUNK_BYTES);
    for (uint64_t i = 0; i < range.pages; i++) {
        if (!m->ops->is_zero(m, disk, range.first + i)) {
            memcpy(out + i * m->page_size, m->ops->read(m, disk, range.first + i, d->page),
                   m->page_size);
            zero = false;
        }
    }
    return zero;
}

void mig_disk_write(MigDisks *d, uint32_t disk, uint64_t chunk, const uint8_t *bytes)
{
    MigMemory *m = d->memory;
    Range range = range_of(d, disk, chunk);
    for (uint64_t i = 0; i < range.pages; i++) {
        memcpy(m->ops->map(m, disk, range.first + i), bytes + i * m->page_size, m->page_size);
    }
}

/* Dirty bitmaps. */

uint32_t mig_disks_bitmap_count(const MigDisks *d)
{
    return d ? d->bitmaps->len : 0;
}

MigDiskBitmap *mig_disks_bitmap(const MigDisks *d, uint32_t index)
{
    g_assert(index < mig_disks_bitmap_count(d));
    return d->bitmaps->pdata[index];
}

MigDiskBitmap *mig_disks_find_bitmap(const MigDisks *d, uint32_t disk, MigStr name)
{
    for (uint32_t i = 0; i < mig_disks_bitmap_count(d); i++) {
        MigDiskBitmap *b = d->bitmaps->pdata[i];
        if (b->disk == disk && mig_str_equal(name, mig_str(b->name))) {
            return b;
        }
    }
    return NULL;
}

MigDiskBitmap *mig_disks_add_bitmap(MigDisks *d, const MigDiskBitmap *like)
{
    g_assert(like->disk < mig_disks_count(d));
    if (mig_disks_find_bitmap(d, like->disk, mig_str(like->name))) {
        return NULL;
    }
    uint64_t bytes = mig_disk_bytes(d, like->disk);
    MigDiskBitmap *b = g_memdup2(like, sizeof(*like));
    b->name = g_strdup(like->name);
    b->bits = mig_bitmap_new((bytes + b->granularity - 1) / b->granularity);
    g_ptr_array_insert(d->bitmaps, 0, b);
    return b;
}

/* Aliases. */

void mig_disks_map(MigDisks *d, const MigBitmapAlias *rows, uint32_t count)
{
    d->aliases = rows;
    d->alias_count = count;
}

bool mig_disks_wire_names(const MigDisks *d, const MigDiskBitmap *b, MigStr *node, MigStr *name)
{
    const char *own = d->list[b->disk].node;
    *node = mig_str(own);
    *name = mig_str(b->name);
    for (uint32_t i = 0; i < d->alias_count; i++) {
        const MigBitmapAlias *a = &d->aliases[i];
        if (strcmp(a->node, own) == 0 && strcmp(a->name, b->name) == 0) {
            *node = mig_str(a->node_alias);
            *name = mig_str(a->alias);
            return true;
        }
    }
    return !d->aliases;
}

uint32_t mig_disks_from_wire(const MigDisks *d, MigStr node)
{
    for (uint32_t i = 0; i < d->alias_count; i++) {
        if (mig_str_equal(node, mig_str(d->aliases[i].node_alias))) {
            return mig_disks_find_node(d, mig_str(d->aliases[i].node));
        }
    }
    return d->aliases ? UINT32_MAX : mig_disks_find_node(d, node);
}

MigStr mig_disks_name_from_wire(const MigDisks *d, uint32_t disk, MigStr name)
{
    for (uint32_t i = 0; i < d->alias_count; i++) {
        const MigBitmapAlias *a = &d->aliases[i];
        if (strcmp(a->node, d->list[disk].node) == 0 && mig_str_equal(name, mig_str(a->alias))) {
            return mig_str(a->name);
        }
    }
    return d->aliases ? (MigStr){ 0 } : name;
}

bool mig_disk_bitmap_read(const MigDiskBitmap *b, uint64_t first, uint64_t count, uint8_t *out)
{
    bool any = false;
    memset(out, 0, (count + 7) / 8);
    for (uint64_t i = mig_bitmap_next(b->bits, first); i < first + count && i < b->bits->bits;
         i = mig_bitmap_next(b->bits, i + 1)) {
        out[(i - first) / 8] |= (uint8_t)(1u << (i - first) % 8);
        any = true;
    }
    return any;
}

void mig_disk_bitmap_write(MigDiskBitmap *b, uint64_t first, uint64_t count, const uint8_t *bytes)
{
    mig_bitmap_clear_range(b->bits, first, count);
    for (uint64_t i = 0; bytes && i < count; i++) {
        if (bytes[i / 8] >> (i % 8) & 1) {
            mig_bitmap_set(b->bits, first + i);
        }
    }
}
