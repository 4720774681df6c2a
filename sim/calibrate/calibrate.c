/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration, see calibrate.h. A cost is the median of its rounds; its noise is their median
 * distance from it, scaled to the standard deviation of a normal distribution, so that a round
 * that something else disturbed counts as one of many.
 */
#include "sim/calibrate/calibrate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sim/scenario/scenario.h"

#define MOST_NOISE 1000 /* thousandths */

MigCalibration mig_calibration_new(void)
{
    return (MigCalibration){ .costs = mig_costs_default(), .noise = mig_costs_noise() };
}

static int rising(const void *a, const void *b)
{
    gint64 left = *(const gint64 *)a, right = *(const gint64 *)b;
    return (left > right) - (left < right);
}

gint64 mig_calibration_median(gint64 *values, guint count)
{
    qsort(values, count, sizeof(*values), rising);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static guint index_of(const char *name)
{
    guint i = 0;
    while (mig_costs_name(i) && strcmp(mig_costs_name(i), name) != 0) {
        i++;
    }
    g_assert(mig_costs_name(i));
    return i;
}

void mig_calibration_put(MigCalibration *c, const char *name, const char *how, gint64 *values,
                         guint count)
{
    guint index = index_of(name);
    gint64 middle = mig_calibration_median(values, count);
    g_autofree gint64 *far = g_new(gint64, count);
    for (guint i = 0; i < count; i++) {
        far[i] = ABS(values[i] - middle);
    }
    MigCosts unknown = mig_costs_noise();
    *mig_costs_field(&c->costs, name) = middle;
    *mig_costs_field(&c->noise, name) = *mig_costs_field(&unknown, name);
    if (*mig_costs_unit(index) && count > 1 && middle > 0) {
        gint64 noise = mig_calibration_median(far, count) * 1483 / middle;
        *mig_costs_field(&c->noise, name) = MIN(noise, MOST_NOISE);
    }
    c->known |= 1ull << index;
    c->how[index] = how;
    c->rounds[index] = count;
}

bool mig_calibrate_host(MigCalibration *c, const MigCalibrateOptions *options)
{
    g_autofree gint64 *values = g_new(gint64, options->rounds);
    for (const MigMeasure *m = mig_measures; m->name; m++) {
        guint count = 0;
        for (unsigned i = 0; i < options->rounds; i++) {
            if (options->interrupted && *options->interrupted) {
                return false;
            }
            gint64 value = m->once(options->shared);
            if (value >= 0) {
                values[count++] = value;
            }
        }
        if (count > 0) {
            mig_calibration_put(c, m->name, m->how, values, count);
        }
    }
    return true;
}

/* What came out --------------------------------------------------------------------------- */

static json_object *known_to_json(const MigCalibration *c, const MigCosts *of)
{
    json_object *o = json_object_new_object();
    MigCosts copy = *of;
    for (guint i = 0; mig_costs_name(i); i++) {
        if (c->known >> i & 1) {
            gint64 value = *mig_costs_field(&copy, mig_costs_name(i));
            json_object_object_add(o, mig_costs_name(i), json_object_new_int64(value));
        }
    }
    return o;
}

/* {"zero_page": "the engine's own code, 5 times"} */
static json_object *measured_to_json(const MigCalibration *c)
{
    json_object *o = json_object_new_object();
    for (guint i = 0; mig_costs_name(i); i++) {
        if (c->known >> i & 1) {
            g_autofree char *text = g_strdup_printf("%s, %u time%s", c->how[i], c->rounds[i],
                                                    c->rounds[i] == 1 ? "" : "s");
            json_object_object_add(o, mig_costs_name(i), json_object_new_string(text));
        }
    }
    return o;
}

json_object *mig_calibration_to_json(const MigCalibration *c, json_object *host)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "schema", json_object_new_string(MIG_HOST_SCHEMA));
    if (host) {
        json_object_object_add(host, "measured", measured_to_json(c));
        json_object_object_add(o, "host", host);
    }
    json_object_object_add(o, "costs", known_to_json(c, &c->costs));
    json_object_object_add(o, "noise", known_to_json(c, &c->noise));
    return o;
}

GString *mig_calibration_text(const MigCalibration *c)
{
    GString *text = g_string_new(NULL);
    MigCosts costs = c->costs, noise = c->noise;
    for (guint i = 0; mig_costs_name(i); i++) {
        const char *name = mig_costs_name(i), *unit = mig_costs_unit(i);
        gint64 value = *mig_costs_field(&costs, name);
        if (!(c->known >> i & 1)) {
            continue;
        }
        g_string_append_printf(text, "%-18s", name);
        if (*unit) {
            double us = (double)value / (strcmp(unit, "ps") == 0 ? 1e6 : 1e3);
            g_string_append_printf(text, "%12.3f us  +- %5.1f %%  %s\n", us,
                                   (double)*mig_costs_field(&noise, name) / 10, c->how[i]);
        } else {
            g_string_append_printf(text, "%12" G_GINT64_FORMAT "                 %s\n", value,
                                   c->how[i]);
        }
    }
    return text;
}

static char *processor_name(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
        return NULL;
    }
    char *at = strstr(text, "model name");
    at = at ? strchr(at, ':') : NULL;
    char *end = at ? strchr(at, '\n') : NULL;
    return end ? g_strstrip(g_strndup(at + 1, (gsize)(end - at - 1))) : NULL;
}

json_object *mig_calibrate_this_host(void)
{
    json_object *o = json_object_new_object();
    g_autofree char *processor = processor_name();
    struct utsname name;
    if (processor) {
        json_object_object_add(o, "processor", json_object_new_string(processor));
    }
    json_object_object_add(o, "processors", json_object_new_int64(sysconf(_SC_NPROCESSORS_ONLN)));
    if (uname(&name) == 0) {
        json_object_object_add(o, "kernel", json_object_new_string(name.release));
    }
    return o;
}
