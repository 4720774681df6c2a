/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's memory of what it sent: a direct-mapped cache of page contents.
 *
 *     slot = (address / page size) mod slots      slots: a power of two
 *     slot -> { address, age, content }           age: dirty-sync-count at insertion or hit
 *
 * A page does not push another one out before that one's age plus MIG_XBZRLE_CACHE_LIFETIME is
 * reached, so two pages that share a slot do not chase each other within a round.
 * Mirrors migration/page_cache.c of QEMU. All memory is taken at creation, none in use.
 */
#ifndef MIG_STREAM_XBZRLE_CACHE_H
#define MIG_STREAM_XBZRLE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIG_XBZRLE_CACHE_LIFETIME 2u /* generations for which a page is not pushed out */

typedef struct MigXbzrleCache MigXbzrleCache;

/* What happens to the contents when the size changes while a migration runs. */
typedef enum MigXbzrleCacheResize {
    MIG_XBZRLE_CACHE_DROP, /* all forgotten: xbzrle_cache_resize() since 2.11 */
    MIG_XBZRLE_CACHE_KEEP, /* moved; where two meet, the younger stays: cache_resize() before that
                            */
} MigXbzrleCacheResize;

/*
 * A cache of cache_size bytes for pages of page_size bytes: cache_size / page_size slots.
 * NULL if page_size is 0, if the number of slots is not a power of two, or if memory is short.
 * Free it with mig_xbzrle_cache_free(), which takes NULL too.
 */
MigXbzrleCache *mig_xbzrle_cache_new(uint64_t cache_size, size_t page_size);
void mig_xbzrle_cache_free(MigXbzrleCache *cache);

size_t mig_xbzrle_cache_slots(const MigXbzrleCache *cache);
size_t mig_xbzrle_cache_used(const MigXbzrleCache *cache); /* slots that hold a page */

/*
 * The content kept for the page at address (in the global RAM address space, a multiple of the page
 * size), page_size bytes that stay valid until the next insert or resize and may be written to;
 * NULL on a miss. A hit makes the page as young as age. Mirrors cache_is_cached() followed by
 * get_cached_data().
 */
uint8_t *mig_xbzrle_cache_get(MigXbzrleCache *cache, uint64_t address, uint64_t age);

/* The same without touching the age. */
const uint8_t *mig_xbzrle_cache_peek(const MigXbzrleCache *cache, uint64_t address);

/*
 * Keeps a copy of page (page_size bytes; NULL: a page of zeros) for address. Returns the copy, or
 * NULL if the slot holds another page that is too young to go. Mirrors cache_insert().
 */
uint8_t *mig_xbzrle_cache_insert(MigXbzrleCache *cache, uint64_t address, const uint8_t *page,
                                 uint64_t age);

/* Changes the size; the same rules as for new. False leaves the cache as it was. */
bool mig_xbzrle_cache_resize(MigXbzrleCache *cache, uint64_t cache_size, MigXbzrleCacheResize how);

/* Forgets everything. */
void mig_xbzrle_cache_clear(MigXbzrleCache *cache);

#endif
