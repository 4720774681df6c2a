/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports of a run, all rendered from its log:
 *
 *     check -> lines of NDJSON -> run log -> text | tap | junit | html
 *                    +------------------------> ndjson (the lines themselves)
 *
 * A format is a row with up to three functions. What can be written subject by subject is; the
 * others wait for the end. Everything that is not a constant is escaped: names in a stream come
 * from strangers.
 */
#ifndef MIG_CONFORMANCE_REPORT_RENDER_H
#define MIG_CONFORMANCE_REPORT_RENDER_H

#include <stdio.h>

#include "conformance/report/run-log.h"

typedef struct MigRenderFormat {
    const char *name;
    bool lines; /* passes the log's lines on as they are */
    void (*begin)(GString *out, const MigRunLog *log);
    void (*subject)(GString *out, const MigRunLog *log, const MigLogSubject *s);
    /* Also of an aborted run: says so. */
    void (*end)(GString *out, const MigRunLog *log);
} MigRenderFormat;

extern const MigRenderFormat mig_render_text, mig_render_tap, mig_render_junit, mig_render_html;
extern const MigRenderFormat mig_render_markdown; /* of a matrix, see matrix/page.h */

#define MIG_RENDER_NAMES "text, ndjson, tap, junit, html or markdown"

/* NULL: no such format. */
const MigRenderFormat *mig_render_format(const char *name);

typedef struct MigRender {
    const MigRenderFormat *format;
    MigRunLog *log;
    GString *out; /* what has been rendered and not written yet */
} MigRender;

MigRender *mig_render_new(const MigRenderFormat *format);
void mig_render_free(MigRender *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRender, mig_render_free)

/* One or more whole lines of a log. False: *error. */
bool mig_render_lines(MigRender *r, const char *lines, gsize n, GError **error);
/* No more lines will come. Returns the run's exit status. */
int mig_render_end(MigRender *r);

/* ---- for formats ---- */

/* Appends for XML and HTML: markup escaped, what XML 1.0 can't hold as \xNN. */
void mig_render_markup(GString *out, const char *text);
/* "deadbeef" as " de[ad]be ef", the byte at |f|'s offset marked. */
void mig_render_hex(GString *out, const MigLogFinding *f);
/* How many results of |s| have that verdict. */
unsigned mig_render_count(const MigLogSubject *s, const char *verdict);
/* The first finding of a rule, or NULL. */
const MigLogFinding *mig_render_finding(const MigLogSubject *s, const char *rule);

#endif
