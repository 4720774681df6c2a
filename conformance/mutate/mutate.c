/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning, making and proving mutants.
 *
 * The plan lists strata, (mutator, operation) with the sites where it applies, in an order drawn
 * from the seed; the n-th mutant is of stratum n modulo their number, at a site drawn from (seed,
 * n). So small numbers of mutants already cover all mutators.
 *
 * The proof decodes the mutant up to the first record that must differ. Limit: of payload it looks
 * at the bytes, not at what they mean.
 */
#include "conformance/mutate/mutate.h"

#include <string.h>

#include "stream/encoder.h"

const char *mig_mutate_op_name(MigMutateOp op)
{
    static const char *const names[MIG_OP_COUNT] = { "=0",   "+1",   "-1",    "=max",
                                                     "flip", "make", "insert" };
    return names[op];
}

MigProfile mig_mutator_profile(const MigMutator *mutator)
{
    return mutator->profile ? mutator->profile : MIG_PROFILE_STRICT;
}

/* ---- for mutators ---- */

void mig_mutant_replace(MigMutant *m, uint64_t at, uint64_t cut, const void *bytes, gsize n)
{
    gsize behind = m->bytes->len - (gsize)at - (gsize)cut;
    g_autofree uint8_t *rest = g_memdup2(m->bytes->data + at + cut, behind);

    g_byte_array_set_size(m->bytes, (guint)at);
    g_byte_array_append(m->bytes, bytes, (guint)n);
    g_byte_array_append(m->bytes, rest, (guint)behind);
}

void mig_mutate_encode(GByteArray *out, const MigRecord *r)
{
    size_t n = mig_record_encode(r, NULL, 0);
    guint old = out->len;

    g_byte_array_set_size(out, old + (guint)n);
    mig_record_encode(r, out->data + old, n);
}

/* ---- fields ---- */

static uint64_t field_get(const MigMutator *row, const MigRecord *r)
{
    const uint8_t *p = (const uint8_t *)r + row->at;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    switch (row->size) {
    case 1:
        return *p;
    case 2:
        memcpy(&v16, p, 2);
        return v16;
    case 4:
        memcpy(&v32, p, 4);
        return v32;
    default:
        memcpy(&v64, p, 8);
        return v64;
    }
}

static void field_set(const MigMutator *row, MigRecord *r, uint64_t value)
{
    uint8_t *p = (uint8_t *)r + row->at;
    uint8_t v8 = (uint8_t)value;
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;

    memcpy(p,
           row->size == 1   ? (const void *)&v8
           : row->size == 2 ? (const void *)&v16
           : row->size == 4 ? (const void *)&v32
                            : (const void *)&value,
           row->size);
}

static uint64_t field_value(const MigMutateSource *s, const MigMutator *row, MigMutateOp op,
                            uint64_t old, MigPrng *prng)
{
    uint64_t unit = row->pages ? s->page_size : 1;
    uint64_t mask = row->size == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * row->size)) - 1;
    unsigned low = (unsigned)__builtin_ctzll(unit);
    unsigned bits = (unsigned)(8 * row->size) - low;

    switch (op) {
    case MIG_OP_ZERO:
        return 0;
    case MIG_OP_PLUS:
        return (old + unit) & mask;
    case MIG_OP_MINUS:
        return (old - unit) & mask;
    case MIG_OP_MAX:
        return mask & ~(unit - 1);
    default:
        return old ^ (UINT64_C(1) << (low + (prng ? mig_prng_below(prng, bits) : 0)));
    }
}

/* ---- plan ---- */

static bool matches(const MigMutator *row, const MigSite *site)
{
    return site->r.type == row->type && site->r.depth == 0 &&
           (!row->kind || site->kind == row->kind) &&
           (!row->idstr || strcmp(site->idstr, row->idstr) == 0);
}

static bool value_applies(const MigMutateSource *s, const MigMutator *row, guint site,
                          MigMutateOp op, uint64_t value)
{
    if (op < MIG_OP_VALUES && value == field_get(row, &mig_site(s, site)->r)) {
        return false;
    }
    return !row->applies || row->applies(s, site, value);
}

/* Whether some bit may be flipped; which one is drawn later. */
static bool flip_applies(const MigMutateSource *s, const MigMutator *row, guint site)
{
    uint64_t old = field_get(row, &mig_site(s, site)->r);
    unsigned low = row->pages ? (unsigned)__builtin_ctz(s->page_size) : 0;

    for (unsigned bit = low; bit < 8 * row->size; bit++) {
        if (value_applies(s, row, site, MIG_OP_FLIP, old ^ (UINT64_C(1) << bit))) {
            return true;
        }
    }
    return false;
}

static bool applies(const MigMutateSource *s, const MigMutator *row, guint i, MigMutateOp op)
{
    const MigSite *site = mig_site(s, i);

    if (!matches(row, site)) {
        return false;
    }
    if (op == MIG_OP_FLIP) {
        return flip_applies(s, row, i);
    }
    return value_applies(
        s, row, i, op,
        op < MIG_OP_VALUES ? field_value(s, row, op, field_get(row, &site->r), NULL) : 0);
}

static void add_stratum(MigMutatePlan *plan, const MigMutator *row, MigMutateOp op)
{
    MigStratum stratum = { row, op, g_array_new(FALSE, FALSE, sizeof(guint)) };

    for (guint i = 0; i < plan->source->sites->len; i++) {
        if (applies(plan->source, row, i, op)) {
            g_array_append_val(stratum.sites, i);
        }
    }
    if (stratum.sites->len) {
        g_array_append_val(plan->strata, stratum);
    } else {
        g_array_unref(stratum.sites);
    }
}

static void stratum_clear(gpointer data)
{
    g_array_unref(((MigStratum *)data)->sites);
}

static void shuffle(MigMutatePlan *plan)
{
    MigPrng prng = mig_prng(plan->seed, "mutate-order", 0);

    for (guint i = plan->strata->len; i > 1; i--) {
        guint k = (guint)mig_prng_below(&prng, i);
        MigStratum *a = &g_array_index(plan->strata, MigStratum, i - 1);
        MigStratum *b = &g_array_index(plan->strata, MigStratum, k);
        MigStratum t = *a;
        *a = *b;
        *b = t;
    }
}

static bool wanted(const MigMutator *row, const char *rule)
{
    return !rule || strcmp(row->rule ? row->rule : "none", rule) == 0;
}

MigMutatePlan *mig_mutate_plan(const MigMutateSource *source, uint64_t seed, const char *rule)
{
    MigMutatePlan *plan = g_new0(MigMutatePlan, 1);

    plan->source = source;
    plan->seed = seed;
    plan->strata = g_array_new(FALSE, FALSE, sizeof(MigStratum));
    g_array_set_clear_func(plan->strata, stratum_clear);
    for (const MigMutator *row = mig_mutators; row->name; row++) {
        for (int op = 0; wanted(row, rule) && op < MIG_OP_COUNT; op++) {
            if (row->ops & (1u << op)) {
                add_stratum(plan, row, (MigMutateOp)op);
            }
        }
    }
    shuffle(plan);
    return plan;
}

void mig_mutate_plan_free(MigMutatePlan *plan)
{
    if (plan) {
        g_array_unref(plan->strata);
        g_free(plan);
    }
}

/* ---- making ---- */

static void make_field(const MigMutateSource *s, MigMutant *m)
{
    const MigSite *site = mig_site(s, m->site);
    g_autoptr(GByteArray) b = g_byte_array_new();
    MigRecord r = site->r;

    field_set(m->mutator, &r, m->value);
    mig_mutate_encode(b, &r);
    m->first = m->site;
    m->offset = site->r.offset;
    mig_mutant_replace(m, site->r.offset, site->r.wire, b->data, b->len);
}

static void make_insert(const MigMutateSource *s, MigMutant *m)
{
    g_autoptr(GByteArray) b = g_byte_array_new();

    mig_mutate_encode(b, m->mutator->insert);
    m->first = m->site;
    m->offset = mig_site(s, m->site)->r.offset;
    mig_mutant_replace(m, m->offset, 0, b->data, b->len);
}

/* A bit that breaks what the mutator says: false when a fair number of draws gave none. */
static bool draw_value(const MigMutateSource *s, MigMutant *m, MigPrng *prng)
{
    uint64_t old = field_get(m->mutator, &mig_site(s, m->site)->r);

    for (int tries = 0; tries < 64; tries++) {
        m->value = field_value(s, m->mutator, m->op, old, prng);
        if (value_applies(s, m->mutator, m->site, m->op, m->value)) {
            return true;
        }
    }
    return false;
}

/* ---- proof ---- */

static bool same_bytes(const MigMutateSource *s, const MigMutant *m, guint n, const MigRecord *r)
{
    if (n >= s->sites->len) {
        return false;
    }
    const MigSite *old = mig_site(s, n);
    uint64_t size = mig_site_end(old) - old->r.offset;
    return size == r->wire + r->payload && r->offset + size <= m->bytes->len &&
           memcmp(m->bytes->data + r->offset, s->bytes->data + old->r.offset, size) == 0;
}

/* A piece that is left out or put in may begin like what was there: sections of a kind do. */
static guint piece_length(const MigMutateSource *s, const MigMutant *m)
{
    guint n = m->site;
    bool section = mig_site(s, n)->r.type == MIG_REC_SECTION;

    while (section && n + 1 < s->sites->len && mig_site(s, n + 1)->section == m->site) {
        n++;
    }
    return n - m->site + 1;
}

static MigProof prove_record(const MigMutateSource *s, const MigMutant *m, guint n,
                             const MigRecord *r)
{
    bool is;

    if (m->op < MIG_OP_VALUES) {
        is = r->type == m->mutator->type && field_get(m->mutator, r) == m->value;
    } else if (m->op == MIG_OP_INSERT) {
        is = r->type == m->mutator->insert->type;
    } else {
        is = !same_bytes(s, m, n, r);
    }
    return is ? MIG_PROOF_DECODED : MIG_PROOF_NONE;
}

static MigProof prove(const MigMutateSource *s, const MigMutant *m)
{
    g_autoptr(MigStreamReader) reader = mig_mutate_reader(m->bytes->data, m->bytes->len, NULL);
    guint last = m->first + (m->op == MIG_OP_MAKE ? piece_length(s, m) : 1);
    MigProof proof = MIG_PROOF_NONE;
    MigRecord r;

    if (!reader || (m->bytes->len == s->bytes->len &&
                    memcmp(m->bytes->data, s->bytes->data, s->bytes->len) == 0)) {
        return MIG_PROOF_NONE;
    }
    for (guint n = 0; n < last && proof == MIG_PROOF_NONE; n++) {
        if (mig_stream_reader_next(reader, &r, NULL) != MIG_STATUS_RECORD) {
            return n >= m->first ? MIG_PROOF_STOPPED : MIG_PROOF_NONE;
        }
        proof = n < m->first ? MIG_PROOF_NONE : prove_record(s, m, n, &r);
    }
    return proof;
}

/* A site of the stratum where the drawn value applies. False: none was found. */
static bool choose(const MigMutatePlan *plan, const MigStratum *stratum, MigMutant *m,
                   MigPrng *prng)
{
    for (int tries = 0; tries < 64; tries++) {
        uint64_t i = mig_prng_below(prng, stratum->sites->len);
        m->site = g_array_index(stratum->sites, guint, i);
        if (m->op >= MIG_OP_VALUES || draw_value(plan->source, m, prng)) {
            return true;
        }
    }
    return false;
}

MigMutant *mig_mutate_make(const MigMutatePlan *plan, uint64_t n)
{
    const MigMutateSource *s = plan->source;
    MigPrng prng = mig_prng(plan->seed, "mutate", n);

    if (!plan->strata->len) {
        return NULL;
    }
    const MigStratum *stratum = &g_array_index(plan->strata, MigStratum, n % plan->strata->len);
    MigMutant *m = g_new0(MigMutant, 1);
    m->mutator = stratum->mutator;
    m->op = stratum->op;
    m->bytes = g_byte_array_new();
    g_byte_array_append(m->bytes, s->bytes->data, s->bytes->len);
    if (!choose(plan, stratum, m, &prng)) {
        return m; /* unproved: whoever asks sees it */
    }
    if (m->op < MIG_OP_VALUES) {
        make_field(s, m);
    } else if (m->op == MIG_OP_INSERT) {
        make_insert(s, m);
    } else {
        m->mutator->make(s, m, &prng);
    }
    m->proof = prove(s, m);
    return m;
}

void mig_mutant_free(MigMutant *m)
{
    if (m) {
        g_byte_array_unref(m->bytes);
        g_free(m);
    }
}
