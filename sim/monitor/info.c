/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `info migrate`: the fields of query-migrate, one a line, under their QAPI names and with units.
 * The layout is our own: a program asks query-migrate.
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
    };
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        if (strcmp(units[i].key, key) == 0) {
            return units[i].unit;
        }
    }
    return "";
}

static void print_object(GString *out, const char *group, json_object *o)
{
    json_object_object_foreach(o, key, v)
    {
        if (json_object_is_type(v, json_type_object)) {
            print_object(out, key, v);
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
