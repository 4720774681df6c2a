/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict reader, see json-reader.h. Syntax is json-c's strict mode; it keeps the last of two
 * equal keys in silence, so these are looked for in the text beforehand (duplicate keys).
 */
#include "sim/scenario/json-reader.h"

#include <gio/gio.h>
#include <string.h>

#include "sim/scenario/nearest.h"
#include "sim/world/units.h"

bool mig_read_fail(MigReader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (!r->error) {
        g_set_error(&r->error, MIG_READER_ERROR, 0, "%s: %s: %s", r->file,
                    r->path->len ? r->path->str : "(top)", text);
    }
    return false;
}

size_t mig_read_enter(MigReader *r, const char *key)
{
    size_t mark = r->path->len;
    g_string_append_printf(r->path, "%s%s", mark ? "." : "", key);
    return mark;
}

size_t mig_read_enter_index(MigReader *r, size_t index)
{
    size_t mark = r->path->len;
    g_string_append_printf(r->path, "[%zu]", index);
    return mark;
}

void mig_read_leave(MigReader *r, size_t mark)
{
    g_string_truncate(r->path, mark);
}

static const char *type_name(json_object *v)
{
    static const char *const names[] = { "null",      "a boolean", "a number", "a number",
                                         "an object", "an array",  "a string" };
    return names[json_object_get_type(v)];
}

static bool want(MigReader *r, json_object *v, json_type type, const char *what)
{
    return json_object_is_type(v, type) ||
           mig_read_fail(r, "expected %s, found %s", what, type_name(v));
}

bool mig_read_fail_unknown(MigReader *r, const char *what, const char *name,
                           const char *const *names)
{
    const char *near = mig_nearest(name, names);
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    if (near) {
        return mig_read_fail(r, "unknown %s \"%s\"; did you mean \"%s\"?", what, name, near);
    }
    return mig_read_fail(r, "unknown %s \"%s\"; known are: %s", what, name, all);
}

static bool fail_key(MigReader *r, const char *key, const MigField *fields)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const MigField *f = fields; f->key; f++) {
        g_ptr_array_add(names, (char *)f->key);
    }
    g_ptr_array_add(names, NULL);
    return mig_read_fail_unknown(r, "key", key, (const char *const *)names->pdata);
}

static const MigField *find_field(const MigField *fields, const char *key)
{
    while (fields->key && strcmp(fields->key, key) != 0) {
        fields++;
    }
    return fields->key ? fields : NULL;
}

bool mig_read_object(MigReader *r, json_object *v, const MigField *fields, void *dst)
{
    if (!want(r, v, json_type_object, "an object")) {
        return false;
    }
    json_object_object_foreach(v, key, value)
    {
        size_t mark = mig_read_enter(r, key);
        const MigField *f = find_field(fields, key);
        if (!f) {
            return fail_key(r, key, fields);
        }
        if (!f->read(r, value, (char *)dst + f->offset)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    for (const MigField *f = fields; f->key; f++) {
        if (f->required && !json_object_object_get_ex(v, f->key, NULL)) {
            return mig_read_fail(r, "the key \"%s\" is missing", f->key);
        }
    }
    return true;
}

bool mig_read_each(MigReader *r, json_object *v, MigReadFn *each, void *dst)
{
    if (!want(r, v, json_type_array, "an array")) {
        return false;
    }
    for (size_t i = 0; i < json_object_array_length(v); i++) {
        size_t mark = mig_read_enter_index(r, i);
        if (!each(r, json_object_array_get_idx(v, i), dst)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    return true;
}

bool mig_read_string(MigReader *r, json_object *v, void *dst)
{
    if (!want(r, v, json_type_string, "a string")) {
        return false;
    }
    const char *text = json_object_get_string(v);
    if (strlen(text) != (size_t)json_object_get_string_len(v)) {
        return mig_read_fail(r, "a string with a NUL in it");
    }
    g_free(*(char **)dst);
    *(char **)dst = g_strdup(text);
    return true;
}

bool mig_read_bool(MigReader *r, json_object *v, void *dst)
{
    if (!want(r, v, json_type_boolean, "true or false")) {
        return false;
    }
    *(bool *)dst = json_object_get_boolean(v);
    return true;
}

bool mig_read_u64(MigReader *r, json_object *v, void *dst)
{
    if (!want(r, v, json_type_int, "a whole number")) {
        return false;
    }
    if (json_object_get_int64(v) < 0) {
        return mig_read_fail(r, "%s is negative", json_object_get_string(v));
    }
    if (json_object_get_uint64(v) == UINT64_MAX) { /* what json-c makes of all that is larger */
        return mig_read_fail(r, "the number is too large");
    }
    *(uint64_t *)dst = json_object_get_uint64(v);
    return true;
}

bool mig_read_u32(MigReader *r, json_object *v, void *dst)
{
    uint64_t value;
    if (!mig_read_u64(r, v, &value)) {
        return false;
    }
    if (value > UINT32_MAX) {
        return mig_read_fail(r, "%s is too large", json_object_get_string(v));
    }
    *(uint32_t *)dst = (uint32_t)value;
    return true;
}

static bool unit_failed(MigReader *r, GError *error)
{
    mig_read_fail(r, "%s", error->message);
    g_error_free(error);
    return false;
}

/* A number, or a string with a unit, which |parse| knows. */
static bool read_number(MigReader *r, json_object *v, void *dst, const char *what,
                        bool (*parse)(const char *text, uint64_t *value, GError **error))
{
    GError *error = NULL;
    if (json_object_is_type(v, json_type_int)) {
        return mig_read_u64(r, v, dst);
    }
    if (!want(r, v, json_type_string, what)) {
        return false;
    }
    return parse(json_object_get_string(v), dst, &error) || unit_failed(r, error);
}

bool mig_read_size(MigReader *r, json_object *v, void *dst)
{
    return read_number(r, v, dst, "a size (bytes, or a string such as \"512M\")", mig_parse_size);
}

bool mig_read_bandwidth(MigReader *r, json_object *v, void *dst)
{
    return read_number(r, v, dst,
                       "a bandwidth (bytes per second, or a string such as \"32M\" or \"1Gbit/s\")",
                       mig_parse_bandwidth);
}

bool mig_read_ms(MigReader *r, json_object *v, void *dst)
{
    return read_number(r, v, dst, "a time (milliseconds, or a string such as \"0.3s\")",
                       mig_parse_ms);
}

bool mig_read_rate(MigReader *r, json_object *v, void *dst)
{
    GError *error = NULL;
    if (!want(r, v, json_type_string, "a rate (a string such as \"1Gbit/s\")")) {
        return false;
    }
    return mig_parse_rate(json_object_get_string(v), dst, &error) || unit_failed(r, error);
}

bool mig_read_time(MigReader *r, json_object *v, void *dst)
{
    GError *error = NULL;
    if (!want(r, v, json_type_string, "a time (a string such as \"20ms\")")) {
        return false;
    }
    return mig_parse_time(json_object_get_string(v), dst, &error) || unit_failed(r, error);
}

bool mig_read_ignore(MigReader *r, json_object *v, void *dst)
{
    (void)r, (void)v, (void)dst;
    return true;
}

bool mig_read_choice(MigReader *r, json_object *v, const char *const *names, unsigned *index)
{
    if (!want(r, v, json_type_string, "a string")) {
        return false;
    }
    for (unsigned i = 0; names[i]; i++) {
        if (strcmp(names[i], json_object_get_string(v)) == 0) {
            *index = i;
            return true;
        }
    }
    return mig_read_fail_unknown(r, "value", json_object_get_string(v), names);
}

/* Parsing ---------------------------------------------------------------------------------- */

static void fail_at(GError **error, const char *name, const char *text, size_t at, const char *what)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    g_set_error(error, MIG_READER_ERROR, 0, "%s:%u:%u: %s", name, line, column, what);
}

/* The end of the string that begins at text[at], a quotation mark. The text is valid JSON. */
static size_t string_end(const char *text, size_t at)
{
    for (at++; text[at] != '"'; at++) {
        at += text[at] == '\\';
    }
    return at + 1;
}

/* Looks through valid JSON for a key that its object has already; its place, or |n|. */
static size_t find_duplicate(const char *text, size_t n)
{
    g_autoptr(GPtrArray) sets = g_ptr_array_new_with_free_func((GDestroyNotify)g_hash_table_unref);
    for (size_t i = 0; i < n;) {
        if (text[i] == '{' || text[i] == '[') {
            g_ptr_array_add(sets, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL));
        } else if (text[i] == '}' || text[i] == ']') {
            g_ptr_array_remove_index(sets, sets->len - 1);
        } else if (text[i] == '"') {
            size_t end = string_end(text, i), colon = end;
            while (colon < n && g_ascii_isspace(text[colon])) {
                colon++;
            }
            if (colon < n && text[colon] == ':' &&
                !g_hash_table_add(sets->pdata[sets->len - 1], g_strndup(text + i, end - i))) {
                return i;
            }
            i = end;
            continue;
        }
        i++;
    }
    return n;
}

json_object *mig_json_parse(const char *text, size_t n, const char *name, GError **error)
{
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    json_object *value = n < INT_MAX ? json_tokener_parse_ex(tokener, text, (int)n) : NULL;
    enum json_tokener_error code = json_tokener_get_error(tokener);
    size_t at = json_tokener_get_parse_end(tokener);
    if (code == json_tokener_continue) {
        bool empty = strspn(text, " \t\r\n") >= n;
        fail_at(error, name, text, n,
                empty ? "expected JSON, found nothing" : "the text ends too early");
    } else if (code != json_tokener_success) {
        g_autofree char *why = g_strconcat(at == 0 ? "expected JSON, found something else: " : "",
                                           json_tokener_error_desc(code), NULL);
        fail_at(error, name, text, at, why);
    }
    json_tokener_free(tokener);
    size_t twice = code == json_tokener_success ? find_duplicate(text, n) : n;
    if (twice < n) {
        fail_at(error, name, text, twice, "this key stands twice in its object");
    }
    if (code != json_tokener_success || twice < n) {
        json_object_put(value);
        return NULL;
    }
    return value;
}

json_object *mig_json_load(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize n;
    if (!g_file_get_contents(path, &text, &n, error)) {
        return NULL;
    }
    return mig_json_parse(text, n, path, error);
}
