/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands `source` and `dest` have in common: their options, their set-up, their end. */
#ifndef MIG_SIM_LIVE_OPTIONS_H
#define MIG_SIM_LIVE_OPTIONS_H

#include <json-c/json.h>
#include <stdio.h>

#include "sim/live/live.h"
#include "sim/report/files.h"

typedef struct MigLiveArguments {
    char *scenario, *uri, *qmp, *clock, *backend, *run, *onward, *seed, *result;
    char **sets, **dumps;
    MigReportFiles files; /* of a source */
} MigLiveArguments;

typedef struct MigLiveCommand {
    const char *name; /* "migbench source", for messages */
    const char *summary, *description;
    bool is_source;
} MigLiveCommand;

/* What the arguments come to. */
typedef struct MigLiveSetup {
    MigScenario *scenario;
    MigUri *uri; /* NULL: the monitor says where */
    bool is_virtual;
    int wake;
    MigBackend *backend; /* NULL: the synthetic guest */
    int64_t run;         /* ns, see --run */
    MigUri *onward;      /* NULL: nowhere */
} MigLiveSetup;

/* Parses and checks everything. Returns MIG_EXIT_OK, or another status when that was said. */
int mig_live_setup(const MigLiveCommand *c, int argc, char **argv, MigLiveArguments *a,
                   MigLiveSetup *setup);
void mig_live_clear(MigLiveArguments *a, MigLiveSetup *setup);

/* Whether the real world knows the capabilities, and |uri| (NULL: not known yet) can carry them. */
bool mig_live_can_carry(MigCapabilitySet set, const MigUri *uri, bool is_virtual, GError **error);

/* Prints "NAME: message" to standard error; returns |status|. */
int mig_live_complain(const MigLiveCommand *c, int status, const char *message);

/* Where to say how it went, see mig_output_remarks(). */
FILE *mig_live_remarks(const MigLiveArguments *a);

/* Saves |result| (which it frees) where --result says, and the blocks of |memory| that --dump says.
 * Returns MIG_EXIT_OK or what went wrong, after saying it. */
int mig_live_save(const MigLiveCommand *c, const MigLiveArguments *a, const MigLiveSetup *setup,
                  json_object *result, MigMemory *memory, const MigScenarioDisks *disks);

#endif
