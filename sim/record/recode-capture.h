/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decode and encode again, for recordings of several channels: each channel's records are encoded
 * and compared with the bytes that went by. What is written is a recording of the same packets at
 * the same times with the encoder's bytes in them, or one channel's bytes alone.
 */
#ifndef MIG_SIM_RECORD_RECODE_CAPTURE_H
#define MIG_SIM_RECORD_RECODE_CAPTURE_H

#include <glib.h>
#include <stdio.h>

#include "sim/world/recording.h"

#define MIG_RECODE_SAME UINT64_MAX

typedef struct MigRecodedChannel {
    char *name;
    uint64_t bytes; /* encoded */
    uint64_t records;
    uint64_t first; /* offset of the first byte that differs, or MIG_RECODE_SAME */
    uint64_t rest;  /* bytes at its end that are no records: cut off, or behind its end */
    bool cut;       /* its line broke and another channel took its place */
    bool bad;       /* it can't be read to its end: see why */
    MigDiagnosis why;
} MigRecodedChannel;

/*
 * Who changes what is written. All three are told in the order of a channel's bytes; of what a
 * record begins and a broken line cuts off, the payload comes as rest.
 */
typedef struct MigRecodeHook {
    void *opaque;
    void (*record)(void *opaque, unsigned channel, const MigRecord *r, const MigDecoder *d);
    void (*payload)(void *opaque, unsigned channel, uint8_t *data, size_t n); /* the record's */
    /* No more records of the channel come. |why| NULL: it ended as it should. */
    void (*over)(void *opaque, unsigned channel, const MigDiagnosis *why);
    void (*rest)(void *opaque, unsigned channel, uint8_t *data, size_t n); /* of no record */
} MigRecodeHook;

/*
 * |hook| may be NULL. |out| may be NULL. |channel| NULL: a recording is written, else the bytes of
 * that one. Array of MigRecodedChannel, by channel; NULL: reading or writing failed, *error.
 */
GArray *mig_recode_capture(MigRecording *recording, FILE *out, const char *channel,
                           const MigRecodeHook *hook, GError **error);

#endif
