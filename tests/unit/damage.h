/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage to good streams: rows that say where in the records of which trace which bytes are
 * replaced by which, and what the judge must say of it.
 */
#ifndef MIG_TESTS_UNIT_DAMAGE_H
#define MIG_TESTS_UNIT_DAMAGE_H

#include <glib.h>

#include "conformance/check.h"

/* A record of a stream: the |nth| of its type (-1: the last) in a section of this kind and name. */
typedef struct MigPlace {
    MigRecordType type;
    int nth;
    MigItem kind;      /* 0: any */
    const char *idstr; /* NULL: any */
} MigPlace;

typedef struct MigDamaged MigDamaged;

typedef struct MigDamage {
    const char *name, *base, *rule;
    MigPlace place;
    int delta;          /* from the record's first byte */
    bool end;           /* delta counts from behind the record (its payload included) instead */
    unsigned cut;       /* bytes removed there */
    const char *hex;    /* bytes put there instead; 'text' in quotes, blanks ignored */
    int expect;         /* offset of the finding from that place */
    bool at_end;        /* the finding stands at the end of the judged bytes */
    const char *also;   /* other rules that the same damage breaks, separated by blanks */
    MigProfile profile; /* 0 (lenient) stands for strict */
    void (*custom)(MigDamaged *d); /* instead of cut and hex; sets d->expected */
} MigDamage;

extern const MigDamage mig_damages[]; /* ended by a row without a name */

/* The good stream with the places of its records, and what became of it. */
typedef struct MigMark {
    MigRecord r; /* strings in it are gone */
    MigItem kind;
    char *idstr;
} MigMark;

struct MigDamaged {
    const MigDamage *damage;
    GArray *marks; /* MigMark, of the good stream */
    GByteArray *bytes;
    uint64_t expected;
};

const MigMark *mig_damage_find(const MigDamaged *d, MigPlace place);
uint64_t mig_damage_record_end(const MigMark *mark);
/* Behind the footer of the section whose SECTION record |mark| is. */
uint64_t mig_damage_section_end(const MigDamaged *d, const MigMark *mark);
void mig_damage_replace(MigDamaged *d, uint64_t at, unsigned cut, const void *bytes, unsigned n);
/* Moves [from, to) so that it stands before what was at |where|. Returns its new offset. */
uint64_t mig_damage_move(MigDamaged *d, uint64_t from, uint64_t to, uint64_t where);

#endif
