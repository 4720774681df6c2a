/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's bytes, read along its description into named values.
 *
 *     description + body -> enter device
 *                             value cpu_ticks_offset int64 8 bytes = -5
 *                             enter subsection icount ... leave
 *                           leave
 *
 * The description is the peer's, so are the bytes: both are checked against each other, and neither
 * can make the walk read outside the body or take longer than the two are long.
 */
#ifndef MIG_STREAM_VMDESC_WALK_H
#define MIG_STREAM_VMDESC_WALK_H

#include "stream/vmdesc.h"

#define MIG_VM_PATH 512u /* a longer path is cut off */

typedef enum MigVmKind {
    MIG_VM_UNSIGNED, /* u: uint8..uint64, with or without "equal"; float64 as its bits */
    MIG_VM_SIGNED,   /* i: int8..int64, "int32 le"; timer in ns, -1 not pending */
    MIG_VM_BOOL,     /* u: 0 or 1 */
    MIG_VM_NULL,     /* the marker of a pointer that is NULL */
    MIG_VM_BYTES,    /* buffer, bitmap, and everything of an unknown type */
    MIG_VM_TEXT,     /* bytes that are a length byte and printable text */
} MigVmKind;

typedef struct MigVmValue {
    const char
        *path; /* "timer/icount/qemu_icount_bias", "cpu/env.segs[3]/base"; valid in the call */
    const char *name; /* the field's, without an index */
    const char *type; /* as the description says */
    uint64_t offset;  /* in the device body */
    uint64_t size;    /* bytes */
    const uint8_t *bytes;
    MigVmKind kind;
    uint64_t u;
    int64_t i;
} MigVmValue;

typedef enum MigVmScopeKind {
    MIG_VM_DEVICE,
    MIG_VM_STRUCT,     /* a struct, or one element of an array of structs or of a list */
    MIG_VM_SUBSECTION, /* its header has been checked */
} MigVmScopeKind;

typedef struct MigVmScope {
    MigVmScopeKind kind;
    const char *path;
    const char *name;      /* of the field, of the subsection, of the device */
    const MigVmBody *body; /* vmsd name and version */
    uint64_t offset;
} MigVmScope;

/* Any of the three may be NULL. Returning false ends the walk; that is no fault. */
typedef struct MigVmVisitor {
    bool (*enter)(void *opaque, const MigVmScope *scope);
    bool (*value)(void *opaque, const MigVmValue *value);
    bool (*leave)(void *opaque, const MigVmScope *scope);
} MigVmVisitor;

/*
 * Walks n bytes of a device's body. False if description and bytes contradict each other; then *why
 * (may be NULL) has fault BODY_LENGTH or BODY_DESCRIPTION, the path, and the offset in the body.
 * Where a struct's parts do not add up to its size, it is shown as bytes, as a list is whose marker
 * bytes are not where they belong. Values already visited stay visited.
 */
bool mig_vmdesc_walk(const MigVmDevice *device, const uint8_t *bytes, uint64_t n,
                     const MigVmVisitor *visitor, void *opaque, MigDiagnosis *why);

#endif
