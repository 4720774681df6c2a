/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving threads of multifd, one for each channel: each reads its channel to where the
 * engine wants the bytes, and stands still at a sync point until the main channel has come there.
 *
 *     transport --readv--> pages where they belong, headers --> engine (dest-multifd.h)
 *     main thread <--descriptor, error, "all are there"--
 */
#ifndef MIG_SIM_WORLD_RECEIVERS_H
#define MIG_SIM_WORLD_RECEIVERS_H

#include "sim/engine/dest-multifd.h"
#include "sim/world/transport.h"

typedef struct MigReceivers MigReceivers;

/*
 * Takes |count| transports over and begins. |m| must outlive it, and is fed by it alone. NULL when
 * there are no descriptors left: the transports are closed then, too.
 */
MigReceivers *mig_receivers_new(MigDestMultifd *m, MigTransport *const *list, uint32_t count,
                                GError **error);
/* Ends the threads, whatever they are doing, and closes the channels. Returns their system calls.
 */
uint64_t mig_receivers_stop(MigReceivers *r);
/* NULL is fine. */
void mig_receivers_free(MigReceivers *r);

/* Readable when something has happened; mig_receivers_heard() empties it. */
int mig_receivers_fd(const MigReceivers *r);
void mig_receivers_heard(MigReceivers *r);

/*
 * The main channel is at a sync point. True: all channels are there, too, and go on. False: not
 * yet, or never, as mig_receivers_error() says.
 */
bool mig_receivers_sync(MigReceivers *r);

/* Why the first of them failed, borrowed, or NULL. */
const char *mig_receivers_error(MigReceivers *r);

#endif
