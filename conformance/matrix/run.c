/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one cell: both ends in fresh processes, with sockets and memory in a private folder, and
 * everything that is said kept. Nothing is judged here; see judge.c.
 */
#include "conformance/matrix/run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u
/* bytes/s: a pass over the full half takes 40 ms; 200 ms; 7 s */
#define SLOW    50000000
#define SLOWER  10000000
#define SLOWEST 300000

bool mig_matrix_no(MigMatrixRun *m, const char *who, GError *error)
{
    bool said_no = g_error_matches(error, MIG_PEER_ERROR, MIG_PEER_SAID_NO);

    g_free(m->r->words);
    m->r->words = g_strdup_printf("%s: %s", who, error->message);
    m->r->refused = said_no;
    m->r->inconclusive = !said_no;
    g_error_free(error);
    return false;
}

/* ---- beginning ---- */

static bool start_ends(MigMatrixRun *m)
{
    GError *error = NULL;

    if (!mig_end_start(&m->source, &m->place, true, &error)) {
        return mig_matrix_no(m, "source", error);
    }
    m->place.other = &m->source;
    if (mig_cell_has(m->cell, "x-ignore-shared")) {
        m->place.same_file = m->source.memory;
    }
    return mig_end_start(&m->destination, &m->place, false, &error) ||
           mig_matrix_no(m, "destination", error);
}

/*
 * How fast it may go until the bench has done what it does meanwhile. Where postcopy is to be cut,
 * it must not come to the cut before both ends are in postcopy.
 */
static bool slow_down(MigMatrixRun *m, GError **error)
{
    bool postcopy = mig_cell_has(m->cell, "postcopy-ram");
    bool faulty = strcmp(m->cell->fault, "none") != 0;
    bool cut = postcopy && strcmp(m->cell->fault, "cut") == 0;

    if (strcmp(m->cell->workload, "idle") == 0 && !faulty && !postcopy) {
        return mig_end_set_number(&m->source, "max-bandwidth", 1 << 30, error);
    }
    return mig_end_set_number(&m->source, "max-bandwidth",
                              cut                  ? SLOWEST
                              : faulty || postcopy ? SLOWER
                                                   : SLOW,
                              error) &&
           mig_end_set_number(&m->source, "downtime-limit", 1, error) &&
           (!cut || mig_end_set_number(&m->source, "max-postcopy-bandwidth", SLOWEST, error));
}

static bool set_up(MigMatrixRun *m)
{
    GError *error = NULL;

    if (!mig_end_set_up(&m->destination, m->cell, &error)) {
        return mig_matrix_no(m, "destination", error);
    }
    if (!mig_end_set_up(&m->source, m->cell, &error)) {
        return mig_matrix_no(m, "source", error);
    }
    if (mig_cell_has(m->cell, "background-snapshot") &&
        !mig_end_say(&m->source, "cont", NULL, NULL, &error)) {
        /* 7.2 aborts when a guest that has never run is told to pause. */
        return mig_matrix_no(m, "source", error);
    }
    return slow_down(m, &error) || mig_matrix_no(m, "source", error);
}

/* ---- the end ---- */

/* Where memories differ first, in words; NULL: nowhere. */
static char *compare(const guint8 *want, const guint8 *have, bool unsure)
{
    guint64 bad = 0, first = 0, pages = MIG_MATRIX_RAM / PAGE;

    for (guint64 page = 0; page < pages; page++) {
        bool doubtful = unsure && page >= pages / 4 && page < pages / 2;
        if (!doubtful && memcmp(want + page * PAGE, have + page * PAGE, PAGE) != 0) {
            first = bad++ ? first : page;
        }
    }
    if (!bad) {
        return NULL;
    }
    guint64 at = first * PAGE;
    while (want[at] == have[at]) {
        at++;
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                           " pages differ, the first is %" G_GUINT64_FORMAT
                           ": byte %" G_GUINT64_FORMAT " is 0x%02x, expected 0x%02x",
                           bad, pages, first, at, have[at], want[at]);
}

/* Memory that is ignored stays in its file, which our own ends don't map. */
static bool memory_travels(const MigMatrixRun *m)
{
    return !mig_cell_has(m->cell, "x-ignore-shared") ||
           (m->place.same_file && m->destination.memory);
}

/* What |end| holds against what the source is to have held. */
static void compare_memory(MigMatrixRun *m, MigEnd *end)
{
    g_autoptr(GError) error = NULL;
    bool known = m->source.memory && m->source.peer->command; /* only we wrote to it */
    g_autoptr(GBytes) source = known ? NULL : mig_end_memory(&m->source, &m->place, &error);
    g_autoptr(GBytes) have = error ? NULL : mig_end_memory(end, &m->place, &error);

    if (!have) {
        m->r->inconclusive = true;
        m->r->words = g_strdup_printf("memory can't be compared: %s", error->message);
        return;
    }
    if (g_bytes_get_size(have) != MIG_MATRIX_RAM ||
        (source && g_bytes_get_size(source) != MIG_MATRIX_RAM)) {
        m->r->memory = g_strdup("it has another size");
        return;
    }
    const guint8 *want = source ? g_bytes_get_data(source, NULL) : m->image;
    m->r->memory = compare(want, g_bytes_get_data(have, NULL), m->unsure);
    m->r->compared = true;
}

static void ask_run_state(MigMatrixRun *m)
{
    json_object *o = mig_peer_qmp_execute(m->source.qmp, "query-status", NULL, NULL);
    const char *state = mig_answer_string(o, "status");

    m->r->run_state = g_strdup(state ? state : "gone");
    json_object_put(o);
}

/* What the destination printed, but for the progress of its disks; NULL: nothing. */
static char *complaint(const MigMatrixRun *m)
{
    g_autofree char *words = mig_child_words(m->destination.child, m->destination.said);
    g_auto(GStrv) lines = g_strsplit_set(words, "\r\n", -1);
    g_autoptr(GString) rest = g_string_new(NULL);

    for (char **line = lines; *line; line++) {
        if (**line && !g_str_has_prefix(*line, "Completed ") &&
            !g_str_has_prefix(*line, "Receiving block device images")) {
            g_string_append_printf(rest, "%s%s", rest->len ? " " : "", *line);
        }
    }
    return rest->len ? g_strdup(rest->str) : NULL;
}

static void look_back(MigMatrixRun *m)
{
    bool arrived = g_strcmp0(m->r->destination_status, "completed") == 0;
    bool released = mig_cell_has(m->cell, "release-ram");

    m->r->crashed = mig_child_crashed(m->source.child) || mig_child_crashed(m->destination.child);
    ask_run_state(m);
    if (arrived && memory_travels(m)) {
        compare_memory(m, &m->destination);
    } else if (!arrived && !released && strcmp(m->cell->fault, "none") != 0 &&
               m->source.peer->command) {
        compare_memory(m, &m->source); /* it has its guest as it was */
    }
    if (arrived) {
        m->r->complaint = complaint(m);
    }
}

/* ---- all of it ---- */

static bool open_all(MigMatrixRun *m)
{
    GError *error = NULL;
    g_autofree char *transcript = g_build_filename(m->r->folder, "qmp.log", NULL);

    m->shared = mig_peer_folder(&error);
    if (!m->shared) {
        return mig_matrix_no(m, "bench", error);
    }
    m->transcript = fopen(transcript, "we");
    if (m->transcript) {
        setlinebuf(m->transcript); /* to be read when something hangs */
    }
    m->image = mig_matrix_image();
    m->file = g_build_filename(m->shared, "stream", NULL);
    m->r->recording = g_build_filename(
        m->r->folder, mig_matrix_is_file(m->cell) ? "stream.mig" : "stream.pcapng", NULL);
    m->place = (MigEndPlace){ .cell = m->cell,
                              .folder = m->r->folder,
                              .shared = m->shared,
                              .image = m->image,
                              .transcript = m->transcript };
    return true;
}

static void close_all(MigMatrixRun *m)
{
    mig_end_clear(&m->source);
    mig_end_clear(&m->destination);
    mig_matrix_disconnect(m);
    if (m->transcript) {
        fclose(m->transcript);
    }
    mig_remove_folder(m->shared);
    g_free(m->shared);
    g_free(m->source_uri);
    g_free(m->destination_uri);
    g_free(m->again_uri);
    g_free(m->file);
    g_free(m->image);
}

MigCellRun *mig_cell_run(const MigCell *cell, const char *folder, const volatile bool *stop)
{
    MigCellRun *r = g_new0(MigCellRun, 1);
    MigMatrixRun m = {
        .cell = cell, .r = r, .stop = stop, .source.qtest = -1, .destination.qtest = -1
    };

    r->cell = cell;
    r->folder = g_strdup(folder);
    if (open_all(&m) && start_ends(&m) && set_up(&m) && mig_matrix_connect(&m)) {
        mig_matrix_drive(&m);
        mig_matrix_disconnect(&m);
        look_back(&m);
    }
    close_all(&m);
    return r;
}

void mig_cell_run_free(MigCellRun *r)
{
    if (r) {
        g_free(r->folder);
        g_free(r->recording);
        g_free(r->words);
        g_free(r->source_status);
        g_free(r->destination_status);
        g_free(r->source_error);
        g_free(r->destination_error);
        g_free(r->run_state);
        g_free(r->complaint);
        g_free(r->memory);
        g_free(r);
    }
}
