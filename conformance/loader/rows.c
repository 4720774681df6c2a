/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What loaders know and how they react, by version. Checked on 5.2, 7.2, 10.0 and 11.1 (docs/
 * cross-version.md, docs/peer-errata.md); where it is not known in which release between two of
 * them something changed, the row takes the first one that was seen to have it.
 */
#include <string.h>

#include "conformance/loader/loader.h"

#define V(major, minor) MIG_VERSION_OF(major, minor)
#define EVER            0, 0

static bool covers(MigVersion version, MigVersion since, MigVersion until)
{
    return version >= since && (until == 0 || version < until);
}

/* ---- broken rules ---- */

#define REJECTS(rule, reason)                             \
    {                                                     \
        rule, EVER, MIG_LOAD_REJECTS, MIG_REASON_##reason \
    }

const MigLoadReaction mig_loader_reactions[] = {
    /* framing */
    REJECTS("HEADER-MAGIC-QEVM", HEADER),
    REJECTS("HEADER-VERSION-CURRENT", HEADER),
    REJECTS("CONFIG-SECTION-PRESENT", CONFIGURATION),
    REJECTS("CONFIG-SECTION-ONCE", ITEM),
    { "CONFIG-NAME-LENGTH", 0, V(11, 1), MIG_LOAD_CRASHES, MIG_REASON_CONFIGURATION },
    REJECTS("CONFIG-NAME-LENGTH", CONFIGURATION),
    REJECTS("CONFIG-SUBSECTION-KNOWN", CONFIGURATION),
    REJECTS("CONFIG-SUBSECTION-VERSION", CONFIGURATION),
    REJECTS("CONFIG-CAPABILITIES-COUNT", CONFIGURATION),
    REJECTS("CONFIG-CAPABILITY-KNOWN", CONFIGURATION),
    REJECTS("CONFIG-PAGEBITS-RANGE", CONFIGURATION),
    REJECTS("STREAM-ITEM-TYPE", ITEM),
    REJECTS("STREAM-END-PRESENT", END),
    REJECTS("SECTION-IDSTR-PRESENT", SECTION),
    REJECTS("SECTION-ID-STARTED", SECTION),
    REJECTS("SECTION-FOOTER-PRESENT", FOOTER),
    REJECTS("SECTION-FOOTER-ID", FOOTER),
    REJECTS("SECTION-BODY-LENGTH", FOOTER),
    REJECTS("SECTION-ITERABLE-RECORD", DEVICE),
    REJECTS("SECTION-RAM-INSTANCE", SECTION),
    /* commands */
    REJECTS("COMMAND-NUMBER-KNOWN", COMMAND),
    REJECTS("COMMAND-LENGTH-FIXED", COMMAND),
    REJECTS("COMMAND-PAYLOAD-VALID", POSTCOPY),
    REJECTS("COMMAND-PACKAGE-WHOLE", END),
    REJECTS("COMMAND-PACKAGE-NESTED", COMMAND),
    { "COMMAND-RETURN-ONCE", EVER, MIG_LOAD_COMPLAINS, MIG_REASON_COMMAND },
    REJECTS("COMMAND-PING-RETURN", COMMAND),
    { "COMMAND-RECOVERY-ONLY", 0, V(11, 1), MIG_LOAD_COMPLAINS, MIG_REASON_POSTCOPY },
    REJECTS("POSTCOPY-ADVISE-ONCE", POSTCOPY),
    REJECTS("POSTCOPY-ADVISE-SIZES", POSTCOPY),
    REJECTS("POSTCOPY-COMMAND-ORDER", POSTCOPY),
    /* RAM */
    REJECTS("RAM-SECTION-VERSION", VERSION),
    REJECTS("RAM-RECORD-FLAGS", FLAGS),
    REJECTS("RAM-BODY-EOS", DESYNC),
    REJECTS("RAM-LIST-TOTAL", DESYNC),
    REJECTS("RAM-BLOCK-LENGTH", SIZE),
    REJECTS("RAM-BLOCK-ALIGNED", SIZE),
    REJECTS("RAM-CONTINUE-BLOCK", BLOCK),
    REJECTS("RAM-BLOCK-KNOWN", BLOCK),
    REJECTS("RAM-OFFSET-BOUNDED", OFFSET),
    REJECTS("RAM-XBZRLE-HEADER", XBZRLE),
    REJECTS("RAM-XBZRLE-DELTA", XBZRLE),
    REJECTS("RAM-COMPRESS-LENGTH", COMPRESS),
    REJECTS("RAM-COMPRESS-INFLATE", COMPRESS),
    REJECTS("RAM-POSTCOPY-RECORDS", FLAGS),
    REJECTS("RAM-MAPPED-HEADER", MAPPED),
    REJECTS("MAPPED-RECORDS-NONE", FLAGS),
    /* multifd */
    REJECTS("MULTIFD-MAGIC-VALID", MULTIFD),
    { "MULTIFD-INIT-ID", 0, V(11, 1), MIG_LOAD_CRASHES, MIG_REASON_MULTIFD },
    REJECTS("MULTIFD-INIT-ID", MULTIFD),
    REJECTS("MULTIFD-INIT-UUID", MULTIFD),
    REJECTS("MULTIFD-PACKET-COUNTS", MULTIFD),
    REJECTS("MULTIFD-NAME-TERMINATED", MULTIFD),
    REJECTS("MULTIFD-BLOCK-KNOWN", MULTIFD),
    REJECTS("MULTIFD-OFFSET-BOUNDED", MULTIFD),
    REJECTS("MULTIFD-METHOD-STEADY", MULTIFD),
    REJECTS("MULTIFD-PAYLOAD-INFLATE", MULTIFD),
    REJECTS("MULTIFD-DEVICE-FLAGS", MULTIFD),
    REJECTS("MULTIFD-DEVICE-SIZE", MULTIFD),
    { "MULTIFD-SYNC-FIRST", V(10, 0), 0, MIG_LOAD_CRASHES, MIG_REASON_MULTIFD },
    { "MULTIFD-SYNC-ENOUGH", EVER, MIG_LOAD_HANGS, MIG_REASON_MULTIFD },
    /* postcopy */
    REJECTS("POSTCOPY-DISCARD-BLOCK", POSTCOPY),
    REJECTS("POSTCOPY-DISCARD-BOUNDED", POSTCOPY),
    REJECTS("POSTCOPY-DISCARD-ALIGNED", POSTCOPY),
    REJECTS("POSTCOPY-PACKAGE-RUN", END),
    REJECTS("POSTCOPY-MARKS-NONE", FLAGS),
    REJECTS("POSTCOPY-HOST-PAGE", POSTCOPY),
    REJECTS("POSTCOPY-PAGE-ONCE", POSTCOPY),
    REJECTS("POSTCOPY-PAGE-DISCARDED", POSTCOPY),
    REJECTS("POSTCOPY-PREEMPT-RECORDS", FLAGS),
    REJECTS("POSTCOPY-RECOVERY-BITMAPS", POSTCOPY),
    REJECTS("POSTCOPY-RECOVERY-RESUME", POSTCOPY),
    REJECTS("POSTCOPY-RECOVERY-RESENT", POSTCOPY),
    /* other iterables, devices, the description */
    REJECTS("BLOCK-DEVICE-NAMED", DEVICE),
    REJECTS("BITMAP-FLAGS-KNOWN", DEVICE),
    REJECTS("COLO-MESSAGE-KNOWN", COMMAND),
    REJECTS("COLO-CYCLE-ORDER", COMMAND),
    REJECTS("DEVICE-GLOBALSTATE-VERSION", VERSION),
    REJECTS("DEVICE-GLOBALSTATE-LENGTH", DEVICE),
    REJECTS("DEVICE-GLOBALSTATE-NAME", DEVICE),
    REJECTS("DEVICE-STATE-VALID", DEVICE),
    { "VMDESC-SECTION-PRESENT", EVER, MIG_LOAD_COMPLAINS, MIG_REASON_VMDESC },
    { NULL, EVER, MIG_LOAD_ACCEPTS, MIG_REASON_NONE },
};

const MigLoadReaction *mig_loader_reaction(MigVersion version, const char *rule)
{
    for (const MigLoadReaction *row = mig_loader_reactions; row->rule; row++) {
        if (strcmp(row->rule, rule) == 0 && covers(version, row->since, row->until)) {
            return row->load == MIG_LOAD_ACCEPTS ? NULL : row;
        }
    }
    return NULL;
}

/* ---- machine types ---- */

/* The oldest that each binary has. Types are dropped six years after their release. */
static const MigLoadFamily families[] = {
    { "pc-i440fx-", 0, V(9, 1), V(1, 4) },
    { "pc-i440fx-", V(9, 1), V(11, 0), V(2, 4) }, /* 10.0 has it; from which release on, unknown */
    { "pc-i440fx-", V(11, 0), 0, V(5, 2) },       /* 11.1 */
    { "pc-q35-", 0, V(11, 0), V(2, 4) },
    { "pc-q35-", V(11, 0), 0, V(5, 2) },
};

bool mig_loader_has_machine(MigVersion version, const char *machine)
{
    MigVersion type = mig_machine_version(machine);

    if (!type) {
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(families); i++) {
        if (g_str_has_prefix(machine, families[i].prefix) &&
            covers(version, families[i].since, families[i].until)) {
            return type >= families[i].oldest && type <= version;
        }
    }
    return type <= version;
}

/* ---- features ---- */

static const MigLoadFeature features[] = {
    { "x-ignore-shared", V(4, 0), 0 },
    { "mapped-ram", V(9, 0), 0 },
    { "background-snapshot", V(6, 0), 0 },
    { "zero-copy-send", V(7, 1), 0 },
    { "postcopy-preempt", V(7, 1), 0 },
    { "switchover-ack", V(8, 1), 0 },
    { "dirty-limit", V(8, 1), 0 },
    { "multifd", V(4, 0), 0 },
    { "multifd-compression=zstd", V(6, 0), 0 }, /* 5.0 has it; 5.2 as Debian built it has not */
    { "multifd+postcopy-ram", 0, V(8, 0) },     /* 7.2 lets one ask for both, 10.0 does not */
    { "multifd+postcopy-ram", V(10, 1), 0 },
    { "x-mapped-page-size-checked", V(11, 1), 0 }, /* 10.0 doesn't */
    { "x-hook-refused", 0, V(8, 2) }, /* 7.2 refuses a hook without RDMA, 10.0 takes no notice */
};

bool mig_loader_has_feature(MigVersion version, const char *name)
{
    bool known = false;

    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        if (strcmp(features[i].name, name) == 0) {
            known = true;
            if (covers(version, features[i].since, features[i].until)) {
                return true;
            }
        }
    }
    return !known;
}

/* ---- devices ---- */

static const MigLoadDevice devices[] = {
    { "timer", EVER, 2, 2 },
    { "globalstate", V(2, 4), 0, 1, 1 },
};

const MigLoadDevice *mig_loader_device(MigVersion version, MigStr idstr)
{
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        if (mig_str_equal(mig_str(devices[i].idstr), idstr) &&
            covers(version, devices[i].since, devices[i].until)) {
            return &devices[i];
        }
    }
    return NULL;
}

/* What machine `none` has of its own, and with a CPU; a device that is added to it has another
 * name. */
MigLoadKnown mig_loader_section(const char *machine, MigStr idstr, uint32_t instance)
{
    static const char *const none[] = { "ram",         "block",      "dirty-bitmap", "timer",
                                        "globalstate", "cpu_common", "cpu",          "apic" };

    if (strcmp(machine, "none") != 0) {
        return MIG_LOAD_KNOWN_MAYBE;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++) {
        if (mig_str_equal(mig_str(none[i]), idstr)) {
            return instance == 0 ? MIG_LOAD_KNOWN_YES : MIG_LOAD_KNOWN_NOT;
        }
    }
    return MIG_LOAD_KNOWN_NOT;
}
