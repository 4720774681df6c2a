/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON from a stranger, a step at a time: the caller knows which value comes next and says
 * so. Nothing is allocated; depth is the caller's own recursion plus MIG_JSON_DEPTH for what it
 * skips. Internal to stream/.
 */
#ifndef MIG_STREAM_JSON_SCAN_H
#define MIG_STREAM_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/status.h"

#define MIG_JSON_DEPTH  128u
#define MIG_JSON_STRING 260u /* room for 255 bytes, one character too many, and NUL */

typedef struct MigJsonScan {
    const char *text;
    size_t n;
    size_t at;
    bool failed;
    MigFault fault; /* what a failure is called */
    char path[MIG_DIAGNOSIS_TEXT];
    size_t path_length;
    MigDiagnosis *why; /* may be NULL */
} MigJsonScan;

/* Notes the first failure: at the current place, `expected` was wanted. Returns false always. */
bool mig_json_fail(MigJsonScan *scan, const char *expected);

/* Enters and leaves a step of the path that diagnoses show; index < 0: no index. */
size_t mig_json_enter(MigJsonScan *scan, const char *name, long index);
void mig_json_leave(MigJsonScan *scan, size_t mark);

/* The next character that is not space, 0 at the end; not consumed. */
char mig_json_peek(MigJsonScan *scan);

/* Consumes c, or fails. */
bool mig_json_expect(MigJsonScan *scan, char c);

/*
 * Steps through an object or array whose opening bracket has been consumed: true if another member
 * follows. *members starts at 0 and counts them. Check scan->failed after the last.
 */
bool mig_json_more(MigJsonScan *scan, char close, uint32_t *members);

/* A string of at most 255 bytes in UTF-8, without NUL inside; else it fails. */
bool mig_json_string(MigJsonScan *scan, char out[MIG_JSON_STRING]);

/* A key and its colon. */
bool mig_json_key(MigJsonScan *scan, char out[MIG_JSON_STRING]);

/* An integer in [min, max]. */
bool mig_json_integer(MigJsonScan *scan, int64_t min, int64_t max, int64_t *out);

/* Any value. */
bool mig_json_skip(MigJsonScan *scan);

#endif
