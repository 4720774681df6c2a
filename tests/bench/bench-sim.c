/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a simulation costs where nobody wants its bytes. One terabyte of which every other page is
 * zero, scattered one by one, while 200 000 random pages a second are written in 64 GiB of it, over
 * 25 Gbit/s, to its end; the same as QEMU 11.1 with postcopy-ram on, which makes a sync in every
 * turn. And ten thousand small migrations of all kinds of QEMU. Prints processor time (of a
 * terabyte the least of three rounds, and their median), how much virtual time it made, and the
 * process's memory. The host copies a page in 0.6 us, which a page takes on the wire, too, and
 * more.
 *
 *     bench-sim [PART OF A LINE]       only these
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "sim/simulate/simulate.h"

#define CELLS      10000u
#define CELLS_LINE "10000 guests of 32M to 512M"
#define ROUNDS     3u

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const GError *error)
{
    fprintf(stderr, "bench-sim: %s\n", error->message);
    exit(4);
}

typedef struct Run {
    double took, virtual; /* seconds */
    MigStats stats;
} Run;

/* In accounting mode. */
static Run run(const char *text)
{
    static const MigSimulateOptions accounting = { .accounting = true };
    GError *error = NULL;
    json_object *root = mig_json_parse(text, strlen(text), "bench-sim", &error);
    MigScenario *s = root ? mig_scenario_read(root, "bench-sim", ".", &error) : NULL;
    double before = cpu_seconds();
    MigSimulation *m = s ? mig_simulate(s, &accounting, &error) : NULL;
    if (!m) {
        fail(error);
    }
    Run r = { .took = cpu_seconds() - before, .virtual = (double)m->now / 1e9 };
    mig_source_query(m->source, m->now, &r.stats);
    r.stats.status = g_intern_string(r.stats.status);
    mig_simulation_free(m);
    mig_scenario_free(s);
    json_object_put(root);
    return r;
}

typedef struct Terabyte {
    const char *line, *qemu, *tracking, *capabilities;
} Terabyte;

static const Terabyte terabytes[] = {
    { "1 TiB, 10.0", "10.0", "kvm-log", "" },
    { "1 TiB, 11.1 postcopy-ram", "11.1", "kvm-log", "\"postcopy-ram\":true" },
    { "the same, manual clearing", "11.1", "kvm-manual-clear", "\"postcopy-ram\":true" },
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_terabyte(const Terabyte *t)
{
    g_autofree char *text = g_strdup_printf(
        "{\"schema\":\"migbench-scenario-1\",\"qemu\":\"%s\",\"guest\":{\"machine\":\"none\","
        "\"dirty-tracking\":\"%s\",\"ram\":[{\"name\":\"ram\",\"size\":\"1T\",\"content\":"
        "[{\"kind\":\"random\",\"zeros\":50}]}],\"workload\":[{\"block\":\"ram\",\"offset\":0,"
        "\"length\":\"64G\",\"pattern\":\"random\",\"rate\":200000,\"write-cost\":\"100ns\"}]},"
        "\"link\":{\"bandwidth\":\"25Gbit/s\",\"latency\":\"50us\",\"framing\":\"ethernet-tcp\"},"
        "\"host\":{\"normal_page\":600000,\"zero_page\":100000},"
        "\"destination-host\":{\"receive_page\":600000,\"first_touch\":300000},"
        "\"capabilities\":{%s},\"parameters\":{\"max-bandwidth\":0},\"limit\":\"3600s\"}",
        t->qemu, t->tracking, t->capabilities);
    double took[ROUNDS];
    Run r;
    for (unsigned i = 0; i < ROUNDS; i++) {
        r = run(text);
        took[i] = r.took;
    }
    qsort(took, ROUNDS, sizeof *took, compare);
    printf("%-28s %6.2f s (median %.2f) for %.0f virtual s (%.0f : 1), %s, %" G_GUINT64_FORMAT
           " syncs, %.0f million pages\n",
           t->line, took[0], took[ROUNDS / 2], r.virtual, r.virtual / took[0], r.stats.status,
           r.stats.ram.dirty_sync_count,
           (double)(r.stats.ram.normal + r.stats.ram.duplicate) / 1e6);
}

static void run_cells(void)
{
    static const char *const qemus[] = { "1.4", "2.5", "4.1", "5.2", "7.2", "8.1", "10.0", "11.1" };
    double before = cpu_seconds(), virtual = 0;
    for (unsigned i = 0; i < CELLS; i++) {
        g_autofree char *text = g_strdup_printf(
            "{\"schema\":\"migbench-scenario-1\",\"qemu\":\"%s\",\"seed\":%u,\"guest\":{"
            "\"machine\":\"none\",\"ram\":[{\"name\":\"ram\",\"size\":\"%uM\",\"content\":"
            "[{\"kind\":\"random\",\"zeros\":30}]}],\"workload\":[{\"block\":\"ram\",\"offset\":0,"
            "\"length\":\"16M\",\"pattern\":\"random\",\"rate\":%u}]},"
            "\"link\":{\"bandwidth\":\"1Gbit/s\",\"latency\":\"100us\",\"framing\":"
            "\"ethernet-tcp\"},\"limit\":\"60s\"}",
            qemus[i % G_N_ELEMENTS(qemus)], i, 32u << i / 8 % 5, 100 + i * 7919 % 20000);
        virtual += run(text).virtual;
    }
    double took = cpu_seconds() - before;
    printf("%-28s %6.2f s: %.0f cells a minute, %.0f virtual s (%.0f : 1)\n", CELLS_LINE, took,
           CELLS / took * 60, virtual, virtual / took);
}

int main(int argc, char **argv)
{
    struct rusage usage;
    const char *only = argc > 1 ? argv[1] : "";
    for (unsigned i = 0; i < G_N_ELEMENTS(terabytes); i++) {
        if (strstr(terabytes[i].line, only)) {
            run_terabyte(&terabytes[i]);
        }
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("%-28s %6ld MiB at most\n", "memory", usage.ru_maxrss / 1024);
    if (strstr(CELLS_LINE, only)) {
        run_cells();
    }
    return 0;
}
