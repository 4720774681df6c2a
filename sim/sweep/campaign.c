/* SPDX-License-Identifier: Apache-2.0 */
/* Campaigns, see campaign.h. */
#include "sim/sweep/campaign.h"

#include <string.h>

#include "sim/progress.h"
#include "sim/simulate/result.h"
#include "sim/sweep/pool.h"
#include "sim/sweep/rows-writer.h"
#include "sim/world/prng.h"
#include "sim/world/units.h"

#define MILLION 1000000u

typedef struct Running {
    MigCampaignCounts *counts;
    MigRowsWriter *writer;  /* run */
    const MigRowsSet *rows; /* verify */
    MigProgress progress;
    uint64_t todo;
    int64_t began; /* g_get_monotonic_time() */
} Running;

static void show_progress(Running *run)
{
    const MigCampaignCounts *counts = run->counts;
    uint64_t done = counts->ran + counts->failed;
    if (done == 0 || !mig_progress_due(&run->progress)) {
        return;
    }
    int64_t elapsed = g_get_monotonic_time() - run->began;
    g_autofree char *left = mig_format_time(
        (int64_t)((double)elapsed * (double)(run->todo - done) / (double)done) * 1000);
    mig_progress_show(&run->progress,
                      "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " cells  %.0f/min  %s left",
                      done, run->todo, (double)done * 60e6 / (double)(elapsed + 1), left);
}

static void take_failure(void *opaque, uint64_t index, const char *why)
{
    Running *run = opaque;
    run->counts->failed++;
    if (!run->counts->first_error) {
        run->counts->first_error = g_strdup_printf("cell %" G_GUINT64_FORMAT ": %s", index, why);
    }
    show_progress(run);
}

static bool take_row(void *opaque, uint64_t index, const char *text, MigRowKind kind,
                     GError **error)
{
    Running *run = opaque;
    (void)index;
    run->counts->ran++;
    run->counts->invalid += kind == MIG_ROW_INVALID;
    show_progress(run);
    return mig_rows_writer_add(run->writer, text, error);
}

static bool compare_row(void *opaque, uint64_t index, const char *text, MigRowKind kind,
                        GError **error)
{
    Running *run = opaque;
    const MigRowLine *line = mig_rows_set_find(run->rows, index);
    (void)kind, (void)error;
    run->counts->ran++;
    if (strlen(text) != line->length || memcmp(text, line->text, line->length) != 0) {
        run->counts->differs++;
        if (!run->counts->first_error) {
            run->counts->first_error =
                g_strdup_printf("cell %" G_GUINT64_FORMAT " differs\nwas: %.*sis:  %s", index,
                                (int)line->length, line->text, text);
        }
    }
    show_progress(run);
    return true;
}

static bool go(const MigCampaign *c, Running *run, const char *build, const GArray *cells,
               GError **error)
{
    const MigSweepJob job = {
        .sweep = c->sweep,
        .build = build,
        .cells = (const uint64_t *)(const void *)cells->data,
        .count = cells->len,
        .threads = (unsigned)CLAMP(c->threads, 1, MAX(cells->len, 1)),
        .interrupted = c->interrupted,
        .row = run->writer ? take_row : compare_row,
        .failed = take_failure,
        .opaque = run,
    };
    run->todo = cells->len;
    run->began = g_get_monotonic_time();
    run->progress = mig_progress_begin();
    bool fine = mig_sweep_run(&job, error);
    mig_progress_end(&run->progress);
    run->counts->elapsed = g_get_monotonic_time() - run->began;
    return fine;
}

/* The cells of the share that have no row yet. */
static GArray *cells_to_run(const MigSweep *s, MigShard shard, const MigRows *present,
                            MigCampaignCounts *counts)
{
    GArray *cells = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_autofree uint8_t *done = g_malloc0(s->cells);
    for (guint i = 0; present && i < present->lines->len; i++) {
        const MigRowLine *line = &g_array_index(present->lines, MigRowLine, i);
        done[line->index] = 1;
        counts->invalid += line->invalid;
    }
    for (uint64_t i = shard.k - 1; i < s->cells; i += shard.n) {
        counts->wanted++;
        counts->present += done[i];
        if (!done[i]) {
            g_array_append_val(cells, i);
        }
    }
    return cells;
}

bool mig_campaign_run(const MigCampaign *c, MigShard shard, const char *out, bool resume,
                      MigCampaignCounts *counts, GError **error)
{
    const MigSweep *s = c->sweep;
    g_autofree char *build = mig_sweep_build_id(error);
    g_autofree char *share =
        shard.n > 1 ? g_strdup_printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT, shard.k, shard.n)
                    : NULL;
    const MigRowsHeader header = { .spec = s->hash,
                                   .build = build,
                                   .version = (char *)mig_program_version(),
                                   .shard = share,
                                   .cells = s->cells };
    g_autoptr(MigRows) present = NULL;
    g_autoptr(MigRowsWriter) writer =
        build ? mig_rows_writer_open(out, &header, resume, &present, error) : NULL;
    if (!writer) {
        return false;
    }
    g_autoptr(GArray) cells = cells_to_run(s, shard, present, counts);
    Running run = { .counts = counts, .writer = writer };
    if (!go(c, &run, build, cells, error)) {
        return false;
    }
    bool complete = counts->present + counts->ran == counts->wanted;
    return mig_rows_writer_close(writer, complete, error);
}

/* Verify ------------------------------------------------------------------------------------- */

/* A random part of the rows' cells. */
static GArray *cells_to_verify(const MigRowsSet *rows, uint64_t millionths, uint64_t seed)
{
    GArray *cells = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    MigPrng p = mig_prng(seed, "sweep-verify", 0);
    uint64_t n = rows->lines->len, count = (n * millionths + MILLION - 1) / MILLION;
    for (guint i = 0; i < n; i++) {
        /* Of the n - i that remain, as many as are still wanted. */
        if (mig_prng_below(&p, n - i) < count) {
            g_array_append_val(cells, g_array_index(rows->lines, MigRowLine, i).index);
            count--;
        }
    }
    return cells;
}

bool mig_campaign_verify(const MigCampaign *c, const MigRowsSet *rows, uint64_t millionths,
                         uint64_t seed, MigCampaignCounts *counts, GError **error)
{
    g_autofree char *build = mig_sweep_build_id(error);
    const MigRowsHeader mine = { .spec = c->sweep->hash, .build = build };
    const MigRows *first = rows->files->pdata[0];
    if (!build || !mig_rows_same(&first->header, first->path, &mine, "this sweep", error)) {
        return false;
    }
    g_autoptr(GArray) cells = cells_to_verify(rows, millionths, seed);
    Running run = { .counts = counts, .rows = rows };
    counts->wanted = cells->len;
    return go(c, &run, build, cells, error);
}
