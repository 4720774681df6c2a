/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compress threads, see compressors.h. One lock for who is busy; a page takes some ten
 * microseconds, so nobody meets there often. A wait for an idle thread is as short as that and ends
 * by itself, so the owner may block in it.
 */
#include "sim/world/compressors.h"

#include <glib.h>
#include <string.h>

typedef struct MigCompressThread {
    MigPageJob job; /* its owner's while the thread is idle */
    MigCompressors *all;
    GThread *thread;
    GCond wake;
    bool busy;
    uint32_t block; /* what to do */
    uint64_t page;
    const uint8_t *data;
    uint8_t *copy;
} MigCompressThread;

struct MigCompressors {
    MigCompressThread *threads;
    uint32_t count;
    GMutex lock;
    GCond idle; /* a thread has become so */
    bool end;
};

static void *run(void *opaque)
{
    MigCompressThread *t = opaque;
    MigCompressors *c = t->all;
    g_mutex_lock(&c->lock);
    while (!c->end) {
        if (!t->busy) {
            g_cond_wait(&t->wake, &c->lock);
            continue;
        }
        g_mutex_unlock(&c->lock);
        memcpy(t->copy, t->data, t->job.page_size);
        mig_page_job_do(&t->job, t->block, t->page, t->copy);
        g_mutex_lock(&c->lock);
        t->busy = false;
        g_cond_signal(&c->idle);
    }
    g_mutex_unlock(&c->lock);
    return NULL;
}

MigCompressors *mig_compressors_new(uint32_t threads, int level, uint32_t page_size)
{
    MigCompressors *c = g_new0(MigCompressors, 1);
    c->threads = g_new0(MigCompressThread, threads);
    c->count = threads;
    g_mutex_init(&c->lock);
    g_cond_init(&c->idle);
    for (uint32_t i = 0; i < threads; i++) {
        MigCompressThread *t = &c->threads[i];
        mig_page_job_init(&t->job, page_size, level);
        t->copy = g_malloc(page_size);
        t->all = c;
        g_cond_init(&t->wake);
        t->thread = g_thread_new("compress", run, t);
    }
    return c;
}

void mig_compressors_free(MigCompressors *c)
{
    if (!c) {
        return;
    }
    g_mutex_lock(&c->lock);
    c->end = true;
    for (uint32_t i = 0; i < c->count; i++) {
        g_cond_signal(&c->threads[i].wake);
    }
    g_mutex_unlock(&c->lock);
    for (uint32_t i = 0; i < c->count; i++) {
        MigCompressThread *t = &c->threads[i];
        g_thread_join(t->thread);
        mig_page_job_clear(&t->job);
        g_cond_clear(&t->wake);
        g_free(t->copy);
    }
    g_mutex_clear(&c->lock);
    g_cond_clear(&c->idle);
    g_free(c->threads);
    g_free(c);
}

static MigCompressThread *find_idle(MigCompressors *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (!c->threads[i].busy) {
            return &c->threads[i];
        }
    }
    return NULL;
}

MigPageJob *mig_compressors_idle(MigCompressors *c, bool wait)
{
    g_mutex_lock(&c->lock);
    MigCompressThread *t = find_idle(c);
    while (!t && wait) {
        g_cond_wait(&c->idle, &c->lock);
        t = find_idle(c);
    }
    g_mutex_unlock(&c->lock);
    return t ? &t->job : NULL;
}

void mig_compressors_give(MigCompressors *c, MigPageJob *job, uint32_t block, uint64_t page,
                          const uint8_t *data)
{
    MigCompressThread *t = (MigCompressThread *)(void *)job; /* its first member */
    g_assert(!job->full);
    g_mutex_lock(&c->lock);
    t->block = block;
    t->page = page;
    t->data = data;
    t->busy = true;
    g_cond_signal(&t->wake);
    g_mutex_unlock(&c->lock);
}

void mig_compressors_finish(MigCompressors *c)
{
    g_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->count; i++) {
        while (c->threads[i].busy) {
            g_cond_wait(&c->idle, &c->lock);
        }
    }
    g_mutex_unlock(&c->lock);
}

MigPageJob *mig_compressors_job(MigCompressors *c, uint32_t i)
{
    return i < c->count ? &c->threads[i].job : NULL;
}
