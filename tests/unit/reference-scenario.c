/* SPDX-License-Identifier: Apache-2.0 */
/* Random scenarios, see reference-scenario.h: small guests, any version, any set of capabilities
 * that it takes, and numbers of all sizes. */
#include "tests/unit/reference-scenario.h"

#include <glib.h>
#include <string.h>

#include "sim/engine/capabilities.h"
#include "sim/world/prng.h"

static const char *const versions[] = {
    "1.4", "1.5", "1.6", "2.0", "2.3", "2.4", "2.5", "2.9", "2.12", "3.0",  "4.0",  "4.1",  "4.2",
    "5.0", "5.2", "6.0", "7.2", "8.0", "8.1", "8.2", "9.0", "9.2",  "10.0", "10.2", "11.0", "11.1",
};

/* What the plain simulator knows, */
static const MigCapability known_ones[] = {
    MIG_CAP_DIRTY_LIMIT,      MIG_CAP_DIRTY_LIMIT,
    MIG_CAP_DIRTY_LIMIT,      MIG_CAP_BACKGROUND_SNAPSHOT,
    MIG_CAP_XBZRLE,           MIG_CAP_AUTO_CONVERGE,
    MIG_CAP_POSTCOPY_RAM,     MIG_CAP_RETURN_PATH,
    MIG_CAP_RELEASE_RAM,      MIG_CAP_LATE_BLOCK_ACTIVATE,
    MIG_CAP_EVENTS,           MIG_CAP_MULTIFD,
    MIG_CAP_COMPRESS,         MIG_CAP_MAPPED_RAM,
    MIG_CAP_X_IGNORE_SHARED,  MIG_CAP_VALIDATE_UUID,
    MIG_CAP_SWITCHOVER_ACK,   MIG_CAP_PAUSE_BEFORE_SWITCHOVER,
    MIG_CAP_POSTCOPY_PREEMPT, MIG_CAP_POSTCOPY_PREEMPT,
    MIG_CAP_POSTCOPY_RAM,     MIG_CAP_POSTCOPY_BLOCKTIME,
    MIG_CAP_POSTCOPY_PREEMPT,
};

/* and what, beside that, is compared mode against mode. */
static const MigCapability others[] = {
    MIG_CAP_BLOCK,         MIG_CAP_ZERO_BLOCKS,   MIG_CAP_X_COLO,
    MIG_CAP_DIRTY_BITMAPS, MIG_CAP_DIRTY_BITMAPS, MIG_CAP_RDMA_PIN_ALL,
};

/* With RDMA, which of the others go. */
static const MigCapability with_rdma[] = {
    MIG_CAP_XBZRLE,
    MIG_CAP_AUTO_CONVERGE,
    MIG_CAP_RETURN_PATH,
    MIG_CAP_EVENTS,
};

typedef struct Drawing {
    MigPrng random;
    GString *text;
    MigVersion v;
    MigCapabilitySet caps;
    bool rings;
} Drawing;

/* Writing JSON: each draw is a statement of its own, so that every compiler draws in this order. */

static unsigned below(Drawing *d, unsigned n)
{
    return (unsigned)mig_prng_below(&d->random, n);
}

static void add(Drawing *d, const char *text)
{
    g_string_append(d->text, text);
}

/* An element of a list, or with |name| a member of an object, that begins with |text|. */
static void begin(Drawing *d, const char *name, const char *text)
{
    bool first = strchr("{[", d->text->str[d->text->len - 1]) != NULL;
    add(d, first ? "" : ",");
    g_string_append_printf(d->text, name ? "\"%s\":%s" : "%s%s", name ? name : "", text);
}

static unsigned number(Drawing *d, const char *name, unsigned least, unsigned n)
{
    unsigned drawn = least + below(d, n);
    begin(d, name, "");
    g_string_append_printf(d->text, "%u", drawn);
    return drawn;
}

static void fixed(Drawing *d, const char *name, unsigned value)
{
    number(d, name, value, 1);
}

static unsigned quantity(Drawing *d, const char *name, const char *unit, unsigned least, unsigned n)
{
    unsigned drawn = least + below(d, n);
    begin(d, name, "\"");
    g_string_append_printf(d->text, "%u%s\"", drawn, unit);
    return drawn;
}

static const char *choice_of(Drawing *d, const char *name, const char *const *list, unsigned n)
{
    const char *chosen = list[below(d, n)];
    begin(d, name, "\"");
    g_string_append_printf(d->text, "%s\"", chosen);
    return chosen;
}

#define CHOICE(d, name, ...)                                 \
    choice_of(d, name, (const char *const[]){ __VA_ARGS__ }, \
              G_N_ELEMENTS(((const char *const[]){ __VA_ARGS__ })))

static void flag(Drawing *d, const char *name)
{
    begin(d, name, below(d, 2) ? "true" : "false");
}

static bool has(const Drawing *d, MigCapability cap)
{
    return d->caps & MIG_CAP_BIT(cap);
}

/* Settings ------------------------------------------------------------------------------------ */

/* Both are refused by a destination that the source's rules don't know: multifd's can't compress,
 * and from a file nobody acknowledges anything. */
static bool clash(MigCapabilitySet set)
{
    MigCapabilitySet packs = MIG_CAP_BIT(MIG_CAP_MULTIFD) | MIG_CAP_BIT(MIG_CAP_COMPRESS);
    MigCapabilitySet file = MIG_CAP_BIT(MIG_CAP_MAPPED_RAM) | MIG_CAP_BIT(MIG_CAP_SWITCHOVER_ACK);
    return (set & packs) == packs || (set & file) == file;
}

/* Any set of them that this QEMU takes. */
static void add_capabilities(Drawing *d, const MigCapability *caps, unsigned n)
{
    unsigned host = d->rings ? MIG_HOST_DIRTY_RING : 0;
    for (unsigned i = 0; i < n; i++) {
        MigCapabilitySet more = d->caps | MIG_CAP_BIT(caps[i]);
        bool wanted = below(d, 4) == 0 && mig_capability_exists(caps[i], d->v) && !clash(more);
        g_autofree char *refused = wanted ? mig_capabilities_check(more, d->v, host) : NULL;
        if (wanted && !refused && more != d->caps) {
            begin(d, mig_capability_name_in(caps[i], d->v), "true");
            d->caps = more;
        }
    }
}

static void add_converging(Drawing *d)
{
    if (d->v >= MIG_VERSION_OF(5, 1)) {
        unsigned initial = number(d, "cpu-throttle-initial", 1, 98);
        number(d, "cpu-throttle-increment", 1, 99);
        number(d, "max-cpu-throttle", initial, 100 - initial);
        number(d, "throttle-trigger-threshold", 1, 100);
        flag(d, "cpu-throttle-tailslow");
    }
}

static void add_codecs(Drawing *d)
{
    if (d->v >= MIG_VERSION_OF(5, 0)) {
        number(d, "multifd-channels", 1, 5);
        number(d, "multifd-zlib-level", 0, 4); /* others take their time */
        number(d, "multifd-zstd-level", 0, 5);
        has(d, MIG_CAP_MAPPED_RAM) /* excludes them */
            ? NULL
            : CHOICE(d, "multifd-compression", "none", "none", "zlib", "zstd");
    }
    if (d->v >= MIG_VERSION_OF(9, 0)) {
        CHOICE(d, "zero-page-detection", "none", "legacy", "multifd");
    }
    if (d->v >= MIG_VERSION_OF(2, 4) && d->v < MIG_VERSION_OF(9, 1)) {
        number(d, "compress-threads", 1, 8);
        number(d, "decompress-threads", 1, 3);
        number(d, "compress-level", 0, 4);
    }
    if (d->v >= MIG_VERSION_OF(3, 1) && d->v < MIG_VERSION_OF(9, 1)) {
        flag(d, "compress-wait-thread");
    }
}

static void add_parameters(Drawing *d)
{
    begin(d, "parameters", "{");
    fixed(d, "xbzrle-cache-size", 65536u << below(d, 8));
    add_converging(d);
    add_codecs(d);
    bool slow = below(d, 4) || has(d, MIG_CAP_DIRTY_LIMIT);
    slow ? number(d, "max-bandwidth", 100000, 9000000) : number(d, "max-bandwidth", 0, 1);
    if (d->v >= MIG_VERSION_OF(8, 1)) {
        number(d, "vcpu-dirty-limit", 1, 40);
        number(d, "x-vcpu-dirty-limit-period", 1, below(d, 2) ? 1000 : 100);
    }
    if (d->v >= MIG_VERSION_OF(3, 0) && below(d, 2)) {
        number(d, "max-postcopy-bandwidth", 100000, 9000000);
    }
    number(d, "downtime-limit", 1, below(d, 3) ? 10 : 300);
    add(d, "}");
    quantity(d, "limit", "ms", has(d, MIG_CAP_DIRTY_LIMIT) ? 5000 : 200, 9000);
}

/* The guest ----------------------------------------------------------------------------------- */

/* What a pattern needs beside its name. */
static void add_pattern(Drawing *d)
{
    const char *pattern =
        CHOICE(d, "pattern", "random", "sequential", "once", "hot-cold", "periodic", "zipf");
    if (strcmp(pattern, "hot-cold") == 0) {
        begin(d, "hot", "{");
        number(d, "share", 0, 101);
        number(d, "size", 0, 101);
        add(d, "}");
    } else if (strcmp(pattern, "periodic") == 0) {
        quantity(d, "period", "ms", 1, 900);
    } else if (strcmp(pattern, "zipf") == 0) {
        begin(d, "zipf", "{");
        CHOICE(d, "exponent", "0.0", "0.3", "0.9", "1.0", "1.2", "1.8");
        add(d, "}");
    }
}

/* Some of |pages| pages, as bytes. */
static void add_range(Drawing *d, unsigned pages, unsigned most)
{
    unsigned length = 1 + below(d, most);
    fixed(d, "length", length * 4096);
    fixed(d, "offset", 4096 * below(d, pages - length + 1));
}

static void add_workload(Drawing *d, const char *block, unsigned pages)
{
    bool limit = has(d, MIG_CAP_DIRTY_LIMIT); /* only a fast guest meets it */
    begin(d, NULL, "{");
    CHOICE(d, "block", block);
    add_range(d, pages, below(d, 2) ? pages : MIN(pages, 100));
    number(d, "rate", 1, limit ? 90000 : below(d, 3) ? 20000 : 500);
    add_pattern(d);
    CHOICE(d, "access", "write", "write", "read");
    CHOICE(d, "pace", "clock", "cpu");
    quantity(d, "catch-up", "ms", 0, 100);
    quantity(d, "start", "ms", 0, below(d, 2) ? 900 : 1);
    quantity(d, "write-cost", "ns", 0, limit ? 20000 : 200000);
    CHOICE(d, "write", "counter", "page", "zero");
    add(d, "}");
}

static void add_block(Drawing *d, const char *name, unsigned pages)
{
    begin(d, NULL, "{");
    CHOICE(d, "name", name);
    fixed(d, "size", pages * 4096);
    flag(d, "shared");
    begin(d, "content", "[{");
    add_range(d, pages, pages);
    CHOICE(d, "kind", "random", "random", "text");
    unsigned zeros = below(d, 200);
    fixed(d, "zeros", zeros < 100 ? zeros : 0);
    add(d, "}]}");
}

static void add_acks(Drawing *d)
{
    if (has(d, MIG_CAP_SWITCHOVER_ACK) && below(d, 2)) {
        begin(d, "switchover-acks", "[");
        for (unsigned n = 1 + below(d, 2); n > 0; n--) {
            begin(d, NULL, "{");
            CHOICE(d, "device", n == 1 ? "vfio-1" : "vfio-2");
            quantity(d, "at", "ms", 100, 3000);
            add(d, "}");
        }
        add(d, "]");
    }
}

static void add_disks(Drawing *d)
{
    begin(d, "disks", "[");
    for (unsigned n = 1 + below(d, 2); n > 0; n--) {
        unsigned pages = 256 * (1 + below(d, 3));
        begin(d, NULL, "{");
        CHOICE(d, "name", n == 1 ? "disk-1" : "disk-2");
        fixed(d, "size", pages * 4096);
        begin(d, "content", "[{");
        add_range(d, pages, pages);
        CHOICE(d, "kind", "random", "text");
        add(d, "}]");
        begin(d, "workload", "[{");
        add_range(d, pages, pages);
        CHOICE(d, "pattern", "random", "sequential");
        number(d, "rate", 1, 2000);
        add(d, "}]");
        begin(d, "dirty-bitmaps", below(d, 2) ? "[{\"name\":\"b\"}]" : "[]");
        add(d, "}");
    }
    add(d, "]");
}

static void add_guest(Drawing *d)
{
    static const char *const names[] = { "ram", "a-block-with-a-longer-name" };
    unsigned pages[2] = { 1 + below(d, 1500), 0 }, blocks = 1 + below(d, 2);
    pages[1] = 1 + below(d, 300);
    pages[0] += has(d, MIG_CAP_DIRTY_LIMIT) ? 1500 : 0; /* more than a ring has */
    begin(d, "guest", "{\"machine\":\"none\"");
    if (d->rings) {
        CHOICE(d, "dirty-tracking", "kvm-ring");
        fixed(d, "dirty-ring-size", 1024u << below(d, 2));
    } else {
        CHOICE(d, "dirty-tracking", "tcg", "kvm-log", "kvm-manual-clear");
    }
    if (below(d, 2)) {
        begin(d, "uuid", "\"0f3c4d5e-0000-4000-8000-00000000abcd\"");
    }
    number(d, "vcpus", 1, 3);
    add_acks(d);
    begin(d, "ram", "[");
    for (unsigned i = 0; i < blocks; i++) {
        add_block(d, names[i], pages[i]);
    }
    add(d, "]");
    begin(d, "workload", "[");
    for (unsigned n = below(d, 4) + 2 * has(d, MIG_CAP_DIRTY_LIMIT); n > 0; n--) {
        unsigned i = below(d, blocks);
        add_workload(d, names[i], pages[i]);
    }
    add(d, "]}");
}

/* The surroundings ---------------------------------------------------------------------------- */

/* A rate over time. */
static void add_trace(Drawing *d, const char *name, unsigned most)
{
    unsigned at = below(d, 600);
    at = at < 300 ? at : 0;
    begin(d, name, "{");
    begin(d, "points", "[");
    for (unsigned n = 1 + below(d, 5); n > 0; n--) {
        begin(d, NULL, "[");
        quantity(d, NULL, "ms", at, 1);
        quantity(d, NULL, "Mbit/s", 1, most);
        add(d, "]");
        at += 1 + below(d, 700);
    }
    add(d, "]");
    if (below(d, 2)) {
        CHOICE(d, "end", "repeat");
        quantity(d, "period", "ms", at, 1);
    }
    add(d, "}");
}

static void add_load(Drawing *d, const char *name, unsigned most)
{
    begin(d, name, "{");
    number(d, "flows", 1, 4);
    if (below(d, 2)) {
        quantity(d, "rate", "Mbit/s", 1, most);
        unsigned on = quantity(d, "on", "ms", 1, 500), off = quantity(d, "off", "ms", 1, 500);
        quantity(d, "start", "ms", 0, on + off);
    } else {
        add_trace(d, "trace", most);
    }
    add(d, "}");
}

static void add_variations(Drawing *d, unsigned mbits)
{
    if (!below(d, 3)) {
        add_trace(d, "bandwidth-trace", 2 * mbits);
    }
    if (below(d, 3) == 0) {
        begin(d, "token-bucket", "{");
        unsigned rate = quantity(d, "rate", "Mbit/s", 1, mbits);
        number(d, "burst", 0, 3000000);
        if (below(d, 2)) {
            quantity(d, "peak", "Mbit/s", rate, 100);
        }
        add(d, "}");
    }
    if (below(d, 3) == 0) {
        begin(d, "background", "{");
        if (below(d, 3)) {
            add_load(d, "forward", 2 * mbits);
        }
        if (below(d, 2)) {
            add_load(d, "reverse", 2 * mbits);
        }
        add(d, "}");
    }
}

static void add_link(Drawing *d)
{
    begin(d, "link", "{");
    if (has(d, MIG_CAP_RDMA_PIN_ALL)) {
        CHOICE(d, "transport", "rdma");
    }
    unsigned mbits = quantity(d, "bandwidth", "Mbit/s", 1, below(d, 2) ? 30 : 2000);
    quantity(d, "latency", "us", 0, 3000);
    CHOICE(d, "framing", "none", "ethernet-tcp");
    unsigned buffer = number(d, "send-buffer", 4096, 200000);
    number(d, "receive-buffer", 4096, 200000);
    below(d, 4) ? 0 : number(d, "send-wake", 1, buffer);
    if (!below(d, 3)) {
        add_variations(d, mbits);
    }
    add(d, "}");
}

static void add_hosts(Drawing *d)
{
    begin(d, "host", "{");
    number(d, "normal_page", 0, 9000000);
    number(d, "zero_page", 0, 900000);
    number(d, "sync_base", 0, 900000);
    number(d, "clear_chunk", 0, 90000);
    number(d, "protect_gib", 0, 900000000);
    number(d, "start", 0, 900000);
    number(d, "multifd_queue", 0, 900000);
    number(d, "multifd_threads", 1, 4);
    number(d, "compress_threads", 1, 4);
    number(d, "compress_queue", 0, 900000);
    number(d, "zlib_page", 0, 40000000);
    number(d, "zstd_page", 0, 9000000);
    add(d, "}");
    begin(d, "destination-host", "{");
    number(d, "receive_page", 0, 9000000);
    number(d, "first_touch", 0, 900000);
    number(d, "receive_zero", 0, 900000);
    number(d, "inflate_page", 0, 9000000);
    number(d, "compress_threads", 1, 4);
    number(d, "place_page", 0, 9000000);
    number(d, "fault", 0, 90000);
    number(d, "load_devices", 0, 9000000);
    add(d, "}");
}

static void add_events(Drawing *d)
{
    begin(d, "events", "[");
    if (has(d, MIG_CAP_POSTCOPY_RAM) && below(d, 4)) {
        begin(d, NULL, "{\"do\":\"migrate-start-postcopy\"");
        below(d, 2) ? quantity(d, "at", "ms", 10, 2000) : number(d, "after-pass", 0, 3);
        add(d, "}");
    }
    if (has(d, MIG_CAP_PAUSE_BEFORE_SWITCHOVER)) {
        begin(d, NULL,
              "{\"when\":\"status pre-switchover\",\"do\":\"migrate-continue\","
              "\"arguments\":{\"state\":\"pre-switchover\"}}");
    }
    add(d, "]");
    quantity(d, "x-poll", "ms", 1, 300);
}

char *reference_scenario(unsigned seed, bool known)
{
    Drawing d = { .random = mig_prng(seed, "reference", known), .text = g_string_new("{") };
    CHOICE(&d, "schema", "migbench-scenario-1");
    const char *qemu = choice_of(&d, "qemu", versions, G_N_ELEMENTS(versions));
    g_assert_true(mig_version_parse(qemu, &d.v));
    fixed(&d, "seed", seed);
    d.rings = below(&d, 3) == 0;
    begin(&d, "capabilities", "{");
    if (!known) {
        add_capabilities(&d, others, G_N_ELEMENTS(others));
    }
    if (has(&d, MIG_CAP_RDMA_PIN_ALL)) {
        add_capabilities(&d, with_rdma, G_N_ELEMENTS(with_rdma));
    } else {
        add_capabilities(&d, known_ones, G_N_ELEMENTS(known_ones));
    }
    add(&d, "}");
    add_guest(&d);
    if (has(&d, MIG_CAP_BLOCK) || has(&d, MIG_CAP_DIRTY_BITMAPS)) {
        add_disks(&d);
    }
    add_link(&d);
    add_hosts(&d);
    add_events(&d);
    add_parameters(&d);
    add(&d, "}");
    return g_string_free(d.text, FALSE);
}
