/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `info migrate` and its kin: the fields of query-migrate (query-dirty-rate, ...), one a line,
 * under their QAPI names and with units. The layout is our own: a program asks the query commands.
 */
#include <string.h>

#include "sim/monitor/monitor-internal.h"

static const char *unit_of(const char *key)
{
    static const struct {
        const char *key, *unit;
    } units[] = {
        { "total-time", " ms" },     { "setup-time", " ms" },
        { "downtime", " ms" },       { "expected-downtime", " ms" },
        { "transferred", " bytes" }, { "remaining", " bytes" },
        { "total", " bytes" },       { "normal-bytes", " bytes" },
        { "page-size", " bytes" },   { "multifd-bytes", " bytes" },
        { "bytes", " bytes" },       { "precopy-bytes", " bytes" },
        { "cache-size", " bytes" },  { "downtime-bytes", " bytes" },
        { "duplicate", " pages" },   { "postcopy-bytes", " bytes" },
        { "normal", " pages" },      { "skipped", " pages" },
        { "mbps", " Mbit/s" },       { "dirty-pages-rate", " pages/s" },
        { "pages", " pages" },       { "cpu-throttle-percentage", " %" },
        { "dirty-rate", " MiB/s" },  { "sample-pages", " per GiB" },
        { "limit-rate", " MiB/s" },  { "current-rate", " MiB/s" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        if (strcmp(units[i].key, key) == 0) {
            return units[i].unit;
        }
    }
    return "";
}

static void print_object(GString *out, const char *group, json_object *o);

/* Each vCPU's as a group. */
static void print_vcpus(GString *out, json_object *list, const char *id)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *one = NULL, *number = NULL; /* a copy: the list may be somebody else's */
        json_object_deep_copy(json_object_array_get_idx(list, i), &one, NULL);
        json_object_object_get_ex(one, id, &number);
        g_autofree char *group = g_strdup_printf("vcpu[%s]", json_object_get_string(number));
        json_object_object_del(one, id);
        print_object(out, group, one);
        json_object_put(one);
    }
}

static void print_object(GString *out, const char *group, json_object *o)
{
    json_object_object_foreach(o, key, v)
    {
        if (json_object_is_type(v, json_type_object)) {
            print_object(out, key, v);
        } else if (strcmp(key, "vcpu-dirty-rate") == 0) {
            print_vcpus(out, v, "id");
        } else if (json_object_is_type(v, json_type_double)) {
            char number[G_ASCII_DTOSTR_BUF_SIZE];
            g_ascii_formatd(number, sizeof(number), "%.2f", json_object_get_double(v));
            g_string_append_printf(out, "%s%s%s: %s%s\r\n", group, *group ? " " : "", key, number,
                                   unit_of(key));
        } else {
            g_string_append_printf(out, "%s%s%s: %s%s\r\n", group, *group ? " " : "", key,
                                   json_object_get_string(v), unit_of(key));
        }
    }
}

void mig_info_migrate(MigMonitor *m, GString *out)
{
    json_object *o = m->target.query_migrate(m->target.opaque);
    if (json_object_object_length(o) == 0) {
        g_string_append(out, "status: none\r\n");
    }
    print_object(out, "", o);
    json_object_put(o);
}

void mig_info_dirty_rate(MigMonitor *m, GString *out)
{
    json_object *o = mig_command_query_dirty_rate(m, NULL, NULL);
    print_object(out, "", o);
    json_object_put(o);
}

void mig_info_dirty_limit(MigMonitor *m, GString *out)
{
    json_object *list = mig_command_query_dirty_limit(m, NULL, NULL);
    if (json_object_array_length(list) == 0) {
        g_string_append(out, "no vCPU has a dirty limit\r\n");
    }
    print_vcpus(out, list, "cpu-index");
    json_object_put(list);
}
