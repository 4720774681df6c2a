/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of several channels in memory, for tests that change them: loaded from a trace (a raw
 * one is a recording of the channel main), changed byte by byte, opened again.
 */
#ifndef MIG_TESTS_UNIT_RECORDINGS_H
#define MIG_TESTS_UNIT_RECORDINGS_H

#include <glib.h>

#include "sim/world/recording.h"

/* A trace as it is, whatever its container and wherever it begins. */
MigRecording *mig_test_recording(const char *id);

typedef struct MigTestRecord {
    char *channel;
    MigRecord r; /* strings and arrays in it are gone */
    MigItem kind;
    char *idstr;
} MigTestRecord;

typedef struct MigTestChunk {
    unsigned channel;
    uint64_t ns, n;
} MigTestChunk;

typedef struct MigTestRecording {
    bool capture;
    GPtrArray *names; /* of channels */
    GPtrArray *bytes; /* GByteArray of each */
    GArray *chunks;   /* MigTestChunk, as they went by */
    GArray *records;  /* MigTestRecord */
} MigTestRecording;

MigTestRecording *mig_test_recording_load(const char *id);
void mig_test_recording_free(MigTestRecording *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigTestRecording, mig_test_recording_free)

/* The |nth| record of its type in a channel; -1: the last. Aborts when there is none. */
const MigRecord *mig_test_recording_find(const MigTestRecording *t, const char *channel,
                                         MigRecordType type, int nth);
GByteArray *mig_test_recording_bytes(const MigTestRecording *t, const char *channel);
/* |hex| in place of |cut| bytes; what is longer or shorter is in the last chunk of the channel. */
void mig_test_recording_replace(MigTestRecording *t, const char *channel, uint64_t at, unsigned cut,
                                const char *hex);
/* As changed. */
MigRecording *mig_test_recording_open(const MigTestRecording *t);

#endif
