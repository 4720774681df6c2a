/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a stream, in numbers: a consumer of records. Memory is bounded by tables that the
 * decoder bounds too; rows per section stop at MIG_SUMMARY_ROWS.
 */
#ifndef MIG_CONFORMANCE_SUMMARY_H
#define MIG_CONFORMANCE_SUMMARY_H

#include <glib.h>

#include "stream/decoder.h"

#define MIG_SUMMARY_ROWS     4096u
#define MIG_SUMMARY_COMMANDS 16u

typedef struct MigRamCounts {
    uint64_t normal, zero, xbzrle, compressed, flush, cont;
    uint64_t bytes; /* records and payload on the wire */
} MigRamCounts;

/* One START, PART, END or FULL. */
typedef struct MigSummaryRow {
    MigRecordSection section; /* idstr is `name` */
    char *name;
    uint64_t offset, bytes; /* header to footer */
    MigRamCounts ram;
} MigSummaryRow;

typedef struct MigSummaryBlock {
    MigRamCounts ram;
    uint64_t passes; /* times that the sending order went back to an earlier page */
    uint64_t next;   /* bytes: behind the last page */
} MigSummaryBlock;

typedef struct MigSummary {
    char *machine; /* NULL: no configuration section */
    bool footers;
    uint32_t page_size;
    uint64_t bytes, sections[5]; /* by MigItem */
    uint64_t commands[MIG_SUMMARY_COMMANDS];
    MigRamCounts ram;
    uint64_t devices, vmdesc_bytes, records;
    GArray *rows;   /* MigSummaryRow */
    GArray *blocks; /* MigSummaryBlock, by block index */
    uint64_t rows_left_out;
    /* private */
    MigSummaryRow *row;
    MigSummaryBlock *block;
    uint32_t block_index;
} MigSummary;

MigSummary *mig_summary_new(void);
void mig_summary_free(MigSummary *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigSummary, mig_summary_free)

void mig_summary_record(MigSummary *s, const MigRecord *r);
/* When the stream has ended, or can't be read any further. */
void mig_summary_end(MigSummary *s, const MigDecoder *d);

void mig_summary_text(const MigSummary *s, const MigDecoder *d, GString *out);
/* One object on one line. `stats` in it has the names of the traces' manifests. */
void mig_summary_json(const MigSummary *s, const MigDecoder *d, GString *out);

#endif
