/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries and deviations are few: both are looked through from the beginning. What is found is
 * compared with the first finding of the rule; further ones of the same rule are not looked at.
 */
#include "conformance/report/expect.h"

#include <gio/gio.h>
#include <string.h>

#include "conformance/matrix/matrix.h"
#include "conformance/output.h"

#define NO_REFERENCE "-"

typedef struct Entry {
    char *rule, *subject, *verdict, *reference, *found;
    GPatternSpec *subjects, *founds;
    unsigned line;
    bool ran;       /* a subject that it concerns did */
    bool sometimes; /* it may be absent */
} Entry;

struct MigExpectations {
    GPtrArray *entries; /* Entry */
    GPtrArray *seen;    /* Entry: deviations of this run */
    char *path;
};

static void entry_free(gpointer data)
{
    Entry *e = data;
    g_free(e->rule);
    g_free(e->subject);
    g_free(e->verdict);
    g_free(e->reference);
    g_free(e->found);
    g_pattern_spec_free(e->subjects);
    g_pattern_spec_free(e->founds);
    g_free(e);
}

/* Takes the strings over. */
static Entry *entry_new(char *rule, char *subject, char *verdict, char *reference, char *found)
{
    Entry *e = g_new0(Entry, 1);
    *e = (Entry){ rule, subject, verdict, reference, found };
    e->subjects = g_pattern_spec_new(subject);
    e->founds = g_pattern_spec_new(found);
    return e;
}

void mig_expect_free(MigExpectations *x)
{
    if (x) {
        g_ptr_array_unref(x->entries);
        g_ptr_array_unref(x->seen);
        g_free(x->path);
        g_free(x);
    }
}

/* Of the catalogue, or of the matrix. */
static bool is_rule(const char *id)
{
    for (unsigned i = 0; i < mig_cell_rule_count; i++) {
        if (strcmp(mig_cell_rules[i].id, id) == 0) {
            return true;
        }
    }
    return mig_catalogue_find(id) != NULL;
}

/* ---- reading ---- */

static bool bad(const MigExpectations *x, unsigned line, const char *what, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s:%u: %s; RULE SUBJECT VERDICT REFERENCE # FOUND is expected", x->path, line,
                what);
    return false;
}

static char **split_blanks(const char *text)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_auto(GStrv) parts = g_strsplit_set(text, " \t", -1);

    for (char **p = parts; *p; p++) {
        if (**p) {
            g_ptr_array_add(words, g_strdup(*p));
        }
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_steal(words, NULL);
}

static bool read_entry(MigExpectations *x, const char *text, unsigned line, bool updating,
                       GError **error)
{
    const char *mark = strstr(text, " # ");
    g_autofree char *left = mark ? g_strndup(text, (gsize)(mark - text)) : NULL;
    g_auto(GStrv) words = left ? split_blanks(left) : NULL;

    if (!words || g_strv_length(words) != 4) {
        return bad(x, line, "no entry", error);
    }
    bool sometimes = g_str_has_suffix(words[2], "?");
    if (sometimes) {
        words[2][strlen(words[2]) - 1] = 0;
    }
    if (strcmp(words[2], "warn") != 0 && strcmp(words[2], "fail") != 0) {
        return bad(x, line, "the verdict is neither warn nor fail", error);
    }
    if (!updating && strcmp(words[3], NO_REFERENCE) == 0) {
        return bad(x, line, "an entry without a reference to where it is explained", error);
    }
    char *subject = g_uri_unescape_string(words[1], NULL);
    if (!subject) {
        return bad(x, line, "the subject has a bad %-escape", error);
    }
    char *found = g_strstrip(g_strdup(mark + 3));
    Entry *e =
        entry_new(g_strdup(words[0]), subject, g_strdup(words[2]), g_strdup(words[3]), found);
    e->line = line;
    e->sometimes = sometimes;
    g_ptr_array_add(x->entries, e);
    return true;
}

static int compare(const Entry *a, const Entry *b)
{
    int n = strcmp(a->rule, b->rule);
    return n ? n : strcmp(a->subject, b->subject);
}

static bool read_all(MigExpectations *x, const char *text, bool updating, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        g_strstrip(lines[i]);
        if (!lines[i][0] || lines[i][0] == '#') {
            continue;
        }
        if (!read_entry(x, lines[i], i + 1, updating, error)) {
            return false;
        }
        guint n = x->entries->len;
        if (!updating && n > 1 &&
            compare(x->entries->pdata[n - 2], x->entries->pdata[n - 1]) >= 0) {
            return bad(x, i + 1, "out of order, or there twice: sort by rule and subject", error);
        }
    }
    return true;
}

MigExpectations *mig_expect_load(const char *path, bool updating, GError **error)
{
    g_autoptr(MigExpectations) x = g_new0(MigExpectations, 1);
    g_autoptr(GError) problem = NULL;
    g_autofree char *text = NULL;

    x->entries = g_ptr_array_new_with_free_func(entry_free);
    x->seen = g_ptr_array_new_with_free_func(entry_free);
    x->path = g_strdup(path);
    if (!g_file_get_contents(path, &text, NULL, &problem)) {
        if (!updating || !g_error_matches(problem, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return NULL;
        }
        text = g_strdup("");
    }
    return read_all(x, text, updating, error) ? g_steal_pointer(&x) : NULL;
}

/* ---- judging ---- */

static void say(GString *out, const char *subject, const char *rule, const char *outcome,
                const char *reference, const char *message)
{
    const char *const pairs[][2] = { { "subject", subject },
                                     { "rule", rule },
                                     { "outcome", outcome },
                                     { "reference", reference },
                                     { "message", message } };
    g_string_append(out, "{\"type\":\"expectation\"");
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (pairs[i][1]) {
            mig_json_append_key(out, pairs[i][0]);
            mig_json_append_string(out, mig_str(pairs[i][1]));
        }
    }
    g_string_append(out, "}\n");
}

/* What was found first, in one line of ASCII; NULL: nothing. Owned by the caller. */
static char *first_found(const MigCheck *check, const char *rule)
{
    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        if (strcmp(f->rule->id, rule) == 0) {
            GString *text = g_string_new(NULL);
            mig_text_append(text, mig_str(f->found));
            return g_string_free(text, FALSE);
        }
    }
    return NULL;
}

static bool concerns(const Entry *e, const char *subject)
{
    g_autofree char *base = g_path_get_basename(subject);
    return g_pattern_spec_match_string(e->subjects, subject) ||
           g_pattern_spec_match_string(e->subjects, base);
}

static Entry *entry_for(const MigExpectations *x, const char *rule, const char *subject)
{
    for (guint i = 0; i < x->entries->len; i++) {
        Entry *e = x->entries->pdata[i];
        if (strcmp(e->rule, rule) == 0 && concerns(e, subject)) {
            return e;
        }
    }
    return NULL;
}

static bool judge_deviation(MigExpectations *x, GString *out, const char *subject,
                            const MigRuleResult *r, const char *found)
{
    const char *rule = r->rule->id, *verdict = mig_verdict_name(r->verdict);
    Entry *e = entry_for(x, rule, subject);
    g_autofree char *now = g_strdup_printf("%s, found: %s", verdict, found);

    Entry *seen = entry_new(g_strdup(rule), g_strdup(subject), g_strdup(verdict),
                            g_strdup(e ? e->reference : NO_REFERENCE), g_strdup(found));
    seen->sometimes = e && e->sometimes;
    g_ptr_array_add(x->seen, seen);
    if (!e) {
        say(out, subject, rule, "unexpected", NULL, now);
        return false;
    }
    if (strcmp(e->verdict, verdict) == 0 && g_pattern_spec_match_string(e->founds, found)) {
        say(out, subject, rule, "expected", e->reference, now);
        return true;
    }
    g_autofree char *message = g_strdup_printf("%s:%u expects %s, found: %s; now it is %s", x->path,
                                               e->line, e->verdict, e->found, now);
    say(out, subject, rule, "changed", e->reference, message);
    return false;
}

/* An entry whose rule had no finding. */
static void judge_absence(const MigExpectations *x, GString *out, const char *subject,
                          const MigRuleResult *r, const Entry *e)
{
    bool passes = r->verdict == MIG_VERDICT_PASS;
    g_autofree char *message =
        g_strdup_printf("%s:%u expects %s, but the rule is %s: %s", x->path, e->line, e->verdict,
                        passes ? "kept" : mig_verdict_name(r->verdict),
                        passes ? "remove the entry" : "it says nothing about this subject");
    say(out, subject, e->rule, passes ? "xpass" : "stale", e->reference, message);
}

bool mig_expect_judge(MigExpectations *x, GString *out, const char *subject, const MigCheck *check)
{
    bool deviates = false, fine = true;

    for (unsigned i = 0; i < check->result_count; i++) {
        const MigRuleResult *r = &check->results[i];
        g_autofree char *found = first_found(check, r->rule->id);
        Entry *e = entry_for(x, r->rule->id, subject);

        if (e) {
            e->ran = true;
        }
        if (found) {
            deviates = true;
            fine = judge_deviation(x, out, subject, r, found) && fine;
        } else if (e && !e->sometimes) {
            fine = false;
            judge_absence(x, out, subject, r, e);
        }
    }
    return deviates && fine;
}

void mig_expect_stale(const MigExpectations *x, GString *out)
{
    for (guint i = 0; i < x->entries->len; i++) {
        const Entry *e = x->entries->pdata[i];
        if (!is_rule(e->rule)) {
            g_autofree char *message =
                g_strdup_printf("%s:%u: there is no such rule", x->path, e->line);
            say(out, NULL, e->rule, "stale", e->reference, message);
        }
    }
}

/* ---- writing ---- */

static int compare_pointers(gconstpointer a, gconstpointer b)
{
    return compare(*(const Entry *const *)a, *(const Entry *const *)b);
}

static void append_entry(GString *out, const Entry *e)
{
    g_autofree char *subject = g_uri_escape_string(e->subject, "/*?[]:,=@+()!$&';", FALSE);
    g_string_append_printf(out, "%s %s %s%s %s # %s\n", e->rule, subject, e->verdict,
                           e->sometimes ? "?" : "", e->reference, e->found);
}

/* Entries of this run, and those that it says nothing about. */
bool mig_expect_update(const MigExpectations *x, const char *path, unsigned *missing,
                       GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    g_autoptr(GString) text = g_string_new("# SPDX-License-Identifier: Apache-2.0\n"
                                           "# rule subject verdict reference # found\n");

    g_ptr_array_extend(all, x->seen, NULL, NULL);
    for (guint i = 0; i < x->entries->len; i++) {
        const Entry *e = x->entries->pdata[i];
        if (!e->ran && is_rule(e->rule)) {
            g_ptr_array_add(all, x->entries->pdata[i]);
        }
    }
    g_ptr_array_sort(all, compare_pointers);
    *missing = 0;
    for (guint i = 0; i < all->len; i++) {
        const Entry *e = all->pdata[i];
        append_entry(text, e);
        *missing += strcmp(e->reference, NO_REFERENCE) == 0;
    }
    return mig_output_save(path, text->str, (gssize)text->len, error);
}
