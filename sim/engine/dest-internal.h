/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the destination: what its files share. dest.c has the handlers of records, dest-postcopy.c
 * the phases of postcopy, dest-place.c its host pages and requests.
 */
#ifndef MIG_SIM_ENGINE_DEST_INTERNAL_H
#define MIG_SIM_ENGINE_DEST_INTERNAL_H

#include <glib.h>

#include "sim/engine/blocktime.h"
#include "sim/engine/dest-disks.h"
#include "sim/engine/dest-postcopy.h"
#include "sim/engine/dest-remote.h"
#include "sim/engine/states.h"
#include "stream/page-codec.h"

typedef struct MigDestBlock {
    uint32_t memory; /* index in memory */
    uint64_t fresh;  /* from this page on nothing has come */
} MigDestBlock;

/* The host page that a channel has under way, in postcopy. */
typedef struct MigDestLane {
    MigDecoder *decoder;
    MigRecord record; /* whose payload is under way */
    uint8_t *host;    /* room for the largest host page */
    uint32_t block;
    uint64_t first, count, got; /* target pages; got 0: none is under way */
    bool zero;                  /* all of it so far */
} MigDestLane;

struct MigDest {
    MigDestConfig config;
    char *machine;
    MigDecoder *decoder;
    MigDestState state;
    MigDestCounts counts;
    MigDiagnosis error;
    MigDestMultifd *multifd; /* NULL: without */
    MigDestDisks *disks;
    struct MigDestMapped *mapped; /* NULL: without mapped-ram */
    GArray *blocks;               /* MigDestBlock, by index in the stream's list */
    bool configured;              /* the configuration section was seen */
    bool capabilities_seen;
    bool ended;        /* END_OF_STREAM was seen */
    bool end_waits;    /* it came before the last pages of the preempt channel */
    bool acknowledged; /* SWITCHOVER_ACK was sent, where one is enough */
    uint32_t acks;     /* of devices, that were not sent yet */
    bool described;    /* the VMDESCRIPTION's record was seen */

    /* The payload under way. */
    MigRecord record;
    uint8_t *page;   /* scratch */
    uint8_t *target; /* where it goes */
    uint8_t *body;
    MigPageCodec *codec; /* of compressed pages; NULL: none came */
    bool is_globalstate;
    char *device; /* idstr of the section under way */
    uint32_t device_instance, device_version;
    char run_state[100];
    const MigDecoder *pumped; /* whose record is being handled */

    /* Postcopy. */
    MigDestHooks hooks;
    MigIncoming incoming;
    MigStatusName status;
    GPtrArray *decoders; /* of main channels, the present one last */
    MigDestLane main, preempt;
    MigBitmap **received;   /* by block of memory; NULL before ADVISE */
    GTree *outstanding;     /* (block, page) of host pages that were asked for */
    uint32_t asked_block;   /* of the last request; UINT32_MAX: none since the line is new */
    const uint8_t *payload; /* see mig_dest_reply_payload() */
    MigPlaced placed;
    MigBlocktimes *blocktimes;
    int64_t now;
};

static inline bool mig_dest_listens(const MigDest *d)
{
    return d->incoming >= MIG_INCOMING_LISTENING;
}

static inline bool mig_dest_runs(const MigDest *d)
{
    return d->incoming >= MIG_INCOMING_RUNNING;
}

static inline const MigEra *mig_dest_era(const MigDest *d)
{
    return &d->config.era;
}

/* Fails. Always false. */
bool mig_dest_refuse(MigDest *d, MigFault fault, const char *found, const char *expected, ...)
    __attribute__((format(printf, 4, 5)));
bool mig_dest_refuse_number(MigDest *d, const char *what, uint64_t found, uint64_t expected);

/* Where the page of |r| belongs in memory; false: refused. */
bool mig_dest_page_at(MigDest *d, const MigRecord *r, uint32_t *block, uint64_t *page);

/* A page of the list's block |index| is coming. */
void mig_dest_note_page(MigDest *d, uint32_t index, uint64_t page);

/* A message of the return path with a value: PONG, RESUME_ACK. */
void mig_dest_reply_value(MigDest *d, uint16_t type, uint32_t value);

/* Handles what there is, until more has to be fed. False: failed. */
bool mig_dest_pump(MigDest *d);
bool mig_dest_on_unsupported(MigDest *d, const MigRecord *r);

/* Devices: the version of the section that begins, its body, and when its |n| bytes have come. */
bool mig_dest_device_version(MigDest *d);
bool mig_dest_on_body(MigDest *d, const MigRecord *r);
bool mig_dest_device_done(MigDest *d, size_t n);

/* dest-packed.c: the records, and what to do when their payload is complete. */
bool mig_dest_on_xbzrle(MigDest *d, const MigRecord *r);
bool mig_dest_on_compressed(MigDest *d, const MigRecord *r);
bool mig_dest_apply_delta(MigDest *d);
bool mig_dest_decompress(MigDest *d);

/* dest-postcopy.c */
void mig_dest_postcopy_init(MigDest *d);
void mig_dest_postcopy_free(MigDest *d);
void mig_dest_begins(MigDest *d); /* the first bytes are here */
void mig_dest_tell(MigDest *d);   /* the state has changed: the status follows */
void mig_dest_change(MigDest *d, MigStatusName to);
bool mig_dest_postcopy_command(MigDest *d, const MigRecordCommand *c);
bool mig_dest_postcopy_end(MigDest *d);

/* dest-place.c */
void mig_dest_received_init(MigDest *d);
bool mig_dest_discard(MigDest *d, uint32_t block, uint64_t first, uint64_t count);
/* ZERO or PAGE in postcopy, and the latter's payload. */
bool mig_dest_host_page(MigDest *d, MigDestLane *lane, const MigRecord *r);
bool mig_dest_host_page_filled(MigDest *d, MigDestLane *lane);
void mig_dest_lane_reset(MigDest *d, MigDestLane *lane);
void mig_dest_ask_again(MigDest *d); /* for everything outstanding, over a new line */
uint64_t mig_dest_host_pages(const MigDest *d, uint32_t block); /* target pages in a host page */

#endif
