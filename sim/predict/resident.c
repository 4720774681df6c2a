/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking, see resident.h. Model: a page that /proc/PID/pagemap doesn't have is one that nobody has
 * touched, and isn't read: reading would allocate it. Of the others /proc/PID/mem says whether they
 * are zero. At most LOOKS pages are looked at; guests below that many are known exactly.
 *
 * Limits: guest memory is what is mapped in pieces of at least a quarter of it. Who may not read
 * another process learns what is resident, which counts touched zeros as filled.
 */
#include "sim/predict/resident.h"

#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <unistd.h>

#include "stream/zero.h"

#define LOOKS   65536u
#define PAGE    4096u
#define SMALL   4            /* a mapping of less than that part of the guest is something else */
#define LARGE   2            /* and one of more than so many guests */
#define PRESENT (3ull << 62) /* in memory, or swapped */

typedef struct Process {
    int pid;
    int mem, pagemap; /* -1: may not be read */
    uint64_t step;    /* bytes from look to look */
} Process;

static int open_of(int pid, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, what);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* What the page at |at| stands for, which is |step| bytes around it. */
static void look_at(const Process *p, uint64_t at, MigResident *sum)
{
    uint64_t entry = 0;
    uint8_t page[PAGE];
    off_t place = (off_t)(at / (uint64_t)sysconf(_SC_PAGESIZE) * sizeof(entry));
    if (pread(p->pagemap, &entry, sizeof(entry), place) != sizeof(entry) || !(entry & PRESENT)) {
        return;
    }
    sum->present += p->step;
    if (pread(p->mem, page, sizeof(page), (off_t)at) != sizeof(page) || !mig_is_zero(page, PAGE)) {
        sum->filled += p->step;
    }
}

/* Without a look at pages: "Rss" of the mapping that began last. */
static void take_rss(const char *line, MigResident *sum)
{
    unsigned long long kib;
    if (sscanf(line, "Rss: %llu kB", &kib) == 1) {
        sum->present += kib * 1024;
        sum->filled += kib * 1024;
    }
}

static void look_through(const Process *p, uint64_t ram, char **lines, MigResident *sum)
{
    bool guest = false, looks = p->mem >= 0 && p->pagemap >= 0;
    for (; *lines; lines++) {
        unsigned long long from, to;
        char rights[5] = "";
        if (sscanf(*lines, "%llx-%llx %4s", &from, &to, rights) == 3) {
            guest = to - from >= ram / SMALL && to - from <= ram * LARGE && rights[1] == 'w';
            for (uint64_t at = from; guest && looks && at < to; at += p->step) {
                look_at(p, at, sum);
            }
        } else if (guest && !looks) {
            take_rss(*lines, sum);
        }
    }
}

bool mig_resident_look(int pid, uint64_t ram, MigResident *resident)
{
    Process p = { pid, open_of(pid, "mem"), open_of(pid, "pagemap"), 0 };
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps", pid), *text = NULL;
    bool fine = pid > 0 && ram >= PAGE && g_file_get_contents(path, &text, NULL, NULL);
    *resident = (MigResident){ 0 };
    if (fine) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        p.step = MAX(ram / PAGE / LOOKS, 1) * PAGE;
        look_through(&p, ram, lines, resident);
        resident->present = MIN(resident->present, ram);
        resident->filled = MIN(resident->filled, ram);
    }
    for (int *fd = &p.mem; fd <= &p.pagemap; fd++) {
        if (*fd >= 0) {
            close(*fd);
        }
    }
    return fine && resident->present > 0;
}
