/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMDESCRIPTION parser: recursive descent over the four kinds of object (top, device, body,
 * field) straight into the tree. A node is made when its object is complete and its required keys
 * were there, so the tree stays within about twice the text.
 *
 * Fields of type tmp, vstruct, qtailq, qlist and gtree have no object of their own for what is
 * inside: QEMU writes the keys of the inner body between the field's own, once per element. A
 * "vmsd_name" in a field therefore opens another body of that field.
 */
#include "stream/vmdesc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/json-scan.h"
#include "stream/limits.h"

#define CHUNK 65536u

/* Memory that is only ever freed as a whole. */
typedef struct Chunk {
    struct Chunk *next;
    size_t used;
    unsigned char bytes[CHUNK - 2 * sizeof(size_t)];
} Chunk;

typedef struct Parser {
    MigJsonScan scan;
    MigVmdesc *desc;
    unsigned depth;
    char text[MIG_JSON_STRING]; /* the string read last */
} Parser;

static void *take(Parser *p, size_t n, size_t align)
{
    Chunk *chunk = p->desc->arena;
    size_t used = chunk ? (chunk->used + align - 1) / align * align : 0;

    if (!chunk || n > sizeof(chunk->bytes) - used) {
        if (p->desc->memory + sizeof(Chunk) > MIG_VMDESC_MEMORY) {
            mig_json_fail(&p->scan, "a description that fits the memory it may take");
            return NULL;
        }
        chunk = malloc(sizeof(*chunk));
        if (!chunk) {
            mig_json_fail(&p->scan, "memory for the description");
            return NULL;
        }
        chunk->next = p->desc->arena;
        p->desc->arena = chunk;
        p->desc->memory += sizeof(*chunk);
        used = 0;
    }
    chunk->used = used + n;
    return chunk->bytes + used;
}

static void *keep(Parser *p, const void *node, size_t n)
{
    void *copy = take(p, n, _Alignof(max_align_t));

    return copy ? memcpy(copy, node, n) : NULL;
}

/* Reads a string value and keeps it. */
static bool read_name(Parser *p, const char **out)
{
    size_t n;
    char *copy;

    if (!mig_json_string(&p->scan, p->text)) {
        return false;
    }
    n = strlen(p->text) + 1;
    copy = take(p, n, 1);
    if (!copy) {
        return false;
    }
    *out = memcpy(copy, p->text, n);
    return true;
}

static bool is_key(const char *key, const char *name)
{
    return strcmp(key, name) == 0;
}

static bool add_size(Parser *p, uint64_t *total, uint64_t size, uint64_t count)
{
    if (size > MIG_VMDESC_SIZE || count > MIG_VMDESC_COUNT ||
        *total + size * count > MIG_VMDESC_SIZE) {
        return mig_json_fail(&p->scan, "sizes that add up to at most 4 GiB");
    }
    *total += size * count;
    return true;
}

static bool read_body_key(Parser *p, const char *key, MigVmBody *body, bool *known);

uint64_t mig_vmdesc_subsection_header(const MigVmBody *subsection)
{
    return 6 + (subsection->name ? strlen(subsection->name) : 0);
}

/* Which keys of a field were there. */
typedef struct FieldKeys {
    bool name, type, size;
} FieldKeys;

/* The bodies of one field as they are read; keys of an inner body without a name join the last. */
typedef struct BodyList {
    MigVmBody open;
    bool is_open;
    const MigVmBody *first;
    const MigVmBody **tail;
    uint32_t count;
    uint64_t size;
} BodyList;

static bool close_body(Parser *p, BodyList *list)
{
    MigVmBody *body;

    if (!list->is_open) {
        return true;
    }
    list->is_open = false;
    body = keep(p, &list->open, sizeof(list->open));
    if (!body) {
        return false;
    }
    *list->tail = body;
    list->tail = &body->next;
    list->count++;
    return add_size(p, &list->size, body->size, 1);
}

static bool read_struct(Parser *p, BodyList *list)
{
    uint32_t members = 0;
    char key[MIG_JSON_STRING];

    if (!close_body(p, list) || !mig_json_expect(&p->scan, '{')) {
        return false;
    }
    list->open = (MigVmBody){ 0 };
    list->is_open = true;
    while (mig_json_more(&p->scan, '}', &members)) {
        bool known = false;

        if (!mig_json_key(&p->scan, key) || !read_body_key(p, key, &list->open, &known) ||
            (!known && !mig_json_skip(&p->scan))) {
            return false;
        }
    }
    return !p->scan.failed && close_body(p, list);
}

/* A key that belongs to a body written between the field's own keys. */
static bool read_inline(Parser *p, const char *key, BodyList *list, bool *known)
{
    bool opens = is_key(key, "vmsd_name");

    if (!opens && !list->is_open) {
        return true;
    }
    if (opens) {
        if (!close_body(p, list)) {
            return false;
        }
        list->open = (MigVmBody){ 0 };
        list->is_open = true;
    }
    return read_body_key(p, key, &list->open, known);
}

static bool read_count(Parser *p, uint32_t *out)
{
    int64_t value;

    if (!mig_json_integer(&p->scan, 0, MIG_VMDESC_COUNT, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool read_size(Parser *p, uint64_t *out)
{
    int64_t value;

    if (!mig_json_integer(&p->scan, 0, (int64_t)MIG_VMDESC_SIZE, &value)) {
        return false;
    }
    *out = (uint64_t)value;
    return true;
}

static bool read_field_key(Parser *p, const char *key, MigVmField *field, FieldKeys *keys,
                           BodyList *list)
{
    bool known = false;

    if (is_key(key, "name")) {
        keys->name = true;
        return read_name(p, &field->name);
    }
    if (is_key(key, "type")) {
        keys->type = true;
        return read_name(p, &field->type);
    }
    if (is_key(key, "size")) {
        keys->size = true;
        return read_size(p, &field->size);
    }
    if (is_key(key, "array_len")) {
        field->array = true;
        return read_count(p, &field->count);
    }
    if (is_key(key, "index")) {
        field->indexed = true;
        return read_count(p, &field->index);
    }
    if (is_key(key, "struct")) {
        return read_struct(p, list);
    }
    return read_inline(p, key, list, &known) && (known || mig_json_skip(&p->scan));
}

/* Lists have marker bytes between their elements; only what is nothing but bodies adds up. */
static bool adds_up(const MigVmField *field, uint64_t size)
{
    if (field->body_count == 0 || is_key(field->type, "qtailq") || is_key(field->type, "qlist") ||
        is_key(field->type, "gtree")) {
        return true;
    }
    return field->size == size;
}

static bool read_field(Parser *p, MigVmField ***tail, uint64_t *total)
{
    MigVmField field = { .count = 1 }, *copy;
    FieldKeys keys = { 0 };
    BodyList list = { .tail = &list.first };
    uint32_t members = 0;
    char key[MIG_JSON_STRING];

    if (!mig_json_expect(&p->scan, '{')) {
        return false;
    }
    while (mig_json_more(&p->scan, '}', &members)) {
        if (!mig_json_key(&p->scan, key) || !read_field_key(p, key, &field, &keys, &list)) {
            return false;
        }
    }
    if (p->scan.failed || !close_body(p, &list)) {
        return false;
    }
    if (!keys.name || !keys.type || !keys.size) {
        return mig_json_fail(&p->scan, "a field with name, type and size");
    }
    field.bodies = list.first;
    field.body_count = list.count;
    field.size_disagrees = !adds_up(&field, list.size);
    p->desc->disagreements += field.size_disagrees;
    copy = keep(p, &field, sizeof(field));
    if (!copy || !add_size(p, total, field.size, field.count)) {
        return false;
    }
    **tail = copy;
    *tail = (MigVmField **)&copy->next;
    return true;
}

static bool read_fields(Parser *p, MigVmBody *body)
{
    MigVmField **tail = (MigVmField **)&body->fields;
    uint32_t members = 0;

    if (body->fields || !mig_json_expect(&p->scan, '[')) {
        return mig_json_fail(&p->scan, "one list of fields");
    }
    while (mig_json_more(&p->scan, ']', &members)) {
        size_t mark = mig_json_enter(&p->scan, "fields", (long)members - 1);

        if (!read_field(p, &tail, &body->size)) {
            return false;
        }
        mig_json_leave(&p->scan, mark);
    }
    return !p->scan.failed;
}

static bool read_subsections(Parser *p, MigVmBody *body)
{
    BodyList list = { .tail = &body->subsections };
    uint32_t members = 0;

    if (body->subsections || !mig_json_expect(&p->scan, '[')) {
        return mig_json_fail(&p->scan, "one list of subsections");
    }
    while (mig_json_more(&p->scan, ']', &members)) {
        size_t mark = mig_json_enter(&p->scan, "subsections", (long)members - 1);
        const MigVmBody **added = list.tail;

        if (!read_struct(p, &list)) {
            return false;
        }
        if (!(*added)->name) {
            return mig_json_fail(&p->scan, "a subsection with its vmsd_name");
        }
        if (!add_size(p, &body->size, (*added)->size + mig_vmdesc_subsection_header(*added), 1)) {
            return false;
        }
        mig_json_leave(&p->scan, mark);
    }
    return !p->scan.failed;
}

/* One of the keys that make a body; *known is left alone if it is none of them. */
static bool read_body_key(Parser *p, const char *key, MigVmBody *body, bool *known)
{
    int64_t version;
    bool ok = true;

    if (is_key(key, "vmsd_name")) {
        ok = read_name(p, &body->name);
    } else if (is_key(key, "version")) {
        ok = mig_json_integer(&p->scan, INT32_MIN, INT32_MAX, &version);
        body->version = ok ? (int32_t)version : 0;
    } else if (is_key(key, "fields") || is_key(key, "subsections")) {
        if (p->depth == MIG_VMDESC_DEPTH) {
            return mig_json_fail(&p->scan, "at most 32 structs inside each other");
        }
        p->depth++;
        ok = key[0] == 'f' ? read_fields(p, body) : read_subsections(p, body);
        p->depth--;
    } else {
        return true;
    }
    *known = true;
    return ok;
}

static bool read_device_key(Parser *p, const char *key, MigVmDevice *device, MigVmBody *body,
                            bool seen[2])
{
    bool known = false;
    int64_t instance;

    if (is_key(key, "name")) {
        seen[0] = true;
        return read_name(p, &device->name);
    }
    if (is_key(key, "instance_id")) {
        seen[1] = true;
        if (!mig_json_integer(&p->scan, INT32_MIN, UINT32_MAX, &instance)) {
            return false;
        }
        device->instance_id = (uint32_t)instance;
        return true;
    }
    if (is_key(key, "size")) {
        device->opaque = true;
        return read_size(p, &device->size);
    }
    return read_body_key(p, key, body, &known) && (known || mig_json_skip(&p->scan));
}

static bool read_device(Parser *p, MigVmDevice ***tail)
{
    MigVmDevice device = { 0 }, *copy;
    MigVmBody body = { 0 };
    bool seen[2] = { false, false };
    uint32_t members = 0, disagreements = p->desc->disagreements;
    char key[MIG_JSON_STRING];

    if (!mig_json_expect(&p->scan, '{')) {
        return false;
    }
    while (mig_json_more(&p->scan, '}', &members)) {
        if (!mig_json_key(&p->scan, key) || !read_device_key(p, key, &device, &body, seen)) {
            return false;
        }
    }
    if (p->scan.failed) {
        return false;
    }
    if (p->desc->device_count == MIG_LIMIT_SECTIONS) {
        return mig_json_fail(&p->scan, "at most 65536 devices");
    }
    if (!seen[0] || !seen[1]) {
        return mig_json_fail(&p->scan, "a device with name and instance_id");
    }
    if (device.opaque && device.size != body.size) {
        p->desc->disagreements++;
    } else {
        device.size = body.size;
    }
    device.unreliable = p->desc->disagreements != disagreements;
    device.body = keep(p, &body, sizeof(body));
    copy = keep(p, &device, sizeof(device));
    if (!device.body || !copy) {
        return false;
    }
    **tail = copy;
    *tail = &copy->next;
    p->desc->device_count++;
    return true;
}

static bool read_devices(Parser *p)
{
    MigVmDevice **tail = &p->desc->devices;
    uint32_t members = 0;

    if (*tail || !mig_json_expect(&p->scan, '[')) {
        return mig_json_fail(&p->scan, "one list of devices");
    }
    while (mig_json_more(&p->scan, ']', &members)) {
        size_t mark = mig_json_enter(&p->scan, "devices", (long)members - 1);

        if (!read_device(p, &tail)) {
            return false;
        }
        mig_json_leave(&p->scan, mark);
    }
    return !p->scan.failed;
}

static bool read_configuration(Parser *p)
{
    BodyList list = { .tail = &list.first };
    size_t mark = mig_json_enter(&p->scan, "configuration", -1);

    if (!read_struct(p, &list)) {
        return false;
    }
    p->desc->configuration = list.first;
    mig_json_leave(&p->scan, mark);
    return true;
}

static bool read_top(Parser *p)
{
    bool devices = false;
    uint32_t members = 0;
    char key[MIG_JSON_STRING];

    if (!mig_json_expect(&p->scan, '{')) {
        return false;
    }
    while (mig_json_more(&p->scan, '}', &members)) {
        bool ok = mig_json_key(&p->scan, key);

        if (ok && is_key(key, "page_size")) {
            ok = read_size(p, &p->desc->page_size);
        } else if (ok && is_key(key, "configuration")) {
            ok = read_configuration(p);
        } else if (ok && is_key(key, "devices")) {
            devices = true;
            ok = read_devices(p);
        } else if (ok) {
            ok = mig_json_skip(&p->scan);
        }
        if (!ok) {
            return false;
        }
    }
    if (!p->scan.failed && !devices) {
        return mig_json_fail(&p->scan, "a list of devices");
    }
    return !p->scan.failed && (mig_json_peek(&p->scan) == 0 && p->scan.at == p->scan.n
                                   ? true
                                   : mig_json_fail(&p->scan, "nothing behind the description"));
}

MigVmdesc *mig_vmdesc_parse(const char *text, size_t n, MigDiagnosis *why)
{
    Parser p = { .scan = { .text = text, .n = n, .fault = MIG_FAULT_VMDESC_JSON, .why = why } };

    p.desc = calloc(1, sizeof(*p.desc));
    if (!p.desc) {
        mig_json_fail(&p.scan, "memory for the description");
        return NULL;
    }
    if (n > MIG_LIMIT_VMDESC) {
        mig_json_fail(&p.scan, "a text of at most 16 MiB");
    } else {
        read_top(&p);
    }
    if (p.scan.failed) {
        mig_vmdesc_free(p.desc);
        return NULL;
    }
    return p.desc;
}

void mig_vmdesc_free(MigVmdesc *desc)
{
    Chunk *chunk = desc ? desc->arena : NULL;

    while (chunk) {
        Chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
    free(desc);
}

static const MigVmDevice *find_from(const MigVmDevice *from, const MigVmDevice *to,
                                    const char *name, uint32_t instance_id)
{
    for (; from != to; from = from->next) {
        if (from->instance_id == instance_id && strcmp(from->name, name) == 0) {
            return from;
        }
    }
    return NULL;
}

const MigVmDevice *mig_vmdesc_find(MigVmdesc *desc, const char *name, uint32_t instance_id)
{
    const MigVmDevice *from = desc->hint ? desc->hint->next : desc->devices;
    const MigVmDevice *found = find_from(from, NULL, name, instance_id);

    if (!found) {
        found = find_from(desc->devices, from, name, instance_id);
    }
    if (found) {
        desc->hint = found;
    }
    return found;
}

uint64_t mig_vmdesc_device_size(const MigVmDevice *device)
{
    return device->unreliable ? UINT64_MAX : device->size;
}
