/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model: the tap of the capture gives every chunk before its records, the encoder gives bytes
 * behind them. Both wait in queues, one for each channel, until a whole chunk can be compared and
 * written. Memory is what one channel may have waiting: a record and its payload.
 */
#include "sim/record/recode-capture.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

#include "sim/world/capture-writer.h"
#include "stream/encoder.h"

#define LARGEST (UINT64_C(1) << 30) /* payload of one record that is held in memory */

typedef struct Chunk {
    unsigned channel;
    uint64_t ns;
    size_t n;
} Chunk;

typedef struct Side {
    GByteArray *seen, *encoded; /* not compared yet */
    GByteArray *payload;
    GByteArray *tail; /* of the record whose payload is under way */
    uint64_t compared;
    bool over; /* nothing more will be encoded */
} Side;

typedef struct Recoder {
    MigRecording *recording;
    FILE *out;
    const char *only;
    const MigRecodeHook *hook; /* or NULL */
    GQueue chunks;             /* Chunk, as they went by */
    GPtrArray *sides;
    GArray *result;
    unsigned written; /* channels described in the output */
    bool failed;      /* to write */
} Recoder;

static void side_free(gpointer data)
{
    Side *side = data;
    g_byte_array_unref(side->seen);
    g_byte_array_unref(side->encoded);
    g_byte_array_unref(side->payload);
    g_byte_array_unref(side->tail);
    g_free(side);
}

static void channel_clear(gpointer data)
{
    g_free(((MigRecodedChannel *)data)->name);
}

static MigRecodedChannel *result_of(Recoder *c, unsigned channel)
{
    return &g_array_index(c->result, MigRecodedChannel, channel);
}

static Side *side_of(Recoder *c, unsigned channel)
{
    while (c->sides->len <= channel) {
        Side *side = g_new0(Side, 1);
        MigRecodedChannel result = { .first = MIG_RECODE_SAME };
        result.name = g_strdup(mig_recording_channel_name(c->recording, c->sides->len));
        side->seen = g_byte_array_new();
        side->encoded = g_byte_array_new();
        side->payload = g_byte_array_new();
        side->tail = g_byte_array_new();
        g_ptr_array_add(c->sides, side);
        g_array_append_val(c->result, result);
    }
    return c->sides->pdata[channel];
}

static void on_chunk(void *opaque, const MigChunk *chunk)
{
    Recoder *c = opaque;
    Chunk *copy = g_new(Chunk, 1);

    *copy = (Chunk){ chunk->channel, chunk->ns, chunk->n };
    g_queue_push_tail(&c->chunks, copy);
    g_byte_array_append(side_of(c, chunk->channel)->seen, chunk->data, (guint)chunk->n);
}

/* ---- encoding ---- */

typedef size_t (*Encode)(const MigRecord *r, uint8_t *out, size_t cap);

static void encode(GByteArray *to, const MigRecord *r, Encode how)
{
    guint at = to->len;
    size_t n = how(r, NULL, 0);
    if (n) {
        g_byte_array_set_size(to, (guint)(at + n));
        how(r, to->data + at, n);
    }
}

static bool on_record(Recoder *c, unsigned channel, const MigRecord *r, GError **error)
{
    Side *side = side_of(c, channel);

    if (r->payload > LARGEST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "the record at offset %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                    " bytes of payload, more than can be held",
                    r->offset, r->payload);
        return false;
    }
    result_of(c, channel)->records++;
    if (c->hook) {
        c->hook->record(c->hook->opaque, channel, r, mig_recording_decoder(c->recording, channel));
    }
    encode(side->encoded, r, mig_record_encode);
    if (r->payload) {
        g_byte_array_set_size(side->tail, 0);
        encode(side->tail, r, mig_record_encode_tail);
        g_byte_array_set_size(side->payload, (guint)r->payload);
        mig_recording_payload_into(c->recording, channel, side->payload->data);
    } else {
        encode(side->encoded, r, mig_record_encode_tail);
    }
    return true;
}

static void on_payload(Recoder *c, unsigned channel)
{
    Side *side = side_of(c, channel);
    if (c->hook) {
        c->hook->payload(c->hook->opaque, channel, side->payload->data, side->payload->len);
    }
    g_byte_array_append(side->encoded, side->payload->data, side->payload->len);
    if (side->tail->len) {
        g_byte_array_append(side->encoded, side->tail->data, side->tail->len);
    }
}

static void on_bad(Recoder *c, unsigned channel)
{
    const MigDiagnosis *g = mig_decoder_diagnosis(mig_recording_decoder(c->recording, channel));

    side_of(c, channel)->over = true;
    if (c->hook) {
        c->hook->over(c->hook->opaque, channel, g);
    }
    MigRecodedChannel *result = result_of(c, channel);
    result->cut = g->fault == MIG_FAULT_TRUNCATED && mig_recording_was_cut(c->recording, channel);
    result->bad = !result->cut;
    result->why = *g;
}

/* ---- comparing and writing ---- */

static void compare(Side *side, MigRecodedChannel *result, size_t n)
{
    size_t same = 0;

    if (n && result->first == MIG_RECODE_SAME &&
        memcmp(side->seen->data, side->encoded->data, n) != 0) {
        while (side->seen->data[same] == side->encoded->data[same]) {
            same++;
        }
        result->first = side->compared + same;
    }
    side->compared += n;
}

static void write_chunk(Recoder *c, const Chunk *chunk, const uint8_t *data)
{
    if (c->only) {
        if (strcmp(result_of(c, chunk->channel)->name, c->only) == 0) {
            c->failed |= fwrite(data, 1, chunk->n, c->out) != chunk->n;
        }
        return;
    }
    for (; c->written < mig_recording_channel_count(c->recording); c->written++) {
        const char *name = mig_recording_channel_name(c->recording, c->written);
        c->failed |= !mig_capture_write_channel(c->out, name);
    }
    c->failed |= !mig_capture_write_chunk(c->out, chunk->channel, chunk->ns, data, chunk->n);
}

/* Deals with the oldest chunk; false when its bytes are not all encoded yet. */
static bool take_chunk(Recoder *c)
{
    const Chunk *chunk = g_queue_peek_head(&c->chunks);
    Side *side = chunk ? side_of(c, chunk->channel) : NULL;

    if (!side || (side->encoded->len < chunk->n && !side->over)) {
        return false;
    }
    MigRecodedChannel *result = result_of(c, chunk->channel);
    size_t n = MIN(chunk->n, side->encoded->len);
    compare(side, result, n);
    result->bytes += n;
    if (n < chunk->n) { /* no records: kept as it is */
        result->rest += chunk->n - n;
        guint at = side->encoded->len;
        g_byte_array_append(side->encoded, side->seen->data + n, (guint)(chunk->n - n));
        if (c->hook) {
            c->hook->rest(c->hook->opaque, chunk->channel, side->encoded->data + at, chunk->n - n);
        }
    }
    if (c->out) {
        write_chunk(c, chunk, side->encoded->data);
    }
    g_byte_array_remove_range(side->seen, 0, (guint)chunk->n);
    g_byte_array_remove_range(side->encoded, 0, (guint)chunk->n);
    g_free(g_queue_pop_head(&c->chunks));
    return true;
}

static void finish(Recoder *c)
{
    for (guint i = 0; i < c->sides->len; i++) {
        Side *side = c->sides->pdata[i];
        if (!side->over && c->hook) {
            c->hook->over(c->hook->opaque, i, NULL);
        }
        side->over = true;
    }
    while (take_chunk(c)) {
    }
    for (guint i = 0; i < c->sides->len; i++) { /* more was encoded than there was */
        const Side *side = c->sides->pdata[i];
        MigRecodedChannel *result = result_of(c, i);
        if (side->encoded->len && result->first == MIG_RECODE_SAME) {
            result->first = side->compared;
        }
    }
}

static bool run(Recoder *c, GError **error)
{
    MigStatus status;
    unsigned channel;
    MigRecord r;

    c->failed = c->out && !c->only && !mig_capture_write_head(c->out);
    while ((status = mig_recording_next(c->recording, &channel, &r, error)) != MIG_STATUS_END) {
        if (status == MIG_STATUS_MORE ||
            (status == MIG_STATUS_RECORD && !on_record(c, channel, &r, error))) {
            return false;
        }
        if (status == MIG_STATUS_PAYLOAD) {
            on_payload(c, channel);
        } else if (status == MIG_STATUS_BAD) {
            on_bad(c, channel);
        }
        while (take_chunk(c)) {
        }
    }
    finish(c);
    if (c->failed) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot write the output: %s", g_strerror(errno));
    }
    return !c->failed;
}

GArray *mig_recode_capture(MigRecording *recording, FILE *out, const char *channel,
                           const MigRecodeHook *hook, GError **error)
{
    g_autoptr(GPtrArray) sides = g_ptr_array_new_with_free_func(side_free);
    g_autoptr(GArray) result = g_array_new(FALSE, TRUE, sizeof(MigRecodedChannel));
    Recoder c = {
        .recording = recording,
        .out = out,
        .only = channel,
        .hook = hook,
        .sides = sides,
        .result = result,
    };

    g_array_set_clear_func(result, channel_clear);
    mig_capture_set_tap(mig_recording_capture(recording), on_chunk, &c);
    bool good = run(&c, error);
    mig_capture_set_tap(mig_recording_capture(recording), NULL, NULL);
    g_queue_clear_full(&c.chunks, g_free);
    return good ? g_steal_pointer(&result) : NULL;
}
