/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's boundary. An engine is a resumable machine: it yields one operation, the world does
 * it (prices it on the virtual clock, or really does it) and resumes the engine with the outcome.
 *
 *     op = mig_source_next(engine, &outcome);   outcome = world_do(world, op);   ...
 *
 * The engine does no I/O, has no clock of its own and never waits: it is QEMU's migration thread
 * with every blocking call turned into an operation.
 */
#ifndef MIG_SIM_ENGINE_OP_H
#define MIG_SIM_ENGINE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/engine/bitmap.h"
#include "sim/engine/devices.h"
#include "sim/engine/mapped.h"
#include "stream/record.h"
#include "stream/version.h"

#define MIG_CLOCK_PAGES 64 /* RAM's iterate looks at its clock on every 64th page */

typedef enum MigOpKind {
    MIG_OP_CONNECT,     /* open `channel` */
    MIG_OP_SEND,        /* queue one record (and its payload) on `channel` */
    MIG_OP_SEND_PAGES,  /* queue the dirty pages of a run, see below */
    MIG_OP_SEND_PAGE,   /* queue one page that the engine has looked at and made a record of */
    MIG_OP_SEND_RUN,    /* queue dirty pages without any bound but those below */
    MIG_OP_FLUSH,       /* push what is queued on `channel` to the transport */
    MIG_OP_LOG_START,   /* dirty logging on: the engine calls memory->log_start at its end */
    MIG_OP_SYNC,        /* dirty bitmap sync of every block: it calls memory->sync at its end */
    MIG_OP_CLEAR,       /* lazy clear of a chunk of the log: it calls memory->clear at its end */
    MIG_OP_STOP_GUEST,  /* stop the vCPUs: run state finish-migrate */
    MIG_OP_START_GUEST, /* let them run again */
    MIG_OP_THROTTLE,    /* vCPU throttle to `percent` */
    MIG_OP_FREE_PAGES,  /* hints of free pages are welcome from now on, or no more: `hinting` */
    MIG_OP_DIRTY_LIMIT, /* the dirty limit (dirty-limit.h) is in service from now on, or no more */
    MIG_OP_DEVICES,     /* save the devices' state: the world supplies it, see MigDevices */
    MIG_OP_SLEEP,       /* until `until`, or an urgent request */
    MIG_OP_WAIT_RETURN, /* until a return-path message arrives or the channel fails */
    MIG_OP_CLOSE,
    MIG_OP_DRAIN,          /* 1.4: write at most `limit` bytes of what was flushed */
    MIG_OP_TRANSPORT_SYNC, /* RDMA: every page is there, `phase` is over at both ends */
    MIG_OP_DISK_READ,      /* read `chunks` MiB of disks; their bytes come with later SENDs */
    MIG_OP_NOTIFY,         /* something a monitor would be told: state, pass, stop, resume */
    MIG_OP_DONE,           /* the engine has ended; see its status */
    MIG_OP_WAIT_CONTINUE, /* pre-switchover: until migrate-continue, cancel or an error; may end for
                             nothing, the engine then asks again */
    MIG_OP_MULTIFD_SEND,  /* hand a packet to the next idle channel, waiting for one */
    MIG_OP_MULTIFD_SYNC,  /* SYNC packets on all channels; until everything is written */
    MIG_OP_PROTECT,       /* writes wait from now on: it calls memory->protect at its end */
    MIG_OP_SEEK,          /* mapped-ram: what is sent next stands at `seek` in the file */
    MIG_OP_PLACE,         /* mapped-ram: bytes at their place in the file */
    MIG_OP_COMPRESS_FLUSH, /* compress threads: waits for all of them, queues what they have */
    MIG_OP_DROP, /* a broken postcopy: shut and forget main, return path and preempt with all
                    that is queued on them; a channel's error is over with it */
    MIG_OP_WAIT_RECOVER, /* postcopy-paused: until mig_source_recover() or a cancel; may end for
                            nothing, the engine then asks again */
} MigOpKind;

/* What the engine says to the next page of a SEND_PAGES that wants to be asked. */
typedef enum MigClaim {
    MIG_CLAIM_TAKE, /* it is to be sent now, and nobody else will */
    MIG_CLAIM_SKIP, /* it was sent meanwhile, on another channel */
    MIG_CLAIM_STOP, /* a page request comes first: end the operation in front of this page */
} MigClaim;

/* Sections of RAM, to a transport. */
typedef enum MigRamPhase { MIG_RAM_SETUP, MIG_RAM_ROUND, MIG_RAM_FINISH } MigRamPhase;

/* What becomes of the pages of MIG_OP_SEND_PAGES. */
typedef enum MigPagesHow {
    MIG_PAGES_REMOTE, /* the transport writes them past the stream, and counts them like multifd */
    MIG_PAGES_LOOK,   /* zero or normal, on the channel */
    MIG_PAGES_RAW,    /* all normal, nobody looks */
    MIG_PAGES_QUEUE,  /* nothing is sent: the engine collects them for a packet */
    MIG_PAGES_QUEUE_NORMAL, /* zero ones on the channel, the others as QUEUE */
    MIG_PAGES_COMPRESS,     /* to compress threads, see MigCompress */
} MigPagesHow;

/*
 * Compress threads: each has one page at a time, finds out whether it is zero, and keeps the record
 * until it is given the next page or everybody is asked for it; it is queued then.
 */
typedef struct MigCompress {
    uint32_t threads; /* 1 .. 255; the same every time */
    int level;        /* likewise */
    bool wait;        /* for an idle thread; else a page that finds none goes as with LOOK, */
    bool raw;         /* or as with RAW */
    bool look; /* here, not in the threads: zero pages go on the channel at once. A named page
                  is compressed here, too */
} MigCompress;

typedef struct MigPacket {
    uint32_t block;
    const uint64_t *pages; /* page numbers, borrowed */
    uint32_t count;
    uint32_t allocated;           /* as the header says */
    bool look;                    /* the channel's thread looks for zero pages */
    const MigMappedBlock *mapped; /* mapped-ram: pages go to their places and are marked, there is
                                     no header, and a SYNC is no packet but a wait; else NULL */
    uint32_t flags;               /* compression */
    int level;
} MigPacket;

typedef struct MigOp {
    MigOpKind kind;
    uint32_t channel; /* 0: main, 1..: multifd, then preempt */
    union {
        struct {
            const MigRecord *record;
            const void *payload; /* record->payload bytes, or NULL when it has none */
        } send;
        /*
         * At most 64 pages from `first`: bit i of `dirty` selects page first + i. The world looks
         * at each page at the time it is its turn, says zero or normal, queues it (the first one
         * with its block's name when `named`), and stops behind the page with which the bytes that
         * this operation flushed (or queued, as `counts` says) exceed `quota` (UINT64_MAX: no
         * limit). A channel that fails ends it, too, and so does, behind the page during which it
         * came, anything that happened: who is asked again knows of it.
         */
        struct {
            uint32_t block;
            uint64_t first;
            uint64_t dirty;
            bool named;
            MigPagesHow how;
            MigQuota counts; /* MIG_QUOTA_FLUSHED: of all channels; else queued bytes */
            uint64_t quota;
            MigCompress compress; /* COMPRESS */
            /* mapped-ram: pages go to their places, zero ones nowhere; else NULL */
            const MigMappedBlock *mapped;
            /* Postcopy; NULL: every page is taken. To be asked when it is the page's turn; `sent`
             * of the outcome then has what was taken. */
            MigClaim (*claim)(void *engine, uint32_t block, uint64_t page);
            void *engine;
        } pages;
        /*
         * What SEND_PAGES with LOOK does, for any number of words: all that |dirty| has in
         * [first, end), one page behind the other. It ends behind the page with which |quota| is
         * exceeded, behind a look at the clock (the first |look| pages on, then every
         * MIG_CLOCK_PAGES) that finds it later than |deadline|, and behind a page during which
         * anything else happened.
         */
        struct {
            uint32_t block;
            const MigBitmap *dirty; /* borrowed; the engine clears it later */
            uint64_t first, end;    /* pages */
            bool named;
            MigQuota counts;
            uint64_t quota;
            uint64_t look;    /* >= 1 */
            int64_t deadline; /* ns; INT64_MAX: none */
        } run;
        /*
         * XBZRLE: the engine has read the page. Without a record nothing is to be sent (it did not
         * change), but the look took its time.
         */
        struct {
            const MigRecord *record; /* RAM_ZERO, RAM_PAGE, RAM_XBZRLE or NULL */
            const void *payload;     /* to be copied: it changes behind this operation */
            uint32_t block;
            uint64_t page;
        } page;
        struct {
            uint32_t block;
            uint64_t first, count;
        } clear;
        MigCompress compress; /* COMPRESS_FLUSH */
        uint64_t seek;        /* offset in the file */
        struct {
            uint64_t at; /* offset in the file */
            const void *data;
            uint64_t n;
        } place;
        MigPacket packet; /* MULTIFD_SEND; of MULTIFD_SYNC `allocated` */
        unsigned percent;
        bool hinting;
        unsigned chunks;   /* DISK_READ */
        MigRamPhase phase; /* TRANSPORT_SYNC */
        uint64_t limit;    /* DRAIN, bytes */
        int64_t until;     /* ns; an urgent request ends the sleep, a cancel does not */
        struct {
            const char *event;  /* QAPI: MIGRATION, MIGRATION_PASS, STOP, RESUME */
            const char *status; /* MIGRATION, else NULL */
            uint64_t pass;      /* MIGRATION_PASS, else 0 */
        } notify;
    };
} MigOp;

/* SEND_PAGES, of pages that no thread has taken: the world looks whether they are zero. */
static inline bool mig_pages_are_looked_at(const MigOp *op)
{
    bool raw = op->pages.how == MIG_PAGES_COMPRESS && op->pages.compress.raw;
    return op->pages.how != MIG_PAGES_RAW && op->pages.how != MIG_PAGES_QUEUE && !raw;
}

typedef enum MigInterrupt {
    MIG_UNINTERRUPTED,
    MIG_INTERRUPT_URGENT, /* a page request wants service */
    MIG_INTERRUPT_CANCEL,
    MIG_INTERRUPT_ERROR,    /* `error` says why: the channel is dead */
    MIG_INTERRUPT_CONTINUE, /* migrate-continue */
} MigInterrupt;

/* What compress threads handed in. */
typedef struct MigCompressCounts {
    uint64_t pages, bytes;    /* compressed ones; bytes of their records */
    uint64_t zero;            /* pages */
    uint64_t idle, idle_zero; /* times that one had nothing new: since its last page (idle: or none)
                                 was compressed, or zero */
} MigCompressCounts;

typedef struct MigOutcome {
    int64_t now;           /* ns, when the operation had ended */
    uint64_t queued_bytes; /* put on the channel's buffer by this operation */
    uint64_t placed;       /* bytes put at places in a file; in neither of the others */
    uint64_t flushed;      /* handed to the transport by this operation */
    uint64_t sent;         /* SEND_PAGES: which pages of `dirty` were taken */
    uint64_t zero;         /* SEND_PAGES: which of those were zero */
    uint64_t packed;       /* SEND_PAGES, COMPRESS: which of them threads have */
    uint64_t run_end;      /* SEND_RUN: the page behind the last one sent */
    uint64_t run_zero;     /* SEND_RUN: how many were zero */
    MigCompressCounts compressed;
    /* Multifd: what its channels have written since the last outcome, and what came of the pages
     * that their threads have looked at. */
    uint64_t multifd_bytes, multifd_normal, multifd_zero;
    MigInterrupt interrupt;
    const char *error;         /* borrowed until the next operation */
    const MigRecord *record;   /* WAIT_RETURN: the message, borrowed likewise */
    const MigDevices *devices; /* DEVICES: finished; lives until the engine is done */
} MigOutcome;

#endif
