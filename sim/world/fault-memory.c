/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A destination's memory in postcopy, see fault-memory.h.
 *
 * Model. Userfaultfd is asked for at the beginning, so that a user without the permission learns it
 * before a guest has stopped anywhere (QEMU: postcopy_ram_supported_by_host(), when the capability
 * is set). Blocks are registered by listen, all of them, as in postcopy_ram_incoming_setup().
 *
 * Limits. is_zero, read, map, write and fill must not be asked for a missing page between listen
 * and unlisten: who asks is the one who would have to place it.
 */
#include "sim/world/fault-memory.h"

struct MigFaultMemory {
    MigMemory memory; /* first: it is one */
    MigBuffer *buffer;
    MigFaultsOf of;
    MigFaults *faults; /* NULL: not open */
    bool listening;
    MigFaultPause pause; /* leave NULL: none */
    char *error;
};

static MigMemory *inside(const MigMemory *m)
{
    return mig_buffer_memory(((const MigFaultMemory *)m)->buffer);
}

/* As any buffer ------------------------------------------------------------------------------ */

static uint32_t memory_count(const MigMemory *m)
{
    return inside(m)->ops->count(inside(m));
}

static const MigMemoryBlock *memory_block(const MigMemory *m, uint32_t index)
{
    return inside(m)->ops->block(inside(m), index);
}

static bool memory_is_zero(MigMemory *m, uint32_t block, uint64_t page)
{
    return inside(m)->ops->is_zero(inside(m), block, page);
}

static const uint8_t *memory_read(MigMemory *m, uint32_t block, uint64_t page, uint8_t *scratch)
{
    return inside(m)->ops->read(inside(m), block, page, scratch);
}

static uint8_t *memory_map(MigMemory *m, uint32_t block, uint64_t page)
{
    return inside(m)->ops->map(inside(m), block, page);
}

static void memory_write(MigMemory *m, uint32_t block, uint64_t page, const uint8_t *bytes)
{
    inside(m)->ops->write(inside(m), block, page, bytes);
}

static void memory_fill(MigMemory *m, uint32_t block, uint64_t page, uint8_t byte)
{
    inside(m)->ops->fill(inside(m), block, page, byte);
}

/* Postcopy ----------------------------------------------------------------------------------- */

static void note(MigFaultMemory *m, const GError *error)
{
    if (!m->error) {
        m->error = g_strdup(error->message);
    }
}

static void memory_discard(MigMemory *memory, uint32_t block, uint64_t first, uint64_t count)
{
    MigFaultMemory *m = (MigFaultMemory *)memory;
    int code = mig_buffer_drop(m->buffer, block, first, count);
    if (code != 0 && !m->error) {
        m->error = g_strdup_printf("cannot drop pages of block %s: %s",
                                   memory_block(memory, block)->name, g_strerror(code));
    }
}

static char *memory_listen(MigMemory *memory)
{
    MigFaultMemory *m = (MigFaultMemory *)memory;
    g_autoptr(GError) error = NULL;
    m->faults = m->faults ? m->faults : mig_faults_open(m->of, &error);
    for (uint32_t i = 0; m->faults && !error && i < memory_count(memory); i++) {
        const MigMemoryBlock *b = memory_block(memory, i);
        mig_faults_register(m->faults, mig_buffer_at(m->buffer, i), b->used_length,
                            MAX(b->host_page, memory->page_size), &error);
    }
    m->listening = !error;
    return error ? g_strdup(error->message) : NULL;
}

static MigPlace memory_place(MigMemory *memory, uint32_t block, uint64_t first, uint64_t count,
                             const uint8_t *bytes)
{
    MigFaultMemory *m = (MigFaultMemory *)memory;
    g_autoptr(GError) error = NULL;
    void *at = mig_buffer_at(m->buffer, block) + first * memory->page_size;
    g_assert(count * memory->page_size ==
             MAX(memory_block(memory, block)->host_page, memory->page_size));
    bool left = m->pause.leave && m->pause.leave(m->pause.opaque);
    MigPlace placed = bytes ? mig_faults_copy(m->faults, at, bytes, &error)
                            : mig_faults_zero(m->faults, at, &error);
    if (left) {
        m->pause.enter(m->pause.opaque);
    }
    if (error) {
        note(m, error);
    }
    return placed;
}

static void memory_unlisten(MigMemory *memory)
{
    MigFaultMemory *m = (MigFaultMemory *)memory;
    g_clear_pointer(&m->faults, mig_faults_free);
    m->listening = false;
}

static const MigMemoryOps memory_ops = {
    .count = memory_count,
    .block = memory_block,
    .is_zero = memory_is_zero,
    .read = memory_read,
    .map = memory_map,
    .write = memory_write,
    .fill = memory_fill,
    .discard = memory_discard,
    .listen = memory_listen,
    .place = memory_place,
    .unlisten = memory_unlisten,
};

MigFaultMemory *mig_fault_memory_new(MigBuffer *buffer, MigFaultsOf of, GError **error)
{
    MigFaults *faults = mig_buffer_no_huge_pages(buffer, error) ? mig_faults_open(of, error) : NULL;
    if (!faults) {
        return NULL;
    }
    MigFaultMemory *m = g_new0(MigFaultMemory, 1);
    m->memory =
        (MigMemory){ .ops = &memory_ops, .page_size = mig_buffer_memory(buffer)->page_size };
    m->buffer = buffer;
    m->of = of;
    m->faults = faults;
    return m;
}

void mig_fault_memory_free(MigFaultMemory *m)
{
    if (m) {
        mig_faults_free(m->faults);
        g_free(m->error);
        g_free(m);
    }
}

MigMemory *mig_fault_memory_memory(MigFaultMemory *m)
{
    return &m->memory;
}

void mig_fault_memory_set_pause(MigFaultMemory *m, const MigFaultPause *pause)
{
    m->pause = *pause;
}

MigFaults *mig_fault_memory_faults(MigFaultMemory *m)
{
    return m->listening ? m->faults : NULL;
}

bool mig_fault_memory_find(const MigFaultMemory *m, const void *at, uint32_t *block, uint64_t *page)
{
    for (uint32_t i = 0; i < memory_count(&m->memory); i++) {
        const MigMemoryBlock *b = memory_block(&m->memory, i);
        uintptr_t offset = (uintptr_t)at - (uintptr_t)mig_buffer_at(m->buffer, i);
        if (offset < b->used_length) {
            uint64_t host = MAX(b->host_page, m->memory.page_size);
            *block = i;
            *page = offset / host * host / m->memory.page_size;
            return true;
        }
    }
    return false;
}

const char *mig_fault_memory_error(const MigFaultMemory *m)
{
    return m->error;
}
