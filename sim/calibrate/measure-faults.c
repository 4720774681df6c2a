/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel takes for what it does in a migration, see measures.h: faults caught by
 * userfaultfd, pages placed, memory protected, connections made. Model: one process stands for
 * both; a thread touches a page that is missing, another answers.
 *
 * Limits. Faults are those of a thread, not of a vCPU in KVM, which come a few us later. A page is
 * placed in private or shared memory of small pages. Connections and messages go over loopback.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim/calibrate/calibrate.h"
#include "sim/calibrate/measures.h"
#include "sim/world/faults.h"

#ifndef UFFD_USER_MODE_ONLY /* of Linux 5.11 */
#define UFFD_USER_MODE_ONLY 1
#endif

#define PAGE        4096u
#define FAULTS      128u
#define CONNECTIONS 16u
#define MESSAGES    64u
#define PAUSE_NS    400000      /* between them: everybody sleeps when one comes */
#define PROTECTED   (32u << 20) /* bytes */
#define PATIENCE_MS 2000
#define REQUEST     24u /* bytes of a request for a page */
#define PS_PER_NS   1000

/* Faults -------------------------------------------------------------------------------------- */

typedef struct Toucher {
    guint8 *memory;
    _Atomic gint64 touched; /* ns, when it went for the present page */
    guint8 sum;
} Toucher;

static void *touch(void *opaque)
{
    Toucher *t = opaque;
    for (guint i = 0; i < FAULTS; i++) {
        atomic_store(&t->touched, mig_measure_wall());
        t->sum ^= *(volatile guint8 *)(t->memory + (gsize)i * PAGE);
    }
    return NULL;
}

/* One fault: read, asked for, answered. Adds what the first two took. */
static bool answer(MigFaults *f, Toucher *t, const int *line, gint64 *spent)
{
    guint8 request[REQUEST] = { 0 };
    struct pollfd p = { .fd = mig_faults_fd(f), .events = POLLIN };
    MigPageFault fault;
    if (poll(&p, 1, PATIENCE_MS) <= 0 || mig_faults_read(f, &fault, 1, NULL) != 1 ||
        send(line[0], request, REQUEST, MSG_NOSIGNAL) != REQUEST) {
        return false;
    }
    *spent += mig_measure_wall() - atomic_load(&t->touched);
    return mig_faults_zero(f, fault.at, NULL) == MIG_PLACE_DONE &&
           recv(line[1], request, REQUEST, 0) == REQUEST;
}

static bool answer_all(MigFaults *f, Toucher *t, gint64 *spent)
{
    int line[2];
    pthread_t thread;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) != 0) {
        return false;
    }
    bool fine = pthread_create(&thread, NULL, touch, t) == 0;
    if (fine) {
        for (guint i = 0; i < FAULTS && fine; i++) {
            fine = answer(f, t, line, spent);
        }
        if (!fine) {
            mig_faults_unregister(f, t->memory, NULL); /* who waits finds zeros */
        }
        pthread_join(thread, NULL);
    }
    close(line[0]);
    close(line[1]);
    return fine;
}

static guint8 *map(bool shared, gsize bytes)
{
    int flags = MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* |work| on memory whose pages are missing; what it took, ns, or -1. */
static gint64 with_missing(bool shared, bool (*work)(MigFaults *f, guint8 *memory, gint64 *spent))
{
    const gsize bytes = (gsize)FAULTS * PAGE;
    g_autoptr(MigFaults) f = mig_faults_open(MIG_FAULTS_OF_USERS, NULL);
    guint8 *memory = f ? map(shared, bytes) : NULL;
    gint64 spent = 0;
    if (!memory) {
        return -1;
    }
    bool fine = mig_faults_register(f, memory, bytes, PAGE, NULL) && work(f, memory, &spent);
    g_clear_pointer(&f, mig_faults_free);
    munmap(memory, bytes);
    return fine ? spent : -1;
}

static bool ask_all(MigFaults *f, guint8 *memory, gint64 *spent)
{
    Toucher t = { .memory = memory };
    return answer_all(f, &t, spent);
}

gint64 mig_measure_fault(bool shared)
{
    gint64 spent = with_missing(shared, ask_all);
    return spent < 0 ? -1 : spent / FAULTS;
}

/* Pages that nobody waits for, as most are. */
static bool place_all(MigFaults *f, guint8 *memory, gint64 *spent)
{
    static const guint8 page[PAGE] = { 1 };
    bool fine = true;
    gint64 began = mig_measure_cpu();
    for (guint i = 0; i < FAULTS && fine; i++) {
        fine = mig_faults_copy(f, memory + (gsize)i * PAGE, page, NULL) == MIG_PLACE_DONE;
    }
    *spent = mig_measure_cpu() - began;
    return fine;
}

gint64 mig_measure_place_page(bool shared)
{
    gint64 spent = with_missing(shared, place_all);
    return spent < 0 ? -1 : spent * PS_PER_NS / FAULTS;
}

/* Protection ---------------------------------------------------------------------------------- */

static int open_protecting(void)
{
    struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Memory that was written to, from then on protected; ns. */
static gint64 protect(int fd, guint8 *memory)
{
    struct uffdio_range range = { (guintptr)memory, PROTECTED };
    struct uffdio_register watch = { .range = range, .mode = UFFDIO_REGISTER_MODE_WP };
    struct uffdio_writeprotect on = { .range = range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };
    memset(memory, 1, PROTECTED);
    if (ioctl(fd, UFFDIO_REGISTER, &watch) != 0) {
        return -1;
    }
    gint64 began = mig_measure_cpu();
    return ioctl(fd, UFFDIO_WRITEPROTECT, &on) == 0 ? mig_measure_cpu() - began : -1;
}

gint64 mig_measure_protect_gib(bool shared)
{
    int fd = open_protecting();
    guint8 *memory = fd >= 0 ? map(shared, PROTECTED) : NULL;
    gint64 spent = memory ? protect(fd, memory) : -1;
    if (fd >= 0) {
        close(fd);
    }
    if (memory) {
        munmap(memory, PROTECTED);
    }
    return spent < 0 ? -1 : spent * ((1 << 30) / PROTECTED);
}

/* Connections --------------------------------------------------------------------------------- */

static void *nothing(void *opaque)
{
    return opaque;
}

/* Both ends, and a thread for it as each channel has one. */
static bool connect_once(int listener, const struct sockaddr_in *to)
{
    pthread_t thread;
    int here = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), there = -1;
    bool fine = here >= 0 && connect(here, (const struct sockaddr *)to, sizeof(*to)) == 0 &&
                (there = accept(listener, NULL, NULL)) >= 0 &&
                pthread_create(&thread, NULL, nothing, NULL) == 0;
    if (fine) {
        pthread_join(thread, NULL);
    }
    if (here >= 0) {
        close(here);
    }
    if (there >= 0) {
        close(there);
    }
    return fine;
}

/* A listener on loopback and where it is, or -1. */
static int listen_here(struct sockaddr_in *to)
{
    socklen_t n = sizeof(*to);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (listener >= 0 &&
        (bind(listener, (struct sockaddr *)to, n) != 0 || listen(listener, 1) != 0 ||
         getsockname(listener, (struct sockaddr *)to, &n) != 0)) {
        close(listener);
        return -1;
    }
    return listener;
}

gint64 mig_measure_connect(bool shared)
{
    struct sockaddr_in to;
    int listener = listen_here(&to);
    bool fine = listener >= 0;
    gint64 began = mig_measure_wall();
    (void)shared;
    for (guint i = 0; i < CONNECTIONS && fine; i++) {
        fine = connect_once(listener, &to);
    }
    gint64 spent = mig_measure_wall() - began;
    if (listener >= 0) {
        close(listener);
    }
    return fine ? spent / CONNECTIONS : -1;
}

/* Messages --------------------------------------------------------------------------------------
 */

typedef struct Hearer {
    int line;
    guint count;
    gint64 heard[MESSAGES]; /* ns */
} Hearer;

/* Each message says when it was sent. */
static void *hear(void *opaque)
{
    Hearer *h = opaque;
    struct pollfd p = { .fd = h->line, .events = POLLIN };
    gint64 sent;
    while (h->count < MESSAGES && poll(&p, 1, PATIENCE_MS) == 1 &&
           recv(h->line, &sent, sizeof(sent), MSG_WAITALL) == sizeof(sent)) {
        h->heard[h->count++] = mig_measure_wall() - sent;
    }
    return NULL;
}

/* The median, which who else wants the processors moves least. */
static gint64 say(int line, Hearer *h)
{
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    pthread_t thread;
    int on = 1;
    bool fine = setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
                pthread_create(&thread, NULL, hear, h) == 0;
    if (!fine) {
        return -1;
    }
    for (guint i = 0; i < MESSAGES && fine; i++) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        gint64 at = mig_measure_wall();
        fine = send(line, &at, sizeof(at), MSG_NOSIGNAL) == sizeof(at);
    }
    shutdown(line, SHUT_WR);
    pthread_join(thread, NULL);
    return fine && h->count == MESSAGES ? mig_calibration_median(h->heard, MESSAGES) : -1;
}

gint64 mig_measure_hear(bool shared)
{
    struct sockaddr_in to;
    int listener = listen_here(&to), line = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Hearer h = { .line = -1 };
    gint64 spent = -1;
    (void)shared;
    if (listener >= 0 && line >= 0 && connect(line, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        (h.line = accept(listener, NULL, NULL)) >= 0) {
        spent = say(line, &h);
    }
    const int lines[] = { listener, line, h.line };
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        if (lines[i] >= 0) {
            close(lines[i]);
        }
    }
    return spent;
}
