/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query-migrate of the source. Mirrors fill_source_migration_info() and populate_ram_info()
 * (migration/migration.c, 10.0); which field shows in which status stands in the table.
 */
#include "sim/engine/source-postcopy-internal.h"

/* What isn't named shows its status alone. */
static const struct {
    bool times, expected, downtime, ram;
} shown[MIG_STATUS_NAMES] = {
    [MIG_STATUS_IS_ACTIVE] = { true, true, false, true },
    [MIG_STATUS_IS_PRE_SWITCHOVER] = { true, true, false, true },
    [MIG_STATUS_IS_DEVICE] = { true, true, false, true },
    [MIG_STATUS_IS_CANCELLING] = { true, true, false, true },
    [MIG_STATUS_IS_COMPLETED] = { true, false, true, true },
    [MIG_STATUS_IS_POSTCOPY_DEVICE] = { true, false, true, true },
    [MIG_STATUS_IS_POSTCOPY_ACTIVE] = { true, false, true, true },
    [MIG_STATUS_IS_POSTCOPY_PAUSED] = { true, false, true, true },
    [MIG_STATUS_IS_POSTCOPY_RECOVER_SETUP] = { true, false, true, true },
    [MIG_STATUS_IS_POSTCOPY_RECOVER] = { true, false, true, true },
};

static int64_t expected_downtime(const MigSource *s)
{
    if (mig_source_era(s)->expect != MIG_EXPECT_AT_QUERY) {
        return s->expected_downtime;
    }
    uint64_t told = s->parameters.avail_switchover_bandwidth;
    double bandwidth = told ? (double)(told / 1000) : s->bandwidth;
    if (s->ram.dirty_sync_count <= 1) {
        return (int64_t)s->parameters.downtime_limit;
    }
    return bandwidth > 0 ? (int64_t)((double)s->exact_remaining / bandwidth) : INT64_MAX;
}

uint64_t mig_source_pages_done(const MigSource *s)
{
    return s->ram.normal + s->ram.duplicate + s->compression.pages + s->xbzrle.pages;
}

uint64_t mig_source_shown(const MigSource *s)
{
    return mig_source_era(s)->transferred_flushed ? s->flushed + s->multifd_bytes + s->placed
                                                  : s->ram_bytes;
}

static void fill_ram(const MigSource *s, MigRamStats *ram)
{
    const MigEra *era = mig_source_era(s);
    bool completed = mig_source_completed(s);
    *ram = s->ram;
    ram->transferred = mig_source_shown(s);
    ram->total = s->ram_total;
    ram->postcopy_requests = s->postcopy->counts.requests;
    ram->multifd_bytes = s->multifd_bytes;
    ram->normal_bytes = ram->normal * mig_source_page(s);
    ram->page_size = mig_source_page(s);
    ram->remaining = completed ? 0 : mig_source_remaining(s);
    ram->dirty_pages_rate = completed ? 0 : s->ram.dirty_pages_rate;
    ram->has_pages_per_second = era->pages_per_second;
    ram->has_phase_bytes = era->phase_bytes;
}

void mig_source_query(const MigSource *s, int64_t now, MigStats *stats)
{
    const MigStatusName i = s->status;
    *stats = (MigStats){ .status = mig_status_text(i), .error_desc = s->error };
    if (s->config.blockers) {
        stats->blocked_reasons =
            mig_blockers_reasons(s->config.blockers, mig_source_era(s)->binary);
    }
    stats->has_reason = s->has_reason;
    stats->has_times = shown[i].times;
    stats->has_expected_downtime = shown[i].expected;
    stats->has_downtime = shown[i].downtime;
    stats->has_ram = shown[i].ram;
    stats->setup_time = s->setup_time;
    stats->total_time = mig_source_completed(s) ? s->total_time : now / 1000000 - s->start_ms;
    stats->downtime = s->postcopy->pushing && !s->downtime ? s->postcopy->downtime : s->downtime;
    if (s->postcopy->running && shown[i].downtime && !mig_source_completed(s) &&
        !mig_source_era(s)->device_state) {
        stats->has_downtime = false; /* until 8.x it is only expected while postcopy lasts */
        stats->has_expected_downtime = true;
    }
    stats->expected_downtime = expected_downtime(s);
    fill_ram(s, &stats->ram);
    stats->has_disk = stats->has_ram && mig_source_disk_stats(s, &stats->disk);
    stats->has_xbzrle = s->cache && stats->has_ram;
    stats->xbzrle = s->xbzrle;
    stats->has_compression =
        s->compress.threads && mig_source_era(s)->compress_stats && stats->has_ram;
    stats->compression = s->compression;
    if (s->limit && mig_dirty_limit_in_service(s->limit)) {
        stats->has_dirty_limit = stats->has_ram;
        stats->dirty_limit_throttle_time_per_round =
            mig_dirty_limit_throttle_time_per_round(s->limit);
        stats->dirty_limit_ring_full_time = mig_dirty_limit_ring_full_time(s->limit);
    }
    stats->has_cpu_throttle = s->throttle > 0 && stats->has_ram;
    stats->cpu_throttle_percentage = s->throttle;
}
