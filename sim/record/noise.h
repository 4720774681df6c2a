/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed noise in place of secrets. Every byte of a place (a RAM block, a disk, a device) has a
 * secret permutation of the values 1 .. 255 of its own; 0 stays 0. So
 *
 *     zeros stay zeros            equal contents of a page stay equal, unequal ones unequal
 *     lengths stay                a delta (XBZRLE) still fits the page that it was made from
 *
 * and nothing else of the bytes is left, unless somebody has the key. What does show: where zeros
 * are, and which bytes changed when a page was sent again.
 *
 * The stream of random bytes is ChaCha with 8 rounds; the key of a place is SHA-256 of key and
 * place.
 */
#ifndef MIG_SIM_RECORD_NOISE_H
#define MIG_SIM_RECORD_NOISE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MigNoise MigNoise;

/* |key|: any text; NULL: one that nobody knows. */
MigNoise *mig_noise_new(const char *key);
void mig_noise_free(MigNoise *n); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigNoise, mig_noise_free)

typedef struct MigNoisePlace MigNoisePlace;

/* "ram/pc.ram"; lasts as long as |n|. The same text gives the same place. */
const MigNoisePlace *mig_noise_place(MigNoise *n, const char *text);

/* Disguises |length| bytes at |data|, which stand at |offset| of |place|. */
void mig_noise_apply(const MigNoise *n, const MigNoisePlace *place, uint64_t offset, uint8_t *data,
                     size_t length);

/* |length| random bytes, none of them 0, that go with the bytes at |seed|. |out| may be |seed|. */
void mig_noise_fill(MigNoise *n, const uint8_t *seed, size_t seed_length, uint8_t *out,
                    size_t length);

#endif
