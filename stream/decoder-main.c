/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of the main channel: header, configuration, section headers, footers, EOF,
 * VMDESCRIPTION. Bodies are in decoder-ram.c and decoder-body.c, commands in decoder-command.c.
 *
 * Follows qemu_loadvm_state() and its helpers where they reject, and stays open where they accept
 * (a later consumer judges: duplicates, order, missing sections).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/decoder-internal.h"

static MigStep short_of(const MigCursor *c)
{
    return c->came_short ? MIG_STEP_MORE : MIG_STEP_RECORD;
}

static char *duplicate(MigStr s)
{
    char *copy = malloc(s.len + 1u);
    if (copy) {
        memcpy(copy, s.text, s.len);
        copy[s.len] = '\0';
    }
    return copy;
}

/* ---- what the channels share ---- */

MigSectionEntry *mig_shared_section(MigShared *s, uint32_t id)
{
    /* Newest first: a later START takes an id over. */
    for (uint32_t i = s->section_count; i-- > 0;) {
        if (s->sections[i].id == id) {
            return &s->sections[i];
        }
    }
    return NULL;
}

static void *grow(void *array, uint32_t *cap, size_t size)
{
    uint32_t n = *cap ? *cap * 2 : 8;
    void *p = realloc(array, n * size);
    if (p) {
        *cap = n;
    }
    return p;
}

static MigSectionEntry *section_named(MigShared *s, MigStr idstr, uint32_t instance)
{
    for (uint32_t i = 0; i < s->section_count; i++) {
        if (s->sections[i].instance == instance && mig_str_equal(s->sections[i].idstr, idstr)) {
            return &s->sections[i];
        }
    }
    return NULL;
}

/* A second START of a section takes the new id, and the old id is forgotten, as QEMU does. */
static MigSectionEntry *section_start(MigShared *s, const MigRecordSection *sec)
{
    MigSectionEntry *e = section_named(s, sec->idstr, sec->instance);
    if (!e) {
        if (s->section_count == MIG_LIMIT_SECTIONS) {
            return NULL;
        }
        if (s->section_count == s->section_cap) {
            void *p = grow(s->sections, &s->section_cap, sizeof(*s->sections));
            if (!p) {
                return NULL;
            }
            s->sections = p;
        }
        char *text = duplicate(sec->idstr);
        if (!text) {
            return NULL;
        }
        e = &s->sections[s->section_count++];
        *e = (MigSectionEntry){ .idstr = { text, sec->idstr.len } };
    }
    e->id = sec->id;
    e->instance = sec->instance;
    e->version = sec->version;
    e->open = mig_body_of(e->idstr);
    return e;
}

uint32_t mig_shared_block(const MigShared *s, MigStr name)
{
    for (uint32_t i = 0; i < s->block_count; i++) {
        if (mig_str_equal(s->blocks[i].name, name)) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint32_t mig_shared_add_block(MigShared *s, MigStr name)
{
    if (s->block_count == MIG_LIMIT_BLOCKS) {
        return UINT32_MAX;
    }
    if (s->block_count == s->block_cap) {
        void *p = grow(s->blocks, &s->block_cap, sizeof(*s->blocks));
        if (!p) {
            return UINT32_MAX;
        }
        s->blocks = p;
    }
    char *text = duplicate(name);
    if (!text) {
        return UINT32_MAX;
    }
    s->blocks[s->block_count] = (MigRecordRamBlock){
        .name = { text, name.len },
        .index = s->block_count,
        .used_length = UINT64_MAX,
    };
    return s->block_count++;
}

/* ---- header and configuration ---- */

MigStep mig_parse_header(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[32];
    uint32_t magic = mig_take_be32(c);

    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (magic != MIG_MAGIC) {
        snprintf(found, sizeof(found), "%08" PRIx32, magic);
        return mig_decoder_fail(d, 0, MIG_FAULT_HEADER_MAGIC, found, "5145564d (\"QEVM\")");
    }
    uint32_t version = mig_take_be32(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (version != MIG_VERSION) {
        snprintf(found, sizeof(found), "%" PRIu32, version);
        return mig_decoder_fail(d, 4, MIG_FAULT_HEADER_VERSION, found, "stream version %u",
                                MIG_VERSION);
    }
    *r = (MigRecord){ .type = MIG_REC_HEADER, .header = { magic, version } };
    d->parse = mig_parse_first_item;
    return MIG_STEP_RECORD;
}

static MigStep parse_config(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[32];
    mig_take_u8(c);
    uint32_t len = mig_take_be32(c);

    mig_decoder_label(d, "config", MIG_NO_INDEX);
    if (!c->came_short && len > MIG_LIMIT_MACHINE_NAME) {
        snprintf(found, sizeof(found), "%" PRIu32, len);
        return mig_decoder_fail(d, 1, MIG_FAULT_CONFIG_LENGTH, found,
                                "a machine name of at most %u bytes", MIG_LIMIT_MACHINE_NAME);
    }
    MigStr name = { .text = (const char *)mig_take(c, len), .len = len };
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    free((char *)d->shared->machine.text);
    d->shared->machine = (MigStr){ duplicate(name), len };
    if (d->opt.footers == MIG_AUTO) {
        d->shared->footers = true;
    }
    *r = (MigRecord){ .type = MIG_REC_CONFIG, .config = { d->shared->machine } };
    d->parse = mig_parse_config_subsection;
    return MIG_STEP_RECORD;
}

/* Behind the header: a configuration section, or at once an item in the eras without one. */
MigStep mig_parse_first_item(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    mig_decoder_label(d, "item", MIG_NO_INDEX);
    if (c->n == 0) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    if (c->data[0] == MIG_ITEM_CONFIGURATION) {
        return parse_config(d, c, r);
    }
    d->parse = mig_parse_item;
    return MIG_STEP_AGAIN;
}

static MigStep parse_page_bits(MigDecoder *d, MigCursor *c, MigRecord *r, uint32_t version)
{
    char found[32];
    uint32_t bits = mig_take_be32(c);

    if (!c->came_short && (bits < 10 || bits > MIG_LIMIT_PAGE_BITS)) {
        snprintf(found, sizeof(found), "%" PRIu32, bits);
        return mig_decoder_fail(d, c->at - 4, MIG_FAULT_CONFIG_PAGE_BITS, found,
                                "page bits from 10 to %u", MIG_LIMIT_PAGE_BITS);
    }
    if (!c->came_short) {
        d->shared->page_size = 1u << bits;
        *r = (MigRecord){ .type = MIG_REC_CONFIG_PAGE_BITS, .page_bits = { version, bits } };
    }
    return short_of(c);
}

static MigStep parse_capabilities(MigDecoder *d, MigCursor *c, MigRecord *r, uint32_t version)
{
    char found[32];
    bool ignore_shared = false, mapped_ram = false;
    uint32_t count = mig_take_be32(c);

    if (!c->came_short && count > MIG_LIMIT_CAPABILITIES) {
        snprintf(found, sizeof(found), "%" PRIu32, count);
        return mig_decoder_fail(d, c->at - 4, MIG_FAULT_CONFIG_CAPABILITIES, found,
                                "at most %u capabilities", MIG_LIMIT_CAPABILITIES);
    }
    for (uint32_t i = 0; i < count && !c->came_short; i++) {
        MigStr name = mig_take_cstr(c);
        if (!c->came_short) {
            name = mig_decoder_keep(d, name);
            ignore_shared |= mig_str_equal(name, mig_str("x-ignore-shared"));
            mapped_ram |= mig_str_equal(name, mig_str("mapped-ram"));
            d->capability_names[i] = name;
        }
    }
    if (!c->came_short) {
        d->shared->ignore_shared = ignore_shared;
        d->shared->mapped_ram = mapped_ram;
        *r = (MigRecord){ .type = MIG_REC_CONFIG_CAPABILITIES,
                          .capabilities = { version, count, d->capability_names } };
    }
    return short_of(c);
}

static MigStep parse_uuid(MigDecoder *d, MigCursor *c, MigRecord *r, uint32_t version)
{
    const uint8_t *uuid = mig_take(c, 16);
    if (uuid) {
        *r = (MigRecord){ .type = MIG_REC_CONFIG_UUID, .uuid = { .version = version } };
        memcpy(r->uuid.uuid, uuid, 16);
    }
    return short_of(c);
}

static const struct {
    const char *name, *label;
    MigStep (*parse)(MigDecoder *d, MigCursor *c, MigRecord *r, uint32_t version);
} config_subsections[] = {
    { "configuration/target-page-bits", "config/target-page-bits", parse_page_bits },
    { "configuration/capabilities", "config/capabilities", parse_capabilities },
    { "configuration/uuid", "config/uuid", parse_uuid },
};

static MigStep parse_known_subsection(MigDecoder *d, MigCursor *c, MigRecord *r, size_t which)
{
    char found[32];
    uint32_t version = mig_take_be32(c);

    mig_decoder_label(d, config_subsections[which].label, MIG_NO_INDEX);
    if (!c->came_short && version > 1) {
        snprintf(found, sizeof(found), "version %" PRIu32, version);
        return mig_decoder_fail(d, c->at - 4, MIG_FAULT_CONFIG_SUBSECTION_VERSION, found,
                                "version 1");
    }
    return config_subsections[which].parse(d, c, r, version);
}

MigStep mig_parse_config_subsection(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    if (c->n == 0) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    if (c->data[0] != MIG_ITEM_SUBSECTION) {
        d->parse = mig_parse_item;
        return MIG_STEP_AGAIN;
    }
    mig_take_u8(c);
    MigStr name = mig_take_cstr(c);
    mig_decoder_label(d, "config/subsection", MIG_NO_INDEX);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    for (size_t i = 0; i < sizeof(config_subsections) / sizeof(config_subsections[0]); i++) {
        if (mig_str_equal(name, mig_str(config_subsections[i].name))) {
            return parse_known_subsection(d, c, r, i);
        }
    }
    return mig_decoder_fail(d, 1, MIG_FAULT_CONFIG_SUBSECTION, mig_decoder_keep(d, name).text,
                            "a known configuration subsection");
}

/* ---- items ---- */

static void enter_section(MigDecoder *d, uint32_t part)
{
    d->in_section = true;
    d->part_index = part;
    d->scanned = 0;
    d->pages = 0;
    d->chunks = 0;
    d->list_left = 0;
    mig_decoder_label(d, NULL, MIG_NO_INDEX);
}

static MigStep section_record(MigDecoder *d, MigRecord *r)
{
    *r = (MigRecord){ .type = MIG_REC_SECTION, .section = d->section };
    d->open(d);
    return MIG_STEP_RECORD;
}

static MigStep check_ram_version(MigDecoder *d, size_t at, const MigRecordSection *sec)
{
    char found[32];
    if (!mig_str_equal(sec->idstr, mig_str("ram")) || sec->version == MIG_RAM_VERSION) {
        return MIG_STEP_RECORD;
    }
    snprintf(found, sizeof(found), "version %" PRIu32, sec->version);
    return mig_decoder_fail(d, at, MIG_FAULT_RAM_VERSION, found, "version %u of section ram",
                            MIG_RAM_VERSION);
}

/* START and FULL carry the section's full name. */
static MigStep parse_full_header(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordSection sec = { .kind = (MigItem)mig_take_u8(c) };
    sec.id = mig_take_be32(c);
    sec.idstr = mig_take_cstr(c);
    sec.instance = mig_take_be32(c);
    sec.version = mig_take_be32(c);

    mig_decoder_label(d, "section", MIG_NO_INDEX);
    if (c->n > 5 && c->data[5] == 0) {
        return mig_decoder_fail(d, 5, MIG_FAULT_SECTION_IDSTR, "a name of 0 bytes",
                                "a section name of 1 to 255 bytes");
    }
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (check_ram_version(d, c->at - 4, &sec) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    memcpy(d->idstr, sec.idstr.text, sec.idstr.len);
    d->idstr[sec.idstr.len] = '\0';
    sec.idstr.text = d->idstr;
    d->open = mig_body_of(sec.idstr);
    /* To QEMU the two are one: PART and END of an iterable that came as FULL are loaded as well. */
    if (sec.kind == MIG_ITEM_START || mig_str_equal(sec.idstr, mig_str("ram"))) {
        MigSectionEntry *e = section_start(d->shared, &sec);
        if (!e) {
            return mig_decoder_fail(d, 0, MIG_FAULT_SECTION_LIMIT, "one more",
                                    "at most %u sections", MIG_LIMIT_SECTIONS);
        }
        e->parts = 0;
        sec.idstr = e->idstr;
    }
    d->section = sec;
    enter_section(d, MIG_NO_INDEX);
    return section_record(d, r);
}

static MigStep parse_part_header(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[48];
    MigItem kind = (MigItem)mig_take_u8(c);
    uint32_t id = mig_take_be32(c);

    mig_decoder_label(d, "section", MIG_NO_INDEX);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    MigSectionEntry *e = mig_shared_section(d->shared, id);
    if (!e) {
        snprintf(found, sizeof(found), "%s of section %" PRIu32, mig_item_name(kind), id);
        return mig_decoder_fail(d, 1, MIG_FAULT_SECTION_UNKNOWN, found,
                                "the id of a section that was started");
    }
    d->section = (MigRecordSection){ kind, id, e->idstr, e->instance, e->version };
    d->open = e->open;
    enter_section(d, kind == MIG_ITEM_PART ? e->parts++ : MIG_NO_INDEX);
    return section_record(d, r);
}

static MigStep parse_eof(MigDecoder *d, MigCursor *c, MigRecord *r);

static MigStep parse_stray_config(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    return mig_decoder_fail(d, 0, MIG_FAULT_CONFIG_REPEATED, "07 (configuration)",
                            "an item: 00, 01, 02, 03, 04 or 08");
}

static const MigParse items[] = {
    [MIG_ITEM_EOF] = parse_eof,
    [MIG_ITEM_START] = parse_full_header,
    [MIG_ITEM_PART] = parse_part_header,
    [MIG_ITEM_END] = parse_part_header,
    [MIG_ITEM_FULL] = parse_full_header,
    [MIG_ITEM_CONFIGURATION] = parse_stray_config,
    [MIG_ITEM_COMMAND] = mig_parse_command,
};

MigStep mig_parse_item(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[16];

    d->in_section = false;
    mig_decoder_label(d, "item", MIG_NO_INDEX);
    if (c->n == 0) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    uint8_t type = c->data[0];
    if (type >= sizeof(items) / sizeof(items[0]) || !items[type]) {
        snprintf(found, sizeof(found), "%02x", type);
        return mig_decoder_fail(d, 0, MIG_FAULT_ITEM_TYPE, found,
                                "an item: 00, 01, 02, 03, 04 or 08");
    }
    return items[type](d, c, r);
}

/* ---- footers ---- */

void mig_decoder_body_done(MigDecoder *d)
{
    if (d->opt.channel == MIG_CHANNEL_PREEMPT) {
        return;
    }
    if (d->section.kind == MIG_ITEM_FULL) {
        d->ordinal++;
    }
    d->parse = d->shared->footers ? mig_parse_footer : mig_parse_item;
}

MigStep mig_parse_footer(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[32];

    mig_decoder_label(d, "footer", MIG_NO_INDEX);
    uint8_t type = mig_take_u8(c);
    if (!c->came_short && type != MIG_ITEM_FOOTER) {
        snprintf(found, sizeof(found), "%02x", type);
        return mig_decoder_fail(d, 0, MIG_FAULT_FOOTER_MISSING, found,
                                "7e, the footer of section %" PRIu32, d->section.id);
    }
    uint32_t id = mig_take_be32(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (id != d->section.id) {
        snprintf(found, sizeof(found), "%" PRIu32, id);
        return mig_decoder_fail(d, 1, MIG_FAULT_FOOTER_ID, found, "section id %" PRIu32,
                                d->section.id);
    }
    *r = (MigRecord){ .type = MIG_REC_FOOTER, .footer = { id } };
    d->parse = mig_parse_item;
    return MIG_STEP_RECORD;
}

/* ---- the end ---- */

/*
 * Behind the end: nothing, or the words of COLO, which begin with a request for a checkpoint.
 * Anything else is ignored by QEMU, and counted here.
 */
static MigStep parse_end(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    if (c->n == 0 && d->eof) {
        return MIG_STEP_END;
    }
    uint32_t word = mig_take_be32(c);
    if (c->came_short && !d->eof) {
        return MIG_STEP_MORE;
    }
    if (c->came_short || word != MIG_COLO_CHECKPOINT_REQUEST) {
        return MIG_STEP_END;
    }
    c->at = 0;
    d->shared->colo = true;
    d->checkpoints = true;
    d->parse = mig_parse_colo;
    return MIG_STEP_AGAIN;
}

/* Behind EOF: the VMDESCRIPTION, or the end. */
static MigStep parse_after_eof(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[32];

    d->parse = parse_end;
    if (c->n == 0) {
        d->parse = d->eof ? parse_end : parse_after_eof;
        c->came_short = !d->eof;
        return d->eof ? MIG_STEP_AGAIN : MIG_STEP_MORE;
    }
    if (c->data[0] != MIG_ITEM_VMDESCRIPTION) {
        return MIG_STEP_AGAIN;
    }
    mig_decoder_label(d, "vmdesc", MIG_NO_INDEX);
    mig_take_u8(c);
    uint32_t len = mig_take_be32(c);
    if (c->came_short) {
        d->parse = parse_after_eof;
        return MIG_STEP_MORE;
    }
    if (len > MIG_LIMIT_VMDESC) {
        snprintf(found, sizeof(found), "%" PRIu32, len);
        return mig_decoder_fail(d, 1, MIG_FAULT_VMDESC_LENGTH, found, "at most %u bytes of text",
                                MIG_LIMIT_VMDESC);
    }
    *r = (MigRecord){ .type = MIG_REC_VMDESC, .payload = len };
    return MIG_STEP_RECORD;
}

static MigStep parse_eof(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    mig_take_u8(c);
    mig_decoder_label(d, "eof", MIG_NO_INDEX);
    *r = (MigRecord){ .type = MIG_REC_END_OF_STREAM };
    if (d->depth == 0 && !c->came_short) {
        d->shared->ended = true;
        d->parse = d->checkpoints ? mig_parse_colo : parse_after_eof;
    }
    return short_of(c);
}
