/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of iterables and the walks over it, see iterables.h. Mirrors
 * qemu_savevm_state_setup(), _pending_estimate(), _pending_exact(), _iterate(),
 * _complete_precopy_iterable(), _complete_postcopy(), _resume_prepare() and _cleanup()
 * (migration/savevm.c, 10.0; _pending() and _iterate() of 7.2).
 *
 * A walk is a state that tries the row at |at|: rows that do not take part are passed without an
 * operation, so a table with ram alone costs nothing.
 */
#include "sim/engine/iterables.h"

#include "sim/engine/source-disks.h"
#include "sim/engine/source-internal.h"

const MigIterable *const mig_iterables[] = {
    &mig_iterable_block,
    &mig_iterable_ram,
    &mig_iterable_dirty_bitmap,
    NULL,
};

static bool exists(const MigEra *era, const MigIterable *h)
{
    return !h->exists || h->exists(era);
}

static bool is_active(const MigSource *s, const MigIterable *h)
{
    return exists(mig_source_era(s), h) && (!h->is_active || h->is_active(s));
}

static bool has_postcopy(const MigSource *s, const MigIterable *h)
{
    return h->has_postcopy && h->has_postcopy(s);
}

/* ram's id stands in the era; the others are counted from there. */
uint32_t mig_iterable_section_id(const MigEra *era, const MigIterable *h)
{
    uint32_t of_ram = 0, of_h = 0, n = 0;
    for (unsigned i = 0; mig_iterables[i]; i++) {
        of_ram = mig_iterables[i] == &mig_iterable_ram ? n : of_ram;
        of_h = mig_iterables[i] == h ? n : of_h;
        n += exists(era, mig_iterables[i]);
    }
    return era->ram_section_id + of_h - of_ram;
}

/* The row that the walk stands at; NULL: it is through, and the state is what follows it. */
static const MigIterable *row(MigSource *s)
{
    const MigIterable *h = mig_iterables[s->walk.at];
    if (!h) {
        s->state = s->walk.next;
    }
    return h;
}

static void walk(MigSource *s, bool postcopy, MigState first, MigState next)
{
    s->walk = (MigWalk){ .next = next, .finished = true, .postcopy = postcopy };
    s->state = first;
}

static void header(MigSource *s, const MigIterable *h, MigItem kind)
{
    mig_source_section(s, kind, mig_iterable_section_id(mig_source_era(s), h), h->idstr, 0,
                       h->version);
}

static void footer(MigSource *s)
{
    const MigIterable *h = mig_iterables[s->walk.at++];
    mig_source_footer(s, mig_iterable_section_id(mig_source_era(s), h));
}

void mig_source_set_params(MigSource *s)
{
    for (unsigned i = 0; mig_iterables[i]; i++) {
        if (exists(mig_source_era(s), mig_iterables[i]) && mig_iterables[i]->set_params) {
            mig_iterables[i]->set_params(s);
        }
    }
}

void mig_source_cleanup(MigSource *s)
{
    mig_source_notify_precopy(s, MIG_PRECOPY_CLEANUP);
    for (unsigned i = 0; mig_iterables[i]; i++) {
        if (exists(mig_source_era(s), mig_iterables[i]) && mig_iterables[i]->cleanup) {
            mig_iterables[i]->cleanup(s);
        }
    }
}

/* Setup. */

static void state_setup(MigSource *s);

static void state_set_up(MigSource *s)
{
    footer(s);
    s->state = state_setup;
}

static void state_setup(MigSource *s)
{
    const MigIterable *h = row(s);
    if (h && is_active(s, h)) {
        header(s, h, MIG_ITEM_START);
        h->setup(s, state_set_up);
    } else if (h) {
        s->walk.at++;
    }
}

void mig_source_setup(MigSource *s, MigState next)
{
    walk(s, false, state_setup, next);
}

/* Pending. */

static void add(const MigSource *s, const MigIterable *h, MigPending *p)
{
    if (is_active(s, h)) {
        h->pending_estimate(s, p);
    }
}

MigPending mig_source_pending(const MigSource *s)
{
    MigPending p = { 0 };
    for (unsigned i = 0; mig_iterables[i]; i++) {
        add(s, mig_iterables[i], &p);
    }
    return p;
}

/* Until 7.2 there was one question, with the threshold, and each decided for itself. */
static bool wants_exact(const MigSource *s, const MigIterable *h)
{
    MigPending own = { 0 };
    if (!h->pending_exact || !is_active(s, h)) {
        return false;
    }
    add(s, h, &own);
    return mig_source_era(s)->decide != MIG_DECIDE_PENDING ||
           mig_pending_total(&own) < s->threshold;
}

static void state_exact(MigSource *s)
{
    const MigIterable *h = row(s);
    if (!h) {
        MigPending all = mig_source_pending(s);
        s->exact_remaining = mig_pending_total(&all);
        return;
    }
    s->walk.at++;
    if (wants_exact(s, h)) {
        h->pending_exact(s, state_exact);
    }
}

void mig_source_pending_exact(MigSource *s, MigState next)
{
    walk(s, false, state_exact, next);
}

/* Iterate. */

static void state_iterate(MigSource *s);

void mig_source_iterated(MigSource *s, bool done)
{
    s->walk.done = done;
}

static void state_iterated(MigSource *s)
{
    footer(s);
    s->walk.finished &= s->walk.done;
    /* The one that isn't finished keeps the others from being brought up to date too often. */
    bool stop = mig_source_era(s)->rounds_stop && !s->walk.done;
    s->state = stop ? s->walk.next : state_iterate;
}

static bool takes_part(const MigSource *s, const MigIterable *h)
{
    return is_active(s, h) && (!h->is_active_iterate || h->is_active_iterate(s)) &&
           (!s->walk.postcopy || has_postcopy(s, h));
}

static void state_iterate(MigSource *s)
{
    const MigIterable *h = row(s);
    if (!h) {
        return;
    }
    if (!takes_part(s, h)) {
        s->walk.at++;
    } else if (mig_source_quota_exceeded(s)) {
        s->state = s->walk.next;
    } else {
        header(s, h, MIG_ITEM_PART);
        s->walk.done = false;
        h->iterate(s, state_iterated);
    }
}

void mig_source_iterate(MigSource *s, bool postcopy, MigState next)
{
    walk(s, postcopy, state_iterate, next);
}

/* Complete. */

static void state_complete(MigSource *s);

static void state_complete_ended(MigSource *s)
{
    footer(s);
    s->state = state_complete;
}

static void state_complete(MigSource *s)
{
    const MigIterable *h = row(s);
    if (!h) {
        return;
    }
    if (!is_active(s, h) || (s->walk.postcopy && has_postcopy(s, h))) {
        s->walk.at++;
    } else {
        header(s, h, MIG_ITEM_END);
        h->complete_precopy(s, state_complete_ended);
    }
}

void mig_source_complete_precopy(MigSource *s, bool postcopy, MigState next)
{
    mig_source_notify_precopy(s, MIG_PRECOPY_COMPLETE);
    walk(s, postcopy, state_complete, next);
}

static void state_postcopy(MigSource *s);

static void state_postcopy_ended(MigSource *s)
{
    footer(s);
    s->state = state_postcopy;
}

static void state_postcopy(MigSource *s)
{
    const MigIterable *h = row(s);
    if (!h) {
        return;
    }
    if (is_active(s, h) && h->complete_postcopy && has_postcopy(s, h)) {
        header(s, h, MIG_ITEM_END);
        h->complete_postcopy(s, state_postcopy_ended);
    } else {
        s->walk.at++;
    }
}

void mig_source_complete_postcopy(MigSource *s, MigState next)
{
    walk(s, true, state_postcopy, next);
}

static void state_resume(MigSource *s)
{
    const MigIterable *h = row(s);
    if (!h) {
        return;
    }
    s->walk.at++;
    if (is_active(s, h) && h->resume_prepare) {
        h->resume_prepare(s, state_resume);
    }
}

void mig_source_resume_prepare(MigSource *s, MigState next)
{
    walk(s, true, state_resume, next);
}
