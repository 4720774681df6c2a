/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wants to know how far a migration is: one row each, called in order, and the observer of the
 * configuration behind them.
 *
 *     precopy: SETUP { BEFORE_BITMAP_SYNC, AFTER_BITMAP_SYNC }* COMPLETE CLEANUP
 *     state:   every change of the status
 *
 * Mirrors precopy_notify() (migration/ram.c, 4.0 and later) and the migration state notifiers
 * (migration/migration.c). A row may queue operations; it can't refuse.
 */
#ifndef MIG_SIM_ENGINE_NOTIFIERS_H
#define MIG_SIM_ENGINE_NOTIFIERS_H

#include "sim/engine/source.h"

typedef struct MigNotifier {
    const char *name;
    void (*precopy)(MigSource *s, MigPrecopyReason reason); /* NULL: doesn't listen */
    void (*state)(MigSource *s, const char *status);        /* likewise */
} MigNotifier;

/* Ended by a row without a name. */
extern const MigNotifier mig_notifiers[];

void mig_source_notify_precopy(MigSource *s, MigPrecopyReason reason);
void mig_source_notify_state(MigSource *s, const char *status);

#endif
