/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "link" of a scenario, see scenario.h. The scenario keeps the points of rates
 * that change (rates.h): of a list, of a file, or of traffic that comes and goes.
 */
#include <string.h>

#include "sim/scenario/scenario.h"
#include "sim/world/units.h"

#define RATE_MAX     10000000000000000ull /* bit/s: what link.c can count with */
#define INTERVAL_MIN 1000                 /* ns between changes */
#define FLOWS_MAX    65535u

typedef struct LinkText {
    MigScenario *s;
    MigLinkConfig config;
} LinkText;

static bool read_framing(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "none", "ethernet-tcp", NULL };
    unsigned index = 0;
    bool fine = mig_read_choice(r, v, names, &index);
    ((LinkText *)dst)->config.framing = index ? MIG_FRAMING_ETHERNET_TCP : MIG_FRAMING_NONE;
    return fine;
}

static bool read_transport(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "stream", "rdma", NULL };
    unsigned index = 0;
    bool fine = mig_read_choice(r, v, names, &index);
    ((LinkText *)dst)->config.rdma = index == 1;
    return fine;
}

static bool read_rate(MigReader *r, json_object *v, void *dst)
{
    uint64_t *rate = dst;
    return mig_read_rate(r, v, rate) &&
           (*rate <= RATE_MAX || mig_read_fail(r, "at most 10000Tbit/s"));
}

/* Of a wire: 0 bit/s is the word "unlimited", and nothing else. */
static bool read_bandwidth(MigReader *r, json_object *v, void *dst)
{
    uint64_t *rate = dst;
    return read_rate(r, v, rate) &&
           (*rate > 0 || g_strcmp0(json_object_get_string(v), "unlimited") == 0 ||
            mig_read_fail(r, "expected above 0, or \"unlimited\" for a wire that takes no time "
                             "(for outages there is \"bandwidth-trace\")"));
}

/* One that may be 0, and then is. */
static bool read_finite_rate(MigReader *r, json_object *v, void *dst)
{
    return read_rate(r, v, dst) && (g_strcmp0(json_object_get_string(v), "unlimited") != 0 ||
                                    mig_read_fail(r, "\"unlimited\" is no rate here: name one"));
}

/* Rates over time
 * ----------------------------------------------------------------------------------- */

typedef struct RatesText {
    GArray *points; /* MigRatePoint */
    bool repeats;
    int64_t period;
} RatesText;

static bool add_point(MigReader *r, RatesText *t, MigRatePoint p)
{
    guint n = t->points->len;
    int64_t last = n ? g_array_index(t->points, MigRatePoint, n - 1).at : -INTERVAL_MIN;
    g_array_append_val(t->points, p);
    return p.at - last >= INTERVAL_MIN ||
           mig_read_fail(r, "a time is at least 1us behind the one before it");
}

static bool read_point(MigReader *r, json_object *v, void *dst)
{
    MigRatePoint p;
    if (!json_object_is_type(v, json_type_array) || json_object_array_length(v) != 2) {
        return mig_read_fail(r, "expected a time and a rate, such as [\"2s\", \"1Gbit/s\"]");
    }
    return mig_read_time(r, json_object_array_get_idx(v, 0), &p.at) &&
           read_finite_rate(r, json_object_array_get_idx(v, 1), &p.rate) && add_point(r, dst, p);
}

static bool read_points(MigReader *r, json_object *v, void *dst)
{
    RatesText *t = dst;
    return (t->points->len == 0 || mig_read_fail(r, "\"points\" or a \"file\", not both")) &&
           mig_read_each(r, v, read_point, t);
}

/* "TIME RATE", into |p|. */
static bool parse_line(const char *line, MigRatePoint *p)
{
    size_t n = strcspn(line, " \t");
    g_autofree char *time = g_strndup(line, n), *rate = g_strstrip(g_strdup(line + n));
    return mig_parse_time(time, &p->at, NULL) && strcmp(rate, "unlimited") != 0 &&
           mig_parse_rate(rate, &p->rate, NULL) && p->rate <= RATE_MAX;
}

static bool read_lines(MigReader *r, const char *path, char **lines, RatesText *t)
{
    for (guint i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);
        MigRatePoint p;
        if (!*line || *line == '#') {
            continue;
        }
        size_t mark = r->path->len;
        g_string_append_printf(r->path, ": %s, line %u", path, i + 1);
        if (!parse_line(line, &p)) {
            return mig_read_fail(
                r, "\"%s\": expected a time and a rate, such as \"1.5s 200Mbit/s\"", line);
        }
        if (!add_point(r, t, p)) {
            return false;
        }
        mig_read_leave(r, mark);
    }
    return true;
}

static bool read_file(MigReader *r, json_object *v, void *dst)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL, *text = NULL;
    RatesText *t = dst;
    if (!mig_read_string(r, v, &name)) {
        return false;
    }
    if (t->points->len) {
        return mig_read_fail(r, "\"points\" or a \"file\", not both");
    }
    g_autofree char *path =
        g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(r->folder, name, NULL);
    if (!g_file_get_contents(path, &text, NULL, &error)) {
        return mig_read_fail(r, "%s", error->message);
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    return read_lines(r, path, lines, t);
}

static bool read_end(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "hold", "repeat", NULL };
    unsigned index = 0;
    bool fine = mig_read_choice(r, v, names, &index);
    ((RatesText *)dst)->repeats = index == 1;
    return fine;
}

static const MigField rates_fields[] = {
    { "points", read_points, 0 },
    { "file", read_file, 0 },
    { "end", read_end, 0 },
    { "period", mig_read_time, offsetof(RatesText, period) },
    { NULL },
};

static bool check_rates(MigReader *r, const RatesText *t)
{
    if (t->points->len == 0) {
        return mig_read_fail(r, "it has no points");
    }
    int64_t last = g_array_index(t->points, MigRatePoint, t->points->len - 1).at;
    if (t->repeats != (t->period > 0)) {
        return mig_read_fail(r, t->repeats ? "\"repeat\" needs a \"period\", after which it does"
                                           : "a \"period\" goes with \"end\": \"repeat\"");
    }
    return !t->repeats || t->period - last >= INTERVAL_MIN ||
           mig_read_fail(r, "the period has to end behind the last point");
}

static MigRates keep(MigScenario *s, const GArray *points, int64_t period)
{
    GBytes *bytes = g_bytes_new(points->data, points->len * sizeof(MigRatePoint));
    g_ptr_array_add(s->lent, bytes);
    return (MigRates){ g_bytes_get_data(bytes, NULL), points->len, period };
}

/* A list of points, a file of them, or an object that also says what comes behind its end. */
static bool read_rates(MigReader *r, json_object *v, MigScenario *s, MigRates *rates)
{
    RatesText t = { .points = g_array_new(FALSE, FALSE, sizeof(MigRatePoint)) };
    bool fine;
    if (json_object_is_type(v, json_type_array)) {
        fine = read_points(r, v, &t);
    } else if (json_object_is_type(v, json_type_string)) {
        fine = read_file(r, v, &t);
    } else if (json_object_is_type(v, json_type_object)) {
        fine = mig_read_object(r, v, rates_fields, &t);
    } else {
        fine = mig_read_fail(r, "expected a list of points, the name of a file, or an object");
    }
    fine = fine && check_rates(r, &t);
    if (fine) {
        *rates = keep(s, t.points, t.period);
    }
    g_array_unref(t.points);
    return fine;
}

/* Until its first point it is |rate|. */
static void begin_with(MigScenario *s, MigRates *c, uint64_t rate)
{
    if (c->count && c->points[0].at > 0) {
        const MigRatePoint first = { .rate = rate };
        g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(MigRatePoint));
        g_array_append_val(points, first);
        g_array_append_vals(points, c->points, (guint)c->count);
        *c = keep(s, points, c->period);
    }
}

static bool read_trace(MigReader *r, json_object *v, void *dst)
{
    LinkText *t = dst;
    return read_rates(r, v, t->s, &t->config.trace);
}

/* Background ------------------------------------------------------------------------------- */

typedef struct LoadText {
    MigScenario *s;
    uint64_t rate;
    int64_t on, off, start;
    uint32_t flows;
    MigRates trace;
} LoadText;

static bool read_load_trace(MigReader *r, json_object *v, void *dst)
{
    LoadText *t = dst;
    return read_rates(r, v, t->s, &t->trace);
}

static bool read_flows(MigReader *r, json_object *v, void *dst)
{
    uint32_t *flows = dst;
    return mig_read_u32(r, v, flows) &&
           ((*flows > 0 && *flows <= FLOWS_MAX) || mig_read_fail(r, "expected 1 to %u", FLOWS_MAX));
}

static bool read_interval(MigReader *r, json_object *v, void *dst)
{
    int64_t *ns = dst;
    return mig_read_time(r, v, ns) &&
           (*ns >= INTERVAL_MIN || mig_read_fail(r, "expected 1us or more"));
}

static const MigField load_fields[] = {
    { "rate", read_finite_rate, offsetof(LoadText, rate) },
    { "on", read_interval, offsetof(LoadText, on) },
    { "off", read_interval, offsetof(LoadText, off) },
    { "start", mig_read_time, offsetof(LoadText, start) },
    { "trace", read_load_trace, 0 },
    { "flows", read_flows, offsetof(LoadText, flows) },
    { NULL },
};

/* On and off in turn, as if that had always been so; on from |start|. */
static MigRates on_and_off(const LoadText *t)
{
    const int64_t cycle = t->on + t->off, end = (t->start + t->on) % cycle;
    g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(MigRatePoint));
    MigRatePoint on = { t->start, t->rate }, off = { end, 0 };
    MigRatePoint first = { 0, end > 0 && end <= t->start ? t->rate : 0 };
    if (t->start > 0 && end > 0) {
        g_array_append_val(points, first);
    }
    g_array_append_val(points, *(on.at < off.at ? &on : &off));
    g_array_append_val(points, *(on.at < off.at ? &off : &on));
    return keep(t->s, points, cycle);
}

static MigRates constant(const LoadText *t)
{
    const MigRatePoint p = { 0, t->rate };
    g_autoptr(GArray) points = g_array_new(FALSE, FALSE, sizeof(MigRatePoint));
    g_array_append_val(points, p);
    return keep(t->s, points, 0);
}

static bool check_load(MigReader *r, json_object *v, const LoadText *t)
{
    bool rate = json_object_object_get_ex(v, "rate", NULL);
    bool bursts = t->on > 0 || t->off > 0 || t->start > 0;
    if (rate == (t->trace.count > 0)) {
        return mig_read_fail(r, "expected a \"rate\" or a \"trace\"");
    }
    if (bursts && (!rate || t->on == 0 || t->off == 0)) {
        return mig_read_fail(r, "\"on\" and \"off\" go together, with a \"rate\"");
    }
    return !bursts || t->start < t->on + t->off ||
           mig_read_fail(r, "\"start\" has to be below \"on\" plus \"off\"");
}

static bool read_load(MigReader *r, json_object *v, MigScenario *s, MigBackground *b)
{
    LoadText t = { .s = s, .flows = 1 };
    if (!mig_read_object(r, v, load_fields, &t) || !check_load(r, v, &t)) {
        return false;
    }
    b->flows = t.flows;
    b->load = t.trace.count ? t.trace : t.on ? on_and_off(&t) : constant(&t);
    begin_with(s, &b->load, 0);
    return true;
}

static bool read_forward(MigReader *r, json_object *v, void *dst)
{
    LinkText *t = dst;
    return read_load(r, v, t->s, &t->config.background);
}

static bool read_reverse(MigReader *r, json_object *v, void *dst)
{
    LinkText *t = dst;
    return read_load(r, v, t->s, &t->config.reverse);
}

static const MigField background_fields[] = {
    { "forward", read_forward, 0 },
    { "reverse", read_reverse, 0 },
    { NULL },
};

static bool read_background(MigReader *r, json_object *v, void *dst)
{
    return mig_read_object(r, v, background_fields, dst);
}

/* The whole -------------------------------------------------------------------------------- */

static const MigField bucket_fields[] = {
    { "rate", read_finite_rate, offsetof(MigTokenBucket, rate), true },
    { "burst", mig_read_size, offsetof(MigTokenBucket, burst), true },
    { "peak", read_finite_rate, offsetof(MigTokenBucket, peak) },
    { NULL },
};

static bool read_bucket(MigReader *r, json_object *v, void *dst)
{
    MigTokenBucket *b = &((LinkText *)dst)->config.bucket;
    if (!mig_read_object(r, v, bucket_fields, b)) {
        return false;
    }
    if (b->rate == 0) {
        return mig_read_fail(r, "its rate has to be above 0");
    }
    return b->peak == 0 || b->peak >= b->rate || mig_read_fail(r, "its peak is below its rate");
}

static const MigField queue_fields[] = {
    { "main", mig_read_size, offsetof(MigLinkQueue, main), true },
    { "preempt", mig_read_size, offsetof(MigLinkQueue, preempt) },
    { NULL },
};

static bool read_queue(MigReader *r, json_object *v, void *dst)
{
    return mig_read_object(r, v, queue_fields, &((LinkText *)dst)->config.queue);
}

static const MigField link_fields[] = {
    { "transport", read_transport, 0 },
    { "bandwidth", read_bandwidth, offsetof(LinkText, config.bandwidth) },
    { "bandwidth-trace", read_trace, 0 },
    { "latency", mig_read_time, offsetof(LinkText, config.latency) },
    { "framing", read_framing, 0 },
    { "send-buffer", mig_read_size, offsetof(LinkText, config.send_buffer) },
    { "send-wake", mig_read_size, offsetof(LinkText, config.send_wake) },
    { "segment", mig_read_size, offsetof(LinkText, config.segment) },
    { "queue", read_queue, 0 },
    { "receive-buffer", mig_read_size, offsetof(LinkText, config.receive_buffer) },
    { "token-bucket", read_bucket, 0 },
    { "background", read_background, 0 },
    { NULL },
};

/* Where nothing could be shared, nor would ever leave. */
static bool check_link(MigReader *r, LinkText *t)
{
    MigLinkConfig *c = &t->config;
    bool varies =
        c->trace.count || c->background.load.count || c->reverse.load.count || c->bucket.rate;
    if (varies && c->bandwidth == 0) {
        return mig_read_fail(r, "a trace, a token bucket and background traffic need a "
                                "\"bandwidth\" that is not unlimited");
    }
    if (c->send_wake > (c->send_buffer ? c->send_buffer : MIG_LINK_SEND_BUFFER)) {
        return mig_read_fail(r, "\"send-wake\" is more than \"send-buffer\" holds");
    }
    begin_with(t->s, &c->trace, c->bandwidth);
    if (c->trace.count) {
        c->bandwidth = mig_rates_most(&c->trace);
    }
    return !c->trace.count || c->bandwidth > 0 ||
           mig_read_fail(r, "with this \"bandwidth-trace\" nothing would ever be sent");
}

bool mig_scenario_read_link(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    LinkText t = { .s = s, .config = s->link };
    if (!mig_read_object(r, v, link_fields, &t) || !check_link(r, &t)) {
        return false;
    }
    s->link = t.config;
    return true;
}
