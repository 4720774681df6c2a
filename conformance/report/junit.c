/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JUnit XML as CI systems read it: a testsuite for each subject, in it a testcase for each rule and
 * one named "verdict" for the subject itself. A rule that does not apply, and one that could not be
 * judged, is skipped with its reason; a subject that could not be judged is an error. An aborted
 * run has a testsuite "run" with an error, so that no reader takes it for a finished one.
 */
#include <inttypes.h>
#include <string.h>

#include "conformance/report/render.h"

typedef struct Counts {
    unsigned tests, failures, errors, skipped;
} Counts;

static void attribute(GString *out, const char *name, const char *value)
{
    g_string_append_printf(out, " %s=\"", name);
    mig_render_markup(out, value);
    g_string_append_c(out, '"');
}

static void open_case(GString *out, Counts *c, const char *class, const char *name)
{
    c->tests++;
    g_string_append(out, "    <testcase");
    attribute(out, "classname", class);
    attribute(out, "name", name);
}

static void child(GString *out, unsigned *counter, const char *element, const char *type,
                  const char *message)
{
    (*counter)++;
    g_string_append_printf(out, ">\n      <%s", element);
    if (type) {
        attribute(out, "type", type);
    }
    attribute(out, "message", message);
    g_string_append(out, "/>\n    </testcase>\n");
}

static void failure(GString *out, Counts *c, const MigLogFinding *f)
{
    g_autofree char *message = g_strdup_printf("offset %" PRIu64 ", %s: expected %s, found %s",
                                               f->offset, f->path, f->expected, f->found);
    c->failures++;
    g_string_append(out, ">\n      <failure");
    attribute(out, "type", f->verdict);
    attribute(out, "message", message);
    g_string_append_c(out, '>');
    mig_render_markup(out, f->title);
    g_string_append(out, "\nwhy: ");
    mig_render_markup(out, f->why);
    if (f->context) {
        g_string_append(out, "\nbytes:");
        mig_render_hex(out, f);
    }
    g_string_append(out, "\nagain: ");
    mig_render_markup(out, f->repro);
    g_string_append(out, "</failure>\n    </testcase>\n");
}

static void rule(GString *out, Counts *c, const MigLogSubject *s, const MigLogResult *r)
{
    const MigLogFinding *f = mig_render_finding(s, r->rule);

    open_case(out, c, s->name, r->rule);
    if (f && f->known) {
        g_autofree char *why = g_strdup_printf("known deviation: %s", f->reference);
        child(out, &c->skipped, "skipped", NULL, why);
    } else if (f) {
        failure(out, c, f);
    } else if (strcmp(r->verdict, "pass") == 0) {
        g_string_append(out, "/>\n");
    } else if (strcmp(r->verdict, "fail") == 0 || strcmp(r->verdict, "warn") == 0) {
        child(out, &c->failures, "failure", r->verdict, "see the other findings");
    } else {
        g_autofree char *why = g_strdup_printf("%s%s%s", r->verdict, r->reason ? ": " : "",
                                               r->reason ? r->reason : "");
        child(out, &c->skipped, "skipped", NULL, why);
    }
}

static void expectations(GString *out, Counts *c, const char *class, const GArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        const MigLogExpectation *e = &g_array_index(list, MigLogExpectation, i);
        if (strcmp(e->outcome, "expected") != 0 && strcmp(e->outcome, "unexpected") != 0) {
            g_autofree char *name = g_strdup_printf("expectation %s", e->rule);
            open_case(out, c, class, name);
            child(out, &c->failures, "failure", e->outcome, e->message);
        }
    }
}

static void verdict(GString *out, Counts *c, const MigLogSubject *s)
{
    open_case(out, c, s->name, "verdict");
    if (s->as_expected || strcmp(s->verdict, "conformant") == 0) {
        g_string_append(out, "/>\n");
    } else if (strcmp(s->verdict, "refused") == 0) {
        child(out, &c->skipped, "skipped", NULL, s->message);
    } else if (strcmp(s->verdict, "nonconformant") == 0) {
        child(out, &c->failures, "failure", s->verdict, s->stopped ? s->stopped : s->verdict);
    } else {
        child(out, &c->errors, "error", s->verdict,
              s->message   ? s->message
              : s->stopped ? s->stopped
                           : s->verdict);
    }
}

static void open_suite(GString *out, const char *name, const Counts *c)
{
    g_string_append(out, "  <testsuite");
    attribute(out, "name", name);
    g_string_append_printf(out, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n",
                           c->tests, c->failures, c->errors, c->skipped);
}

static void close_suite(GString *out, GString *body, const char *name, Counts *all, const Counts *c)
{
    open_suite(out, name, c);
    g_string_append_len(out, body->str, (gssize)body->len);
    g_string_append(out, "  </testsuite>\n");
    g_string_truncate(body, 0);
    all->tests += c->tests;
    all->failures += c->failures;
    all->errors += c->errors;
    all->skipped += c->skipped;
}

static void suites(GString *out, const MigRunLog *log, Counts *all)
{
    g_autoptr(GString) body = g_string_new(NULL);

    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        Counts c = { 0 };
        for (guint k = 0; k < s->results->len; k++) {
            const MigLogResult *r = &g_array_index(s->results, MigLogResult, k);
            if (!s->cell || mig_render_finding(s, r->rule)) { /* cells are thousands */
                rule(body, &c, s, r);
            }
        }
        expectations(body, &c, s->name, s->expectations);
        verdict(body, &c, s);
        close_suite(out, body, s->name, all, &c);
    }
    if (!log->complete || log->expectations->len) {
        g_autofree char *aborted = mig_run_log_aborted(log);
        Counts c = { 0 };
        expectations(body, &c, "run", log->expectations);
        if (!log->complete) {
            open_case(body, &c, "run", "complete");
            child(body, &c.errors, "error", "aborted", aborted);
        }
        close_suite(out, body, "run", all, &c);
    }
}

static void end(GString *out, const MigRunLog *log)
{
    g_autoptr(GString) body = g_string_new(NULL);
    Counts all = { 0 };

    suites(body, log, &all);
    g_string_append(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
    attribute(out, "name", "migbench check");
    g_string_append_printf(out, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n",
                           all.tests, all.failures, all.errors, all.skipped);
    g_string_append_len(out, body->str, (gssize)body->len);
    g_string_append(out, "</testsuites>\n");
}

const MigRenderFormat mig_render_junit = { .name = "junit", .end = end };
