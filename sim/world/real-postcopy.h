/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy in the real world of a source: the engine hears every message of the return path when it
 * comes, and a broken line is dropped. Who listens is the main thread, or real-urgent.h's.
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

/* What came since the last mig_real_postcopy_forget(): a request for pages, or anything else. */
bool mig_real_postcopy_heard(const MigRealPostcopy *p);
bool mig_real_postcopy_urgent(const MigRealPostcopy *p);
void mig_real_postcopy_forget(MigRealPostcopy *p);
/* All messages that have come; those that were no requests. */
uint64_t mig_real_postcopy_count(const MigRealPostcopy *p);
uint64_t mig_real_postcopy_others(const MigRealPostcopy *p);

/* MIG_OP_DROP. */
void mig_real_postcopy_drop(MigReal *r);

#endif
