/* SPDX-License-Identifier: Apache-2.0 */
/* The recorded streams of traces/, for tests that go over all of them. */
#ifndef MIG_TESTS_UNIT_TRACES_H
#define MIG_TESTS_UNIT_TRACES_H

#include <glib.h>

/* Ids of the traces of one container ("raw", "pcapng"), sorted. Owned by the caller. */
GPtrArray *mig_test_trace_ids(const char *container);

/* The uncompressed bytes of a raw trace; aborts the test when there is no such file. */
GBytes *mig_test_trace_load(const char *id);

#endif
