/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migration capabilities as data: which binary knows which, by what name, what each needs and
 * excludes. One table feeds scenario checks, messages and help.
 *
 * Checked against query- and migrate-set-capabilities of real QEMU 5.2, 7.2, 10.0 and 11.1, every
 * single one and every pair; other versions are put together from texts.
 */
#ifndef MIG_SIM_ENGINE_CAPABILITIES_H
#define MIG_SIM_ENGINE_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

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

typedef struct MigCapabilityRow {
    const char *help;        /* one line */
    MigVersion since, until; /* since <= binary < until: it exists */
    const char *x_name;      /* its name before |named|, or NULL */
    MigVersion named;
} MigCapabilityRow;

extern const MigCapabilityRow mig_capability_rows[MIG_CAP_COUNT];

/* "xbzrle"; and back: MIG_CAP_COUNT for a name that is none. */
const char *mig_capability_name(MigCapability cap);
MigCapability mig_capability_find(const char *name);

/* The name that |binary| uses ("x-multifd" before 4.0), and back. */
const char *mig_capability_name_in(MigCapability cap, MigVersion binary);
MigCapability mig_capability_find_in(const char *name, MigVersion binary);

bool mig_capability_exists(MigCapability cap, MigVersion binary);

/*
 * What a host can lack; bits. Kept apart from the rules because the same binary answers
 * differently on another host.
 */
#define MIG_HOST_DIRTY_RING 1u /* KVM with dirty-ring-size */

/* What |binary| says to this set: NULL, or why it refuses; to be freed with g_free(). */
char *mig_capabilities_check(MigCapabilitySet set, MigVersion binary, unsigned host);

/* "compress was removed in 9.1; this scenario follows 10.0", or NULL if it exists; g_free(). */
char *mig_capability_absent(MigCapability cap, MigVersion binary);

#define MIG_CAPS_OF_DISKS                                            \
    (MIG_CAP_BIT(MIG_CAP_BLOCK) | MIG_CAP_BIT(MIG_CAP_ZERO_BLOCKS) | \
     MIG_CAP_BIT(MIG_CAP_DIRTY_BITMAPS))

/* In virtual time only. */
#define MIG_CAPS_OF_RDMA MIG_CAP_BIT(MIG_CAP_RDMA_PIN_ALL)

#define MIG_CAPS_OF_FILES \
    (MIG_CAP_BIT(MIG_CAP_MAPPED_RAM) | MIG_CAP_BIT(MIG_CAP_BACKGROUND_SNAPSHOT))

/* The capabilities that this engine can do already; others must be refused by name. */
#define MIG_CAPS_IMPLEMENTED                                                                  \
    (MIG_CAPS_OF_DISKS | MIG_CAPS_OF_FILES | MIG_CAPS_OF_RDMA | MIG_CAP_BIT(MIG_CAP_EVENTS) | \
     MIG_CAP_BIT(MIG_CAP_RETURN_PATH) | MIG_CAP_BIT(MIG_CAP_X_IGNORE_SHARED) |                \
     MIG_CAP_BIT(MIG_CAP_VALIDATE_UUID) | MIG_CAP_BIT(MIG_CAP_LATE_BLOCK_ACTIVATE) |          \
     MIG_CAP_BIT(MIG_CAP_PAUSE_BEFORE_SWITCHOVER) | MIG_CAP_BIT(MIG_CAP_X_COLO) |             \
     MIG_CAP_BIT(MIG_CAP_XBZRLE) | MIG_CAP_BIT(MIG_CAP_AUTO_CONVERGE) |                       \
     MIG_CAP_BIT(MIG_CAP_SWITCHOVER_ACK) | MIG_CAP_BIT(MIG_CAP_MULTIFD) |                     \
     MIG_CAP_BIT(MIG_CAP_COMPRESS) | MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) |                      \
     MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT) | MIG_CAP_BIT(MIG_CAP_POSTCOPY_BLOCKTIME) |        \
     MIG_CAP_BIT(MIG_CAP_DIRTY_LIMIT) | MIG_CAP_BIT(MIG_CAP_RELEASE_RAM))

#endif
