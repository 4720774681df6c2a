/* SPDX-License-Identifier: Apache-2.0 */
/* Devices: what can be said of them without knowing their layouts, and `globalstate`. */
#include <string.h>

#include "conformance/check.h"
#include "stream/bytes.h"
#include "stream/vmstate-devices.h"

enum {
    GLOBALSTATE_PRESENT,
    GLOBALSTATE_LAST,
    GLOBALSTATE_VERSION,
    GLOBALSTATE_LENGTH,
    GLOBALSTATE_NAME,
    GLOBALSTATE_SIZE,
    GLOBALSTATE_FILL,
    STATE_VALID,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [GLOBALSTATE_PRESENT] = {
        .id = "DEVICE-GLOBALSTATE-PRESENT",
        .title = "machine types from 2.4 send globalstate",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.9 The globalstate device; register_global_state()",
        .since = "2.4",
        .why = "a destination without it can't know whether the guest was running",
        .killed_by = "globalstate-dropped",
    },
    [GLOBALSTATE_LAST] = {
        .id = "DEVICE-GLOBALSTATE-LAST",
        .title = "globalstate is the last device",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; vmstate_globalstate",
        .since = "2.4",
        .why = "it is registered last",
        .killed_by = "globalstate-early",
    },
    [GLOBALSTATE_VERSION] = {
        .id = "DEVICE-GLOBALSTATE-VERSION",
        .title = "globalstate is version 1, instance 0",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.9 The globalstate device; vmstate_globalstate",
        .since = "2.4",
        .why = "no other version exists",
        .killed_by = "globalstate-version",
    },
    [GLOBALSTATE_LENGTH] = {
        .id = "DEVICE-GLOBALSTATE-LENGTH",
        .title = "the body of globalstate has 104 bytes",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.9 The globalstate device; vmstate_globalstate",
        .since = "2.4",
        .why = "its layout never changed in length",
        .killed_by = "globalstate-length",
    },
    [GLOBALSTATE_NAME] = {
        .id = "DEVICE-GLOBALSTATE-NAME",
        .title = "globalstate holds the name of a run state, ended by a NUL",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.9 The globalstate device; global_state_post_load()",
        .since = "2.4",
        .why = "the destination parses it and stops at an unknown one",
        .killed_by = "globalstate-name globalstate-nul",
    },
    [GLOBALSTATE_SIZE] = {
        .id = "DEVICE-GLOBALSTATE-SIZE",
        .title = "the size in globalstate is that of the name with its NUL",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.9 The globalstate device; global_state_pre_save()",
        .since = "2.4",
        .why = "no destination reads it",
        .killed_by = "globalstate-size",
    },
    [GLOBALSTATE_FILL] = {
        .id = "DEVICE-GLOBALSTATE-FILL",
        .title = "the end of globalstate is filled with 00",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.9 The globalstate device; vmstate_globalstate",
        .since = "2.4",
        .why = "nothing is stored there",
        .killed_by = "globalstate-fill",
    },
    [STATE_VALID] = {
        .id = "DEVICE-STATE-VALID",
        .title = "timer and cpu_common hold what those devices load",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "10 Device state; vmstate_load_state()",
        .why = "a device that refuses its state ends the load",
        .killed_by = "timer-subsection",
    },
};

#define BODY_BYTES 104u
#define NAME_AT    4u
#define NAME_BYTES 100u /* 32 since 9.0: names are shorter than that anyway */
#define FILL_AT    38u  /* behind has_vm_was_suspended and vm_was_suspended, since 9.0 */

static const MigFaultRule faults[] = { { MIG_FAULT_DEVICE_STATE, STATE_VALID } };

/* Devices whose layout is known; their form hardly depends on the version. */
typedef struct Known {
    const char *idstr;
    const MigVmsd *(*vmsd)(unsigned major, unsigned minor);
} Known;

static const Known known[] = {
    { "timer", mig_vmsd_timer },
    { "cpu_common", mig_vmsd_cpu_common },
};

#define NEWEST_MAJOR 10u

typedef struct Devices {
    const Known *device; /* the section being read, if it is one of them */
    int version;
    bool current; /* the section being read is globalstate */
    bool seen, last;
    uint64_t at;
} Devices;

static void on_section(MigCheck *check, Devices *s, const MigRecord *r)
{
    bool full = r->section.kind == MIG_ITEM_FULL;

    s->current = full && mig_str_equal(r->section.idstr, mig_str("globalstate"));
    if (full) {
        s->last = s->current;
    }
    s->device = NULL;
    s->version = (int)r->section.version;
    for (size_t i = 0; full && i < G_N_ELEMENTS(known); i++) {
        if (mig_str_equal(r->section.idstr, mig_str(known[i].idstr))) {
            s->device = &known[i];
        }
    }
    if (!s->current) {
        return;
    }
    s->seen = true;
    s->at = r->offset;
    uint64_t instance_at = r->offset + 6 + r->section.idstr.len;
    if (r->section.version != 1) {
        mig_check_find(check, &rules[GLOBALSTATE_VERSION], instance_at + 4, "version 1",
                       "version %u", r->section.version);
    }
    if (r->section.instance != 0) {
        mig_check_find(check, &rules[GLOBALSTATE_VERSION], instance_at, "instance 0", "instance %u",
                       r->section.instance);
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Devices *s = state;

    if (r->type == MIG_REC_SECTION) {
        on_section(check, s, r);
    } else if (s->device || (s->current && r->payload == BODY_BYTES)) {
        mig_check_want_payload(check);
    } else if (s->current) {
        mig_check_find(check, &rules[GLOBALSTATE_LENGTH], r->offset, "104 bytes",
                       "%" G_GUINT64_FORMAT " bytes", r->payload);
    }
}

static void check_fill(MigCheck *check, const MigRecord *r, const uint8_t *data)
{
    for (uint32_t i = FILL_AT; i < BODY_BYTES; i++) {
        if (data[i]) {
            mig_check_find(check, &rules[GLOBALSTATE_FILL], r->offset + i, "00", "%02x", data[i]);
            return;
        }
    }
}

static void check_state(MigCheck *check, const Devices *s, const MigRecord *r, const uint8_t *data)
{
    union {
        MigTimerState timer;
        MigCpuCommon cpu;
    } state = { 0 };
    MigDiagnosis why = { 0 };

    if (!mig_vmstate_load_body(s->device->vmsd(NEWEST_MAJOR, 0), &state, s->version, data,
                               r->payload, &why)) {
        bool length = why.fault == MIG_FAULT_BODY_LENGTH;
        const MigRule *rule = length ? mig_catalogue_fault(why.fault) : &rules[STATE_VALID];
        mig_check_find(check, rule, r->offset + why.offset, why.expected, "%s", why.found);
    }
}

static void payload(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data)
{
    Devices *s = state;
    const char *name = (const char *)data + NAME_AT;

    if (r->type == MIG_REC_BODY && s->device) {
        check_state(check, s, r, data);
    }
    if (!s->current || r->type != MIG_REC_BODY) {
        return;
    }
    size_t length = strnlen(name, NAME_BYTES);
    uint32_t size = mig_load_be32(data);
    if (length == NAME_BYTES || !mig_is_runstate(name)) {
        mig_check_find(check, &rules[GLOBALSTATE_NAME], r->offset + NAME_AT,
                       "the name of a run state", "\"%.32s\"", name);
        return;
    }
    if (size != length + 1) {
        mig_check_find(check, &rules[GLOBALSTATE_SIZE], r->offset, "the name's length plus 1",
                       "%u for \"%s\"", size, name);
    }
    check_fill(check, r, data);
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Devices *s = state;

    if (!check->facts.configured) {
        mig_check_not_applicable(check, &rules[GLOBALSTATE_PRESENT], "machine type before 2.4");
    } else if (!s->seen) {
        mig_check_find(check, &rules[GLOBALSTATE_PRESENT], end, "a device globalstate", "none");
    }
    if (s->seen && !s->last) {
        mig_check_find(check, &rules[GLOBALSTATE_LAST], s->at, "globalstate as the last device",
                       "another behind it");
    }
}

const MigRuleGroup mig_rules_device = {
    .layer = "device",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Devices),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(BODY),
    .record = record,
    .payload = payload,
    .finish = finish,
};
