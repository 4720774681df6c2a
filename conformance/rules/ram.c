/* SPDX-License-Identifier: Apache-2.0 */
/* The RAM section: block list, and marks between pages. Pages themselves: page.c. */
#include "conformance/check.h"

enum {
    SECTION_VERSION,
    RECORD_FLAGS,
    BODY_EOS,
    LIST_FIRST,
    LIST_ONCE,
    LIST_TOTAL,
    LIST_NONEMPTY,
    LIST_SANE,
    BLOCK_LENGTH,
    BLOCK_UNIQUE,
    BLOCK_ALIGNED,
    EOS_CLEAN,
    FLUSH_CLEAN,
    FLUSH_ERA,
    HOOK_ABSENT,
    MAPPED_HEADER,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [SECTION_VERSION] = {
        .id = "RAM-SECTION-VERSION",
        .title = "the RAM section is version 4",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3 The RAM section; ram_load()",
        .why = "3 had no block names; 5 does not exist",
        .killed_by = "ram-version-3 ram-version-5",
    },
    [RECORD_FLAGS] = {
        .id = "RAM-RECORD-FLAGS",
        .title = "a RAM record has exactly one kind, with or without CONTINUE",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.1 Record stream; ram_load_precopy()",
        .why = "\"Unknown combination of migration flags\"",
        .killed_by = "ram-flags-0 ram-flags-full ram-flags-two ram-flags-400",
    },
    [BODY_EOS] = {
        .id = "RAM-BODY-EOS",
        .title = "every RAM body ends with EOS",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.9 EOS; ram_load_precopy()",
        .why = "the footer would be read as a page record",
        .killed_by = "eos-dropped",
    },
    [LIST_FIRST] = {
        .id = "RAM-LIST-FIRST",
        .title = "START begins with the block list, and no other section has one",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.3 MEM_SIZE; ram_save_setup()",
        .why = "sizes are agreed on before the first page",
        .killed_by = "list-dropped list-in-part",
    },
    [LIST_ONCE] = {
        .id = "RAM-LIST-ONCE",
        .title = "there is one block list",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.3 MEM_SIZE; ram_save_setup()",
        .why = "sizes don't change during a migration",
        .killed_by = "list-twice",
    },
    [LIST_TOTAL] = {
        .id = "RAM-LIST-TOTAL",
        .title = "the announced total is the sum of the block lengths",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.3 MEM_SIZE; parse_ramblocks()",
        .why = "a destination reads names until the sum is reached, and garbage when it isn't",
        .killed_by = "list-total-small",
    },
    [LIST_NONEMPTY] = {
        .id = "RAM-LIST-NONEMPTY",
        .title = "the block list names a block",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.3 MEM_SIZE; ram_save_setup()",
        .why = "every machine has memory",
        .killed_by = "list-empty",
    },
    [LIST_SANE] = {
        .id = "RAM-LIST-SANE",
        .title = "the block list is no longer than any machine's",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_OURS,
        .reaction = MIG_REACTION_REJECTS,
        .source = "stream/limits.h",
        .why = "memory must not grow with a stranger's stream",
    },
    [BLOCK_LENGTH] = {
        .id = "RAM-BLOCK-LENGTH",
        .title = "a block's length is one that a block can have",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.3 MEM_SIZE; parse_ramblock()",
        .why = "it must equal the length of the destination's block",
        .killed_by = "block-length-huge",
    },
    [BLOCK_UNIQUE] = {
        .id = "RAM-BLOCK-UNIQUE",
        .title = "block names are unique",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.3 MEM_SIZE; qemu_ram_set_idstr()",
        .why = "a page must belong to one block",
        .killed_by = "block-twice",
    },
    [BLOCK_ALIGNED] = {
        .id = "RAM-BLOCK-ALIGNED",
        .title = "a block's length is a multiple of the target page size",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3.3 MEM_SIZE; qemu_ram_alloc_internal()",
        .why = "records carry whole pages",
        .killed_by = "block-unaligned",
    },
    [EOS_CLEAN] = {
        .id = "RAM-EOS-CLEAN",
        .title = "an EOS word is 0x10 and nothing else",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.1 Record stream; ram_save_iterate()",
        .why = "offset and CONTINUE have no meaning there",
        .killed_by = "eos-offset eos-continue",
    },
    [FLUSH_CLEAN] = {
        .id = "RAM-FLUSH-CLEAN",
        .title = "a MULTIFD_FLUSH word is 0x200 and nothing else",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "3.8 MULTIFD_FLUSH; multifd_ram_flush_and_sync()",
        .why = "offset and CONTINUE have no meaning there",
        .killed_by = "flush-offset",
    },
    [FLUSH_ERA] = {
        .id = "RAM-FLUSH-ERA",
        .title = "MULTIFD_FLUSH is for machine types from 8.1",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "3.8 MULTIFD_FLUSH; ram_load_precopy()",
        .since = "8.1",
        .why = "destinations until 8.0 refuse the flag; older types take every EOS for a flush",
        .killed_by = "flush-in-7.2",
    },
    [HOOK_ABSENT] = {
        .id = "RAM-HOOK-ABSENT",
        .title = "a stream that isn't RDMA's has no HOOK record",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "3.7 HOOK; ram_load_precopy()",
        .why = "5.2 and 7.2 refuse it, 10.0 and 11.1 ignore it",
        .killed_by = "hook",
    },
    [MAPPED_HEADER] = {
        .id = "RAM-MAPPED-HEADER",
        .title = "a mapped-ram header is version 1, with the target's page size, and places its "
                 "pages at a multiple of 1 MiB behind its bitmap",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "5 mapped-ram files; mapped_ram_read_header()",
        .since = "9.0",
        .why = "pages are read from wherever it says",
    },
};

static const MigFaultRule faults[] = {
    { MIG_FAULT_RAM_VERSION, SECTION_VERSION }, { MIG_FAULT_RAM_FLAGS, RECORD_FLAGS },
    { MIG_FAULT_RAM_TOTAL, LIST_TOTAL },        { MIG_FAULT_RAM_BLOCK_LENGTH, BLOCK_LENGTH },
    { MIG_FAULT_RAM_BLOCK_LIMIT, LIST_SANE },   { MIG_FAULT_MAPPED_HEADER, MAPPED_HEADER },
};

typedef struct Ram {
    bool in_ram, in_start;
    bool rdma;        /* the START had a mark */
    uint32_t records; /* in this body */
    uint32_t lists;
    uint32_t list_index; /* blocks of the current list */
    GHashTable *names;
} Ram;

static void on_section(Ram *s, const MigRecord *r)
{
    s->in_ram = mig_str_equal(r->section.idstr, mig_str("ram"));
    s->in_start = s->in_ram && r->section.kind == MIG_ITEM_START;
    s->records = 0;
}

static void on_list(MigCheck *check, Ram *s, const MigRecord *r)
{
    if (!s->in_start || s->records) {
        mig_check_find(check, &rules[LIST_FIRST], r->offset,
                       "the block list as the first record of START",
                       s->in_start ? "it behind another record" : "it in a later section");
    }
    if (s->lists++) {
        mig_check_find(check, &rules[LIST_ONCE], r->offset, "one block list", "another");
    }
    if (r->ram.offset == 0) {
        mig_check_find(check, &rules[LIST_NONEMPTY], r->offset, "a total above 0", "0");
    }
    g_clear_pointer(&s->names, g_hash_table_unref);
    s->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void on_block(MigCheck *check, Ram *s, const MigRecord *r)
{
    const MigRecordRamBlock *b = &r->block;
    char *name = g_strndup(b->name.text, b->name.len);

    if (s->names && !g_hash_table_add(s->names, name)) {
        mig_check_find(check, &rules[BLOCK_UNIQUE], r->offset, "each block once",
                       "a second \"%.*s\"", (int)b->name.len, b->name.text);
    }
    if (b->used_length % check->facts.page_size != 0) {
        mig_check_find(check, &rules[BLOCK_ALIGNED], r->offset + 1 + b->name.len,
                       "a multiple of the page size", "%" G_GUINT64_FORMAT " bytes",
                       b->used_length);
    }
}

static void on_mark(MigCheck *check, const MigRecord *r, unsigned rule, const char *expected)
{
    if (r->ram.offset || r->ram.cont) {
        mig_check_find(check, &rules[rule], r->offset, expected,
                       "offset 0x%" G_GINT64_MODIFIER "x%s", r->ram.offset,
                       r->ram.cont ? " with CONTINUE" : "");
    }
}

static void on_flush(MigCheck *check, const MigRecord *r)
{
    MigVersion version = check->facts.machine_version;

    on_mark(check, r, FLUSH_CLEAN, "0000000000000200");
    if (!check->facts.configured || (version && version < MIG_VERSION_OF(8, 1))) {
        mig_check_find(check, &rules[FLUSH_ERA], r->offset, "no MULTIFD_FLUSH in this machine type",
                       "it");
    }
}

static void on_eos(MigCheck *check, Ram *s, const MigRecord *r)
{
    if (s->in_start && s->records == 0) {
        mig_check_find(check, &rules[LIST_FIRST], r->offset,
                       "the block list as the first record of START", "no list");
    }
    on_mark(check, r, EOS_CLEAN, "0000000000000010");
}

/* The setup of RDMA has one; a stream that begins without has none later. */
static void on_hook(MigCheck *check, Ram *s, const MigRecord *r)
{
    s->rdma |= s->in_start;
    if (!s->rdma) {
        mig_check_find(check, &rules[HOOK_ABSENT], r->offset, "no HOOK record", "one");
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Ram *s = state;

    switch (r->type) {
    case MIG_REC_SECTION:
        on_section(s, r);
        return;
    case MIG_REC_RAM_MEM_SIZE:
        on_list(check, s, r);
        break;
    case MIG_REC_RAM_BLOCK:
        on_block(check, s, r);
        break;
    case MIG_REC_RAM_EOS:
        on_eos(check, s, r);
        break;
    case MIG_REC_RAM_FLUSH:
        on_flush(check, r);
        break;
    case MIG_REC_RAM_HOOK:
        on_hook(check, s, r);
        break;
    default:
        break;
    }
    s->records++;
}

static void clear(void *state)
{
    Ram *s = state;
    g_clear_pointer(&s->names, g_hash_table_unref);
}

const MigRuleGroup mig_rules_ram = {
    .layer = "ram",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Ram),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(RAM_MEM_SIZE) | MIG_WANT(RAM_BLOCK) | MIG_WANT(RAM_EOS) |
              MIG_WANT(RAM_FLUSH) | MIG_WANT(RAM_HOOK),
    .record = record,
    .clear = clear,
};
