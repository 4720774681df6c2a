/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading device state along its descriptor.
 *
 * Every count that came with the bytes is checked against what fits before it is used, so the
 * struct is never written outside, whatever the bytes say.
 */
#include <stdio.h>
#include <string.h>

#include "stream/bytes.h"
#include "stream/vmstate-internal.h"

typedef struct Load {
    const uint8_t *data;
    size_t n;
    size_t at;
    MigDiagnosis *why;
    MigVmsPath path;
    unsigned depth;
} Load;

static bool refuse(const Load *l, uint64_t at, const char *expected, const char *found)
{
    return mig_vms_fail(l->why, MIG_FAULT_DEVICE_STATE, &l->path, at, expected, found);
}

static bool refuse_number(const Load *l, uint64_t at, const char *expected, int64_t value)
{
    char found[24];

    snprintf(found, sizeof(found), "%lld", (long long)value);
    return refuse(l, at, expected, found);
}

static bool want(const Load *l, size_t n)
{
    char expected[40], found[40];

    if (n <= l->n - l->at) {
        return true;
    }
    snprintf(expected, sizeof(expected), "%zu bytes", n);
    snprintf(found, sizeof(found), "%zu bytes left", l->n - l->at);
    return mig_vms_fail(l->why, MIG_FAULT_TRUNCATED, &l->path, l->at, expected, found);
}

/* Stores the low `width` bytes of value as an integer of the host. */
static void store_integer(void *member, uint64_t value, unsigned width)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value <<= 64 - 8 * width;
#endif
    memcpy(member, &value, width);
}

static uint64_t take_integer(Load *l, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++) {
        value = value << 8 | l->data[l->at++];
    }
    return value;
}

/* Types that compare with what is there before they load. */
static bool acceptable(const Load *l, const MigVmsField *field, const void *member, uint64_t value,
                       unsigned width)
{
    uint8_t there[8];
    char expected[64];
    int32_t most, loaded = (int32_t)value;

    switch (field->type) {
    case MIG_VMT_UINT8_EQUAL:
    case MIG_VMT_INT32_EQUAL:
    case MIG_VMT_UINT32_EQUAL:
        store_integer(there, value, width);
        if (memcmp(there, member, width) == 0) {
            return true;
        }
        return refuse_number(l, l->at - width, "the value that this side has", (int64_t)value);
    case MIG_VMT_INT32_LE:
        memcpy(&most, member, sizeof(most));
        if (loaded >= 0 && loaded <= most) {
            return true;
        }
        snprintf(expected, sizeof(expected), "a value from 0 to %d", (int)most);
        return refuse_number(l, l->at - width, expected, loaded);
    default:
        return true;
    }
}

static bool load_integer(Load *l, const MigVmsField *field, void *member)
{
    unsigned width = mig_vms_type(field->type)->width;
    uint64_t value;

    if (!want(l, width)) {
        return false;
    }
    value = take_integer(l, width);
    if (!acceptable(l, field, member, value, width)) {
        return false;
    }
    if (field->type == MIG_VMT_BOOL) {
        value = value != 0;
    }
    store_integer(member, value, width);
    return true;
}

static bool load_bitmap(Load *l, void *member, size_t bits)
{
    size_t words = (bits + 63) / 64;

    if (!want(l, words * 8)) {
        return false;
    }
    for (size_t i = 0; i < words; i++) {
        store_integer((uint8_t *)member + 8 * i, take_integer(l, 8), 8);
    }
    return true;
}

static bool load_capability(Load *l, char *member, size_t room)
{
    size_t n;

    if (!want(l, 1)) {
        return false;
    }
    n = l->data[l->at];
    if (n >= room) {
        return refuse_number(l, l->at, "a name that fits its member", (int64_t)n);
    }
    l->at++;
    if (!want(l, n)) {
        return false;
    }
    memcpy(member, l->data + l->at, n);
    member[n] = 0;
    l->at += n;
    return true;
}

static bool load_marker(Load *l)
{
    char found[8];

    if (!want(l, 1)) {
        return false;
    }
    if (l->data[l->at] != MIG_VMS_NULL_MARKER) {
        snprintf(found, sizeof(found), "%02x", l->data[l->at]);
        return refuse(l, l->at, "30, the marker of a pointer that is NULL here", found);
    }
    l->at++;
    return true;
}

static bool load_state(Load *l, const MigVmsd *vmsd, void *state, int version);

static bool load_element(Load *l, const MigVmsField *field, void *element, size_t size)
{
    if (!element) {
        return load_marker(l);
    }
    switch (field->type) {
    case MIG_VMT_STRUCT:
        return load_state(l, field->vmsd, element, field->vmsd->version);
    case MIG_VMT_BUFFER:
    case MIG_VMT_UNUSED:
        if (!want(l, size)) {
            return false;
        }
        if (field->type == MIG_VMT_BUFFER) {
            memcpy(element, l->data + l->at, size);
        }
        l->at += size;
        return true;
    case MIG_VMT_BITMAP:
        return load_bitmap(l, element, size);
    case MIG_VMT_CAPABILITY:
        return load_capability(l, element, size);
    default:
        return load_integer(l, field, element);
    }
}

static bool load_field(Load *l, const MigVmsField *field, void *state)
{
    uint64_t count;
    size_t size;

    if (!mig_vms_count(field, state, &count)) {
        mig_vms_enter(&l->path, field->name, -1);
        return refuse_number(l, l->at, "a count of elements that fit", (int64_t)count);
    }
    if (!mig_vms_size(field, state, &size)) {
        mig_vms_enter(&l->path, field->name, -1);
        return refuse_number(l, l->at, "a size that fits", (int64_t)size);
    }
    for (uint64_t k = 0; k < count; k++) {
        size_t mark = mig_vms_enter(&l->path, field->name, count > 1 ? (long)k : -1);

        if (!load_element(l, field, mig_vms_element(field, state, k), size)) {
            return false;
        }
        mig_vms_leave(&l->path, mark);
    }
    return true;
}

static bool load_fields(Load *l, const MigVmsd *vmsd, void *state, int version)
{
    for (const MigVmsField *field = vmsd->fields; field->name; field++) {
        if (mig_vms_exists(field, state, version)) {
            if (!load_field(l, field, state)) {
                return false;
            }
        } else if (field->flags & MIG_VMS_MUST_EXIST) {
            mig_vms_enter(&l->path, field->name, -1);
            return refuse(l, l->at, "state that passes this test", "state that does not");
        }
    }
    return true;
}

/* Do the next bytes begin a subsection of this level, going by the prefix of its name? */
static bool subsection_follows(const Load *l, const MigVmsd *vmsd)
{
    const uint8_t *p = l->data + l->at;
    size_t left = l->n - l->at, prefix = strlen(vmsd->name);

    return left >= 2 && p[0] == 5 && p[1] >= prefix + 1 && (size_t)p[1] + 2 <= left &&
           memcmp(p + 2, vmsd->name, prefix) == 0;
}

static const MigVmsd *find_subsection(const MigVmsd *vmsd, const uint8_t *name, size_t n)
{
    for (const MigVmsd *const *sub = vmsd->subsections; sub && *sub; sub++) {
        if (strlen((*sub)->name) == n && memcmp((*sub)->name, name, n) == 0) {
            return *sub;
        }
    }
    return NULL;
}

static bool load_subsections(Load *l, const MigVmsd *vmsd, void *state)
{
    while (subsection_follows(l, vmsd)) {
        const uint8_t *name = l->data + l->at + 2;
        size_t n = l->data[l->at + 1], mark;
        const MigVmsd *sub = find_subsection(vmsd, name, n);
        char found[MIG_DIAGNOSIS_TEXT];
        uint32_t version;

        if (!sub) {
            snprintf(found, sizeof(found), "\"%.*s\"", (int)(n < 150 ? n : 150),
                     (const char *)name);
            return refuse(l, l->at, "a subsection that this device knows", found);
        }
        mark = mig_vms_enter(&l->path, sub->name + strlen(vmsd->name) + 1, -1);
        l->at += 2 + n;
        if (!want(l, 4)) {
            return false;
        }
        version = (uint32_t)take_integer(l, 4);
        /* vmstate_subsection_load() keeps the low eight bits of the version only. */
        if (!load_state(l, sub, state, (int)(version & 0xff))) {
            return false;
        }
        mig_vms_leave(&l->path, mark);
    }
    return true;
}

static bool version_fits(const Load *l, const MigVmsd *vmsd, int version)
{
    char expected[64];

    if (version >= vmsd->minimum && version <= vmsd->version) {
        return true;
    }
    snprintf(expected, sizeof(expected), "a version from %d to %d", vmsd->minimum, vmsd->version);
    return refuse_number(l, l->at, expected, version);
}

static bool load_state(Load *l, const MigVmsd *vmsd, void *state, int version)
{
    if (l->depth == MIG_VMSTATE_DEPTH) {
        return refuse(l, l->at, "at most 16 structs inside each other", "more");
    }
    if (!version_fits(l, vmsd, version)) {
        return false;
    }
    if (vmsd->pre_load && !vmsd->pre_load(state)) {
        return refuse(l, l->at, "a device that is ready to load", "pre-load refuses");
    }
    l->depth++;
    if (!load_fields(l, vmsd, state, version) || !load_subsections(l, vmsd, state)) {
        return false;
    }
    l->depth--;
    if (vmsd->post_load && !vmsd->post_load(state, version)) {
        return refuse(l, l->at, "values that the device accepts", "post-load refuses them");
    }
    return true;
}

bool mig_vmstate_load(const MigVmsd *vmsd, void *state, int version, const uint8_t *data, size_t n,
                      size_t *used, MigDiagnosis *why)
{
    Load l = { .data = data, .n = n, .why = why };
    bool ok;

    mig_vms_enter(&l.path, vmsd->name, -1);
    ok = load_state(&l, vmsd, state, version);
    *used = l.at;
    return ok;
}

bool mig_vmstate_load_body(const MigVmsd *vmsd, void *state, int version, const uint8_t *data,
                           size_t n, MigDiagnosis *why)
{
    MigVmsPath path = { .length = 0 };
    size_t used;
    char found[40];

    if (!mig_vmstate_load(vmsd, state, version, data, n, &used, why)) {
        return false;
    }
    if (used == n) {
        return true;
    }
    mig_vms_enter(&path, vmsd->name, -1);
    snprintf(found, sizeof(found), "%zu bytes more", n - used);
    return mig_vms_fail(why, MIG_FAULT_BODY_LENGTH, &path, used, "the end of the body", found);
}
