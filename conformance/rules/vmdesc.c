/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMDESCRIPTION against the stream that it describes. No destination reads it; analysers do,
 * and so does this program.
 */
#include <string.h>

#include "conformance/check.h"

enum {
    PRESENT,
    ABSENT,
    LENGTH_SANE,
    TEXT_VALID,
    PAGESIZE_AGREES,
    DEVICES_AGREE,
    SIZES_AGREE,
    SIZES_ADD,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [PRESENT] = {
        .id = "VMDESC-SECTION-PRESENT",
        .title = "a precopy stream of a machine type from 2.3 ends with a VMDESCRIPTION",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_COMPLAINS,
        .source = "1.7 EOF and VMDESCRIPTION; qemu_loadvm_state()",
        .since = "2.3",
        .why = "the destination says \"Expected vmdescription section\" and goes on",
        .killed_by = "vmdesc-dropped",
    },
    [ABSENT] = {
        .id = "VMDESC-SECTION-ABSENT",
        .title = "a postcopy stream ends with its EOF",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.7 EOF and VMDESCRIPTION; should_send_vmdesc()",
        .since = "2.5",
        .why = "the destination is running by then",
        .killed_by = "vmdesc-in-postcopy",
    },
    [LENGTH_SANE] = {
        .id = "VMDESC-LENGTH-SANE",
        .title = "the VMDESCRIPTION has a sane length",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_OURS,
        .reaction = MIG_REACTION_SILENT,
        .source = "stream/limits.h",
        .since = "2.3",
        .why = "memory must not grow with a stranger's stream",
        .killed_by = "vmdesc-length-huge",
    },
    [TEXT_VALID] = {
        .id = "VMDESC-TEXT-VALID",
        .title = "the VMDESCRIPTION is JSON of the known shape, and all of it",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "9.1 Schema; qemu_savevm_state_complete_precopy_non_iterable()",
        .since = "2.3",
        .why = "analysers can't read it otherwise",
        .killed_by = "vmdesc-garbled vmdesc-short",
    },
    [PAGESIZE_AGREES] = {
        .id = "VMDESC-PAGESIZE-AGREES",
        .title = "the VMDESCRIPTION names the stream's page size",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "9.1 Schema; qemu_savevm_state_complete_precopy_non_iterable()",
        .since = "2.3",
        .why = "an analyser cuts pages by it",
        .killed_by = "vmdesc-page-size",
    },
    [DEVICES_AGREE] = {
        .id = "VMDESC-DEVICES-AGREE",
        .title = "the VMDESCRIPTION lists the devices of the stream, in its order",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "9.1 Schema; qemu_savevm_state_complete_precopy_non_iterable()",
        .since = "2.3",
        .why = "a device without a description can't be read",
        .killed_by = "vmdesc-device-renamed",
    },
    [SIZES_AGREE] = {
        .id = "VMDESC-SIZES-AGREE",
        .title = "a device's body is as long as its description",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "9.2 How to decode with it; vmstate_save_state_v()",
        .since = "2.3",
        .why = "an analyser loses its place",
        .killed_by = "body-grown",
    },
    [SIZES_ADD] = {
        .id = "VMDESC-SIZES-ADD",
        .title = "in the VMDESCRIPTION the sizes of fields add up to that of their struct",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_OBSERVED,
        .reaction = MIG_REACTION_SILENT,
        .source = "9.2 How to decode with it; vmstate_save_state_v()",
        .since = "2.3",
        .why = "some arrays of pointers with empty places are misdescribed until 9.x",
    },
};

static const MigFaultRule faults[] = { { MIG_FAULT_VMDESC_LENGTH, LENGTH_SANE },
                                       { MIG_FAULT_VMDESC_JSON, TEXT_VALID },
                                       { MIG_FAULT_BODY_DESCRIPTION, SIZES_AGREE } };

#define LIMIT 65536u /* devices that are remembered */

typedef struct Device {
    char *name;
    uint32_t instance;
    uint64_t body, size; /* body 0: it has records, not one opaque body */
} Device;

typedef struct Described {
    GArray *devices; /* Device, in the order of the stream */
    bool in_full;
} Described;

static void device_clear(gpointer data)
{
    g_free(((Device *)data)->name);
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Described *s = state;

    if (!s->devices) {
        s->devices = g_array_new(FALSE, TRUE, sizeof(Device));
        g_array_set_clear_func(s->devices, device_clear);
    }
    if (r->type == MIG_REC_VMDESC) {
        mig_check_want_payload(check);
    } else if (r->type == MIG_REC_BODY) {
        if (s->in_full && s->devices->len) {
            Device *d = &g_array_index(s->devices, Device, s->devices->len - 1);
            d->body = r->offset;
            d->size = r->payload;
        }
    } else {
        s->in_full = r->section.kind == MIG_ITEM_FULL && s->devices->len < LIMIT;
        if (s->in_full) {
            Device d = { .name = g_strndup(r->section.idstr.text, r->section.idstr.len),
                         .instance = r->section.instance };
            g_array_append_val(s->devices, d);
        }
    }
}

/* Arrays of pointers with empty places: QEMU until 9.x describes them wrongly. */
static bool misdescribed(const char *name)
{
    return strcmp(name, "s390_css") == 0;
}

static void compare(MigCheck *check, const Described *s, const MigVmdesc *desc, uint64_t at)
{
    const MigVmDevice *device = desc->devices;

    for (guint i = 0; i < s->devices->len; i++, device = device ? device->next : NULL) {
        const Device *d = &g_array_index(s->devices, Device, i);
        if (!device || strcmp(device->name, d->name) != 0 || device->instance_id != d->instance) {
            mig_check_find(check, &rules[DEVICES_AGREE], at, "the devices of the stream in order",
                           "%s %u where the stream has %s %u", device ? device->name : "nothing",
                           device ? device->instance_id : 0, d->name, d->instance);
            return;
        }
        if (d->body && mig_vmdesc_device_size(device) != d->size && !misdescribed(d->name)) {
            mig_check_find(check, &rules[SIZES_AGREE], d->body, "a body of the described length",
                           "%" G_GUINT64_FORMAT " bytes, described as %" G_GUINT64_FORMAT ", of %s",
                           d->size, mig_vmdesc_device_size(device), d->name);
        }
    }
    if (device) {
        mig_check_find(check, &rules[DEVICES_AGREE], at, "the devices of the stream in order",
                       "%s %u, which the stream has not", device->name, device->instance_id);
    }
}

static void payload(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data)
{
    Described *s = state;
    MigDiagnosis why;
    uint64_t at = r->offset + r->wire;

    if (r->type != MIG_REC_VMDESC) {
        return;
    }
    MigVmdesc *desc = mig_vmdesc_parse((const char *)data, r->payload, &why);
    if (!desc) {
        mig_check_find(check, &rules[TEXT_VALID], at + why.offset, why.expected, "%s at %s",
                       why.found, why.path);
        return;
    }
    if (desc->page_size != check->facts.page_size) {
        mig_check_find(check, &rules[PAGESIZE_AGREES], at, "the page size of the stream",
                       "%" G_GUINT64_FORMAT, desc->page_size);
    }
    if (desc->disagreements) {
        mig_check_find(check, &rules[SIZES_ADD], at, "sizes that add up",
                       "%u structs where they don't", desc->disagreements);
    }
    compare(check, s, desc, at);
    mig_vmdesc_free(desc);
}

/* 2.0 to 2.2 suppress it; older types have it when a newer binary wrote them. */
static void finish(MigCheck *check, void *state, uint64_t end)
{
    const MigFacts *facts = &check->facts;

    if (facts->listening) {
        mig_check_not_applicable(check, &rules[PRESENT], "a postcopy stream");
        if (facts->vmdesc) {
            mig_check_find(check, &rules[ABSENT], end, "no VMDESCRIPTION in postcopy", "one");
        }
        return;
    }
    mig_check_not_applicable(check, &rules[ABSENT], "not a postcopy stream");
    if (!facts->configured) {
        mig_check_not_applicable(check, &rules[PRESENT], "machine types until 2.2 need none");
    } else if (!facts->vmdesc) {
        mig_check_find(check, &rules[PRESENT], end, "a VMDESCRIPTION behind EOF", "none");
    }
}

static void clear(void *state)
{
    Described *s = state;
    g_clear_pointer(&s->devices, g_array_unref);
}

const MigRuleGroup mig_rules_vmdesc = {
    .layer = "vmdesc",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Described),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(BODY) | MIG_WANT(VMDESC),
    .record = record,
    .payload = payload,
    .finish = finish,
    .clear = clear,
};
