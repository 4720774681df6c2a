/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix as Markdown, for docs/interop.md: who with whom, each feature, every reason. */
#include <string.h>

#include "conformance/matrix/page.h"
#include "conformance/output.h"
#include "conformance/report/render.h"

static void text(GString *out, const char *s)
{
    g_autoptr(GString) plain = g_string_new(NULL);
    mig_text_append(plain, mig_str(s));
    g_string_replace(plain, "|", "\\|", 0);
    g_string_append(out, plain->str);
}

static void counts(GString *out, const MigMatrixCount *c)
{
    g_string_append_printf(out, " %u | %u | %u | %u | %u |\n", c->pass, c->known, c->fail,
                           c->refused, c->inconclusive);
}

/* How often each key comes with each outcome, in the order in which keys come. */
typedef struct Tally {
    GPtrArray *keys;   /* char * */
    GHashTable *count; /* key -> MigMatrixCount * */
} Tally;

static void add(Tally *t, const char *key, const MigLogSubject *s)
{
    MigMatrixCount *c = g_hash_table_lookup(t->count, key);
    if (!c) {
        c = g_new0(MigMatrixCount, 1);
        g_ptr_array_add(t->keys, g_strdup(key));
        g_hash_table_insert(t->count, t->keys->pdata[t->keys->len - 1], c);
    }
    mig_matrix_count(c, s);
}

static void add_pair(Tally *t, const MigLogSubject *s)
{
    g_autofree char *key = g_strdup_printf("%s to %s", s->cell->source, s->cell->destination);
    add(t, key, s);
}

static void add_features(Tally *t, const MigLogSubject *s)
{
    g_auto(GStrv) features = g_strsplit(s->cell->features, "+", -1);
    for (char **f = features; *f; f++) {
        add(t, *f, s);
    }
}

static void add_place(Tally *t, const MigLogSubject *s)
{
    const MigLogCell *c = s->cell;
    bool pc = g_str_has_prefix(c->machine, "pc-i440fx-");
    g_autofree char *key = g_strdup_printf("%s, %s, %s, fault %s", pc ? "pc" : c->machine,
                                           c->transport, c->workload, c->fault);
    add(t, key, s);
}

static void table(GString *out, const MigRunLog *log, const char *title, const char *what,
                  void (*one)(Tally *t, const MigLogSubject *s))
{
    Tally t = { g_ptr_array_new_with_free_func(g_free),
                g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free) };

    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        if (s->cell && !s->cell->sanity) {
            one(&t, s);
        }
    }
    g_string_append_printf(out,
                           "\n## %s\n\n| %s | pass | known | FAIL | refused | inconclusive |\n"
                           "|---|---|---|---|---|---|\n",
                           title, what);
    for (guint i = 0; i < t.keys->len; i++) {
        g_string_append(out, "| ");
        text(out, t.keys->pdata[i]);
        g_string_append(out, " |");
        counts(out, g_hash_table_lookup(t.count, t.keys->pdata[i]));
    }
    g_hash_table_unref(t.count);
    g_ptr_array_unref(t.keys);
}

static void reasons(GString *out, const MigRunLog *log, const char *title, const char *word)
{
    g_autoptr(GPtrArray) list = mig_matrix_reasons(log, word);

    if (!list->len) {
        return;
    }
    g_string_append_printf(out, "\n## %s\n\n| cells | words | features |\n|---|---|---|\n", title);
    for (guint i = 0; i < list->len; i++) {
        const MigMatrixReason *r = list->pdata[i];
        g_autofree char *examples = mig_matrix_examples(r);
        g_string_append_printf(out, "| %u | ", r->count);
        text(out, r->words);
        g_string_append(out, " | ");
        text(out, examples);
        g_string_append(out, " |\n");
    }
}

static void end(GString *out, const MigRunLog *log)
{
    g_string_append(out, "<!-- SPDX-License-Identifier: Apache-2.0 -->\n# Who migrates to whom\n\n"
                         "Made by `migbench matrix`; docs/matrix.md says how to make it again "
                         "and what the words mean.\n\n");
    if (!log->complete) {
        g_autofree char *aborted = mig_run_log_aborted(log);
        g_string_append_printf(out, "**ABORTED: %s**\n\n", aborted);
    }
    g_string_append_printf(out,
                           "%u cells: %u conformant, %u nonconformant, %u refused, %u "
                           "inconclusive, %u errors.\n",
                           log->subjects->len, log->conformant, log->nonconformant, log->refused,
                           log->inconclusive, log->errors);
    table(out, log, "Who with whom", "from, to", add_pair);
    table(out, log, "Machine, transport, workload, fault", "conditions", add_place);
    table(out, log, "Features", "alone or with another", add_features);
    reasons(out, log, "Failed", "FAIL");
    reasons(out, log, "Errors", "ERROR");
    reasons(out, log, "Inconclusive", "inconclusive");
    reasons(out, log, "Known deviations", "known");
    reasons(out, log, "Refused", "refused");
}

const MigRenderFormat mig_render_markdown = { .name = "markdown", .end = end };
