/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings of simulated migrations, for tests of what is read out of recordings. */
#ifndef MIG_TESTS_RECORDED_H
#define MIG_TESTS_RECORDED_H

#include "sim/fit/sends.h"

/* Simulates |scenario| (text) as a plain stream, which must complete, and records it with its
 * times. The recording's path, to be unlinked and freed. Any error fails the test. */
char *recorded_file(const char *scenario);

/* The same recording, read. */
MigSends *recorded_sends(const char *scenario);

#endif
