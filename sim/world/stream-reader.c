/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a decoder from an input. Payload that nobody wants is skipped in the input where that can
 * seek; within what was fed the decoder jumps over it by itself.
 */
#include "sim/world/stream-reader.h"

#include <gio/gio.h>
#include <string.h>

#include "sim/world/capture.h"
#include "stream/bytes.h"
#include "stream/limits.h"

#define VMDESC_HEAD 5u /* type, be32 length */

struct MigStreamReader {
    MigInput *input;
    MigDecoder *decoder;
    uint64_t start; /* what the decoder calls the offset of the input's first byte */
    bool eof;
    bool looked; /* for the VMDESCRIPTION */
    MigVmdesc *vmdesc;
};

/* ---- the VMDESCRIPTION, found from behind ---- */

/* Where the text begins in the last |n| bytes of a stream: `06 be32 len '{'` that ends with them.
 */
static const uint8_t *find_vmdesc(const uint8_t *tail, size_t n, size_t *len)
{
    for (size_t at = n > VMDESC_HEAD ? n - VMDESC_HEAD : 0; at-- > 1;) {
        const uint8_t *p = tail + at;
        if (p[0] == MIG_ITEM_VMDESCRIPTION && p[-1] == MIG_ITEM_EOF && p[VMDESC_HEAD] == '{' &&
            mig_load_be32(p + 1) == n - at - VMDESC_HEAD) {
            *len = n - at - VMDESC_HEAD;
            return p + VMDESC_HEAD;
        }
    }
    return NULL;
}

MigVmdesc *mig_stream_find_vmdesc(const uint8_t *tail, size_t n)
{
    size_t len = 0;
    const uint8_t *text = find_vmdesc(tail, n, &len);
    return text ? mig_vmdesc_parse((const char *)text, len, NULL) : NULL;
}

/* A failure to look ahead is no failure: bodies are then found by their footers. */
static void look_ahead(MigStreamReader *reader)
{
    g_autoptr(GBytes) tail =
        mig_input_tail(reader->input, MIG_LIMIT_VMDESC + VMDESC_HEAD + 1, NULL);

    if (tail) {
        size_t n = 0;
        const uint8_t *data = g_bytes_get_data(tail, &n);
        reader->vmdesc = mig_stream_find_vmdesc(data, n);
    }
}

const MigVmdesc *mig_stream_reader_vmdesc(MigStreamReader *reader)
{
    if (!reader->looked) {
        reader->looked = true;
        look_ahead(reader);
    }
    return reader->vmdesc;
}

uint64_t mig_stream_body_size(MigVmdesc *vmdesc, MigStr idstr, uint32_t instance)
{
    const MigVmDevice *device = vmdesc ? mig_vmdesc_find(vmdesc, idstr.text, instance) : NULL;
    return device ? mig_vmdesc_device_size(device) : MIG_BODY_SIZE_UNKNOWN;
}

static uint64_t body_size(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal)
{
    MigStreamReader *reader = opaque;
    (void)ordinal;
    mig_stream_reader_vmdesc(reader); /* looks for it */
    return mig_stream_body_size(reader->vmdesc, idstr, instance);
}

/* ---- the reader ---- */

MigStreamReader *mig_stream_reader_new(MigInput *input, const MigDecoderOptions *options)
{
    MigStreamReader *reader = g_new0(MigStreamReader, 1);
    MigDecoderOptions own = options ? *options : (MigDecoderOptions){ 0 };

    own.body_size = body_size;
    own.opaque = reader;
    own.start = own.start ? own.start : input->start;
    reader->start = own.start;
    reader->input = input;
    reader->decoder = mig_decoder_new(&own);
    if (!reader->decoder) {
        g_error("memory is exhausted");
    }
    return reader;
}

MigStreamReader *mig_stream_reader_open(const char *path, const MigDecoderOptions *options,
                                        GError **error)
{
    g_autoptr(MigInput) input = mig_input_open(path, error);

    if (input && mig_capture_probe(input)) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "%s: this is a pcapng recording of several channels; one stream is expected here",
            input->name);
        return NULL;
    }
    return input ? mig_stream_reader_new(g_steal_pointer(&input), options) : NULL;
}

void mig_stream_reader_free(MigStreamReader *reader)
{
    if (reader) {
        mig_decoder_free(reader->decoder);
        mig_vmdesc_free(reader->vmdesc);
        mig_input_free(reader->input);
        g_free(reader);
    }
}

static bool feed_more(MigStreamReader *reader, GError **error)
{
    const uint8_t *data = NULL;
    size_t n = 0;
    uint64_t skippable = mig_decoder_skippable(reader->decoder);

    if (skippable) {
        mig_decoder_skipped(reader->decoder, mig_input_skip(reader->input, skippable));
    }
    if (!mig_input_next(reader->input, &data, &n, error)) {
        return false;
    }
    if (n) {
        mig_decoder_feed(reader->decoder, data, n);
    } else {
        reader->eof = true;
        mig_decoder_feed_eof(reader->decoder);
    }
    return true;
}

MigStatus mig_stream_reader_next(MigStreamReader *reader, MigRecord *record, GError **error)
{
    for (;;) {
        MigStatus status = mig_decoder_next(reader->decoder, record);
        if (G_LIKELY(status != MIG_STATUS_MORE)) {
            return status;
        }
        if (!feed_more(reader, error)) {
            return MIG_STATUS_MORE;
        }
    }
}

void mig_stream_reader_payload_into(MigStreamReader *reader, void *dst)
{
    mig_decoder_payload_into(reader->decoder, dst);
}

const MigDecoder *mig_stream_reader_decoder(const MigStreamReader *reader)
{
    return reader->decoder;
}

const MigDiagnosis *mig_stream_reader_diagnosis(const MigStreamReader *reader)
{
    return mig_decoder_diagnosis(reader->decoder);
}

const MigInput *mig_stream_reader_input(const MigStreamReader *reader)
{
    return reader->input;
}

const char *mig_stream_reader_input_name(const MigStreamReader *reader)
{
    return reader->input->name;
}

bool mig_stream_reader_trailing(MigStreamReader *reader, uint64_t *n, GError **error)
{
    const uint8_t *data;
    size_t got = 1;

    *n = mig_decoder_trailing(reader->decoder);
    while (!reader->eof && got > 0) {
        *n += mig_input_skip(reader->input, UINT64_MAX);
        if (!mig_input_next(reader->input, &data, &got, error)) {
            return false;
        }
        *n += got;
    }
    reader->eof = true;
    return true;
}

size_t mig_stream_reader_peek(MigStreamReader *reader, uint64_t offset, void *dst, size_t n)
{
    return offset < reader->start ? 0
                                  : mig_input_peek(reader->input, offset - reader->start, dst, n);
}
