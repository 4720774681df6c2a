/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a KVM guest. Each vCPU has one, which looks at what is wanted, enters the guest,
 * handles the exit, and looks again:
 *
 *     look (with the lock) -> KVM_RUN (without) -> exit: serial port, full ring, end -> look ...
 *
 * Who wants something sets it with the lock held, sets immediate_exit and sends a signal. The
 * thread clears immediate_exit with the lock held, behind its look: so a kick is never lost,
 * whether it comes before, in or behind KVM_RUN.
 *
 * Throttling is cpu_throttle_timer_tick()'s (softmmu/cpu-throttle.c): every 10 ms / (1 - p) each
 * vCPU is made to sleep 10 ms * p / (1 - p); one that is to stop wakes up early.
 *
 * Limits. The serial port is always ready, and what is said on it is kept up to 64 KiB.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sim/guest/kvm-internal.h"

#define SLICE_NS   10000000ll /* CPU_THROTTLE_TIMESLICE_NS */
#define REAP_NS    1000000000ll
#define SAID_MAX   65536u
#define LINE_READY 0x60u /* of the line status register: transmitter empty */

int64_t mig_kvm_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Waits for |changed| at most |ns|. */
static void wait_ns(MigKvm *k, int64_t ns)
{
    g_cond_wait_until(&k->changed, &k->lock, g_get_monotonic_time() + MAX(ns / 1000, 1));
}

/* With the lock held. A machine that could not be made has vCPUs without threads. */
static void kick(KvmVcpu *v)
{
    if (!v->has_thread) {
        return;
    }
    v->run->immediate_exit = 1;
    if (v->inside) {
        pthread_kill(v->thread, MIG_KVM_KICK);
    }
}

static void kick_all(MigKvm *k)
{
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        kick(&k->vcpus[i]);
    }
    g_cond_broadcast(&k->changed);
}

/* Exits ------------------------------------------------------------------------------------ */

static void die(KvmVcpu *v, const char *why)
{
    MigKvm *k = v->k;
    struct kvm_regs regs = { 0 };
    ioctl(v->fd, KVM_GET_REGS, &regs);
    if (!k->death) {
        k->death = g_strdup_printf("vCPU %u: %s (at 0x%llx)", v->index, why, regs.rip);
    }
    kick_all(k);
}

static void say(KvmVcpu *v, const uint8_t *text, uint32_t n)
{
    for (uint32_t i = 0; i < n && v->said->len < SAID_MAX; i++) {
        g_string_append_c(v->said, (char)text[i]);
    }
}

static void on_port(KvmVcpu *v)
{
    struct kvm_run *run = v->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    uint32_t bytes = run->io.size * run->io.count;
    v->unfinished = true;
    if (run->io.direction == KVM_EXIT_IO_IN) {
        memset(data, run->io.port == MIG_GUEST_SERIAL_PORT + 5 ? LINE_READY : 0xff, bytes);
    } else if (run->io.port == MIG_GUEST_SERIAL_PORT) {
        say(v, data, bytes);
    }
}

/* Nobody lives there: reads give ones, as on a bus. */
static void on_mmio(KvmVcpu *v)
{
    v->unfinished = true;
    if (!v->run->mmio.is_write) {
        memset(v->run->mmio.data, 0xff, sizeof(v->run->mmio.data));
    }
}

/* As KVM_EXIT_DIRTY_RING_FULL of kvm_cpu_exec() and dirtylimit_vcpu_execute(): with a limit each
 * vCPU pays for its own ring. */
static void on_full_ring(KvmVcpu *v)
{
    MigKvm *k = v->k;
    k->stats.ring_full++;
    if (k->loggers & KVM_LOGGER_LIMIT) {
        mig_kvm_reap_vcpu(k, v);
        v->nap = MAX(v->nap, v->full_nap);
        k->stats.limited += v->full_nap;
    } else {
        mig_kvm_reap(k);
    }
}

static void on_exit_reason(KvmVcpu *v)
{
    char text[80];
    v->exits++;
    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        on_port(v);
        break;
    case KVM_EXIT_MMIO:
        on_mmio(v);
        break;
    case KVM_EXIT_DIRTY_RING_FULL:
        on_full_ring(v);
        break;
    case KVM_EXIT_HLT:
        v->halted = true;
        break;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        break;
    case KVM_EXIT_SHUTDOWN:
        die(v, "triple fault");
        break;
    case KVM_EXIT_FAIL_ENTRY:
        die(v, "the processor refused its state");
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        snprintf(text, sizeof(text), "KVM internal error %u", v->run->internal.suberror);
        die(v, text);
        break;
    default:
        snprintf(text, sizeof(text), "unexpected exit %u", v->run->exit_reason);
        die(v, text);
    }
}

/* One visit to the guest; with the lock held, which is given up meanwhile. */
static void visit(KvmVcpu *v, bool only_finish)
{
    v->run->immediate_exit = only_finish;
    v->inside = true;
    v->unfinished = false;
    g_mutex_unlock(&v->k->lock);
    int rc = ioctl(v->fd, KVM_RUN, 0), code = errno;
    g_mutex_lock(&v->k->lock);
    v->inside = false;
    if (rc == 0) {
        on_exit_reason(v);
    } else if (code != EINTR && code != EAGAIN) {
        die(v, g_strerror(code));
    }
}

/* Threads ---------------------------------------------------------------------------------- */

static void take_nap(KvmVcpu *v)
{
    int64_t end = mig_kvm_now() + v->nap, from = end - v->nap;
    MigKvm *k = v->k;
    v->nap = 0;
    for (int64_t now = from; now < end && k->wanted && !k->ending; now = mig_kvm_now()) {
        v->looks++;
        wait_ns(k, end - now);
    }
    if (v->index == 0) {
        k->stats.stalled += mig_kvm_now() - from;
    }
}

static void *run_vcpu(void *opaque)
{
    KvmVcpu *v = opaque;
    MigKvm *k = v->k;
    sigset_t kicks;
    sigemptyset(&kicks);
    sigaddset(&kicks, MIG_KVM_KICK);
    pthread_sigmask(SIG_UNBLOCK, &kicks, NULL);
    g_mutex_lock(&k->lock);
    v->tid = (pid_t)syscall(SYS_gettid);
    while (!k->ending) {
        bool may = k->wanted && !k->death && !v->halted;
        v->looks++;
        if (!may && v->unfinished) {
            visit(v, true);
        } else if (!may) {
            v->standing = true;
            g_cond_broadcast(&k->changed);
            g_cond_wait(&k->changed, &k->lock);
            v->standing = false;
        } else if (v->nap > 0) {
            take_nap(v);
        } else {
            visit(v, false);
            g_cond_broadcast(&k->changed);
        }
    }
    g_mutex_unlock(&k->lock);
    return NULL;
}

static void *tick(void *opaque)
{
    MigKvm *k = opaque;
    int64_t reap_at = mig_kvm_now() + REAP_NS, next = 0;
    g_mutex_lock(&k->lock);
    while (!k->ending) {
        int64_t now = mig_kvm_now();
        unsigned p = k->wanted ? k->throttle : 0;
        if (k->ring_entries && now >= reap_at) {
            mig_kvm_reap(k);
            reap_at = now + REAP_NS;
        }
        if (p > 0 && now >= next) {
            for (uint32_t i = 0; i < k->config.vcpus; i++) {
                k->vcpus[i].nap = SLICE_NS * p / (100 - p);
                kick(&k->vcpus[i]);
            }
            next = now + SLICE_NS * 100 / (100 - p);
        }
        wait_ns(k, p > 0 ? MAX(next - now, 1) : REAP_NS / 10);
    }
    g_mutex_unlock(&k->lock);
    return NULL;
}

static void nothing(int number)
{
    (void)number;
}

/* The vCPUs' threads take no signals but kicks: the others are the main thread's. */
bool mig_kvm_start_threads(MigKvm *k, GError **error)
{
    struct sigaction action = { .sa_handler = nothing };
    sigset_t all, before;
    int code = 0;
    sigaction(MIG_KVM_KICK, &action, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < k->config.vcpus && code == 0; i++) {
        code = pthread_create(&k->vcpus[i].thread, NULL, run_vcpu, &k->vcpus[i]);
        k->vcpus[i].has_thread = code == 0;
    }
    k->ticker = code == 0 ? g_thread_try_new("kvm-ticker", tick, k, NULL) : NULL;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!k->ticker) {
        g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_LACKS, "no more threads: %s",
                    g_strerror(code ? code : EAGAIN));
    }
    return k->ticker != NULL;
}

void mig_kvm_end_threads(MigKvm *k)
{
    g_mutex_lock(&k->lock);
    k->ending = true;
    kick_all(k);
    g_mutex_unlock(&k->lock);
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        if (k->vcpus[i].has_thread) {
            pthread_join(k->vcpus[i].thread, NULL);
            k->vcpus[i].has_thread = false;
        }
    }
    if (k->ticker) {
        g_thread_join(g_steal_pointer(&k->ticker));
    }
}

bool mig_kvm_make_vcpu(MigKvm *k, uint32_t index, GError **error)
{
    KvmVcpu *v = &k->vcpus[index];
    v->k = k;
    v->index = index;
    v->said = g_string_new(NULL);
    v->fd = ioctl(k->vm, KVM_CREATE_VCPU, index);
    if (v->fd < 0) {
        return mig_kvm_fail(error, MIG_KVM_ERROR_LACKS, "KVM_CREATE_VCPU");
    }
    v->run = mmap(NULL, k->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        return mig_kvm_fail(error, MIG_KVM_ERROR_LACKS, "mapping a vCPU");
    }
    if (k->ring_entries) {
        v->ring = mmap(NULL, k->ring_entries * sizeof(*v->ring), PROT_READ | PROT_WRITE, MAP_SHARED,
                       v->fd, KVM_DIRTY_LOG_PAGE_OFFSET * sysconf(_SC_PAGESIZE));
        if (v->ring == MAP_FAILED) {
            v->ring = NULL;
            return mig_kvm_fail(error, MIG_KVM_ERROR_LACKS, "mapping a dirty ring");
        }
    }
    return true;
}

void mig_kvm_free_vcpu(KvmVcpu *v)
{
    if (v->ring) {
        munmap(v->ring, v->k->ring_entries * sizeof(*v->ring));
    }
    if (v->run) {
        munmap(v->run, v->k->run_bytes);
    }
    if (v->k && v->fd >= 0) {
        close(v->fd);
    }
    if (v->said) {
        g_string_free(v->said, TRUE);
    }
}

/* What others want ------------------------------------------------------------------------- */

static bool all_stand(const MigKvm *k)
{
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        if (!k->vcpus[i].standing) {
            return false;
        }
    }
    return true;
}

/* With the lock held. */
static void want(MigKvm *k, bool running)
{
    if (running != k->wanted) {
        int64_t now = mig_kvm_now();
        k->wanted = running;
        k->stats.stalled += running && k->stopped_at ? now - k->stopped_at : 0;
        k->stopped_at = running ? 0 : now;
        kick_all(k);
    }
}

void mig_kvm_run(MigKvm *k, bool running)
{
    g_mutex_lock(&k->lock);
    want(k, running);
    while (!running && !all_stand(k)) {
        g_cond_wait(&k->changed, &k->lock);
    }
    g_mutex_unlock(&k->lock);
}

void mig_kvm_ask_stop(MigKvm *k)
{
    g_mutex_lock(&k->lock);
    want(k, false);
    g_mutex_unlock(&k->lock);
}

uint32_t mig_kvm_vcpu_of(MigKvm *k, pid_t thread)
{
    uint32_t found = UINT32_MAX;
    g_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->config.vcpus && thread > 0; i++) {
        found = k->vcpus[i].tid == thread ? i : found;
    }
    g_mutex_unlock(&k->lock);
    return found;
}

bool mig_kvm_running(const MigKvm *k)
{
    return k->wanted;
}

void mig_kvm_throttle(MigKvm *k, unsigned percent)
{
    g_assert(percent <= 99);
    g_mutex_lock(&k->lock);
    k->throttle = percent;
    g_cond_broadcast(&k->changed);
    g_mutex_unlock(&k->lock);
}

void mig_kvm_flush_vcpus(MigKvm *k)
{
    uint64_t seen[MIG_GUEST_MAX_PROCESSORS];
    g_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        seen[i] = k->vcpus[i].looks;
        kick(&k->vcpus[i]);
    }
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        const KvmVcpu *v = &k->vcpus[i];
        while (v->inside && v->looks == seen[i]) {
            g_cond_wait(&k->changed, &k->lock);
        }
    }
    g_mutex_unlock(&k->lock);
}

const char *mig_kvm_death(MigKvm *k)
{
    g_mutex_lock(&k->lock);
    const char *death = k->death;
    g_mutex_unlock(&k->lock);
    return death;
}

char *mig_kvm_serial(MigKvm *k)
{
    GString *all = g_string_new(NULL);
    g_mutex_lock(&k->lock);
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        g_auto(GStrv) lines = g_strsplit(k->vcpus[i].said->str, "\n", -1);
        for (char **line = lines; line[0] && line[1]; line++) {
            g_string_append_printf(all, "%u: %s\n", i, *line);
        }
    }
    g_mutex_unlock(&k->lock);
    return g_string_free(all, FALSE);
}

MigKvmStats mig_kvm_stats(MigKvm *k)
{
    g_mutex_lock(&k->lock);
    MigKvmStats s = k->stats;
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        s.exits += k->vcpus[i].exits;
    }
    g_mutex_unlock(&k->lock);
    return s;
}
