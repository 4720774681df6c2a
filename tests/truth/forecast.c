/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published models' forecasts of one cell, for score.py: a line "name converges total-ms
 * downtime-ms bytes passes" for each.
 *
 *     forecast PAGES ZERO-PAGES BYTES-PER-SECOND LIMIT-MS DEADLINE-MS MS:PAGES...
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim/models/models.h"

#define FIXED  6
#define POINTS 64

int main(int argc, char **argv)
{
    MigDirtyPoint points[POINTS];
    if (argc < FIXED + 2 || argc - FIXED > POINTS) {
        fprintf(stderr, "forecast: expected PAGES ZERO-PAGES BYTES-PER-SECOND LIMIT-MS "
                        "DEADLINE-MS and 2 to 64 points MS:PAGES\n");
        return 2;
    }
    MigModelGuest guest = {
        .page_size = 4096,
        .pages = strtod(argv[1], NULL),
        .zero_pages = strtod(argv[2], NULL),
        .dirty = points,
        .dirty_count = (size_t)(argc - FIXED),
    };
    MigModelPlan plan = {
        .bandwidth = strtod(argv[3], NULL),
        .limit_ms = strtod(argv[4], NULL),
        .deadline_ms = strtod(argv[5], NULL),
    };
    for (int i = FIXED; i < argc; i++) {
        char *end = NULL;
        points[i - FIXED].ms = strtod(argv[i], &end);
        points[i - FIXED].pages = *end == ':' ? strtod(end + 1, NULL) : 0;
    }
    for (const MigModel *m = mig_models; m->name; m++) {
        MigForecast f = m->forecast(&guest, &plan);
        printf("%s %d %.3f %.3f %.0f %u\n", m->name, f.converges, f.total_ms, f.downtime_ms,
               f.bytes, f.passes);
    }
    return 0;
}
