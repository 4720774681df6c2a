/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying pages to a sparse file.
 *
 * Model: records come in the order in which a relay saw their bytes. Channels overtake each other
 * there, but a destination puts them back into order at every synchronisation point: a page of
 * round n (behind n SYNC packets of its channel, or n marks on the main channel) is older than one
 * of round n+1. Pages that came ahead of a slower channel are remembered until it has caught up.
 *
 * Limits: payload of one packet for each channel is held in memory, and a mapped-ram block's
 * bitmap. A multifd packet's pages are checked against their block here; the decoder has no part in
 * that.
 */
#include "conformance/extract.h"

#include <gio/gio.h>
#include <string.h>
#include <zlib.h>

#include "conformance/extract-mapped.h"
#include "conformance/image.h"
#include "stream/limits.h"
#include "stream/multifd-codec.h"
#include "stream/xbzrle.h"

#define CHANNELS 256u /* multifd channels have a one-byte id */

typedef struct Channel {
    GByteArray *bytes; /* of the payload asked for */
    GByteArray *pages; /* of a packet, inflated */
    MigRecord r;       /* that the payload is of */
    GArray *offsets;   /* of its packet */
    MigMultifdCodec *codec;
    uint32_t round; /* SYNC packets so far */
} Channel;

typedef struct Extract {
    MigRecording *recording;
    const char *name;
    int fd;
    uint32_t page_size;
    uint8_t *page;
    GPtrArray *channels;
    GHashTable *ahead; /* page number -> round + 1 */
    uint32_t eos, flushes;
    bool multifd;
    MigMappedImage mapped;
    MigExtractResult *result;
} Extract;

void mig_extract_result_clear(MigExtractResult *result)
{
    g_free(result->channel);
    g_free(result->hint);
}

static void channel_free(gpointer data)
{
    Channel *ch = data;
    if (ch) {
        g_byte_array_unref(ch->bytes);
        g_byte_array_unref(ch->pages);
        g_array_unref(ch->offsets);
        mig_multifd_codec_free(ch->codec);
        g_free(ch);
    }
}

static Channel *channel_of(Extract *x, unsigned channel)
{
    if (x->channels->len <= channel) {
        g_ptr_array_set_size(x->channels, (gint)channel + 1);
    }
    if (!x->channels->pdata[channel]) {
        Channel *ch = g_new0(Channel, 1);
        ch->bytes = g_byte_array_new();
        ch->pages = g_byte_array_new();
        ch->offsets = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        x->channels->pdata[channel] = ch;
    }
    return x->channels->pdata[channel];
}

/* ---- what is wrong ---- */

static bool bad(Extract *x, unsigned channel, uint64_t offset, const char *expected,
                const char *format, ...) G_GNUC_PRINTF(5, 6);

static bool bad(Extract *x, unsigned channel, uint64_t offset, const char *expected,
                const char *format, ...)
{
    MigDiagnosis *why = &x->result->why;
    va_list args;

    x->result->bad = true;
    x->result->channel = g_strdup(mig_recording_channel_name(x->recording, channel));
    *why = (MigDiagnosis){ .offset = offset };
    mig_decoder_path(mig_recording_decoder(x->recording, channel), why->path, sizeof(why->path));
    g_snprintf(why->expected, sizeof(why->expected), "%s", expected);
    va_start(args, format);
    g_vsnprintf(why->found, sizeof(why->found), format, args);
    va_end(args);
    return true;
}

static void decoder_gave_up(Extract *x, unsigned channel)
{
    const MigDiagnosis *g = mig_decoder_diagnosis(mig_recording_decoder(x->recording, channel));

    if (g->fault == MIG_FAULT_TRUNCATED && mig_recording_was_cut(x->recording, channel)) {
        return; /* the line broke; what is missing comes on another channel */
    }
    x->result->bad = true;
    x->result->inconclusive = mig_fault_is_inconclusive(g->fault);
    x->result->why = *g;
    x->result->channel = g_strdup(mig_recording_channel_name(x->recording, channel));
    x->result->hint = mig_recording_hint(x->recording, channel);
}

/* Pages may be missing that no channel's records speak of. */
static void look_for_cut(Extract *x)
{
    if (mig_recording_cut(x->recording, &x->result->why)) {
        x->result->bad = true;
        x->result->channel = g_strdup("main");
    }
}

/* ---- rounds ---- */

static uint32_t round_of(const Extract *x, unsigned channel)
{
    if (mig_recording_channel_kind(x->recording, channel) == MIG_CHANNEL_MULTIFD) {
        const Channel *ch = x->channels->pdata[channel];
        return ch->round;
    }
    return x->flushes ? x->flushes : x->eos;
}

/* True if some multifd channel is in an earlier round than |round|. */
static bool is_ahead(const Extract *x, uint32_t round)
{
    for (guint i = 0; i < x->channels->len; i++) {
        const Channel *ch = x->channels->pdata[i];
        if (ch && ch->codec && ch->round < round) {
            return true;
        }
    }
    return false;
}

/* False: a newer page is there already. */
static bool in_order(Extract *x, unsigned channel, uint64_t offset)
{
    if (!x->multifd) {
        return true;
    }
    gpointer key = GSIZE_TO_POINTER(offset / x->page_size);
    uint32_t round = round_of(x, channel);
    uint32_t newest = GPOINTER_TO_UINT(g_hash_table_lookup(x->ahead, key));
    if (newest > round + 1) {
        return false;
    }
    if (is_ahead(x, round)) {
        g_hash_table_insert(x->ahead, key, GUINT_TO_POINTER(round + 1));
    }
    return true;
}

static void next_round(Extract *x, Channel *ch)
{
    ch->round++;
    if (!is_ahead(x, ch->round)) {
        g_hash_table_remove_all(x->ahead); /* everybody is here */
    }
}

/* ---- pages ---- */

static bool is_mine(const Extract *x, MigStr name)
{
    return mig_str_equal(name, mig_str(x->name));
}

static bool put_page(Extract *x, unsigned channel, uint64_t offset, const uint8_t *data,
                     GError **error)
{
    x->result->pages++;
    return !in_order(x, channel, offset) ||
           mig_image_write(x->fd, offset, data, x->page_size, error);
}

static bool apply_delta(Extract *x, unsigned channel, const Channel *ch, GError **error)
{
    const MigRecord *r = &ch->r;
    MigXbzrleInfo info;

    if (!mig_image_read(x->fd, r->ram.offset, x->page, x->page_size, error)) {
        return false;
    }
    MigXbzrleFault fault =
        mig_xbzrle_decode(ch->bytes->data, r->payload, x->page, x->page_size, &info);
    if (fault != MIG_XBZRLE_OK) {
        return bad(x, channel, r->offset + r->wire + info.at, "a delta that can be applied", "%s",
                   mig_xbzrle_fault_text(fault));
    }
    return put_page(x, channel, r->ram.offset, x->page, error);
}

/* Inflating to less than a page is accepted, as qemu_uncompress_data() does: the rest stays. */
static bool inflate_page(Extract *x, unsigned channel, const Channel *ch, GError **error)
{
    const MigRecord *r = &ch->r;
    uLongf n = x->page_size;

    if (!mig_image_read(x->fd, r->ram.offset, x->page, x->page_size, error)) {
        return false;
    }
    if (uncompress(x->page, &n, ch->bytes->data, (uLong)r->payload) != Z_OK) {
        return bad(x, channel, r->offset + r->wire, "zlib data of one page",
                   "data that does not inflate to a page");
    }
    return put_page(x, channel, r->ram.offset, x->page, error);
}

static void ask(Extract *x, unsigned channel, Channel *ch, const MigRecord *r)
{
    ch->r = *r;
    g_byte_array_set_size(ch->bytes, (guint)r->payload);
    if (r->payload) {
        mig_recording_payload_into(x->recording, channel, ch->bytes->data);
    }
}

static bool on_page(Extract *x, unsigned channel, const MigRecord *r, GError **error)
{
    if (!is_mine(x, r->ram.name)) {
        return true;
    }
    if (r->ram.offset > MIG_LIMIT_BLOCK_LENGTH) {
        return bad(x, channel, r->offset, "an offset that a block can have",
                   "0x%" G_GINT64_MODIFIER "x", r->ram.offset);
    }
    x->result->found = true;
    x->result->length = MAX(x->result->length, r->ram.offset + x->page_size);
    if (r->type == MIG_REC_RAM_ZERO) {
        memset(x->page, r->ram.fill, x->page_size);
        return put_page(x, channel, r->ram.offset, x->page, error);
    }
    Channel *ch = channel_of(x, channel);
    ask(x, channel, ch, r);
    /* A delta of no bytes changes nothing, and has no payload to wait for. */
    return r->payload || r->type != MIG_REC_RAM_COMPRESS || inflate_page(x, channel, ch, error);
}

/* ---- multifd ---- */

static bool bad_offset(const Extract *x, uint64_t offset)
{
    return offset % x->page_size || offset > x->result->length ||
           x->result->length - offset < x->page_size;
}

static bool check_offsets(Extract *x, unsigned channel, const MigRecord *r, bool *good)
{
    uint32_t n = r->multifd.normal_pages + r->multifd.zero_pages;

    *good = false;
    if (!x->result->found) {
        return bad(x, channel, r->offset + 64, "a block of the list", "pages of another one");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (bad_offset(x, r->multifd.offsets[i])) {
            return bad(x, channel, r->offset + 320 + 8 * (uint64_t)i,
                       "the offset of a page inside its block", "0x%" G_GINT64_MODIFIER "x",
                       r->multifd.offsets[i]);
        }
    }
    *good = true;
    return true;
}

static bool zero_pages(Extract *x, unsigned channel, const MigRecord *r, GError **error)
{
    for (uint32_t i = 0; i < r->multifd.zero_pages; i++) {
        uint64_t offset = r->multifd.offsets[r->multifd.normal_pages + i];
        x->result->pages++;
        if (in_order(x, channel, offset) && !mig_image_zero(x->fd, offset, x->page_size, error)) {
            return false;
        }
    }
    return true;
}

static bool prepare_channel(Extract *x, unsigned channel, Channel *ch, GError **error)
{
    if (ch->codec || channel >= CHANNELS + 8) {
        return ch->codec != NULL || (g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                                                 "more channels than a migration can have"),
                                     false);
    }
    ch->codec = mig_multifd_decompressor_new();
    x->multifd = true;
    return true;
}

static bool on_packet(Extract *x, unsigned channel, const MigRecord *r, GError **error)
{
    Channel *ch = channel_of(x, channel);
    const MigRecordMultifd *m = &r->multifd;
    uint32_t n = m->normal_pages + m->zero_pages;
    bool mine = n && strncmp(m->name, x->name, sizeof(m->name)) == 0, good = true;

    if (!prepare_channel(x, channel, ch, error)) {
        return false;
    }
    if (mine && !check_offsets(x, channel, r, &good)) {
        return false;
    }
    if (!good || (mine && !zero_pages(x, channel, r, error))) {
        return !good;
    }
    bool stream = m->flags & MIG_MULTIFD_FLAG_COMPRESSION; /* every packet must be inflated */
    if (r->payload && (mine || stream)) {
        ask(x, channel, ch, r);
        g_array_set_size(ch->offsets, 0);
        g_array_append_vals(ch->offsets, m->offsets, mine ? m->normal_pages : 0);
    }
    if (m->flags & MIG_MULTIFD_FLAG_SYNC && !(r->payload && (mine || stream))) {
        next_round(x, ch);
    }
    return true;
}

static bool on_packet_pages(Extract *x, unsigned channel, Channel *ch, GError **error)
{
    const MigRecord *r = &ch->r;
    gsize n = (gsize)r->multifd.normal_pages * x->page_size;

    g_byte_array_set_size(ch->pages, (guint)n);
    MigCodecStatus status = mig_multifd_decompress(ch->codec, r->multifd.flags, ch->bytes->data,
                                                   ch->bytes->len, ch->pages->data, n);
    if (status != MIG_CODEC_OK) {
        return bad(x, channel, r->offset + r->wire,
                   "compressed pages that go on from the packet "
                   "before",
                   "%s", mig_codec_status_text(status));
    }
    for (guint i = 0; i < ch->offsets->len; i++) {
        uint64_t offset = g_array_index(ch->offsets, uint64_t, i);
        if (!put_page(x, channel, offset, ch->pages->data + (gsize)i * x->page_size, error)) {
            return false;
        }
    }
    if (r->multifd.flags & MIG_MULTIFD_FLAG_SYNC) {
        next_round(x, ch);
    }
    return true;
}

/* ---- other records ---- */

static bool on_discard(Extract *x, unsigned channel, const MigRecord *r, GError **error)
{
    const MigRecordCommand *c = &r->command;

    if (c->number != MIG_CMD_POSTCOPY_RAM_DISCARD || !is_mine(x, c->discard.name)) {
        return true;
    }
    for (uint32_t i = 0; i < c->discard.count; i++) {
        const MigRange *range = &c->discard.ranges[i];
        if (range->start > x->result->length || range->length > x->result->length - range->start) {
            return bad(x, channel, r->offset, "ranges inside the block",
                       "0x%" G_GINT64_MODIFIER "x + 0x%" G_GINT64_MODIFIER "x", range->start,
                       range->length);
        }
        if (!mig_image_zero(x->fd, range->start, range->length, error)) {
            return false;
        }
    }
    return true;
}

static bool on_block(Extract *x, const MigRecord *r)
{
    const MigRecordRamBlock *b = &r->block;

    x->page_size = mig_decoder_page_size(mig_recording_main(x->recording));
    if (is_mine(x, b->name)) {
        x->result->found = true;
        x->result->length = b->used_length;
        x->result->left_out = b->has_address; /* until a page of it comes */
    }
    return true;
}

static bool mapped_is_mine(const Extract *x, const MigRecord *r, unsigned channel)
{
    const MigRecordRamBlock *b =
        mig_decoder_block(mig_recording_decoder(x->recording, channel), r->mapped.block);
    return b && is_mine(x, b->name);
}

static bool on_mapped(Extract *x, unsigned channel, const MigRecord *r, GError **error)
{
    if (!mapped_is_mine(x, r, channel)) {
        return true;
    }
    if (r->type == MIG_REC_MAPPED_BITMAP) {
        if (r->payload > MIG_EXTRACT_BITMAP) {
            return bad(x, channel, r->offset, "a bitmap of at most 256 MiB",
                       "%" G_GUINT64_FORMAT " bytes", r->payload);
        }
        ask(x, channel, channel_of(x, channel), r);
        return true;
    }
    MigMappedImage *m = &x->mapped;
    m->page_size = x->page_size;
    m->bitmap = channel_of(x, channel)->bytes;
    m->length = r->payload;
    channel_of(x, channel)->r = *r;
    if (!mig_mapped_begin(m, x->recording, channel, r->mapped.file_offset, x->fd, error)) {
        return false;
    }
    x->result->pages += m->pages;
    if (m->bad) {
        return bad(x, channel, m->bad_offset, "the contents of every page whose bit is set",
                   "the end of the file");
    }
    return true;
}

static bool on_record(Extract *x, unsigned channel, const MigRecord *r, GError **error)
{
    switch (r->type) {
    case MIG_REC_RAM_BLOCK:
        return on_block(x, r);
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_PAGE:
    case MIG_REC_RAM_XBZRLE:
    case MIG_REC_RAM_COMPRESS:
        return on_page(x, channel, r, error);
    case MIG_REC_MULTIFD_PACKET:
        return on_packet(x, channel, r, error);
    case MIG_REC_MULTIFD_INIT:
        return prepare_channel(x, channel, channel_of(x, channel), error);
    case MIG_REC_MAPPED_BITMAP:
    case MIG_REC_MAPPED_PAGES:
        return on_mapped(x, channel, r, error);
    case MIG_REC_COMMAND:
        return on_discard(x, channel, r, error);
    case MIG_REC_RAM_EOS:
    case MIG_REC_RAM_FLUSH:
        if (mig_recording_channel_kind(x->recording, channel) == MIG_CHANNEL_MAIN) {
            x->eos += r->type == MIG_REC_RAM_EOS;
            x->flushes += r->type == MIG_REC_RAM_FLUSH;
        }
        return true;
    default:
        return true;
    }
}

static bool on_payload(Extract *x, unsigned channel, GError **error)
{
    Channel *ch = channel_of(x, channel);

    switch (ch->r.type) {
    case MIG_REC_RAM_PAGE:
        return put_page(x, channel, ch->r.ram.offset, ch->bytes->data, error);
    case MIG_REC_RAM_XBZRLE:
        return apply_delta(x, channel, ch, error);
    case MIG_REC_RAM_COMPRESS:
        return inflate_page(x, channel, ch, error);
    case MIG_REC_MULTIFD_PACKET:
        return on_packet_pages(x, channel, ch, error);
    case MIG_REC_MAPPED_PAGES: {
        bool good = mig_mapped_finish(&x->mapped, x->fd, error);
        x->result->pages += x->mapped.pages;
        return good;
    }
    default:
        return true;
    }
}

static bool run(Extract *x, GError **error)
{
    MigStatus status;
    unsigned channel;
    MigRecord r;

    while ((status = mig_recording_next(x->recording, &channel, &r, error)) != MIG_STATUS_END) {
        bool good = status != MIG_STATUS_MORE;
        if (status == MIG_STATUS_BAD) {
            decoder_gave_up(x, channel);
        } else if (status == MIG_STATUS_PAYLOAD) {
            good = on_payload(x, channel, error);
        } else if (status == MIG_STATUS_RECORD) {
            good = on_record(x, channel, &r, error);
        }
        if (!good) {
            return false;
        }
        if (x->result->bad) {
            return true;
        }
    }
    look_for_cut(x);
    x->result->left_out = x->result->left_out && x->result->pages == 0;
    return mig_image_resize(x->fd, x->result->length, error);
}

bool mig_extract(MigRecording *recording, const char *name, int fd, MigExtractResult *result,
                 GError **error)
{
    uint32_t largest = 1u << MIG_LIMIT_PAGE_BITS;
    g_autofree uint8_t *page = g_malloc(largest);
    g_autoptr(GPtrArray) channels = g_ptr_array_new_with_free_func(channel_free);
    g_autoptr(GHashTable) ahead = g_hash_table_new(NULL, NULL);
    Extract x = {
        .recording = recording,
        .name = name,
        .fd = fd,
        .page_size = 4096,
        .page = page,
        .channels = channels,
        .ahead = ahead,
        .result = result,
    };
    *result = (MigExtractResult){ 0 };
    bool good = run(&x, error);
    mig_mapped_clear(&x.mapped);
    return good;
}
