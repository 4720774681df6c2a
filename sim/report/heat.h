/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heat map: how many pages of which part of a block were sent when. Bounded: blocks are cut into
 * at most MIG_HEAT_ROWS parts, time into at most MIG_HEAT_COLUMNS; when these are full, two and two
 * are put together and a column lasts twice as long.
 *
 *     {"block": "ram", "rows": 64, "row-pages": 256, "columns": 100, "column-ns": 4000000,
 *      "counts": [rows * columns numbers, row after row; row 0 is the block's beginning]}
 */
#ifndef MIG_SIM_REPORT_HEAT_H
#define MIG_SIM_REPORT_HEAT_H

#include <json-c/json.h>
#include <stdint.h>

#define MIG_HEAT_ROWS    64u
#define MIG_HEAT_COLUMNS 128u
#define MIG_HEAT_PERIOD  1000000 /* ns, a column in the beginning */

typedef struct MigHeat MigHeat;

/* Of a block with |pages| pages, at least 1. |name| is copied. */
MigHeat *mig_heat_new(const char *name, uint64_t pages);
void mig_heat_free(MigHeat *h); /* NULL is fine */

/* At |at| ns (0 or later) pages |first| + i were sent, for each bit i of |mask|. What is behind the
 * block's end (it has grown) counts as its last part. */
void mig_heat_add(MigHeat *h, int64_t at, uint64_t first, uint64_t mask);

/* NULL when nothing was added. Free with json_object_put(). */
json_object *mig_heat_to_json(const MigHeat *h);

#endif
