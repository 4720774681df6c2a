/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migbench report: renders the log of a run that migbench check --format ndjson or migbench matrix
 * kept; the logs of its shares as one.
 */
#include <gio/gio.h>
#include <string.h>

#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/render.h"
#include "sim/command.h"

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
    g_autoptr(MigOutput) out = mig_output_open(to ? to : "-", &error);
    if (out) {
        fwrite(render->out->str, 1, render->out->len, out->file);
    }
    if (!out || !mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (!render->log->complete) {
        g_autofree char *aborted = mig_run_log_aborted(render->log);
        return mig_command_fail(argv, status, "%s: %s", *paths, aborted);
    }
    return status;
}

int mig_cmd_report(int argc, char **argv)
{
    g_autofree char *format = NULL, *to = NULL;
    g_auto(GStrv) files = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "format", 0, 0, G_OPTION_ARG_STRING, &format,
          "text (default), ndjson, tap, junit, html, markdown (of a matrix)", "FORMAT" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the report", "OUT" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "LOG...",
                           "Renders the log of a run of migbench check --format ndjson, or of "
                           "migbench matrix (run.ndjson); the logs of several shares as one run. "
                           "The exit status is the run's.",
                           1, 0, &files, &status)) {
        return status;
    }
    const MigRenderFormat *row = mig_render_format(format ? format : "text");
    if (!row) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--format %s: " MIG_RENDER_NAMES " is expected", format);
    }
    return render_logs(argv, row, files, to);
}
