/* SPDX-License-Identifier: Apache-2.0 */
/* A line on standard error that is rewritten in place. Says nothing where that is no terminal. */
#ifndef MIG_SIM_PROGRESS_H
#define MIG_SIM_PROGRESS_H

#include <glib.h>

typedef struct MigProgress {
    gboolean terminal, shown;
    gint64 next; /* g_get_monotonic_time() of the next update */
} MigProgress;

MigProgress mig_progress_begin(void);

/* True when it is time for a new line (at most ten a second). */
gboolean mig_progress_due(MigProgress *p);
void mig_progress_show(MigProgress *p, const char *format, ...) G_GNUC_PRINTF(2, 3);
void mig_progress_end(MigProgress *p);

#endif
