/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside postcopy's part of the source:
 *
 *     source-postcopy.c          what monitors and the return path say; the queue of requests
 *     source-postcopy-start.c    the switchover: stop, discards, package
 *     source-discard.c           what the destination is to drop, in whole host pages
 *     source-postcopy-push.c     RAM's PARTs after it: requests first, then what is left
 *     source-postcopy-urgent.c   the second machine, on the preempt channel
 *     source-postcopy-recover.c  the end, and a broken line: pause, recovery
 */
#ifndef MIG_SIM_ENGINE_SOURCE_POSTCOPY_INTERNAL_H
#define MIG_SIM_ENGINE_SOURCE_POSTCOPY_INTERNAL_H

#include "sim/engine/source-internal.h"
#include "sim/engine/source-postcopy.h"

typedef struct MigRequest {
    uint32_t block;
    uint64_t first, count; /* target pages of one host page */
} MigRequest;

/* A host page that is being sent. */
typedef struct MigHostPage {
    bool busy;
    bool requested;
    uint32_t block;
    uint64_t first, end, next; /* target pages; next: where to go on */
} MigHostPage;

typedef struct MigPageRange {
    uint32_t block;
    uint64_t first, count;
} MigPageRange;

typedef struct MigSourcePostcopy {
    bool wanted;  /* migrate-start-postcopy */
    bool entered; /* the switchover has begun */
    bool running; /* the package was sent: the destination may run */
    bool pushing; /* the loop is that of the postcopy phase */
    bool ending;  /* END sections are being written, or were */
    char *said;   /* what ended a channel (a bad message, migrate-pause), or NULL */

    GQueue requests;  /* MigRequest */
    char *asked_name; /* block of the last request; NULL: none since the line is new */
    MigPostcopyCounts counts;

    /* The first machine: pushed host pages, and (until 7.2 with preempt) those asked for. */
    MigHostPage page, served;
    MigHostPage *current; /* one of them; NULL: a run of small pages */
    uint32_t run_block, run_channel, last_channel;
    uint64_t run_word;
    MigState after_push;
    bool push_all;      /* the END section */
    bool push_done;     /* nothing is left behind this section */
    uint64_t pushed;    /* host pages of this call */
    GArray *to_release; /* MigPageRange: queued, to be given back when they are out */
    bool hinted;        /* 10.2 on: the push goes on here */
    uint32_t hint_block;
    uint64_t hint_page;

    /* The second machine. */
    MigQueued urgent;
    MigHostPage urgent_page;
    bool urgent_flush;    /* what was sent is to be flushed */
    uint32_t urgent_last; /* block of the last page on the preempt channel; UINT32_MAX: none */
    bool preempt_open;

    /* The return path. */
    uint32_t pongs;   /* that came */
    bool loaded;      /* PONG of the package's last ping */
    bool shut;        /* SHUT came ... */
    uint32_t verdict; /* ... and said this */
    uint32_t acks;    /* RESUME_ACKs with 1 */
    uint32_t bitmaps; /* RECV_BITMAPs that came since the line is new */
    bool resume;      /* `migrate` with resume=true came */
    int64_t downtime; /* ms */

    MigBitmap **unsent; /* by block; NULL: the era has no such map */
    GArray *ranges;     /* MigRange of a DISCARD that is being collected */
    GPtrArray *kept;    /* MigRange arrays that queued records point to */
} MigSourcePostcopy;

void mig_source_postcopy_init(MigSource *s);
void mig_source_postcopy_free(MigSource *s);

/* Target pages in a host page of |block|. */
static inline uint64_t mig_source_host_pages(const MigSource *s, uint32_t block)
{
    return MAX(s->blocks[block].info->host_page / mig_source_page(s), 1u);
}

/* ADVISE, behind the first PING. */
void mig_source_advise(MigSource *s);

/* Should the loop switch over now? |pending| is exact where the era makes it so. */
bool mig_source_starts_postcopy(const MigSource *s, const MigPending *pending);
/* The switchover, up to postcopy's loop. */
void mig_source_state_switchover(MigSource *s);
/* Behind the stop and the pause: the rest of it. */
void mig_source_postcopy_stopped(MigSource *s);

/* Makes host pages whole, and queues the DISCARDs. */
void mig_source_discard(MigSource *s);

/* A turn of the loop. */
void mig_source_state_postcopy_loop(MigSource *s);
/* RAM's PART (until quota or time ends), and its END; the header was queued. */
void mig_source_push(MigSource *s, bool all, MigState next);
/* Pages of a run were sent, see |outcome|: counters of all kinds. */
void mig_source_count_pushed(MigSource *s, const MigOutcome *outcome, bool requested);
/* The second machine serves requests, not the first. */
bool mig_source_urgent_serves(const MigSource *s);
/* Begins a host page: its pages are dirty no longer. */
void mig_source_take_host_page(MigSource *s, MigHostPage *h, uint32_t block, uint64_t page,
                               bool requested);
/* The next pages of it, at most one word's: fills |op|, and says the word. */
uint64_t mig_source_host_page_op(const MigSource *s, const MigHostPage *h, MigOp *op);
/* |sent| of |word| are out. */
void mig_source_host_page_sent(MigHostPage *h, uint64_t word, uint64_t sent);
/* Drops requests for pages that were sent; the first that is left, or NULL. */
MigRequest *mig_source_first_request(MigSource *s);
void mig_source_forget_requests(MigSource *s);
/* Contents of pages that are out, not queued any more, are given back (if release-ram is on). */
void mig_source_release(MigSource *s, uint32_t block, uint64_t first, uint64_t count);
void mig_source_release_sent(MigSource *s);

/* A channel broke. True: postcopy is paused, and the state is set. */
bool mig_source_postcopy_breaks(MigSource *s, const char *error);
/* RAM's part of a recovery: the received bitmaps. */
void mig_source_resume_ram(MigSource *s, MigState next);

#endif
