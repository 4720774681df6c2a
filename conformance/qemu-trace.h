/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long steps of a migration took a QEMU, out of what its trace events say in its log
 * (-msg timestamp=on -trace NAME, backend "log").
 *
 *     1234@1700000000.000123:migration_bitmap_sync_start          up to 11.0
 *     2026-01-02T03:04:05.000123Z ... migration_bitmap_sync_start the other form of a time stamp
 */
#ifndef MIG_CONFORMANCE_QEMU_TRACE_H
#define MIG_CONFORMANCE_QEMU_TRACE_H

#include <glib.h>

/* ns; -1: the log doesn't tell (another backend, an older QEMU). */
typedef struct MigQemuTrace {
    gint64 sync;    /* a sync of the dirty bitmap, the middle one of those behind the first */
    gint64 devices; /* saving the state of all devices */
    gint64 load;    /* loading it, until the guest runs */
} MigQemuTrace;

MigQemuTrace mig_qemu_trace_nothing(void);

/* Adds what |log|, of a source or a destination, tells. Other lines are passed over. */
void mig_qemu_trace_read(MigQemuTrace *t, const char *log);

#endif
