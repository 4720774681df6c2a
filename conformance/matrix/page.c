/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the matrix's HTML page, and what they are made from; see page.h. */
#include "conformance/matrix/page.h"

#include <string.h>

#include "conformance/report/render.h"

#define EXAMPLES 6u

bool mig_matrix_is_one(const MigRunLog *log)
{
    for (guint i = 0; i < log->subjects->len; i++) {
        if (((const MigLogSubject *)log->subjects->pdata[i])->cell) {
            return true;
        }
    }
    return false;
}

const char *mig_matrix_word(const MigLogSubject *s)
{
    return strcmp(s->verdict, "error") == 0        ? "ERROR"
           : s->as_expected                        ? "known"
           : strcmp(s->cell->outcome, "fail") == 0 ? "FAIL"
                                                   : s->cell->outcome;
}

void mig_matrix_count(MigMatrixCount *count, const MigLogSubject *s)
{
    const char *word = mig_matrix_word(s);

    count->pass += strcmp(word, "pass") == 0;
    count->fail += strcmp(word, "FAIL") == 0 || strcmp(word, "ERROR") == 0;
    count->known += strcmp(word, "known") == 0;
    count->refused += strcmp(word, "refused") == 0;
    count->inconclusive += strcmp(word, "inconclusive") == 0;
}

static void add_once(GPtrArray *list, const char *text)
{
    for (guint i = 0; i < list->len; i++) {
        if (strcmp(list->pdata[i], text) == 0) {
            return;
        }
    }
    g_ptr_array_add(list, g_strdup(text));
}

static const MigLogSubject *cell_at(const MigRunLog *log, guint i)
{
    const MigLogSubject *s = log->subjects->pdata[i];
    return s->cell && !s->cell->sanity ? s : NULL;
}

GPtrArray *mig_matrix_peers(const MigRunLog *log)
{
    GPtrArray *peers = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = cell_at(log, i);
        if (s) {
            add_once(peers, s->cell->source);
            add_once(peers, s->cell->destination);
        }
    }
    return peers;
}

/* ---- reasons ---- */

static void reason_free(gpointer data)
{
    MigMatrixReason *r = data;
    g_free(r->words);
    g_hash_table_unref(r->features);
    g_free(r);
}

static int by_count(gconstpointer a, gconstpointer b)
{
    const MigMatrixReason *const *one = a, *const *two = b;
    return (*one)->count != (*two)->count ? ((*one)->count < (*two)->count ? 1 : -1)
                                          : strcmp((*one)->words, (*two)->words);
}

GPtrArray *mig_matrix_reasons(const MigRunLog *log, const char *word)
{
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    GPtrArray *out = g_ptr_array_new_with_free_func(reason_free);

    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = cell_at(log, i);
        if (!s || strcmp(mig_matrix_word(s), word) != 0) {
            continue;
        }
        MigMatrixReason *r = g_hash_table_lookup(known, s->cell->words);
        if (!r) {
            r = g_new0(MigMatrixReason, 1);
            r->words = g_strdup(s->cell->words);
            r->features = g_hash_table_new(g_str_hash, g_str_equal);
            g_hash_table_insert(known, r->words, r);
            g_ptr_array_add(out, r);
        }
        r->count++;
        g_hash_table_add(r->features, (gpointer)s->cell->features);
    }
    g_ptr_array_sort(out, by_count);
    return out;
}

char *mig_matrix_examples(const MigMatrixReason *reason)
{
    g_autoptr(GList) list =
        g_list_sort(g_hash_table_get_keys(reason->features), (GCompareFunc)strcmp);
    guint n = g_list_length(list), shown = 0;
    GString *out = g_string_new(NULL);

    for (GList *l = list; l && shown < EXAMPLES; l = l->next, shown++) {
        g_string_append_printf(out, "%s%s", shown ? ", " : "", (const char *)l->data);
    }
    if (n > shown) {
        g_string_append_printf(out, " and %u more", n - shown);
    }
    return g_string_free(out, FALSE);
}

/* ---- who with whom ---- */

static void put(GString *out, const char *text)
{
    mig_render_markup(out, text);
}

static MigMatrixCount count_pair(const MigRunLog *log, const char *source, const char *destination)
{
    MigMatrixCount count = { 0 };

    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = cell_at(log, i);
        if (s && strcmp(s->cell->source, source) == 0 &&
            strcmp(s->cell->destination, destination) == 0) {
            mig_matrix_count(&count, s);
        }
    }
    return count;
}

static void pair_cell(GString *out, const MigMatrixCount *c)
{
    const char *class = c->fail           ? "fail"
                        : c->inconclusive ? "inconclusive"
                        : c->pass         ? "pass"
                                          : "none";

    g_string_append_printf(out, "<td class=\"%s\">%u pass", class, c->pass);
    if (c->fail) {
        g_string_append_printf(out, ", %u FAIL", c->fail);
    }
    if (c->known) {
        g_string_append_printf(out, ", %u known", c->known);
    }
    if (c->inconclusive) {
        g_string_append_printf(out, ", %u inconclusive", c->inconclusive);
    }
    g_string_append_printf(out, ", %u refused</td>", c->refused);
}

static void summary(GString *out, const MigRunLog *log)
{
    g_autoptr(GPtrArray) peers = mig_matrix_peers(log);

    g_string_append(out, "<h2>Who with whom</h2>\n<table><tr><th>from \\ to</th>");
    for (guint i = 0; i < peers->len; i++) {
        g_string_append(out, "<th>");
        put(out, peers->pdata[i]);
        g_string_append(out, "</th>");
    }
    g_string_append(out, "</tr>\n");
    for (guint i = 0; i < peers->len; i++) {
        g_string_append(out, "<tr><th>");
        put(out, peers->pdata[i]);
        g_string_append(out, "</th>");
        for (guint k = 0; k < peers->len; k++) {
            MigMatrixCount c = count_pair(log, peers->pdata[i], peers->pdata[k]);
            pair_cell(out, &c);
        }
        g_string_append(out, "</tr>\n");
    }
    g_string_append(out, "</table>\n");
}

/* ---- cell by cell ---- */

/* Conditions, without the version of a machine: "pc unix multifd rewriting cut". */
static char *row_name(const MigLogCell *c)
{
    bool pc = g_str_has_prefix(c->machine, "pc-i440fx-");
    return g_strdup_printf("%s %s %s %s %s", pc ? "pc" : c->machine, c->transport, c->features,
                           c->workload, c->fault);
}

static char *column_name(const MigLogCell *c)
{
    return g_strdup_printf("%s > %s", c->source, c->destination);
}

/* row, column -> number of the subject + 1 */
static GHashTable *places(const MigRunLog *log, GPtrArray *rows, GPtrArray *columns)
{
    GHashTable *at = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = cell_at(log, i);
        if (!s) {
            continue;
        }
        g_autofree char *row = row_name(s->cell), *column = column_name(s->cell);
        g_hash_table_insert(at, g_strconcat(row, "|", column, NULL), GUINT_TO_POINTER(i + 1));
        add_once(columns, column);
        if (!g_hash_table_contains(known, row)) {
            g_ptr_array_add(rows, g_strdup(row));
            g_hash_table_add(known, rows->pdata[rows->len - 1]);
        }
    }
    return at;
}

static void detail_cell(GString *out, const MigRunLog *log, guint number)
{
    if (!number) {
        g_string_append(out, "<td></td>");
        return;
    }
    const MigLogSubject *s = log->subjects->pdata[number - 1];
    const char *word = mig_matrix_word(s);
    g_autofree char *class = g_ascii_strdown(word, -1);

    g_string_append_printf(out, "<td class=\"%s\" title=\"", class);
    put(out, s->name);
    if (*s->cell->words) {
        g_string_append(out, ": ");
        put(out, s->cell->words);
    }
    g_string_append(out, "\">");
    if (s->findings->len) {
        g_string_append_printf(out, "<a href=\"#s%u-", number);
        put(out, g_array_index(s->findings, MigLogFinding, 0).rule);
        g_string_append_printf(out, "\">%s</a></td>", word);
    } else {
        g_string_append_printf(out, "%s</td>", word);
    }
}

static void details(GString *out, const MigRunLog *log)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) columns = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) at = places(log, rows, columns);

    g_string_append(out, "<h2>Cells</h2>\n<table class=\"m\"><tr><th>machine transport features "
                         "workload fault</th>");
    for (guint k = 0; k < columns->len; k++) {
        g_string_append(out, "<th>");
        put(out, columns->pdata[k]);
        g_string_append(out, "</th>");
    }
    g_string_append(out, "</tr>\n");
    for (guint i = 0; i < rows->len; i++) {
        g_string_append(out, "<tr><th>");
        put(out, rows->pdata[i]);
        g_string_append(out, "</th>");
        for (guint k = 0; k < columns->len; k++) {
            g_autofree char *key =
                g_strdup_printf("%s|%s", (char *)rows->pdata[i], (char *)columns->pdata[k]);
            detail_cell(out, log, GPOINTER_TO_UINT(g_hash_table_lookup(at, key)));
        }
        g_string_append(out, "</tr>\n");
    }
    g_string_append(out, "</table>\n");
}

static void reasons(GString *out, const MigRunLog *log, const char *title, const char *word)
{
    g_autoptr(GPtrArray) list = mig_matrix_reasons(log, word);

    if (!list->len) {
        return;
    }
    g_string_append_printf(out,
                           "<h2>%s</h2>\n<table><tr><th>cells</th><th>words</th><th>features</th>"
                           "</tr>\n",
                           title);
    for (guint i = 0; i < list->len; i++) {
        const MigMatrixReason *r = list->pdata[i];
        g_autofree char *examples = mig_matrix_examples(r);
        g_string_append_printf(out, "<tr><td>%u</td><td>", r->count);
        put(out, r->words);
        g_string_append(out, "</td><td>");
        put(out, examples);
        g_string_append(out, "</td></tr>\n");
    }
    g_string_append(out, "</table>\n");
}

static void sanity(GString *out, const MigRunLog *log)
{
    g_string_append(out, "<p>Sanity cells: ");
    for (guint i = 0, n = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        if (s->cell && s->cell->sanity) {
            g_string_append(out, n++ ? ", " : "");
            put(out, s->name);
            g_string_append_c(out, ' ');
            put(out, mig_matrix_word(s));
        }
    }
    g_string_append(out, ".</p>\n");
}

void mig_matrix_page(GString *out, const MigRunLog *log)
{
    sanity(out, log);
    summary(out, log);
    reasons(out, log, "Failed", "FAIL");
    reasons(out, log, "Errors", "ERROR");
    reasons(out, log, "Inconclusive", "inconclusive");
    reasons(out, log, "Known", "known");
    reasons(out, log, "Refused", "refused");
    details(out, log);
}
