/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's side of `block` and `dirty-bitmap`: chunks go to the disk that they name,
 * bitmaps are made, filled and completed.
 */
#ifndef MIG_SIM_ENGINE_DEST_DISKS_H
#define MIG_SIM_ENGINE_DEST_DISKS_H

#include "sim/engine/dest.h"

typedef struct MigDestDisks MigDestDisks;

MigDestDisks *mig_dest_disks_new(void);
void mig_dest_disks_free(MigDestDisks *s); /* NULL is fine */

/* Handlers of dest.c; false: refused. */
bool mig_dest_on_disk_section(MigDest *d, const MigRecord *r);
bool mig_dest_on_disk(MigDest *d, const MigRecord *r);
bool mig_dest_on_bitmap(MigDest *d, const MigRecord *r);
/* The payload of either has come. */
bool mig_dest_on_disk_payload(MigDest *d);

/*
 * Why the migration of dirty bitmaps was given up, which that of everything else survives; NULL: it
 * wasn't.
 */
const char *mig_dest_bitmaps_cancelled(const MigDest *d);

#endif
