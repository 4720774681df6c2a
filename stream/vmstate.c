/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving device state, and what saving and loading share.
 *
 * Bytes and description are made in one walk, as QEMU does: the size in a description is what the
 * element took, and an array whose elements are all alike is described by its first. Alike are
 * elements without tests and without subsections, down to the leaves (vmsd_can_compress()).
 */
#include "stream/vmstate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/bytes.h"
#include "stream/vmstate-internal.h"

static const MigVmTypeInfo types[MIG_VMT_COUNT] = {
    [MIG_VMT_BOOL] = { "bool", 1 },
    [MIG_VMT_INT8] = { "int8", 1 },
    [MIG_VMT_INT16] = { "int16", 2 },
    [MIG_VMT_INT32] = { "int32", 4 },
    [MIG_VMT_INT64] = { "int64", 8 },
    [MIG_VMT_UINT8] = { "uint8", 1 },
    [MIG_VMT_UINT16] = { "uint16", 2 },
    [MIG_VMT_UINT32] = { "uint32", 4 },
    [MIG_VMT_UINT64] = { "uint64", 8 },
    [MIG_VMT_UINT8_EQUAL] = { "uint8 equal", 1 },
    [MIG_VMT_INT32_EQUAL] = { "int32 equal", 4 },
    [MIG_VMT_UINT32_EQUAL] = { "uint32 equal", 4 },
    [MIG_VMT_INT32_LE] = { "int32 le", 4 },
    [MIG_VMT_TIMER] = { "timer", 8 },
    [MIG_VMT_BUFFER] = { "buffer", 0 },
    [MIG_VMT_UNUSED] = { "unused_buffer", 0 },
    [MIG_VMT_BITMAP] = { "bitmap", 0 },
    [MIG_VMT_CAPABILITY] = { "capability", 0 },
    [MIG_VMT_STRUCT] = { "struct", 0 },
};

const MigVmTypeInfo *mig_vms_type(MigVmType type)
{
    return &types[type];
}

bool mig_vms_exists(const MigVmsField *field, const void *state, int version)
{
    return field->exists ? field->exists(state, version) : field->version <= version;
}

bool mig_vms_count(const MigVmsField *field, const void *state, uint64_t *count)
{
    const uint8_t *member = (const uint8_t *)state + field->num_offset;
    int64_t value = 1;

    if (field->flags & MIG_VMS_COUNT_U8) {
        value = *member;
    } else if (field->flags & MIG_VMS_COUNT_U16) {
        value = *(const uint16_t *)(const void *)member;
    } else if (field->flags & MIG_VMS_COUNT_U32) {
        value = *(const uint32_t *)(const void *)member;
    } else if (field->flags & MIG_VMS_COUNT_I32) {
        value = *(const int32_t *)(const void *)member;
    } else {
        *count = field->flags & MIG_VMS_MUST_EXIST ? 0
                 : field->flags & MIG_VMS_ARRAY    ? field->num
                                                   : 1;
        return true;
    }
    *count = (uint64_t)value;
    return value >= 0 && (uint64_t)value <= field->num;
}

bool mig_vms_size(const MigVmsField *field, const void *state, size_t *size)
{
    *size = field->size;
    if (field->flags & MIG_VMS_SIZE_U32) {
        const uint8_t *member = (const uint8_t *)state + field->num_offset;

        *size = *(const uint32_t *)(const void *)member;
    }
    return *size <= field->size;
}

void *mig_vms_element(const MigVmsField *field, void *state, uint64_t k)
{
    uint8_t *first = (uint8_t *)state + field->offset;

    if (field->type == MIG_VMT_UNUSED) {
        return state;
    }
    if (field->flags & MIG_VMS_POINTER) {
        first = *(void **)(void *)first;
    }
    if (field->flags & MIG_VMS_ARRAY_OF_POINTER) {
        return ((void **)(void *)first)[k];
    }
    return first + k * field->size;
}

size_t mig_vms_enter(MigVmsPath *path, const char *name, long index)
{
    size_t mark = path->length, room = sizeof(path->text) - mark;
    const char *slash = mark ? "/" : "";
    int length = index < 0 ? snprintf(path->text + mark, room, "%s%s", slash, name)
                           : snprintf(path->text + mark, room, "%s%s[%ld]", slash, name, index);

    path->length = (size_t)length < room ? mark + (size_t)length : sizeof(path->text) - 1;
    return mark;
}

void mig_vms_leave(MigVmsPath *path, size_t mark)
{
    path->length = mark;
    path->text[mark] = 0;
}

bool mig_vms_fail(MigDiagnosis *why, MigFault fault, const MigVmsPath *path, uint64_t offset,
                  const char *expected, const char *found)
{
    if (why) {
        *why = (MigDiagnosis){ .fault = fault, .offset = offset };
        snprintf(why->path, sizeof(why->path), "%s", path->text);
        snprintf(why->expected, sizeof(why->expected), "%s", expected);
        snprintf(why->found, sizeof(why->found), "%s", found);
    }
    return false;
}

void mig_vm_bytes_put(MigVmBytes *bytes, const void *data, size_t n)
{
    if (!bytes->failed && bytes->room - bytes->n < n) {
        size_t room = (bytes->n + n) * 2;
        uint8_t *grown = realloc(bytes->data, room);

        bytes->failed = !grown;
        bytes->data = grown ? grown : bytes->data;
        bytes->room = grown ? room : bytes->room;
    }
    if (!bytes->failed && n) {
        memcpy(bytes->data + bytes->n, data, n);
        bytes->n += n;
    }
}

void mig_vm_bytes_clear(MigVmBytes *bytes)
{
    free(bytes->data);
    *bytes = (MigVmBytes){ 0 };
}

typedef struct Save {
    MigVmBytes *out;
    MigDiagnosis *why;
    MigVmsPath path;
    unsigned depth;
} Save;

static bool refuse(Save *s, const char *expected, const char *found)
{
    return mig_vms_fail(s->why, MIG_FAULT_DEVICE_STATE, &s->path, s->out->n, expected, found);
}

/* Are all elements of this field described by its first? */
static bool can_compress(const MigVmsField *field, unsigned depth)
{
    if (field->exists) {
        return false;
    }
    if (field->type != MIG_VMT_STRUCT) {
        return true;
    }
    for (const MigVmsField *inner = field->vmsd->fields; inner->name; inner++) {
        if (depth == MIG_VMSTATE_DEPTH || !can_compress(inner, depth + 1)) {
            return false;
        }
    }
    return !field->vmsd->subsections;
}

static bool is_null(const MigVmsField *field, void *state, uint64_t k)
{
    return (field->flags & MIG_VMS_ARRAY_OF_POINTER) && !mig_vms_element(field, state, k);
}

/* "name", or "name[k]" where it is the k-th of several fields of that name. */
static void describe_name(MigVmdescWriter *desc, const MigVmsd *vmsd, const MigVmsField *field)
{
    unsigned same = 0, before = 0;
    char name[256];

    for (const MigVmsField *other = vmsd->fields; other->name; other++) {
        if (strcmp(other->name, field->name) == 0) {
            same++;
            before += other < field;
        }
    }
    if (same == 1) {
        mig_vmdesc_writer_string(desc, "name", field->name);
        return;
    }
    snprintf(name, sizeof(name), "%s[%u]", field->name, before);
    mig_vmdesc_writer_string(desc, "name", name);
}

/* What the description of an array is about to say. */
typedef struct Run {
    MigVmdescWriter *desc; /* NULL once the first element has said it all */
    uint64_t length;       /* elements that the next description speaks for */
    bool null;             /* the run is of NULL pointers */
    bool compress;
} Run;

/* 10.0 and later describe runs of NULL and of other pointers apart. */
static void next_run(Run *run, MigVmdescWriter *desc, const MigVmsField *field, void *state,
                     uint64_t k, uint64_t count)
{
    const MigVmdescStyle *style = mig_vmdesc_writer_style(desc);
    bool null = is_null(field, state, k);

    run->length = count;
    if (style->index != MIG_VMDESC_INDEX_ALL) {
        run->length = count - k;
    }
    if (style->index == MIG_VMDESC_INDEX_NONE && !run->compress) {
        run->length = 1;
    }
    if (!style->marker || null == run->null ||
        (style->index == MIG_VMDESC_INDEX_NONE && run->length == 1)) {
        return;
    }
    run->null = null;
    run->desc = desc;
    for (uint64_t j = k + 1; j < count; j++) {
        if (is_null(field, state, j) != null) {
            run->length = j - k;
            return;
        }
    }
}

static bool described_as_null(const Run *run, bool null)
{
    return null && mig_vmdesc_writer_style(run->desc)->marker;
}

static void describe_start(const Run *run, const MigVmsd *vmsd, const MigVmsField *field,
                           uint64_t k, bool null)
{
    bool marker = described_as_null(run, null);

    mig_vmdesc_writer_begin(run->desc, NULL, '{');
    describe_name(run->desc, vmsd, field);
    if (run->length > 1) {
        bool whole = marker || run->compress;

        mig_vmdesc_writer_integer(run->desc, whole ? "array_len" : "index",
                                  (int64_t)(whole ? run->length : k));
    }
    mig_vmdesc_writer_string(run->desc, "type",
                             marker ? mig_vmdesc_writer_style(run->desc)->marker
                                    : types[field->type].name);
    if (field->type == MIG_VMT_STRUCT && !marker) {
        mig_vmdesc_writer_begin(run->desc, "struct", '{');
    }
}

static void describe_end(const Run *run, const MigVmsField *field, size_t size, bool null)
{
    if (field->type == MIG_VMT_STRUCT && !described_as_null(run, null)) {
        mig_vmdesc_writer_end(run->desc, '}');
    }
    mig_vmdesc_writer_integer(run->desc, "size", (int64_t)size);
    mig_vmdesc_writer_end(run->desc, '}');
}

static bool save_state(Save *s, const MigVmsd *vmsd, void *state, int version,
                       MigVmdescWriter *desc);

/* An integer of the host in the given width, big-endian. */
static void put_integer(MigVmBytes *out, const void *member, unsigned width)
{
    uint8_t be[8];
    uint64_t value = 0;

    memcpy(&value, member, width);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value >>= 64 - 8 * width;
#endif
    mig_store_be64(be, value);
    mig_vm_bytes_put(out, be + 8 - width, width);
}

static void put_bitmap(MigVmBytes *out, const void *member, size_t bits)
{
    for (size_t i = 0; i < (bits + 63) / 64; i++) {
        put_integer(out, (const uint8_t *)member + 8 * i, 8);
    }
}

static void put_zeros(MigVmBytes *out, size_t n)
{
    static const uint8_t zeros[256];

    for (; n; n -= n < sizeof(zeros) ? n : sizeof(zeros)) {
        mig_vm_bytes_put(out, zeros, n < sizeof(zeros) ? n : sizeof(zeros));
    }
}

static bool put_capability(Save *s, const char *name, size_t room)
{
    size_t n = strnlen(name, room);
    uint8_t length = (uint8_t)n;

    if (n == room || n > UINT8_MAX) {
        return refuse(s, "a name that ends within its member", "none");
    }
    mig_vm_bytes_put(s->out, &length, 1);
    mig_vm_bytes_put(s->out, name, n);
    return true;
}

static bool save_element(Save *s, const MigVmsField *field, void *element, size_t size,
                         MigVmdescWriter *desc)
{
    static const uint8_t marker = MIG_VMS_NULL_MARKER;

    if (!element) {
        mig_vm_bytes_put(s->out, &marker, 1);
        return true;
    }
    switch (field->type) {
    case MIG_VMT_STRUCT:
        return save_state(s, field->vmsd, element, field->vmsd->version, desc);
    case MIG_VMT_BUFFER:
        mig_vm_bytes_put(s->out, element, size);
        return true;
    case MIG_VMT_UNUSED:
        put_zeros(s->out, size);
        return true;
    case MIG_VMT_BITMAP:
        put_bitmap(s->out, element, size);
        return true;
    case MIG_VMT_CAPABILITY:
        return put_capability(s, element, size);
    default:
        put_integer(s->out, element, types[field->type].width);
        return true;
    }
}

static bool save_field(Save *s, const MigVmsd *vmsd, const MigVmsField *field, void *state,
                       MigVmdescWriter *desc)
{
    Run run = { .desc = desc, .compress = can_compress(field, 0) };
    uint64_t count;
    size_t size;

    if (!mig_vms_count(field, state, &count) || !mig_vms_size(field, state, &size)) {
        return refuse(s, "a count or size that fits the member", "a greater one");
    }
    for (uint64_t k = 0; k < count; k++) {
        void *element = mig_vms_element(field, state, k);
        size_t mark = mig_vms_enter(&s->path, field->name, count > 1 ? (long)k : -1);
        size_t before = s->out->n;
        bool ok;

        if (desc) {
            next_run(&run, desc, field, state, k, count);
        }
        if (run.desc) {
            describe_start(&run, vmsd, field, k, !element);
        }
        ok = save_element(s, field, element, size, run.desc);
        if (!ok) {
            return false;
        }
        if (run.desc) {
            describe_end(&run, field, s->out->n - before, !element);
        }
        if (run.compress) {
            run.desc = NULL;
        }
        mig_vms_leave(&s->path, mark);
    }
    return true;
}

static bool save_fields(Save *s, const MigVmsd *vmsd, void *state, int version,
                        MigVmdescWriter *desc)
{
    for (const MigVmsField *field = vmsd->fields; field->name; field++) {
        if (mig_vms_exists(field, state, version)) {
            if (!save_field(s, vmsd, field, state, desc)) {
                return false;
            }
        } else if (field->flags & MIG_VMS_MUST_EXIST) {
            mig_vms_enter(&s->path, field->name, -1);
            return refuse(s, "state that passes this test", "state that does not");
        }
    }
    return true;
}

static bool save_subsections(Save *s, const MigVmsd *vmsd, void *state, MigVmdescWriter *desc)
{
    bool any = false;

    for (const MigVmsd *const *sub = vmsd->subsections; sub && *sub; sub++) {
        uint8_t head[2] = { 5, (uint8_t)strlen((*sub)->name) }, version[4];

        if ((*sub)->needed && !(*sub)->needed(state)) {
            continue;
        }
        if (desc && !any) {
            mig_vmdesc_writer_begin(desc, "subsections", '[');
        }
        any = true;
        if (desc) {
            mig_vmdesc_writer_begin(desc, NULL, '{');
        }
        mig_store_be32(version, (uint32_t)(*sub)->version);
        mig_vm_bytes_put(s->out, head, sizeof(head));
        mig_vm_bytes_put(s->out, (*sub)->name, head[1]);
        mig_vm_bytes_put(s->out, version, sizeof(version));
        if (!save_state(s, *sub, state, (*sub)->version, desc)) {
            return false;
        }
        if (desc) {
            mig_vmdesc_writer_end(desc, '}');
        }
    }
    if (desc && any) {
        mig_vmdesc_writer_end(desc, ']');
    }
    return true;
}

static bool save_state(Save *s, const MigVmsd *vmsd, void *state, int version,
                       MigVmdescWriter *desc)
{
    bool ok;

    if (s->depth == MIG_VMSTATE_DEPTH) {
        return refuse(s, "at most 16 structs inside each other", "more");
    }
    if (vmsd->pre_save && !vmsd->pre_save(state)) {
        return refuse(s, "state that can be saved", "pre-save refuses it");
    }
    if (desc) {
        mig_vmdesc_writer_string(desc, "vmsd_name", vmsd->name);
        mig_vmdesc_writer_integer(desc, "version", version);
        mig_vmdesc_writer_begin(desc, "fields", '[');
    }
    s->depth++;
    ok = save_fields(s, vmsd, state, version, desc);
    if (ok && desc) {
        mig_vmdesc_writer_end(desc, ']');
    }
    ok = ok && save_subsections(s, vmsd, state, desc);
    s->depth--;
    return ok;
}

bool mig_vmstate_save(const MigVmsd *vmsd, void *state, int version, MigVmBytes *out,
                      MigVmdescWriter *desc, MigDiagnosis *why)
{
    Save s = { .out = out, .why = why };

    mig_vms_enter(&s.path, vmsd->name, -1);
    if (!save_state(&s, vmsd, state, version, desc)) {
        return false;
    }
    return !out->failed || refuse(&s, "memory for the state", "none left");
}
