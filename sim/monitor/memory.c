/* SPDX-License-Identifier: Apache-2.0 */
/* pmemsave: guest memory into a file. */
#include "sim/monitor/monitor-internal.h"
#include "sim/world/output.h"

bool mig_monitor_save_memory(MigMemory *m, uint64_t address, uint64_t size, const char *path,
                             GError **error)
{
    const MigMemoryBlock *block = m->ops->count(m) ? m->ops->block(m, 0) : NULL;
    if (!block || address > block->used_length || size > block->used_length - address) {
        mig_monitor_fail(error,
                         "there is no memory at that address; block \"%s\" has %" G_GUINT64_FORMAT
                         " bytes from address 0",
                         block ? block->name : "-", block ? block->used_length : 0);
        return false;
    }
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree uint8_t *scratch = g_malloc(m->page_size);
    for (uint64_t at = address; at < address + size;) {
        uint64_t offset = at % m->page_size, n = MIN(m->page_size - offset, address + size - at);
        const uint8_t *page = m->ops->read(m, 0, at / m->page_size, scratch);
        g_byte_array_append(bytes, page + offset, (guint)n);
        at += n;
    }
    return mig_output_save(path, (const char *)bytes->data, bytes->len, error);
}
