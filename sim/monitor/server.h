/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's socket: unix:PATH or tcp:HOST:PORT, several clients at a time, each a MigQmp.
 *
 *     the caller waits for one descriptor --> work(): accept, read --> MigQmp --> write
 *
 * Commands are executed inside work(), in the thread that calls it. Nothing blocks but work() with
 * a timeout, and mig_monitor_server_free(), which gives clients a second to take what is left.
 */
#ifndef MIG_SIM_MONITOR_SERVER_H
#define MIG_SIM_MONITOR_SERVER_H

#include "sim/monitor/monitor.h"

#define MIG_MONITOR_MAX_CLIENTS 16

typedef struct MigMonitorServer MigMonitorServer;

/*
 * Listens on |address|. A socket that an ended process left at PATH is replaced. NULL and *error.
 * |m| must outlive it.
 */
MigMonitorServer *mig_monitor_server_new(MigMonitor *m, const char *address, GError **error);
void mig_monitor_server_free(MigMonitorServer *s); /* NULL is fine */

/* Where it listens, with the port that was chosen for port 0. */
const char *mig_monitor_server_address(const MigMonitorServer *s);

/* Readable when there is something for work(). */
int mig_monitor_server_descriptor(const MigMonitorServer *s);

/* Waits |timeout| ms (-1: for ever, or a signal) until there is something to do, and does it. */
void mig_monitor_server_work(MigMonitorServer *s, int timeout);

/* Writes what clients can take at once. */
void mig_monitor_server_flush(MigMonitorServer *s);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigMonitorServer, mig_monitor_server_free)

#endif
