/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd packets, see packet.h. Mirrors multifd_send_zero_page_detect() and
 * multifd_ram_fill_packet() (migration/multifd-zero-page.c, multifd-nocomp.c, 10.0); packets
 * without pages are all zero but for magic, version, flags and number.
 */
#include "sim/world/packet.h"

#include <string.h>

uint32_t mig_packet_sort(const MigPacket *p, MigPacketIsZero is_zero, void *opaque, uint32_t *order)
{
    uint32_t normal = 0, zero = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->look && is_zero(opaque, i)) {
            order[p->count - ++zero] = i; /* from the end, to be turned round */
        } else {
            order[normal++] = i;
        }
    }
    for (uint32_t i = 0; i < zero / 2; i++) {
        uint32_t *a = &order[normal + i], *b = &order[p->count - 1 - i], kept = *a;
        *a = *b;
        *b = kept;
    }
    return normal;
}

MigRecord mig_packet_record(const MigPacket *p, uint64_t number, uint32_t page_size,
                            uint64_t *offsets)
{
    MigRecord r = { .type = MIG_REC_MULTIFD_PACKET };
    r.multifd.magic = MIG_MULTIFD_MAGIC;
    r.multifd.version = MIG_MULTIFD_VERSION;
    r.multifd.pages_alloc = p->allocated;
    r.multifd.packet_num = number;
    r.multifd.page_count = mig_packet_room(page_size);
    r.multifd.offsets = offsets;
    memset(offsets, 0, r.multifd.page_count * sizeof(*offsets));
    return r;
}

void mig_packet_fill(MigRecord *r, const MigPacket *p, const char *name, uint32_t page_size,
                     const uint32_t *order, uint32_t normal, uint64_t *offsets)
{
    r->multifd.flags = p->flags;
    r->multifd.normal_pages = normal;
    r->multifd.zero_pages = p->count - normal;
    strncpy(r->multifd.name, name, sizeof(r->multifd.name) - 1);
    for (uint32_t i = 0; i < p->count; i++) {
        offsets[i] = p->pages[order[i]] * page_size;
    }
}

void mig_packet_payload(MigRecord *r, uint64_t bytes)
{
    r->payload = bytes;
    r->multifd.next_packet_size = (uint32_t)bytes;
}

MigMultifdMethod mig_packet_method(const MigPacket *p)
{
    return p->flags == MIG_MULTIFD_FLAG_ZLIB   ? MIG_MULTIFD_ZLIB
           : p->flags == MIG_MULTIFD_FLAG_ZSTD ? MIG_MULTIFD_ZSTD
                                               : MIG_MULTIFD_NONE;
}
