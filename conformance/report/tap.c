/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP 13: a test point for each rule of each subject, and one for the subject itself, which holds
 * what belongs to no rule (unreadable, expectations that did not come true). What is inconclusive
 * was not shown, so it is "not ok" for the subject and a SKIP with its reason for the rule.
 */
#include <inttypes.h>
#include <string.h>

#include "conformance/output.h"
#include "conformance/report/render.h"

/* A '#' begins a directive, and a line ends a point. */
static void text(GString *out, const char *s)
{
    g_autoptr(GString) plain = g_string_new(NULL);
    mig_text_append(plain, mig_str(s));
    g_string_replace(plain, "\\", "\\\\", 0);
    g_string_replace(plain, "#", "\\#", 0);
    g_string_append(out, plain->str);
}

static void point(GString *out, bool ok, const MigLogSubject *s, const char *what)
{
    g_string_append(out, ok ? "ok - " : "not ok - ");
    text(out, s->name);
    g_string_append(out, ": ");
    text(out, what);
}

static void yaml(GString *out, const char *key, const char *value)
{
    g_string_append_printf(out, "  %s: ", key);
    mig_json_append_string(out, mig_str(value)); /* a JSON string is one of YAML's */
    g_string_append_c(out, '\n');
}

static void details(GString *out, const MigLogFinding *f)
{
    g_string_append(out, "  ---\n");
    yaml(out, "severity", f->verdict);
    yaml(out, "title", f->title);
    yaml(out, "channel", f->channel);
    g_string_append_printf(out, "  offset: %" PRIu64 "\n", f->offset);
    yaml(out, "path", f->path);
    yaml(out, "expected", f->expected);
    yaml(out, "found", f->found);
    yaml(out, "again", f->repro);
    g_string_append(out, "  ...\n");
}

static void directive(GString *out, const char *word, const char *reason)
{
    g_string_append_printf(out, " # %s ", word);
    text(out, reason);
}

/* Of a cell, of which there are thousands, only what was found. */
static bool is_shown(const MigLogSubject *s, const MigLogResult *r)
{
    return !s->cell || mig_render_finding(s, r->rule);
}

static void rule(GString *out, const MigLogSubject *s, const MigLogResult *r)
{
    const MigLogFinding *f = mig_render_finding(s, r->rule);
    bool skip = strcmp(r->verdict, "not-applicable") == 0 || strcmp(r->verdict, "none") == 0 ||
                strcmp(r->verdict, "inconclusive") == 0;

    point(out, skip || strcmp(r->verdict, "pass") == 0, s, r->rule);
    if (skip) {
        g_autofree char *why = g_strdup_printf("%s%s%s", r->verdict, r->reason ? ": " : "",
                                               r->reason ? r->reason : "");
        directive(out, "SKIP", why);
    } else if (f && f->known) {
        directive(out, "TODO", f->reference);
    }
    g_string_append_c(out, '\n');
    if (f) {
        details(out, f);
    }
}

static bool fine(const MigLogSubject *s)
{
    for (guint i = 0; i < s->expectations->len; i++) {
        if (strcmp(g_array_index(s->expectations, MigLogExpectation, i).outcome, "expected") != 0) {
            return false;
        }
    }
    return s->as_expected || strcmp(s->verdict, "conformant") == 0;
}

static void notes(GString *out, const GArray *expectations)
{
    for (guint i = 0; i < expectations->len; i++) {
        const MigLogExpectation *e = &g_array_index(expectations, MigLogExpectation, i);
        if (strcmp(e->outcome, "expected") != 0) {
            g_string_append_printf(out, "# %s ", e->outcome);
            text(out, e->rule);
            g_string_append(out, ": ");
            text(out, e->message);
            g_string_append_c(out, '\n');
        }
    }
}

static void begin(GString *out, const MigRunLog *log)
{
    g_string_append(out, "TAP version 13\n# migbench ");
    text(out, log->version);
    g_string_append(out, ", profile ");
    text(out, log->profile);
    g_string_append(out, ", rules ");
    text(out, log->catalogue);
    g_string_append_c(out, '\n');
}

static void subject(GString *out, const MigRunLog *log, const MigLogSubject *s)
{
    bool refused = strcmp(s->verdict, "refused") == 0;

    for (guint i = 0; i < s->results->len; i++) {
        const MigLogResult *r = &g_array_index(s->results, MigLogResult, i);
        if (is_shown(s, r)) {
            rule(out, s, r);
        }
    }
    notes(out, s->expectations);
    point(out, refused || fine(s), s, s->message && !refused ? s->message : s->verdict);
    if (refused) {
        directive(out, "SKIP", s->message);
    }
    g_string_append_c(out, '\n');
}

/* The plan comes last, and not at all when the run did not get there: no reader takes that for
 * success. */
static void end(GString *out, const MigRunLog *log)
{
    guint points = 0;

    notes(out, log->expectations);
    if (!log->complete) {
        g_autofree char *aborted = mig_run_log_aborted(log);
        g_string_append_printf(out, "Bail out! %s\n", aborted);
        return;
    }
    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        for (guint k = 0; k < s->results->len; k++) {
            points += is_shown(s, &g_array_index(s->results, MigLogResult, k));
        }
        points++;
    }
    if (log->expectations->len) {
        g_string_append(out, "not ok - expectations: stale entries\n");
        points++;
    }
    g_string_append_printf(out, "1..%u\n", points);
}

const MigRenderFormat mig_render_tap = {
    .name = "tap", .begin = begin, .subject = subject, .end = end
};
