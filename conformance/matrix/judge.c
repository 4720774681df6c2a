/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cell comes to. Besides the catalogue's rules, which look at the recording, a cell has some
 * of its own about the ends. They are results like any others, so that reports and expectation
 * files need not know the difference.
 */
#include <string.h>

#include "conformance/matrix/matrix.h"

enum { COMPLETES, MEMORY, SURVIVES, LIVES, QUIET };

const MigRule mig_cell_rules[] = {
    [COMPLETES] = { .id = "CELL-MIGRATION-COMPLETES",
                    .title = "source and destination say that the migration has completed",
                    .level = MIG_LEVEL_MUST,
                    .authority = MIG_AUTHORITY_DOC,
                    .why = "the guest has not arrived, or nobody knows that it has" },
    [MEMORY] = { .id = "CELL-MEMORY-EQUAL",
                 .title = "the guest's memory is what the source had",
                 .level = MIG_LEVEL_MUST,
                 .authority = MIG_AUTHORITY_DOC,
                 .why = "the guest goes on with another memory; nothing on the wire tells" },
    [SURVIVES] = { .id = "CELL-FAULT-SURVIVED",
                   .title = "both ends notice that the migration broke off, and the source keeps "
                            "its guest",
                   .level = MIG_LEVEL_MUST,
                   .authority = MIG_AUTHORITY_DOC,
                   .why = "a broken line must not cost the guest" },
    [LIVES] = { .id = "CELL-ENDS-LIVE",
                .title = "no end crashes or hangs",
                .level = MIG_LEVEL_MUST,
                .authority = MIG_AUTHORITY_DOC,
                .why = "a migration is to end, one way or the other" },
    [QUIET] = { .id = "CELL-DESTINATION-QUIET",
                .title = "a destination that completes has no complaint",
                .level = MIG_LEVEL_SHOULD,
                .authority = MIG_AUTHORITY_OBSERVED,
                .why = "it found something odd in the stream" },
};
const unsigned mig_cell_rule_count = G_N_ELEMENTS(mig_cell_rules);

const char *mig_outcome_name(MigOutcome outcome)
{
    static const char *const names[] = { "pass", "fail", "refused", "inconclusive" };
    return names[outcome];
}

static bool is(const char *status, const char *wanted)
{
    return g_strcmp0(status, wanted) == 0;
}

/* ---- adding results ---- */

static MigRuleResult *add_rules(MigCheck *check)
{
    unsigned n = check->result_count;

    check->results = g_renew(MigRuleResult, check->results, n + mig_cell_rule_count);
    for (unsigned i = 0; i < mig_cell_rule_count; i++) {
        check->results[n + i] =
            (MigRuleResult){ .rule = &mig_cell_rules[i], .verdict = MIG_VERDICT_PASS };
    }
    check->result_count += mig_cell_rule_count;
    return check->results + n;
}

static void not_applicable(MigRuleResult *result, const char *reason)
{
    result->verdict = MIG_VERDICT_NOT_APPLICABLE;
    result->reason = reason;
}

/* Takes |found| over. */
static void find(MigCheck *check, MigRuleResult *result, const char *expected, char *found)
{
    bool must = result->rule->level == MIG_LEVEL_MUST || check->profile >= MIG_PROFILE_STRICT;
    MigFinding f = { .rule = result->rule,
                     .verdict = must ? MIG_VERDICT_FAIL : MIG_VERDICT_WARN,
                     .channel = "main",
                     .offset = check->end,
                     .path = g_strdup("cell"),
                     .expected = g_strdup(expected),
                     .found = found };

    g_strdelimit(f.found, "\n\r", ' ');
    result->verdict = f.verdict;
    result->findings++;
    g_array_append_val(check->findings, f);
}

/* ---- the ends ---- */

static char *ends_text(const MigCellRun *r)
{
    const char *se = r->source_error, *de = r->destination_error;

    return g_strdup_printf("source %s%s%s, destination %s%s%s",
                           r->source_status ? r->source_status : "none", se && *se ? ": " : "",
                           se ? se : "", r->destination_status ? r->destination_status : "none",
                           de && *de ? ": " : "", de ? de : "");
}

static bool completed(const MigCellRun *r)
{
    return is(r->source_status, "completed") && is(r->destination_status, "completed");
}

static bool breaks_off(const MigCell *cell)
{
    return strcmp(cell->fault, "cut") == 0 || strcmp(cell->fault, "cancel") == 0;
}

/* A guest that stands still may be in any of these: no migration has taken it away. */
static bool keeps_guest(const MigCellRun *r)
{
    static const char *const states[] = { "prelaunch", "paused", "running", NULL };
    return r->run_state && g_strv_contains(states, r->run_state);
}

static bool noticed(const MigCellRun *r)
{
    bool source = is(r->source_status, "failed") || is(r->source_status, "cancelled");
    bool destination =
        is(r->destination_status, "failed") ||
        (r->destination_status && g_str_has_prefix(r->destination_status, "exit status"));
    return source && destination;
}

static void judge_ends(MigCheck *check, MigRuleResult *own, const MigCellRun *r)
{
    bool broken = breaks_off(r->cell) && !completed(r);

    if (broken) {
        not_applicable(&own[COMPLETES], "the line was cut, or the migration cancelled");
        if (!noticed(r) || !keeps_guest(r)) {
            g_autofree char *ends = ends_text(r);
            find(check, &own[SURVIVES], "both ends say that it failed; the guest is still there",
                 g_strdup_printf("%s; the source's guest is %s", ends, r->run_state));
        }
    } else {
        not_applicable(&own[SURVIVES], "nothing broke it off");
        if (!completed(r)) {
            find(check, &own[COMPLETES], "source completed, destination completed", ends_text(r));
        }
    }
    if (r->memory) {
        find(check, &own[MEMORY], "the same bytes", g_strdup(r->memory));
    } else if (!r->compared) {
        not_applicable(&own[MEMORY], "there is no memory to be compared");
    }
    if (r->hung || r->crashed) {
        g_autofree char *ends = ends_text(r);
        find(check, &own[LIVES], "an end of the migration",
             g_strdup_printf("%s: %s", r->hung ? "it hangs" : "an end has crashed", ends));
    }
    if (strcmp(r->cell->fault, "none") != 0) {
        not_applicable(&own[QUIET], "it has reason to complain");
    } else if (r->complaint) {
        find(check, &own[QUIET], "nothing", g_strdup(r->complaint));
    }
}

/* ---- the recording ---- */

/* The line was cut: what was there is judged, and that it ends is no finding. */
static void forgive_the_cut(MigCheck *check)
{
    const MigRule *rule = mig_catalogue_fault(MIG_FAULT_TRUNCATED);

    if (!check->stopped || check->diagnosis.fault != MIG_FAULT_TRUNCATED) {
        return;
    }
    check->stopped = false;
    g_clear_pointer(&check->hint, g_free);
    for (guint i = check->findings->len; i-- > 0;) {
        if (g_array_index(check->findings, MigFinding, i).rule == rule) {
            g_array_remove_index(check->findings, i);
        }
    }
    for (unsigned i = 0; i < check->result_count; i++) {
        MigRuleResult *result = &check->results[i];
        if (result->rule == rule || result->verdict == MIG_VERDICT_INCONCLUSIVE) {
            result->findings = 0;
            not_applicable(result, "the line was cut");
        }
    }
}

/* A source that fails before it has written anything of the guest has refused by itself. */
static bool refused_late(const MigCheck *check, const MigCellRun *r)
{
    return strcmp(r->cell->fault, "none") == 0 && is(r->source_status, "failed") &&
           r->source_error && *r->source_error && !r->passes && check->end < 1024;
}

static bool read_recording(MigCheck *check, const MigCellRun *r, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRecording) recording = mig_recording_open(r->recording, &error);

    if (recording && mig_check_recording(check, recording, &error)) {
        return true;
    }
    *words = g_strdup(error->message);
    return false;
}

static char *first_words(const MigCheck *check)
{
    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        if (f->verdict >= MIG_VERDICT_WARN) {
            return g_strdup_printf("%s: %s", f->rule->id, f->found);
        }
    }
    return check->stopped ? g_strdup(mig_fault_text(check->diagnosis.fault)) : NULL;
}

MigOutcome mig_cell_judge(MigCheck *check, const MigCellRun *r, char **words)
{
    *words = NULL;
    if (r->refused || (r->inconclusive && !r->source_status)) {
        *words = g_strdup(r->words);
        return r->refused ? MIG_OUTCOME_REFUSED : MIG_OUTCOME_INCONCLUSIVE;
    }
    bool readable = read_recording(check, r, words);
    if (refused_late(check, r)) {
        g_free(*words);
        *words = g_strdup_printf("source: %s", r->source_error);
        return MIG_OUTCOME_REFUSED;
    }
    if (!readable && completed(r)) {
        return MIG_OUTCOME_INCONCLUSIVE;
    }
    if (breaks_off(r->cell)) {
        forgive_the_cut(check);
    }
    judge_ends(check, add_rules(check), r);
    g_free(*words);
    *words = first_words(check);
    MigVerdict verdict = mig_check_verdict(check);
    if (verdict >= MIG_VERDICT_WARN) {
        return MIG_OUTCOME_FAIL;
    }
    if (verdict == MIG_VERDICT_INCONCLUSIVE || r->inconclusive) {
        *words = *words ? *words : g_strdup(r->words);
        return MIG_OUTCOME_INCONCLUSIVE;
    }
    return MIG_OUTCOME_PASS;
}
