/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking arguments, in the order of QEMU's generated visitors: every row in its turn (missing,
 * then of the wrong type, then of a value that is none), and at last what no row names.
 */
#include <string.h>

#include "sim/monitor/monitor-internal.h"

static const char *const wanted[] = {
    [MIG_ARGUMENT_STRING] = "a string", [MIG_ARGUMENT_BOOL] = "true or false",
    [MIG_ARGUMENT_INT] = "an integer",  [MIG_ARGUMENT_UINT] = "an integer from 0 to 2^64 - 1",
    [MIG_ARGUMENT_NUMBER] = "a number", [MIG_ARGUMENT_CHOICE] = "a string",
    [MIG_ARGUMENT_ARRAY] = "an array",  [MIG_ARGUMENT_STRING_OR_NULL] = "a string or null",
};

/* json-c keeps what is above INT64_MAX as unsigned. */
static bool fits_int64(json_object *v)
{
    return json_object_get_int64(v) < 0 ||
           json_object_get_uint64(v) == (uint64_t)json_object_get_int64(v);
}

static bool has_type(MigArgumentType type, MigVersion binary, json_object *v)
{
    json_type found = json_object_get_type(v);
    switch (type) {
    case MIG_ARGUMENT_STRING:
    case MIG_ARGUMENT_CHOICE:
        return found == json_type_string;
    case MIG_ARGUMENT_STRING_OR_NULL:
        return found == json_type_string || found == json_type_null;
    case MIG_ARGUMENT_BOOL:
        return found == json_type_boolean;
    case MIG_ARGUMENT_INT:
        return found == json_type_int && fits_int64(v);
    case MIG_ARGUMENT_UINT: /* the schema said int, not size, before 6.0: seen in 5.2 */
        return found == json_type_int && (binary >= MIG_VERSION_OF(6, 0) || fits_int64(v));
    case MIG_ARGUMENT_NUMBER:
        return found == json_type_int || found == json_type_double;
    case MIG_ARGUMENT_ARRAY:
        return found == json_type_array;
    }
    return false;
}

bool mig_argument_check(const MigArgument *a, MigVersion binary, json_object *v, const char *path,
                        GError **error)
{
    if (!has_type(a->type, binary, v)) {
        mig_monitor_fail(error, "argument \"%s\": expected %s, found %s", path, wanted[a->type],
                         json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
        return false;
    }
    if (a->type == MIG_ARGUMENT_CHOICE && !a->accepts(binary, json_object_get_string(v))) {
        mig_monitor_fail(error, "argument \"%s\": \"%s\" is not one of its values", path,
                         json_object_get_string(v));
        return false;
    }
    return true;
}

static bool row_exists(const MigArgument *a, MigVersion binary)
{
    return a->since <= binary && (!a->until || binary < a->until);
}

static const MigArgument *find_row(const MigArgument *rows, MigVersion binary, const char *name)
{
    for (; rows && rows->name; rows++) {
        if (row_exists(rows, binary) && strcmp(rows->name, name) == 0) {
            return rows;
        }
    }
    return NULL;
}

bool mig_arguments_check(const MigArgument *rows, MigVersion binary, json_object *object,
                         GError **error)
{
    for (const MigArgument *a = rows; a && a->name; a++) {
        json_object *v;
        if (!row_exists(a, binary)) {
            continue;
        }
        if (!json_object_object_get_ex(object, a->name, &v)) {
            if (!a->optional) {
                mig_monitor_fail(error, "argument \"%s\" is missing", a->name);
                return false;
            }
        } else if (!mig_argument_check(a, binary, v, a->name, error)) {
            return false;
        }
    }
    if (object) {
        json_object_object_foreach(object, key, value)
        {
            (void)value;
            if (!find_row(rows, binary, key)) {
                mig_monitor_fail(error, "there is no argument \"%s\" in QEMU %u.%u", key,
                                 MIG_VERSION_MAJOR(binary), MIG_VERSION_MINOR(binary));
                return false;
            }
        }
    }
    return true;
}

const char *mig_argument_string(json_object *object, const char *name)
{
    json_object *v;
    return json_object_object_get_ex(object, name, &v) ? json_object_get_string(v) : NULL;
}

bool mig_argument_bool(json_object *object, const char *name, bool otherwise)
{
    json_object *v;
    return json_object_object_get_ex(object, name, &v) ? json_object_get_boolean(v) : otherwise;
}

uint64_t mig_argument_uint(json_object *object, const char *name, uint64_t otherwise)
{
    json_object *v;
    if (!json_object_object_get_ex(object, name, &v)) {
        return otherwise;
    }
    int64_t number = json_object_get_int64(v);
    return number < 0 ? (uint64_t)number : json_object_get_uint64(v);
}
