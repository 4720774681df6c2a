/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a machine as a migration sees them: what stands in the FULL sections, in the order
 * of the stream, and what the VMDESCRIPTION says of it.
 */
#ifndef MIG_SIM_ENGINE_DEVICES_H
#define MIG_SIM_ENGINE_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/version.h"
#include "stream/vmstate.h"

typedef struct MigDevice {
    char *idstr;
    uint32_t instance, version, section_id;
    uint8_t *body;
    size_t body_len;
} MigDevice;

typedef struct MigDevices {
    MigDevice *list;
    size_t count, cap;
    MigVmdescWriter *vmdesc; /* NULL: the era sends none */
    const char *text;        /* of the VMDESCRIPTION, after mig_devices_finish() */
    size_t text_len;
} MigDevices;

/*
 * An empty list. |machine| and the page size stand in the description. Aborts when memory is
 * exhausted, as do the others.
 */
MigDevices *mig_devices_new(const MigEra *era, const char *machine, uint32_t page_size);
void mig_devices_free(MigDevices *d); /* NULL is fine */

/* Appends a device that has no description but its size; copies |body|. */
void mig_devices_add_opaque(MigDevices *d, const char *idstr, uint32_t instance, uint32_t version,
                            uint32_t section_id, const void *body, size_t n);

/* Appends a device by its descriptor. */
void mig_devices_add(MigDevices *d, const char *idstr, uint32_t instance, uint32_t section_id,
                     const MigVmsd *vmsd, void *state);

/* The ones that every machine has: timer first, globalstate last. */
void mig_devices_add_timer(MigDevices *d, const MigEra *era, uint32_t section_id, int64_t clock_ns);
void mig_devices_add_globalstate(MigDevices *d, const MigEra *era, uint32_t section_id,
                                 const char *run_state);

/* Closes the description. To be called once, behind the last device. */
void mig_devices_finish(MigDevices *d);

#endif
