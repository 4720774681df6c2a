/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutants of recorded streams: each does what it says, is the same for the same seed, and the judge
 * names the rule that it breaks, or nothing when it breaks none. The kill matrix is the summary:
 * every rule has a mutator or a row of damage that breaks it. Damage is taken from the catalogue,
 * where tests/unit/test-damage.c has compared it with the rows.
 *
 * MIGBENCH_MUTANTS: how many of each stream (default 0: one of each kind).
 * MIGBENCH_KILL_MATRIX: where to write docs/kill-matrix.md anew.
 */
#include <string.h>

#include "conformance/mutate/mutate.h"
#include "stream/limits.h"
#include "tests/unit/counts.h"
#include "tests/unit/traces.h"

static const char *const traces[] = {
    "none-stopped-5.2", "none-stopped-7.2",   "none-stopped-10.0", "none-stopped-11.1",
    "pc-idle-7.2",      "pc-idle-10.0",       "pc-scripted-7.2",   "xbzrle-7.2",
    "xbzrle-10.0",      "ignore-shared-10.0",
};

/* Traces of which only the mutants of one rule are made. */
static const char *const special[][2] = {
    { "mapped-ram-10.0", "RAM-MAPPED-HEADER" },
    { "mapped-ram-10.0", "MAPPED-BITMAP-TAIL" },
    { "mapped-ram-10.0", "MAPPED-VERSION-CURRENT" },
    { "block-7.2", "SECTION-ITERABLE-RECORD" },
};

static MigMutateSource *source_of(const char *id)
{
    g_autoptr(GBytes) bytes = mig_test_trace_load(id);
    g_autoptr(GError) error = NULL;
    gsize n;
    const void *data = g_bytes_get_data(bytes, &n);
    MigMutateSource *s = mig_mutate_source_new(data, n, &error);
    g_assert_no_error(error);
    return s;
}

static guint64 count_of(const MigMutatePlan *plan)
{
    return MAX(mig_test_count("MIGBENCH_MUTANTS", 0), plan->strata->len);
}

static char *describe(const MigMutateSource *s, const MigMutant *m, guint64 n)
{
    return g_strdup_printf("mutant %" G_GUINT64_FORMAT " %s %s %" G_GUINT64_FORMAT
                           " at %s, offset %" G_GUINT64_FORMAT,
                           n, m->mutator->name, mig_mutate_op_name(m->op), m->value,
                           mig_site(s, m->site)->path, m->offset);
}

static void say_findings(const MigCheck *check)
{
    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        g_test_message("  %s at %" G_GUINT64_FORMAT ": %s", f->rule->id, f->offset, f->found);
    }
}

/* ---- each mutant breaks its rule ---- */

static void judge(const MigMutateSource *s, const MigMutant *m, guint64 n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCheck) check =
        mig_mutate_judge(m->bytes->data, m->bytes->len, mig_mutator_profile(m->mutator), &error);
    g_autofree char *what = describe(s, m, n);

    g_assert_no_error(error);
    bool fine = m->mutator->rule ? mig_mutate_found(check, m->mutator->rule)
                                 : mig_check_verdict(check) == MIG_VERDICT_PASS;
    if (!fine) {
        g_test_message("%s: %s is not found", what, m->mutator->rule ? m->mutator->rule : "PASS");
        say_findings(check);
        g_test_fail();
    }
}

static guint judge_all(const MigMutateSource *s, const MigMutatePlan *plan, guint64 count)
{
    guint none = 0;

    for (guint64 i = 0; i < count; i++) {
        g_autoptr(MigMutant) m = mig_mutate_make(plan, i);
        g_autofree char *what = describe(s, m, i);
        if (m->proof == MIG_PROOF_NONE) {
            g_test_message("%s: not applied", what);
            g_test_fail();
            continue;
        }
        none += m->mutator->rule == NULL;
        judge(s, m, i);
    }
    return none;
}

static void test_mutants(gconstpointer id)
{
    g_autoptr(MigMutateSource) s = source_of(id);
    g_autoptr(MigMutatePlan) plan = mig_mutate_plan(s, 1, NULL);
    guint64 count = count_of(plan);
    guint none = judge_all(s, plan, count);

    g_assert_cmpuint(plan->strata->len, >=, 50);
    g_assert_cmpuint(none, >=, g_hash_table_size(s->sent) ? 4 : 0);
    g_test_message("%" G_GUINT64_FORMAT " mutants of %u strata, %u break nothing", count,
                   plan->strata->len, none);
}

static void test_special(gconstpointer data)
{
    const char *const *row = data;
    g_autoptr(MigMutateSource) s = source_of(row[0]);
    g_autoptr(MigMutatePlan) plan = mig_mutate_plan(s, 1, row[1]);

    g_assert_cmpuint(plan->strata->len, >=, 1);
    judge_all(s, plan, count_of(plan));
}

/* ---- seeds ---- */

static void test_seeds(void)
{
    g_autoptr(MigMutateSource) s = source_of("none-stopped-7.2");
    g_autoptr(MigMutatePlan) a = mig_mutate_plan(s, 7, NULL);
    g_autoptr(MigMutatePlan) b = mig_mutate_plan(s, 7, NULL);
    g_autoptr(MigMutatePlan) other = mig_mutate_plan(s, 8, NULL);
    guint differ = 0;

    for (guint64 i = 0; i < 100; i++) {
        g_autoptr(MigMutant) x = mig_mutate_make(a, i);
        g_autoptr(MigMutant) y = mig_mutate_make(b, i);
        g_autoptr(MigMutant) z = mig_mutate_make(other, i);
        g_assert_cmpmem(x->bytes->data, x->bytes->len, y->bytes->data, y->bytes->len);
        g_assert_true(x->mutator == y->mutator && x->offset == y->offset);
        differ += x->mutator != z->mutator || x->offset != z->offset;
    }
    g_assert_cmpuint(differ, >, 80);
}

static void test_rule_option(void)
{
    g_autoptr(MigMutateSource) s = source_of("none-stopped-7.2");
    g_autoptr(MigMutatePlan) one = mig_mutate_plan(s, 1, "SECTION-FOOTER-ID");
    g_autoptr(MigMutatePlan) none = mig_mutate_plan(s, 1, "none");
    g_autoptr(MigMutatePlan) nothing = mig_mutate_plan(s, 1, "RAM-XBZRLE-DELTA");

    g_assert_null(mig_mutate_make(nothing, 0));
    for (guint64 i = 0; i < 30; i++) {
        g_autoptr(MigMutant) m = mig_mutate_make(one, i);
        g_autoptr(MigMutant) n = mig_mutate_make(none, i);
        g_assert_cmpstr(m->mutator->rule, ==, "SECTION-FOOTER-ID");
        g_assert_null(n->mutator->rule);
    }
}

/* ---- the proof can say no ---- */

static void make_nothing(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    m->first = m->site;
}

static void make_elsewhere(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    static const uint8_t x = 'x';
    m->first = m->site; /* the header stays as it is */
    mig_mutant_replace(m, s->bytes->len - 1, 1, &x, 1);
}

static void expect_unproved(void (*make)(const MigMutateSource *, MigMutant *, MigPrng *))
{
    g_autoptr(MigMutateSource) s = source_of("none-stopped-7.2");
    const MigMutator row = { .name = "x", .type = MIG_REC_HEADER, .make = make };
    guint site = 0;
    g_autoptr(GArray) strata = g_array_new(FALSE, FALSE, sizeof(MigStratum));
    MigStratum stratum = { &row, MIG_OP_MAKE, g_array_new(FALSE, FALSE, sizeof(guint)) };

    g_array_append_val(stratum.sites, site);
    g_array_append_val(strata, stratum);
    MigMutatePlan plan = { s, 1, strata };
    g_autoptr(MigMutant) m = mig_mutate_make(&plan, 0);
    g_assert_cmpint(m->proof, ==, MIG_PROOF_NONE);
    g_array_unref(stratum.sites);
}

static void test_unproved(void)
{
    expect_unproved(make_nothing);
    expect_unproved(make_elsewhere);
}

/* ---- shrinking ---- */

static void test_shrink(gconstpointer rule)
{
    g_autoptr(MigMutateSource) s = source_of("none-stopped-7.2");
    g_autoptr(MigMutatePlan) plan = mig_mutate_plan(s, 3, rule);
    g_autoptr(MigMutant) m = mig_mutate_make(plan, 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) small = mig_mutate_shrink(m->bytes->data, m->bytes->len, rule, &error);

    g_assert_no_error(error);
    g_assert_nonnull(small);
    g_test_message("%u bytes of %u", small->len, m->bytes->len);
    g_assert_cmpuint(small->len, <=, 4200); /* a page may have to stay */
    g_autoptr(MigCheck) check =
        mig_mutate_judge(small->data, small->len, MIG_PROFILE_STRICT, &error);
    g_assert_true(mig_mutate_found(check, rule));
    /* A stream that doesn't break the rule can't be shrunk. */
    g_assert_null(mig_mutate_shrink(s->bytes->data, s->bytes->len, rule, &error));
    g_assert_no_error(error);
}

/* ---- limits, which take streams of their own ---- */

static const MigRecord header = { .type = MIG_REC_HEADER, .header = { MIG_MAGIC, MIG_VERSION } };
static const MigRecord eos = { .type = MIG_REC_RAM_EOS };

static GByteArray *stream_begin(void)
{
    static const MigRecord config = { .type = MIG_REC_CONFIG, .config.machine = { "none", 4 } };
    GByteArray *b = g_byte_array_new();
    mig_mutate_encode(b, &header);
    mig_mutate_encode(b, &config);
    return b;
}

static void ram_section(GByteArray *b, uint32_t id)
{
    MigRecord r = { .type = MIG_REC_SECTION,
                    .section = { MIG_ITEM_START, id, { "ram", 3 }, id, MIG_RAM_VERSION } };
    mig_mutate_encode(b, &r);
}

static void expect_rule(const GByteArray *b, const char *rule, bool found)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCheck) check = mig_mutate_judge(b->data, b->len, MIG_PROFILE_STRICT, &error);
    g_assert_no_error(error);
    if (mig_mutate_found(check, rule) != found) {
        g_test_message("%u bytes: %s, the decoder said %s at %" G_GUINT64_FORMAT ": %s", b->len,
                       rule, mig_fault_name(check->diagnosis.fault), check->diagnosis.offset,
                       check->diagnosis.found);
        say_findings(check);
        g_test_fail();
    }
}

/* At the limit nothing is said of it, one more is too many. */
static void test_section_limit(void)
{
    g_autoptr(GByteArray) b = stream_begin();

    for (uint32_t i = 0; i <= MIG_LIMIT_SECTIONS; i++) {
        MigRecord footer = { .type = MIG_REC_FOOTER, .footer.id = i };
        if (i == MIG_LIMIT_SECTIONS) {
            expect_rule(b, "SECTION-COUNT-SANE", false);
        }
        ram_section(b, i);
        mig_mutate_encode(b, &eos);
        mig_mutate_encode(b, &footer);
    }
    expect_rule(b, "SECTION-COUNT-SANE", true);
}

static GByteArray *block_list(uint32_t count)
{
    GByteArray *b = stream_begin();
    MigRecord total = { .type = MIG_REC_RAM_MEM_SIZE, .ram.offset = count * UINT64_C(4096) };

    ram_section(b, 1);
    mig_mutate_encode(b, &total);
    for (uint32_t i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("b%u", i);
        MigRecord r = { .type = MIG_REC_RAM_BLOCK,
                        .block = { .name = mig_str(name), .used_length = 4096 } };
        mig_mutate_encode(b, &r);
    }
    mig_mutate_encode(b, &eos);
    return b;
}

static void test_block_limit(void)
{
    g_autoptr(GByteArray) most = block_list(MIG_LIMIT_BLOCKS);
    g_autoptr(GByteArray) more = block_list(MIG_LIMIT_BLOCKS + 1);
    expect_rule(most, "RAM-LIST-SANE", false);
    expect_rule(more, "RAM-LIST-SANE", true);
}

/* ---- the kill matrix ---- */

#define OF_WRITERS                                                                         \
    "streams of other versions do, with a writer named: /writer/others-are-told-apart in " \
    "tests/command/loader.py"

/* Rules that no mutator and no row of damage breaks, each with its reason. */
static const char *const unkilled[][2] = {
    { "SECTION-COUNT-SANE", "too long for a mutant: /limits/sections in tests/unit/test-mutate.c" },
    { "RAM-LIST-SANE", "too long for a mutant: /limits/blocks in tests/unit/test-mutate.c" },
    { "WRITER-MACHINE-KNOWN", OF_WRITERS },
    { "WRITER-FEATURE-KNOWN", OF_WRITERS },
    { "WRITER-RAM-NUMBER", OF_WRITERS },
    { "WRITER-PACKAGE-PING", OF_WRITERS },
    { "WRITER-VMDESC-STYLE", OF_WRITERS },
};

static const char *reason_of(const char *rule)
{
    for (gsize i = 0; i < G_N_ELEMENTS(unkilled); i++) {
        if (strcmp(unkilled[i][0], rule) == 0) {
            return unkilled[i][1];
        }
    }
    return NULL;
}

static void note_kills(GHashTable *kills, const MigMutator *mutator, const MigCheck *check)
{
    for (unsigned i = 0; i < check->result_count; i++) {
        const char *rule = check->results[i].rule->id;
        GHashTable *set = g_hash_table_lookup(kills, rule);
        if (check->results[i].findings == 0) {
            continue;
        }
        if (!set) {
            set = g_hash_table_new(g_str_hash, g_str_equal);
            g_hash_table_insert(kills, (gpointer)rule, set);
        }
        g_hash_table_add(set, (gpointer)mutator->name);
    }
}

static void note_all(GHashTable *kills, const char *trace, const char *rule)
{
    g_autoptr(MigMutateSource) s = source_of(trace);
    g_autoptr(MigMutatePlan) plan = mig_mutate_plan(s, 1, rule);

    for (guint64 i = 0; i < plan->strata->len; i++) {
        g_autoptr(MigMutant) m = mig_mutate_make(plan, i);
        g_autoptr(MigCheck) check =
            mig_mutate_judge(m->bytes->data, m->bytes->len, mig_mutator_profile(m->mutator), NULL);
        if (m->mutator->rule) {
            note_kills(kills, m->mutator, check);
        }
    }
}

/* rule id -> set of names of mutators whose mutants break it, whether they were made for it or not
 */
static GHashTable *kills_by_mutants(void)
{
    GHashTable *kills =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_hash_table_unref);

    for (gsize t = 0; t < G_N_ELEMENTS(traces); t++) {
        note_all(kills, traces[t], NULL);
    }
    for (gsize t = 0; t < G_N_ELEMENTS(special); t++) {
        note_all(kills, special[t][0], special[t][1]);
    }
    return kills;
}

/* Names separated by blanks, in the order of the table; those meant for the rule in bold. */
static guint append_mutators(GString *out, const char *rule, GHashTable *set)
{
    guint n = 0;
    for (const MigMutator *m = mig_mutators; m->name; m++) {
        if (set && g_hash_table_contains(set, m->name)) {
            bool meant = m->rule && strcmp(m->rule, rule) == 0;
            g_string_append_printf(out, meant ? "%s**%s**" : "%s%s", n ? " " : "", m->name);
            n += meant;
        }
    }
    return n;
}

static const char matrix_head[] =
    "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
    "# The kill matrix\n\n"
    "Which mutants and which rows of damage break which rule. Written by tests/unit/test-mutate.c\n"
    "(with MIGBENCH_KILL_MATRIX=docs/kill-matrix.md), which also compares the two. **Bold**: the\n"
    "mutator is made for the rule; others break it besides. A rule without either says why.\n\n"
    "| rule | mutators | damage | why neither |\n|---|---|---|---|\n";

static char *matrix(guint *alone)
{
    g_autoptr(GHashTable) kills = kills_by_mutants();
    GString *out = g_string_new(matrix_head);
    guint by_mutant = 0, by_damage = 0, by_reason = 0;

    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        for (unsigned i = 0; i < (*g)->rule_count; i++) {
            const char *rule = (*g)->rules[i].id, *damage = (*g)->rules[i].killed_by;
            g_string_append_printf(out, "| %s | ", rule);
            guint m = append_mutators(out, rule, g_hash_table_lookup(kills, rule));
            const char *reason = m || damage ? NULL : reason_of(rule);
            g_string_append_printf(out, " | %s | %s |\n", damage ? damage : "",
                                   reason ? reason : "");
            by_mutant += m > 0;
            by_damage += m == 0 && damage;
            by_reason += reason != NULL;
            if (!m && !damage && !reason) {
                g_test_message("nothing breaks %s", rule);
                (*alone)++;
            }
        }
    }
    g_string_append_printf(out,
                           "\n%u rules: %u by mutants, %u by damage alone, %u with a reason.\n",
                           mig_catalogue_rule_count(), by_mutant, by_damage, by_reason);
    return g_string_free(out, FALSE);
}

static void test_matrix(void)
{
    g_autofree char *docs = g_test_build_filename(G_TEST_DIST, "docs", "kill-matrix.md", NULL);
    g_autofree char *written = NULL;
    const char *to = g_getenv("MIGBENCH_KILL_MATRIX");
    guint alone = 0;
    g_autofree char *now = matrix(&alone);

    if (to) {
        g_assert_true(g_file_set_contents(to, now, -1, NULL));
    }
    g_auto(GStrv) lines = g_strsplit(now, "\n", -1);
    for (char **line = lines; *line; line++) {
        g_test_message("%s", *line);
    }
    g_assert_cmpuint(alone, ==, 0);
    g_assert_true(g_file_get_contents(docs, &written, NULL, NULL));
    if (strcmp(now, written) != 0) {
        g_test_message("docs/kill-matrix.md is another: MIGBENCH_KILL_MATRIX says where to write "
                       "it anew");
        g_test_fail();
    }
}

/* Reasons are for rules that exist and that nothing breaks. */
static void test_reasons(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(unkilled); i++) {
        const MigRule *rule = mig_catalogue_find(unkilled[i][0]);
        g_assert_nonnull(rule);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(traces); i++) {
        g_autofree char *path = g_strconcat("/mutate/break-their-rule/", traces[i], NULL);
        g_test_add_data_func(path, traces[i], test_mutants);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(special); i++) {
        g_autofree char *path =
            g_strconcat("/mutate/break-one-rule/", special[i][0], "/", special[i][1], NULL);
        g_test_add_data_func(path, special[i], test_special);
    }
    g_test_add_func("/mutate/same-seed-same-mutants", test_seeds);
    g_test_add_func("/mutate/of-one-rule", test_rule_option);
    g_test_add_func("/mutate/not-applied-is-noticed", test_unproved);
    g_test_add_data_func("/mutate/shrink/footer-id", "SECTION-FOOTER-ID", test_shrink);
    g_test_add_data_func("/mutate/shrink/ram-version", "RAM-SECTION-VERSION", test_shrink);
    g_test_add_data_func("/mutate/shrink/offset", "RAM-OFFSET-BOUNDED", test_shrink);
    g_test_add_func("/limits/sections", test_section_limit);
    g_test_add_func("/limits/blocks", test_block_limit);
    g_test_add_func("/kill-matrix/no-rule-without-witness", test_matrix);
    g_test_add_func("/kill-matrix/reasons-are-of-rules", test_reasons);
    return g_test_run();
}
