/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy at the source: what monitors, worlds and return paths tell the engine.
 *
 *     active --start--> stop, [pre-switchover] [device], last sync, discards, package
 *         --> [postcopy-device] --> postcopy-active: { serve requests | push what is left } --> end
 *                  broken line  |  ^ RESUME_ACK
 *                               v  |
 *     postcopy-paused --resume--> [postcopy-recover-setup] --> postcopy-recover: bitmaps, RESUME
 *
 * Who calls what. All of it is for one thread at a time, and all but
 * mig_source_next() may be called while an operation is under way, that is by the world that does
 * it, or by events that the world runs:
 *
 *     monitor        mig_source_start_postcopy(), mig_source_pause(), mig_source_recover()
 *     return path    mig_source_message() for every message, when it has come; true and "urgent":
 *                    the world ends a SLEEP with MIG_INTERRUPT_URGENT, and looks at
 *                    mig_source_urgent_next()
 *     SEND_PAGES     asks op->pages.claim before every page where the operation has one
 *
 * Operations that only postcopy has: MIG_OP_DROP and MIG_OP_WAIT_RECOVER (op.h), SEND_PAGES with
 * `claim`, and those whose channel is mig_source_preempt_channel().
 *
 * With postcopy-ram the world opens a return path when it connects the main channel, whether the
 * capability return-path is on or not.
 */
#ifndef MIG_SIM_ENGINE_SOURCE_POSTCOPY_H
#define MIG_SIM_ENGINE_SOURCE_POSTCOPY_H

#include "sim/engine/source.h"

/* migrate-start-postcopy: NULL, or why not (g_free()). It acts from the next look at the loop. */
char *mig_source_start_postcopy(MigSource *s);

/*
 * migrate-pause: NULL, or why not (g_free()). The caller then shuts all channels down; the
 * operation under way ends with MIG_INTERRUPT_ERROR and the engine goes to postcopy-paused.
 */
char *mig_source_pause(MigSource *s);

/*
 * `migrate` with resume=true: NULL, or why not (g_free()). The caller ends MIG_OP_WAIT_RECOVER. The
 * engine then asks for MIG_OP_CONNECT of channel 0; when that fails it is paused again.
 */
char *mig_source_recover(MigSource *s);

typedef enum MigMessageEffect {
    MIG_MESSAGE_BAD,    /* the destination may not say that: the return path is broken. The world
                           shuts all channels down; the engine knows why */
    MIG_MESSAGE_TAKEN,  /* MIG_OP_WAIT_RETURN ends */
    MIG_MESSAGE_URGENT, /* a page request: MIG_OP_SLEEP ends, too, with MIG_INTERRUPT_URGENT */
} MigMessageEffect;

/*
 * A message of the return path. |payload|: the record->payload bytes of a RECV_BITMAP, else NULL.
 * Nothing is kept of either. Used instead of MigOutcome.record by worlds that serve postcopy.
 */
MigMessageEffect mig_source_message(MigSource *s, const MigRecord *message, const void *payload);

/*
 * The queue of requests, for who has no message: |block| NULL means that of the request before.
 * False: no such block, or not a range of whole host pages inside it.
 */
bool mig_source_request(MigSource *s, const char *block, uint64_t start, uint64_t length);

/*
 * The number of the preempt channel in operations (behind those of multifd), 0: there is none. It
 * is opened by MIG_OP_CONNECT, at the time that the era wants.
 */
uint32_t mig_source_preempt_channel(const MigSource *s);

/*
 * The second machine, QEMU's return-path thread from 8.0 on, which sends requested pages on the
 * preempt channel without asking the main thread: operations of their own (SEND_PAGES, FLUSH; all
 * on the preempt channel), to be done when mig_source_message() said "urgent", also while an
 * operation of mig_source_next() is under way. |outcome| is that of the operation before, NULL at
 * the beginning. NULL: nothing to do (now, or in this era, which serves requests by the other
 * machine).
 */
const MigOp *mig_source_urgent_next(MigSource *s, const MigOutcome *outcome);
/* It may have something to do from now on: the postcopy phase has begun, its channel is open. */
bool mig_source_urgent_runs(const MigSource *s);

typedef struct MigPostcopyCounts {
    uint64_t requests;   /* messages, as postcopy-requests */
    uint64_t stale;      /* of them, for pages that had been sent: dropped */
    uint64_t requested;  /* target pages sent because they were asked for */
    uint64_t background; /* target pages sent without that */
    uint64_t released;   /* pages given back (release-ram) */
    uint64_t pauses;
    uint64_t resent;      /* pages that had been sent and were marked dirty again by recoveries */
    int64_t began, ended; /* ns: RUN was sent, the last page was; 0: not so far */
} MigPostcopyCounts;

const MigPostcopyCounts *mig_source_postcopy(const MigSource *s);

/* The destination may run: a failure can't be undone by letting the source's guest run. */
bool mig_source_in_postcopy(const MigSource *s);

/* It may come to a postcopy phase: of RAM, or of dirty bitmaps alone. */
bool mig_source_can_postcopy(const MigSource *s);

/* A return path is wanted: from the first CONNECT on. Dirty bitmaps do without. */
bool mig_source_wants_return(const MigSource *s);

#endif
