/* SPDX-License-Identifier: Apache-2.0 */
/* Writing text and JSON for commands: strings from strangers are escaped in both. */
#ifndef MIG_CONFORMANCE_OUTPUT_H
#define MIG_CONFORMANCE_OUTPUT_H

#include <glib.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/world/output.h"
#include "sim/world/recording.h"
#include "stream/record.h"

/* Appends |s| as a JSON string with its quotes; bytes that are no UTF-8 become \u00XX. */
void mig_json_append_string(GString *out, MigStr s);
/* Appends ,"key": (without the comma behind an opening bracket). */
void mig_json_append_key(GString *out, const char *key);
/* Appends |s| for people: anything that isn't printable ASCII as \xNN. */
void mig_text_append(GString *out, MigStr s);

/* Writes "migbench NAME: message" to standard error and returns |status|. */
int mig_command_fail(char **argv, int status, const char *format, ...) G_GNUC_PRINTF(3, 4);

/*
 * Parses options strictly; |arguments| become the rest, which must be |least| to |most| many (0:
 * any number). False: a message was printed, *status is what to return.
 */
bool mig_command_parse(int argc, char **argv, const GOptionEntry *entries, const char *parameters,
                       const char *summary, unsigned least, unsigned most, char ***arguments,
                       int *status);

/* Whether -o |to| (may be NULL) is none of |files| (ended by NULL). False: a message was printed.
 */
bool mig_command_keeps(char **argv, const char *to, char **files);

/*
 * At the end of a recording: where its file was cut off, on standard error. MIG_EXIT_INCOMPLETE, or
 * MIG_EXIT_OK if it is whole.
 */
int mig_command_tell_cut(char **argv, const MigRecording *recording);

#endif
