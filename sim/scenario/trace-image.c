/* SPDX-License-Identifier: Apache-2.0 */
/* The image of a block in a recorded stream, see trace-image.h. */
#include "sim/scenario/trace-image.h"

#include <gio/gio.h>
#include <string.h>

#include "sim/world/stream-reader.h"

typedef struct Image {
    const char *block;
    bool found;
    uint64_t length;
    uint32_t page_size;
    uint8_t *bytes;
    uint8_t *sent; /* one per page */
} Image;

static bool is_block(const Image *i, MigStr name)
{
    return name.len == strlen(i->block) && memcmp(name.text, i->block, name.len) == 0;
}

static bool begin(Image *i, const MigRecordRamBlock *b, const MigDecoder *decoder, GError **error)
{
    i->found = true;
    i->length = b->used_length;
    i->page_size = mig_decoder_page_size(decoder);
    if (i->length > MIG_TRACE_IMAGE_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "block '%s' is too large",
                    i->block);
        return false;
    }
    i->bytes = g_malloc0(i->length);
    i->sent = g_malloc0(i->length / i->page_size + 1);
    return true;
}

static bool take(Image *i, const MigRecord *record, MigStreamReader *reader, GError **error)
{
    if (record->type == MIG_REC_RAM_BLOCK && is_block(i, record->block.name) && !i->found) {
        return begin(i, &record->block, mig_stream_reader_decoder(reader), error);
    }
    if (record->type == MIG_REC_RAM_XBZRLE || record->type == MIG_REC_RAM_COMPRESS) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "pages are encoded; only zero and normal ones can be taken from a trace");
        return false;
    }
    bool page = record->type == MIG_REC_RAM_PAGE || record->type == MIG_REC_RAM_ZERO;
    if (!page || !i->found || !is_block(i, record->ram.name) || record->ram.offset >= i->length) {
        return true;
    }
    uint8_t *sent = &i->sent[record->ram.offset / i->page_size];
    if (!*sent && record->type == MIG_REC_RAM_ZERO) {
        memset(i->bytes + record->ram.offset, record->ram.fill, i->page_size);
    } else if (!*sent) {
        mig_stream_reader_payload_into(reader, i->bytes + record->ram.offset);
    }
    *sent = 1;
    return true;
}

static bool read_all(Image *i, MigStreamReader *reader, GError **error)
{
    MigRecord record;
    MigStatus status;
    while ((status = mig_stream_reader_next(reader, &record, error)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        if (status == MIG_STATUS_RECORD && !take(i, &record, reader, error)) {
            return false;
        }
    }
    if (status == MIG_STATUS_BAD) {
        const MigDiagnosis *d = mig_stream_reader_diagnosis(reader);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "byte %" G_GUINT64_FORMAT ", %s: expected %s, found %s", d->offset, d->path,
                    d->expected, d->found);
    } else if (status == MIG_STATUS_END && !i->found) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "there is no block '%s'", i->block);
    }
    return status == MIG_STATUS_END && i->found;
}

GBytes *mig_trace_image(const char *path, const char *block, GError **error)
{
    Image i = { .block = block };
    g_autoptr(MigStreamReader) reader = mig_stream_reader_open(path, NULL, error);
    bool fine = reader && read_all(&i, reader, error);
    g_free(i.sent);
    if (!fine) {
        g_free(i.bytes);
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    return g_bytes_new_take(i.bytes, i.length);
}
