/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes, rates and times as people write them. Exact: what does not come out as a whole number of
 * bytes, bits per second or nanoseconds is refused, not rounded.
 *
 *     size    4096   90k   1.5G   512MiB      k M G T (with or without iB, B): powers of 1024
 *     rate    1Gbit/s   100kbit/s             k M G T: powers of 1000
 *             125MB/s   64MiB/s               likewise; with i powers of 1024
 *     time    100us   20ms   1.5s   0         ns us ms s min
 */
#ifndef MIG_SIM_WORLD_UNITS_H
#define MIG_SIM_WORLD_UNITS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum MigUnitsError {
    MIG_UNITS_ERROR_FORM,  /* not a number with a unit of this kind */
    MIG_UNITS_ERROR_RANGE, /* too large, or not whole */
} MigUnitsError;

#define MIG_UNITS_ERROR (g_quark_from_static_string("mig-units-error"))

bool mig_parse_size(const char *text, uint64_t *bytes, GError **error);
/* Bits per second. "unlimited" is 0. */
bool mig_parse_rate(const char *text, uint64_t *bits, GError **error);
/* Bytes per second, as QAPI counts: a size, or a rate that is a whole number of them. */
bool mig_parse_bandwidth(const char *text, uint64_t *bytes, GError **error);
/* Milliseconds, as QAPI counts: 300, or a time that is a whole number of them (0.3s). */
bool mig_parse_ms(const char *text, uint64_t *ms, GError **error);
/* Nanoseconds. */
bool mig_parse_time(const char *text, int64_t *ns, GError **error);

/* For people: "1.50 GiB", "118 MiB/s", "12.3 ms". Free with g_free(). */
char *mig_format_size(uint64_t bytes);
char *mig_format_bits(uint64_t bits);
char *mig_format_time(int64_t ns);

#endif
