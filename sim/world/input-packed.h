/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every compressed input has in common: compressed bytes from another input go through a codec
 * into one buffer, which is lent out.
 *
 *     inner -> codec step -> buffer -> whoever reads
 *
 * A new method of compression is a MigUnpack.
 */
#ifndef MIG_SIM_WORLD_INPUT_PACKED_H
#define MIG_SIM_WORLD_INPUT_PACKED_H

#include "sim/world/input.h"

typedef struct MigUnpackStep {
    const uint8_t *in; /* compressed bytes; a step moves it on */
    size_t in_left;
    uint8_t *out; /* room for contents; likewise */
    size_t out_left;
    bool between; /* set by a step: the compressed data may end here */
} MigUnpackStep;

typedef struct MigUnpack {
    MigInputOps ops; /* MIG_INPUT_PACKED_OPS("zstd"), say */
    void *(*create)(void);
    /* Takes and gives as much as it can. NULL, or a few words about what is wrong. */
    const char *(*step)(void *codec, MigUnpackStep *s);
    void (*destroy)(void *codec);
} MigUnpack;

/* Takes |inner| over. |unpack| must last as long as the input. */
MigInput *mig_input_packed_new(MigInput *inner, const MigUnpack *unpack);

/* For the initialiser of MigUnpack.ops. */
bool mig_input_packed_next(MigInput *in, const uint8_t **data, size_t *n, GError **error);
size_t mig_input_packed_peek(MigInput *in, uint64_t offset, void *dst, size_t n);
void mig_input_packed_close(MigInput *in);
#define MIG_INPUT_PACKED_OPS(name)                                                      \
    {                                                                                   \
        name, mig_input_packed_next, NULL, mig_input_again_tail, mig_input_packed_peek, \
            mig_input_packed_close                                                      \
    }

#endif
