/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query-migrate, see query.h: what the engine counts (result.c says it in JSON), and what only some
 * versions say. Presence was compared with real QEMU 5.2, 7.2, 10.0 and 11.1.
 */
#include "sim/monitor/query.h"

#include <string.h>

#include "sim/simulate/result.h"

#define V       MIG_VERSION_OF
#define FOREVER UINT32_MAX

/* Fields of "ram" that nothing here counts: they are always 0. */
static const struct {
    const char *name;
    MigVersion since, until;
} zeros[] = {
    { "skipped", 0, V(9, 1) },
    { "dirty-sync-missed-zero-copy", V(7, 1), FOREVER },
};

/* A cancelled migration has no error, though its channels broke; but for 10.0 and 11.1 when it was
 * cancelled after the guest had stopped. */
static bool hides_error(const MigSource *source, const MigStats *stats, MigVersion binary)
{
    bool cancelled =
        strcmp(stats->status, "cancelling") == 0 || strcmp(stats->status, "cancelled") == 0;
    bool late = mig_source_downtime(source)->stopped > 0;
    return cancelled && !stats->has_reason && !(late && binary >= V(10, 0));
}

json_object *mig_monitor_query(const MigSource *source, MigVersion binary, int64_t now)
{
    MigStats stats;
    json_object *ram;
    mig_source_query(source, now, &stats);
    if (strcmp(stats.status, "none") == 0) {
        return mig_stats_to_json(&stats); /* blocked-reasons, if anything */
    }
    if (hides_error(source, &stats, binary)) {
        stats.error_desc = NULL;
    }
    json_object *o = mig_stats_to_json(&stats);
    if (json_object_object_get_ex(o, "ram", &ram)) {
        for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
            if (zeros[i].since <= binary && binary < zeros[i].until) {
                json_object_object_add(ram, zeros[i].name, json_object_new_int(0));
            }
        }
    }
    if (binary >= V(11, 0) && stats.has_expected_downtime) {
        json_object_object_add(o, "remaining",
                               json_object_new_uint64(mig_source_remaining(source)));
    }
    return o;
}
