/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migration parameters as data: name, kind, range, default, binaries that have it. One table feeds
 * scenario checks, messages and help. Every value is a uint64_t: a flag is 0 or 1, a choice the
 * place in its list.
 *
 * Ranges were checked against real QEMU 7.2, 10.0 and 11.1. (5.2 cuts some numbers to eight bits
 * before it looks at them; that is not copied.)
 */
#ifndef MIG_SIM_ENGINE_PARAMETERS_H
#define MIG_SIM_ENGINE_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/version.h"

typedef enum MigMultifdCompression {
    MIG_MULTIFD_COMPRESSION_NONE,
    MIG_MULTIFD_COMPRESSION_ZLIB,
    MIG_MULTIFD_COMPRESSION_ZSTD,
    MIG_MULTIFD_COMPRESSION_QATZIP,
    MIG_MULTIFD_COMPRESSION_QPL,
    MIG_MULTIFD_COMPRESSION_UADK,
} MigMultifdCompression;

typedef enum MigZeroDetection {
    MIG_ZERO_NONE,    /* every page is normal */
    MIG_ZERO_LEGACY,  /* the migration thread looks; zero pages go out on the main channel */
    MIG_ZERO_MULTIFD, /* the channels' threads look */
} MigZeroDetection;

typedef struct MigParameters {
    uint64_t max_bandwidth;              /* B/s, 0: no limit */
    uint64_t downtime_limit;             /* ms */
    uint64_t max_postcopy_bandwidth;     /* B/s, 0: no limit */
    uint64_t avail_switchover_bandwidth; /* B/s, 0: measure */
    uint64_t xbzrle_cache_size;          /* bytes, 0: no XBZRLE */
    uint64_t throttle_trigger_threshold; /* percent */
    uint64_t cpu_throttle_initial, cpu_throttle_increment, max_cpu_throttle; /* percent */
    uint64_t cpu_throttle_tailslow;                                          /* flag */
    uint64_t multifd_channels;                                               /* 1 .. 255 */
    uint64_t multifd_compression;                                            /* the enum above */
    uint64_t multifd_zlib_level, multifd_zstd_level, multifd_qatzip_level;
    uint64_t zero_page_detection; /* MigZeroDetection */
    uint64_t compress_level, compress_threads, compress_wait_thread, decompress_threads;
    uint64_t announce_initial, announce_max, announce_rounds, announce_step; /* ms, rounds */
    uint64_t x_checkpoint_delay;                                             /* ms */
    uint64_t vcpu_dirty_limit;                                               /* MB/s */
    uint64_t x_vcpu_dirty_limit_period;                                      /* ms */
    uint64_t mode, direct_io, block_incremental, x_rdma_chunk_size;
} MigParameters;

typedef enum MigParameterKind {
    MIG_PARAMETER_NUMBER,
    MIG_PARAMETER_SIZE, /* a number that may have a unit */
    MIG_PARAMETER_RATE, /* bytes per second, likewise */
    MIG_PARAMETER_TIME, /* of milliseconds, and may have another unit */
    MIG_PARAMETER_FLAG,
    MIG_PARAMETER_CHOICE,
    MIG_PARAMETER_TEXT, /* or a list: nothing that the engine keeps */
} MigParameterKind;

typedef struct MigParameterRow {
    const char *name;
    MigParameterKind kind;
    size_t offset;            /* in MigParameters; not of TEXT */
    uint64_t min, max, value; /* value: the default */
    bool power_of_two;
    MigVersion since, until;
    const char *const *choices; /* CHOICE: ended by NULL */
    const char *help;
    bool done; /* the engine acts on it */
} MigParameterRow;

/* Ended by a row whose name is NULL. At most 64. */
extern const MigParameterRow mig_parameter_rows[];

/* The row of |name|, or NULL. */
const MigParameterRow *mig_parameter_find(const char *name);

bool mig_parameter_exists(const MigParameterRow *row, MigVersion binary);

/* "zero-page-detection came with 9.0; this scenario follows 7.2", or NULL; g_free(). */
char *mig_parameter_absent(const MigParameterRow *row, MigVersion binary);

/* Why |value| won't do for this one parameter, or NULL; g_free(). */
char *mig_parameter_refuse(const MigParameterRow *row, uint64_t value);

/* Why these values won't do together, or NULL; g_free(). */
char *mig_parameters_check(const MigParameters *p);

static inline uint64_t *mig_parameter_slot(MigParameters *p, const MigParameterRow *row)
{
    return (uint64_t *)(void *)((char *)p + row->offset);
}

/* The era's defaults. */
MigParameters mig_parameters_default(const MigEra *era);

#endif
