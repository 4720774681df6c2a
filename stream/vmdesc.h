/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMDESCRIPTION: what the source says that its device sections look like.
 *
 *     text -> MigVmdesc -+- configuration (body)                  10.0 and later
 *                        +- device -> device -> ...               in the order of the sections
 *                             +- body +- field -> field -> ...    in the order of the bytes
 *                                     |    +- body of a struct
 *                                     +- subsection (body) -> ...  behind the fields
 *
 * The text comes from a stranger: its size, depth, names, counts and the memory of its tree are
 * bounded, and nothing in it is believed by whoever reads device bytes along it (vmdesc-walk.h).
 * Mirrors what vmstate_save_state_v() and qemu_savevm_state_complete_precopy_non_iterable() write.
 */
#ifndef MIG_STREAM_VMDESC_H
#define MIG_STREAM_VMDESC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/status.h"

#define MIG_VMDESC_DEPTH 32u          /* structs and subsections inside each other */
#define MIG_VMDESC_COUNT (1u << 24)   /* elements of one array */
#define MIG_VMDESC_SIZE  (1ull << 32) /* bytes of one element, of one body */
#define MIG_VMDESC_MEMORY                                                  \
    (40u << 20) /* bytes of the tree; the text's bound is MIG_LIMIT_VMDESC \
                 */

typedef struct MigVmField MigVmField;
typedef struct MigVmBody MigVmBody;
typedef struct MigVmDevice MigVmDevice;

/* What one vmsd (device, struct or subsection) looks like on the wire. */
struct MigVmBody {
    const char *name; /* "timer", "timer/icount"; NULL in old-style devices */
    int32_t version;  /* version_id that it was saved as */
    uint64_t size;    /* bytes of fields and subsections, without a subsection's own header */
    const MigVmField *fields;
    const MigVmBody *subsections;
    const MigVmBody *next; /* subsection, or element of a list, after this */
};

struct MigVmField {
    const char *name;
    const char *type;    /* "uint32", "buffer", "struct"... as written */
    uint64_t size;       /* bytes of one element */
    uint32_t count;      /* elements: array_len, else 1 */
    uint32_t index;      /* which element of its array, if indexed */
    bool array;          /* has array_len: count alike elements stand here */
    bool indexed;        /* has index: one element of several unlike ones */
    bool size_disagrees; /* the bodies do not add up to size */
    uint32_t body_count; /* bodies: 1 in a struct, one per element in a list, 0 in a plain field */
    const MigVmBody *bodies; /* chained by next */
    const MigVmField *next;
};

struct MigVmDevice {
    const char *name; /* idstr of the section header */
    uint32_t instance_id;
    bool opaque;     /* written by code without a description: one buffer */
    bool unreliable; /* parts of it do not add up: up to 9.x an array of pointers whose first is
                        NULL is described as if all were, so that size may be too small */
    uint64_t size;   /* bytes of the section's body, going by the description */
    const MigVmBody *body;
    MigVmDevice *next;
};

typedef struct MigVmdesc {
    uint64_t page_size;
    const MigVmBody *configuration; /* NULL before 10.0 */
    MigVmDevice *devices;           /* chained by next */
    uint32_t device_count;
    uint32_t disagreements; /* fields with size_disagrees, in all of it */
    size_t memory;          /* bytes that the tree takes */
    /* private */
    void *arena;
    const MigVmDevice *hint;
} MigVmdesc;

/*
 * Parses n bytes of JSON. The tree owns all its memory and outlives the text. NULL if the text is
 * bad: then *why (may be NULL) says where, offset being that in the text. Unknown keys are skipped,
 * repeated ones are taken as the lists that QEMU writes that way.
 */
MigVmdesc *mig_vmdesc_parse(const char *text, size_t n, MigDiagnosis *why);
void mig_vmdesc_free(MigVmdesc *desc); /* NULL is fine */

/*
 * The device of a section header, or NULL. Where several match, the first behind the one found last
 * is it, so looking devices up in the order of the stream is cheap and tells doubles apart.
 */
const MigVmDevice *mig_vmdesc_find(MigVmdesc *desc, const char *name, uint32_t instance_id);

/* Bytes of a device's body on the wire, from header to footer; UINT64_MAX (which is
   MIG_BODY_SIZE_UNKNOWN) where the description is unreliable. */
uint64_t mig_vmdesc_device_size(const MigVmDevice *device);

/* Bytes that a subsection's header takes: 05, cstr name, be32 version. */
uint64_t mig_vmdesc_subsection_header(const MigVmBody *subsection);

#endif
