/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/recordings.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/world/capture-writer.h"
#include "tests/unit/traces.h"

static char *path_of(const char *id)
{
    static const char *const suffixes[] = { ".mig.zst", ".pcapng.zst", ".save.zst" };
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        char *path = mig_test_trace_path(id, suffixes[i]);
        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            return path;
        }
        g_free(path);
    }
    g_assert_not_reached();
}

MigRecording *mig_test_recording(const char *id)
{
    g_autofree char *path = path_of(id);
    /* In a libvirt image it is found by the image's own header. */
    gsize offset = g_str_has_suffix(path, ".mig.zst") ? mig_test_trace_offset(id) : 0;
    g_autofree char *uri = g_strdup_printf("file:%s,offset=%" G_GSIZE_FORMAT, path, offset);
    g_autoptr(GError) error = NULL;
    MigRecording *m = mig_recording_open(offset ? uri : path, &error);
    g_assert_no_error(error);
    return m;
}

/* ---- loading ---- */

static void record_clear(gpointer data)
{
    MigTestRecord *record = data;
    g_free(record->channel);
    g_free(record->idstr);
}

static void array_free(gpointer data)
{
    g_byte_array_unref(data);
}

static void add_chunk(void *opaque, const MigChunk *chunk)
{
    MigTestRecording *t = opaque;
    MigTestChunk mine = { chunk->channel, chunk->ns, chunk->n };

    while (t->bytes->len <= chunk->channel) {
        g_ptr_array_add(t->bytes, g_byte_array_new());
    }
    g_byte_array_append(t->bytes->pdata[chunk->channel], chunk->data, (guint)chunk->n);
    g_array_append_val(t->chunks, mine);
}

static void collect_records(MigTestRecording *t, MigRecording *m)
{
    MigTestRecord record = { 0 };
    g_autoptr(GPtrArray) idstrs = g_ptr_array_new_with_free_func(g_free);
    unsigned channel;
    MigStatus status;

    while ((status = mig_recording_next(m, &channel, &record.r, NULL)) != MIG_STATUS_END) {
        g_assert_cmpint(status, !=, MIG_STATUS_MORE);
        if (status != MIG_STATUS_RECORD) {
            continue;
        }
        if (idstrs->len <= channel) {
            g_ptr_array_set_size(idstrs, (gint)channel + 1);
        }
        if (record.r.type == MIG_REC_SECTION) {
            record.kind = record.r.section.kind;
            g_free(idstrs->pdata[channel]);
            idstrs->pdata[channel] =
                g_strndup(record.r.section.idstr.text, record.r.section.idstr.len);
        }
        record.channel = g_strdup(mig_recording_channel_name(m, channel));
        record.idstr = g_strdup(idstrs->pdata[channel]);
        g_array_append_val(t->records, record);
    }
    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        g_ptr_array_add(t->names, g_strdup(mig_recording_channel_name(m, i)));
    }
}

MigTestRecording *mig_test_recording_load(const char *id)
{
    MigTestRecording *t = g_new0(MigTestRecording, 1);
    g_autoptr(MigRecording) m = mig_test_recording(id);

    t->names = g_ptr_array_new_with_free_func(g_free);
    t->bytes = g_ptr_array_new_with_free_func(array_free);
    t->chunks = g_array_new(FALSE, FALSE, sizeof(MigTestChunk));
    t->records = g_array_new(FALSE, TRUE, sizeof(MigTestRecord));
    g_array_set_clear_func(t->records, record_clear);
    t->capture = mig_recording_is_capture(m);
    if (t->capture) {
        mig_capture_set_tap(mig_recording_capture(m), add_chunk, t);
    } else {
        g_autoptr(GBytes) stream = mig_test_trace_load(id);
        gsize n;
        const uint8_t *data = g_bytes_get_data(stream, &n);
        add_chunk(t, &(MigChunk){ .data = data, .n = n });
    }
    collect_records(t, m);
    while (t->bytes->len < t->names->len) {
        g_ptr_array_add(t->bytes, g_byte_array_new());
    }
    return t;
}

void mig_test_recording_free(MigTestRecording *t)
{
    g_ptr_array_unref(t->names);
    g_ptr_array_unref(t->bytes);
    g_array_unref(t->chunks);
    g_array_unref(t->records);
    g_free(t);
}

/* ---- changing ---- */

const MigRecord *mig_test_recording_find(const MigTestRecording *t, const char *channel,
                                         MigRecordType type, int nth)
{
    const MigRecord *last = NULL;
    int n = 0;

    for (guint i = 0; i < t->records->len; i++) {
        const MigTestRecord *record = &g_array_index(t->records, MigTestRecord, i);
        if (record->r.type == type && strcmp(record->channel, channel) == 0) {
            last = &record->r;
            if (n++ == nth) {
                return last;
            }
        }
    }
    g_assert_cmpint(nth, ==, -1);
    g_assert_nonnull(last);
    return last;
}

static guint channel_of(const MigTestRecording *t, const char *name)
{
    for (guint i = 0; i < t->names->len; i++) {
        if (strcmp(t->names->pdata[i], name) == 0) {
            return i;
        }
    }
    g_assert_not_reached();
}

GByteArray *mig_test_recording_bytes(const MigTestRecording *t, const char *channel)
{
    return t->bytes->pdata[channel_of(t, channel)];
}

/* The chunk that holds the byte at |at| becomes longer by |more|, it and the next lose |less|. */
static void resize_chunks(MigTestRecording *t, guint channel, uint64_t at, uint64_t more,
                          uint64_t less)
{
    uint64_t seen = 0;
    MigTestChunk *last = NULL;

    for (guint i = 0; i < t->chunks->len; i++) {
        MigTestChunk *chunk = &g_array_index(t->chunks, MigTestChunk, i);
        if (chunk->channel != channel) {
            continue;
        }
        uint64_t begin = seen, end = seen += chunk->n;
        if (less && end > at) {
            uint64_t step = MIN(less, end - MAX(begin, at));
            chunk->n -= step;
            less -= step;
        }
        if (more && end > at) {
            chunk->n += more;
            more = 0;
        }
        last = chunk;
    }
    g_assert_nonnull(last);
    last->n += more;
}

void mig_test_recording_replace(MigTestRecording *t, const char *channel, uint64_t at, unsigned cut,
                                const char *hex)
{
    guint index = channel_of(t, channel), n = (guint)strlen(hex) / 2;
    GByteArray *bytes = t->bytes->pdata[index];
    g_autofree uint8_t *rest = NULL;

    g_assert_cmpuint(at + cut, <=, bytes->len);
    guint behind = bytes->len - (guint)at - cut;
    rest = g_memdup2(bytes->data + at + cut, behind);
    g_byte_array_set_size(bytes, (guint)at);
    for (guint i = 0; i < n; i++) {
        uint8_t b =
            (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
        g_byte_array_append(bytes, &b, 1);
    }
    if (behind) {
        g_byte_array_append(bytes, rest, behind);
    }
    resize_chunks(t, index, at, n, cut);
}

/* ---- opening ---- */

static void write_capture(const MigTestRecording *t, FILE *out)
{
    g_autofree uint64_t *done = g_new0(uint64_t, t->bytes->len);

    g_assert_true(mig_capture_write_head(out));
    for (guint i = 0; i < t->names->len; i++) {
        g_assert_true(mig_capture_write_channel(out, t->names->pdata[i]));
    }
    for (guint i = 0; i < t->chunks->len; i++) {
        const MigTestChunk *chunk = &g_array_index(t->chunks, MigTestChunk, i);
        const GByteArray *bytes = t->bytes->pdata[chunk->channel];
        g_assert_cmpuint(done[chunk->channel] + chunk->n, <=, bytes->len);
        g_assert_true(mig_capture_write_chunk(out, chunk->channel, chunk->ns,
                                              bytes->data + done[chunk->channel], chunk->n));
        done[chunk->channel] += chunk->n;
    }
    for (guint i = 0; i < t->bytes->len; i++) {
        g_assert_cmpuint(done[i], ==, ((GByteArray *)t->bytes->pdata[i])->len);
    }
}

MigRecording *mig_test_recording_open(const MigTestRecording *t)
{
    int fd = memfd_create("recording", MFD_CLOEXEC);
    FILE *out = fdopen(dup(fd), "w");
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(out);
    if (t->capture) {
        write_capture(t, out);
    } else {
        const GByteArray *bytes = t->bytes->pdata[0];
        g_assert_cmpuint(fwrite(bytes->data, 1, bytes->len, out), ==, bytes->len);
    }
    g_assert_cmpint(fclose(out), ==, 0);
    MigRecording *m = mig_recording_open(path, &error);
    g_assert_no_error(error);
    close(fd); /* opened again by its path, which lasts as long as that */
    return m;
}
