/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening an input: the kind of the descriptor decides how bytes are read, their first four whether
 * they are compressed. A new container is a row of `containers`.
 */
#include "sim/world/input.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Container {
    uint8_t magic[4];
    size_t length;
    MigInput *(*wrap)(MigInput *inner, const char *path, GError **error); /* NULL: unsupported */
    const char *what;
} Container;

static const Container containers[] = {
    { { 0x28, 0xb5, 0x2f, 0xfd }, 4, mig_input_zstd_new, "zstd" },
    { { 0x1f, 0x8b }, 2, NULL, "gzip (decompress it first: gzip -dc FILE | migbench ... -)" },
    { { 0x0a, 0x0d, 0x0d, 0x0a }, 4, NULL, "a pcapng recording of several channels" },
    { { 'L', 'i', 'b', 'v' }, 4, NULL, "a libvirt save image" },
};

static const Container *container_of(const uint8_t *head, size_t n)
{
    for (size_t i = 0; i < G_N_ELEMENTS(containers); i++) {
        const Container *c = &containers[i];
        if (n >= c->length && memcmp(head, c->magic, c->length) == 0) {
            return c;
        }
    }
    return NULL;
}

static MigInput *wrap(MigInput *plain, const char *path, GError **error)
{
    uint8_t head[4];
    g_autoptr(MigInput) in = plain;
    size_t n = mig_input_peek(in, 0, head, sizeof(head));
    const Container *c = container_of(head, n);

    if (!c) {
        return g_steal_pointer(&in);
    }
    if (!c->wrap) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: this is %s, which can't be read yet", in->name, c->what);
        return NULL;
    }
    MigInput *inner = c->wrap(g_steal_pointer(&in), path, error);
    return inner ? wrap(inner, path, error) : NULL; /* something may be inside */
}

static int open_path(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "%s: %s", path,
                    g_strerror(errno));
    }
    return fd;
}

MigInput *mig_input_open(const char *path, GError **error)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    int fd = standard ? dup(STDIN_FILENO) : open_path(path, error);
    struct stat st;
    MigInput *in;

    if (fd < 0) {
        if (standard) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", name, g_strerror(errno));
        }
        return NULL;
    }
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY, "%s: is a directory", path);
        return NULL;
    }
    if (S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0) {
        in = mig_input_file_new(fd, name, (uint64_t)st.st_size, error);
    } else {
        in = mig_input_pipe_new(fd, name);
    }
    return in ? wrap(in, standard ? NULL : path, error) : NULL;
}

bool mig_input_next(MigInput *in, const uint8_t **data, size_t *n, GError **error)
{
    if (!in->ops->next(in, data, n, error)) {
        return false;
    }
    in->offset += *n;
    return true;
}

uint64_t mig_input_skip(MigInput *in, uint64_t n)
{
    uint64_t done = in->ops->skip ? in->ops->skip(in, n) : 0;
    in->offset += done;
    return done;
}

GBytes *mig_input_tail(MigInput *in, size_t cap, GError **error)
{
    return in->ops->tail ? in->ops->tail(in, cap, error) : NULL;
}

size_t mig_input_peek(MigInput *in, uint64_t offset, void *dst, size_t n)
{
    return in->ops->peek ? in->ops->peek(in, offset, dst, n) : 0;
}

void mig_input_free(MigInput *in)
{
    if (in) {
        g_free(in->name);
        in->ops->close(in);
    }
}
