/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy at the source: commands of a monitor, messages of the return path, the queue of page
 * requests. Mirrors qmp_migrate_start_postcopy(), source_return_path_thread() and
 * ram_save_queue_pages() (migration/migration.c, ram.c; 10.0).
 */
#include "sim/engine/source-postcopy.h"

#include <string.h>

#include "sim/engine/source-postcopy-internal.h"

void mig_source_postcopy_init(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy = g_new0(MigSourcePostcopy, 1);
    g_queue_init(&p->requests);
    p->urgent_last = UINT32_MAX;
    p->ranges = g_array_new(FALSE, FALSE, sizeof(MigRange));
    p->kept = g_ptr_array_new_with_free_func(g_free);
    p->to_release = g_array_new(FALSE, FALSE, sizeof(MigPageRange));
    if (!mig_source_has(s, MIG_CAP_POSTCOPY_RAM) || !mig_source_era(s)->unsent_map) {
        return;
    }
    p->unsent = g_new0(MigBitmap *, s->block_count + 1);
    for (uint32_t i = 0; i < s->block_count; i++) {
        p->unsent[i] = mig_bitmap_new(s->blocks[i].pages);
        mig_bitmap_set_range(p->unsent[i], 0, s->blocks[i].pages);
    }
}

void mig_source_postcopy_free(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    mig_source_forget_requests(s);
    for (uint32_t i = 0; p->unsent && i < s->block_count; i++) {
        mig_bitmap_free(p->unsent[i]);
    }
    g_free(p->unsent);
    g_free(p->said);
    g_array_unref(p->ranges);
    g_ptr_array_unref(p->kept);
    g_array_unref(p->to_release);
    g_free(p);
}

/* Questions -------------------------------------------------------------------------------- */

bool mig_source_can_postcopy(const MigSource *s)
{
    return mig_source_era(s)->postcopy &&
           (mig_source_has(s, MIG_CAP_POSTCOPY_RAM) || mig_source_has(s, MIG_CAP_DIRTY_BITMAPS));
}

bool mig_source_wants_return(const MigSource *s)
{
    return mig_source_era(s)->commands &&
           (mig_source_has(s, MIG_CAP_RETURN_PATH) || mig_source_has(s, MIG_CAP_SWITCHOVER_ACK) ||
            (mig_source_era(s)->postcopy && mig_source_has(s, MIG_CAP_POSTCOPY_RAM)));
}

bool mig_source_in_postcopy(const MigSource *s)
{
    return s->postcopy->running;
}

const MigPostcopyCounts *mig_source_postcopy(const MigSource *s)
{
    return &s->postcopy->counts;
}

uint32_t mig_source_preempt_channel(const MigSource *s)
{
    bool multifd = mig_source_has(s, MIG_CAP_MULTIFD);
    if (!mig_source_has(s, MIG_CAP_POSTCOPY_PREEMPT) || !mig_source_has(s, MIG_CAP_POSTCOPY_RAM)) {
        return 0;
    }
    return 1 + (multifd ? (uint32_t)s->parameters.multifd_channels : 0);
}

/* Commands --------------------------------------------------------------------------------- */

void mig_source_advise(MigSource *s)
{
    const MigMemory *m = s->config.memory;
    bool ram = mig_source_has(s, MIG_CAP_POSTCOPY_RAM);
    if (!mig_source_can_postcopy(s)) {
        return;
    }
    mig_source_command(s, MIG_CMD_POSTCOPY_ADVISE, ram ? 16 : 0, 0);
    MigRecordCommand *c = &s->queue[s->queue_count - 1].record.command;
    c->advise.page_sizes = mig_source_era(s)->advise_all_sizes ? 0 : m->page_size;
    c->advise.target_page_size = m->page_size;
    for (uint32_t i = 0; mig_source_era(s)->advise_all_sizes && i < s->block_count; i++) {
        c->advise.page_sizes |= MAX(s->blocks[i].info->host_page, m->page_size);
    }
}

char *mig_source_start_postcopy(MigSource *s)
{
    if (!mig_source_can_postcopy(s)) {
        return g_strdup("postcopy can't be started: turn the capability postcopy-ram on before the "
                        "migration begins");
    }
    if (s->status == MIG_STATUS_IS_NONE) {
        return g_strdup("postcopy can't be started before a migration has been");
    }
    s->postcopy->wanted = true;
    return NULL;
}

char *mig_source_pause(MigSource *s)
{
    bool recover = mig_source_era(s)->recover_setup && s->status == MIG_STATUS_IS_POSTCOPY_RECOVER;
    if (s->status != MIG_STATUS_IS_POSTCOPY_ACTIVE && !recover) {
        return g_strdup_printf("migrate-pause works in postcopy-active only; this migration's "
                               "status is %s",
                               mig_status_text(s->status));
    }
    g_free(s->postcopy->said);
    s->postcopy->said = g_strdup("the user has paused postcopy");
    return NULL;
}

char *mig_source_recover(MigSource *s)
{
    if (s->status != MIG_STATUS_IS_POSTCOPY_PAUSED) {
        return g_strdup_printf("there is no paused migration to resume; the status is %s",
                               mig_status_text(s->status));
    }
    if (mig_source_has(s, MIG_CAP_RELEASE_RAM)) {
        return g_strdup("a migration with release-ram can't be resumed: pages that were sent are "
                        "gone here");
    }
    s->postcopy->resume = true;
    return NULL;
}

/* Requests --------------------------------------------------------------------------------- */

static bool find_block(const MigSource *s, const char *name, uint32_t *block)
{
    for (*block = 0; name && *block < s->block_count; ++*block) {
        if (strcmp(s->blocks[*block].info->name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool mig_source_request(MigSource *s, const char *block, uint64_t start, uint64_t length)
{
    MigSourcePostcopy *p = s->postcopy;
    uint32_t index;
    if (block) {
        g_free(p->asked_name);
        p->asked_name = g_strdup(block);
    }
    if (!find_block(s, p->asked_name, &index)) {
        return false;
    }
    uint64_t count = mig_source_host_pages(s, index), host = count * mig_source_page(s);
    uint64_t end = s->blocks[index].pages * mig_source_page(s);
    if (start % host || length % host || length == 0 || start >= end || length > end - start) {
        return false;
    }
    p->counts.requests++;
    for (uint64_t at = 0; at < length; at += host) {
        MigRequest *r = g_new(MigRequest, 1);
        *r = (MigRequest){ index, (start + at) / mig_source_page(s), count };
        g_queue_push_tail(&p->requests, r);
    }
    return true;
}

MigRequest *mig_source_first_request(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    MigRequest *r;
    while ((r = g_queue_peek_head(&p->requests)) != NULL) {
        if (mig_bitmap_next(s->blocks[r->block].dirty, r->first) < r->first + r->count) {
            return r;
        }
        p->counts.stale++;
        g_free(g_queue_pop_head(&p->requests));
    }
    return NULL;
}

void mig_source_forget_requests(MigSource *s)
{
    MigSourcePostcopy *p = s->postcopy;
    g_queue_clear_full(&p->requests, g_free);
    g_clear_pointer(&p->asked_name, g_free);
}

/* Messages --------------------------------------------------------------------------------- */

typedef MigMessageEffect (*MigMessageHandler)(MigSource *s, const MigRecordRp *m,
                                              const void *payload);

static MigMessageEffect bad(MigSource *s, const char *format, ...) G_GNUC_PRINTF(2, 3);

static MigMessageEffect bad(MigSource *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_free(s->postcopy->said);
    s->postcopy->said = g_strdup_vprintf(format, args);
    va_end(args);
    return MIG_MESSAGE_BAD;
}

static MigMessageEffect on_pong(MigSource *s, const MigRecordRp *m, const void *payload)
{
    (void)payload;
    s->postcopy->pongs++;
    s->postcopy->loaded |= m->value == MIG_PING_LOADED;
    return MIG_MESSAGE_TAKEN;
}

static MigMessageEffect on_shut(MigSource *s, const MigRecordRp *m, const void *payload)
{
    (void)payload;
    s->postcopy->shut = true;
    s->postcopy->verdict = m->value;
    return MIG_MESSAGE_TAKEN;
}

static MigMessageEffect on_request(MigSource *s, const MigRecordRp *m, const void *payload)
{
    bool named = m->type == MIG_RP_REQ_PAGES_ID;
    g_autofree char *name = named ? g_strndup(m->request.name.text, m->request.name.len) : NULL;
    (void)payload;
    if (!s->postcopy->running) {
        return bad(s, "the destination asked for pages before postcopy");
    }
    if (!mig_source_request(s, name, m->request.start, m->request.length)) {
        return bad(s,
                   "the destination asked for %u bytes from 0x%" G_GINT64_MODIFIER
                   "x of block %s: expected whole host pages of a block that was listed",
                   m->request.length, (guint64)m->request.start,
                   s->postcopy->asked_name ? s->postcopy->asked_name : "(none named so far)");
    }
    return MIG_MESSAGE_URGENT;
}

/* What the destination has is clean, all else has to be sent (again). */
static void take_bitmap(MigSource *s, MigSourceBlock *b, const uint8_t *bytes)
{
    s->dirty_pages -= b->dirty->set;
    for (uint64_t w = 0; w < mig_bitmap_word_count(b->dirty); w++) {
        uint64_t word, left = b->pages - w * 64;
        uint64_t all = left < 64 ? (1ull << left) - 1 : ~0ull;
        memcpy(&word, bytes + w * 8, sizeof(word));
        uint64_t has = GUINT64_FROM_LE(word) & all;
        mig_bitmap_clear_mask(b->dirty, w, has);
        uint64_t fresh = mig_bitmap_set_mask(b->dirty, w, ~has & all);
        s->postcopy->counts.resent += (unsigned)__builtin_popcountll(fresh);
    }
    s->dirty_pages += b->dirty->set;
}

static MigMessageEffect on_bitmap(MigSource *s, const MigRecordRp *m, const void *payload)
{
    g_autofree char *name = g_strndup(m->bitmap.name.text, m->bitmap.name.len);
    uint32_t index;
    if (s->status != MIG_STATUS_IS_POSTCOPY_RECOVER || !payload) {
        return bad(s, "the destination sent a bitmap that nobody asked for");
    }
    if (!find_block(s, name, &index)) {
        return bad(s, "the destination sent the bitmap of a block \"%s\", which isn't there", name);
    }
    MigSourceBlock *b = &s->blocks[index];
    if (m->bitmap.size != mig_bitmap_word_count(b->dirty) * 8) {
        return bad(s,
                   "the destination sent a bitmap of %" G_GUINT64_FORMAT
                   " bytes for block %s: expected %" G_GUINT64_FORMAT,
                   (guint64)m->bitmap.size, name, (guint64)mig_bitmap_word_count(b->dirty) * 8);
    }
    take_bitmap(s, b, payload);
    s->postcopy->bitmaps++;
    return MIG_MESSAGE_TAKEN;
}

static MigMessageEffect on_resume_ack(MigSource *s, const MigRecordRp *m, const void *payload)
{
    (void)payload;
    if (s->status != MIG_STATUS_IS_POSTCOPY_RECOVER || m->value != 1) {
        return bad(s, "the destination acknowledged a resumption with %u: expected 1 in a recovery",
                   m->value);
    }
    s->postcopy->acks++;
    return MIG_MESSAGE_TAKEN;
}

static MigMessageEffect on_switchover_ack(MigSource *s, const MigRecordRp *m, const void *payload)
{
    mig_source_acknowledge(s);
    (void)m;
    (void)payload;
    return MIG_MESSAGE_TAKEN;
}

MigMessageEffect mig_source_message(MigSource *s, const MigRecord *message, const void *payload)
{
    static const MigMessageHandler handlers[] = {
        [MIG_RP_SHUT] = on_shut,
        [MIG_RP_PONG] = on_pong,
        [MIG_RP_REQ_PAGES_ID] = on_request,
        [MIG_RP_REQ_PAGES] = on_request,
        [MIG_RP_RECV_BITMAP] = on_bitmap,
        [MIG_RP_RESUME_ACK] = on_resume_ack,
        [MIG_RP_SWITCHOVER_ACK] = on_switchover_ack,
    };
    uint16_t type = message->rp.type;
    if (message->type != MIG_REC_RP || type >= G_N_ELEMENTS(handlers) || !handlers[type]) {
        return bad(s, "the destination sent message %u, which is none", type);
    }
    return handlers[type](s, &message->rp, payload);
}
