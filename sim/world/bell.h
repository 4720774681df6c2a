/* SPDX-License-Identifier: Apache-2.0 */
/* An eventfd by which one thread wakes another that polls. */
#ifndef MIG_SIM_WORLD_BELL_H
#define MIG_SIM_WORLD_BELL_H

/* A descriptor to be polled for reading and closed, or -1: there are none left (errno). */
int mig_bell_new(void);

/* Readable from now on; not any more. How often it was rung is not told. */
void mig_bell_ring(int bell);
void mig_bell_heard(int bell);

#endif
