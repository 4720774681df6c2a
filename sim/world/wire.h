/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a wire takes of one sender who always has something, while its bandwidth changes, others
 * send, and a token bucket shapes him.
 *
 *     trace, or bandwidth ----+
 *     background's load ------+--> rate of ours, piece by piece --> bucket --> what has left
 *
 * Exact: amounts are nanobits (what 1 bit/s takes in 1 ns), times payload's part of a frame where
 * there is framing, so that all of them are whole numbers at whole nanoseconds. The model is that
 * of one step per ns: it takes the rate, or what the bucket has and gets in it, whichever is less.
 * Within a piece of constant rate that is a formula, so a piece costs as much as a step.
 */
#ifndef MIG_SIM_WORLD_WIRE_H
#define MIG_SIM_WORLD_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/world/rates.h"

/* Of the wire's bytes, headers included. Full in the beginning. */
typedef struct MigTokenBucket {
    uint64_t rate;  /* bit/s; 0: there is none */
    uint64_t burst; /* bytes */
    uint64_t peak;  /* bit/s while there are tokens; 0: the wire's */
} MigTokenBucket;

/*
 * What others send: as much as |load| says, but where that is more than is left, the wire is shared
 * fairly among all flows, ours and theirs. What they could not send is gone (they don't make up for
 * it later).
 */
typedef struct MigBackground {
    MigRates load;  /* bit/s of the wire; without points: nothing */
    uint32_t flows; /* at least 1 */
} MigBackground;

typedef struct MigWireConfig {
    uint64_t bandwidth; /* bit/s, above 0 unless there is a trace */
    MigRates trace;     /* instead of it; some rate is above 0 */
    MigBackground background;
    MigTokenBucket bucket;
    uint32_t flows;          /* ours, at least 1 */
    uint32_t payload, frame; /* bytes of each frame; equal where there is no framing */
    int64_t horizon;         /* ns; what leaves later leaves at horizon + 1 */
} MigWireConfig;

typedef unsigned __int128 MigAmount; /* nanobits * payload */

typedef struct MigWire {
    MigWireConfig config;
    uint64_t per_byte; /* amount that a byte of payload is on the wire */
    uint64_t refill;   /* of the bucket in 1 ns */
    MigAmount burst;
} MigWire;

/* A time from which the rate is constant, and what had happened by then. */
typedef struct MigWirePiece {
    int64_t at, until;
    uint64_t rate;  /* amount per ns */
    MigAmount left; /* since the sender began */
    MigAmount tokens;
} MigWirePiece;

void mig_wire_init(MigWire *w, const MigWireConfig *config);

/* A sender begins at |at|, when the bucket has |tokens|. */
MigWirePiece mig_wire_begin(const MigWire *w, int64_t at, MigAmount tokens);

/*
 * The first whole ns by which |amount| has left. |p| goes forward to the piece in which that is;
 * it must not be behind it (p->left < amount, or it is the first one).
 */
int64_t mig_wire_reaches(const MigWire *w, MigWirePiece *p, MigAmount amount);

/* What has left by |at|; |p| goes forward to the piece around it, and is not behind it. */
MigAmount mig_wire_left(const MigWire *w, MigWirePiece *p, int64_t at);

/* The bucket's content at |at|, in the piece |p|, when |amount| and no more had left. */
MigAmount mig_wire_tokens(const MigWire *w, const MigWirePiece *p, int64_t at, MigAmount amount);

#endif
