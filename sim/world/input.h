/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a stream's bytes come from: a file through a sliding window, a pipe, or either of them
 * in containers, which are opened by their first bytes, one around the other:
 *
 *     file, pipe -> zstd, gzip, libvirt save image -> ... -> the stream
 *
 * An input gives bytes in order and lends them until the next call.
 *
 *     MigInput *in = mig_input_open("trace.mig.zst", &error);
 *     while (mig_input_next(in, &data, &n, &error) && n > 0) ...
 *
 * Offsets count from the beginning of the stream, not of the file, whatever is around it.
 * Memory is constant: no input holds more than MIG_INPUT_WINDOW bytes of the stream (and what the
 * decompressor needs) except while mig_input_tail() runs.
 */
#ifndef MIG_SIM_WORLD_INPUT_H
#define MIG_SIM_WORLD_INPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIG_INPUT_WINDOW     (8u << 20) /* bytes of a file that are mapped at a time */
#define MIG_INPUT_BUFFER     (1u << 20) /* bytes read from a pipe at a time */
#define MIG_INPUT_UNKNOWN    UINT64_MAX
#define MIG_INPUT_WINDOW_LOG 27  /* zstd: refuse windows above 128 MiB */
#define MIG_INPUT_DEPTH      6u  /* containers inside each other */
#define MIG_INPUT_MAGIC      16u /* first bytes that are looked at to tell a container */

/* Of a libvirt save image. */
#define MIG_LIBVIRT_HEADER 92u         /* bytes in front of the XML */
#define MIG_LIBVIRT_XML    (64u << 20) /* bytes of XML, cookie and padding accepted */
#define MIG_LIBVIRT_NAME   256u        /* bytes of the domain's name, NUL included */

typedef struct MigInput MigInput;

typedef struct MigInputOps {
    const char *name; /* "file", "pipe", "zstd", "gzip", "libvirt" */
    /* Lends the next bytes. *n == 0: the end. False: *error. */
    bool (*next)(MigInput *in, const uint8_t **data, size_t *n, GError **error);
    /* Moves on by at most |n| bytes without reading them and says by how many. NULL: never. */
    uint64_t (*skip)(MigInput *in, uint64_t n);
    /*
     * The last bytes of the stream, at most |cap| of them, without moving; NULL with no error when
     * this input cannot look ahead. Free with g_bytes_unref(). NULL: never.
     */
    GBytes *(*tail)(MigInput *in, size_t cap, GError **error);
    /* Up to |n| bytes at |offset| of the stream into |dst|; how many there were. NULL: never. */
    size_t (*peek)(MigInput *in, uint64_t offset, void *dst, size_t n);
    void (*close)(MigInput *in);
} MigInputOps;

struct MigInput {
    const MigInputOps *ops;
    char *name;      /* for messages: the path, or "standard input" */
    char *path;      /* how to open it again to look ahead, NULL where that can't be */
    MigInput *inner; /* what this is the contents of, owned; NULL: a file or pipe */
    unsigned depth;  /* containers around it */
    uint64_t offset; /* of the byte that the next call gives */
    uint64_t size;   /* of the stream, MIG_INPUT_UNKNOWN where that isn't known */
    /*
     * Where its writer believed to be at offset 0. Not 0 only where the stream itself says places
     * in its file (mapped-ram in a libvirt image): what MigDecoderOptions.start has to be.
     */
    uint64_t start;
};

/* What the header of a libvirt save image says. */
typedef struct MigLibvirtInfo {
    uint32_t version, compression; /* as in the file */
    const char *compression_name;  /* "raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse" */
    bool was_running;
    bool swapped;                /* written on a machine of the other byte order */
    uint32_t xml_bytes;          /* XML, cookie and padding */
    char name[MIG_LIBVIRT_NAME]; /* of the domain, as in the XML; "" if it wasn't found */
} MigLibvirtInfo;

/*
 * Opens |path| ("-": standard input) and looks at its first bytes to find out what it is. NULL and
 * *error when it can't be opened or isn't of a kind that can be read. |path| may also be QEMU's
 * file:PATH[,offset=N]: the stream begins N bytes (suffixes k, M, G) behind the start of the file,
 * or of what is packed in it.
 */
MigInput *mig_input_open(const char *path, GError **error);

/* The kinds, for mig_input_open() and tests. They take the descriptor over. */
MigInput *mig_input_file_new(int fd, const char *name, uint64_t size, GError **error);
MigInput *mig_input_pipe_new(int fd, const char *name);

/* The containers: the contents of |inner|, which they take over, also when they fail. */
MigInput *mig_input_zstd_new(MigInput *inner, GError **error);
MigInput *mig_input_gzip_new(MigInput *inner, GError **error);
MigInput *mig_input_libvirt_new(MigInput *inner, GError **error);

/* What stands behind the first |offset| bytes of |inner|, which it takes over. */
MigInput *mig_input_offset_new(MigInput *inner, uint64_t offset);

/* The libvirt image that the stream is in, or NULL. Lasts as long as |in|. */
const MigLibvirtInfo *mig_input_libvirt(const MigInput *in);

bool mig_input_next(MigInput *in, const uint8_t **data, size_t *n, GError **error);
uint64_t mig_input_skip(MigInput *in, uint64_t n);
GBytes *mig_input_tail(MigInput *in, size_t cap, GError **error);
size_t mig_input_peek(MigInput *in, uint64_t offset, void *dst, size_t n);
void mig_input_free(MigInput *in);

/* For containers: the fields of |in| that follow from |inner|. */
void mig_input_wrap(MigInput *in, const MigInputOps *ops, MigInput *inner);
/* Opens the same contents once more. NULL without *error: that can't be (a pipe). */
MigInput *mig_input_again(const MigInput *in, GError **error);
/*
 * For containers that can't seek: tail() and peek() by reading the same contents once more from the
 * beginning, in constant memory (and |cap|). They leave |in| where it is, and learn its size.
 */
GBytes *mig_input_again_tail(MigInput *in, size_t cap, GError **error);
size_t mig_input_again_peek(MigInput *in, uint64_t offset, void *dst, size_t n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigInput, mig_input_free)

#endif
