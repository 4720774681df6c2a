/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy in the real world of a source: the engine hears every message of the return path when it
 * comes, page requests are served while an operation is under way, and a broken line is dropped.
 */
#ifndef MIG_SIM_WORLD_REAL_POSTCOPY_H
#define MIG_SIM_WORLD_REAL_POSTCOPY_H

#include "sim/engine/source-postcopy.h"

typedef struct MigReal MigReal;
typedef struct MigRealPostcopy MigRealPostcopy;

MigRealPostcopy *mig_real_postcopy_new(MigSource *source);
void mig_real_postcopy_free(MigRealPostcopy *p); /* NULL is fine */

/* Bytes of the return path; its end. Tells the engine, and lets the world die of what is wrong. */
void mig_real_postcopy_feed(MigReal *r, const void *data, size_t n);
void mig_real_postcopy_eof(MigReal *r);
/* SHUT was heard: nothing more is of interest. */
bool mig_real_postcopy_done(const MigRealPostcopy *p);

/*
 * What came since the last mig_real_postcopy_forget(): any message, or one that ends a sleep.
 */
bool mig_real_postcopy_heard(const MigRealPostcopy *p);
bool mig_real_postcopy_urgent(const MigRealPostcopy *p);
void mig_real_postcopy_forget(MigRealPostcopy *p);
uint64_t mig_real_postcopy_count(const MigRealPostcopy *p); /* messages */

/* Has the second machine of the engine (requested pages, preempt channel) do what it has to. */
void mig_real_postcopy_serve(MigReal *r);

/* MIG_OP_DROP. */
void mig_real_postcopy_drop(MigReal *r);

#endif
