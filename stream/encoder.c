/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder: a table of one small function for each type of record. */
#include "stream/encoder.h"

#include "stream/bytes.h"

typedef void (*Encode)(MigSink *s, const MigRecord *r);

static void put_nothing(MigSink *s, const MigRecord *r)
{
}

static void put_header(MigSink *s, const MigRecord *r)
{
    mig_put_be32(s, r->header.magic);
    mig_put_be32(s, r->header.version);
}

static void put_config(MigSink *s, const MigRecord *r)
{
    mig_put_u8(s, MIG_ITEM_CONFIGURATION);
    mig_put_be32(s, r->config.machine.len);
    mig_put(s, r->config.machine.text, r->config.machine.len);
}

static void put_subsection(MigSink *s, const char *name, uint32_t version)
{
    mig_put_u8(s, MIG_ITEM_SUBSECTION);
    mig_put_cstr(s, mig_str(name));
    mig_put_be32(s, version);
}

static void put_page_bits(MigSink *s, const MigRecord *r)
{
    put_subsection(s, "configuration/target-page-bits", r->page_bits.version);
    mig_put_be32(s, r->page_bits.bits);
}

static void put_capabilities(MigSink *s, const MigRecord *r)
{
    put_subsection(s, "configuration/capabilities", r->capabilities.version);
    mig_put_be32(s, r->capabilities.count);
    for (uint32_t i = 0; i < r->capabilities.count; i++) {
        mig_put_cstr(s, r->capabilities.names[i]);
    }
}

static void put_uuid(MigSink *s, const MigRecord *r)
{
    put_subsection(s, "configuration/uuid", r->uuid.version);
    mig_put(s, r->uuid.uuid, sizeof(r->uuid.uuid));
}

static void put_section(MigSink *s, const MigRecord *r)
{
    const MigRecordSection *sec = &r->section;
    mig_put_u8(s, (uint8_t)sec->kind);
    mig_put_be32(s, sec->id);
    if (sec->kind == MIG_ITEM_START || sec->kind == MIG_ITEM_FULL) {
        mig_put_cstr(s, sec->idstr);
        mig_put_be32(s, sec->instance);
        mig_put_be32(s, sec->version);
    }
}

static void put_footer(MigSink *s, const MigRecord *r)
{
    mig_put_u8(s, MIG_ITEM_FOOTER);
    mig_put_be32(s, r->footer.id);
}

static void put_discard(MigSink *s, const MigRecordCommand *cmd)
{
    mig_put_u8(s, cmd->discard.version);
    mig_put_cstr(s, cmd->discard.name);
    mig_put_u8(s, cmd->discard.nul);
    for (uint32_t i = 0; i < cmd->discard.count; i++) {
        mig_put_be64(s, cmd->discard.ranges[i].start);
        mig_put_be64(s, cmd->discard.ranges[i].length);
    }
}

static void put_advise(MigSink *s, const MigRecordCommand *cmd)
{
    if (cmd->length) {
        mig_put_be64(s, cmd->advise.page_sizes);
        mig_put_be64(s, cmd->advise.target_page_size);
    }
}

static void put_command(MigSink *s, const MigRecord *r)
{
    const MigRecordCommand *cmd = &r->command;
    mig_put_u8(s, MIG_ITEM_COMMAND);
    mig_put_be16(s, cmd->number);
    mig_put_be16(s, cmd->length);
    switch (cmd->number) {
    case MIG_CMD_PING:
        mig_put_be32(s, cmd->ping);
        break;
    case MIG_CMD_POSTCOPY_ADVISE:
        put_advise(s, cmd);
        break;
    case MIG_CMD_POSTCOPY_RAM_DISCARD:
        put_discard(s, cmd);
        break;
    case MIG_CMD_PACKAGED:
        mig_put_be32(s, cmd->package_length);
        break;
    case MIG_CMD_RECV_BITMAP:
        mig_put_cstr(s, cmd->bitmap_name);
        break;
    default:
        break;
    }
}

static void put_ram_block(MigSink *s, const MigRecord *r)
{
    const MigRecordRamBlock *b = &r->block;
    mig_put_cstr(s, b->name);
    mig_put_be64(s, b->used_length);
    if (b->has_page_size) {
        mig_put_be64(s, b->page_size);
    }
    if (b->has_address) {
        mig_put_be64(s, b->address);
    }
    if (b->has_mapped) {
        mig_put_be32(s, b->mapped.version);
        mig_put_be64(s, b->mapped.page_size);
        mig_put_be64(s, b->mapped.bitmap_offset);
        mig_put_be64(s, b->mapped.pages_offset);
    }
}

static void put_ram_word(MigSink *s, const MigRecordRam *ram, uint32_t flag)
{
    mig_put_be64(s, ram->offset | flag | (ram->cont ? MIG_RAM_FLAG_CONTINUE : 0));
}

static void put_ram_page(MigSink *s, const MigRecordRam *ram, uint32_t flag)
{
    put_ram_word(s, ram, flag);
    if (!ram->cont) {
        mig_put_cstr(s, ram->name);
    }
}

static void put_mem_size(MigSink *s, const MigRecord *r)
{
    put_ram_word(s, &r->ram, MIG_RAM_FLAG_MEM_SIZE);
}

static void put_zero(MigSink *s, const MigRecord *r)
{
    put_ram_page(s, &r->ram, MIG_RAM_FLAG_ZERO);
    mig_put_u8(s, r->ram.fill);
}

static void put_page(MigSink *s, const MigRecord *r)
{
    put_ram_page(s, &r->ram, MIG_RAM_FLAG_PAGE);
}

static void put_xbzrle(MigSink *s, const MigRecord *r)
{
    put_ram_page(s, &r->ram, MIG_RAM_FLAG_XBZRLE);
    mig_put_u8(s, r->ram.fill);
    mig_put_be16(s, (uint16_t)r->payload);
}

static void put_compressed(MigSink *s, const MigRecord *r)
{
    put_ram_page(s, &r->ram, MIG_RAM_FLAG_COMPRESS_PAGE);
    mig_put_be32(s, (uint32_t)r->payload);
}

static void put_hook(MigSink *s, const MigRecord *r)
{
    put_ram_word(s, &r->ram, MIG_RAM_FLAG_HOOK);
}

static void put_flush(MigSink *s, const MigRecord *r)
{
    put_ram_word(s, &r->ram, MIG_RAM_FLAG_MULTIFD_FLUSH);
}

static void put_eos(MigSink *s, const MigRecord *r)
{
    put_ram_word(s, &r->ram, MIG_RAM_FLAG_EOS);
}

static void put_gap(MigSink *s, const MigRecord *r)
{
    static const uint8_t zeros[4096];
    for (uint64_t left = r->mapped.gap; left > 0;) {
        size_t n = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
        mig_put(s, zeros, n);
        left -= n;
    }
}

static void put_eof(MigSink *s, const MigRecord *r)
{
    mig_put_u8(s, MIG_ITEM_EOF);
}

static void put_vmdesc(MigSink *s, const MigRecord *r)
{
    mig_put_u8(s, MIG_ITEM_VMDESCRIPTION);
    mig_put_be32(s, (uint32_t)r->payload);
}

static void put_disk(MigSink *s, const MigRecord *r)
{
    mig_put_be64(s, r->disk.sector << 9 | r->disk.flags);
    if (r->disk.flags & MIG_BLOCK_DEVICE) {
        mig_put_cstr(s, r->disk.device);
    }
}

static void put_dirty_bitmap(MigSink *s, const MigRecord *r)
{
    const MigRecordDirtyBitmap *b = &r->bitmap;
    mig_put_u8(s, b->flags);
    if (b->flags & MIG_BITMAP_DEVICE_NAME) {
        mig_put_cstr(s, b->node);
    }
    if (b->flags & MIG_BITMAP_NAME) {
        mig_put_cstr(s, b->bitmap);
    }
    if (b->flags & MIG_BITMAP_START) {
        mig_put_be32(s, b->granularity);
        mig_put_u8(s, b->bitmap_flags);
    }
    if (b->flags & MIG_BITMAP_BITS) {
        mig_put_be64(s, b->first_sector);
        mig_put_be32(s, b->sectors);
        if (!(b->flags & MIG_BITMAP_ZEROES)) {
            mig_put_be64(s, b->size);
        }
    }
}

static void put_iterable(MigSink *s, const MigRecord *r)
{
    const MigRecordIterable *it = &r->iterable;
    switch (it->kind) {
    case MIG_ITERABLE_HTAB_SIZE:
    case MIG_ITERABLE_HTAB_MARK:
        mig_put_be32(s, (uint32_t)it->word);
        break;
    case MIG_ITERABLE_HTAB_CHUNK:
        mig_put_be32(s, (uint32_t)it->word);
        mig_put_be16(s, it->n_valid);
        mig_put_be16(s, it->n_invalid);
        break;
    default:
        mig_put_be64(s, it->word);
        if (it->has_count) {
            mig_put_be64(s, it->count);
        }
        break;
    }
}

static void put_rp(MigSink *s, const MigRecord *r)
{
    const MigRecordRp *rp = &r->rp;
    mig_put_be16(s, rp->type);
    mig_put_be16(s, rp->length);
    switch (rp->type) {
    case MIG_RP_SHUT:
    case MIG_RP_PONG:
    case MIG_RP_RESUME_ACK:
        mig_put_be32(s, rp->value);
        break;
    case MIG_RP_REQ_PAGES:
    case MIG_RP_REQ_PAGES_ID:
        mig_put_be64(s, rp->request.start);
        mig_put_be32(s, rp->request.length);
        if (rp->type == MIG_RP_REQ_PAGES_ID) {
            mig_put_cstr(s, rp->request.name);
        }
        break;
    case MIG_RP_RECV_BITMAP:
        mig_put_cstr(s, rp->bitmap.name);
        mig_put_be64(s, rp->bitmap.size);
        break;
    default:
        break;
    }
}

static void put_multifd_init(MigSink *s, const MigRecord *r)
{
    mig_put_be32(s, r->multifd_init.magic);
    mig_put_be32(s, r->multifd_init.version);
    mig_put(s, r->multifd_init.uuid, sizeof(r->multifd_init.uuid));
    mig_put_u8(s, r->multifd_init.id);
    mig_put(s, r->multifd_init.unused, sizeof(r->multifd_init.unused));
}

static void put_multifd_packet(MigSink *s, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;
    mig_put_be32(s, m->magic);
    mig_put_be32(s, m->version);
    mig_put_be32(s, m->flags);
    mig_put_be32(s, m->pages_alloc);
    mig_put_be32(s, m->normal_pages);
    mig_put_be32(s, m->next_packet_size);
    mig_put_be64(s, m->packet_num);
    mig_put_be32(s, m->zero_pages);
    mig_put_be32(s, m->unused32);
    for (int i = 0; i < 3; i++) {
        mig_put_be64(s, m->unused64[i]);
    }
    mig_put(s, m->name, sizeof(m->name));
    for (uint32_t i = 0; i < m->page_count; i++) {
        mig_put_be64(s, m->offsets[i]);
    }
}

static void put_multifd_device(MigSink *s, const MigRecord *r)
{
    const MigRecordMultifdDevice *dev = &r->multifd_device;
    mig_put_be32(s, dev->magic);
    mig_put_be32(s, dev->version);
    mig_put_be32(s, dev->flags);
    mig_put(s, dev->idstr, sizeof(dev->idstr));
    mig_put_be32(s, dev->instance);
    mig_put_be32(s, dev->next_packet_size);
}

static void put_colo(MigSink *s, const MigRecord *r)
{
    mig_put_be32(s, r->colo.message);
    if (r->colo.message == MIG_COLO_VMSTATE_SIZE) {
        mig_put_be64(s, r->colo.size);
    }
}

static const Encode encoders[MIG_REC_COUNT] = {
    [MIG_REC_HEADER] = put_header,
    [MIG_REC_CONFIG] = put_config,
    [MIG_REC_CONFIG_PAGE_BITS] = put_page_bits,
    [MIG_REC_CONFIG_CAPABILITIES] = put_capabilities,
    [MIG_REC_CONFIG_UUID] = put_uuid,
    [MIG_REC_SECTION] = put_section,
    [MIG_REC_FOOTER] = put_footer,
    [MIG_REC_COMMAND] = put_command,
    [MIG_REC_PACKAGE_END] = put_nothing,
    [MIG_REC_RAM_MEM_SIZE] = put_mem_size,
    [MIG_REC_RAM_BLOCK] = put_ram_block,
    [MIG_REC_RAM_ZERO] = put_zero,
    [MIG_REC_RAM_PAGE] = put_page,
    [MIG_REC_RAM_XBZRLE] = put_xbzrle,
    [MIG_REC_RAM_COMPRESS] = put_compressed,
    [MIG_REC_RAM_HOOK] = put_hook,
    [MIG_REC_RAM_FLUSH] = put_flush,
    [MIG_REC_RAM_EOS] = put_eos,
    [MIG_REC_MAPPED_BITMAP] = put_gap,
    [MIG_REC_MAPPED_PAGES] = put_gap,
    [MIG_REC_BODY] = put_nothing,
    [MIG_REC_BLOCK] = put_disk,
    [MIG_REC_DIRTY_BITMAP] = put_dirty_bitmap,
    [MIG_REC_ITERABLE] = put_iterable,
    [MIG_REC_END_OF_STREAM] = put_eof,
    [MIG_REC_VMDESC] = put_vmdesc,
    [MIG_REC_RP] = put_rp,
    [MIG_REC_MULTIFD_INIT] = put_multifd_init,
    [MIG_REC_MULTIFD_PACKET] = put_multifd_packet,
    [MIG_REC_MULTIFD_DEVICE] = put_multifd_device,
    [MIG_REC_COLO] = put_colo,
};

size_t mig_record_encode(const MigRecord *r, uint8_t *out, size_t cap)
{
    MigSink s = { .out = out, .cap = cap };
    encoders[r->type](&s, r);
    return s.at;
}

size_t mig_record_encode_tail(const MigRecord *r, uint8_t *out, size_t cap)
{
    MigSink s = { .out = out, .cap = cap };
    if (r->type == MIG_REC_RP && r->rp.type == MIG_RP_RECV_BITMAP) {
        mig_put_be64(&s, MIG_RP_BITMAP_END);
    }
    return s.at;
}
