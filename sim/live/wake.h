/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT and SIGTERM as something that can be waited for. */
#ifndef MIG_SIM_LIVE_WAKE_H
#define MIG_SIM_LIVE_WAKE_H

/*
 * Once per process: from now on each of the signals makes the returned descriptor readable (one
 * byte each) instead of ending the program, and writing to what nobody reads is an error and no
 * SIGPIPE. -1 when there are no descriptors left.
 */
int mig_wake_on_signals(void);

#endif
