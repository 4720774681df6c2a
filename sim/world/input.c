/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening an input: the kind of the descriptor decides how bytes are read, their first ones what
 * they are packed in. A new container is a row of `containers`.
 */
#include "sim/world/input.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Container {
    const char *magic;
    size_t length;
    MigInput *(*wrap)(MigInput *inner, GError **error); /* NULL: can't be read */
    const char *refusal;                                /* then: the program that unpacks it */
} Container;

static const Container containers[] = {
    { "\x28\xb5\x2f\xfd", 4, mig_input_zstd_new, NULL },
    { "\x1f\x8b", 2, mig_input_gzip_new, NULL },
    { "LibvirtQemud", 12, mig_input_libvirt_new, NULL },
    { "\xfd"
      "7zXZ",
      5, NULL, "xz" },
    { "BZh", 3, NULL, "bzip2" },
    { "\x89LZO", 4, NULL, "lzop" },
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

static void refuse(const MigInput *in, const Container *c, GError **error)
{
    const MigLibvirtInfo *image = mig_input_libvirt(in);

    if (image) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: the stream in this libvirt save image is compressed with %s, which is not "
                    "supported; unpack it first: tail -c +%u FILE | %s -dc | migbench ... -",
                    in->name, c->refusal, MIG_LIBVIRT_HEADER + image->xml_bytes + 1, c->refusal);
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: this is compressed with %s, which is not supported; unpack it first: "
                    "%s -dc FILE | migbench ... -",
                    in->name, c->refusal, c->refusal);
    }
}

/* Opens container in container, until the contents are none or |depth| are open. Takes |plain|. */
static MigInput *unwrap(MigInput *plain, unsigned depth, GError **error)
{
    g_autoptr(MigInput) in = plain;
    uint8_t head[MIG_INPUT_MAGIC];

    while (in && in->depth < depth) {
        const Container *c = container_of(head, mig_input_peek(in, 0, head, sizeof(head)));
        if (!c) {
            break;
        }
        if (!c->wrap) {
            refuse(in, c, error);
            return NULL;
        }
        if (in->depth == MIG_INPUT_DEPTH) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "%s: more than %u containers inside each other", in->name, MIG_INPUT_DEPTH);
            return NULL;
        }
        in = c->wrap(g_steal_pointer(&in), error);
    }
    return g_steal_pointer(&in);
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

/* What |path| names, without looking at what is in it. */
static MigInput *open_plain(const char *path, GError **error)
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
        in->path = standard ? NULL : g_strdup(path);
        return in;
    }
    return mig_input_pipe_new(fd, name); /* a named pipe can't be opened twice */
}

/* "4096", "4k": false if it is no size. */
static bool parse_offset(const char *text, uint64_t *offset)
{
    static const char suffixes[] = "kMG";
    char *end;
    const char *suffix;

    errno = 0;
    *offset = g_ascii_strtoull(text, &end, 0);
    if (end == text || errno || !g_ascii_isdigit(text[0])) {
        return false;
    }
    if (*end && (suffix = strchr(suffixes, *end == 'K' ? 'k' : *end))) {
        unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);
        if (*offset > UINT64_MAX >> shift) {
            return false;
        }
        *offset <<= shift;
        end++;
    }
    return *end == '\0' && *offset <= INT64_MAX;
}

/* What stands behind "file:". */
static MigInput *open_uri(const char *rest, GError **error)
{
    const char *option = strrchr(rest, ',');
    uint64_t offset = 0;

    if (option && !g_str_has_prefix(option, ",offset=")) {
        option = NULL;
    }
    if (option && !parse_offset(option + strlen(",offset="), &offset)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "file:%s: an offset in bytes is expected, such as offset=4096 or offset=1M",
                    rest);
        return NULL;
    }
    g_autofree char *path = option ? g_strndup(rest, (gsize)(option - rest)) : g_strdup(rest);
    MigInput *in = open_plain(path, error);
    in = in ? unwrap(in, UINT_MAX, error) : NULL;
    return in && offset ? mig_input_offset_new(in, offset) : in;
}

MigInput *mig_input_open(const char *path, GError **error)
{
    if (g_str_has_prefix(path, "file:")) {
        return open_uri(path + strlen("file:"), error);
    }
    MigInput *in = open_plain(path, error);
    return in ? unwrap(in, UINT_MAX, error) : NULL;
}

MigInput *mig_input_again(const MigInput *in, GError **error)
{
    MigInput *again = in->path ? open_plain(in->path, error) : NULL;
    return again ? unwrap(again, in->depth, error) : NULL;
}

void mig_input_wrap(MigInput *in, const MigInputOps *ops, MigInput *inner)
{
    *in = (MigInput){ .ops = ops,
                      .name = g_strdup(inner->name),
                      .path = g_strdup(inner->path),
                      .inner = inner,
                      .depth = inner->depth + 1,
                      .size = MIG_INPUT_UNKNOWN };
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
    while (in) {
        MigInput *inner = in->inner;
        g_free(in->name);
        g_free(in->path);
        in->ops->close(in);
        in = inner;
    }
}
