/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The law of the stream library: encode(decode(x)) == x for every recorded stream, from decoded
 * fields, however the bytes are cut into feeds: anywhere, and byte by byte (but for the middle of
 * payloads, where one place is like the other).
 */
#include <glib.h>
#include <string.h>

#include "stream/decoder.h"
#include "stream/encoder.h"
#include "stream/limits.h"
#include "stream/vmdesc.h"
#include "tests/unit/counts.h"
#include "tests/unit/traces.h"

#define EDGE 2u /* bytes of a payload that come one by one, at each end */

typedef struct Run {
    MigDecoder *decoder;
    MigVmdesc *vmdesc;   /* found by looking ahead, for streams without footers */
    GByteArray *out;     /* the stream, encoded again */
    guint64 records;     /* digest of what was decoded */
    GByteArray *payload; /* of the record at hand */
    MigRecord at_hand;
    gsize inside, end; /* of that payload, in the stream's bytes: [inside, end) but for its edges */
    guint64 count;
    MigStatus status;
} Run;

/* The VMDESCRIPTION that ends the stream, as a reader that can seek finds it. */
static MigVmdesc *look_ahead(const guint8 *data, gsize n)
{
    for (gsize at = n > MIG_LIMIT_VMDESC ? n - MIG_LIMIT_VMDESC : 0; at + 6 < n; at++) {
        if (data[at] == MIG_ITEM_VMDESCRIPTION && data[at + 5] == '{' &&
            GUINT32_FROM_BE(*(const guint32 *)memcpy(&(guint32){ 0 }, data + at + 1, 4)) ==
                n - at - 5) {
            return mig_vmdesc_parse((const char *)data + at + 5, n - at - 5, NULL);
        }
    }
    return NULL;
}

static uint64_t body_size(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal)
{
    Run *run = opaque;
    const MigVmDevice *device =
        run->vmdesc ? mig_vmdesc_find(run->vmdesc, idstr.text, instance) : NULL;
    return device ? mig_vmdesc_device_size(device) : MIG_BODY_SIZE_UNKNOWN;
}

/* Where there are footers, they alone must do. */
static void run_init(Run *run, const guint8 *data, gsize n, gsize start)
{
    gboolean footers = n > 8 && data[8] == MIG_ITEM_CONFIGURATION;
    MigDecoderOptions options = { .start = start, .body_size = body_size, .opaque = run };

    *run = (Run){ .decoder = mig_decoder_new(&options),
                  .vmdesc = footers ? NULL : look_ahead(data, n),
                  .out = g_byte_array_new(),
                  .payload = g_byte_array_new(),
                  .status = MIG_STATUS_MORE };
}

static void run_clear(Run *run)
{
    mig_decoder_free(run->decoder);
    mig_vmdesc_free(run->vmdesc);
    g_byte_array_unref(run->out);
    g_byte_array_unref(run->payload);
}

static void encode(Run *run, size_t (*how)(const MigRecord *, uint8_t *, size_t))
{
    size_t n = how(&run->at_hand, NULL, 0);
    guint at = run->out->len;
    g_byte_array_set_size(run->out, (guint)(at + n));
    g_assert_cmpuint(how(&run->at_hand, run->out->data + at, n), ==, n);
}

/* FNV-1a: quick, and good enough to tell two runs apart. */
static void note(Run *run, const void *data, gsize n)
{
    const guint8 *p = data;
    for (gsize i = 0; i < n; i++) {
        run->records = (run->records ^ p[i]) * 0x100000001b3ull;
    }
}

static void on_record(Run *run, const MigRecord *r)
{
    char path[256];
    uint64_t place[] = { r->type, r->offset, r->wire, r->payload, r->depth };

    mig_decoder_path(run->decoder, path, sizeof(path));
    note(run, path, strlen(path));
    note(run, place, sizeof(place));
    run->at_hand = *r;
    run->count++;
    encode(run, mig_record_encode);
    if (r->payload) {
        run->end = r->offset + r->wire - mig_record_encode_tail(r, NULL, 0) + r->payload;
        run->inside = run->end - r->payload + EDGE;
        run->end -= MIN(run->end, EDGE);
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
            note(run, run->payload->data, run->payload->len);
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

static void decode_whole(Run *run, GBytes *stream, gsize start)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    run_init(run, data, n, start);
    feed_poisoned(run, data, n);
    finish(run);
}

static void test_recode(gconstpointer data)
{
    gsize start = mig_test_trace_offset(data);
    g_autoptr(GBytes) stream = mig_test_trace_load(data);
    Run run;

    decode_whole(&run, stream, start);
    assert_ended(&run, data);
    assert_same(&run, stream);
    run_clear(&run);
}

static void decode_cut(Run *run, GBytes *stream, gsize start, gsize cut)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    run_init(run, data, n, start);
    feed_poisoned(run, data, cut);
    feed_poisoned(run, data + cut, n - cut);
    finish(run);
}

static void assert_same_run(Run *run, Run *whole, GBytes *stream, const char *id)
{
    assert_ended(run, id);
    assert_same(run, stream);
    g_assert_cmpuint(run->count, ==, whole->count);
    g_assert_cmphex(run->records, ==, whole->records);
}

/*
 * Every cut of a short stream; of a longer one as many as MIGBENCH_CUT_BYTES of decoding allow,
 * spread by an odd step. That every place is tried is the business of the byte-by-byte tests.
 */
static gsize cut_step(gsize n)
{
    gsize cuts = mig_test_count("MIGBENCH_CUT_BYTES", 4 << 20) / n;
    return n <= cuts ? 1 : (n / MAX(cuts, 16)) | 1;
}

static void test_cuts(gconstpointer id)
{
    gsize start = mig_test_trace_offset(id);
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    gsize n = g_bytes_get_size(stream);
    gsize step = cut_step(n);
    Run whole, run;

    decode_whole(&whole, stream, start);
    assert_ended(&whole, id);
    for (gsize cut = 1; cut < n; cut += step) {
        decode_cut(&run, stream, start, cut);
        assert_same_run(&run, &whole, stream, id);
        run_clear(&run);
    }
    run_clear(&whole);
}

/* The bytes that are fed at once: the middle of a payload, or one. */
static gsize next_step(const Run *run, gsize at)
{
    return at >= run->inside && at < run->end ? run->end - at : 1;
}

static void test_byte_by_byte(gconstpointer id)
{
    gsize start = mig_test_trace_offset(id);
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    Run whole, run;

    decode_whole(&whole, stream, start);
    run_init(&run, data, n, start);
    for (gsize i = 0, step; i < n && run.status == MIG_STATUS_MORE; i += step) {
        step = MIN(next_step(&run, start + i), n - i);
        feed_poisoned(&run, data + i, step);
    }
    finish(&run);
    assert_same_run(&run, &whole, stream, id);
    run_clear(&run);
    run_clear(&whole);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("raw");
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
