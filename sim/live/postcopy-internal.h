/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a live destination in postcopy:
 *
 *     postcopy.c         the engine's hooks, the main thread, what a monitor wants
 *     postcopy-urgent.c  the urgent thread: faults and the preempt channel
 *     postcopy-result.c  what became of it
 */
#ifndef MIG_SIM_LIVE_POSTCOPY_INTERNAL_H
#define MIG_SIM_LIVE_POSTCOPY_INTERNAL_H

#include "sim/live/postcopy-guest.h"
#include "sim/live/postcopy.h"
#include "sim/world/turns.h"

#define MIG_POSTCOPY_SLICE (32u << 10) /* bytes of a channel, read at once */

struct MigLivePostcopy {
    const MigLiveOptions *options;
    MigEra era;
    MigCapabilitySet capabilities;
    MigLoad *load;
    MigLiveGuest *guest;
    MigListener *listener;   /* borrowed */
    MigReceivers *receivers; /* of multifd's channels, borrowed; NULL: none */
    bool waiting;            /* for a recovery's main channel */
    uint8_t *buffer;
    int64_t looked; /* us: at the steerer, last */
    uint64_t pauses;
    GError *refused; /* what a backend has against a device */

    MigTurns turns;               /* of the engine, of the guest, and of what follows */
    bool hurries;                 /* the urgent thread has it */
    MigTransport *main, *preempt; /* NULL: not there */
    GByteArray *replies;          /* encoded, not sent */
    bool ending;                  /* for the urgent thread: that was all */
    uint64_t preempt_bytes;

    GThread *urgent;
    uint8_t *urgent_buffer;
    int kick, told; /* bells: wake the urgent thread, and the main one */
};

/* In a turn, all of these. Errors: false always; the first one is kept. */
bool mig_live_postcopy_fail(MigLivePostcopy *p, const char *error);
bool mig_live_postcopy_fail_diagnosis(MigLivePostcopy *p);
/*
 * As much as goes without waiting: a source that doesn't read is no reason to stop reading. False
 * and *error: the line is broken.
 */
bool mig_live_postcopy_send(MigLivePostcopy *p, GError **error);

/* Reads once: |direct| bytes to |page|, what follows to |buffer|. As mig_transport_read(). */
int64_t mig_live_postcopy_read(MigTransport *t, size_t direct, void *page, uint8_t *buffer,
                               size_t at_most, GError **error);

/* Closes a channel, without waiting for what is under way. */
void mig_live_postcopy_drop(MigTransport **t);

/* -1 for a channel that is not there. */
int mig_live_postcopy_fd(const MigTransport *t, unsigned what);

/* The urgent thread: begins, looks again at what there is to wait for, and ends. Not in a turn. */
void mig_live_urgent_begin(MigLivePostcopy *p);
void mig_live_urgent_end(MigLivePostcopy *p);

#endif
