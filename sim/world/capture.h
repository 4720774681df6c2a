/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of several channels: a pcapng file (usually zstd-compressed) with one interface for
 * each channel and direction, named "main", "return", "multifd0"..., "preempt"; after a recovery
 * "main.2", "return.2" and so on. traces/README.md describes the container.
 *
 * The reader gives the records of all channels in the order in which their bytes went by, through
 * one decoder per channel; only the first bytes of multifd and preempt channels wait until the main
 * channel's block list is there. A set of channels is one stream to the user.
 */
#ifndef MIG_SIM_WORLD_CAPTURE_H
#define MIG_SIM_WORLD_CAPTURE_H

#include <glib.h>

#include "sim/world/input.h"
#include "stream/decoder.h"

#define MIG_CAPTURE_CHANNELS 1024u       /* interfaces of one file */
#define MIG_CAPTURE_BLOCK    (32u << 20) /* bytes of one pcapng block */
#define MIG_CAPTURE_HELD     (64u << 20) /* bytes that wait for the block list */
#define MIG_CAPTURE_RECENT   16384u      /* bytes of each channel that peek can go back */

typedef struct MigCaptureChannel {
    char *name;
    MigChannel kind;
    unsigned generation; /* 0; "main.2" is 1: connections after the first break of the line */
    uint64_t bytes;      /* given to its decoder so far */
    uint64_t last_ns;    /* time of its last chunk */
} MigCaptureChannel;

/* Where a file ends in the middle of a block: it was cut off, or its end was never written. */
typedef struct MigCaptureCut {
    uint64_t packets; /* whole ones in front of it */
    uint64_t offset;  /* of the block in the file */
    uint64_t bytes;   /* that are there of it */
} MigCaptureCut;

typedef struct MigCapture MigCapture;

/* True when the next bytes of |input|, which stay in it, are those of a pcapng section header. */
bool mig_capture_probe(MigInput *input);

MigCapture *mig_capture_open(const char *path, GError **error);
/* Takes |input| over. */
MigCapture *mig_capture_new(MigInput *input);
void mig_capture_free(MigCapture *c);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigCapture, mig_capture_free)

/* One chunk of one channel, as it went by. The bytes last until the next call. */
typedef struct MigChunk {
    unsigned channel;
    uint64_t ns;
    const uint8_t *data;
    size_t n;
} MigChunk;

/* The next chunk; false at the end (also where the file was cut), or with *error. Not to be mixed
 * with mig_capture_next(). */
bool mig_capture_chunk(MigCapture *c, MigChunk *chunk, GError **error);

/*
 * The next record of any channel: RECORD, PAYLOAD (of the record last given for *|channel|), or BAD
 * for one channel, whose later bytes are then passed over. A file that was cut ends there: what the
 * channels lack is told as of raw streams that were. END: every channel is through. MORE: the
 * input failed, *error is set.
 */
MigStatus mig_capture_next(MigCapture *c, unsigned *channel, MigRecord *record, GError **error);

/* See mig_decoder_payload_into(); |dst| must last until PAYLOAD or BAD is given for the channel. */
void mig_capture_payload_into(MigCapture *c, unsigned channel, void *dst);

/* Called for every chunk, before its records are given. */
typedef void (*MigCaptureTap)(void *opaque, const MigChunk *chunk);
void mig_capture_set_tap(MigCapture *c, MigCaptureTap tap, void *opaque);

/* See MigDecoderOptions.body_size; of the main channel, to be set before the first record. */
typedef uint64_t (*MigBodySize)(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal);
void mig_capture_set_body_size(MigCapture *c, MigBodySize body_size, void *opaque);

/*
 * Up to |n| bytes of a channel at |offset|, of those that went by last; how many there were (0:
 * they are gone).
 */
size_t mig_capture_peek(const MigCapture *c, unsigned channel, uint64_t offset, void *dst,
                        size_t n);

/* Known at the end; NULL: the file is whole. */
const MigCaptureCut *mig_capture_cut(const MigCapture *c);
/* For messages: the path, or "standard input". */
const char *mig_capture_name(const MigCapture *c);
unsigned mig_capture_channel_count(const MigCapture *c);
const MigCaptureChannel *mig_capture_channel(const MigCapture *c, unsigned channel);
/* NULL: nothing of it went by yet. */
const MigDecoder *mig_capture_decoder(const MigCapture *c, unsigned channel);

#endif
