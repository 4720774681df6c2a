/* SPDX-License-Identifier: Apache-2.0 */
/* migbench calibrate: what things cost on this host, and how far predictions are off here. */
#include <math.h>
#include <signal.h>
#include <string.h>

#include "conformance/calibrate-pairs.h"
#include "conformance/commands.h"
#include "conformance/output.h"
#include "sim/command.h"
#include "sim/simulate/result.h"

#define DEFAULT_ROUNDS 5
#define MOST_ROUNDS    1000

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

typedef struct Options {
    char *to, **named, **pairs, *host;
    int rounds;
    gboolean validate, no_qemu, shared;
} Options;

static void clear_options(Options *o)
{
    g_free(o->to);
    g_free(o->host);
    g_strfreev(o->named);
    g_strfreev(o->pairs);
}

/* Those that answer, of those that were named or found. */
static GPtrArray *find_peers(const Options *o, GError **error)
{
    g_autoptr(GPtrArray) peers = g_ptr_array_new_with_free_func((GDestroyNotify)mig_peer_free);
    for (char **text = o->named; text && *text; text++) {
        MigPeer *p = mig_peer_new(*text, error);
        if (!p) {
            return NULL;
        }
        g_ptr_array_add(peers, p);
    }
    if (!o->named && !o->no_qemu) {
        mig_peers_find(peers);
    }
    mig_peers_probe(peers);
    for (guint i = peers->len; i-- > 0;) {
        const MigPeer *p = peers->pdata[i];
        if (p->error && o->named) {
            g_set_error_literal(error, MIG_PEER_ERROR, MIG_PEER_GONE, p->error);
            return NULL;
        }
        if (p->error || p->is_template) {
            g_ptr_array_remove_index(peers, i);
        }
    }
    return g_steal_pointer(&peers);
}

/* Profile ------------------------------------------------------------------------------------- */

static bool write_profile(const Options *o, const MigCalibration *c, const MigPeer *peer,
                          GError **error)
{
    json_object *host = mig_calibrate_this_host();
    if (peer) {
        json_object_object_add(host, "qemu", json_object_new_string(peer->version));
    }
    json_object_object_add(host, "memory",
                           json_object_new_string(o->shared ? "shared" : "private"));
    json_object *profile = mig_calibration_to_json(c, host);
    bool fine = mig_json_save(profile, o->to, error);
    json_object_put(profile);
    return fine;
}

static int calibrate(char **argv, const Options *o, const GPtrArray *peers, MigCalibration *c)
{
    g_autoptr(GError) error = NULL;
    const MigCalibrateOptions options = { (unsigned)o->rounds, o->shared, &interrupted };
    const MigPeer *peer = peers->len ? peers->pdata[peers->len - 1] : NULL; /* the newest */
    int status = MIG_EXIT_OK;
    if (!mig_calibrate_host(c, &options)) {
        return mig_command_fail(argv, MIG_EXIT_INCOMPLETE, "interrupted: nothing was written");
    }
    if (peer && !mig_calibrate_with(c, peer, &options, &error)) {
        status = mig_command_fail(argv, MIG_EXIT_INCOMPLETE, "not measured with a QEMU: %s",
                                  error ? error->message : "interrupted");
        g_clear_error(&error);
    }
    GString *text = mig_calibration_text(c);
    fputs(text->str, stdout);
    g_string_free(text, TRUE);
    if (peer) {
        printf("with QEMU %s\n", peer->version);
    } else {
        puts("no QEMU: setup, start, sync_base, devices and load_devices keep their defaults");
    }
    if (o->to && !write_profile(o, c, peer, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return status;
}

/* Validation ---------------------------------------------------------------------------------- */

static bool is_wanted(const Options *o, const char *name)
{
    return !o->pairs || g_strv_contains((const char *const *)o->pairs, name);
}

static double off(gint64 got, gint64 want)
{
    return want ? 100.0 * (double)(got - want) / (double)want : 0;
}

static int by_total(const void *a, const void *b)
{
    gint64 left = ((const MigPairResult *)a)->total_time;
    gint64 right = ((const MigPairResult *)b)->total_time;
    return (left > right) - (left < right);
}

/* One pair |rounds| times, and the simulator's word for it; adds what it is off by, in percent. */
static bool validate_pair(const Options *o, const MigPeer *peer, const MigPair *pair,
                          const MigCalibration *c, GArray *errors, GError **error)
{
    g_autofree MigPairResult *real = g_new0(MigPairResult, (gsize)o->rounds);
    const MigPairOptions options = { .shared = o->shared };
    MigPairResult ours;
    for (int i = 0; i < o->rounds; i++) {
        if (interrupted || !mig_pair_run(peer, pair, &options, &real[i], error)) {
            return false;
        }
    }
    if (!mig_pair_simulate(peer, pair, c, &ours, error)) {
        return false;
    }
    qsort(real, (gsize)o->rounds, sizeof(*real), by_total);
    const MigPairResult *middle = &real[o->rounds / 2], *last = &real[o->rounds - 1];
    double time = off(ours.total_time, middle->total_time);
    double bytes = off((gint64)ours.transferred, (gint64)middle->transferred);
    printf("%-8s %-34s total %5" G_GINT64_FORMAT " for %5" G_GINT64_FORMAT " (%" G_GINT64_FORMAT
           " to %" G_GINT64_FORMAT ") ms, %+6.2f %%   bytes %+6.2f %%   downtime %" G_GINT64_FORMAT
           " for %" G_GINT64_FORMAT " ms   passes %" G_GUINT64_FORMAT " for %" G_GUINT64_FORMAT
           "\n",
           peer->name, pair->title, ours.total_time, middle->total_time, real[0].total_time,
           last->total_time, time, bytes, ours.downtime, middle->downtime, ours.passes,
           middle->passes);
    fflush(stdout);
    time = fabs(time);
    g_array_append_val(errors, time);
    return true;
}

static int rising(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static int validate(char **argv, const Options *o, const GPtrArray *peers, const MigCalibration *c)
{
    g_autoptr(GArray) errors = g_array_new(FALSE, FALSE, sizeof(double));
    if (!peers->len) {
        return mig_command_fail(argv, MIG_EXIT_INCOMPLETE,
                                "no QEMU on PATH or made by ./run peers: nothing to compare with; "
                                "--peer names one");
    }
    for (guint i = 0; i < peers->len; i++) {
        for (const MigPair *pair = mig_pairs; pair->name; pair++) {
            g_autoptr(GError) error = NULL;
            if (is_wanted(o, pair->name) &&
                !validate_pair(o, peers->pdata[i], pair, c, errors, &error)) {
                return mig_command_fail(argv, MIG_EXIT_INCOMPLETE, "%s",
                                        error ? error->message : "interrupted");
            }
        }
    }
    qsort(errors->data, errors->len, sizeof(double), rising);
    if (errors->len) {
        printf("total time is off by %.2f %% (median), %.2f %% at most\n",
               g_array_index(errors, double, errors->len / 2),
               g_array_index(errors, double, errors->len - 1));
    }
    return MIG_EXIT_OK;
}

/* The command --------------------------------------------------------------------------------- */

static bool load_host(const Options *o, MigCalibration *c, GError **error)
{
    json_object *v = json_object_new_object(), *guest = json_object_new_object();
    json_object *ram = json_object_new_array(), *block = json_object_new_object();
    g_autofree char *path = g_canonicalize_filename(o->host, NULL);
    json_object_object_add(block, "name", json_object_new_string("ram"));
    json_object_object_add(block, "size", json_object_new_string("1M"));
    json_object_array_add(ram, block);
    json_object_object_add(guest, "ram", ram);
    json_object_object_add(v, "schema", json_object_new_string(MIG_SCENARIO_SCHEMA));
    json_object_object_add(v, "guest", guest);
    json_object_object_add(v, "host", json_object_new_string(path));
    g_autoptr(MigScenario) s = mig_scenario_read(v, "--host", ".", error);
    json_object_put(v);
    if (s) {
        c->costs = s->host;
        c->noise = s->noise;
    }
    return s;
}

static int run(char **argv, const Options *o)
{
    g_autoptr(GError) error = NULL;
    MigCalibration c = mig_calibration_new();
    if (o->host && !load_host(o, &c, &error)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s", error->message);
    }
    g_autoptr(GPtrArray) peers = find_peers(o, &error);
    if (!peers) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    struct sigaction action = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &action, NULL);
    int status = o->host ? MIG_EXIT_OK : calibrate(argv, o, peers, &c);
    int second = o->validate && !interrupted ? validate(argv, o, peers, &c) : MIG_EXIT_OK;
    return MAX(status, second);
}

static const char *complaint(const Options *o)
{
    if (o->rounds < 1 || o->rounds > MOST_ROUNDS) {
        return "--rounds: a number from 1 to 1000 is expected";
    }
    if (o->host && (o->to || !o->validate)) {
        return "--host goes with --validate, and then nothing is measured or written";
    }
    for (char **name = o->pairs; name && *name; name++) {
        const MigPair *pair = mig_pairs;
        while (pair->name && strcmp(pair->name, *name) != 0) {
            pair++;
        }
        if (!pair->name) {
            return "--pair: idle-unlimited, idle-limited, writing, xbzrle or multifd is expected";
        }
    }
    return NULL;
}

int mig_cmd_calibrate(int argc, char **argv)
{
    Options o = { .rounds = DEFAULT_ROUNDS };
    g_auto(GStrv) rest = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o.to, "write the profile there", "HOST" },
        { "rounds", 0, 0, G_OPTION_ARG_INT, &o.rounds, "measure everything so often (5)", "N" },
        { "shared-memory", 0, 0, G_OPTION_ARG_NONE, &o.shared,
          "guests have memory that others share (memory-backend-memfd)", NULL },
        { "no-qemu", 0, 0, G_OPTION_ARG_NONE, &o.no_qemu, "our own engine alone", NULL },
        { "peer", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.named,
          "this QEMU instead of those found; may be given several times", "[NAME=]COMMAND" },
        { "validate", 0, 0, G_OPTION_ARG_NONE, &o.validate,
          "then migrate between real QEMUs, and say how far predictions are off", NULL },
        { "pair", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.pairs, "validate with this one only",
          "NAME" },
        { "host", 0, 0, G_OPTION_ARG_FILENAME, &o.host,
          "validate this profile instead of measuring", "FILE" },
        { NULL },
    };
    if (!mig_command_parse(argc, argv, entries, "",
                           "Measures what migrations cost on this host, for the host of scenarios.",
                           0, 0, &rest, &status)) {
        clear_options(&o);
        return status;
    }
    const char *wrong = *rest ? "unexpected argument" : complaint(&o);
    status = wrong ? mig_command_fail(argv, MIG_EXIT_USAGE, "%s", wrong) : run(argv, &o);
    clear_options(&o);
    return status;
}
