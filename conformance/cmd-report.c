/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migbench report: renders the log of a run that migbench check --format ndjson or migbench matrix
 * kept; the logs of its shares as one. A result of a migration and the rows of a sweep become
 * pages.
 */
#include <gio/gio.h>
#include <string.h>

#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/report/render.h"
#include "sim/command.h"
#include "sim/report/page.h"
#include "sim/report/sweep-page.h"
#include "sim/scenario/json-reader.h"
#include "sim/simulate/repeat.h"
#include "sim/simulate/result.h"

/* NULL: *error. */
static char *read_log(const char *path, gsize *n, GError **error)
{
    char *text = NULL;

    if (!g_file_get_contents(strcmp(path, "-") == 0 ? "/dev/stdin" : path, &text, n, error)) {
        return NULL;
    }
    return text;
}

/* A last line without its newline was being written when the run ended: it is no line yet. */
static gsize whole_lines(const char *text, gsize n)
{
    while (n > 0 && text[n - 1] != '\n') {
        n--;
    }
    return n;
}

static int add_log(char **argv, MigRender *render, const char *path)
{
    g_autoptr(GError) error = NULL;
    gsize n = 0;
    g_autofree char *text = read_log(path, &n, &error);

    if (!text) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (!mig_render_lines(render, text, whole_lines(text, n), &error)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s: %s", path, error->message);
    }
    return MIG_EXIT_OK;
}

static bool write_text(const char *to, const GString *text, GError **error)
{
    g_autoptr(MigOutput) out = mig_output_open(to ? to : "-", error);
    if (out) {
        fwrite(text->str, 1, text->len, out->file);
    }
    return out && mig_output_commit(out, error);
}

static int render_logs(char **argv, const MigRenderFormat *format, char **paths, const char *to)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRender) render = mig_render_new(format);

    for (char **path = paths; *path; path++) {
        if (path != paths) {
            mig_run_log_next(render->log);
        }
        int bad = add_log(argv, render, *path);
        if (bad) {
            return bad;
        }
    }
    int status = mig_render_end(render);
    if (!write_text(to, render->out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (!render->log->complete) {
        g_autofree char *aborted = mig_run_log_aborted(render->log);
        return mig_command_fail(argv, status, "%s: %s", *paths, aborted);
    }
    return status;
}

/* Pages ------------------------------------------------------------------------------------- */

/* Results and rows name their schema in the beginning. */
static bool says(const char *text, gsize n, const char *schema)
{
    return g_strstr_len(text, (gssize)MIN(n, 200), schema) != NULL;
}

static GString *page_of(MigPageKind kind, const char *path, const char *text, gsize n,
                        GError **error)
{
    json_object *result = mig_json_parse(text, n, path, error);
    g_autofree char *name = g_path_get_basename(path);
    GString *page = result ? mig_page_make(kind, name, result, error) : NULL;
    json_object_put(result);
    return page;
}

static GString *page_of_rows(char **paths, GError **error)
{
    g_autoptr(MigRowsSet) rows = mig_rows_set_load((const char *const *)paths, error);
    g_autofree char *name = g_path_get_basename(paths[0]);
    json_object *data = rows ? mig_sweep_page_data(rows, name) : NULL;
    GString *page = data ? mig_page_make(MIG_PAGE_SWEEP, name, data, error) : NULL;
    json_object_put(data);
    return page;
}

/* What is wrong: a file's text, or the world. */
static int status_of(const GError *error)
{
    bool text = error->domain == MIG_READER_ERROR || error->domain == MIG_ROWS_ERROR;
    return text ? MIG_EXIT_USAGE : MIG_EXIT_ENVIRONMENT;
}

/* Files that become a page, not logs: true, and *status of writing it. */
static bool write_page(char **argv, const char *format, char **paths, const char *to, int *status)
{
    g_autoptr(GError) error = NULL;
    gsize n = 0;
    /* What can't be read twice is no page; who renders logs says what else is wrong. */
    g_autofree char *text = strcmp(paths[0], "-") == 0 ? NULL : read_log(paths[0], &n, NULL);
    bool runs = text && says(text, n, MIG_REPEATS_SCHEMA);
    bool result = runs || (text && says(text, n, MIG_RESULT_SCHEMA));
    if (!result && !(text && says(text, n, MIG_SWEEP_ROWS_SCHEMA))) {
        return false;
    }
    if (format && strcmp(format, "html") != 0) {
        *status = mig_command_fail(argv, MIG_EXIT_USAGE,
                                   "--format %s: results and rows become pages, html", format);
        return true;
    }
    if (result && paths[1]) {
        *status = mig_command_fail(argv, MIG_EXIT_USAGE, "expected one result, not several");
        return true;
    }
    GString *page = result
                        ? page_of(runs ? MIG_PAGE_RUNS : MIG_PAGE_RESULT, paths[0], text, n, &error)
                        : page_of_rows(paths, &error);
    bool written = page && write_text(to, page, &error);
    if (page) {
        g_string_free(page, TRUE);
    }
    *status =
        written ? MIG_EXIT_OK : mig_command_fail(argv, status_of(error), "%s", error->message);
    return true;
}

int mig_cmd_report(int argc, char **argv)
{
    g_autofree char *format = NULL, *to = NULL;
    g_auto(GStrv) files = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "format", 0, 0, G_OPTION_ARG_STRING, &format,
          "default: text, or html of a page; markdown: of a matrix",
          "text|ndjson|tap|junit|html|markdown" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the report", "OUT" },
        { NULL },
    };

    if (!mig_command_parse(
            argc, argv, entries, "FILE...",
            "Renders the log of a run of migbench check --format ndjson, or of "
            "migbench matrix (run.ndjson); the logs of several shares as one run. "
            "The exit status is the run's. A result (--result of sim, source, dest), "
            "that of sim --runs, or the rows of a sweep become a page.",
            1, 0, &files, &status)) {
        return status;
    }
    if (!mig_command_keeps(argv, to, files)) {
        return MIG_EXIT_USAGE;
    }
    const MigRenderFormat *row = mig_render_format(format ? format : "text");
    if (!row) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--format %s: " MIG_RENDER_NAMES " is expected", format);
    }
    return write_page(argv, format, files, to, &status) ? status
                                                        : render_logs(argv, row, files, to);
}
