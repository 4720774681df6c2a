/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people, NDJSON for everything else: both from the same findings. */
#include "conformance/report.h"

#include <inttypes.h>

#include "conformance/output.h"
#include "sim/command.h"

static const char *word(MigVerdict verdict)
{
    return verdict == MIG_VERDICT_PASS           ? "conformant"
           : verdict == MIG_VERDICT_INCONCLUSIVE ? "inconclusive"
                                                 : "nonconformant";
}

static void append_hex(GString *out, const MigFinding *f)
{
    gsize n = 0;
    const uint8_t *data = g_bytes_get_data(f->context, &n);

    for (gsize i = 0; i < n; i++) {
        bool here = f->context_offset + i == f->offset;
        g_string_append_printf(out, "%s%02x%s", here ? "[" : " ", data[i], here ? "]" : "");
    }
}

/* ---- text ---- */

static void text_finding(GString *out, const char *subject, const MigCheck *check,
                         const MigFinding *f)
{
    g_autofree char *quoted = g_shell_quote(subject);

    g_string_append_printf(out, "%s  %s  ", f->verdict == MIG_VERDICT_WARN ? "warn" : "FAIL",
                           f->rule->id);
    if (check->several) {
        mig_text_append(out, mig_str(f->channel));
        g_string_append(out, "  ");
    }
    g_string_append_printf(out, "offset %" PRIu64 " (0x%" PRIx64 ")  ", f->offset, f->offset);
    mig_text_append(out, mig_str(f->path));
    g_string_append_printf(out, "\n      %s\n      expected: ", f->rule->title);
    mig_text_append(out, mig_str(f->expected));
    g_string_append(out, "\n      found:    ");
    mig_text_append(out, mig_str(f->found));
    if (f->context) {
        g_string_append(out, "\n      bytes:   ");
        append_hex(out, f);
    }
    g_string_append_printf(out,
                           "\n      why:      %s\n      again:    migbench check --profile %s "
                           "%s\n",
                           f->rule->why, mig_profile_name(check->profile), quoted);
}

static void count_results(const MigCheck *check, unsigned counts[MIG_VERDICT_ERROR + 1])
{
    for (unsigned i = 0; i < check->result_count; i++) {
        counts[check->results[i].verdict]++;
    }
}

static uint32_t all_findings(const MigCheck *check)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < check->result_count; i++) {
        n += check->results[i].findings;
    }
    return n;
}

void mig_report_text(GString *out, const char *subject, const MigCheck *check)
{
    unsigned counts[MIG_VERDICT_ERROR + 1] = { 0 };
    MigVerdict verdict = mig_check_verdict(check);

    for (guint i = 0; i < check->findings->len; i++) {
        text_finding(out, subject, check, &g_array_index(check->findings, MigFinding, i));
    }
    if (all_findings(check) > check->findings->len) {
        g_string_append_printf(out, "      (%u more findings of the same rules)\n",
                               all_findings(check) - check->findings->len);
    }
    if (check->stopped) {
        g_string_append_printf(out, "      reading stopped at offset %" PRIu64 ", %s: %s\n",
                               check->diagnosis.offset, check->diagnosis.path,
                               mig_fault_text(check->diagnosis.fault));
    }
    if (check->hint) {
        g_string_append_printf(out, "      try:      %s\n", check->hint);
    }
    count_results(check, counts);
    mig_text_append(out, mig_str(subject));
    g_string_append_printf(out,
                           ": %s, %u finding%s (%u rules pass, %u warn, %u fail, %u inconclusive, "
                           "%u not applicable)\n",
                           word(verdict), all_findings(check), all_findings(check) == 1 ? "" : "s",
                           counts[MIG_VERDICT_PASS], counts[MIG_VERDICT_WARN],
                           counts[MIG_VERDICT_FAIL], counts[MIG_VERDICT_INCONCLUSIVE],
                           counts[MIG_VERDICT_NOT_APPLICABLE]);
}

/* ---- NDJSON ---- */

static void json_text(GString *out, const char *key, const char *value)
{
    mig_json_append_key(out, key);
    mig_json_append_string(out, mig_str(value));
}

static void json_number(GString *out, const char *key, uint64_t n)
{
    mig_json_append_key(out, key);
    g_string_append_printf(out, "%" PRIu64, n);
}

void mig_report_ndjson_begin(GString *out, MigProfile profile, unsigned subjects)
{
    g_string_append_printf(out,
                           "{\"type\":\"run\",\"schema\":\"migbench-check-1\",\"profile\":\"%s\","
                           "\"rules\":%u,\"subjects\":%u}\n",
                           mig_profile_name(profile), mig_catalogue_rule_count(), subjects);
}

static void json_finding(GString *out, const char *subject, const MigCheck *check,
                         const MigFinding *f)
{
    g_autofree char *quoted = g_shell_quote(subject);
    g_autofree char *again =
        g_strdup_printf("migbench check --profile %s %s", mig_profile_name(check->profile), quoted);

    g_string_append(out, "{\"type\":\"finding\"");
    json_text(out, "subject", subject);
    json_text(out, "rule", f->rule->id);
    json_text(out, "verdict", mig_verdict_name(f->verdict));
    json_text(out, "level", mig_level_name(f->rule->level));
    json_text(out, "channel", f->channel);
    json_number(out, "offset", f->offset);
    json_text(out, "path", f->path);
    json_text(out, "expected", f->expected);
    json_text(out, "found", f->found);
    if (f->context) {
        gsize n = 0;
        const uint8_t *data = g_bytes_get_data(f->context, &n);
        json_number(out, "context-offset", f->context_offset);
        mig_json_append_key(out, "context");
        g_string_append_c(out, '"');
        for (gsize i = 0; i < n; i++) {
            g_string_append_printf(out, "%02x", data[i]);
        }
        g_string_append_c(out, '"');
    }
    json_text(out, "repro", again);
    g_string_append(out, "}\n");
}

static void json_results(GString *out, const MigCheck *check)
{
    mig_json_append_key(out, "results");
    g_string_append_c(out, '{');
    for (unsigned i = 0; i < check->result_count; i++) {
        const MigRuleResult *result = &check->results[i];
        json_text(out, result->rule->id, mig_verdict_name(result->verdict));
    }
    g_string_append_c(out, '}');
}

void mig_report_ndjson(GString *out, const char *subject, const MigCheck *check)
{
    for (guint i = 0; i < check->findings->len; i++) {
        json_finding(out, subject, check, &g_array_index(check->findings, MigFinding, i));
    }
    g_string_append(out, "{\"type\":\"subject\"");
    json_text(out, "subject", subject);
    json_text(out, "verdict", word(mig_check_verdict(check)));
    json_number(out, "bytes", check->end);
    json_number(out, "findings", all_findings(check));
    if (check->stopped) {
        json_text(out, "stopped", mig_fault_name(check->diagnosis.fault));
        json_number(out, "stopped-offset", check->diagnosis.offset);
        json_text(out, "stopped-path", check->diagnosis.path);
    }
    if (check->hint) {
        json_text(out, "hint", check->hint);
    }
    json_results(out, check);
    g_string_append(out, "}\n");
}

void mig_report_ndjson_error(GString *out, const char *subject, const char *message)
{
    g_string_append(out, "{\"type\":\"subject\"");
    json_text(out, "subject", subject);
    json_text(out, "verdict", "error");
    json_text(out, "message", message);
    g_string_append(out, "}\n");
}

void mig_report_ndjson_end(GString *out, const MigReportTotals *totals)
{
    g_string_append_printf(out,
                           "{\"type\":\"end\",\"complete\":true,\"subjects\":%u,\"conformant\":%u,"
                           "\"nonconformant\":%u,\"inconclusive\":%u,\"errors\":%u,"
                           "\"findings\":%u}\n",
                           totals->subjects, totals->conformant, totals->nonconformant,
                           totals->inconclusive, totals->errors, totals->findings);
}

int mig_report_count(MigReportTotals *totals, const MigCheck *check)
{
    MigVerdict verdict = mig_check_verdict(check);

    totals->subjects++;
    totals->findings += all_findings(check);
    if (verdict == MIG_VERDICT_PASS) {
        totals->conformant++;
        return MIG_EXIT_OK;
    }
    if (verdict == MIG_VERDICT_INCONCLUSIVE) {
        totals->inconclusive++;
        return MIG_EXIT_INCOMPLETE;
    }
    totals->nonconformant++;
    return MIG_EXIT_FINDING;
}
