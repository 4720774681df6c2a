/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calc-dirty-rate and query-dirty-rate, with the arguments and fields of each version (compared
 * with 5.2, 7.2, 10.0 and 11.1). A target measures; this keeps what was asked for and what came of
 * it. Mirrors qmp_calc_dirty_rate() and qmp_query_dirty_rate() (migration/dirtyrate.c, 10.0). Left
 * out: QEMU starts a thread, which may say "unstarted" for a moment; here it is "measuring" at
 * once.
 */
#include <string.h>

#include "sim/monitor/monitor-internal.h"

#define V            MIG_VERSION_OF
#define MILLISECONDS V(8, 2) /* from here on calc-time may be given in them */

static const char *const statuses[] = { "unstarted", "measuring", "measured" };

static bool is_unit(MigVersion binary, const char *name)
{
    (void)binary;
    return strcmp(name, "second") == 0 || strcmp(name, "millisecond") == 0;
}

static bool find_mode(const char *name, MigDirtyRateMode *mode)
{
    for (*mode = 0; *mode < MIG_DIRTY_RATE_MODES; ++*mode) {
        if (strcmp(mig_dirty_rate_mode_name(*mode), name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_mode(MigVersion binary, const char *name)
{
    MigDirtyRateMode mode;
    (void)binary;
    return find_mode(name, &mode);
}

const MigArgument mig_calc_dirty_rate_arguments[] = {
    { "calc-time", MIG_ARGUMENT_INT },
    { "calc-time-unit", MIG_ARGUMENT_CHOICE, true, MILLISECONDS, .accepts = is_unit },
    { "sample-pages", MIG_ARGUMENT_INT, true, V(6, 1) },
    { "mode", MIG_ARGUMENT_CHOICE, true, V(6, 2), .accepts = is_mode },
    { NULL },
};
const MigArgument mig_query_dirty_rate_arguments[] = {
    { "calc-time-unit", MIG_ARGUMENT_CHOICE, true, MILLISECONDS, .accepts = is_unit },
    { NULL },
};

static bool in_seconds(json_object *arguments)
{
    const char *unit = mig_argument_string(arguments, "calc-time-unit");
    return !unit || strcmp(unit, "second") == 0;
}

/* calc-dirty-rate ---------------------------------------------------------------------------- */

static bool read_time(const MigMonitor *m, json_object *arguments, MigMonitorMeasure *how,
                      GError **error)
{
    bool fine_units = mig_monitor_binary(m) >= MILLISECONDS;
    int64_t least = fine_units ? 50 : 1000, most = 60000, unit = in_seconds(arguments) ? 1000 : 1;
    int64_t value = (int64_t)mig_argument_uint(arguments, "calc-time", 0);
    if (value < 0 || value > most || value * unit < least || value * unit > most) {
        mig_monitor_fail(error, "calc-time: expected %s to 60 s, found %" G_GINT64_FORMAT " %s",
                         fine_units ? "50 ms" : "1", value, unit == 1 ? "ms" : "s");
        return false;
    }
    how->ms = value * unit;
    return true;
}

static bool read_samples(json_object *arguments, MigMonitorMeasure *how, GError **error)
{
    bool given = json_object_object_get_ex(arguments, "sample-pages", NULL);
    uint64_t samples = mig_argument_uint(arguments, "sample-pages", MIG_DIRTY_RATE_SAMPLES);
    if (given && how->mode != MIG_DIRTY_RATE_PAGE_SAMPLING) {
        mig_monitor_fail(error, "sample-pages: mode %s samples nothing",
                         mig_dirty_rate_mode_name(how->mode));
        return false;
    }
    if (samples < MIG_DIRTY_RATE_MIN_SAMPLES || samples > MIG_DIRTY_RATE_MAX_SAMPLES) {
        mig_monitor_fail(error, "sample-pages: expected %u to %u per GiB",
                         MIG_DIRTY_RATE_MIN_SAMPLES, MIG_DIRTY_RATE_MAX_SAMPLES);
        return false;
    }
    how->sample_pages = (uint32_t)samples;
    return true;
}

json_object *mig_command_calc_dirty_rate(MigMonitor *m, json_object *arguments, GError **error)
{
    MigMonitorMeasure how = { 0 };
    const char *mode = mig_argument_string(arguments, "mode");
    MigMonitorRate *rate = &m->rate;
    if (rate->status == MIG_RATE_MEASURING) {
        return mig_monitor_fail(error, "a measurement is under way already");
    }
    if (mode) {
        find_mode(mode, &how.mode);
    }
    if (!read_time(m, arguments, &how, error) || !read_samples(arguments, &how, error)) {
        return NULL;
    }
    if (!m->target.measure) {
        return mig_monitor_fail(error, "there is no guest to be measured here");
    }
    if (!m->target.measure(m->target.opaque, &how, error)) {
        return NULL;
    }
    int64_t now = m->target.now ? m->target.now(m->target.opaque) : 0;
    json_object_put(rate->by_vcpu);
    *rate = (MigMonitorRate){ .status = MIG_RATE_MEASURING,
                              .how = how,
                              .samples = how.sample_pages,
                              .start = now / 1000000000 };
    return mig_monitor_empty();
}

static json_object *vcpus_to_json(const int64_t *rates, uint32_t count)
{
    json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < count; i++) {
        json_object *o = json_object_new_object();
        json_object_object_add(o, "dirty-rate", json_object_new_int64(rates[i]));
        json_object_object_add(o, "id", json_object_new_int64(i));
        json_object_array_add(list, o);
    }
    return list;
}

void mig_monitor_measured(MigMonitor *m, const MigDirtyRateResult *result)
{
    MigMonitorRate *rate = &m->rate;
    rate->status = MIG_RATE_MEASURED;
    rate->rate = result->rate;
    rate->how.ms = result->ms; /* on the real clock it may have become more */
    rate->by_vcpu = result->by_vcpu ? vcpus_to_json(result->by_vcpu, result->vcpus) : NULL;
    if (rate->how.mode != MIG_DIRTY_RATE_PAGE_SAMPLING) {
        rate->samples = 0; /* while it measures QEMU shows the default, afterwards none */
    }
}

/* query-dirty-rate --------------------------------------------------------------------------- */

json_object *mig_command_query_dirty_rate(MigMonitor *m, json_object *arguments, GError **error)
{
    const MigMonitorRate *rate = &m->rate;
    bool seconds = in_seconds(arguments);
    MigVersion binary = mig_monitor_binary(m);
    json_object *o = json_object_new_object();
    (void)error;
    json_object_object_add(o, "status", json_object_new_string(statuses[rate->status]));
    if (binary >= V(6, 1)) {
        json_object_object_add(o, "sample-pages", json_object_new_int64(rate->samples));
    }
    if (rate->status == MIG_RATE_MEASURED) {
        json_object_object_add(o, "dirty-rate", json_object_new_int64(rate->rate));
    }
    if (binary >= V(6, 2)) {
        const char *mode = mig_dirty_rate_mode_name(rate->how.mode);
        json_object_object_add(o, "mode", json_object_new_string(mode));
    }
    if (rate->by_vcpu) {
        json_object_object_add(o, "vcpu-dirty-rate", json_object_get(rate->by_vcpu));
    }
    if (binary >= MILLISECONDS) {
        json_object_object_add(o, "calc-time-unit",
                               json_object_new_string(seconds ? "second" : "millisecond"));
    }
    json_object_object_add(o, "start-time", json_object_new_int64(rate->start));
    json_object_object_add(o, "calc-time",
                           json_object_new_int64(seconds ? rate->how.ms / 1000 : rate->how.ms));
    return o;
}
