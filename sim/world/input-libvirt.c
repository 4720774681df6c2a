/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libvirt save image (virsh save, managed save): a header, the domain's XML, and the stream,
 * compressed or not.
 *
 *     image  = magic[16] u32 version  u32 data_len  u32 was_running  u32 compression
 *              u32 cookie_offset  u32 unused[14]  data[data_len]  stream
 *     magic  = "LibvirtQemudSave", and "LibvirtQemudPart" until the save has succeeded
 *     data   = XML NUL [cookie NUL] zeros
 *
 * Numbers are in the byte order of the machine that wrote it; whichever makes the version small is
 * it. The XML is skipped, apart from the domain's name. How the stream is compressed is seen from
 * its own first bytes, so the number is for people; but "sparse" (libvirt 11.2 and later) is a
 * mapped-ram stream that says places counted from the beginning of the image.
 *
 * Offsets in diagnostics count from the beginning of the stream, as everywhere; with "sparse" from
 * that of the image.
 */
#include <gio/gio.h>
#include <string.h>

#include "sim/world/input.h"

#define MAGIC         "LibvirtQemudSave"
#define MAGIC_PARTIAL "LibvirtQemudPart"
#define MAGIC_BYTES   16u
#define VERSION_MAX   2u
#define XML_LOOK      4096u /* bytes of XML in which the name is looked for */
#define SPARSE        6u

static const char *const compressions[] = {
    "raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"
};

typedef struct LibvirtInput {
    MigInput base;
    MigLibvirtInfo info;
    uint64_t begin; /* of the stream, in the inner input */
    uint8_t carry[MIG_INPUT_MAGIC];
    size_t carried;      /* bytes in carry that come first ... */
    const uint8_t *rest; /* ... then these, lent by the inner input ... */
    size_t rest_n;       /* ... then its next ones */
} LibvirtInput;

/* Has something in rest; false at the end of the inner input or when it fails. */
static bool refill(LibvirtInput *l, GError **error)
{
    return l->rest_n > 0 ||
           (mig_input_next(l->base.inner, &l->rest, &l->rest_n, error) && l->rest_n > 0);
}

/* The next |n| bytes; how many there were. */
static size_t take(LibvirtInput *l, uint8_t *dst, size_t n, GError **error)
{
    size_t done = 0;
    while (done < n && refill(l, error)) {
        size_t part = MIN(n - done, l->rest_n);
        memcpy(dst + done, l->rest, part);
        l->rest += part;
        l->rest_n -= part;
        done += part;
    }
    return done;
}

/* Leaves out |n| bytes; how many there were. */
static uint64_t drop(LibvirtInput *l, uint64_t n, GError **error)
{
    uint64_t left = n;
    while (left > 0) {
        if (l->rest_n == 0) {
            left -= mig_input_skip(l->base.inner, left);
        }
        if (left == 0 || !refill(l, error)) {
            break;
        }
        size_t part = (size_t)MIN(left, l->rest_n);
        l->rest += part;
        l->rest_n -= part;
        left -= part;
    }
    return n - left;
}

/* ---- the header ---- */

static bool refuse(const LibvirtInput *l, GError **error, GIOErrorEnum code, const char *format,
                   ...) G_GNUC_PRINTF(4, 5);

/* Keeps an error that reading has left. */
static bool refuse(const LibvirtInput *l, GError **error, GIOErrorEnum code, const char *format,
                   ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (!error || !*error) {
        g_set_error(error, G_IO_ERROR, (gint)code, "%s: %s", l->base.name, text);
    }
    return false;
}

static uint32_t word(const LibvirtInput *l, const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return l->info.swapped ? GUINT32_SWAP_LE_BE(v) : v;
}

static bool check_header(LibvirtInput *l, const uint8_t *h, GError **error)
{
    MigLibvirtInfo *info = &l->info;

    info->swapped = word(l, h + 16) > 0xffff;
    info->version = word(l, h + 16);
    info->xml_bytes = word(l, h + 20);
    info->was_running = word(l, h + 24) != 0;
    info->compression = word(l, h + 28);
    if (info->version == 0 || info->version > VERSION_MAX) {
        return refuse(l, error, G_IO_ERROR_NOT_SUPPORTED,
                      "this libvirt save image has version %u at offset 16; 1 and 2 are known",
                      info->version);
    }
    if (info->xml_bytes == 0 || info->xml_bytes > MIG_LIBVIRT_XML) {
        return refuse(l, error, G_IO_ERROR_INVALID_DATA,
                      "the libvirt save image's header is damaged: it says at offset 20 that the "
                      "domain's XML has %u bytes; 1 to %u are accepted",
                      info->xml_bytes, MIG_LIBVIRT_XML);
    }
    if (info->compression >= G_N_ELEMENTS(compressions)) {
        return refuse(l, error, G_IO_ERROR_NOT_SUPPORTED,
                      "the libvirt save image's header names compression %u at offset 28; 0 to "
                      "%zu are known",
                      info->compression, G_N_ELEMENTS(compressions) - 1);
    }
    info->compression_name = compressions[info->compression];
    return true;
}

static bool read_header(LibvirtInput *l, GError **error)
{
    uint8_t h[MIG_LIBVIRT_HEADER];
    size_t n = take(l, h, sizeof(h), error);

    if (n >= MAGIC_BYTES && memcmp(h, MAGIC_PARTIAL, MAGIC_BYTES) == 0) {
        return refuse(l, error, G_IO_ERROR_PARTIAL_INPUT,
                      "this libvirt save image is incomplete: it is marked so (%s) until the save "
                      "has succeeded; save the domain again",
                      MAGIC_PARTIAL);
    }
    if (n >= MAGIC_BYTES && memcmp(h, MAGIC, MAGIC_BYTES) != 0) {
        return refuse(l, error, G_IO_ERROR_INVALID_DATA,
                      "expected %s at offset 0, as libvirt save images begin", MAGIC);
    }
    if (n < sizeof(h)) {
        return refuse(l, error, G_IO_ERROR_INVALID_DATA,
                      "the libvirt save image ends at offset %zu, inside its header of %u bytes", n,
                      MIG_LIBVIRT_HEADER);
    }
    return check_header(l, h, error);
}

/* ---- the XML ---- */

/* The name stands right behind the opening tag, long before XML_LOOK. */
static void find_name(MigLibvirtInfo *info, const char *xml, size_t n)
{
    static const char open[] = "<name>";
    const char *begin = memmem(xml, n, open, strlen(open));

    if (!begin) {
        return;
    }
    begin += strlen(open);
    size_t left = n - (size_t)(begin - xml);
    const char *end = memmem(begin, left, "</name>", 7);
    if (end && (size_t)(end - begin) < sizeof(info->name)) {
        memcpy(info->name, begin, (size_t)(end - begin));
    }
    if (!g_utf8_validate(info->name, -1, NULL)) {
        info->name[0] = '\0';
    }
}

static bool read_xml(LibvirtInput *l, GError **error)
{
    uint8_t look[XML_LOOK];
    size_t n = take(l, look, MIN(sizeof(look), l->info.xml_bytes), error);

    find_name(&l->info, (const char *)look, n);
    uint64_t got = n + drop(l, l->info.xml_bytes - n, error);
    if (got < l->info.xml_bytes) {
        return refuse(l, error, G_IO_ERROR_INVALID_DATA,
                      "the libvirt save image ends at offset %" G_GUINT64_FORMAT
                      ", inside the domain's XML of %u bytes",
                      MIG_LIBVIRT_HEADER + got, l->info.xml_bytes);
    }
    return true;
}

/* ---- the stream ---- */

static bool libvirt_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    LibvirtInput *l = (LibvirtInput *)in;

    if (l->carried > 0) {
        *data = l->carry;
        *n = l->carried;
        l->carried = 0;
        return true;
    }
    if (l->rest_n > 0) {
        *data = l->rest;
        *n = l->rest_n;
        l->rest_n = 0;
        return true;
    }
    return mig_input_next(in->inner, data, n, error);
}

static uint64_t libvirt_skip(MigInput *in, uint64_t n)
{
    LibvirtInput *l = (LibvirtInput *)in;
    uint64_t here = l->carried + l->rest_n;

    if (n < here) { /* comes with the next bytes */
        return 0;
    }
    l->carried = l->rest_n = 0;
    return here + mig_input_skip(in->inner, n - here);
}

static GBytes *libvirt_tail(MigInput *in, size_t cap, GError **error)
{
    LibvirtInput *l = (LibvirtInput *)in;
    g_autoptr(GBytes) tail = mig_input_tail(in->inner, cap, error);

    if (!tail || in->inner->size == MIG_INPUT_UNKNOWN) {
        return NULL;
    }
    in->size = in->inner->size - MIN(l->begin, in->inner->size);
    size_t have = g_bytes_get_size(tail), mine = (size_t)MIN(have, in->size);
    return g_bytes_new_from_bytes(tail, have - mine, mine);
}

static size_t libvirt_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    LibvirtInput *l = (LibvirtInput *)in;

    if (in->offset != 0 || offset != 0 || n > sizeof(l->carry)) {
        return offset <= UINT64_MAX - l->begin
                   ? mig_input_peek(in->inner, l->begin + offset, dst, n)
                   : 0;
    }
    /* The beginning, to see what it is; works in a pipe, too. */
    l->carried += take(l, l->carry + l->carried, n - MIN(n, l->carried), NULL);
    n = MIN(n, l->carried);
    memcpy(dst, l->carry, n);
    return n;
}

static void libvirt_close(MigInput *in)
{
    g_free(in);
}

static const MigInputOps libvirt_ops = { "libvirt",    libvirt_next, libvirt_skip,
                                         libvirt_tail, libvirt_peek, libvirt_close };

MigInput *mig_input_libvirt_new(MigInput *inner, GError **error)
{
    LibvirtInput *l = g_new0(LibvirtInput, 1);
    GError *why = NULL;

    mig_input_wrap(&l->base, &libvirt_ops, inner);
    if (!read_header(l, &why) || !read_xml(l, &why)) {
        g_propagate_error(error, why);
        mig_input_free(&l->base);
        return NULL;
    }
    l->begin = MIG_LIBVIRT_HEADER + (uint64_t)l->info.xml_bytes;
    l->base.start = l->info.compression == SPARSE ? l->begin : 0;
    if (inner->size != MIG_INPUT_UNKNOWN) {
        l->base.size = inner->size - l->begin;
    }
    return &l->base;
}

const MigLibvirtInfo *mig_input_libvirt(const MigInput *in)
{
    for (; in; in = in->inner) {
        if (in->ops == &libvirt_ops) {
            return &((const LibvirtInput *)in)->info;
        }
    }
    return NULL;
}
