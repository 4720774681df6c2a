/* SPDX-License-Identifier: Apache-2.0 */
/* The recorded streams of traces/, for tests that go over all of them. */
#ifndef MIG_TESTS_UNIT_TRACES_H
#define MIG_TESTS_UNIT_TRACES_H

#include <glib.h>

/* Ids of the traces of one container ("raw", "pcapng", "libvirt"), sorted. Owned by the caller. */
GPtrArray *mig_test_trace_ids(const char *container);

/* The file of a trace, such as (id, ".json"). Owned by the caller. */
char *mig_test_trace_path(const char *id, const char *suffix);

/* Where the stream begins in its file: a mapped-ram file may have something in front. */
gsize mig_test_trace_offset(const char *id);

/* The uncompressed stream of a raw trace; aborts the test when there is no such file. */
GBytes *mig_test_trace_load(const char *id);

#endif
