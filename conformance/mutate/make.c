/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of structure. Each sets m->first, the first record that the decoder must see otherwise
 * than before, and m->offset, the first byte of that change.
 */
#include "conformance/mutate/make.h"

#include <string.h>

static const uint8_t *bytes_at(const MigMutateSource *s, uint64_t offset)
{
    return s->bytes->data + offset;
}

guint mig_section_last(const MigMutateSource *s, guint site)
{
    guint i = site;
    while (i + 1 < s->sites->len && mig_site(s, i + 1)->section == site) {
        i++;
    }
    return i;
}

static uint64_t section_end(const MigMutateSource *s, guint site)
{
    return mig_site_end(mig_site(s, mig_section_last(s, site)));
}

static void at(MigMutant *m, guint first, uint64_t offset)
{
    m->first = first;
    m->offset = offset;
}

/* ---- whole records ---- */

void mig_make_drop_record(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *site = mig_site(s, m->site);
    at(m, m->site, site->r.offset);
    mig_mutant_replace(m, site->r.offset, mig_site_end(site) - site->r.offset, NULL, 0);
}

void mig_make_repeat_record(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *site = mig_site(s, m->site);
    uint64_t end = mig_site_end(site);
    at(m, m->site + 1, end);
    mig_mutant_replace(m, end, 0, bytes_at(s, site->r.offset), end - site->r.offset);
}

/* Moves [from, to) in front of |where|, which is before it. */
static void move_up(const MigMutateSource *s, MigMutant *m, uint64_t from, uint64_t to,
                    uint64_t where)
{
    mig_mutant_replace(m, from, to - from, NULL, 0);
    mig_mutant_replace(m, where, 0, bytes_at(s, from), to - from);
}

void mig_make_swap_records(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *a = mig_site(s, m->site), *b = mig_site(s, m->site + 1);
    at(m, m->site, a->r.offset);
    move_up(s, m, b->r.offset, mig_site_end(b), a->r.offset);
}

/* ---- sections ---- */

void mig_make_drop_section(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    uint64_t from = mig_site(s, m->site)->r.offset;
    at(m, m->site, from);
    mig_mutant_replace(m, from, section_end(s, m->site) - from, NULL, 0);
}

void mig_make_repeat_section(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    uint64_t from = mig_site(s, m->site)->r.offset, end = section_end(s, m->site);
    at(m, mig_section_last(s, m->site) + 1, end);
    mig_mutant_replace(m, end, 0, bytes_at(s, from), end - from);
}

void mig_make_swap_sections(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    guint next = mig_section_last(s, m->site) + 1;
    uint64_t where = mig_site(s, m->site)->r.offset;
    at(m, m->site, where);
    move_up(s, m, mig_site(s, next)->r.offset, section_end(s, next), where);
}

static guint find_ram(const MigMutateSource *s, MigItem kind)
{
    for (guint i = 0; i < s->sites->len; i++) {
        const MigSite *site = mig_site(s, i);
        if (site->r.type == MIG_REC_SECTION && site->kind == kind &&
            strcmp(site->idstr, "ram") == 0) {
            return i;
        }
    }
    return G_MAXUINT;
}

void mig_make_move_before_ram(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    guint start = find_ram(s, MIG_ITEM_START);
    uint64_t where = mig_site(s, start)->r.offset;
    at(m, start, where);
    move_up(s, m, mig_site(s, m->site)->r.offset, section_end(s, m->site), where);
}

/* A copy of a PART behind the END of its section. */
void mig_make_move_behind_end(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    guint end = find_ram(s, MIG_ITEM_END);
    uint64_t from = mig_site(s, m->site)->r.offset, where = section_end(s, end);
    at(m, mig_section_last(s, end) + 1, where);
    mig_mutant_replace(m, where, 0, bytes_at(s, from), section_end(s, m->site) - from);
}

/* EOS, footer and a new header of the same section in front of a page that names its block. */
void mig_make_split_part(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *page = mig_site(s, m->site), *header = mig_site(s, page->section);
    g_autoptr(GByteArray) b = g_byte_array_new();
    MigRecord eos = { .type = MIG_REC_RAM_EOS };
    MigRecord footer = { .type = MIG_REC_FOOTER, .footer.id = header->r.section.id };
    MigRecord named = page->r;

    named.ram.cont = false;
    mig_mutate_encode(b, &eos);
    if (s->footers) {
        mig_mutate_encode(b, &footer);
    }
    mig_mutate_encode(b, &header->r);
    mig_mutate_encode(b, &named);
    at(m, m->site, page->r.offset);
    mig_mutant_replace(m, page->r.offset, page->r.wire, b->data, b->len);
}

/* ---- ends ---- */

static void truncate_at(const MigMutateSource *s, MigMutant *m, guint first, uint64_t offset)
{
    at(m, first, offset);
    mig_mutant_replace(m, offset, s->bytes->len - offset, NULL, 0);
}

void mig_make_truncate_before(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    truncate_at(s, m, m->site, mig_site(s, m->site)->r.offset);
}

void mig_make_truncate_inside(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *site = mig_site(s, m->site);
    uint64_t n = mig_site_end(site) - site->r.offset;
    /* A record of one byte has no inside. */
    uint64_t more = n > 1 ? 1 + mig_prng_below(prng, n - 1) : 0;
    /* A cut in the payload leaves the record itself as it was: the next one is not there. */
    truncate_at(s, m, m->site + (more >= site->r.wire ? 1 : 0), site->r.offset + more);
}

void mig_make_trail(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    uint8_t junk[16];
    gsize n = 1 + (gsize)mig_prng_below(prng, sizeof(junk));
    for (gsize i = 0; i < n; i++) {
        junk[i] = (uint8_t)mig_prng_next(prng);
    }
    at(m, s->sites->len, s->bytes->len);
    mig_mutant_replace(m, s->bytes->len, 0, junk, n);
}

/* ---- payload ---- */

static void set_byte(const MigMutateSource *s, MigMutant *m, uint64_t offset, uint8_t value)
{
    at(m, m->site, offset);
    mig_mutant_replace(m, offset, 1, &value, 1);
}

static uint64_t payload_at(const MigSite *site)
{
    return site->r.offset + site->r.wire;
}

void mig_make_flip_payload(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *site = mig_site(s, m->site);
    uint64_t offset = payload_at(site) + mig_prng_below(prng, site->r.payload);
    uint8_t bit = (uint8_t)(1u << mig_prng_below(prng, 8));
    set_byte(s, m, offset, *bytes_at(s, offset) ^ bit);
}

void mig_make_first_byte(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    set_byte(s, m, payload_at(mig_site(s, m->site)), 'x');
}

void mig_make_last_byte(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *site = mig_site(s, m->site);
    uint64_t offset = mig_site_end(site) - 1;
    set_byte(s, m, offset, (uint8_t)(*bytes_at(s, offset) + 1 + mig_prng_below(prng, 255)));
}

void mig_make_grow_body(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t zero;
    uint64_t offset = payload_at(mig_site(s, m->site));
    at(m, m->site, offset);
    mig_mutant_replace(m, offset, 0, &zero, 1);
}

/* The page's own bytes instead of the word for zeros: the same memory. */
void mig_make_spell_out_zero(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    const MigSite *site = mig_site(s, m->site);
    g_autoptr(GByteArray) b = g_byte_array_new();
    MigRecord page = site->r;

    page.type = MIG_REC_RAM_PAGE;
    mig_mutate_encode(b, &page);
    guint head = b->len;
    g_byte_array_set_size(b, head + s->page_size);
    memset(b->data + head, site->r.ram.fill, s->page_size);
    at(m, m->site, site->r.offset);
    mig_mutant_replace(m, site->r.offset, mig_site_end(site) - site->r.offset, b->data, b->len);
}

/* ---- fields that are no numbers ---- */

static void recode(const MigMutateSource *s, MigMutant *m, const MigRecord *changed)
{
    const MigSite *site = mig_site(s, m->site);
    g_autoptr(GByteArray) b = g_byte_array_new();

    mig_mutate_encode(b, changed);
    at(m, m->site, site->r.offset);
    mig_mutant_replace(m, site->r.offset, site->r.wire, b->data, b->len);
}

void mig_make_name_block(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    MigRecord r = mig_site(s, m->site)->r;
    r.ram.cont = !r.ram.cont;
    recode(s, m, &r);
}

static MigStr *name_of(MigRecord *r)
{
    return r->type == MIG_REC_CONFIG      ? &r->config.machine
           : r->type == MIG_REC_SECTION   ? &r->section.idstr
           : r->type == MIG_REC_RAM_BLOCK ? &r->block.name
                                          : &r->ram.name;
}

static void rename_record(const MigMutateSource *s, MigMutant *m, MigPrng *prng, char to,
                          bool empty)
{
    MigRecord r = mig_site(s, m->site)->r;
    MigStr *name = name_of(&r);
    g_autofree char *copy = g_strndup(name->text, name->len);
    uint64_t i = mig_prng_below(prng, MAX(name->len, 1));

    copy[i] = to == '?' ? (copy[i] == 'Z' ? 'Y' : 'Z') : to;
    *name = (MigStr){ copy, empty ? 0 : name->len };
    recode(s, m, &r);
}

void mig_make_flip_name(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    rename_record(s, m, prng, '?', false);
}

void mig_make_empty_name(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    rename_record(s, m, prng, '?', true);
}

void mig_make_nul_name(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    rename_record(s, m, prng, '\0', false);
}

/* A VMDESCRIPTION whose length leaves out its last byte. */
void mig_make_short_length(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    MigRecord r = mig_site(s, m->site)->r;
    r.payload--;
    recode(s, m, &r);
}

/* A delta of a page and a byte. */
void mig_make_long_delta(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    MigRecord r = mig_site(s, m->site)->r;
    r.payload = s->page_size + 1;
    recode(s, m, &r);
}

/* The first run of a delta goes beyond the page: 0x3fff in LEB128. */
void mig_make_run_over(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t run[2] = { 0xff, 0x7f };
    uint64_t offset = payload_at(mig_site(s, m->site));
    at(m, m->site, offset);
    mig_mutant_replace(m, offset, 2, run, 2);
}
