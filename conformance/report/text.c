/* SPDX-License-Identifier: Apache-2.0 */
/* A report for people at a terminal: findings, then a line for each subject. */
#include <inttypes.h>
#include <string.h>

#include "conformance/output.h"
#include "conformance/report/render.h"

static void text(GString *out, const char *s)
{
    mig_text_append(out, mig_str(s));
}

static const char *word(const MigLogFinding *f)
{
    return f->known ? "xfail" : strcmp(f->verdict, "warn") == 0 ? "warn" : "FAIL";
}

static void finding(GString *out, const MigLogSubject *s, const MigLogFinding *f)
{
    g_string_append_printf(out, "%s  ", word(f));
    text(out, f->rule);
    g_string_append(out, "  ");
    if (s->several) {
        text(out, f->channel);
        g_string_append(out, "  ");
    }
    g_string_append_printf(out, "offset %" PRIu64 " (0x%" PRIx64 ")  ", f->offset, f->offset);
    text(out, f->path);
    g_string_append(out, "\n      ");
    text(out, f->title);
    g_string_append(out, "\n      expected: ");
    text(out, f->expected);
    g_string_append(out, "\n      found:    ");
    text(out, f->found);
    if (f->context) {
        g_string_append(out, "\n      bytes:   ");
        mig_render_hex(out, f);
    }
    g_string_append(out, "\n      why:      ");
    text(out, f->why);
    if (f->known) {
        g_string_append(out, "\n      known:    ");
        text(out, f->reference);
    }
    g_string_append(out, "\n      again:    ");
    text(out, f->repro);
    g_string_append_c(out, '\n');
}

static void expectation(GString *out, const MigLogExpectation *e)
{
    g_autofree char *outcome = g_ascii_strup(e->outcome, -1);
    if (strcmp(e->outcome, "expected") != 0) {
        g_string_append_printf(out, "%s  ", outcome);
        text(out, e->rule);
        g_string_append(out, "  ");
        text(out, e->message);
        g_string_append_c(out, '\n');
    }
}

/* One line for a cell: its outcome, its name, what was said. */
static void cell(GString *out, const MigLogSubject *s)
{
    bool fail = strcmp(s->verdict, "nonconformant") == 0 && !s->as_expected;
    bool error = strcmp(s->verdict, "error") == 0;

    g_string_append_printf(out, "%-12s  ",
                           error            ? "ERROR"
                           : fail           ? "FAIL"
                           : s->as_expected ? "known"
                                            : s->cell->outcome);
    text(out, s->name);
    if (*s->cell->words) {
        g_string_append(out, "  ");
        text(out, s->cell->words);
    }
    g_string_append_c(out, '\n');
}

static void summary(GString *out, const MigLogSubject *s)
{
    if (s->cell) {
        cell(out, s);
        return;
    }
    text(out, s->name);
    g_string_append(out, ": ");
    if (s->message) {
        bool error = strcmp(s->verdict, "error") == 0;
        text(out, error ? "ERROR" : s->verdict);
        g_string_append(out, ": ");
        text(out, s->message);
        g_string_append_c(out, '\n');
        return;
    }
    text(out, s->verdict);
    g_string_append_printf(
        out,
        "%s, %" PRIu64 " finding%s (%u rules pass, %u warn, %u fail, %u "
        "inconclusive, %u not applicable)\n",
        s->as_expected ? " as expected" : "", s->finding_count, s->finding_count == 1 ? "" : "s",
        mig_render_count(s, "pass"), mig_render_count(s, "warn"), mig_render_count(s, "fail"),
        mig_render_count(s, "inconclusive"), mig_render_count(s, "not-applicable"));
}

static void subject(GString *out, const MigRunLog *log, const MigLogSubject *s)
{
    for (guint i = 0; i < s->findings->len; i++) {
        finding(out, s, &g_array_index(s->findings, MigLogFinding, i));
    }
    if (s->finding_count > s->findings->len) {
        g_string_append_printf(out, "      (%" PRIu64 " more findings of the same rules)\n",
                               s->finding_count - s->findings->len);
    }
    for (guint i = 0; i < s->expectations->len; i++) {
        expectation(out, &g_array_index(s->expectations, MigLogExpectation, i));
    }
    if (s->stopped) {
        g_string_append_printf(out, "      reading stopped at offset %" PRIu64 ", ",
                               s->stopped_offset);
        text(out, s->stopped_path);
        g_string_append(out, ": ");
        text(out, s->stopped);
        g_string_append_c(out, '\n');
    }
    if (s->hint) {
        g_string_append(out, "      try:      ");
        text(out, s->hint);
        g_string_append_c(out, '\n');
    }
    summary(out, s);
}

static void end(GString *out, const MigRunLog *log)
{
    for (guint i = 0; i < log->expectations->len; i++) {
        expectation(out, &g_array_index(log->expectations, MigLogExpectation, i));
    }
    if (!log->complete) {
        g_autofree char *aborted = mig_run_log_aborted(log);
        g_string_append_printf(out, "ABORTED: %s\n", aborted);
    } else if (log->subjects->len > 1) {
        g_string_append_printf(out,
                               "%u streams: %u conformant, %u nonconformant, %u inconclusive, %u "
                               "error%s",
                               log->subjects->len, log->conformant, log->nonconformant,
                               log->inconclusive, log->errors, log->errors == 1 ? "" : "s");
        if (log->refused) {
            g_string_append_printf(out, ", %u refused", log->refused);
        }
        g_string_append_c(out, '\n');
    }
}

const MigRenderFormat mig_render_text = { .name = "text", .subject = subject, .end = end };
