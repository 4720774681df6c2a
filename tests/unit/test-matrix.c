/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix without any peer: which cells are listed for peers that are made up, how command lines
 * are filled, and what outcomes a judge comes to.
 */
#include <string.h>

#include "conformance/matrix/matrix.h"
#include "tests/unit/traces.h"

/* ---- peers that are made up ---- */

static void add(GPtrArray *list, const char *text)
{
    g_ptr_array_add(list, g_strdup(text));
}

/* |words|: features. */
static MigPeer *peer(const char *name, const char *words, const char *machine)
{
    g_autofree char *text = g_strdup_printf("%s=emulator", name);
    g_auto(GStrv) features = g_strsplit(words, " ", -1);
    MigPeer *p = mig_peer_new(text, NULL);

    for (char **f = features; *f; f++) {
        MigPeerFeature *feature = g_new0(MigPeerFeature, 1);
        feature->name = g_strdup(*f);
        g_ptr_array_add(p->features, feature);
    }
    add(p->machines, "none");
    add(p->machines, machine);
    return p;
}

static GPtrArray *two_and_own(void)
{
    GPtrArray *peers = g_ptr_array_new_with_free_func((GDestroyNotify)mig_peer_free);

    g_ptr_array_add(peers, peer("old", "a b c d x-colo", "pc-i440fx-5.2"));
    g_ptr_array_add(peers, peer("new", "b c d e x-colo", "pc-i440fx-5.2"));
    add(((MigPeer *)peers->pdata[1])->machines, "pc-i440fx-10.0");
    g_ptr_array_add(peers, mig_peer_own());
    return peers;
}

static guint count(const GPtrArray *cells, const char *glob)
{
    guint n = 0;
    for (guint i = 0; i < cells->len; i++) {
        n += g_pattern_match_simple(glob, ((const MigCell *)cells->pdata[i])->name);
    }
    return n;
}

/* ---- cells ---- */

static void every_two_features_meet(void)
{
    g_autoptr(GPtrArray) peers = two_and_own();
    const MigCellOptions o = { .strength = 2, .shards = 1 };
    g_autoptr(GPtrArray) cells = mig_cells_list(peers, &o);
    static const char *const both[] = { "b+c", "b+d", "c+d" };
    static const char *const old[] = { "a+b", "a+c", "a+d" };

    for (gsize i = 0; i < G_N_ELEMENTS(both); i++) {
        g_autofree char *same = g_strdup_printf("old/old/*/%s/*", both[i]);
        g_autofree char *there = g_strdup_printf("old/new/*/%s/*", both[i]);
        g_autofree char *back = g_strdup_printf("new/old/*/%s/*", both[i]);
        g_autofree char *to_own = g_strdup_printf("new/migbench/*/%s/*", both[i]);
        g_autofree char *from_own = g_strdup_printf("migbench/new/*/%s/*", both[i]);
        g_assert_cmpuint(count(cells, same), ==, 1);
        g_assert_cmpuint(count(cells, there) + count(cells, back), ==, 1);
        g_assert_cmpuint(count(cells, to_own) + count(cells, from_own), ==, 1);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(old); i++) {
        g_autofree char *same = g_strdup_printf("old/old/*/%s/*", old[i]);
        g_autofree char *across = g_strdup_printf("old/new/*/%s/*", old[i]);
        g_assert_cmpuint(count(cells, same), ==, 1);
        g_assert_cmpuint(count(cells, across), ==, 0);
    }
    g_assert_cmpuint(count(cells, "*x-colo*"), ==, 0);
    g_assert_nonnull(mig_feature_left_out("x-colo"));
}

static void machines_that_both_know(void)
{
    g_autoptr(GPtrArray) peers = two_and_own();
    const MigCellOptions o = { .strength = 1, .shards = 1 };
    g_autoptr(GPtrArray) cells = mig_cells_list(peers, &o);

    g_assert_cmpuint(count(cells, "*/new/pc-i440fx-5.2/*"), >, 0);
    g_assert_cmpuint(count(cells, "new/new/pc-i440fx-10.0/*"), >, 0);
    g_assert_cmpuint(count(cells, "old/new/pc-i440fx-10.0/*"), ==, 0);
    g_assert_cmpuint(count(cells, "old/new/none/*"), ==, 0); /* it has no versions */
    g_assert_cmpuint(count(cells, "migbench/new/pc-i440fx-10.0/*"), >, 0);
    g_assert_cmpuint(count(cells, "migbench/migbench/*"), ==, 0);
}

static void shares_make_the_whole(void)
{
    g_autoptr(GPtrArray) peers = two_and_own();
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    MigCellOptions o = { .strength = 2, .shards = 1 };
    g_autoptr(GPtrArray) whole = mig_cells_list(peers, &o);
    guint sanity = 0;

    for (o.shards = 3, o.shard = 0; o.shard < 3; o.shard++) {
        g_autoptr(GPtrArray) share = mig_cells_list(peers, &o);
        for (guint i = 0; i < share->len; i++) {
            const MigCell *c = share->pdata[i];
            sanity += c->sanity;
            g_assert_true(g_hash_table_add(names, g_strdup(c->name)) || c->sanity);
        }
        g_assert_true(((const MigCell *)share->pdata[0])->sanity);
        g_assert_true(((const MigCell *)share->pdata[share->len - 1])->sanity);
    }
    g_assert_cmpuint(sanity, ==, 3 * 4); /* two emulators, first and last */
    g_assert_cmpuint(g_hash_table_size(names), ==, whole->len);
}

static void only_what_is_asked_for(void)
{
    g_autoptr(GPtrArray) peers = two_and_own();
    const char *const only[] = { "old/new/*/cut", NULL };
    MigCellOptions o = { .strength = 1, .shards = 1, .only = only };
    g_autoptr(GPtrArray) some = mig_cells_list(peers, &o);
    guint cut = count(some, "old/new/*/cut");

    g_assert_cmpuint(cut, >, 0);
    g_assert_cmpuint(some->len, ==, cut + 4);
    o = (MigCellOptions){ .strength = 1, .shards = 1, .about = peers->pdata[1] };
    g_autoptr(GPtrArray) about = mig_cells_list(peers, &o);
    g_assert_cmpuint(count(about, "old/old/*"), ==, 0);
    g_assert_cmpuint(count(about, "old/new/*"), >, 0);
}

/* ---- command lines ---- */

static void templates_are_filled(void)
{
    g_autoptr(MigPeer) vmm =
        mig_peer_new("v=prog --r={role} '{machine} {size}' {qmp} {memory}", NULL);
    g_autoptr(MigPeer) qemu = mig_peer_new("/usr/bin/emulator -x", NULL);
    const MigPeerPlace place = { "destination", "none", "/mem", "/qmp", 4096 };
    g_auto(GStrv) filled = mig_peer_fill(vmm, &place), appended = mig_peer_fill(qemu, &place);
    const char *const want[] = { "prog", "--r=destination", "none 4096", "/qmp", "/mem", NULL };

    g_assert_cmpstr(vmm->name, ==, "v");
    g_assert_true(g_strv_equal(want, (const char *const *)filled));
    g_assert_null(qemu->name);
    g_assert_cmpstr(appended[1], ==, "-x");
    g_assert_true(g_strv_contains((const char *const *)appended, "-incoming"));
    g_assert_null(mig_peer_new("'", NULL));
}

/* ---- outcomes ---- */

typedef struct Row {
    const char *what;
    MigOutcome outcome;
    const char *words; /* a rule's id, or a part of what is said; NULL: nothing */
    const char *fault, *source, *destination, *run_state, *memory, *complaint;
    bool compared, hung, refused, no_recording;
} Row;

static const Row rows[] = {
    { "all-is-well", MIG_OUTCOME_PASS, NULL, "none", "completed", "completed", "postmigrate",
      .compared = true },
    { "another-memory", MIG_OUTCOME_FAIL, "CELL-MEMORY-EQUAL", "none", "completed", "completed",
      "postmigrate", "1 of 1024 pages differ", .compared = true },
    { "source-fails", MIG_OUTCOME_FAIL, "CELL-MIGRATION-COMPLETES", "none", "failed", "failed",
      "prelaunch" },
    { "destination-dies", MIG_OUTCOME_FAIL, "CELL-MIGRATION-COMPLETES", "none", "completed",
      "exit status 1", "postmigrate" },
    { "hangs", MIG_OUTCOME_FAIL, "CELL-MIGRATION-COMPLETES", "none", "active", "active", "running",
      .hung = true },
    { "complains", MIG_OUTCOME_FAIL, "CELL-DESTINATION-QUIET", "none", "completed", "completed",
      "postmigrate", .complaint = "odd", .compared = true },
    { "complains-after-a-stall", MIG_OUTCOME_PASS, NULL, "stall", "completed", "completed",
      "postmigrate", .complaint = "odd", .compared = true },
    { "refused", MIG_OUTCOME_REFUSED, "no", "none", .refused = true },
    { "nothing-recorded", MIG_OUTCOME_INCONCLUSIVE, "", "none", "completed", "completed",
      "postmigrate", .compared = true, .no_recording = true },
    { "cut-and-noticed", MIG_OUTCOME_PASS, NULL, "cut", "failed", "exit status 1", "prelaunch",
      .compared = true },
    { "cut-and-guest-lost", MIG_OUTCOME_FAIL, "CELL-FAULT-SURVIVED", "cut", "failed",
      "exit status 1", "finish-migrate" },
    { "cut-and-not-noticed", MIG_OUTCOME_FAIL, "CELL-FAULT-SURVIVED", "cut", "failed",
      "still running", "prelaunch", .hung = true },
    { "cut-and-mended", MIG_OUTCOME_PASS, NULL, "cut", "completed", "completed", "postmigrate",
      .compared = true },
};

static void judges(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(MigCheck) check = mig_check_new(MIG_PROFILE_INTEROP);
    g_autofree char *trace = mig_test_trace_path("none-idle-7.2", ".mig.zst");
    g_autofree char *words = NULL;
    char *none[] = { NULL };
    const MigCell cell = { .fault = row->fault, .features = none };
    const MigCellRun run = {
        .cell = &cell,
        .recording = row->no_recording ? (char *)"/nonexistent" : trace,
        .source_status = (char *)row->source,
        .destination_status = (char *)row->destination,
        .run_state = (char *)row->run_state,
        .memory = (char *)row->memory,
        .complaint = (char *)row->complaint,
        .compared = row->compared,
        .hung = row->hung,
        .refused = row->refused,
        .words = row->refused ? (char *)"it says no" : NULL,
        .passes = 2,
    };

    g_assert_cmpstr(mig_outcome_name(mig_cell_judge(check, &run, &words)), ==,
                    mig_outcome_name(row->outcome));
    g_assert_true(row->words ? words && strstr(words, row->words) : !words);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/matrix/cells/every-two-features-meet", every_two_features_meet);
    g_test_add_func("/matrix/cells/machines-that-both-know", machines_that_both_know);
    g_test_add_func("/matrix/cells/shares-make-the-whole", shares_make_the_whole);
    g_test_add_func("/matrix/cells/only-what-is-asked-for", only_what_is_asked_for);
    g_test_add_func("/matrix/peers/templates-are-filled", templates_are_filled);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/matrix/judge/%s", rows[i].what);
        g_test_add_data_func(path, &rows[i], judges);
    }
    return g_test_run();
}
