/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA as a link model: pages are written into the destination's memory past the stream. Mirrors
 * qemu_rdma_write(), qemu_rdma_write_one() and the control channel (migration/rdma.c, 7.2 and
 * 10.0).
 *
 *     pages that follow each other in a chunk --merge--> one write
 *     first write to a chunk: all zero -> COMPRESS | REGISTER REQUEST, RESULT, then the write
 *     end of a section: all writes done, REGISTER FINISHED
 *
 * Model. A chunk (1 MiB, or x-rdma-chunk-size) is registered at both ends before its first write,
 * one after the other, with a round trip between; rdma-pin-all registers all memory in the setup
 * and skips that. A write costs the sender `rdma_write` and the wire its bytes; the receiver does
 * nothing. The link's send buffer is what may be under way. Control messages are 16 bytes and their
 * payload.
 *
 * Limits. There was no peer to prove it on: costs are guesses, and unregistering, the credits of
 * the control channel, inline data and loss are not modelled.
 */
#include <string.h>

#include "sim/world/virtual-internal.h"

#define HEADER      16u /* be32 length, type, repeat, padding */
#define BLOCK_BYTES 40u /* of the RAM blocks result, each */
#define REGISTER    24u /* a request to register a chunk */
#define REGISTERED  16u /* its result */
#define COMPRESS    24u
#define MERGE_MAX   (2u << 20) /* RDMA_MERGE_MAX */
#define MIB         (1u << 20)

struct MigVirtualRdma {
    MigBitmap **registered; /* by block: chunks */
    uint64_t chunk;         /* bytes */
    bool pinned;
    uint32_t block;        /* of the write that may still grow */
    uint64_t first, count; /* pages; 0: there is none */
    int64_t done;          /* ns, when the last write is known to be done */
    MigRdmaCounts counts;
};

static uint64_t chunks_of(const MigVirtual *v, uint32_t block)
{
    const MigMemory *m = v->config.memory;
    uint64_t chunk = v->config.rdma.chunk;
    return (m->ops->block(m, block)->used_length + chunk - 1) / chunk;
}

void mig_virtual_rdma_init(MigVirtual *v)
{
    const MigMemory *m = v->config.memory;
    if (v->config.rdma.chunk == 0) {
        return;
    }
    MigVirtualRdma *r = v->rdma = g_new0(MigVirtualRdma, 1);
    r->chunk = v->config.rdma.chunk;
    r->registered = g_new0(MigBitmap *, m->ops->count(m));
    for (uint32_t i = 0; i < m->ops->count(m); i++) {
        r->registered[i] = mig_bitmap_new(chunks_of(v, i));
    }
}

void mig_virtual_rdma_free(MigVirtual *v)
{
    const MigMemory *m = v->config.memory;
    for (uint32_t i = 0; v->rdma && i < m->ops->count(m); i++) {
        mig_bitmap_free(v->rdma->registered[i]);
    }
    if (v->rdma) {
        g_free(v->rdma->registered);
        g_clear_pointer(&v->rdma, g_free);
    }
}

/* Time, and the wire. */

static void spend(MigVirtual *v, int64_t ns)
{
    mig_virtual_advance(v, v->config.clock->now + ns, MIG_BY_CUT);
}

/* |n| bytes onto the wire; the sender goes on when they are under way. */
static void put(MigVirtual *v, uint64_t n)
{
    if (v->cut) {
        return;
    }
    MigLinkWrite w = mig_link_write(&v->link, v->config.clock->now, n, 0);
    v->rdma->done = w.arrived + v->config.link.latency;
    v->outbuf.queued += n;
    v->outbuf.flushed += n;
    mig_virtual_advance(v, w.accepted, MIG_BY_CUT);
}

static void control(MigVirtual *v, uint64_t payload)
{
    v->rdma->counts.controls++;
    put(v, HEADER + payload);
}

/* A control message that is answered with |answer| bytes behind |work| ns. */
static void ask(MigVirtual *v, uint64_t payload, uint64_t answer, int64_t work)
{
    control(v, payload);
    spend(v, v->rdma->done - v->config.clock->now + work +
                 mig_virtual_answer_span(v, v->rdma->done + work, HEADER + answer));
}

/* Writes. */

static void land(MigVirtual *v, uint64_t page, bool zero)
{
    MigMemory *m = v->config.memory;
    const MigSink *sink = &v->config.sink;
    if (sink->remote && !v->cut) {
        sink->remote(sink->opaque, v->rdma->block, page,
                     zero ? NULL : m->ops->read(m, v->rdma->block, page, v->scratch));
    }
}

static bool all_zero(const MigVirtual *v)
{
    MigMemory *m = v->config.memory;
    const MigVirtualRdma *r = v->rdma;
    for (uint64_t i = 0; i < r->count; i++) {
        if (!m->ops->is_zero(m, r->block, r->first + i)) {
            return false;
        }
    }
    return true;
}

static void land_all(MigVirtual *v, bool zero)
{
    MigVirtualRdma *r = v->rdma;
    for (uint64_t i = 0; i < r->count; i++) {
        land(v, r->first + i, zero);
    }
    *(zero ? &v->looked_zero : &v->looked_normal) += r->count;
    r->count = 0;
}

/* True: the pages are in a chunk that can be written to. */
static bool make_registered(MigVirtual *v)
{
    MigVirtualRdma *r = v->rdma;
    const MigCosts *c = &v->config.costs, *rc = &v->config.receiver;
    uint64_t chunk = r->first * v->config.memory->page_size / r->chunk;
    if (r->pinned || mig_bitmap_test(r->registered[r->block], chunk)) {
        return true;
    }
    bool zero = all_zero(v);
    mig_virtual_spend_ps(v, c->zero_page * (int64_t)(zero ? r->count : 1));
    if (zero) {
        r->counts.fills++;
        control(v, COMPRESS);
        return false;
    }
    mig_bitmap_set(r->registered[r->block], chunk);
    r->counts.registrations++;
    spend(v, (int64_t)((__uint128_t)c->rdma_register * r->chunk / MIB));
    ask(v, REGISTER, REGISTERED, (int64_t)((__uint128_t)rc->rdma_register * r->chunk / MIB));
    return true;
}

static void post(MigVirtual *v)
{
    MigVirtualRdma *r = v->rdma;
    if (r->count == 0) {
        return;
    }
    bool written = make_registered(v);
    if (written) {
        r->counts.writes++;
        spend(v, v->config.costs.rdma_write);
        put(v, r->count * v->config.memory->page_size);
    }
    land_all(v, !written);
}

static bool merges(const MigVirtual *v, uint32_t block, uint64_t page)
{
    const MigVirtualRdma *r = v->rdma;
    uint64_t size = v->config.memory->page_size;
    return r->count > 0 && r->block == block && r->first + r->count == page &&
           r->first * size / r->chunk == page * size / r->chunk && r->count * size < MERGE_MAX;
}

void mig_virtual_rdma_page(MigVirtual *v, uint32_t block, uint64_t page)
{
    MigVirtualRdma *r = v->rdma;
    mig_virtual_spend_ps(v, v->config.costs.rdma_page);
    if (merges(v, block, page)) {
        r->count++;
        return;
    }
    post(v);
    r->block = block;
    r->first = page;
    r->count = 1;
}

/* Sync points. */

/* What the setup does: the destination's blocks, and with rdma-pin-all all of its memory. */
static void exchange_blocks(MigVirtual *v)
{
    MigVirtualRdma *r = v->rdma;
    const MigMemory *m = v->config.memory;
    __uint128_t mib = (v->ram_bytes + MIB - 1) / MIB;
    r->pinned = v->config.rdma.pin_all;
    ask(v, 0, (uint64_t)BLOCK_BYTES * m->ops->count(m),
        r->pinned ? (int64_t)(mib * v->config.receiver.rdma_register) : 0);
    spend(v, r->pinned ? (int64_t)(mib * v->config.costs.rdma_register) : 0);
}

void mig_virtual_rdma_sync(MigVirtual *v, MigRamPhase phase)
{
    post(v);
    spend(v, MAX(v->rdma->done - v->config.clock->now, 0));
    if (phase == MIG_RAM_SETUP) {
        exchange_blocks(v);
    }
    control(v, 0);
}

MigRdmaCounts mig_virtual_rdma_counts(const MigVirtual *v)
{
    return v->rdma ? v->rdma->counts : (MigRdmaCounts){ 0 };
}
