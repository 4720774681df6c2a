/* SPDX-License-Identifier: Apache-2.0 */
/* What saving and loading device state share. Internal to stream/. */
#ifndef MIG_STREAM_VMSTATE_INTERNAL_H
#define MIG_STREAM_VMSTATE_INTERNAL_H

#include "stream/vmstate.h"

typedef struct MigVmTypeInfo {
    const char *name; /* in the description */
    uint8_t width;    /* bytes on the wire; 0: depends */
} MigVmTypeInfo;

const MigVmTypeInfo *mig_vms_type(MigVmType type);

/* Is the field there in a state of this version? */
bool mig_vms_exists(const MigVmsField *field, const void *state, int version);

/* How many elements; false if the count member says more than fit. */
bool mig_vms_count(const MigVmsField *field, const void *state, uint64_t *count);

/* Bytes (BITMAP: bits) of one element in memory; false if the size member says more than fit. */
bool mig_vms_size(const MigVmsField *field, const void *state, size_t *size);

/* Address of element k. */
void *mig_vms_element(const MigVmsField *field, void *state, uint64_t k);

/* The path of a diagnosis as the descriptors are descended. */
typedef struct MigVmsPath {
    char text[MIG_DIAGNOSIS_TEXT];
    size_t length;
} MigVmsPath;

size_t mig_vms_enter(MigVmsPath *path, const char *name, long index);
void mig_vms_leave(MigVmsPath *path, size_t mark);

/* Fills *why, if there is one. Returns false always. */
bool mig_vms_fail(MigDiagnosis *why, MigFault fault, const MigVmsPath *path, uint64_t offset,
                  const char *expected, const char *found);

#endif
