/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling a raw stream from a recording of several channels, and looking ahead in either. The
 * VMDESCRIPTION of a recording is found by reading the file once more, when the first device body
 * asks for it; memory is that of one description.
 */
#include "sim/world/recording.h"

#include <string.h>

#include "stream/limits.h"

#define TAIL (MIG_LIMIT_VMDESC + 6u)

struct MigRecording {
    MigStreamReader *reader; /* of a raw stream, else NULL */
    bool borrowed, bad;
    MigCapture *capture;
    char *path; /* of the capture, NULL where it can't be read again */
    bool looked;
    MigVmdesc *vmdesc;
};

/* ---- looking ahead in a capture ---- */

static void keep_tail(GByteArray *tail, const MigChunk *chunk)
{
    g_byte_array_append(tail, chunk->data, (guint)chunk->n);
    if (tail->len > 2u * TAIL) {
        g_byte_array_remove_range(tail, 0, tail->len - TAIL);
    }
}

static void look_ahead(MigRecording *m)
{
    g_autoptr(MigCapture) again = mig_capture_open(m->path, NULL);
    g_autoptr(GByteArray) tail = g_byte_array_new();
    MigChunk chunk;

    while (again && mig_capture_chunk(again, &chunk, NULL)) {
        if (mig_capture_channel(again, chunk.channel)->kind == MIG_CHANNEL_MAIN) {
            keep_tail(tail, &chunk);
        }
    }
    m->vmdesc = mig_stream_find_vmdesc(tail->data, tail->len);
}

const MigVmdesc *mig_recording_vmdesc(MigRecording *m)
{
    if (m->reader) {
        return mig_stream_reader_vmdesc(m->reader);
    }
    if (!m->looked && m->path) {
        m->looked = true;
        look_ahead(m);
    }
    return m->vmdesc;
}

static uint64_t body_size(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal)
{
    MigRecording *m = opaque;
    (void)ordinal;
    mig_recording_vmdesc(m); /* looks for it */
    return mig_stream_body_size(m->vmdesc, idstr, instance);
}

/* ---- life ---- */

MigRecording *mig_recording_of_reader(MigStreamReader *reader)
{
    MigRecording *m = g_new0(MigRecording, 1);
    m->reader = reader;
    m->borrowed = true;
    return m;
}

MigRecording *mig_recording_of_capture(MigCapture *capture, const char *path)
{
    MigRecording *m = g_new0(MigRecording, 1);
    m->capture = capture;
    m->path = g_strdup(path);
    mig_capture_set_body_size(capture, body_size, m);
    return m;
}

MigRecording *mig_recording_of_input(MigInput **input, const char *path)
{
    if (!mig_capture_probe(*input)) {
        return NULL;
    }
    g_autofree char *again = (*input)->path ? g_strdup(path) : NULL; /* not a pipe's */
    return mig_recording_of_capture(mig_capture_new(g_steal_pointer(input)), again);
}

MigRecording *mig_recording_open(const char *path, GError **error)
{
    MigInput *input = mig_input_open(path, error);
    MigRecording *m = input ? mig_recording_of_input(&input, path) : NULL;
    if (!m && input) {
        m = mig_recording_of_reader(mig_stream_reader_new(input, NULL));
        m->borrowed = false;
    }
    return m;
}

void mig_recording_free(MigRecording *m)
{
    if (!m) {
        return;
    }
    if (m->reader && !m->borrowed) {
        mig_stream_reader_free(m->reader);
    }
    mig_capture_free(m->capture);
    mig_vmdesc_free(m->vmdesc);
    g_free(m->path);
    g_free(m);
}

/* ---- records ---- */

MigStatus mig_recording_next(MigRecording *m, unsigned *channel, MigRecord *r, GError **error)
{
    if (m->capture) {
        return mig_capture_next(m->capture, channel, r, error);
    }
    *channel = 0;
    if (m->bad) {
        return MIG_STATUS_END;
    }
    MigStatus status = mig_stream_reader_next(m->reader, r, error);
    m->bad = status == MIG_STATUS_BAD;
    return status;
}

void mig_recording_payload_into(MigRecording *m, unsigned channel, void *dst)
{
    if (m->capture) {
        mig_capture_payload_into(m->capture, channel, dst);
    } else {
        mig_stream_reader_payload_into(m->reader, dst);
    }
}

bool mig_recording_is_capture(const MigRecording *m)
{
    return m->capture != NULL;
}

MigCapture *mig_recording_capture(MigRecording *m)
{
    return m->capture;
}

const MigInput *mig_recording_input(const MigRecording *m)
{
    return m->reader ? mig_stream_reader_input(m->reader) : NULL;
}

unsigned mig_recording_channel_count(const MigRecording *m)
{
    return m->capture ? mig_capture_channel_count(m->capture) : 1;
}

const char *mig_recording_channel_name(const MigRecording *m, unsigned channel)
{
    return m->capture ? mig_capture_channel(m->capture, channel)->name : "main";
}

MigChannel mig_recording_channel_kind(const MigRecording *m, unsigned channel)
{
    return m->capture ? mig_capture_channel(m->capture, channel)->kind : MIG_CHANNEL_MAIN;
}

unsigned mig_recording_channel_generation(const MigRecording *m, unsigned channel)
{
    return m->capture ? mig_capture_channel(m->capture, channel)->generation : 0;
}

const MigDecoder *mig_recording_decoder(const MigRecording *m, unsigned channel)
{
    return m->capture ? mig_capture_decoder(m->capture, channel)
                      : mig_stream_reader_decoder(m->reader);
}

const MigDecoder *mig_recording_main(const MigRecording *m)
{
    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        if (mig_recording_channel_kind(m, i) == MIG_CHANNEL_MAIN) {
            return mig_recording_decoder(m, i);
        }
    }
    return NULL;
}

bool mig_recording_was_cut(const MigRecording *m, unsigned channel)
{
    unsigned generation = mig_recording_channel_generation(m, channel);
    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        if (mig_recording_channel_generation(m, i) > generation) {
            return true;
        }
    }
    return false;
}

const char *mig_recording_name(const MigRecording *m)
{
    return m->capture ? mig_capture_name(m->capture) : mig_stream_reader_input_name(m->reader);
}

size_t mig_recording_peek(MigRecording *m, unsigned channel, uint64_t offset, void *dst, size_t n)
{
    return m->capture ? mig_capture_peek(m->capture, channel, offset, dst, n)
                      : mig_stream_reader_peek(m->reader, offset, dst, n);
}

bool mig_recording_trailing(MigRecording *m, uint64_t *n, GError **error)
{
    if (m->reader) {
        return mig_stream_reader_trailing(m->reader, n, error);
    }
    *n = 0;
    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        const MigDecoder *d = mig_recording_decoder(m, i);
        *n += d ? mig_decoder_trailing(d) : 0;
    }
    return true;
}

bool mig_recording_cut(const MigRecording *m, MigDiagnosis *why)
{
    const MigCaptureCut *cut = m->capture ? mig_capture_cut(m->capture) : NULL;
    const MigDecoder *main = mig_recording_main(m);
    if (!cut) {
        return false;
    }
    *why = (MigDiagnosis){ MIG_FAULT_TRUNCATED, main ? mig_decoder_offset(main) : 0,
                           "end of the file", "a whole recording", "" };
    g_snprintf(why->found, sizeof(why->found),
               "a file cut off behind packet %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
               " bytes into the block at its offset %" G_GUINT64_FORMAT,
               cut->packets, cut->bytes, cut->offset);
    return true;
}

/* ---- hints ---- */

/* How tcpdump -w begins a file: microseconds or nanoseconds, in either byte order. */
static bool is_pcap(const uint8_t *data, size_t n)
{
    static const char *const magics[] = { "\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4",
                                          "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d" };
    for (size_t i = 0; n >= 4 && i < G_N_ELEMENTS(magics); i++) {
        if (memcmp(data, magics[i], 4) == 0) {
            return true;
        }
    }
    return false;
}

char *mig_recording_hint(MigRecording *m, unsigned channel)
{
    const MigDecoder *d = mig_recording_decoder(m, channel);
    MigDiagnosis cut;

    if (mig_recording_cut(m, &cut)) {
        return g_strconcat("a whole copy of it; this is ", cut.found, NULL);
    }
    if (!m->reader || !d || mig_decoder_diagnosis(d)->fault != MIG_FAULT_HEADER_MAGIC) {
        return NULL;
    }
    const MigInput *input = mig_stream_reader_input(m->reader);
    g_autofree uint8_t *data = g_malloc(MIG_RECORDING_SEARCH);
    size_t n = mig_stream_reader_peek(m->reader, input->start, data, MIG_RECORDING_SEARCH);
    if (is_pcap(data, n)) {
        return g_strdup("these are captured packets: migbench record --import makes a recording "
                        "of them");
    }
    for (size_t at = 4096; at + 8 <= n; at += 4096) {
        if (memcmp(data + at, "QEVM\0\0\0\3", 8) == 0) {
            return g_strdup_printf("a stream begins at offset %" G_GUINT64_FORMAT
                                   ": file:%s,offset=%" G_GUINT64_FORMAT,
                                   input->start + at, input->path ? input->path : "PATH",
                                   input->start + at);
        }
    }
    return NULL;
}
