/* SPDX-License-Identifier: Apache-2.0 */
/* Names of channels, see channel-name.h. */
#include "sim/record/channel-name.h"

#include <string.h>

#include "stream/format.h"

static guint32 be32(const guint8 *p)
{
    return (guint32)p[0] << 24 | (guint32)p[1] << 16 | (guint32)p[2] << 8 | p[3];
}

static char *numbered(const char *name, guint generation)
{
    return generation ? g_strdup_printf("%s.%u", name, generation + 1) : g_strdup(name);
}

char *mig_channel_name(const guint8 *head, gsize n, gboolean first, guint generation,
                       gboolean ended)
{
    guint32 magic = n >= 4 ? be32(head) : 0;
    if (n < 4 && !ended) {
        return NULL;
    }
    if (magic == MIG_MULTIFD_MAGIC) {
        if (n < MIG_CHANNEL_HEAD && !ended) {
            return NULL;
        }
        g_autofree char *name = n < MIG_CHANNEL_HEAD
                                    ? g_strdup("multifd")
                                    : g_strdup_printf("multifd%u", head[MIG_CHANNEL_HEAD - 1]);
        return numbered(name, generation);
    }
    return numbered(magic == MIG_MAGIC || (first && generation) ? "main" : "preempt", generation);
}

char *mig_channel_return_name(const char *name)
{
    const char *suffix = strchr(name, '.');
    g_autofree char *stem = g_strndup(name, suffix ? (gsize)(suffix - name) : strlen(name));
    if (strcmp(stem, "main") == 0) {
        return g_strconcat("return", suffix, NULL);
    }
    return g_strconcat(stem, "-return", suffix, NULL);
}
