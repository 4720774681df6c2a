/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest that is asked about, whoever told of it.
 *
 *     running QEMU, or saved facts -> writers -> scenario
 *     recording -> fitted scenario -> its writers
 */
#ifndef MIG_SIM_PREDICT_GUEST_H
#define MIG_SIM_PREDICT_GUEST_H

#include "sim/predict/predict.h"

typedef struct MigPredictGuest {
    json_object *scenario;
    GArray *writers;         /* MigCurveWriter */
    bool recorded;           /* there is */
    MigPrediction recording; /* what was recorded */
    char *assumption;        /* what is supposed of its host; NULL: it is known */
} MigPredictGuest;

/* NULL and *error: MIG_FACTS_ERROR. */
MigPredictGuest *mig_predict_guest_of_facts(json_object *facts, GError **error);

/* |path| as for mig_recording_open(), |recorded| as for mig_fit(). NULL and *error. What was found
 * is added to |found|. */
MigPredictGuest *mig_predict_guest_of_recording(const char *path, const char *const *recorded,
                                                GString *found, GError **error);

void mig_predict_guest_free(MigPredictGuest *g); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigPredictGuest, mig_predict_guest_free)

/* A parameter of the scenario; |otherwise| where it doesn't say. */
uint64_t mig_predict_guest_parameter(const MigPredictGuest *g, const char *name,
                                     uint64_t otherwise);

#endif
