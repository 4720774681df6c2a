/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread on which others wait: it asks the kernel to let it run as soon as it has something to
 * do, rather than when whoever has the processor has used up its slice.
 */
#ifndef MIG_SIM_WORLD_HURRY_H
#define MIG_SIM_WORLD_HURRY_H

#include <stdbool.h>

/* Of the calling thread, from now on. A wish: false where the kernel doesn't know such wishes. */
bool mig_hurry(bool on);

#endif
