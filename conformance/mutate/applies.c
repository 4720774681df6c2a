/* SPDX-License-Identifier: Apache-2.0 */
/* Where a mutator breaks what it says, and nothing else would be broken first. */
#include <string.h>

#include "conformance/mutate/make.h"

static bool is_page(const MigSite *site)
{
    return site->r.type >= MIG_REC_RAM_ZERO && site->r.type <= MIG_REC_RAM_COMPRESS;
}

static bool is_plain_page(const MigSite *site)
{
    return site->r.type == MIG_REC_RAM_ZERO || site->r.type == MIG_REC_RAM_PAGE;
}

bool mig_applies_footers(const MigMutateSource *s, guint site, uint64_t value)
{
    return s->footers;
}

/* A configuration without subsections, which would stand there without it. */
bool mig_applies_plain_config(const MigMutateSource *s, guint site, uint64_t value)
{
    MigRecordType next = mig_site(s, site + 1)->r.type;
    return s->footers && (next == MIG_REC_SECTION || next == MIG_REC_COMMAND);
}

bool mig_applies_unstarted_id(const MigMutateSource *s, guint site, uint64_t value)
{
    for (guint i = 0; i < s->sites->len; i++) {
        const MigSite *other = mig_site(s, i);
        if (other->r.type == MIG_REC_SECTION && other->kind == MIG_ITEM_START &&
            other->r.section.id == value) {
            return false;
        }
    }
    return true;
}

static guint times_sent(const MigMutateSource *s, const MigRecord *r)
{
    g_autofree char *key = g_strdup_printf("%u:%" G_GUINT64_FORMAT, r->ram.block, r->ram.offset);
    return GPOINTER_TO_UINT(g_hash_table_lookup(s->sent, key));
}

/* Sent once, and not the one that names the block for those behind it. */
bool mig_applies_once(const MigMutateSource *s, guint site, uint64_t value)
{
    const MigSite *page = mig_site(s, site);
    return is_page(page) && page->r.ram.cont && times_sent(s, &page->r) == 1;
}

bool mig_applies_beyond_block(const MigMutateSource *s, guint site, uint64_t value)
{
    const MigRecord *r = &mig_site(s, site)->r;
    const MigRecordRamBlock *b =
        mig_decoder_block(mig_stream_reader_decoder(s->reader), r->ram.block);
    return b && value >= b->used_length;
}

/* To another page of the block, while this one is sent nowhere else. */
bool mig_applies_moved_page(const MigMutateSource *s, guint site, uint64_t value)
{
    return mig_applies_once(s, site, value) && !mig_applies_beyond_block(s, site, value);
}

bool mig_applies_named(const MigMutateSource *s, guint site, uint64_t value)
{
    for (guint i = site; i-- > 0;) {
        if (is_page(mig_site(s, i))) {
            return false;
        }
    }
    return !mig_site(s, site)->r.ram.cont;
}

bool mig_applies_continued(const MigMutateSource *s, guint site, uint64_t value)
{
    return mig_site(s, site)->r.ram.cont;
}

/* Two pages one behind the other that don't depend on each other. */
bool mig_applies_swap(const MigMutateSource *s, guint site, uint64_t value)
{
    if (site + 1 >= s->sites->len) {
        return false;
    }
    const MigSite *a = mig_site(s, site), *b = mig_site(s, site + 1);
    return is_plain_page(a) && is_plain_page(b) && a->r.ram.cont && b->r.ram.cont &&
           a->r.ram.offset != b->r.ram.offset;
}

static bool is_device(const MigMutateSource *s, guint site)
{
    const MigSite *d = mig_site(s, site);
    return d->r.type == MIG_REC_SECTION && d->kind == MIG_ITEM_FULL && d->r.depth == 0;
}

bool mig_applies_vmdesc(const MigMutateSource *s, guint site, uint64_t value)
{
    return mig_site(s, s->sites->len - 1)->r.type == MIG_REC_VMDESC;
}

bool mig_applies_plain_device(const MigMutateSource *s, guint site, uint64_t value)
{
    return is_device(s, site) && strcmp(mig_site(s, site)->idstr, "globalstate") != 0 &&
           mig_applies_vmdesc(s, site, value);
}

/* Two devices of different names, neither of them globalstate. */
bool mig_applies_swap_devices(const MigMutateSource *s, guint site, uint64_t value)
{
    guint next = mig_section_last(s, site) + 1;
    return mig_applies_plain_device(s, site, value) && next < s->sites->len &&
           mig_applies_plain_device(s, next, value) &&
           strcmp(mig_site(s, site)->idstr, mig_site(s, next)->idstr) != 0;
}

bool mig_applies_before_globalstate(const MigMutateSource *s, guint site, uint64_t value)
{
    guint next = mig_section_last(s, site) + 1;
    return is_device(s, site) && next < s->sites->len && is_device(s, next) &&
           strcmp(mig_site(s, next)->idstr, "globalstate") == 0;
}

/* A body whose end only the VMDESCRIPTION tells: no one looks into it. */
bool mig_applies_described(const MigMutateSource *s, guint site, uint64_t value)
{
    const MigSite *body = mig_site(s, site);
    return body->r.payload > 0 && body->r.body.how == MIG_BODY_VMDESC && s->footers;
}

bool mig_applies_until_9_2(const MigMutateSource *s, guint site, uint64_t value)
{
    return s->machine && s->machine < MIG_VERSION_OF(10, 0);
}

bool mig_applies_since_10(const MigMutateSource *s, guint site, uint64_t value)
{
    return s->machine >= MIG_VERSION_OF(10, 0);
}

static bool has_type(const MigMutateSource *s, MigRecordType type)
{
    for (guint i = 0; i < s->sites->len; i++) {
        if (mig_site(s, i)->r.type == type) {
            return true;
        }
    }
    return false;
}

bool mig_applies_precopy(const MigMutateSource *s, guint site, uint64_t value)
{
    for (guint i = 0; i < s->sites->len; i++) {
        const MigSite *c = mig_site(s, i);
        if (c->r.type == MIG_REC_COMMAND && c->r.command.number != MIG_CMD_SWITCHOVER_START) {
            return false;
        }
    }
    return true;
}

bool mig_applies_part_behind(const MigMutateSource *s, guint site, uint64_t value)
{
    return has_type(s, MIG_REC_RAM_EOS) && !has_type(s, MIG_REC_RAM_XBZRLE);
}

bool mig_applies_no_delta(const MigMutateSource *s, guint site, uint64_t value)
{
    return !has_type(s, MIG_REC_RAM_XBZRLE);
}

/* A section of which some page is sent nowhere else, and that names no block for others. */
bool mig_applies_pages_once(const MigMutateSource *s, guint site, uint64_t value)
{
    guint last = mig_section_last(s, site);
    bool once = false;

    for (guint i = site + 1; i <= last; i++) {
        once = once || (is_page(mig_site(s, i)) && times_sent(s, &mig_site(s, i)->r) == 1);
    }
    for (guint i = last + 1; i < s->sites->len; i++) {
        if (is_page(mig_site(s, i))) {
            return once && !mig_site(s, i)->r.ram.cont && mig_applies_no_delta(s, site, value);
        }
    }
    return once;
}

/* A total that no number of blocks adds up to. */
bool mig_applies_total(const MigMutateSource *s, guint site, uint64_t value)
{
    const MigDecoder *decoder = mig_stream_reader_decoder(s->reader);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < mig_decoder_block_count(decoder); i++) {
        if (sum == value) {
            return false;
        }
        sum += mig_decoder_block(decoder, i)->used_length;
    }
    return value < sum;
}

/* Without SWITCHOVER_START it may be a background snapshot, which has no END. */
bool mig_applies_switchover(const MigMutateSource *s, guint site, uint64_t value)
{
    for (guint i = 0; i < s->sites->len; i++) {
        const MigSite *c = mig_site(s, i);
        if (c->r.type == MIG_REC_COMMAND && c->r.command.number == MIG_CMD_SWITCHOVER_START) {
            return true;
        }
    }
    return false;
}

/* The last block, longer than what is left of the total. */
bool mig_applies_length(const MigMutateSource *s, guint site, uint64_t value)
{
    const MigSite *block = mig_site(s, site);
    return site + 1 < s->sites->len && mig_site(s, site + 1)->r.type == MIG_REC_RAM_EOS &&
           value > block->r.block.used_length && value < (UINT64_C(1) << 40);
}

bool mig_applies_one_block(const MigMutateSource *s, guint site, uint64_t value)
{
    return mig_decoder_block_count(mig_stream_reader_decoder(s->reader)) == 1 &&
           g_hash_table_size(s->sent) > 0;
}

bool mig_applies_mapped(const MigMutateSource *s, guint site, uint64_t value)
{
    return mig_site(s, site)->r.block.has_mapped;
}
