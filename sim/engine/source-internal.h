/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the source: a state is a function that looks at the last outcome, queues operations and
 * says which state is next. The driver hands the queue out one by one; a state runs again only when
 * its queue is used up, so an operation whose outcome matters is the last that its state queues.
 */
#ifndef MIG_SIM_ENGINE_SOURCE_INTERNAL_H
#define MIG_SIM_ENGINE_SOURCE_INTERNAL_H

#include <glib.h>

#include "sim/engine/iterables.h"
#include "sim/engine/notifiers.h"
#include "sim/engine/source-disks.h"
#include "sim/engine/source-transport.h"
#include "sim/engine/source.h"
#include "sim/engine/states.h"
#include "stream/xbzrle-cache.h"

#define MIG_WINDOW_MS      100  /* a window of the rate limit */
#define MIG_ITERATE_MAX_MS 50   /* of one call of RAM's iterate */
#define MIG_RATE_PERIOD_MS 1000 /* of the dirty rate */

typedef struct MigQueued {
    MigOp op;
    MigRecord record; /* of a SEND or SEND_PAGE */
} MigQueued;

typedef struct MigSourceBlock {
    const MigMemoryBlock *info;
    uint64_t pages;
    MigBitmap *dirty;
    MigBitmap *uncleared;  /* chunks of the log that wait for their first page; NULL: none */
    bool skipped;          /* x-ignore-shared */
    bool absent;           /* not there (yet, or any more) */
    bool leaving, resized; /* to be noticed */
    MigBitmap *left_out;   /* hinted free, and not sent since; NULL: no hints */
    uint64_t address;      /* of its first byte in the list of all blocks */
    MigMappedBlock mapped;
} MigSourceBlock;

struct MigSource {
    MigSourceConfig config;
    MigParameters parameters;
    char *machine;

    /* The driver. */
    MigState state;
    MigQueued *queue;
    size_t queue_head, queue_count, queue_cap;
    MigQueued current;
    MigOutcome outcome; /* of the last operation */
    MigWalk walk;       /* over the iterables */
    MigStatusName status;
    bool continued;      /* migrate-continue came */
    uint32_t acks;       /* SWITCHOVER_ACK that have come */
    unsigned fail_steps; /* bits of MigStep */
    char *error;
    bool ending;   /* failure, cancel or completion is under way: channel errors are old news */
    bool finished; /* DONE was said */

    MigBlockCopy *block_copy;
    MigBitmapCopy *bitmap_copy;

    /* RAM. */
    MigSourceBlock *blocks;
    uint32_t block_count;
    uint64_t ram_total;   /* bytes */
    uint64_t dirty_pages; /* in all bitmaps */
    uint32_t position_block;
    uint64_t position_page;
    uint32_t last_sent; /* block of the last page sent, UINT32_MAX: none */
    uint64_t index;     /* i of the iterate call */
    int64_t call_began; /* ns */
    bool final;         /* the END section */
    bool vain_round;    /* a search in vain has told of the end of its round */
    uint64_t run_sent, run_zero, run_packed, run_bytes; /* of the last run */
    bool round_done; /* the search has been once round all blocks */
    MigState after_ram, after_sync, after_final;
    bool sync_counts, sync_event;
    uint32_t clear_block;
    uint64_t clear_chunk;

    /* The loop. */
    int64_t window_ms; /* start of the window, ms */
    bool woke_guest;
    int64_t turn_ms;       /* 1.4: the time at the head of the turn */
    uint64_t window_bytes; /* transferred at its start */
    uint64_t window_pages;
    uint64_t quota_base;      /* the counter at the last reset */
    bool unlimited;           /* completion */
    uint64_t threshold;       /* bytes */
    double bandwidth;         /* B/ms, of the last window */
    uint64_t exact_remaining; /* bytes, of the last exact query */

    /* Totals. */
    uint64_t queued, flushed;
    uint64_t ram_bytes; /* what RAM made: records, pages, end marks of PARTs */
    MigRamStats ram;
    int64_t start_ms, setup_ms, setup_time, total_time, downtime, expected_downtime;
    int64_t last_rate_ms; /* 0: no sync so far */
    uint64_t new_dirty;   /* bits since last_rate_ms */
    uint64_t last_sync_bytes;
    uint64_t period_bytes; /* transferred at last_rate_ms */
    uint64_t period_pages;
    int64_t forced_sync_ms;     /* when the timer looks again; 0: there is none */
    uint64_t forced_sync_count; /* dirty-sync-count when it looked last */
    unsigned strikes, throttle; /* percent */
    MigDirtyLimit *limit;       /* NULL: without */
    char *abort;                /* why it fails behind the operation under way; or NULL */
    bool has_reason;            /* error says why it was cancelled */
    bool blocks_changed;        /* since the last call of RAM's iterate */
    GArray *hints;              /* that wait for the end of a call; NULL: without */
    bool hinting;               /* they are welcome */
    bool in_call;               /* of RAM's iterate: it holds the lock of the bitmap */
    uint64_t hinted;            /* pages */

    /* Multifd; packet NULL: off. */
    uint64_t *packet; /* pages that wait for the packet to be full, one block's */
    uint32_t packet_count, packet_block, packet_room;
    uint64_t multifd_bytes;  /* written */
    uint64_t multifd_queued; /* handed over, as they were before compression */
    uint32_t channel;        /* the next to be opened */
    MigState after_flush, after_channels;

    /* mapped-ram. */
    uint64_t placed;       /* bytes */
    uint64_t file_skipped; /* between the stream's bytes in the file */
    uint32_t mapped_block; /* whose turn it is */
    MigState after_mapped;

    /* Background snapshot. */
    bool snapshot_protected;
    int64_t snapshot_downtime; /* ms */

    /* Compress threads; threads 0: off. */
    MigCompress compress;
    MigCompressionStats compression, compression_then; /* the latter at last_rate_ms */
    MigState after_compress;

    /* XBZRLE; cache NULL: off. */
    MigXbzrleCache *cache;
    uint8_t *page, *delta;              /* scratch, a page each */
    MigXbzrleStats xbzrle, xbzrle_then; /* the latter at last_rate_ms */
    bool guest_stopped;
    MigDowntime times;
    const MigDevices *devices;

    GArray *passes; /* MigPass */

    struct MigSourcePostcopy *postcopy; /* source-postcopy-internal.h */
};

static inline const MigEra *mig_source_era(const MigSource *s)
{
    return &s->config.era;
}

static inline int64_t mig_source_ms(const MigSource *s)
{
    return s->outcome.now / 1000000;
}

static inline bool mig_source_has(const MigSource *s, MigCapability cap)
{
    return s->config.capabilities & MIG_CAP_BIT(cap);
}

static inline uint64_t mig_source_page(const MigSource *s)
{
    return s->config.memory->page_size;
}

/* A page went out: totals, position, and what is next. |zero|, |sent|: bits of the run. */
void mig_source_page_sent(MigSource *s, uint64_t sent, uint64_t zero, uint64_t other);
/* The page at the position is neither zero nor sent: it did not change. */
void mig_source_page_skipped(MigSource *s);

/* Multifd. */
void mig_source_multifd_init(MigSource *s);
bool mig_source_multifd_per_section(const MigSource *s); /* every section end is a sync point */
bool mig_source_multifd_per_round(const MigSource *s);   /* rounds are */
MigPagesHow mig_source_pages_how(const MigSource *s);
void mig_source_multifd_connect(MigSource *s, MigState next);
/* Packs the pages of |sent| that are to travel in packets. True: one is full and must be sent. */
bool mig_source_multifd_queue(MigSource *s, uint64_t sent, uint64_t zero);
/* A page of this block can't be queued before the packet is sent. */
bool mig_source_multifd_must_send(const MigSource *s, uint32_t block);
void mig_source_multifd_send(MigSource *s, MigState next);
/* What waits, a SYNC on every channel, the mark on the main one (where the era has it). */
void mig_source_multifd_sync(MigSource *s, MigState next);

/* mapped-ram. */
bool mig_source_is_mapped(const MigSource *s);
void mig_source_mapped_free(MigSource *s);
void mig_source_mapped_list(MigSource *s, MigState next); /* of blocks; finds their places */
void mig_source_mapped_run(MigSource *s, MigOp *op);
void mig_source_mapped_sent(MigSource *s, uint64_t sent, uint64_t zero); /* a run */
void mig_source_mapped_bitmaps(MigSource *s, MigState next);

/* Background snapshot. */
bool mig_source_is_snapshot(const MigSource *s);
void mig_source_state_snapshot(MigSource *s); /* active, and nothing saved */
void mig_source_snapshot_jump(MigSource *s);  /* to a page that a vCPU waits for */
bool mig_source_snapshot_holds(const MigSource *s, uint32_t block); /* writes to it wait */
void mig_source_snapshot_sent(MigSource *s, MigState next);         /* one page of such a block */
void mig_source_snapshot_cleanup(MigSource *s);

/* Compress threads. */
void mig_source_compress_init(MigSource *s);
bool mig_source_compresses(const MigSource *s); /* now: not when XBZRLE has taken over */
/* A run (|op|, filled in) may be one for them. */
void mig_source_compress_run(const MigSource *s, MigOp *op);
void mig_source_compress_flush(MigSource *s, MigState next);
void mig_source_compress_sent(MigSource *s, uint64_t sent, uint64_t packed); /* a run */
void mig_source_compress_count(MigSource *s); /* what the last operation's threads handed in */
void mig_source_compress_rates(MigSource *s, uint64_t pages);
/* Bytes of RAM were queued. */
void mig_source_count_bytes(MigSource *s, uint64_t bytes);
uint64_t mig_source_pages_done(const MigSource *s); /* of all kinds */

/* The page at the position, by way of the cache. */
void mig_source_xbzrle_page(MigSource *s);
void mig_source_xbzrle_resize(MigSource *s);
void mig_source_xbzrle_rates(MigSource *s, uint64_t pages);

/* Auto-converge: a period of the dirty rate has ended. */
void mig_source_converge(MigSource *s);
void mig_source_throttle(MigSource *s, unsigned percent);
void mig_source_unthrottle(MigSource *s); /* ends the dirty limit, too */
void mig_source_arm_sync(MigSource *s);
/* The timer has something to say (asked once per tick): a sync has to be made now. */
bool mig_source_sync_is_due(MigSource *s);

/* Blocks that have changed: what must be at once, and at the beginning of a call of iterate. */
void mig_source_blocks_apply(MigSource *s);
void mig_source_blocks_look(MigSource *s);

/* Free page hints: they begin behind a sync, and end before the next. */
void mig_source_hints_init(MigSource *s);
void mig_source_hints_free(MigSource *s);
void mig_source_hints_apply(MigSource *s);
void mig_source_hints_start(MigSource *s);
void mig_source_hints_stop(MigSource *s);
void mig_source_hints_sent(MigSource *s, uint32_t block, uint64_t word, uint64_t sent);

/* Queues an operation; what it returns may be filled in until the next one is queued. */
MigOp *mig_source_op(MigSource *s, MigOpKind kind);
/* Queues a record without payload, likewise. */
MigRecord *mig_source_send(MigSource *s, MigRecordType type);
MigRecord *mig_source_send_payload(MigSource *s, MigRecordType type, const void *data, uint64_t n);
void mig_source_section(MigSource *s, MigItem kind, uint32_t id, const char *idstr,
                        uint32_t instance, uint32_t version);
void mig_source_footer(MigSource *s, uint32_t id); /* nothing where the era has none */
void mig_source_command(MigSource *s, uint16_t number, uint16_t length, uint32_t ping);
void mig_source_notify(MigSource *s, const char *event, const char *status, uint64_t pass);
/* Compare-and-swap, and tells; false: the status was not |from|, and nothing has changed. */
bool mig_source_change(MigSource *s, MigStatusName from, MigStatusName to);

/* The channels were or will be shut: nothing is to be sent any more. */
static inline bool mig_source_is_cancelled(const MigSource *s)
{
    return s->status == MIG_STATUS_IS_CANCELLING || s->status == MIG_STATUS_IS_CANCELLED;
}

/* Nobody wants the switchover to wait (migration_can_switchover()). */
bool mig_source_can_switchover(const MigSource *s);

/* States. */
void mig_source_state_begin(MigSource *s);
void mig_source_state_loop(MigSource *s);
void mig_source_state_rate(MigSource *s);
void mig_source_state_ram(MigSource *s);
void mig_source_state_complete(MigSource *s);
void mig_source_state_failed(MigSource *s);
void mig_source_state_cancelled(MigSource *s);
void mig_source_state_verdict(MigSource *s); /* of the destination, when all was sent */

/* Steps of every end. */
void mig_source_final_rate(MigSource *s);
void mig_source_finish(MigSource *s);
void mig_source_send_devices(MigSource *s, const MigDevices *d); /* and the end of the stream */
/* Closes the window when its time has come. */
void mig_source_update_counters(MigSource *s);

/* Ends in failure; takes |error|, which is g_free()d. */
void mig_source_fail(MigSource *s, char *error);
/* True, and the failure is under way, when the scenario makes this step fail. */
bool mig_source_step_fails(MigSource *s, MigStep step);

/* The dirty bitmap sync, then |next|. */
void mig_source_sync(MigSource *s, bool counts, bool event, MigState next);
/* A RAM section whose header was queued: pages until quota, time or dirt ends, then |next|. */
void mig_source_ram(MigSource *s, bool final, MigState next);

uint64_t mig_source_transferred(const MigSource *s); /* what a window measures */
uint64_t mig_source_shown(const MigSource *s);       /* ram.transferred */
bool mig_source_quota_exceeded(const MigSource *s);
/* Sleeps until the window's end, or an urgent request; the state stays the caller's to set. */
void mig_source_sleep_window(MigSource *s);
void mig_source_close_due_window(MigSource *s);
void mig_source_close_window(MigSource *s, int64_t now); /* ms */
/* 1.4: a turn of its loop; what is left in its buffer goes out, inside the downtime. */
void mig_source_state_buffered(MigSource *s);
void mig_source_drain_all(MigSource *s);
void mig_source_restart_window(MigSource *s);       /* a new one begins now */
uint64_t mig_source_quota(const MigSource *s);      /* of a window, bytes; 0: no limit */
uint64_t mig_source_quota_left(const MigSource *s); /* UINT64_MAX: no limit */

#endif
