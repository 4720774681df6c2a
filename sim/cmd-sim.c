/* SPDX-License-Identifier: Apache-2.0 */
/* migbench sim: simulate one migration. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/dump.h"
#include "sim/fit/fit.h"
#include "sim/monitor/simulated.h"
#include "sim/progress.h"
#include "sim/report/files.h"
#include "sim/report/page.h"
#include "sim/scenario/from-manifest.h"
#include "sim/simulate/repeat.h"
#include "sim/simulate/result.h"
#include "sim/simulate/stream-recorder.h"
#include "sim/world/capture-writer.h"
#include "sim/world/output.h"
#include "sim/world/units.h"

static volatile sig_atomic_t interrupted;

typedef struct SimOptions {
    char **sets, **dumps;
    char *workload_from, *scenario_out;
    char **recorded;
    char *seed, *result, *stream, *trace, *qmp;
    double pace;
    gboolean accounting;
    MigReportFiles files;
    int runs;   /* 0: one, with a result of its own */
    char *host; /* of both ends */
} SimOptions;

typedef struct Output {
    MigOutput *stream;           /* NULL: nobody wants it */
    FILE *file;                  /* |stream|'s, until it is complete */
    MigStreamRecorder *recorder; /* with postcopy and a stream */
    MigHistory *history;
    MigProgress progress;
    int64_t limit;
} Output;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static int complain(int status, const char *message)
{
    fprintf(stderr, "migbench sim: %s\n", message);
    return status;
}

/* The stream ---------------------------------------------------------------------------------- */

static bool fail_errno(GError **error, const char *name)
{
    int code = errno;
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "cannot write %s: %s", name,
                g_strerror(code));
    return false;
}

static bool write_stream(void *opaque, const void *data, size_t n, GError **error)
{
    Output *out = opaque;
    return !out->file || fwrite(data, 1, n, out->file) == n || fail_errno(error, out->stream->name);
}

/* mapped-ram: not from the beginning to the end. */
static bool write_place(void *opaque, uint64_t at, const void *data, size_t n, GError **error)
{
    Output *out = opaque;
    return !out->file || pwrite(fileno(out->file), data, n, (off_t)at) == (ssize_t)n ||
           fail_errno(error, out->stream->name);
}

/* Several channels make a recording. */
static bool begin_recording(Output *out, const MigScenario *s, GError **error)
{
    MigEra era;
    mig_era_resolve(s->version, s->machine, &era);
    MigParameters p = mig_parameters_default(&era);
    mig_parameters_apply(&p, &s->parameters);
    bool fine = mig_capture_write_head(out->file) && mig_capture_write_channel(out->file, "main");
    for (uint64_t i = 0; i < p.multifd_channels && fine; i++) {
        g_autofree char *name = g_strdup_printf("multifd%" G_GUINT64_FORMAT, i);
        fine = mig_capture_write_channel(out->file, name);
    }
    return fine || fail_errno(error, out->stream->name);
}

static bool write_record(void *opaque, uint32_t channel, int64_t at, const void *data, size_t n,
                         GError **error)
{
    Output *out = opaque;
    if (out->recorder) {
        mig_stream_recorder_add(out->recorder, channel, at, data, n);
        return true;
    }
    return mig_capture_write_chunk(out->file, channel, (uint64_t)at, data, n) ||
           fail_errno(error, out->stream->name);
}

/* Gives the stream its name; what was interrupted keeps it too: it is what a cut link leaves. */
static bool close_stream(Output *out, GError **error)
{
    if (!out->file) {
        return true;
    }
    if (out->recorder && !mig_stream_recorder_write(out->recorder, out->file)) {
        return fail_errno(error, out->stream->name);
    }
    out->file = NULL;
    return mig_output_commit(out->stream, error);
}

static void clear_output(Output *out)
{
    mig_stream_recorder_free(out->recorder);
    mig_history_free(out->history);
    mig_output_free(out->stream);
}

/* Progress ------------------------------------------------------------------------------------ */

static void show_progress(void *opaque, const MigSource *source, int64_t now)
{
    Output *out = opaque;
    MigStats stats;
    if (!mig_progress_due(&out->progress)) {
        return;
    }
    mig_source_query(source, now, &stats);
    g_autofree char *at = mig_format_time(now);
    g_autofree char *left = mig_format_size(stats.ram.remaining);
    mig_progress_show(&out->progress,
                      "%s  %s  pass %" G_GUINT64_FORMAT "  %s remaining  (%u %% of "
                      "the limit)",
                      stats.status, at, stats.ram.dirty_sync_count, left,
                      (unsigned)(now / (out->limit / 100 + 1)));
}

/* History ------------------------------------------------------------------------------------- */

static void keep_op(void *opaque, const MigSource *source, const MigOp *op, int64_t began,
                    const MigOutcome *outcome)
{
    mig_history_did(((Output *)opaque)->history, source, op, began, outcome);
}

static void keep_fault(void *opaque, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                       int64_t to)
{
    mig_history_waited(((Output *)opaque)->history, vcpu, block, page, from, to);
}

/* Monitor ------------------------------------------------------------------------------------- */

static void say_address(void *opaque, const char *address)
{
    (void)opaque;
    fprintf(stderr, "migbench sim: QMP at %s\n", address);
}

static MigSimulation *simulate(const MigScenario *s, const SimOptions *o,
                               const MigSimulateOptions *options, GError **error)
{
    MigSimulatedOptions monitor = {
        .address = o->qmp,
        .pace = o->pace,
        .interrupted = &interrupted,
        .listening = say_address,
    };
    if (o->qmp && s->counts_pages) {
        g_set_error_literal(error, MIG_READER_ERROR, 0, "guest.clock pages: not with --qmp");
        return NULL;
    }
    return o->qmp ? mig_simulate_monitored(s, options, &monitor, error)
                  : mig_simulate(s, options, error);
}

enum { OUTPUTS = 6 };

static void name_outputs(const SimOptions *o, MigOutputName names[OUTPUTS])
{
    const MigOutputName outputs[OUTPUTS] = {
        { "--scenario-out", o->scenario_out, false },
        { "--stream", o->stream, false },
        { "--result", o->result, false },
        { "--report", o->files.report, false },
        { "--plot", o->files.plot, false },
        { "--timeline", o->files.timeline, false },
    };
    memcpy(names, outputs, sizeof(outputs));
}

/* Takes |text| over. */
static void say(const SimOptions *o, GString *text)
{
    MigOutputName names[OUTPUTS];
    name_outputs(o, names);
    fputs(text->str, mig_output_remarks(names, OUTPUTS));
    g_string_free(text, TRUE);
}

/* Results ------------------------------------------------------------------------------------- */

static bool save_result(const MigSimulation *m, const SimOptions *o, Output *out, GError **error)
{
    json_object *result = mig_result_to_json(m);
    mig_history_put(out->history, m->source, m->now, result);
    bool fine = (!o->result || mig_json_save(result, o->result, error)) &&
                mig_report_files_write(&o->files, out->history, result, error);
    json_object_put(result);
    return fine;
}

static int report(const MigSimulation *m, const SimOptions *o, Output *out)
{
    g_autoptr(GError) error = NULL;
    if (!close_stream(out, &error) ||
        !mig_dump_blocks(m->scenario, mig_guest_memory(m->guest), m->disks, o->dumps, &error) ||
        !save_result(m, o, out, &error)) {
        return complain(g_error_matches(error, MIG_READER_ERROR, 0) ? MIG_EXIT_USAGE
                                                                    : MIG_EXIT_ENVIRONMENT,
                        error->message);
    }
    say(o, mig_result_summary(m));
    return mig_simulation_fine(m) ? MIG_EXIT_OK : MIG_EXIT_FINDING;
}

static int run(const MigScenario *s, const SimOptions *o)
{
    g_autoptr(GError) error = NULL;
    Output out = { .progress = mig_progress_begin(), .limit = s->limit };
    MigSimulateOptions options = {
        .accounting = o->accounting,
        .stream = write_stream,
        .place = write_place,
        .progress = show_progress,
        .did = keep_op,
        .waited = keep_fault,
        .opaque = &out,
        .interrupted = &interrupted,
    };
    int status = MIG_EXIT_ENVIRONMENT;
    bool mapped = s->capabilities & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM);
    bool postcopy =
        s->capabilities & (MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) | MIG_CAP_BIT(MIG_CAP_DIRTY_BITMAPS));
    bool recorded =
        o->stream && !mapped && (postcopy || s->capabilities & MIG_CAP_BIT(MIG_CAP_MULTIFD));
    if (mapped && o->stream && strcmp(o->stream, "-") == 0) {
        return complain(MIG_EXIT_USAGE,
                        "--stream: with mapped-ram it must be a file, as pages have "
                        "places in it");
    }
    options.record = recorded ? write_record : NULL;
    out.history = mig_history_new(s, o->files.timeline != NULL);
    out.recorder = recorded && postcopy ? mig_stream_recorder_new() : NULL;
    out.stream = o->stream ? mig_output_open(o->stream, &error) : NULL;
    out.file = out.stream ? out.stream->file : NULL;
    if (!error && (!recorded || out.recorder || begin_recording(&out, s, &error))) {
        struct sigaction action = { .sa_handler = on_interrupt };
        sigaction(SIGINT, &action, NULL);
        g_autoptr(MigSimulation) m = simulate(s, o, &options, &error);
        mig_progress_end(&out.progress);
        status = m ? report(m, o, &out) : status;
    }
    if (error) {
        complain(status, error->message);
    }
    clear_output(&out);
    return status;
}

/* --runs: how results spread. */
static int repeat(const MigScenario *s, const SimOptions *o)
{
    g_autoptr(GError) error = NULL;
    struct sigaction action = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &action, NULL);
    g_autoptr(MigRepeats) r = mig_repeat(s, (unsigned)o->runs, &interrupted, &error);
    if (!r) {
        return complain(MIG_EXIT_ENVIRONMENT, error->message);
    }
    json_object *result = mig_repeats_to_json(r);
    g_autofree char *name = g_path_get_basename(s->name);
    bool saved =
        (!o->result || mig_json_save(result, o->result, &error)) &&
        (!o->files.report || mig_page_save(MIG_PAGE_RUNS, name, result, o->files.report, &error));
    json_object_put(result);
    if (!saved) {
        return complain(MIG_EXIT_ENVIRONMENT, error->message);
    }
    say(o, mig_repeats_summary(r));
    return r->interrupted ? MIG_EXIT_INCOMPLETE : MIG_EXIT_OK;
}

/* The scenario that a recording is the outcome of, with |sets| on top of it. */
static MigScenario *load_fitted(const SimOptions *o, const char *const *sets, GError **error)
{
    g_autoptr(MigRecording) recording = mig_recording_open(o->workload_from, error);
    g_autoptr(MigSends) sends = recording ? mig_sends_read(recording, error) : NULL;
    g_autoptr(MigFit) fit = sends ? mig_fit(sends, (const char *const *)o->recorded, error) : NULL;
    if (sends && !fit) {
        g_prefix_error(error, "%s: ", o->workload_from);
    }
    if (!fit || (o->scenario_out && !mig_json_save(fit->scenario, o->scenario_out, error))) {
        return NULL;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    mig_fit_to_text(fit, sends, text);
    fputs(text->str, stderr);
    for (; *sets; sets++) {
        if (!mig_scenario_set(fit->scenario, *sets, error)) {
            return NULL;
        }
    }
    return mig_scenario_read(fit->scenario, o->workload_from, ".", error);
}

static MigScenario *load(const SimOptions *o, const char *path, GError **error)
{
    g_autoptr(GPtrArray) sets = g_ptr_array_new_with_free_func(g_free);
    for (char **set = o->sets; set && *set; set++) {
        g_ptr_array_add(sets, g_strdup(*set));
    }
    if (o->seed) {
        g_ptr_array_add(sets, g_strconcat("seed=", o->seed, NULL));
    }
    if (o->host) {
        g_autofree char *host = g_canonicalize_filename(o->host, NULL);
        g_ptr_array_add(sets, g_strconcat("host=", host, NULL));
        g_ptr_array_add(sets, g_strconcat("destination-host=", host, NULL));
    }
    g_ptr_array_add(sets, NULL);
    const char *const *list = (const char *const *)sets->pdata;
    if (o->workload_from) {
        return load_fitted(o, list, error);
    }
    return o->trace ? mig_scenario_from_manifest(o->trace, list, error)
                    : mig_scenario_load(path, list, error);
}

static bool check_names(const SimOptions *o, const char *scenario, GError **error)
{
    MigOutputName names[4 + OUTPUTS] = {
        { "SCENARIO", scenario, true },
        { "--from-trace", o->trace, true },
        { "--workload-from", o->workload_from, true },
        { "--host", o->host, true },
    };
    name_outputs(o, names + 4);
    return mig_output_apart(names, G_N_ELEMENTS(names), error);
}

static int check_and_run(const SimOptions *o, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (argc > 2 || (argc == 2) + (o->trace != NULL) + (o->workload_from != NULL) != 1) {
        return complain(MIG_EXIT_USAGE, "expected one SCENARIO, --from-trace MANIFEST, or "
                                        "--workload-from RECORDING; see migbench sim --help");
    }
    if ((o->recorded || o->scenario_out) && !o->workload_from) {
        return complain(MIG_EXIT_USAGE, "--recorded and --scenario-out go with --workload-from");
    }
    if (o->pace < 0 || (o->pace > 0 && !o->qmp)) {
        return complain(MIG_EXIT_USAGE, "--pace is a factor above 0, and goes with --qmp");
    }
    if (o->accounting && o->stream) {
        return complain(MIG_EXIT_USAGE, "--accounting makes no bytes: it can't go with --stream");
    }
    if (!mig_report_files_check(&o->files, &error)) {
        bool name = g_error_matches(error, MIG_PLOT_ERROR, MIG_PLOT_ERROR_FORMAT);
        return complain(name ? MIG_EXIT_USAGE : MIG_EXIT_ENVIRONMENT, error->message);
    }
    bool pictures = o->files.plot || o->files.timeline;
    if (o->runs < 0 || (o->runs > 0 && (o->stream || o->dumps || o->qmp || pictures))) {
        return complain(MIG_EXIT_USAGE,
                        "--runs is a number above 0, and goes with none of --stream, "
                        "--dump, --qmp, --plot and --timeline");
    }
    if (!check_names(o, argv[1], &error)) {
        return complain(MIG_EXIT_USAGE, error->message);
    }
    g_autoptr(MigScenario) s = load(o, argv[1], &error);
    if (!s) {
        bool missing = error->domain == G_FILE_ERROR;
        return complain(missing ? MIG_EXIT_ENVIRONMENT : MIG_EXIT_USAGE, error->message);
    }
    return o->runs ? repeat(s, o) : run(s, o);
}

int mig_cmd_sim(int argc, char **argv)
{
    SimOptions o = { 0 };
    const GOptionEntry entries[] = {
        { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.sets, "change one value of the scenario",
          "PATH=VALUE" },
        { "seed", 0, 0, G_OPTION_ARG_STRING, &o.seed, "the same as --set seed=N", "N" },
        { "result", 0, 0, G_OPTION_ARG_FILENAME, &o.result,
          "write the result as JSON (- for standard output)", "FILE" },
        { "stream", 0, 0, G_OPTION_ARG_FILENAME, &o.stream,
          "write the migration stream (- for standard output); with multifd or postcopy "
          "a recording",
          "FILE" },
        { "dump", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.dumps,
          "write the source's memory as it is in the end", "BLOCK=FILE" },
        { "accounting", 0, 0, G_OPTION_ARG_NONE, &o.accounting,
          "count bytes without making them: faster, and no destination", NULL },
        { "qmp", 0, 0, G_OPTION_ARG_STRING, &o.qmp,
          "serve QMP and migrate when told to; the clock is moved by x-advance",
          "unix:PATH|tcp:HOST:PORT" },
        { "pace", 0, 0, G_OPTION_ARG_DOUBLE, &o.pace,
          "with --qmp: virtual seconds per second, instead of x-advance", "X" },
        { "runs", 0, 0, G_OPTION_ARG_INT, &o.runs,
          "so many runs that differ as runs on the host do: quantiles and probabilities", "N" },
        { "host", 0, 0, G_OPTION_ARG_FILENAME, &o.host,
          "a profile that migbench calibrate wrote, for both ends", "FILE" },
        { "from-trace", 0, 0, G_OPTION_ARG_FILENAME, &o.trace,
          "instead of a scenario: what made a recorded trace", "MANIFEST" },
        MIG_REPORT_OPTIONS(&o.files),
        { "workload-from", 0, 0, G_OPTION_ARG_FILENAME, &o.workload_from,
          "instead of a scenario: one whose guest writes as that of a recording did; --set then "
          "asks what if",
          "RECORDING" },
        { "recorded", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.recorded,
          "with --workload-from: how the recording was made, where QEMU's defaults and the "
          "measured bandwidth are not it",
          "PATH=VALUE" },
        { "scenario-out", 0, 0, G_OPTION_ARG_FILENAME, &o.scenario_out,
          "with --workload-from: write the fitted scenario, before --set", "FILE" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("SCENARIO");
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(context, "Simulates one migration on a virtual clock and says how "
                                          "it went.");
    g_option_context_set_description(
        context, "Values of --set are JSON or plain text: --set link.bandwidth=1Gbit/s\n"
                 "--set guest.ram[0].size=1G. Exit status: 0 completed, and the destination's\n"
                 "memory equals the source's; 1 failed, cancelled, or the limit was reached;\n"
                 "2 bad scenario or command line; 4 the environment failed.");
    g_option_context_add_main_entries(context, entries, NULL);
    int status = g_option_context_parse(context, &argc, &argv, &error)
                     ? check_and_run(&o, argc, argv)
                     : complain(MIG_EXIT_USAGE, error->message);
    g_strfreev(o.sets);
    g_strfreev(o.dumps);
    g_strfreev(o.recorded);
    g_free(o.workload_from);
    g_free(o.scenario_out);
    g_free(o.seed);
    g_free(o.result);
    g_free(o.stream);
    g_free(o.trace);
    mig_report_files_clear(&o.files);
    g_free(o.host);
    g_free(o.qmp);
    return status;
}
