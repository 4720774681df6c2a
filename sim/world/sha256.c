/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by Nettle, see sha256.h. */
#include "sim/world/sha256.h"

#include <glib.h>
#include <nettle/sha2.h>

struct MigSha256 {
    struct sha256_ctx context;
    char text[2 * SHA256_DIGEST_SIZE + 1]; /* "": not ended yet */
};

MigSha256 *mig_sha256_new(void)
{
    MigSha256 *s = g_new0(MigSha256, 1);
    sha256_init(&s->context);
    return s;
}

void mig_sha256_free(MigSha256 *s)
{
    g_free(s);
}

void mig_sha256_update(MigSha256 *s, const void *data, size_t n)
{
    sha256_update(&s->context, n, data);
}

const char *mig_sha256_text(MigSha256 *s)
{
    if (!*s->text) {
        uint8_t digest[SHA256_DIGEST_SIZE];
        sha256_digest(&s->context, sizeof(digest), digest);
        for (unsigned i = 0; i < sizeof(digest); i++) {
            g_snprintf(s->text + 2 * i, 3, "%02x", digest[i]);
        }
    }
    return s->text;
}
