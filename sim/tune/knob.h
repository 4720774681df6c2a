/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be turned, and what is wanted.
 *
 *     "parameters.max-bandwidth=8M..256M"   a knob: values in equal ratios between its ends
 *     "parameters.multifd-channels=1,2,4"   a knob: these
 *     "link.latency=100us..10ms"            a knob: sizes, rates and times may have units
 *     "total-time<=10s"                     a goal: a metric of the result and its bound
 */
#ifndef MIG_SIM_TUNE_KNOB_H
#define MIG_SIM_TUNE_KNOB_H

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define MIG_TUNE_ERROR  (g_quark_from_static_string("mig-tune-error"))
#define MIG_TUNE_VALUES 64u /* of one knob in one round */

typedef enum MigKnobForm {
    MIG_KNOB_NUMBER, /* counts, and what has no unit */
    MIG_KNOB_SIZE,   /* bytes: written as a number */
    MIG_KNOB_RATE,   /* bit/s: written as text */
    MIG_KNOB_TIME,   /* ms, us or ns, whichever all values are whole numbers of: as text */
} MigKnobForm;

typedef struct MigKnob {
    char *path;
    MigKnobForm form;
    unsigned unit;  /* of TIME: an index into what knob.c knows */
    bool range;     /* it can be refined between its values */
    GArray *values; /* uint64_t, rising; less is better */
} MigKnob;

/* NULL and *error. |steps|: values of a range. */
MigKnob *mig_knob_parse(const char *text, unsigned steps, GError **error);
void mig_knob_free(MigKnob *k); /* NULL is fine */

/* Replaces the values by |steps| between |from| and |to|, both included. */
void mig_knob_refine(MigKnob *k, uint64_t from, uint64_t to, unsigned steps);

json_object *mig_knob_value(const MigKnob *k, uint64_t value);
char *mig_knob_text(const MigKnob *k, uint64_t value); /* for people; g_free() */

typedef struct MigGoal {
    char *metric;  /* path in a result */
    bool at_least; /* else at most */
    double bound;  /* times in ms, as query-migrate has them */
} MigGoal;

MigGoal *mig_goal_parse(const char *text, GError **error);
void mig_goal_free(MigGoal *g); /* NULL is fine */

/* "2973 ms", "118 MiB": a value of the goal's metric for people; g_free(). */
char *mig_goal_text(const MigGoal *g, double value);

bool mig_goal_met(const MigGoal *g, double value);

#endif
