/* SPDX-License-Identifier: Apache-2.0 */
/* RAM blocks that come, go or change their length while they are migrated, and before. */
#include <glib.h>
#include <string.h>

#include "sim/world/clock.h"
#include "tests/unit/simulated.h"

#define SCENARIO                                                                      \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"ram\": ["  \
    "{\"name\": \"ram\", \"size\": \"16M\", \"content\": [{\"kind\": \"random\"}]}, " \
    "{\"name\": \"dimm\", \"size\": \"8M\", \"content\": [{\"kind\": \"random\"}]}, " \
    "{\"name\": \"table\", \"size\": \"2M\", \"max-size\": \"4M\"}], \"workload\": [" \
    "{\"length\": \"1M\", \"rate\": 2000}]}, \"capabilities\": {%s}, "                \
    "\"parameters\": {\"max-bandwidth\": 30000000}, \"events\": [%s], \"limit\": \"20s\"}"

#define AT(time, what, more) \
    "{\"at\": \"" time "\", \"do\": \"" what "\", \"arguments\": {" more "}}"

static const char *const qemus[] = { "2.5", "5.2", "7.2", "10.0", "11.1" };

static char *events_of(const Simulated *s)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < s->m->events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(s->m->events, MigSimulationEvent, i);
        if (!e->pass) {
            g_string_append_printf(text, "%s ", e->status ? e->status : e->name);
        }
    }
    return g_string_free(text, FALSE);
}

/* A block that is to be migrated is not in the destination's list: a clear end, and the guest runs.
 */
static void test_added(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, qemus[i], "",
                                            AT("200ms", "x-add-block", "\"block\": \"dimm9\""));
        g_assert_cmpstr(s.stats.status, ==, "failed");
        g_assert_nonnull(strstr(s.stats.error_desc, "dimm9"));
        g_assert_true(mig_guest_running(s.m->guest));
        g_assert_cmpint(s.m->now, <=, 310 * MIG_NS_PER_MS);
    }
}

/*
 * A device's memory only makes the search begin again: pages go twice where they were dirty again,
 * none is lost, and deltas wait for another round.
 */
static void test_list_changed(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, qemus[i], "\"xbzrle\": true",
                          AT("200ms", "x-add-block", "\"block\": \"bar\", \"migratable\": false"));
        g_auto(Simulated) plain = simulated_run(NULL, SCENARIO, qemus[i], "\"xbzrle\": true", "");
        simulated_expect_fine(&s);
        simulated_expect_fine(&plain);
        g_assert_cmpstr(s.m->bytes_digest, !=, plain.m->bytes_digest);
        g_assert_cmpuint(s.stats.ram.total, ==, plain.stats.ram.total);
    }
}

/* Its dirty pages go with it; the rest arrives. */
static void test_removed(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, qemus[i], "",
                                            AT("200ms", "x-remove-block", "\"block\": \"dimm\""));
        simulated_expect_fine(&s);
        g_assert_cmpuint(s.stats.ram.total, ==, 18u << 20);
        g_assert_cmpuint(s.m->difference.left_out, ==, 2048);
        g_assert_cmpuint(s.stats.ram.normal, <, 5000);
    }
}

/* The written block itself goes, at every time: nothing is counted twice. */
static void test_removed_any_time(void)
{
    for (unsigned at = 0; at < 900; at += 37) {
        g_autofree char *event = g_strdup_printf(
            "{\"at\": \"%ums\", \"do\": \"x-remove-block\", \"arguments\": {\"block\": \"ram\"}}",
            at);
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, qemus[at % G_N_ELEMENTS(qemus)], "", event);
        simulated_expect_fine(&s);
        g_assert_cmpuint(mig_source_remaining(s.m->source), ==, 0);
    }
}

static void test_resized(void)
{
    static const struct {
        const char *qemu, *size, *status, *tail, *word;
    } rows[] = {
        { "5.2", "3M", "failed", "failed RESUME ", "" },
        { "5.2", "1M", "completed", "completed ", NULL },
        { "6.0", "3M", "cancelled", "cancelling cancelled ", "table" },
        { "7.2", "1M", "cancelled", "cancelling cancelled ", "table" },
        { "10.0", "3M", "cancelled", "cancelling cancelled ", "table" },
        { "11.1", "3M", "cancelled", "cancelling cancelled ", "table" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *event =
            g_strdup_printf("{\"at\": \"200ms\", \"do\": \"x-resize-block\", \"arguments\": "
                            "{\"block\": \"table\", \"size\": \"%s\"}}",
                            rows[i].size);
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, rows[i].qemu, "\"return-path\": true", event);
        g_autofree char *events = events_of(&s);
        g_test_message("QEMU %s, to %s: %s%s; %s", rows[i].qemu, rows[i].size, events,
                       s.stats.error_desc, s.m->dest_error);
        g_assert_cmpstr(s.stats.status, ==, rows[i].status);
        g_assert_true(g_str_has_suffix(events, rows[i].tail));
        g_assert_cmpint(s.stats.has_reason, ==, strcmp(rows[i].status, "cancelled") == 0);
        if (rows[i].word) {
            g_assert_nonnull(strstr(s.stats.error_desc, rows[i].word));
            g_assert_true(mig_guest_running(s.m->guest));
        }
    }
}

/* Before the list is sent: the destination follows, to larger and to smaller. */
static void test_destination_follows(void)
{
    static const char *const sizes[] = { "3M", "4M", "1M" };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *event =
            g_strdup_printf("{\"at\": \"1us\", \"do\": \"x-resize-block\", \"arguments\": "
                            "{\"block\": \"table\", \"size\": \"%s\"}}, "
                            "{\"at\": \"100ms\", \"do\": \"x-write\", \"arguments\": {\"block\": "
                            "\"table\", \"first-page\": 255, \"byte\": 7}}",
                            sizes[i]);
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, "5.2", "", event);
        simulated_expect_fine(&s);
        MigMemory *there = mig_buffer_memory(s.m->memory), *here = mig_guest_memory(s.m->guest);
        g_assert_cmpuint(there->ops->block(there, 2)->used_length, ==,
                         here->ops->block(here, 2)->used_length);
        g_assert_cmpuint(there->ops->block(there, 2)->used_length, ==,
                         (uint64_t)(sizes[i][0] - '0') << 20);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *event, *word;
    } rows[] = {
        { AT("1s", "x-remove-block", "\"block\": \"dim\""), "did you mean \"dimm\"" },
        { AT("1s", "x-resize-block", "\"block\": \"table\", \"size\": \"5M\""), "max-size" },
        { AT("1s", "x-resize-block", "\"block\": \"ram\", \"size\": \"17M\""), "max-size" },
        { AT("1s", "x-resize-block", "\"block\": \"table\""), "size" },
        { AT("1s", "x-add-block", "\"block\": \"\""), "name" },
        { "{\"at\": \"1s\", \"do\": \"x-add-block\"}", "arguments" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *why = simulated_refusal(SCENARIO, "10.0", "", rows[i].event);
        g_test_message("%s", why);
        g_assert_nonnull(strstr(why, rows[i].word));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/blocks/added", test_added);
    g_test_add_func("/blocks/list-changed", test_list_changed);
    g_test_add_func("/blocks/removed", test_removed);
    g_test_add_func("/blocks/removed/any-time", test_removed_any_time);
    g_test_add_func("/blocks/resized", test_resized);
    g_test_add_func("/blocks/resized/destination-follows", test_destination_follows);
    g_test_add_func("/blocks/refused", test_refused);
    return g_test_run();
}
