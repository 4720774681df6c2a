/* SPDX-License-Identifier: Apache-2.0 */
/* Applying page records to a sparse file. mapped-ram areas are copied where their bitmap says. */
#include "conformance/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "stream/limits.h"
#include "stream/xbzrle.h"
#include "stream/zero.h"

typedef struct Extract {
    MigStreamReader *reader;
    const MigDecoder *decoder;
    const char *name;
    int fd;
    uint32_t page_size;
    uint8_t *in, *page; /* payload and page: MIG_LIMIT_COMPRESSED and page_size bytes */
    MigExtractResult *result;
} Extract;

static bool fail_errno(const char *what, GError **error)
{
    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "the image: %s: %s", what,
                g_strerror(errno));
    return false;
}

static bool write_at(Extract *x, const uint8_t *data, size_t n, uint64_t offset, GError **error)
{
    while (n) {
        ssize_t done = pwrite(x->fd, data, n, (off_t)offset);
        if (done < 0 && errno != EINTR) {
            return fail_errno("write failed", error);
        }
        if (done > 0) {
            data += done;
            n -= (size_t)done;
            offset += (uint64_t)done;
        }
    }
    return true;
}

/* Zero pages become holes; where holes can't be punched they are written. */
static bool put_page(Extract *x, uint64_t offset, GError **error)
{
    if (mig_is_zero(x->page, x->page_size) &&
        fallocate(x->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, x->page_size) ==
            0) {
        return true;
    }
    return write_at(x, x->page, x->page_size, offset, error);
}

static bool bad(Extract *x, const MigRecord *r, const char *why)
{
    x->result->bad_page = true;
    x->result->bad_offset = r->offset;
    x->result->bad_why = why;
    return true;
}

static bool apply_delta(Extract *x, const MigRecord *r, GError **error)
{
    ssize_t got = pread(x->fd, x->page, x->page_size, (off_t)r->ram.offset);
    MigXbzrleFault fault;

    if (got < 0) {
        return fail_errno("read failed", error);
    }
    memset(x->page + got, 0, x->page_size - (size_t)got);
    fault = mig_xbzrle_decode(x->in, r->payload, x->page, x->page_size, NULL);
    if (fault != MIG_XBZRLE_OK) {
        return bad(x, r, mig_xbzrle_fault_text(fault));
    }
    return put_page(x, r->ram.offset, error);
}

/* Inflating to less than a page is accepted, as qemu_uncompress_data() does: the rest stays. */
static bool inflate_page(Extract *x, const MigRecord *r, GError **error)
{
    uLongf n = x->page_size;
    ssize_t got = pread(x->fd, x->page, x->page_size, (off_t)r->ram.offset);

    if (got < 0) {
        return fail_errno("read failed", error);
    }
    memset(x->page + got, 0, x->page_size - (size_t)got);
    if (uncompress(x->page, &n, x->in, (uLong)r->payload) != Z_OK) {
        return bad(x, r, "zlib data that does not inflate to a page");
    }
    return put_page(x, r->ram.offset, error);
}

static bool apply_payload(Extract *x, const MigRecord *r, GError **error)
{
    switch (r->type) {
    case MIG_REC_RAM_PAGE:
        return put_page(x, r->ram.offset, error);
    case MIG_REC_RAM_XBZRLE:
        return apply_delta(x, r, error);
    default:
        return inflate_page(x, r, error);
    }
}

static bool is_mine(const Extract *x, MigStr name)
{
    return mig_str_equal(name, mig_str(x->name));
}

static bool apply_page(Extract *x, const MigRecord *r, MigRecord *mine, GError **error)
{
    if (!is_mine(x, r->ram.name)) {
        return true;
    }
    x->result->found = true;
    x->result->pages++;
    x->result->length = MAX(x->result->length, r->ram.offset + x->page_size);
    if (r->type == MIG_REC_RAM_ZERO) {
        memset(x->page, r->ram.fill, x->page_size);
        return put_page(x, r->ram.offset, error);
    }
    *mine = *r;
    mig_stream_reader_payload_into(x->reader, r->type == MIG_REC_RAM_PAGE ? x->page : x->in);
    return true;
}

/* A mapped-ram area lies in the stream as it lies in memory; unset bits are stale. */
static bool mapped_block(const Extract *x, uint32_t index)
{
    const MigRecordRamBlock *b = mig_decoder_block(x->decoder, index);
    return b && is_mine(x, b->name);
}

static bool on_record(Extract *x, const MigRecord *r, MigRecord *mine, GError **error)
{
    switch (r->type) {
    case MIG_REC_RAM_BLOCK:
        x->page_size = mig_decoder_page_size(x->decoder);
        if (is_mine(x, r->block.name)) {
            x->result->found = true;
            x->result->length = r->block.used_length;
        }
        return true;
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_PAGE:
    case MIG_REC_RAM_XBZRLE:
    case MIG_REC_RAM_COMPRESS:
        return apply_page(x, r, mine, error);
    case MIG_REC_MAPPED_PAGES:
        if (mapped_block(x, r->mapped.block)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "a mapped-ram file can't be extracted yet; its pages of %s stand at offset "
                        "%" G_GUINT64_FORMAT " of the file",
                        x->name, r->mapped.file_offset);
            return false;
        }
        return true;
    default:
        return true;
    }
}

static bool run(Extract *x, GError **error)
{
    MigRecord r, mine = { 0 };
    MigStatus status;

    while ((status = mig_stream_reader_next(x->reader, &r, error)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        bool good = status == MIG_STATUS_PAYLOAD ? apply_payload(x, &mine, error)
                                                 : on_record(x, &r, &mine, error);
        if (!good) {
            return false;
        }
        if (x->result->bad_page) {
            return true;
        }
    }
    x->result->status = status;
    if (status == MIG_STATUS_MORE) {
        return false;
    }
    return ftruncate(x->fd, (off_t)x->result->length) == 0 || fail_errno("can't set size", error);
}

bool mig_extract(MigStreamReader *reader, const char *name, int fd, MigExtractResult *result,
                 GError **error)
{
    uint32_t largest = 1u << MIG_LIMIT_PAGE_BITS;
    g_autofree uint8_t *in = g_malloc(MIG_LIMIT_COMPRESSED(largest));
    g_autofree uint8_t *page = g_malloc(largest);
    Extract x = {
        .reader = reader,
        .decoder = mig_stream_reader_decoder(reader),
        .name = name,
        .fd = fd,
        .page_size = 4096,
        .in = in,
        .page = page,
        .result = result,
    };
    *result = (MigExtractResult){ 0 };
    return run(&x, error);
}
