/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device state by descriptor: a table says what a C struct looks like on the wire.
 *
 *     MigVmsd { name, version, fields, subsections, hooks }
 *       field: where in the struct, of which type, how many, since which version or by which test
 *
 *     struct --save--> bytes, and their description as the VMDESCRIPTION has it
 *     bytes  --load--> struct, or what is wrong with them
 *
 * Fields stand back to back, big-endian, without tags; a subsection is 05 cstr be32 and its fields.
 * Mirrors vmstate_save_state_v(), vmstate_load_state() and their subsections (migration/vmstate.c).
 */
#ifndef MIG_STREAM_VMSTATE_H
#define MIG_STREAM_VMSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/status.h"
#include "stream/vmdesc-write.h"

#define MIG_VMSTATE_DEPTH 16u /* structs and subsections inside each other */

/* Types of one element. The C type is in brackets. */
typedef enum MigVmType {
    MIG_VMT_BOOL, /* [bool] */
    MIG_VMT_INT8, /* [int8_t] and so on */
    MIG_VMT_INT16,
    MIG_VMT_INT32,
    MIG_VMT_INT64,
    MIG_VMT_UINT8,
    MIG_VMT_UINT16,
    MIG_VMT_UINT32,
    MIG_VMT_UINT64,
    MIG_VMT_UINT8_EQUAL, /* loading wants the value that is there already */
    MIG_VMT_INT32_EQUAL,
    MIG_VMT_UINT32_EQUAL,
    MIG_VMT_INT32_LE,   /* loading wants 0 <= loaded <= the value that is there */
    MIG_VMT_TIMER,      /* [int64_t] ns, -1 not pending */
    MIG_VMT_BUFFER,     /* [uint8_t[size]] */
    MIG_VMT_UNUSED,     /* size zero bytes, no member */
    MIG_VMT_BITMAP,     /* [uint64_t[]] of size bits */
    MIG_VMT_CAPABILITY, /* [char[size]], NUL-terminated; on the wire a cstr */
    MIG_VMT_STRUCT,     /* as vmsd says */
    MIG_VMT_COUNT
} MigVmType;

/* How many elements there are, and where. Without any: one, in the struct. */
#define MIG_VMS_ARRAY            1u /* num of them */
#define MIG_VMS_COUNT_U8         2u /* as many as the member at num_offset says, num at most */
#define MIG_VMS_COUNT_U16        4u
#define MIG_VMS_COUNT_U32        8u
#define MIG_VMS_COUNT_I32        16u
#define MIG_VMS_POINTER          32u  /* the member points to the element or elements */
#define MIG_VMS_ARRAY_OF_POINTER 64u  /* each element is a pointer; NULL is the byte 0x30 */
#define MIG_VMS_SIZE_U32         128u /* BUFFER: as long as the uint32_t at num_offset says */
#define MIG_VMS_MUST_EXIST       256u /* no bytes; the test has to say yes */

#define MIG_VMS_NULL_MARKER 0x30u

typedef struct MigVmsd MigVmsd;

typedef struct MigVmsField {
    const char *name; /* NULL ends a table */
    MigVmType type;
    uint32_t flags; /* MIG_VMS_* */
    int version;    /* exists from this version_id on ... */
    bool (*exists)(const void *state,
                   int version); /* ... or, if there is a test, when it says so */
    size_t offset;               /* of the member */
    size_t size;                 /* bytes of one element in memory; BITMAP: bits */
    size_t num;                  /* elements that fit */
    size_t num_offset;           /* of the count, or of the size */
    const MigVmsd *vmsd;
} MigVmsField;

struct MigVmsd {
    const char *name;                            /* "timer"; of a subsection "timer/icount" */
    int version;                                 /* version_id it is saved with */
    int minimum;                                 /* oldest version_id that loads */
    bool (*needed)(const void *state);           /* subsections: is it sent? NULL: yes */
    bool (*pre_save)(void *state);               /* false: cannot be saved */
    bool (*pre_load)(void *state);               /* false: refuses to load */
    bool (*post_load)(void *state, int version); /* false: refuses what was loaded */
    const MigVmsField *fields;                   /* ended by name NULL */
    const MigVmsd *const *subsections;           /* ended by NULL; NULL: none */
};

/* Rows of a table. `state` is the C struct's type. */
#define MIG_VMS_FIELD(type_, member, state, ctype)                                                 \
    {                                                                                              \
        .name = #member, .type = (type_), .offset = offsetof(state, member), .size = sizeof(ctype) \
    }
#define MIG_VMS_FIELD_V(type_, member, state, ctype, since)                                      \
    {                                                                                            \
        .name = #member, .type = (type_), .version = (since), .offset = offsetof(state, member), \
        .size = sizeof(ctype)                                                                    \
    }
#define MIG_VMS_BUFFER(member, state)                                               \
    {                                                                               \
        .name = #member, .type = MIG_VMT_BUFFER, .offset = offsetof(state, member), \
        .size = sizeof(((state *)0)->member)                                        \
    }
#define MIG_VMS_UNUSED(bytes)                                     \
    {                                                             \
        .name = "unused", .type = MIG_VMT_UNUSED, .size = (bytes) \
    }
#define MIG_VMS_END  \
    {                \
        .name = NULL \
    }

/* Bytes that grow. Starts as { 0 }; the owner frees data with mig_vm_bytes_clear(). */
typedef struct MigVmBytes {
    uint8_t *data;
    size_t n;
    size_t room;
    bool failed; /* memory was short; what is missing is missing at the end */
} MigVmBytes;

void mig_vm_bytes_put(MigVmBytes *bytes, const void *data, size_t n);
void mig_vm_bytes_clear(MigVmBytes *bytes);

/*
 * Appends state's bytes to out as version (normally vmsd->version). With desc, writes "vmsd_name",
 * "version", "fields" and "subsections" into the object that is open there. False if a pre_save or
 * a must-exist test says no, or a count is above num: then *why (may be NULL) says so, with the
 * offset in out.
 */
bool mig_vmstate_save(const MigVmsd *vmsd, void *state, int version, MigVmBytes *out,
                      MigVmdescWriter *desc, MigDiagnosis *why);

/*
 * Loads state from the first bytes of data (n of them) and says in *used how many that were.
 * Pointers must point to room for num elements, and NULL elements be NULL, beforehand. False: *why
 * (may be NULL) has fault DEVICE_STATE, or TRUNCATED where data ends too early; state is half
 * loaded.
 */
bool mig_vmstate_load(const MigVmsd *vmsd, void *state, int version, const uint8_t *data, size_t n,
                      size_t *used, MigDiagnosis *why);

/* The same for a whole section body: bytes that are left over are a fault, too (BODY_LENGTH). */
bool mig_vmstate_load_body(const MigVmsd *vmsd, void *state, int version, const uint8_t *data,
                           size_t n, MigDiagnosis *why);

#endif
