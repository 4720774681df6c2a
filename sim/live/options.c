/* SPDX-License-Identifier: Apache-2.0 */
/* The command lines of `source` and `dest`, see options.h. */
#include "sim/live/options.h"

#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/dump.h"
#include "sim/guest/kvm.h"
#include "sim/live/wake.h"
#include "sim/simulate/result.h"
#include "sim/world/output.h"
#include "sim/world/units.h"

int mig_live_complain(const MigLiveCommand *c, int status, const char *message)
{
    fprintf(stderr, "%s: %s\n", c->name, message);
    return status;
}

static bool parse(const MigLiveCommand *c, int *argc, char ***argv, MigLiveArguments *a,
                  GError **error)
{
    const GOptionEntry entries[] = {
        { "scenario", 0, 0, G_OPTION_ARG_FILENAME, &a->scenario,
          "the machine, its memory and settings", "FILE" },
        { "uri", 0, 0, G_OPTION_ARG_STRING, &a->uri,
          c->is_source ? "where to migrate to" : "where to wait for a source", "URI" },
        { "qmp", 0, 0, G_OPTION_ARG_STRING, &a->qmp,
          "serve QMP at unix:PATH or tcp:HOST:PORT, until quit", "ADDRESS" },
        { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &a->sets, "change one value of the scenario",
          "PATH=VALUE" },
        { "seed", 0, 0, G_OPTION_ARG_STRING, &a->seed, "the same as --set seed=N", "N" },
        { "backend", 0, 0, G_OPTION_ARG_STRING, &a->backend,
          "what the guest is: a model (the default), or one that really runs", "synthetic|kvm" },
        { "run", 0, 0, G_OPTION_ARG_STRING, &a->run,
          c->is_source ? "how long a KVM guest runs before it migrates (0s)"
                       : "how long a KVM guest runs when it was loaded (1s)",
          "TIME" },
        { "clock", 0, 0, G_OPTION_ARG_STRING, &a->clock,
          c->is_source ? "real (the default), or virtual: the bytes that sim writes"
                       : "real (the default)",
          c->is_source ? "real|virtual" : "real" },
        { "result", 0, 0, G_OPTION_ARG_FILENAME, &a->result, "write the result as JSON", "FILE" },
        { "dump", 0, 0, G_OPTION_ARG_STRING_ARRAY, &a->dumps,
          "write a block of memory as it is in the end", "BLOCK=FILE" },
        { NULL },
    };
    const GOptionEntry of_source[] = { MIG_REPORT_OPTIONS(&a->files), { NULL } };
    const GOptionEntry of_dest[] = {
        { "onward", 0, 0, G_OPTION_ARG_STRING, &a->onward,
          "then migrate the KVM guest to whoever listens there", "URI" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_summary(context, c->summary);
    g_option_context_set_description(context, c->description);
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_main_entries(context, c->is_source ? of_source : of_dest, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

static bool fail(GError **error, const char *message)
{
    g_set_error_literal(error, MIG_READER_ERROR, 0, message);
    return false;
}

enum { NAMES = 5 };

static void name_files(const MigLiveArguments *a, MigOutputName names[NAMES])
{
    const MigOutputName files[NAMES] = {
        { "--scenario", a->scenario, true },        { "--result", a->result, false },
        { "--report", a->files.report, false },     { "--plot", a->files.plot, false },
        { "--timeline", a->files.timeline, false },
    };
    memcpy(names, files, sizeof(files));
}

FILE *mig_live_remarks(const MigLiveArguments *a)
{
    MigOutputName names[NAMES];
    name_files(a, names);
    return mig_output_remarks(names, NAMES);
}

/* What comes with --backend. */
static bool check_backend(const MigLiveCommand *c, const MigLiveArguments *a, MigLiveSetup *setup,
                          GError **error)
{
    bool really = a->backend && strcmp(a->backend, "synthetic") != 0;
    if (a->backend && !mig_backend_exists(a->backend)) {
        return fail(error, "--backend: expected synthetic or kvm");
    }
    if (!really && (a->run || a->onward)) {
        return fail(error, "--run and --onward are for a guest that runs: --backend kvm");
    }
    if (really && setup->is_virtual) {
        return fail(error, "--backend kvm: its guest runs on the real clock: without --clock "
                           "virtual");
    }
    if (a->qmp && (a->run || a->onward)) {
        return fail(error, "--run and --onward: with --qmp it is the monitor that says how long "
                           "and where to");
    }
    setup->run = c->is_source ? 0 : MIG_NS_PER_S;
    setup->onward = a->onward ? mig_uri_parse(a->onward, error) : NULL;
    return (setup->onward || !a->onward) && (!a->run || mig_parse_time(a->run, &setup->run, error));
}

static bool check(const MigLiveCommand *c, int argc, const MigLiveArguments *a, MigLiveSetup *setup,
                  GError **error)
{
    if (argc > 1) {
        return fail(error, "unexpected argument; everything has an option, see --help");
    }
    if (!a->scenario || (!a->uri && !a->qmp)) {
        return fail(error, "expected --scenario FILE and --uri URI (or --qmp ADDRESS); see --help");
    }
    setup->is_virtual = c->is_source && a->clock && strcmp(a->clock, "virtual") == 0;
    if (a->clock && !setup->is_virtual && strcmp(a->clock, "real") != 0) {
        return fail(error,
                    c->is_source ? "--clock: expected real or virtual" : "--clock: expected real");
    }
    if (setup->is_virtual && a->qmp) {
        return fail(error, "--qmp needs --clock real; on the virtual clock: migbench sim --qmp");
    }
    MigOutputName names[NAMES];
    name_files(a, names);
    g_autoptr(GError) lost = NULL;
    if (!mig_output_apart(names, NAMES, &lost)) {
        return fail(error, lost->message);
    }
    if (!mig_report_files_check(&a->files, error)) {
        return false;
    }
    setup->uri = a->uri ? mig_uri_parse(a->uri, error) : NULL;
    return (setup->uri || !a->uri) && check_backend(c, a, setup, error);
}

/* What the real world can do; the simulator may know more. */
static const MigCapabilitySet carried =
    MIG_CAPS_OF_DISKS | MIG_CAP_BIT(MIG_CAP_EVENTS) | MIG_CAP_BIT(MIG_CAP_RETURN_PATH) |
    MIG_CAP_BIT(MIG_CAP_X_IGNORE_SHARED) | MIG_CAP_BIT(MIG_CAP_VALIDATE_UUID) |
    MIG_CAP_BIT(MIG_CAP_LATE_BLOCK_ACTIVATE) | MIG_CAP_BIT(MIG_CAP_PAUSE_BEFORE_SWITCHOVER) |
    MIG_CAP_BIT(MIG_CAP_X_COLO) | MIG_CAP_BIT(MIG_CAP_XBZRLE) | MIG_CAP_BIT(MIG_CAP_AUTO_CONVERGE) |
    MIG_CAP_BIT(MIG_CAP_SWITCHOVER_ACK) | MIG_CAP_BIT(MIG_CAP_DIRTY_LIMIT) |
    MIG_CAP_BIT(MIG_CAP_MULTIFD) | MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) |
    MIG_CAP_BIT(MIG_CAP_POSTCOPY_BLOCKTIME) | MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT) |
    MIG_CAP_BIT(MIG_CAP_RELEASE_RAM) | MIG_CAP_BIT(MIG_CAP_COMPRESS) | MIG_CAPS_OF_FILES;

/* mapped-ram needs places, and a file is the only thing that has them. */
static bool has_places(MigCapabilitySet set, const MigUri *uri, bool is_virtual, GError **error)
{
    bool mapped = set & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM);
    if (mapped && is_virtual) {
        g_set_error_literal(error, MIG_READER_ERROR, 0,
                            "capability mapped-ram: --clock virtual writes a stream; use --clock "
                            "real, or migbench sim --stream FILE");
        return false;
    }
    if (mapped && uri && uri->kind != MIG_URI_FILE && uri->kind != MIG_URI_FD) {
        g_set_error(error, MIG_READER_ERROR, 0,
                    "capability mapped-ram: '%s' has no places for pages; expected file:PATH",
                    uri->text);
        return false;
    }
    return true;
}

/* Multifd opens the place it migrates to several times. */
static bool has_channels(MigCapabilitySet set, const MigUri *uri, bool is_virtual, GError **error)
{
    if (!(set & MIG_CAP_BIT(MIG_CAP_MULTIFD))) {
        return true;
    }
    if (is_virtual) {
        g_set_error_literal(error, MIG_READER_ERROR, 0,
                            "capability multifd: --clock virtual writes one channel; turn it off "
                            "(--set capabilities.multifd=false), or use --clock real");
        return false;
    }
    if (uri && !(set & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM)) && !mig_uri_is_multi_channel(uri)) {
        g_set_error(error, MIG_READER_ERROR, 0,
                    "capability multifd: '%s' can be opened only once; expected tcp:, unix: or "
                    "vsock:",
                    uri->text);
        return false;
    }
    return true;
}

bool mig_live_can_carry(MigCapabilitySet set, const MigUri *uri, bool is_virtual, GError **error)
{
    for (MigCapability cap = 0; cap < MIG_CAP_COUNT; cap++) {
        if (set & ~carried & MIG_CAP_BIT(cap)) {
            g_set_error(error, MIG_READER_ERROR, 0,
                        "capability %s: only migbench sim has it so far; turn it off (--set "
                        "capabilities.%s=false)",
                        mig_capability_name(cap), mig_capability_name(cap));
            return false;
        }
    }
    return has_places(set, uri, is_virtual, error) && has_channels(set, uri, is_virtual, error);
}

static bool load(const MigLiveArguments *a, MigLiveSetup *setup, GError **error)
{
    g_autoptr(GPtrArray) sets = g_ptr_array_new_with_free_func(g_free);
    for (char **set = a->sets; set && *set; set++) {
        g_ptr_array_add(sets, g_strdup(*set));
    }
    if (a->seed) {
        g_ptr_array_add(sets, g_strconcat("seed=", a->seed, NULL));
    }
    g_ptr_array_add(sets, NULL);
    setup->scenario = mig_scenario_load(a->scenario, (const char *const *)sets->pdata, error);
    if (setup->scenario && setup->scenario->counts_pages &&
        (a->qmp || (a->backend && strcmp(a->backend, "synthetic") != 0))) {
        return fail(error, "guest.clock pages: not with --qmp or --backend kvm");
    }
    return setup->scenario &&
           mig_live_can_carry(setup->scenario->capabilities, setup->uri, setup->is_virtual,
                              error) &&
           mig_dump_check(setup->scenario, a->dumps, error);
}

/* Last of all: a guest that really runs begins with it. */
static bool make_backend(const MigLiveCommand *c, const MigLiveArguments *a, MigLiveSetup *setup,
                         GError **error)
{
    GError *why = NULL;
    if (!a->backend || strcmp(a->backend, "synthetic") == 0) {
        return true;
    }
    if (setup->scenario->free_pages->len > 0) {
        return fail(error, "--backend kvm: free-pages need a guest that is modelled: "
                           "--backend synthetic");
    }
    setup->backend = mig_backend_new(a->backend, setup->scenario, !c->is_source, &why);
    if (why) {
        g_propagate_error(error, why);
    }
    return setup->backend != NULL;
}

int mig_live_setup(const MigLiveCommand *c, int argc, char **argv, MigLiveArguments *a,
                   MigLiveSetup *setup)
{
    g_autoptr(GError) error = NULL;
    if (!parse(c, &argc, &argv, a, &error) || !check(c, argc, a, setup, &error) ||
        !load(a, setup, &error)) {
        bool missing = error->domain == G_FILE_ERROR;
        return mig_live_complain(c, missing ? MIG_EXIT_ENVIRONMENT : MIG_EXIT_USAGE,
                                 error->message);
    }
    setup->wake = mig_wake_on_signals();
    if (setup->wake < 0) {
        return mig_live_complain(c, MIG_EXIT_ENVIRONMENT, "no descriptors left");
    }
    if (!make_backend(c, a, setup, &error)) {
        bool usage = error->domain == MIG_READER_ERROR ||
                     g_error_matches(error, MIG_KVM_ERROR, MIG_KVM_ERROR_CONFIG);
        return mig_live_complain(c, usage ? MIG_EXIT_USAGE : MIG_EXIT_ENVIRONMENT, error->message);
    }
    return MIG_EXIT_OK;
}

void mig_live_clear(MigLiveArguments *a, MigLiveSetup *setup)
{
    mig_backend_free(setup->backend);
    mig_scenario_free(setup->scenario);
    mig_uri_free(setup->uri);
    mig_uri_free(setup->onward);
    g_strfreev(a->sets);
    g_strfreev(a->dumps);
    g_free(a->scenario);
    g_free(a->uri);
    g_free(a->qmp);
    g_free(a->clock);
    g_free(a->backend);
    g_free(a->run);
    g_free(a->onward);
    mig_report_files_clear(&a->files);
    g_free(a->seed);
    g_free(a->result);
}

int mig_live_save(const MigLiveCommand *c, const MigLiveArguments *a, const MigLiveSetup *setup,
                  json_object *result, MigMemory *memory, const MigScenarioDisks *disks)
{
    g_autoptr(GError) error = NULL;
    bool fine = (!a->result || mig_json_save(result, a->result, &error)) &&
                mig_dump_blocks(setup->scenario, memory, disks, a->dumps, &error);
    json_object_put(result);
    return fine ? MIG_EXIT_OK : mig_live_complain(c, MIG_EXIT_ENVIRONMENT, error->message);
}
