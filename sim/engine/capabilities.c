/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of capabilities.h. A rule is a row: with this capability on, these must be off (or one
 * must be on), in these binaries. QEMU's migrate_caps_check() (migration/options.c, 10.0) is the
 * model; its order decides only which of several reasons is given.
 */
#include "sim/engine/capabilities.h"

#include <assert.h>
#include <glib.h>
#include <string.h>

#define V       MIG_VERSION_OF
#define FOREVER UINT32_MAX

static const char *const names[] = {
#define X(symbol, name, validated) [MIG_CAP_##symbol] = name,
    MIG_CAPABILITIES(X)
#undef X
};

const MigCapabilityRow mig_capability_rows[MIG_CAP_COUNT] = {
    [MIG_CAP_XBZRLE] = { "send pages as differences from a cache of what was sent", V(1, 4),
                         FOREVER },
    [MIG_CAP_RDMA_PIN_ALL] = { "rdma: pin all memory at once", V(1, 7), FOREVER, "x-rdma-pin-all",
                               V(2, 1) },
    [MIG_CAP_AUTO_CONVERGE] = { "throttle the guest when it dirties memory too fast", V(1, 6),
                                FOREVER },
    [MIG_CAP_ZERO_BLOCKS] = { "block migration: blocks of zeros take no bytes", V(2, 0), V(11, 0) },
    [MIG_CAP_COMPRESS] = { "compress pages in threads, each for itself", V(2, 4), V(9, 1) },
    [MIG_CAP_EVENTS] = { "tell the monitor of every change of status", V(2, 4), FOREVER },
    [MIG_CAP_POSTCOPY_RAM] = { "let the destination run before its memory is complete", V(2, 5),
                               FOREVER, "x-postcopy-ram", V(2, 6) },
    [MIG_CAP_X_COLO] = { "keep the destination as a running copy", V(2, 8), FOREVER },
    [MIG_CAP_RELEASE_RAM] = { "postcopy: give memory back as soon as it was sent", V(2, 9),
                              FOREVER },
    [MIG_CAP_BLOCK] = { "copy disks, too", V(2, 10), V(9, 1) },
    [MIG_CAP_RETURN_PATH] = { "have the destination answer", V(2, 10), FOREVER },
    [MIG_CAP_PAUSE_BEFORE_SWITCHOVER] = { "wait for migrate-continue with the guest stopped",
                                          V(2, 11), FOREVER },
    [MIG_CAP_MULTIFD] = { "send pages over several channels", V(2, 11), FOREVER, "x-multifd",
                          V(4, 0) },
    [MIG_CAP_DIRTY_BITMAPS] = { "move named dirty bitmaps of disks", V(2, 12), FOREVER },
    [MIG_CAP_POSTCOPY_BLOCKTIME] = { "postcopy: measure how long vCPUs wait for pages", V(3, 0),
                                     FOREVER },
    [MIG_CAP_LATE_BLOCK_ACTIVATE] = { "activate disks only when the destination runs", V(3, 0),
                                      FOREVER },
    [MIG_CAP_X_IGNORE_SHARED] = { "leave out memory that both ends share", V(4, 0), FOREVER },
    [MIG_CAP_VALIDATE_UUID] = { "refuse another machine's UUID", V(4, 2), FOREVER },
    [MIG_CAP_BACKGROUND_SNAPSHOT] = { "save the memory of one instant while the guest runs",
                                      V(6, 0), FOREVER },
    [MIG_CAP_ZERO_COPY_SEND] = { "multifd without copying pages to the kernel", V(7, 1), FOREVER },
    [MIG_CAP_POSTCOPY_PREEMPT] = { "postcopy: requested pages have a channel of their own", V(7, 1),
                                   FOREVER },
    [MIG_CAP_SWITCHOVER_ACK] = { "stop only when the destination agrees", V(8, 1), FOREVER },
    [MIG_CAP_DIRTY_LIMIT] = { "throttle by a limit of each vCPU's dirty rate", V(8, 1), FOREVER },
    [MIG_CAP_MAPPED_RAM] = { "give every page a fixed place in the file", V(9, 0), FOREVER },
};

#define B(symbol) MIG_CAP_BIT(MIG_CAP_##symbol)

#define NOT_IN_SNAPSHOT                                                                           \
    (B(XBZRLE) | B(RDMA_PIN_ALL) | B(AUTO_CONVERGE) | B(COMPRESS) | B(POSTCOPY_RAM) | B(X_COLO) | \
     B(RELEASE_RAM) | B(RETURN_PATH) | B(PAUSE_BEFORE_SWITCHOVER) | B(MULTIFD) |                  \
     B(DIRTY_BITMAPS) | B(POSTCOPY_BLOCKTIME) | B(LATE_BLOCK_ACTIVATE) | B(VALIDATE_UUID) |       \
     B(ZERO_COPY_SEND))

typedef struct Rule {
    MigCapability cap;
    MigCapabilitySet excludes, needs; /* none of these; all of these */
    MigVersion since, until;
} Rule;

static const Rule rules[] = {
    { MIG_CAP_POSTCOPY_RAM, B(X_IGNORE_SHARED), 0, V(4, 0), FOREVER },
    { MIG_CAP_POSTCOPY_RAM, B(MULTIFD), 0, V(8, 0), V(10, 1) }, /* seen in 10.0, not in 7.2, 11.1 */
    { MIG_CAP_MULTIFD, B(COMPRESS), 0, V(7, 1), V(9, 1) },      /* seen in 7.2, not in 5.2 */
    { MIG_CAP_MULTIFD, B(XBZRLE), 0, V(8, 1), FOREVER },        /* seen in 10.0, not in 7.2 */
    { MIG_CAP_BACKGROUND_SNAPSHOT, NOT_IN_SNAPSHOT, 0, V(6, 0), FOREVER },
    { MIG_CAP_X_COLO, 0, B(RETURN_PATH), V(11, 0), FOREVER }, /* seen in 11.1, not in 10.0 */
    { MIG_CAP_ZERO_COPY_SEND, B(COMPRESS) | B(XBZRLE), B(MULTIFD), V(7, 1), FOREVER },
    { MIG_CAP_POSTCOPY_PREEMPT, 0, B(POSTCOPY_RAM), V(7, 1), FOREVER },
    { MIG_CAP_SWITCHOVER_ACK, 0, B(RETURN_PATH), V(8, 1), FOREVER },
    { MIG_CAP_DIRTY_LIMIT, B(AUTO_CONVERGE), 0, V(8, 1), FOREVER },
    { MIG_CAP_MAPPED_RAM, B(XBZRLE) | B(POSTCOPY_RAM), 0, V(9, 0), FOREVER },
};

static bool row_exists(const MigCapabilityRow *row, MigVersion binary)
{
    return row->since <= binary && binary < row->until;
}

const char *mig_capability_name(MigCapability cap)
{
    assert(cap < MIG_CAP_COUNT);
    return names[cap];
}

MigCapability mig_capability_find(const char *name)
{
    MigCapability cap = 0;
    while (cap < MIG_CAP_COUNT && strcmp(names[cap], name) != 0) {
        cap++;
    }
    return cap;
}

const char *mig_capability_name_in(MigCapability cap, MigVersion binary)
{
    const MigCapabilityRow *row = &mig_capability_rows[cap];
    return row->x_name && binary < row->named ? row->x_name : mig_capability_name(cap);
}

MigCapability mig_capability_find_in(const char *name, MigVersion binary)
{
    MigCapability cap = 0;
    while (cap < MIG_CAP_COUNT && strcmp(mig_capability_name_in(cap, binary), name) != 0) {
        cap++;
    }
    return cap;
}

bool mig_capability_exists(MigCapability cap, MigVersion binary)
{
    assert(cap < MIG_CAP_COUNT);
    return row_exists(&mig_capability_rows[cap], binary);
}

char *mig_capability_absent(MigCapability cap, MigVersion binary)
{
    const MigCapabilityRow *row = &mig_capability_rows[cap];
    if (row_exists(row, binary)) {
        return NULL;
    }
    bool early = binary < row->since;
    MigVersion edge = early ? row->since : row->until;
    return g_strdup_printf("%s %s %u.%u; this scenario follows %u.%u", mig_capability_name(cap),
                           early ? "came with" : "was removed in", MIG_VERSION_MAJOR(edge),
                           MIG_VERSION_MINOR(edge), MIG_VERSION_MAJOR(binary),
                           MIG_VERSION_MINOR(binary));
}

static MigCapability first_of(MigCapabilitySet set)
{
    return (MigCapability)__builtin_ctzll(set);
}

static char *broken_rule(const Rule *rule, MigCapabilitySet set, MigVersion binary)
{
    MigCapabilitySet clash = rule->excludes & set, missing = rule->needs & ~set;
    if (rule->since > binary || binary >= rule->until || !(set & MIG_CAP_BIT(rule->cap))) {
        return NULL;
    }
    if (clash) {
        return g_strdup_printf("%s excludes %s in QEMU %u.%u: switch one of them off",
                               mig_capability_name_in(rule->cap, binary),
                               mig_capability_name_in(first_of(clash), binary),
                               MIG_VERSION_MAJOR(binary), MIG_VERSION_MINOR(binary));
    }
    if (missing) {
        return g_strdup_printf("%s needs %s in QEMU %u.%u: switch that on, too",
                               mig_capability_name_in(rule->cap, binary),
                               mig_capability_name_in(first_of(missing), binary),
                               MIG_VERSION_MAJOR(binary), MIG_VERSION_MINOR(binary));
    }
    return NULL;
}

char *mig_capabilities_check(MigCapabilitySet set, MigVersion binary, unsigned host)
{
    for (MigCapability cap = 0; cap < MIG_CAP_COUNT; cap++) {
        char *absent = set & MIG_CAP_BIT(cap) ? mig_capability_absent(cap, binary) : NULL;
        if (absent) {
            return absent;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        char *broken = broken_rule(&rules[i], set, binary);
        if (broken) {
            return broken;
        }
    }
    if (set & B(DIRTY_LIMIT) && !(host & MIG_HOST_DIRTY_RING)) {
        return g_strdup("dirty-limit needs the dirty ring: set guest.dirty-tracking to kvm-ring");
    }
    return NULL;
}
