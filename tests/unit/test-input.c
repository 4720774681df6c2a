/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of input gives the bytes that are in it, in whatever pieces its own bytes come, and
 * says what is wrong where something is.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-c/json.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "sim/world/input.h"
#include "sim/world/stream-reader.h"
#include "tests/unit/packing.h"
#include "tests/unit/traces.h"

typedef struct Kind {
    const char *name;
    GBytes *(*pack)(GBytes *in);
} Kind;

static const Kind kinds[] = {
    { "raw", mig_test_pack_raw },
    { "zstd", mig_test_pack_zstd },
    { "gzip", mig_test_pack_gzip },
    { "gzip-members", mig_test_pack_gzip_members },
    { "libvirt", mig_test_pack_libvirt },
    { "libvirt-big-endian", mig_test_pack_libvirt_big },
    { "libvirt-gzip", mig_test_pack_libvirt_gzip },
    { "libvirt-zstd", mig_test_pack_libvirt_zstd },
    { "gzip-of-zstd-of-libvirt-gzip", mig_test_pack_nested },
};

/* ---- reading ---- */

static char *write_file(GBytes *bytes)
{
    g_autoptr(GError) error = NULL;
    char *path = NULL;
    int fd = g_file_open_tmp("migbench-input-XXXXXX", &path, &error);
    g_assert_no_error(error);
    g_close(fd, NULL);
    g_file_set_contents(path, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes),
                        &error);
    g_assert_no_error(error);
    return path;
}

/* Everything, from the beginning; NULL and *error where it fails. */
static GBytes *read_all(MigInput *in, GError **error)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    const guint8 *data;
    size_t n;

    do {
        if (!mig_input_next(in, &data, &n, error)) {
            return NULL;
        }
        g_byte_array_append(out, data, (guint)n);
        g_assert_cmpuint(in->offset, ==, out->len);
    } while (n > 0);
    return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}

static void assert_same(GBytes *a, GBytes *b)
{
    g_assert_nonnull(a);
    g_assert_cmpmem(g_bytes_get_data(a, NULL), g_bytes_get_size(a), g_bytes_get_data(b, NULL),
                    g_bytes_get_size(b));
}

/* What looking ahead gives, wherever the input stands. */
static void look(MigInput *in, GBytes *want)
{
    static const gsize caps[] = { 1, 100, 5000, 1u << 24 };
    gsize size = g_bytes_get_size(want);
    g_autoptr(GError) error = NULL;
    guint8 bytes[64];

    for (guint i = 0; i < G_N_ELEMENTS(caps); i++) {
        g_autoptr(GBytes) tail = mig_input_tail(in, caps[i], &error);
        gsize n = MIN(caps[i], size);
        g_autoptr(GBytes) end = g_bytes_new_from_bytes(want, size - n, n);
        g_assert_no_error(error);
        assert_same(tail, end);
    }
    g_assert_cmpuint(in->size, ==, size);
    for (gsize at = 1; at < size; at += size / 7) {
        gsize n = mig_input_peek(in, at, bytes, sizeof(bytes));
        g_assert_cmpmem(bytes, n, (const guint8 *)g_bytes_get_data(want, NULL) + at,
                        MIN(sizeof(bytes), size - at));
    }
    g_assert_cmpuint(mig_input_peek(in, size + 1, bytes, sizeof(bytes)), ==, 0);
}

static void test_file(gconstpointer data)
{
    const Kind *kind = data;
    g_autoptr(GBytes) want = mig_test_contents(3000000), packed = kind->pack(want);
    g_autofree char *path = write_file(packed);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigInput) in = mig_input_open(path, &error);

    g_assert_no_error(error);
    look(in, want);
    g_autoptr(GBytes) all = read_all(in, &error);
    g_assert_no_error(error);
    assert_same(all, want);
    g_autoptr(GBytes) tail = mig_input_tail(in, 10, &error); /* at the end, too */
    g_assert_cmpuint(g_bytes_get_size(tail), ==, 10);
    g_unlink(path);
}

/* Skips what it can after each piece; what comes next is at the place where it says to be. */
static void test_skip(gconstpointer data)
{
    const Kind *kind = data;
    g_autoptr(GBytes) want = mig_test_contents(20000000), packed = kind->pack(want);
    g_autofree char *path = write_file(packed);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigInput) in = mig_input_open(path, &error);
    const guint8 *piece, *all = g_bytes_get_data(want, NULL);
    size_t n;

    g_assert_no_error(error);
    do {
        uint64_t before = in->offset, skipped = mig_input_skip(in, 12345);
        g_assert_cmpuint(skipped, <=, 12345);
        g_assert_cmpuint(in->offset, ==, before + skipped);
        before = in->offset;
        g_assert_true(mig_input_next(in, &piece, &n, &error));
        g_assert_cmpmem(piece, n, all + before, n);
    } while (n > 0);
    g_assert_cmpuint(in->offset, ==, g_bytes_get_size(want));
    g_unlink(path);
}

typedef struct Writer {
    int fd;
    GBytes *bytes;
} Writer;

static gpointer writer_run(gpointer data)
{
    Writer *w = data;
    gsize n, at = 0;
    const guint8 *p = g_bytes_get_data(w->bytes, &n);

    while (at < n) { /* the first pieces are small */
        ssize_t done = write(w->fd, p + at, MIN(n - at, at + 1));
        if (done < 0 && errno == EPIPE) {
            break; /* the reader has refused what came */
        }
        g_assert_cmpint(done, >, 0);
        at += (gsize)done;
    }
    close(w->fd);
    return NULL;
}

static GBytes *read_pipe(GBytes *packed, GError **error)
{
    int fds[2];
    g_assert_cmpint(pipe(fds), ==, 0);
    Writer w = { fds[1], packed };
    GThread *thread = g_thread_new("writer", writer_run, &w);
    g_autofree char *path = g_strdup_printf("/dev/fd/%d", fds[0]);
    g_autoptr(MigInput) in = mig_input_open(path, error);

    close(fds[0]);
    GBytes *all = in ? read_all(in, error) : NULL;
    if (in) {
        g_assert_null(mig_input_tail(in, 100, NULL)); /* a pipe can't look ahead */
        g_assert_null(in->path);
    }
    g_thread_join(thread);
    return all;
}

static void test_pipe(gconstpointer data)
{
    const Kind *kind = data;
    g_autoptr(GBytes) want = mig_test_contents(300000), packed = kind->pack(want);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) all = read_pipe(packed, &error);

    g_assert_no_error(error);
    assert_same(all, want);
}

/* An input that gives at most |piece| bytes at a time. */
typedef struct Drip {
    MigInput base;
    GBytes *bytes;
    gsize piece, at;
} Drip;

static bool drip_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    Drip *d = (Drip *)in;
    gsize size;
    *data = (const guint8 *)g_bytes_get_data(d->bytes, &size) + d->at;
    *n = MIN(d->piece, size - d->at);
    d->at += *n;
    return true;
}

static void drip_close(MigInput *in)
{
    g_bytes_unref(((Drip *)in)->bytes);
    g_free(in);
}

static const MigInputOps drip_ops = { "drip", drip_next, NULL, NULL, NULL, drip_close };

static MigInput *drip(GBytes *bytes, gsize piece)
{
    Drip *d = g_new0(Drip, 1);
    d->base = (MigInput){ .ops = &drip_ops, .name = g_strdup("drip"), .size = MIG_INPUT_UNKNOWN };
    d->bytes = g_bytes_ref(bytes);
    d->piece = piece;
    return &d->base;
}

typedef MigInput *Wrap(MigInput *inner, GError **error);

typedef struct Layer {
    const char *name;
    Wrap *wrap;
    GBytes *(*pack)(GBytes *in);
} Layer;

static const Layer layers[] = {
    { "zstd", mig_input_zstd_new, mig_test_pack_zstd },
    { "gzip", mig_input_gzip_new, mig_test_pack_gzip },
    { "gzip-members", mig_input_gzip_new, mig_test_pack_gzip_members },
    { "libvirt", mig_input_libvirt_new, mig_test_pack_libvirt },
};

/* Every size of piece, with and without a look at the beginning. */
static void test_pieces(gconstpointer data)
{
    const Layer *layer = data;
    g_autoptr(GBytes) want = mig_test_contents(1500), packed = layer->pack(want);

    for (gsize piece = 1; piece <= 300; piece++) {
        for (guint peek = 0; peek <= MIG_INPUT_MAGIC; peek += MIG_INPUT_MAGIC / 4) {
            g_autoptr(GError) error = NULL;
            g_autoptr(MigInput) in = layer->wrap(drip(packed, piece), &error);
            guint8 head[MIG_INPUT_MAGIC];
            g_assert_no_error(error);
            for (guint twice = 0; peek && twice < 2; twice++) {
                gsize n = mig_input_peek(in, 0, head, peek);
                g_assert_cmpmem(head, n, g_bytes_get_data(want, NULL), peek);
            }
            g_autoptr(GBytes) all = read_all(in, &error);
            g_assert_no_error(error);
            assert_same(all, want);
        }
    }
}

/* Cut off after every byte: never the same as the whole, and never silent. */
static void test_truncated(gconstpointer data)
{
    const Layer *layer = data;
    g_autoptr(GBytes) want = mig_test_contents(300), packed = layer->pack(want);
    gsize size = g_bytes_get_size(packed);
    bool members = layer->pack == mig_test_pack_gzip_members;
    bool image = layer->pack == mig_test_pack_libvirt;

    for (gsize n = 0; n < size; n++) {
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(packed, 0, n);
        g_autoptr(GError) error = NULL;
        g_autoptr(MigInput) in = layer->wrap(drip(cut, 7), &error);
        g_autoptr(GBytes) all = in ? read_all(in, &error) : NULL;
        if (members && n >= size - 700) { /* only padding is missing */
            assert_same(all, want);
        } else if (members && all) { /* a whole member */
            g_assert_cmpuint(g_bytes_get_size(all), ==, 100);
        } else if (image && n >= size - 300) { /* the decoder's business */
            g_assert_cmpuint(g_bytes_get_size(all), ==, n - (size - 300));
        } else {
            g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
            g_assert_nonnull(strstr(error->message, image ? "ends at offset" : "damaged"));
        }
    }
}

/* ---- damage ---- */

typedef struct HeaderRow {
    const char *name;
    gsize offset;
    const char *bytes; /* four of them */
    const char *says;
} HeaderRow;

static const HeaderRow headers[] = {
    { "partial", 12, "Part", "incomplete" },
    { "magic", 12, "Sava", "expected LibvirtQemudSave at offset 0" },
    { "version-0", 16, "\0\0\0\0", "version 0 at offset 16" },
    { "version-3", 16, "\3\0\0\0", "version 3 at offset 16" },
    { "version-3-big-endian", 16, "\0\0\0\3", "version 3 at offset 16" },
    { "version-huge", 16, "\xff\xff\xff\xff", "version 4294967295 at offset 16" },
    { "xml-0", 20, "\0\0\0\0", "has 0 bytes" },
    { "xml-above-limit", 20, "\1\0\0\4", "has 67108865 bytes" },
    { "xml-huge", 20, "\xff\xff\xff\xff", "has 4294967295 bytes" },
    { "xml-longer-than-the-file", 20, "\0\0\0\4", "inside the domain's XML of 67108864 bytes" },
    { "compression-7", 28, "\7\0\0\0", "compression 7 at offset 28" },
    { "compression-huge", 28, "\xff\xff\xff\xff", "compression 4294967295 at offset 28" },
};

static void test_header(gconstpointer data)
{
    const HeaderRow *row = data;
    g_autoptr(GBytes) want = mig_test_contents(100), packed = mig_test_pack_libvirt(want);
    gsize size;
    guint8 *copy = g_bytes_unref_to_data(g_steal_pointer(&packed), &size);

    memcpy(copy + row->offset, row->bytes, 4);
    packed = g_bytes_new_take(copy, size);
    g_autofree char *path = write_file(packed);
    g_autoptr(GError) error = NULL, again = NULL;
    g_assert_null(mig_input_open(path, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, path));
    g_assert_nonnull(strstr(error->message, row->says));
    g_autoptr(GBytes) all = read_pipe(packed, &again);
    g_assert_null(all);
    g_assert_nonnull(strstr(again->message, row->says));
    g_unlink(path);
}

static void test_gzip_damage(void)
{
    static const char garbage[] = "garbage";
    g_autoptr(GBytes) want = mig_test_contents(5000), packed = mig_test_pack_gzip(want);
    gsize size = g_bytes_get_size(packed);

    for (gsize i = size - 8; i <= size; i++) { /* checksum, length, and what follows */
        guint8 *copy = g_malloc0(size + sizeof(garbage));
        memcpy(copy, g_bytes_get_data(packed, NULL), size);
        if (i < size) {
            copy[i] ^= 1;
        } else {
            memcpy(copy + size, garbage, sizeof(garbage));
        }
        g_autoptr(GBytes) damaged = g_bytes_new_take(copy, size + sizeof(garbage));
        g_autoptr(GError) error = NULL;
        g_autoptr(MigInput) in = mig_input_gzip_new(drip(damaged, 100), &error);
        g_autoptr(GBytes) all = read_all(in, &error);
        g_assert_null(all);
        g_assert_nonnull(strstr(error->message, "gzip data is damaged near compressed offset"));
    }
}

/* An error at the very first bytes is not lost because somebody looked at them. */
static void test_error_after_peek(void)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static("\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff", 9);
    g_autofree char *path = write_file(bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigInput) in = mig_input_open(path, &error);
    const guint8 *data;
    size_t n;

    g_assert_no_error(error);
    for (guint twice = 0; twice < 2; twice++) {
        g_clear_error(&error);
        g_assert_false(mig_input_next(in, &data, &n, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    }
    g_unlink(path);
}

typedef struct RefusedRow {
    const char *name, *magic;
    gsize n;
    const char *says, *says_in_image;
} RefusedRow;

static const RefusedRow refused[] = {
    { "xz", "\xfd\x37zXZ\0\0\4", 8, "unpack it first: xz -dc FILE", "FILE | xz -dc" },
    { "bzip2", "BZh91AY&SY", 10, "unpack it first: bzip2 -dc FILE", "FILE | bzip2 -dc" },
    { "lzop", "\x89LZO\0\r\n\x1a\n", 9, "unpack it first: lzop -dc FILE", "FILE | lzop -dc" },
};

static void test_refused(gconstpointer data)
{
    const RefusedRow *row = data;
    g_autoptr(GBytes) bytes = g_bytes_new_static(row->magic, row->n);
    g_autoptr(GBytes) image = mig_test_pack_image(bytes, 2, false);
    g_autofree char *plain = write_file(bytes), *packed = write_file(image);
    g_autofree char *tail =
        g_strdup_printf("tail -c +%zu FILE", g_bytes_get_size(image) - row->n + 1);
    g_autoptr(GError) error = NULL, other = NULL;

    g_assert_null(mig_input_open(plain, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
    g_assert_nonnull(strstr(error->message, row->says));
    g_assert_null(mig_input_open(packed, &other));
    g_assert_error(other, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
    g_assert_nonnull(strstr(other->message, row->says_in_image));
    g_assert_nonnull(strstr(other->message, tail));
    g_unlink(plain);
    g_unlink(packed);
}

static void test_depth(void)
{
    g_autoptr(GBytes) want = mig_test_contents(1000);
    GBytes *packed = g_bytes_ref(want);

    for (guint depth = 1; depth <= MIG_INPUT_DEPTH + 1; depth++) {
        GBytes *more = mig_test_pack_gzip(packed);
        g_bytes_unref(packed);
        packed = more;
        g_autofree char *path = write_file(packed);
        g_autoptr(GError) error = NULL;
        g_autoptr(MigInput) in = mig_input_open(path, &error);
        if (depth > MIG_INPUT_DEPTH) {
            g_assert_null(in);
            g_assert_nonnull(strstr(error->message, "containers inside each other"));
        } else {
            g_autoptr(GBytes) all = read_all(in, &error);
            assert_same(all, want);
        }
        g_unlink(path);
    }
    g_bytes_unref(packed);
}

/* ---- what the image says ---- */

static void test_info(void)
{
    g_autoptr(GBytes) want = mig_test_contents(100), image = mig_test_pack_libvirt_zstd(want);
    g_autoptr(GBytes) packed = mig_test_pack_gzip(image);
    g_autofree char *path = write_file(packed);
    g_autoptr(MigInput) in = mig_input_open(path, NULL);
    const MigLibvirtInfo *info = mig_input_libvirt(in);

    g_assert_nonnull(info);
    g_assert_cmpuint(info->version, ==, 2);
    g_assert_cmpstr(info->compression_name, ==, "zstd");
    g_assert_cmpstr(info->name, ==, "guest &amp; co");
    g_assert_true(info->was_running);
    g_assert_true(info->swapped == (G_BYTE_ORDER == G_LITTLE_ENDIAN));
    g_assert_cmpuint(in->start, ==, 0);
    g_unlink(path);
}

static const char *text_of(json_object *manifest, const char *object, const char *key)
{
    json_object *o, *value;
    g_assert_true(json_object_object_get_ex(manifest, object, &o));
    g_assert_true(json_object_object_get_ex(o, key, &value));
    return json_object_get_string(value);
}

/* A recorded image, once compressed as it lies there and once as libvirt wrote it. */
static void check_recorded(const char *path, json_object *manifest)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigInput) in = mig_input_open(path, &error);
    g_assert_no_error(error);
    const MigLibvirtInfo *info = mig_input_libvirt(in);

    g_assert_nonnull(info);
    g_assert_cmpstr(info->compression_name, ==, text_of(manifest, "image", "compression"));
    g_assert_cmpstr(info->name, ==, text_of(manifest, "image", "domain"));
    g_assert_cmpuint(info->xml_bytes, ==,
                     g_ascii_strtoull(text_of(manifest, "image", "xml_bytes"), NULL, 10));
    g_autoptr(GBytes) all = read_all(in, &error);
    g_assert_no_error(error);
    g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, all);
    g_assert_cmpstr(sum, ==, text_of(manifest, "stream", "sha256"));

    g_autoptr(MigStreamReader) reader = mig_stream_reader_open(path, NULL, &error);
    MigRecord record;
    MigStatus status;
    while ((status = mig_stream_reader_next(reader, &record, &error)) == MIG_STATUS_RECORD) {
    }
    g_assert_cmpint(status, ==, MIG_STATUS_END);
    g_assert_nonnull(mig_stream_reader_vmdesc(reader));
}

static void test_recorded(gconstpointer id)
{
    g_autofree char *packed = mig_test_trace_path(id, ".save.zst");
    g_autofree char *json = mig_test_trace_path(id, ".json");
    json_object *manifest = json_object_from_file(json);
    g_autoptr(GError) error = NULL;
    g_autofree char *data = NULL;
    gsize n;

    g_assert_nonnull(manifest);
    check_recorded(packed, manifest);
    g_assert_true(g_file_get_contents(packed, &data, &n, &error));
    g_autoptr(GBytes) bytes = g_bytes_new(data, n);
    g_autoptr(MigInput) in = mig_input_zstd_new(drip(bytes, 4096), &error);
    g_autoptr(GBytes) image = read_all(in, &error);
    g_assert_no_error(error);
    g_autofree char *plain = write_file(image);
    check_recorded(plain, manifest);
    g_unlink(plain);
    json_object_put(manifest);
}

/* Adds one test per row, named after the row's first member, a string. */
static void add_rows(const char *folder, gconstpointer rows, gsize size, gsize n, GTestDataFunc run)
{
    for (gsize i = 0; i < n; i++) {
        gconstpointer row = (const char *)rows + i * size;
        g_autofree char *path = g_strdup_printf("/input/%s/%s", folder, *(char *const *)row);
        g_test_add_data_func(path, row, run);
    }
}

#define ADD_ROWS(folder, rows, run) \
    add_rows(folder, rows, sizeof((rows)[0]), G_N_ELEMENTS(rows), run)

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    ADD_ROWS("file", kinds, test_file);
    ADD_ROWS("skip", kinds, test_skip);
    ADD_ROWS("pipe", kinds, test_pipe);
    ADD_ROWS("pieces", layers, test_pieces);
    ADD_ROWS("truncated", layers, test_truncated);
    ADD_ROWS("libvirt-header", headers, test_header);
    ADD_ROWS("refused", refused, test_refused);
    g_test_add_func("/input/gzip/damage", test_gzip_damage);
    g_test_add_func("/input/zstd/error-after-peek", test_error_after_peek);
    g_test_add_func("/input/depth", test_depth);
    g_test_add_func("/input/libvirt/info", test_info);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("libvirt");
    g_assert_cmpuint(ids->len, >, 0);
    for (guint i = 0; i < ids->len; i++) {
        g_autofree char *path =
            g_strdup_printf("/input/libvirt/recorded/%s", (char *)ids->pdata[i]);
        g_test_add_data_func(path, ids->pdata[i], test_recorded);
    }
    return g_test_run();
}
