/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of the other channels and of what a main channel can hold besides: return path, multifd,
 * a postcopy switchover, the iterables. Fields are drawn from what their sizes allow, within what
 * the structure demands; no loader need take them, only every decoder.
 */
#include <string.h>

#include "stream/encoder.h"
#include "tests/generator/generator.h"

typedef struct Draw {
    MigGenerated *out;
    MigPrng prng;
    guint8 *bytes; /* random ones, for payloads */
} Draw;

#define RANDOM_BYTES (1u << 20)

static guint64 any(Draw *g)
{
    return mig_prng_next(&g->prng) >> (mig_prng_next(&g->prng) & 63);
}

static guint64 below(Draw *g, guint64 n)
{
    return mig_prng_below(&g->prng, n);
}

static void put(Draw *g, MigRecord r)
{
    mig_generated_put(g->out, &r, g->bytes);
}

/* A name of 1 to 255 bytes, of any bytes. */
static MigStr any_name(Draw *g)
{
    return (MigStr){ (const char *)g->bytes + below(g, RANDOM_BYTES - 256),
                     1 + (guint32)below(g, 255) };
}

/* ---- return path ---- */

static void rp_message(Draw *g)
{
    static const guint16 lengths[] = { 0, 4, 4, 0, 12, 0, 4, 0 };
    MigRecordRp rp = { .type = (guint16)(1 + below(g, 7)) };
    guint64 payload = 0;

    rp.length = lengths[rp.type];
    if (rp.type == MIG_RP_REQ_PAGES || rp.type == MIG_RP_REQ_PAGES_ID) {
        rp.request.start = any(g);
        rp.request.length = (guint32)any(g);
    } else {
        rp.value = (guint32)any(g);
    }
    if (rp.type == MIG_RP_REQ_PAGES_ID) {
        rp.request.name = any_name(g);
        rp.length = (guint16)(13 + rp.request.name.len);
    }
    if (rp.type == MIG_RP_RECV_BITMAP) {
        rp.bitmap.name = any_name(g);
        rp.length = (guint16)(1 + rp.bitmap.name.len);
        rp.bitmap.size = payload = below(g, 100) * 8;
    }
    put(g, (MigRecord){ .type = MIG_REC_RP, .payload = payload, .rp = rp });
}

static void generate_return_path(Draw *g)
{
    for (guint64 i = below(g, 40); i > 0; i--) {
        rp_message(g);
    }
}

/* ---- multifd ---- */

static void multifd_packet(Draw *g)
{
    guint64 offsets[128];
    MigRecordMultifd m = {
        .magic = MIG_MULTIFD_MAGIC,
        .version = MIG_MULTIFD_VERSION,
        .flags = (guint32)below(g, 2) | (guint32)below(g, 2) * MIG_MULTIFD_FLAG_ZLIB |
                 (guint32)below(g, 4) * 0x8000,
        .pages_alloc = (guint32)below(g, 129),
        .next_packet_size = (guint32)below(g, 2000),
        .packet_num = any(g),
        .unused32 = (guint32)any(g),
        .unused64 = { any(g), any(g), any(g) },
        .page_count = 128,
        .offsets = offsets,
    };
    m.normal_pages = (guint32)below(g, MIN(m.pages_alloc, 6) + 1);
    m.zero_pages = (guint32)below(g, m.pages_alloc - m.normal_pages + 1);
    memcpy(m.name, g->bytes + below(g, 1000), sizeof(m.name));
    m.name[below(g, sizeof(m.name))] = '\0';
    for (guint i = 0; i < 128; i++) {
        offsets[i] = any(g);
    }
    guint64 payload =
        m.flags & MIG_MULTIFD_FLAG_COMPRESSION ? m.next_packet_size : m.normal_pages * 4096ull;
    put(g, (MigRecord){ .type = MIG_REC_MULTIFD_PACKET,
                        .payload = m.normal_pages ? payload : 0,
                        .multifd = m });
}

static void multifd_device(Draw *g)
{
    MigRecordMultifdDevice dev = { MIG_MULTIFD_MAGIC, MIG_MULTIFD_VERSION,
                                   MIG_MULTIFD_FLAG_DEVICE_STATE };
    memcpy(dev.idstr, g->bytes + below(g, 1000), sizeof(dev.idstr));
    dev.idstr[below(g, sizeof(dev.idstr))] = '\0';
    dev.instance = (guint32)any(g);
    dev.next_packet_size = 1 + (guint32)below(g, 5000);
    put(g, (MigRecord){ .type = MIG_REC_MULTIFD_DEVICE,
                        .payload = dev.next_packet_size,
                        .multifd_device = dev });
}

static void generate_multifd(Draw *g)
{
    MigRecordMultifdInit init = { MIG_MULTIFD_MAGIC, MIG_MULTIFD_VERSION };
    memcpy(init.uuid, g->bytes, sizeof(init.uuid));
    memcpy(init.unused, g->bytes + 16, sizeof(init.unused));
    init.id = (guint8)any(g);
    put(g, (MigRecord){ .type = MIG_REC_MULTIFD_INIT, .multifd_init = init });
    for (guint64 i = below(g, 8); i > 0; i--) {
        if (below(g, 6) == 0) {
            multifd_device(g);
        } else {
            multifd_packet(g);
        }
    }
}

/* ---- the main channel's frame ---- */

static void put_head(Draw *g)
{
    put(g, (MigRecord){ .type = MIG_REC_HEADER, .header = { MIG_MAGIC, MIG_VERSION } });
    put(g, (MigRecord){ .type = MIG_REC_CONFIG, .config = { mig_str("pc-i440fx-7.2") } });
}

static void put_section(Draw *g, MigItem kind, guint32 id, const char *idstr, guint32 version)
{
    put(g, (MigRecord){ .type = MIG_REC_SECTION,
                        .section = { kind, id, mig_str(idstr), (guint32)any(g), version } });
}

static void put_footer(Draw *g, guint32 id)
{
    put(g, (MigRecord){ .type = MIG_REC_FOOTER, .footer = { id } });
}

static void put_eos(Draw *g, guint32 id)
{
    put(g, (MigRecord){ .type = MIG_REC_RAM_EOS });
    put_footer(g, id);
}

static void put_end(Draw *g)
{
    put(g, (MigRecord){ .type = MIG_REC_END_OF_STREAM });
}

/* ---- postcopy ---- */

static void put_command(Draw *g, MigRecordCommand command)
{
    put(g, (MigRecord){ .type = MIG_REC_COMMAND, .command = command });
}

static void put_discard(Draw *g, MigStr block)
{
    MigRange ranges[40];
    guint32 n = 1 + (guint32)below(g, G_N_ELEMENTS(ranges));

    for (guint32 i = 0; i < n; i++) {
        ranges[i] = (MigRange){ any(g), any(g) };
    }
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_POSTCOPY_RAM_DISCARD,
                                       .length = (guint16)(3 + block.len + 16 * n),
                                       .discard = { 0, block, 0, n, ranges } });
}

static void put_ping(Draw *g, guint32 value)
{
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_PING, .length = 4, .ping = value });
}

static void put_package(Draw *g)
{
    GByteArray *outer = g->out->stream;

    g->out->stream = g_byte_array_new();
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_POSTCOPY_LISTEN });
    for (guint32 i = (guint32)below(g, 5); i > 0; i--) {
        put_section(g, MIG_ITEM_FULL, i, "timer", 2);
        put(g, (MigRecord){ .type = MIG_REC_BODY, .payload = 24 });
        put_footer(g, i);
    }
    put_ping(g, MIG_PING_PACKAGED);
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_POSTCOPY_RUN });
    GByteArray *blob = g->out->stream;
    g->out->stream = outer;
    put_command(g, (MigRecordCommand){
                       .number = MIG_CMD_PACKAGED, .length = 4, .package_length = blob->len });
    g_byte_array_append(outer, blob->data, blob->len);
    g_byte_array_unref(blob);
}

static void put_block(Draw *g, MigStr name, guint64 length, guint64 page_size)
{
    put(g, (MigRecord){ .type = MIG_REC_RAM_BLOCK,
                        .block = { .name = name,
                                   .used_length = length,
                                   .has_page_size = page_size != 0,
                                   .page_size = page_size } });
}

static void put_page(Draw *g, MigStr name, guint64 pages, gboolean cont)
{
    gboolean zero = below(g, 2);
    put(g, (MigRecord){ .type = zero ? MIG_REC_RAM_ZERO : MIG_REC_RAM_PAGE,
                        .payload = zero ? 0 : 4096,
                        .ram = { .offset = below(g, pages) * 4096, .cont = cont, .name = name } });
}

static void generate_postcopy(Draw *g)
{
    MigStr small = mig_str("pc.ram"), huge = mig_str("huge");
    guint64 sizes = 4096 | (guint64)below(g, 2) << 21;

    put_head(g);
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_OPEN_RETURN_PATH });
    put_ping(g, MIG_PING_SETUP);
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_POSTCOPY_ADVISE,
                                       .length = 16,
                                       .advise = { sizes, 4096 } });
    put_section(g, MIG_ITEM_START, 2, "ram", 4);
    put(g, (MigRecord){ .type = MIG_REC_RAM_MEM_SIZE, .ram = { .offset = 6u << 20 } });
    put_block(g, huge, 4u << 20, sizes > 4096 ? 1u << 21 : 0);
    put_block(g, small, 2u << 20, 0);
    put_eos(g, 2);
    for (guint64 i = 1 + below(g, 4); i > 0; i--) {
        put_discard(g, below(g, 2) ? small : huge);
    }
    put_ping(g, MIG_PING_DISCARD);
    put_package(g);
    put_ping(g, MIG_PING_LISTEN);
    put_section(g, MIG_ITEM_PART, 2, "ram", 4);
    for (guint64 i = 0, n = below(g, 10); i < n; i++) {
        put_page(g, small, 512, i > 0);
    }
    put_eos(g, 2);
    put_end(g);
}

/* ---- recovery ---- */

static void generate_recovery(Draw *g)
{
    MigStr name = any_name(g);
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_RECV_BITMAP,
                                       .length = (guint16)(1 + name.len),
                                       .bitmap_name = name });
    put_command(g, (MigRecordCommand){ .number = MIG_CMD_POSTCOPY_RESUME });
    put_section(g, MIG_ITEM_START, 7, "ram", 4);
    put_page(g, mig_str("pc.ram"), 100, FALSE);
    put_eos(g, 7);
    put_end(g);
}

/* ---- iterables ---- */

static void body_block(Draw *g)
{
    static const guint16 flags[] = { MIG_BLOCK_DEVICE | MIG_BLOCK_ZERO, MIG_BLOCK_PROGRESS,
                                     MIG_BLOCK_DEVICE };
    for (guint64 i = below(g, 6); i > 0; i--) {
        MigRecordBlock b = { .sector = any(g) >> 9, .flags = flags[below(g, 20) == 0 ? 2 : i % 2] };
        if (b.flags & MIG_BLOCK_DEVICE) {
            b.device = any_name(g);
        }
        put(g, (MigRecord){ .type = MIG_REC_BLOCK,
                            .payload = b.flags == MIG_BLOCK_DEVICE ? MIG_BLOCK_CHUNK_BYTES : 0,
                            .disk = b });
    }
    put(g, (MigRecord){ .type = MIG_REC_BLOCK, .disk = { .flags = MIG_BLOCK_EOS } });
}

static void body_dirty_bitmap(Draw *g)
{
    for (guint64 i = below(g, 6); i > 0; i--) {
        MigRecordDirtyBitmap b = { .flags = (guint8)(below(g, 128) & ~(guint64)MIG_BITMAP_EOS) };
        b.node = b.flags & MIG_BITMAP_DEVICE_NAME ? any_name(g) : (MigStr){ 0 };
        b.bitmap = b.flags & MIG_BITMAP_NAME ? any_name(g) : (MigStr){ 0 };
        b.granularity = (guint32)any(g);
        b.bitmap_flags = (guint8)any(g);
        b.first_sector = any(g);
        b.sectors = (guint32)any(g);
        b.size = (b.flags & MIG_BITMAP_BITS) && !(b.flags & MIG_BITMAP_ZEROES) ? below(g, 9000) : 0;
        put(g, (MigRecord){ .type = MIG_REC_DIRTY_BITMAP, .payload = b.size, .bitmap = b });
    }
    put(g, (MigRecord){ .type = MIG_REC_DIRTY_BITMAP, .bitmap = { .flags = MIG_BITMAP_EOS } });
}

static void put_iterable(Draw *g, MigIterableKind kind, guint64 word, gboolean counted,
                         guint64 payload)
{
    put(g, (MigRecord){ .type = MIG_REC_ITERABLE,
                        .payload = payload,
                        .iterable = {
                            .kind = kind, .word = word, .has_count = counted, .count = payload } });
}

static void body_vfio(Draw *g)
{
    for (guint64 i = below(g, 4); i > 0; i--) {
        put_iterable(g, MIG_ITERABLE_VFIO, 0xffffffffef100004ull, TRUE, below(g, 3000));
    }
    if (below(g, 2)) {
        put_iterable(g, MIG_ITERABLE_VFIO, 0xffffffffef100002ull, FALSE, below(g, 300));
    }
    put_iterable(g, MIG_ITERABLE_VFIO, 0xffffffffef100001ull, FALSE, 0);
}

static void body_s390(Draw *g)
{
    for (guint64 i = below(g, 5); i > 0; i--) {
        put_iterable(g, MIG_ITERABLE_STATTRIB, any(g) << 12 | 2, TRUE, below(g, 3000));
    }
    put_iterable(g, MIG_ITERABLE_STATTRIB, 8, FALSE, 0);
    put_iterable(g, MIG_ITERABLE_STATTRIB, 1, FALSE, 0);
}

static void body_htab(Draw *g)
{
    put_iterable(g, MIG_ITERABLE_HTAB_SIZE, 20, FALSE, 0);
}

static void put_htab_chunk(Draw *g, guint16 n_valid, guint16 n_invalid)
{
    put(g, (MigRecord){ .type = MIG_REC_ITERABLE,
                        .payload = n_valid * 16u,
                        .iterable = { .kind = MIG_ITERABLE_HTAB_CHUNK,
                                      .word = n_valid ? (guint32)any(g) : 0,
                                      .n_valid = n_valid,
                                      .n_invalid = n_invalid } });
}

/* The pieces of a hash table come behind its START. */
static void put_htab_part(Draw *g, guint32 id)
{
    put(g, (MigRecord){ .type = MIG_REC_SECTION, .section = { MIG_ITEM_PART, id } });
    put_iterable(g, MIG_ITERABLE_HTAB_MARK, 0, FALSE, 0);
    for (guint64 i = below(g, 4); i > 0; i--) {
        put_htab_chunk(g, (guint16)(1 + below(g, 30)), (guint16)below(g, 30));
    }
    put_htab_chunk(g, 0, 0);
    put_footer(g, id);
}

static void generate_iterable(Draw *g)
{
    static const struct {
        const char *idstr;
        void (*body)(Draw *);
    } kinds[] = {
        { "block", body_block },
        { "dirty-bitmap", body_dirty_bitmap },
        { "0000:00:05.0/vfio", body_vfio },
        { "s390-storage_attributes", body_s390 },
        { "spapr/htab", body_htab },
    };
    put_head(g);
    for (guint64 i = 1 + below(g, 3); i > 0; i--) {
        guint which = (guint)below(g, G_N_ELEMENTS(kinds));
        put_section(g, MIG_ITEM_START, (guint32)i, kinds[which].idstr, 1);
        kinds[which].body(g);
        put_footer(g, (guint32)i);
        if (kinds[which].body == body_htab) {
            put_htab_part(g, (guint32)i);
        }
    }
    put_end(g);
}

static const struct {
    MigChannel channel;
    void (*generate)(Draw *);
} kinds[] = {
    { MIG_CHANNEL_RETURN_PATH, generate_return_path }, { MIG_CHANNEL_MULTIFD, generate_multifd },
    { MIG_CHANNEL_MAIN, generate_postcopy },           { MIG_CHANNEL_RECOVERY, generate_recovery },
    { MIG_CHANNEL_MAIN, generate_iterable },
};

static guint8 *random_bytes(void)
{
    static guint8 *bytes;
    if (g_once_init_enter(&bytes)) {
        guint8 *fresh = g_malloc(RANDOM_BYTES);
        MigPrng prng = mig_prng(1, "generator-bytes", 0);
        for (gsize i = 0; i < RANDOM_BYTES; i++) {
            fresh[i] = (guint8)mig_prng_next(&prng);
        }
        g_once_init_leave(&bytes, fresh);
    }
    return bytes;
}

MigGenerated *mig_generate_other(guint64 seed)
{
    MigGenerated *out = g_new0(MigGenerated, 1);
    Draw g = { .out = out, .prng = mig_prng(seed, "generator-channels", 0) };
    guint which = (guint)below(&g, G_N_ELEMENTS(kinds));

    g.bytes = random_bytes();
    *out = (MigGenerated){ .channel = kinds[which].channel,
                           .stream = g_byte_array_new(),
                           .recipe = g_string_new(NULL) };
    kinds[which].generate(&g);
    out->length = out->stream->len;
    return out;
}
