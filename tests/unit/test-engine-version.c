/* SPDX-License-Identifier: Apache-2.0 */
/* The table of eras against what is known of real releases. */
#include <glib.h>
#include <string.h>

#include "stream/format.h"
#include "stream/version.h"

#define V(a, b) MIG_VERSION_OF(a, b)

static void test_parse(void)
{
    static const struct {
        const char *text;
        MigVersion version; /* 0: refused */
    } rows[] = { { "1.4", V(1, 4) },   { "10.0.13", V(10, 0) },
                 { "11.1", V(11, 1) }, { "", 0 },
                 { "10", 0 },          { "10.", 0 },
                 { "10.0.", 0 },       { "10.0x", 0 },
                 { "v10.0", 0 },       { "10.0.1.2", 0 },
                 { "1000.0", 0 },      { "300.1", 0 },
                 { "-1.4", 0 } };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        MigVersion v = 0;
        g_assert_cmpint(mig_version_parse(rows[i].text, &v), ==, rows[i].version != 0);
        g_assert_cmpuint(v, ==, rows[i].version);
    }
    g_assert_cmpuint(mig_machine_version("pc-i440fx-7.2"), ==, V(7, 2));
    g_assert_cmpuint(mig_machine_version("pc-1.4"), ==, V(1, 4));
    g_assert_cmpuint(mig_machine_version("pc-i440fx"), ==, 0);
    g_assert_cmpuint(mig_machine_version("none"), ==, 0);
    g_assert_cmpuint(mig_machine_version(NULL), ==, 0);
}

static void test_refusals(void)
{
    MigEra era;
    g_assert_cmpint(mig_era_resolve(V(1, 3), NULL, &era), ==, MIG_ERA_BINARY_UNKNOWN);
    g_assert_cmpint(mig_era_resolve(V(11, 2), NULL, &era), ==, MIG_ERA_BINARY_UNKNOWN);
    g_assert_cmpint(mig_era_resolve(V(5, 3), NULL, &era), ==, MIG_ERA_BINARY_UNKNOWN);
    g_assert_cmpint(mig_era_resolve(V(2, 13), NULL, &era), ==, MIG_ERA_BINARY_UNKNOWN);
    g_assert_cmpint(mig_era_resolve(V(7, 2), "pc-q35-8.0", &era), ==, MIG_ERA_MACHINE_TOO_NEW);
}

/* Every release there was from 1.4 on, with every machine type up to its own. */
static void test_all_resolve(void)
{
    static const unsigned last[] = { 0, 7, 12, 1, 2, 2, 2, 2, 2, 2, 2, 1 };
    unsigned pairs = 0;
    for (MigVersion b = V(1, 4); b <= V(11, 1); b++) {
        if (MIG_VERSION_MINOR(b) > last[MIG_VERSION_MAJOR(b)]) {
            continue;
        }
        for (MigVersion m = V(1, 0); m <= b; m++) {
            g_autofree char *type =
                g_strdup_printf("pc-%u.%u", MIG_VERSION_MAJOR(m), MIG_VERSION_MINOR(m));
            MigEra e;
            if (MIG_VERSION_MINOR(m) > last[MIG_VERSION_MAJOR(m)]) {
                continue;
            }
            g_assert_cmpint(mig_era_resolve(b, type, &e), ==, MIG_ERA_OK);
            g_assert_cmpuint(e.machine, ==, m);
            g_assert_cmpuint(e.footers, ==, e.configuration);
            g_assert_cmpuint(e.default_bandwidth_mib, >, 0);
            g_assert_cmpuint(e.ram_flags & MIG_RAM_FLAG_PAGE, !=, 0);
            pairs++;
        }
    }
    g_assert_cmpuint(pairs, >, 1000);
}

/* Rows of one field and axis do not overlap, and say since before until. */
static void test_rows_are_disjoint(void)
{
    for (const MigEraRow *a = mig_era_rows; a->until; a++) {
        g_assert_cmpuint(a->since, <, a->until);
        for (const MigEraRow *b = a + 1; b->until; b++) {
            if (a->field == b->field && a->axis == b->axis) {
                g_assert_true(a->until <= b->since || b->until <= a->since);
            }
        }
    }
}

typedef struct Known {
    MigVersion binary;
    const char *machine;
    size_t field;
    uint32_t value;
    const char *name;
} Known;

#define K(major, minor, machine, field, value)                           \
    {                                                                    \
        V(major, minor), machine, offsetof(MigEra, field), value, #field \
    }

static const Known known[] = {
    /* framing by machine type */
    K(5, 2, "pc-i440fx-2.3", configuration, 0),
    K(5, 2, "pc-i440fx-2.4", configuration, 1),
    K(7, 2, "pc-i440fx-2.3", footers, 0),
    K(7, 2, "pc-i440fx-2.3", vmdesc, 1),
    K(7, 2, "pc-i440fx-2.2", vmdesc, 0),
    K(7, 2, "pc-i440fx-2.0", vmdesc, 0),
    K(7, 2, "pc-i440fx-1.7", vmdesc, 1),
    K(5, 2, "pc-1.4", vmdesc, 1),
    K(1, 4, NULL, vmdesc, 0),
    K(2, 2, NULL, vmdesc, 0),
    K(2, 5, NULL, vmdesc, 1),
    K(5, 2, "pc-i440fx-2.3", globalstate_always, 0),
    K(1, 4, NULL, globalstate, MIG_GLOBALSTATE_NONE),
    K(7, 2, NULL, globalstate, MIG_GLOBALSTATE_NAME),
    K(10, 0, "pc-i440fx-2.4", globalstate, MIG_GLOBALSTATE_SUSPENDED),
    K(10, 0, NULL, switchover_start, 1),
    K(10, 0, "none", switchover_start, 1),
    K(10, 0, "pc-q35-9.2", switchover_start, 0),
    K(9, 2, "none", switchover_start, 0),
    /* commands */
    K(1, 4, NULL, commands, 0),
    K(2, 5, NULL, commands, 7),
    K(7, 2, NULL, commands, 10),
    K(10, 0, "pc-q35-7.2", commands, 11),
    K(10, 0, NULL, enable_colo, 1),
    K(11, 1, NULL, enable_colo, 0),
    K(11, 1, NULL, ping_loaded, 1),
    K(10, 0, NULL, ping_loaded, 0),
    /* RAM */
    K(7, 2, NULL, zero_fill_any, 1),
    K(10, 0, NULL, zero_fill_any, 0),
    K(5, 2, NULL, ram_section_id, 2),
    K(7, 2, NULL, ram_section_id, 2),
    K(10, 0, NULL, ram_section_id, 1),
    K(11, 1, NULL, ram_section_id, 1),
    K(7, 2, NULL, compress, 1),
    K(10, 0, NULL, compress, 0),
    K(1, 4, NULL, ram_bounds, 0),
    K(10, 0, "pc-q35-8.0", multifd_flush_record, 0),
    K(10, 0, "pc-q35-8.1", multifd_flush_record, 1),
    K(7, 2, NULL, multifd_flush_record, 0),
    K(10, 0, "pc-q35-8.2", multifd_zero_pages, 0),
    K(10, 0, NULL, multifd_zero_pages, 1),
    K(7, 2, NULL, preempt_early, 1),
    K(10, 0, "pc-q35-7.2", preempt_early, 1),
    K(10, 0, NULL, preempt_early, 0),
    /* loop */
    K(5, 2, NULL, quota, MIG_QUOTA_POSITION),
    K(7, 2, NULL, quota, MIG_QUOTA_POSITION),
    K(8, 1, NULL, quota, MIG_QUOTA_FLUSHED),
    K(11, 1, NULL, quota, MIG_QUOTA_FLUSHED),
    K(1, 4, NULL, loop, MIG_LOOP_BUFFERED),
    K(2, 5, NULL, loop, MIG_LOOP_THREAD),
    K(7, 2, NULL, decide, MIG_DECIDE_PENDING),
    K(10, 0, NULL, decide, MIG_DECIDE_ESTIMATE),
    K(10, 1, NULL, decide, MIG_DECIDE_ESTIMATE),
    K(10, 2, NULL, decide, MIG_DECIDE_AT_MOST),
    K(11, 1, NULL, decide, MIG_DECIDE_EXACT_AT),
    K(2, 5, NULL, expect, MIG_EXPECT_DIRTY_RATE),
    K(4, 1, NULL, expect, MIG_EXPECT_LAST_SYNC),
    K(10, 2, NULL, expect, MIG_EXPECT_LAST_SYNC),
    K(11, 1, NULL, expect, MIG_EXPECT_AT_QUERY),
    K(7, 2, NULL, device_state, 0),
    K(10, 0, NULL, device_state, 1),
    K(10, 2, NULL, failing_state, 0),
    K(11, 1, NULL, failing_state, 1),
    K(10, 0, NULL, setup_sync_event, 1),
    K(11, 1, NULL, setup_sync_event, 0),
    K(11, 1, NULL, final_sync_counts, 0),
    K(1, 4, NULL, default_downtime_ms, 30),
    K(10, 0, NULL, default_bandwidth_mib, 128),
};

static void test_known(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        const Known *k = &known[i];
        MigEra e;
        uint32_t value;
        g_assert_cmpint(mig_era_resolve(k->binary, k->machine, &e), ==, MIG_ERA_OK);
        memcpy(&value, (const char *)&e + k->field, sizeof(value));
        if (value != k->value) {
            g_test_message("%u.%u %s %s: %u, not %u", MIG_VERSION_MAJOR(k->binary),
                           MIG_VERSION_MINOR(k->binary), k->machine, k->name, value, k->value);
        }
        g_assert_cmpuint(value, ==, k->value);
    }
}

static void test_proved(void)
{
    g_assert_true(mig_version_is_proved(V(5, 2)));
    g_assert_true(mig_version_is_proved(V(11, 1)));
    g_assert_false(mig_version_is_proved(V(1, 4)));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/version/parse", test_parse);
    g_test_add_func("/version/refusals", test_refusals);
    g_test_add_func("/version/every-pair-resolves", test_all_resolve);
    g_test_add_func("/version/rows-do-not-overlap", test_rows_are_disjoint);
    g_test_add_func("/version/known-facts", test_known);
    g_test_add_func("/version/proved", test_proved);
    return g_test_run();
}
