/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples, see samples.h.
 *
 * Limits. A sample is taken behind the first operation that ends in its period, so an operation
 * that lasts longer than the period (a sync, a sleep) leaves a gap; the rows say when they were
 * taken.
 */
#include "sim/report/samples.h"

#include <glib.h>
#include <string.h>

static const char *const columns[] = {
    "remaining", "transferred", "dirty-pages-rate", "dirty-sync-count",
    "duplicate", "normal",      "disk-remaining",   "cpu-throttle-percentage",
};

typedef struct Sample {
    int64_t at;
    uint64_t values[G_N_ELEMENTS(columns)];
} Sample;

struct MigSamples {
    int64_t period, next; /* ns */
    GArray *rows;         /* Sample */
};

MigSamples *mig_samples_new(void)
{
    MigSamples *s = g_new0(MigSamples, 1);
    s->period = MIG_SAMPLES_PERIOD;
    s->rows = g_array_new(FALSE, FALSE, sizeof(Sample));
    return s;
}

void mig_samples_free(MigSamples *s)
{
    if (s) {
        g_array_unref(s->rows);
        g_free(s);
    }
}

bool mig_samples_due(const MigSamples *s, int64_t now)
{
    return now >= s->next;
}

/* Keeps the first, third, ... row. */
static void halve(GArray *rows)
{
    guint kept = (rows->len + 1) / 2;
    for (guint i = 1; i < kept; i++) {
        g_array_index(rows, Sample, i) = g_array_index(rows, Sample, (gsize)i * 2);
    }
    g_array_set_size(rows, kept);
}

void mig_samples_add(MigSamples *s, int64_t now, const MigStats *stats)
{
    const MigRamStats *ram = &stats->ram;
    const Sample row = { now,
                         { ram->remaining, ram->transferred, ram->dirty_pages_rate,
                           ram->dirty_sync_count, ram->duplicate, ram->normal,
                           stats->has_disk ? stats->disk.remaining : 0,
                           stats->has_cpu_throttle ? stats->cpu_throttle_percentage : 0 } };
    if (s->rows->len == MIG_SAMPLES) {
        halve(s->rows);
        s->period *= 2;
    }
    g_array_append_val(s->rows, row);
    s->next = now - now % s->period + s->period;
}

static json_object *times_to_json(const GArray *rows)
{
    json_object *list = json_object_new_array();
    for (guint i = 0; i < rows->len; i++) {
        json_object_array_add(list, json_object_new_int64(g_array_index(rows, Sample, i).at));
    }
    return list;
}

static json_object *column_to_json(const GArray *rows, size_t column)
{
    json_object *list = json_object_new_array();
    for (guint i = 0; i < rows->len; i++) {
        uint64_t value = g_array_index(rows, Sample, i).values[column];
        json_object_array_add(list, json_object_new_uint64(value));
    }
    return list;
}

json_object *mig_samples_to_json(const MigSamples *s)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "period-ns", json_object_new_int64(s->period));
    json_object_object_add(o, "time-ns", times_to_json(s->rows));
    for (size_t i = 0; i < G_N_ELEMENTS(columns); i++) {
        json_object_object_add(o, columns[i], column_to_json(s->rows, i));
    }
    return o;
}
