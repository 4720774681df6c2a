/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two results, as --result of sim, source and dest writes them: value by
 * value, so that a prediction can be laid beside what happened.
 */
#ifndef MIG_CONFORMANCE_DIFF_RESULT_H
#define MIG_CONFORMANCE_DIFF_RESULT_H

#include <glib.h>
#include <json-c/json.h>
#include <stdint.h>

typedef struct MigResultDiff {
    double within; /* percent of the larger by which numbers may differ; then digests don't count */
    /* Each difference; |a| or |b| is NULL where the other one alone has the path. */
    void (*report)(void *opaque, const char *path, json_object *a, json_object *b);
    void *opaque;

    uint64_t differences, same; /* values */
} MigResultDiff;

/* The file, if it is a result: its name is no proof, its schema is. NULL; json_object_put(). */
json_object *mig_diff_load_result(const char *file);

/* Of lists of one length the first element that differs is told, of others the lengths. */
void mig_diff_results(MigResultDiff *d, json_object *a, json_object *b);

/* By how much |b| is more than |a|, in percent; NAN where that means nothing. */
double mig_diff_percent(json_object *a, json_object *b);

#endif
