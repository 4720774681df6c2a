/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks as the iterables `block` and `dirty-bitmap` see them. Contents and log are those of a
 * MigMemory whose blocks are the disks (page n is bytes n * page_size and on); what is kept here is
 * who wants to know of writes:
 *
 *     memory's log --look--> dirty chunks of 1 MiB (block migration, while it tracks)
 *                       +--> bits of every dirty bitmap that is enabled
 *
 * A source makes them before its guest writes for the first time, so that bitmaps miss nothing.
 */
#ifndef MIG_SIM_ENGINE_DISKS_H
#define MIG_SIM_ENGINE_DISKS_H

#include "sim/engine/bitmap.h"
#include "sim/engine/memory.h"
#include "stream/format.h"
#include "stream/record.h"

#define MIG_DISK_SECTOR 512u

typedef struct MigDisk {
    const char *name; /* of the drive, for block migration; borrowed */
    const char *node; /* of the block node, for dirty bitmaps; borrowed */
    bool read_only;   /* block migration leaves it out */
} MigDisk;

/* Names are at most 255 bytes. */
typedef struct MigDiskBitmap {
    uint32_t disk;
    char *name;
    uint32_t granularity; /* bytes, a power of two, at least a sector */
    bool persistent, enabled;
    bool enable;       /* destination: what its end will make of `enabled` */
    bool inconsistent; /* destination: its end has not come */
    MigBitmap *bits;
} MigDiskBitmap;

typedef struct MigDisks MigDisks;

/* |list|: one per block of |memory|, which is borrowed. A source's log is on from now on. */
MigDisks *mig_disks_new(MigMemory *memory, const MigDisk *list);
void mig_disks_free(MigDisks *d); /* NULL is fine */

uint32_t mig_disks_count(const MigDisks *d); /* NULL: 0 */
const MigDisk *mig_disks_at(const MigDisks *d, uint32_t disk);
MigMemory *mig_disks_memory(MigDisks *d);
/* By the drive's or the node's name; UINT32_MAX: there is none. */
uint32_t mig_disks_find(const MigDisks *d, MigStr name);
uint32_t mig_disks_find_node(const MigDisks *d, MigStr node);

uint64_t mig_disk_bytes(const MigDisks *d, uint32_t disk);
uint64_t mig_disk_chunks(const MigDisks *d, uint32_t disk); /* of 1 MiB, the last may be part */

/* Takes note of everything written so far. */
void mig_disks_look(MigDisks *d);

/* Block migration: from now on written chunks turn dirty (|on|), or are forgotten. */
void mig_disks_track(MigDisks *d, bool on);
/* The dirty chunks of a disk; the caller clears what it takes. NULL while nobody tracks. */
MigBitmap *mig_disk_dirty(MigDisks *d, uint32_t disk);

/* MIG_BLOCK_CHUNK_BYTES; those behind the end of the disk are zero. True: all of them are. */
bool mig_disk_read(MigDisks *d, uint32_t disk, uint64_t chunk, uint8_t *out);
/* Some page of the chunk isn't zero: what stands above an empty backing image. */
bool mig_disk_is_allocated(MigDisks *d, uint32_t disk, uint64_t chunk);
/* Destination. What lies behind the end of the disk is dropped. */
void mig_disk_write(MigDisks *d, uint32_t disk, uint64_t chunk, const uint8_t *bytes);

/* Dirty bitmaps, the latest first (as QEMU lists those of a node). */
uint32_t mig_disks_bitmap_count(const MigDisks *d); /* NULL: 0 */
MigDiskBitmap *mig_disks_bitmap(const MigDisks *d, uint32_t index);
/*
 * Makes one, all clear; copies the strings of |like|, whose bits are not looked at. NULL: the disk
 * has one of that name.
 */
MigDiskBitmap *mig_disks_add_bitmap(MigDisks *d, const MigDiskBitmap *like);
/* Of disk |disk|, by name; NULL: there is none. */
MigDiskBitmap *mig_disks_find_bitmap(const MigDisks *d, uint32_t disk, MigStr name);

/* Names on the wire (block-bitmap-mapping): one row per bitmap that takes part. */
typedef struct MigBitmapAlias {
    char *node, *node_alias;
    char *name, *alias;
} MigBitmapAlias;

/* From now on these rows count, and a bitmap without one stays at home. Borrows |rows|. */
void mig_disks_map(MigDisks *d, const MigBitmapAlias *rows, uint32_t count);
/* How |b| is called on the wire; false: it doesn't travel. */
bool mig_disks_wire_names(const MigDisks *d, const MigDiskBitmap *b, MigStr *node, MigStr *name);
/* The reverse: the disk of that node, UINT32_MAX for none; the bitmap's name, empty for none. */
uint32_t mig_disks_from_wire(const MigDisks *d, MigStr node);
MigStr mig_disks_name_from_wire(const MigDisks *d, uint32_t disk, MigStr name);

/* |count| bits from |first| as bytes, bit 0 first; |out| has (count + 7) / 8. False: all clear. */
bool mig_disk_bitmap_read(const MigDiskBitmap *b, uint64_t first, uint64_t count, uint8_t *out);
/* The reverse; |bytes| NULL: clears them. */
void mig_disk_bitmap_write(MigDiskBitmap *b, uint64_t first, uint64_t count, const uint8_t *bytes);

#endif
