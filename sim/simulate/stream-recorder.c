/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of several lines, see stream-recorder.h.
 *
 * Limits. All bytes are kept in memory until they are written.
 */
#include "sim/simulate/stream-recorder.h"

#include "sim/world/capture-writer.h"

typedef struct Chunk {
    uint32_t channel;
    int64_t at;
    gsize offset, n; /* in |bytes| */
} Chunk;

struct MigStreamRecorder {
    GArray *chunks; /* Chunk */
    GByteArray *bytes;
};

MigStreamRecorder *mig_stream_recorder_new(void)
{
    MigStreamRecorder *r = g_new0(MigStreamRecorder, 1);
    r->chunks = g_array_new(FALSE, FALSE, sizeof(Chunk));
    r->bytes = g_byte_array_new();
    return r;
}

void mig_stream_recorder_free(MigStreamRecorder *r)
{
    if (r) {
        g_array_unref(r->chunks);
        g_byte_array_unref(r->bytes);
        g_free(r);
    }
}

void mig_stream_recorder_add(MigStreamRecorder *r, uint32_t channel, int64_t at, const void *data,
                             size_t n)
{
    Chunk c = { .channel = channel, .at = at, .offset = r->bytes->len, .n = n };
    g_array_append_val(r->chunks, c);
    g_byte_array_append(r->bytes, data, (guint)n);
}

/* main, its return, then the others, as a source connects them. */
static uint32_t rank(uint32_t channel)
{
    uint32_t kind = channel & 0xffff;
    uint32_t place = kind == 0 ? 0 : kind == MIG_RECORD_RETURN ? 1 : kind + 1;
    return (channel & 0xffff0000) | MIN(place, 0xffff);
}

static gint by_rank(gconstpointer a, gconstpointer b)
{
    uint32_t x = rank(*(const uint32_t *)a), y = rank(*(const uint32_t *)b);
    return x < y ? -1 : x > y;
}

static bool listed(const GArray *channels, uint32_t channel)
{
    for (guint i = 0; i < channels->len; i++) {
        if (g_array_index(channels, uint32_t, i) == channel) {
            return true;
        }
    }
    return false;
}

static void list(GArray *channels, uint32_t channel)
{
    if (!listed(channels, channel)) {
        g_array_append_val(channels, channel);
    }
}

/* Every line has a main channel and its return. */
static GArray *channels_of(const MigStreamRecorder *r)
{
    GArray *channels = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    list(channels, 0);
    list(channels, MIG_RECORD_RETURN);
    for (guint i = 0; i < r->chunks->len; i++) {
        uint32_t channel = g_array_index(r->chunks, Chunk, i).channel;
        list(channels, channel & 0xffff0000);
        list(channels, (channel & 0xffff0000) | MIG_RECORD_RETURN);
        list(channels, channel);
    }
    g_array_sort(channels, by_rank);
    return channels;
}

static char *name_of(uint32_t channel)
{
    uint32_t kind = channel & 0xffff, generation = channel >> 16;
    g_autofree char *base = kind == 0                    ? g_strdup("main")
                            : kind == MIG_RECORD_RETURN  ? g_strdup("return")
                            : kind == MIG_RECORD_PREEMPT ? g_strdup("preempt")
                                                         : g_strdup_printf("multifd%u", kind - 1);
    return generation ? g_strdup_printf("%s.%u", base, generation + 1) : g_steal_pointer(&base);
}

static unsigned place_of(const GArray *channels, uint32_t channel)
{
    unsigned i = 0;
    while (g_array_index(channels, uint32_t, i) != channel) {
        i++;
    }
    return i;
}

bool mig_stream_recorder_write(const MigStreamRecorder *r, FILE *out)
{
    g_autoptr(GArray) channels = channels_of(r);
    bool fine = mig_capture_write_head(out);
    for (guint i = 0; i < channels->len && fine; i++) {
        g_autofree char *name = name_of(g_array_index(channels, uint32_t, i));
        fine = mig_capture_write_channel(out, name);
    }
    for (guint i = 0; i < r->chunks->len && fine; i++) {
        const Chunk *c = &g_array_index(r->chunks, Chunk, i);
        fine = mig_capture_write_chunk(out, place_of(channels, c->channel), (uint64_t)c->at,
                                       r->bytes->data + c->offset, c->n);
    }
    return fine;
}
