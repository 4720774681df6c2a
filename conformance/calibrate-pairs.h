/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real pairs for calibration: two QEMUs of one peer on this host, our test guest in the source, one
 * migration over a unix socket. And the scenario that says the same to the simulator.
 *
 *     MigPair --> two processes --> query-migrate        MigPair --> MigScenario --> query-migrate
 */
#ifndef MIG_CONFORMANCE_CALIBRATE_PAIRS_H
#define MIG_CONFORMANCE_CALIBRATE_PAIRS_H

#include "conformance/peers/peers.h"
#include "conformance/qemu-trace.h"
#include "sim/calibrate/calibrate.h"
#include "sim/scenario/scenario.h"

#define MIG_PAIR_RAM (128u << 20) /* bytes of the guest */

typedef struct MigPair {
    const char *name, *title; /* name NULL ends the table */
    guint ram;                /* MiB; 0: MIG_PAIR_RAM */
    guint fill;               /* MiB of random bytes */
    guint pages, rate;        /* what is written, one after the other; 0: nothing */
    guint64 bandwidth;        /* bytes/s; 0: unlimited */
    bool xbzrle, multifd;
} MigPair;

/* For --validate. */
extern const MigPair mig_pairs[];

/* As query-migrate says it: ms, bytes. */
typedef struct MigPairResult {
    gint64 total_time, downtime, setup_time;
    guint64 transferred, passes;
    gint64 stop, start;  /* ns, what `stop` and `cont` took; when looked at closely */
    MigQemuTrace traced; /* likewise */
} MigPairResult;

typedef struct MigPairOptions {
    bool shared;  /* memory of a memfd */
    bool closely; /* stop and start the guest first, and have both ends trace */
} MigPairOptions;

/* False and *error. |peer| must have been probed. */
bool mig_pair_run(const MigPeer *peer, const MigPair *pair, const MigPairOptions *o,
                  MigPairResult *result, GError **error);
bool mig_pair_simulate(const MigPeer *peer, const MigPair *pair, const MigCalibration *host,
                       MigPairResult *result, GError **error);

/* Measures with |peer| what an engine alone can't: setup, stop and start, syncs, devices, pages end
 * to end. What was measured by then is there when it fails. */
bool mig_calibrate_with(MigCalibration *c, const MigPeer *peer, const MigCalibrateOptions *options,
                        GError **error);

#endif
