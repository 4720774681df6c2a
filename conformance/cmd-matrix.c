/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migbench matrix: migrates between all peers, under all conditions, and judges every migration.
 * Each cell's lines go to the run log at once; the reports are rendered from those lines. A run
 * that is broken off has no end in its log, and every report says so.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#include "conformance/commands.h"
#include "conformance/matrix/artefacts.h"
#include "conformance/output.h"
#include "conformance/report/expect.h"
#include "conformance/report/render.h"
#include "conformance/report/report.h"
#include "sim/command.h"
#include "sim/progress.h"

typedef struct Options {
    char *out, *format, *shard, *about, *expect;
    char **peers, **only;
    int strength;
    gboolean list, no_own, no_sanity;
} Options;

typedef struct Matrix {
    const Options *o;
    GPtrArray *peers, *cells;
    MigPeer *about;
    MigExpectations *expect;
    FILE *log;                      /* DIR/run.ndjson */
    MigRender *text, *html, *junit; /* text: of --format */
    MigReportTotals totals;
    MigProgress progress;
} Matrix;

static volatile bool stop;

static void on_signal(int number)
{
    (void)number;
    stop = true;
}

/* ---- lines of the log ---- */

/* The log is our own: it can't be malformed. */
static void put(Matrix *m, const GString *lines)
{
    MigRender *all[] = { m->text, m->html, m->junit };
    g_autoptr(GError) error = NULL;

    fwrite(lines->str, 1, lines->len, m->log);
    fflush(m->log);
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        if (!mig_render_lines(all[i], lines->str, lines->len, &error)) {
            g_error("%s", error->message);
        }
    }
    mig_progress_end(&m->progress);
    fwrite(m->text->out->str, 1, m->text->out->len, stdout);
    fflush(stdout);
    g_string_truncate(m->text->out, 0);
}

static void report_judged(Matrix *m, GString *lines, const MigCell *cell, MigCheck *check,
                          MigOutcome outcome, const char *words)
{
    if (outcome == MIG_OUTCOME_REFUSED) {
        mig_report_unjudged(lines, cell->name, "refused", words);
        m->totals.subjects++;
        m->totals.refused++;
        return;
    }
    bool unsound = cell->sanity && outcome != MIG_OUTCOME_PASS;
    if (unsound || outcome == MIG_OUTCOME_INCONCLUSIVE) {
        mig_report_findings(lines, cell->name, check);
        mig_report_unjudged(lines, cell->name, unsound ? "error" : "inconclusive", words);
        m->totals.subjects++;
        m->totals.errors += unsound;
        m->totals.inconclusive += !unsound;
        return;
    }
    mig_report_findings(lines, cell->name, check);
    bool expected = m->expect && mig_expect_judge(m->expect, lines, cell->name, check);
    mig_report_subject(lines, cell->name, check, expected);
    mig_report_count(&m->totals, check, expected);
}

/* ---- cells ---- */

static bool run_cell(Matrix *m, const MigCell *cell, GError **error)
{
    g_autoptr(GString) lines = g_string_new(NULL);
    g_autoptr(MigCheck) check = mig_check_new(MIG_PROFILE_INTEROP);
    g_autofree char *folder = mig_cell_folder(m->o->out, cell, error);
    g_autofree char *words = NULL;

    if (!folder || (!cell->sanity && !mig_cell_write_repro(cell, folder, error))) {
        return false;
    }
    g_autoptr(MigCellRun) run = mig_cell_run(cell, folder, &stop);
    if (stop) {
        return true; /* broken off in the middle: says nothing */
    }
    MigOutcome outcome = mig_cell_judge(check, run, &words);
    g_autofree char *line = mig_cell_report(run, outcome, words);
    g_string_append_printf(lines, "%s\n", line);
    report_judged(m, lines, cell, check, outcome, words);
    put(m, lines);
    return mig_cell_pack(run, error);
}

static void show_progress(Matrix *m, guint done, gint64 began)
{
    double seconds = (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC;
    double left = done ? seconds / done * (m->cells->len - done) : 0;

    if (mig_progress_due(&m->progress)) {
        mig_progress_show(&m->progress, "%u of %u cells, about %.0f s left", done, m->cells->len,
                          left);
    }
}

static bool run_all(Matrix *m, const char *line, GError **error)
{
    g_autoptr(GString) lines = g_string_new(NULL);
    gint64 began = g_get_monotonic_time();

    mig_report_begin(lines, MIG_PROFILE_INTEROP, m->cells->len, line);
    put(m, lines);
    for (guint i = 0; i < m->cells->len && !stop; i++) {
        show_progress(m, i, began);
        if (!run_cell(m, m->cells->pdata[i], error)) {
            return false;
        }
    }
    g_string_truncate(lines, 0);
    if (!stop) {
        if (m->expect) {
            mig_expect_stale(m->expect, lines);
        }
        mig_report_end(lines, &m->totals);
        put(m, lines);
    }
    return true;
}

/* ---- reports ---- */

static bool save(const Options *o, const char *name, MigRender *r, GError **error)
{
    g_autofree char *path = g_build_filename(o->out, name, NULL);
    g_autoptr(MigOutput) out = mig_output_open(path, error);

    mig_render_end(r);
    return out && fwrite(r->out->str, 1, r->out->len, out->file) == r->out->len &&
           mig_output_commit(out, error);
}

static int finish(char **argv, Matrix *m)
{
    g_autoptr(GError) error = NULL;
    int status = mig_render_end(m->text);

    fwrite(m->text->out->str, 1, m->text->out->len, stdout);
    if (!save(m->o, "matrix.html", m->html, &error) || !save(m->o, "junit.xml", m->junit, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return status;
}

static int run_matrix(char **argv, Matrix *m, const MigRenderFormat *format)
{
    g_autofree char *path = g_build_filename(m->o->out, "run.ndjson", NULL);
    g_autofree char *line = g_strjoinv(" ", argv);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRender) text = mig_render_new(format);
    g_autoptr(MigRender) html = mig_render_new(&mig_render_html);
    g_autoptr(MigRender) junit = mig_render_new(&mig_render_junit);
    struct sigaction action = { .sa_handler = on_signal };

    m->log = g_mkdir_with_parents(m->o->out, 0777) == 0 ? fopen(path, "we") : NULL;
    if (!m->log) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s: can't be written", path);
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    m->text = text;
    m->html = html;
    m->junit = junit;
    m->progress = mig_progress_begin();
    bool fine = run_all(m, line, &error);
    fclose(m->log);
    int status = finish(argv, m);
    return fine ? status : mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
}

/* ---- what is to be run ---- */

static bool add_peers(Matrix *m, GError **error)
{
    const Options *o = m->o;

    for (char **text = o->peers; text && *text; text++) {
        MigPeer *p = mig_peer_new(*text, error);
        if (!p) {
            return false;
        }
        g_ptr_array_add(m->peers, p);
    }
    if (o->about) {
        m->about = mig_peer_new(o->about, error);
        if (!m->about) {
            return false;
        }
        g_ptr_array_add(m->peers, m->about);
    } else if (!o->peers) {
        mig_peers_find(m->peers);
    }
    mig_peers_probe(m->peers);
    if (!o->no_own) {
        g_ptr_array_add(m->peers, mig_peer_own());
    }
    return true;
}

static bool read_shard(const char *text, MigCellOptions *o)
{
    guint k = 0, n = 0;
    char rest;

    if (text && (sscanf(text, "%u/%u%c", &k, &n, &rest) != 2 || !k || k > n)) {
        return false;
    }
    o->shard = k ? k - 1 : 0;
    o->shards = MAX(n, 1);
    return true;
}

static const char *broken_peer(const Matrix *m)
{
    for (guint i = 0; i < m->peers->len; i++) {
        const MigPeer *p = m->peers->pdata[i];
        if (p->error) {
            return p->error;
        }
    }
    return NULL;
}

static void drop_sanity(GPtrArray *cells)
{
    for (guint i = cells->len; i-- > 0;) {
        if (((const MigCell *)cells->pdata[i])->sanity) {
            g_ptr_array_remove_index(cells, i);
        }
    }
}

static int prepare(char **argv, Matrix *m)
{
    const Options *o = m->o;
    g_autoptr(GError) error = NULL;
    MigCellOptions which = { .only = (const char *const *)o->only, .strength = (guint)o->strength };

    if (o->strength < 1 || o->strength > 2) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--strength %d: 1 or 2 is expected",
                                o->strength);
    }
    if (!read_shard(o->shard, &which)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--shard %s: K/N is expected, 1/4 to 4/4",
                                o->shard);
    }
    if (o->expect && !(m->expect = mig_expect_load(o->expect, false, &error))) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s", error->message);
    }
    if (!add_peers(m, &error)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s", error->message);
    }
    if (broken_peer(m)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "a peer can't be asked: %s",
                                broken_peer(m));
    }
    which.about = m->about;
    m->cells = mig_cells_list(m->peers, &which);
    if (o->no_sanity) {
        drop_sanity(m->cells);
    }
    if (!m->cells->len) {
        return mig_command_fail(argv, o->only ? MIG_EXIT_USAGE : MIG_EXIT_ENVIRONMENT,
                                "no cell: %s",
                                o->only ? "nothing has a name like --only; see --list"
                                        : "there are no peers; migbench peers says what is here");
    }
    return MIG_EXIT_OK;
}

static int list(const Matrix *m)
{
    for (guint i = 0; i < m->cells->len; i++) {
        puts(((const MigCell *)m->cells->pdata[i])->name);
    }
    return MIG_EXIT_OK;
}

static int matrix(char **argv, const Options *o)
{
    Matrix m = { .o = o, .peers = g_ptr_array_new_with_free_func((GDestroyNotify)mig_peer_free) };
    const MigRenderFormat *format = mig_render_format(o->format ? o->format : "text");
    int status = format
                     ? prepare(argv, &m)
                     : mig_command_fail(argv, MIG_EXIT_USAGE,
                                        "--format %s: " MIG_RENDER_NAMES " is expected", o->format);

    if (status == MIG_EXIT_OK) {
        status = o->list ? list(&m) : run_matrix(argv, &m, format);
    }
    g_clear_pointer(&m.cells, g_ptr_array_unref);
    g_ptr_array_unref(m.peers);
    mig_expect_free(m.expect);
    return status;
}

static void clear(Options *o)
{
    g_free(o->out);
    g_free(o->format);
    g_free(o->shard);
    g_free(o->about);
    g_free(o->expect);
    g_strfreev(o->peers);
    g_strfreev(o->only);
}

int mig_cmd_matrix(int argc, char **argv)
{
    Options o = { .strength = 2 };
    g_auto(GStrv) rest = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o.out,
          "folder for run.ndjson, matrix.html, junit.xml and every cell's artefacts", "FOLDER" },
        { "peer", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.peers,
          "this peer instead of those found; may be given several times", "[NAME=]COMMAND" },
        { "only-peer", 0, 0, G_OPTION_ARG_STRING, &o.about,
          "test this program: only cells that it takes part in", "[NAME=]COMMAND" },
        { "only", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.only,
          "cells with such a name (*, ?); may be given several times", "PATTERN" },
        { "strength", 0, 0, G_OPTION_ARG_INT, &o.strength,
          "1: each feature alone; 2 (default): every two of them, too", "N" },
        { "shard", 0, 0, G_OPTION_ARG_STRING, &o.shard, "the K-th of N shares of the cells",
          "K/N" },
        { "expect", 0, 0, G_OPTION_ARG_FILENAME, &o.expect,
          "deviations that are known: others fail, and so do these when they don't come", "FILE" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &o.format, "of standard output (default: text)",
          "text|ndjson|tap|junit|html|markdown" },
        { "list", 0, 0, G_OPTION_ARG_NONE, &o.list, "print the names of the cells", NULL },
        { "no-own", 0, 0, G_OPTION_ARG_NONE, &o.no_own, "without migbench's own ends", NULL },
        { "no-sanity", 0, 0, G_OPTION_ARG_NONE, &o.no_sanity, "without the sanity cells", NULL },
        { NULL },
    };

    if (mig_command_parse(argc, argv, entries, "",
                          "Migrates between QEMUs, and between QEMU and migbench, under all "
                          "conditions; records, judges and compares. A red cell is a finding; one "
                          "that is inconclusive leaves the run incomplete; where a sanity cell "
                          "fails, the environment does.",
                          0, 0, &rest, &status)) {
        status = *rest ? mig_command_fail(argv, MIG_EXIT_USAGE, "%s: unexpected argument", *rest)
                 : !o.out && !o.list
                     ? mig_command_fail(argv, MIG_EXIT_USAGE, "where to? -o FOLDER says it")
                     : matrix(argv, &o);
    }
    clear(&o);
    return status;
}
