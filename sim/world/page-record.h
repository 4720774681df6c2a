/* SPDX-License-Identifier: Apache-2.0 */
/* The record of a page of guest memory, as all worlds send it. */
#ifndef MIG_SIM_WORLD_PAGE_RECORD_H
#define MIG_SIM_WORLD_PAGE_RECORD_H

#include "sim/engine/memory.h"
#include "stream/record.h"

/* |named|: with the block's name, which |m| owns; else the block of the record before. */
static inline MigRecord mig_page_record(const MigMemory *m, uint32_t block, uint64_t page,
                                        bool named, bool zero)
{
    MigRecord record = { .type = zero ? MIG_REC_RAM_ZERO : MIG_REC_RAM_PAGE };
    record.ram.offset = page * m->page_size;
    record.ram.cont = !named;
    record.ram.block = block;
    record.ram.name = named ? mig_str(m->ops->block(m, block)->name) : (MigStr){ 0 };
    record.payload = zero ? 0 : m->page_size;
    return record;
}

#endif
