/* SPDX-License-Identifier: Apache-2.0 */
/* migbench check: judge streams, one after the other. Whatever the format, the run is a log first;
 * see render.h. */
#include <string.h>

#include "conformance/commands.h"
#include "conformance/loader/report.h"
#include "conformance/output.h"
#include "conformance/report/expect.h"
#include "conformance/report/render.h"
#include "conformance/report/report.h"
#include "sim/command.h"

typedef struct Run {
    MigProfile profile;
    MigOutput *out;
    MigRender *render;
    MigExpectations *expect; /* NULL: everything is unexpected */
    bool update;             /* the expectations, of this run */
    const MigEra *writer;    /* NULL: anybody */
    GString *lines;          /* of the log, not rendered yet */
    MigReportTotals totals;
} Run;

/* The log is our own: it can't be malformed. */
static void render_lines(Run *run)
{
    g_autoptr(GError) error = NULL;

    if (!mig_render_lines(run->render, run->lines->str, run->lines->len, &error)) {
        g_error("%s", error->message);
    }
    g_string_truncate(run->lines, 0);
    fwrite(run->render->out->str, 1, run->render->out->len, run->out->file);
    fflush(run->out->file);
    g_string_truncate(run->render->out, 0);
}

static void subject_error(Run *run, const char *file, const char *message)
{
    size_t n = strlen(file);
    bool named = g_str_has_prefix(message, file) && g_str_has_prefix(message + n, ": ");

    run->totals.subjects++;
    run->totals.errors++;
    mig_report_error(run->lines, file, message + (named ? n + 2 : 0)); /* it names it itself */
    fprintf(stderr, "migbench check: %s\n", message);
}

static void check_one(Run *run, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCheck) check = mig_check_new(run->profile);
    g_autoptr(MigRecording) recording = mig_recording_open(file, &error);

    check->writer = run->writer;
    if (!recording || !mig_check_recording(check, recording, &error)) {
        subject_error(run, file, error->message);
        return;
    }
    mig_report_findings(run->lines, file, check);
    bool expected = run->expect && mig_expect_judge(run->expect, run->lines, file, check);
    mig_report_subject(run->lines, file, check, expected);
    mig_report_count(&run->totals, check, expected);
}

static int check_all(Run *run, char **argv, char **files)
{
    g_autofree char *line = g_strjoinv(" ", argv);

    mig_report_begin(run->lines, run->profile, g_strv_length(files), line);
    for (; *files; files++) {
        check_one(run, *files);
        render_lines(run);
    }
    if (run->expect) {
        mig_expect_stale(run->expect, run->lines);
    }
    mig_report_end(run->lines, &run->totals);
    render_lines(run);
    int status = mig_render_end(run->render);
    render_lines(run);
    return status;
}

/* The status of a run that rewrote its expectations: they now hold, but for missing references. */
static int update(Run *run, char **argv, const char *path, int status)
{
    g_autoptr(GError) error = NULL;
    unsigned missing;

    if (status == MIG_EXIT_ENVIRONMENT || status == MIG_EXIT_INCOMPLETE) {
        return mig_command_fail(argv, status, "%s: left as it is, the run is incomplete", path);
    }
    if (!mig_expect_update(run->expect, path, &missing, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (missing) {
        return mig_command_fail(argv, MIG_EXIT_FINDING, "%s: %u %s a reference in place of the '-'",
                                path, missing, missing == 1 ? "entry needs" : "entries need");
    }
    return MIG_EXIT_OK;
}

static int check(char **argv, Run *run, const char *to, const char *expect, char **files)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigOutput) out = mig_output_open(to ? to : "-", &error);
    g_autoptr(GString) lines = g_string_new(NULL);
    g_autoptr(MigExpectations) known = NULL;

    if (!out) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (expect && !(known = mig_expect_load(expect, run->update, &error))) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s", error->message);
    }
    run->out = out;
    run->lines = lines;
    run->expect = known;
    int status = check_all(run, argv, files);
    if (!mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return run->update ? update(run, argv, expect, status) : status;
}

static bool parse_version(char **argv, const char *option, const char *text, MigEra *era)
{
    MigVersion version;

    if (mig_version_parse(text, &version) && mig_era_resolve(version, NULL, era) == MIG_ERA_OK) {
        return true;
    }
    mig_command_fail(argv, MIG_EXIT_USAGE, "%s %s: a version of QEMU from 1.4 to 11.1 is expected",
                     option, text);
    return false;
}

/* --loader: an answer for each stream instead of a judgement. */
static int answer(char **argv, const char *loader, const char *machine, const char *format,
                  const char *to, char **files)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) lines = g_string_new(NULL);
    bool ndjson = g_strcmp0(format, "ndjson") == 0;
    MigLoaderTotals totals = { 0 };
    MigEra era;

    if (!parse_version(argv, "--loader", loader, &era)) {
        return MIG_EXIT_USAGE;
    }
    MigVersion version = era.binary;
    if (format && !ndjson && strcmp(format, "text") != 0) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--format %s: with --loader text or ndjson is expected", format);
    }
    g_autoptr(MigOutput) out = mig_output_open(to ? to : "-", &error);
    mig_loader_report_begin(lines, version, machine, ndjson);
    for (; out && *files; files++) {
        mig_loader_report_subject(lines, *files, version, machine, ndjson, &totals);
        fwrite(lines->str, 1, lines->len, out->file);
        g_string_truncate(lines, 0);
    }
    mig_loader_report_end(lines, &totals, ndjson);
    if (out) {
        fwrite(lines->str, 1, lines->len, out->file);
    }
    if (!out || !mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return mig_loader_report_status(&totals);
}

int mig_cmd_check(int argc, char **argv)
{
    g_autofree char *format = NULL, *profile = NULL, *to = NULL, *expect = NULL;
    g_autofree char *loader = NULL, *machine = NULL, *writer = NULL;
    MigEra era;
    g_autoptr(MigRender) render = NULL;
    g_auto(GStrv) files = NULL;
    gboolean updating = FALSE;
    Run run = { .profile = MIG_PROFILE_INTEROP };
    int status;
    const GOptionEntry entries[] = {
        { "profile", 0, 0, G_OPTION_ARG_STRING, &profile, "how strict to be (default: interop)",
          "lenient|interop|strict|canonical" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &format, "of the report (default: text)",
          "text|ndjson|tap|junit|html" },
        { "expect", 0, 0, G_OPTION_ARG_FILENAME, &expect,
          "deviations that are known: others fail, and so do these when they don't come", "FILE" },
        { "update", 0, 0, G_OPTION_ARG_NONE, &updating, "rewrite the file of --expect", NULL },
        { "writer", 0, 0, G_OPTION_ARG_STRING, &writer,
          "is it what that version of QEMU writes? (profile canonical, if none is named)",
          "VERSION" },
        { "loader", 0, 0, G_OPTION_ARG_STRING, &loader,
          "instead: would that version of QEMU load it, and why not", "VERSION" },
        { "machine", 0, 0, G_OPTION_ARG_STRING, &machine,
          "with --loader: the destination's machine type (default: the stream's)", "TYPE" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the report", "OUT" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "FILE...",
                           "Judges migration streams by the rules that migbench rules prints.", 1,
                           0, &files, &status)) {
        return status;
    }
    if (!mig_command_keeps(argv, to, files)) {
        return MIG_EXIT_USAGE;
    }
    if (loader && writer) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--loader and --writer: one of them");
    }
    if (machine && !loader) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--machine: of which --loader?");
    }
    if (loader) {
        return answer(argv, loader, machine, format, to, files);
    }
    const MigRenderFormat *row = mig_render_format(format ? format : "text");
    if (!row || row == &mig_render_markdown) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--format %s: text, ndjson, tap, junit or html is expected",
                                format);
    }
    if (profile && !mig_profile_parse(profile, &run.profile)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--profile %s: lenient, interop, strict or canonical is expected",
                                profile);
    }
    if (writer && !parse_version(argv, "--writer", writer, &era)) {
        return MIG_EXIT_USAGE;
    }
    if (writer) {
        run.writer = &era;
        run.profile = profile ? run.profile : MIG_PROFILE_CANONICAL;
    }
    if (updating && !expect) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--update: which file? --expect says it");
    }
    run.update = updating;
    run.render = render = mig_render_new(row);
    return check(argv, &run, to, expect, files);
}
