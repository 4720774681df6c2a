/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrubs a recording while it is being made, so that no secret reaches the disk:
 *
 *     who records --FILE--> pipe --> [ thread: decode, scrub, encode ] --> file
 *
 * As there is no looking ahead in a pipe, device state is noise altogether.
 */
#ifndef MIG_SIM_RECORD_SCRUBBER_H
#define MIG_SIM_RECORD_SCRUBBER_H

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct MigScrubber MigScrubber;

/* |out| must last until the end. NULL and *error. */
MigScrubber *mig_scrubber_begin(FILE *out, GError **error);

/* Where the recording is to be written (sim/world/capture-writer.h). Not to be closed. */
FILE *mig_scrubber_file(const MigScrubber *s);

/* Waits until everything is in |out|, and frees |s|. False and *error: not all of it is. */
bool mig_scrubber_end(MigScrubber *s, GError **error);

#endif
