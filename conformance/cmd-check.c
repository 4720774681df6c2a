/* SPDX-License-Identifier: Apache-2.0 */
/* migbench check: judge streams, one after the other. */
#include <string.h>

#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/report.h"
#include "sim/command.h"

typedef struct Run {
    MigProfile profile;
    bool json;
    MigOutput *out;
    GString *text;
    MigReportTotals totals;
} Run;

static void flush_text(Run *run)
{
    fwrite(run->text->str, 1, run->text->len, run->out->file);
    g_string_truncate(run->text, 0);
}

static int subject_error(Run *run, const char *file, const char *message)
{
    run->totals.subjects++;
    run->totals.errors++;
    if (run->json) {
        mig_report_ndjson_error(run->text, file, message);
    }
    fprintf(stderr, "migbench check: %s\n", message);
    return MIG_EXIT_ENVIRONMENT;
}

static int check_one(Run *run, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCheck) check = mig_check_new(run->profile);
    g_autoptr(MigRecording) recording = mig_recording_open(file, &error);

    if (!recording || !mig_check_recording(check, recording, &error)) {
        return subject_error(run, file, error->message);
    }
    (run->json ? mig_report_ndjson : mig_report_text)(run->text, file, check);
    return mig_report_count(&run->totals, check);
}

static int check_all(Run *run, char **files)
{
    int worst = MIG_EXIT_OK;

    if (run->json) {
        mig_report_ndjson_begin(run->text, run->profile, g_strv_length(files));
    }
    for (; *files; files++) {
        int status = check_one(run, *files);
        worst = MAX(worst, status);
        flush_text(run);
    }
    if (run->json) {
        mig_report_ndjson_end(run->text, &run->totals);
    } else if (run->totals.subjects > 1) {
        g_string_append_printf(run->text,
                               "%u streams: %u conformant, %u nonconformant, %u inconclusive, %u "
                               "errors\n",
                               run->totals.subjects, run->totals.conformant,
                               run->totals.nonconformant, run->totals.inconclusive,
                               run->totals.errors);
    }
    flush_text(run);
    return worst;
}

static int check(char **argv, Run *run, const char *to, char **files)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigOutput) out = mig_output_open(to ? to : "-", &error);
    g_autoptr(GString) text = g_string_new(NULL);

    if (!out) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    run->out = out;
    run->text = text;
    int status = check_all(run, files);
    if (!mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return status;
}

int mig_cmd_check(int argc, char **argv)
{
    g_autofree char *format = NULL, *profile = NULL, *to = NULL;
    g_auto(GStrv) files = NULL;
    Run run = { .profile = MIG_PROFILE_INTEROP };
    int status;
    const GOptionEntry entries[] = {
        { "profile", 0, 0, G_OPTION_ARG_STRING, &profile,
          "lenient, interop (default), strict or canonical", "PROFILE" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &format, "text (default) or ndjson", "FORMAT" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the report", "OUT" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "FILE...",
                           "Judges migration streams by the rules that migbench rules prints.", 1,
                           0, &files, &status)) {
        return status;
    }
    run.json = g_strcmp0(format, "ndjson") == 0;
    if (format && !run.json && strcmp(format, "text") != 0) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--format %s: text or ndjson is expected",
                                format);
    }
    if (profile && !mig_profile_parse(profile, &run.profile)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--profile %s: lenient, interop, strict or canonical is expected",
                                profile);
    }
    return check(argv, &run, to, files);
}
