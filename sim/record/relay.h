/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands between two ends of a migration, passes on what they say, and shows it to somebody.
 *
 *     source --connects--> [ listen | relay | connect ] --> destination
 *                              |
 *                              +-> tap: channels by name, chunks with their time
 *
 * Every connection of the source is matched by one to the destination at once, so that both see the
 * same order. On the way the line can be shaped: rate and delay, a stall, cuts. Channels have the
 * names of sim/world/capture.h; those that come after a break are "main.2" and so on.
 */
#ifndef MIG_SIM_RECORD_RELAY_H
#define MIG_SIM_RECORD_RELAY_H

#include "sim/record/teller.h"
#include "sim/world/uri.h"

#define MIG_RELAY_CUTS 64u

/* Of what the source sends, all channels together; answers are delayed only. */
typedef struct MigRelayShape {
    uint64_t rate;                 /* bytes/s, 0: as fast as it goes */
    int64_t delay, jitter;         /* ns, one way, each direction; jitter adds 0 .. jitter */
    uint64_t seed;                 /* of the jitter */
    uint64_t cuts[MIG_RELAY_CUTS]; /* bytes, rising: when these have arrived the line breaks */
    unsigned cut_count;
    int64_t cut_after; /* ns since the first connection: the line breaks; 0: it doesn't */
    uint64_t stall_at; /* bytes: behind this many nothing goes on for stall_for ns */
    int64_t stall_for;
} MigRelayShape;

typedef struct MigRelayConfig {
    const MigUri *listen, *connect;
    const MigUri *connect_again; /* for connections behind a break; NULL: as the first ones */
    unsigned breaks;             /* how often the ends may come back after all connections broke */
    MigRelayShape shape;
    MigTap tap; /* whose refusal ends the relay */
} MigRelayConfig;

typedef struct MigRelay MigRelay;

/* Listens. NULL and *error. Keeps |config|'s URIs by reference. */
MigRelay *mig_relay_new(const MigRelayConfig *config, GError **error);
void mig_relay_free(MigRelay *r); /* NULL is fine */

/* Where it listens: "tcp:127.0.0.1:49152". */
const char *mig_relay_address(const MigRelay *r);

/*
 * Until the last connection has ended and none may come any more, or |wake| is readable (that is a
 * good end, too). False and *error when an end can't be reached or the tap refuses.
 */
bool mig_relay_run(MigRelay *r, int wake, GError **error);

typedef struct MigRelayCounts {
    uint64_t forward, back; /* bytes */
    unsigned connections, breaks;
} MigRelayCounts;

const MigRelayCounts *mig_relay_counts(const MigRelay *r);

#endif
