/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy at the destination.
 *
 *     none --ADVISE--> advise --DISCARD--> discard --LISTEN--> listening --RUN--> running --> end
 *
 *     bytes of main, preempt --> host pages, whole --> memory->place() --> placed(): who waits runs
 *     vCPU faults --> mig_dest_fault() --> outstanding, reply(REQ_PAGES) --> return path
 *
 * Who calls what. One thread owns the engine; a fault thread posts to it.
 *
 *     channels     mig_dest_feed(), mig_dest_feed_preempt() as bytes come; what reply() is given
 *                  in the meantime goes out on the return path at once
 *     faults       mig_dest_at(), then mig_dest_fault() for each
 *     broken line  mig_dest_break(): true, it is paused, and waits for mig_dest_reconnect()
 *     monitor      mig_dest_pause(), mig_dest_recover()
 *     memory       listen(), discard(), place() of MigMemoryOps are called from inside feed
 *
 * The hooks below are called from inside feed as well. The order at the switchover: discard()...,
 * listen(), run(). SHUT is the driver's to send, when mig_dest_state() says completed or failed.
 */
#ifndef MIG_SIM_ENGINE_DEST_POSTCOPY_H
#define MIG_SIM_ENGINE_DEST_POSTCOPY_H

#include "sim/engine/bitmap.h"
#include "sim/engine/blocktime.h"
#include "sim/engine/dest.h"

typedef enum MigIncoming {
    MIG_INCOMING_NONE,
    MIG_INCOMING_ADVISE,
    MIG_INCOMING_DISCARD,
    MIG_INCOMING_LISTENING,
    MIG_INCOMING_RUNNING,
    MIG_INCOMING_END,
} MigIncoming;

/* Set behind mig_dest_new(); functions may be NULL. |opaque| of their own. */
typedef struct MigDestHooks {
    void *opaque;
    /* RUN came: the guest may run (from now on its faults are to be reported). */
    void (*run)(void *opaque);
    /* Target pages of a host page are there: who waits for them goes on. */
    void (*placed)(void *opaque, uint32_t block, uint64_t first, uint64_t count);
    /* A status that a monitor would be told, "postcopy-active". */
    void (*status)(void *opaque, const char *status);
    /* The time, ns, where it goes on while a page is being placed; instead of mig_dest_at(). */
    int64_t (*now)(void *opaque);
} MigDestHooks;

void mig_dest_set_hooks(MigDest *d, const MigDestHooks *hooks, uint32_t vcpus);

/* The time of everything until it is said again, ns; for blocktime only. */
void mig_dest_at(MigDest *d, int64_t now);

MigIncoming mig_dest_incoming(const MigDest *d);
const char *mig_dest_status(const MigDest *d); /* "postcopy-active" */

#define MIG_DEST_NO_VCPU UINT32_MAX /* a fault of something else: a device's load */

/*
 * An access of |vcpu| to a page that is not there. True: it waits until placed() names the page (a
 * request was sent unless the line is down; it will be when there is a new one). False: the page is
 * there by now, nobody need wait; or it was neither discarded nor sent (then nothing will come: a
 * real world whose kernel still finds it missing places zeros).
 */
bool mig_dest_fault(MigDest *d, uint32_t block, uint64_t page, uint32_t vcpu);

/* Bytes of the preempt channel; its end (of no importance). False: failed, see mig_dest_error(). */
bool mig_dest_feed_preempt(MigDest *d, const void *data, size_t n);
size_t mig_dest_direct_preempt(const MigDest *d, void **dst); /* as mig_dest_direct() */
bool mig_dest_filled_preempt(MigDest *d, size_t n);

/*
 * The main channel broke, or ended too early. True: postcopy is paused, half of a host page is
 * forgotten, and bytes fed before mig_dest_reconnect() are an error. False: that is the end of the
 * migration (the guest was not running yet, or the era knows no recovery).
 */
bool mig_dest_break(MigDest *d, const char *error);

/* migrate-pause at the destination: NULL, or why not (g_free()). The caller shuts the channels and
 * calls mig_dest_break(). */
char *mig_dest_pause(MigDest *d);
/* migrate-recover: NULL, or why not (g_free()). The caller listens. */
char *mig_dest_recover(MigDest *d);
/* A new main channel was accepted; mig_dest_feed() is about its bytes from now on. */
void mig_dest_reconnect(MigDest *d);

/* While reply() runs: the message->payload bytes of a RECV_BITMAP. */
const uint8_t *mig_dest_reply_payload(const MigDest *d);

/* By index of memory; NULL before ADVISE. One bit per target page. */
const MigBitmap *mig_dest_received(const MigDest *d, uint32_t block);
bool mig_dest_has(const MigDest *d, uint32_t block, uint64_t page); /* true before postcopy */
uint64_t mig_dest_missing(const MigDest *d);                        /* target pages */

const MigBlocktime *mig_dest_blocktime(const MigDest *d);

typedef struct MigPlaced {
    uint64_t zero, copied; /* host pages */
    uint64_t preempt;      /* target pages that came by the preempt channel */
    uint64_t discarded;    /* target pages */
    uint64_t dropped;      /* target pages of host pages that a break tore */
} MigPlaced;

const MigPlaced *mig_dest_placed(const MigDest *d);

#endif
