/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who comes to a listener: a destination's connections, told apart as QEMU's destination does.
 *
 *     listener --> connections in their order --(rules: order, or first bytes)--> main, multifd,
 * more
 */
#ifndef MIG_SIM_WORLD_ARRIVALS_H
#define MIG_SIM_WORLD_ARRIVALS_H

#include "sim/engine/capabilities.h"
#include "sim/world/transport.h"
#include "stream/version.h"

typedef struct MigArrivals MigArrivals;

typedef enum MigArrival {
    MIG_ARRIVAL_MAIN,
    MIG_ARRIVAL_MULTIFD,
    MIG_ARRIVAL_EXTRA, /* behind all of these: preempt, or nobody that is expected */
} MigArrival;

/* |l| must outlive it. */
MigArrivals *mig_arrivals_new(MigListener *l);
void mig_arrivals_free(MigArrivals *a); /* NULL is fine; closes connections that nobody took */

/*
 * Waits until somebody is there, who may be anybody. False and *error: also when |wake| became
 * readable (EINTR); it may be asked again then.
 */
bool mig_arrivals_any(MigArrivals *a, int wake, GError **error);

/* Who is to come: the main channel and |channels| of multifd. To be said before the first
 * mig_arrivals_next(). */
void mig_arrivals_expect(MigArrivals *a, const MigEra *era, MigCapabilitySet capabilities,
                         uint32_t channels);

/* True when the main channel and all of multifd's have been handed out. */
bool mig_arrivals_complete(const MigArrivals *a);

/* The next connection, and what it is. NULL and *error as mig_arrivals_any(). */
MigTransport *mig_arrivals_next(MigArrivals *a, int wake, MigArrival *what, GError **error);

#endif
