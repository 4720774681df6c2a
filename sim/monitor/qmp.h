/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's QMP session: bytes in, bytes out.
 *
 *     new --> greeting waits as output
 *     negotiating --qmp_capabilities--> commands --any command--> answer (and events, any time)
 *
 * Bytes may come at any split, and commands one behind the other. An input that is no JSON gets one
 * error, and the rest of its line is skipped. Out-of-band execution is not offered.
 *
 * Bounds: MIG_QMP_MAX_COMMAND bytes and MIG_QMP_MAX_DEPTH levels of a command (QEMU: 64 MiB, 1024).
 * Output that nobody takes grows up to MIG_QMP_MAX_OUTPUT; then events are dropped and no input is
 * wanted.
 */
#ifndef MIG_SIM_MONITOR_QMP_H
#define MIG_SIM_MONITOR_QMP_H

#include "sim/monitor/monitor.h"

#define MIG_QMP_MAX_COMMAND (1u << 20)
#define MIG_QMP_MAX_DEPTH   24
#define MIG_QMP_MAX_OUTPUT  (16u << 20)

typedef struct MigQmp MigQmp;

/* |ready| is told that there is output; may be NULL. Ends before |m| does. Never NULL. */
MigQmp *mig_qmp_new(MigMonitor *m, void (*ready)(void *opaque), void *opaque);
void mig_qmp_free(MigQmp *q); /* NULL is fine */

/* Takes all |n| bytes; commands that are complete are executed. */
void mig_qmp_feed(MigQmp *q, const void *data, size_t n);

/* What is to be written: borrowed until the next call; *n 0: nothing. */
const char *mig_qmp_output(const MigQmp *q, size_t *n);
void mig_qmp_written(MigQmp *q, size_t n);

/* False while its output is full, or a command of it is not answered yet (x-advance). */
bool mig_qmp_wants_input(const MigQmp *q);

#endif
