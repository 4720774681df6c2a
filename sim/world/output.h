/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that commands write: whole, or not there.
 *
 *     open(PATH)  ->  PATH.XXXXXX  --commit-->  PATH        nothing, or a file
 *     open(PATH)  ->  PATH         --commit-->              a device, a FIFO, a socket
 *     open("-")   ->  standard output, as for "/dev/stdout"
 *
 * A signal that ends the program removes PATH.XXXXXX first; who catches one himself (before open(),
 * or later) sees to that by freeing what he opened. A name is given by rename(), which would put a
 * file in the place of a device: what is no file is written to as it is. Where PATH is a symbolic
 * link to a file, that file is replaced.
 */
#ifndef MIG_WORLD_OUTPUT_H
#define MIG_WORLD_OUTPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct MigOutput {
    FILE *file;      /* can be read and sought if |temporary| */
    char *name;      /* as it was asked for, or "standard output": for messages */
    char *path;      /* NULL: standard output */
    char *temporary; /* NULL: there is nothing to rename */
} MigOutput;

/* NULL: *error (G_FILE_ERROR). */
MigOutput *mig_output_open(const char *path, GError **error);
/* Finds out about failed writes, too. False: *error, and free() leaves nothing behind. */
bool mig_output_commit(MigOutput *out, GError **error);
void mig_output_free(MigOutput *out); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigOutput, mig_output_free)

/* All three for |n| bytes (-1: up to the NUL). */
bool mig_output_save(const char *path, const char *data, gssize n, GError **error);

/* A name on a command line. */
typedef struct MigOutputName {
    const char *option; /* "--result", or what --help calls an argument */
    const char *path;   /* NULL: not given */
    bool read;          /* an input */
} MigOutputName;

/*
 * False and *error (G_FILE_ERROR_INVAL) if an output would replace an input or another output, or
 * two go to standard output. Devices are nobody's.
 */
bool mig_output_apart(const MigOutputName *names, unsigned n, GError **error);

/* Where to say how it went: standard output, or standard error if an output goes there. */
FILE *mig_output_remarks(const MigOutputName *names, unsigned n);

#endif
