/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sensitivity of the judge: each row of damage-rows.c is one kind of damage to a good stream of a
 * real QEMU, and the judge must name the right rule at the right offset and no rule besides those
 * that the row lists. A stream cut off at any byte is never fine and never without a place.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/damage-channels.h"
#include "tests/unit/damage.h"
#include "tests/unit/traces.h"

/* ---- streams in memory ---- */

static MigStreamReader *reader_of(const void *data, size_t n)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, data, n), ==, (ssize_t)n);
    MigInput *in = mig_input_file_new(fd, "stream", n, &error);
    g_assert_no_error(error);
    return mig_stream_reader_new(in, NULL);
}

static MigCheck *judge(const void *data, size_t n, MigProfile profile)
{
    g_autoptr(MigStreamReader) reader = reader_of(data, n);
    g_autoptr(GError) error = NULL;
    MigCheck *check = mig_check_new(profile);

    g_assert_true(mig_check_run(check, reader, &error));
    g_assert_no_error(error);
    return check;
}

/* ---- damage ---- */

static void mark_clear(gpointer data)
{
    g_free(((MigMark *)data)->idstr);
}

static GArray *marks_of(GBytes *stream)
{
    gsize n;
    const void *data = g_bytes_get_data(stream, &n);
    g_autoptr(MigStreamReader) reader = reader_of(data, n);
    GArray *marks = g_array_new(FALSE, TRUE, sizeof(MigMark));
    MigMark m = { 0 };
    g_autofree char *idstr = NULL;
    MigStatus status;

    g_array_set_clear_func(marks, mark_clear);
    while ((status = mig_stream_reader_next(reader, &m.r, NULL)) == MIG_STATUS_RECORD) {
        if (m.r.type == MIG_REC_SECTION) {
            m.kind = m.r.section.kind;
            g_free(idstr);
            idstr = g_strndup(m.r.section.idstr.text, m.r.section.idstr.len);
        }
        m.idstr = g_strdup(idstr);
        g_array_append_val(marks, m);
    }
    g_assert_cmpint(status, ==, MIG_STATUS_END);
    return marks;
}

/* "07 00000004 'none'" */
static GByteArray *bytes_of(const char *hex)
{
    GByteArray *out = g_byte_array_new();

    while (*hex) {
        if (*hex == '\'') {
            const char *end = strchr(hex + 1, '\'');
            g_byte_array_append(out, (const guint8 *)hex + 1, (guint)(end - hex - 1));
            hex = end + 1;
        } else if (*hex == ' ') {
            hex++;
        } else {
            guint8 b = (guint8)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
            g_byte_array_append(out, &b, 1);
            hex += 2;
        }
    }
    return out;
}

static void apply(MigDamaged *d)
{
    const MigDamage *row = d->damage;

    if (row->custom) {
        row->custom(d);
        return;
    }
    const MigMark *m = mig_damage_find(d, row->place);
    uint64_t place = (row->end ? mig_damage_record_end(m) : m->r.offset) + (uint64_t)row->delta;
    g_autoptr(GByteArray) bytes = bytes_of(row->hex);
    mig_damage_replace(d, place, row->cut, bytes->data, bytes->len);
    d->expected = place + (uint64_t)row->expect;
}

static bool allowed(const MigDamage *row, const char *rule)
{
    g_auto(GStrv) also = g_strsplit(row->also ? row->also : "", " ", 0);
    return strcmp(row->rule, rule) == 0 || g_strv_contains((const char *const *)also, rule);
}

static void expect_finding(const MigDamaged *d, const MigCheck *check)
{
    const MigDamage *row = d->damage;
    uint64_t expected = row->at_end ? check->end : d->expected;
    bool found = false;

    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        if (!allowed(row, f->rule->id)) {
            g_test_message("besides: %s at %" G_GUINT64_FORMAT ": %s", f->rule->id, f->offset,
                           f->found);
            g_test_fail();
        } else if (strcmp(f->rule->id, row->rule) == 0 && !found) {
            found = true;
            if (f->offset != expected) {
                g_test_message("%s at %" G_GUINT64_FORMAT ", expected at %" G_GUINT64_FORMAT,
                               f->rule->id, f->offset, expected);
                g_test_fail();
            }
            g_assert_cmpstr(f->expected, !=, "");
            g_assert_cmpstr(f->found, !=, "");
        }
    }
    if (!found) {
        g_test_message("no finding of %s; the decoder said: %s", row->rule,
                       mig_fault_name(check->diagnosis.fault));
        g_test_fail();
    }
}

static void test_damage(gconstpointer data)
{
    const MigDamage *row = data;
    MigProfile profile = row->profile ? row->profile : MIG_PROFILE_STRICT;
    g_autoptr(GBytes) good = mig_test_trace_load(row->base);
    g_autoptr(GArray) marks = marks_of(good);
    gsize n;
    const guint8 *bytes = g_bytes_get_data(good, &n);
    g_autoptr(MigCheck) before = judge(bytes, n, profile);
    MigDamaged d = { .damage = row, .marks = marks, .bytes = g_byte_array_new() };

    g_assert_cmpint(mig_check_verdict(before), ==, MIG_VERDICT_PASS);
    g_byte_array_append(d.bytes, bytes, (guint)n);
    apply(&d);
    g_assert_false(d.bytes->len == n && memcmp(d.bytes->data, bytes, n) == 0);

    g_autoptr(MigCheck) check = judge(d.bytes->data, d.bytes->len, profile);
    expect_finding(&d, check);
    if (mig_check_verdict(check) != MIG_VERDICT_FAIL) {
        g_test_message("verdict %s", mig_verdict_name(mig_check_verdict(check)));
        g_test_fail();
    }
    g_byte_array_unref(d.bytes);
}

/* ---- the rows and the catalogue speak of the same damages ---- */

static bool names_damage(const MigRule *rule, const char *name)
{
    g_auto(GStrv) killers = g_strsplit(rule->killed_by ? rule->killed_by : "", " ", 0);
    return g_strv_contains((const char *const *)killers, name);
}

static void test_rows_are_named(void)
{
    for (const MigDamage *row = mig_damages; row->name; row++) {
        const MigRule *rule = mig_catalogue_find(row->rule);
        g_assert_nonnull(rule);
        if (!names_damage(rule, row->name)) {
            g_test_message("%s does not name %s", rule->id, row->name);
            g_test_fail();
        }
    }
}

static bool is_channel_row(const MigChannelDamage *rows, const char *name, const char *rule)
{
    for (const MigChannelDamage *row = rows; row->name; row++) {
        if (strcmp(row->name, name) == 0 && strcmp(row->rule, rule) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_row(const char *name, const char *rule)
{
    for (const MigDamage *row = mig_damages; row->name; row++) {
        if (strcmp(row->name, name) == 0 && strcmp(row->rule, rule) == 0) {
            return true;
        }
    }
    return is_channel_row(mig_channel_damages, name, rule) ||
           is_channel_row(mig_other_damages, name, rule);
}

static void test_killers_exist(void)
{
    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        for (unsigned i = 0; i < (*g)->rule_count; i++) {
            const MigRule *rule = &(*g)->rules[i];
            g_auto(GStrv) names = g_strsplit(rule->killed_by ? rule->killed_by : "", " ", 0);
            for (char **name = names; *name; name++) {
                if (!is_row(*name, rule->id)) {
                    g_test_message("%s: there is no damage %s", rule->id, *name);
                    g_test_fail();
                }
            }
        }
    }
}

static void test_enough(void)
{
    guint n = 0;
    for (const MigDamage *row = mig_damages; row->name; row++) {
        n++;
    }
    g_assert_cmpuint(n, >=, 60);
}

/* ---- truncation ---- */

/* The last but one bytes of a payload: one place there is like the other. */
static bool inside_payload(const GArray *marks, gsize at)
{
    for (guint i = 0; i < marks->len; i++) {
        const MigRecord *r = &g_array_index(marks, MigMark, i).r;
        uint64_t end = r->offset + r->wire + r->payload;
        if (at + 1 < end && at > end - r->payload + 1) {
            return r->payload > 0;
        }
    }
    return false;
}

/* At every byte of headers, records and devices, and at both edges of each payload. */
static void test_truncation(gconstpointer id)
{
    g_autoptr(GBytes) good = mig_test_trace_load(id);
    g_autoptr(GArray) marks = marks_of(good);
    gsize n;
    const guint8 *data = g_bytes_get_data(good, &n);

    for (gsize at = 0; at < n; at++) {
        if (inside_payload(marks, at)) {
            continue;
        }
        g_autoptr(MigCheck) check = judge(data, at, MIG_PROFILE_INTEROP);
        MigVerdict verdict = mig_check_verdict(check);
        g_assert_cmpint(verdict, !=, MIG_VERDICT_PASS);
        g_assert_cmpint(verdict, !=, MIG_VERDICT_INCONCLUSIVE);
        g_assert_cmpuint(check->findings->len, >=, 1);
        const MigFinding *f = &g_array_index(check->findings, MigFinding, 0);
        g_assert_cmpuint(f->offset, <=, at);
        g_assert_cmpstr(f->path, !=, "");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const MigDamage *row = mig_damages; row->name; row++) {
        g_autofree char *path = g_strconcat("/damage/", row->name, NULL);
        g_test_add_data_func(path, row, test_damage);
    }
    g_test_add_func("/damage/rows-are-named-by-their-rules", test_rows_are_named);
    g_test_add_func("/damage/killers-exist", test_killers_exist);
    g_test_add_func("/damage/at-least-sixty-kinds", test_enough);
    g_test_add_data_func("/truncation/none-7.2", "none-stopped-7.2", test_truncation);
    g_test_add_data_func("/truncation/none-10.0", "none-stopped-10.0", test_truncation);
    return g_test_run();
}
