/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a guest's memory isn't zero, seen from outside: in /proc of its process.
 *
 *     mappings as large as guest memory -> pages at even steps -> present? -> zero?
 */
#ifndef MIG_SIM_PREDICT_RESIDENT_H
#define MIG_SIM_PREDICT_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MigResident {
    uint64_t present; /* bytes that somebody has touched */
    uint64_t filled;  /* bytes of them that aren't zero; |present| where they can't be looked at */
} MigResident;

/* Of process |pid|, whose guest has |ram| bytes. False: nothing is known of it. */
bool mig_resident_look(int pid, uint64_t ram, MigResident *resident);

#endif
