/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine is told when it is made: era, machine, memory, capabilities and parameters.
 */
#ifndef MIG_SIM_ENGINE_CONFIG_H
#define MIG_SIM_ENGINE_CONFIG_H

#include <limits.h>

#include "sim/engine/blockers.h"
#include "sim/engine/capabilities.h"
#include "sim/engine/devices.h"
#include "sim/engine/disks.h"
#include "sim/engine/memory.h"
#include "sim/engine/parameters.h"
#include "stream/decoder.h"
#include "stream/version.h"

typedef enum MigTransportKind {
    MIG_TRANSPORT_STREAM,
    MIG_TRANSPORT_RDMA,
    MIG_TRANSPORT_COUNT
} MigTransportKind;

typedef enum MigPrecopyReason {
    MIG_PRECOPY_SETUP,
    MIG_PRECOPY_BEFORE_BITMAP_SYNC,
    MIG_PRECOPY_AFTER_BITMAP_SYNC,
    MIG_PRECOPY_COMPLETE,
    MIG_PRECOPY_CLEANUP,
} MigPrecopyReason;

/* Who is told behind all others; functions may be NULL. They must not call the source. */
typedef struct MigSourceObserver {
    void (*precopy)(void *opaque, MigPrecopyReason reason);
    void (*state)(void *opaque, const char *status);
    void *opaque;
} MigSourceObserver;

#define MIG_RUN_LONG UINT_MAX

typedef struct MigSourceConfig {
    MigEra era;
    const char *machine; /* as it stands in the configuration section */
    MigMemory *memory;
    MigDisks *disks; /* borrowed; NULL: none */
    MigTransportKind transport;
    bool blk, inc;         /* of `migrate`: copy disks, and of those only what the top image has */
    MigBlockers *blockers; /* told by query-migrate; borrowed, may be NULL */
    MigCapabilitySet capabilities;
    MigParameters parameters;
    uint8_t uuid[16]; /* sent with validate-uuid when has_uuid */
    bool has_uuid;
    bool free_page_hints;       /* a balloon says which pages nobody uses */
    uint32_t vcpus, ring_pages; /* dirty-limit: vCPUs (0: 1), and entries of the dirty ring of each
                                   (0: it has none, and dirty-limit does nothing) */
    uint32_t acks;              /* switchover-ack: devices whose acknowledgement is waited for;
                                   counted only where the era does */
    MigSourceObserver observer;
    bool guest_suspended;       /* its run state is suspended: QEMU may wake it for completion */
    bool guest_running;         /* its vCPUs run when the migration starts */
    uint64_t clear_chunk_pages; /* lazy clearing of the dirty log (KVM, manual protect): pages a
                                   chunk, a multiple of 64 (QEMU: 2^18); 0: none */
    uint64_t file_offset;       /* mapped-ram: of the stream's first byte in its file */
    unsigned max_run;           /* pages in one MIG_OP_SEND_PAGES, 1 .. 64; 0: 64; MIG_RUN_LONG:
                                   the world can do MIG_OP_SEND_RUN, too */
} MigSourceConfig;

typedef struct MigDestMultifd MigDestMultifd;

typedef struct MigDestConfig {
    MigEra era;
    const char *machine;
    MigMemory *memory;
    bool rdma;       /* HOOK records are welcome: pages come past the stream */
    MigDisks *disks; /* borrowed; NULL: none */
    MigCapabilitySet capabilities;
    uint8_t uuid[16];
    bool has_uuid;
    uint64_t file_offset;      /* of the first byte fed, in its file; 0: there is none */
    uint32_t multifd_channels; /* 0: as many as come */
    /*
     * The main channel has met a sync point of multifd: brings every channel to its SYNC, calls
     * mig_dest_multifd_sync() and lets them go on. False: *error says why not. NULL: they are
     * there.
     */
    bool (*sync_channels)(void *opaque, MigDestMultifd *channels, MigDiagnosis *error);
    uint32_t acks; /* switchover-ack: devices that acknowledge, see mig_dest_acknowledge() */
    /*
     * The length of device (idstr, instance)'s section, MIG_BODY_SIZE_UNKNOWN if it has no such
     * device: a machine knows its own devices, and without footers nothing else tells. May be NULL.
     */
    uint64_t (*body_size)(void *opaque, MigStr idstr, uint32_t instance, uint32_t ordinal);
    /*
     * A device's state has come, whole. NULL: it is taken; else what is wrong with it, valid until
     * the next call. May be NULL: nobody looks at devices.
     */
    const char *(*device)(void *opaque, const char *idstr, uint32_t instance, uint32_t version,
                          const uint8_t *body, size_t n);
    /* A message for the return path, to be sent before the next bytes are fed. May be NULL. */
    void (*reply)(void *opaque, const MigRecord *message);
    void *opaque;
} MigDestConfig;

#endif
