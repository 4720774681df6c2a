/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went over each channel of a recording, in numbers: a consumer of records.
 */
#ifndef MIG_CONFORMANCE_CHANNEL_TABLE_H
#define MIG_CONFORMANCE_CHANNEL_TABLE_H

#include <glib.h>

#include "sim/world/recording.h"

typedef struct MigChannelCounts {
    uint64_t bytes, records;
    uint64_t packets;      /* of multifd; messages of the return path; COLO's messages */
    uint64_t normal, zero; /* pages: records, in packets, and bits of a mapped-ram bitmap are not */
    uint64_t syncs;        /* SYNC packets */
    uint64_t flushes;      /* MULTIFD_FLUSH records */
    uint64_t eos;          /* ends of RAM bodies */
    const char *end;       /* how it ended: "end", "cut off", "bad", "open" */
} MigChannelCounts;

/* |table|: GArray of MigChannelCounts, that grows. */
void mig_channel_table_record(GArray *table, unsigned channel, const MigRecord *r);
void mig_channel_table_bad(GArray *table, unsigned channel, bool cut);
void mig_channel_table_end(GArray *table, const MigRecording *m);

/* |only| NULL: all of them. */
void mig_channel_table_text(const GArray *table, const MigRecording *m, const char *only,
                            GString *out);
/* One object for each channel, one on a line. */
void mig_channel_table_json(const GArray *table, const MigRecording *m, const char *only,
                            GString *out);

#endif
