/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a huge synthetic guest costs: 1 TiB of RAM, a million random page writes per second, its
 * dirty log taken once a second. Prints processor time per simulated second, and the process's
 * memory.
 */
#include <glib.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "sim/guest/guest.h"

#define TIB     (1ull << 40)
#define PAGE    4096u
#define NS      1000000000ll
#define SECONDS 20

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void measure(MigTracking tracking, const char *name)
{
    MigGuestBlock block = {
        .memory = { .name = "ram", .used_length = TIB, .max_length = TIB, .host_page = PAGE }
    };
    MigWorkload w = {
        .pages = TIB / PAGE, .pattern = MIG_PATTERN_RANDOM, .rate = 1000000, .cost = 100
    };
    MigGuestConfig config = { .seed = 1,
                              .tracking = tracking,
                              .blocks = &block,
                              .block_count = 1,
                              .workloads = &w,
                              .workload_count = 1 };
    MigGuest *g = mig_guest_new(&config);
    MigMemory *m = mig_guest_memory(g);
    MigBitmap *dirty = mig_bitmap_new(TIB / PAGE);
    double writes = 0, syncs = 0, worst = 0;
    m->ops->log_start(m);
    for (int64_t s = 1; s <= SECONDS; s++) {
        double a = cpu_ms();
        mig_guest_advance(g, s * NS - 1);
        double b = cpu_ms();
        m->ops->sync(m, 0, dirty);
        m->ops->clear(m, 0, 0, TIB / PAGE);
        double c = cpu_ms();
        writes += b - a;
        syncs += c - b;
        worst = MAX(worst, c - a);
    }
    printf("%-8s %5.1f ms per simulated second (writes %.1f, sync %.1f; worst %.1f), "
           "%" G_GUINT64_FORMAT " pages dirty\n",
           name, (writes + syncs) / SECONDS, writes / SECONDS, syncs / SECONDS, worst, dirty->set);
    mig_bitmap_free(dirty);
    mig_guest_free(g);
}

int main(void)
{
    struct rusage usage;
    printf("synthetic guest, 1 TiB, 1 M random writes/s, %d s\n", SECONDS);
    measure(MIG_TRACKING_KVM_LOG, "log");
    measure(MIG_TRACKING_KVM_MANUAL, "manual");
    getrusage(RUSAGE_SELF, &usage);
    printf("memory   %ld MiB at most\n", usage.ru_maxrss / 1024);
    return 0;
}
