/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapped-ram files. A header that can't be followed is the decoder's business (RAM-MAPPED-HEADER in
 * ram.c): without the right places nothing else of the file can be read.
 */
#include "conformance/check.h"

enum {
    VERSION_CURRENT,
    BITMAP_ADJACENT,
    BITMAP_TAIL,
    PAGES_NEXT,
    RECORDS_NONE,
    COMMANDS_NONE,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [VERSION_CURRENT] = {
        .id = "MAPPED-VERSION-CURRENT",
        .title = "a mapped-ram header is version 1",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "5.2 START body; mapped_ram_setup_ramblock()",
        .since = "9.0",
        .why = "loaders take version 0, which nobody writes",
        .killed_by = "mapped-version-0",
    },
    [BITMAP_ADJACENT] = {
        .id = "MAPPED-BITMAP-ADJACENT",
        .title = "the bitmap stands directly behind its header",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "5.2 START body; mapped_ram_setup_ramblock()",
        .since = "9.0",
        .why = "a bitmap elsewhere is believed, right or wrong",
        .killed_by = "mapped-bitmap-later",
    },
    [BITMAP_TAIL] = {
        .id = "MAPPED-BITMAP-TAIL",
        .title = "bits behind the last page are 0",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "5.2 START body; ram_save_file_bmap()",
        .since = "9.0",
        .why = "there are no such pages",
    },
    [PAGES_NEXT] = {
        .id = "MAPPED-PAGES-NEXT",
        .title = "the pages begin at the first multiple of 1 MiB behind the bitmap",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "5.2 START body; mapped_ram_setup_ramblock()",
        .since = "9.0",
        .why = "a loader takes any multiple",
        .killed_by = "mapped-pages-later",
    },
    [RECORDS_NONE] = {
        .id = "MAPPED-RECORDS-NONE",
        .title = "RAM bodies have no pages, marks of multifd or hooks",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "5.3 Loader; ram_load_precopy()",
        .since = "9.0",
        .why = "\"Unexpected RAM flags\"",
        .killed_by = "mapped-page mapped-flush",
    },
    [COMMANDS_NONE] = {
        .id = "MAPPED-COMMANDS-NONE",
        .title = "the file opens no return path and advises no postcopy",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "5.3 Loader; migrate_caps_check()",
        .since = "9.0",
        .why = "a file has nobody who answers",
        .killed_by = "mapped-advise",
    },
};

#define HEADER_BYTES 28u

typedef struct Mapped {
    MigRecordRamBlock block; /* the last one; strings in it are not used */
    uint64_t header_at;
    bool marks_said;
} Mapped;

static void on_block(MigCheck *check, Mapped *s, const MigRecord *r)
{
    if (!r->block.has_mapped) {
        return;
    }
    s->block = r->block;
    s->header_at = r->offset + r->wire - HEADER_BYTES;
    if (r->block.mapped.version != MIG_MAPPED_RAM_VERSION) {
        mig_check_find(check, &rules[VERSION_CURRENT], s->header_at, "version 1", "version %u",
                       r->block.mapped.version);
    }
}

static void on_bitmap(MigCheck *check, Mapped *s, const MigRecord *r)
{
    const MigMappedHeader *m = &s->block.mapped;
    uint64_t end = m->bitmap_offset + r->payload, step = MIG_MAPPED_RAM_ALIGNMENT;

    if (r->mapped.gap) {
        mig_check_find(check, &rules[BITMAP_ADJACENT], s->header_at + 12,
                       "a bitmap directly behind this header",
                       "%" G_GUINT64_FORMAT " bytes between them", r->mapped.gap);
    }
    if (m->pages_offset >= step && m->pages_offset - step >= end) {
        mig_check_find(check, &rules[PAGES_NEXT], s->header_at + 20,
                       "the first multiple of 1 MiB behind the bitmap", "0x%" G_GINT64_MODIFIER "x",
                       m->pages_offset);
    }
    mig_check_want_payload(check);
}

static void payload(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data)
{
    const Mapped *s = state;

    if (r->type != MIG_REC_MAPPED_BITMAP) {
        return;
    }
    for (uint64_t i = s->block.used_length / check->facts.page_size; i < r->payload * 8; i++) {
        if (data[i / 8] >> i % 8 & 1) {
            mig_check_find(check, &rules[BITMAP_TAIL], r->mapped.file_offset + i / 8,
                           "00 behind the last page", "the bit of page %" G_GUINT64_FORMAT, i);
            return;
        }
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Mapped *s = state;

    if (!check->facts.mapped_ram) {
        return;
    }
    switch (r->type) {
    case MIG_REC_RAM_BLOCK:
        on_block(check, s, r);
        break;
    case MIG_REC_MAPPED_BITMAP:
        on_bitmap(check, s, r);
        break;
    case MIG_REC_MAPPED_PAGES:
        break;
    case MIG_REC_COMMAND:
        if (r->command.number == MIG_CMD_OPEN_RETURN_PATH ||
            r->command.number == MIG_CMD_POSTCOPY_ADVISE) {
            mig_check_find(check, &rules[COMMANDS_NONE], r->offset, "no such command in a file",
                           "%s", mig_command_name(r->command.number));
        }
        break;
    default:
        if (!s->marks_said) { /* one is as bad as all of them */
            s->marks_said = true;
            mig_check_find(check, &rules[RECORDS_NONE], r->offset, "an EOS word", "%s",
                           mig_record_name(r->type));
        }
        break;
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    for (unsigned i = 0; i < RULE_COUNT && !check->facts.mapped_ram; i++) {
        mig_check_not_applicable(check, &rules[i], "no mapped-ram file");
    }
}

const MigRuleGroup mig_rules_mapped = {
    .layer = "mapped-ram",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .state_size = sizeof(Mapped),
    .wanted = MIG_WANT(RAM_BLOCK) | MIG_WANT(MAPPED_BITMAP) | MIG_WANT(COMMAND) |
              MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO) | MIG_WANT(RAM_XBZRLE) |
              MIG_WANT(RAM_COMPRESS) | MIG_WANT(RAM_FLUSH) | MIG_WANT(RAM_HOOK),
    .record = record,
    .payload = payload,
    .finish = finish,
};
