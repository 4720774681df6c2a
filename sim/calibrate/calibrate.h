/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What things cost on this host, measured with the engine's own code (the test for zeros, the
 * codecs, a socket, a sleep), of the kernel (faults, connections), and with a guest of ours in KVM.
 * docs/model.md says what each number is; what only a real QEMU knows is conformance's
 * (calibrate-pairs.h).
 *
 *     measures (measures.h) --rounds--> median and spread --> MigCalibration --> profile (JSON)
 */
#ifndef MIG_SIM_CALIBRATE_CALIBRATE_H
#define MIG_SIM_CALIBRATE_CALIBRATE_H

#include <glib.h>
#include <json-c/json.h>
#include <signal.h>

#include "sim/world/costs.h"

typedef struct MigCalibration {
    MigCosts costs, noise; /* as mig_costs_default() and mig_costs_noise() where not known */
    guint64 known;         /* bit i: mig_costs_name(i) was measured, */
    const char *how[64];   /* with what, static text, */
    guint rounds[64];      /* and so often */
} MigCalibration;

typedef struct MigCalibrateOptions {
    unsigned rounds;                          /* at least 1: every measure this often */
    bool shared;                              /* guest memory as of a memfd, not anonymous */
    const volatile sig_atomic_t *interrupted; /* may be NULL */
} MigCalibrateOptions;

MigCalibration mig_calibration_new(void);

/* False when it was interrupted: what was measured by then is there. */
bool mig_calibrate_host(MigCalibration *c, const MigCalibrateOptions *options);

/*
 * The cost |name| from |values|, |count| (> 0) measurements in its unit, which are put in order;
 * |how| they were taken, static text. What was known of it before is forgotten.
 */
void mig_calibration_put(MigCalibration *c, const char *name, const char *how, gint64 *values,
                         guint count);

/* The middle one, or between the two; puts them in order. */
gint64 mig_calibration_median(gint64 *values, guint count);

/*
 * Names only what was measured. |host| (may be NULL) says of what; it is taken over, and gets what
 * was measured how, and how often.
 */
json_object *mig_calibration_to_json(const MigCalibration *c, json_object *host);
/* The same for people. */
GString *mig_calibration_text(const MigCalibration *c);

/* What it is measured on: processor, processors, kernel. */
json_object *mig_calibrate_this_host(void);

/* One measure. */
typedef struct MigMeasure {
    const char *name; /* of the cost; NULL ends the table */
    const char *how;
    /* Once, in the cost's unit; negative: this host can't. */
    gint64 (*once)(bool shared);
} MigMeasure;

extern const MigMeasure mig_measures[];

#endif
