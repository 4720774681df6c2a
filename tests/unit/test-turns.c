/* SPDX-License-Identifier: Apache-2.0 */
/* The lock with a preference: one at a time, and who is in a hurry is next. */
#include <glib.h>

#include "sim/world/hurry.h"
#include "sim/world/turns.h"

#define ROUNDS 20000

typedef struct Shared {
    MigTurns turns;
    unsigned inside, count; /* of whoever has the turn */
    unsigned order;         /* of turns; the urgent one's is noted */
    unsigned urgent_at;
} Shared;

static void work(Shared *s, bool urgent)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        mig_turns_take(&s->turns, urgent);
        g_assert_cmpuint(s->inside++, ==, 0);
        s->count++;
        s->inside--;
        mig_turns_give(&s->turns);
    }
}

static gpointer work_urgently(gpointer shared)
{
    work(shared, true);
    return NULL;
}

static void test_exclusive(void)
{
    Shared s = { .count = 0 };
    mig_turns_init(&s.turns);
    GThread *a = g_thread_new("a", work_urgently, &s), *b = g_thread_new("b", work_urgently, &s);
    work(&s, false);
    g_thread_join(a);
    g_thread_join(b);
    g_assert_cmpuint(s.count, ==, 3 * ROUNDS);
    mig_turns_clear(&s.turns);
}

static gpointer ask_once(gpointer shared)
{
    Shared *s = shared;
    mig_turns_take(&s->turns, true);
    s->urgent_at = s->order++;
    mig_turns_give(&s->turns);
    return NULL;
}

/* As soon as somebody waits in a hurry, the background doesn't get another turn before. */
static void test_preference(void)
{
    Shared s = { .count = 0 };
    mig_turns_init(&s.turns);
    mig_turns_take(&s.turns, false);
    GThread *urgent = g_thread_new("urgent", ask_once, &s);
    bool waits = false;
    while (!waits) { /* it has the lock's own mutex for moments only */
        g_thread_yield();
        pthread_mutex_lock(&s.turns.lock);
        waits = s.turns.hurried > 0;
        pthread_mutex_unlock(&s.turns.lock);
    }
    mig_turns_give(&s.turns);
    mig_turns_take(&s.turns, false);
    unsigned background_at = s.order++;
    mig_turns_give(&s.turns);
    g_thread_join(urgent);
    g_assert_cmpuint(s.urgent_at, <, background_at);
    mig_turns_clear(&s.turns);
}

/* A wish that is taken back leaves nothing behind. */
static void test_hurry(void)
{
    if (!mig_hurry(true)) {
        g_test_skip(
            "this kernel has no slices to choose (Linux 6.12), or the thread is no ordinary one");
        return;
    }
    g_assert_true(mig_hurry(false));
    g_assert_true(mig_hurry(true));
    g_assert_true(mig_hurry(false));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/turns/exclusive", test_exclusive);
    g_test_add_func("/turns/preference", test_preference);
    g_test_add_func("/turns/hurry", test_hurry);
    return g_test_run();
}
