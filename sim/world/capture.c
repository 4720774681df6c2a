/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading pcapng. Only what our recordings need is understood: section header, interface
 * description (link type 147, the name and the time resolution) and enhanced packet blocks; other
 * blocks are passed over. Both byte orders are read.
 *
 * Limits: one block is held in memory, at most MIG_CAPTURE_BLOCK bytes.
 */
#include "sim/world/capture.h"

#include <gio/gio.h>
#include <string.h>

#define BLOCK_SECTION   0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET    6u
#define BYTE_ORDER_MARK 0x1a2b3c4du
#define LINKTYPE_USER0  147u
#define OPTION_END      0u
#define OPTION_NAME     2u
#define OPTION_TSRESOL  9u

typedef struct Channel {
    MigCaptureChannel about;
    MigDecoder *decoder;
    guint ticks_per_s_log10; /* of its time stamps */
    gboolean bad;
    GByteArray *recent; /* its last bytes before the chunk at hand */
    uint64_t fed;       /* bytes, the chunk at hand included */
} Channel;

struct MigCapture {
    MigInput *input;
    const uint8_t *data; /* what the input lent and was not used yet */
    size_t n;
    uint64_t offset; /* in the file, of |data| */
    uint64_t packets;
    bool is_cut;
    MigCaptureCut cut;
    GByteArray *block;
    gboolean swapped;
    GPtrArray *channels;
    Channel *main;
    guint generation_channels;
    unsigned current; /* the channel whose decoder may have more records */
    gboolean busy, flushing;
    unsigned flushed;
    MigChunk chunk; /* at hand; n is 0 before the first */
    MigCaptureTap tap;
    void *tap_opaque;
    MigDecoderOptions options;
    /*
     * Chunks of channels that refer to the block list, which overtook it: a destination's threads
     * wait for the list, a relay's don't.
     */
    GQueue held; /* Held */
    size_t held_bytes;
    GBytes *lent;    /* of the chunk at hand, if it was held */
    gboolean listed; /* or not worth waiting for any more */
};

typedef struct Held {
    MigChunk chunk;
    GBytes *bytes;
} Held;

bool mig_capture_probe(MigInput *input)
{
    static const uint8_t head[] = { 0x0a, 0x0d, 0x0d, 0x0a };
    uint8_t found[sizeof(head)];
    size_t n = mig_input_peek(input, 0, found, sizeof(found));
    return n == sizeof(head) && memcmp(found, head, sizeof(head)) == 0;
}

static void channel_free(gpointer data)
{
    Channel *ch = data;
    g_free(ch->about.name);
    g_byte_array_unref(ch->recent);
    mig_decoder_free(ch->decoder);
    g_free(ch);
}

MigCapture *mig_capture_new(MigInput *input)
{
    MigCapture *c = g_new0(MigCapture, 1);
    c->input = input;
    c->block = g_byte_array_new();
    c->channels = g_ptr_array_new_with_free_func(channel_free);
    return c;
}

MigCapture *mig_capture_open(const char *path, GError **error)
{
    MigInput *input = mig_input_open(path, error);
    return input ? mig_capture_new(input) : NULL;
}

void mig_capture_free(MigCapture *c)
{
    if (!c) {
        return;
    }
    /* The main channel's decoder owns what the others share: it goes last. */
    for (guint i = c->channels->len; i-- > 0;) {
        Channel *ch = c->channels->pdata[i];
        if (ch != c->main) {
            g_clear_pointer(&ch->decoder, mig_decoder_free);
        }
    }
    for (Held *h; (h = g_queue_pop_head(&c->held)); g_free(h)) {
        g_bytes_unref(h->bytes);
    }
    g_clear_pointer(&c->lent, g_bytes_unref);
    g_ptr_array_unref(c->channels);
    g_byte_array_unref(c->block);
    mig_input_free(c->input);
    g_free(c);
}

/* ---- pcapng ---- */

static gboolean fail(MigCapture *c, GError **error, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s: offset %" G_GUINT64_FORMAT ": %s (is this a pcapng recording?)",
                c->input->name, c->offset, what);
    return FALSE;
}

/* Appends |n| bytes of the file to the block; FALSE without *error: the file ends first. */
static gboolean take(MigCapture *c, size_t n, GError **error)
{
    while (n > 0) {
        if (c->n == 0) {
            if (!mig_input_next(c->input, &c->data, &c->n, error) || c->n == 0) {
                return FALSE;
            }
        }
        size_t step = MIN(n, c->n);
        g_byte_array_append(c->block, c->data, (guint)step);
        c->data += step;
        c->n -= step;
        c->offset += step;
        n -= step;
    }
    return TRUE;
}

static guint32 u32_at(const MigCapture *c, size_t at)
{
    guint32 v;
    memcpy(&v, c->block->data + at, sizeof(v));
    return c->swapped ? GUINT32_SWAP_LE_BE(v) : v;
}

static guint16 u16_at(const MigCapture *c, size_t at)
{
    guint16 v;
    memcpy(&v, c->block->data + at, sizeof(v));
    return c->swapped ? GUINT16_SWAP_LE_BE(v) : v;
}

/* take() for the rest of a block: where the file ends first, it was cut. */
static gboolean take_rest(MigCapture *c, size_t n, GError **error)
{
    g_autoptr(GError) local = NULL;
    if (take(c, n, &local)) {
        return TRUE;
    }
    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
    } else if (c->block->len > 0) {
        c->is_cut = true;
        c->cut = (MigCaptureCut){ c->packets, c->offset - c->block->len, c->block->len };
    }
    return FALSE;
}

static gboolean section_order(MigCapture *c, GError **error)
{
    if (!take_rest(c, 4, error)) {
        return FALSE;
    }
    c->swapped = FALSE;
    if (u32_at(c, 8) != BYTE_ORDER_MARK) {
        c->swapped = TRUE;
        if (u32_at(c, 8) != BYTE_ORDER_MARK) {
            return fail(c, error, "no byte order mark in the section header");
        }
    }
    return TRUE;
}

/* Reads one block whole. FALSE: the end, or *error. */
static gboolean next_block(MigCapture *c, GError **error)
{
    g_byte_array_set_size(c->block, 0);
    if (!take_rest(c, 8, error) || (u32_at(c, 0) == BLOCK_SECTION && !section_order(c, error))) {
        return FALSE;
    }
    guint32 length = u32_at(c, 4);
    if (length < 12 || length % 4 != 0 || length > MIG_CAPTURE_BLOCK) {
        return fail(c, error, "a block of impossible length");
    }
    return take_rest(c, length - c->block->len, error);
}

/* "main.2": the kind is that of "main", unless it is a recovery; "preempt-return.2": a way back. */
static MigChannel kind_of(const char *name)
{
    if (g_str_has_prefix(name, "return") || strstr(name, "-return")) {
        return MIG_CHANNEL_RETURN_PATH;
    }
    if (g_str_has_prefix(name, "multifd")) {
        return MIG_CHANNEL_MULTIFD;
    }
    if (g_str_has_prefix(name, "preempt")) {
        return MIG_CHANNEL_PREEMPT;
    }
    return strchr(name, '.') ? MIG_CHANNEL_RECOVERY : MIG_CHANNEL_MAIN;
}

/* The main channel's decoder is made with the first interface: the others share its tables. */
static void open_decoder(MigCapture *c, Channel *ch)
{
    if (ch->about.kind == MIG_CHANNEL_MAIN && !c->main) {
        ch->decoder = mig_decoder_new(&c->options);
        c->main = ch;
    }
}

static Channel *main_channel(MigCapture *c)
{
    for (guint i = 0; i < c->channels->len && !c->main; i++) {
        open_decoder(c, c->channels->pdata[i]);
    }
    return c->main;
}

/* Behind the last dot: 2 in "main.2". */
static unsigned generation_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    guint64 n = dot ? g_ascii_strtoull(dot + 1, NULL, 10) : 1;
    return n > 1 && n < MIG_CAPTURE_CHANNELS ? (unsigned)n - 1 : 0;
}

static gboolean add_interface(MigCapture *c, GError **error)
{
    Channel *ch = g_new0(Channel, 1);
    size_t end = c->block->len - 4;

    if (c->channels->len == MIG_CAPTURE_CHANNELS || c->block->len < 20) {
        g_free(ch);
        return fail(c, error, "a bad interface description, or too many of them");
    }
    ch->ticks_per_s_log10 = 6;
    for (size_t at = 16; at + 4 <= end && u16_at(c, at) != OPTION_END;) {
        guint16 code = u16_at(c, at), length = u16_at(c, at + 2);
        if (length > end - at - 4) {
            break;
        }
        const char *value = (const char *)c->block->data + at + 4;
        if (code == OPTION_NAME && !ch->about.name) {
            ch->about.name = g_utf8_make_valid(value, length);
        } else if (code == OPTION_TSRESOL && length == 1 && (guint8)value[0] <= 9) {
            ch->ticks_per_s_log10 = (guint8)value[0];
        }
        at += 4 + ((length + 3u) & ~3u);
    }
    if (!ch->about.name) {
        ch->about.name = g_strdup_printf("channel%u", c->channels->len);
    }
    ch->about.kind = kind_of(ch->about.name);
    ch->about.generation = generation_of(ch->about.name);
    ch->recent = g_byte_array_new();
    g_ptr_array_add(c->channels, ch);
    return u16_at(c, 8) == LINKTYPE_USER0
               ? TRUE
               : fail(c, error,
                      "an interface that is no channel of a migration (link type); of captured "
                      "packets migbench record --import makes a recording");
}

static uint64_t to_ns(uint64_t ticks, guint ticks_per_s_log10)
{
    for (guint i = ticks_per_s_log10; i < 9; i++) {
        ticks *= 10;
    }
    return ticks;
}

static gboolean take_packet(MigCapture *c, MigChunk *chunk, GError **error)
{
    if (c->block->len < 32 || u32_at(c, 8) >= c->channels->len ||
        u32_at(c, 20) > c->block->len - 32) {
        return fail(c, error, "a packet that contradicts itself");
    }
    chunk->channel = u32_at(c, 8);
    Channel *ch = c->channels->pdata[chunk->channel];
    uint64_t ticks = (uint64_t)u32_at(c, 12) << 32 | u32_at(c, 16);
    chunk->ns = to_ns(ticks, ch->ticks_per_s_log10);
    chunk->data = c->block->data + 28;
    chunk->n = u32_at(c, 20);
    ch->about.bytes += chunk->n;
    ch->about.last_ns = chunk->ns;
    c->packets++;
    return TRUE;
}

bool mig_capture_chunk(MigCapture *c, MigChunk *chunk, GError **error)
{
    while (!c->is_cut && next_block(c, error)) {
        switch (u32_at(c, 0)) {
        case BLOCK_INTERFACE:
            if (!add_interface(c, error)) {
                return false;
            }
            break;
        case BLOCK_PACKET:
            return take_packet(c, chunk, error);
        default:
            break;
        }
    }
    return false;
}

/* ---- records ---- */

static MigDecoder *decoder_of(MigCapture *c, Channel *ch)
{
    Channel *main = main_channel(c);
    if (!ch->decoder && main) {
        ch->decoder = mig_decoder_new_child(main->decoder, ch->about.kind);
    }
    return ch->decoder;
}

/* Takes a record of the current channel; MORE: it has no more for now. */
static MigStatus from_current(MigCapture *c, unsigned *channel, MigRecord *record)
{
    Channel *ch = c->channels->pdata[c->current];
    MigStatus s = mig_decoder_next(ch->decoder, record);

    *channel = c->current;
    if (s == MIG_STATUS_BAD) {
        ch->bad = TRUE;
    }
    c->listed |=
        ch == c->main && (ch->bad || (s == MIG_STATUS_RECORD && record->type == MIG_REC_RAM_EOS));
    if (s > MIG_STATUS_PAYLOAD) {
        c->busy = FALSE;
    }
    return s == MIG_STATUS_END ? MIG_STATUS_MORE : s;
}

/* Keeps the end of the chunk at hand: the block that it stands in is about to be reused. */
static void remember(MigCapture *c)
{
    MigChunk *k = &c->chunk;
    if (k->n == 0) {
        return;
    }
    GByteArray *recent = ((Channel *)c->channels->pdata[k->channel])->recent;
    size_t keep = MIN(k->n, MIG_CAPTURE_RECENT);
    if (recent->len + keep > MIG_CAPTURE_RECENT) {
        g_byte_array_remove_range(recent, 0, (guint)(recent->len + keep - MIG_CAPTURE_RECENT));
    }
    g_byte_array_append(recent, k->data + k->n - keep, (guint)keep);
    k->n = 0;
}

size_t mig_capture_peek(const MigCapture *c, unsigned channel, uint64_t offset, void *dst, size_t n)
{
    const Channel *ch = c->channels->pdata[channel];
    bool here = c->chunk.channel == channel && c->chunk.n > 0;
    uint64_t middle = ch->fed - (here ? c->chunk.n : 0);
    uint64_t first = middle - ch->recent->len;
    size_t done = 0;

    if (offset < first) {
        return 0;
    }
    for (; done < n && offset + done < ch->fed; done++) {
        uint64_t at = offset + done;
        ((uint8_t *)dst)[done] =
            at < middle ? ch->recent->data[at - first] : c->chunk.data[at - middle];
    }
    return done;
}

void mig_capture_set_tap(MigCapture *c, MigCaptureTap tap, void *opaque)
{
    c->tap = tap;
    c->tap_opaque = opaque;
}

void mig_capture_set_body_size(MigCapture *c, MigBodySize body_size, void *opaque)
{
    c->options.body_size = body_size;
    c->options.opaque = opaque;
}

static void hold(MigCapture *c, const MigChunk *chunk)
{
    Held *h = g_new0(Held, 1);
    h->chunk = *chunk;
    h->bytes = g_bytes_new(chunk->data, chunk->n);
    c->held_bytes += chunk->n;
    g_queue_push_tail(&c->held, h);
}

static gboolean must_wait(const MigCapture *c, const MigChunk *chunk)
{
    const Channel *ch = c->channels->pdata[chunk->channel];
    return !c->listed && c->held_bytes + chunk->n <= MIG_CAPTURE_HELD &&
           (ch->about.kind == MIG_CHANNEL_MULTIFD || ch->about.kind == MIG_CHANNEL_PREEMPT);
}

static void release(MigCapture *c, MigChunk *chunk)
{
    Held *h = g_queue_pop_head(&c->held);
    *chunk = h->chunk;
    c->lent = h->bytes;
    chunk->data = g_bytes_get_data(c->lent, NULL);
    g_free(h);
}

/* The next chunk that a destination could look at. */
static gboolean ready_chunk(MigCapture *c, MigChunk *chunk, GError **error)
{
    g_autoptr(GError) local = NULL;

    g_clear_pointer(&c->lent, g_bytes_unref);
    while (!c->listed || g_queue_is_empty(&c->held)) {
        if (!mig_capture_chunk(c, chunk, &local)) {
            if (local || g_queue_is_empty(&c->held)) {
                if (local) {
                    g_propagate_error(error, g_steal_pointer(&local));
                }
                return FALSE;
            }
            c->listed = TRUE;
        } else if (!must_wait(c, chunk)) {
            return TRUE;
        } else {
            hold(c, chunk);
        }
    }
    release(c, chunk);
    return TRUE;
}

/* Feeds the next chunk; FALSE at the end or with *error. */
static gboolean feed_chunk(MigCapture *c, GError **error)
{
    g_autoptr(GError) local = NULL;
    MigChunk chunk;
    remember(c);
    if (!ready_chunk(c, &chunk, &local)) {
        if (!local && !c->main) {
            return fail(c, error,
                        c->is_cut ? "the file is cut off in front of anything of a main channel"
                                  : "the file has nothing of a main channel");
        }
        if (local) {
            g_propagate_error(error, g_steal_pointer(&local));
        }
        return FALSE;
    }
    c->chunk = chunk;
    Channel *ch = c->channels->pdata[chunk.channel];
    ch->fed += chunk.n;
    if (c->tap) {
        c->tap(c->tap_opaque, &chunk);
    }
    MigDecoder *d = decoder_of(c, ch);
    if (!d) {
        return fail(c, error, "no interface is named main");
    }
    if (!ch->bad && chunk.n > 0) {
        c->current = chunk.channel;
        c->busy = TRUE;
        mig_decoder_feed(d, chunk.data, chunk.n);
    }
    return TRUE;
}

/* Tells the next channel that nothing more comes; FALSE when all know. */
static gboolean flush_channel(MigCapture *c)
{
    while (c->flushed < c->channels->len) {
        Channel *ch = c->channels->pdata[c->flushed++];
        if (ch->decoder && !ch->bad) {
            mig_decoder_feed_eof(ch->decoder);
            c->current = c->flushed - 1;
            c->busy = TRUE;
            return TRUE;
        }
    }
    return FALSE;
}

MigStatus mig_capture_next(MigCapture *c, unsigned *channel, MigRecord *record, GError **error)
{
    g_autoptr(GError) local = NULL;

    for (;;) {
        if (c->busy) {
            MigStatus s = from_current(c, channel, record);
            if (s != MIG_STATUS_MORE) {
                return s;
            }
        } else if (!c->flushing && !feed_chunk(c, &local)) {
            if (local) {
                g_propagate_error(error, g_steal_pointer(&local));
                return MIG_STATUS_MORE;
            }
            c->flushing = TRUE;
        } else if (c->flushing && !flush_channel(c)) {
            return MIG_STATUS_END;
        }
    }
}

void mig_capture_payload_into(MigCapture *c, unsigned channel, void *dst)
{
    Channel *ch = c->channels->pdata[channel];
    mig_decoder_payload_into(ch->decoder, dst);
}

const MigCaptureCut *mig_capture_cut(const MigCapture *c)
{
    return c->is_cut ? &c->cut : NULL;
}

const char *mig_capture_name(const MigCapture *c)
{
    return c->input->name;
}

unsigned mig_capture_channel_count(const MigCapture *c)
{
    return c->channels->len;
}

const MigCaptureChannel *mig_capture_channel(const MigCapture *c, unsigned channel)
{
    const Channel *ch = c->channels->pdata[channel];
    return &ch->about;
}

const MigDecoder *mig_capture_decoder(const MigCapture *c, unsigned channel)
{
    const Channel *ch = c->channels->pdata[channel];
    return ch->decoder;
}
