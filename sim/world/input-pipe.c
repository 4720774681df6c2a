/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe, a socket, a terminal: bytes come once. Everything is read, also what nobody wants; there
 * is no looking ahead except at the first bytes, which tell what the input is.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "sim/world/input.h"

typedef struct PipeInput {
    MigInput base;
    int fd;
    size_t ready; /* bytes in the buffer that were read by a peek and not given yet */
    int error;    /* errno of a read that failed during a peek */
    uint8_t buffer[MIG_INPUT_BUFFER];
} PipeInput;

static ssize_t read_some(PipeInput *p, size_t at)
{
    ssize_t got;
    do {
        got = read(p->fd, p->buffer + at, sizeof(p->buffer) - at);
    } while (got < 0 && errno == EINTR);
    return got;
}

static bool pipe_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    PipeInput *p = (PipeInput *)in;
    ssize_t got = (ssize_t)p->ready;

    p->ready = 0;
    if (got == 0) {
        got = p->error ? -1 : read_some(p, 0);
    }
    if (got < 0) {
        int e = p->error ? p->error : errno;
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(e),
                    "%s: read failed at offset %" G_GUINT64_FORMAT ": %s", in->name, in->offset,
                    g_strerror(e));
        return false;
    }
    *data = p->buffer;
    *n = (size_t)got;
    return true;
}

/* Only at the beginning: bytes that have gone by are gone. */
static size_t pipe_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    PipeInput *p = (PipeInput *)in;

    if (in->offset != 0 || offset != 0) {
        return 0;
    }
    while (p->ready < n && !p->error) {
        ssize_t got = read_some(p, p->ready);
        if (got < 0) {
            p->error = errno;
        }
        if (got <= 0) {
            break;
        }
        p->ready += (size_t)got;
    }
    n = MIN(n, p->ready);
    memcpy(dst, p->buffer, n);
    return n;
}

static void pipe_close(MigInput *in)
{
    PipeInput *p = (PipeInput *)in;
    close(p->fd);
    g_free(p);
}

static const MigInputOps pipe_ops = { "pipe", pipe_next, NULL, NULL, pipe_peek, pipe_close };

MigInput *mig_input_pipe_new(int fd, const char *name)
{
    PipeInput *p = g_new(PipeInput, 1);
    memset(p, 0, offsetof(PipeInput, buffer));
    p->base = (MigInput){ .ops = &pipe_ops, .name = g_strdup(name), .size = MIG_INPUT_UNKNOWN };
    p->fd = fd;
    fcntl(fd, F_SETPIPE_SZ, (int)MIG_INPUT_BUFFER); /* fewer switches, where it is a pipe */
    return &p->base;
}
