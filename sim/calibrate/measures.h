/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measures that the table in measure.c has beside its own, and what all of them use.
 *
 *     measure.c        the engine's own code: pages, codecs, bitmaps, sleeps
 *     measure-faults.c the kernel: userfaultfd, connections
 *     measure-kvm.c    a guest of ours: its dirty log, stopping it
 */
#ifndef MIG_SIM_CALIBRATE_MEASURES_H
#define MIG_SIM_CALIBRATE_MEASURES_H

#include <glib.h>
#include <time.h>

#include "sim/calibrate/calibrate.h"

typedef gint64 MigMeasureFn(bool shared);

MigMeasureFn mig_measure_connect, mig_measure_hear, mig_measure_fault, mig_measure_place_page;
MigMeasureFn mig_measure_protect_gib;
MigMeasureFn mig_measure_sync_gib, mig_measure_clear_chunk, mig_measure_stop;

static inline gint64 mig_measure_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (gint64)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Of this thread, ns. */
static inline gint64 mig_measure_cpu(void)
{
    return mig_measure_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* Of the wall, ns. */
static inline gint64 mig_measure_wall(void)
{
    return mig_measure_clock(CLOCK_MONOTONIC);
}

#endif
