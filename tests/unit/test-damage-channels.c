/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sensitivity of the judge for recordings of several channels: each row of damage-channels.c makes
 * one damage to a good recording of a real QEMU, and the judge must name the right rule, channel
 * and offset, and no rule besides those that the row lists.
 */
#include <string.h>

#include "tests/unit/damage-channels.h"

static MigCheck *judge(MigRecording *recording, MigProfile profile)
{
    g_autoptr(GError) error = NULL;
    MigCheck *check = mig_check_new(profile);
    g_assert_true(mig_check_recording(check, recording, &error));
    g_assert_no_error(error);
    return check;
}

static bool allowed(const MigChannelDamage *row, const char *rule)
{
    g_auto(GStrv) also = g_strsplit(row->also ? row->also : "", " ", 0);
    return strcmp(row->rule, rule) == 0 || g_strv_contains((const char *const *)also, rule);
}

static bool is_it(const MigChannelDamage *row, const MigFinding *f, uint64_t expected)
{
    const char *channel = row->found_in ? row->found_in : row->channel;
    return strcmp(f->rule->id, row->rule) == 0 && strcmp(f->channel, channel) == 0 &&
           (row->expect == ANYWHERE || f->offset == expected);
}

static void expect_finding(const MigChannelDamage *row, const MigCheck *check, uint64_t expected)
{
    bool found = false;

    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        found |= is_it(row, f, expected);
        g_assert_cmpstr(f->expected, !=, "");
        g_assert_cmpstr(f->found, !=, "");
        if (!allowed(row, f->rule->id)) {
            g_test_message("besides: %s", f->rule->id);
            g_test_fail();
        }
    }
    if (!found) {
        g_test_message("no finding of %s at %" G_GUINT64_FORMAT "; the decoder said: %s", row->rule,
                       expected, mig_fault_name(check->diagnosis.fault));
        g_test_fail();
    }
    for (guint i = 0; i < check->findings->len && g_test_failed(); i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        g_test_message("%s in %s at %" G_GUINT64_FORMAT " %s: %s", f->rule->id, f->channel,
                       f->offset, f->path, f->found);
    }
}

static uint64_t damage(const MigChannelDamage *row, MigTestRecording *t)
{
    uint64_t expected = 0;

    if (row->custom) {
        row->custom(t, &expected);
        return expected;
    }
    const MigRecord *r = mig_test_recording_find(t, row->channel, row->type, row->nth);
    uint64_t size = r->wire + r->payload;
    uint64_t at = r->offset + (row->end ? size : 0) + (uint64_t)row->delta;
    unsigned cut = row->cut == CUT_PAYLOAD ? (unsigned)size : (unsigned)row->cut;
    mig_test_recording_replace(t, row->channel, at, cut, row->hex);
    expected = at + (uint64_t)row->expect;
    if (row->expect == AT_END) {
        const char *channel = row->found_in ? row->found_in : row->channel;
        expected = mig_test_recording_bytes(t, channel)->len;
    }
    return expected;
}

static void test_damage(gconstpointer data)
{
    const MigChannelDamage *row = data;
    MigProfile profile = row->profile ? row->profile : MIG_PROFILE_STRICT;
    g_autoptr(MigTestRecording) t = mig_test_recording_load(row->base);
    g_autoptr(MigRecording) good = mig_test_recording_open(t);
    g_autoptr(MigCheck) before = judge(good, profile);

    g_assert_cmpint(mig_check_verdict(before), ==, MIG_VERDICT_PASS);
    uint64_t expected = damage(row, t);
    g_autoptr(MigRecording) bad = mig_test_recording_open(t);
    g_autoptr(MigCheck) check = judge(bad, profile);
    expect_finding(row, check, expected);
    if (mig_check_verdict(check) != MIG_VERDICT_FAIL) {
        g_test_message("verdict %s", mig_verdict_name(mig_check_verdict(check)));
        g_test_fail();
    }
}

/* The rows and the catalogue speak of the same damages. */
static void test_rows_are_named(gconstpointer data)
{
    for (const MigChannelDamage *row = data; row->name; row++) {
        const MigRule *rule = mig_catalogue_find(row->rule);
        g_assert_nonnull(rule);
        g_auto(GStrv) killers = g_strsplit(rule->killed_by ? rule->killed_by : "", " ", 0);
        if (!g_strv_contains((const char *const *)killers, row->name)) {
            g_test_message("%s does not name %s", rule->id, row->name);
            g_test_fail();
        }
    }
}

static void add_rows(const char *table, const MigChannelDamage *rows)
{
    g_autofree char *named = g_strdup_printf("/damage-channels/rows-are-named/%s", table);

    for (const MigChannelDamage *row = rows; row->name; row++) {
        g_autofree char *path = g_strconcat("/damage-channels/", row->name, NULL);
        g_test_add_data_func(path, row, test_damage);
    }
    g_test_add_data_func(named, rows, test_rows_are_named);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_rows("channels", mig_channel_damages);
    add_rows("others", mig_other_damages);
    return g_test_run();
}
