/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of section `ram`: the block list, page records, and the marks between them, as
 * ram_load_precopy() and ram_load_setup_block() read them.
 *
 * CONTINUE refers to the block of the previous page record of the same channel, across sections.
 * Two fields of the list are announced elsewhere: the address (capability x-ignore-shared) and the
 * mapped-ram header (capability mapped-ram). The page size of a block backed by huge pages is
 * announced nowhere; but in postcopy POSTCOPY_ADVISE has told which sizes exist, and no other
 * field that can stand there begins with such a number.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream/decoder-internal.h"

static MigStep parse_list(MigDecoder *d, MigCursor *c, MigRecord *r);
static MigStep parse_mapped_bitmap(MigDecoder *d, MigCursor *c, MigRecord *r);
static MigStep parse_mapped_pages(MigDecoder *d, MigCursor *c, MigRecord *r);

void mig_body_open_ram(MigDecoder *d)
{
    d->parse = mig_parse_ram;
}

static MigRecordRam word_of(const MigDecoder *d, uint64_t word)
{
    uint64_t low = d->shared->page_size - 1;
    return (MigRecordRam){
        .offset = word & ~low,
        .cont = (word & MIG_RAM_FLAG_CONTINUE) != 0,
        .block = UINT32_MAX,
    };
}

/* ---- the block list ---- */

static MigStep parse_mem_size(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    r->type = MIG_REC_RAM_MEM_SIZE;
    mig_decoder_label(d, "mem-size", MIG_NO_INDEX);
    d->list_left = r->ram.offset;
    d->list_index = 0;
    d->parse = d->list_left ? parse_list : mig_parse_ram;
    return MIG_STEP_RECORD;
}

/* The next field is the block's page size, see above. */
static bool page_size_follows(const MigDecoder *d, const MigCursor *c)
{
    uint64_t sizes = d->shared->advised_sizes & ~(uint64_t)d->shared->page_size;
    if (!sizes || c->came_short || c->n - c->at < 8) {
        return false;
    }
    uint64_t v = mig_load_be64(c->data + c->at);
    return v && (v & (v - 1)) == 0 && (v & sizes);
}

static void take_optional_fields(MigDecoder *d, MigCursor *c, MigRecordRamBlock *b)
{
    if (d->shared->advised_sizes & ~(uint64_t)d->shared->page_size && c->n - c->at < 8) {
        c->came_short = true; /* an EOS word follows the list at least */
        return;
    }
    b->has_page_size = page_size_follows(d, c);
    if (b->has_page_size) {
        b->page_size = mig_take_be64(c);
    }
    b->has_address = d->shared->ignore_shared;
    if (b->has_address) {
        b->address = mig_take_be64(c);
    }
    b->has_mapped = d->shared->mapped_ram && b->used_length > 0;
    if (b->has_mapped) {
        b->mapped.version = mig_take_be32(c);
        b->mapped.page_size = mig_take_be64(c);
        b->mapped.bitmap_offset = mig_take_be64(c);
        b->mapped.pages_offset = mig_take_be64(c);
    }
}

static uint64_t mapped_bitmap_bytes(const MigDecoder *d, const MigRecordRamBlock *b)
{
    uint64_t pages = (b->used_length + d->shared->page_size - 1) / d->shared->page_size;
    return (pages + 63) / 64 * 8;
}

static MigStep check_mapped(MigDecoder *d, const MigCursor *c, const MigRecordRamBlock *b)
{
    char found[96];
    const MigMappedHeader *m = &b->mapped;
    uint64_t bitmap_end;
    size_t at = c->at - 28;

    if (m->version > MIG_MAPPED_RAM_VERSION) {
        snprintf(found, sizeof(found), "version %" PRIu32, m->version);
        return mig_decoder_fail(d, at, MIG_FAULT_MAPPED_HEADER, found, "mapped-ram version 1");
    }
    if (m->page_size != d->shared->page_size) {
        snprintf(found, sizeof(found), "page size %" PRIu64, m->page_size);
        return mig_decoder_fail(d, at + 4, MIG_FAULT_MAPPED_HEADER, found,
                                "the target page size %" PRIu32, d->shared->page_size);
    }
    if (m->bitmap_offset < d->pos + c->at) {
        snprintf(found, sizeof(found), "bitmap at %" PRIu64, m->bitmap_offset);
        return mig_decoder_fail(d, at + 12, MIG_FAULT_MAPPED_HEADER, found,
                                "a bitmap behind this header, at %" PRIu64 " or later",
                                d->pos + c->at);
    }
    if (__builtin_add_overflow(m->bitmap_offset, mapped_bitmap_bytes(d, b), &bitmap_end) ||
        m->pages_offset < bitmap_end || m->pages_offset % MIG_MAPPED_RAM_ALIGNMENT != 0) {
        snprintf(found, sizeof(found), "pages at %" PRIu64, m->pages_offset);
        return mig_decoder_fail(d, at + 20, MIG_FAULT_MAPPED_HEADER, found,
                                "pages at a multiple of 1 MiB behind the bitmap's end at %" PRIu64,
                                bitmap_end);
    }
    return MIG_STEP_RECORD;
}

static MigStep check_length(MigDecoder *d, size_t at, uint64_t length)
{
    char found[48];

    snprintf(found, sizeof(found), "%" PRIu64 " bytes", length);
    if (length > MIG_LIMIT_BLOCK_LENGTH) {
        return mig_decoder_fail(d, at, MIG_FAULT_RAM_BLOCK_LENGTH, found,
                                "a block length of at most %llu", MIG_LIMIT_BLOCK_LENGTH);
    }
    if (length > d->list_left) {
        return mig_decoder_fail(d, at, MIG_FAULT_RAM_TOTAL, found,
                                "at most the %" PRIu64 " bytes that the total leaves",
                                d->list_left);
    }
    return MIG_STEP_RECORD;
}

static MigStep parse_list(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordRamBlock b = { 0 };

    mig_decoder_label(d, "block", d->list_index);
    b.name = mig_take_cstr(c);
    if (c->n > 0 && c->data[0] == 0) {
        return mig_decoder_fail(d, 0, MIG_FAULT_RAM_BLOCK_UNKNOWN, "a name of 0 bytes",
                                "a block name of 1 to 255 bytes");
    }
    size_t length_at = c->at;
    b.used_length = mig_take_be64(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (check_length(d, length_at, b.used_length) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    take_optional_fields(d, c, &b);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (b.has_mapped && check_mapped(d, c, &b) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    uint32_t index = mig_shared_block(d->shared, b.name);
    if (index == UINT32_MAX) {
        index = mig_shared_add_block(d->shared, b.name);
    }
    if (index == UINT32_MAX) {
        return mig_decoder_fail(d, 0, MIG_FAULT_RAM_BLOCK_LIMIT, "one more", "at most %u blocks",
                                MIG_LIMIT_BLOCKS);
    }
    b.name = d->shared->blocks[index].name;
    b.index = index;
    d->shared->blocks[index] = b;
    d->shared->listed = true;
    d->list_left -= b.used_length;
    d->list_index++;
    d->mapped_block = index;
    d->parse = b.has_mapped ? parse_mapped_bitmap : d->list_left ? parse_list : mig_parse_ram;
    *r = (MigRecord){ .type = MIG_REC_RAM_BLOCK, .block = b };
    return MIG_STEP_RECORD;
}

/* ---- mapped-ram: the bitmap and the page area stand where a sequential reader meets them ---- */

static MigStep mapped_record(MigDecoder *d, MigRecord *r, MigRecordType type, uint64_t at,
                             uint64_t bytes)
{
    *r = (MigRecord){ .type = type,
                      .payload = bytes,
                      .mapped = { d->mapped_block, .gap = at - d->pos, .file_offset = at } };
    d->gap_left = r->mapped.gap;
    return MIG_STEP_RECORD;
}

static MigStep parse_mapped_bitmap(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    const MigRecordRamBlock *b = &d->shared->blocks[d->mapped_block];
    mig_decoder_label(d, "mapped-bitmap", d->list_index - 1);
    d->parse = parse_mapped_pages;
    return mapped_record(d, r, MIG_REC_MAPPED_BITMAP, b->mapped.bitmap_offset,
                         mapped_bitmap_bytes(d, b));
}

static MigStep parse_mapped_pages(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    const MigRecordRamBlock *b = &d->shared->blocks[d->mapped_block];
    mig_decoder_label(d, "mapped-pages", d->list_index - 1);
    d->parse = d->list_left ? parse_list : mig_parse_ram;
    return mapped_record(d, r, MIG_REC_MAPPED_PAGES, b->mapped.pages_offset, b->used_length);
}

/* ---- pages ---- */

/* Fills in the block of a page record; the name is on the wire unless CONTINUE is set. */
static MigStep take_block(MigDecoder *d, MigCursor *c, MigRecordRam *ram)
{
    char found[MIG_LIMIT_NAME + 1];

    if (ram->cont) {
        if (d->block == UINT32_MAX) {
            return mig_decoder_fail(d, 0, MIG_FAULT_RAM_NO_BLOCK, "CONTINUE",
                                    "a record that names its block");
        }
        ram->block = d->block;
    } else {
        MigStr name = mig_take_cstr(c);
        if (c->came_short) {
            return MIG_STEP_MORE;
        }
        ram->block = mig_shared_block(d->shared, name);
        if (ram->block == UINT32_MAX && !d->shared->listed && name.len) {
            ram->block = mig_shared_add_block(d->shared, name);
        }
        if (ram->block == UINT32_MAX) {
            snprintf(found, sizeof(found), "\"%.*s\"", (int)name.len, name.text);
            return mig_decoder_fail(d, 8, MIG_FAULT_RAM_BLOCK_UNKNOWN, found,
                                    "the name of a block in the list");
        }
    }
    ram->name = d->shared->blocks[ram->block].name;
    if (ram->offset >= d->shared->blocks[ram->block].used_length) {
        snprintf(found, sizeof(found), "offset 0x%" PRIx64, ram->offset);
        return mig_decoder_fail(d, 0, MIG_FAULT_RAM_OFFSET, found,
                                "an offset below 0x%" PRIx64 " in block %s",
                                d->shared->blocks[ram->block].used_length, ram->name.text);
    }
    return MIG_STEP_RECORD;
}

static MigStep take_zero(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    r->type = MIG_REC_RAM_ZERO;
    r->ram.fill = mig_take_u8(c);
    return MIG_STEP_RECORD;
}

static MigStep take_page(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    r->type = MIG_REC_RAM_PAGE;
    r->payload = d->shared->page_size;
    return MIG_STEP_RECORD;
}

static MigStep take_xbzrle(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[48];

    r->type = MIG_REC_RAM_XBZRLE;
    r->ram.fill = mig_take_u8(c);
    r->payload = mig_take_be16(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (r->ram.fill != MIG_XBZRLE_HEADER) {
        snprintf(found, sizeof(found), "%02x", r->ram.fill);
        return mig_decoder_fail(d, c->at - 3, MIG_FAULT_RAM_XBZRLE, found, "encoding 01");
    }
    if (r->payload > d->shared->page_size) {
        snprintf(found, sizeof(found), "%" PRIu64 " bytes", r->payload);
        return mig_decoder_fail(d, c->at - 2, MIG_FAULT_RAM_XBZRLE, found,
                                "a delta of at most %" PRIu32 " bytes", d->shared->page_size);
    }
    return MIG_STEP_RECORD;
}

static MigStep take_compressed(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[48];
    uint32_t limit = mig_limit_compressed(d->shared->page_size);

    r->type = MIG_REC_RAM_COMPRESS;
    r->payload = mig_take_be32(c);
    if (!c->came_short && (r->payload == 0 || r->payload > limit)) {
        snprintf(found, sizeof(found), "%" PRIu64 " bytes", r->payload);
        return mig_decoder_fail(d, c->at - 4, MIG_FAULT_RAM_COMPRESS, found,
                                "1 to %" PRIu32 " bytes of zlib data", limit);
    }
    return MIG_STEP_RECORD;
}

static MigStep parse_page(MigDecoder *d, MigCursor *c, MigRecord *r,
                          MigStep (*take)(MigDecoder *, MigCursor *, MigRecord *))
{
    mig_decoder_label(d, "page", d->pages);
    MigStep step = take_block(d, c, &r->ram);
    if (step == MIG_STEP_RECORD) {
        step = take(d, c, r);
    }
    if (step != MIG_STEP_RECORD || c->came_short) {
        return step == MIG_STEP_BAD ? step : MIG_STEP_MORE;
    }
    d->block = r->ram.block;
    d->pages++;
    return MIG_STEP_RECORD;
}

/* ---- marks ---- */

static MigStep parse_mark(MigDecoder *d, MigRecord *r, MigRecordType type, const char *label)
{
    r->type = type;
    mig_decoder_label(d, label, MIG_NO_INDEX);
    if (type == MIG_REC_RAM_EOS) {
        mig_decoder_body_done(d);
    }
    return MIG_STEP_RECORD;
}

static MigStep bad_flags(MigDecoder *d, uint64_t word)
{
    char found[32];
    uint64_t flags = word & (d->shared->page_size - 1);
    snprintf(found, sizeof(found), "flags 0x%" PRIx64, flags);
    mig_decoder_label(d, "record", d->pages);
    return mig_decoder_fail(d, 0, MIG_FAULT_RAM_FLAGS, found,
                            "one of the flags 2, 4, 8, 10, 40, 80, 100, 200 (hex) with or "
                            "without 20");
}

MigStep mig_parse_ram(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    if (c->n == 0 && d->eof && d->opt.channel == MIG_CHANNEL_PREEMPT) {
        return MIG_STEP_END;
    }
    mig_decoder_label(d, "record", d->pages);
    uint64_t word = mig_take_be64(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    *r = (MigRecord){ .ram = word_of(d, word) };
    switch (word & (d->shared->page_size - 1) & ~(uint64_t)MIG_RAM_FLAG_CONTINUE) {
    case MIG_RAM_FLAG_ZERO:
        return parse_page(d, c, r, take_zero);
    case MIG_RAM_FLAG_PAGE:
        return parse_page(d, c, r, take_page);
    case MIG_RAM_FLAG_XBZRLE:
        return parse_page(d, c, r, take_xbzrle);
    case MIG_RAM_FLAG_COMPRESS_PAGE:
        return parse_page(d, c, r, take_compressed);
    case MIG_RAM_FLAG_MEM_SIZE:
        return parse_mem_size(d, c, r);
    case MIG_RAM_FLAG_EOS:
        return parse_mark(d, r, MIG_REC_RAM_EOS, "eos");
    case MIG_RAM_FLAG_HOOK:
        return parse_mark(d, r, MIG_REC_RAM_HOOK, "hook");
    case MIG_RAM_FLAG_MULTIFD_FLUSH:
        return parse_mark(d, r, MIG_REC_RAM_FLUSH, "multifd-flush");
    default:
        return bad_flags(d, word);
    }
}
