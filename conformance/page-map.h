/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bit per page of every RAM block, sparse and under a cap: chunks of PAGES_PER_CHUNK pages are
 * allocated when the first of their pages is set, and given back when all of them are. A stream of
 * every page of 1 TiB in order holds one chunk at a time.
 */
#ifndef MIG_CONFORMANCE_PAGE_MAP_H
#define MIG_CONFORMANCE_PAGE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define MIG_PAGE_MAP_CHUNK 32768u      /* pages per chunk: 4 KiB of bits */
#define MIG_PAGE_MAP_CAP   (24u << 20) /* bytes that all chunks and tables take together */

typedef struct MigPageMap MigPageMap;

MigPageMap *mig_page_map_new(void);
void mig_page_map_free(MigPageMap *map);

/* Sets the bit and says whether it was set before. Past the cap: false, and overflowed. */
bool mig_page_map_set(MigPageMap *map, uint32_t block, uint64_t page);

/* False too past the cap. */
bool mig_page_map_is_set(const MigPageMap *map, uint32_t block, uint64_t page);

/* The lowest page below |pages| that is not set; |pages| if all are. */
uint64_t mig_page_map_first_clear(const MigPageMap *map, uint32_t block, uint64_t pages);

/* True when the cap was reached: answers are then unknown. */
bool mig_page_map_overflowed(const MigPageMap *map);

#endif
