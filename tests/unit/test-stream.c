/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The law of the stream library: encode(decode(x)) == x for every recorded stream, from decoded
 * fields, however the bytes are cut into feeds.
 */
#include <glib.h>
#include <string.h>

#include "stream/decoder.h"
#include "stream/encoder.h"
#include "tests/unit/traces.h"

typedef struct Run {
    MigDecoder *decoder;
    GByteArray *out;     /* the stream, encoded again */
    GChecksum *records;  /* digest of what was decoded */
    GByteArray *payload; /* of the record at hand */
    MigRecord at_hand;
    guint64 count;
    MigStatus status;
} Run;

static void run_init(Run *run, const MigDecoderOptions *options)
{
    *run = (Run){ .decoder = mig_decoder_new(options),
                  .out = g_byte_array_new(),
                  .records = g_checksum_new(G_CHECKSUM_SHA256),
                  .payload = g_byte_array_new(),
                  .status = MIG_STATUS_MORE };
}

static void run_clear(Run *run)
{
    mig_decoder_free(run->decoder);
    g_byte_array_unref(run->out);
    g_byte_array_unref(run->payload);
    g_checksum_free(run->records);
}

static void encode(Run *run, size_t (*how)(const MigRecord *, uint8_t *, size_t))
{
    size_t n = how(&run->at_hand, NULL, 0);
    guint at = run->out->len;
    g_byte_array_set_size(run->out, (guint)(at + n));
    g_assert_cmpuint(how(&run->at_hand, run->out->data + at, n), ==, n);
}

static void on_record(Run *run, const MigRecord *r)
{
    char path[256];
    uint64_t place[] = { r->type, r->offset, r->wire, r->payload, r->depth };

    mig_decoder_path(run->decoder, path, sizeof(path));
    g_checksum_update(run->records, (const guchar *)path, -1);
    g_checksum_update(run->records, (const guchar *)place, sizeof(place));
    run->at_hand = *r;
    run->count++;
    encode(run, mig_record_encode);
    if (r->payload) {
        g_byte_array_set_size(run->payload, (guint)r->payload);
        mig_decoder_payload_into(run->decoder, run->payload->data);
    } else {
        encode(run, mig_record_encode_tail);
    }
}

/* Takes every record that the bytes fed so far hold. */
static void drain(Run *run)
{
    MigRecord r;
    while ((run->status = mig_decoder_next(run->decoder, &r)) <= MIG_STATUS_PAYLOAD) {
        if (run->status == MIG_STATUS_RECORD) {
            on_record(run, &r);
        } else {
            g_byte_array_append(run->out, run->payload->data, run->payload->len);
            g_checksum_update(run->records, run->payload->data, run->payload->len);
            encode(run, mig_record_encode_tail);
        }
    }
}

/* Feeds a copy that is overwritten before the next one: nothing may point into the input. */
static void feed_poisoned(Run *run, const guint8 *data, gsize n)
{
    g_autofree guint8 *copy = g_memdup2(data, n);
    mig_decoder_feed(run->decoder, copy, n);
    drain(run);
    if (n) {
        memset(copy, 0xdb, n);
    }
}

static void finish(Run *run)
{
    mig_decoder_feed_eof(run->decoder);
    drain(run);
}

static void assert_ended(Run *run, const char *id)
{
    if (run->status == MIG_STATUS_BAD) {
        const MigDiagnosis *g = mig_decoder_diagnosis(run->decoder);
        g_test_message("%s: offset %" G_GUINT64_FORMAT " %s: %s: expected %s, found %s", id,
                       g->offset, g->path, mig_fault_name(g->fault), g->expected, g->found);
    }
    g_assert_cmpint(run->status, ==, MIG_STATUS_END);
}

static void assert_same(const Run *run, GBytes *stream)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    g_assert_cmpmem(run->out->data, run->out->len, data, n);
}

static void decode_whole(Run *run, GBytes *stream)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    run_init(run, NULL);
    feed_poisoned(run, data, n);
    finish(run);
}

static void test_recode(gconstpointer data)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(data);
    Run run;

    decode_whole(&run, stream);
    assert_ended(&run, data);
    assert_same(&run, stream);
    run_clear(&run);
}

static void decode_cut(Run *run, GBytes *stream, gsize cut)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    run_init(run, NULL);
    feed_poisoned(run, data, cut);
    feed_poisoned(run, data + cut, n - cut);
    finish(run);
}

static void assert_same_run(Run *run, Run *whole, GBytes *stream, const char *id)
{
    assert_ended(run, id);
    assert_same(run, stream);
    g_assert_cmpuint(run->count, ==, whole->count);
    g_assert_cmpstr(g_checksum_get_string(run->records), ==, g_checksum_get_string(whole->records));
}

/* Every cut of a short stream; of a long one those in its first and last 8 KiB and every 997th. */
static gboolean is_cut(gsize at, gsize n)
{
    return n < 20000 || at < 8192 || at + 8192 > n || at % 997 == 0;
}

static void test_cuts(gconstpointer id)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    gsize n = g_bytes_get_size(stream);
    gsize step = n < 20000 || g_getenv("MIGBENCH_FULL") ? 1 : n / 2000 + 1;
    Run whole, run;

    decode_whole(&whole, stream);
    assert_ended(&whole, id);
    for (gsize cut = 1; cut < n; cut += step) {
        if (is_cut(cut, n) || step > 1) {
            decode_cut(&run, stream, cut);
            assert_same_run(&run, &whole, stream, id);
            run_clear(&run);
        }
    }
    run_clear(&whole);
}

static void test_byte_by_byte(gconstpointer id)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    Run whole, run;

    decode_whole(&whole, stream);
    run_init(&run, NULL);
    for (gsize i = 0; i < n && run.status == MIG_STATUS_MORE; i++) {
        feed_poisoned(&run, data + i, 1);
    }
    finish(&run);
    assert_same_run(&run, &whole, stream, id);
    run_clear(&run);
    run_clear(&whole);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    GPtrArray *ids = mig_test_trace_ids("raw");
    for (guint i = 0; i < ids->len; i++) {
        const char *id = ids->pdata[i];
        g_autofree char *recode = g_strdup_printf("/stream/recode/%s", id);
        g_autofree char *cuts = g_strdup_printf("/stream/cuts/%s", id);
        g_autofree char *bytes = g_strdup_printf("/stream/byte-by-byte/%s", id);
        g_test_add_data_func(recode, id, test_recode);
        g_test_add_data_func(cuts, id, test_cuts);
        g_test_add_data_func(bytes, id, test_byte_by_byte);
    }
    return g_test_run();
}
