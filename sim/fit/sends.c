/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading sends, see sends.h. Model: per page of guest memory a row of 16 bytes says in which round
 * it went last and with which content; contents of one page in SAMPLE are kept to see how much of
 * them changes.
 *
 * Rounds: the place of a page is its number over all blocks. Channels of multifd take turns, so
 * with them a page may lie a packet or two behind the last one; what is further back, or was sent
 * in this round already, begins another.
 */
#include "sim/fit/sends.h"

#include <gio/gio.h>
#include <string.h>
#include <zlib.h>

#include "stream/xbzrle.h"

#define SAMPLE      16u /* one page in so many */
#define SAMPLES_MAX 4096u
#define PACKED_MAX  64u  /* pages that are compressed to see how well */
#define TURN_PAGES  256u /* per channel of multifd */

typedef struct Known {
    uint64_t content; /* hash; 0: not known */
    uint32_t round;   /* that sent it last, plus 1; 0: none */
} Known;

typedef struct Reader {
    MigSends *s;
    MigRecording *recording;
    GArray *known;       /* Known, of all pages by place */
    GArray *first;       /* uint64_t: place of each block's first page */
    uint64_t last;       /* the highest place of this round */
    uint64_t began;      /* ns: of the first byte */
    bool some;           /* there was a byte */
    bool final;          /* the last round has begun */
    GHashTable *samples; /* place -> content */
    unsigned packed;
    GPtrArray *payloads; /* Pending, by channel */
} Reader;

/* A record whose payload is under way. */
typedef struct Pending {
    GByteArray *bytes;
    GArray *sends; /* guint: those that it holds, in order */
    bool delta;
} Pending;

static void block_clear(gpointer data)
{
    g_free(((MigSendsBlock *)data)->name);
}

static void pending_free(gpointer data)
{
    Pending *p = data;
    g_byte_array_unref(p->bytes);
    g_array_unref(p->sends);
    g_free(p);
}

static Pending *pending_of(Reader *r, unsigned channel)
{
    while (r->payloads->len <= channel) {
        Pending *p = g_new0(Pending, 1);
        p->bytes = g_byte_array_new();
        p->sends = g_array_new(FALSE, FALSE, sizeof(guint));
        g_ptr_array_add(r->payloads, p);
    }
    return r->payloads->pdata[channel];
}

/* Contents --------------------------------------------------------------------------------- */

/* Not 0. Word by word: only equality counts. */
static uint64_t hash_of(const uint8_t *page, size_t n)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15), word;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        memcpy(&word, page + i, 8);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 29;
    }
    return h | 1;
}

static uint16_t count_changed(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += a[i] != b[i];
    }
    return (uint16_t)MIN(count, MIG_CHANGED_UNKNOWN - 1);
}

static void pack(Reader *r, const uint8_t *page, size_t n)
{
    uLongf length = compressBound(n);
    g_autofree uint8_t *out = g_malloc(length);
    if (r->packed++ < PACKED_MAX && compress2(out, &length, page, n, 1) == Z_OK) {
        r->s->sampled += n;
        r->s->sampled_packed += length;
    }
}

static void sample(Reader *r, MigSent *sent, uint64_t place, const uint8_t *page, size_t n)
{
    gpointer key = GSIZE_TO_POINTER((gsize)place + 1);
    uint8_t *old = g_hash_table_lookup(r->samples, key);
    if (old) {
        sent->changed = count_changed(old, page, n);
        memcpy(old, page, n);
    } else if (place % SAMPLE == 0 && g_hash_table_size(r->samples) < SAMPLES_MAX) {
        g_hash_table_insert(r->samples, key, g_memdup2(page, n));
        pack(r, page, n);
    }
}

static void take_content(Reader *r, guint index, const uint8_t *page, size_t n)
{
    MigSent *sent = &g_array_index(r->s->sends, MigSent, index);
    uint64_t place = g_array_index(r->first, uint64_t, sent->block) + sent->page;
    Known *known = &g_array_index(r->known, Known, place);
    uint64_t content = hash_of(page, n);
    sent->same = sent->again && known->content == content;
    known->content = content;
    sample(r, sent, place, page, n);
}

/* Sends ------------------------------------------------------------------------------------ */

/* Which round a page belongs to that is sent now. */
static uint32_t round_of(Reader *r, const Known *known, uint64_t place)
{
    MigSends *s = r->s;
    uint64_t slack = (uint64_t)s->channels * TURN_PAGES;
    if (s->stopped >= 0 && !r->final) {
        r->final = true;
        return s->rounds++;
    }
    if (r->final || (s->postcopy && s->rounds)) {
        return s->rounds - 1;
    }
    if (s->rounds == 0 || known->round == s->rounds || place + slack < r->last) {
        s->rounds++;
        r->last = place;
    }
    r->last = MAX(r->last, place);
    return s->rounds - 1;
}

/* G_MAXUINT: there is no such page. */
static guint add(Reader *r, uint32_t block, uint64_t offset, MigSentKind kind, uint64_t bytes,
                 int64_t at)
{
    static const uint64_t zero_content = 2; /* no hash is even */
    MigSends *s = r->s;
    uint64_t page = offset / s->page_size;
    if (block >= s->blocks->len || page >= g_array_index(s->blocks, MigSendsBlock, block).pages) {
        return G_MAXUINT;
    }
    uint64_t place = g_array_index(r->first, uint64_t, block) + page;
    Known *known = &g_array_index(r->known, Known, place);
    MigSent sent = {
        .at = at,
        .page = page,
        .block = block,
        .round = round_of(r, known, place),
        .part = MAX(s->parts->len, 1) - 1,
        .bytes = (uint32_t)bytes,
        .changed = MIG_CHANGED_UNKNOWN,
        .kind = (uint8_t)kind,
        .again = known->round > 0,
        .final = s->stopped >= 0,
    };
    if (kind == MIG_SENT_ZERO) {
        sent.same = sent.again && known->content == zero_content;
        known->content = zero_content;
    } else {
        known->content = kind == MIG_SENT_NORMAL ? known->content : 0;
    }
    known->round = sent.round + 1;
    g_array_append_val(s->sends, sent);
    return s->sends->len - 1;
}

static void on_block(Reader *r, const MigRecordRamBlock *b)
{
    MigSends *s = r->s;
    if (b->index < s->blocks->len) {
        return; /* a second list: after a recovery, of COLO */
    }
    MigSendsBlock block = { g_strndup(b->name.text, b->name.len), b->used_length / s->page_size,
                            b->used_length };
    uint64_t first = r->known->len;
    g_array_append_val(s->blocks, block);
    g_array_append_val(r->first, first);
    g_array_set_size(r->known, (guint)MIN(first + block.pages, MIG_SENDS_MAX));
}

static void on_page(Reader *r, unsigned channel, const MigRecord *rec, int64_t at)
{
    static const MigSentKind kinds[MIG_REC_COUNT] = {
        [MIG_REC_RAM_ZERO] = MIG_SENT_ZERO,
        [MIG_REC_RAM_XBZRLE] = MIG_SENT_XBZRLE,
        [MIG_REC_RAM_COMPRESS] = MIG_SENT_COMPRESSED,
    };
    Pending *p = pending_of(r, channel);
    guint index =
        add(r, rec->ram.block, rec->ram.offset, kinds[rec->type], rec->wire + rec->payload, at);
    g_array_set_size(p->sends, 0);
    p->delta = rec->type == MIG_REC_RAM_XBZRLE;
    if (index != G_MAXUINT && (rec->type == MIG_REC_RAM_PAGE || p->delta)) {
        g_array_append_val(p->sends, index);
        g_byte_array_set_size(p->bytes, (guint)rec->payload);
        mig_recording_payload_into(r->recording, channel, p->bytes->data);
    }
}

static uint32_t block_named(const MigSends *s, const char *name)
{
    uint32_t i = 0;
    while (i < s->blocks->len &&
           strncmp(g_array_index(s->blocks, MigSendsBlock, i).name, name, 256) != 0) {
        i++;
    }
    return i;
}

static void on_packet(Reader *r, unsigned channel, const MigRecord *rec, int64_t at)
{
    const MigRecordMultifd *m = &rec->multifd;
    Pending *p = pending_of(r, channel);
    uint32_t block = block_named(r->s, m->name);
    uint32_t normal = MIN(m->normal_pages, m->page_count);
    uint32_t zero = MIN(m->zero_pages, m->page_count - normal);
    bool packed = m->flags & MIG_MULTIFD_FLAG_COMPRESSION;
    uint64_t head = normal + zero ? rec->wire / (normal + zero) : 0;
    g_array_set_size(p->sends, 0);
    p->delta = false;
    r->s->compressed |= packed;
    for (uint32_t i = 0; i < normal + zero; i++) {
        guint index = add(r, block, m->offsets[i], i < normal ? MIG_SENT_NORMAL : MIG_SENT_ZERO,
                          head + (i < normal ? rec->payload / normal : 0), at);
        if (i < normal && index != G_MAXUINT) {
            g_array_append_val(p->sends, index);
        }
    }
    if (p->sends->len == normal && normal && !packed &&
        rec->payload == (uint64_t)normal * r->s->page_size) {
        g_byte_array_set_size(p->bytes, (guint)rec->payload);
        mig_recording_payload_into(r->recording, channel, p->bytes->data);
    } else {
        g_array_set_size(p->sends, 0);
    }
}

static void on_payload(Reader *r, unsigned channel)
{
    Pending *p = pending_of(r, channel);
    size_t size = r->s->page_size;
    MigXbzrleInfo info;
    if (p->delta) {
        MigSent *sent = &g_array_index(r->s->sends, MigSent, g_array_index(p->sends, guint, 0));
        if (mig_xbzrle_check(p->bytes->data, p->bytes->len, size, &info) == MIG_XBZRLE_OK) {
            sent->changed = (uint16_t)MIN(info.written, MIG_CHANGED_UNKNOWN - 1);
        }
        return;
    }
    for (guint i = 0; i < p->sends->len; i++) {
        take_content(r, g_array_index(p->sends, guint, i), p->bytes->data + i * size, size);
    }
}

static void on_section(MigSends *s, const MigRecord *rec, int64_t at)
{
    bool ram = rec->section.idstr.len == 3 && memcmp(rec->section.idstr.text, "ram", 3) == 0;
    if (ram) {
        g_array_append_val(s->parts, at);
    }
    if (ram && rec->section.kind == MIG_ITEM_END && s->stopped < 0) {
        s->stopped = at;
    }
}

static void on_record(Reader *r, unsigned channel, const MigRecord *rec, int64_t at)
{
    MigSends *s = r->s;
    switch (rec->type) {
    case MIG_REC_CONFIG:
        g_free(s->machine);
        s->machine = g_strndup(rec->config.machine.text, rec->config.machine.len);
        break;
    case MIG_REC_RAM_BLOCK:
        s->page_size = mig_decoder_page_size(mig_recording_decoder(r->recording, channel));
        on_block(r, &rec->block);
        break;
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_PAGE:
    case MIG_REC_RAM_XBZRLE:
    case MIG_REC_RAM_COMPRESS:
        on_page(r, channel, rec, at);
        break;
    case MIG_REC_MULTIFD_INIT:
        s->channels++;
        break;
    case MIG_REC_MULTIFD_PACKET:
        on_packet(r, channel, rec, at);
        break;
    case MIG_REC_SECTION:
        on_section(s, rec, at);
        break;
    case MIG_REC_BODY:
        s->device_bytes += rec->payload;
        break;
    case MIG_REC_COMMAND:
        s->postcopy |= rec->command.number == MIG_CMD_POSTCOPY_RUN;
        break;
    case MIG_REC_END_OF_STREAM:
        s->completed = true;
        break;
    default:
        break;
    }
}

/* Time of the bytes that a record of |channel| came with, ns since the first. */
static int64_t time_of(Reader *r, unsigned channel)
{
    if (!mig_recording_is_capture(r->recording)) {
        return 0;
    }
    uint64_t ns = mig_capture_channel(mig_recording_capture(r->recording), channel)->last_ns;
    if (!r->some) {
        r->began = ns;
        r->some = true;
    }
    return ns > r->began ? (int64_t)(ns - r->began) : 0;
}

static bool read_all(Reader *r, GError **error)
{
    MigStatus status;
    unsigned channel;
    MigRecord rec;
    while ((status = mig_recording_next(r->recording, &channel, &rec, error)) != MIG_STATUS_END) {
        if (status == MIG_STATUS_MORE) {
            return false;
        }
        if (mig_recording_channel_kind(r->recording, channel) == MIG_CHANNEL_RETURN_PATH) {
            continue;
        }
        int64_t at = time_of(r, channel);
        if (status == MIG_STATUS_RECORD) {
            on_record(r, channel, &rec, at);
            r->s->bytes += rec.wire + rec.payload;
            r->s->end = MAX(r->s->end, at);
        } else if (status == MIG_STATUS_PAYLOAD) {
            on_payload(r, channel);
        }
        if (r->s->sends->len >= MIG_SENDS_MAX || r->known->len >= MIG_SENDS_MAX) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                        "%s: more than %u pages, which is what is kept",
                        mig_recording_name(r->recording), MIG_SENDS_MAX);
            return false;
        }
    }
    return true;
}

MigSends *mig_sends_read(MigRecording *recording, GError **error)
{
    g_autoptr(MigSends) s = g_new0(MigSends, 1);
    Reader r = { .s = s, .recording = recording };
    s->blocks = g_array_new(FALSE, FALSE, sizeof(MigSendsBlock));
    g_array_set_clear_func(s->blocks, block_clear);
    s->sends = g_array_new(FALSE, FALSE, sizeof(MigSent));
    s->parts = g_array_new(FALSE, FALSE, sizeof(int64_t));
    s->stopped = -1;
    s->page_size = 4096;
    s->timed = mig_recording_is_capture(recording);
    r.known = g_array_new(FALSE, TRUE, sizeof(Known));
    r.first = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    r.samples = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    r.payloads = g_ptr_array_new_with_free_func(pending_free);
    bool fine = read_all(&r, error);
    s->is_cut = fine && mig_recording_cut(recording, &s->cut);
    g_array_unref(r.known);
    g_array_unref(r.first);
    g_hash_table_unref(r.samples);
    g_ptr_array_unref(r.payloads);
    return fine ? g_steal_pointer(&s) : NULL;
}

void mig_sends_free(MigSends *s)
{
    if (s) {
        g_array_unref(s->blocks);
        g_array_unref(s->sends);
        g_array_unref(s->parts);
        g_free(s->machine);
        g_free(s);
    }
}
