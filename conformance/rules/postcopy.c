/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy: discards, the package, and pages that are placed once. The commands' own order is in
 * command.c, the preempt channel and recoveries in recovery.c.
 *
 * Model: a page of the postcopy phase is one behind RUN on the main channel, or any on the others.
 * Pages are kept in maps under a cap; past it those rules are inconclusive.
 */
#include "conformance/check.h"
#include "conformance/page-map.h"

enum {
    DISCARD_BLOCK,
    DISCARD_BOUNDED,
    DISCARD_ALIGNED,
    DISCARD_EMPTY,
    DISCARD_COUNT,
    PACKAGE_LISTEN,
    PACKAGE_RUN,
    MARKS_NONE,
    NAME_FIRST,
    HOST_PAGE,
    PAGE_ONCE,
    PAGE_DISCARDED,
    PAGE_COVERAGE,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [DISCARD_BLOCK] = {
        .id = "POSTCOPY-DISCARD-BLOCK",
        .title = "RAM_DISCARD names a block of the list",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.3 RAM_DISCARD; ram_discard_range()",
        .since = "2.5",
        .why = "no such block",
        .killed_by = "discard-block",
    },
    [DISCARD_BOUNDED] = {
        .id = "POSTCOPY-DISCARD-BOUNDED",
        .title = "discarded ranges lie inside their block",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.3 RAM_DISCARD; ram_block_discard_range()",
        .since = "2.5",
        .why = "the destination stops",
        .killed_by = "discard-end",
    },
    [DISCARD_ALIGNED] = {
        .id = "POSTCOPY-DISCARD-ALIGNED",
        .title = "discarded ranges are whole host pages",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.3 RAM_DISCARD; ram_block_discard_range()",
        .since = "2.5",
        .why = "the destination stops",
        .killed_by = "discard-odd",
    },
    [DISCARD_EMPTY] = {
        .id = "POSTCOPY-DISCARD-EMPTY",
        .title = "a discarded range is not empty",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "7.3 RAM_DISCARD; postcopy_discard_send_range()",
        .since = "2.5",
        .why = "it does nothing",
        .killed_by = "discard-empty",
    },
    [DISCARD_COUNT] = {
        .id = "POSTCOPY-DISCARD-COUNT",
        .title = "RAM_DISCARD has at most 12 ranges",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "7.3 RAM_DISCARD; MAX_DISCARDS_PER_COMMAND",
        .since = "2.5",
        .why = "longer lists are split",
        .killed_by = "discard-thirteen",
    },
    [PACKAGE_LISTEN] = {
        .id = "POSTCOPY-PACKAGE-LISTEN",
        .title = "the package begins with LISTEN",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_VARIES,
        .source = "2.3 PACKAGED; postcopy_start()",
        .since = "2.5",
        .why = "devices are loaded while pages arrive",
        .killed_by = "package-listen-late",
    },
    [PACKAGE_RUN] = {
        .id = "POSTCOPY-PACKAGE-RUN",
        .title = "the package ends with RUN",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "2.3 PACKAGED; loadvm_postcopy_handle_run()",
        .since = "2.5",
        .why = "a destination reads on behind its end, or leaves what stands behind "
                 "RUN unread",
        .killed_by = "package-run-dropped package-behind-run",
    },
    [MARKS_NONE] = {
        .id = "POSTCOPY-MARKS-NONE",
        .title = "RAM bodies of the postcopy phase have no block list, hook or mark of "
                 "multifd",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.11 Postcopy-phase rules; ram_load_postcopy()",
        .since = "2.5",
        .why = "\"Unknown combination of migration flags\"",
        .killed_by = "postcopy-flush",
    },
    [NAME_FIRST] = {
        .id = "POSTCOPY-NAME-FIRST",
        .title = "the first page behind the package names its block",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.2 CONTINUE semantics; postcopy_start()",
        .since = "2.5",
        .why = "destinations remember the block before",
        .killed_by = "postcopy-continue",
    },
    [HOST_PAGE] = {
        .id = "POSTCOPY-HOST-PAGE",
        .title = "the parts of a huge page follow each other, all of them, on one "
                 "channel",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.11 Postcopy-phase rules; ram_load_postcopy()",
        .since = "2.9",
        .why = "\"Non-same host page\", or a hole",
        .killed_by = "hugepage-gap",
    },
    [PAGE_ONCE] = {
        .id = "POSTCOPY-PAGE-ONCE",
        .title = "a page is sent once in the postcopy phase, over all channels",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.11 Postcopy-phase rules; postcopy_place_page()",
        .since = "2.5",
        .why = "the kernel says that it exists, and the load fails or pauses",
        .killed_by = "postcopy-page-twice",
    },
    [PAGE_DISCARDED] = {
        .id = "POSTCOPY-PAGE-DISCARDED",
        .title = "a page of the postcopy phase was discarded before, or never sent",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.11 Postcopy-phase rules; postcopy_place_page()",
        .since = "2.5",
        .why = "the kernel says that it exists, and the load fails or pauses",
        .killed_by = "postcopy-page-kept",
    },
    [PAGE_COVERAGE] = {
        .id = "POSTCOPY-PAGE-COVERAGE",
        .title = "every page that was discarded is sent again",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "7.3 RAM_DISCARD; ram_save_host_page()",
        .since = "2.5",
        .why = "the destination ends with a zero page in its place",
        .killed_by = "postcopy-page-dropped",
    },
};

#define RANGES_CANON 12u

typedef struct Host { /* the huge page that a channel is sending */
    bool open;
    uint32_t block;
    uint64_t first, parts, whole, at;
} Host;

typedef struct Postcopy {
    MigPageMap *before, *discarded, *after; /* pages by block; after: of the postcopy phase */
    GArray *hosts;                          /* Host, by channel */
    bool named;                             /* a page behind RUN has gone by */
    bool in_package, first_in_package, run_in_package, behind_run;
} Postcopy;

static void prepare(Postcopy *s)
{
    if (!s->before) {
        s->before = mig_page_map_new();
        s->discarded = mig_page_map_new();
        s->after = mig_page_map_new();
        s->hosts = g_array_new(FALSE, TRUE, sizeof(Host));
    }
}

static uint64_t host_page(const MigCheck *check, uint32_t block)
{
    const MigRecordRamBlock *b = mig_decoder_block(check->main, block);
    return b->has_page_size && b->page_size > check->facts.page_size ? b->page_size
                                                                     : check->facts.page_size;
}

/* ---- discards ---- */

static void discard_range(MigCheck *check, Postcopy *s, const MigRecord *r, uint32_t block,
                          uint32_t i)
{
    const MigRange *range = &r->command.discard.ranges[i];
    uint64_t length = mig_decoder_block(check->main, block)->used_length;
    uint64_t page = check->facts.page_size, host = host_page(check, block);
    uint64_t at = r->offset + 8 + r->command.discard.name.len + 16 * (uint64_t)i;

    if (range->start >= length || range->length > length - range->start) {
        mig_check_find(check, &rules[DISCARD_BOUNDED], at, "a range inside the block",
                       "0x%" G_GINT64_MODIFIER "x + 0x%" G_GINT64_MODIFIER "x", range->start,
                       range->length);
        return;
    }
    if (range->start % host || range->length % host) {
        mig_check_find(check, &rules[DISCARD_ALIGNED], at, "whole host pages",
                       "0x%" G_GINT64_MODIFIER "x + 0x%" G_GINT64_MODIFIER "x", range->start,
                       range->length);
    }
    if (range->length == 0) {
        mig_check_find(check, &rules[DISCARD_EMPTY], at + 8, "a length above 0", "0");
    }
    for (uint64_t p = range->start / page; p < (range->start + range->length) / page; p++) {
        mig_page_map_set(s->discarded, block, p);
    }
}

static void on_discard(MigCheck *check, Postcopy *s, const MigRecord *r)
{
    const MigRecordCommand *c = &r->command;
    uint32_t block = mig_check_block(check, c->discard.name);

    if (block == UINT32_MAX) {
        mig_check_find(check, &rules[DISCARD_BLOCK], r->offset + 6, "a block of the list",
                       "\"%.*s\"", (int)c->discard.name.len, c->discard.name.text);
        return;
    }
    if (c->discard.count > RANGES_CANON) {
        mig_check_find(check, &rules[DISCARD_COUNT], r->offset, "at most 12 ranges", "%u",
                       c->discard.count);
    }
    for (uint32_t i = 0; i < c->discard.count; i++) {
        discard_range(check, s, r, block, i);
    }
}

/* ---- the package ---- */

static void in_package(MigCheck *check, Postcopy *s, const MigRecord *r)
{
    bool command = r->type == MIG_REC_COMMAND;

    if (r->type == MIG_REC_PACKAGE_END) {
        if (!s->run_in_package || s->behind_run) {
            mig_check_find(check, &rules[PACKAGE_RUN], r->offset, "RUN as the last item",
                           s->behind_run ? "another behind it" : "none");
        }
        s->in_package = false;
        return;
    }
    if (s->first_in_package && !(command && r->command.number == MIG_CMD_POSTCOPY_LISTEN)) {
        mig_check_find(check, &rules[PACKAGE_LISTEN], r->offset, "LISTEN as the first item",
                       "another");
    }
    s->first_in_package = false;
    s->behind_run |= s->run_in_package;
    s->run_in_package |= command && r->command.number == MIG_CMD_POSTCOPY_RUN;
}

/* ---- pages ---- */

static void end_host_page(MigCheck *check, Host *h, uint64_t at)
{
    if (h->open && h->parts < h->whole) {
        mig_check_find(check, &rules[HOST_PAGE], at, "the rest of the huge page",
                       "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " parts", h->parts, h->whole);
    }
    h->open = false;
}

static Host *host_of(MigCheck *check, Postcopy *s)
{
    if (s->hosts->len <= check->channel) {
        g_array_set_size(s->hosts, check->channel + 1);
    }
    return &g_array_index(s->hosts, Host, check->channel);
}

static void track_host_page(MigCheck *check, Postcopy *s, const MigRecord *r)
{
    Host *h = host_of(check, s);
    uint64_t host = host_page(check, r->ram.block), first = r->ram.offset / host * host;

    if (h->open && (h->block != r->ram.block || h->first != first)) {
        end_host_page(check, h, r->offset);
    }
    if (host > check->facts.page_size) {
        if (!h->open) {
            *h = (Host){ true, r->ram.block, first, 0, host / check->facts.page_size, r->offset };
        }
        if (++h->parts == h->whole) {
            h->open = false;
        }
    }
}

static void place_page(MigCheck *check, Postcopy *s, const MigRecord *r)
{
    uint32_t block = r->ram.block;
    uint64_t page = r->ram.offset / check->facts.page_size;
    bool recovered = mig_recording_channel_generation(check->recording, check->channel) > 0;

    track_host_page(check, s, r);
    /* What was on its way when the line broke may come again. */
    if (mig_page_map_set(s->after, block, page) && !recovered) {
        mig_check_find(check, &rules[PAGE_ONCE], r->offset, "each page once",
                       "page 0x%" G_GINT64_MODIFIER "x again", r->ram.offset);
    } else if (mig_page_map_is_set(s->before, block, page) &&
               !mig_page_map_is_set(s->discarded, block, page)) {
        mig_check_find(check, &rules[PAGE_DISCARDED], r->offset,
                       "a page that was discarded, or never sent", "page 0x%" G_GINT64_MODIFIER "x",
                       r->ram.offset);
    }
}

static void on_page(MigCheck *check, Postcopy *s, const MigRecord *r)
{
    bool main = check->kind == MIG_CHANNEL_MAIN;

    if (main && !check->facts.running) {
        mig_page_map_set(s->before, r->ram.block, r->ram.offset / check->facts.page_size);
        return;
    }
    if (main && !s->named) {
        s->named = true;
        if (r->ram.cont) {
            mig_check_find(check, &rules[NAME_FIRST], r->offset, "a name", "CONTINUE");
        }
    }
    place_page(check, s, r);
}

static void on_packet(MigCheck *check, Postcopy *s, const MigRecordMultifd *m)
{
    uint32_t n = m->normal_pages + m->zero_pages;
    uint32_t block = n ? mig_check_packet_block(check, m) : UINT32_MAX;

    for (uint32_t i = 0; i < n && block != UINT32_MAX; i++) {
        mig_page_map_set(s->before, block, m->offsets[i] / check->facts.page_size);
    }
}

/* ---- marks ---- */

static void on_mark(MigCheck *check, Postcopy *s, const MigRecord *r)
{
    end_host_page(check, host_of(check, s), r->offset);
    if (r->type == MIG_REC_RAM_EOS) {
        return;
    }
    if (check->facts.running && check->kind != MIG_CHANNEL_PREEMPT) {
        mig_check_find(check, &rules[MARKS_NONE], r->offset, "a page, or EOS", "%s",
                       mig_record_name(r->type));
    }
}

/* ---- all of it ---- */

static void on_item(MigCheck *check, Postcopy *s, const MigRecord *r)
{
    if (s->in_package && r->depth == 1) {
        in_package(check, s, r);
    }
    if (r->type != MIG_REC_COMMAND) {
        return;
    }
    if (r->command.number == MIG_CMD_POSTCOPY_RAM_DISCARD) {
        on_discard(check, s, r);
    } else if (r->command.number == MIG_CMD_PACKAGED && check->facts.advised) {
        s->in_package = s->first_in_package = true;
        s->run_in_package = s->behind_run = false;
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Postcopy *s = state;

    if (!check->facts.advised && check->kind != MIG_CHANNEL_PREEMPT) {
        return;
    }
    prepare(s);
    switch (r->type) {
    case MIG_REC_SECTION:
    case MIG_REC_COMMAND:
    case MIG_REC_PACKAGE_END:
        on_item(check, s, r);
        break;
    case MIG_REC_MULTIFD_PACKET:
        on_packet(check, s, &r->multifd);
        break;
    case MIG_REC_RAM_EOS:
    case MIG_REC_RAM_FLUSH:
    case MIG_REC_RAM_HOOK:
    case MIG_REC_RAM_MEM_SIZE:
        on_mark(check, s, r);
        break;
    default:
        on_page(check, s, r);
        break;
    }
}

static void check_coverage(MigCheck *check, Postcopy *s, uint64_t end)
{
    if (mig_page_map_overflowed(s->before) || mig_page_map_overflowed(s->after) ||
        mig_page_map_overflowed(s->discarded)) {
        static const unsigned judged[] = { PAGE_ONCE, PAGE_DISCARDED, PAGE_COVERAGE };
        for (size_t i = 0; i < G_N_ELEMENTS(judged); i++) {
            mig_check_inconclusive(check, &rules[judged[i]],
                                   "the map of pages would need too much memory");
        }
        return;
    }
    for (uint32_t i = 0; i < mig_decoder_block_count(check->main); i++) {
        const MigRecordRamBlock *b = mig_decoder_block(check->main, i);
        for (uint64_t p = 0; p < b->used_length / check->facts.page_size; p++) {
            if (mig_page_map_is_set(s->discarded, i, p) && !mig_page_map_is_set(s->after, i, p)) {
                mig_check_find(check, &rules[PAGE_COVERAGE], end, "every discarded page",
                               "page %" G_GUINT64_FORMAT " of block %.*s was never sent again", p,
                               (int)b->name.len, b->name.text);
                break;
            }
        }
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Postcopy *s = state;

    for (unsigned i = 0; i < RULE_COUNT && !check->facts.discarded; i++) {
        mig_check_not_applicable(check, &rules[i], "not a postcopy stream");
    }
    if (!check->facts.discarded || !s->before) {
        return;
    }
    for (guint i = 0; i < s->hosts->len; i++) {
        Host *h = &g_array_index(s->hosts, Host, i);
        if (h->open && !mig_recording_was_cut(check->recording, i)) {
            mig_check_find_in(check, &rules[HOST_PAGE], i, h->at, "all parts of the huge page",
                              "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT, h->parts, h->whole);
        }
    }
    if (check->several) {
        check_coverage(check, s, end);
    } else { /* another channel may have brought them */
        mig_check_not_applicable(check, &rules[PAGE_COVERAGE], "the main channel alone");
    }
}

static void clear(void *state)
{
    Postcopy *s = state;
    g_clear_pointer(&s->before, mig_page_map_free);
    g_clear_pointer(&s->discarded, mig_page_map_free);
    g_clear_pointer(&s->after, mig_page_map_free);
    g_clear_pointer(&s->hosts, g_array_unref);
}

const MigRuleGroup mig_rules_postcopy = {
    .layer = "postcopy",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .state_size = sizeof(Postcopy),
    .channels =
        MIG_ON(MAIN) | MIG_ON(RECOVERY) | MIG_ON(PREEMPT) | MIG_ON(MULTIFD) | MIG_ON(RETURN_PATH),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(COMMAND) | MIG_WANT(PACKAGE_END) |
              MIG_WANT(RAM_MEM_SIZE) | MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO) |
              MIG_WANT(RAM_COMPRESS) | MIG_WANT(RAM_XBZRLE) | MIG_WANT(RAM_FLUSH) |
              MIG_WANT(RAM_HOOK) | MIG_WANT(RAM_EOS) | MIG_WANT(MULTIFD_PACKET),
    .record = record,
    .finish = finish,
    .clear = clear,
};
