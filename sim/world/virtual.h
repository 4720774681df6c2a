/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual world: does the engine's operations on a virtual clock, pricing them with the host
 * cost model and the link, while guest, destination and events go on.
 *
 *     MigClock ---- read by the guest whenever its memory is asked for
 *        ^ moved only here
 *     engine --op--> virtual --bytes--> outbuf --flush--> link --> sink (a destination, a file)
 *            <--outcome--
 *
 * With a sink, pages are read and bytes made; without one ("accounting") only sizes are. Times,
 * counters and the digest of events are the same.
 */
#ifndef MIG_SIM_WORLD_VIRTUAL_H
#define MIG_SIM_WORLD_VIRTUAL_H

#include "sim/engine/devices.h"
#include "sim/engine/memory.h"
#include "sim/engine/op.h"
#include "sim/engine/source-postcopy.h"
#include "sim/world/clock.h"
#include "sim/world/costs.h"
#include "sim/world/events.h"
#include "sim/world/link.h"

/* What the world does to the guest; each is called at the clock's present time. */
typedef struct MigGuestHooks {
    void *opaque;
    void (*run)(void *opaque, bool running);          /* vCPUs start or stop */
    void (*throttle)(void *opaque, unsigned percent); /* 0: none */
    void (*free_pages)(void *opaque, bool hinting);   /* begins or ends to hint at free ones */
    /* Its writes will wait, see MIG_OP_PROTECT: this is the memory that a snapshot will have. */
    void (*frozen)(void *opaque);
    void (*dirty_limit)(void *opaque); /* it began, or ended: the engine tells */
} MigGuestHooks;

/*
 * Where the bytes of a channel go. They arrive in order, some at a time, long before |arrival| on
 * the wall clock. False: the receiver has failed (then the source's writes fail, from the time that
 * it can know).
 */
typedef struct MigSink {
    void *opaque;
    bool (*bytes)(void *opaque, uint32_t channel, const void *data, size_t n, int64_t arrival);
    /* RDMA: a page was written past the stream; |bytes| NULL: it was filled with zeros. May be
     * NULL. */
    void (*remote)(void *opaque, uint32_t block, uint64_t page, const void *bytes);
    bool (*end)(void *opaque, uint32_t channel); /* the channel was closed; false: too early */
    /* Postcopy: the line is gone; a new one is there (false: refused). */
    void (*broken)(void *opaque);
    bool (*connected)(void *opaque);
    /*
     * mapped-ram: the receiver is a file. The main channel's next bytes stand at |at|; these bytes
     * do, whatever the channel's position is. Needed for sources with that capability.
     */
    void (*seek)(void *opaque, uint64_t at);
    bool (*place)(void *opaque, uint64_t at, const void *data, size_t n);
} MigSink;

typedef struct MigObserver {
    void *opaque;
    /* A monitor event, when it happens. */
    void (*event)(void *opaque, int64_t at, const char *name, const char *status, uint64_t pass);
    /* After every operation. May be NULL. */
    void (*op)(void *opaque, const MigOp *op, const MigOutcome *outcome);
    /* A message of the return path, when it arrives; with MigVirtualConfig.source. May be NULL. */
    void (*answer)(void *opaque, const MigRecord *message, const void *payload);
} MigObserver;

/* chunk 0: pages travel in the stream. */
typedef struct MigRdmaConfig {
    uint64_t chunk; /* bytes that are registered at once, a power of two from a page on */
    bool pin_all;
} MigRdmaConfig;

typedef struct MigRdmaCounts {
    uint64_t writes, registrations, controls;
    uint64_t fills; /* runs of zero pages in chunks that nobody had written to */
} MigRdmaCounts;

typedef struct MigVirtualConfig {
    MigClock *clock;
    MigMemory *memory;           /* the source's */
    MigCosts costs;              /* the source's host */
    MigCosts receiver;           /* the destination's */
    uint64_t decompress_threads; /* the destination's */
    MigLinkConfig link;
    MigGuestHooks guest;  /* functions may be NULL */
    MigSink sink;         /* bytes NULL: accounting */
    MigObserver observer; /* functions may be NULL */
    /*
     * With postcopy: the destination speaks for itself (mig_virtual_answer()), and what it says
     * goes to this source; its bytes come when they have arrived. NULL: the world answers.
     */
    MigSource *source;
    /* The devices' state, asked for once with the guest stopped; the world frees it. */
    MigDevices *(*devices)(void *opaque);
    void *devices_opaque;
    MigRdmaConfig rdma;
    int64_t limit; /* ns: pages of one operation end there, as all does; 0: none */
    bool elastic;  /* what is flushed waits in a buffer without bounds for MIG_OP_DRAIN */
} MigVirtualConfig;

typedef struct MigVirtual MigVirtual;

MigVirtual *mig_virtual_new(const MigVirtualConfig *config);
void mig_virtual_free(MigVirtual *v);

/* Does one operation; the clock then stands at outcome.now. */
MigOutcome mig_virtual_do(MigVirtual *v, const MigOp *op);

/* Time passes until |until| or an urgent request, to the ns: a sleep ends later by its cost. */
void mig_virtual_wait(MigVirtual *v, int64_t until);

/* For events: asked for here, run when the clock passes them, inside operations. */
MigEvents *mig_virtual_events(MigVirtual *v);

/* The operation under way (if it can be) ends with this interrupt. */
void mig_virtual_interrupt(MigVirtual *v, MigInterrupt why);

/* Cuts the link: from now on writes fail with |error| (static text). */
void mig_virtual_cut(MigVirtual *v, const char *error);

/*
 * Postcopy. The destination says |message| now, or |delay| ns later; |payload|: see
 * mig_source_message(). After a cut nothing can connect until mig_virtual_restore(), when the cut
 * took the link down with it (mig_virtual_take_down()).
 */
void mig_virtual_answer(MigVirtual *v, const MigRecord *message, const void *payload,
                        int64_t delay);
void mig_virtual_take_down(MigVirtual *v);
void mig_virtual_restore(MigVirtual *v);

/*
 * What a migrate_cancel does beside mig_source_cancel(): shuts the channels down, so that a blocked
 * write ends at once and later ones fail.
 */
void mig_virtual_cancel(MigVirtual *v);

MigRdmaCounts mig_virtual_rdma_counts(const MigVirtual *v);

/* When the receiver had worked on everything sent so far, ns. */
int64_t mig_virtual_receiver_done(const MigVirtual *v);

/*
 * SHA-256, hexadecimal, of what happened when (the same with and without a sink), and of the bytes
 * sent (NULL without a sink). To be called once, at the end; strings are the world's.
 */
const char *mig_virtual_events_digest(MigVirtual *v);
const char *mig_virtual_bytes_digest(MigVirtual *v);

#endif
