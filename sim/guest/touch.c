/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that touch memory as workloads would, see touch.h.
 *
 * Model. A thread follows its workload from the first write on, on the real clock: it sleeps until
 * a touch is due, and a touch that had to wait for its page is a stall of the vCPU, with what the
 * workload's pace makes of it. The first look at a page, which may have to wait for it, is made
 * without a lock: who stands still there keeps nobody else up. Then the page is there, and its note
 * and its word are changed together under one of a few locks.
 *
 * Limits. All patterns write a counter, whatever the workload writes; a vCPU never looks at two
 * pages at once.
 */
#include "sim/guest/touch.h"

#include <time.h>
#include <unistd.h>

#define LOCKS         64
#define STALL_NS      20000 /* a look that takes longer was a wait for the page */
#define NS_PER_SECOND 1000000000ll

typedef struct Note {
    uint64_t came; /* the word at the first touch */
    uint32_t added;
    bool touched;
} Note;

typedef struct Vcpu {
    MigTouch *touch;
    MigWorkloadRun run;
    GThread *thread;
    int tid; /* atomic, 0: not yet */
    MigTouchCounts counts;
} Vcpu;

struct MigTouch {
    uint32_t page_size;
    MigTouchBlock *blocks;
    uint32_t block_count;
    Note **notes; /* by block and page */
    Vcpu *vcpus;
    uint32_t vcpu_count;
    GMutex locks[LOCKS];
    GMutex mutex; /* of what is below */
    GCond changed;
    bool started, stopping;
    uint32_t running;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_SECOND + t.tv_nsec;
}

/* One vCPU --------------------------------------------------------------------------------- */

static uint64_t *word_at(const MigTouch *t, uint32_t block, uint64_t page)
{
    return (uint64_t *)(void *)(t->blocks[block].at + page * t->page_size);
}

static void account(Vcpu *v, const Note *note, uint64_t found, int64_t took)
{
    v->counts.touches++;
    v->counts.wrong += note->touched && found != note->came + note->added;
    if (!note->touched) {
        v->counts.pages++;
        v->counts.checksum += found;
        v->counts.waited += took;
        v->counts.longest = MAX(v->counts.longest, took);
    }
}

/* Returns how long the look at the page took. */
static int64_t touch_page(Vcpu *v, uint32_t block, uint64_t page)
{
    MigTouch *t = v->touch;
    uint64_t *word = word_at(t, block, page);
    Note *note = &t->notes[block][page];
    GMutex *lock = &t->locks[page % LOCKS];
    int64_t from = now_ns();
    (void)__atomic_load_n(word, __ATOMIC_RELAXED); /* here it waits, if it has to */
    int64_t took = now_ns() - from;
    g_mutex_lock(lock);
    uint64_t found = __atomic_load_n(word, __ATOMIC_RELAXED);
    account(v, note, found, took);
    note->came = note->touched ? note->came : found;
    note->touched = true;
    if (v->run.w.access == MIG_ACCESS_WRITE) {
        note->added++;
        __atomic_store_n(word, found + 1, __ATOMIC_RELAXED);
    }
    g_mutex_unlock(lock);
    return took;
}

/* Sleeps until |until|, INT64_MAX: for ever. False when it is to end. */
static bool rest(MigTouch *t, int64_t until)
{
    g_mutex_lock(&t->mutex);
    while (!t->stopping && (until == INT64_MAX || now_ns() < until)) {
        if (until == INT64_MAX) {
            g_cond_wait(&t->changed, &t->mutex);
        } else {
            g_cond_wait_until(&t->changed, &t->mutex, until / 1000 + 1);
        }
    }
    bool go_on = !t->stopping;
    g_mutex_unlock(&t->mutex);
    return go_on;
}

static void *run_vcpu(void *opaque)
{
    Vcpu *v = opaque;
    MigTouch *t = v->touch;
    int64_t epoch = now_ns();
    __atomic_store_n(&v->tid, (int)gettid(), __ATOMIC_RELEASE);
    for (;;) {
        int64_t at = mig_workload_next(&v->run);
        if (!rest(t, at == INT64_MAX ? at : epoch + at)) {
            break;
        }
        int64_t took = touch_page(v, v->run.w.block, mig_workload_page(&v->run));
        mig_workload_step(&v->run);
        int64_t now = now_ns() - epoch;
        if (took > STALL_NS) {
            mig_workload_stall(&v->run, now - took, now);
        }
    }
    g_mutex_lock(&t->mutex);
    t->running--;
    g_cond_broadcast(&t->changed);
    g_mutex_unlock(&t->mutex);
    return NULL;
}

/* All of them ------------------------------------------------------------------------------ */

MigTouch *mig_touch_new(const MigTouchConfig *config)
{
    MigTouch *t = g_new0(MigTouch, 1);
    t->page_size = config->page_size;
    t->block_count = config->block_count;
    t->blocks = g_memdup2(config->blocks, config->block_count * sizeof(*t->blocks));
    t->notes = g_new0(Note *, config->block_count + 1);
    for (uint32_t i = 0; i < t->block_count; i++) {
        t->notes[i] = g_new0(Note, t->blocks[i].pages);
    }
    t->vcpu_count = config->workload_count;
    t->vcpus = g_new0(Vcpu, t->vcpu_count + 1);
    for (uint32_t i = 0; i < t->vcpu_count; i++) {
        const MigWorkload *w = &config->workloads[i];
        g_assert(w->block < t->block_count && w->first + w->pages <= t->blocks[w->block].pages);
        t->vcpus[i] = (Vcpu){ .touch = t, .run = mig_workload_begin(w, config->seed, i) };
    }
    for (int i = 0; i < LOCKS; i++) {
        g_mutex_init(&t->locks[i]);
    }
    g_mutex_init(&t->mutex);
    g_cond_init(&t->changed);
    return t;
}

bool mig_touch_start(MigTouch *t, GError **error)
{
    bool fine = true;
    g_assert(!t->started);
    t->started = true;
    g_mutex_lock(&t->mutex);
    for (uint32_t i = 0; i < t->vcpu_count && fine; i++) {
        g_autofree char *name = g_strdup_printf("vcpu-%u", i);
        t->vcpus[i].thread = g_thread_try_new(name, run_vcpu, &t->vcpus[i], error);
        fine = t->vcpus[i].thread != NULL;
        t->running += fine;
    }
    g_mutex_unlock(&t->mutex);
    return fine || (mig_touch_stop(t, -1), false);
}

bool mig_touch_stop(MigTouch *t, int64_t patience)
{
    int64_t end = g_get_monotonic_time() + patience / 1000;
    bool waiting = true;
    g_mutex_lock(&t->mutex);
    t->stopping = true;
    g_cond_broadcast(&t->changed);
    while (t->running > 0 && waiting) {
        if (patience < 0) {
            g_cond_wait(&t->changed, &t->mutex);
        } else {
            waiting = g_cond_wait_until(&t->changed, &t->mutex, end);
        }
    }
    bool ended = t->running == 0;
    g_mutex_unlock(&t->mutex);
    for (uint32_t i = 0; i < t->vcpu_count && ended; i++) {
        if (t->vcpus[i].thread) {
            g_thread_join(g_steal_pointer(&t->vcpus[i].thread));
        }
    }
    return ended;
}

void mig_touch_free(MigTouch *t)
{
    if (!t) {
        return;
    }
    mig_touch_stop(t, -1);
    for (uint32_t i = 0; i < t->block_count; i++) {
        g_free(t->notes[i]);
    }
    for (int i = 0; i < LOCKS; i++) {
        g_mutex_clear(&t->locks[i]);
    }
    g_mutex_clear(&t->mutex);
    g_cond_clear(&t->changed);
    g_free(t->notes);
    g_free(t->blocks);
    g_free(t->vcpus);
    g_free(t);
}

pid_t mig_touch_thread(const MigTouch *t, uint32_t vcpu)
{
    g_assert(vcpu < t->vcpu_count);
    return __atomic_load_n(&t->vcpus[vcpu].tid, __ATOMIC_ACQUIRE);
}

uint32_t mig_touch_vcpu(const MigTouch *t, pid_t thread)
{
    for (uint32_t i = 0; thread != 0 && i < t->vcpu_count; i++) {
        if (mig_touch_thread(t, i) == thread) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* What has become of it -------------------------------------------------------------------- */

MigTouchCounts mig_touch_counts(const MigTouch *t)
{
    MigTouchCounts sum = { 0 };
    for (uint32_t i = 0; i < t->vcpu_count; i++) {
        const MigTouchCounts *c = &t->vcpus[i].counts;
        sum.touches += c->touches;
        sum.pages += c->pages;
        sum.wrong += c->wrong;
        sum.checksum += c->checksum;
        sum.waited += c->waited;
        sum.longest = MAX(sum.longest, c->longest);
    }
    return sum;
}

uint64_t mig_touch_check(const MigTouch *t)
{
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < t->block_count; i++) {
        for (uint64_t page = 0; page < t->blocks[i].pages; page++) {
            const Note *n = &t->notes[i][page];
            wrong += n->touched && *word_at(t, i, page) != n->came + n->added;
        }
    }
    return wrong;
}

void mig_touch_undo(MigTouch *t)
{
    for (uint32_t i = 0; i < t->block_count; i++) {
        for (uint64_t page = 0; page < t->blocks[i].pages; page++) {
            if (t->notes[i][page].added > 0) {
                *word_at(t, i, page) -= t->notes[i][page].added;
            }
        }
    }
}
