/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutants: a good stream with one thing in its records changed.
 *
 *     stream -> source (records with their places) -> site -> mutator -> mutant -> proof
 *
 * A mutator is a row of a table: what it changes, and which rule a stream that it has changed
 * breaks, or that it breaks none. It works on decoded records and encodes them again, never on
 * bytes that look like a field. Every mutant is proved: its bytes differ from the source's, and the
 * decoder reads the intended value at the intended record, or stops there.
 *
 * Everything is a function of (stream, seed, number): the same on every machine.
 */
#ifndef MIG_CONFORMANCE_MUTATE_MUTATE_H
#define MIG_CONFORMANCE_MUTATE_MUTATE_H

#include "conformance/check.h"
#include "sim/world/prng.h"

#define MIG_MUTATE_LIMIT (64u << 20) /* bytes of a stream that can be mutated */

/* A record with what is needed to encode it again, and where it stands. */
typedef struct MigSite {
    MigRecord r;       /* strings belong to the source */
    char *path;        /* ram/part[3]/page[17] */
    guint section;     /* index of the SECTION that it is in, or that it is; G_MAXUINT: none */
    const char *idstr; /* of that section, or "" */
    MigItem kind;      /* of that section, or 0 */
} MigSite;

typedef struct MigMutateSource {
    GByteArray *bytes;
    GArray *sites;      /* MigSite */
    MigVersion machine; /* of a versioned machine type, else 0 */
    uint32_t page_size;
    bool footers;
    GHashTable *sent;        /* "block:offset" -> how often the page is sent */
    MigStreamReader *reader; /* owns names */
    GStringChunk *strings;
} MigMutateSource;

/* NULL: not readable, not conformant to its end, or not a raw stream; *error. */
MigMutateSource *mig_mutate_source_open(const char *path, GError **error);
/* The same for bytes, which are copied. */
MigMutateSource *mig_mutate_source_new(const void *data, gsize n, GError **error);
void mig_mutate_source_free(MigMutateSource *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigMutateSource, mig_mutate_source_free)

static inline const MigSite *mig_site(const MigMutateSource *s, guint i)
{
    return &g_array_index(s->sites, MigSite, i);
}

/* Behind the record and its payload. */
static inline uint64_t mig_site_end(const MigSite *site)
{
    return site->r.offset + site->r.wire + site->r.payload;
}

typedef enum MigMutateOp {
    MIG_OP_ZERO,
    MIG_OP_PLUS, /* by one unit */
    MIG_OP_MINUS,
    MIG_OP_MAX,
    MIG_OP_FLIP, /* one bit */
    MIG_OP_VALUES,
    MIG_OP_MAKE = MIG_OP_VALUES, /* the row's make() */
    MIG_OP_INSERT,               /* the row's record in front of the site */
    MIG_OP_COUNT
} MigMutateOp;

typedef struct MigMutant MigMutant;
typedef struct MigMutator MigMutator;

struct MigMutator {
    const char *name; /* "footer.id", "section.drop" */
    const char *rule; /* NULL: breaks none */
    MigRecordType type;
    const char *idstr;  /* of the section, NULL: any */
    MigItem kind;       /* likewise, 0: any */
    uint32_t ops;       /* mask of MigMutateOp */
    size_t at, size;    /* the field in MigRecord */
    bool pages;         /* the unit is a page, not 1 */
    MigProfile profile; /* of a check that finds it: 0 (lenient) stands for strict */
    const MigRecord *insert;
    /* NULL: everywhere. |value| is the new one of a field. */
    bool (*applies)(const MigMutateSource *s, guint site, uint64_t value);
    /* Changes m->bytes, sets m->first and m->offset. */
    void (*make)(const MigMutateSource *s, MigMutant *m, MigPrng *prng);
};

extern const MigMutator mig_mutators[]; /* ended by a row without a name */

typedef enum MigProof {
    MIG_PROOF_NONE,    /* the mutator did not do what it says: an error of this program */
    MIG_PROOF_DECODED, /* the intended record and value are there */
    MIG_PROOF_STOPPED, /* the decoder stops at it */
} MigProof;

struct MigMutant {
    const MigMutator *mutator;
    MigMutateOp op;
    guint site;
    uint64_t value;  /* of the field */
    uint64_t offset; /* of the first byte that differs */
    guint first;     /* the first record that is another than in the source */
    GByteArray *bytes;
    MigProof proof;
};

/* Strata: (mutator, operation) pairs that have a site in this source, in an order by seed. */
typedef struct MigMutatePlan {
    const MigMutateSource *source;
    uint64_t seed;
    GArray *strata; /* MigStratum */
} MigMutatePlan;

typedef struct MigStratum {
    const MigMutator *mutator;
    MigMutateOp op;
    GArray *sites; /* guint */
} MigStratum;

/* |rule|: only mutators that break it; "none": those that break none; NULL: all. */
MigMutatePlan *mig_mutate_plan(const MigMutateSource *source, uint64_t seed, const char *rule);
void mig_mutate_plan_free(MigMutatePlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigMutatePlan, mig_mutate_plan_free)

/* The |n|-th mutant; strata take turns. NULL: there are no strata. */
MigMutant *mig_mutate_make(const MigMutatePlan *plan, uint64_t n);
void mig_mutant_free(MigMutant *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigMutant, mig_mutant_free)

const char *mig_mutate_op_name(MigMutateOp op);
/* The profile of a check that the mutant is made for. */
MigProfile mig_mutator_profile(const MigMutator *mutator);

/* ---- bytes in memory ---- */

MigStreamReader *mig_mutate_reader(const void *data, gsize n, GError **error);
/* Judges; NULL: *error. */
MigCheck *mig_mutate_judge(const void *data, gsize n, MigProfile profile, GError **error);
bool mig_mutate_found(const MigCheck *check, const char *rule);

/* ---- for mutators ---- */

void mig_mutant_replace(MigMutant *m, uint64_t at, uint64_t cut, const void *bytes, gsize n);
/* Appends the bytes of a record without its payload. */
void mig_mutate_encode(GByteArray *out, const MigRecord *r);

/*
 * The smallest stream that can be made of |data| by leaving out sections, then records, then bytes,
 * and that still breaks |rule|. Owned by the caller; NULL: it doesn't break it, or *error.
 */
GByteArray *mig_mutate_shrink(const void *data, gsize n, const char *rule, GError **error);

#endif
