/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The urgent thread of a real source, see real-urgent.h. It lives from the start of the postcopy
 * phase on as long as its channels do: a broken line ends it, a recovery begins another one.
 */
#include "sim/world/real-urgent.h"

#include <poll.h>
#include <unistd.h>

#include "sim/world/bell.h"
#include "sim/world/hurry.h"
#include "sim/world/real-internal.h"
#include "sim/world/turns.h"

struct MigRealUrgent {
    MigReal *real;
    GThread *thread;
    MigTurns turns;
    int kick; /* bell: the thread is to look */
    int told; /* bell: the main thread is to look */
    bool ending;
};

/* The thread ------------------------------------------------------------------------------- */

static void serve(MigReal *r)
{
    MigSource *s = r->config.postcopy;
    const MigOp *op = r->error ? NULL : mig_source_urgent_next(s, NULL);
    while (op) {
        MigOutcome outcome = mig_real_perform(r, op);
        op = mig_source_urgent_next(s, &outcome);
    }
}

/* In a turn. True: there is something for the main thread, too. */
static bool be_urgent(MigReal *r)
{
    uint64_t before = mig_real_postcopy_others(r->postcopy);
    mig_real_hear(r);
    serve(r);
    return r->error || mig_real_postcopy_others(r->postcopy) != before;
}

static int return_fd(const MigReal *r)
{
    bool listens = !r->error && mig_real_is_heard(r) && !mig_real_postcopy_done(r->postcopy);
    return listens ? mig_transport_fd(mig_real_channel_of(r, 0)->transport, MIG_WAIT_READ) : -1;
}

static gpointer run(gpointer opaque)
{
    MigRealUrgent *u = opaque;
    bool over = false;
    mig_hurry(true);
    while (!over) {
        mig_turns_take(&u->turns, true);
        bool tells = !u->ending && be_urgent(u->real);
        struct pollfd f[] = { { .fd = return_fd(u->real), .events = POLLIN },
                              { .fd = u->kick, .events = POLLIN } };
        over = u->ending;
        mig_turns_give(&u->turns);
        if (tells) {
            mig_bell_ring(u->told);
        }
        if (!over) {
            poll(f, G_N_ELEMENTS(f), -1);
        }
        if (f[1].revents) {
            mig_bell_heard(u->kick);
        }
    }
    return NULL;
}

bool mig_real_urgent_owns(const MigReal *r, const MigRealChannel *c)
{
    return r->urgent && c->number == mig_source_preempt_channel(r->config.postcopy);
}

void mig_real_urgent_wait(MigReal *r, MigRealChannel *c)
{
    MigRealUrgent *u = r->urgent;
    struct pollfd f[] = {
        { .fd = mig_transport_fd(c->transport, MIG_WAIT_WRITE), .events = POLLOUT },
        { .fd = u->kick, .events = POLLIN },
    };
    mig_turns_give(&u->turns);
    poll(f, G_N_ELEMENTS(f), -1);
    if (f[1].revents) {
        mig_bell_heard(u->kick);
    }
    mig_turns_take(&u->turns, true);
    if (r->error || u->ending) {
        mig_real_channel_die(c, r->error ? r->error : "the migration ends");
    }
}

/* The main thread's ------------------------------------------------------------------------ */

static void free_urgent(MigRealUrgent *u)
{
    close(u->kick);
    close(u->told);
    mig_turns_give(&u->turns);
    mig_turns_clear(&u->turns);
    g_free(u);
}

void mig_real_urgent_begin(MigReal *r)
{
    g_autoptr(GError) error = NULL;
    if (r->urgent || r->error || !r->postcopy || !mig_source_urgent_runs(r->config.postcopy)) {
        return;
    }
    MigRealUrgent *u = g_new0(MigRealUrgent, 1);
    u->real = r;
    u->kick = mig_bell_new();
    u->told = mig_bell_new();
    mig_turns_init(&u->turns);
    mig_turns_take(&u->turns, false);
    r->urgent = u;
    u->thread = u->kick >= 0 && u->told >= 0 ? g_thread_try_new("urgent", run, u, &error) : NULL;
    if (!u->thread) {
        mig_real_die(r, error ? error->message : "postcopy: no descriptors left");
        r->urgent = NULL;
        free_urgent(u);
    }
}

void mig_real_urgent_end(MigReal *r)
{
    MigRealUrgent *u = r->urgent;
    if (u) {
        u->ending = true;
        mig_bell_ring(u->kick);
        mig_turns_give(&u->turns);
        g_thread_join(u->thread);
        mig_turns_take(&u->turns, false);
        r->urgent = NULL;
        free_urgent(u);
    }
}

void mig_real_urgent_away(MigReal *r)
{
    if (r->urgent) {
        mig_turns_give(&r->urgent->turns);
    }
}

void mig_real_urgent_back(MigReal *r)
{
    if (r->urgent) {
        mig_turns_take(&r->urgent->turns, false);
    }
}

void mig_real_urgent_let(MigReal *r)
{
    if (r->urgent && mig_turns_wanted(&r->urgent->turns)) {
        mig_real_urgent_away(r);
        mig_real_urgent_back(r);
    }
}

int mig_real_urgent_bell(const MigReal *r)
{
    return r->urgent ? r->urgent->told : -1;
}
