/* SPDX-License-Identifier: Apache-2.0 */
/* migbench source: migrate a synthetic guest to a real destination. */
#include <stdio.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/engine/source-postcopy.h"
#include "sim/live/monitor.h"
#include "sim/live/options.h"
#include "sim/progress.h"
#include "sim/simulate/result.h"
#include "sim/world/units.h"

static const MigLiveCommand command = {
    .name = "migbench source",
    .summary = "Migrates a scenario's guest to whoever listens at a URI: a QEMU, or migbench dest.",
    .description =
        "URIs are QEMU's: tcp:HOST:PORT unix:PATH vsock:CID:PORT fd:NUMBER exec:COMMAND\n"
        "file:PATH[,offset=N]. The link of the scenario is not looked at: the real one counts.\n"
        "SIGINT cancels. Exit status: 0 completed; 1 failed, cancelled, or the limit was\n"
        "reached; 2 bad scenario or command line; 4 the environment failed.\n"
        "With --qmp a monitor tells it when and where to migrate (with --uri: the first time at\n"
        "once), until quit; the result and the exit status are the last migration's.",
    .is_source = true,
};

/* What hears of a run while it runs. */
typedef struct Watch {
    MigProgress progress;
    MigHistory *history;
} Watch;

static void keep_op(void *opaque, const MigSource *source, const MigOp *op, int64_t began,
                    const MigOutcome *outcome)
{
    mig_history_did(((Watch *)opaque)->history, source, op, began, outcome);
}

static void show_progress(void *opaque, const MigSource *source, int64_t now)
{
    MigProgress *progress = &((Watch *)opaque)->progress;
    MigStats stats;
    if (!mig_progress_due(progress)) {
        return;
    }
    mig_source_query(source, now, &stats);
    g_autofree char *at = mig_format_time(now);
    g_autofree char *left = mig_format_size(stats.ram.remaining);
    mig_progress_show(progress, "%s  %s  pass %" G_GUINT64_FORMAT "  %s remaining", stats.status,
                      at, stats.ram.dirty_sync_count, left);
}

static void put_uint(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static json_object *transport_to_json(const MigLiveSetup *setup, const MigLiveReport *r)
{
    json_object *o = json_object_new_object();
    if (setup->uri) {
        json_object_object_add(o, "uri", json_object_new_string(setup->uri->text));
    }
    json_object_object_add(o, "clock",
                           json_object_new_string(setup->is_virtual ? "virtual" : "real"));
    if (r->error) {
        json_object_object_add(o, "error-desc", json_object_new_string(r->error));
    }
    put_uint(o, "bytes", r->counts.bytes);
    put_uint(o, "writes", r->counts.writes);
    put_uint(o, "waits", r->counts.waits);
    put_uint(o, "waited-ns", (uint64_t)r->counts.waited);
    put_uint(o, "answers", r->counts.answers);
    put_uint(o, "descriptors-before", r->descriptors_before);
    put_uint(o, "descriptors-after", r->descriptors_after);
    return o;
}

static MigMemory *memory_of(const MigLiveSetup *setup, const MigSimulation *m)
{
    return m->snapshot      ? mig_buffer_memory(m->snapshot)
           : setup->backend ? setup->backend->ops->memory(setup->backend)
           : m->mapped      ? mig_mapped_memory(m->mapped)
                            : mig_guest_memory(m->guest);
}

static int report(const MigLiveArguments *a, const MigLiveSetup *setup, const MigSimulation *m,
                  const MigLiveReport *r, MigHistory *history)
{
    bool well = true;
    g_autoptr(GError) error = NULL;
    json_object *result = mig_result_to_json(m);
    mig_history_put(history, m->source, m->now, result);
    json_object_object_add(result, "x-transport", transport_to_json(setup, r));
    if (!m->postcopy && mig_source_postcopy(m->source)->began) {
        json_object_object_add(result, "postcopy", mig_result_postcopy_source(m->source));
    }
    if (setup->backend) {
        setup->backend->ops->run(setup->backend, false);
        json_object_object_add(result, "x-guest",
                               setup->backend->ops->report(setup->backend, &well));
    }
    GString *text = mig_result_summary(m);
    fputs(text->str, mig_live_remarks(a));
    g_string_free(text, TRUE);
    int status = mig_simulation_fine(m) && !r->error && well ? MIG_EXIT_OK : MIG_EXIT_FINDING;
    if (r->error) {
        mig_live_complain(&command, status, r->error);
    }
    if (!mig_report_files_write(&a->files, history, result, &error)) {
        status = mig_live_complain(&command, MIG_EXIT_ENVIRONMENT, error->message);
    }
    int saved = mig_live_save(&command, a, setup, result, memory_of(setup, m), m->disks);
    return MAX(status, saved);
}

static void show_listening(void *opaque, const char *address)
{
    (void)opaque;
    fprintf(stderr, "migbench source: QMP at %s\n", address);
}

static bool can_carry(MigCapabilitySet set, const MigUri *uri, GError **error)
{
    return mig_live_can_carry(set, uri, false, error);
}

static MigSimulation *run_live(const MigLiveArguments *a, const MigLiveSetup *setup,
                               const MigLiveOptions *options, MigLiveReport *r, GError **error)
{
    MigLiveMonitorOptions monitor = {
        .address = a->qmp,
        .listening = show_listening,
        .can_carry = can_carry,
    };
    if (a->qmp) {
        return mig_live_source_monitored(setup->scenario, options, &monitor, r, error);
    }
    return (setup->is_virtual ? mig_live_source_virtual : mig_live_source)(setup->scenario, options,
                                                                           r, error);
}

static int run(const MigLiveArguments *a, const MigLiveSetup *setup)
{
    g_autoptr(GError) error = NULL;
    MigLiveReport r = { 0 };
    Watch watch = { .progress = mig_progress_begin(),
                    .history = mig_history_new(setup->scenario, a->files.timeline != NULL) };
    MigLiveOptions options = {
        .uri = setup->uri,
        .keep_snapshot = a->dumps != NULL,
        .wake = setup->wake,
        .progress = show_progress,
        .did = keep_op,
        .opaque = &watch,
        .backend = setup->backend,
    };
    g_autoptr(MigSimulation) m = run_live(a, setup, &options, &r, &error);
    mig_progress_end(&watch.progress);
    int status = MIG_EXIT_FINDING;
    if (m) {
        status = report(a, setup, m, &r, watch.history);
    } else if (error) {
        status = mig_live_complain(&command, MIG_EXIT_ENVIRONMENT, error->message);
    } else {
        mig_live_complain(&command, status, r.error);
    }
    mig_live_report_clear(&r);
    mig_history_free(watch.history);
    return status;
}

int mig_cmd_source(int argc, char **argv)
{
    MigLiveArguments a = { 0 };
    MigLiveSetup setup = { 0 };
    int status = mig_live_setup(&command, argc, argv, &a, &setup);
    status = status == MIG_EXIT_OK ? run(&a, &setup) : status;
    mig_live_clear(&a, &setup);
    return status;
}
