/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes that no record can express: bytes of an item that the encoder would refuse to make, and
 * texts of the description. Each is put where a record begins or where a field of it stands.
 */
#include <string.h>

#include "conformance/mutate/make.h"
#include "stream/bytes.h"

static void put(const MigMutateSource *s, MigMutant *m, uint64_t offset, gsize cut,
                const void *bytes, gsize n)
{
    m->first = m->site;
    m->offset = offset;
    mig_mutant_replace(m, offset, cut, bytes, n);
}

static void in_front(const MigMutateSource *s, MigMutant *m, const void *bytes, gsize n)
{
    put(s, m, mig_site(s, m->site)->r.offset, 0, bytes, n);
}

void mig_make_as_full(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t full = MIG_ITEM_FULL;
    put(s, m, mig_site(s, m->site)->r.offset, 1, &full, 1);
}

/* All sections of ram. */
void mig_make_drop_ram(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    for (guint i = s->sites->len; i-- > m->site;) {
        const MigSite *site = mig_site(s, i);
        if (site->r.type == MIG_REC_SECTION && strcmp(site->idstr, "ram") == 0) {
            uint64_t from = site->r.offset;
            put(s, m, from, mig_site_end(mig_site(s, mig_section_last(s, i))) - from, NULL, 0);
        }
    }
}

/* The word of a RAM record with flags that no release has, or with none. */
void mig_make_bad_flags(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t flags[][2] = { { 0x04, 0 }, { 0, 0 }, { 0, 0x01 }, { 0, 0x0a } };
    const uint8_t *drawn = flags[mig_prng_below(prng, G_N_ELEMENTS(flags))];
    const MigSite *site = mig_site(s, m->site);
    const uint8_t low[] = { drawn[0], drawn[1] | (site->r.ram.cont ? MIG_RAM_FLAG_CONTINUE : 0) };

    put(s, m, site->r.offset + 6, 2, low, 2);
}

/* A zero page in front of the EOS of START, with the name of the first block. */
void mig_make_page_in_start(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    g_autoptr(GByteArray) b = g_byte_array_new();
    MigRecord page = { .type = MIG_REC_RAM_ZERO };

    for (guint i = m->site; i-- > 0;) {
        if (mig_site(s, i)->r.type == MIG_REC_RAM_BLOCK) {
            page.ram.name = mig_site(s, i)->r.block.name;
            break;
        }
    }
    mig_mutate_encode(b, &page);
    in_front(s, m, b->data, b->len);
}

void mig_make_command_length(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t open[] = {
        MIG_ITEM_COMMAND, 0, MIG_CMD_OPEN_RETURN_PATH, 0, 4, 0, 0, 0, 0
    };
    in_front(s, m, open, sizeof(open));
}

void mig_make_package_nested(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t nested[] = { MIG_ITEM_COMMAND, 0, MIG_CMD_PACKAGED, 0, 4, 0, 0, 0, 9,
                                      MIG_ITEM_COMMAND, 0, MIG_CMD_PACKAGED, 0, 4, 0, 0, 0, 0 };
    in_front(s, m, nested, sizeof(nested));
}

void mig_make_config_length(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff };
    put(s, m, mig_site(s, m->site)->r.offset + 1, 4, huge, 4);
}

void mig_make_config_unknown(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const char name[] = "configuration/unknown";
    g_autoptr(GByteArray) b = g_byte_array_new();
    const uint8_t head[] = { MIG_ITEM_SUBSECTION, sizeof(name) - 1 }, version[] = { 0, 0, 0, 1 };

    g_byte_array_append(b, head, sizeof(head));
    g_byte_array_append(b, (const guint8 *)name, sizeof(name) - 1);
    g_byte_array_append(b, version, sizeof(version));
    in_front(s, m, b->data, b->len);
}

/* A letter of the run state's name. */
void mig_make_state_name(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    put(s, m, mig_site(s, m->site)->r.offset + 4, 1, "X", 1);
}

/* ---- the description ---- */

static uint64_t text_at(const MigSite *site)
{
    return site->r.offset + site->r.wire;
}

/* Where behind |key| the digits of a number end, in the text; 0: nowhere. */
static gsize number_end(const MigMutateSource *s, guint site, const char *key)
{
    const MigSite *d = mig_site(s, site);
    g_autofree char *text = g_strndup((const char *)s->bytes->data + text_at(d), d->r.payload);
    const char *found = strstr(text, key);
    gsize at = found ? (gsize)(found - text) + strlen(key) : 0;

    while (at && !g_ascii_isdigit(text[at]) && text[at]) {
        at++;
    }
    while (at && g_ascii_isdigit(text[at])) {
        at++;
    }
    return at;
}

static void other_digit(const MigMutateSource *s, MigMutant *m, const char *key)
{
    uint64_t at = text_at(mig_site(s, m->site)) + number_end(s, m->site, key) - 1;
    uint8_t digit = s->bytes->data[at] == '9' ? '8' : (uint8_t)(s->bytes->data[at] + 1);
    put(s, m, at, 1, &digit, 1);
}

void mig_make_vmdesc_page(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    other_digit(s, m, "\"page_size\"");
}

/* A size behind an object is that of a struct, whose fields stand in the object. */
static const char struct_size[] = "}, \"size\"";

void mig_make_vmdesc_size(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    other_digit(s, m, struct_size);
}

bool mig_applies_structs(const MigMutateSource *s, guint site, uint64_t value)
{
    return number_end(s, site, struct_size) > 0;
}

/* ---- mapped-ram ---- */

/*
 * The block loses its last page, which has contents: the bit of that page stays behind the end. The
 * site is the block list's total.
 */
void mig_make_mapped_tail(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    uint8_t word[8];
    MigRecord total = mig_site(s, m->site)->r;

    for (guint i = s->sites->len; i-- > m->site;) {
        const MigRecord *r = &mig_site(s, i)->r;
        if (r->type == MIG_REC_MAPPED_PAGES) {
            put(s, m, mig_site_end(mig_site(s, i)) - s->page_size, s->page_size, NULL, 0);
        } else if (r->type == MIG_REC_RAM_BLOCK) {
            mig_store_be64(word, r->block.used_length - s->page_size);
            put(s, m, r->offset + 1 + r->block.name.len, 8, word, 8);
        }
    }
    mig_store_be64(word, (total.ram.offset - s->page_size) | MIG_RAM_FLAG_MEM_SIZE);
    put(s, m, total.offset, 8, word, 8);
}

/* One block whose last page has its bit set. */
bool mig_applies_mapped_tail(const MigMutateSource *s, guint site, uint64_t value)
{
    guint blocks = 0;
    bool last = false;

    for (guint i = site; i < s->sites->len; i++) {
        const MigRecord *r = &mig_site(s, i)->r;
        blocks += r->type == MIG_REC_RAM_BLOCK;
        if (r->type == MIG_REC_MAPPED_BITMAP && r->payload) {
            last = s->bytes->data[mig_site_end(mig_site(s, i)) - 1] & 0x80;
        }
    }
    return blocks == 1 && last;
}
