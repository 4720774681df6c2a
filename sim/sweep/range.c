/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges, see range.h. Which unit a range has is what both of its ends can be read as. */
#include "sim/sweep/range.h"

#include "sim/sweep/sample.h"
#include "sim/world/units.h"

static bool parse_number(const char *text, uint64_t *value, GError **error)
{
    guint64 n;
    bool fine = g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &n, error);
    *value = fine ? n : 0;
    return fine;
}

static bool parse_time(const char *text, uint64_t *value, GError **error)
{
    int64_t ns = 0;
    bool fine = mig_parse_time(text, &ns, error);
    *value = (uint64_t)ns;
    return fine;
}

static const struct {
    bool (*parse)(const char *text, uint64_t *value, GError **error);
    const char *suffix; /* NULL: a JSON number */
} forms[] = {
    [MIG_RANGE_NUMBER] = { parse_number, NULL },
    [MIG_RANGE_SIZE] = { mig_parse_size, NULL },
    [MIG_RANGE_RATE] = { mig_parse_rate, "bit/s" },
    [MIG_RANGE_TIME] = { parse_time, "ns" },
};

static bool borrow(MigReader *r, json_object *v, void *dst)
{
    (void)r;
    *(json_object **)dst = v;
    return true;
}

static bool read_scale(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "linear", "log", NULL };
    return mig_read_choice(r, v, names, dst);
}

static const MigField fields[] = {
    { "path", mig_read_string, offsetof(MigSweepRange, path), true },
    { "values", borrow, offsetof(MigSweepRange, values) },
    { "from", borrow, offsetof(MigSweepRange, from_text) },
    { "to", borrow, offsetof(MigSweepRange, to_text) },
    { "step", borrow, offsetof(MigSweepRange, step_text) },
    { "scale", read_scale, offsetof(MigSweepRange, scale) },
    { NULL },
};

/* Reads |v| as |form|; false without an error where it is none. */
static bool read_as(json_object *v, MigRangeForm form, uint64_t *value)
{
    bool string = json_object_is_type(v, json_type_string);
    if (string == (form == MIG_RANGE_NUMBER) ||
        (!string && !json_object_is_type(v, json_type_int))) {
        return false;
    }
    return forms[form].parse(json_object_get_string(v), value, NULL);
}

static bool read_end(MigReader *r, const char *key, json_object *v, MigRangeForm form,
                     uint64_t *value)
{
    static const char *const what[] = { "a whole number", "a size", "a rate", "a time" };
    size_t mark = mig_read_enter(r, key);
    if (!read_as(v, form, value)) {
        return mig_read_fail(r, "expected %s as \"from\" is, found %s", what[form],
                             json_object_to_json_string(v));
    }
    mig_read_leave(r, mark);
    return true;
}

static bool read_from(MigReader *r, MigSweepRange *range)
{
    while (range->form < G_N_ELEMENTS(forms)) {
        if (read_as(range->from_text, range->form, &range->from)) {
            return true;
        }
        range->form++;
    }
    mig_read_enter(r, "from");
    return mig_read_fail(r,
                         "expected a whole number from 0, or a size (\"64M\"), a rate "
                         "(\"1Gbit/s\") or a time (\"20ms\"), found %s",
                         json_object_to_json_string(range->from_text));
}

static bool read_ends(MigReader *r, MigSweepRange *range)
{
    range->step = 1;
    if (!range->from_text || !range->to_text) {
        return mig_read_fail(r, "expected \"from\" and \"to\", or \"values\"");
    }
    if (!read_from(r, range) || !read_end(r, "to", range->to_text, range->form, &range->to) ||
        (range->step_text && !read_end(r, "step", range->step_text, range->form, &range->step))) {
        return false;
    }
    if (range->to < range->from || range->to > G_MAXINT64) {
        return mig_read_fail(r, "\"to\" is below \"from\", or above 2^63 - 1");
    }
    if (range->step == 0) {
        return mig_read_fail(r, "\"step\" is 0");
    }
    return range->scale == 0 || range->from > 0 || mig_read_fail(r, "a log scale can't begin at 0");
}

static bool read_values(MigReader *r, const MigSweepRange *range)
{
    if (range->from_text || range->to_text || range->step_text || range->scale) {
        return mig_read_fail(r, "\"values\" go without \"from\", \"to\", \"step\" and \"scale\"");
    }
    return (json_object_is_type(range->values, json_type_array) &&
            json_object_array_length(range->values) > 0) ||
           mig_read_fail(r, "\"values\": expected an array with one value or more");
}

bool mig_sweep_range_read(MigReader *r, json_object *v, MigSweepRange *range)
{
    return mig_read_object(r, v, fields, range) &&
           (range->values ? read_values(r, range) : read_ends(r, range));
}

void mig_sweep_range_clear(MigSweepRange *range)
{
    g_clear_pointer(&range->path, g_free);
}

json_object *mig_sweep_range_at(const MigSweepRange *range, uint64_t position, uint64_t count)
{
    if (range->values) {
        json_object *copy = NULL;
        uint64_t n = json_object_array_length(range->values);
        size_t index = (size_t)mig_sample_choice(position, count, n);
        json_object_deep_copy(json_object_array_get_idx(range->values, index), &copy, NULL);
        return copy;
    }
    uint64_t steps = (range->to - range->from) / range->step, at;
    if (range->scale == 0) {
        at = mig_sample_choice(position, count, steps + 1);
    } else {
        at = (mig_sample_log(position, count, range->from, range->to) - range->from) / range->step;
    }
    uint64_t value = range->from + at * range->step;
    const char *suffix = forms[range->form].suffix;
    if (!suffix) {
        return json_object_new_int64((int64_t)value);
    }
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "%s", value, suffix);
    return json_object_new_string(text);
}
