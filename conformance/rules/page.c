/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page records: names and CONTINUE, fill bytes, deltas, compressed pages, and whether every page
 * was sent. This group sees every page of a stream, so record() comes to its point quickly.
 */
#include <zlib.h>

#include "conformance/check.h"
#include "conformance/page-map.h"
#include "stream/xbzrle.h"

enum {
    CONTINUE_BLOCK,
    CONTINUE_CANONICAL,
    BLOCK_KNOWN,
    OFFSET_BOUNDED,
    ZERO_FILL,
    START_PAGELESS,
    COVERAGE,
    XBZRLE_HEADER,
    XBZRLE_DELTA,
    XBZRLE_CANONICAL,
    XBZRLE_BASE,
    COMPRESS_LENGTH,
    COMPRESS_ERA,
    COMPRESS_CONTINUE,
    COMPRESS_INFLATE,
    POSTCOPY_RECORDS,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [CONTINUE_BLOCK] = {
        .id = "RAM-CONTINUE-BLOCK",
        .title = "the first page of a channel names its block",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.2 CONTINUE semantics; ram_block_from_stream()",
        .why = "CONTINUE refers to a page before",
        .killed_by = "continue-first",
    },
    [CONTINUE_CANONICAL] = {
        .id = "RAM-CONTINUE-CANONICAL",
        .title = "a page of the same block as the page before it carries CONTINUE and no name",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.2 CONTINUE semantics; save_page_header()",
        .why = "the name is repeated for nothing; a page may carry it at most at the start of the "
               "postcopy phase",
        .killed_by = "continue-cleared",
    },
    [BLOCK_KNOWN] = {
        .id = "RAM-BLOCK-KNOWN",
        .title = "a page names a block of the list",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.2 CONTINUE semantics; ram_block_from_stream()",
        .why = "\"Can't find block\"",
        .killed_by = "page-block-unknown page-block-empty block-name-empty",
    },
    [OFFSET_BOUNDED] = {
        .id = "RAM-OFFSET-BOUNDED",
        .title = "a page lies inside its block",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.2 CONTINUE semantics; ram_load_precopy()",
        .why = "\"Illegal RAM offset\"; versions 1.x wrote wherever it said",
        .killed_by = "page-offset-end page-offset-huge",
    },
    [ZERO_FILL] = {
        .id = "RAM-ZERO-FILL",
        .title = "a zero page is filled with 00",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "3.4 Page records; ram_handle_zero()",
        .why = "10.0 and later refuse another byte, 8.x and before fill the page with it",
        .killed_by = "zero-fill",
    },
    [START_PAGELESS] = {
        .id = "RAM-START-PAGELESS",
        .title = "START of RAM carries no pages",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.10 What is where; ram_save_setup()",
        .why = "setup comes before iteration",
        .killed_by = "page-in-start",
    },
    [COVERAGE] = {
        .id = "RAM-PAGE-COVERAGE",
        .title = "every page of every block is sent at least once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.4 Page records; ram_list_init_bitmaps()",
        .why = "the destination keeps what it had; balloon hints, unplugged virtio-mem and CPR are "
               "the reasons that excuse it",
        .killed_by = "page-dropped zero-page-dropped",
    },
    [XBZRLE_HEADER] = {
        .id = "RAM-XBZRLE-HEADER",
        .title = "an XBZRLE record has encoding 1 and a delta no longer than a page",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.5 XBZRLE; load_xbzrle()",
        .since = "1.2",
        .why = "\"Failed to load XBZRLE page\"",
        .killed_by = "xbzrle-encoding xbzrle-length",
    },
    [XBZRLE_DELTA] = {
        .id = "RAM-XBZRLE-DELTA",
        .title = "a delta's runs are well formed and stay inside the page",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.5 XBZRLE; xbzrle_decode_buffer()",
        .since = "1.2",
        .why = "\"decode error\"",
        .killed_by = "xbzrle-run",
    },
    [XBZRLE_CANONICAL] = {
        .id = "RAM-XBZRLE-CANONICAL",
        .title = "a delta is not empty and its lengths are as short as they can be",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.5 XBZRLE; xbzrle_encode_buffer()",
        .since = "1.2",
        .why = "no encoder writes it otherwise",
        .killed_by = "xbzrle-empty xbzrle-wide",
    },
    [XBZRLE_BASE] = {
        .id = "RAM-XBZRLE-BASE",
        .title = "a delta is for a page that was sent before",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.5 XBZRLE; save_xbzrle_page()",
        .since = "1.2",
        .why = "applied to another page it makes wrong memory, unseen",
        .killed_by = "xbzrle-base",
    },
    [COMPRESS_LENGTH] = {
        .id = "RAM-COMPRESS-LENGTH",
        .title = "a compressed page has a length that a compressed page can have",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.6 COMPRESS_PAGE; ram_load_precopy()",
        .since = "2.4",
        .until = "9.0",
        .why = "\"Invalid compressed data length\"",
        .killed_by = "compress-length",
    },
    [COMPRESS_ERA] = {
        .id = "RAM-COMPRESS-ERA",
        .title = "machine types from 9.1 have no compressed pages",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.6 COMPRESS_PAGE; ram_load_precopy()",
        .since = "9.1",
        .why = "the capability was removed, destinations refuse the flag",
        .killed_by = "compress-in-10.0",
    },
    [COMPRESS_CONTINUE] = {
        .id = "RAM-COMPRESS-CONTINUE",
        .title = "a compressed page carries CONTINUE",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.2 CONTINUE semantics; save_compress_page()",
        .since = "3.1",
        .until = "9.0",
        .why = "the first page of a block is sent uncompressed, with its name",
        .killed_by = "compress-named",
    },
    [COMPRESS_INFLATE] = {
        .id = "RAM-COMPRESS-INFLATE",
        .title = "a compressed page inflates to one page",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "3.6 COMPRESS_PAGE; qemu_uncompress_data()",
        .since = "2.4",
        .until = "9.0",
        .why = "bad data and more than a page are refused; less than a page leaves the rest as it "
               "was",
        .killed_by = "compress-data compress-short",
    },
    [POSTCOPY_RECORDS] = {
        .id = "RAM-POSTCOPY-RECORDS",
        .title = "the postcopy phase has plain, zero and compressed pages only",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.11 Postcopy-phase rules; ram_load_postcopy()",
        .since = "2.5",
        .why = "a page is placed at once, there is nothing to apply a delta to",
        .killed_by = "xbzrle-in-postcopy",
    },
};

static const MigFaultRule faults[] = {
    { MIG_FAULT_RAM_NO_BLOCK, CONTINUE_BLOCK },  { MIG_FAULT_RAM_BLOCK_UNKNOWN, BLOCK_KNOWN },
    { MIG_FAULT_RAM_OFFSET, OFFSET_BOUNDED },    { MIG_FAULT_RAM_XBZRLE, XBZRLE_HEADER },
    { MIG_FAULT_RAM_COMPRESS, COMPRESS_LENGTH },
};

typedef struct Pages {
    MigPageMap *sent;
    uint32_t block; /* of the page before, plus 1; 0: none, or forgotten by the source */
    bool in_start;
    bool rdma; /* the START had a HOOK */
} Pages;

static void on_other(MigCheck *check, Pages *s, const MigRecord *r)
{
    if (r->type == MIG_REC_SECTION) {
        s->in_start = r->section.kind == MIG_ITEM_START;
    } else if (r->type == MIG_REC_COMMAND && r->command.number == MIG_CMD_POSTCOPY_RUN) {
        s->block = 0; /* the postcopy phase begins with a name */
    } else if (r->type == MIG_REC_RAM_HOOK) {
        s->rdma |= s->in_start;
    }
}

static void on_xbzrle(MigCheck *check, const MigRecord *r, bool known)
{
    if (!known) {
        mig_check_find(check, &rules[XBZRLE_BASE], r->offset, "a page that was sent before",
                       "a delta of a page that was not");
    }
    if (r->payload == 0) {
        mig_check_find(check, &rules[XBZRLE_CANONICAL], r->offset + r->wire - 2,
                       "a delta of 1 byte or more", "0 bytes");
    }
    if (check->facts.listening) {
        mig_check_find(check, &rules[POSTCOPY_RECORDS], r->offset,
                       "a plain, zero or compressed page", "an XBZRLE record");
    }
    mig_check_want_payload(check);
}

static void on_compressed(MigCheck *check, const MigRecord *r)
{
    MigVersion version = check->facts.machine_version;

    if (!r->ram.cont && (!version || version >= MIG_VERSION_OF(3, 1))) {
        mig_check_find(check, &rules[COMPRESS_CONTINUE], r->offset, "CONTINUE", "a name");
    }
    if (version >= MIG_VERSION_OF(9, 1)) {
        mig_check_find(check, &rules[COMPRESS_ERA], r->offset,
                       "no compressed page in this machine type", "one");
    }
    mig_check_want_payload(check);
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Pages *s = state;

    if (r->type == MIG_REC_SECTION || r->type == MIG_REC_COMMAND || r->type == MIG_REC_RAM_HOOK) {
        on_other(check, s, r);
        return;
    }
    if (!s->sent) {
        s->sent = mig_page_map_new();
    }
    bool known = mig_page_map_set(s->sent, r->ram.block, r->ram.offset / check->facts.page_size);
    check->facts.repeated |= known;
    if (G_UNLIKELY(s->in_start)) {
        mig_check_find(check, &rules[START_PAGELESS], r->offset, "no page in START", "a page");
    }
    /* 7.2 names every page's block behind one of the preempt channel. */
    if (G_UNLIKELY(!r->ram.cont && s->block == r->ram.block + 1) &&
        !(check->facts.preempt && check->facts.running)) {
        mig_check_find(check, &rules[CONTINUE_CANONICAL], r->offset, "CONTINUE",
                       "the name \"%.*s\" again", (int)r->ram.name.len, r->ram.name.text);
    }
    s->block = r->ram.block + 1;
    if (r->type == MIG_REC_RAM_ZERO && G_UNLIKELY(r->ram.fill != 0)) {
        mig_check_find(check, &rules[ZERO_FILL], r->offset + r->wire - 1, "00", "%02x",
                       r->ram.fill);
    } else if (r->type == MIG_REC_RAM_XBZRLE) {
        on_xbzrle(check, r, known || mig_page_map_overflowed(s->sent));
    } else if (r->type == MIG_REC_RAM_COMPRESS) {
        on_compressed(check, r);
    }
}

static void check_delta(MigCheck *check, const MigRecord *r, const uint8_t *data)
{
    MigXbzrleInfo info;
    uint64_t at = r->offset + r->wire;

    if (mig_xbzrle_check(data, r->payload, check->facts.page_size, &info) != MIG_XBZRLE_OK) {
        mig_check_find(check, &rules[XBZRLE_DELTA], at + info.at, "a well-formed run", "%s",
                       mig_xbzrle_fault_text(info.fault));
    } else if (info.notes & MIG_XBZRLE_NOTE_WIDE_LENGTH) {
        mig_check_find(check, &rules[XBZRLE_CANONICAL], at, "lengths as short as they can be",
                       "a length below 128 in two bytes");
    }
}

static void check_inflate(MigCheck *check, const MigRecord *r, const uint8_t *data)
{
    uint32_t page = check->facts.page_size;
    uLongf n = page;
    g_autofree Bytef *out = g_malloc(page);
    int e = uncompress(out, &n, data, (uLong)r->payload);

    if (e != Z_OK) {
        mig_check_find(check, &rules[COMPRESS_INFLATE], r->offset + r->wire,
                       "zlib data of one page", "%s",
                       e == Z_BUF_ERROR ? "more than a page, or less than all data" : "bad data");
    } else if (n != page) {
        mig_check_find(check, &rules[COMPRESS_INFLATE], r->offset + r->wire,
                       "zlib data of one page", "%lu bytes", (unsigned long)n);
    }
}

static void payload(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data)
{
    if (r->type == MIG_REC_RAM_XBZRLE) {
        check_delta(check, r, data);
    } else if (r->type == MIG_REC_RAM_COMPRESS) {
        check_inflate(check, r, data);
    }
}

static void check_coverage(MigCheck *check, Pages *s, uint64_t end)
{
    uint32_t n = mig_decoder_block_count(check->main);

    for (uint32_t i = 0; i < n; i++) {
        const MigRecordRamBlock *b = mig_decoder_block(check->main, i);
        if (b->used_length == UINT64_MAX) {
            continue; /* named by a page, not by a list */
        }
        uint64_t pages = b->used_length / check->facts.page_size;
        uint64_t clear = mig_page_map_first_clear(s->sent, i, pages);
        if (clear < pages) {
            mig_check_find(check, &rules[COVERAGE], end, "every page of every block",
                           "page %" G_GUINT64_FORMAT " of block %.*s was never sent", clear,
                           (int)b->name.len, b->name.text);
        }
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Pages *s = state;
    const MigRule *rule = &rules[COVERAGE];

    if (check->facts.ignore_shared || check->facts.mapped_ram) {
        mig_check_not_applicable(check, rule,
                                 "pages may stand elsewhere: x-ignore-shared or "
                                 "mapped-ram");
        return;
    }
    if (s->rdma) {
        mig_check_not_applicable(check, rule, "RDMA writes pages past the stream");
        return;
    }
    if (check->facts.discarded) {
        mig_check_not_applicable(check, rule, "a postcopy stream");
        return;
    }
    if (check->facts.multifd || check->facts.flushes) {
        mig_check_not_applicable(check, rule, "multifd channels: see MULTIFD-PAGE-COVERAGE");
        return;
    }
    if (!s->sent) {
        s->sent = mig_page_map_new();
    }
    if (mig_page_map_overflowed(s->sent)) {
        mig_check_inconclusive(check, rule, "the map of pages would need too much memory");
        return;
    }
    check_coverage(check, s, end);
}

static void clear(void *state)
{
    mig_page_map_free(((Pages *)state)->sent);
}

const MigRuleGroup mig_rules_page = {
    .layer = "ram",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Pages),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(COMMAND) | MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO) |
              MIG_WANT(RAM_XBZRLE) | MIG_WANT(RAM_COMPRESS) | MIG_WANT(RAM_HOOK),
    .record = record,
    .payload = payload,
    .finish = finish,
    .clear = clear,
};
