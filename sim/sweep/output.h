/* SPDX-License-Identifier: Apache-2.0 */
/* A file that gets its name when it is whole, with the hash of what was written. */
#ifndef MIG_SIM_SWEEP_OUTPUT_H
#define MIG_SIM_SWEEP_OUTPUT_H

#include <glib.h>
#include <stdbool.h>

typedef struct MigSweepOutput MigSweepOutput;

/* "-": standard output. NULL and *error. */
MigSweepOutput *mig_sweep_output_open(const char *path, GError **error);

/* Failures are kept for close(). */
void mig_sweep_output_write(MigSweepOutput *o, const char *data, gsize n);
/* SHA-256 of what was written, hexadecimal; no writing after it. */
const char *mig_sweep_output_hash(MigSweepOutput *o);
bool mig_sweep_output_close(MigSweepOutput *o, GError **error);
void mig_sweep_output_free(MigSweepOutput *o); /* not closed: nothing remains. NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigSweepOutput, mig_sweep_output_free)

#endif
