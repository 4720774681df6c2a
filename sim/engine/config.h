/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine is told when it is made: era, machine, memory, capabilities and parameters, with
 * QEMU's names for them.
 */
#ifndef MIG_SIM_ENGINE_CONFIG_H
#define MIG_SIM_ENGINE_CONFIG_H

#include "sim/engine/devices.h"
#include "sim/engine/memory.h"
#include "stream/decoder.h"
#include "stream/version.h"

/* X(symbol, QAPI name, may stand in the configuration section) */
#define MIG_CAPABILITIES(X)                                  \
    X(XBZRLE, "xbzrle", 0)                                   \
    X(RDMA_PIN_ALL, "rdma-pin-all", 0)                       \
    X(AUTO_CONVERGE, "auto-converge", 0)                     \
    X(ZERO_BLOCKS, "zero-blocks", 0)                         \
    X(COMPRESS, "compress", 0)                               \
    X(EVENTS, "events", 0)                                   \
    X(POSTCOPY_RAM, "postcopy-ram", 0)                       \
    X(X_COLO, "x-colo", 0)                                   \
    X(RELEASE_RAM, "release-ram", 0)                         \
    X(BLOCK, "block", 0)                                     \
    X(RETURN_PATH, "return-path", 0)                         \
    X(PAUSE_BEFORE_SWITCHOVER, "pause-before-switchover", 0) \
    X(MULTIFD, "multifd", 0)                                 \
    X(DIRTY_BITMAPS, "dirty-bitmaps", 0)                     \
    X(POSTCOPY_BLOCKTIME, "postcopy-blocktime", 0)           \
    X(LATE_BLOCK_ACTIVATE, "late-block-activate", 0)         \
    X(X_IGNORE_SHARED, "x-ignore-shared", 1)                 \
    X(VALIDATE_UUID, "validate-uuid", 0)                     \
    X(BACKGROUND_SNAPSHOT, "background-snapshot", 0)         \
    X(ZERO_COPY_SEND, "zero-copy-send", 0)                   \
    X(POSTCOPY_PREEMPT, "postcopy-preempt", 0)               \
    X(SWITCHOVER_ACK, "switchover-ack", 0)                   \
    X(DIRTY_LIMIT, "dirty-limit", 0)                         \
    X(MAPPED_RAM, "mapped-ram", 1)

typedef enum MigCapability {
#define X(symbol, name, validated) MIG_CAP_##symbol,
    MIG_CAPABILITIES(X)
#undef X
        MIG_CAP_COUNT
} MigCapability;

/* A set of capabilities: bit MIG_CAP_x. */
typedef uint64_t MigCapabilitySet;
#define MIG_CAP_BIT(cap) (1ull << (cap))

/* "xbzrle"; and back: MIG_CAP_COUNT for a name that is none. */
const char *mig_capability_name(MigCapability cap);
MigCapability mig_capability_find(const char *name);

/* The capabilities that this engine can do already; others must be refused by name. */
#define MIG_CAPS_IMPLEMENTED                                                     \
    (MIG_CAP_BIT(MIG_CAP_EVENTS) | MIG_CAP_BIT(MIG_CAP_RETURN_PATH) |            \
     MIG_CAP_BIT(MIG_CAP_X_IGNORE_SHARED) | MIG_CAP_BIT(MIG_CAP_VALIDATE_UUID) | \
     MIG_CAP_BIT(MIG_CAP_LATE_BLOCK_ACTIVATE))

typedef struct MigParameters {
    uint64_t max_bandwidth;              /* B/s, 0: no limit */
    uint64_t downtime_limit;             /* ms */
    uint64_t max_postcopy_bandwidth;     /* B/s, 0: no limit */
    uint64_t avail_switchover_bandwidth; /* B/s, 0: measure */
} MigParameters;

/* The era's defaults. */
MigParameters mig_parameters_default(const MigEra *era);

typedef struct MigSourceConfig {
    MigEra era;
    const char *machine; /* as it stands in the configuration section */
    MigMemory *memory;
    MigCapabilitySet capabilities;
    MigParameters parameters;
    uint8_t uuid[16]; /* sent with validate-uuid when has_uuid */
    bool has_uuid;
    bool guest_running;         /* its vCPUs run when the migration starts */
    uint64_t clear_chunk_pages; /* lazy clearing of the dirty log (KVM, manual protect): pages a
                                   chunk, a multiple of 64 (QEMU: 2^18); 0: none */
    unsigned max_run;           /* pages in one MIG_OP_SEND_PAGES, 1 .. 64; 0: 64 */
} MigSourceConfig;

typedef struct MigDestConfig {
    MigEra era;
    const char *machine;
    MigMemory *memory;
    MigCapabilitySet capabilities;
    uint8_t uuid[16];
    bool has_uuid;
    /*
     * The length of device (idstr, instance)'s section, MIG_BODY_SIZE_UNKNOWN if it has no such
     * device: a machine knows its own devices, and without footers nothing else tells. May be NULL.
     */
    uint64_t (*body_size)(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal);
    void *opaque;
} MigDestConfig;

#endif
