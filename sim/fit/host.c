/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Costs, see host.h. Model: sends of one section that came at the same time are a flush. One that
 * holds zero pages alone, or normal ones alone, and isn't the first of its section, is a sample:
 * its time by its pages. What is taken is their mean, as that is what they cost together; without
 * those far above the middle, which are stalls.
 *
 * Limits. The cost of a normal page has in it what held the source up: relay, link, receiver; of a
 * source that never sleeps it isn't known whether those or its own limit did. Pages of multifd are
 * looked at by threads, and are left out. Setup lies in front of the first byte.
 */
#include "sim/fit/host.h"

#include <stdbool.h>
#include <string.h>

#include "sim/world/clock.h"
#include "sim/world/costs.h"

#define TOGETHER  (100 * MIG_NS_PER_US) /* a flush that was read in two pieces */
#define WINDOW    (100 * MIG_NS_PER_MS) /* of QEMU's quota */
#define LATE      (5 * MIG_NS_PER_MS)   /* more is not the end of a sleep */
#define PAGES     64u                   /* of a flush: fewer say little */
#define SEEN      2048u                 /* pages in all samples */
#define WINDOWS   8u
#define STALL     8 /* times the middle */
#define PS_PER_NS 1000

typedef enum Content { ZEROS, NORMALS, MIXED } Content;

typedef struct Flush {
    uint32_t part, round;
    int64_t from, at; /* ns: of the flush before, of this */
    uint64_t pages, bytes;
    Content content;
    bool first; /* of its section */
    bool slept; /* the source may have slept in front of it */
} Flush;

/* What walk_section() found. */
typedef struct Section {
    Content content;          /* of all flushes */
    int64_t at, span;         /* ns: of the first flush, and to the last */
    uint64_t flushes, behind; /* behind: pages that are not of the first */
    uint64_t bytes;
} Section;

typedef struct Sample {
    double each; /* ns by page */
    uint64_t pages;
} Sample;

static Content content_of(const MigSent *sent)
{
    return sent->kind == MIG_SENT_ZERO ? ZEROS : sent->kind == MIG_SENT_NORMAL ? NORMALS : MIXED;
}

/* Nobody sleeps inside a section; nor behind one of zeros alone, which don't use a quota up. */
static bool may_sleep(const Flush *last, bool zeros, const MigSent *sent)
{
    return !last || (sent->part != last->part && !(zeros && sent->round == last->round));
}

/* Of the running guest; those of a section that came within |together| ns are one. */
static GArray *find_flushes(const MigSends *s, int64_t together)
{
    GArray *flushes = g_array_new(FALSE, TRUE, sizeof(Flush));
    Flush *last = NULL;
    bool zeros = false; /* all of this section */
    for (guint i = 0; i < s->sends->len && !mig_sends_at(s, i)->final; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        Content content = content_of(sent);
        if (!last || sent->part != last->part || sent->at > last->at + together) {
            Flush f = { .part = sent->part,
                        .round = sent->round,
                        .from = last ? last->at : 0,
                        .at = sent->at,
                        .content = content,
                        .first = !last || sent->part != last->part,
                        .slept = may_sleep(last, zeros, sent) };
            g_array_append_val(flushes, f);
            zeros |= f.first;
            last = &g_array_index(flushes, Flush, flushes->len - 1);
        }
        last->content = last->content == content ? content : MIXED;
        last->pages++;
        last->bytes += sent->bytes;
        zeros &= content == ZEROS;
    }
    return flushes;
}

/* Samples ---------------------------------------------------------------------------------- */

static void take(GArray *samples, int64_t span, uint64_t pages)
{
    if (pages >= PAGES && span > 0) {
        Sample sample = { (double)span / (double)pages, pages };
        g_array_append_val(samples, sample);
    }
}

static GArray *zero_samples(const MigSends *s)
{
    g_autoptr(GArray) flushes = find_flushes(s, TOGETHER);
    GArray *samples = g_array_new(FALSE, FALSE, sizeof(Sample));
    for (guint i = 0; i < flushes->len; i++) {
        const Flush *f = &g_array_index(flushes, Flush, i);
        if (f->content == ZEROS && !f->slept) {
            take(samples, f->at - f->from, f->pages);
        }
    }
    return samples;
}

/* The one that begins with flush |i|. Where the next begins. */
static guint walk_section(const GArray *flushes, guint i, Section *section)
{
    const Flush *first = &g_array_index(flushes, Flush, i), *f = first;
    *section = (Section){ .content = f->content, .at = f->at, .flushes = 1, .bytes = f->bytes };
    for (i++; i < flushes->len && !f[1].first; i++) {
        f++;
        section->content = section->content == f->content ? f->content : MIXED;
        section->behind += f->pages;
        section->bytes += f->bytes;
        section->flushes++;
    }
    section->span = f->at - first->at;
    return i;
}

/*
 * A flush of normal pages takes less than reading it does, so a section is one sample; not where it
 * filled its window, because then the line may have been the slower one.
 */
static GArray *normal_samples(const GArray *flushes)
{
    GArray *samples = g_array_new(FALSE, FALSE, sizeof(Sample));
    for (guint i = 0; i < flushes->len;) {
        Section section;
        i = walk_section(flushes, i, &section);
        if (section.content == NORMALS && section.span < WINDOW / 2) {
            take(samples, section.span, section.behind);
        }
    }
    return samples;
}

static int by_cost(gconstpointer a, gconstpointer b)
{
    double x = ((const Sample *)a)->each, y = ((const Sample *)b)->each;
    return x < y ? -1 : x > y;
}

/* Of the page in the middle; |samples| are in order. */
static double middle(const GArray *samples, uint64_t pages)
{
    guint i = 0;
    for (uint64_t below = 0; i < samples->len; i++) {
        below += g_array_index(samples, Sample, i).pages;
        if (2 * below >= pages) {
            break;
        }
    }
    return g_array_index(samples, Sample, i).each;
}

/* Takes |samples| over. */
static void put_mean(GArray *costs, const char *name, GArray *samples)
{
    uint64_t all = 0, pages = 0;
    double sum = 0;
    g_array_sort(samples, by_cost);
    for (guint i = 0; i < samples->len; i++) {
        all += g_array_index(samples, Sample, i).pages;
    }
    for (guint i = 0; i < samples->len && all >= SEEN; i++) {
        const Sample *sample = &g_array_index(samples, Sample, i);
        if (sample->each <= STALL * middle(samples, all)) {
            pages += sample->pages;
            sum += sample->each * (double)sample->pages;
        }
    }
    if (pages) {
        MigFitCost cost = { name, sum / (double)pages, pages };
        g_array_append_val(costs, cost);
    }
    g_array_unref(samples);
}

/* From one section of normal pages to the next; sums over them. */
typedef struct Windows {
    uint64_t count, bytes, flushes;
    int64_t late; /* ns */
} Windows;

static Windows find_windows(const GArray *flushes)
{
    Windows w = { 0 };
    Section last = { .content = MIXED };
    for (guint i = 0; i < flushes->len;) {
        Section section;
        i = walk_section(flushes, i, &section);
        int64_t late = section.at - last.at - WINDOW;
        if (last.content == NORMALS && section.content == NORMALS && ABS(late) < LATE) {
            w.count++;
            w.late += late;
            w.bytes += last.bytes;
            w.flushes += last.flushes;
        }
        last = section;
    }
    return w;
}

/*
 * Sleeps last whole milliseconds and windows are counted in them: one is late by nothing or by a
 * millisecond, and all of them by |wake| in the mean.
 */
static void put_wake(GArray *costs, const Windows *w)
{
    if (w->late > 0) {
        MigFitCost cost = { "wake", (double)w->late / (double)w->count, w->count };
        g_array_append_val(costs, cost);
    }
}

GArray *mig_fit_host(const MigSends *s)
{
    GArray *costs = g_array_new(FALSE, FALSE, sizeof(MigFitCost));
    if (s->channels == 0) {
        g_autoptr(GArray) flushes = find_flushes(s, 0);
        put_mean(costs, "zero_page", zero_samples(s));
        Windows windows = find_windows(flushes);
        if (windows.count >= WINDOWS) {
            put_mean(costs, "normal_page", normal_samples(flushes));
            put_wake(costs, &windows);
        }
    }
    return costs;
}

uint64_t mig_fit_max_bandwidth(const MigSends *s)
{
    g_autoptr(GArray) flushes = find_flushes(s, 0);
    Windows w = find_windows(flushes);
    if (s->channels || w.count < WINDOWS) {
        return 0;
    }
    double quota = (double)w.bytes / (double)w.count - (double)w.bytes / (double)w.flushes / 2;
    return (uint64_t)(quota * MIG_NS_PER_S / WINDOW);
}

static int64_t in_its_unit(const MigFitCost *cost)
{
    unsigned i = 0;
    while (mig_costs_name(i) && strcmp(mig_costs_name(i), cost->name) != 0) {
        i++;
    }
    return (int64_t)(cost->ns * (strcmp(mig_costs_unit(i), "ps") == 0 ? PS_PER_NS : 1) + 0.5);
}

json_object *mig_fit_host_to_json(const GArray *costs)
{
    json_object *o = json_object_new_object();
    for (guint i = 0; i < costs->len; i++) {
        const MigFitCost *cost = &g_array_index(costs, MigFitCost, i);
        json_object_object_add(o, cost->name, json_object_new_int64(in_its_unit(cost)));
    }
    return o;
}

void mig_fit_host_to_text(const GArray *costs, GString *out)
{
    for (guint i = 0; i < costs->len; i++) {
        const MigFitCost *cost = &g_array_index(costs, MigFitCost, i);
        g_string_append_printf(out, "host         %s: %.2f us\n", cost->name, cost->ns / 1000);
    }
}
