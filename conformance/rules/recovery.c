/* SPDX-License-Identifier: Apache-2.0 */
/* Further channels of a postcopy migration: the preempt channel, and connections after a break. */
#include "conformance/check.h"
#include "stream/limits.h"

enum {
    PREEMPT_RECORDS,
    PREEMPT_EOS,
    RECOVERY_BITMAPS,
    RECOVERY_RESUME,
    RECOVERY_RESENT,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [PREEMPT_RECORDS] = {
        .id = "POSTCOPY-PREEMPT-RECORDS",
        .title = "the preempt channel has pages only, and an EOS",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.6 Preempt channel; ram_load_postcopy()",
        .since = "7.1",
        .why = "\"Unknown combination of migration flags\"",
        .killed_by = "preempt-flush",
    },
    [PREEMPT_EOS] = {
        .id = "POSTCOPY-PREEMPT-EOS",
        .title = "the preempt channel ends with EOS until machine type 7.2, and without "
                 "it from 8.0",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_VARIES,
        .source = "7.6 Preempt channel; postcopy_preempt_shutdown_file()",
        .since = "7.1",
        .why = "a destination waits for it, or takes it for the end",
        .killed_by = "preempt-eos-dropped",
    },
    [RECOVERY_BITMAPS] = {
        .id = "POSTCOPY-RECOVERY-BITMAPS",
        .title = "a recovery asks for the bitmap of every block, and then resumes",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.7 Recovery; qemu_savevm_state_resume_prepare()",
        .since = "2.12",
        .why = "pages are lost, or sent twice",
        .killed_by = "recovery-bitmap-dropped",
    },
    [RECOVERY_RESUME] = {
        .id = "POSTCOPY-RECOVERY-RESUME",
        .title = "sections of a recovery come behind RESUME",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.7 Recovery; loadvm_postcopy_handle_resume()",
        .since = "2.12",
        .why = "the destination is still paused",
        .killed_by = "recovery-resume-dropped",
    },
    [RECOVERY_RESENT] = {
        .id = "POSTCOPY-RECOVERY-RESENT",
        .title = "a page that the destination has received is not sent again",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.7 Recovery; ram_dirty_bitmap_reload()",
        .since = "2.12",
        .why = "the kernel says that it exists, and the load fails or pauses",
        .killed_by = "recovery-bitmap-full",
    },
};

#define BITMAP_MAX (16u << 20) /* bytes of a received bitmap that are looked at */

typedef struct Bitmap {
    uint32_t block;
    GByteArray *bytes;
} Bitmap;

typedef struct Recovery {
    GPtrArray *received;   /* Bitmap, of the recovery */
    uint32_t bitmap_block; /* whose bytes are on their way */
    GHashTable *asked;     /* blocks of RECV_BITMAP on this connection */
    unsigned recovery;     /* channel of the recovery, plus 1 */
    bool resumed, resume_said;
    uint32_t eos;     /* words on the preempt channel */
    unsigned preempt; /* the channel, plus 1 */
} Recovery;

static void bitmap_free(gpointer data)
{
    Bitmap *b = data;
    g_byte_array_unref(b->bytes);
    g_free(b);
}

static void prepare(Recovery *s)
{
    if (!s->received) {
        s->received = g_ptr_array_new_with_free_func(bitmap_free);
        s->asked = g_hash_table_new(NULL, NULL);
    }
}

static bool was_received(const Recovery *s, uint32_t block, uint64_t page)
{
    for (guint i = 0; i < s->received->len; i++) {
        const Bitmap *b = s->received->pdata[i];
        if (b->block == block && page / 8 < b->bytes->len) {
            return b->bytes->data[page / 8] >> page % 8 & 1;
        }
    }
    return false;
}

static void on_resume(MigCheck *check, Recovery *s, const MigRecord *r)
{
    s->resumed = true;
    for (uint32_t i = 0; i < mig_decoder_block_count(check->main); i++) {
        if (!g_hash_table_contains(s->asked, GUINT_TO_POINTER(i + 1))) {
            MigStr name = mig_decoder_block(check->main, i)->name;
            mig_check_find(check, &rules[RECOVERY_BITMAPS], r->offset,
                           "RECV_BITMAP of every block before", "none of %.*s", (int)name.len,
                           name.text);
        }
    }
}

static void on_recovery(MigCheck *check, Recovery *s, const MigRecord *r)
{
    if (s->recovery != check->channel + 1) { /* another connection: from the beginning */
        s->recovery = check->channel + 1;
        s->resumed = s->resume_said = false;
        g_hash_table_remove_all(s->asked);
    }
    if (r->type == MIG_REC_SECTION && !s->resumed && !s->resume_said) {
        s->resume_said = true;
        mig_check_find(check, &rules[RECOVERY_RESUME], r->offset, "RESUME before", "a section");
    } else if (r->type == MIG_REC_COMMAND && r->command.number == MIG_CMD_POSTCOPY_RESUME) {
        on_resume(check, s, r);
    } else if (r->type == MIG_REC_COMMAND && r->command.number == MIG_CMD_RECV_BITMAP) {
        uint32_t block = mig_check_block(check, r->command.bitmap_name);
        g_hash_table_add(s->asked, GUINT_TO_POINTER(block + 1));
    }
}

static void on_return(MigCheck *check, Recovery *s, const MigRecord *r)
{
    if (r->rp.type == MIG_RP_RECV_BITMAP && r->payload <= BITMAP_MAX) {
        s->bitmap_block = mig_check_block(check, r->rp.bitmap.name);
        mig_check_want_payload(check);
    }
}

static void payload(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data)
{
    Recovery *s = state;

    if (r->type != MIG_REC_RP || s->received->len >= 2 * MIG_LIMIT_BLOCKS) {
        return;
    }
    for (guint i = s->received->len; i-- > 0;) { /* the newest counts */
        if (((Bitmap *)s->received->pdata[i])->block == s->bitmap_block) {
            g_ptr_array_remove_index_fast(s->received, i);
        }
    }
    Bitmap *b = g_new0(Bitmap, 1);
    b->block = s->bitmap_block;
    b->bytes = g_byte_array_new();
    g_byte_array_append(b->bytes, data, (guint)r->payload);
    g_ptr_array_add(s->received, b);
}

static void on_page(MigCheck *check, Recovery *s, const MigRecord *r)
{
    bool recovered = mig_recording_channel_generation(check->recording, check->channel) > 0;

    if (recovered && was_received(s, r->ram.block, r->ram.offset / check->facts.page_size)) {
        mig_check_find(check, &rules[RECOVERY_RESENT], r->offset,
                       "a page that the destination does not have",
                       "page 0x%" G_GINT64_MODIFIER "x", r->ram.offset);
    }
}

static void on_preempt(MigCheck *check, Recovery *s, const MigRecord *r)
{
    if (s->preempt != check->channel + 1) { /* another connection */
        s->preempt = check->channel + 1;
        s->eos = 0;
    }
    if (r->type == MIG_REC_RAM_EOS) {
        s->eos++;
    } else if (r->type == MIG_REC_RAM_FLUSH || r->type == MIG_REC_RAM_HOOK ||
               r->type == MIG_REC_RAM_MEM_SIZE || r->type == MIG_REC_RAM_XBZRLE) {
        mig_check_find(check, &rules[PREEMPT_RECORDS], r->offset, "a page, or EOS", "%s",
                       mig_record_name(r->type));
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Recovery *s = state;

    prepare(s);
    if (check->kind == MIG_CHANNEL_PREEMPT) {
        on_preempt(check, s, r);
    }
    switch (r->type) {
    case MIG_REC_SECTION:
    case MIG_REC_COMMAND:
        on_recovery(check, s, r);
        break;
    case MIG_REC_RP:
        on_return(check, s, r);
        break;
    case MIG_REC_RAM_PAGE:
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_COMPRESS:
        on_page(check, s, r);
        break;
    default:
        break;
    }
}

static void check_preempt(MigCheck *check, Recovery *s)
{
    MigVersion version = check->facts.machine_version;

    if (!version) {
        mig_check_not_applicable(check, &rules[PREEMPT_EOS], "the machine type tells no version");
        return;
    }
    bool wanted = version < MIG_VERSION_OF(8, 0);
    if (wanted != (s->eos > 0)) {
        unsigned channel = s->preempt - 1;
        mig_check_find_in(check, &rules[PREEMPT_EOS], channel,
                          mig_decoder_offset(mig_recording_decoder(check->recording, channel)),
                          wanted ? "EOS at the end" : "no EOS", wanted ? "none" : "one");
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Recovery *s = state;

    for (unsigned i = 0; i < RULE_COUNT && !check->facts.discarded; i++) {
        mig_check_not_applicable(check, &rules[i], "not a postcopy stream");
    }
    for (unsigned i = RECOVERY_BITMAPS; i < RULE_COUNT && !s->recovery; i++) {
        mig_check_not_applicable(check, &rules[i], "no recovery");
    }
    if (!s->preempt) {
        mig_check_not_applicable(check, &rules[PREEMPT_RECORDS], "no preempt channel");
        mig_check_not_applicable(check, &rules[PREEMPT_EOS], "no preempt channel");
    } else {
        check_preempt(check, s);
    }
}

static void clear(void *state)
{
    Recovery *s = state;
    g_clear_pointer(&s->received, g_ptr_array_unref);
    g_clear_pointer(&s->asked, g_hash_table_unref);
}

const MigRuleGroup mig_rules_recovery = {
    .layer = "postcopy",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .state_size = sizeof(Recovery),
    .channels = MIG_ON(RECOVERY) | MIG_ON(PREEMPT) | MIG_ON(RETURN_PATH),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(COMMAND) | MIG_WANT(RP) | MIG_WANT(RAM_MEM_SIZE) |
              MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO) | MIG_WANT(RAM_COMPRESS) |
              MIG_WANT(RAM_XBZRLE) | MIG_WANT(RAM_FLUSH) | MIG_WANT(RAM_HOOK) | MIG_WANT(RAM_EOS),
    .record = record,
    .payload = payload,
    .finish = finish,
    .clear = clear,
};
