/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The iterable `dirty-bitmap`: named dirty bitmaps of disks. They are announced in the setup; their
 * bits go when the guest stands still, or in the postcopy phase. Mirrors
 * init_dirty_bitmap_migration(), send_bitmap_bits(), bulk_phase() and dirty_bitmap_save_complete()
 * (migration/block-dirty-bitmap.c, 5.2 to 11.1).
 *
 *     START: [node] [bitmap] START granularity flags, ..., EOS
 *     END:   [node] [bitmap] BITS (ZEROES | bytes), ..., COMPLETE of each, EOS
 *
 * Limit: the bits that a guest's writes turn on while the bitmap travels in the postcopy phase are
 * the destination's matter, and are not simulated.
 */
#include <string.h>

#include "sim/engine/source-disks.h"
#include "sim/engine/source-internal.h"

#define VERSION     1u
#define CHUNK_BYTES 1024u /* of bits in one record */
#define ROUND       32u   /* four longs of a 64-bit host */

#define FLAG_ENABLED    1u
#define FLAG_PERSISTENT 2u

typedef struct Item {
    const MigDiskBitmap *bitmap;
    MigStr node, name;      /* on the wire */
    uint64_t sent, sectors; /* of the disk */
} Item;

struct MigBitmapCopy {
    GArray *items; /* Item */
    uint32_t at;   /* whose bits are under way */
    bool set_up;
    bool bulk_done;
    bool limited; /* the quota counts */
    MigStr node;  /* the names that stand on the wire so far */
    const MigDiskBitmap *named;
    uint8_t bits[CHUNK_BYTES];
    MigState sent, next;
};

MigBitmapCopy *mig_bitmap_copy_new(void)
{
    MigBitmapCopy *b = g_new0(MigBitmapCopy, 1);
    b->items = g_array_new(FALSE, FALSE, sizeof(Item));
    return b;
}

void mig_bitmap_copy_free(MigBitmapCopy *b)
{
    if (b) {
        g_array_unref(b->items);
        g_free(b);
    }
}

static Item *item(const MigSource *s, uint32_t i)
{
    return &g_array_index(s->bitmap_copy->items, Item, i);
}

static bool exists(const MigEra *era)
{
    return era->dirty_bitmaps;
}

/* Without bitmaps it says so in the setup and is silent from then on. */
static bool is_active(const MigSource *s)
{
    const MigBitmapCopy *b = s->bitmap_copy;
    return mig_source_has(s, MIG_CAP_DIRTY_BITMAPS) && (!b->set_up || b->items->len > 0);
}

static bool is_active_iterate(const MigSource *s)
{
    return s->guest_stopped || !s->config.guest_running;
}

static bool has_postcopy(const MigSource *s)
{
    (void)s;
    return true;
}

/* Names are sent when they change; another node names its bitmap, too. */
static MigRecord *send_named(MigSource *s, const Item *item, unsigned flags)
{
    MigBitmapCopy *b = s->bitmap_copy;
    MigRecord *r = mig_source_send(s, MIG_REC_DIRTY_BITMAP);
    if (!b->named || !mig_str_equal(b->node, item->node)) {
        flags |= MIG_BITMAP_DEVICE_NAME;
        r->bitmap.node = b->node = item->node;
        b->named = NULL;
    }
    if (b->named != item->bitmap) {
        flags |= MIG_BITMAP_NAME;
        r->bitmap.bitmap = item->name;
        b->named = item->bitmap;
    }
    r->bitmap.flags = (uint8_t)flags;
    return r;
}

static void send_end(MigSource *s)
{
    mig_source_send(s, MIG_REC_DIRTY_BITMAP)->bitmap.flags = MIG_BITMAP_EOS;
}

/* Setup. */

static void collect(MigSource *s, uint32_t disk)
{
    MigDisks *disks = s->config.disks;
    for (uint32_t i = 0; i < mig_disks_bitmap_count(disks); i++) {
        const MigDiskBitmap *bitmap = mig_disks_bitmap(disks, i);
        Item fresh = { .bitmap = bitmap,
                       .sectors = mig_disk_bytes(disks, bitmap->disk) / MIG_DISK_SECTOR };
        if (bitmap->disk == disk && mig_disks_wire_names(disks, bitmap, &fresh.node, &fresh.name)) {
            g_array_append_val(s->bitmap_copy->items, fresh);
        }
    }
}

static void setup(MigSource *s, MigState next)
{
    for (uint32_t i = 0; i < mig_disks_count(s->config.disks); i++) {
        collect(s, i);
    }
    for (uint32_t i = 0; i < s->bitmap_copy->items->len; i++) {
        const MigDiskBitmap *bitmap = item(s, i)->bitmap;
        MigRecord *r = send_named(s, item(s, i), MIG_BITMAP_START);
        r->bitmap.granularity = bitmap->granularity;
        r->bitmap.bitmap_flags = (uint8_t)((bitmap->enabled ? FLAG_ENABLED : 0) |
                                           (bitmap->persistent ? FLAG_PERSISTENT : 0));
    }
    send_end(s);
    s->bitmap_copy->set_up = true;
    s->state = next;
}

/* Bits. */

static uint64_t bits_of(const Item *item, uint64_t sectors)
{
    uint64_t bytes = sectors * MIG_DISK_SECTOR;
    return (bytes + item->bitmap->granularity - 1) / item->bitmap->granularity;
}

static void send_chunk(MigSource *s, Item *item)
{
    MigBitmapCopy *b = s->bitmap_copy;
    uint64_t most = (uint64_t)CHUNK_BYTES * 8 * item->bitmap->granularity / MIG_DISK_SECTOR;
    uint64_t sectors = MIN(item->sectors - item->sent, most);
    uint64_t bits = bits_of(item, sectors);
    uint64_t size = ((bits + 7) / 8 + ROUND - 1) / ROUND * ROUND;
    memset(b->bits, 0, sizeof(b->bits));
    bool any = mig_disk_bitmap_read(
        item->bitmap, item->sent * MIG_DISK_SECTOR / item->bitmap->granularity, bits, b->bits);
    MigRecord *r = send_named(s, item, MIG_BITMAP_BITS | (any ? 0 : MIG_BITMAP_ZEROES));
    r->bitmap.first_sector = item->sent;
    r->bitmap.sectors = (uint32_t)sectors;
    item->sent += sectors;
    if (any) {
        r->bitmap.size = r->payload = size;
        s->queue[s->queue_count - 1].op.send.payload = b->bits;
    } else {
        mig_source_op(s, MIG_OP_FLUSH); /* the disk may be slower than the link */
    }
}

static void state_bits(MigSource *s)
{
    MigBitmapCopy *b = s->bitmap_copy;
    while (b->at < b->items->len && item(s, b->at)->sent >= item(s, b->at)->sectors) {
        b->at++;
    }
    b->bulk_done = b->at == b->items->len;
    if (b->bulk_done || (b->limited && mig_source_quota_exceeded(s))) {
        s->state = b->sent;
    } else {
        send_chunk(s, item(s, b->at));
    }
}

static void send_bits(MigSource *s, bool limited, MigState next)
{
    if (s->config.disks) {
        mig_disks_look(s->config.disks);
    }
    s->bitmap_copy->limited = limited;
    s->bitmap_copy->sent = next;
    s->state = state_bits;
}

static void state_iterated(MigSource *s)
{
    send_end(s);
    mig_source_iterated(s, s->bitmap_copy->bulk_done);
    s->state = s->bitmap_copy->next;
}

static void iterate(MigSource *s, MigState next)
{
    s->bitmap_copy->next = next;
    if (s->walk.postcopy) {
        send_bits(s, true, state_iterated);
    } else {
        s->state = state_iterated;
    }
}

static void state_completed(MigSource *s)
{
    MigBitmapCopy *b = s->bitmap_copy;
    for (uint32_t i = 0; i < b->items->len; i++) {
        send_named(s, item(s, i), MIG_BITMAP_COMPLETE);
    }
    send_end(s);
    s->state = b->next;
}

static void complete(MigSource *s, MigState next)
{
    s->bitmap_copy->next = next;
    send_bits(s, false, state_completed);
}

/* Bits count as bytes, as in dirty_bitmap_state_pending(). */
static void pending(const MigSource *s, MigPending *p)
{
    for (uint32_t i = 0; i < s->bitmap_copy->items->len; i++) {
        const Item *it = item(s, i);
        p->postcopy_only += bits_of(it, it->sectors - it->sent);
    }
}

const MigIterable mig_iterable_dirty_bitmap = {
    .idstr = "dirty-bitmap",
    .version = VERSION,
    .exists = exists,
    .is_active = is_active,
    .is_active_iterate = is_active_iterate,
    .has_postcopy = has_postcopy,
    .setup = setup,
    .pending_estimate = pending,
    .iterate = iterate,
    .complete_precopy = complete,
    .complete_postcopy = complete,
};
