/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's socket: unix:PATH or tcp:HOST:PORT, several clients at a time, each a MigQmp.
 *
 *     loop of the caller (a GMainContext) --> accept, read --> MigQmp --> write
 *
 * Nothing blocks but mig_monitor_server_free(), which gives clients a second to take what is left.
 */
#ifndef MIG_SIM_MONITOR_SERVER_H
#define MIG_SIM_MONITOR_SERVER_H

#include "sim/monitor/monitor.h"

#define MIG_MONITOR_MAX_CLIENTS 16

typedef struct MigMonitorServer MigMonitorServer;

/*
 * Listens on |address| in |context| (NULL: the default one). A socket that an ended process left at
 * PATH is replaced. NULL and *error. |m| must outlive it.
 */
MigMonitorServer *mig_monitor_server_new(MigMonitor *m, const char *address, GMainContext *context,
                                         GError **error);
void mig_monitor_server_free(MigMonitorServer *s); /* NULL is fine */

/* Where it listens, with the port that was chosen for port 0. */
const char *mig_monitor_server_address(const MigMonitorServer *s);

/* Writes what clients can take at once, without running the loop. */
void mig_monitor_server_flush(MigMonitorServer *s);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigMonitorServer, mig_monitor_server_free)

#endif
