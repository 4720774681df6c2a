/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of the run log. They hold no time and no host: two runs can be compared. */
#include "conformance/report/report.h"

#include <inttypes.h>

#include "conformance/output.h"
#include "conformance/report/run-log.h"
#include "sim/simulate/result.h"

static const char *word(MigVerdict verdict)
{
    return verdict == MIG_VERDICT_PASS           ? "conformant"
           : verdict == MIG_VERDICT_INCONCLUSIVE ? "inconclusive"
                                                 : "nonconformant";
}

static uint32_t all_findings(const MigCheck *check)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < check->result_count; i++) {
        n += check->results[i].findings;
    }
    return n;
}

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

static void json_truth(GString *out, const char *key)
{
    mig_json_append_key(out, key);
    g_string_append(out, "true");
}

static void hash_text(GChecksum *sum, const char *text)
{
    g_checksum_update(sum, (const guchar *)(text ? text : ""), -1);
    g_checksum_update(sum, (const guchar *)"", 1);
}

char *mig_report_catalogue(void)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        for (unsigned i = 0; i < (*g)->rule_count; i++) {
            const MigRule *r = &(*g)->rules[i];
            hash_text(sum, r->id);
            hash_text(sum, r->title);
            hash_text(sum, mig_level_name(r->level));
            hash_text(sum, mig_authority_name(r->authority));
            hash_text(sum, mig_reaction_name(r->reaction));
            hash_text(sum, r->since);
            hash_text(sum, r->until);
        }
    }
    char *hash = g_strndup(g_checksum_get_string(sum), 16);
    g_checksum_free(sum);
    return hash;
}

void mig_report_begin(GString *out, MigProfile profile, unsigned subjects, const char *argv)
{
    g_autofree char *catalogue = mig_report_catalogue();

    g_string_append(out, "{\"type\":\"run\"");
    json_text(out, "schema", MIG_RUN_LOG_SCHEMA);
    json_text(out, "version", mig_program_version());
    json_text(out, "argv", argv);
    json_text(out, "profile", mig_profile_name(profile));
    json_text(out, "catalogue", catalogue);
    json_number(out, "rules", mig_catalogue_rule_count());
    json_number(out, "subjects", subjects);
    g_string_append(out, "}\n");
}

/* The command that finds the same. */
static char *repeat_command(const char *subject, const MigCheck *check)
{
    g_autofree char *quoted = g_shell_quote(subject);
    g_autofree char *writer = check->writer
                                  ? g_strdup_printf("--writer %u.%u ", check->writer->binary >> 8,
                                                    check->writer->binary & 0xff)
                                  : g_strdup("");

    return g_strdup_printf("migbench check --profile %s %s%s", mig_profile_name(check->profile),
                           writer, quoted);
}

static void json_finding(GString *out, const char *subject, const MigCheck *check,
                         const MigFinding *f)
{
    g_autofree char *again = repeat_command(subject, check);

    g_string_append(out, "{\"type\":\"finding\"");
    json_text(out, "subject", subject);
    json_text(out, "rule", f->rule->id);
    json_text(out, "title", f->rule->title);
    json_text(out, "why", f->rule->why);
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
    mig_json_append_key(out, "reasons");
    g_string_append_c(out, '{');
    for (unsigned i = 0; i < check->result_count; i++) {
        const MigRuleResult *result = &check->results[i];
        if (result->reason) {
            json_text(out, result->rule->id, result->reason);
        }
    }
    g_string_append_c(out, '}');
}

void mig_report_findings(GString *out, const char *subject, const MigCheck *check)
{
    for (guint i = 0; i < check->findings->len; i++) {
        json_finding(out, subject, check, &g_array_index(check->findings, MigFinding, i));
    }
}

void mig_report_subject(GString *out, const char *subject, const MigCheck *check, bool as_expected)
{
    g_string_append(out, "{\"type\":\"subject\"");
    json_text(out, "subject", subject);
    json_text(out, "verdict", word(mig_check_verdict(check)));
    json_number(out, "bytes", check->end);
    json_number(out, "findings", all_findings(check));
    if (check->several) {
        json_truth(out, "several");
    }
    if (as_expected) {
        json_truth(out, "as-expected");
    }
    if (check->stopped) {
        json_text(out, "stopped", mig_fault_name(check->diagnosis.fault));
        json_text(out, "stopped-text", mig_fault_text(check->diagnosis.fault));
        json_number(out, "stopped-offset", check->diagnosis.offset);
        json_text(out, "stopped-path", check->diagnosis.path);
    }
    if (check->hint) {
        json_text(out, "hint", check->hint);
    }
    json_results(out, check);
    g_string_append(out, "}\n");
}

void mig_report_unjudged(GString *out, const char *subject, const char *verdict,
                         const char *message)
{
    g_string_append(out, "{\"type\":\"subject\"");
    json_text(out, "subject", subject);
    json_text(out, "verdict", verdict);
    json_text(out, "message", message ? message : "");
    g_string_append(out, "}\n");
}

void mig_report_error(GString *out, const char *subject, const char *message)
{
    mig_report_unjudged(out, subject, "error", message);
}

void mig_report_end(GString *out, const MigReportTotals *totals)
{
    g_string_append_printf(out,
                           "{\"type\":\"end\",\"complete\":true,\"subjects\":%u,\"conformant\":%u,"
                           "\"nonconformant\":%u,\"inconclusive\":%u,\"errors\":%u,"
                           "\"findings\":%u",
                           totals->subjects, totals->conformant, totals->nonconformant,
                           totals->inconclusive, totals->errors, totals->findings);
    if (totals->refused) {
        json_number(out, "refused", totals->refused);
    }
    g_string_append(out, "}\n");
}

void mig_report_count(MigReportTotals *totals, const MigCheck *check, bool as_expected)
{
    MigVerdict verdict = mig_check_verdict(check);

    totals->subjects++;
    totals->findings += all_findings(check);
    if (verdict == MIG_VERDICT_PASS || as_expected) {
        totals->conformant++;
    } else if (verdict == MIG_VERDICT_INCONCLUSIVE) {
        totals->inconclusive++;
    } else {
        totals->nonconformant++;
    }
}
