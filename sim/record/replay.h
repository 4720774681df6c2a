/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays the source of a recording to a real destination: every channel over a connection of its
 * own, in the recorded order, and never past a place where the recorded source had heard more than
 * was said now.
 *
 *     recording --chunks--> [ what the source sent ] --connections--> destination
 *                           [ what it heard ]  <--compared--  what it says
 *
 * After a recorded break the connections are ended and new ones made; the destination has to be
 * told to listen again (migrate-recover), meanwhile connecting is tried again and again.
 */
#ifndef MIG_SIM_RECORD_REPLAY_H
#define MIG_SIM_RECORD_REPLAY_H

#include "sim/world/uri.h"

typedef struct MigReplayConfig {
    const char *path; /* a recording of channels, or anything else that inspect reads */
    const MigUri *connect;
    const MigUri *connect_again; /* after a break; NULL: as the first */
    double speed;     /* of the recorded times: 2 is twice as fast; 0: as fast as it goes */
    int64_t patience; /* ns that an answer or a connection may take */
    void (*broke)(void *opaque, unsigned generation); /* may be NULL: tell the destination now */
    void *opaque;
} MigReplayConfig;

typedef struct MigReplayCounts {
    uint64_t sent; /* bytes */
    unsigned connections, breaks;
    uint64_t requests_recorded, requests; /* for pages, which depend on the guest */
} MigReplayCounts;

/*
 * True when everything was sent and answered as recorded, or |wake| became readable. False and
 * *error: MIG_REPLAY_ERROR_PEER where the destination deviates, others for the environment.
 */
bool mig_replay(const MigReplayConfig *config, int wake, MigReplayCounts *counts, GError **error);

#define MIG_REPLAY_ERROR (g_quark_from_static_string("mig-replay-error"))
enum { MIG_REPLAY_ERROR_PEER };

#endif
