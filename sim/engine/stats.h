/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What query-migrate would say, in QEMU's words (QAPI: MigrationInfo, MigrationStats). A field that
 * the era or the status does not show has its has_* flag off.
 */
#ifndef MIG_SIM_ENGINE_STATS_H
#define MIG_SIM_ENGINE_STATS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MigRamStats {
    uint64_t transferred; /* B */
    uint64_t remaining;   /* B */
    uint64_t total;       /* B */
    uint64_t duplicate;   /* pages */
    uint64_t normal;      /* pages */
    uint64_t normal_bytes;
    uint64_t dirty_pages_rate; /* pages/s */
    double mbps;               /* Mbit/s */
    uint64_t dirty_sync_count;
    uint64_t postcopy_requests;
    uint64_t page_size;
    uint64_t multifd_bytes;
    uint64_t pages_per_second;
    uint64_t precopy_bytes, downtime_bytes, postcopy_bytes;
    bool has_pages_per_second;
    bool has_phase_bytes;
} MigRamStats;

typedef struct MigXbzrleStats {
    uint64_t cache_size;
    uint64_t bytes, pages; /* of deltas and their headers; of hits, whatever became of them */
    uint64_t cache_miss, overflow;
    double cache_miss_rate, encoding_rate; /* of the last period of the dirty rate */
} MigXbzrleStats;

typedef struct MigCompressionStats {
    uint64_t pages;
    uint64_t busy;                      /* pages for which no thread was idle */
    uint64_t compressed_size;           /* bytes */
    double busy_rate, compression_rate; /* of the last period of the dirty rate */
} MigCompressionStats;

typedef struct MigDiskStats {
    uint64_t transferred, remaining, total; /* B, as PROGRESS counts them */
} MigDiskStats;

typedef struct MigStats {
    const char *status;
    bool has_reason;                    /* error-desc says why it was cancelled */
    const char *error_desc;             /* NULL: none; the source's */
    const char *const *blocked_reasons; /* NULL: none; else ended by NULL. Of any status */
    bool has_times;                     /* total-time and setup-time */
    int64_t total_time, setup_time;
    bool has_downtime;
    int64_t downtime; /* ms */
    bool has_expected_downtime;
    int64_t expected_downtime; /* ms */
    bool has_ram;
    MigRamStats ram;
    bool has_disk;
    MigDiskStats disk;
    bool has_xbzrle;
    MigXbzrleStats xbzrle;
    bool has_compression;
    MigCompressionStats compression;
    bool has_dirty_limit;                                                     /* in service */
    uint64_t dirty_limit_throttle_time_per_round, dirty_limit_ring_full_time; /* us */
    bool has_cpu_throttle;
    uint64_t cpu_throttle_percentage;
} MigStats;

#endif
