/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recorded migration, whatever it was recorded as: one source of records for everybody.
 *
 *     raw stream (libvirt image, mapped-ram file...)  -> stream reader -+
 *                                                                       +-> channel, record,
 * payload pcapng of several channels                      -> capture ------+
 *
 * A raw stream has the one channel "main". Records of several channels come in the order in which
 * their bytes went by.
 */
#ifndef MIG_SIM_WORLD_RECORDING_H
#define MIG_SIM_WORLD_RECORDING_H

#include "sim/world/capture.h"
#include "sim/world/stream-reader.h"

/* A stream that doesn't begin at the start of its file is looked for below this. */
#define MIG_RECORDING_SEARCH (1u << 20)

typedef struct MigRecording MigRecording;

/* |path| as for mig_input_open(). */
MigRecording *mig_recording_open(const char *path, GError **error);
/* Over a reader that is open, which must outlive it. */
MigRecording *mig_recording_of_reader(MigStreamReader *reader);
/* Over a capture, which it takes over; |path| (to look ahead) may be NULL. */
MigRecording *mig_recording_of_capture(MigCapture *capture, const char *path);
/* Takes *input, which was opened as |path|, over (it is NULL then) where its first bytes are those
 * of a capture; else NULL. */
MigRecording *mig_recording_of_input(MigInput **input, const char *path);
void mig_recording_free(MigRecording *m);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRecording, mig_recording_free)

/*
 * RECORD; PAYLOAD (of the record last given for *|channel|); BAD for one channel, once: others go
 * on; END: everything is through; MORE: the input failed, *error is set.
 */
MigStatus mig_recording_next(MigRecording *m, unsigned *channel, MigRecord *r, GError **error);

/* See mig_decoder_payload_into(); |dst| must last until PAYLOAD or BAD is given for the channel. */
void mig_recording_payload_into(MigRecording *m, unsigned channel, void *dst);

bool mig_recording_is_capture(const MigRecording *m);
/* Grows while records are read. */
unsigned mig_recording_channel_count(const MigRecording *m);
const char *mig_recording_channel_name(const MigRecording *m, unsigned channel);
MigChannel mig_recording_channel_kind(const MigRecording *m, unsigned channel);
unsigned mig_recording_channel_generation(const MigRecording *m, unsigned channel);
/* NULL: nothing of the channel went by. */
const MigDecoder *mig_recording_decoder(const MigRecording *m, unsigned channel);
/* Of the first main channel; NULL before its first byte. */
const MigDecoder *mig_recording_main(const MigRecording *m);

/* True where a later connection took the place of this channel: it may end anywhere. */
bool mig_recording_was_cut(const MigRecording *m, unsigned channel);

const char *mig_recording_name(const MigRecording *m);
MigCapture *mig_recording_capture(MigRecording *m);
/* What a raw stream is read from; NULL for a capture. */
const MigInput *mig_recording_input(const MigRecording *m);

/* See mig_stream_reader_vmdesc(), _peek(), _trailing(). */
const MigVmdesc *mig_recording_vmdesc(MigRecording *m);
size_t mig_recording_peek(MigRecording *m, unsigned channel, uint64_t offset, void *dst, size_t n);
bool mig_recording_trailing(MigRecording *m, uint64_t *n, GError **error);

/*
 * At the end: true where the file (not just the line of a channel) was cut off, which |why| says of
 * the end of the main channel. Its channels have been told so as well, but some may end anywhere.
 * Of raw streams the decoder says it.
 */
bool mig_recording_cut(const MigRecording *m, MigDiagnosis *why);

/*
 * After BAD: what to try, or NULL. "a stream begins at offset 4096: try file:PATH,offset=4096".
 * Owned by the caller.
 */
char *mig_recording_hint(MigRecording *m, unsigned channel);

#endif
