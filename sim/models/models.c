/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published models, see models.h. All have the same shape: passes, each as long as its bytes take,
 * until one fits into the downtime limit; they differ in what is dirty after a pass, and in bytes.
 */
#include "sim/models/models.h"

#include <math.h>
#include <string.h>

#define PAGE_HEADER    8
#define ONE_RATE_MS    1000 /* the period of the only rate, where a model knows one: calc-time's */
#define SIMGRID_CAPPED 0.9  /* of RAM can be dirty at most */

/* Bytes of the pass behind one that took |ms|. */
typedef double (*Volume)(const MigModelGuest *guest, double ms);

static MigForecast run(const MigModelGuest *guest, const MigModelPlan *plan, double first,
                       Volume volume)
{
    MigForecast f = { 0 };
    double bytes = first;
    while (f.total_ms <= plan->deadline_ms) {
        double ms = bytes / plan->bandwidth * 1000;
        f.bytes += bytes;
        f.total_ms += ms;
        f.passes++;
        if (ms <= plan->limit_ms) {
            f.downtime_ms = ms;
            f.converges = true;
            return f;
        }
        bytes = volume(guest, ms);
    }
    return f;
}

/* Gudkov ----------------------------------------------------------------------------------- */

static double slope(const MigDirtyPoint *from, const MigDirtyPoint *to)
{
    return (to->pages - from->pages) / (to->ms - from->ms);
}

double mig_model_dirty(const MigModelGuest *guest, double ms)
{
    const MigDirtyPoint *p = guest->dirty, *last = p + guest->dirty_count - 1;
    if (ms <= p->ms) {
        double pages = p->pages - slope(p, p + 1) * (p->ms - ms);
        return pages > 0 ? pages : 0;
    }
    while (p < last - 1 && ms > p[1].ms) {
        p++;
    }
    double pages = p->pages + slope(p, p + 1) * (ms - p->ms);
    double most = guest->pages - guest->zero_pages;
    return ms > last->ms && pages > most ? most : pages;
}

static double gudkov_volume(const MigModelGuest *guest, double ms)
{
    return mig_model_dirty(guest, ms) * (guest->page_size + PAGE_HEADER);
}

static MigForecast gudkov(const MigModelGuest *guest, const MigModelPlan *plan)
{
    double normal = guest->pages - guest->zero_pages;
    double first = normal * (guest->page_size + PAGE_HEADER) + guest->zero_pages * PAGE_HEADER;
    return run(guest, plan, first, gudkov_volume);
}

/* Models of one rate ----------------------------------------------------------------------- */

static double ram(const MigModelGuest *guest)
{
    return guest->pages * guest->page_size;
}

static double one_rate_volume(const MigModelGuest *guest, double ms)
{
    return mig_model_dirty(guest, ONE_RATE_MS) / ONE_RATE_MS * ms * guest->page_size;
}

static MigForecast constant_rate(const MigModelGuest *guest, const MigModelPlan *plan)
{
    return run(guest, plan, ram(guest), one_rate_volume);
}

static double simgrid_volume(const MigModelGuest *guest, double ms)
{
    double bytes = one_rate_volume(guest, ms), most = SIMGRID_CAPPED * ram(guest);
    return bytes < most ? bytes : most;
}

static MigForecast simgrid(const MigModelGuest *guest, const MigModelPlan *plan)
{
    return run(guest, plan, ram(guest), simgrid_volume);
}

static MigForecast bytes(const MigModelGuest *guest, const MigModelPlan *plan)
{
    MigModelPlan once = *plan;
    once.limit_ms = INFINITY;
    return run(guest, &once, ram(guest), one_rate_volume);
}

const MigModel mig_models[] = {
    { "gudkov", "passes over a measured curve of unique dirty pages (Gudkov 2023)", gudkov },
    { "constant-rate", "a geometric series of one dirty rate (Akoush 2010, Liu 2011)",
      constant_rate },
    { "simgrid", "one dirty rate, at most 90 % of RAM dirty (SimGrid 2013)", simgrid },
    { "bytes", "RAM over bandwidth", bytes },
    { NULL, NULL, NULL },
};

const MigModel *mig_model_find(const char *name)
{
    const MigModel *m = mig_models;
    while (m->name && strcmp(m->name, name) != 0) {
        m++;
    }
    return m->name ? m : NULL;
}
