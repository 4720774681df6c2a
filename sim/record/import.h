/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A migration out of captured packets (pcap or pcapng of tcpdump or Wireshark): finds its
 * connections, puts their bytes in order, and tells them as a relay would have.
 *
 * The destination is where the first bytes "QEVM" go; all connections to that address and port are
 * channels of the migration, and those to further ports that are named.
 */
#ifndef MIG_SIM_RECORD_IMPORT_H
#define MIG_SIM_RECORD_IMPORT_H

#include "sim/record/teller.h"

#define MIG_IMPORT_PORTS 8u

typedef struct MigImportConfig {
    const char *path;
    uint16_t ports[MIG_IMPORT_PORTS]; /* of the destination; none: found out */
    unsigned port_count;
    MigTap tap;
    /* Bytes are missing at |offset| of a direction of a connection: what came behind is left out.
     */
    void (*gap)(void *opaque, const char *channel, uint64_t offset, uint64_t missing);
} MigImportConfig;

typedef struct MigImportCounts {
    uint64_t packets, segments, forward, back; /* packets of the file; bytes */
    unsigned connections, generations, gaps;
    unsigned open;  /* connections whose end was not captured */
    bool cut;       /* the file ends inside a packet, behind |packets| whole ones... */
    int64_t cut_at; /* ...which begins there; -1: nobody knows, it was a pipe */
} MigImportCounts;

/* False and *error: the file can't be read, holds no migration, or the tap refuses. */
bool mig_import(const MigImportConfig *config, MigImportCounts *counts, GError **error);

#define MIG_IMPORT_ERROR (g_quark_from_static_string("mig-import-error"))

#endif
