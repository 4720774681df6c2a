/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps a guest from being migrated at all: devices whose state can't travel, and reasons that
 * somebody gave (QEMU: VMStateDescription.unmigratable, migrate_add_blocker()). `migrate` is
 * refused then, before anything has changed.
 */
#ifndef MIG_SIM_ENGINE_BLOCKERS_H
#define MIG_SIM_ENGINE_BLOCKERS_H

#include <stdbool.h>

#include "sim/engine/capabilities.h"
#include "sim/engine/parameters.h"
#include "sim/engine/states.h"
#include "stream/version.h"

typedef struct MigBlockers MigBlockers;

MigBlockers *mig_blockers_new(void);
void mig_blockers_free(MigBlockers *b); /* NULL is fine */

/*
 * The machine was started with --only-migratable: from now on none of the two below is taken. The
 * error names those that came before.
 */
char *mig_blockers_only_migratable(MigBlockers *b); /* NULL, or why not; g_free() */

/* A device, by the name that its section would have. NULL, or why not; g_free(). */
char *mig_blockers_add_device(MigBlockers *b, const char *idstr);

/*
 * A reason, in words. |status| is the source's: while a migration runs nobody can block it. NULL,
 * or why not; g_free().
 */
char *mig_blockers_add(MigBlockers *b, const char *reason, MigStatusName status);
void mig_blockers_remove(MigBlockers *b, const char *reason); /* as often as it stands there: one */

/*
 * blocked-reasons of query-migrate: reasons as they came, then devices, the last first. NULL
 * where there are none, or |binary| doesn't tell (before 6.0). Valid until the next change.
 */
const char *const *mig_blockers_reasons(MigBlockers *b, MigVersion binary);

/*
 * What `migrate` has to say beside its arguments, the status and the run state: NULL, or why it is
 * refused (GenericError); g_free(). Names everything that blocks; QEMU names the first device, or
 * the newest reason. |b| may be NULL.
 */
char *mig_migrate_refused(const MigBlockers *b, MigCapabilitySet capabilities,
                          const MigParameters *parameters, MigVersion binary);

#endif
