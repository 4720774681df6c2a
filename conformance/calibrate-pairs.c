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
#define TURNS       5 /* how often a guest is stopped and started */

const MigPair mig_pairs[] = {
    { .name = "idle-unlimited", .title = "idle, 48 MiB, no limit", .fill = 48 },
    { .name = "idle-limited",
      .title = "idle, 48 MiB, 32 MiB/s",
      .fill = 48,
      .bandwidth = 32 * MIB },
    { .name = "writing",
      .title = "2000 pages/s in 16 MiB, 32 MiB/s",
      .fill = 32,
      .pages = 4096,
      .rate = 2000,
      .bandwidth = 32 * MIB },
    { .name = "xbzrle",
      .title = "the same with xbzrle",
      .fill = 32,
      .pages = 4096,
      .rate = 2000,
      .bandwidth = 32 * MIB,
      .xbzrle = true },
    { .name = "multifd",
      .title = "the same with multifd",
      .fill = 32,
      .pages = 4096,
      .rate = 2000,
      .bandwidth = 32 * MIB,
      .multifd = true },
    { NULL },
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
    bool shared, closely;
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
    g_autofree char *size =
        g_strdup_printf("%uM", e->pair->ram ? e->pair->ram : MIG_PAIR_RAM / MIB);
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
    if (e->closely) { /* patterns: who knows fewer events is silent about the others */
        add(argv, "-msg", "timestamp=on");
        add(argv, "-trace", "migration_bitmap_sync_*");
        add(argv, "-trace", "vmstate_downtime_*");
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
        .stop = r->stop,
        .start = r->start,
        .traced = mig_qemu_trace_nothing(),
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

/* How long a command takes to be answered, ns: the middle one of some. |between| undoes it. */
static gint64 time_command(const End *end, const char *command, const char *between, GError **error)
{
    gint64 values[TURNS];
    for (guint i = 0; i < TURNS; i++) {
        gint64 began = g_get_monotonic_time();
        if (!mig_peer_qmp_do(end->qmp, command, NULL, error)) {
            return -1;
        }
        values[i] = (g_get_monotonic_time() - began) * 1000;
        if (between && !mig_peer_qmp_do(end->qmp, between, NULL, error)) {
            return -1;
        }
    }
    return mig_calibration_median(values, TURNS);
}

/* Stops and starts the guest, beside commands that do nothing. It runs in the end. */
static bool time_turns(const Ends *e, MigPairResult *r, GError **error)
{
    gint64 nothing = time_command(&e->source, "query-status", NULL, error);
    gint64 stop = nothing < 0 ? -1 : time_command(&e->source, "stop", "cont", error);
    if (stop < 0 || !mig_peer_qmp_do(e->source.qmp, "stop", NULL, error)) {
        return false;
    }
    gint64 start = time_command(&e->source, "cont", "stop", error);
    r->stop = MAX(stop - nothing, 0);
    r->start = MAX(start - nothing, 0);
    return start >= 0 && mig_peer_qmp_do(e->source.qmp, "cont", NULL, error);
}

/* What both have said meanwhile. */
static void read_traces(const Ends *e, MigPairResult *r)
{
    g_autofree char *source = mig_child_words(e->source.child, 0);
    g_autofree char *dest = mig_child_words(e->dest.child, 0);
    mig_qemu_trace_read(&r->traced, source);
    mig_qemu_trace_read(&r->traced, dest);
}

static bool migrate(Ends *e, MigPairResult *result, GError **error)
{
    g_autofree char *rom = g_strdup_printf("%s/rom", e->folder);
    return write_rom(e, rom, error) && start(e, false, error) && start(e, true, error) &&
           wait_ready(e, error) && (!e->closely || time_turns(e, result, error)) &&
           set_capabilities(e, &e->dest, error) && set_capabilities(e, &e->source, error) &&
           set_parameters(e, &e->dest, error) && set_parameters(e, &e->source, error) &&
           run_command(&e->dest, "migrate-incoming", e->folder, error) &&
           (g_usleep(SETTLE_MS * 1000), run_command(&e->source, "migrate", e->folder, error)) &&
           wait_end(e, result, error);
}

bool mig_pair_run(const MigPeer *peer, const MigPair *pair, const MigPairOptions *o,
                  MigPairResult *result, GError **error)
{
    Ends e = { .peer = peer,
               .pair = pair,
               .shared = o->shared,
               .closely = o->closely,
               .folder = mig_peer_folder(error) };
    bool fine = e.folder && migrate(&e, result, error);
    if (fine && o->closely) {
        read_traces(&e, result);
    }
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
    *result = (MigPairResult){ .total_time = stats.total_time,
                               .downtime = stats.downtime,
                               .setup_time = stats.setup_time,
                               .transferred = stats.ram.transferred,
                               .passes = stats.ram.dirty_sync_count };
    return true;
}
