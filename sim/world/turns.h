/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may work on what two threads share, one at a time: a lock with a preference. The thread of
 * the background takes it again and again, and a plain mutex would be its own again before the
 * other has even woken; here who waits in a hurry is next.
 *
 *     background: take(t, false) ... some microseconds ... give(t), and again
 *     urgent:     take(t, true) ... give(t)
 */
#ifndef MIG_SIM_WORLD_TURNS_H
#define MIG_SIM_WORLD_TURNS_H

#include <pthread.h>
#include <stdbool.h>

typedef struct MigTurns {
    pthread_mutex_t lock; /* of what follows; held for moments */
    pthread_cond_t urgent, background;
    _Atomic unsigned hurried; /* who wait in a hurry; changed under the lock */
    bool taken;
} MigTurns;

void mig_turns_init(MigTurns *t);
void mig_turns_clear(MigTurns *t); /* nobody has it, nobody waits */

/* Waits for it. Not to be taken twice by one thread. */
void mig_turns_take(MigTurns *t, bool urgent);
void mig_turns_give(MigTurns *t);

/* Somebody waits in a hurry. To be asked by who has the turn, or by anybody as a guess. */
bool mig_turns_wanted(MigTurns *t);

#endif
