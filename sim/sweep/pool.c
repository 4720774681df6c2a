/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool, see pool.h. Two locks: one for making the next cell out of the sweep (json-c), one for
 * giving rows out. Threads share nothing else.
 */
#include "sim/sweep/pool.h"

typedef struct Pool {
    const MigSweepJob *job;
    GMutex making, giving;
    size_t next;   /* making */
    bool stop;     /* making */
    GError *error; /* giving */
} Pool;

static bool must_stop(const Pool *pool)
{
    const volatile sig_atomic_t *interrupted = pool->job->interrupted;
    return pool->stop || (interrupted && *interrupted) || pool->next == pool->job->count;
}

/* The next cell with its scenario, or the error why it has none. */
static bool take(Pool *pool, MigSweepCell *c, json_object **scenario, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->making);
    if (must_stop(pool)) {
        return false;
    }
    *c = mig_sweep_cell(pool->job->sweep, pool->job->cells[pool->next++]);
    *scenario = mig_sweep_cell_scenario(pool->job->sweep, c, error);
    return true;
}

static void stop(Pool *pool)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->making);
    pool->stop = true;
}

static void give(Pool *pool, uint64_t index, const char *text, MigRowKind kind, const GError *why)
{
    const MigSweepJob *job = pool->job;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->giving);
    if (pool->error) {
        return;
    }
    if (kind != MIG_ROW_NONE && !job->row(job->opaque, index, text, kind, &pool->error)) {
        stop(pool);
    } else if (why) {
        job->failed(job->opaque, index, why->message);
    }
}

static gpointer work(gpointer opaque)
{
    Pool *pool = opaque;
    MigSweepCell c;
    json_object *scenario = NULL;
    g_autoptr(GError) error = NULL;
    while (take(pool, &c, &scenario, &error)) {
        g_autofree char *text = NULL;
        MigRowKind kind = MIG_ROW_NONE;
        if (scenario) {
            kind = mig_sweep_row(pool->job->sweep, &c, scenario, pool->job->build,
                                 pool->job->interrupted, &text, &error);
        }
        give(pool, c.index, text, kind, error);
        g_clear_error(&error);
        g_clear_pointer(&scenario, json_object_put);
        mig_sweep_cell_clear(&c);
    }
    return NULL;
}

bool mig_sweep_run(const MigSweepJob *job, GError **error)
{
    Pool pool = { .job = job };
    g_autofree GThread **threads = g_new(GThread *, job->threads);
    g_mutex_init(&pool.making);
    g_mutex_init(&pool.giving);
    for (unsigned i = 0; i < job->threads; i++) {
        threads[i] = g_thread_new("cells", work, &pool);
    }
    for (unsigned i = 0; i < job->threads; i++) {
        g_thread_join(threads[i]);
    }
    g_mutex_clear(&pool.making);
    g_mutex_clear(&pool.giving);
    if (pool.error) {
        g_propagate_error(error, pool.error);
        return false;
    }
    return true;
}
