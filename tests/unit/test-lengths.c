/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every length and count field of every structure, set to nothing, one less, one more and its
 * maximum: always a diagnosis with a place in the stream, never a big allocation.
 *
 * A few fields can be wrong without any structure noticing; they are marked, with the reason, and
 * must then decode to an end. What a wrong length shifts may by chance still be a stream: fields of
 * opaque chunks are marked so too, and at least one of their four values must be diagnosed.
 */
#include <glib.h>
#include <string.h>
#include <sys/resource.h>

#include "stream/bytes.h"
#include "stream/encoder.h"
#include "tests/generator/generator.h"
#include "tests/unit/traces.h"

typedef struct Field {
    MigRecordType type;
    const char *name;
    guint width; /* bytes */
    /* Where in the record the field begins; -1: this record has none. */
    gssize (*at)(const MigRecord *r);
    const char *may_pass; /* why a wrong value can go unnoticed */
} Field;

#define AT(function, expression)               \
    static gssize function(const MigRecord *r) \
    {                                          \
        return expression;                     \
    }

AT(at_0, 0)
AT(at_1, 1)
AT(at_2, 2)
AT(at_3, 3)
AT(at_12, 12)
AT(at_16, 16)
AT(at_20, r->multifd.normal_pages ? 20 : -1)
AT(at_32, 32)
AT(at_272, 272)
AT(capability_count, 2 + 26 + 4)
AT(first_capability, r->capabilities.count ? 2 + 26 + 4 + 4 : -1)
AT(idstr_length, r->section.kind == MIG_ITEM_START || r->section.kind == MIG_ITEM_FULL ? 5 : -1)
AT(package_length, r->command.number == MIG_CMD_PACKAGED ? 5 : -1)
AT(discard_name, r->command.number == MIG_CMD_POSTCOPY_RAM_DISCARD ? 6 : -1)
AT(bitmap_name, r->command.number == MIG_CMD_RECV_BITMAP ? 5 : -1)
AT(used_length, 1 + (gssize)r->block.name.len)
AT(page_name, r->ram.cont ? -1 : 8)
AT(before_payload_2, (gssize)r->wire - 2)
AT(before_payload_4, (gssize)r->wire - 4)
AT(disk_name, r->disk.flags &MIG_BLOCK_DEVICE ? 8 : -1)
AT(dirty_node, r->bitmap.flags &MIG_BITMAP_DEVICE_NAME ? 1 : -1)
AT(dirty_size, r->payload ? (gssize)r->wire - 8 : -1)
AT(iterable_count, r->iterable.has_count ? 8 : -1)
AT(htab_valid, r->iterable.kind == MIG_ITERABLE_HTAB_CHUNK ? 4 : -1)
AT(request_name, r->rp.type == MIG_RP_REQ_PAGES_ID ? 16 : -1)
AT(reply_name, r->rp.type == MIG_RP_RECV_BITMAP ? 4 : -1)
AT(reply_size, r->rp.type == MIG_RP_RECV_BITMAP ? (gssize)r->wire - 8 : -1)

static const char by_chance[] = "what a wrong length shifts can be a stream by chance";

static const Field fields[] = {
    { MIG_REC_CONFIG, "machine name length", 4, at_1 },
    { MIG_REC_CONFIG_CAPABILITIES, "capability count", 4, capability_count },
    { MIG_REC_CONFIG_CAPABILITIES, "capability name length", 1, first_capability, by_chance },
    { MIG_REC_SECTION, "idstr length", 1, idstr_length,
      "another name is a device: a rule finds it" },
    { MIG_REC_COMMAND, "command length", 2, at_3 },
    { MIG_REC_COMMAND, "package length", 4, package_length, by_chance },
    { MIG_REC_COMMAND, "discard name length", 1, discard_name },
    { MIG_REC_COMMAND, "recv-bitmap name length", 1, bitmap_name },
    { MIG_REC_RAM_MEM_SIZE, "total", 8, at_0 },
    { MIG_REC_RAM_BLOCK, "block name length", 1, at_0 },
    { MIG_REC_RAM_BLOCK, "used length", 8, used_length },
    { MIG_REC_RAM_ZERO, "block name length", 1, page_name },
    { MIG_REC_RAM_PAGE, "block name length", 1, page_name },
    { MIG_REC_RAM_XBZRLE, "delta length", 2, before_payload_2, by_chance },
    { MIG_REC_RAM_COMPRESS, "compressed length", 4, before_payload_4, by_chance },
    { MIG_REC_BLOCK, "device name length", 1, disk_name, by_chance },
    { MIG_REC_DIRTY_BITMAP, "node name length", 1, dirty_node, by_chance },
    { MIG_REC_DIRTY_BITMAP, "bitmap size", 8, dirty_size, by_chance },
    { MIG_REC_ITERABLE, "data size", 8, iterable_count, by_chance },
    { MIG_REC_ITERABLE, "valid entries", 2, htab_valid, by_chance },
    { MIG_REC_VMDESC, "text length", 4, at_1, "QEMU takes any; what is left over is trailing" },
    { MIG_REC_RP, "message length", 2, at_2 },
    { MIG_REC_RP, "requested block's name length", 1, request_name },
    { MIG_REC_RP, "bitmap's block name length", 1, reply_name },
    { MIG_REC_RP, "bitmap size", 8, reply_size, by_chance },
    { MIG_REC_MULTIFD_PACKET, "pages allocated", 4, at_12, "any number from pages to 128" },
    { MIG_REC_MULTIFD_PACKET, "normal pages", 4, at_16, by_chance },
    { MIG_REC_MULTIFD_PACKET, "payload size", 4, at_20, "receivers go by the page count" },
    { MIG_REC_MULTIFD_PACKET, "zero pages", 4, at_32, "any number up to those allocated" },
    { MIG_REC_MULTIFD_DEVICE, "device state size", 4, at_272, by_chance },
};

typedef struct Sample {
    MigChannel channel;
    GByteArray *bytes;
} Sample;

static guint64 load(const guint8 *p, guint width)
{
    guint64 v = 0;
    for (guint i = 0; i < width; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static void store(guint8 *p, guint width, guint64 v)
{
    for (guint i = width; i-- > 0; v >>= 8) {
        p[i] = (guint8)v;
    }
}

/* *|trailing|: bytes behind an end that came too early. */
static MigStatus run(const Sample *s, MigDiagnosis *why, guint64 *trailing)
{
    MigDecoderOptions options = { .channel = s->channel };
    MigDecoder *d = mig_decoder_new(&options);
    MigStatus status;
    MigRecord r;

    mig_decoder_feed(d, s->bytes->data, s->bytes->len);
    while ((status = mig_decoder_next(d, &r)) <= MIG_STATUS_PAYLOAD) {
    }
    if (status == MIG_STATUS_MORE) {
        mig_decoder_feed_eof(d);
        while ((status = mig_decoder_next(d, &r)) <= MIG_STATUS_PAYLOAD) {
        }
    }
    *why = *mig_decoder_diagnosis(d);
    *trailing = mig_decoder_trailing(d);
    mig_decoder_free(d);
    return status;
}

static guint values(guint64 v, guint width, guint64 *out)
{
    guint64 most = width == 8 ? G_MAXUINT64 : (1ull << (8 * width)) - 1;
    guint64 all[] = { 0, v - 1, v + 1, most };
    guint n = 0;

    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        if ((all[i] & most) != v) {
            out[n++] = all[i] & most;
        }
    }
    return n;
}

/* Sets the field at |at| to each value; returns how many were diagnosed. */
static guint try_values(Sample *s, const Field *f, gsize at)
{
    guint64 old = load(s->bytes->data + at, f->width), tried[4];
    guint n = values(old, f->width, tried), diagnosed = 0;

    for (guint i = 0; i < n; i++) {
        MigDiagnosis why;
        guint64 trailing;
        store(s->bytes->data + at, f->width, tried[i]);
        MigStatus status = run(s, &why, &trailing);
        if (status == MIG_STATUS_BAD) {
            g_assert_cmpuint(why.offset, <=, s->bytes->len);
            g_assert_cmpstr(why.path, !=, "");
            g_assert_cmpstr(why.expected, !=, "");
            diagnosed++;
        } else if (trailing > 0) {
            diagnosed++;
        } else if (!f->may_pass) {
            g_test_message("%s %s at %zu: %" G_GUINT64_FORMAT " instead of %" G_GUINT64_FORMAT
                           " went unnoticed",
                           mig_record_name(f->type), f->name, at, tried[i], old);
            g_test_fail();
        }
    }
    store(s->bytes->data + at, f->width, old);
    return diagnosed;
}

typedef struct Tally {
    guint tried, diagnosed;
} Tally;

/* Tries the field in the first records of its type that the sample has. */
static void try_field(Sample *s, const Field *f, Tally *tally)
{
    MigDecoderOptions options = { .channel = s->channel };
    MigDecoder *d = mig_decoder_new(&options);
    GArray *places = g_array_new(FALSE, FALSE, sizeof(gsize));
    MigRecord r;

    mig_decoder_feed(d, s->bytes->data, s->bytes->len);
    while (mig_decoder_next(d, &r) <= MIG_STATUS_PAYLOAD && places->len < 3) {
        gssize at = r.type == f->type ? f->at(&r) : -1;
        if (at >= 0) {
            gsize place = r.offset + (gsize)at;
            g_array_append_val(places, place);
        }
    }
    mig_decoder_free(d);
    for (guint i = 0; i < places->len; i++) {
        tally->tried++;
        tally->diagnosed += try_values(s, f, g_array_index(places, gsize, i));
    }
    g_array_free(places, TRUE);
}

static Sample *sample(MigChannel channel, const guint8 *data, gsize n)
{
    Sample *s = g_new0(Sample, 1);
    s->channel = channel;
    s->bytes = g_byte_array_new();
    g_byte_array_append(s->bytes, data, (guint)n);
    return s;
}

static void sample_free(gpointer data)
{
    Sample *s = data;
    g_byte_array_unref(s->bytes);
    g_free(s);
}

static GPtrArray *samples(void)
{
    static const char *const ids[] = { "none-idle-7.2", "pc-idle-11.1", "xbzrle-7.2",
                                       "compress-7.2", "ignore-shared-10.0" };
    GPtrArray *all = g_ptr_array_new_with_free_func(sample_free);

    for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autoptr(GBytes) bytes = mig_test_trace_load(ids[i]);
        gsize n;
        const guint8 *data = g_bytes_get_data(bytes, &n);
        g_ptr_array_add(all, sample(MIG_CHANNEL_MAIN, data, n));
    }
    for (guint64 seed = 0; seed < 60; seed++) {
        MigGenerated *g = mig_generate_other(seed);
        g_ptr_array_add(all, sample(g->channel, g->stream->data, g->length));
        mig_generated_free(g);
    }
    return all;
}

static void test_field(gconstpointer data)
{
    const Field *f = data;
    g_autoptr(GPtrArray) all = samples();
    Tally tally = { 0 };

    for (guint i = 0; i < all->len; i++) {
        try_field(all->pdata[i], f, &tally);
    }
    if (tally.tried == 0) {
        g_test_skip("no sample has this field");
        return;
    }
    g_assert_cmpuint(tally.diagnosed, >, 0);
}

static void test_memory(void)
{
    struct rusage usage;
#ifdef __SANITIZE_ADDRESS__
    g_test_skip("the sanitizer's own memory is in the way");
    return;
#endif
    getrusage(RUSAGE_SELF, &usage);
    g_assert_cmpint(usage.ru_maxrss, <, 64 << 10); /* KiB */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        g_autofree char *name = g_strdelimit(g_strdup(fields[i].name), " '", '-');
        g_autofree char *path =
            g_strdup_printf("/lengths/%s/%s", mig_record_name(fields[i].type), name);
        g_test_add_data_func(path, &fields[i], test_field);
    }
    g_test_add_func("/lengths/peak-memory", test_memory);
    return g_test_run();
}
