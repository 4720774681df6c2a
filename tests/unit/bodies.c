/* SPDX-License-Identifier: Apache-2.0 */
/* See bodies.h. */
#include "tests/unit/bodies.h"

#include <string.h>

static guint32 be32(const guint8 *p)
{
    return (guint32)p[0] << 24 | (guint32)p[1] << 16 | (guint32)p[2] << 8 | p[3];
}

const char *mig_test_vmdesc_text(GBytes *stream, gsize *n)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(stream, &size);

    for (gsize at = size < 7 ? 0 : size - 7; at > 0; at--) {
        if (data[at] == 0 && data[at + 1] == 6 && data[at + 6] == '{' &&
            be32(data + at + 2) == size - at - 6) {
            *n = size - at - 6;
            return (const char *)data + at + 6;
        }
    }
    return NULL;
}

/* A section ends here: footer of this id, or (before 2.4) the next section or the end. */
static gboolean ends_at(const guint8 *data, gsize size, gsize at, const guint8 *id)
{
    if (at + 5 <= size && data[at] == 0x7e) {
        return memcmp(data + at + 1, id, 4) == 0;
    }
    return at < size && (data[at] == 0 || data[at] == 4);
}

gsize mig_test_body(GBytes *stream, gsize *from, const MigVmDevice *device)
{
    gsize size, length = strlen(device->name);
    const guint8 *data = g_bytes_get_data(stream, &size);

    for (gsize at = *from; at + 14 + length + device->size <= size; at++) {
        const guint8 *p = data + at;
        gsize body = at + 14 + length;

        if (p[0] == 4 && p[5] == length && memcmp(p + 6, device->name, length) == 0 &&
            be32(p + 6 + length) == device->instance_id &&
            ends_at(data, size, body + device->size, p + 1)) {
            *from = body + device->size;
            return body;
        }
    }
    g_error("no section of %s, instance %u, with a body of %" G_GUINT64_FORMAT " bytes",
            device->name, device->instance_id, device->size);
}
