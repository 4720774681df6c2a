/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expectation files: deviations that are known, each with its reason and a reference to where it is
 * explained. Checked in both directions: a deviation without an entry is unexpected, an entry whose
 * deviation has gone is "xpass", one that came differently is "changed", one of a rule that does
 * not exist or was not judged is "stale". Subjects that did not run say nothing about entries.
 *
 *     # rule            subject-glob   verdict  reference                  # what is found
 *     STREAM-TRAILING-NONE  *.save.zst     warn     docs/errata.md#trailing  # 3 bytes
 *
 * A verdict with a question mark (fail?) is a deviation that comes now and then, such as a race:
 * that it does not come is no xpass.
 *
 * One line per entry, sorted. Blanks in a glob are written %20, a percent sign %25; `*` and `?`
 * stand for anything and any character, also in what is found.
 */
#ifndef MIG_CONFORMANCE_REPORT_EXPECT_H
#define MIG_CONFORMANCE_REPORT_EXPECT_H

#include "conformance/check.h"

typedef struct MigExpectations MigExpectations;

/* NULL: *error names the line. With |updating| a missing file is an empty one, and entries may be
 * out of order and without reference. */
MigExpectations *mig_expect_load(const char *path, bool updating, GError **error);
void mig_expect_free(MigExpectations *x);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigExpectations, mig_expect_free)

/*
 * Appends a line of the run log for each entry that concerns the subject and for each deviation
 * without entry. True: the subject deviates, and exactly as the entries say.
 */
bool mig_expect_judge(MigExpectations *x, GString *out, const char *subject, const MigCheck *check);
/* Lines for entries that can't come true in any run. */
void mig_expect_stale(const MigExpectations *x, GString *out);

/*
 * Writes the file anew: entries of subjects that ran are replaced by what they showed, with the
 * references of those that they replace. |*missing|: entries that still need one. False: *error.
 */
bool mig_expect_update(const MigExpectations *x, const char *path, unsigned *missing,
                       GError **error);

#endif
