/* SPDX-License-Identifier: Apache-2.0 */
/* A lock with a preference, see turns.h. */
#include "sim/world/turns.h"

#include <assert.h>
#include <stdatomic.h>

void mig_turns_init(MigTurns *t)
{
    t->taken = false;
    atomic_init(&t->hurried, 0);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->urgent, NULL);
    pthread_cond_init(&t->background, NULL);
}

void mig_turns_clear(MigTurns *t)
{
    assert(!t->taken && t->hurried == 0);
    pthread_cond_destroy(&t->background);
    pthread_cond_destroy(&t->urgent);
    pthread_mutex_destroy(&t->lock);
}

void mig_turns_take(MigTurns *t, bool urgent)
{
    pthread_mutex_lock(&t->lock);
    t->hurried += urgent;
    while (t->taken || (!urgent && t->hurried > 0)) {
        pthread_cond_wait(urgent ? &t->urgent : &t->background, &t->lock);
    }
    t->hurried -= urgent;
    t->taken = true;
    pthread_mutex_unlock(&t->lock);
}

/* Who is woken runs at once and wants the lock: it is let go of before. */
void mig_turns_give(MigTurns *t)
{
    pthread_mutex_lock(&t->lock);
    assert(t->taken);
    t->taken = false;
    pthread_cond_t *next = t->hurried > 0 ? &t->urgent : &t->background;
    pthread_mutex_unlock(&t->lock);
    pthread_cond_signal(next);
}

bool mig_turns_wanted(MigTurns *t)
{
    return atomic_load_explicit(&t->hurried, memory_order_relaxed) > 0;
}
