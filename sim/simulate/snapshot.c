/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of memory, see snapshot.h. Pages of zeros are left untouched. */
#include "sim/simulate/snapshot.h"

static void copy_block(MigBuffer *copy, MigMemory *m, uint32_t block, uint8_t *scratch)
{
    MigMemory *to = mig_buffer_memory(copy);
    uint64_t pages = m->ops->block(m, block)->used_length / m->page_size;
    for (uint64_t page = 0; page < pages; page++) {
        if (!m->ops->is_zero(m, block, page)) {
            to->ops->write(to, block, page, m->ops->read(m, block, page, scratch));
        }
    }
}

MigBuffer *mig_snapshot_take(MigMemory *m, GError **error)
{
    g_autofree uint8_t *scratch = g_malloc(m->page_size);
    MigBuffer *copy = mig_buffer_new(m, NULL, error);
    for (uint32_t i = 0; copy && i < m->ops->count(m); i++) {
        copy_block(copy, m, i, scratch);
    }
    return copy;
}
