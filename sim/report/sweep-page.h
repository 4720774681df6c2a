/* SPDX-License-Identifier: Apache-2.0 */
/* The data of a sweep's page: its rows turned into columns. */
#ifndef MIG_SIM_REPORT_SWEEP_PAGE_H
#define MIG_SIM_REPORT_SWEEP_PAGE_H

#include "sim/sweep/merge.h"

/*
 * {"name", "spec", "version", "cells", "index": [...], "status": [...], "fine": [...],
 *  "parameters": {PATH: [...]}, "metrics": {NAME: [...]}}, one entry for each row in every list.
 * Metrics that no row has as a number, or that are the same everywhere, are left out. Free with
 * json_object_put().
 */
json_object *mig_sweep_page_data(const MigRowsSet *rows, const char *name);

/* The page of |rows|, see page.h. */
bool mig_sweep_page_save(const MigRowsSet *rows, const char *name, const char *path,
                         GError **error);

#endif
