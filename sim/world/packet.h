/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a channel's thread makes of the pages that the engine handed over: a multifd packet.
 *
 *     MigPacket (op.h) --is it zero?--> order: normal pages, then zero ones --> record, offsets
 *
 * The same for both worlds; neither reads a page here.
 */
#ifndef MIG_SIM_WORLD_PACKET_H
#define MIG_SIM_WORLD_PACKET_H

#include "sim/engine/op.h"
#include "stream/format.h"
#include "stream/multifd-codec.h"

/* Whether the |i|th page of the packet is zero; asked where the packet says `look`. */
typedef bool (*MigPacketIsZero)(void *opaque, uint32_t i);

/*
 * |order|: p->count indices of p->pages, normal ones first, each kind in the order of the queue.
 * Returns how many are normal.
 */
uint32_t mig_packet_sort(const MigPacket *p, MigPacketIsZero is_zero, void *opaque,
                         uint32_t *order);

/* The header of packet |number|, without pages and flags. |offsets|: room for all that it has, of
 * which none is set; it must last as long as the record. */
MigRecord mig_packet_record(const MigPacket *p, uint64_t number, uint32_t page_size,
                            uint64_t *offsets);

/* Fills in the pages: flags, counts, the block's name and the offsets, which are the record's. */
void mig_packet_fill(MigRecord *r, const MigPacket *p, const char *name, uint32_t page_size,
                     const uint32_t *order, uint32_t normal, uint64_t *offsets);

/* Behind the header come |bytes|. */
void mig_packet_payload(MigRecord *r, uint64_t bytes);

MigMultifdMethod mig_packet_method(const MigPacket *p);

/* Offsets that a packet has. */
static inline uint32_t mig_packet_room(uint32_t page_size)
{
    return MIG_MULTIFD_PACKET_BYTES / page_size;
}

#endif
