/* SPDX-License-Identifier: Apache-2.0 */
/* migbench dest: be the destination of a real source. */
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/dump.h"
#include "sim/engine/dest-disks.h"
#include "sim/live/monitor.h"
#include "sim/live/options.h"
#include "sim/live/postcopy.h"
#include "sim/simulate/result.h"
#include "sim/world/units.h"

static const MigLiveCommand command = {
    .name = "migbench dest",
    .summary = "Waits for one source (a QEMU, or migbench source) and loads what it sends.",
    .description =
        "The scenario says which machine with which memory this is; its events are not looked\n"
        "at. Its workload is what the guest touches in postcopy; that is checked and taken\n"
        "back before --dump. A paused postcopy is recovered by the next connection. URIs are\n"
        "QEMU's: tcp:HOST:PORT (port 0: any, it is printed) unix:PATH vsock:CID:PORT fd:NUMBER\n"
        "exec:COMMAND file:PATH[,offset=N]. Device state is checked for its form and not used,\n"
        "but by --backend kvm: there the guest goes on, for --run, and then --onward; --dump is\n"
        "of the memory as it was loaded. Exit status: 0 loaded; 1 the migration failed; 2 bad\n"
        "scenario or command line; 4 the environment failed.\n"
        "With --qmp a monitor says where to wait (with --uri: it waits there at once), and it\n"
        "stays until quit; without, it ends with its migration.",
};

static void show_listening(void *opaque, const char *address)
{
    (void)opaque;
    fprintf(stderr, "listening on %s\n", address);
}

static void show_monitor(void *opaque, const char *address)
{
    (void)opaque;
    fprintf(stderr, "migbench dest: QMP at %s\n", address);
}

static bool can_carry(MigCapabilitySet set, const MigUri *uri, GError **error)
{
    return mig_live_can_carry(set, uri, false, error);
}

static void put_uint(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static void put_text(json_object *o, const char *key, const char *text)
{
    if (text) {
        json_object_object_add(o, key, json_object_new_string(text));
    }
}

/* The checksum of x-debug-block-dirty-bitmap-sha256: of 64-bit words, bit 0 first. */
static char *checksum(const MigDiskBitmap *b)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    for (uint64_t i = 0; i < (b->bits->bits + 63) / 64; i++) {
        uint64_t word = GUINT64_TO_LE(mig_bitmap_word(b->bits, i));
        g_checksum_update(sum, (const guchar *)&word, sizeof(word));
    }
    return g_strdup(g_checksum_get_string(sum));
}

static json_object *bitmaps_to_json(const MigDisks *disks)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < mig_disks_bitmap_count(disks); i++) {
        const MigDiskBitmap *b = mig_disks_bitmap(disks, i);
        g_autofree char *sha256 = checksum(b);
        json_object *o = json_object_new_object();
        put_text(o, "node", mig_disks_at(disks, b->disk)->node);
        put_text(o, "name", b->name);
        put_uint(o, "granularity", b->granularity);
        json_object_object_add(o, "recording", json_object_new_boolean(b->enabled));
        json_object_object_add(o, "inconsistent", json_object_new_boolean(b->inconsistent));
        put_text(o, "sha256", sha256);
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *counts_to_json(const MigLoad *l)
{
    const MigDestCounts *c = mig_dest_counts(l->dest);
    json_object *o = json_object_new_object();
    put_text(o, "run-state", mig_dest_run_state(l->dest));
    put_uint(o, "normal", c->normal);
    put_uint(o, "duplicate", c->zero);
    put_uint(o, "duplicate-skipped", c->zero_skipped);
    put_uint(o, "compressed", c->compressed);
    put_uint(o, "bytes", c->bytes);
    put_uint(o, "sections", c->parts);
    put_uint(o, "devices", c->devices);
    put_uint(o, "pings", c->pings);
    json_object_object_add(o, "return-path", json_object_new_boolean(c->return_path));
    if (l->postcopy) {
        json_object_object_add(o, "postcopy", mig_live_postcopy_to_json(l->postcopy));
    }
    if (l->disks && mig_disks_bitmap_count(l->disks->disks) > 0) {
        json_object_object_add(o, "bitmaps", bitmaps_to_json(l->disks->disks));
        put_text(o, "bitmaps-given-up", mig_dest_bitmaps_cancelled(l->dest));
    }
    const MigDestMultifdCounts *multifd = mig_dest_multifd(l->dest);
    if (multifd) {
        put_uint(o, "multifd-normal", multifd->normal);
        put_uint(o, "multifd-duplicate", multifd->zero);
        put_uint(o, "multifd-bytes", multifd->bytes);
        put_uint(o, "multifd-packets", multifd->packets);
        put_uint(o, "multifd-syncs", multifd->syncs);
    }
    return o;
}

static json_object *result_to_json(const MigLiveSetup *setup, const MigLoad *l)
{
    json_object *o = json_object_new_object(), *query = json_object_new_object(),
                *transport = json_object_new_object();
    put_text(query, "status", l->completed ? "completed" : "failed");
    put_text(query, "error-desc", l->error);
    put_text(transport, "uri", setup->uri ? setup->uri->text : NULL);
    put_uint(transport, "reads", l->reads);
    put_uint(transport, "descriptors-before", l->descriptors_before);
    put_uint(transport, "descriptors-after", l->descriptors_after);
    put_text(o, "schema", MIG_RESULT_SCHEMA);
    put_text(o, "version", mig_program_version());
    put_text(o, "scenario", setup->scenario->name);
    json_object_object_add(o, "query-migrate", query);
    if (l->dest) {
        json_object_object_add(o, "destination", counts_to_json(l));
    }
    json_object_object_add(o, "x-transport", transport);
    json_object_object_add(o, "end-ns", json_object_new_int64(l->time));
    return o;
}

/* The guest that was loaded runs as long as it should. False: something is wrong with it. */
static bool run_guest(const MigLiveSetup *setup, const MigLoad *l, json_object *result)
{
    MigBackend *b = l->backend;
    bool well = true, still = true;
    json_object_object_add(result, "x-guest", b->ops->report(b, &well));
    if (strcmp(mig_dest_run_state(l->dest), "running") == 0) {
        b->ops->run(b, true);
        g_usleep((gulong)(setup->run / MIG_NS_PER_US));
        b->ops->run(b, false);
        json_object_object_add(result, "x-guest-later", b->ops->report(b, &still));
    }
    return well && still;
}

/* The monitor said how long it ran. */
static bool look_at_guest(const MigLiveSetup *setup, const MigLoad *l, json_object *result)
{
    bool well = true;
    (void)setup;
    json_object_object_add(result, "x-guest", l->backend->ops->report(l->backend, &well));
    return well;
}

/* It leaves again, running. */
static int send_onward(const MigLiveSetup *setup, MigBackend *b, json_object *result, FILE *remarks)
{
    g_autoptr(GError) error = NULL;
    MigLiveReport report = { 0 };
    MigLiveOptions options = { .uri = setup->onward, .wake = setup->wake, .backend = b };
    b->ops->run(b, true);
    g_autoptr(MigSimulation) m = mig_live_source(setup->scenario, &options, &report, &error);
    bool fine = m && mig_simulation_fine(m) && !report.error;
    if (!m) {
        return mig_live_complain(&command, MIG_EXIT_ENVIRONMENT, error->message);
    }
    if (report.error) {
        mig_live_complain(&command, MIG_EXIT_FINDING, report.error);
    }
    json_object_object_add(result, "x-onward", mig_result_to_json(m));
    GString *text = mig_result_summary(m);
    fputs(text->str, remarks);
    g_string_free(text, TRUE);
    mig_live_report_clear(&report);
    return fine ? MIG_EXIT_OK : MIG_EXIT_FINDING;
}

/* What a destination does whose guest really runs. Its memory is dumped before (with a monitor: as
 * it was left). */
static int go_on(const MigLiveArguments *a, const MigLiveSetup *setup, const MigLoad *l)
{
    g_autoptr(GError) error = NULL;
    json_object *result = result_to_json(setup, l);
    int status = l->completed ? MIG_EXIT_OK : MIG_EXIT_FINDING;
    l->backend->ops->run(l->backend, false); /* with postcopy it has run */
    if (!mig_dump_blocks(setup->scenario, mig_load_memory(l), l->disks, a->dumps, &error)) {
        status = mig_live_complain(&command, MIG_EXIT_ENVIRONMENT, error->message);
    }
    if (status == MIG_EXIT_OK && !(a->qmp ? look_at_guest : run_guest)(setup, l, result)) {
        status = mig_live_complain(&command, MIG_EXIT_FINDING,
                                   "the guest is not well: see x-guest of the result");
    }
    if (status == MIG_EXIT_OK && setup->onward) {
        status = send_onward(setup, l->backend, result, mig_live_remarks(a));
    }
    MigLiveArguments later = *a; /* without the dumps */
    later.dumps = NULL;
    int saved = mig_live_save(&command, &later, setup, result, mig_load_memory(l), NULL);
    return MAX(saved, status);
}

static int report(const MigLiveArguments *a, const MigLiveSetup *setup, const MigLoad *l)
{
    FILE *remarks = mig_live_remarks(a);
    if (!l->dest) { /* quit before a source had come */
        fprintf(remarks, "status       none\n");
        int saved = mig_live_save(&command, a, setup, result_to_json(setup, l), mig_load_memory(l),
                                  l->disks);
        return MAX(saved, MIG_EXIT_FINDING);
    }
    const MigDestCounts *c = mig_dest_counts(l->dest);
    const MigDestMultifdCounts none = { 0 }, *multifd = mig_dest_multifd(l->dest);
    multifd = multifd ? multifd : &none;
    g_autofree char *bytes = mig_format_size(c->bytes + multifd->bytes);
    g_autofree char *time = mig_format_time(l->time);
    fprintf(remarks, "status       %s\n", l->completed ? "completed" : "failed");
    fprintf(remarks,
            "received     %s in %s (%" G_GUINT64_FORMAT " normal and %" G_GUINT64_FORMAT
            " zero pages, %" G_GUINT64_FORMAT " devices)\n",
            bytes, time, c->normal + multifd->normal, c->zero + multifd->zero, c->devices);
    if (l->error) {
        mig_live_complain(&command, MIG_EXIT_FINDING, l->error);
    }
    if (l->backend) {
        return go_on(a, setup, l);
    }
    int status =
        mig_live_save(&command, a, setup, result_to_json(setup, l), mig_load_memory(l), l->disks);
    return MAX(status, l->completed ? MIG_EXIT_OK : MIG_EXIT_FINDING);
}

static int run(const MigLiveArguments *a, const MigLiveSetup *setup)
{
    g_autoptr(GError) error = NULL;
    MigLiveOptions options = {
        .uri = setup->uri,
        .wake = setup->wake,
        .listening = show_listening,
        .backend = setup->backend,
    };
    MigLiveMonitorOptions monitor = {
        .address = a->qmp,
        .listening = show_monitor,
        .can_carry = can_carry,
    };
    g_autoptr(MigLoad) l =
        a->qmp ? mig_live_dest_monitored(setup->scenario, &options, &monitor, &error)
               : mig_live_dest(setup->scenario, &options, &error);
    return l ? report(a, setup, l)
             : mig_live_complain(&command, MIG_EXIT_ENVIRONMENT, error->message);
}

int mig_cmd_dest(int argc, char **argv)
{
    MigLiveArguments a = { 0 };
    MigLiveSetup setup = { 0 };
    int status = mig_live_setup(&command, argc, argv, &a, &setup);
    status = status == MIG_EXIT_OK ? run(&a, &setup) : status;
    mig_live_clear(&a, &setup);
    return status;
}
