/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A regular file, mapped one window at a time. Payload that the decoder doesn't want is never
 * touched: inside a window because nobody reads it, beyond a window because the next one is mapped
 * behind it. A file that shrinks while it is read ends the program with SIGBUS; streams are
 * recordings, not logs that somebody truncates.
 */
#include <errno.h>
#include <gio/gio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/world/input.h"

typedef struct FileInput {
    MigInput base;
    int fd;
    uint64_t at; /* where the next window begins */
    void *map;
    size_t mapped;
} FileInput;

static void unmap(FileInput *f)
{
    if (f->map) {
        munmap(f->map, f->mapped);
        f->map = NULL;
    }
}

static bool file_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    FileInput *f = (FileInput *)in;
    uint64_t base = f->at & ~(uint64_t)(65536 - 1); /* a multiple of every host page size */
    uint64_t end = MIN(base + MIG_INPUT_WINDOW, in->size);

    unmap(f);
    *n = 0;
    if (f->at >= in->size) {
        return true;
    }
    f->mapped = (size_t)(end - base);
    f->map = mmap(NULL, f->mapped, PROT_READ, MAP_PRIVATE, f->fd, (off_t)base);
    if (f->map == MAP_FAILED) {
        f->map = NULL;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "%s: can't map %zu bytes at offset %" G_GUINT64_FORMAT ": %s", in->name,
                    f->mapped, base, g_strerror(errno));
        return false;
    }
    *data = (const uint8_t *)f->map + (f->at - base);
    *n = (size_t)(end - f->at);
    f->at = end;
    return true;
}

static uint64_t file_skip(MigInput *in, uint64_t n)
{
    FileInput *f = (FileInput *)in;
    n = MIN(n, in->size - f->at);
    f->at += n;
    return n;
}

static size_t file_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    FileInput *f = (FileInput *)in;
    ssize_t got = offset < in->size ? pread(f->fd, dst, n, (off_t)offset) : 0;
    return got > 0 ? (size_t)got : 0;
}

static GBytes *file_tail(MigInput *in, size_t cap, GError **error)
{
    size_t n = (size_t)MIN(cap, in->size);
    g_autofree uint8_t *data = g_malloc(n + 1);
    size_t got = file_peek(in, in->size - n, data, n);
    return got == n ? g_bytes_new_take(g_steal_pointer(&data), n) : NULL;
}

static void file_close(MigInput *in)
{
    FileInput *f = (FileInput *)in;
    unmap(f);
    close(f->fd);
    g_free(f);
}

static const MigInputOps file_ops = {
    "file", file_next, file_skip, file_tail, file_peek, file_close
};

MigInput *mig_input_file_new(int fd, const char *name, uint64_t size, GError **error)
{
    FileInput *f = g_new0(FileInput, 1);
    f->base = (MigInput){ .ops = &file_ops, .name = g_strdup(name), .size = size };
    f->fd = fd;
    return &f->base;
}
