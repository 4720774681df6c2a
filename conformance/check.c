/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run of all rules over one stream.
 *
 * Payload is skipped unless a rule wants it, and then it is at most MIG_LIMIT_VMDESC bytes (every
 * payload that rules look at is bounded by the decoder below that). Memory does not grow with the
 * stream: findings are kept to a number per rule, and page maps have a cap.
 */
#include "conformance/check.h"

#include <stdarg.h>
#include <string.h>

#include "stream/bytes.h"
#include "stream/limits.h"

/* ---- names ---- */

const char *mig_verdict_name(MigVerdict verdict)
{
    static const char *const names[] = { "none", "not-applicable", "pass", "inconclusive",
                                         "warn", "fail",           "error" };
    return names[verdict];
}

static const char *const profiles[MIG_PROFILE_COUNT] = { "lenient", "interop", "strict",
                                                         "canonical" };

const char *mig_profile_name(MigProfile profile)
{
    return profiles[profile];
}

bool mig_profile_parse(const char *text, MigProfile *profile)
{
    for (int i = 0; i < MIG_PROFILE_COUNT; i++) {
        if (strcmp(text, profiles[i]) == 0) {
            *profile = (MigProfile)i;
            return true;
        }
    }
    return false;
}

/* ---- life ---- */

static void finding_clear(gpointer data)
{
    MigFinding *f = data;
    g_free(f->path);
    g_free(f->expected);
    g_free(f->found);
    g_clear_pointer(&f->context, g_bytes_unref);
}

MigCheck *mig_check_new(MigProfile profile)
{
    MigCheck *check = g_new0(MigCheck, 1);
    unsigned n = 0, groups = 0;

    check->profile = profile;
    check->findings = g_array_new(FALSE, TRUE, sizeof(MigFinding));
    g_array_set_clear_func(check->findings, finding_clear);
    check->result_count = mig_catalogue_rule_count();
    check->results = g_new0(MigRuleResult, check->result_count);
    while (mig_catalogue[groups]) {
        groups++;
    }
    check->states = g_new0(void *, groups);
    for (unsigned g = 0; g < groups; g++) {
        check->states[g] = g_malloc0(mig_catalogue[g]->state_size + 1);
        for (unsigned i = 0; i < mig_catalogue[g]->rule_count; i++) {
            check->results[n++].rule = &mig_catalogue[g]->rules[i];
        }
    }
    return check;
}

void mig_check_free(MigCheck *check)
{
    if (!check) {
        return;
    }
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->clear) {
            mig_catalogue[g]->clear(check->states[g]);
        }
        g_free(check->states[g]);
    }
    g_free(check->states);
    g_free(check->results);
    g_array_unref(check->findings);
    g_free(check);
}

/* ---- what rules say ---- */

MigRuleResult *mig_check_result(MigCheck *check, const MigRule *rule)
{
    for (unsigned i = 0; i < check->result_count; i++) {
        if (check->results[i].rule == rule) {
            return &check->results[i];
        }
    }
    g_assert_not_reached();
}

static void worsen(MigRuleResult *result, MigVerdict verdict, const char *reason)
{
    if (verdict > result->verdict) {
        result->verdict = verdict;
        result->reason = reason;
    }
}

/* How much a broken rule counts; NONE: not in this profile. */
static MigVerdict severity(MigProfile profile, MigLevel level)
{
    static const MigVerdict table[MIG_PROFILE_COUNT][4] = {
        [MIG_PROFILE_LENIENT] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL },
        [MIG_PROFILE_INTEROP] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL,
                                  [MIG_LEVEL_SHOULD] = MIG_VERDICT_WARN },
        [MIG_PROFILE_STRICT] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL,
                                 [MIG_LEVEL_SHOULD] = MIG_VERDICT_FAIL },
        [MIG_PROFILE_CANONICAL] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL,
                                    [MIG_LEVEL_SHOULD] = MIG_VERDICT_FAIL,
                                    [MIG_LEVEL_CANON] = MIG_VERDICT_FAIL,
                                    [MIG_LEVEL_INFO] = MIG_VERDICT_WARN },
    };
    return table[profile][level];
}

static void add_context(MigCheck *check, MigFinding *f)
{
    uint8_t bytes[2 * MIG_HEX_CONTEXT];

    f->context_offset = f->offset < MIG_HEX_CONTEXT ? 0 : f->offset - MIG_HEX_CONTEXT;
    size_t want = (size_t)(f->offset - f->context_offset) + MIG_HEX_CONTEXT;
    size_t n = mig_stream_reader_peek(check->reader, f->context_offset, bytes, want);
    f->context = n ? g_bytes_new(bytes, n) : NULL;
}

static void record_finding(MigCheck *check, const MigRule *rule, uint64_t offset, const char *path,
                           const char *expected, char *found)
{
    MigVerdict verdict = severity(check->profile, rule->level);
    MigRuleResult *result = mig_check_result(check, rule);

    if (verdict == MIG_VERDICT_NONE || result->findings++ >= MIG_FINDINGS_PER_RULE) {
        g_free(found);
        return;
    }
    worsen(result, verdict, NULL);
    MigFinding f = {
        .rule = rule,
        .verdict = verdict,
        .channel = "main",
        .offset = offset,
        .path = g_strdup(path),
        .expected = g_strdup(expected),
        .found = found,
    };
    add_context(check, &f);
    g_array_append_val(check->findings, f);
}

void mig_check_find(MigCheck *check, const MigRule *rule, uint64_t offset, const char *expected,
                    const char *found_format, ...)
{
    char path[MIG_DIAGNOSIS_TEXT];
    va_list args;

    mig_decoder_path(check->decoder, path, sizeof(path));
    va_start(args, found_format);
    char *found = g_strdup_vprintf(found_format, args);
    va_end(args);
    record_finding(check, rule, offset, check->path ? check->path : path, expected, found);
}

void mig_check_not_applicable(MigCheck *check, const MigRule *rule, const char *reason)
{
    worsen(mig_check_result(check, rule), MIG_VERDICT_NOT_APPLICABLE, reason);
}

void mig_check_inconclusive(MigCheck *check, const MigRule *rule, const char *reason)
{
    worsen(mig_check_result(check, rule), MIG_VERDICT_INCONCLUSIVE, reason);
}

void mig_check_want_payload(MigCheck *check)
{
    check->want_payload = true;
}

/* ---- the run ---- */

static void learn(MigCheck *check, const MigRecord *r)
{
    MigFacts *facts = &check->facts;

    switch (r->type) {
    case MIG_REC_CONFIG:
        facts->configured = true;
        facts->machine_version = mig_machine_version(r->config.machine.text);
        facts->modern = facts->machine_version == 0;
        break;
    case MIG_REC_CONFIG_CAPABILITIES:
        for (uint32_t i = 0; i < r->capabilities.count; i++) {
            facts->ignore_shared |=
                mig_str_equal(r->capabilities.names[i], mig_str("x-ignore-shared"));
            facts->mapped_ram |= mig_str_equal(r->capabilities.names[i], mig_str("mapped-ram"));
        }
        break;
    case MIG_REC_COMMAND:
        facts->advised |= r->command.number == MIG_CMD_POSTCOPY_ADVISE;
        facts->discarded |= r->command.number == MIG_CMD_POSTCOPY_RAM_DISCARD;
        facts->listening |= r->command.number == MIG_CMD_POSTCOPY_LISTEN;
        facts->switchover |= r->command.number == MIG_CMD_SWITCHOVER_START;
        break;
    case MIG_REC_VMDESC:
        facts->vmdesc = true;
        break;
    default:
        break;
    }
    facts->page_size = mig_decoder_page_size(check->decoder);
}

static void show_record(MigCheck *check, const MigRecord *r)
{
    uint64_t bit = UINT64_C(1) << r->type;

    check->want_payload = false;
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->wanted & bit) {
            mig_catalogue[g]->record(check, check->states[g], r);
        }
    }
    if (!(bit & (MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO)))) {
        learn(check, r);
    }
}

static void show_payload(MigCheck *check, const MigRecord *r, const uint8_t *data)
{
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->payload) {
            mig_catalogue[g]->payload(check, check->states[g], r, data);
        }
    }
}

/*
 * Two faults show themselves late. A configuration section that is missing makes the first footer a
 * stray byte; a missing EOS makes the footer look like a page record.
 */
static const MigRule *rule_behind(MigCheck *check, const MigDiagnosis *g, uint64_t *offset)
{
    const MigRule *rule = mig_catalogue_fault(g->fault);
    uint8_t b[5] = { 0 };
    uint64_t word = g->fault == MIG_FAULT_RAM_BLOCK_UNKNOWN ? g->offset - 8 : g->offset;

    *offset = g->offset;
    mig_stream_reader_peek(check->reader, word, b, sizeof(b));
    if (b[0] != MIG_ITEM_FOOTER) {
        return rule;
    }
    if (g->fault == MIG_FAULT_ITEM_TYPE && !check->facts.configured) {
        *offset = 8;
        return mig_catalogue_find("CONFIG-SECTION-PRESENT");
    }
    if (g->fault == MIG_FAULT_RAM_FLAGS || g->fault == MIG_FAULT_RAM_OFFSET ||
        g->fault == MIG_FAULT_RAM_BLOCK_UNKNOWN || g->fault == MIG_FAULT_RAM_NO_BLOCK) {
        *offset = word;
        return mig_catalogue_find("RAM-BODY-EOS");
    }
    return rule;
}

static void decoder_gave_up(MigCheck *check)
{
    uint64_t offset;
    check->stopped = true;
    check->diagnosis = *mig_stream_reader_diagnosis(check->reader);

    const MigDiagnosis *g = &check->diagnosis;
    const MigRule *rule =
        mig_fault_is_inconclusive(g->fault) ? NULL : rule_behind(check, g, &offset);
    if (rule) {
        record_finding(check, rule, offset, g->path, g->expected, g_strdup(g->found));
    }
    for (unsigned i = 0; i < check->result_count; i++) {
        worsen(&check->results[i], MIG_VERDICT_INCONCLUSIVE, "the stream can't be read to its end");
    }
}

static void finish(MigCheck *check)
{
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->finish) {
            mig_catalogue[g]->finish(check, check->states[g], check->end);
        }
    }
    for (unsigned i = 0; i < check->result_count; i++) {
        MigRuleResult *result = &check->results[i];
        if (severity(check->profile, result->rule->level) == MIG_VERDICT_NONE) {
            worsen(result, MIG_VERDICT_NOT_APPLICABLE, "not in this profile");
        }
        if (result->verdict == MIG_VERDICT_NONE) {
            result->verdict = MIG_VERDICT_PASS;
        }
    }
}

bool mig_check_run(MigCheck *check, MigStreamReader *reader, GError **error)
{
    g_autoptr(GByteArray) payload = g_byte_array_new();
    MigRecord r, last = { 0 };
    MigStatus status;

    check->reader = reader;
    check->decoder = mig_stream_reader_decoder(reader);
    while ((status = mig_stream_reader_next(reader, &r, error)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        if (status == MIG_STATUS_PAYLOAD) {
            show_payload(check, &last, payload->data);
            continue;
        }
        show_record(check, &r);
        if (G_UNLIKELY(check->want_payload) && r.payload && r.payload <= MIG_LIMIT_VMDESC) {
            g_byte_array_set_size(payload, (guint)r.payload);
            mig_stream_reader_payload_into(reader, payload->data);
            last = r;
        }
    }
    check->end = mig_decoder_offset(check->decoder);
    if (status == MIG_STATUS_BAD) {
        decoder_gave_up(check);
    } else if (status == MIG_STATUS_END) {
        finish(check);
    }
    return status != MIG_STATUS_MORE;
}

MigVerdict mig_check_verdict(const MigCheck *check)
{
    MigVerdict worst = check->stopped ? MIG_VERDICT_INCONCLUSIVE : MIG_VERDICT_PASS;
    for (unsigned i = 0; i < check->result_count; i++) {
        worst = MAX(worst, check->results[i].verdict);
    }
    return worst;
}
