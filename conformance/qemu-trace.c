/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace events of a QEMU's log, see qemu-trace.h. The first sync stands apart: it is part of the
 * setup and finds every page. vmstate_downtime_* came with 8.2.
 */
#include "conformance/qemu-trace.h"

#include <stdio.h>
#include <string.h>

#include "sim/calibrate/calibrate.h"

typedef struct Reading {
    MigQemuTrace *trace;
    GArray *syncs; /* gint64 */
    gint64 sync_began, saved_ram, loaded;
    gint64 loading; /* of devices, all together */
} Reading;

MigQemuTrace mig_qemu_trace_nothing(void)
{
    return (MigQemuTrace){ -1, -1, -1 };
}

/* "...@SEC.MICRO:" or an ISO time that a blank ends; ns, -1: the line has neither. */
static gint64 time_of(const char *line)
{
    const char *at = strchr(line, '@'), *end = strchr(line, ' ');
    long long seconds;
    int micro;
    if (at && sscanf(at, "@%lld.%6d:", &seconds, &micro) == 2) {
        return seconds * 1000000000 + micro * 1000ll;
    }
    g_autofree char *word = end ? g_strndup(line, (gsize)(end - line)) : NULL;
    g_autoptr(GDateTime) time = word ? g_date_time_new_from_iso8601(word, NULL) : NULL;
    return time
               ? g_date_time_to_unix(time) * 1000000000 + g_date_time_get_microsecond(time) * 1000ll
               : -1;
}

static void take_checkpoint(Reading *r, gint64 at, const char *name)
{
    if (g_str_has_prefix(name, "src-iterable-saved")) {
        r->saved_ram = at;
    } else if (g_str_has_prefix(name, "src-non-iterable-saved") && r->saved_ram >= 0) {
        r->trace->devices = at - r->saved_ram;
    } else if (g_str_has_prefix(name, "dst-precopy-loadvm-completed")) {
        r->loaded = at;
    } else if (g_str_has_prefix(name, "dst-precopy-bh-vm-started") && r->loaded >= 0) {
        r->trace->load = r->loading + at - r->loaded;
    }
}

static void take_load(Reading *r, const char *rest)
{
    const char *number = strstr(rest, "downtime=");
    if (number && strstr(rest, "type=non-iterable")) {
        r->loading += g_ascii_strtoll(number + strlen("downtime="), NULL, 10) * 1000;
    }
}

static void take_line(Reading *r, const char *line)
{
    gint64 at = time_of(line);
    const char *event;
    if (at < 0) {
        return;
    }
    if (strstr(line, "migration_bitmap_sync_start")) {
        r->sync_began = at;
    } else if (strstr(line, "migration_bitmap_sync_end") && r->sync_began >= 0) {
        gint64 took = at - r->sync_began;
        g_array_append_val(r->syncs, took);
    } else if ((event = strstr(line, "vmstate_downtime_checkpoint "))) {
        take_checkpoint(r, at, strchr(event, ' ') + 1);
    } else if ((event = strstr(line, "vmstate_downtime_load "))) {
        take_load(r, event);
    }
}

void mig_qemu_trace_read(MigQemuTrace *t, const char *log)
{
    g_auto(GStrv) lines = g_strsplit(log, "\n", -1);
    g_autoptr(GArray) syncs = g_array_new(FALSE, FALSE, sizeof(gint64));
    Reading r = { .trace = t, .syncs = syncs, .sync_began = -1, .saved_ram = -1, .loaded = -1 };
    for (char **line = lines; *line; line++) {
        take_line(&r, *line);
    }
    if (syncs->len > 1) {
        t->sync = mig_calibration_median((gint64 *)(void *)syncs->data + 1, syncs->len - 1);
    }
}
