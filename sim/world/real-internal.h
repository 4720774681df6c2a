/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the real world: what its files share. */
#ifndef MIG_SIM_WORLD_REAL_INTERNAL_H
#define MIG_SIM_WORLD_REAL_INTERNAL_H

#include "sim/world/real-answers.h"
#include "sim/world/real-channel.h"
#include "sim/world/real-postcopy.h"
#include "sim/world/real-urgent.h"
#include "sim/world/real.h"
#include "sim/world/senders.h"

typedef struct MigCompressors MigCompressors;

struct MigReal {
    MigRealConfig config;
    int64_t epoch; /* CLOCK_MONOTONIC, ns, of clock 0 */
    MigEvents events;
    GPtrArray *channels;          /* MigRealChannel, by number; NULL: not opened */
    MigAnswers *answers;          /* of the main channel; NULL: nobody listens, or postcopy */
    MigRealPostcopy *postcopy;    /* listens instead; NULL: a migration without it */
    MigRealUrgent *urgent;        /* the thread that sends what it is asked for; NULL: none */
    MigRealCounts gone;           /* of channels that were dropped */
    MigSenders *senders;          /* which have the multifd channels; NULL: none */
    MigSendersCounts told;        /* of theirs, in outcomes */
    MigCompressors *compressors;  /* NULL: not used so far */
    MigCompressCounts compressed; /* by the operation under way */
    MigDevices *devices;
    MigRecord message;    /* of the last WAIT_RETURN */
    MigInterrupt pending; /* for the next outcome */
    MigRealCounts counts;
    char *error;       /* of the first channel that died */
    char *close_error; /* or NULL */
};

/* Does an operation, be it beside another one on another channel. */
MigOutcome mig_real_perform(MigReal *r, const MigOp *op);

/* NULL: it was not opened. */
MigRealChannel *mig_real_channel_of(const MigReal *r, uint32_t number);

/* The clock, moved to the present. */
int64_t mig_real_look(MigReal *r);

/* The world has failed: whatever is waited for ends. Keeps the first error. */
void mig_real_die(MigReal *r, const char *error);

/* There is somebody to hear, and somebody who wants to. */
bool mig_real_is_heard(const MigReal *r);

/* Operations that end with a message of the return path. */
void mig_real_sleep(MigReal *r, const MigOp *op, MigOutcome *out);
void mig_real_wait_return(MigReal *r, MigOutcome *out);

/* Reads what the destination says, without waiting. True when it said something. */
bool mig_real_hear(MigReal *r);
/* Between two things that are sent: hears, or lets the thread that hears do what it has to. */
void mig_real_attend(MigReal *r);

/* SEND_PAGES and SEND_PAGE. */
void mig_real_pages(MigReal *r, MigRealChannel *c, const MigOp *op, MigOutcome *out);
void mig_real_page(MigRealChannel *c, const MigOp *op);

#define MIG_WAIT_SENDERS 8u  /* a thread of multifd has done something */
#define MIG_WAIT_MESSAGE 16u /* postcopy: the engine has heard a message */
#define MIG_WAIT_URGENT  32u /* that asks for a page */

/*
 * Waits until one of |what| is possible on |c| (NULL: just waits) or |until| (ns of the clock) has
 * come, doing whatever else comes up. Returns which of |what| is; 0 when the time is over or the
 * world or |c| has died.
 */
unsigned mig_real_wait(MigReal *r, MigRealChannel *c, unsigned what, int64_t until);

/* mapped-ram: the operations. */
void mig_real_seek(MigReal *r, MigRealChannel *c, uint64_t at);
void mig_real_place(MigReal *r, MigRealChannel *c, const MigOp *op, MigOutcome *out);
void mig_real_place_pages(MigReal *r, MigRealChannel *c, const MigOp *op, MigOutcome *out);
bool mig_real_connect_again(MigReal *r, MigRealChannel *c, GError **error);

/* Compress threads: true when one has the page; else it goes as it is. */
bool mig_real_compress(MigReal *r, MigRealChannel *c, const MigOp *op, uint64_t page, bool named);
void mig_real_compress_flush(MigReal *r, MigRealChannel *c, const MigOp *op);

/* Multifd: the operations, and what follows a channel's initial packet. */
void mig_real_multifd_begin(MigReal *r, MigRealChannel *c);
void mig_real_multifd_send(MigReal *r, const MigOp *op);
void mig_real_multifd_sync(MigReal *r, const MigOp *op);
/* The threads have said something: takes their error over. */
void mig_real_multifd_hear(MigReal *r);
/* Fills in what they have done since the last outcome. */
void mig_real_multifd_count(MigReal *r, MigOutcome *out);
/* Ends the threads; before that the channels, when the world has died. */
void mig_real_multifd_end(MigReal *r);

#endif
