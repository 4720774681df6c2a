/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": which of the known names is nearest to what somebody wrote. */
#ifndef MIG_SIM_SCENARIO_NEAREST_H
#define MIG_SIM_SCENARIO_NEAREST_H

/*
 * The name in |names| (ended by NULL) with the smallest number of edits to |text|, the first of
 * several; NULL when none is near (more edits than half of its letters, and at least three). The
 * first path that ends in |text| behind a dot comes before them all.
 */
const char *mig_nearest(const char *text, const char *const *names);

#endif
