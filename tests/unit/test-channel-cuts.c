/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every channel of every recording, cut into two feeds at many places: the records are those of one
 * feed. Channels are decoded one after the other, the main one first, because the others need what
 * it tells. Then the same byte by byte.
 */
#include <glib.h>
#include <string.h>

#include "sim/world/capture.h"
#include "tests/unit/counts.h"
#include "tests/unit/traces.h"

typedef struct Bytes {
    char *name;
    MigChannel kind;
    GByteArray *data;
} Bytes;

static void bytes_free(gpointer data)
{
    Bytes *b = data;
    g_free(b->name);
    g_byte_array_unref(b->data);
    g_free(b);
}

static GPtrArray *channels_of(const char *id)
{
    g_autofree char *path = mig_test_trace_path(id, ".pcapng.zst");
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCapture) capture = mig_capture_open(path, &error);
    GPtrArray *all = g_ptr_array_new_with_free_func(bytes_free);
    MigChunk chunk;

    g_assert_no_error(error);
    while (mig_capture_chunk(capture, &chunk, &error)) {
        while (all->len < mig_capture_channel_count(capture)) {
            const MigCaptureChannel *about = mig_capture_channel(capture, all->len);
            Bytes *b = g_new0(Bytes, 1);
            *b = (Bytes){ g_strdup(about->name), about->kind, g_byte_array_new() };
            g_ptr_array_add(all, b);
        }
        Bytes *b = all->pdata[chunk.channel];
        g_byte_array_append(b->data, chunk.data, (guint)chunk.n);
    }
    g_assert_no_error(error);
    return all;
}

/* FNV-1a over everything that a record says of its place, and its payload. */
typedef struct Digest {
    guint64 hash, records;
    MigStatus status;
} Digest;

static void note(Digest *g, const void *data, gsize n)
{
    const guint8 *p = data;
    for (gsize i = 0; i < n; i++) {
        g->hash = (g->hash ^ p[i]) * 0x100000001b3ull;
    }
}

static void drain(MigDecoder *d, Digest *g, GByteArray *payload)
{
    MigRecord r;
    char path[256];

    while ((g->status = mig_decoder_next(d, &r)) <= MIG_STATUS_PAYLOAD) {
        if (g->status == MIG_STATUS_PAYLOAD) {
            note(g, payload->data, payload->len);
            continue;
        }
        uint64_t place[] = { r.type, r.offset, r.wire, r.payload, r.depth };
        mig_decoder_path(d, path, sizeof(path));
        note(g, path, strlen(path));
        note(g, place, sizeof(place));
        g->records++;
        if (r.payload) {
            g_byte_array_set_size(payload, (guint)r.payload);
            mig_decoder_payload_into(d, payload->data);
        }
    }
}

/*
 * Decodes |b|: |first| bytes, then |rest| bytes at a time. The decoder is left to the caller.
 */
static MigDecoder *decode_in(const Bytes *b, const MigDecoder *main, gsize first, gsize rest,
                             Digest *g)
{
    MigDecoder *d = main ? mig_decoder_new_child(main, b->kind) : mig_decoder_new(NULL);
    g_autoptr(GByteArray) payload = g_byte_array_new();
    gsize n = first;

    *g = (Digest){ .status = MIG_STATUS_MORE };
    for (gsize at = 0; at < b->data->len && g->status == MIG_STATUS_MORE; at += n, n = rest) {
        n = MIN(n, b->data->len - at);
        mig_decoder_feed(d, b->data->data + at, n);
        drain(d, g, payload);
    }
    mig_decoder_feed_eof(d);
    drain(d, g, payload);
    return d;
}

/* In two feeds; |cut| == length: in one. */
static MigDecoder *decode(const Bytes *b, const MigDecoder *main, gsize cut, Digest *g)
{
    return decode_in(b, main, cut, G_MAXSIZE, g);
}

static gsize step_for(gsize n)
{
    gsize cuts = mig_test_count("MIGBENCH_CUT_BYTES", 4 << 20) / 4 / MAX(n, 1);
    return n <= cuts ? 1 : (n / MAX(cuts, 8)) | 1;
}

/* After a recovery the numbers of sections go on, so each run needs a main channel of its own. */
static void try_recovery_cuts(const Bytes *b, const Bytes *before)
{
    Digest whole = { 0 }, cut, unused;

    for (gsize at = b->data->len; at > 0; at = at * 3 / 4) {
        MigDecoder *main = decode(before, NULL, before->data->len, &unused);
        mig_decoder_free(decode(b, main, at, &cut));
        mig_decoder_free(main);
        whole = at == b->data->len ? cut : whole;
        g_assert_cmphex(cut.hash, ==, whole.hash);
    }
}

static void try_cuts(const Bytes *b, const MigDecoder *main)
{
    Digest whole, cut;

    mig_decoder_free(decode(b, main, b->data->len, &whole));
    g_assert_cmpuint(whole.records, >, 0);
    mig_decoder_free(decode_in(b, main, 1, 1, &cut));
    g_assert_cmphex(cut.hash, ==, whole.hash);
    for (gsize at = 1; at < b->data->len; at += step_for(b->data->len)) {
        mig_decoder_free(decode(b, main, at, &cut));
        if (cut.hash != whole.hash) {
            g_test_message("%s cut at %zu", b->name, at);
        }
        g_assert_cmpuint(cut.records, ==, whole.records);
        g_assert_cmphex(cut.hash, ==, whole.hash);
        g_assert_cmpint(cut.status, ==, whole.status);
    }
}

static void test_cuts(gconstpointer id)
{
    g_autoptr(GPtrArray) all = channels_of(id);
    MigDecoder *main = NULL;
    const Bytes *first = NULL;
    Digest unused;

    for (guint i = 0; i < all->len && !main; i++) {
        Bytes *b = all->pdata[i];
        if (b->kind == MIG_CHANNEL_MAIN) {
            try_cuts(b, NULL);
            main = decode(b, NULL, b->data->len, &unused);
            first = b;
        }
    }
    g_assert_nonnull(main);
    for (guint i = 0; i < all->len; i++) {
        Bytes *b = all->pdata[i];
        if (b->kind == MIG_CHANNEL_RECOVERY) {
            try_recovery_cuts(b, first);
        } else if (b->kind != MIG_CHANNEL_MAIN && b->data->len > 0) {
            try_cuts(b, main);
        }
    }
    mig_decoder_free(main);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("pcapng");
    for (guint i = 0; i < ids->len; i++) {
        g_autofree char *path = g_strdup_printf("/channel-cuts/%s", (char *)ids->pdata[i]);
        g_test_add_data_func(path, ids->pdata[i], test_cuts);
    }
    return g_test_run();
}
