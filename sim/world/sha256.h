/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 of bytes that come piece by piece. Nettle's uses the processor's instructions for it: a
 * simulation with bytes would spend two thirds of its time in GLib's, which has none.
 */
#ifndef MIG_SIM_WORLD_SHA256_H
#define MIG_SIM_WORLD_SHA256_H

#include <glib.h>
#include <stddef.h>

typedef struct MigSha256 MigSha256;

MigSha256 *mig_sha256_new(void);
void mig_sha256_free(MigSha256 *s); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigSha256, mig_sha256_free)

void mig_sha256_update(MigSha256 *s, const void *data, size_t n);
/* 64 hexadecimal digits, owned by |s|. Nothing can be added any more. */
const char *mig_sha256_text(MigSha256 *s);

#endif
