/* SPDX-License-Identifier: Apache-2.0 */
/* The plain simulator's parts, and its setup (reference.h): connections, header, configuration,
 * list of blocks. */
#include <string.h>

#include "tests/unit/reference-internal.h"

void reference_make(Sim *m)
{
    m->events = reference_events_new();
    reference_link_init(&m->link, &m->s->link, HAS(MULTIFD) ? m->p->multifd_channels : 1,
                        m->s->limit);
    reference_guest_init(&m->guest, m->s);
    reference_xbzrle_init(&m->xbzrle, m->p->xbzrle_cache_size);
    if (HAS(COMPRESS)) {
        reference_compress_open(m);
    }
    if (HAS(POSTCOPY_RAM)) {
        reference_postcopy_open(m);
    }
}

void reference_clear(Sim *m)
{
    if (HAS(COMPRESS)) {
        reference_compress_close(m);
    }
    if (HAS(MULTIFD)) {
        reference_multifd_close(m);
    }
    if (m->postcopy) {
        reference_postcopy_close(m);
    }
    g_array_unref(m->events);
    reference_link_clear(&m->link);
    reference_guest_clear(&m->guest);
    reference_xbzrle_clear(&m->xbzrle);
}

static uint64_t configuration(const Sim *m)
{
    uint64_t named = (HAS(X_IGNORE_SHARED) ? 16 : 0) + (HAS(MAPPED_RAM) ? 11 : 0);
    uint64_t uuid = HAS(VALIDATE_UUID) && m->s->has_uuid ? 40 : 0;
    return m->v >= V(2, 4) ? 9 + (named ? 36 + named : 0) + uuid : 0;
}

/* Names, lengths, and with x-ignore-shared addresses; in a file the pages' places, behind each. */
static void send_list(Sim *m)
{
    reference_send(m, 8);
    for (guint b = 0; b < m->s->blocks->len; b++) {
        reference_send(m, 9 + strlen(BLOCK(b).name) + (HAS(X_IGNORE_SHARED) ? 8 : 0));
        if (HAS(MAPPED_RAM)) {
            reference_send(m, 28);
            reference_send_flush(m);
        }
    }
    if (!HAS(MULTIFD) || reference_multifd_sync(m)) {
        reference_send(m, 8);
        reference_send_flush(m);
    }
}

void reference_set_up(Sim *m, bool returns)
{
    reference_spend(m, m->s->host.connect + 2 * m->s->link.latency);
    if (HAS(MULTIFD)) {
        reference_multifd_open(m);
    }
    if (HAS(POSTCOPY_PREEMPT) && m->v < V(8, 0)) {
        reference_spend(m, m->s->host.connect + 2 * m->s->link.latency);
    }
    m->window = MS;
    m->forced = HAS(AUTO_CONVERGE) && m->v >= V(10, 0) ? MS + 5000 : 0;
    reference_send(m, 8 + configuration(m) + (returns ? 5 : 0));
    if (returns) {
        reference_postcopy_ping(m, 1);
    }
    reference_send(m, (HAS(POSTCOPY_RAM) ? 21 : 0) + 17);
    reference_spend(m, m->s->host.setup);
    reference_guest_at(&m->guest, m->now);
    m->dirty = reference_guest_start_log(&m->guest, HAS(X_IGNORE_SHARED));
    if (HAS(BACKGROUND_SNAPSHOT)) { /* no log, no sync; but it may count one */
        m->r->syncs += m->v >= V(11, 0);
    } else {
        reference_sync(m, true);
    }
    send_list(m);
    reference_send(m, m->v >= V(2, 4) ? 5 : 0);
}
