/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a record by name, for everybody who shows or compares records.
 */
#ifndef MIG_CONFORMANCE_RECORD_FIELDS_H
#define MIG_CONFORMANCE_RECORD_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "stream/record.h"

typedef enum MigFieldKind {
    MIG_FIELD_NUMBER,
    MIG_FIELD_HEX, /* a number that people read in hexadecimal */
    MIG_FIELD_BOOL,
    MIG_FIELD_TEXT,
    MIG_FIELD_BYTES,
} MigFieldKind;

typedef struct MigField {
    const char *name;
    MigFieldKind kind;
    uint64_t number;
    MigStr text; /* TEXT and BYTES */
} MigField;

typedef void (*MigFieldVisit)(void *opaque, const MigField *field);

/* Visits the fields of |r| in the order of the wire; payload is not among them. */
void mig_record_fields(const MigRecord *r, MigFieldVisit visit, void *opaque);

#endif
