/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Background snapshots of the plain simulator (reference.h): the guest stops for its devices and
 * runs on, while nobody may write to a page before that is saved.
 */
#include "tests/unit/reference-internal.h"

bool reference_snapshot_saved(Sim *m, ReferencePage *p)
{
    if (m->guest.protects && !reference_over(m)) {
        reference_flush(m);
        reference_guest_at(&m->guest, m->now);
        reference_guest_release(&m->guest, p, m->now);
    }
    return !m->guest.protects || !p->held_back;
}

void reference_snapshot_jump(Sim *m)
{
    reference_guest_at(&m->guest, m->now);
    const ReferencePage *p = m->guest.protects ? reference_guest_wanted(&m->guest) : NULL;
    if (p && p->dirty) {
        m->position = (uint64_t)(p - m->guest.pages);
    }
}

void reference_snapshot_run(Sim *m, uint64_t tail)
{
    int64_t began = MS, protect = m->s->host.protect_gib;
    m->unlimited = true;
    reference_stop(m);
    reference_spend(m, m->s->host.devices);
    reference_spend(m, (int64_t)((uint64_t)protect * m->guest.count * PAGE >> 30));
    reference_guest_protect(&m->guest);
    reference_spend(m, m->s->host.start);
    reference_guest_go_on(&m->guest, m->stopped, m->now);
    int64_t downtime = MS - began;
    for (m->vain = false; !m->vain && !reference_over(m);) {
        reference_section(m, false);
    }
    reference_send(m, tail);
    reference_send_flush(m);
    m->r->total = MS;
    m->r->downtime = downtime ? downtime : MS - began;
}
