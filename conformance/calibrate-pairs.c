/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real pairs, see calibrate-pairs.h. The guest is sim/guest/program, as the machine's firmware: it
 * fills memory, says "ready" on its serial port, and writes pages when they are due.
 */
#include "conformance/calibrate-pairs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/peers/process.h"
#include "conformance/peers/qmp.h"
#include "sim/guest/kvm-program.h"
#include "sim/simulate/simulate.h"

#define PATIENCE_MS 60000
#define POLL_US     5000
#define SETTLE_MS   300 /* that the guest runs before it is migrated */
#define MIB         (1u << 20)
#define FILL_AT     (16u * MIB)
#define WRITE_AT    (96u * MIB)
#define MULTIFD     2

const MigPair mig_pairs[] = {
    { "idle-unlimited", "idle, 48 MiB, no limit", 48, 0, 0, 0, false, false },
    { "idle-limited", "idle, 48 MiB, 32 MiB/s", 48, 0, 0, 32 * MIB, false, false },
    { "writing", "2000 pages/s in 16 MiB, 32 MiB/s", 32, 4096, 2000, 32 * MIB, false, false },
    { "xbzrle", "the same with xbzrle", 32, 4096, 2000, 32 * MIB, true, false },
    { "multifd", "the same with multifd", 32, 4096, 2000, 32 * MIB, false, true },
    { NULL, NULL, 0, 0, 0, 0, false, false },
};

/* The pair ------------------------------------------------------------------------------------ */

typedef struct End {
    MigChild *child;
    MigPeerQmp *qmp;
} End;

typedef struct Ends {
    const MigPeer *peer;
    const MigPair *pair;
    char *folder;
    bool shared;
    End source, dest;
} Ends;

static void clear_end(End *end)
{
    if (end->qmp) {
        mig_peer_qmp_do(end->qmp, "quit", NULL, NULL);
    }
    mig_peer_qmp_free(end->qmp);
    if (end->child) {
        mig_child_wait(end->child, 2000);
    }
    mig_child_free(end->child);
}

static bool write_rom(const Ends *e, const char *path, GError **error)
{
    g_autofree guint8 *rom = g_memdup2(mig_kvm_program, MIG_GUEST_ROM_BYTES);
    struct mig_guest_parameters p = { .magic = MIG_GUEST_MAGIC,
                                      .version = MIG_GUEST_VERSION,
                                      .bytes = sizeof(p) };
    if (e->pair->fill) {
        p.fill[p.fill_count++] = (struct mig_guest_fill){
            .offset = FILL_AT,
            .length = (guint64)e->pair->fill * MIB,
            .kind = MIG_GUEST_FILL_RANDOM,
            .seed = 7,
        };
    }
    if (e->pair->rate) {
        p.region[p.region_count++] = (struct mig_guest_region){
            .offset = WRITE_AT,
            .length = (guint64)e->pair->pages * MIG_GUEST_PAGE_BYTES,
            .rate = e->pair->rate,
            .catch_up_us = 50000,
            .seed = 1,
        };
    }
    memcpy(rom, &p, sizeof(p));
    return g_file_set_contents(path, (const char *)rom, MIG_GUEST_ROM_BYTES, error);
}

static void add(GPtrArray *argv, const char *option, const char *value)
{
    g_ptr_array_add(argv, g_strdup(option));
    if (value) {
        g_ptr_array_add(argv, g_strdup(value));
    }
}

static char **arguments(const Ends *e, bool source, const char *qmp)
{
    GPtrArray *argv = g_ptr_array_new();
    bool kvm = mig_peer_has(e->peer->accelerators, "kvm") && access("/dev/kvm", R_OK | W_OK) == 0;
    g_autofree char *size = g_strdup_printf("%uM", MIG_PAIR_RAM / MIB);
    g_autofree char *serial = g_strdup_printf("file:%s/serial", e->folder);
    g_autofree char *rom = g_strdup_printf("%s/rom", e->folder);
    g_autofree char *monitor = g_strdup_printf("unix:%s,server=on,wait=off", qmp);
    for (char **word = e->peer->argv; *word; word++) {
        add(argv, *word, NULL);
    }
    add(argv, "-M",
        e->shared ? "pc,usb=off,vmport=off,memory-backend=mem" : "pc,usb=off,vmport=off");
    add(argv, "-accel", kvm ? "kvm" : "tcg");
    if (e->shared) {
        g_autofree char *memory = g_strdup_printf("memory-backend-memfd,id=mem,size=%s", size);
        add(argv, "-object", memory);
    }
    add(argv, "-m", size);
    add(argv, "-bios", rom);
    add(argv, "-serial", source ? serial : "null");
    add(argv, "-qmp", monitor);
    add(argv, "-display", "none");
    add(argv, "-vga", "none");
    add(argv, "-net", "none");
    add(argv, "-nodefaults", NULL);
    add(argv, "-no-user-config", NULL);
    if (!source) {
        add(argv, "-incoming", "defer");
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

static bool start(Ends *e, bool source, GError **error)
{
    End *end = source ? &e->source : &e->dest;
    const char *name = source ? "source" : "destination";
    g_autofree char *qmp = g_strdup_printf("%s/%s.qmp", e->folder, name);
    g_autofree char *log = g_strdup_printf("%s/%s.log", e->folder, name);
    g_auto(GStrv) argv = arguments(e, source, qmp);
    end->child = mig_child_spawn(name, argv, log, error);
    end->qmp = end->child ? mig_peer_qmp_new(qmp, end->child, NULL, error) : NULL;
    return end->qmp;
}

static bool wait_ready(const Ends *e, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/serial", e->folder);
    for (int left = PATIENCE_MS * 1000; left > 0; left -= POLL_US) {
        g_autofree char *text = NULL;
        if (g_file_get_contents(path, &text, NULL, NULL) && strstr(text, "ready")) {
            return true;
        }
        g_usleep(POLL_US);
    }
    g_set_error(error, MIG_PEER_ERROR, MIG_PEER_SILENT,
                "%s: the test guest did not become ready within %d s", e->peer->name,
                PATIENCE_MS / 1000);
    return false;
}

static json_object *capability(const char *name)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "capability", json_object_new_string(name));
    json_object_object_add(o, "state", json_object_new_boolean(true));
    return o;
}

static bool set_capabilities(const Ends *e, const End *end, GError **error)
{
    json_object *arguments = json_object_new_object(), *list = json_object_new_array();
    json_object_object_add(arguments, "capabilities", list);
    if (e->pair->xbzrle) {
        json_object_array_add(list, capability("xbzrle"));
    }
    if (e->pair->multifd) {
        json_object_array_add(list, capability("multifd"));
    }
    return mig_peer_qmp_do(end->qmp, "migrate-set-capabilities", arguments, error);
}

static bool set_parameters(const Ends *e, const End *end, GError **error)
{
    json_object *arguments = json_object_new_object();
    if (end == &e->source) {
        json_object_object_add(arguments, "max-bandwidth",
                               json_object_new_uint64(e->pair->bandwidth));
    }
    if (e->pair->multifd) {
        json_object_object_add(arguments, "multifd-channels", json_object_new_int(MULTIFD));
    }
    return mig_peer_qmp_do(end->qmp, "migrate-set-parameters", arguments, error);
}

static bool run_command(const End *end, const char *command, const char *folder, GError **error)
{
    json_object *arguments = json_object_new_object();
    g_autofree char *uri = g_strdup_printf("unix:%s/migration", folder);
    json_object_object_add(arguments, "uri", json_object_new_string(uri));
    return mig_peer_qmp_do(end->qmp, command, arguments, error);
}

static bool take_result(json_object *answer, MigPairResult *r)
{
    json_object *ram = mig_answer_at(answer, "ram");
    *r = (MigPairResult){
        .total_time = mig_answer_number(answer, "total-time"),
        .downtime = mig_answer_number(answer, "downtime"),
        .setup_time = mig_answer_number(answer, "setup-time"),
        .transferred = (guint64)mig_answer_number(ram, "transferred"),
        .passes = (guint64)mig_answer_number(ram, "dirty-sync-count"),
    };
    return r->total_time > 0;
}

/* Until it has ended: 7.2 writes its total time a moment after the status. */
static bool wait_end(const Ends *e, MigPairResult *result, GError **error)
{
    for (int left = PATIENCE_MS * 1000; left > 0; left -= POLL_US) {
        json_object *answer = mig_peer_qmp_execute(e->source.qmp, "query-migrate", NULL, error);
        const char *status = answer ? mig_answer_string(answer, "status") : NULL;
        bool failed = !answer || g_strcmp0(status, "failed") == 0;
        bool done = !failed && g_strcmp0(status, "completed") == 0 && take_result(answer, result);
        if (answer && failed) {
            g_set_error(error, MIG_PEER_ERROR, MIG_PEER_SAID_NO, "%s: the migration failed: %s",
                        e->peer->name, mig_answer_string(answer, "error-desc"));
        }
        json_object_put(answer);
        if (failed || done) {
            return done;
        }
        g_usleep(POLL_US);
    }
    g_set_error(error, MIG_PEER_ERROR, MIG_PEER_SILENT,
                "%s: the migration \"%s\" did not end within %d s", e->peer->name, e->pair->name,
                PATIENCE_MS / 1000);
    return false;
}

static bool migrate(Ends *e, MigPairResult *result, GError **error)
{
    g_autofree char *rom = g_strdup_printf("%s/rom", e->folder);
    return write_rom(e, rom, error) && start(e, false, error) && start(e, true, error) &&
           wait_ready(e, error) && set_capabilities(e, &e->dest, error) &&
           set_capabilities(e, &e->source, error) && set_parameters(e, &e->dest, error) &&
           set_parameters(e, &e->source, error) &&
           run_command(&e->dest, "migrate-incoming", e->folder, error) &&
           (g_usleep(SETTLE_MS * 1000), run_command(&e->source, "migrate", e->folder, error)) &&
           wait_end(e, result, error);
}

bool mig_pair_run(const MigPeer *peer, const MigPair *pair, bool shared, MigPairResult *result,
                  GError **error)
{
    Ends e = { .peer = peer, .pair = pair, .shared = shared, .folder = mig_peer_folder(error) };
    bool fine = e.folder && migrate(&e, result, error);
    clear_end(&e.source);
    clear_end(&e.dest);
    if (e.folder) {
        mig_remove_folder(e.folder);
        g_free(e.folder);
    }
    return fine;
}

/* The same, simulated ------------------------------------------------------------------------- */

/* 11 pages of the guest's program are not zero: its counters, page tables, and the ROM. */
static char *scenario_text(const MigPeer *peer, const MigPair *pair)
{
    g_autofree char *series = mig_peer_series(peer), *workload = NULL;
    if (pair->rate) {
        workload = g_strdup_printf(
            "{ \"block\": \"pc.ram\", \"offset\": 4096, \"length\": 4096, \"pattern\": "
            "\"sequential\", \"rate\": 20000, \"pace\": \"cpu\" }, { \"block\": \"pc.ram\", "
            "\"offset\": %u, \"length\": %u, \"pattern\": \"sequential\", \"rate\": %u }",
            WRITE_AT, pair->pages * MIG_GUEST_PAGE_BYTES, pair->rate);
    }
    return g_strdup_printf(
        "{ \"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"limit\": \"%ds\", \"guest\": { "
        "\"dirty-tracking\": \"kvm-manual-clear\", \"ran\": \"%dms\", \"device-state\": \"8k\", "
        "\"ram\": [ { \"name\": \"pc.ram\", \"size\": %u, \"content\": [ { \"offset\": 4096, "
        "\"length\": 4096, \"kind\": \"random\" }, { \"offset\": 131072, \"length\": 28672, "
        "\"kind\": \"random\" }, { \"offset\": %u, \"length\": %u, \"kind\": \"random\" } ] }, { "
        "\"name\": \"pc.rom\", \"size\": \"128k\" }, { \"name\": \"pc.bios\", \"size\": \"64k\", "
        "\"content\": [ { \"offset\": 0, \"length\": 8192, \"kind\": \"random\" }, { \"offset\": "
        "61440, \"length\": 4096, \"kind\": \"random\" } ] } ], \"workload\": [ %s ] }, \"link\": "
        "{ "
        "\"bandwidth\": \"40Gbit/s\", \"latency\": \"5us\", \"send-buffer\": \"208k\", "
        "\"receive-buffer\": \"4k\" }, "
        "\"capabilities\": { \"xbzrle\": %s, \"multifd\": %s }, \"parameters\": { "
        "\"max-bandwidth\": %" G_GUINT64_FORMAT " } }",
        series, PATIENCE_MS / 1000, SETTLE_MS + 10, MIG_PAIR_RAM, FILL_AT,
        MAX(pair->fill, 1u) * MIB, workload ? workload : "", pair->xbzrle ? "true" : "false",
        pair->multifd ? "true" : "false", pair->bandwidth);
}

bool mig_pair_simulate(const MigPeer *peer, const MigPair *pair, const MigCalibration *host,
                       MigPairResult *result, GError **error)
{
    g_autofree char *text = scenario_text(peer, pair);
    const MigSimulateOptions options = { .accounting = true };
    json_object *v = mig_json_parse(text, strlen(text), pair->name, error);
    g_autoptr(MigScenario) s = v ? mig_scenario_read(v, pair->name, ".", error) : NULL;
    json_object_put(v);
    if (!s) {
        return false;
    }
    s->host = s->destination_host = host->costs;
    g_autoptr(MigSimulation) m = mig_simulate(s, &options, error);
    if (!m) {
        return false;
    }
    MigStats stats;
    mig_source_query(m->source, m->now, &stats);
    *result = (MigPairResult){ stats.total_time, stats.downtime, stats.setup_time,
                               stats.ram.transferred, stats.ram.dirty_sync_count };
    return true;
}

/* Calibrating --------------------------------------------------------------------------------- */

/* Migrates |rounds| times; how many went well. */
static guint rounds_of(const MigPeer *peer, const MigPair *pair, const MigCalibrateOptions *o,
                       MigPairResult *results, GError **error)
{
    for (guint i = 0; i < o->rounds; i++) {
        bool stop = o->interrupted && *o->interrupted;
        if (stop || !mig_pair_run(peer, pair, o->shared, &results[i], error)) {
            return i;
        }
    }
    return o->rounds;
}

static void put_all(MigCalibration *c, const char *name, const MigPairResult *results, guint count,
                    gint64 (*value)(const MigPairResult *, const MigCalibration *))
{
    g_autofree gint64 *values = g_new(gint64, count);
    for (guint i = 0; i < count; i++) {
        values[i] = MAX(value(&results[i], c), 0);
    }
    mig_calibration_put(c, name, values, count);
}

static gint64 setup_of(const MigPairResult *r, const MigCalibration *c)
{
    (void)c;
    return r->setup_time * 1000000;
}

/* What stands between stopping the guest and the end; half a millisecond is lost by rounding down.
 */
static gint64 devices_of(const MigPairResult *r, const MigCalibration *c)
{
    return r->downtime * 1000000 + 500000 - c->costs.stop - c->costs.sync_base;
}

/* Of a guest that has nothing but zeros. */
static gint64 zero_of(const MigPairResult *r, const MigCalibration *c)
{
    (void)c;
    gint64 ms = r->total_time - r->setup_time - r->downtime;
    return ms * 1000000000 / (MIG_PAIR_RAM / MIG_GUEST_PAGE_BYTES);
}

static int by_total(const void *a, const void *b)
{
    gint64 left = ((const MigPairResult *)a)->total_time;
    gint64 right = ((const MigPairResult *)b)->total_time;
    return (left > right) - (left < right);
}

static gint64 median_total(MigPairResult *results, guint count)
{
    qsort(results, count, sizeof(*results), by_total);
    return results[count / 2].total_time;
}

/*
 * What a page costs from end to end, beside one that is zero: the receiver's, as nothing else holds
 * the sender back without a limit. Never less than what our own reader needs for it.
 */
static void put_received(MigCalibration *c, const MigPair *pair, MigPairResult *results,
                         guint count, gint64 zeros)
{
    gint64 pages = (gint64)pair->fill * (MIB / MIG_GUEST_PAGE_BYTES);
    gint64 extra = (median_total(results, count) - zeros) * 1000000000 / pages;
    gint64 least = c->costs.receive_page;
    gint64 value = MAX(extra - c->costs.first_touch, least);
    mig_calibration_put(c, "receive_page", &value, 1);
}

bool mig_calibrate_with(MigCalibration *c, const MigPeer *peer, const MigCalibrateOptions *options,
                        GError **error)
{
    static const MigPair zeros = {
        "zeros", "nothing but zeros, no limit", 0, 0, 0, 0, false, false
    };
    g_autofree MigPairResult *results = g_new0(MigPairResult, options->rounds);
    guint count = rounds_of(peer, &zeros, options, results, error);
    if (count < options->rounds) {
        return false;
    }
    put_all(c, "setup", results, count, setup_of);
    put_all(c, "devices", results, count, devices_of);
    put_all(c, "zero_page", results, count, zero_of);
    gint64 total = median_total(results, count);
    count = rounds_of(peer, &mig_pairs[0], options, results, error); /* without limit */
    if (count < options->rounds) {
        return false;
    }
    put_received(c, &mig_pairs[0], results, count, total);
    return true;
}
