/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The iterable `block`: disks travel in chunks of 1 MiB, first all of them (the bulk stage), then
 * those that were written meanwhile. Mirrors init_blk_migration(), block_save_iterate(),
 * blk_mig_save_bulked_block(), mig_save_device_dirty(), block_state_pending() and
 * block_save_complete() (migration/block.c, 5.2 to 9.0).
 *
 *     iterate: send what was read | PROGRESS, choose chunks, read them | send | EOS
 *
 * Chunks are sent as long as the quota isn't exceeded; those left over go first in the next call,
 * and as long as they fill a window no others are read.
 *
 * Limits. Chosen chunks are read in one operation that ends before they are sent; QEMU reads in the
 * background, so that there they often go out in the next call, in the order in which the reads
 * ended. A chunk's contents are those at the time of its sending. A release from 8.0 to 9.0 may
 * begin its completion in the bulk stage and leaves the rest of the disk out; here the completion
 * copies it.
 */
#include <string.h>

#include "sim/engine/source-disks.h"
#include "sim/engine/source-internal.h"

#define VERSION           1u
#define READS_AT_ONCE     16u  /* MAX_PARALLEL_IO */
#define CHUNKS_IN_MEMORY  512u /* MAX_IO_BUFFERS */
#define SECTORS_PER_CHUNK (MIG_BLOCK_CHUNK_BYTES / MIG_DISK_SECTOR)

typedef struct Chunk {
    uint32_t disk;
    uint64_t number;
} Chunk;

typedef struct Device {
    uint32_t disk;
    uint64_t chunks;
    uint64_t bulk, dirty; /* where the stages stand, chunks */
    uint64_t completed;   /* sectors, as PROGRESS counts them */
    bool bulk_done;
} Device;

struct MigBlockCopy {
    bool wanted, incremental;
    bool bulk_done;
    GArray *devices;  /* Device */
    GArray *read;     /* Chunk: not sent so far */
    unsigned chosen;  /* in this call */
    int64_t progress; /* the last one told, -1: none */
    uint8_t *buffer;  /* of the chunk under way */
    MigState sent, next;
};

MigBlockCopy *mig_block_copy_new(void)
{
    MigBlockCopy *b = g_new0(MigBlockCopy, 1);
    b->devices = g_array_new(FALSE, FALSE, sizeof(Device));
    b->read = g_array_new(FALSE, FALSE, sizeof(Chunk));
    b->progress = -1;
    return b;
}

void mig_block_copy_free(MigBlockCopy *b)
{
    if (b) {
        g_array_unref(b->devices);
        g_array_unref(b->read);
        g_free(b->buffer);
        g_free(b);
    }
}

static uint64_t sectors_of(const MigSource *s, const Device *d)
{
    return mig_disk_bytes(s->config.disks, d->disk) / MIG_DISK_SECTOR;
}

static Device *device(const MigSource *s, uint32_t i)
{
    return &g_array_index(s->block_copy->devices, Device, i);
}

static bool exists(const MigEra *era)
{
    return era->block_migration;
}

static void set_params(MigSource *s)
{
    MigBlockCopy *b = s->block_copy;
    b->incremental = s->config.inc || s->parameters.block_incremental;
    b->wanted = s->config.blk || s->config.inc || mig_source_has(s, MIG_CAP_BLOCK);
}

static bool is_active(const MigSource *s)
{
    return s->block_copy->wanted;
}

static void send_word(MigSource *s, uint64_t sector, uint16_t flags)
{
    mig_source_send(s, MIG_REC_BLOCK)->disk = (MigRecordBlock){ .sector = sector, .flags = flags };
}

/* Setup. */

static void setup(MigSource *s, MigState next)
{
    MigBlockCopy *b = s->block_copy;
    b->buffer = g_malloc(MIG_BLOCK_CHUNK_BYTES);
    for (uint32_t i = 0; i < mig_disks_count(s->config.disks); i++) {
        if (!mig_disks_at(s->config.disks, i)->read_only) {
            Device d = { .disk = i, .chunks = mig_disk_chunks(s->config.disks, i) };
            g_array_append_val(b->devices, d);
        }
    }
    if (s->config.disks) {
        mig_disks_track(s->config.disks, true);
    }
    send_word(s, 0, MIG_BLOCK_EOS);
    s->state = next;
}

/* Choosing chunks. */

static void choose(MigSource *s, Device *d, uint64_t chunk)
{
    MigBlockCopy *b = s->block_copy;
    Chunk c = { d->disk, chunk };
    mig_bitmap_clear(mig_disk_dirty(s->config.disks, d->disk), chunk);
    g_array_append_val(b->read, c);
    b->chosen++;
}

/* True: that was the device's last chunk, or there was none. */
static bool choose_bulk(MigSource *s, Device *d)
{
    while (s->block_copy->incremental && d->bulk < d->chunks &&
           !mig_disk_is_allocated(s->config.disks, d->disk, d->bulk)) {
        d->bulk++;
    }
    if (d->bulk >= d->chunks) {
        d->completed = sectors_of(s, d);
        return true;
    }
    d->completed = d->bulk * SECTORS_PER_CHUNK;
    choose(s, d, d->bulk++);
    return d->bulk >= d->chunks;
}

static bool choose_dirty(MigSource *s, Device *d)
{
    uint64_t chunk = mig_bitmap_next(mig_disk_dirty(s->config.disks, d->disk), d->dirty);
    if (chunk < d->chunks) {
        choose(s, d, chunk);
        d->dirty = chunk + 1;
    } else {
        d->dirty = d->chunks;
    }
    return d->dirty >= d->chunks;
}

static void tell_progress(MigSource *s, uint64_t completed)
{
    MigBlockCopy *b = s->block_copy;
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->devices->len; i++) {
        total += sectors_of(s, device(s, i));
    }
    int64_t progress = total ? (int64_t)(completed * 100 / total) : 100;
    if (progress != b->progress) {
        b->progress = progress;
        send_word(s, (uint64_t)progress, MIG_BLOCK_PROGRESS);
    }
}

/* One step of the bulk stage; false: it is over on all devices. */
static bool step_bulk(MigSource *s)
{
    uint64_t completed = 0;
    bool worked = false;
    for (uint32_t i = 0; i < s->block_copy->devices->len && !worked; i++) {
        Device *d = device(s, i);
        worked = !d->bulk_done;
        if (worked) {
            d->bulk_done = choose_bulk(s, d);
        }
        completed += d->completed;
    }
    tell_progress(s, completed);
    return worked;
}

/* One step of the dirty stage; false: every device's cursor is at its end. */
static bool step_dirty(MigSource *s)
{
    for (uint32_t i = 0; i < s->block_copy->devices->len; i++) {
        if (!choose_dirty(s, device(s, i))) {
            return true;
        }
    }
    return false;
}

static bool step(MigSource *s)
{
    MigBlockCopy *b = s->block_copy;
    if (b->bulk_done) {
        return step_dirty(s);
    }
    b->bulk_done = !step_bulk(s);
    return true;
}

static void begin_choosing(MigSource *s)
{
    if (s->config.disks) {
        mig_disks_look(s->config.disks);
    }
    s->block_copy->chosen = 0;
}

static void reset_cursors(MigSource *s)
{
    for (uint32_t i = 0; i < s->block_copy->devices->len; i++) {
        device(s, i)->dirty = 0;
    }
}

/* Sending. */

static void send_chunk(MigSource *s, const Chunk *c)
{
    MigBlockCopy *b = s->block_copy;
    bool zero = mig_disk_read(s->config.disks, c->disk, c->number, b->buffer);
    bool bare = zero && mig_source_has(s, MIG_CAP_ZERO_BLOCKS);
    MigRecord *r =
        bare ? mig_source_send(s, MIG_REC_BLOCK)
             : mig_source_send_payload(s, MIG_REC_BLOCK, b->buffer, MIG_BLOCK_CHUNK_BYTES);
    r->disk.sector = c->number * SECTORS_PER_CHUNK;
    r->disk.flags = (uint16_t)(MIG_BLOCK_DEVICE | (bare ? MIG_BLOCK_ZERO : 0));
    r->disk.device = mig_str(mig_disks_at(s->config.disks, c->disk)->name);
    if (bare) {
        mig_source_op(s, MIG_OP_FLUSH); /* the disk may be slower than the link */
    }
}

static void state_send(MigSource *s)
{
    MigBlockCopy *b = s->block_copy;
    if (b->read->len == 0 || mig_source_quota_exceeded(s)) {
        s->state = b->sent;
        return;
    }
    Chunk c = g_array_index(b->read, Chunk, 0);
    g_array_remove_index(b->read, 0);
    send_chunk(s, &c);
}

static void send_read(MigSource *s, MigState next)
{
    s->block_copy->sent = next;
    s->state = state_send;
}

static void read_chosen(MigSource *s, MigState next)
{
    if (s->block_copy->chosen) {
        mig_source_op(s, MIG_OP_DISK_READ)->chunks = s->block_copy->chosen;
    }
    send_read(s, next);
}

/* Iterate. */

/* More can be read: what waits doesn't fill a window, and neither limit is met. */
static bool has_room(const MigSource *s)
{
    const MigBlockCopy *b = s->block_copy;
    uint64_t window = mig_source_quota(s);
    uint64_t waiting = b->read->len - b->chosen;
    return (!window || waiting * MIG_BLOCK_CHUNK_BYTES < window) && b->chosen < READS_AT_ONCE &&
           b->read->len < CHUNKS_IN_MEMORY;
}

static void state_iterated(MigSource *s)
{
    send_word(s, 0, MIG_BLOCK_EOS);
    mig_source_iterated(s, true); /* it has written something, if only this */
    s->state = s->block_copy->next;
}

static void state_choose(MigSource *s)
{
    reset_cursors(s);
    begin_choosing(s);
    while (has_room(s) && step(s)) {
    }
    read_chosen(s, state_iterated);
}

static void iterate(MigSource *s, MigState next)
{
    s->block_copy->next = next;
    send_read(s, state_choose);
}

/* Complete: the guest stands still. */

static void state_complete(MigSource *s)
{
    MigBlockCopy *b = s->block_copy;
    begin_choosing(s);
    bool more = true;
    while (b->chosen < READS_AT_ONCE && (more = step(s))) {
    }
    if (b->chosen) {
        read_chosen(s, state_complete);
        return;
    }
    send_word(s, 100, MIG_BLOCK_PROGRESS);
    send_word(s, 0, MIG_BLOCK_EOS);
    s->state = b->next;
}

static void complete(MigSource *s, MigState next)
{
    s->block_copy->next = next;
    reset_cursors(s);
    send_read(s, state_complete);
}

/* Pending. */

static void pending(const MigSource *s, MigPending *p)
{
    const MigBlockCopy *b = s->block_copy;
    const MigEra *era = mig_source_era(s);
    uint64_t bytes = b->read->len * (uint64_t)MIG_BLOCK_CHUNK_BYTES;
    if (s->config.disks) {
        mig_disks_look(s->config.disks);
    }
    for (uint32_t i = 0; i < b->devices->len; i++) {
        bytes += mig_disk_dirty(s->config.disks, device(s, i)->disk)->set * MIG_BLOCK_CHUNK_BYTES;
    }
    /* The bulk stage is never below the threshold (2.5 to 7.2), or never nothing. */
    bool above = era->decide == MIG_DECIDE_PENDING && era->loop == MIG_LOOP_THREAD;
    if (!b->bulk_done && above && bytes <= s->threshold) {
        bytes = s->threshold + MIG_BLOCK_CHUNK_BYTES;
    } else if (!b->bulk_done && bytes == 0) {
        bytes = MIG_BLOCK_CHUNK_BYTES;
    }
    p->precopy_only += bytes;
}

static void cleanup(MigSource *s)
{
    if (s->config.disks) {
        mig_disks_track(s->config.disks, false);
    }
    g_array_set_size(s->block_copy->devices, 0);
    g_array_set_size(s->block_copy->read, 0);
}

const MigIterable mig_iterable_block = {
    .idstr = "block",
    .version = VERSION,
    .exists = exists,
    .set_params = set_params,
    .is_active = is_active,
    .setup = setup,
    .pending_estimate = pending,
    .iterate = iterate,
    .complete_precopy = complete,
    .cleanup = cleanup,
};

/* What others ask. */

bool mig_source_block_in_bulk(const MigSource *s)
{
    const MigBlockCopy *b = s->block_copy;
    return b->devices->len > 0 && !b->bulk_done;
}

void mig_source_copies(const MigSource *s, bool *contents, bool *bitmaps)
{
    *contents = exists(mig_source_era(s)) && is_active(s);
    *bitmaps = mig_source_era(s)->dirty_bitmaps && mig_source_has(s, MIG_CAP_DIRTY_BITMAPS);
}

bool mig_source_disk_stats(const MigSource *s, MigDiskStats *disk)
{
    const MigBlockCopy *b = s->block_copy;
    uint64_t completed = 0, total = 0;
    for (uint32_t i = 0; i < b->devices->len; i++) {
        completed += device(s, i)->completed;
        total += sectors_of(s, device(s, i));
    }
    *disk = (MigDiskStats){
        .transferred = completed * MIG_DISK_SECTOR,
        .remaining = (total - completed) * MIG_DISK_SECTOR,
        .total = total * MIG_DISK_SECTOR,
    };
    return b->devices->len > 0;
}
