/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of iterables other than ram, and the table that says which reader a body has: `block`
 * (until 9.0), `dirty-bitmap`, VFIO devices, the hash table of pseries machines, storage keys and
 * attributes of s390 machines. Any other body is a device's (decoder-body.c).
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream/decoder-internal.h"

#define FOOTER_BYTES 5u

static MigStep bad(MigDecoder *d, size_t at, uint64_t found, const char *expected)
{
    char text[32];
    snprintf(text, sizeof(text), "0x%" PRIx64, found);
    return mig_decoder_fail(d, at, MIG_FAULT_ITERABLE, text, "%s", expected);
}

static MigStep done(MigDecoder *d, const MigCursor *c, bool last)
{
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    d->chunks++;
    if (last) {
        mig_decoder_body_done(d);
    }
    return MIG_STEP_RECORD;
}

/* ---- block ---- */

static MigStep parse_block(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    mig_decoder_label(d, "chunk", d->chunks);
    uint64_t word = mig_take_be64(c);
    uint16_t flags = word & MIG_BLOCK_FLAGS;

    *r = (MigRecord){ .type = MIG_REC_BLOCK, .disk = { .sector = word >> 9, .flags = flags } };
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    switch (flags) {
    case MIG_BLOCK_DEVICE:
    case MIG_BLOCK_DEVICE | MIG_BLOCK_ZERO: {
        MigStr device = mig_take_cstr(c);
        if (!c->came_short) {
            r->disk.device = mig_decoder_keep(d, device);
        }
        r->payload = flags & MIG_BLOCK_ZERO ? 0 : MIG_BLOCK_CHUNK_BYTES;
        break;
    }
    case MIG_BLOCK_EOS:
    case MIG_BLOCK_PROGRESS:
        break;
    default:
        return bad(d, 0, flags, "block flags 1, 2, 4 or 9");
    }
    return done(d, c, flags == MIG_BLOCK_EOS);
}

static void open_block(MigDecoder *d)
{
    d->parse = parse_block;
}

/* ---- dirty-bitmap ---- */

static MigStep take_bits(MigDecoder *d, MigCursor *c, MigRecordDirtyBitmap *b)
{
    b->first_sector = mig_take_be64(c);
    b->sectors = mig_take_be32(c);
    if (b->flags & MIG_BITMAP_ZEROES) {
        return MIG_STEP_RECORD;
    }
    b->size = mig_take_be64(c);
    if (!c->came_short && b->size > MIG_LIMIT_DIRTY_BITMAP_CHUNK) {
        return bad(d, c->at - 8, b->size, "at most 10 KiB of bitmap in one chunk");
    }
    return MIG_STEP_RECORD;
}

static MigStep parse_dirty_bitmap(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordDirtyBitmap b = { 0 };
    MigStr node = { 0 }, bitmap = { 0 };

    mig_decoder_label(d, "chunk", d->chunks);
    b.flags = mig_take_u8(c);
    if (!c->came_short && b.flags & MIG_BITMAP_EXTRA) {
        return bad(d, 0, b.flags, "flags without the reserved bit 80");
    }
    if (b.flags & MIG_BITMAP_DEVICE_NAME) {
        node = mig_take_cstr(c);
    }
    if (b.flags & MIG_BITMAP_NAME) {
        bitmap = mig_take_cstr(c);
    }
    if (b.flags & MIG_BITMAP_START) {
        b.granularity = mig_take_be32(c);
        b.bitmap_flags = mig_take_u8(c);
    }
    if (b.flags & MIG_BITMAP_BITS && take_bits(d, c, &b) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    b.node = mig_decoder_keep(d, node);
    b.bitmap = mig_decoder_keep(d, bitmap);
    *r = (MigRecord){ .type = MIG_REC_DIRTY_BITMAP, .payload = b.size, .bitmap = b };
    return done(d, c, b.flags & MIG_BITMAP_EOS);
}

static void open_dirty_bitmap(MigDecoder *d)
{
    d->parse = parse_dirty_bitmap;
}

/* ---- vfio ---- */

#define VFIO_END_OF_STATE 0xffffffffef100001ull
#define VFIO_CONFIG       0xffffffffef100002ull
#define VFIO_DATA         0xffffffffef100004ull
#define VFIO_LAST_MARK    0xffffffffef100006ull

/*
 * The device's configuration has no length: it goes up to the END_OF_STATE mark that a footer
 * follows.
 */
static MigStep vfio_config(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    for (size_t at = c->at; at + 8 + FOOTER_BYTES <= c->n; at++) {
        const uint8_t *p = c->data + at;
        if (mig_load_be64(p) == VFIO_END_OF_STATE && p[8] == MIG_ITEM_FOOTER &&
            mig_load_be32(p + 9) == d->section.id) {
            r->payload = at - c->at;
            return MIG_STEP_RECORD;
        }
    }
    if (c->n > MIG_LIMIT_BODY) {
        return mig_decoder_fail(d, 8, MIG_FAULT_BODY_UNRESOLVED, "no END_OF_STATE mark",
                                "the end of the device's configuration");
    }
    c->came_short = true;
    return MIG_STEP_MORE;
}

/* A mark ends the body when the section's footer follows it. */
static bool footer_follows(const MigDecoder *d, MigCursor *c)
{
    if (c->n - c->at < FOOTER_BYTES && !d->eof) {
        c->came_short = true;
        return false;
    }
    return c->n - c->at >= FOOTER_BYTES && c->data[c->at] == MIG_ITEM_FOOTER &&
           mig_load_be32(c->data + c->at + 1) == d->section.id;
}

static MigStep parse_vfio(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    mig_decoder_label(d, "mark", d->chunks);
    uint64_t mark = mig_take_be64(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (mark < VFIO_END_OF_STATE || mark > VFIO_LAST_MARK) {
        return bad(d, 0, mark, "a VFIO mark");
    }
    *r = (MigRecord){ .type = MIG_REC_ITERABLE, .iterable = { MIG_ITERABLE_VFIO, mark } };
    if (mark == VFIO_DATA) {
        r->iterable.has_count = true;
        r->iterable.count = r->payload = mig_take_be64(c);
        return done(d, c, false);
    }
    if (mark == VFIO_CONFIG) {
        MigStep step = vfio_config(d, c, r);
        return step == MIG_STEP_RECORD ? done(d, c, false) : step;
    }
    bool last = footer_follows(d, c);
    return done(d, c, last);
}

static void open_vfio(MigDecoder *d)
{
    d->parse = parse_vfio;
}

/* ---- spapr/htab ---- */

#define HTAB_NONE        0xffffffffu
#define HTAB_ENTRY_BYTES 16u

static MigStep parse_htab_chunk(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordIterable it = { .kind = MIG_ITERABLE_HTAB_CHUNK };

    mig_decoder_label(d, "chunk", d->chunks);
    it.word = mig_take_be32(c);
    it.n_valid = mig_take_be16(c);
    it.n_invalid = mig_take_be16(c);
    *r = (MigRecord){ .type = MIG_REC_ITERABLE,
                      .payload = (uint64_t)it.n_valid * HTAB_ENTRY_BYTES,
                      .iterable = it };
    return done(d, c, it.word == 0 && it.n_valid == 0 && it.n_invalid == 0);
}

static MigStep parse_htab(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    bool start = d->section.kind == MIG_ITEM_START;
    uint32_t word = mig_take_be32(c);

    mig_decoder_label(d, start ? "size" : "mark", MIG_NO_INDEX);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (!start && word != 0 && word != HTAB_NONE) {
        return bad(d, 0, word, "0, or -1 for no table");
    }
    *r = (MigRecord){ .type = MIG_REC_ITERABLE,
                      .iterable = { start ? MIG_ITERABLE_HTAB_SIZE : MIG_ITERABLE_HTAB_MARK,
                                    word } };
    d->parse = parse_htab_chunk;
    return done(d, c, start || word == HTAB_NONE);
}

static void open_htab(MigDecoder *d)
{
    d->parse = parse_htab;
}

/* ---- s390: words of (frame << 12) | flag ---- */

#define S390_FLAGS 0xfffu
#define S390_EOS   0x01u
#define S390_MORE  0x02u
#define S390_ERROR 0x04u
#define S390_DONE  0x08u

static MigStep parse_s390(MigDecoder *d, MigCursor *c, MigRecord *r, MigIterableKind kind)
{
    mig_decoder_label(d, "word", d->chunks);
    uint64_t word = mig_take_be64(c);
    uint64_t flag = word & S390_FLAGS;

    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (flag != S390_EOS && flag != S390_MORE && flag != S390_ERROR && flag != S390_DONE) {
        return bad(d, 0, flag, "a flag of 1, 2, 4 or 8");
    }
    *r = (MigRecord){ .type = MIG_REC_ITERABLE, .iterable = { kind, word } };
    if (flag == S390_MORE) {
        r->iterable.has_count = true;
        r->iterable.count = r->payload = mig_take_be64(c);
    }
    return done(d, c, flag == S390_EOS);
}

static MigStep parse_stattrib(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    return parse_s390(d, c, r, MIG_ITERABLE_STATTRIB);
}

static MigStep parse_skeys(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    return parse_s390(d, c, r, MIG_ITERABLE_SKEYS);
}

static void open_stattrib(MigDecoder *d)
{
    d->parse = parse_stattrib;
}

static void open_skeys(MigDecoder *d)
{
    d->parse = parse_skeys;
}

/* ---- the table ---- */

static const struct {
    const char *idstr; /* "/x": any path that ends so */
    MigBodyOpen open;
} bodies[] = {
    { "ram", mig_body_open_ram },          { "block", open_block },
    { "dirty-bitmap", open_dirty_bitmap }, { "/vfio", open_vfio },
    { "spapr/htab", open_htab },           { "s390-storage_attributes", open_stattrib },
    { "s390-skeys", open_skeys },
};

static bool ends_with(MigStr s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.len >= n && memcmp(s.text + s.len - n, suffix, n) == 0;
}

MigBodyOpen mig_body_of(MigStr idstr)
{
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        if (bodies[i].idstr[0] == '/' ? ends_with(idstr, bodies[i].idstr)
                                      : mig_str_equal(idstr, mig_str(bodies[i].idstr))) {
            return bodies[i].open;
        }
    }
    return mig_body_open_device;
}
