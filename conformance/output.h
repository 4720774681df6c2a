/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing text and JSON for commands: strings from strangers are escaped in both, and a file is
 * complete or absent.
 */
#ifndef MIG_CONFORMANCE_OUTPUT_H
#define MIG_CONFORMANCE_OUTPUT_H

#include <glib.h>
#include <stdint.h>
#include <stdio.h>

#include "stream/record.h"

/* Appends |s| as a JSON string with its quotes; bytes that are no UTF-8 become \u00XX. */
void mig_json_append_string(GString *out, MigStr s);
/* Appends ,"key": (without the comma behind an opening bracket). */
void mig_json_append_key(GString *out, const char *key);
/* Appends |s| for people: anything that isn't printable ASCII as \xNN. */
void mig_text_append(GString *out, MigStr s);

/*
 * A file under a temporary name beside |path|, which mig_output_commit() renames to |path| and
 * mig_output_free() removes where that hasn't happened. "-" is standard output.
 */
typedef struct MigOutput {
    FILE *file;
    char *path, *temporary; /* NULL: standard output */
} MigOutput;

MigOutput *mig_output_open(const char *path, GError **error);
bool mig_output_commit(MigOutput *out, GError **error);
void mig_output_free(MigOutput *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigOutput, mig_output_free)

/* Writes "migbench NAME: message" to standard error and returns |status|. */
int mig_command_fail(char **argv, int status, const char *format, ...) G_GNUC_PRINTF(3, 4);

/*
 * Parses options strictly; |arguments| become the rest, which must be |least| to |most| many (0:
 * any number). False: a message was printed, *status is what to return.
 */
bool mig_command_parse(int argc, char **argv, const GOptionEntry *entries, const char *parameters,
                       const char *summary, unsigned least, unsigned most, char ***arguments,
                       int *status);

#endif
