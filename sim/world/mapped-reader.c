/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading mapped-ram files, see mapped-reader.h. Threads read straight into memory that is mapped;
 * where it isn't, the caller's thread reads and writes. All pages of a step are there at its end.
 */
#include "sim/world/mapped-reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FEED_BYTES (64u << 10)

struct MigMappedReader {
    MigMemory *memory;
    int fd;
    GThreadPool *pool; /* NULL: none */
    uint8_t *buffer;   /* a run, or what is fed */
    GMutex lock;
    GCond done;
    unsigned under_way;
    int failed; /* errno of the first that did; -1: the file ends too early */
};

typedef struct Job {
    uint64_t at, n;
    uint8_t *to;
} Job;

/* 0, an errno, or -1: the end of the file. */
static int read_all(int fd, const Job *j)
{
    for (uint64_t got = 0; got < j->n;) {
        ssize_t n = pread(fd, j->to + got, j->n - got, (off_t)(j->at + got));
        if (n == 0) {
            return -1;
        }
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        got += n > 0 ? (uint64_t)n : 0;
    }
    return 0;
}

static void run_job(gpointer data, gpointer opaque)
{
    g_autofree Job *j = data;
    MigMappedReader *r = opaque;
    int failed = read_all(r->fd, j);
    g_mutex_lock(&r->lock);
    r->failed = r->failed ? r->failed : failed;
    r->under_way--;
    g_cond_signal(&r->done);
    g_mutex_unlock(&r->lock);
}

MigMappedReader *mig_mapped_reader_new(MigMemory *memory, int fd, unsigned threads)
{
    MigMappedReader *r = g_new0(MigMappedReader, 1);
    r->memory = memory;
    r->fd = fd;
    r->buffer = g_malloc(MAX(FEED_BYTES, MIG_DEST_RUN_PAGES * memory->page_size));
    g_mutex_init(&r->lock);
    g_cond_init(&r->done);
    if (threads > 0 && memory->ops->map) {
        r->pool = g_thread_pool_new(run_job, r, (gint)threads, TRUE, NULL);
    }
    return r;
}

static void finish(MigMappedReader *r)
{
    g_mutex_lock(&r->lock);
    while (r->under_way > 0) {
        g_cond_wait(&r->done, &r->lock);
    }
    g_mutex_unlock(&r->lock);
}

void mig_mapped_reader_free(MigMappedReader *r)
{
    if (r) {
        finish(r);
        if (r->pool) {
            g_thread_pool_free(r->pool, FALSE, TRUE);
        }
        g_mutex_clear(&r->lock);
        g_cond_clear(&r->done);
        g_free(r->buffer);
        g_free(r);
    }
}

static void copy_pages(MigMappedReader *r, const MigDestRun *run)
{
    MigMemory *m = r->memory;
    Job j = { .at = run->at, .n = run->n, .to = r->buffer };
    r->failed = read_all(r->fd, &j);
    for (uint64_t i = 0; i < run->count && !r->failed; i++) {
        m->ops->write(m, run->block, run->first + i, r->buffer + i * m->page_size);
    }
}

static void read_run(MigMappedReader *r, const MigDestRun *run)
{
    MigMemory *m = r->memory;
    Job *j = g_new(Job, 1);
    *j = (Job){ .at = run->at, .n = run->n };
    j->to = m->ops->map ? m->ops->map(m, run->block, run->first) : NULL;
    if (!j->to) {
        g_free(j);
        copy_pages(r, run);
        return;
    }
    g_mutex_lock(&r->lock);
    r->under_way++;
    g_mutex_unlock(&r->lock);
    if (!r->pool || !g_thread_pool_push(r->pool, j, NULL)) {
        run_job(j, r);
    }
}

static bool fail(const MigMappedReader *r, GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_IO, "mapped-ram: cannot read pages: %s",
                r->failed < 0 ? "the file ends in front of them" : g_strerror(r->failed));
    return false;
}

bool mig_mapped_reader_step(MigMappedReader *r, MigDest *d, GError **error)
{
    MigDestRun run;
    while (!r->failed && mig_dest_mapped_next(d, &run)) {
        read_run(r, &run);
    }
    finish(r);
    if (r->failed) {
        return fail(r, error);
    }
    uint64_t skip = mig_dest_skippable(d);
    if (skip > 0 && lseek(r->fd, (off_t)skip, SEEK_CUR) < 0) {
        r->failed = errno;
        return fail(r, error);
    }
    return skip == 0 || mig_dest_skipped(d, skip);
}

bool mig_mapped_reader_load(MigMappedReader *r, MigDest *d, GError **error)
{
    bool fine = true;
    while (fine && mig_dest_state(d) == MIG_DEST_LOADING) {
        ssize_t n = read(r->fd, r->buffer, FEED_BYTES);
        if (n < 0 && errno != EINTR) {
            r->failed = errno;
            return fail(r, error);
        }
        fine = n == 0 ? mig_dest_end(d) : n < 0 || mig_dest_feed(d, r->buffer, (size_t)n);
        fine = fine && mig_mapped_reader_step(r, d, error);
    }
    return fine && mig_dest_state(d) == MIG_DEST_COMPLETED;
}
