/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities and parameters against what real QEMUs answered: every capability alone and every
 * pair of them, given to migrate-set-capabilities on a machine without KVM; every parameter's
 * presence, default and bounds.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/capabilities.h"
#include "sim/engine/parameters.h"

typedef struct Answer {
    const char *qemu;
    const char *known;   /* query-migrate-capabilities */
    const char *refused; /* alone */
    const char *clashes; /* pairs refused though each alone is taken */
    const char *helps;   /* pairs taken though one of them alone is refused */
} Answer;

static const Answer answers[] = {
    { "5.2",
      "xbzrle rdma-pin-all auto-converge zero-blocks compress events "
      "postcopy-ram x-colo release-ram block return-path "
      "pause-before-switchover multifd dirty-bitmaps postcopy-blocktime "
      "late-block-activate x-ignore-shared validate-uuid ",
      "", "postcopy-ram+x-ignore-shared ", "" },
    { "7.2",
      "xbzrle rdma-pin-all auto-converge zero-blocks compress events "
      "postcopy-ram x-colo release-ram block return-path "
      "pause-before-switchover multifd dirty-bitmaps postcopy-blocktime "
      "late-block-activate x-ignore-shared validate-uuid "
      "background-snapshot zero-copy-send postcopy-preempt ",
      "zero-copy-send postcopy-preempt ",
      "xbzrle+background-snapshot rdma-pin-all+background-snapshot "
      "auto-converge+background-snapshot compress+multifd "
      "compress+background-snapshot postcopy-ram+x-ignore-shared "
      "postcopy-ram+background-snapshot x-colo+background-snapshot "
      "release-ram+background-snapshot return-path+background-snapshot "
      "pause-before-switchover+background-snapshot "
      "multifd+background-snapshot dirty-bitmaps+background-snapshot "
      "postcopy-blocktime+background-snapshot "
      "late-block-activate+background-snapshot "
      "validate-uuid+background-snapshot ",
      "postcopy-ram+postcopy-preempt multifd+zero-copy-send " },
    { "10.0",
      "xbzrle rdma-pin-all auto-converge zero-blocks events postcopy-ram "
      "x-colo release-ram return-path pause-before-switchover multifd "
      "dirty-bitmaps postcopy-blocktime late-block-activate "
      "x-ignore-shared validate-uuid background-snapshot zero-copy-send "
      "postcopy-preempt switchover-ack dirty-limit mapped-ram ",
      "zero-copy-send postcopy-preempt switchover-ack dirty-limit ",
      "xbzrle+multifd xbzrle+background-snapshot xbzrle+mapped-ram "
      "rdma-pin-all+background-snapshot "
      "auto-converge+background-snapshot postcopy-ram+multifd "
      "postcopy-ram+x-ignore-shared postcopy-ram+background-snapshot "
      "postcopy-ram+mapped-ram x-colo+background-snapshot "
      "release-ram+background-snapshot return-path+background-snapshot "
      "pause-before-switchover+background-snapshot "
      "multifd+background-snapshot dirty-bitmaps+background-snapshot "
      "postcopy-blocktime+background-snapshot "
      "late-block-activate+background-snapshot "
      "validate-uuid+background-snapshot ",
      "postcopy-ram+postcopy-preempt return-path+switchover-ack "
      "multifd+zero-copy-send " },
    { "11.1",
      "xbzrle rdma-pin-all auto-converge events postcopy-ram x-colo "
      "release-ram return-path pause-before-switchover multifd "
      "dirty-bitmaps postcopy-blocktime late-block-activate "
      "x-ignore-shared validate-uuid background-snapshot zero-copy-send "
      "postcopy-preempt switchover-ack dirty-limit mapped-ram ",
      "x-colo zero-copy-send postcopy-preempt switchover-ack dirty-limit ",
      "xbzrle+multifd xbzrle+background-snapshot xbzrle+mapped-ram "
      "rdma-pin-all+background-snapshot "
      "auto-converge+background-snapshot postcopy-ram+x-ignore-shared "
      "postcopy-ram+background-snapshot postcopy-ram+mapped-ram "
      "release-ram+background-snapshot return-path+background-snapshot "
      "pause-before-switchover+background-snapshot "
      "multifd+background-snapshot dirty-bitmaps+background-snapshot "
      "postcopy-blocktime+background-snapshot "
      "late-block-activate+background-snapshot "
      "validate-uuid+background-snapshot ",
      "postcopy-ram+postcopy-preempt x-colo+return-path "
      "return-path+switchover-ack multifd+zero-copy-send " },
};

static bool listed(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit(list, " ", -1);
    return g_strv_contains((const char *const *)words, word);
}

static bool taken(MigCapabilitySet set, MigVersion v)
{
    g_autofree char *why = mig_capabilities_check(set, v, 0);
    return !why;
}

static MigVersion version_of(const char *text)
{
    MigVersion v;
    g_assert_true(mig_version_parse(text, &v));
    return v;
}

static void test_alone(gconstpointer data)
{
    const Answer *a = data;
    MigVersion v = version_of(a->qemu);
    for (MigCapability c = 0; c < MIG_CAP_COUNT; c++) {
        const char *name = mig_capability_name(c);
        g_test_message("%s %s", a->qemu, name);
        g_assert_cmpint(mig_capability_exists(c, v), ==, listed(a->known, name));
        g_assert_cmpint(taken(MIG_CAP_BIT(c), v), ==,
                        listed(a->known, name) && !listed(a->refused, name));
    }
}

static bool expect_pair(const Answer *a, const char *one, const char *two)
{
    g_autofree char *pair = g_strdup_printf("%s+%s", one, two);
    g_autofree char *riap = g_strdup_printf("%s+%s", two, one);
    bool clash = listed(a->clashes, pair) || listed(a->clashes, riap);
    bool help = listed(a->helps, pair) || listed(a->helps, riap);
    return help || (!clash && !listed(a->refused, one) && !listed(a->refused, two));
}

static void test_pairs(gconstpointer data)
{
    const Answer *a = data;
    MigVersion v = version_of(a->qemu);
    unsigned pairs = 0;
    for (MigCapability c = 0; c < MIG_CAP_COUNT; c++) {
        for (MigCapability d = 0; d < c; d++) {
            const char *one = mig_capability_name(c), *two = mig_capability_name(d);
            if (listed(a->known, one) && listed(a->known, two)) {
                g_test_message("%s %s+%s", a->qemu, one, two);
                g_assert_cmpint(taken(MIG_CAP_BIT(c) | MIG_CAP_BIT(d), v), ==,
                                expect_pair(a, one, two));
                pairs++;
            }
        }
    }
    g_assert_cmpuint(pairs, >=, 150);
}

static void test_named_refusals(void)
{
    static const struct {
        MigCapabilitySet set;
        const char *qemu;
        unsigned host;
        const char *message; /* NULL: taken */
    } rows[] = {
        { MIG_CAP_BIT(MIG_CAP_COMPRESS), "10.0", 0,
          "compress was removed in 9.1; this scenario follows 10.0" },
        { MIG_CAP_BIT(MIG_CAP_MAPPED_RAM), "7.2", 0,
          "mapped-ram came with 9.0; this scenario follows 7.2" },
        { MIG_CAP_BIT(MIG_CAP_SWITCHOVER_ACK), "10.0", 0,
          "switchover-ack needs return-path in QEMU 10.0: switch that on, too" },
        { MIG_CAP_BIT(MIG_CAP_MULTIFD) | MIG_CAP_BIT(MIG_CAP_XBZRLE), "11.1", 0,
          "multifd excludes xbzrle in QEMU 11.1: switch one of them off" },
        { MIG_CAP_BIT(MIG_CAP_DIRTY_LIMIT), "10.0", MIG_HOST_DIRTY_RING, NULL },
        { MIG_CAP_BIT(MIG_CAP_DIRTY_LIMIT) | MIG_CAP_BIT(MIG_CAP_AUTO_CONVERGE), "10.0",
          MIG_HOST_DIRTY_RING,
          "dirty-limit excludes auto-converge in QEMU 10.0: switch one of them off" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *why =
            mig_capabilities_check(rows[i].set, version_of(rows[i].qemu), rows[i].host);
        g_assert_cmpstr(why, ==, rows[i].message);
    }
}

static void test_old_names(void)
{
    g_assert_cmpstr(mig_capability_name_in(MIG_CAP_MULTIFD, version_of("3.1")), ==, "x-multifd");
    g_assert_cmpint(mig_capability_find_in("x-multifd", version_of("3.1")), ==, MIG_CAP_MULTIFD);
    g_assert_cmpint(mig_capability_find_in("multifd", version_of("3.1")), ==, MIG_CAP_COUNT);
    g_assert_cmpint(mig_capability_find_in("multifd", version_of("4.0")), ==, MIG_CAP_MULTIFD);
    g_assert_cmpint(mig_capability_find_in("x-postcopy-ram", version_of("2.5")), ==,
                    MIG_CAP_POSTCOPY_RAM);
}

/* Present in: a letter for each of 5.2, 7.2, 10.0, 11.1. */
static void test_parameters_by_version(void)
{
    static const struct {
        const char *name, *present;
    } rows[] = {
        { "compress-level", "yynn" },
        { "block-incremental", "yynn" },
        { "zero-page-detection", "nnyy" },
        { "avail-switchover-bandwidth", "nnyy" },
        { "vcpu-dirty-limit", "nnyy" },
        { "mode", "nnyy" },
        { "direct-io", "nnyy" },
        { "x-rdma-chunk-size", "nnny" },
        { "cpr-exec-command", "nnny" },
        { "multifd-qatzip-level", "nnyy" },
        { "cpu-throttle-tailslow", "yyyy" },
        { "multifd-zstd-level", "yyyy" },
        { "max-postcopy-bandwidth", "yyyy" },
        { "announce-step", "yyyy" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const MigParameterRow *row = mig_parameter_find(rows[i].name);
        g_assert_nonnull(row);
        for (size_t k = 0; k < G_N_ELEMENTS(answers); k++) {
            MigVersion v = version_of(answers[k].qemu);
            g_autofree char *absent = mig_parameter_absent(row, v);
            g_assert_cmpint(mig_parameter_exists(row, v), ==, rows[i].present[k] == 'y');
            g_assert_cmpint(!absent, ==, rows[i].present[k] == 'y');
        }
    }
}

/* The smallest and largest value that 7.2, 10.0 and 11.1 take, and 10.0's default. */
static void test_parameter_bounds(void)
{
    static const struct {
        const char *name;
        uint64_t min, max, value;
    } rows[] = {
        { "xbzrle-cache-size", 4096, 1ull << 63, 67108864 },
        { "cpu-throttle-initial", 1, 99, 20 },
        { "cpu-throttle-increment", 1, 99, 10 },
        { "max-cpu-throttle", 20, 99, 99 },
        { "throttle-trigger-threshold", 1, 100, 50 },
        { "announce-initial", 0, 100000, 50 },
        { "announce-max", 0, 100000, 550 },
        { "announce-rounds", 0, 1000, 5 },
        { "announce-step", 1, 10000, 100 },
        { "avail-switchover-bandwidth", 0, UINT64_MAX, 0 },
        { "multifd-channels", 1, 255, 2 },
        { "multifd-zlib-level", 0, 9, 1 },
        { "multifd-zstd-level", 0, 20, 1 },
        { "multifd-qatzip-level", 1, 9, 1 },
        { "downtime-limit", 0, 2000000, 300 },
        { "vcpu-dirty-limit", 1, UINT64_MAX, 1 },
        { "x-vcpu-dirty-limit-period", 1, 1000, 1000 },
        { "max-bandwidth", 0, UINT64_MAX, 134217728 },
        { "x-checkpoint-delay", 0, UINT32_MAX, 20000 },
    };
    MigEra era;
    g_assert_cmpint(mig_era_resolve(version_of("10.0"), NULL, &era), ==, MIG_ERA_OK);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const uint64_t tried[] = { rows[i].min, rows[i].max, rows[i].min - 1, rows[i].max + 1 };
        const MigParameterRow *row = mig_parameter_find(rows[i].name);
        MigParameters defaults = mig_parameters_default(&era);
        g_assert_nonnull(row);
        g_assert_cmpuint(*mig_parameter_slot(&defaults, row), ==, rows[i].value);
        for (size_t k = 0; k < G_N_ELEMENTS(tried); k++) {
            MigParameters p = defaults;
            g_autofree char *alone = mig_parameter_refuse(row, tried[k]);
            *mig_parameter_slot(&p, row) = tried[k];
            g_autofree char *together = mig_parameters_check(&p);
            bool inside = tried[k] >= rows[i].min && tried[k] <= rows[i].max;
            g_test_message("%s = %" G_GUINT64_FORMAT, rows[i].name, tried[k]);
            g_assert_cmpint(!alone && !together, ==, inside);
        }
    }
    g_autofree char *odd = mig_parameter_refuse(mig_parameter_find("xbzrle-cache-size"), 12288);
    g_assert_cmpstr(odd, ==, "12288 is not a power of two");
}

static void test_defaults_by_era(void)
{
    MigEra old, older_type;
    g_assert_cmpint(mig_era_resolve(version_of("1.4"), NULL, &old), ==, MIG_ERA_OK);
    g_assert_cmpint(mig_era_resolve(version_of("10.0"), "pc-i440fx-7.2", &older_type), ==,
                    MIG_ERA_OK);
    g_assert_cmpuint(mig_parameters_default(&old).max_bandwidth, ==, 32u << 20);
    g_assert_cmpuint(mig_parameters_default(&old).downtime_limit, ==, 30);
    g_assert_cmpuint(mig_parameters_default(&older_type).zero_page_detection, ==, MIG_ZERO_LEGACY);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
        g_autofree char *alone = g_strdup_printf("/capabilities/alone/%s", answers[i].qemu);
        g_autofree char *pairs = g_strdup_printf("/capabilities/pairs/%s", answers[i].qemu);
        g_test_add_data_func(alone, &answers[i], test_alone);
        g_test_add_data_func(pairs, &answers[i], test_pairs);
    }
    g_test_add_func("/capabilities/refused-by-name", test_named_refusals);
    g_test_add_func("/capabilities/old-names", test_old_names);
    g_test_add_func("/parameters/by-version", test_parameters_by_version);
    g_test_add_func("/parameters/bounds-and-defaults", test_parameter_bounds);
    g_test_add_func("/parameters/defaults-by-era", test_defaults_by_era);
    return g_test_run();
}
