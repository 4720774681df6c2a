/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects the channels of a simulated migration whose lines may break, and writes them as a
 * recording (sim/world/capture-writer.h) in the end: only then it is known which there were.
 */
#ifndef MIG_SIM_SIMULATE_STREAM_RECORDER_H
#define MIG_SIM_SIMULATE_STREAM_RECORDER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Numbers of channels beside 0 (main) and 1.. (multifd); the line's generation stands above them.
 */
#define MIG_RECORD_PREEMPT          0xfffeu
#define MIG_RECORD_RETURN           0xffffu
#define MIG_RECORD_LINE(generation) ((uint32_t)(generation) << 16)

typedef struct MigStreamRecorder MigStreamRecorder;

MigStreamRecorder *mig_stream_recorder_new(void);
void mig_stream_recorder_free(MigStreamRecorder *r); /* NULL is fine */

/* |n| bytes of |channel| at |at| ns. */
void mig_stream_recorder_add(MigStreamRecorder *r, uint32_t channel, int64_t at, const void *data,
                             size_t n);

/* False: errno says why. */
bool mig_stream_recorder_write(const MigStreamRecorder *r, FILE *out);

#endif
