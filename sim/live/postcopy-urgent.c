/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The urgent thread of a live destination in postcopy: faults, so that their requests leave at
 * once, and the preempt channel, so that what was asked for is placed at once. It sleeps most of
 * the time, and is in a hurry when it doesn't (hurry.h). What it can't do (a return path that is
 * full or broken, errors, the end) it leaves to the main thread, which it wakes.
 */
#include <poll.h>
#include <unistd.h>

#include "sim/live/postcopy-internal.h"
#include "sim/world/bell.h"
#include "sim/world/hurry.h"

static bool serve_faults(MigLivePostcopy *p)
{
    g_autoptr(GError) error = NULL;
    return mig_live_guest_serve(p->guest, p->load->dest, &error) ||
           mig_live_postcopy_fail(p, error->message);
}

static bool take_preempt(MigLivePostcopy *p, size_t direct, size_t n)
{
    MigDest *d = p->load->dest;
    size_t placed = MIN(direct, n);
    p->preempt_bytes += n;
    bool fine = (placed == 0 || mig_dest_filled_preempt(d, placed)) &&
                (n == placed || mig_dest_feed_preempt(d, p->urgent_buffer, n - placed));
    return fine || mig_live_postcopy_fail_diagnosis(p);
}

/* All that is there. Its end is of no importance: a source that broke says so on the main one. */
static bool read_preempt(MigLivePostcopy *p)
{
    int64_t n = 1;
    while (p->preempt && n > 0 && mig_dest_state(p->load->dest) == MIG_DEST_LOADING) {
        void *page = NULL;
        size_t direct = mig_dest_direct_preempt(p->load->dest, &page);
        n = mig_live_postcopy_read(p->preempt, direct, page, p->urgent_buffer, MIG_POSTCOPY_SLICE,
                                   NULL);
        if (n > 0 && !take_preempt(p, direct, (size_t)n)) {
            return false;
        }
        if (n == 0 || n == MIG_IO_ERROR) {
            mig_live_postcopy_drop(&p->preempt);
        }
    }
    return true;
}

/* True when the main thread has to look: at what can't be sent, at an error, or at the end. */
static bool be_urgent(MigLivePostcopy *p)
{
    g_autoptr(GError) broken = NULL;
    bool fine = serve_faults(p) && mig_live_postcopy_send(p, &broken) && read_preempt(p);
    return !fine || p->replies->len > 0 || mig_dest_state(p->load->dest) != MIG_DEST_LOADING;
}

static gpointer urgent_thread(gpointer opaque)
{
    MigLivePostcopy *p = opaque;
    mig_hurry(true);
    for (;;) {
        mig_turns_take(&p->turns, true);
        p->hurries = true;
        bool looks = be_urgent(p), over = p->ending || p->load->error;
        struct pollfd f[] = {
            { .fd = mig_live_guest_fd(p->guest), .events = POLLIN },
            { .fd = mig_live_postcopy_fd(p->preempt, MIG_WAIT_READ), .events = POLLIN },
            { .fd = p->kick, .events = POLLIN },
        };
        over = over || mig_dest_state(p->load->dest) != MIG_DEST_LOADING;
        p->hurries = false;
        mig_turns_give(&p->turns);
        if (looks) {
            mig_bell_ring(p->told);
        }
        if (over) {
            return NULL;
        }
        poll(f, G_N_ELEMENTS(f), -1);
        if (f[2].revents) {
            mig_bell_heard(p->kick);
        }
    }
}

void mig_live_urgent_begin(MigLivePostcopy *p)
{
    p->urgent = g_thread_new("urgent", urgent_thread, p);
}

void mig_live_urgent_end(MigLivePostcopy *p)
{
    mig_turns_take(&p->turns, false);
    p->ending = true;
    mig_turns_give(&p->turns);
    mig_bell_ring(p->kick);
    g_thread_join(g_steal_pointer(&p->urgent));
    close(p->kick);
    close(p->told);
    p->kick = p->told = -1;
}
