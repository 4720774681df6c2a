/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Main-channel streams. The model: a sequence of steps, each of which may be drawn in its usual or
 * an unusual form; state is what a loader keeps (ids in use, the block of CONTINUE) and the memory.
 *
 * Limits: nothing that depends on a capability of the destination, and nothing whose outcome is a
 * race (docs/format names those).
 */
#include "tests/generator/generator.h"

#include <string.h>

#include "stream/encoder.h"
#include "stream/xbzrle.h"

#define PAGES (MIG_GENERATED_MEMORY / MIG_GENERATED_PAGE)

typedef struct Gen {
    MigGenerated *out;
    const MigGeneratorEra *era;
    MigPrng prng;
    guint32 ram_id;
    gboolean started, listed, named;
} Gen;

const MigGeneratorEra mig_generator_eras[] = {
    { "5.2", .fills = TRUE },
    { "7.2", .fills = TRUE },
    { "10.0", .ignored_marks = TRUE, .switchover = TRUE },
    { "11.1", .ignored_marks = TRUE, .switchover = TRUE },
    { NULL },
};

const MigGeneratorEra *mig_generator_era(const char *version)
{
    for (const MigGeneratorEra *era = mig_generator_eras; era->version; era++) {
        if (strcmp(era->version, version) == 0) {
            return era;
        }
    }
    return NULL;
}

void mig_generated_free(MigGenerated *g)
{
    g_byte_array_unref(g->stream);
    g_free(g->memory);
    g_string_free(g->recipe, TRUE);
    g_free(g);
}

void mig_generated_put(MigGenerated *g, const MigRecord *r, const void *payload)
{
    size_t n = mig_record_encode(r, NULL, 0);
    guint at = g->stream->len;

    g_byte_array_set_size(g->stream, (guint)(at + n));
    mig_record_encode(r, g->stream->data + at, n);
    if (r->payload) {
        g_byte_array_append(g->stream, payload, (guint)r->payload);
    }
    n = mig_record_encode_tail(r, NULL, 0);
    at = g->stream->len;
    g_byte_array_set_size(g->stream, (guint)(at + n));
    mig_record_encode_tail(r, g->stream->data + at, n);
}

void mig_generated_note(MigGenerated *g, const char *variant)
{
    if (!strstr(g->recipe->str, variant)) {
        g_string_append_printf(g->recipe, "%s%s", g->recipe->len ? ", " : "", variant);
    }
}

static guint64 below(Gen *g, guint64 n)
{
    return mig_prng_below(&g->prng, n);
}

/* Draws a variant: once in |n|, and then it is noted. */
static gboolean draw(Gen *g, guint n, const char *variant)
{
    if (below(g, n) != 0) {
        return FALSE;
    }
    mig_generated_note(g->out, variant);
    return TRUE;
}

static void put(Gen *g, MigRecord r, const void *payload)
{
    mig_generated_put(g->out, &r, payload);
}

/* ---- header and configuration ---- */

static void put_page_bits(Gen *g)
{
    put(g, (MigRecord){ .type = MIG_REC_CONFIG_PAGE_BITS, .page_bits = { 1, 12 } }, NULL);
}

static void put_capabilities(Gen *g)
{
    static const char *const ignored[] = { "xbzrle", "auto-converge", "events", "release-ram" };
    MigStr names[4];
    guint32 count = (guint32)below(g, 5);

    for (guint32 i = 0; i < count; i++) {
        names[i] = mig_str(ignored[below(g, G_N_ELEMENTS(ignored))]);
    }
    put(g, (MigRecord){ .type = MIG_REC_CONFIG_CAPABILITIES, .capabilities = { 1, count, names } },
        NULL);
}

static void put_uuid(Gen *g)
{
    MigRecord r = { .type = MIG_REC_CONFIG_UUID, .uuid = { .version = 1 } };
    for (gsize i = 0; i < sizeof(r.uuid.uuid); i++) {
        r.uuid.uuid[i] = (guint8)mig_prng_next(&g->prng);
    }
    put(g, r, NULL);
}

static void put_config(Gen *g)
{
    static void (*const subsections[])(Gen *) = { put_page_bits, put_capabilities, put_uuid };
    static const char *const names[] = { "config/target-page-bits", "config/capabilities",
                                         "config/uuid" };
    guint len = 4;

    if (draw(g, 4, "machine name cut short")) {
        len = (guint)below(g, 4);
    }
    put(g, (MigRecord){ .type = MIG_REC_HEADER, .header = { MIG_MAGIC, MIG_VERSION } }, NULL);
    put(g, (MigRecord){ .type = MIG_REC_CONFIG, .config = { { "none", len } } }, NULL);
    guint first = (guint)below(g, 3);
    for (guint i = 0; i < 3; i++) {
        guint which = (first + i) % 3;
        if (draw(g, 3, names[which])) {
            subsections[which](g);
        }
    }
}

/* ---- sections ---- */

static void put_section(Gen *g, MigItem kind, guint32 id, const char *idstr, guint32 version)
{
    put(g,
        (MigRecord){ .type = MIG_REC_SECTION, .section = { kind, id, mig_str(idstr), 0, version } },
        NULL);
}

static void put_footer(Gen *g, guint32 id)
{
    put(g, (MigRecord){ .type = MIG_REC_FOOTER, .footer = { id } }, NULL);
}

static void put_timer(Gen *g)
{
    static const guint8 body[24] = { 0 };
    guint32 id = (guint32)mig_prng_next(&g->prng);
    put_section(g, MIG_ITEM_FULL, id, "timer", 2);
    put(g, (MigRecord){ .type = MIG_REC_BODY, .payload = sizeof(body) }, body);
    put_footer(g, id);
}

static void put_globalstate(Gen *g)
{
    static const char *const states[] = { "running", "paused", "prelaunch", "shutdown" };
    guint8 body[104] = { 0 };
    guint32 id = (guint32)mig_prng_next(&g->prng);
    const char *state = states[below(g, G_N_ELEMENTS(states))];
    guint8 size = (guint8)(strlen(state) + 1);

    if (draw(g, 3, "globalstate of a wrong size")) {
        static const guint8 sizes[] = { 0, 50, 200 };
        size = sizes[below(g, sizeof(sizes))];
    }
    body[3] = size;
    memcpy(body + 4, state, strlen(state));
    put_section(g, MIG_ITEM_FULL, id, "globalstate", 1);
    put(g, (MigRecord){ .type = MIG_REC_BODY, .payload = sizeof(body) }, body);
    put_footer(g, id);
}

/* ---- commands that do nothing here ---- */

static void put_command(Gen *g, guint16 number)
{
    put(g, (MigRecord){ .type = MIG_REC_COMMAND, .command = { .number = number } }, NULL);
}

/* A package of device sections that ends with EOF: legal outside postcopy. */
static void put_package(Gen *g)
{
    GByteArray *outer = g->out->stream;
    g->out->stream = g_byte_array_new();
    put_timer(g);
    if (draw(g, 2, "a package of several sections")) {
        put_globalstate(g);
    }
    put(g, (MigRecord){ .type = MIG_REC_END_OF_STREAM }, NULL);
    GByteArray *blob = g->out->stream;
    g->out->stream = outer;
    put(g,
        (MigRecord){
            .type = MIG_REC_COMMAND,
            .command = { .number = MIG_CMD_PACKAGED, .length = 4, .package_length = blob->len } },
        NULL);
    g_byte_array_append(outer, blob->data, blob->len);
    g_byte_array_unref(blob);
}

static void put_between(Gen *g)
{
    if (draw(g, 8, "resume outside a recovery")) {
        put_command(g, MIG_CMD_POSTCOPY_RESUME);
    }
    if (g->era->switchover && draw(g, 8, "switchover-start anywhere")) {
        put_command(g, MIG_CMD_SWITCHOVER_START);
    }
    if (draw(g, 8, "a package outside postcopy")) {
        put_package(g);
    }
    if (draw(g, 12, "a device between iterations")) {
        put_timer(g);
    }
}

/* ---- RAM ---- */

static guint8 *page_at(Gen *g, guint64 page)
{
    return g->out->memory + page * MIG_GENERATED_PAGE;
}

static MigRecord page_record(Gen *g, MigRecordType type, guint64 page)
{
    gboolean cont = g->named && below(g, 4) != 0;
    if (g->named && !cont) {
        mig_generated_note(g->out, "a name where CONTINUE would do");
    }
    g->named = TRUE;
    return (MigRecord){
        .type = type,
        .ram = { .offset = page * MIG_GENERATED_PAGE, .cont = cont, .name = mig_str("ram") },
    };
}

static void put_zero(Gen *g)
{
    guint64 page = below(g, PAGES);
    MigRecord r = page_record(g, MIG_REC_RAM_ZERO, page);
    if (g->era->fills && draw(g, 6, "a ZERO record with another byte")) {
        r.ram.fill = (guint8)mig_prng_next(&g->prng);
    }
    memset(page_at(g, page), r.ram.fill, MIG_GENERATED_PAGE);
    put(g, r, NULL);
}

static void put_page(Gen *g)
{
    guint64 page = below(g, PAGES);
    MigRecord r = page_record(g, MIG_REC_RAM_PAGE, page);
    guint8 *bytes = page_at(g, page);

    r.payload = MIG_GENERATED_PAGE;
    if (draw(g, 6, "a PAGE record of zeros")) {
        memset(bytes, 0, MIG_GENERATED_PAGE);
    } else {
        guint64 word = mig_prng_next(&g->prng);
        for (gsize i = 0; i < MIG_GENERATED_PAGE; i += sizeof(word)) {
            word = word * 6364136223846793005ull + 1442695040888963407ull;
            memcpy(bytes + i, &word, sizeof(word));
        }
    }
    put(g, r, bytes);
}

static gsize put_length(Gen *g, guint8 *out, gsize v)
{
    if (v >= 128 || draw(g, 4, "a run length longer than it needs")) {
        out[0] = (guint8)((v & 0x7f) | 0x80);
        out[1] = (guint8)(v >> 7);
        return 2;
    }
    out[0] = (guint8)v;
    return 1;
}

/* A delta of a few runs, some of them written as no encoder does, applied to the page. */
static gsize odd_delta(Gen *g, guint64 page, guint8 *delta)
{
    gsize at = 0, n = 0;
    guint runs = (guint)below(g, 6);

    mig_generated_note(g->out, runs ? "XBZRLE without the capability" : "an empty delta");
    for (guint i = 0; i < runs; i++) {
        gsize skip = below(g, 600) + (i > 0), len = 1 + below(g, 60);
        if (at + skip + len > MIG_GENERATED_PAGE) {
            break;
        }
        n += put_length(g, delta + n, skip);
        n += put_length(g, delta + n, len);
        at += skip;
        for (gsize k = 0; k < len; k++) {
            delta[n] = (guint8)mig_prng_next(&g->prng);
            page_at(g, page)[at++] = delta[n++];
        }
    }
    return n;
}

/* What our own encoder makes of a page of which some bytes have changed. */
static gsize encoded_delta(Gen *g, guint64 page, guint8 *delta)
{
    guint8 old[MIG_GENERATED_PAGE];
    guint8 *now = page_at(g, page);
    guint64 changes = 1 + below(g, 200);

    memcpy(old, now, sizeof(old));
    for (guint64 i = 0; i < changes; i++) {
        now[below(g, MIG_GENERATED_PAGE)] ^= (guint8)mig_prng_next(&g->prng);
    }
    int n = mig_xbzrle_encode(old, now, MIG_GENERATED_PAGE, delta, MIG_GENERATED_PAGE);
    g_assert_cmpint(n, >=, 0);
    mig_generated_note(g->out, "a delta of our encoder");
    return (gsize)n;
}

static void put_xbzrle(Gen *g)
{
    guint64 page = below(g, PAGES);
    MigRecord r = page_record(g, MIG_REC_RAM_XBZRLE, page);
    guint8 delta[MIG_GENERATED_PAGE];

    r.ram.fill = MIG_XBZRLE_HEADER;
    r.payload = below(g, 2) ? odd_delta(g, page, delta) : encoded_delta(g, page, delta);
    put(g, r, delta);
}

static void put_mark(Gen *g, MigRecordType type)
{
    MigRecord r = { .type = type };
    if (draw(g, 8, "a mark with an offset")) {
        r.ram.offset = below(g, PAGES) * MIG_GENERATED_PAGE;
    }
    if (type == MIG_REC_RAM_EOS && draw(g, 8, "EOS with CONTINUE")) {
        r.ram.cont = TRUE;
    }
    put(g, r, NULL);
}

static void put_list(Gen *g)
{
    gboolean empty = draw(g, 8, "an empty block list");
    put(g,
        (MigRecord){ .type = MIG_REC_RAM_MEM_SIZE,
                     .ram = { .offset = empty ? 0 : MIG_GENERATED_MEMORY,
                              .cont = draw(g, 8, "MEM_SIZE with CONTINUE") } },
        NULL);
    if (!empty) {
        put(g,
            (MigRecord){ .type = MIG_REC_RAM_BLOCK,
                         .block = { .name = mig_str("ram"), .used_length = MIG_GENERATED_MEMORY } },
            NULL);
        g->listed = TRUE;
    }
}

static void put_pages(Gen *g, guint64 most)
{
    static void (*const kinds[])(Gen *) = { put_zero, put_page, put_page, put_xbzrle };
    guint64 n = below(g, most + 1);
    for (guint64 i = 0; i < n; i++) {
        kinds[below(g, G_N_ELEMENTS(kinds))](g);
        if (g->era->ignored_marks && draw(g, 24, "MULTIFD_FLUSH without multifd")) {
            put_mark(g, MIG_REC_RAM_FLUSH);
        }
        if (g->era->ignored_marks && draw(g, 24, "HOOK without rdma")) {
            put_mark(g, MIG_REC_RAM_HOOK);
        }
    }
}

static void put_ram_body(Gen *g, gboolean list, guint64 pages)
{
    if (list) {
        put_list(g);
    }
    put_pages(g, pages);
    put_mark(g, MIG_REC_RAM_EOS);
    put_footer(g, g->ram_id);
}

static void put_start(Gen *g, MigItem kind)
{
    g->ram_id = 1 + (guint32)below(g, G_MAXUINT32);
    g->started = TRUE;
    put_section(g, kind, g->ram_id, "ram", MIG_RAM_VERSION);
    gboolean list = g->listed || !draw(g, 10, "no block list at all");
    /* A list that comes after pages named their block is taken as well. */
    put_ram_body(g, list, draw(g, 4, "pages in START") ? 8 : 0);
}

static void put_part(Gen *g, MigItem kind)
{
    put_section(g, kind, g->ram_id, "ram", MIG_RAM_VERSION);
    put_ram_body(g, draw(g, 12, "a block list in the middle"), 24);
}

static void put_ram(Gen *g)
{
    if (draw(g, 12, "ram as one FULL section")) {
        put_start(g, MIG_ITEM_FULL);
        return;
    }
    put_start(g, MIG_ITEM_START);
    guint64 parts = below(g, 6);
    for (guint64 i = 0; i < parts; i++) {
        put_between(g);
        if (draw(g, 10, "ram started again")) {
            put_start(g, MIG_ITEM_START);
        }
        put_part(g, MIG_ITEM_PART);
    }
    if (draw(g, 6, "no END")) {
        return;
    }
    put_part(g, MIG_ITEM_END);
    if (draw(g, 6, "PART after END")) {
        put_part(g, MIG_ITEM_PART);
    }
}

/* ---- the end ---- */

static void put_description(Gen *g)
{
    static const char text[] = "{\"page_size\": 4096, \"devices\": []}";
    guint64 kind = below(g, 4);

    if (kind == 0) {
        mig_generated_note(g->out, "no VMDESCRIPTION");
        return;
    }
    gsize n = sizeof(text) - 1;
    if (kind == 1) {
        mig_generated_note(g->out, "a garbled VMDESCRIPTION");
        n = 1 + below(g, n);
    }
    put(g, (MigRecord){ .type = MIG_REC_VMDESC, .payload = n }, text);
}

static void put_devices(Gen *g)
{
    static void (*const devices[])(Gen *) = { put_timer, put_globalstate };
    guint64 first = below(g, 2);

    for (guint64 i = 0; i < 2; i++) {
        if (draw(g, 6, "a device missing")) {
            continue;
        }
        devices[(first + i) % 2](g);
        if (draw(g, 6, "a device twice")) {
            devices[(first + i) % 2](g);
        }
    }
}

MigGenerated *mig_generate_main(guint64 seed, const MigGeneratorEra *era)
{
    MigGenerated *out = g_new0(MigGenerated, 1);
    Gen g = { .out = out, .era = era, .prng = mig_prng(seed, "generator", 0) };

    *out = (MigGenerated){ .channel = MIG_CHANNEL_MAIN,
                           .stream = g_byte_array_new(),
                           .memory = g_malloc0(MIG_GENERATED_MEMORY),
                           .recipe = g_string_new(NULL) };
    put_config(&g);
    put_between(&g);
    if (draw(&g, 8, "devices before ram")) {
        put_devices(&g);
    }
    put_ram(&g);
    put_devices(&g);
    put(&g, (MigRecord){ .type = MIG_REC_END_OF_STREAM }, NULL);
    put_description(&g);
    out->length = out->stream->len;
    if (draw(&g, 6, "bytes behind the end")) {
        static const guint8 trailing[] = { 0xde, 0xad, 0xbe, 0xef, 0x01 };
        g_byte_array_append(out->stream, trailing, (guint)(1 + below(&g, sizeof(trailing))));
    }
    return out;
}
