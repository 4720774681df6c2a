/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions are data. A behaviour of QEMU that changed is a row
 *
 *     field, axis (binary or machine type), since, until, value
 *
 * and a pair (binary, machine type) resolves once to one constant MigEra, which everybody then
 * asks; nobody compares versions. Wire details follow the machine type where QEMU keeps old ones
 * compatible, loops follow the binary. Every binary from 1.4 to 11.1 resolves. Those that were
 * checked against real binaries are named by mig_version_is_proved().
 */
#ifndef MIG_STREAM_VERSION_H
#define MIG_STREAM_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* major << 8 | minor: comparable. */
typedef uint32_t MigVersion;
#define MIG_VERSION_OF(major, minor) ((MigVersion)((major) << 8 | (minor)))
#define MIG_VERSION_MAJOR(v)         ((v) >> 8)
#define MIG_VERSION_MINOR(v)         ((v)&0xffu)
#define MIG_VERSION_OLDEST           MIG_VERSION_OF(1, 4)
#define MIG_VERSION_NEWEST           MIG_VERSION_OF(11, 1)

/* What a source counts against the quota of a window. */
typedef enum MigQuota {
    MIG_QUOTA_WRITTEN,  /* bytes that went into the socket, in the flush step of the loop */
    MIG_QUOTA_POSITION, /* bytes handed to the stream object, page by page */
    MIG_QUOTA_FLUSHED,  /* bytes that left the stream object's buffer */
} MigQuota;

/* How a turn of the loop decides between iterating and completing. */
typedef enum MigDecide {
    MIG_DECIDE_PENDING,  /* sync below the threshold; complete if 0 or strictly below */
    MIG_DECIDE_ESTIMATE, /* the same answer from an estimate and an exact query */
    MIG_DECIDE_AT_MOST,  /* complete at the threshold, too */
    MIG_DECIDE_EXACT_AT, /* AT_MOST, and exact already at the threshold or when all is postcopiable
                          */
} MigDecide;

typedef enum MigDowntimeRule {
    MIG_EXPECT_DIRTY_RATE, /* bytes that one second dirties / bandwidth */
    MIG_EXPECT_LAST_SYNC,  /* bytes that were dirty after the last sync / bandwidth */
    MIG_EXPECT_AT_QUERY,   /* computed when asked, from the last exact total */
} MigDowntimeRule;

typedef enum MigGlobalStateForm {
    MIG_GLOBALSTATE_NONE,
    MIG_GLOBALSTATE_NAME,      /* 100 bytes of name */
    MIG_GLOBALSTATE_SUSPENDED, /* 32 bytes of name, two flags */
} MigGlobalStateForm;

/* Which loop the source runs. */
typedef enum MigLoop {
    MIG_LOOP_BUFFERED, /* 1.4: the buffered-file thread */
    MIG_LOOP_THREAD,   /* the migration thread */
} MigLoop;

/* When a destination looks at the first bytes of a connection, and not at the order alone. */
typedef enum MigPeek {
    MIG_PEEK_NEVER,
    MIG_PEEK_PRECOPY, /* neither postcopy nor mapped-ram; what isn't the magic of main is multifd */
    MIG_PEEK_ALWAYS,
} MigPeek;

/*
 * X(field, what it says). All are uint32_t; flags are 0 or 1. Kept as one list so that tables,
 * tests and printing need no second one.
 */
#define MIG_ERA_FIELDS(X)                                                                         \
    /* wire */                                                                                    \
    X(configuration, "a configuration section follows the header")                                \
    X(footers, "every section body is followed by a footer")                                      \
    X(vmdesc, "a VMDESCRIPTION follows the end")                                                  \
    X(globalstate, "MigGlobalStateForm of the device globalstate")                                \
    X(globalstate_always, "globalstate is sent for a running or paused guest, too")               \
    X(commands, "highest command number known; 0: no commands")                                   \
    X(enable_colo, "command 8 may be sent")                                                       \
    X(switchover_start, "command 11 stands before the END sections")                              \
    X(ping_loaded, "a package holds PING 0x42")                                                   \
    X(advise_all_sizes, "POSTCOPY_ADVISE says the OR of all blocks' page sizes")                  \
    X(package_max, "largest package in bytes")                                                    \
    X(ram_flags, "RAM record flags that a receiver accepts")                                      \
    X(ram_flags_strict, "an unknown combination of RAM flags is fatal")                           \
    X(ram_bounds, "a page beyond its block is refused")                                           \
    X(zero_fill_any, "a zero record may fill with any byte")                                      \
    X(ram_section_id, "section id of ram on a machine with nothing before it")                    \
    X(multifd, "multifd exists")                                                                  \
    X(multifd_flush_record, "RAM_FLUSH records are multifd's sync points, not the ends")          \
    X(multifd_send_late, "a full packet waits for the page behind it; a SYNC is an empty packet") \
    X(multifd_peek, "connections are told apart by their first bytes: MigPeek")                   \
    X(multifd_zero_pages, "zero pages travel in multifd packets")                                 \
    X(xbzrle, "XBZRLE exists")                                                                    \
    X(compress, "COMPRESS_PAGE records exist")                                                    \
    X(compress_early,                                                                             \
      "compress: the main thread finds zero pages and compresses a block's first page")           \
    X(compress_part_flush, "compress: every PART ends with what the threads still have")          \
    X(compress_counts_idle, "compress: a thread without a new result counts its last one again")  \
    X(compress_stats, "query-migrate shows compression; else compressed pages are normal ones")   \
    X(block_migration, "the iterable block exists")                                               \
    X(dirty_bitmaps, "the iterable dirty-bitmap exists")                                          \
    X(postcopy, "postcopy exists")                                                                \
    X(recovery, "postcopy can be paused and recovered")                                           \
    X(preempt, "postcopy-preempt exists")                                                         \
    X(preempt_early, "the preempt channel is made in the setup and ends with EOS")                \
    X(host_page_order, "the parts of a host page must come in order in postcopy")                 \
    X(mapped_ram, "mapped-ram exists")                                                            \
    X(snapshot_counts, "a background snapshot counts a sync that it doesn't make")                \
    X(switchover_ack, "1: one SWITCHOVER_ACK; 2: one of each device, and the source counts")      \
    X(validated_capabilities, "the configuration may carry capabilities")                         \
    X(postcopy_prepare, "an empty PART stands before postcopy's switchover")                      \
    /* loop */                                                                                    \
    X(unsent_map, "postcopy: pages never sent are known apart; chunks are made whole twice")      \
    X(limit_in_pages, "the rate limit sleeps inside RAM's PART, behind a page")                   \
    X(preempt_thread, "postcopy-preempt: the return path's thread sends what was asked for")      \
    X(preempt_hint, "postcopy-preempt: the push goes on behind a page that was asked for")        \
    X(recover_setup, "a resumed migration passes the status postcopy-recover-setup")              \
    X(loop, "MigLoop")                                                                            \
    X(quota, "MigQuota")                                                                          \
    X(decide, "MigDecide")                                                                        \
    X(expect, "MigDowntimeRule")                                                                  \
    X(integer_bandwidth, "bandwidth is an integer number of bytes per ms")                        \
    X(transferred_flushed, "ram.transferred counts all bytes flushed, not what RAM made")         \
    X(colo_checked, "a destination refuses ENABLE_COLO without x-colo")                           \
    X(resize_cancels, "a RAM block that is resized cancels the migration")                        \
    X(setup_sync_event, "the sync of the setup emits MIGRATION_PASS")                             \
    X(final_sync_counts, "the final sync counts and emits MIGRATION_PASS")                        \
    X(device_state, "completion passes the status device")                                        \
    X(inactivate_first,                                                                           \
      "block devices are inactivated before the END sections, not behind the devices")            \
    X(failing_state, "a failure passes the status failing; the guest resumes before failed")      \
    X(wakes_guest, "completion wakes a suspended guest before it stops it")                       \
    X(rounds_stop, "a round of PARTs stops at the first iterable that is not finished")           \
    X(converge_strikes, "auto-converge: periods of too much dirt until a step; 0: none")          \
    X(converge_rated, "auto-converge: a period counts only when there was a rate before")         \
    X(converge_fixed, "auto-converge: the only step, in percent; 0: as the parameters say")       \
    X(converge_waits, "auto-converge: it rests in the bulk stage of block migration")             \
    X(converge_timer, "auto-converge: a timer makes a sync every 5 s")                            \
    X(avail_switchover, "avail-switchover-bandwidth exists")                                      \
    X(phase_bytes, "ram.precopy-bytes and its kin exist")                                         \
    X(pages_per_second, "ram.pages-per-second exists")                                            \
    X(lazy_clear, "the dirty log is re-armed chunk by chunk, where the hypervisor can")           \
    X(default_bandwidth_mib, "default of max-bandwidth, in MiB/s")                                \
    X(default_downtime_ms, "default of downtime-limit, in ms")

typedef struct MigEra {
    MigVersion binary;
    MigVersion machine; /* version of the machine type; the binary's where the type has none */
#define X(field, text) uint32_t field;
    MIG_ERA_FIELDS(X)
#undef X
} MigEra;

typedef enum MigAxis { MIG_AXIS_BINARY, MIG_AXIS_MACHINE } MigAxis;

typedef struct MigEraRow {
    size_t field; /* offset in MigEra */
    MigAxis axis;
    MigVersion since, until; /* since <= version < until */
    uint32_t value;
} MigEraRow;

/* All rows, in order of application (a later one wins); ended by a row whose until is 0. */
extern const MigEraRow mig_era_rows[];

/* "10.0" or "10.0.13" (a third number is not looked at). False: not that. */
bool mig_version_parse(const char *text, MigVersion *version);

/*
 * The version at the end of a machine type ("pc-i440fx-7.2", "s390-ccw-virtio-2.4"), or 0 for one
 * that has none ("none", "microvm", "pc").
 */
MigVersion mig_machine_version(const char *machine);

typedef enum MigEraFault {
    MIG_ERA_OK,
    MIG_ERA_BINARY_UNKNOWN,  /* not from 1.4 to 11.1, or no release of that number */
    MIG_ERA_MACHINE_TOO_NEW, /* the machine type is newer than the binary */
} MigEraFault;

/*
 * Resolves a pair. |machine| NULL: the binary's newest. An era is filled in on MIG_ERA_OK only.
 */
MigEraFault mig_era_resolve(MigVersion binary, const char *machine, MigEra *era);

/* True for the binaries whose real streams and runs the rows were checked against. */
bool mig_version_is_proved(MigVersion binary);

#endif
