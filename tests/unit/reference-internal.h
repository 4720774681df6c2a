/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the plain simulator (reference.h): what its files share. */
#ifndef MIG_TESTS_REFERENCE_INTERNAL_H
#define MIG_TESTS_REFERENCE_INTERNAL_H

#include "tests/unit/reference-guest.h"
#include "tests/unit/reference-link.h"
#include "tests/unit/reference-xbzrle.h"
#include "tests/unit/reference.h"

#define PAGE     REFERENCE_PAGE
#define V(a, b)  ((a) << 8 | (b))
#define HAS(cap) (m->s->capabilities & MIG_CAP_BIT(MIG_CAP_##cap))
#define MS       (m->now / 1000000)
#define BLOCK(i) g_array_index(m->s->blocks, MigScenarioBlock, i)

/* Compress threads rest when XBZRLE has taken over. */
#define COMPRESSES (HAS(COMPRESS) && !(HAS(XBZRLE) && m->round_done))
#define PER_ROUND  (HAS(MULTIFD) && m->v >= V(8, 1)) /* multifd's syncs; else at sections' ends */

typedef struct ReferenceMultifd ReferenceMultifd;
typedef struct ReferenceCompress ReferenceCompress;
typedef struct ReferencePostcopy ReferencePostcopy;

/* QEMU's stream object: |copied| bytes in its buffer, |vectors| in its list, |open|: the last of
 * them goes on. */
typedef struct ReferenceStream {
    uint64_t copied, vectors, pending;
    bool open;
} ReferenceStream;

typedef struct Sim {
    const MigScenario *s;
    const MigParameters *p;
    Reference *r;
    MigVersion v;
    int64_t now;
    GArray *events; /* what happens at a time */
    ReferenceGuest guest;
    ReferenceLink link;
    ReferenceStream stream;
    ReferenceXbzrle xbzrle;
    ReferenceMultifd *multifd;        /* NULL: off */
    ReferenceCompress *compress;      /* likewise */
    ReferencePostcopy *postcopy;      /* likewise: nobody will start it */
    int64_t cost, work;               /* ps, less than a ns each but for what is to be written */
    uint64_t waiting;                 /* 1.4: flushed, and not written */
    uint64_t written, handed, placed; /* bytes: main channel; multifd's; mapped-ram's file */
    uint64_t beside;                  /* written on other channels */
    bool unlimited, pushing, urgent;  /* the guest stopped; postcopy; a page was asked for */

    uint64_t position, at_block, last_sent; /* a page; its block, and that of the last one sent */
    uint64_t dirty, new_dirty, rate, uncleared; /* bits */
    bool round_done, vain; /* the search has been round all blocks; it found nothing */
    int64_t window, last_rate, forced, first_write, stopped;
    uint64_t ram_bytes, period_bytes, counted, threshold, idle, strikes;
    bool limited;
    int64_t limit_began, largest_rate; /* of any vCPU in any period, MB/s */
    int64_t processors[64];            /* ns: when each is free for a thread */
} Sim;

/* An operation can't begin any more. */
bool reference_over(Sim *m);

GArray *reference_events_new(void);

/* Time. What was asked for happens on the way, in the order of its times. */
typedef void (*ReferenceEventFn)(Sim *m, uint64_t argument);
void reference_later(Sim *m, int64_t at, ReferenceEventFn fn, uint64_t argument);
void reference_pass(Sim *m, int64_t until);
void reference_wait(Sim *m, int64_t until, const bool *ends); /* or until that is so */
int64_t reference_next(const Sim *m);                         /* INT64_MAX: nothing will happen */
/* Costs of pages: the sum is rounded. */
void reference_price(Sim *m, int64_t ps);
/* When work of |ps| is done on one of |count| processors. */
int64_t reference_work(Sim *m, int64_t ps, int64_t count);

/* The main channel: |n| copied bytes one by one, or in a piece; a page by reference. */
void reference_put(Sim *m, uint64_t n);
void reference_put_piece(Sim *m, uint64_t n);
void reference_put_page(Sim *m);
void reference_flush(Sim *m);
/* What was flushed goes to the socket, with 1.4 not by itself: at most |limit| bytes. */
void reference_write(Sim *m, uint64_t limit);

/* The same as operations: none begins when time is up. */
void reference_spend(Sim *m, int64_t ns);
void reference_sleep(Sim *m, int64_t ns); /* a request for a page ends it, too */
void reference_send(Sim *m, uint64_t n);
void reference_send_flush(Sim *m);

/* mapped-ram: bytes past the stream. */
void reference_place(Sim *m, uint64_t n);

/* From the connection to the first section's end, but for the sync. */
void reference_make(Sim *m);
void reference_clear(Sim *m);
void reference_set_up(Sim *m, bool returns);
void reference_sync(Sim *m, bool counts);

/* The loop's parts. */
bool reference_exceeded(const Sim *m);
void reference_wait_window(Sim *m);
void reference_stop(Sim *m); /* the guest */
void reference_section(Sim *m, bool final);

/* A record on the main channel, or in mapped-ram's file; |delta| of XBZRLE: bytes, -1: none. */
void reference_send_record(Sim *m, ReferencePage *p, bool zero, bool cached, int delta);

/* A page on its way. NOT_SENT: time was up. */
typedef enum ReferenceSent { NOT_SENT, SENT, UNCHANGED } ReferenceSent;
ReferenceSent reference_send_page(Sim *m, ReferencePage *p);

/* Multifd's channels. False: time was up, and the packet was not handed over. */
void reference_multifd_open(Sim *m);
bool reference_multifd_make_room(Sim *m, uint64_t block); /* for a page of it */
bool reference_multifd_queue(Sim *m, ReferencePage *p);
bool reference_multifd_sync(Sim *m);
void reference_multifd_close(Sim *m);

/* A second and more is over, in which so many bytes were sent: auto-converge, or a dirty limit. */
void reference_converge(Sim *m, uint64_t sent);
/* An operation that begins when no vCPU sleeps for its limit. */
void reference_limit_spend(Sim *m, int64_t ns);

/* Background snapshot. */
void reference_snapshot_run(Sim *m, uint64_t tail);
void reference_snapshot_jump(Sim *m); /* to a page that a vCPU waits for */
/* False: time was up, and nobody may write to the page. Without a snapshot: true. */
bool reference_snapshot_saved(Sim *m, ReferencePage *p);

/* Postcopy. */
void reference_postcopy_open(Sim *m);
bool reference_postcopy_wanted(const Sim *m);
void reference_postcopy_run(Sim *m, uint64_t devices); /* from the switchover to the end */
void reference_postcopy_ping(Sim *m, uint64_t value);
void reference_postcopy_written(Sim *m, uint64_t n, const ReferenceWrite *w); /* main channel */
void reference_postcopy_end(Sim *m); /* the end was queued: until the destination's verdict */
void reference_postcopy_close(Sim *m);

/* Compress threads. A page: false, none takes it, and it goes as it is. */
void reference_compress_open(Sim *m);
bool reference_compress_page(Sim *m, ReferencePage *p, bool named);
bool reference_compress_flush(Sim *m); /* false: time was up */
void reference_compress_close(Sim *m);

#endif
