/* SPDX-License-Identifier: Apache-2.0 */
/* Two results side by side, see diff-result.h. The walk is over both trees of JSON at once. */
#include "conformance/diff-result.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sim/scenario/json-reader.h"
#include "sim/simulate/result.h"

json_object *mig_diff_load_result(const char *file)
{
    FILE *f = strcmp(file, "-") != 0 ? fopen(file, "r") : NULL;
    bool may = f && getc(f) == '{'; /* no stream, capture or archive begins so */
    g_clear_pointer(&f, fclose);
    json_object *root = may ? mig_json_load(file, NULL) : NULL, *schema = NULL;
    if (root && json_object_object_get_ex(root, "schema", &schema) &&
        g_strcmp0(json_object_get_string(schema), MIG_RESULT_SCHEMA) == 0) {
        return root;
    }
    json_object_put(root);
    return NULL;
}

static bool is_number(json_object *o)
{
    return json_object_is_type(o, json_type_int) || json_object_is_type(o, json_type_double);
}

double mig_diff_percent(json_object *a, json_object *b)
{
    double from = is_number(a) && is_number(b) ? json_object_get_double(a) : 0;
    return from != 0 ? 100 * (json_object_get_double(b) - from) / from : (double)NAN;
}

static bool are_alike(const MigResultDiff *d, json_object *a, json_object *b)
{
    if (!is_number(a) || !is_number(b) || d->within <= 0) {
        return json_object_equal(a, b);
    }
    double x = json_object_get_double(a), y = json_object_get_double(b);
    return fabs(x - y) <= d->within / 100 * MAX(fabs(x), fabs(y));
}

static void walk(MigResultDiff *d, const char *path, json_object *a, json_object *b);

static void tell(MigResultDiff *d, const char *path, json_object *a, json_object *b)
{
    d->differences++;
    d->report(d->opaque, path, a, b);
}

static void walk_object(MigResultDiff *d, const char *path, json_object *a, json_object *b)
{
    json_object_object_foreach(a, key, mine)
    {
        json_object *theirs = NULL;
        g_autofree char *here = *path ? g_strdup_printf("%s.%s", path, key) : g_strdup(key);
        if (d->within > 0 && strcmp(here, "digests") == 0) {
            continue; /* of what is only nearly the same nothing is */
        }
        if (json_object_object_get_ex(b, key, &theirs)) {
            walk(d, here, mine, theirs);
        } else {
            tell(d, here, mine, NULL);
        }
    }
    json_object_object_foreach(b, other, only)
    {
        if (!json_object_object_get_ex(a, other, NULL)) {
            g_autofree char *here = *path ? g_strdup_printf("%s.%s", path, other) : g_strdup(other);
            tell(d, here, NULL, only);
        }
    }
}

static void walk_array(MigResultDiff *d, const char *path, json_object *a, json_object *b)
{
    size_t mine = json_object_array_length(a), theirs = json_object_array_length(b);
    uint64_t before = d->differences;
    if (mine != theirs) {
        g_autofree char *here = g_strdup_printf("%s[], elements", path);
        json_object *m = json_object_new_uint64(mine), *t = json_object_new_uint64(theirs);
        walk(d, here, m, t);
        json_object_put(m);
        json_object_put(t);
        return;
    }
    for (size_t i = 0; i < mine && d->differences == before; i++) {
        g_autofree char *here = g_strdup_printf("%s[%zu]", path, i);
        walk(d, here, json_object_array_get_idx(a, i), json_object_array_get_idx(b, i));
    }
}

static void walk(MigResultDiff *d, const char *path, json_object *a, json_object *b)
{
    json_type type = json_object_get_type(a);
    if (type == json_object_get_type(b) && type == json_type_object) {
        walk_object(d, path, a, b);
    } else if (type == json_object_get_type(b) && type == json_type_array) {
        walk_array(d, path, a, b);
    } else if (are_alike(d, a, b)) {
        d->same++;
    } else {
        tell(d, path, a, b);
    }
}

void mig_diff_results(MigResultDiff *d, json_object *a, json_object *b)
{
    walk(d, "", a, b);
}
