/* SPDX-License-Identifier: Apache-2.0 */
/* The table of notifiers.h. */
#include "sim/engine/notifiers.h"

#include "sim/engine/source-internal.h"

/* virtio_balloon_free_page_hint_notify(): a balloon's hints are about one pass. */
static void free_page_hints(MigSource *s, MigPrecopyReason reason)
{
    if (reason == MIG_PRECOPY_BEFORE_BITMAP_SYNC) {
        mig_source_hints_stop(s);
    } else if (reason == MIG_PRECOPY_AFTER_BITMAP_SYNC) {
        mig_source_hints_start(s);
    }
}

const MigNotifier mig_notifiers[] = {
    { .name = "free-page-hint", .precopy = free_page_hints },
    { .name = NULL },
};

void mig_source_notify_precopy(MigSource *s, MigPrecopyReason reason)
{
    for (const MigNotifier *n = mig_notifiers; n->name; n++) {
        if (n->precopy) {
            n->precopy(s, reason);
        }
    }
    if (s->config.observer.precopy) {
        s->config.observer.precopy(s->config.observer.opaque, reason);
    }
}

void mig_source_notify_state(MigSource *s, const char *status)
{
    for (const MigNotifier *n = mig_notifiers; n->name; n++) {
        if (n->state) {
            n->state(s, status);
        }
    }
    if (s->config.observer.state) {
        s->config.observer.state(s->config.observer.opaque, status);
    }
}
