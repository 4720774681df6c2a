/* SPDX-License-Identifier: Apache-2.0 */
/* How many of a thing a test tries: tests/all.py says it for short and for full runs. */
#ifndef MIG_TESTS_UNIT_COUNTS_H
#define MIG_TESTS_UNIT_COUNTS_H

#include <glib.h>

static inline guint64 mig_test_count(const char *variable, guint64 otherwise)
{
    const char *text = g_getenv(variable);
    return text ? g_ascii_strtoull(text, NULL, 10) : otherwise;
}

#endif
