/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running QEMU tells of its guest: asked over QMP, or read from a file that was saved.
 *
 *     {"schema": "migbench-facts-1",
 *      "qemu": "10.0", "ram": bytes, "filled": bytes that are not zero, as far as is known,
 *      "touched": bytes that somebody has written or read,
 *      "vcpus": 1, "kvm": true,
 *      "capabilities": {...}, "parameters": {...},           as query-migrate-* answers
 *      "memory-backends": the answer of query-memdev, with "x-type" and "x-hugetlb",
 *      "dirty-rates": [answers of query-dirty-rate],
 *      "query-migrate": an answer, instead of "ram" and "filled"}
 */
#ifndef MIG_SIM_PREDICT_FACTS_H
#define MIG_SIM_PREDICT_FACTS_H

#include "sim/predict/qmp-client.h"

#define MIG_FACTS_SCHEMA "migbench-facts-1"
#define MIG_FACTS_ERROR  (g_quark_from_static_string("mig-facts-error"))
#define MIG_FACTS_POINTS 32u

typedef struct MigFactsWish {
    int64_t periods[MIG_FACTS_POINTS]; /* ms; of the measurements of the dirty rate */
    unsigned count;
    void (*measuring)(void *opaque, unsigned number, int64_t ms); /* may be NULL */
    void *opaque;
} MigFactsWish;

/* Takes as long as the periods together. NULL and *error. Free with json_object_put(). */
json_object *mig_facts_ask(MigQmpClient *c, const MigFactsWish *wish, GError **error);

/* MigCurvePoint: what the measurements in |facts| say. NULL and *error: there are none. */
GArray *mig_facts_points(json_object *facts, GError **error);

/* What the scenario assumes of the host, in words; to be freed. */
char *mig_facts_assumption(json_object *facts);

/* The scenario of that guest: its writers |writers| (MigCurveWriter). Free with json_object_put().
 * NULL and *error: something is missing. */
json_object *mig_facts_scenario(json_object *facts, const GArray *writers, GError **error);

#endif
