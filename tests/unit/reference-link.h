/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link of the plain simulator (reference.h): a socket buffer, a wire whose rate may vary, a
 * receiver that works on one write after the other. When something leaves is found anew
 * from the beginning of the busy period, nothing of that is kept between two questions. Shares
 * nothing with sim/world.
 */
#ifndef MIG_TESTS_REFERENCE_LINK_H
#define MIG_TESTS_REFERENCE_LINK_H

#include <glib.h>

#include "sim/world/link.h"

typedef unsigned __int128 ReferenceAmount; /* nanobits, times payload's part of a frame */

typedef struct ReferenceLink {
    MigLinkConfig c;
    int64_t since;          /* ns: from then on there always was something to send */
    ReferenceAmount tokens; /* that the bucket had then */
    uint64_t bytes;         /* to be sent since then */
    uint64_t accepted;      /* ever */
    uint64_t room;          /* of both buffers, bytes */
    int64_t receiver;       /* ns, when it has worked on all of them */
    uint64_t worked;        /* bytes that it had worked on at the last write */
    GArray *writes;         /* that it had not */
} ReferenceLink;

typedef struct ReferenceWrite {
    int64_t began;                   /* ns: its first byte met the wire */
    int64_t accepted, arrived, done; /* of its last byte; |done|: the receiver with it */
} ReferenceWrite;

/* |flows|: streams that share the wire with others. What leaves behind |horizon| is too late. */
void reference_link_init(ReferenceLink *l, const MigLinkConfig *c, uint32_t flows, int64_t horizon);
void reference_link_clear(ReferenceLink *l);

ReferenceWrite reference_link_write(ReferenceLink *l, int64_t now, uint64_t n, int64_t work);

/* Of another stream beside it, half and half while both have something: when it is there. */
int64_t reference_link_overtake(ReferenceLink *l, int64_t now, uint64_t n);

/* How long the wire was with the |n| bytes of a write. */
int64_t reference_link_span(const ReferenceLink *l, const ReferenceWrite *w, uint64_t n);

/* What goes back. */
void reference_link_init_back(ReferenceLink *l, const MigLinkConfig *c, int64_t horizon);
/* When an answer of |n| bytes, given at |at| on the way back of |c|, is there. */
int64_t reference_link_answer(const MigLinkConfig *c, int64_t horizon, int64_t at, uint64_t n);

#endif
