/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's postcopy: its phases, commands, statuses, and what a broken line does. Mirrors
 * loadvm_process_command(), loadvm_postcopy_*() (migration/savevm.c) and
 * postcopy_pause_incoming() (10.0).
 *
 * Limits. QEMU reads a package whole before it works on it, and works on it beside the main
 * channel; here its items are worked on as they come, before anything behind it. LISTEN straight
 * behind ADVISE is refused here; QEMU fails on the RUN that follows.
 */
#include <string.h>

#include "sim/engine/dest-internal.h"

typedef bool (*MigCommandHandler)(MigDest *d, const MigRecordCommand *c);

void mig_dest_postcopy_init(MigDest *d)
{
    d->status = MIG_STATUS_IS_NONE;
    d->asked_block = UINT32_MAX;
    d->decoders = g_ptr_array_new_with_free_func((GDestroyNotify)mig_decoder_free);
    g_ptr_array_add(d->decoders, d->decoder);
    d->main.decoder = d->decoder;
    d->blocktimes = mig_blocktimes_new(1);
}

void mig_dest_postcopy_free(MigDest *d)
{
    const MigMemory *m = d->config.memory;
    mig_decoder_free(d->preempt.decoder);
    while (d->decoders->len > 0) { /* children first */
        g_ptr_array_remove_index(d->decoders, d->decoders->len - 1);
    }
    g_ptr_array_unref(d->decoders);
    for (uint32_t i = 0; d->received && i < m->ops->count(m); i++) {
        mig_bitmap_free(d->received[i]);
    }
    g_free(d->received);
    g_free(d->main.host);
    g_free(d->preempt.host);
    if (d->outstanding) {
        g_tree_unref(d->outstanding);
    }
    mig_blocktimes_free(d->blocktimes);
}

void mig_dest_set_hooks(MigDest *d, const MigDestHooks *hooks, uint32_t vcpus)
{
    d->hooks = *hooks;
    mig_blocktimes_free(d->blocktimes);
    d->blocktimes = mig_blocktimes_new(vcpus);
}

void mig_dest_at(MigDest *d, int64_t now)
{
    d->now = now;
}

/* Status ----------------------------------------------------------------------------------- */

void mig_dest_change(MigDest *d, MigStatusName to)
{
    if (d->status != to) {
        d->status = to;
        if (d->hooks.status) {
            d->hooks.status(d->hooks.opaque, mig_status_text(to));
        }
    }
}

void mig_dest_begins(MigDest *d)
{
    if (d->status == MIG_STATUS_IS_NONE) {
        mig_dest_change(d, MIG_STATUS_IS_ACTIVE);
    }
}

void mig_dest_tell(MigDest *d)
{
    if (d->state != MIG_DEST_LOADING) {
        bool wanted = d->config.capabilities & MIG_CAP_BIT(MIG_CAP_X_COLO);
        bool colo = d->counts.colo || (wanted && !d->config.era.enable_colo);
        MigStatusName end = colo ? MIG_STATUS_IS_COLO : MIG_STATUS_IS_COMPLETED;
        mig_dest_change(d, d->state == MIG_DEST_COMPLETED ? end : MIG_STATUS_IS_FAILED);
    }
}

const char *mig_dest_status(const MigDest *d)
{
    return mig_status_text(d->state == MIG_DEST_FAILED ? MIG_STATUS_IS_FAILED : d->status);
}

MigIncoming mig_dest_incoming(const MigDest *d)
{
    return d->incoming;
}

/* Commands --------------------------------------------------------------------------------- */

static bool wrong_phase(MigDest *d, const char *command)
{
    static const char *const phases[] = {
        [MIG_INCOMING_NONE] = "none",       [MIG_INCOMING_ADVISE] = "advise",
        [MIG_INCOMING_DISCARD] = "discard", [MIG_INCOMING_LISTENING] = "listening",
        [MIG_INCOMING_RUNNING] = "running", [MIG_INCOMING_END] = "end",
    };
    return mig_dest_refuse(d, MIG_FAULT_NONE, phases[d->incoming],
                           "postcopy to be in a phase in which %s may come", command);
}

/* What an ADVISE must say of our pages. */
static uint64_t page_sizes(const MigDest *d)
{
    const MigMemory *m = d->config.memory;
    uint64_t all = 0;
    for (uint32_t i = 0; i < m->ops->count(m); i++) {
        all |= MAX(m->ops->block(m, i)->host_page, m->page_size);
    }
    return mig_dest_era(d)->advise_all_sizes ? all : m->page_size;
}

static bool different_pages(MigDest *d, const char *what, uint64_t found, uint64_t expected)
{
    g_autofree char *text = g_strdup_printf("0x%" G_GINT64_MODIFIER "x", (guint64)found);
    return mig_dest_refuse(d, MIG_FAULT_NONE, text, "%s 0x%" G_GINT64_MODIFIER "x", what,
                           (guint64)expected);
}

static bool on_advise(MigDest *d, const MigRecordCommand *c)
{
    bool on = d->config.capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM);
    if (d->incoming != MIG_INCOMING_NONE) {
        return wrong_phase(d, "postcopy-advise");
    }
    if (on != (c->length == 16)) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, on ? "an advice without page sizes" : "postcopy",
                               "what the capability postcopy-ram (%s here) says",
                               on ? "on" : "off");
    }
    d->incoming = MIG_INCOMING_ADVISE;
    if (!on) {
        return true; /* for dirty bitmaps only */
    }
    if (c->advise.page_sizes != page_sizes(d)) {
        return different_pages(d, "page sizes of RAM", c->advise.page_sizes, page_sizes(d));
    }
    if (c->advise.target_page_size != d->config.memory->page_size) {
        return different_pages(d, "target page size", c->advise.target_page_size,
                               d->config.memory->page_size);
    }
    mig_dest_received_init(d);
    return true;
}

static bool find_block(MigDest *d, MigStr name, uint32_t *block)
{
    const MigMemory *m = d->config.memory;
    for (uint32_t i = 0; i < m->ops->count(m); i++) {
        if (mig_str_equal(name, mig_str(m->ops->block(m, i)->name))) {
            *block = i;
            return true;
        }
    }
    g_autofree char *text = g_strndup(name.text, name.len);
    return mig_dest_refuse(d, MIG_FAULT_NONE, text, "the name of a RAM block of this machine");
}

static bool discard_range(MigDest *d, uint32_t block, const MigRange *r)
{
    const MigMemory *m = d->config.memory;
    const MigMemoryBlock *b = m->ops->block(m, block);
    uint64_t host = mig_dest_host_pages(d, block) * m->page_size;
    if (r->start % host || r->length % host || r->start >= b->used_length ||
        r->length > b->used_length - r->start) {
        g_autofree char *text =
            g_strdup_printf("0x%" G_GINT64_MODIFIER "x bytes from 0x%" G_GINT64_MODIFIER "x",
                            (guint64)r->length, (guint64)r->start);
        return mig_dest_refuse(d, MIG_FAULT_NONE, text,
                               "a range of whole host pages inside block %s", b->name);
    }
    return r->length == 0 ||
           mig_dest_discard(d, block, r->start / m->page_size, r->length / m->page_size);
}

static bool on_discard(MigDest *d, const MigRecordCommand *c)
{
    uint32_t block = 0;
    if (d->incoming != MIG_INCOMING_ADVISE && d->incoming != MIG_INCOMING_DISCARD) {
        return wrong_phase(d, "postcopy-ram-discard");
    }
    if (!d->received || c->discard.version != 0 || c->discard.nul != 0 || c->discard.count == 0) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "another one", "a discard of version 0");
    }
    if (!find_block(d, c->discard.name, &block)) {
        return false;
    }
    d->incoming = MIG_INCOMING_DISCARD;
    for (uint32_t i = 0; i < c->discard.count; i++) {
        if (!discard_range(d, block, &c->discard.ranges[i])) {
            return false;
        }
    }
    return true;
}

static bool on_listen(MigDest *d, const MigRecordCommand *c)
{
    MigMemory *m = d->config.memory;
    (void)c;
    if (d->incoming != MIG_INCOMING_DISCARD && d->incoming != MIG_INCOMING_ADVISE) {
        return wrong_phase(d, "postcopy-listen"); /* no discard: no page was dirty */
    }
    if (d->received && m->ops->listen) {
        g_autofree char *refused = m->ops->listen(m);
        if (refused) {
            return mig_dest_refuse(d, MIG_FAULT_NONE, refused, "memory that can do postcopy");
        }
    }
    if (!d->received) {
        mig_dest_received_init(d); /* dirty bitmaps only: all pages have come */
    }
    d->incoming = MIG_INCOMING_LISTENING;
    bool device = mig_dest_era(d)->ping_loaded && d->counts.return_path;
    mig_dest_change(d, device ? MIG_STATUS_IS_POSTCOPY_DEVICE : MIG_STATUS_IS_POSTCOPY_ACTIVE);
    return true;
}

static bool on_run(MigDest *d, const MigRecordCommand *c)
{
    (void)c;
    if (d->incoming != MIG_INCOMING_LISTENING) {
        return wrong_phase(d, "postcopy-run");
    }
    d->incoming = MIG_INCOMING_RUNNING;
    mig_dest_change(d, MIG_STATUS_IS_POSTCOPY_ACTIVE);
    if (d->hooks.run) {
        d->hooks.run(d->hooks.opaque);
    }
    return true;
}

/* Outside a recovery QEMU says a word and goes on. */
static bool on_resume(MigDest *d, const MigRecordCommand *c)
{
    (void)c;
    if (d->status == MIG_STATUS_IS_POSTCOPY_RECOVER) {
        mig_dest_change(d, MIG_STATUS_IS_POSTCOPY_ACTIVE);
        mig_dest_reply_value(d, MIG_RP_RESUME_ACK, 1);
        mig_dest_ask_again(d);
    }
    return true;
}

static bool on_recv_bitmap(MigDest *d, const MigRecordCommand *c)
{
    MigMemory *m = d->config.memory;
    uint32_t block = 0;
    if (!find_block(d, c->bitmap_name, &block)) {
        return false;
    }
    if (d->status != MIG_STATUS_IS_POSTCOPY_RECOVER || !d->config.reply) {
        return true;
    }
    const MigBitmap *bits = d->received[block];
    uint64_t pages = m->ops->block(m, block)->used_length / m->page_size;
    uint64_t words = (pages + 63) / 64;
    g_autofree uint64_t *little = g_new(uint64_t, words + 1);
    for (uint64_t i = 0; i < words; i++) {
        little[i] = GUINT64_TO_LE(mig_bitmap_word(bits, i));
    }
    MigRecord r = { .type = MIG_REC_RP, .payload = words * 8 };
    r.rp.type = MIG_RP_RECV_BITMAP;
    r.rp.length = (uint16_t)(1 + c->bitmap_name.len);
    r.rp.bitmap.name = c->bitmap_name;
    r.rp.bitmap.size = words * 8;
    d->payload = (const uint8_t *)little;
    d->config.reply(d->config.opaque, &r);
    d->payload = NULL;
    return true;
}

const uint8_t *mig_dest_reply_payload(const MigDest *d)
{
    return d->payload;
}

bool mig_dest_postcopy_command(MigDest *d, const MigRecordCommand *c)
{
    static const MigCommandHandler commands[] = {
        [MIG_CMD_POSTCOPY_ADVISE] = on_advise, [MIG_CMD_POSTCOPY_RAM_DISCARD] = on_discard,
        [MIG_CMD_POSTCOPY_LISTEN] = on_listen, [MIG_CMD_POSTCOPY_RUN] = on_run,
        [MIG_CMD_POSTCOPY_RESUME] = on_resume, [MIG_CMD_RECV_BITMAP] = on_recv_bitmap,
    };
    MigCommandHandler handler = c->number < G_N_ELEMENTS(commands) ? commands[c->number] : NULL;
    return !handler || handler(d, c);
}

bool mig_dest_postcopy_end(MigDest *d)
{
    MigMemory *m = d->config.memory;
    uint64_t missing = mig_dest_missing(d);
    if (d->incoming != MIG_INCOMING_RUNNING) {
        return wrong_phase(d, "the end of the stream");
    }
    if (missing > 0 && d->config.capabilities & MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT)) {
        d->end_waits = true; /* two channels: what was sent first may come last */
        return true;
    }
    if (missing > 0) {
        g_autofree char *text =
            g_strdup_printf("the end, with %" G_GUINT64_FORMAT " pages missing", missing);
        return mig_dest_refuse(d, MIG_FAULT_NONE, text, "every page that was discarded");
    }
    d->incoming = MIG_INCOMING_END;
    if (m->ops->unlisten) {
        m->ops->unlisten(m);
    }
    return true;
}

/* The preempt channel ---------------------------------------------------------------------- */

static bool preempt_record(MigDest *d, const MigRecord *r)
{
    d->preempt.record = *r;
    switch (r->type) {
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_PAGE:
        return mig_dest_host_page(d, &d->preempt, r);
    case MIG_REC_RAM_EOS:
        return true;
    default:
        return mig_dest_refuse(d, MIG_FAULT_NONE, mig_record_name(r->type),
                               "a page on the preempt channel");
    }
}

/* The main channel has ended before; and now everything is there. */
static bool end_late(MigDest *d)
{
    d->end_waits = false;
    return mig_dest_postcopy_end(d) && mig_dest_pump(d);
}

static bool pump_preempt(MigDest *d)
{
    for (;;) {
        MigRecord r = { 0 };
        MigStatus status = mig_decoder_next(d->preempt.decoder, &r);
        d->pumped = d->preempt.decoder;
        if (status == MIG_STATUS_RECORD || status == MIG_STATUS_PAYLOAD) {
            bool fine = status == MIG_STATUS_RECORD ? preempt_record(d, &r)
                                                    : mig_dest_host_page_filled(d, &d->preempt);
            if (!fine) {
                return false;
            }
        } else if (status == MIG_STATUS_BAD) {
            d->state = MIG_DEST_FAILED;
            d->error = *mig_decoder_diagnosis(d->preempt.decoder);
            return false;
        } else {
            return !d->end_waits || mig_dest_missing(d) > 0 || end_late(d);
        }
    }
}

bool mig_dest_feed_preempt(MigDest *d, const void *data, size_t n)
{
    if (d->state != MIG_DEST_LOADING || d->status == MIG_STATUS_IS_POSTCOPY_PAUSED) {
        return d->state == MIG_DEST_COMPLETED;
    }
    if (!mig_dest_listens(d)) {
        return wrong_phase(d, "a page on the preempt channel");
    }
    if (!d->preempt.decoder) {
        d->preempt.decoder =
            mig_decoder_new_child(g_ptr_array_index(d->decoders, 0), MIG_CHANNEL_PREEMPT);
    }
    d->counts.bytes += n;
    mig_decoder_feed(d->preempt.decoder, data, n);
    return pump_preempt(d);
}

size_t mig_dest_direct_preempt(const MigDest *d, void **dst)
{
    bool can = d->state == MIG_DEST_LOADING && d->preempt.decoder;
    return can ? mig_decoder_direct(d->preempt.decoder, dst) : 0;
}

bool mig_dest_filled_preempt(MigDest *d, size_t n)
{
    d->counts.bytes += n;
    mig_decoder_filled(d->preempt.decoder, n);
    return pump_preempt(d);
}

/* A broken line ---------------------------------------------------------------------------- */

bool mig_dest_break(MigDest *d, const char *error)
{
    if (d->state != MIG_DEST_LOADING) {
        return false;
    }
    if (d->incoming != MIG_INCOMING_RUNNING || !mig_dest_era(d)->recovery) {
        mig_dest_refuse(d, MIG_FAULT_NONE, error, "the rest of the stream");
        mig_dest_tell(d);
        return false;
    }
    d->ended = d->end_waits = false;
    mig_dest_lane_reset(d, &d->main);
    mig_dest_lane_reset(d, &d->preempt);
    mig_decoder_free(g_steal_pointer(&d->preempt.decoder));
    mig_dest_change(d, MIG_STATUS_IS_POSTCOPY_PAUSED);
    return true;
}

static char *not_now(const MigDest *d, const char *command, const char *when)
{
    return g_strdup_printf("%s works in %s only; this migration's status is %s", command, when,
                           mig_dest_status(d));
}

char *mig_dest_pause(MigDest *d)
{
    bool recover = mig_dest_era(d)->recover_setup && d->status == MIG_STATUS_IS_POSTCOPY_RECOVER;
    return d->status == MIG_STATUS_IS_POSTCOPY_ACTIVE || recover
               ? NULL
               : not_now(d, "migrate-pause", "postcopy-active");
}

char *mig_dest_recover(MigDest *d)
{
    return d->status == MIG_STATUS_IS_POSTCOPY_PAUSED
               ? NULL
               : not_now(d, "migrate-recover", "postcopy-paused");
}

void mig_dest_reconnect(MigDest *d)
{
    g_assert(d->status == MIG_STATUS_IS_POSTCOPY_PAUSED);
    d->decoder = mig_decoder_new_child(g_ptr_array_index(d->decoders, 0), MIG_CHANNEL_RECOVERY);
    d->main.decoder = d->decoder;
    g_ptr_array_add(d->decoders, d->decoder);
    mig_dest_change(d, MIG_STATUS_IS_POSTCOPY_RECOVER);
}
