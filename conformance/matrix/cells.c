/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cells there are. Not the product of everything, which would be a hundred thousand, but:
 *
 *     sanity    each peer with itself: no devices, nothing switched on
 *     plain     every pair of peers: machines, transports, workloads
 *     singles   every pair: each feature that both know, alone
 *     faults    every pair: faults with what they hit differently
 *     pairs     (strength 2) every two features together: each peer with itself; of different
 *               versions dealt out to the pairs in turn, so that each two features meet at least
 *               once across versions; with our own ends, in turn one way or the other
 *
 * Features are what a probe found. A pair that can't be, such as two exclusive capabilities, is a
 * cell, too: it has to be refused.
 */
#include <stdlib.h>
#include <string.h>

#include "conformance/matrix/matrix.h"

typedef struct Listing {
    const GPtrArray *peers;
    GPtrArray *cells;
    GHashTable *names; /* of cells that are there already */
    guint strength;
} Listing;

typedef struct Pair {
    const MigPeer *source, *destination;
    GPtrArray *features; /* const char *: both know them */
    char *pc;            /* newest versioned PC that both know; NULL: none */
    bool file;           /* both can migrate to a file by themselves */
} Pair;

static bool is_own(const MigPeer *p)
{
    return !p->command;
}

/* ---- features ---- */

static const struct {
    const char *name, *why;
} left_out[] = {
    { "x-colo", "its migration never ends; tests/live/colo.py" },
    { "multifd-compression=qpl", "needs an accelerator" },
    { "multifd-compression=uadk", "needs an accelerator" },
    { "multifd-compression=qatzip", "needs an accelerator" },
};

const char *mig_feature_left_out(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(left_out); i++) {
        if (strcmp(left_out[i].name, name) == 0) {
            return left_out[i].why;
        }
    }
    return NULL;
}

static GPtrArray *common_features(const MigPeer *a, const MigPeer *b)
{
    const MigPeer *first = is_own(a) ? b : a, *second = is_own(a) || is_own(b) ? first : b;
    GPtrArray *out = g_ptr_array_new();

    for (guint i = 0; i < first->features->len; i++) {
        const MigPeerFeature *f = first->features->pdata[i];
        if (mig_peer_feature(second, f->name) && !mig_feature_left_out(f->name)) {
            g_ptr_array_add(out, f->name);
        }
    }
    return out;
}

bool mig_cell_has(const MigCell *cell, const char *feature)
{
    return g_strv_contains((const char *const *)cell->features, feature);
}

char *mig_cell_features(const MigCell *cell)
{
    return *cell->features ? g_strjoinv("+", cell->features) : g_strdup("plain");
}

/* ---- machines ---- */

/* "pc-i440fx-7.2" -> 702; 0: no versioned PC. */
static guint pc_version(const char *machine)
{
    guint major = 0, minor = 0;
    return g_str_has_prefix(machine, "pc-i440fx-") &&
                   sscanf(machine + strlen("pc-i440fx-"), "%u.%u", &major, &minor) == 2
               ? major * 100 + minor
               : 0;
}

static char *common_pc(const MigPeer *a, const MigPeer *b)
{
    const MigPeer *first = is_own(a) ? b : a, *second = is_own(b) ? first : b;
    const char *best = NULL;

    for (guint i = 0; i < first->machines->len; i++) {
        const char *m = first->machines->pdata[i];
        bool both = is_own(a) || is_own(b) || mig_peer_has(second->machines, m);
        if (both && pc_version(m) > (best ? pc_version(best) : 0)) {
            best = m;
        }
    }
    return g_strdup(best);
}

/* ---- cells ---- */

static void cell_free(gpointer data)
{
    MigCell *c = data;
    g_free(c->machine);
    g_strfreev(c->features);
    g_free(c->name);
    g_free(c);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes |c| over; a second one of the same name is dropped. */
static void add_cell(Listing *l, MigCell *c)
{
    qsort(c->features, g_strv_length(c->features), sizeof(char *), by_text);
    g_autofree char *features = mig_cell_features(c);
    c->name = g_strjoin("/", c->source->name, c->destination->name, c->machine, c->transport,
                        features, c->workload, c->fault, NULL);
    if (!g_hash_table_add(l->names, c->name)) {
        cell_free(c);
        return;
    }
    g_ptr_array_add(l->cells, c);
}

static bool is_feature(const char *name, const char *one, const char *other)
{
    return g_strcmp0(one, name) == 0 || g_strcmp0(other, name) == 0;
}

/* What mapped-ram writes has to have places, so its cells go through a file. */
static const char *transport_for(const Pair *p, const char *one, const char *other)
{
    return is_feature("mapped-ram", one, other) && p->file ? "file" : "unix";
}

static void add(Listing *l, const Pair *p, const char *machine, const char *transport,
                const char *one, const char *other, const char *workload, const char *fault)
{
    MigCell *c = g_new0(MigCell, 1);

    c->source = p->source;
    c->destination = p->destination;
    c->machine = g_strdup(machine);
    c->transport = transport;
    c->workload = workload;
    c->fault = fault;
    c->features = g_new0(char *, 3);
    c->features[0] = g_strdup(one);
    c->features[1] = g_strdup(other); /* of NULL: the list ends before */
    add_cell(l, c);
}

static bool knows(const Pair *p, const char *feature)
{
    for (guint i = 0; i < p->features->len; i++) {
        if (strcmp(p->features->pdata[i], feature) == 0) {
            return true;
        }
    }
    return false;
}

static void add_plain(Listing *l, const Pair *p)
{
    static const char *const transports[] = { "unix", "tcp", "exec", "file" };
    bool one_version = p->source == p->destination || is_own(p->source) || is_own(p->destination);
    /* "none" has no versions: a newer one writes SWITCHOVER_START, which 7.2 doesn't know. */
    const char *machine = one_version || !p->pc ? "none" : p->pc;

    for (gsize i = 0; i < G_N_ELEMENTS(transports); i++) {
        if (strcmp(transports[i], "file") != 0 || p->file) {
            add(l, p, machine, transports[i], NULL, NULL, "idle", "none");
        }
    }
    if (p->pc) {
        add(l, p, p->pc, "unix", NULL, NULL, "idle", "none");
        add(l, p, p->pc, "unix", NULL, NULL, "rewriting", "none");
        add(l, p, p->pc, "tcp", NULL, NULL, "rewriting", "none");
    }
    bool microvm = p->source == p->destination && mig_peer_has(p->source->machines, "microvm");
    if (microvm) { /* it has no versions: only the same one has to load it */
        add(l, p, "microvm", "unix", NULL, NULL, "rewriting", "none");
    }
}

/*
 * A guest that writes needs a CPU, even if it stands still: emulators die when memory of the
 * machine "none" is written while dirty pages are logged (5.2 and 10.0 always, 7.2 now and then).
 */
static void add_busy(Listing *l, const Pair *p, const char *one, const char *other,
                     const char *fault)
{
    /* A background snapshot is taken of a guest that runs: one that has no CPU stays as it was. */
    bool still = !p->pc || is_feature("background-snapshot", one, other);

    add(l, p, still ? "none" : p->pc, transport_for(p, one, other), one, other,
        still ? "idle" : "rewriting", fault);
}

static void add_singles(Listing *l, const Pair *p)
{
    for (guint i = 0; i < p->features->len; i++) {
        add_busy(l, p, p->features->pdata[i], NULL, "none");
    }
}

/* |every|: of how many pairs of features one is this pair's. */
static void add_pairs(Listing *l, const Pair *p, guint which, guint every)
{
    guint number = 0;

    for (guint i = 0; i < p->features->len; i++) {
        for (guint k = i + 1; k < p->features->len; k++, number++) {
            const char *one = p->features->pdata[i], *other = p->features->pdata[k];
            if (number % every == which) {
                add_busy(l, p, one, other, "none");
            }
        }
    }
}

static void add_faults(Listing *l, const Pair *p)
{
    static const char *const faults[] = { "stall", "cut", "cancel" };
    static const char *const hit[] = { NULL, "multifd", "postcopy-ram" };

    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
        for (gsize k = 0; k < G_N_ELEMENTS(hit); k++) {
            bool late = g_strcmp0(hit[k], "postcopy-ram") == 0 && strcmp(faults[i], "cancel") == 0;
            if ((!hit[k] || knows(p, hit[k])) && !late) { /* postcopy can't be cancelled */
                add_busy(l, p, hit[k], NULL, faults[i]);
            }
        }
    }
}

/* ---- pairs of peers ---- */

static bool by_itself(const MigPeer *p)
{
    return is_own(p) || mig_peer_has(p->transports, "file");
}

static Pair pair_of(const MigPeer *a, const MigPeer *b)
{
    return (Pair){ a, b, common_features(a, b), common_pc(a, b), by_itself(a) && by_itself(b) };
}

/* |when|: "first", "last" */
static void add_sanity(Listing *l, const char *when)
{
    for (guint i = 0; i < l->peers->len; i++) {
        const MigPeer *p = l->peers->pdata[i];
        if (is_own(p)) {
            continue; /* it takes over who it meets: nobody here */
        }
        MigCell *c = g_new0(MigCell, 1);
        *c = (MigCell){ .source = p,
                        .destination = p,
                        .machine = g_strdup("none"),
                        .transport = "unix",
                        .workload = "idle",
                        .fault = "none",
                        .sanity = true };
        c->features = g_new0(char *, 1);
        c->name = g_strdup_printf("sanity-%s/%s", when, p->name);
        g_ptr_array_add(l->cells, c);
    }
}

static void add_pair(Listing *l, const MigPeer *a, const MigPeer *b, guint which, guint every)
{
    Pair p = pair_of(a, b);

    add_plain(l, &p);
    add_singles(l, &p);
    add_faults(l, &p);
    if (l->strength > 1) {
        add_pairs(l, &p, which, every);
    }
    g_ptr_array_unref(p.features);
    g_free(p.pc);
}

static bool wanted_pair(const MigPeer *a, const MigPeer *b, const MigCellOptions *o)
{
    return !(is_own(a) && is_own(b)) && (!o->about || a == o->about || b == o->about);
}

static void add_all(Listing *l, const MigCellOptions *o)
{
    guint n = l->peers->len, others = 0, dealt = 0;

    for (guint i = 0; i < n; i++) {
        others += !is_own(l->peers->pdata[i]);
    }
    guint across = MAX(others * (others - 1), 1);
    for (guint i = 0; i < n; i++) {
        for (guint k = 0; k < n; k++) {
            const MigPeer *a = l->peers->pdata[i], *b = l->peers->pdata[k];
            guint which = 0, every = 1;
            if (is_own(a) || is_own(b)) {
                which = is_own(a);
                every = 2;
            } else if (a != b) {
                which = dealt++;
                every = across;
            }
            if (wanted_pair(a, b, o)) {
                add_pair(l, a, b, which, every);
            }
        }
    }
}

/* ---- choosing ---- */

static bool chosen(const MigCell *c, const MigCellOptions *o)
{
    if (!o->only) {
        return true;
    }
    for (const char *const *glob = o->only; *glob; glob++) {
        if (g_pattern_match_simple(*glob, c->name)) {
            return true;
        }
    }
    return false;
}

static gboolean meets(GPtrArray *cells, const MigPeer *p)
{
    for (guint i = 0; i < cells->len; i++) {
        const MigCell *c = cells->pdata[i];
        if (c->source == p || c->destination == p) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Of the peers that take part: a sanity cell each. */
static GPtrArray *sanity_cells(const GPtrArray *peers, GPtrArray *cells, const char *when)
{
    Listing l = { .peers = peers, .cells = g_ptr_array_new_with_free_func(cell_free) };

    add_sanity(&l, when);
    for (guint i = 0; i < l.cells->len;) {
        if (meets(cells, ((const MigCell *)l.cells->pdata[i])->source)) {
            i++;
        } else {
            g_ptr_array_remove_index(l.cells, i);
        }
    }
    return l.cells;
}

/* Moves what is chosen out of |all|. */
static GPtrArray *choose(GPtrArray *all, const MigCellOptions *o)
{
    GPtrArray *some = g_ptr_array_new_with_free_func(cell_free);
    guint number = 0;

    for (guint i = 0; i < all->len; i++) {
        if (chosen(all->pdata[i], o) && number++ % MAX(o->shards, 1) == o->shard) {
            g_ptr_array_add(some, g_steal_pointer(&all->pdata[i]));
        }
    }
    return some;
}

static void free_rest(gpointer data)
{
    if (data) {
        cell_free(data);
    }
}

GPtrArray *mig_cells_list(const GPtrArray *peers, const MigCellOptions *o)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(free_rest);
    Listing l = { peers, all, names, o->strength };

    add_all(&l, o);
    GPtrArray *some = choose(all, o);
    GPtrArray *cells = sanity_cells(peers, some, "first");
    GPtrArray *last = sanity_cells(peers, some, "last");
    g_ptr_array_extend_and_steal(cells, some);
    g_ptr_array_extend_and_steal(cells, last);
    return cells;
}
