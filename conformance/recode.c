/* SPDX-License-Identifier: Apache-2.0 */
/* Recoding. Payload goes through one buffer; that of one record is at most a page area of a block.
 */
#include "conformance/recode.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

#include "stream/encoder.h"

#define LARGEST (UINT64_C(1) << 30) /* payload of one record that is held in memory */

typedef struct Recoder {
    MigStreamReader *reader;
    FILE *out;
    const MigRecodeHook *hook;
    GByteArray *bytes, *payload;
    MigRecodeResult *result;
} Recoder;

static bool put(Recoder *c, const void *data, size_t n, GError **error)
{
    if (n && fwrite(data, 1, n, c->out) != n) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot write the output: %s", g_strerror(errno));
        return false;
    }
    c->result->bytes += n;
    return true;
}

typedef size_t (*Encode)(const MigRecord *r, uint8_t *out, size_t cap);

static bool put_encoded(Recoder *c, const MigRecord *r, Encode encode, GError **error)
{
    size_t n = encode(r, c->bytes->data, c->bytes->len);
    if (n > LARGEST) { /* the gap in front of a mapped-ram area */
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "the record at offset %" G_GUINT64_FORMAT " takes %zu bytes, more than can be "
                    "held",
                    r->offset, n);
        return false;
    }
    if (n > c->bytes->len) {
        g_byte_array_set_size(c->bytes, (guint)n);
        n = encode(r, c->bytes->data, n);
    }
    return put(c, c->bytes->data, n, error);
}

/* The payload must be asked for before anything else; the record's bytes are out by then. */
static bool put_payload(Recoder *c, const MigRecord *r, GError **error)
{
    MigRecord other;

    if (r->payload == 0) {
        return true;
    }
    if (r->payload > LARGEST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "the record at offset %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                    " bytes of payload, more than can be held",
                    r->offset, r->payload);
        return false;
    }
    g_byte_array_set_size(c->payload, (guint)r->payload);
    mig_stream_reader_payload_into(c->reader, c->payload->data);
    c->result->status = mig_stream_reader_next(c->reader, &other, error);
    if (c->result->status != MIG_STATUS_PAYLOAD) {
        return c->result->status != MIG_STATUS_MORE;
    }
    if (c->hook) {
        c->hook->payload(c->hook->opaque, 0, c->payload->data, c->payload->len);
    }
    return put(c, c->payload->data, c->payload->len, error);
}

/* A record's strings may go with the next call of the reader: encode all of it first. */
static bool put_record(Recoder *c, const MigRecord *r, GError **error)
{
    g_autofree uint8_t *tail = NULL;
    size_t n = mig_record_encode_tail(r, NULL, 0);

    if (n) {
        tail = g_malloc(n);
        mig_record_encode_tail(r, tail, n);
    }
    if (c->hook) {
        c->hook->record(c->hook->opaque, 0, r, mig_stream_reader_decoder(c->reader));
    }
    return put_encoded(c, r, mig_record_encode, error) && put_payload(c, r, error) &&
           (c->result->status == MIG_STATUS_BAD || put(c, tail, n, error));
}

bool mig_recode(MigStreamReader *reader, FILE *out, const MigRecodeHook *hook,
                MigRecodeResult *result, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GByteArray) payload = g_byte_array_new();
    Recoder c = { reader, out, hook, bytes, payload, result };
    MigRecord r;

    *result = (MigRecodeResult){ 0 };
    g_byte_array_set_size(bytes, MIG_ENCODED_MAX);
    while ((result->status = mig_stream_reader_next(reader, &r, error)) == MIG_STATUS_RECORD) {
        if (!put_record(&c, &r, error)) {
            return false;
        }
        if (result->status == MIG_STATUS_BAD) {
            return true;
        }
    }
    if (result->status == MIG_STATUS_MORE) {
        return false;
    }
    return result->status == MIG_STATUS_BAD ||
           mig_stream_reader_trailing(reader, &result->trailing, error);
}

typedef struct Side {
    MigInput *in;
    const uint8_t *data;
    size_t n;
} Side;

static bool fill(Side *s, GError **error)
{
    return s->n > 0 || mig_input_next(s->in, &s->data, &s->n, error);
}

bool mig_recode_compare(MigInput *a, MigInput *b, uint64_t n, uint64_t *first, GError **error)
{
    Side x = { .in = a }, y = { .in = b };
    uint64_t at = 0;

    *first = UINT64_MAX;
    while (at < n) {
        if (!fill(&x, error) || !fill(&y, error)) {
            return false;
        }
        size_t same = 0, part = (size_t)MIN(MIN(x.n, y.n), n - at);
        if (part == 0 || memcmp(x.data, y.data, part) != 0) {
            while (same < part && x.data[same] == y.data[same]) {
                same++;
            }
            *first = at + same;
            return true;
        }
        at += part;
        x.data += part, x.n -= part;
        y.data += part, y.n -= part;
    }
    return true;
}
