/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From `migrate` to the end of both ends: asks each how it is, and does what a management tool and
 * a guest would do meanwhile.
 *
 * The guest of an emulator stands still; its memory is written through qtest, and what was written
 * is known. A fill counts when the source says behind it that it is active: it can't have begun its
 * last look at the dirty pages then, because commands and the switchover exclude each other. So at
 * most the last fill is in doubt, and then where it wrote is not compared. (A source says that it
 * is active until the destination has answered, so its run state is asked, too.)
 */
#include <string.h>

#include "conformance/matrix/run.h"

#define PAGE        4096u
#define PAGES       (MIG_MATRIX_RAM / PAGE)
#define PASSES      3u /* that the guest writes in */
#define LOOK_US     1000
#define RETRY_US    200000
#define OTHER_MS    6000 /* until the other end of a migration that failed has noticed */
#define WAITING_MS  2000 /* the same, when it has not been connected with */
#define DOWNTIME_MS 2000 /* once it may end */

typedef struct Look {
    json_object *o; /* query-migrate, NULL: it is gone */
    const char *status;
    guint64 passes;
} Look;

static Look look_at(MigEnd *end)
{
    Look l = { .o = mig_end_status(end, NULL) };
    const char *status = mig_answer_string(l.o, "status");

    l.status = !l.o ? "gone" : status ? status : "none";
    l.passes = (guint64)mig_answer_number(mig_answer_at(l.o, "ram"), "dirty-sync-count");
    return l;
}

static bool is(const Look *l, const char *status)
{
    return strcmp(l->status, status) == 0;
}

static bool is_over(const Look *l)
{
    return is(l, "completed") || is(l, "failed") || is(l, "cancelled") || is(l, "gone");
}

/* ---- the guest ---- */

static bool fills(const MigMatrixRun *m)
{
    /* A background snapshot is of the beginning; what is written later is not in it. */
    return m->source.qtest >= 0 && !mig_cell_has(m->cell, "background-snapshot") &&
           strcmp(m->cell->fault, "cut") != 0;
}

/* The second quarter of memory: one half of it full and the other zero, in turn. */
static void fill(MigMatrixRun *m, unsigned half)
{
    guint64 first = PAGES / 4 + half * (PAGES / 8), n = PAGES / 8;
    guint8 byte = (m->phase + half) % 2 ? (guint8)(5 + m->phase) : 0;

    if (mig_end_fill(&m->source, first, n, byte)) {
        memset(m->image + first * PAGE, byte, n * PAGE);
    }
}

static void write_on(MigMatrixRun *m, const Look *source)
{
    if (source->passes > m->since + 1) {
        m->phase++;
        m->since = source->passes;
    }
    fill(m, 0);
    fill(m, 1);
    m->unsure = true;
}

/* ---- the management ---- */

static void cancel(MigMatrixRun *m)
{
    m->cancelled = mig_end_say(&m->source, "migrate_cancel", NULL, NULL, NULL);
}

/* Lets a source end that was held up for the guest's sake. */
static void ease(MigMatrixRun *m)
{
    mig_end_set_number(&m->source, "downtime-limit", DOWNTIME_MS, NULL);
    mig_end_set_number(&m->source, "max-bandwidth", 1 << 30, NULL);
    m->eased = true;
}

/* The guest has been stopped for the last pass. */
static bool is_switching(MigMatrixRun *m)
{
    json_object *o = mig_peer_qmp_execute(m->source.qmp, "query-status", NULL, NULL);
    const char *state = mig_answer_string(o, "status");
    bool stopped = g_strcmp0(state, "finish-migrate") == 0 || g_strcmp0(state, "postmigrate") == 0;

    json_object_put(o);
    return stopped;
}

/* Right behind a write, so that there are pages left to be sent. */
static void start_postcopy(MigMatrixRun *m, const Look *source)
{
    if (fills(m)) {
        write_on(m, source);
        m->unsure = is_switching(m);
    }
    m->post = true;
    mig_end_say(&m->source, "migrate-start-postcopy", NULL, NULL, NULL);
}

static void while_active(MigMatrixRun *m, const Look *source)
{
    bool idle = strcmp(m->cell->workload, "idle") == 0;
    bool written = source->passes >= PASSES || (idle && !fills(m));

    if (m->unsure && is_switching(m)) {
        return;
    }
    m->unsure = false; /* what was written is still to be looked at */
    if (strcmp(m->cell->fault, "cancel") == 0 && !m->cancelled && source->passes >= 1) {
        cancel(m);
    } else if (mig_cell_has(m->cell, "postcopy-ram") && !m->post &&
               (!fills(m) || source->passes >= 2)) {
        start_postcopy(m, source);
    } else if (!written && fills(m)) {
        write_on(m, source);
    } else if (written && !m->eased && strcmp(m->cell->fault, "cut") != 0) {
        ease(m);
    }
}

/*
 * The destination listens again; then the source comes again, but not before the relay has noticed
 * that the old line is broken: it would take the new connection for one more of the old ones.
 */
static void recover(MigMatrixRun *m)
{
    gint64 now = g_get_monotonic_time();

    m->recovered = m->recovered || mig_matrix_listen_again(m);
    bool noticed = mig_child_sockets(m->relay) <= m->relay_sockets;
    if (m->recovered && noticed && now > m->tried + RETRY_US) {
        m->tried = now;
        mig_matrix_resume(m);
    }
}

static void care(MigMatrixRun *m, const Look *source, const Look *destination)
{
    if (is(source, "active")) {
        while_active(m, source);
    } else if (is(source, "pre-switchover")) {
        mig_end_say(&m->source, "migrate-continue", "state", "pre-switchover", NULL);
    } else if (is(source, "postcopy-active") && is(destination, "postcopy-active") && !m->hurried) {
        /* On to where the line is cut: not before the destination can survive that. */
        m->hurried = mig_end_set_number(&m->source, "max-postcopy-bandwidth", 0, NULL);
    } else if (is(source, "postcopy-paused") && is(destination, "postcopy-paused")) {
        recover(m);
    }
}

/* ---- until both are through ---- */

static void keep_status(char **where, const Look *l, MigEnd *end)
{
    g_free(*where);
    *where = is(l, "gone") ? mig_child_end_text(end->child) : g_strdup(l->status);
}

static void keep_error(char **where, const Look *l, MigEnd *end)
{
    const char *words = mig_answer_string(l->o, "error-desc");

    if (words) {
        g_free(*where);
        *where = g_strdup(words);
    } else if (is(l, "gone") || is(l, "failed")) {
        mig_child_wait(end->child, is(l, "gone") ? 2000 : 0);
        g_free(*where);
        *where = mig_child_words(end->child, end->said);
    }
}

/* What both said last, and whether one of them lives but says nothing. */
static void keep_end(MigMatrixRun *m, const Look *source, const Look *destination)
{
    keep_error(&m->r->source_error, source, &m->source);
    keep_error(&m->r->destination_error, destination, &m->destination);
    m->r->hung |= (is(source, "gone") && !mig_child_ended(m->source.child)) ||
                  (is(destination, "gone") && !mig_child_ended(m->destination.child));
}

/* Whether a source that has ended is all that there will be. */
static bool is_all(const Look *source, const Look *destination, gint64 *over_since)
{
    gint64 now = g_get_monotonic_time();
    /* Who has not been connected with waits for ever; or has not heard of it yet. */
    bool waits = is(destination, "none") || is(destination, "setup");
    gint64 patience = (gint64)(waits ? WAITING_MS : OTHER_MS) * 1000;

    if (is_over(destination)) {
        return true;
    }
    *over_since = *over_since ? *over_since : now;
    return !is(source, "completed") && now > *over_since + patience;
}

/* One more look. True: nothing more is to come. */
static bool step(MigMatrixRun *m, bool with_destination, gint64 *over_since)
{
    Look source = look_at(&m->source);
    Look destination = with_destination ? look_at(&m->destination) : (Look){ .status = "absent" };

    m->r->passes = MAX(m->r->passes, source.passes);
    care(m, &source, &destination);
    keep_status(&m->r->source_status, &source, &m->source);
    if (with_destination) {
        keep_status(&m->r->destination_status, &destination, &m->destination);
    }
    bool end = is_over(&source) && (!with_destination || is_all(&source, &destination, over_since));
    if (end) {
        keep_end(m, &source, &destination);
    }
    json_object_put(source.o);
    json_object_put(destination.o);
    return end;
}

static bool wait_for_all(MigMatrixRun *m, bool with_destination)
{
    gint64 end = g_get_monotonic_time() + (gint64)MIG_MATRIX_LIMIT_MS * 1000, over_since = 0;

    while (!step(m, with_destination, &over_since)) {
        if (*m->stop || g_get_monotonic_time() > end) {
            m->r->hung = !*m->stop;
            return false;
        }
        g_usleep(LOOK_US);
    }
    return true;
}

void mig_matrix_drive(MigMatrixRun *m)
{
    bool file = mig_matrix_is_file(m->cell);

    if (!wait_for_all(m, !file) || !file || g_strcmp0(m->r->source_status, "completed") != 0) {
        return;
    }
    if (mig_matrix_load_file(m)) {
        wait_for_all(m, true);
    }
}
