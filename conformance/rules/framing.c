/* SPDX-License-Identifier: Apache-2.0 */
/* Header, configuration, item types, the end of the stream. */
#include <string.h>

#include "conformance/check.h"

enum {
    HEADER_MAGIC,
    HEADER_VERSION,
    CONFIG_PRESENT,
    CONFIG_ONCE,
    CONFIG_NAME_LENGTH,
    CONFIG_NAME_CANONICAL,
    CONFIG_SUBSECTION_KNOWN,
    CONFIG_SUBSECTION_VERSION,
    CONFIG_SUBSECTION_ONCE,
    CONFIG_SUBSECTION_ORDER,
    CONFIG_CAPABILITIES_COUNT,
    CONFIG_CAPABILITY_KNOWN,
    CONFIG_CAPABILITY_VALIDATED,
    CONFIG_PAGEBITS_RANGE,
    STREAM_ITEM_TYPE,
    STREAM_END_PRESENT,
    STREAM_TRAILING_NONE,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [HEADER_MAGIC] = {
        .id = "HEADER-MAGIC-QEVM",
        .title = "the stream begins with 51 45 56 4d",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.2 Header; qemu_loadvm_state_header()",
        .why = "a destination takes anything else for no migration, 10.1 and later for another "
               "channel",
        .killed_by = "header-magic",
    },
    [HEADER_VERSION] = {
        .id = "HEADER-VERSION-CURRENT",
        .title = "the version word is 3",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.2 Header; qemu_loadvm_state_header()",
        .why = "2 is the format before 0.13, which no destination reads any more",
        .killed_by = "header-version-2 header-version-4",
    },
    [CONFIG_PRESENT] = {
        .id = "CONFIG-SECTION-PRESENT",
        .title = "a configuration section follows the header where sections have footers",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.3 Configuration section, 1.6 Footers; qemu_loadvm_state_header()",
        .since = "2.4",
        .why = "the destination says \"Configuration section missing\" and stops",
        .killed_by = "config-dropped",
    },
    [CONFIG_ONCE] = {
        .id = "CONFIG-SECTION-ONCE",
        .title = "there is one configuration section, directly behind the header",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.3 Configuration section; qemu_loadvm_state_main()",
        .since = "2.4",
        .why = "the byte 07 begins no item",
        .killed_by = "config-repeated config-late",
    },
    [CONFIG_NAME_LENGTH] = {
        .id = "CONFIG-NAME-LENGTH",
        .title = "the machine name has a sane length",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_CRASHES,
        .source = "1.3 Configuration section; configuration_pre_load()",
        .since = "2.4",
        .why = "until 10.0 a destination allocates whatever the length says, and aborts",
        .killed_by = "config-length-huge",
    },
    [CONFIG_NAME_CANONICAL] = {
        .id = "CONFIG-NAME-CANONICAL",
        .title = "the machine name is a full, canonical name",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_VARIES,
        .source = "1.3 Comparison quirk; configuration_validate_machine_type()",
        .since = "2.4",
        .why = "a prefix of the destination's own name passes unseen and says less than it should; "
               "an alias or another name is refused",
        .killed_by = "config-name-empty config-name-prefix config-name-alias config-name-nul",
    },
    [CONFIG_SUBSECTION_KNOWN] = {
        .id = "CONFIG-SUBSECTION-KNOWN",
        .title = "configuration subsections are target-page-bits, capabilities and uuid",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.3 Subsections; vmstate_configuration",
        .since = "2.9",
        .why = "an unknown subsection can't be skipped, it has no length",
        .killed_by = "config-subsection-unknown",
    },
    [CONFIG_SUBSECTION_VERSION] = {
        .id = "CONFIG-SUBSECTION-VERSION",
        .title = "configuration subsections are version 1",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.3 Subsections; vmstate_subsection_load()",
        .since = "2.9",
        .why = "a newer version may have other fields",
        .killed_by = "config-subsection-version config-subsection-version-0",
    },
    [CONFIG_SUBSECTION_ONCE] = {
        .id = "CONFIG-SUBSECTION-ONCE",
        .title = "each configuration subsection appears at most once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.3 Subsections; vmstate_configuration",
        .since = "2.9",
        .why = "the last one wins without a word",
        .killed_by = "config-subsection-twice",
    },
    [CONFIG_SUBSECTION_ORDER] = {
        .id = "CONFIG-SUBSECTION-ORDER",
        .title = "configuration subsections come as target-page-bits, capabilities, uuid",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.3 Subsections; vmstate_configuration",
        .since = "4.0",
        .why = "QEMU writes them in the order of its table",
        .killed_by = "config-subsection-order",
    },
    [CONFIG_CAPABILITIES_COUNT] = {
        .id = "CONFIG-CAPABILITIES-COUNT",
        .title = "the capability list has a sane length",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_OURS,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.3 Subsections; vmstate_capabilites",
        .since = "4.0",
        .why = "no QEMU has more than some thirty capabilities",
        .killed_by = "config-capabilities-count",
    },
    [CONFIG_CAPABILITY_KNOWN] = {
        .id = "CONFIG-CAPABILITY-KNOWN",
        .title = "capability names are ones of QEMU's schema",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.3 Subsections; get_capability()",
        .since = "4.0",
        .why = "a destination refuses a name that it doesn't know",
        .killed_by = "config-capability-unknown",
    },
    [CONFIG_CAPABILITY_VALIDATED] = {
        .id = "CONFIG-CAPABILITY-VALIDATED",
        .title = "the list holds validated capabilities only, and at least one",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.3 Subsections; should_validate_capability()",
        .since = "4.0",
        .why = "a source lists x-ignore-shared and mapped-ram, and sends no empty list",
        .killed_by = "config-capability-other config-capabilities-empty",
    },
    [CONFIG_PAGEBITS_RANGE] = {
        .id = "CONFIG-PAGEBITS-RANGE",
        .title = "the target page size is one that a target can have",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.3 Subsections; vmstate_target_page_bits",
        .since = "2.9",
        .why = "it must equal the destination's",
        .killed_by = "config-pagebits",
    },
    [STREAM_ITEM_TYPE] = {
        .id = "STREAM-ITEM-TYPE",
        .title = "every item begins with 00, 01, 02, 03, 04 or 08",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.4 Section type bytes; qemu_loadvm_state_main()",
        .why = "the destination says \"Unknown savevm section type\" and stops",
        .killed_by = "item-type-09 item-type-05 item-type-06 footer-twice footer-after-command",
    },
    [STREAM_END_PRESENT] = {
        .id = "STREAM-END-PRESENT",
        .title = "nothing is cut off: the stream goes on to its EOF byte",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.7 EOF and VMDESCRIPTION; qemu_loadvm_state_main()",
        .why = "the destination meets an I/O error",
        .killed_by = "truncated-header truncated-name truncated-page truncated-body "
                     "truncated-vmdesc eof-dropped",
    },
    [STREAM_TRAILING_NONE] = {
        .id = "STREAM-TRAILING-NONE",
        .title = "nothing stands behind the stream",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.7 EOF and VMDESCRIPTION; qemu_loadvm_state()",
        .why = "no one reads it; QEMU's analysis script loses the VMDESCRIPTION",
        .killed_by = "trailing-byte trailing-stream",
    },
};

static const MigFaultRule faults[] = {
    { MIG_FAULT_TRUNCATED, STREAM_END_PRESENT },
    { MIG_FAULT_HEADER_MAGIC, HEADER_MAGIC },
    { MIG_FAULT_HEADER_VERSION, HEADER_VERSION },
    { MIG_FAULT_CONFIG_LENGTH, CONFIG_NAME_LENGTH },
    { MIG_FAULT_CONFIG_SUBSECTION, CONFIG_SUBSECTION_KNOWN },
    { MIG_FAULT_CONFIG_SUBSECTION_VERSION, CONFIG_SUBSECTION_VERSION },
    { MIG_FAULT_CONFIG_CAPABILITIES, CONFIG_CAPABILITIES_COUNT },
    { MIG_FAULT_CONFIG_PAGE_BITS, CONFIG_PAGEBITS_RANGE },
    { MIG_FAULT_CONFIG_REPEATED, CONFIG_ONCE },
    { MIG_FAULT_ITEM_TYPE, STREAM_ITEM_TYPE },
};

typedef struct Framing {
    uint32_t seen; /* subsections, one bit each */
    int last;      /* position of the last one in QEMU's order */
} Framing;

/* Types without a version in their name, and beginnings of versioned families. */
static const char *const whole_names[] = { "none",   "microvm",  "isapc",         "xenpv", "xenfv",
                                           "xenpvh", "x-remote", "nitro-enclave", NULL };
static const char *const families[] = { "pc-i440fx-",       "pc-q35-",  "pc-0.",  "pc-1.", "virt-",
                                        "s390-ccw-virtio-", "pseries-", "xenfv-", NULL };
static const char *const aliases[] = { "pc", "q35", "virt", "pseries", "s390-ccw-virtio", NULL };

static const char *const capabilities[] = { "xbzrle",
                                            "rdma-pin-all",
                                            "auto-converge",
                                            "zero-blocks",
                                            "compress",
                                            "events",
                                            "postcopy-ram",
                                            "x-colo",
                                            "release-ram",
                                            "block",
                                            "return-path",
                                            "pause-before-switchover",
                                            "multifd",
                                            "dirty-bitmaps",
                                            "postcopy-blocktime",
                                            "late-block-activate",
                                            "x-ignore-shared",
                                            "validate-uuid",
                                            "background-snapshot",
                                            "zero-copy-send",
                                            "postcopy-preempt",
                                            "switchover-ack",
                                            "dirty-limit",
                                            "mapped-ram",
                                            NULL };

static bool listed(const char *const *names, MigStr s)
{
    for (; *names; names++) {
        if (mig_str_equal(mig_str(*names), s)) {
            return true;
        }
    }
    return false;
}

static bool canonical_shape(const char *name)
{
    for (const char *const *f = families; *f; f++) {
        size_t n = strlen(*f);
        if (strncmp(name, *f, n) == 0) {
            return mig_machine_version(name) != 0;
        }
        if (strncmp(name, *f, strlen(name)) == 0) {
            return false; /* shorter than the family's own name */
        }
    }
    return true; /* a board of another target: nothing is known about it */
}

static void check_name(MigCheck *check, const MigRecord *r)
{
    static const char *const expected = "the full name of a machine type";
    MigStr name = r->config.machine;
    g_autofree char *shown = g_strndup(name.text ? name.text : "", name.len);
    const MigRule *rule = &rules[CONFIG_NAME_CANONICAL];
    uint64_t at = r->offset + 5;

    if (name.len == 0) {
        mig_check_find(check, rule, at, expected, "no name at all");
    } else if (strlen(shown) != name.len) {
        mig_check_find(check, rule, at + strlen(shown), expected, "a NUL in \"%s\"", shown);
    } else if (listed(aliases, name)) {
        mig_check_find(check, rule, at, expected, "the alias \"%s\"", shown);
    } else if (!listed(whole_names, name) && !canonical_shape(shown)) {
        mig_check_find(check, rule, at, expected, "\"%s\"", shown);
    }
}

static void check_capabilities(MigCheck *check, const MigRecord *r, uint64_t at)
{
    if (r->capabilities.count == 0) {
        mig_check_find(check, &rules[CONFIG_CAPABILITY_VALIDATED], at, "one name or more", "none");
    }
    at += 4;
    for (uint32_t i = 0; i < r->capabilities.count; i++) {
        MigStr name = r->capabilities.names[i];
        if (!listed(capabilities, name)) {
            mig_check_find(check, &rules[CONFIG_CAPABILITY_KNOWN], at, "a capability of QEMU's",
                           "\"%.*s\"", (int)name.len, name.text);
        } else if (!mig_str_equal(name, mig_str("x-ignore-shared")) &&
                   !mig_str_equal(name, mig_str("mapped-ram"))) {
            mig_check_find(check, &rules[CONFIG_CAPABILITY_VALIDATED], at,
                           "x-ignore-shared or mapped-ram", "\"%.*s\"", (int)name.len, name.text);
        }
        at += 1u + name.len;
    }
}

static void check_subsection(MigCheck *check, Framing *f, const MigRecord *r, int position,
                             uint32_t version)
{
    static const uint32_t name_bytes[] = { 30, 26, 18 };
    uint64_t version_at = r->offset + 2 + name_bytes[position];

    if (version != 1) {
        mig_check_find(check, &rules[CONFIG_SUBSECTION_VERSION], version_at, "version 1",
                       "version %u", version);
    }
    if (f->seen & 1u << position) {
        mig_check_find(check, &rules[CONFIG_SUBSECTION_ONCE], r->offset, "each subsection once",
                       "it a second time");
    } else if (position < f->last) {
        mig_check_find(check, &rules[CONFIG_SUBSECTION_ORDER], r->offset,
                       "target-page-bits, capabilities, uuid in this order",
                       "it behind a later one");
    }
    f->seen |= 1u << position;
    f->last = MAX(f->last, position);
    if (r->type == MIG_REC_CONFIG_CAPABILITIES) {
        check_capabilities(check, r, version_at + 4);
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Framing *f = state;

    switch (r->type) {
    case MIG_REC_CONFIG:
        check_name(check, r);
        break;
    case MIG_REC_CONFIG_PAGE_BITS:
        check_subsection(check, f, r, 0, r->page_bits.version);
        break;
    case MIG_REC_CONFIG_CAPABILITIES:
        check_subsection(check, f, r, 1, r->capabilities.version);
        break;
    case MIG_REC_CONFIG_UUID:
        check_subsection(check, f, r, 2, r->uuid.version);
        break;
    default:
        break;
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    uint64_t trailing = 0;
    g_autoptr(GError) error = NULL;

    if (!mig_recording_trailing(check->recording, &trailing, &error)) {
        mig_check_inconclusive(check, &rules[STREAM_TRAILING_NONE], "the input failed");
    } else if (trailing) {
        mig_check_find(check, &rules[STREAM_TRAILING_NONE], end, "the end of the file",
                       "%" G_GUINT64_FORMAT " more bytes", trailing);
    }
}

const MigRuleGroup mig_rules_framing = {
    .layer = "framing",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Framing),
    .wanted = MIG_WANT(CONFIG) | MIG_WANT(CONFIG_PAGE_BITS) | MIG_WANT(CONFIG_CAPABILITIES) |
              MIG_WANT(CONFIG_UUID),
    .record = record,
    .finish = finish,
};
