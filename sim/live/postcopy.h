/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live destination whose guest may run before its pages have come: the part of dest.c that
 * has the channels when the capability postcopy-ram is on.
 *
 *     main     --bytes--> engine --pages--> memory <--touches-- guest
 *     preempt  --bytes-->        <------------------faults-----
 *     main     <--requests, pongs, bitmaps--
 *
 *     p = mig_live_postcopy_new(); mig_live_postcopy_load(p, listener, main); ..._free(p)
 */
#ifndef MIG_SIM_LIVE_POSTCOPY_H
#define MIG_SIM_LIVE_POSTCOPY_H

#include <json-c/json.h>

#include "sim/live/live.h"
#include "sim/world/receivers.h"

typedef struct MigLivePostcopy MigLivePostcopy;

/*
 * Makes |load|'s engine, over its memory. |s|, |options| and |load| must outlive it. NULL and
 * *error where this machine or this user can't have postcopy.
 */
MigLivePostcopy *mig_live_postcopy_new(const MigScenario *s, MigCapabilitySet capabilities,
                                       uint32_t multifd_channels, const MigLiveOptions *options,
                                       MigLoad *load, GError **error);
void mig_live_postcopy_free(MigLivePostcopy *p); /* NULL is fine */

/*
 * Loads what comes over |main| (which it takes) and whoever else |listener| accepts: the preempt
 * channel, and the channels of a recovery. |receivers|: the threads of multifd, for precopy, which
 * outlive it; or NULL. Ends when everything has come, or nothing more will.
 */
void mig_live_postcopy_load(MigLivePostcopy *p, MigListener *listener, MigTransport *main,
                            MigReceivers *receivers);

/*
 * For a monitor, between two operations of the loop (from woken()): migrate-pause and
 * migrate-recover. NULL, or why not; g_free(). |listener| is the steerer's until the end, or NULL:
 * the same as before.
 */
char *mig_live_postcopy_pause(MigLivePostcopy *p);
char *mig_live_postcopy_recover(MigLivePostcopy *p, MigListener *listener);

/* Likewise, and behind the end: what query-migrate says of status and block times. New. */
json_object *mig_live_postcopy_query(MigLivePostcopy *p);

/* What became of it; to be put into a result's "destination". New. */
json_object *mig_live_postcopy_to_json(const MigLivePostcopy *p);

#endif
