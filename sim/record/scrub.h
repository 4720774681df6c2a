/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a guest's secrets out of a recording: pages, disks and device state become noise, while
 * every record, length, time and order stays, so that verdict and statistics do, too.
 *
 *     pages, deltas, disks     noise that keeps zeros and equality (noise.h)
 *     compressed pages         other streams of the same lengths (disguise.h)
 *     device state             noise between the headers of subsections, where the stream's
 *                              description tells where those are; timer, cpu_common and globalstate
 *                              (clock, halted, run state) stay, as check reads them
 *     anything undecodable     noise behind the first bytes
 *
 * Names, versions, addresses, offsets, dirty bitmaps, storage keys and the description stay.
 */
#ifndef MIG_SIM_RECORD_SCRUB_H
#define MIG_SIM_RECORD_SCRUB_H

#include "sim/record/recode-capture.h"
#include "stream/vmdesc.h"

typedef struct MigScrub MigScrub;

/* |key|: the same key and recording give the same bytes; NULL: one that nobody knows. */
MigScrub *mig_scrub_new(const char *key);
void mig_scrub_free(MigScrub *s); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigScrub, mig_scrub_free)

/* The description of the stream's devices, where it is known ahead; must outlive the use. */
void mig_scrub_describe(MigScrub *s, const MigVmdesc *desc);

/* What to give to a recoder; lasts as long as |s|. */
const MigRecodeHook *mig_scrub_hook(const MigScrub *s);

typedef struct MigScrubCounts {
    uint64_t bytes;       /* that were disguised */
    uint64_t undisguised; /* compressed payloads that had to be blanked: they decode no more */
} MigScrubCounts;

const MigScrubCounts *mig_scrub_counts(const MigScrub *s);

#endif
