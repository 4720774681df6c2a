/* SPDX-License-Identifier: Apache-2.0 */
/* Names for the fields of records; one small function per kind of record. */
#include "conformance/record-fields.h"

#include <glib.h>
#include <string.h>

typedef struct Visit {
    MigFieldVisit visit;
    void *opaque;
} Visit;

static void number(const Visit *v, const char *name, uint64_t n)
{
    v->visit(v->opaque, &(MigField){ name, MIG_FIELD_NUMBER, n, { 0 } });
}

static void hex(const Visit *v, const char *name, uint64_t n)
{
    v->visit(v->opaque, &(MigField){ name, MIG_FIELD_HEX, n, { 0 } });
}

static void flag(const Visit *v, const char *name, bool b)
{
    v->visit(v->opaque, &(MigField){ name, MIG_FIELD_BOOL, b, { 0 } });
}

static void text(const Visit *v, const char *name, MigStr s)
{
    v->visit(v->opaque, &(MigField){ name, MIG_FIELD_TEXT, 0, s });
}

static void bytes(const Visit *v, const char *name, const void *data, uint32_t n)
{
    v->visit(v->opaque, &(MigField){ name, MIG_FIELD_BYTES, 0, { data, n } });
}

static void header(const Visit *v, const MigRecord *r)
{
    hex(v, "magic", r->header.magic);
    number(v, "version", r->header.version);
}

static void config(const Visit *v, const MigRecord *r)
{
    text(v, "machine", r->config.machine);
}

static void page_bits(const Visit *v, const MigRecord *r)
{
    number(v, "version", r->page_bits.version);
    number(v, "bits", r->page_bits.bits);
}

static void capabilities(const Visit *v, const MigRecord *r)
{
    number(v, "version", r->capabilities.version);
    number(v, "count", r->capabilities.count);
    for (uint32_t i = 0; i < r->capabilities.count; i++) {
        g_autofree char *name = g_strdup_printf("capability[%u]", i);
        text(v, name, r->capabilities.names[i]);
    }
}

static void uuid(const Visit *v, const MigRecord *r)
{
    number(v, "version", r->uuid.version);
    bytes(v, "uuid", r->uuid.uuid, 16);
}

static void section(const Visit *v, const MigRecord *r)
{
    text(v, "kind", mig_str(mig_item_name(r->section.kind)));
    number(v, "id", r->section.id);
    text(v, "idstr", r->section.idstr);
    number(v, "instance", r->section.instance);
    number(v, "version", r->section.version);
}

static void footer(const Visit *v, const MigRecord *r)
{
    number(v, "id", r->footer.id);
}

static void discard(const Visit *v, const MigRecordCommand *c)
{
    number(v, "discard-version", c->discard.version);
    text(v, "block", c->discard.name);
    for (uint32_t i = 0; i < c->discard.count; i++) {
        g_autofree char *start = g_strdup_printf("start[%u]", i);
        g_autofree char *length = g_strdup_printf("length[%u]", i);
        hex(v, start, c->discard.ranges[i].start);
        hex(v, length, c->discard.ranges[i].length);
    }
}

static void command(const Visit *v, const MigRecord *r)
{
    const MigRecordCommand *c = &r->command;
    const char *name = mig_command_name(c->number);

    text(v, "command", mig_str(name ? name : "unknown"));
    number(v, "number", c->number);
    number(v, "length", c->length);
    switch (c->number) {
    case MIG_CMD_PING:
        hex(v, "value", c->ping);
        break;
    case MIG_CMD_POSTCOPY_ADVISE:
        if (c->length == 16) {
            hex(v, "page-sizes", c->advise.page_sizes);
            hex(v, "target-page-size", c->advise.target_page_size);
        }
        break;
    case MIG_CMD_POSTCOPY_RAM_DISCARD:
        discard(v, c);
        break;
    case MIG_CMD_PACKAGED:
        number(v, "package-length", c->package_length);
        break;
    case MIG_CMD_RECV_BITMAP:
        text(v, "block", c->bitmap_name);
        break;
    default:
        break;
    }
}

static void mem_size(const Visit *v, const MigRecord *r)
{
    number(v, "total", r->ram.offset);
}

static void block(const Visit *v, const MigRecord *r)
{
    const MigRecordRamBlock *b = &r->block;
    text(v, "block", b->name);
    number(v, "used-length", b->used_length);
    if (b->has_page_size) {
        number(v, "page-size", b->page_size);
    }
    if (b->has_address) {
        hex(v, "address", b->address);
    }
    if (b->has_mapped) {
        number(v, "mapped-version", b->mapped.version);
        number(v, "mapped-page-size", b->mapped.page_size);
        hex(v, "bitmap-offset", b->mapped.bitmap_offset);
        hex(v, "pages-offset", b->mapped.pages_offset);
    }
}

static void page(const Visit *v, const MigRecord *r)
{
    text(v, "block", r->ram.name);
    hex(v, "page-offset", r->ram.offset);
    flag(v, "continue", r->ram.cont);
    if (r->type == MIG_REC_RAM_ZERO) {
        hex(v, "fill", r->ram.fill);
    } else if (r->type == MIG_REC_RAM_XBZRLE) {
        hex(v, "encoding", r->ram.fill);
    }
}

static void mark(const Visit *v, const MigRecord *r)
{
    if (r->ram.offset || r->ram.cont) {
        hex(v, "word-offset", r->ram.offset);
        flag(v, "continue", r->ram.cont);
    }
}

static void mapped(const Visit *v, const MigRecord *r)
{
    number(v, "block-index", r->mapped.block);
    number(v, "gap", r->mapped.gap);
    hex(v, "file-offset", r->mapped.file_offset);
}

static void body(const Visit *v, const MigRecord *r)
{
    static const char *const how[] = { "layout", "vmdesc", "footer", "header" };
    text(v, "end-found-by", mig_str(how[r->body.how]));
}

static void disk(const Visit *v, const MigRecord *r)
{
    text(v, "device", r->disk.device);
    number(v, "sector", r->disk.sector);
    hex(v, "flags", r->disk.flags);
}

static void dirty_bitmap(const Visit *v, const MigRecord *r)
{
    hex(v, "flags", r->bitmap.flags);
    text(v, "node", r->bitmap.node);
    text(v, "bitmap", r->bitmap.bitmap);
    number(v, "granularity", r->bitmap.granularity);
    number(v, "first-sector", r->bitmap.first_sector);
    number(v, "sectors", r->bitmap.sectors);
}

static void iterable(const Visit *v, const MigRecord *r)
{
    hex(v, "word", r->iterable.word);
    if (r->iterable.has_count) {
        number(v, "count", r->iterable.count);
    }
}

static void return_path(const Visit *v, const MigRecord *r)
{
    const MigRecordRp *rp = &r->rp;
    const char *name = mig_rp_name(rp->type);

    text(v, "message", mig_str(name ? name : "unknown"));
    number(v, "number", rp->type);
    number(v, "length", rp->length);
    switch (rp->type) {
    case MIG_RP_SHUT:
    case MIG_RP_PONG:
    case MIG_RP_RESUME_ACK:
        hex(v, "value", rp->value);
        break;
    case MIG_RP_REQ_PAGES_ID:
        text(v, "block", rp->request.name);
        /* fall through */
    case MIG_RP_REQ_PAGES:
        hex(v, "start", rp->request.start);
        hex(v, "bytes", rp->request.length);
        break;
    case MIG_RP_RECV_BITMAP:
        text(v, "block", rp->bitmap.name);
        number(v, "bitmap-bytes", rp->bitmap.size);
        break;
    default:
        break;
    }
}

static void multifd_init(const Visit *v, const MigRecord *r)
{
    const MigRecordMultifdInit *m = &r->multifd_init;
    hex(v, "magic", m->magic);
    number(v, "version", m->version);
    bytes(v, "uuid", m->uuid, 16);
    number(v, "id", m->id);
}

static void multifd_packet(const Visit *v, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;
    uint32_t pages = MIN(m->normal_pages + m->zero_pages, m->page_count);

    hex(v, "flags", m->flags);
    number(v, "packet-num", m->packet_num);
    number(v, "pages-alloc", m->pages_alloc);
    number(v, "normal-pages", m->normal_pages);
    number(v, "zero-pages", m->zero_pages);
    number(v, "next-packet-size", m->next_packet_size);
    text(v, "block", (MigStr){ m->name, (uint32_t)strnlen(m->name, sizeof(m->name)) });
    for (uint32_t i = 0; i < pages; i++) {
        g_autofree char *name = g_strdup_printf(i < m->normal_pages ? "normal[%u]" : "zero[%u]",
                                                i < m->normal_pages ? i : i - m->normal_pages);
        hex(v, name, m->offsets[i]);
    }
}

static void multifd_device(const Visit *v, const MigRecord *r)
{
    const MigRecordMultifdDevice *m = &r->multifd_device;
    hex(v, "flags", m->flags);
    text(v, "idstr", (MigStr){ m->idstr, (uint32_t)strnlen(m->idstr, sizeof(m->idstr)) });
    number(v, "instance", m->instance);
    number(v, "next-packet-size", m->next_packet_size);
}

static void colo(const Visit *v, const MigRecord *r)
{
    const char *name = mig_colo_name(r->colo.message);
    text(v, "message", mig_str(name ? name : "unknown"));
    if (r->colo.message == MIG_COLO_VMSTATE_SIZE) {
        number(v, "size", r->colo.size);
    }
}

typedef void (*Shower)(const Visit *v, const MigRecord *r);

static const Shower showers[MIG_REC_COUNT] = {
    [MIG_REC_HEADER] = header,
    [MIG_REC_CONFIG] = config,
    [MIG_REC_CONFIG_PAGE_BITS] = page_bits,
    [MIG_REC_CONFIG_CAPABILITIES] = capabilities,
    [MIG_REC_CONFIG_UUID] = uuid,
    [MIG_REC_SECTION] = section,
    [MIG_REC_FOOTER] = footer,
    [MIG_REC_COMMAND] = command,
    [MIG_REC_RAM_MEM_SIZE] = mem_size,
    [MIG_REC_RAM_BLOCK] = block,
    [MIG_REC_RAM_ZERO] = page,
    [MIG_REC_RAM_PAGE] = page,
    [MIG_REC_RAM_XBZRLE] = page,
    [MIG_REC_RAM_COMPRESS] = page,
    [MIG_REC_RAM_HOOK] = mark,
    [MIG_REC_RAM_FLUSH] = mark,
    [MIG_REC_RAM_EOS] = mark,
    [MIG_REC_MAPPED_BITMAP] = mapped,
    [MIG_REC_MAPPED_PAGES] = mapped,
    [MIG_REC_BODY] = body,
    [MIG_REC_BLOCK] = disk,
    [MIG_REC_DIRTY_BITMAP] = dirty_bitmap,
    [MIG_REC_ITERABLE] = iterable,
    [MIG_REC_RP] = return_path,
    [MIG_REC_MULTIFD_INIT] = multifd_init,
    [MIG_REC_MULTIFD_PACKET] = multifd_packet,
    [MIG_REC_MULTIFD_DEVICE] = multifd_device,
    [MIG_REC_COLO] = colo,
};

void mig_record_fields(const MigRecord *r, MigFieldVisit visit, void *opaque)
{
    Visit v = { visit, opaque };
    if (showers[r->type]) {
        showers[r->type](&v, r);
    }
}
