/* SPDX-License-Identifier: Apache-2.0 */
/* Random scenarios for the comparison of simulators (test-reference.c). */
#ifndef MIG_TESTS_REFERENCE_SCENARIO_H
#define MIG_TESTS_REFERENCE_SCENARIO_H

#include <stdbool.h>

/* Scenario number |seed|, as JSON; g_free(). |known|: of what the plain simulator knows. */
char *reference_scenario(unsigned seed, bool known);

#endif
