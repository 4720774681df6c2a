/* SPDX-License-Identifier: Apache-2.0 */
/* The scenario of our own end of a cell. */
#ifndef MIG_CONFORMANCE_MATRIX_SCENARIO_H
#define MIG_CONFORMANCE_MATRIX_SCENARIO_H

#include "conformance/matrix/matrix.h"

/*
 * Writes it to |path|. A destination has the blocks of |source|, which is asked for them where it
 * is an emulator that can tell; NULL, or one that can't: the one block "ram". False and *error.
 */
bool mig_matrix_write_scenario(const MigCell *cell, bool is_source, MigPeerQmp *source,
                               const char *path, GError **error);

#endif
