/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of several channels: each channel's bytes are decoded and encoded back the same, and
 * what one channel says of another fits (SYNC packets per flush, compressed pages that inflate).
 */
#include <glib.h>
#include <string.h>

#include "sim/world/capture.h"
#include "stream/encoder.h"
#include "stream/multifd-codec.h"
#include "tests/unit/traces.h"

typedef struct Side {
    GByteArray *bytes;   /* as recorded */
    GByteArray *encoded; /* from records */
    GByteArray *payload;
    MigRecord at_hand;
    MigMultifdCodec *codec;
    guint64 pages;
    gboolean bad;
} Side;

static void side_free(gpointer data)
{
    Side *side = data;
    g_byte_array_unref(side->bytes);
    g_byte_array_unref(side->encoded);
    g_byte_array_unref(side->payload);
    mig_multifd_codec_free(side->codec);
    g_free(side);
}

static Side *side_of(GPtrArray *sides, unsigned channel)
{
    while (sides->len <= channel) {
        Side *side = g_new0(Side, 1);
        side->bytes = g_byte_array_new();
        side->encoded = g_byte_array_new();
        side->payload = g_byte_array_new();
        side->codec = mig_multifd_decompressor_new();
        g_ptr_array_add(sides, side);
    }
    return sides->pdata[channel];
}

static void collect_bytes(GPtrArray *sides, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCapture) capture = mig_capture_open(path, &error);
    MigChunk chunk;

    g_assert_no_error(error);
    while (mig_capture_chunk(capture, &chunk, &error)) {
        g_byte_array_append(side_of(sides, chunk.channel)->bytes, chunk.data, (guint)chunk.n);
    }
    g_assert_no_error(error);
}

static void encode(Side *side, size_t (*how)(const MigRecord *, uint8_t *, size_t))
{
    size_t n = how(&side->at_hand, NULL, 0);
    guint at = side->encoded->len;
    g_byte_array_set_size(side->encoded, (guint)(at + n));
    how(&side->at_hand, side->encoded->data + at, n);
}

static void on_payload(Side *side, guint page_size)
{
    const MigRecord *r = &side->at_hand;
    g_byte_array_append(side->encoded, side->payload->data, side->payload->len);
    encode(side, mig_record_encode_tail);
    if (r->type == MIG_REC_MULTIFD_PACKET) {
        gsize n = (gsize)r->multifd.normal_pages * page_size;
        g_autofree guint8 *pages = g_malloc(n);
        g_assert_cmpint(mig_multifd_decompress(side->codec, r->multifd.flags, side->payload->data,
                                               side->payload->len, pages, n),
                        ==, MIG_CODEC_OK);
        side->pages += r->multifd.normal_pages;
    }
}

static void on_record(MigCapture *capture, Side *side, unsigned channel, const MigRecord *r)
{
    side->at_hand = *r;
    encode(side, mig_record_encode);
    if (r->payload) {
        g_byte_array_set_size(side->payload, (guint)r->payload);
        mig_capture_payload_into(capture, channel, side->payload->data);
    } else {
        encode(side, mig_record_encode_tail);
    }
}

static void report_bad(MigCapture *capture, unsigned channel, const char *id)
{
    const MigDiagnosis *g = mig_decoder_diagnosis(mig_capture_decoder(capture, channel));
    g_test_message("%s %s: offset %" G_GUINT64_FORMAT " %s: %s: expected %s, found %s", id,
                   mig_capture_channel(capture, channel)->name, g->offset, g->path,
                   mig_fault_name(g->fault), g->expected, g->found);
    /* A recovery's trace has a channel that was cut on purpose; nothing else may stop early. */
    g_assert_cmpint(g->fault, ==, MIG_FAULT_TRUNCATED);
    g_assert_nonnull(strstr(id, "recovery"));
}

static void decode_all(GPtrArray *sides, const char *path, const char *id)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCapture) capture = mig_capture_open(path, &error);
    MigStatus s;
    MigRecord r;
    unsigned channel;

    g_assert_no_error(error);
    while ((s = mig_capture_next(capture, &channel, &r, &error)) != MIG_STATUS_END) {
        g_assert_no_error(error);
        Side *side = side_of(sides, channel);
        if (s == MIG_STATUS_BAD) {
            report_bad(capture, channel, id);
            side->bad = TRUE;
        } else if (s == MIG_STATUS_PAYLOAD) {
            on_payload(side, mig_decoder_page_size(mig_capture_decoder(capture, channel)));
        } else {
            on_record(capture, side, channel, &r);
        }
    }
}

static void test_recode(gconstpointer id)
{
    g_autoptr(GPtrArray) sides = g_ptr_array_new_with_free_func(side_free);
    g_autofree char *path = mig_test_trace_path(id, ".pcapng.zst");

    collect_bytes(sides, path);
    decode_all(sides, path, id);
    for (guint i = 0; i < sides->len; i++) {
        Side *side = sides->pdata[i];
        guint n = side->bad ? side->encoded->len : side->bytes->len;
        g_assert_cmpuint(side->encoded->len, <=, side->bytes->len);
        g_assert_cmpmem(side->encoded->data, side->encoded->len, side->bytes->data, n);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("pcapng");
    for (guint i = 0; i < ids->len; i++) {
        g_autofree char *path = g_strdup_printf("/capture/recode/%s", (char *)ids->pdata[i]);
        g_test_add_data_func(path, ids->pdata[i], test_recode);
    }
    return g_test_run();
}
