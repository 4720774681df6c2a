/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A synthetic guest whose pages are memory: what a source on the real clock migrates. The guest
 * (guest.h) stays the judge of what is written when; the mapping follows it.
 *
 *     guest: write number -> page, time      *now moves: its writes are made and logged,
 *     mapping: the bytes                     their pages are stale until somebody looks at them
 *
 * One thread does it all (two take turns, in postcopy), so a page's dirty bit and its bytes can't
 * disagree: nothing is written between the two that a sync could miss, and no page is read
 * half-written.
 */
#ifndef MIG_SIM_GUEST_MAPPED_H
#define MIG_SIM_GUEST_MAPPED_H

#include "sim/guest/buffer.h"
#include "sim/guest/guest.h"

typedef struct MigMapped MigMapped;

/*
 * Maps |g|, which must outlive it, and makes its content. |now|: the clock that the guest's writes
 * follow, looked at whenever memory is asked for. NULL and *error when there is not enough memory.
 */
MigMapped *mig_mapped_new(MigGuest *g, const int64_t *now, GError **error);
void mig_mapped_free(MigMapped *m); /* NULL is fine */

/* Forgets the clock that |now| pointed to: the memory stays as it is. */
void mig_mapped_detach(MigMapped *m);

/*
 * Postcopy may come: a page that was zero and is looked at for the first time is then made alone.
 * The kernel takes milliseconds for a huge one, and somebody waits.
 */
void mig_mapped_expect_requests(MigMapped *m);

/* For a source: read() gives the page where it is, and never uses the scratch. */
MigMemory *mig_mapped_memory(MigMapped *m);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigMapped, mig_mapped_free)

#endif
