/* SPDX-License-Identifier: Apache-2.0 */
/* A result as a picture for a paper: gnuplot draws it. */
#ifndef MIG_SIM_REPORT_PLOT_H
#define MIG_SIM_REPORT_PLOT_H

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

#define MIG_PLOT_ERROR (g_quark_from_static_string("mig-plot-error"))

typedef enum MigPlotError {
    MIG_PLOT_ERROR_FORMAT,  /* the name's ending is none of .svg .pdf .png */
    MIG_PLOT_ERROR_GNUPLOT, /* there is no gnuplot, or it failed */
} MigPlotError;

/* Before a long run: can |path| be drawn? False and *error. */
bool mig_plot_check(const char *path, GError **error);

/* What gnuplot is told: |result| is migbench-result-1, |out| the file to write. Free with
 * g_string_free(). */
GString *mig_plot_script(json_object *result, const char *path, const char *out, GError **error);

/* Draws |result| into |path|, through a temporary name. */
bool mig_plot_save(json_object *result, const char *path, GError **error);

#endif
