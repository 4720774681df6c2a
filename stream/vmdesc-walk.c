/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a device body.
 *
 * A description can claim many more elements than the body has bytes if they have no size, so every
 * visit is paid from a budget that grows with the body, not with the claims.
 *
 * Which element of an array a field is, is said by "index" up to 9.x, by "index" but for the last
 * one in 10.0, and by nothing in 11.1: there the elements are just repeated. Fields of one name in
 * a row are therefore numbered here where they have no index.
 */
#include "stream/vmdesc-walk.h"

#include <stdio.h>
#include <string.h>

#define FREE_VISITS (1u << 16)

typedef struct Walk {
    const uint8_t *bytes;
    uint64_t n;
    uint64_t at;
    uint64_t visits; /* that may still be made */
    const MigVmVisitor *visitor;
    void *opaque;
    MigDiagnosis *why;
    bool stopped; /* by the visitor */
    size_t path_length;
    char path[MIG_VM_PATH];
} Walk;

static bool fail(Walk *w, MigFault fault, const char *expected, const char *found)
{
    if (w->why) {
        *w->why = (MigDiagnosis){ .fault = fault, .offset = w->at };
        snprintf(w->why->path, sizeof(w->why->path), "%.*s", MIG_DIAGNOSIS_TEXT - 1, w->path);
        snprintf(w->why->expected, sizeof(w->why->expected), "%s", expected);
        snprintf(w->why->found, sizeof(w->why->found), "%s", found);
    }
    return false;
}

static bool fail_short(Walk *w, uint64_t wanted)
{
    char expected[64], found[64];

    snprintf(expected, sizeof(expected), "%llu bytes", (unsigned long long)wanted);
    snprintf(found, sizeof(found), "%llu bytes left in the body",
             (unsigned long long)(w->n - w->at));
    return fail(w, MIG_FAULT_BODY_LENGTH, expected, found);
}

/* Appends a step to the path and returns where it began; index < 0: none. */
static size_t enter_path(Walk *w, const char *name, int64_t index)
{
    size_t mark = w->path_length, room = sizeof(w->path) - mark;
    const char *slash = mark ? "/" : "";
    int length = index < 0
                     ? snprintf(w->path + mark, room, "%s%s", slash, name)
                     : snprintf(w->path + mark, room, "%s%s[%lld]", slash, name, (long long)index);

    w->path_length = (size_t)length < room ? mark + (size_t)length : sizeof(w->path) - 1;
    return mark;
}

static void leave_path(Walk *w, size_t mark)
{
    w->path_length = mark;
    w->path[mark] = 0;
}

static bool pay_visit(Walk *w)
{
    if (w->visits == 0) {
        return fail(w, MIG_FAULT_BODY_DESCRIPTION, "a description in proportion to its body",
                    "far more fields than bytes");
    }
    w->visits--;
    return true;
}

static bool tell(Walk *w, bool (*callback)(void *, const MigVmScope *), const MigVmScope *scope)
{
    if (callback && !callback(w->opaque, scope)) {
        w->stopped = true;
    }
    return !w->stopped;
}

/* Types of a fixed width. Others, and these in another width, are bytes. */
static const struct {
    const char *type;
    uint8_t width;
    MigVmKind kind;
} types[] = {
    { "bool", 1, MIG_VM_BOOL },
    { "int8", 1, MIG_VM_SIGNED },
    { "int16", 2, MIG_VM_SIGNED },
    { "int32", 4, MIG_VM_SIGNED },
    { "int64", 8, MIG_VM_SIGNED },
    { "uint8", 1, MIG_VM_UNSIGNED },
    { "uint16", 2, MIG_VM_UNSIGNED },
    { "uint32", 4, MIG_VM_UNSIGNED },
    { "uint64", 8, MIG_VM_UNSIGNED },
    { "int32 equal", 4, MIG_VM_SIGNED },
    { "int32 le", 4, MIG_VM_SIGNED },
    { "uint8 equal", 1, MIG_VM_UNSIGNED },
    { "uint16 equal", 2, MIG_VM_UNSIGNED },
    { "uint32 equal", 4, MIG_VM_UNSIGNED },
    { "int64 equal", 8, MIG_VM_UNSIGNED },
    { "uint64 equal", 8, MIG_VM_UNSIGNED },
    { "timer", 8, MIG_VM_SIGNED },
    { "float64", 8, MIG_VM_UNSIGNED },
    { "CPU_Double_U", 8, MIG_VM_UNSIGNED },
    { "cpu double", 8, MIG_VM_UNSIGNED },
    { "nullptr", 1, MIG_VM_NULL },
    { "ptr-marker", 1, MIG_VM_NULL },
};

static bool is_text(const uint8_t *bytes, uint64_t size)
{
    if (size < 2 || bytes[0] != size - 1) {
        return false;
    }
    for (uint64_t i = 1; i < size; i++) {
        if (bytes[i] < 0x20 || bytes[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static void read_value(MigVmValue *value)
{
    unsigned shift = 64 - 8 * (unsigned)value->size;

    for (unsigned k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
        if (strcmp(types[k].type, value->type) == 0 && types[k].width == value->size) {
            for (uint64_t i = 0; i < value->size; i++) {
                value->u = value->u << 8 | value->bytes[i];
            }
            value->kind = types[k].kind;
            value->i = (int64_t)(value->u << shift) >> shift;
            if (value->kind == MIG_VM_BOOL) {
                value->u = value->u != 0;
            } else if (value->kind == MIG_VM_NULL && value->u != 0x30) {
                value->kind = MIG_VM_UNSIGNED; /* 31: the element follows (11.x) */
            }
            return;
        }
    }
    value->kind = strcmp(value->type, "capability") == 0 && is_text(value->bytes, value->size)
                      ? MIG_VM_TEXT
                      : MIG_VM_BYTES;
}

/* One element without parts. */
static bool walk_value(Walk *w, const MigVmField *field)
{
    MigVmValue value = { .path = w->path,
                         .name = field->name,
                         .type = field->type,
                         .offset = w->at,
                         .size = field->size,
                         .bytes = w->bytes + w->at };

    if (field->size > w->n - w->at) {
        return fail_short(w, field->size);
    }
    read_value(&value);
    w->at += field->size;
    if (w->visitor->value && !w->visitor->value(w->opaque, &value)) {
        w->stopped = true;
    }
    return true;
}

static bool walk_body(Walk *w, const MigVmBody *body);

static bool walk_scope(Walk *w, const MigVmScope *scope)
{
    MigVmScope end = *scope;

    if (!tell(w, w->visitor->enter, scope)) {
        return true;
    }
    if (!walk_body(w, scope->body)) {
        return false;
    }
    if (!w->stopped) {
        end.offset = w->at;
        tell(w, w->visitor->leave, &end);
    }
    return true;
}

static bool walk_struct(Walk *w, const MigVmField *field, const MigVmBody *body)
{
    MigVmScope scope = { MIG_VM_STRUCT, w->path, field->name, body, w->at };

    return walk_scope(w, &scope);
}

/* Does the list stand there as QEMU writes it: 01 element ... 00 (gtree: a be32 count first)? */
static bool list_is_regular(const Walk *w, const MigVmField *field, bool tree, unsigned parts)
{
    uint64_t at = w->at, end = w->at + field->size;
    uint32_t left = field->body_count;

    if (field->size > w->n - w->at || field->size < 1 || left % parts) {
        return false;
    }
    at += tree ? 4 : 0;
    for (const MigVmBody *body = field->bodies; body; body = body->next, left--) {
        if (left % parts == 0) {
            if (at >= end || w->bytes[at] != 1) {
                return false;
            }
            at++;
        }
        if (body->size > end - at) {
            return false;
        }
        at += body->size;
    }
    return at + 1 == end && w->bytes[at] == 0;
}

static bool walk_list(Walk *w, const MigVmField *field, bool tree, unsigned parts)
{
    int64_t index = 0;

    w->at += tree ? 4 : 0;
    for (const MigVmBody *body = field->bodies; body; body = body->next, index++) {
        size_t mark =
            enter_path(w, parts == 2 ? index % 2 ? "value" : "key" : "element", index / parts);

        w->at += index % parts == 0;
        if (!pay_visit(w) || !walk_struct(w, field, body)) {
            return false;
        }
        if (w->stopped) {
            return true;
        }
        leave_path(w, mark);
    }
    w->at++;
    return true;
}

/* One element, of whatever kind. */
static bool walk_element(Walk *w, const MigVmField *field)
{
    bool list = strcmp(field->type, "qtailq") == 0 || strcmp(field->type, "qlist") == 0;
    bool tree = strcmp(field->type, "gtree") == 0;

    if (!pay_visit(w)) {
        return false;
    }
    if (list && field->body_count && list_is_regular(w, field, false, 1)) {
        return walk_list(w, field, false, 1);
    }
    if (tree && field->body_count && list_is_regular(w, field, true, 2)) {
        return walk_list(w, field, true, 2);
    }
    if (list || tree || field->body_count != 1 || field->size_disagrees) {
        return walk_value(w, field);
    }
    return walk_struct(w, field, field->bodies);
}

static bool walk_field(Walk *w, const MigVmField *field, int64_t index)
{
    if (field->array && field->size && field->count > (w->n - w->at) / field->size) {
        enter_path(w, field->name, -1);
        return fail_short(w, field->size * field->count);
    }
    for (uint32_t k = 0; k < field->count && !w->stopped; k++) {
        int64_t number = field->array ? (int64_t)k + (index < 0 ? 0 : index) : index;
        size_t mark = enter_path(w, field->name, number);

        if (!walk_element(w, field)) {
            return false;
        }
        if (!w->stopped) {
            leave_path(w, mark);
        }
    }
    return true;
}

static bool same_name(const MigVmField *a, const MigVmField *b)
{
    return a && b && strcmp(a->name, b->name) == 0;
}

static bool walk_fields(Walk *w, const MigVmBody *body)
{
    const MigVmField *before = NULL;
    int64_t next = 0; /* number of the next field of this name */

    for (const MigVmField *field = body->fields; field && !w->stopped; field = field->next) {
        int64_t index = -1;

        next = same_name(before, field) ? next : 0;
        if (field->indexed) {
            index = field->index;
        } else if (same_name(before, field) || same_name(field, field->next)) {
            index = next;
        }
        if (!walk_field(w, field, index)) {
            return false;
        }
        next = (index < 0 ? 0 : index) + field->count;
        before = field;
    }
    return true;
}

/* The header 05 cstr be32 of a subsection against what the description says. */
static bool walk_header(Walk *w, const MigVmBody *sub)
{
    size_t length = strlen(sub->name);
    const uint8_t *p = w->bytes + w->at;
    char expected[MIG_DIAGNOSIS_TEXT], found[64];
    uint32_t version;

    if (length + 6 > w->n - w->at) {
        return fail_short(w, length + 6);
    }
    snprintf(expected, sizeof(expected), "05 and subsection \"%s\"", sub->name);
    if (p[0] != 5 || p[1] != length || memcmp(p + 2, sub->name, length)) {
        snprintf(found, sizeof(found), "%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
        return fail(w, MIG_FAULT_BODY_DESCRIPTION, expected, found);
    }
    p += 2 + length;
    version = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    if (version != (uint32_t)sub->version) {
        snprintf(expected, sizeof(expected), "version %d of subsection \"%s\"", (int)sub->version,
                 sub->name);
        snprintf(found, sizeof(found), "version %u", (unsigned)version);
        w->at += 2 + length;
        return fail(w, MIG_FAULT_BODY_DESCRIPTION, expected, found);
    }
    w->at += length + 6;
    return true;
}

/* What a subsection is called below its parent: "timer/icount" in "timer" is "icount". */
static const char *short_name(const MigVmBody *sub, const MigVmBody *parent)
{
    size_t length = parent->name ? strlen(parent->name) : 0;

    if (length && strncmp(sub->name, parent->name, length) == 0 && sub->name[length] == '/') {
        return sub->name + length + 1;
    }
    return sub->name;
}

static bool walk_body(Walk *w, const MigVmBody *body)
{
    if (!walk_fields(w, body)) {
        return false;
    }
    for (const MigVmBody *sub = body->subsections; sub && !w->stopped; sub = sub->next) {
        size_t mark = enter_path(w, short_name(sub, body), -1);
        MigVmScope scope = { MIG_VM_SUBSECTION, w->path, sub->name, sub, w->at };

        if (!pay_visit(w) || !walk_header(w, sub)) {
            return false;
        }
        if (!walk_scope(w, &scope)) {
            return false;
        }
        leave_path(w, mark);
    }
    return true;
}

bool mig_vmdesc_walk(const MigVmDevice *device, const uint8_t *bytes, uint64_t n,
                     const MigVmVisitor *visitor, void *opaque, MigDiagnosis *why)
{
    Walk w = { .bytes = bytes,
               .n = n,
               .visits = FREE_VISITS + 4 * n,
               .visitor = visitor,
               .opaque = opaque,
               .why = why };
    MigVmScope scope = { MIG_VM_DEVICE, w.path, device->name, device->body, 0 };

    enter_path(&w, device->name, -1);
    if (!walk_scope(&w, &scope)) {
        return false;
    }
    if (!w.stopped && w.at != n) {
        char found[64];

        snprintf(found, sizeof(found), "%llu bytes more", (unsigned long long)(n - w.at));
        return fail(&w, MIG_FAULT_BODY_LENGTH, "the end of the body", found);
    }
    return true;
}
