/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results, see result.h. Times in "query-migrate" are QEMU's whole milliseconds; everything of ours
 * is in nanoseconds and says so in its key (x-...-ns), or stands in "x-units".
 */
#include "sim/simulate/result.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "sim/engine/dest-disks.h"
#include "sim/world/output.h"
#include "sim/world/units.h"

const char *mig_program_version(void)
{
    return MIGBENCH_VERSION;
}

static void put_int(json_object *o, const char *key, int64_t value)
{
    json_object_object_add(o, key, json_object_new_int64(value));
}

static void put_uint(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

/* Names of files need not be UTF-8; JSON is. */
static void put_text(json_object *o, const char *key, const char *text)
{
    g_autofree char *valid = text ? g_utf8_make_valid(text, -1) : NULL;
    if (valid) {
        json_object_object_add(o, key, json_object_new_string(valid));
    }
}

static void put_double(json_object *o, const char *key, double value)
{
    json_object_object_add(o, key, json_object_new_double(value));
}

static json_object *ram_to_json(const MigRamStats *ram)
{
    json_object *o = json_object_new_object();
    put_uint(o, "transferred", ram->transferred);
    put_uint(o, "remaining", ram->remaining);
    put_uint(o, "total", ram->total);
    put_uint(o, "duplicate", ram->duplicate);
    put_uint(o, "normal", ram->normal);
    put_uint(o, "normal-bytes", ram->normal_bytes);
    put_uint(o, "dirty-pages-rate", ram->dirty_pages_rate);
    put_double(o, "mbps", ram->mbps);
    put_uint(o, "dirty-sync-count", ram->dirty_sync_count);
    put_uint(o, "postcopy-requests", ram->postcopy_requests);
    put_uint(o, "page-size", ram->page_size);
    put_uint(o, "multifd-bytes", ram->multifd_bytes);
    if (ram->has_pages_per_second) {
        put_uint(o, "pages-per-second", ram->pages_per_second);
    }
    if (ram->has_phase_bytes) {
        put_uint(o, "precopy-bytes", ram->precopy_bytes);
        put_uint(o, "downtime-bytes", ram->downtime_bytes);
        put_uint(o, "postcopy-bytes", ram->postcopy_bytes);
    }
    return o;
}

/* The fields of the RAM that nobody counts for disks are not said. */
static json_object *disk_to_json(const MigDiskStats *disk)
{
    json_object *o = json_object_new_object();
    put_uint(o, "transferred", disk->transferred);
    put_uint(o, "remaining", disk->remaining);
    put_uint(o, "total", disk->total);
    return o;
}

static json_object *xbzrle_to_json(const MigXbzrleStats *x)
{
    json_object *o = json_object_new_object();
    put_uint(o, "cache-size", x->cache_size);
    put_uint(o, "bytes", x->bytes);
    put_uint(o, "pages", x->pages);
    put_uint(o, "cache-miss", x->cache_miss);
    put_double(o, "cache-miss-rate", x->cache_miss_rate);
    put_double(o, "encoding-rate", x->encoding_rate);
    put_uint(o, "overflow", x->overflow);
    return o;
}

static json_object *reasons_to_json(const char *const *reasons)
{
    json_object *rows = json_object_new_array();
    for (; *reasons; reasons++) {
        json_object_array_add(rows, json_object_new_string(*reasons));
    }
    return rows;
}

static json_object *compression_to_json(const MigCompressionStats *c)
{
    json_object *o = json_object_new_object();
    put_uint(o, "pages", c->pages);
    put_uint(o, "busy", c->busy);
    put_double(o, "busy-rate", c->busy_rate);
    put_uint(o, "compressed-size", c->compressed_size);
    put_double(o, "compression-rate", c->compression_rate);
    return o;
}

json_object *mig_stats_to_json(const MigStats *stats)
{
    json_object *o = json_object_new_object();
    if (strcmp(stats->status, "none") != 0) {
        put_text(o, "status", stats->status);
    }
    put_text(o, "error-desc", stats->error_desc);
    if (stats->blocked_reasons) {
        json_object_object_add(o, "blocked-reasons", reasons_to_json(stats->blocked_reasons));
    }
    if (stats->has_times) {
        put_int(o, "total-time", stats->total_time);
        put_int(o, "setup-time", stats->setup_time);
    }
    if (stats->has_downtime) {
        put_int(o, "downtime", stats->downtime);
    }
    if (stats->has_expected_downtime) {
        put_int(o, "expected-downtime", stats->expected_downtime);
    }
    if (stats->has_ram) {
        json_object_object_add(o, "ram", ram_to_json(&stats->ram));
    }
    if (stats->has_disk) {
        json_object_object_add(o, "disk", disk_to_json(&stats->disk));
    }
    if (stats->has_xbzrle) {
        json_object_object_add(o, "xbzrle-cache", xbzrle_to_json(&stats->xbzrle));
    }
    if (stats->has_compression) {
        json_object_object_add(o, "compression", compression_to_json(&stats->compression));
    }
    if (stats->has_dirty_limit) {
        put_uint(o, "dirty-limit-throttle-time-per-round",
                 stats->dirty_limit_throttle_time_per_round);
        put_uint(o, "dirty-limit-ring-full-time", stats->dirty_limit_ring_full_time);
    }
    if (stats->has_cpu_throttle) {
        put_uint(o, "cpu-throttle-percentage", stats->cpu_throttle_percentage);
    }
    return o;
}

static json_object *passes_to_json(const MigSource *source)
{
    size_t count;
    const MigPass *passes = mig_source_passes(source, &count);
    json_object *rows = json_object_new_array();
    for (size_t i = 0; i < count; i++) {
        const MigPass *p = &passes[i];
        json_object *o = json_object_new_object();
        put_uint(o, "dirty-sync-count", p->sync);
        put_int(o, "time-ns", p->at);
        put_uint(o, "remaining", p->remaining);
        put_uint(o, "dirty-pages", p->dirty_pages);
        put_uint(o, "transferred", p->transferred);
        put_uint(o, "dirty-pages-rate", p->dirty_pages_rate);
        put_int(o, "expected-downtime", p->expected_downtime);
        put_double(o, "mbps", p->mbps);
        if (p->throttle) {
            put_uint(o, "cpu-throttle-percentage", p->throttle);
        }
        json_object_array_add(rows, o);
    }
    return rows;
}

static json_object *events_to_json(const GArray *events)
{
    json_object *rows = json_object_new_array();
    for (guint i = 0; i < events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(events, MigSimulationEvent, i);
        json_object *o = json_object_new_object(), *data = json_object_new_object();
        put_int(o, "time-ns", e->at);
        put_text(o, "event", e->name);
        put_text(data, "status", e->status);
        if (e->pass) {
            put_uint(data, "pass", e->pass);
        }
        if (json_object_object_length(data) > 0) {
            json_object_object_add(o, "data", json_object_get(data));
        }
        json_object_put(data);
        json_object_array_add(rows, o);
    }
    return rows;
}

/* The parts of the downtime, ns, each from the end of the part before it. */
static json_object *downtime_to_json(const MigSimulation *m)
{
    const MigDowntime *d = mig_source_downtime(m->source);
    const struct {
        const char *name;
        int64_t from, to;
    } parts[] = {
        { "stop", d->began, d->stopped },
        { "sync", d->stopped, d->synced },
        { "ram", d->synced, d->ram_sent },
        { "devices", d->ram_sent, d->devices_sent },
        { "return-path", d->devices_sent, d->ended },
        { "destination-load", d->ended, m->dest_done },
    };
    json_object *o = json_object_new_object();
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        bool came = parts[i].from > 0 && parts[i].to > 0;
        put_int(o, parts[i].name, came ? MAX(parts[i].to - parts[i].from, 0) : 0);
    }
    return o;
}

static json_object *digests_to_json(const MigSimulation *m)
{
    json_object *o = json_object_new_object();
    put_text(o, "events", m->events_digest);
    put_text(o, "stream", m->bytes_digest);
    return o;
}

static json_object *guest_to_json(const MigSimulation *m)
{
    json_object *o = json_object_new_object();
    put_uint(o, "writes", m->guest_stats.written);
    if (m->guest_stats.read > 0) {
        put_uint(o, "reads", m->guest_stats.read);
    }
    put_uint(o, "writes-lost", m->guest_stats.lost);
    put_int(o, "stalled-ns", m->guest_stats.stalled);
    if (m->guest_stats.limited) {
        put_int(o, "limited-ns", m->guest_stats.limited);
    }
    if (m->guest_stats.faults > 0) {
        put_uint(o, "held-writes", m->guest_stats.faults);
        put_int(o, "held-ns", m->guest_stats.held);
    }
    put_uint(o, "pages-touched", m->guest_stats.touched);
    if (mig_source_hinted(m->source)) {
        put_uint(o, "pages-hinted-free", mig_source_hinted(m->source));
    }
    return o;
}

static const char *const verdicts[] = {
    [MIG_MEMORY_NOT_COMPARED] = "not-compared",
    [MIG_MEMORY_EQUAL] = "equal",
    [MIG_MEMORY_DIFFERS] = "differs",
};

static const char *different_block(const MigSimulation *m)
{
    return g_array_index(m->scenario->blocks, MigScenarioBlock, m->difference.block).name;
}

static json_object *destination_to_json(const MigSimulation *m)
{
    json_object *o = json_object_new_object();
    put_text(o, "memory", verdicts[m->verdict]);
    if (m->verdict == MIG_MEMORY_DIFFERS) {
        put_uint(o, "different-pages", m->difference.pages);
        put_text(o, "first-block", different_block(m));
        put_uint(o, "first-page", m->difference.page);
    }
    if (m->disks_compared) {
        put_text(o, "disks", m->disk_difference ? m->disk_difference : "equal");
    }
    if (m->dest) {
        put_text(o, "bitmaps-given-up", mig_dest_bitmaps_cancelled(m->dest));
    }
    if (m->difference.left_out) {
        put_uint(o, "left-out-pages", m->difference.left_out);
    }
    put_text(o, "error-desc", m->dest_error);
    if (m->postcopy) {
        MigEra era;
        mig_era_resolve(m->scenario->destination_version, m->scenario->machine, &era);
        json_object_object_add(
            o, "query-migrate",
            mig_result_query_destination(m->dest, &era, m->scenario->capabilities));
    }
    if (m->dest) {
        put_uint(o, "normal", mig_dest_counts(m->dest)->normal);
        put_uint(o, "duplicate", mig_dest_counts(m->dest)->zero);
        put_uint(o, "bytes", mig_dest_counts(m->dest)->bytes);
        const MigDestMultifdCounts *multifd = mig_dest_multifd(m->dest);
        if (multifd) {
            put_uint(o, "multifd-packets", multifd->packets);
            put_uint(o, "multifd-normal", multifd->normal);
            put_uint(o, "multifd-duplicate", multifd->zero);
        }
    }
    return o;
}

static json_object *rdma_to_json(const MigRdmaCounts *c)
{
    json_object *o = json_object_new_object();
    put_uint(o, "writes", c->writes);
    put_uint(o, "registrations", c->registrations);
    put_uint(o, "fills", c->fills);
    put_uint(o, "control-messages", c->controls);
    return o;
}

static json_object *libraries_to_json(void)
{
    json_object *o = json_object_new_object();
    put_text(o, "zlib", zlibVersion());
    put_text(o, "zstd", ZSTD_versionString());
    return o;
}

json_object *mig_result_to_json(const MigSimulation *m)
{
    MigStats stats;
    json_object *o = json_object_new_object();
    mig_source_query(m->source, m->now, &stats);
    put_text(o, "schema", MIG_RESULT_SCHEMA);
    put_text(o, "version", mig_program_version());
    put_text(o, "scenario", m->scenario->name);
    put_text(o, "description", m->scenario->description);
    put_text(o, "qemu", m->scenario->qemu);
    put_uint(o, "seed", m->scenario->seed);
    put_text(o, "x-outcome", m->outcome);
    put_text(o, "x-refused", m->refused);
    json_object_object_add(o, "query-migrate", mig_stats_to_json(&stats));
    json_object_object_add(o, "passes", passes_to_json(m->source));
    json_object_object_add(o, "events", events_to_json(m->events));
    json_object_object_add(o, "downtime-ns", downtime_to_json(m));
    json_object_object_add(o, "guest", guest_to_json(m));
    json_object_object_add(o, "destination", destination_to_json(m));
    if (m->scenario->link.rdma && m->rdma.controls) {
        json_object_object_add(o, "x-rdma", rdma_to_json(&m->rdma));
    }
    json_object_object_add(o, "digests", digests_to_json(m));
    json_object_object_add(o, "libraries", libraries_to_json());
    if (m->postcopy) {
        json_object_object_add(o, "postcopy", mig_result_postcopy(m));
    }
    put_int(o, "end-ns", m->now);
    return o;
}

bool mig_json_save(json_object *v, const char *path, GError **error)
{
    g_autofree char *text = g_strconcat(
        json_object_to_json_string_ext(v, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                              JSON_C_TO_STRING_NOSLASHESCAPE),
        "\n", NULL);
    return mig_output_save(path, text, -1, error);
}

/* For people ------------------------------------------------------------------------------- */

static void add_line(GString *text, const char *what, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void add_line(GString *text, const char *what, const char *format, ...)
{
    va_list args;
    g_string_append_printf(text, "%-12s ", what);
    va_start(args, format);
    g_string_append_vprintf(text, format, args);
    va_end(args);
    g_string_append_c(text, '\n');
}

static void add_memory_lines(GString *text, const MigSimulation *m)
{
    if (m->dest_error) {
        add_line(text, "destination", "failed: %s", m->dest_error);
    } else if (m->verdict == MIG_MEMORY_EQUAL) {
        add_line(text, "destination", "its memory equals the source's");
    } else if (m->verdict == MIG_MEMORY_DIFFERS) {
        add_line(text, "destination",
                 "MEMORY DIFFERS in %" G_GUINT64_FORMAT " pages, first page %" G_GUINT64_FORMAT
                 " of block \"%s\"",
                 m->difference.pages, m->difference.page, different_block(m));
    } else {
        add_line(text, "destination", "memory not compared");
    }
}

GString *mig_result_summary(const MigSimulation *m)
{
    MigStats stats;
    size_t syncs;
    GString *text = g_string_new(NULL);
    mig_source_query(m->source, m->now, &stats);
    mig_source_passes(m->source, &syncs);
    if (m->refused) {
        add_line(text, "refused", "%s", m->refused);
    }
    add_line(text, "status", "%s%s%s%s", stats.status, m->outcome ? " (" : "",
             m->outcome ? m->outcome : "", m->outcome ? ")" : "");
    if (stats.error_desc) {
        add_line(text, "error", "%s", stats.error_desc);
    }
    if (stats.has_times) {
        add_line(text, "total time", "%" G_GINT64_FORMAT " ms", stats.total_time);
    }
    if (stats.has_downtime) {
        add_line(text, "downtime", "%" G_GINT64_FORMAT " ms", stats.downtime);
    }
    if (stats.has_ram) {
        g_autofree char *bytes = mig_format_size(stats.ram.transferred);
        g_autofree char *left = mig_format_size(stats.ram.remaining);
        add_line(text, "transferred",
                 "%s in %zu pass%s (%" G_GUINT64_FORMAT " normal and %" G_GUINT64_FORMAT
                 " zero pages), %s remaining",
                 bytes, syncs, syncs == 1 ? "" : "es", stats.ram.normal, stats.ram.duplicate, left);
        if (stats.ram.dirty_pages_rate) { /* QEMU forgets it when a migration has completed */
            add_line(text, "dirty rate", "%" G_GUINT64_FORMAT " pages/s",
                     stats.ram.dirty_pages_rate);
        }
    }
    if (m->postcopy) {
        mig_result_postcopy_lines(m, text);
    }
    add_memory_lines(text, m);
    if (!m->events_digest) {
        return text; /* the real clock: no two runs are alike */
    }
    add_line(text, "digest", "events %.16s  stream %.16s", m->events_digest,
             m->bytes_digest ? m->bytes_digest : "-");
    return text;
}
