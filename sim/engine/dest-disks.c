/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks at the destination, see dest-disks.h. Mirrors block_load() (migration/block.c, 7.2) and
 * dirty_bitmap_load() (migration/block-dirty-bitmap.c, 7.2 and 10.0).
 *
 * Limits. A bitmap is complete when its COMPLETE comes; a running guest's own writes in the
 * postcopy phase are not put together with it. Before 5.2 a bitmap that could not be loaded ended
 * the migration; here it gives up the bitmaps alone, in all versions.
 */
#include "sim/engine/dest-disks.h"

#include "sim/engine/dest-internal.h"

#define BLOCK_VERSION  1u
#define BITMAP_VERSION 1u
#define FLAG_ENABLED   1u
#define FLAGS_KNOWN    7u /* enabled, persistent, autoload */
#define ROUND          32u

struct MigDestDisks {
    uint32_t disk; /* of the chunk, or the node of the bitmaps; UINT32_MAX: none */
    MigDiskBitmap *bitmap;
    uint8_t *buffer; /* a chunk */
    char *cancelled;
};

MigDestDisks *mig_dest_disks_new(void)
{
    MigDestDisks *s = g_new0(MigDestDisks, 1);
    s->disk = UINT32_MAX;
    return s;
}

void mig_dest_disks_free(MigDestDisks *s)
{
    if (s) {
        g_free(s->buffer);
        g_free(s->cancelled);
        g_free(s);
    }
}

const char *mig_dest_bitmaps_cancelled(const MigDest *d)
{
    return d->disks->cancelled;
}

bool mig_dest_on_disk_section(MigDest *d, const MigRecord *r)
{
    const struct {
        const char *idstr;
        uint32_t version, exists;
    } sections[] = {
        { "block", BLOCK_VERSION, mig_dest_era(d)->block_migration },
        { "dirty-bitmap", BITMAP_VERSION, mig_dest_era(d)->dirty_bitmaps },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
        if (!mig_str_equal(r->section.idstr, mig_str(sections[i].idstr))) {
            continue;
        }
        if (!sections[i].exists) {
            return mig_dest_refuse(d, MIG_FAULT_NONE, sections[i].idstr,
                                   "a section that QEMU %u.%u knows",
                                   MIG_VERSION_MAJOR(mig_dest_era(d)->binary),
                                   MIG_VERSION_MINOR(mig_dest_era(d)->binary));
        }
        if (r->section.version > sections[i].version) {
            return mig_dest_refuse(d, MIG_FAULT_NONE, "a later version of the section",
                                   "version %u", sections[i].version);
        }
    }
    return true;
}

/* Block migration. */

bool mig_dest_on_disk(MigDest *d, const MigRecord *r)
{
    MigDestDisks *s = d->disks;
    if (!(r->disk.flags & MIG_BLOCK_DEVICE)) {
        return true;
    }
    g_autofree char *name = g_strndup(r->disk.device.text, r->disk.device.len);
    s->disk = mig_disks_find(d->config.disks, r->disk.device);
    if (s->disk == UINT32_MAX || mig_disks_at(d->config.disks, s->disk)->read_only) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, name, "the name of a disk of this machine");
    }
    if (r->disk.sector * MIG_DISK_SECTOR % MIG_BLOCK_CHUNK_BYTES != 0 ||
        r->disk.sector >= mig_disk_bytes(d->config.disks, s->disk) / MIG_DISK_SECTOR) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "a sector beyond it, or inside a chunk",
                               "the first sector of a chunk of %s", name);
    }
    s->buffer = s->buffer ? s->buffer : g_malloc(MIG_BLOCK_CHUNK_BYTES);
    if (r->payload) {
        mig_decoder_payload_into(d->decoder, s->buffer);
        return true;
    }
    memset(s->buffer, 0, MIG_BLOCK_CHUNK_BYTES);
    return mig_dest_on_disk_payload(d);
}

/* Dirty bitmaps. */

static bool cancel(MigDest *d, const char *why, MigStr name)
{
    if (!d->disks->cancelled) {
        d->disks->cancelled = g_strdup_printf("%s: %.*s", why, (int)name.len, name.text);
    }
    return true;
}

static bool start(MigDest *d, const MigRecord *r, MigStr name)
{
    const MigRecordDirtyBitmap *b = &r->bitmap;
    g_autofree char *text = g_strndup(name.text, name.len);
    if (b->granularity < MIG_DISK_SECTOR || b->granularity & (b->granularity - 1)) {
        g_autofree char *found = g_strdup_printf("%u", b->granularity);
        return mig_dest_refuse(d, MIG_FAULT_NONE, found, "a granularity that is a power of two");
    }
    if (b->bitmap_flags & ~FLAGS_KNOWN) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "reserved flags", "flags of a dirty bitmap");
    }
    MigDiskBitmap like = { .disk = d->disks->disk,
                           .name = text,
                           .granularity = b->granularity,
                           .persistent = b->bitmap_flags & 2u,
                           .inconsistent = true };
    d->disks->bitmap = mig_disks_add_bitmap(d->config.disks, &like);
    if (!d->disks->bitmap) {
        return cancel(d, "the bitmap exists already", name);
    }
    d->disks->bitmap->enable = b->bitmap_flags & FLAG_ENABLED;
    return true;
}

/* The names of a record; they stay for those behind it. */
static bool take_names(MigDest *d, const MigRecord *r)
{
    MigDestDisks *s = d->disks;
    const MigRecordDirtyBitmap *b = &r->bitmap;
    if (b->flags & MIG_BITMAP_DEVICE_NAME) {
        s->disk = mig_disks_from_wire(d->config.disks, b->node);
        s->bitmap = NULL;
        if (s->disk == UINT32_MAX) {
            return cancel(d, "there is no such node", b->node);
        }
    }
    if (!(b->flags & MIG_BITMAP_NAME) || s->disk == UINT32_MAX) {
        return true;
    }
    MigStr name = mig_disks_name_from_wire(d->config.disks, s->disk, b->bitmap);
    if (name.len == 0) {
        return cancel(d, "the mapping doesn't name this bitmap", b->bitmap);
    }
    if (b->flags & MIG_BITMAP_START) {
        return start(d, r, name);
    }
    s->bitmap = mig_disks_find_bitmap(d->config.disks, s->disk, name);
    return s->bitmap || cancel(d, "there is no such bitmap", name);
}

static bool take_bits(MigDest *d, const MigRecord *r)
{
    MigDestDisks *s = d->disks;
    const MigRecordDirtyBitmap *b = &r->bitmap;
    uint64_t end = b->first_sector + b->sectors;
    uint64_t disk = mig_disk_bytes(d->config.disks, s->bitmap->disk) / MIG_DISK_SECTOR;
    uint64_t unit = s->bitmap->granularity / MIG_DISK_SECTOR;
    uint64_t needed = ((b->sectors + unit - 1) / unit + 7) / 8;
    if (end < b->first_sector || end > disk || b->first_sector % unit) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "sectors beyond it", "sectors of the disk");
    }
    if (b->flags & MIG_BITMAP_ZEROES) {
        mig_disk_bitmap_write(s->bitmap, b->first_sector / unit, (b->sectors + unit - 1) / unit,
                              NULL);
        return true;
    }
    if (b->size < needed || b->size > (needed + ROUND - 1) / ROUND * ROUND) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "another size",
                               "%" G_GUINT64_FORMAT " bytes of bits, rounded up to 32 at most",
                               needed);
    }
    s->buffer = s->buffer ? s->buffer : g_malloc(MIG_BLOCK_CHUNK_BYTES);
    mig_decoder_payload_into(d->decoder, s->buffer);
    return true;
}

bool mig_dest_on_bitmap(MigDest *d, const MigRecord *r)
{
    MigDestDisks *s = d->disks;
    if (!d->config.disks || s->cancelled) {
        return r->bitmap.flags & MIG_BITMAP_EOS || s->cancelled ||
               cancel(d, "this machine has no disks", r->bitmap.node);
    }
    if (!take_names(d, r)) {
        return false;
    }
    if (s->cancelled) {
        return true;
    }
    if (r->bitmap.flags & (MIG_BITMAP_BITS | MIG_BITMAP_COMPLETE) && !s->bitmap) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "bits of an unnamed bitmap", "its name before");
    }
    if (r->bitmap.flags & MIG_BITMAP_COMPLETE) {
        s->bitmap->inconsistent = false;
        s->bitmap->enabled = s->bitmap->enable;
    }
    return !(r->bitmap.flags & MIG_BITMAP_BITS) || take_bits(d, r);
}

bool mig_dest_on_disk_payload(MigDest *d)
{
    MigDestDisks *s = d->disks;
    const MigRecord *r = &d->record;
    if (r->type == MIG_REC_BLOCK) {
        mig_disk_write(d->config.disks, s->disk,
                       r->disk.sector * MIG_DISK_SECTOR / MIG_BLOCK_CHUNK_BYTES, s->buffer);
    } else if (s->bitmap && !s->cancelled) {
        uint64_t unit = s->bitmap->granularity / MIG_DISK_SECTOR;
        mig_disk_bitmap_write(s->bitmap, r->bitmap.first_sector / unit,
                              (r->bitmap.sectors + unit - 1) / unit, s->buffer);
    }
    return true;
}
