/* SPDX-License-Identifier: Apache-2.0 */
/* What the formats share, and the table of them. */
#include "conformance/report/render.h"

#include <string.h>

static const MigRenderFormat ndjson = { .name = "ndjson", .lines = true };

static const MigRenderFormat *const formats[] = { &mig_render_text, &ndjson,
                                                  &mig_render_tap,  &mig_render_junit,
                                                  &mig_render_html, &mig_render_markdown };

const MigRenderFormat *mig_render_format(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(formats[i]->name, name) == 0) {
            return formats[i];
        }
    }
    return NULL;
}

MigRender *mig_render_new(const MigRenderFormat *format)
{
    MigRender *r = g_new0(MigRender, 1);
    r->format = format;
    r->log = mig_run_log_new();
    r->out = g_string_new(NULL);
    return r;
}

void mig_render_free(MigRender *r)
{
    if (r) {
        mig_run_log_free(r->log);
        g_string_free(r->out, TRUE);
        g_free(r);
    }
}

static bool one_line(MigRender *r, const char *line, gsize n, GError **error)
{
    const MigLogSubject *subject;
    bool begun = r->log->begun;

    if (!mig_run_log_line(r->log, line, n, &subject, error)) {
        return false;
    }
    if (r->format->lines) {
        g_string_append_len(r->out, line, (gssize)n);
        g_string_append_c(r->out, '\n');
    }
    if (!begun && r->log->begun && r->format->begin) {
        r->format->begin(r->out, r->log);
    }
    if (subject && r->format->subject) {
        r->format->subject(r->out, r->log, subject);
    }
    return true;
}

bool mig_render_lines(MigRender *r, const char *lines, gsize n, GError **error)
{
    while (n > 0) {
        const char *end = memchr(lines, '\n', n);
        gsize part = end ? (gsize)(end - lines) : n;
        if (part > 0 && !one_line(r, lines, part, error)) {
            return false;
        }
        part += end ? 1 : 0;
        lines += part;
        n -= part;
    }
    return true;
}

int mig_render_end(MigRender *r)
{
    if (r->format->end) {
        r->format->end(r->out, r->log);
    }
    return mig_run_log_status(r->log);
}

/* ---- for formats ---- */

void mig_render_markup(GString *out, const char *text)
{
    for (; *text; text = g_utf8_next_char(text)) {
        gunichar c = g_utf8_get_char(text);
        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'') {
            g_string_append_printf(out, "&#%u;", c);
        } else if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xfffe || c == 0xffff) {
            g_string_append_printf(out, "\\x%02x", c);
        } else {
            g_string_append_unichar(out, c);
        }
    }
}

void mig_render_hex(GString *out, const MigLogFinding *f)
{
    for (size_t i = 0; f->context[2 * i] && f->context[2 * i + 1]; i++) {
        bool here = f->context_offset + i == f->offset;
        g_string_append_printf(out, "%s%.2s%s", here ? "[" : " ", f->context + 2 * i,
                               here ? "]" : "");
    }
}

unsigned mig_render_count(const MigLogSubject *s, const char *verdict)
{
    unsigned n = 0;
    for (guint i = 0; i < s->results->len; i++) {
        n += strcmp(g_array_index(s->results, MigLogResult, i).verdict, verdict) == 0;
    }
    return n;
}

const MigLogFinding *mig_render_finding(const MigLogSubject *s, const char *rule)
{
    for (guint i = 0; i < s->findings->len; i++) {
        const MigLogFinding *f = &g_array_index(s->findings, MigLogFinding, i);
        if (strcmp(f->rule, rule) == 0) {
            return f;
        }
    }
    return NULL;
}
