/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --set PATH=VALUE, see scenario.h. It changes the parsed JSON before anything is read, so that
 * what it makes is judged as if it had stood in the file. Objects on the way are made where they
 * are missing; an array takes an index that it has, or the one behind its last.
 */
#include <string.h>

#include "sim/scenario/scenario.h"

static bool fail(GError **error, const char *name, const char *why, const char *what)
{
    g_set_error(error, MIG_READER_ERROR, 0, "%s: %s%s", name, why, what);
    return false;
}

/* "a.b[0].c" and "a.b.0.c" to a, b, 0, c. */
static char **split_path(const char *path)
{
    g_autoptr(GString) dotted = g_string_new(NULL);
    for (const char *c = path; *c; c++) {
        if (*c == '[') {
            g_string_append_c(dotted, '.');
        } else if (*c != ']') {
            g_string_append_c(dotted, *c);
        }
    }
    return g_strsplit(dotted->str, ".", -1);
}

static json_object *parse_value(const char *text)
{
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    size_t n = strlen(text) + 1; /* with its end: a number has no other */
    json_object *v = json_tokener_parse_ex(tokener, text, (int)MIN(n, (size_t)INT_MAX));
    bool json = json_tokener_get_error(tokener) == json_tokener_success &&
                json_tokener_get_parse_end(tokener) + 1 >= n;
    json_tokener_free(tokener);
    if (json && !json_object_is_type(v, json_type_double)) {
        return v; /* no key takes a fraction, but "qemu" takes 10.0 */
    }
    json_object_put(v);
    return json_object_new_string(text);
}

/* An index into |array|, up to its length; false: it is none. */
static bool parse_index(json_object *array, const char *name, size_t *index)
{
    guint64 n;
    if (!g_ascii_string_to_unsigned(name, 10, 0, json_object_array_length(array), &n, NULL)) {
        return false;
    }
    *index = (size_t)n;
    return true;
}

/* The value at |name| in |at|, NULL where there is none. */
static bool get(json_object *at, const char *name, json_object **v)
{
    size_t index;
    *v = NULL;
    if (json_object_is_type(at, json_type_array)) {
        if (!parse_index(at, name, &index)) {
            return false;
        }
        *v = json_object_array_get_idx(at, index);
        return true;
    }
    if (json_object_is_type(at, json_type_object)) {
        json_object_object_get_ex(at, name, v);
        return *name != '\0';
    }
    return false;
}

/* |at| takes |v| over. get() has looked at |name| already. */
static void put(json_object *at, const char *name, json_object *v)
{
    size_t index;
    if (json_object_is_type(at, json_type_array)) {
        if (parse_index(at, name, &index)) {
            json_object_array_put_idx(at, index, v);
        }
    } else {
        json_object_object_add(at, name, v);
    }
}

/* Takes |v| over, also when it fails. |name| is what the message begins with. */
static bool set_at(json_object *root, const char *path, json_object *v, const char *name,
                   GError **error)
{
    g_auto(GStrv) names = split_path(path);
    json_object *at = root, *next;
    for (guint i = 0; names[i]; i++) {
        if (!get(at, names[i], &next)) {
            json_object_put(v);
            return *names[i] ? fail(error, name, "there is no ", names[i])
                             : fail(error, name, "a part of the path is empty", "");
        }
        if (!names[i + 1]) {
            put(at, names[i], v);
            return true;
        }
        if (!next) {
            next = json_object_new_object();
            put(at, names[i], next);
        }
        at = next;
    }
    json_object_put(v);
    return fail(error, name, "the path is empty", "");
}

bool mig_scenario_set(json_object *root, const char *assignment, GError **error)
{
    g_autofree char *name = g_strconcat("--set ", assignment, NULL);
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment) {
        return fail(error, name, "expected PATH=VALUE, such as link.bandwidth=1Gbit/s", "");
    }
    g_autofree char *path = g_strndup(assignment, (gsize)(equals - assignment));
    return set_at(root, path, parse_value(equals + 1), name, error);
}

bool mig_scenario_set_value(json_object *root, const char *path, json_object *v, GError **error)
{
    return set_at(root, path, v, path, error);
}
