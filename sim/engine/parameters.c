/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of parameters.h. Mirrors migrate_params_check() and the defaults of
 * migration_properties[] (migration/options.c, 10.0).
 *
 * Limits: TLS, CPR modes, bitmap mappings and their kin are named, so that they can be refused.
 */
#include "sim/engine/parameters.h"

#include <glib.h>
#include <string.h>

#define V       MIG_VERSION_OF
#define FOREVER UINT32_MAX
#define AT(f)   offsetof(MigParameters, f)

static const char *const compressions[] = { "none", "zlib", "zstd", "qatzip", "qpl", "uadk", NULL };
static const char *const detections[] = { "none", "legacy", "multifd", NULL };
static const char *const modes[] = { "normal", "cpr-reboot", "cpr-transfer", "cpr-exec", NULL };

#define NUMBER(name, field, min, max, value, since, until, done, help)                           \
    {                                                                                            \
        name, MIG_PARAMETER_NUMBER, AT(field), min, max, value, false, since, until, NULL, help, \
            done                                                                                 \
    }
#define SIZE(name, field, min, max, value, power, since, until, done, help)                    \
    {                                                                                          \
        name, MIG_PARAMETER_SIZE, AT(field), min, max, value, power, since, until, NULL, help, \
            done                                                                               \
    }
#define RATE(name, field, since, help)                                                            \
    {                                                                                             \
        name, MIG_PARAMETER_RATE, AT(field), 0, UINT64_MAX, 0, false, since, FOREVER, NULL, help, \
            true                                                                                  \
    }
#define TIME(name, field, min, max, value, since, until, done, help)                           \
    {                                                                                          \
        name, MIG_PARAMETER_TIME, AT(field), min, max, value, false, since, until, NULL, help, \
            done                                                                               \
    }
#define FLAG(name, field, value, since, until, done, help)                                      \
    {                                                                                           \
        name, MIG_PARAMETER_FLAG, AT(field), 0, 1, value, false, since, until, NULL, help, done \
    }
#define CHOICE(name, field, list, value, since, until, done, help)                             \
    {                                                                                          \
        name, MIG_PARAMETER_CHOICE, AT(field), 0, G_N_ELEMENTS(list) - 2, value, false, since, \
            until, list, help, done                                                            \
    }
#define TEXT(name, since, until, help)                                                      \
    {                                                                                       \
        name, MIG_PARAMETER_TEXT, SIZE_MAX, 0, 0, 0, false, since, until, NULL, help, false \
    }

const MigParameterRow mig_parameter_rows[] = {
    RATE("max-bandwidth", max_bandwidth, V(1, 4), "B/s; 0: no limit"),
    TIME("downtime-limit", downtime_limit, 0, 2000000, 0, V(1, 4), FOREVER, true, "ms"),
    RATE("max-postcopy-bandwidth", max_postcopy_bandwidth, V(3, 0), "B/s in postcopy; 0: no limit"),
    RATE("avail-switchover-bandwidth", avail_switchover_bandwidth, V(8, 2),
         "B/s at the switchover; 0: as measured"),
    SIZE("xbzrle-cache-size", xbzrle_cache_size, 4096, UINT64_MAX, 64u << 20, true, V(1, 4),
         FOREVER, true, "bytes, a power of two"),
    NUMBER("throttle-trigger-threshold", throttle_trigger_threshold, 1, 100, 50, V(5, 0), FOREVER,
           true, "percent of the bytes sent that may turn dirty"),
    NUMBER("cpu-throttle-initial", cpu_throttle_initial, 1, 99, 20, V(2, 5), FOREVER, true,
           "percent"),
    NUMBER("cpu-throttle-increment", cpu_throttle_increment, 1, 99, 10, V(2, 5), FOREVER, true,
           "percent"),
    NUMBER("max-cpu-throttle", max_cpu_throttle, 1, 99, 99, V(3, 1), FOREVER, true, "percent"),
    FLAG("cpu-throttle-tailslow", cpu_throttle_tailslow, 0, V(5, 1), FOREVER, true,
         "smaller steps near the end"),
    NUMBER("multifd-channels", multifd_channels, 1, 255, 2, V(2, 11), FOREVER, true,
           "channels beside the main one"),
    CHOICE("multifd-compression", multifd_compression, compressions, 0, V(5, 0), FOREVER, true,
           "of pages on multifd channels"),
    NUMBER("multifd-zlib-level", multifd_zlib_level, 0, 9, 1, V(5, 0), FOREVER, true, "0 .. 9"),
    NUMBER("multifd-zstd-level", multifd_zstd_level, 0, 20, 1, V(5, 0), FOREVER, true, "0 .. 20"),
    NUMBER("multifd-qatzip-level", multifd_qatzip_level, 1, 9, 1, V(9, 2), FOREVER, false,
           "1 .. 9"),
    CHOICE("zero-page-detection", zero_page_detection, detections, MIG_ZERO_MULTIFD, V(9, 0),
           FOREVER, true, "who looks for zero pages"),
    NUMBER("compress-level", compress_level, 0, 9, 1, V(2, 4), V(9, 1), true, "0 .. 9"),
    NUMBER("compress-threads", compress_threads, 1, 255, 8, V(2, 4), V(9, 1), true, "threads"),
    FLAG("compress-wait-thread", compress_wait_thread, 1, V(3, 1), V(9, 1), true,
         "wait for a thread instead of sending the page as it is"),
    NUMBER("decompress-threads", decompress_threads, 1, 255, 2, V(2, 4), V(9, 1), true, "threads"),
    TIME("announce-initial", announce_initial, 0, 100000, 50, V(4, 0), FOREVER, false, "ms"),
    TIME("announce-max", announce_max, 0, 100000, 550, V(4, 0), FOREVER, false, "ms"),
    NUMBER("announce-rounds", announce_rounds, 0, 1000, 5, V(4, 0), FOREVER, false, "packets"),
    TIME("announce-step", announce_step, 1, 10000, 100, V(4, 0), FOREVER, false, "ms"),
    TIME("x-checkpoint-delay", x_checkpoint_delay, 0, UINT32_MAX, 20000, V(2, 8), FOREVER, false,
         "ms between COLO checkpoints"),
    NUMBER("vcpu-dirty-limit", vcpu_dirty_limit, 1, UINT64_MAX, 1, V(8, 1), FOREVER, true,
           "MB/s that a vCPU may dirty"),
    TIME("x-vcpu-dirty-limit-period", x_vcpu_dirty_limit_period, 1, 1000, 1000, V(8, 1), FOREVER,
         true, "ms between two looks at each vCPU's rate"),
    CHOICE("mode", mode, modes, 0, V(8, 2), FOREVER, false, "normal, or a CPR mode"),
    FLAG("direct-io", direct_io, 0, V(9, 1), FOREVER, true, "files past the page cache"),
    FLAG("block-incremental", block_incremental, 0, V(2, 10), V(9, 1), true,
         "block migration of the top image alone"),
    SIZE("x-rdma-chunk-size", x_rdma_chunk_size, 1, UINT64_MAX, 1u << 20, true, V(11, 0), FOREVER,
         true, "bytes"),
    TEXT("tls-creds", V(2, 7), FOREVER, "TLS is not supported"),
    TEXT("tls-hostname", V(2, 7), FOREVER, "TLS is not supported"),
    TEXT("tls-authz", V(4, 0), FOREVER, "TLS is not supported"),
    TEXT("block-bitmap-mapping", V(5, 2), FOREVER, "names of bitmaps at the destination"),
    TEXT("cpr-exec-command", V(10, 2), FOREVER, "of the new QEMU"),
    { NULL },
};

const MigParameterRow *mig_parameter_find(const char *name)
{
    for (const MigParameterRow *row = mig_parameter_rows; row->name; row++) {
        if (strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

bool mig_parameter_exists(const MigParameterRow *row, MigVersion binary)
{
    return row->since <= binary && binary < row->until;
}

char *mig_parameter_absent(const MigParameterRow *row, MigVersion binary)
{
    if (mig_parameter_exists(row, binary)) {
        return NULL;
    }
    bool early = binary < row->since;
    MigVersion edge = early ? row->since : row->until;
    return g_strdup_printf("%s %s %u.%u; this scenario follows %u.%u", row->name,
                           early ? "came with" : "was removed in", MIG_VERSION_MAJOR(edge),
                           MIG_VERSION_MINOR(edge), MIG_VERSION_MAJOR(binary),
                           MIG_VERSION_MINOR(binary));
}

char *mig_parameter_refuse(const MigParameterRow *row, uint64_t value)
{
    if (value < row->min || value > row->max) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " is not from %" G_GUINT64_FORMAT
                               " to %" G_GUINT64_FORMAT,
                               value, row->min, row->max);
    }
    if (row->power_of_two && (value & (value - 1))) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " is not a power of two", value);
    }
    return NULL;
}

char *mig_parameters_check(const MigParameters *p)
{
    if (p->max_cpu_throttle < p->cpu_throttle_initial) {
        return g_strdup_printf("max-cpu-throttle (%u) is below cpu-throttle-initial (%u)",
                               (unsigned)p->max_cpu_throttle, (unsigned)p->cpu_throttle_initial);
    }
    return NULL;
}

MigParameters mig_parameters_default(const MigEra *era)
{
    MigParameters p = { 0 };
    for (const MigParameterRow *row = mig_parameter_rows; row->name; row++) {
        if (row->kind != MIG_PARAMETER_TEXT) {
            *mig_parameter_slot(&p, row) = row->value;
        }
    }
    p.max_bandwidth = (uint64_t)era->default_bandwidth_mib << 20;
    p.downtime_limit = era->default_downtime_ms;
    p.zero_page_detection = era->multifd_zero_pages ? MIG_ZERO_MULTIFD : MIG_ZERO_LEGACY;
    return p;
}
