/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Iterables that are not memory, and COLO's checkpoints. Records that make no sense are the
 * decoder's business (SECTION-ITERABLE-RECORD). CPR's state channel is in no recording.
 */
#include "conformance/check.h"

enum {
    BLOCK_PROGRESS,
    BLOCK_DEVICE,
    BITMAP_START,
    BITMAP_GRANULARITY,
    BITMAP_FLAGS,
    BITMAP_COMPLETE,
    COLO_KNOWN,
    COLO_ORDER,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [BLOCK_PROGRESS] = {
        .id = "BLOCK-PROGRESS-COMPLETE",
        .title = "the END of `block` says 100 percent before its EOS",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "8.1 block; block_save_complete()",
        .until = "9.0",
        .why = "a destination only shows it",
        .killed_by = "block-progress",
    },
    [BLOCK_DEVICE] = {
        .id = "BLOCK-DEVICE-NAMED",
        .title = "a chunk names its device",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "8.1 block; block_load()",
        .until = "9.0",
        .why = "there is no such drive",
        .killed_by = "block-device-empty",
    },
    [BITMAP_START] = {
        .id = "BITMAP-START-FIRST",
        .title = "bits of a dirty bitmap come behind its START",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "8.2 dirty-bitmap; dirty_bitmap_load_bits()",
        .since = "2.12",
        .why = "the bitmap is given up, or the load fails",
        .killed_by = "bitmap-start-dropped",
    },
    [BITMAP_GRANULARITY] = {
        .id = "BITMAP-GRANULARITY-POWER",
        .title = "the granularity of a dirty bitmap is a power of two from 512 on",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "8.2 dirty-bitmap; dirty_bitmap_load_start()",
        .since = "2.12",
        .why = "the bitmap is given up, or the load fails",
        .killed_by = "bitmap-granularity",
    },
    [BITMAP_FLAGS] = {
        .id = "BITMAP-FLAGS-KNOWN",
        .title = "the flags of a dirty bitmap are enabled, persistent and autoload",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "8.2 dirty-bitmap; dirty_bitmap_load_start()",
        .since = "2.12",
        .why = "reserved flags are refused",
        .killed_by = "bitmap-flags",
    },
    [BITMAP_COMPLETE] = {
        .id = "BITMAP-COMPLETE-ONCE",
        .title = "every dirty bitmap that was started is completed once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_VARIES,
        .source = "8.2 dirty-bitmap; dirty_bitmap_load_complete()",
        .since = "2.12",
        .why = "it stays unusable at the destination",
        .killed_by = "bitmap-complete-dropped",
    },
    [COLO_KNOWN] = {
        .id = "COLO-MESSAGE-KNOWN",
        .title = "a COLO message is one of 0 to 6",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "8.4 COLO; colo_receive_message()",
        .since = "3.1",
        .why = "the destination fails over",
        .killed_by = "colo-unknown",
    },
    [COLO_ORDER] = {
        .id = "COLO-CYCLE-ORDER",
        .title = "a checkpoint goes request, send, memory, size, devices; answered "
                 "reply, received, loaded",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "8.4 COLO; colo_do_checkpoint_transaction()",
        .since = "3.1",
        .why = "the ends wait for each other, or fail over",
        .killed_by = "colo-twice colo-reply",
    },
};

static const MigFaultRule faults[] = { { MIG_FAULT_COLO_MESSAGE, COLO_KNOWN } };

#define BITMAPS      4096u /* that are remembered */
#define GRANULARITY  512u
#define BITMAP_KNOWN 0x07u

typedef struct Dirty {
    bool completed;
} Dirty;

typedef struct Iterables {
    MigItem kind;
    bool in_block;
    uint64_t progress;          /* the last one in this body, UINT64_MAX: none */
    char *node, *bitmap;        /* the current ones: names are sent when they change */
    GHashTable *bitmaps;        /* "node\nbitmap" -> Dirty */
    int colo_main, colo_return; /* the last message, -1: none */
} Iterables;

static void prepare(Iterables *s)
{
    if (!s->bitmaps) {
        s->bitmaps = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        s->colo_main = s->colo_return = -1;
    }
}

static void on_section(Iterables *s, const MigRecord *r)
{
    s->kind = r->section.kind;
    s->in_block = mig_str_equal(r->section.idstr, mig_str("block"));
    s->progress = UINT64_MAX;
}

static void on_disk(MigCheck *check, Iterables *s, const MigRecord *r)
{
    const MigRecordBlock *b = &r->disk;

    if (b->flags & MIG_BLOCK_PROGRESS) {
        s->progress = b->sector;
    } else if (b->flags & MIG_BLOCK_DEVICE && b->device.len == 0) {
        mig_check_find(check, &rules[BLOCK_DEVICE], r->offset + 8, "the name of a device",
                       "0 bytes");
    } else if (b->flags & MIG_BLOCK_EOS && s->kind == MIG_ITEM_END && s->progress != 100) {
        mig_check_find(check, &rules[BLOCK_PROGRESS], r->offset, "PROGRESS 100 before EOS",
                       s->progress == UINT64_MAX ? "none" : "another value");
    }
}

static void on_names(Iterables *s, const MigRecordDirtyBitmap *b)
{
    if (b->flags & MIG_BITMAP_DEVICE_NAME) {
        g_free(s->node);
        s->node = g_strndup(b->node.text, b->node.len);
    }
    if (b->flags & MIG_BITMAP_NAME) {
        g_free(s->bitmap);
        s->bitmap = g_strndup(b->bitmap.text, b->bitmap.len);
    }
}

static void on_bitmap_start(MigCheck *check, Iterables *s, const MigRecord *r, char *key)
{
    const MigRecordDirtyBitmap *b = &r->bitmap;
    uint64_t at = r->offset + r->wire - 5;

    if (b->granularity < GRANULARITY || b->granularity & (b->granularity - 1)) {
        mig_check_find(check, &rules[BITMAP_GRANULARITY], at, "a power of two from 512 on", "%u",
                       b->granularity);
    }
    if (b->bitmap_flags & ~BITMAP_KNOWN) {
        mig_check_find(check, &rules[BITMAP_FLAGS], at + 4, "flags of 0x07", "0x%x",
                       b->bitmap_flags);
    }
    if (g_hash_table_size(s->bitmaps) < BITMAPS) {
        g_hash_table_insert(s->bitmaps, g_strdup(key), g_new0(Dirty, 1));
    }
}

static void on_bitmap(MigCheck *check, Iterables *s, const MigRecord *r)
{
    const MigRecordDirtyBitmap *b = &r->bitmap;

    on_names(s, b);
    g_autofree char *key =
        g_strdup_printf("%s\n%s", s->node ? s->node : "", s->bitmap ? s->bitmap : "");
    if (b->flags & MIG_BITMAP_START) {
        on_bitmap_start(check, s, r, key);
    } else if (b->flags & (MIG_BITMAP_BITS | MIG_BITMAP_COMPLETE)) {
        Dirty *dirty = g_hash_table_lookup(s->bitmaps, key);
        if (!dirty && g_hash_table_size(s->bitmaps) < BITMAPS) {
            mig_check_find(check, &rules[BITMAP_START], r->offset, "START of the bitmap before",
                           "%s", b->flags & MIG_BITMAP_BITS ? "bits" : "COMPLETE");
        } else if (dirty && b->flags & MIG_BITMAP_COMPLETE) {
            if (dirty->completed) {
                mig_check_find(check, &rules[BITMAP_COMPLETE], r->offset, "COMPLETE once",
                               "it again");
            }
            dirty->completed = true;
        }
    }
}

/* What may follow which; -1: the beginning. */
static bool follows(int last, uint32_t message, bool back)
{
    static const int8_t before[MIG_COLO_COUNT][2] = {
        [MIG_COLO_CHECKPOINT_READY] = { -1, -1 },
        [MIG_COLO_CHECKPOINT_REQUEST] = { -1, MIG_COLO_VMSTATE_SIZE },
        [MIG_COLO_CHECKPOINT_REPLY] = { MIG_COLO_CHECKPOINT_READY, MIG_COLO_VMSTATE_LOADED },
        [MIG_COLO_VMSTATE_SEND] = { MIG_COLO_CHECKPOINT_REQUEST, MIG_COLO_CHECKPOINT_REQUEST },
        [MIG_COLO_VMSTATE_SIZE] = { MIG_COLO_VMSTATE_SEND, MIG_COLO_VMSTATE_SEND },
        [MIG_COLO_VMSTATE_RECEIVED] = { MIG_COLO_CHECKPOINT_REPLY, MIG_COLO_CHECKPOINT_REPLY },
        [MIG_COLO_VMSTATE_LOADED] = { MIG_COLO_VMSTATE_RECEIVED, MIG_COLO_VMSTATE_RECEIVED },
    };
    static const bool from_destination[MIG_COLO_COUNT] = {
        [MIG_COLO_CHECKPOINT_READY] = true,
        [MIG_COLO_CHECKPOINT_REPLY] = true,
        [MIG_COLO_VMSTATE_RECEIVED] = true,
        [MIG_COLO_VMSTATE_LOADED] = true,
    };
    return from_destination[message] == back &&
           (last == before[message][0] || last == before[message][1]);
}

static void on_colo(MigCheck *check, Iterables *s, const MigRecord *r)
{
    bool back = check->kind == MIG_CHANNEL_RETURN_PATH;
    int *last = back ? &s->colo_return : &s->colo_main;

    if (!follows(*last, r->colo.message, back)) {
        mig_check_find(check, &rules[COLO_ORDER], r->offset, "the next message of the cycle",
                       "%s behind %s", mig_colo_name(r->colo.message),
                       *last < 0 ? "none" : mig_colo_name((uint32_t)*last));
    }
    *last = (int)r->colo.message;
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Iterables *s = state;

    prepare(s);
    switch (r->type) {
    case MIG_REC_SECTION:
        on_section(s, r);
        break;
    case MIG_REC_BLOCK:
        on_disk(check, s, r);
        break;
    case MIG_REC_DIRTY_BITMAP:
        on_bitmap(check, s, r);
        break;
    default:
        on_colo(check, s, r);
        break;
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Iterables *s = state;
    GHashTableIter iter;
    gpointer key, value;

    prepare(s);
    g_hash_table_iter_init(&iter, s->bitmaps);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (!((Dirty *)value)->completed) {
            g_autofree char *name = g_strdelimit(g_strdup(key), "\n", '/');
            mig_check_find(check, &rules[BITMAP_COMPLETE], end, "COMPLETE of every bitmap",
                           "none of %s", name);
        }
    }
}

static void clear(void *state)
{
    Iterables *s = state;
    g_clear_pointer(&s->bitmaps, g_hash_table_unref);
    g_clear_pointer(&s->node, g_free);
    g_clear_pointer(&s->bitmap, g_free);
}

const MigRuleGroup mig_rules_iterable = {
    .layer = "iterable",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Iterables),
    .channels = MIG_ON(MAIN) | MIG_ON(RECOVERY) | MIG_ON(RETURN_PATH),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(BLOCK) | MIG_WANT(DIRTY_BITMAP) | MIG_WANT(COLO),
    .record = record,
    .finish = finish,
    .clear = clear,
};
