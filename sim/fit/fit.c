/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitting, see fit.h. Model: regions give the workloads; then the whole is simulated as it was
 * recorded, and all rates are multiplied by one number until as many pages are sent again as were.
 * That number mends what regions can't see: how long before a round the bitmap was synchronised,
 * pages that were cleared late, writes that fell on dirty pages.
 *
 * Limits: a recording that ended before the guest was there is not compared (how often it went
 * round says little); one number for all regions.
 */
#include "sim/fit/fit.h"

#include <math.h>
#include <string.h>

#include "sim/fit/host.h"
#include "sim/fit/passes.h"
#include "sim/fit/regions.h"
#include "sim/scenario/scenario.h"
#include "sim/simulate/simulate.h"
#include "sim/world/clock.h"

#define RANGES_MAX   2048u                 /* of contents, per block */
#define PERIOD       (100 * MIG_NS_PER_MS) /* of QEMU's quota */
#define PAUSE        (20 * MIG_NS_PER_MS)
#define STRETCHES    4u
#define DOWNTIME     300u /* ms: QEMU's default */
#define TRIES        6u
#define CLOSE        0.004 /* pages sent again: as good as equal */
#define SCALE_MOST   2.0
#define TEXT_SHARE   0.7 /* pages that compress to less are taken for text */
#define LIMIT_FACTOR 20  /* times the recorded time that a simulation may take */

static json_object *number(double value)
{
    return json_object_new_int64((int64_t)(value + 0.5));
}

static void put(json_object *o, const char *key, json_object *v)
{
    json_object_object_add(o, key, v);
}

static json_object *text(const char *value)
{
    return json_object_new_string(value);
}

/* Memory ----------------------------------------------------------------------------------- */

/* Which pages were not zero when they were sent first: bit by bit. */
static GByteArray *find_filled(const MigSends *s, guint block, uint64_t pages)
{
    GByteArray *filled = g_byte_array_new();
    g_byte_array_set_size(filled, (guint)pages);
    memset(filled->data, 0, pages);
    for (guint i = 0; i < s->sends->len; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        if (sent->block == block && !sent->again && sent->kind != MIG_SENT_ZERO) {
            filled->data[sent->page] = 1;
        }
    }
    return filled;
}

/* Runs of filled pages; holes of up to |gap| pages are filled up. */
static json_object *ranges(const GByteArray *filled, uint64_t gap, uint32_t page, const char *kind)
{
    json_object *list = json_object_new_array();
    for (guint i = 0; i < filled->len;) {
        guint end = i;
        for (guint k = i; k < filled->len && k <= end + gap; k++) {
            end = filled->data[k] ? k + 1 : end;
        }
        if (end > i && filled->data[i]) {
            json_object *o = json_object_new_object();
            put(o, "offset", number((double)i * page));
            put(o, "length", number((double)(end - i) * page));
            put(o, "kind", text(kind));
            json_object_array_add(list, o);
            i = end;
        } else {
            i++;
        }
    }
    return list;
}

static json_object *content(const MigSends *s, guint block, uint64_t pages)
{
    g_autoptr(GByteArray) filled = find_filled(s, block, pages);
    bool dense = s->sampled == 0 || (double)s->sampled_packed > TEXT_SHARE * (double)s->sampled;
    const char *kind = dense ? "random" : "text";
    json_object *list = ranges(filled, 0, s->page_size, kind);
    for (uint64_t gap = 1; json_object_array_length(list) > RANGES_MAX; gap *= 2) {
        json_object_put(list);
        list = ranges(filled, gap, s->page_size, kind);
    }
    return list;
}

static json_object *ram(const MigSends *s)
{
    json_object *list = json_object_new_array();
    for (guint i = 0; i < s->blocks->len; i++) {
        const MigSendsBlock *b = &g_array_index(s->blocks, MigSendsBlock, i);
        json_object *o = json_object_new_object();
        put(o, "name", text(b->name));
        put(o, "size", number((double)b->size));
        put(o, "content", content(s, i, b->pages));
        json_object_array_add(list, o);
    }
    return list;
}

/* Writers ---------------------------------------------------------------------------------- */

static json_object *write_kind(const MigFitRegion *r, uint32_t page_size)
{
    if (r->changed == MIG_CHANGED_UNKNOWN || r->changed <= 8) {
        return text("counter");
    }
    if (r->changed > page_size / 2) {
        return text("page");
    }
    g_autofree char *bytes = g_strdup_printf("bytes:%u", r->changed);
    return text(bytes);
}

static json_object *workloads(const MigSends *s, const GArray *regions, double scale)
{
    json_object *list = json_object_new_array();
    for (guint i = 0; i < regions->len; i++) {
        const MigFitRegion *r = &g_array_index(regions, MigFitRegion, i);
        json_object *o = json_object_new_object();
        put(o, "block", text(g_array_index(s->blocks, MigSendsBlock, r->block).name));
        put(o, "offset", number((double)r->first * s->page_size));
        put(o, "length", number((double)r->pages * s->page_size));
        put(o, "pattern", text(r->pattern == MIG_PATTERN_SEQUENTIAL ? "sequential" : "random"));
        put(o, "rate", number(CLAMP(r->rate * scale, 1, MIG_WORKLOAD_RATE_MAX)));
        put(o, "pace", text("clock"));
        put(o, "write-cost", text("1ns"));
        put(o, "write", write_kind(r, s->page_size));
        json_object_array_add(list, o);
    }
    return list;
}

/* The line --------------------------------------------------------------------------------- */

static int by_rate(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* One stretch of sends, from its first one to that of the next. */
static void add_stretch(GArray *rates, uint64_t bytes, int64_t span)
{
    if (span > 0) {
        double rate = (double)bytes * MIG_NS_PER_S / (double)span;
        g_array_append_val(rates, rate);
    }
}

/*
 * Bytes per second, in stretches that begin after a pause (QEMU that has used its quota up sleeps
 * for the rest of its 100 ms), or take 100 ms where there is none.
 */
static GArray *stretches(const MigSends *s)
{
    GArray *rates = g_array_new(FALSE, FALSE, sizeof(double));
    int64_t from = 0, last = 0;
    uint64_t bytes = 0;
    for (guint i = 0; i < s->sends->len; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        if (sent->final) {
            break;
        }
        if (sent->at - last > PAUSE || sent->at - from > PERIOD + PAUSE) {
            add_stretch(rates, bytes, sent->at - from);
            from = sent->at;
            bytes = 0;
        }
        bytes += sent->bytes;
        last = sent->at;
    }
    g_array_sort(rates, by_rate);
    return rates;
}

/* The middle one of the stretches that are at least half as fast as the fast ones. */
static uint64_t line_rate(const MigSends *s)
{
    g_autoptr(GArray) rates = stretches(s);
    if (rates->len < STRETCHES) {
        return s->end > 0 ? (uint64_t)((double)s->bytes * MIG_NS_PER_S / (double)s->end) : 0;
    }
    double fast = g_array_index(rates, double, rates->len - 1 - rates->len / 8);
    guint low = 0;
    while (g_array_index(rates, double, low) < fast / 2) {
        low++;
    }
    return (uint64_t)g_array_index(rates, double, low + (rates->len - low) / 2);
}

static json_object *capabilities(const MigSends *s)
{
    json_object *o = json_object_new_object();
    bool xbzrle = false;
    for (guint i = 0; i < s->sends->len && !xbzrle; i++) {
        xbzrle = mig_sends_at(s, i)->kind == MIG_SENT_XBZRLE;
    }
    if (xbzrle) {
        put(o, "xbzrle", json_object_new_boolean(true));
    }
    if (s->channels) {
        put(o, "multifd", json_object_new_boolean(true));
    }
    return o;
}

static json_object *parameters(const MigSends *s)
{
    json_object *o = json_object_new_object();
    uint64_t limit = mig_fit_max_bandwidth(s);
    put(o, "max-bandwidth", json_object_new_uint64(limit ? limit : line_rate(s)));
    put(o, "downtime-limit", json_object_new_int64(DOWNTIME));
    if (s->channels) {
        put(o, "multifd-channels", json_object_new_int64(s->channels));
    }
    return o;
}

static json_object *scenario(const MigSends *s)
{
    json_object *o = json_object_new_object(), *guest = json_object_new_object(),
                *link = json_object_new_object();
    put(o, "schema", text(MIG_SCENARIO_SCHEMA));
    put(o, "description", text("Fitted to a recording; see docs/scenario.md, Fitted scenarios."));
    put(o, "qemu", text("10.0"));
    put(o, "seed", json_object_new_int64(1));
    put(guest, "machine", text(s->machine ? s->machine : "none"));
    put(guest, "dirty-tracking", text("kvm-manual-clear"));
    put(guest, "device-state", json_object_new_uint64(s->device_bytes));
    put(guest, "ram", ram(s));
    put(o, "guest", guest);
    put(link, "bandwidth", text("40Gbit/s"));
    put(link, "latency", text("20us"));
    put(link, "framing", text("none"));
    put(o, "link", link);
    put(o, "capabilities", capabilities(s));
    put(o, "parameters", parameters(s));
    g_autofree char *limit = g_strdup_printf(
        "%" G_GINT64_FORMAT "ms", (gint64)(LIMIT_FACTOR * s->end / MIG_NS_PER_MS + 1000));
    put(o, "limit", text(limit));
    return o;
}

static void set_workloads(json_object *o, const MigSends *s, const GArray *regions, double scale)
{
    json_object *guest = NULL;
    json_object_object_get_ex(o, "guest", &guest);
    put(guest, "workload", workloads(s, regions, scale));
}

/* Comparing -------------------------------------------------------------------------------- */

static uint64_t count_again(const MigSends *s)
{
    uint64_t again = 0;
    for (guint i = 0; i < s->sends->len; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        again += sent->again && sent->kind != MIG_SENT_ZERO;
    }
    return again;
}

/* Pages that the simulation sent more than once; *ended: it came to its end. */
static bool simulate_again(json_object *o, uint64_t first, uint64_t *again, bool *ended,
                           GError **error)
{
    g_autoptr(MigScenario) ready = mig_scenario_read(o, "the fitted scenario", ".", error);
    if (!ready) {
        return false;
    }
    const MigSimulateOptions options = { .accounting = true };
    g_autoptr(MigSimulation) m = mig_simulate(ready, &options, error);
    if (!m) {
        return false;
    }
    MigStats stats;
    mig_source_query(m->source, m->now, &stats);
    uint64_t sent = stats.ram.normal + stats.xbzrle.pages + stats.compression.pages;
    *again = sent > first ? sent - first : 0;
    *ended = !m->outcome && mig_simulation_fine(m);
    return true;
}

static uint64_t count_first(const MigSends *s)
{
    uint64_t first = 0;
    for (guint i = 0; i < s->sends->len; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        first += !sent->again && sent->kind != MIG_SENT_ZERO;
    }
    return first;
}

/* Regula falsi on logarithms, inside what was tried already. */
static double next_scale(const double scales[], const double offs[], unsigned tried)
{
    double low = -log(SCALE_MOST), high = log(SCALE_MOST), low_off = 0, high_off = 0;
    bool has_low = false, has_high = false;
    for (unsigned i = 0; i < tried; i++) {
        double at = log(scales[i]);
        if (offs[i] < 0 && (!has_low || at > low)) {
            low = at, low_off = offs[i], has_low = true;
        } else if (offs[i] > 0 && (!has_high || at < high)) {
            high = at, high_off = offs[i], has_high = true;
        }
    }
    if (has_low && has_high && low < high) {
        return exp(low + (high - low) * -low_off / (high_off - low_off));
    }
    double off = offs[tried - 1];
    return CLAMP(scales[tried - 1] * exp(CLAMP(-off, -0.3, 0.3)), 1 / SCALE_MOST, SCALE_MOST);
}

/* False: *error. */
static bool adjust(MigFit *f, const MigSends *s, GError **error)
{
    double scales[TRIES + 1] = { 1 }, offs[TRIES] = { 0 };
    uint64_t first = count_first(s);
    unsigned best = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        bool ended = false;
        set_workloads(f->scenario, s, f->regions, scales[i]);
        if (!simulate_again(f->scenario, first, &f->simulated_again, &ended, error)) {
            return false;
        }
        offs[i] = log((double)(f->simulated_again + 1) / (double)(f->again + 1));
        best = fabs(offs[i]) < fabs(offs[best]) ? i : best;
        if (fabs(offs[i]) < CLOSE) {
            break;
        }
        scales[i + 1] = next_scale(scales, offs, i + 1);
    }
    f->scale = scales[best];
    f->simulated_again = (uint64_t)((double)(f->again + 1) * exp(offs[best]));
    set_workloads(f->scenario, s, f->regions, f->scale);
    return true;
}

static json_object *find(json_object *o, const char *part, const char *key)
{
    json_object *p = NULL, *v = NULL;
    json_object_object_get_ex(o, part, &p);
    json_object_object_get_ex(p, key, &v);
    return v;
}

static MigFitTracking tracking(json_object *o, const MigSends *s)
{
    json_object *limit = find(o, "parameters", "downtime-limit");
    const char *how = json_object_get_string(find(o, "guest", "dirty-tracking"));
    double ms = limit ? json_object_get_double(limit) : DOWNTIME;
    return (MigFitTracking){
        .threshold = (uint64_t)((double)line_rate(s) * ms / 1000 / s->page_size),
        .manual = how && strcmp(how, "kvm-manual-clear") == 0,
    };
}

static bool check(const MigSends *s, GError **error)
{
    const char *why = NULL;
    if (!s->timed) {
        why = "it has no times, which rates need: expected a recording of migbench record";
    } else if (s->sends->len == 0 || s->end <= 0) {
        why = "the recording holds no pages";
    } else if (s->postcopy) {
        why = "the recording went over to postcopy, from where on its guest's writes don't show";
    }
    if (why) {
        g_set_error_literal(error, MIG_FIT_ERROR, 0, why);
    }
    return !why;
}

MigFit *mig_fit(const MigSends *s, const char *const *recorded, GError **error)
{
    if (!check(s, error)) {
        return NULL;
    }
    g_autoptr(MigFit) f = g_new0(MigFit, 1);
    f->scenario = scenario(s);
    f->costs = mig_fit_host(s);
    put(f->scenario, "host", mig_fit_host_to_json(f->costs));
    f->scale = 1;
    f->again = count_again(s);
    for (; recorded && *recorded; recorded++) {
        if (!mig_scenario_set(f->scenario, *recorded, error)) {
            return NULL;
        }
    }
    MigFitTracking how = tracking(f->scenario, s);
    f->regions = mig_fit_regions(s, &how);
    set_workloads(f->scenario, s, f->regions, 1);
    if (s->completed && f->regions->len && !adjust(f, s, error)) {
        return NULL;
    }
    return g_steal_pointer(&f);
}

void mig_fit_free(MigFit *f)
{
    if (f) {
        json_object_put(f->scenario);
        g_clear_pointer(&f->regions, g_array_unref);
        g_clear_pointer(&f->costs, g_array_unref);
        g_free(f);
    }
}

void mig_fit_to_text(const MigFit *f, const MigSends *s, GString *out)
{
    if (s->is_cut) {
        g_string_append_printf(out, "recording    of %s; the guest is fitted to what it has\n",
                               s->cut.found);
    }
    for (guint i = 0; i < f->regions->len; i++) {
        const MigFitRegion *r = &g_array_index(f->regions, MigFitRegion, i);
        json_object *write = write_kind(r, s->page_size);
        g_string_append_printf(
            out,
            "region       %s, pages %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
            ": %s, %s%.0f writes/s, %s\n",
            g_array_index(s->blocks, MigSendsBlock, r->block).name, r->first,
            r->first + r->pages - 1, r->pattern == MIG_PATTERN_SEQUENTIAL ? "sequential" : "random",
            r->saturated ? "at least " : "", r->rate * f->scale, json_object_get_string(write));
        json_object_put(write);
    }
    mig_fit_host_to_text(f->costs, out);
    if (f->simulated_again) {
        g_string_append_printf(out,
                               "fitted       %" G_GUINT64_FORMAT " pages sent again, recorded "
                               "%" G_GUINT64_FORMAT "\n",
                               f->simulated_again, f->again);
    }
}
