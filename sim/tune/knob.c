/* SPDX-License-Identifier: Apache-2.0 */
/* Knobs and goals, see knob.h. */
#include "sim/tune/knob.h"

#include <math.h>
#include <string.h>

#include "sim/world/clock.h"
#include "sim/world/units.h"

static bool fail(GError **error, const char *text, const char *expected)
{
    g_set_error(error, MIG_TUNE_ERROR, 0, "\"%s\": expected %s", text, expected);
    return false;
}

static bool parse_number(const char *text, uint64_t *value)
{
    return g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, value, NULL);
}

/* What it is shows in its unit. */
static bool parse_value(MigKnobForm *form, const char *text, uint64_t *value, GError **error)
{
    int64_t ns;
    if (parse_number(text, value)) {
        *form = MIG_KNOB_NUMBER;
        return true;
    }
    if (strstr(text, "bit/s") || strstr(text, "B/s")) {
        *form = MIG_KNOB_RATE;
        return mig_parse_rate(text, value, error);
    }
    if (mig_parse_time(text, &ns, NULL)) {
        *form = MIG_KNOB_TIME;
        *value = (uint64_t)ns;
        return true;
    }
    *form = MIG_KNOB_SIZE;
    return mig_parse_size(text, value, NULL) ||
           fail(error, text, "a number, or one with a unit: 64M, 1Gbit/s, 300ms");
}

/* Written as a number. */
static bool is_plain(MigKnobForm form)
{
    return form == MIG_KNOB_NUMBER || form == MIG_KNOB_SIZE;
}

/* A number without a unit goes with sizes. */
static bool go_together(MigKnobForm a, MigKnobForm b)
{
    return a == b || (is_plain(a) && is_plain(b));
}

static bool add_value(MigKnob *k, const char *text, GError **error)
{
    MigKnobForm form;
    uint64_t value;
    if (!parse_value(&form, text, &value, error)) {
        return false;
    }
    if (k->values->len && !go_together(k->form, form)) {
        return fail(error, text, "the same kind of unit as in front of it");
    }
    k->form = form == MIG_KNOB_NUMBER ? k->form : form; /* of a new knob: NUMBER */
    g_array_append_val(k->values, value);
    return true;
}

static const struct {
    const char *name;
    uint64_t ns;
} time_units[] = { { "ms", MIG_NS_PER_MS }, { "us", 1000 }, { "ns", 1 } };

static bool are_multiples(const GArray *values, uint64_t of)
{
    bool all = true;
    for (guint i = 0; i < values->len && all; i++) {
        all = g_array_index(values, uint64_t, i) % of == 0;
    }
    return all;
}

/* Values between whole milliseconds are whole milliseconds: what counts in them takes no others. */
static void choose_unit(MigKnob *k)
{
    for (k->unit = 0; !are_multiples(k->values, time_units[k->unit].ns);) {
        k->unit++;
    }
    for (guint i = 0; i < k->values->len; i++) {
        g_array_index(k->values, uint64_t, i) /= time_units[k->unit].ns;
    }
}

void mig_knob_refine(MigKnob *k, uint64_t from, uint64_t to, unsigned steps)
{
    double ratio = (double)to / (double)from;
    uint64_t last = 0;
    g_array_set_size(k->values, 0);
    for (unsigned i = 0; i < steps; i++) {
        double value = (double)from * pow(ratio, (double)i / MAX(steps - 1, 1));
        uint64_t rounded = i + 1 == steps ? to : (uint64_t)(value + 0.5);
        if (rounded > last) {
            g_array_append_val(k->values, rounded);
            last = rounded;
        }
    }
}

static bool parse_range(MigKnob *k, char **ends, unsigned steps, GError **error)
{
    if (!add_value(k, ends[0], error) || !add_value(k, ends[1], error)) {
        return false;
    }
    if (k->form == MIG_KNOB_TIME) {
        choose_unit(k);
    }
    uint64_t from = g_array_index(k->values, uint64_t, 0);
    uint64_t to = g_array_index(k->values, uint64_t, 1);
    if (from == 0 || to <= from) {
        return fail(error, k->path, "a range that rises from above 0");
    }
    k->range = true;
    mig_knob_refine(k, from, to, steps);
    return true;
}

static int by_value(gconstpointer a, gconstpointer b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool parse_list(MigKnob *k, const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **p = parts; *p; p++) {
        if (!add_value(k, *p, error)) {
            return false;
        }
    }
    if (k->form == MIG_KNOB_TIME) {
        choose_unit(k);
    }
    g_array_sort(k->values, by_value);
    return k->values->len <= MIG_TUNE_VALUES || fail(error, text, "fewer values");
}

MigKnob *mig_knob_parse(const char *text, unsigned steps, GError **error)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1]) {
        fail(error, text, "PATH=FROM..TO or PATH=VALUE,VALUE...");
        return NULL;
    }
    MigKnob *k = g_new0(MigKnob, 1);
    k->path = g_strndup(text, (gsize)(equals - text));
    k->values = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_auto(GStrv) ends = g_strsplit(equals + 1, "..", 2);
    if (!(ends[1] ? parse_range(k, ends, steps, error) : parse_list(k, equals + 1, error))) {
        g_clear_pointer(&k, mig_knob_free);
    }
    return k;
}

void mig_knob_free(MigKnob *k)
{
    if (k) {
        g_array_unref(k->values);
        g_free(k->path);
        g_free(k);
    }
}

json_object *mig_knob_value(const MigKnob *k, uint64_t value)
{
    if (is_plain(k->form)) {
        return json_object_new_uint64(value);
    }
    const char *unit = k->form == MIG_KNOB_RATE ? "bit/s" : time_units[k->unit].name;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "%s", value, unit);
    return json_object_new_string(text);
}

char *mig_knob_text(const MigKnob *k, uint64_t value)
{
    if (k->form == MIG_KNOB_RATE) {
        return mig_format_bits(value);
    }
    g_autofree char *size = k->form == MIG_KNOB_SIZE ? mig_format_size(value) : NULL;
    g_autofree char *about = size ? g_strdup_printf(" (%s)", size) : g_strdup("");
    const char *unit = k->form == MIG_KNOB_TIME ? time_units[k->unit].name : "";
    return g_strdup_printf("%" G_GUINT64_FORMAT "%s%s", value, unit, about);
}

/* What query-migrate has needs no path. */
static char *metric_path(const char *name, gsize n)
{
    static const char *const top[] = { "total-time", "downtime", "setup-time", NULL };
    g_autofree char *text = g_strndup(name, n);
    if (strchr(text, '.')) {
        return g_steal_pointer(&text);
    }
    return g_strv_contains(top, text) ? g_strconcat("query-migrate.", text, NULL)
                                      : g_strconcat("query-migrate.ram.", text, NULL);
}

static bool parse_bound(const char *text, double *bound, GError **error)
{
    char *end = NULL;
    int64_t ns;
    uint64_t bytes;
    *bound = g_ascii_strtod(text, &end);
    if (end != text && !*end) {
        return true;
    }
    if (mig_parse_time(text, &ns, NULL)) {
        *bound = (double)ns / MIG_NS_PER_MS;
        return true;
    }
    if (mig_parse_size(text, &bytes, NULL)) {
        *bound = (double)bytes;
        return true;
    }
    return fail(error, text, "a number, a time (300ms) or a size (4G)");
}

MigGoal *mig_goal_parse(const char *text, GError **error)
{
    const char *most = strstr(text, "<="), *least = strstr(text, ">=");
    const char *sign = most ? most : least;
    double bound;
    if (!sign || sign == text) {
        fail(error, text, "METRIC<=VALUE or METRIC>=VALUE, such as downtime<=300ms");
        return NULL;
    }
    if (!parse_bound(sign + 2, &bound, error)) {
        return NULL;
    }
    MigGoal *g = g_new(MigGoal, 1);
    *g = (MigGoal){ metric_path(text, (gsize)(sign - text)), !most, bound };
    return g;
}

void mig_goal_free(MigGoal *g)
{
    if (g) {
        g_free(g->metric);
        g_free(g);
    }
}

/* Of QEMU's statistics; ours say their unit by their name. */
char *mig_goal_text(const MigGoal *g, double value)
{
    static const char *const ms[] = { "total-time", "downtime", "expected-downtime", "setup-time",
                                      NULL };
    static const char *const bytes[] = { "transferred", "remaining", "total", NULL };
    const char *dot = strrchr(g->metric, '.'), *name = dot ? dot + 1 : g->metric;
    if (isnan(value)) {
        return g_strdup("unknown");
    }
    if (g_strv_contains(bytes, name)) {
        return mig_format_size((uint64_t)value);
    }
    if (strstr(g->metric, "-ns")) {
        return mig_format_time((int64_t)value);
    }
    return g_strdup_printf("%.10g%s", value,
                           g_strv_contains(ms, name)   ? " ms"
                           : strcmp(name, "mbps") == 0 ? " Mbit/s"
                                                       : "");
}

bool mig_goal_met(const MigGoal *g, double value)
{
    return g->at_least ? value >= g->bound : value <= g->bound;
}
