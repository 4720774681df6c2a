/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One self-contained page: summary, table of rules by subjects, a chapter for each finding. No
 * script, nothing from a network; words in the cells, so that it reads without colours and in a
 * text browser, too.
 */
#include <inttypes.h>
#include <string.h>

#include "conformance/matrix/page.h"
#include "conformance/report/render.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n"
    "<title>migbench check</title>\n<style>\n"
    "body{font:15px/1.4 sans-serif;max-width:75em;margin:1em auto;padding:0 1em;color:#222;"
    "background:#fff}\n"
    "table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.15em .5em;"
    "text-align:left;vertical-align:top}\n"
    "pre{background:#f4f4f4;padding:.5em;white-space:pre-wrap;word-break:break-all}\n"
    ".fail,.nonconformant,.error,.aborted{background:#f9c9c4}.warn,.inconclusive{background:"
    "#fce9b3}\n"
    ".pass,.conformant{background:#d3efd0}.not-applicable,.none{color:#777}.known{background:"
    "#dfe3f5}\n" MIG_MATRIX_STYLE
    ".aborted{padding:1em;font-weight:bold}\n</style></head><body>\n<h1>migbench check</h1>\n";

static void text(GString *out, const char *s)
{
    mig_render_markup(out, s);
}

static void cell(GString *out, const char *class, const char *s)
{
    g_string_append(out, "<td class=\"");
    text(out, class);
    g_string_append(out, "\">");
    text(out, s);
    g_string_append(out, "</td>");
}

static void row(GString *out, const char *key, const char *value)
{
    g_string_append(out, "<tr><th>");
    text(out, key);
    g_string_append(out, "</th><td>");
    text(out, value);
    g_string_append(out, "</td></tr>\n");
}

static void header(GString *out, const MigRunLog *log)
{
    g_autofree char *aborted = mig_run_log_aborted(log);
    g_autofree char *totals = g_strdup_printf(
        "%u conformant, %u nonconformant, %u inconclusive, %u errors, %u refused; %u findings",
        log->conformant, log->nonconformant, log->inconclusive, log->errors, log->refused,
        log->findings);

    if (!log->complete) {
        g_string_append(out, "<p class=\"aborted\">ABORTED: ");
        text(out, aborted);
        g_string_append(out, "</p>\n");
    }
    g_string_append(out, "<table>\n");
    row(out, "subjects", totals);
    row(out, "profile", log->profile ? log->profile : "");
    row(out, "arguments", log->argv ? log->argv : "");
    row(out, "version", log->version ? log->version : "");
    row(out, "rule catalogue", log->catalogue ? log->catalogue : "");
    g_string_append(out, "</table>\n");
}

static void subjects(GString *out, const MigRunLog *log)
{
    g_string_append(out, "<h2>Subjects</h2>\n<table><tr><th>number</th><th>subject</th>"
                         "<th>verdict</th><th>bytes</th><th>findings</th><th>note</th></tr>\n");
    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        g_string_append_printf(out, "<tr><td>%u</td>", i + 1);
        cell(out, "", s->name);
        cell(out, s->as_expected ? "known" : s->verdict, s->verdict);
        g_string_append_printf(out, "<td>%" PRIu64 "</td><td>%" PRIu64 "</td>", s->bytes,
                               s->finding_count);
        cell(out, "",
             s->message       ? s->message
             : s->as_expected ? "as expected"
             : s->stopped     ? s->stopped
                              : "");
        g_string_append(out, "</tr>\n");
    }
    g_string_append(out, "</table>\n");
}

/* ---- rules by subjects ---- */

static const MigLogResult *result_of(const MigLogSubject *s, guint i, const char *rule)
{
    if (i < s->results->len && strcmp(g_array_index(s->results, MigLogResult, i).rule, rule) == 0) {
        return &g_array_index(s->results, MigLogResult, i);
    }
    return NULL; /* unreadable */
}

/* The first subject that has results names the rules. */
static const MigLogSubject *judged(const MigRunLog *log)
{
    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        if (s->results->len) {
            return s;
        }
    }
    return NULL;
}

static void matrix_cell(GString *out, guint number, const MigLogSubject *s, const MigLogResult *r)
{
    if (!r) {
        g_string_append(out, "<td>-</td>");
    } else if (mig_render_finding(s, r->rule)) {
        g_string_append(out, "<td class=\"");
        text(out, r->verdict);
        g_string_append_printf(out, "\"><a href=\"#s%u-", number);
        text(out, r->rule);
        g_string_append(out, "\">");
        text(out, r->verdict);
        g_string_append(out, "</a></td>");
    } else {
        cell(out, r->verdict, strcmp(r->verdict, "not-applicable") == 0 ? "n/a" : r->verdict);
    }
}

static void matrix(GString *out, const MigRunLog *log)
{
    const MigLogSubject *first = judged(log);

    g_string_append(out, "<h2>Rules</h2>\n<table><tr><th>rule</th>");
    for (guint i = 0; i < log->subjects->len; i++) {
        g_string_append_printf(out, "<th>%u</th>", i + 1);
    }
    g_string_append(out, "</tr>\n");
    for (guint k = 0; first && k < first->results->len; k++) {
        const char *rule = g_array_index(first->results, MigLogResult, k).rule;
        g_string_append(out, "<tr><th>");
        text(out, rule);
        g_string_append(out, "</th>");
        for (guint i = 0; i < log->subjects->len; i++) {
            const MigLogSubject *s = log->subjects->pdata[i];
            matrix_cell(out, i + 1, s, result_of(s, k, rule));
        }
        g_string_append(out, "</tr>\n");
    }
    g_string_append(out, "</table>\n");
}

/* ---- findings ---- */

static void finding(GString *out, guint number, const MigLogSubject *s, const MigLogFinding *f)
{
    g_autofree char *place = g_strdup_printf("channel %s, offset %" PRIu64 " (0x%" PRIx64 "), %s",
                                             f->channel, f->offset, f->offset, f->path);

    g_string_append(out, "<h3");
    if (f == mig_render_finding(s, f->rule)) {
        g_string_append_printf(out, " id=\"s%u-", number);
        text(out, f->rule);
        g_string_append_c(out, '"');
    }
    g_string_append_c(out, '>');
    text(out, f->rule);
    g_string_append(out, " in ");
    text(out, s->name);
    g_string_append(out, "</h3>\n<table>\n");
    row(out, "rule", f->title);
    row(out, "verdict", f->known ? "known deviation" : f->verdict);
    row(out, "level", f->level);
    row(out, "place", place);
    row(out, "expected", f->expected);
    row(out, "found", f->found);
    row(out, "why", f->why);
    row(out, "again", f->repro);
    if (f->known) {
        row(out, "known", f->reference);
    }
    g_string_append(out, "</table>\n");
    if (f->context) {
        g_string_append_printf(out, "<pre>%" PRIu64 ":", f->context_offset);
        mig_render_hex(out, f);
        g_string_append(out, "</pre>\n");
    }
}

static void expectations(GString *out, const char *subject, const GArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        const MigLogExpectation *e = &g_array_index(list, MigLogExpectation, i);
        if (strcmp(e->outcome, "expected") != 0) {
            g_string_append(out, "<p class=\"fail\">");
            text(out, subject);
            g_string_append(out, ": ");
            text(out, e->outcome);
            g_string_append_c(out, ' ');
            text(out, e->rule);
            g_string_append(out, ": ");
            text(out, e->message);
            g_string_append(out, "</p>\n");
        }
    }
}

static void end(GString *out, const MigRunLog *log)
{
    g_string_append(out, head);
    header(out, log);
    if (mig_matrix_is_one(log)) {
        mig_matrix_page(out, log);
    } else {
        subjects(out, log);
    }
    expectations(out, "expectation file", log->expectations);
    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        expectations(out, s->name, s->expectations);
    }
    if (!mig_matrix_is_one(log)) {
        matrix(out, log);
    }
    g_string_append(out, "<h2>Findings</h2>\n");
    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        for (guint k = 0; k < s->findings->len; k++) {
            finding(out, i + 1, s, &g_array_index(s->findings, MigLogFinding, k));
        }
    }
    g_string_append(out, log->findings ? "" : "<p>None.</p>\n");
    g_string_append(out, "</body></html>\n");
}

const MigRenderFormat mig_render_html = { .name = "html", .end = end };
