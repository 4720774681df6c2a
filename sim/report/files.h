/* SPDX-License-Identifier: Apache-2.0 */
/* The options --report, --plot and --timeline of commands that migrate, and what they write. */
#ifndef MIG_SIM_REPORT_FILES_H
#define MIG_SIM_REPORT_FILES_H

#include "sim/report/history.h"
#include "sim/report/plot.h"

typedef struct MigReportFiles {
    char *report, *plot, *timeline; /* NULL: not wanted. Owned */
} MigReportFiles;

void mig_report_files_clear(MigReportFiles *f);

/* Rows for an option table; |f| is a MigReportFiles *. */
#define MIG_REPORT_OPTIONS(f)                                                           \
    { "report",                                                                         \
      0,                                                                                \
      0,                                                                                \
      G_OPTION_ARG_FILENAME,                                                            \
      &(f)->report,                                                                     \
      "write a page (HTML) with charts and tables, complete in itself",                 \
      "FILE" },                                                                         \
        { "plot",     0,                                                                \
          0,          G_OPTION_ARG_FILENAME,                                            \
          &(f)->plot, "draw the run with gnuplot; the name ends in .svg, .pdf or .png", \
          "FILE" },                                                                     \
    {                                                                                   \
        "timeline", 0, 0, G_OPTION_ARG_FILENAME, &(f)->timeline,                        \
            "write a timeline (JSON) that Perfetto and chrome://tracing open", "FILE"   \
    }

/* Before the run: false and *error when something of it can't be written. */
bool mig_report_files_check(const MigReportFiles *f, GError **error);

/* |result| with what |h| adds to it. */
bool mig_report_files_write(const MigReportFiles *f, const MigHistory *h, json_object *result,
                            GError **error);

#endif
