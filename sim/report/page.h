/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports as pages: one HTML file with its data, its style, its script and the chart library in
 * it, so that it needs nothing else to be looked at, now or in ten years.
 *
 *     data (JSON) + page.html + page.css + common.js + (result.js | sweep.js | runs.js) + Chart.js
 * --> file
 *
 * The parts are resources of the program (report.gresource.xml).
 */
#ifndef MIG_SIM_REPORT_PAGE_H
#define MIG_SIM_REPORT_PAGE_H

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#define MIG_PAGE_ERROR (g_quark_from_static_string("mig-page-error"))

typedef enum MigPageKind {
    MIG_PAGE_RESULT, /* data: migbench-result-1 */
    MIG_PAGE_SWEEP,  /* data: see sweep-page.h */
    MIG_PAGE_RUNS,   /* data: migbench-runs-1 */
} MigPageKind;

/*
 * The text of the page. NULL and *error (MIG_PAGE_ERROR): this program was built without the chart
 * library. Free with g_string_free().
 */
GString *mig_page_make(MigPageKind kind, const char *title, json_object *data, GError **error);

/* The same into a file, through a temporary name. */
bool mig_page_save(MigPageKind kind, const char *title, json_object *data, const char *path,
                   GError **error);

#endif
