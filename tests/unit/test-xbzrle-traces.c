/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's own deltas: each one in the recorded streams applies to what its page held before, and our
 * encoder, given both pages, makes the very same bytes.
 */
#include <glib.h>
#include <string.h>

#include "stream/decoder.h"
#include "stream/xbzrle.h"
#include "tests/unit/traces.h"

#define PAGE 4096u

typedef struct Replay {
    MigDecoder *decoder;
    GHashTable *pages; /* "block:offset" -> its bytes; a page that is not there is zero */
    MigRecord at_hand;
    guint8 payload[PAGE + 64];
    guint deltas;
} Replay;

static guint8 *page_of(Replay *replay, const MigRecordRam *ram)
{
    g_autofree char *key = g_strdup_printf("%u:%" G_GINT64_MODIFIER "x", ram->block, ram->offset);
    guint8 *page = g_hash_table_lookup(replay->pages, key);

    if (!page) {
        page = g_malloc0(PAGE);
        g_hash_table_insert(replay->pages, g_steal_pointer(&key), page);
    }
    return page;
}

static void apply_delta(Replay *replay, guint8 *page, gsize n)
{
    guint8 before[PAGE], again[PAGE];
    MigXbzrleInfo info;

    memcpy(before, page, PAGE);
    g_assert_cmpint(mig_xbzrle_decode(replay->payload, n, page, PAGE, &info), ==, MIG_XBZRLE_OK);
    g_assert_cmpuint(info.notes, ==, 0);
    for (const MigXbzrleImpl *impl = mig_xbzrle_impls; impl->name; impl++) {
        if (impl->supported()) {
            g_assert_cmpint(impl->encode(before, page, PAGE, again, PAGE), ==, n);
            g_assert_cmpmem(again, n, replay->payload, n);
        }
    }
    replay->deltas++;
}

static void on_record(Replay *replay, const MigRecord *r)
{
    replay->at_hand = *r;
    if (r->type == MIG_REC_RAM_ZERO) {
        memset(page_of(replay, &r->ram), r->ram.fill, PAGE);
    } else if (r->type == MIG_REC_RAM_PAGE || r->type == MIG_REC_RAM_XBZRLE) {
        g_assert_cmpuint(r->payload, <=, PAGE);
        mig_decoder_payload_into(replay->decoder, replay->payload);
    }
}

static void on_payload(Replay *replay)
{
    const MigRecord *r = &replay->at_hand;

    if (r->type == MIG_REC_RAM_PAGE) {
        memcpy(page_of(replay, &r->ram), replay->payload, PAGE);
    } else if (r->type == MIG_REC_RAM_XBZRLE) {
        apply_delta(replay, page_of(replay, &r->ram), r->payload);
    }
}

static void test_trace(gconstpointer id)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    gsize n;
    const guint8 *data = g_bytes_get_data(stream, &n);
    Replay replay = { .decoder = mig_decoder_new(NULL),
                      .pages = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free) };
    MigStatus status;
    MigRecord r;

    mig_decoder_feed(replay.decoder, data, n);
    mig_decoder_feed_eof(replay.decoder);
    while ((status = mig_decoder_next(replay.decoder, &r)) <= MIG_STATUS_PAYLOAD) {
        if (status == MIG_STATUS_RECORD) {
            on_record(&replay, &r);
        } else {
            on_payload(&replay);
        }
    }
    g_assert_cmpint(status, ==, MIG_STATUS_END);
    g_test_message("%u deltas", replay.deltas);
    g_assert_cmpuint(replay.deltas, >, 0);
    g_hash_table_unref(replay.pages);
    mig_decoder_free(replay.decoder);
}

int main(int argc, char **argv)
{
    g_autoptr(GPtrArray) ids = NULL;

    g_test_init(&argc, &argv, NULL);
    ids = mig_test_trace_ids("raw");
    for (unsigned i = 0; i < ids->len; i++) {
        if (g_str_has_prefix(ids->pdata[i], "xbzrle-")) {
            g_autofree char *path =
                g_strdup_printf("/stream/xbzrle/deltas-of/%s", (const char *)ids->pdata[i]);

            g_test_add_data_func(path, ids->pdata[i], test_trace);
        }
    }
    return g_test_run();
}
