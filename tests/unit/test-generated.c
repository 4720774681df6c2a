/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Legal but unusual streams: each decodes to its end, encodes back to itself, and (main channel)
 * leaves the memory that its generator said. MIGBENCH_STREAMS: how many (default 4000).
 */
#include <glib.h>
#include <string.h>

#include "stream/encoder.h"
#include "stream/xbzrle.h"
#include "tests/generator/generator.h"
#include "tests/unit/counts.h"

typedef struct Check {
    MigDecoder *decoder;
    GByteArray *encoded;
    guint8 *memory;
    guint8 payload[MIG_BLOCK_CHUNK_BYTES];
    MigRecord at_hand;
} Check;

static void encode(Check *c, size_t (*how)(const MigRecord *, uint8_t *, size_t))
{
    uint8_t bytes[8192];
    size_t n = how(&c->at_hand, bytes, sizeof(bytes));
    g_assert_cmpuint(n, <=, sizeof(bytes));
    g_byte_array_append(c->encoded, bytes, (guint)n);
}

static void apply(Check *c)
{
    const MigRecord *r = &c->at_hand;
    gboolean ram =
        r->type == MIG_REC_RAM_ZERO || r->type == MIG_REC_RAM_PAGE || r->type == MIG_REC_RAM_XBZRLE;

    if (!c->memory || !ram) {
        return;
    }
    guint8 *page = c->memory + r->ram.offset;
    if (r->type == MIG_REC_RAM_ZERO) {
        memset(page, r->ram.fill, MIG_GENERATED_PAGE);
    } else if (r->type == MIG_REC_RAM_PAGE) {
        memcpy(page, c->payload, MIG_GENERATED_PAGE);
    } else {
        g_assert_cmpint(mig_xbzrle_decode(c->payload, r->payload, page, MIG_GENERATED_PAGE, NULL),
                        ==, MIG_XBZRLE_OK);
    }
}

static void complete(Check *c)
{
    g_byte_array_append(c->encoded, c->payload, (guint)c->at_hand.payload);
    encode(c, mig_record_encode_tail);
    apply(c);
}

static MigStatus drain(Check *c)
{
    MigStatus s;
    MigRecord r;

    while ((s = mig_decoder_next(c->decoder, &r)) <= MIG_STATUS_PAYLOAD) {
        if (s == MIG_STATUS_PAYLOAD) {
            complete(c);
            continue;
        }
        c->at_hand = r;
        encode(c, mig_record_encode);
        if (r.payload) {
            g_assert_cmpuint(r.payload, <=, sizeof(c->payload));
            mig_decoder_payload_into(c->decoder, c->payload);
        } else {
            complete(c);
        }
    }
    return s;
}

/* Feeds in random pieces, so that the splits are tried as well. */
static MigStatus feed(Check *c, const MigGenerated *g, guint64 seed)
{
    MigPrng prng = mig_prng(seed, "splits", 0);
    MigStatus s = MIG_STATUS_MORE;
    gsize most = 1 + mig_prng_below(&prng, 1u << (4 + mig_prng_below(&prng, 16)));

    for (gsize at = 0; at < g->stream->len && s == MIG_STATUS_MORE;) {
        gsize piece = 1 + mig_prng_below(&prng, most);
        gsize n = MIN(g->stream->len - at, piece);
        mig_decoder_feed(c->decoder, g->stream->data + at, n);
        s = drain(c);
        at += n;
    }
    if (s == MIG_STATUS_MORE) {
        mig_decoder_feed_eof(c->decoder);
        s = drain(c);
    }
    return s;
}

static void check_one(const MigGenerated *g, guint64 seed)
{
    MigDecoderOptions options = { .channel = g->channel };
    g_autofree Check *c = g_new0(Check, 1);

    c->decoder = mig_decoder_new(&options);
    c->encoded = g_byte_array_new();
    c->memory = g->memory ? g_malloc0(MIG_GENERATED_MEMORY) : NULL;
    MigStatus s = feed(c, g, seed);
    if (s == MIG_STATUS_BAD) {
        const MigDiagnosis *d = mig_decoder_diagnosis(c->decoder);
        g_test_message("seed %" G_GUINT64_FORMAT " (%s): offset %" G_GUINT64_FORMAT
                       " %s: expected %s, found %s",
                       seed, g->recipe->str, d->offset, d->path, d->expected, d->found);
    }
    g_assert_cmpint(s, ==, MIG_STATUS_END);
    g_assert_cmpmem(c->encoded->data, c->encoded->len, g->stream->data, g->length);
    if (g->memory) {
        g_assert_cmpint(memcmp(c->memory, g->memory, MIG_GENERATED_MEMORY), ==, 0);
    }
    g_byte_array_unref(c->encoded);
    g_free(c->memory);
    mig_decoder_free(c->decoder);
}

static guint64 streams(void)
{
    return mig_test_count("MIGBENCH_STREAMS", 4000);
}

static void test_main_channel(gconstpointer era)
{
    for (guint64 seed = 0; seed < streams() / 8; seed++) {
        MigGenerated *g = mig_generate_main(seed, era);
        check_one(g, seed);
        mig_generated_free(g);
    }
}

static void test_other_channels(void)
{
    for (guint64 seed = 0; seed < streams() / 2; seed++) {
        MigGenerated *g = mig_generate_other(seed);
        check_one(g, seed);
        mig_generated_free(g);
    }
}

static void test_pure(void)
{
    MigGenerated *a = mig_generate_main(7, &mig_generator_eras[0]);
    MigGenerated *b = mig_generate_main(7, &mig_generator_eras[0]);
    MigGenerated *other = mig_generate_main(8, &mig_generator_eras[0]);

    g_assert_cmpmem(a->stream->data, a->stream->len, b->stream->data, b->stream->len);
    g_assert_false(a->stream->len == other->stream->len &&
                   memcmp(a->stream->data, other->stream->data, a->stream->len) == 0);
    mig_generated_free(a);
    mig_generated_free(b);
    mig_generated_free(other);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const MigGeneratorEra *era = mig_generator_eras; era->version; era++) {
        g_autofree char *path = g_strdup_printf("/generated/main-%s", era->version);
        g_test_add_data_func(path, era, test_main_channel);
    }
    g_test_add_func("/generated/other-channels", test_other_channels);
    g_test_add_func("/generated/pure", test_pure);
    return g_test_run();
}
