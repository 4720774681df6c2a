/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoder with its input: opens a recorded stream, whatever it is wrapped in, and gives records.
 *
 *     g_autoptr(MigStreamReader) reader = mig_stream_reader_open("pc.mig.zst", NULL, &error);
 *     while ((s = mig_stream_reader_next(reader, &record, &error)) == MIG_STATUS_RECORD ||
 *            s == MIG_STATUS_PAYLOAD) ...
 *
 * Device bodies: where the input can look ahead, their sizes come from the VMDESCRIPTION at its
 * end, which is looked for when the first of them is asked for.
 */
#ifndef MIG_SIM_WORLD_STREAM_READER_H
#define MIG_SIM_WORLD_STREAM_READER_H

#include <glib.h>

#include "sim/world/input.h"
#include "stream/decoder.h"
#include "stream/vmdesc.h"

typedef struct MigStreamReader MigStreamReader;

/* |options| may be NULL; body_size and opaque in it are the reader's own business. */
MigStreamReader *mig_stream_reader_open(const char *path, const MigDecoderOptions *options,
                                        GError **error);
/* The same over an input that is open; takes it over. */
MigStreamReader *mig_stream_reader_new(MigInput *input, const MigDecoderOptions *options);
void mig_stream_reader_free(MigStreamReader *reader);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigStreamReader, mig_stream_reader_free)

/*
 * Like mig_decoder_next(): RECORD, PAYLOAD, END or BAD. MIG_STATUS_MORE is returned only when the
 * input failed, and then *error is set.
 */
MigStatus mig_stream_reader_next(MigStreamReader *reader, MigRecord *record, GError **error);

/* See mig_decoder_payload_into(). */
void mig_stream_reader_payload_into(MigStreamReader *reader, void *dst);

const MigDecoder *mig_stream_reader_decoder(const MigStreamReader *reader);
const MigDiagnosis *mig_stream_reader_diagnosis(const MigStreamReader *reader);
const MigInput *mig_stream_reader_input(const MigStreamReader *reader);
const char *mig_stream_reader_input_name(const MigStreamReader *reader);

/*
 * After END: bytes behind the stream. Reads a pipe to its end. False: *error.
 */
bool mig_stream_reader_trailing(MigStreamReader *reader, uint64_t *n, GError **error);

/*
 * The VMDESCRIPTION found by looking ahead; NULL where the input can't, or has none, or its text is
 * no description. Looks once.
 */
const MigVmdesc *mig_stream_reader_vmdesc(MigStreamReader *reader);

/* The VMDESCRIPTION that ends with the |n| bytes at |tail|; NULL: they end otherwise. */
MigVmdesc *mig_stream_find_vmdesc(const uint8_t *tail, size_t n);
/* What |vmdesc| (NULL: there is none) says of a device's body: MigDecoderOptions.body_size. */
uint64_t mig_stream_body_size(MigVmdesc *vmdesc, MigStr idstr, uint32_t instance);

/* Up to |n| bytes of the stream at |offset|; how many there were (0 where the input can't seek). */
size_t mig_stream_reader_peek(MigStreamReader *reader, uint64_t offset, void *dst, size_t n);

#endif
