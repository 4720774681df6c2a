/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The iterables over disks: `block` (source-block.c), `dirty-bitmap` (source-dirty-bitmap.c).
 */
#ifndef MIG_SIM_ENGINE_SOURCE_DISKS_H
#define MIG_SIM_ENGINE_SOURCE_DISKS_H

#include "sim/engine/iterables.h"
#include "sim/engine/stats.h"

extern const MigIterable mig_iterable_block;
extern const MigIterable mig_iterable_dirty_bitmap;

typedef struct MigBlockCopy MigBlockCopy;   /* block migration under way */
typedef struct MigBitmapCopy MigBitmapCopy; /* of dirty bitmaps */

MigBlockCopy *mig_block_copy_new(void);
void mig_block_copy_free(MigBlockCopy *b); /* NULL is fine */
MigBitmapCopy *mig_bitmap_copy_new(void);
void mig_bitmap_copy_free(MigBitmapCopy *b); /* NULL is fine */

/* Its bulk stage goes on: what RAM sends says nothing about convergence (blk_mig_bulk_active()). */
bool mig_source_block_in_bulk(const MigSource *s);

/* query-migrate's "disk"; false while no disk is copied. */
bool mig_source_disk_stats(const MigSource *s, MigDiskStats *disk);

#endif
