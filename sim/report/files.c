/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a report, see files.h. */
#include "sim/report/files.h"

#include "sim/report/page.h"
#include "sim/world/output.h"

void mig_report_files_clear(MigReportFiles *f)
{
    g_clear_pointer(&f->report, g_free);
    g_clear_pointer(&f->plot, g_free);
    g_clear_pointer(&f->timeline, g_free);
}

bool mig_report_files_check(const MigReportFiles *f, GError **error)
{
    return !f->plot || mig_plot_check(f->plot, error);
}

static bool write_timeline(const MigReportFiles *f, const MigHistory *h, json_object *result,
                           GError **error)
{
    json_object *timeline = mig_history_timeline(h, result);
    const char *text = json_object_to_json_string_ext(timeline, JSON_C_TO_STRING_PLAIN);
    bool fine = mig_output_save(f->timeline, text, -1, error);
    json_object_put(timeline);
    return fine;
}

bool mig_report_files_write(const MigReportFiles *f, const MigHistory *h, json_object *result,
                            GError **error)
{
    json_object *name = NULL;
    json_object_object_get_ex(result, "scenario", &name);
    g_autofree char *title = g_path_get_basename(name ? json_object_get_string(name) : "migration");
    return (!f->report || mig_page_save(MIG_PAGE_RESULT, title, result, f->report, error)) &&
           (!f->plot || mig_plot_save(result, f->plot, error)) &&
           (!f->timeline || write_timeline(f, h, result, error));
}
