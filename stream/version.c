/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of version differences, and its resolution. Rows are grouped by field. Where it is not
 * known in which release between two checked ones a behaviour changed, the row says so.
 *
 * Limit: what a distribution patched into its QEMU is not here.
 */
#include "stream/version.h"

#include <string.h>

#include "stream/format.h"

#define V(major, minor) MIG_VERSION_OF(major, minor)
#define FOREVER         UINT32_MAX

#define BINARY(name, since, until, value_)                            \
    {                                                                 \
        offsetof(MigEra, name), MIG_AXIS_BINARY, since, until, value_ \
    }
#define MACHINE(name, since, until, value_)                            \
    {                                                                  \
        offsetof(MigEra, name), MIG_AXIS_MACHINE, since, until, value_ \
    }

#define FLAGS_1                                                                         \
    (MIG_RAM_FLAG_ZERO | MIG_RAM_FLAG_MEM_SIZE | MIG_RAM_FLAG_PAGE | MIG_RAM_FLAG_EOS | \
     MIG_RAM_FLAG_CONTINUE | MIG_RAM_FLAG_XBZRLE)
#define FLAGS_1_5 (FLAGS_1 | MIG_RAM_FLAG_HOOK)
#define FLAGS_2_4 (FLAGS_1_5 | MIG_RAM_FLAG_COMPRESS_PAGE)
#define FLAGS_8_1 (FLAGS_2_4 | MIG_RAM_FLAG_MULTIFD_FLUSH)
#define FLAGS_9_1 (FLAGS_1_5 | MIG_RAM_FLAG_MULTIFD_FLUSH)

const MigEraRow mig_era_rows[] = {
    /* Framing: send-configuration, send-section-footer, suppress-vmdesc, store-global-state. */
    MACHINE(configuration, V(2, 4), FOREVER, 1),
    MACHINE(footers, V(2, 4), FOREVER, 1),
    BINARY(vmdesc, V(2, 3), FOREVER, 1),
    MACHINE(vmdesc, V(2, 0), V(2, 3), 0), /* 1.x types never got the property: they do have one */
    BINARY(globalstate, V(2, 4), V(9, 0), MIG_GLOBALSTATE_NAME),
    BINARY(globalstate, V(9, 0), FOREVER, MIG_GLOBALSTATE_SUSPENDED),
    MACHINE(globalstate_always, V(2, 4), FOREVER, 1),
    BINARY(validated_capabilities, V(4, 0), FOREVER, 1),

    /* Commands. */
    BINARY(commands, V(2, 5), V(2, 12), MIG_CMD_PACKAGED),
    BINARY(commands, V(2, 12), V(10, 0), MIG_CMD_RECV_BITMAP),
    BINARY(commands, V(10, 0), FOREVER, MIG_CMD_SWITCHOVER_START),
    BINARY(colo_checked, V(8, 1), FOREVER, 1), /* 10.0 does, 7.2 doesn't */
    BINARY(enable_colo, V(3, 1), V(11, 1), 1), /* sent by 10.0, refused by 11.1; between: unknown */
    MACHINE(switchover_start, V(10, 0), FOREVER, 1),
    BINARY(ping_loaded, V(10, 2), FOREVER, 1),
    BINARY(advise_all_sizes, V(2, 9), FOREVER, 1),
    BINARY(package_max, V(2, 5), V(2, 9), 1u << 24), /* the end of the 16 MiB limit is from text */
    BINARY(package_max, V(2, 9), FOREVER, UINT32_MAX),

    /* RAM records. */
    BINARY(ram_flags, V(1, 4), V(1, 5), FLAGS_1),
    BINARY(ram_flags, V(1, 5), V(2, 4), FLAGS_1_5),
    BINARY(ram_flags, V(2, 4), V(8, 1), FLAGS_2_4),
    BINARY(ram_flags, V(8, 1), V(9, 1), FLAGS_8_1),
    BINARY(ram_flags, V(9, 1), FOREVER, FLAGS_9_1),
    BINARY(ram_flags_strict, V(2, 5), FOREVER, 1), /* 2.5: unknown, taken as 4.x */
    BINARY(ram_bounds, V(2, 5), FOREVER, 1),
    BINARY(zero_fill_any, V(1, 4), V(9, 0), 1), /* 7.2 fills, 10.0 refuses; 8.2 or 9.0 changed it */
    BINARY(ram_section_id, V(1, 4), V(9, 1), 2),
    BINARY(ram_section_id, V(9, 1), FOREVER, 1), /* block migration was registered before it */

    /* What exists. */
    BINARY(multifd, V(4, 0), FOREVER, 1),
    MACHINE(multifd_flush_record, V(8, 1), FOREVER, 1), /* multifd-flush-after-each-section */
    BINARY(multifd_send_late, V(9, 0), FOREVER, 1),     /* 7.2 does not, 10.0 does */
    BINARY(multifd_peek, V(8, 0), V(10, 1), MIG_PEEK_PRECOPY),
    BINARY(multifd_peek, V(10, 1), FOREVER, MIG_PEEK_ALWAYS),
    MACHINE(multifd_zero_pages, V(9, 0), FOREVER, 1), /* zero-page-detection=legacy to 8.2 */
    BINARY(xbzrle, V(1, 4), FOREVER, 1),
    BINARY(compress, V(2, 4), V(9, 1), 1),
    BINARY(compress_early, V(2, 4), V(3, 1), 1),      /* from text */
    BINARY(compress_part_flush, V(2, 4), V(3, 1), 1), /* from text; 5.2 and 7.2 don't */
    BINARY(compress_counts_idle, V(3, 1), V(8, 1),
           1), /* seen in 5.2 and 7.2; its end is from text */
    BINARY(compress_stats, V(3, 1), V(9, 1), 1),
    BINARY(block_migration, V(1, 4), V(9, 1), 1),
    BINARY(dirty_bitmaps, V(2, 12), FOREVER, 1),
    BINARY(postcopy, V(2, 5), FOREVER, 1),
    BINARY(recovery, V(2, 12), FOREVER, 1),
    BINARY(preempt, V(7, 1), FOREVER, 1),
    BINARY(preempt_early, V(7, 1), FOREVER, 1),
    MACHINE(preempt_early, V(8, 0), FOREVER, 0), /* x-preempt-pre-7-2 is on for the others */
    BINARY(host_page_order, V(2, 5), V(5, 2), 1),
    BINARY(postcopy_prepare, V(10, 2), FOREVER, 1), /* 10.0 has none, 11.1 has it */
    BINARY(mapped_ram, V(9, 0), FOREVER, 1),
    BINARY(snapshot_counts, V(11, 0), FOREVER, 1), /* 11.1 does, 10.0 does not */
    BINARY(switchover_ack, V(8, 1), FOREVER, 1),
    MACHINE(switchover_ack, V(11, 1), FOREVER, 2), /* x-switchover-ack-legacy is off */

    /* Loop. */
    BINARY(loop, V(1, 4), V(1, 6), MIG_LOOP_BUFFERED), /* 2.5 has the thread; the release between
                                                          that changed it is from text */
    BINARY(loop, V(1, 6), FOREVER, MIG_LOOP_THREAD),
    BINARY(quota, V(1, 4), V(1, 6), MIG_QUOTA_WRITTEN),
    BINARY(quota, V(1, 6), V(8, 1), MIG_QUOTA_POSITION),
    BINARY(quota, V(8, 1), FOREVER, MIG_QUOTA_FLUSHED),
    BINARY(decide, V(1, 4), V(8, 0), MIG_DECIDE_PENDING),
    BINARY(decide, V(8, 0), V(10, 2), MIG_DECIDE_ESTIMATE),
    BINARY(decide, V(10, 2), V(11, 0), MIG_DECIDE_AT_MOST),
    BINARY(decide, V(11, 0), FOREVER, MIG_DECIDE_EXACT_AT), /* seen in 11.1 */
    BINARY(expect, V(1, 4), V(3, 0), MIG_EXPECT_DIRTY_RATE),
    BINARY(expect, V(3, 0), V(11, 0), MIG_EXPECT_LAST_SYNC),
    BINARY(expect, V(11, 0), FOREVER, MIG_EXPECT_AT_QUERY),
    BINARY(integer_bandwidth, V(1, 4), V(2, 5), 1),
    BINARY(transferred_flushed, V(8, 1), FOREVER, 1), /* 7.2 counts RAM, 10.0 flushes */
    BINARY(resize_cancels, V(6, 0), FOREVER, 1),      /* from text */
    BINARY(setup_sync_event, V(2, 5), V(11, 0), 1),
    BINARY(final_sync_counts, V(1, 4), V(11, 0), 1),
    BINARY(device_state, V(9, 0), FOREVER, 1),      /* 7.2 skips it, 10.0 passes it */
    BINARY(inactivate_first, V(10, 0), FOREVER, 1), /* 7.2 does it last; between: unknown */
    BINARY(failing_state, V(11, 0), FOREVER, 1),
    BINARY(rounds_stop, V(1, 4), V(8, 0), 1),
    BINARY(wakes_guest, V(1, 4), V(9, 0), 1), /* 7.2's source does, 10.0's doesn't */
    BINARY(unsent_map, V(2, 5), V(4, 2), 1),  /* from text */
    BINARY(limit_in_pages, V(5, 0), V(6, 0),
           1), /* 5.2 does, 7.2 does not; the bounds are from text */
    BINARY(preempt_thread, V(8, 0), FOREVER, 1),
    BINARY(preempt_hint, V(10, 2), FOREVER, 1), /* 11.1's effect was seen, 10.0's lack of it, too */
    BINARY(recover_setup, V(9, 1), FOREVER, 1),
    BINARY(converge_strikes, V(1, 6), V(2, 5), 6), /* from text */
    BINARY(converge_fixed, V(1, 6), V(2, 5), 75),
    BINARY(converge_strikes, V(2, 5), V(3, 0), 3),
    BINARY(converge_rated, V(2, 5), V(3, 0), 1),
    BINARY(converge_strikes, V(3, 0), FOREVER, 2),
    BINARY(converge_waits, V(2, 11), V(9, 1), 1), /* 5.2 and 7.2 by their sources */
    BINARY(converge_timer, V(10, 0), FOREVER, 1), /* 7.2 has none; between: unknown */
    BINARY(avail_switchover, V(8, 2), FOREVER, 1),
    BINARY(phase_bytes, V(7, 0), FOREVER, 1),
    BINARY(pages_per_second, V(2, 12), FOREVER, 1),
    BINARY(lazy_clear, V(4, 2), FOREVER, 1),
    BINARY(default_bandwidth_mib, V(1, 4), V(3, 0), 32),
    BINARY(default_bandwidth_mib, V(3, 0), FOREVER, 128),
    BINARY(default_downtime_ms, V(1, 4), V(2, 5), 30),
    BINARY(default_downtime_ms, V(2, 5), FOREVER, 300),
    { 0, MIG_AXIS_BINARY, 0, 0, 0 },
};

/* The last minor number of each major one. */
static const uint8_t last_minor[] = { [1] = 7, 12, 1, 2, 2, 2, 2, 2, 2, 2, 1 };

static bool exists(MigVersion v)
{
    uint32_t major = MIG_VERSION_MAJOR(v);
    return v >= MIG_VERSION_OLDEST && v <= MIG_VERSION_NEWEST && major < sizeof(last_minor) &&
           MIG_VERSION_MINOR(v) <= last_minor[major];
}

/* Reads up to three digits; NULL when there are none. */
static const char *number(const char *s, uint32_t *n)
{
    const char *begin = s;
    for (*n = 0; *s >= '0' && *s <= '9' && s - begin < 3; s++) {
        *n = *n * 10 + (uint32_t)(*s - '0');
    }
    return s == begin ? NULL : s;
}

bool mig_version_parse(const char *text, MigVersion *version)
{
    uint32_t major, minor, micro;
    const char *s = number(text, &major);
    if (!s || *s++ != '.' || !(s = number(s, &minor)) || major > 255 || minor > 255) {
        return false;
    }
    if (*s == '.' && !(s = number(s + 1, &micro))) {
        return false;
    }
    if (*s) {
        return false;
    }
    *version = MIG_VERSION_OF(major, minor);
    return true;
}

MigVersion mig_machine_version(const char *machine)
{
    const char *dash = machine ? strrchr(machine, '-') : NULL;
    MigVersion v;
    return dash && mig_version_parse(dash + 1, &v) ? v : 0;
}

MigEraFault mig_era_resolve(MigVersion binary, const char *machine, MigEra *era)
{
    MigVersion type = mig_machine_version(machine);
    if (!exists(binary)) {
        return MIG_ERA_BINARY_UNKNOWN;
    }
    if (type > binary) {
        return MIG_ERA_MACHINE_TOO_NEW;
    }
    MigEra e = { .binary = binary, .machine = type ? type : binary };
    for (const MigEraRow *row = mig_era_rows; row->until; row++) {
        MigVersion v = row->axis == MIG_AXIS_BINARY ? e.binary : e.machine;
        if (row->since <= v && v < row->until) {
            memcpy((char *)&e + row->field, &row->value, sizeof(row->value));
        }
    }
    *era = e;
    return MIG_ERA_OK;
}

bool mig_version_is_proved(MigVersion binary)
{
    static const MigVersion proved[] = { V(5, 2), V(7, 2), V(10, 0), V(11, 1) };
    for (size_t i = 0; i < sizeof(proved) / sizeof(*proved); i++) {
        if (proved[i] == binary) {
            return true;
        }
    }
    return false;
}
