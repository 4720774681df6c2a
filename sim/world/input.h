/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a stream's bytes come from: a file through a sliding window, a pipe, or either of them
 * compressed. An input gives bytes in order and lends them until the next call.
 *
 *     MigInput *in = mig_input_open("trace.mig.zst", &error);
 *     while (mig_input_next(in, &data, &n, &error) && n > 0) ...
 *
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
#define MIG_INPUT_WINDOW_LOG 27 /* zstd: refuse windows above 128 MiB */

typedef struct MigInput MigInput;

typedef struct MigInputOps {
    const char *name; /* "file", "pipe", "zstd" */
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
    uint64_t offset; /* of the byte that the next call gives */
    uint64_t size;   /* of the stream, MIG_INPUT_UNKNOWN where that isn't known */
};

/*
 * Opens |path| ("-": standard input) and looks at its first bytes to find out what it is. NULL and
 * *error when it can't be opened or isn't of a kind that can be read.
 */
MigInput *mig_input_open(const char *path, GError **error);

/* The kinds, for mig_input_open() and tests. They take the descriptor over. */
MigInput *mig_input_file_new(int fd, const char *name, uint64_t size, GError **error);
MigInput *mig_input_pipe_new(int fd, const char *name);
/* Takes |inner| over. |path|: how to open it again to look ahead, or NULL. */
MigInput *mig_input_zstd_new(MigInput *inner, const char *path, GError **error);

bool mig_input_next(MigInput *in, const uint8_t **data, size_t *n, GError **error);
uint64_t mig_input_skip(MigInput *in, uint64_t n);
GBytes *mig_input_tail(MigInput *in, size_t cap, GError **error);
size_t mig_input_peek(MigInput *in, uint64_t offset, void *dst, size_t n);
void mig_input_free(MigInput *in);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigInput, mig_input_free)

#endif
