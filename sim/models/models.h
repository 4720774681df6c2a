/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published models of a precopy migration, to be compared with: what people calculate when they
 * have no engine. Each is a formula over a guest (sizes and a curve of unique dirty pages), a
 * bandwidth and a downtime limit.
 *
 *     gudkov         A. Gudkov, qemu-devel 2023: passes over the measured curve
 *     constant-rate  Akoush et al. 2010 (AVG), Liu et al. 2011: a geometric series of one rate
 *     simgrid        SimGrid's VM plugin: one rate, dirty memory capped at 90 % of RAM
 *     bytes          all of RAM once, over the bandwidth
 *
 * None knows headers of other kinds than stated, rate limiting, syncs, setup, devices or
 * throttling.
 */
#ifndef MIG_SIM_MODELS_MODELS_H
#define MIG_SIM_MODELS_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* |pages| different pages are written in |ms| from any moment on. */
typedef struct MigDirtyPoint {
    double ms, pages;
} MigDirtyPoint;

typedef struct MigModelGuest {
    uint32_t page_size;         /* bytes */
    double pages;               /* all of them */
    double zero_pages;          /* of these; taken to stay as they are */
    const MigDirtyPoint *dirty; /* at least 2, ms > 0 and rising */
    size_t dirty_count;
} MigModelGuest;

typedef struct MigModelPlan {
    double bandwidth;   /* bytes a second, > 0 */
    double limit_ms;    /* downtime-limit; INFINITY: the first pass is the last */
    double deadline_ms; /* past it a migration counts as one that never ends */
} MigModelPlan;

typedef struct MigForecast {
    bool converges; /* the rest is meaningful only then */
    double total_ms, downtime_ms, bytes;
    unsigned passes; /* over memory, the last one with the guest stopped included */
} MigForecast;

typedef struct MigModel {
    const char *name, *title;
    MigForecast (*forecast)(const MigModelGuest *guest, const MigModelPlan *plan);
} MigModel;

/* Ended by a row without name. */
extern const MigModel mig_models[];

const MigModel *mig_model_find(const char *name); /* NULL: there is none */

/* Unique pages that are dirty after |ms|, as Gudkov reads the curve (never below 0). */
double mig_model_dirty(const MigModelGuest *guest, double ms);

#endif
