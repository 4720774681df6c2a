/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The push decoder: bytes in, records out. It performs no I/O, keeps no clock and asks for memory
 * only for the tables that the stream itself fills (sections, block names), all bounded by
 * stream/limits.h. It can be fed at any split: the records are the same.
 *
 *     mig_decoder_feed(d, data, n)
 *     while ((s = mig_decoder_next(d, &r)) == MIG_STATUS_RECORD || s == MIG_STATUS_PAYLOAD) {
 *         if (s == MIG_STATUS_RECORD && r.payload && i_want_it(&r))
 *             mig_decoder_payload_into(d, destination);     // else it is skipped
 *         ...
 *     }
 *     MIG_STATUS_MORE: feed again, or mig_decoder_feed_eof(d)
 *
 * A caller that can seek, or read straight to where a payload belongs, looks at
 * mig_decoder_skippable() and mig_decoder_direct() when it is told MIG_STATUS_MORE, and moves
 * payload past the decoder without a copy.
 *
 * Where a body has no length on the wire (device sections), the decoder finds its end by a layout
 * that it knows, else by |body_size| (a VMDESCRIPTION that the caller found by looking ahead), else
 * by searching for the section's footer with a legal item behind it (in the eras without footers:
 * for the next section's header), in at most MIG_LIMIT_BODY bytes; else it stops with
 * MIG_FAULT_BODY_UNRESOLVED, which is inconclusive and not a verdict.
 */
#ifndef MIG_STREAM_DECODER_H
#define MIG_STREAM_DECODER_H

#include "stream/record.h"
#include "stream/status.h"

typedef enum MigChannel {
    MIG_CHANNEL_MAIN,
    MIG_CHANNEL_RECOVERY,    /* a main channel after a recovery: no header, sections go on */
    MIG_CHANNEL_RETURN_PATH, /* destination to source */
    MIG_CHANNEL_MULTIFD,
    MIG_CHANNEL_PREEMPT, /* bare RAM records */
} MigChannel;

typedef enum MigTri { MIG_AUTO, MIG_NO, MIG_YES } MigTri;

#define MIG_BODY_SIZE_UNKNOWN UINT64_MAX

typedef struct MigDecoderOptions {
    MigChannel channel;
    uint64_t start;     /* offset of the first byte fed (a file that begins at an offset) */
    uint32_t page_size; /* target page size, 0: 4096 until the configuration says otherwise */
    MigTri footers;     /* AUTO: as the presence of a configuration section tells */
    /*
     * Size of the body of device (idstr, instance), the |ordinal|-th FULL section of the stream
     * from 0, or MIG_BODY_SIZE_UNKNOWN. Asked only when no layout is known. May be NULL.
     */
    uint64_t (*body_size)(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal);
    void *opaque;
} MigDecoderOptions;

typedef struct MigDecoder MigDecoder;

/* NULL options: the main channel with everything found out. NULL only when memory is exhausted. */
MigDecoder *mig_decoder_new(const MigDecoderOptions *options);
void mig_decoder_free(MigDecoder *d);

/*
 * A decoder of a further channel of the same migration (recovery, preempt, multifd) that knows the
 * sections and blocks which |main| has seen so far. |main| must outlive it.
 */
MigDecoder *mig_decoder_new_child(const MigDecoder *main, MigChannel channel);

/*
 * Lends |n| bytes to the decoder until it answers MIG_STATUS_MORE (or END or BAD). To be called
 * only at the start and after MIG_STATUS_MORE.
 */
void mig_decoder_feed(MigDecoder *d, const void *data, size_t n);

/* No more bytes will come. The next answers say whether the stream had ended. */
void mig_decoder_feed_eof(MigDecoder *d);

/* Decodes one record into |r|, or says why not. After BAD and END it repeats itself. */
MigStatus mig_decoder_next(MigDecoder *d, MigRecord *r);

/*
 * After MIG_STATUS_RECORD with r.payload > 0: have the payload copied to |dst|, which has room for
 * it. MIG_STATUS_PAYLOAD says when it is complete. A payload nobody asks for is skipped.
 */
void mig_decoder_payload_into(MigDecoder *d, void *dst);

/*
 * After MIG_STATUS_MORE: payload bytes that the caller may leave out of the input (by seeking), and
 * the report that it did so for |n| of them.
 */
uint64_t mig_decoder_skippable(const MigDecoder *d);
void mig_decoder_skipped(MigDecoder *d, uint64_t n);

/*
 * After MIG_STATUS_MORE, inside a payload asked for: where its next bytes belong and how many they
 * are (0: nowhere), and the report that the caller has put |n| of them there.
 */
size_t mig_decoder_direct(const MigDecoder *d, void **dst);
void mig_decoder_filled(MigDecoder *d, size_t n);

/* Bytes behind the end of the stream that were fed (QEMU ignores them). */
uint64_t mig_decoder_trailing(const MigDecoder *d);

/* Offset of the next byte that the decoder has not consumed. */
uint64_t mig_decoder_offset(const MigDecoder *d);

/* After MIG_STATUS_BAD. */
const MigDiagnosis *mig_decoder_diagnosis(const MigDecoder *d);

/* Writes the path of the record last returned ("ram/part[3]/page[17]") to |buf|. */
void mig_decoder_path(const MigDecoder *d, char *buf, size_t cap);

/* What the stream has told so far. */
MigStr mig_decoder_machine(const MigDecoder *d); /* len 0: no configuration section */
bool mig_decoder_footers(const MigDecoder *d);
uint32_t mig_decoder_page_size(const MigDecoder *d);
uint32_t mig_decoder_block_count(const MigDecoder *d);
const MigRecordRamBlock *mig_decoder_block(const MigDecoder *d, uint32_t index);

#endif
