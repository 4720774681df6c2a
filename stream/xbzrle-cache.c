/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XBZRLE page cache: two parallel arrays, slot heads and contents.
 *
 * Contents are one allocation that the operating system backs as slots are first used, so a large
 * cache that stays empty costs address space only.
 */
#include "stream/xbzrle-cache.h"

#include <stdlib.h>
#include <string.h>

typedef struct Slot {
    uint64_t address;
    uint64_t age;
    bool used;
} Slot;

struct MigXbzrleCache {
    Slot *slots;
    uint8_t *contents;
    size_t count;
    size_t used;
    size_t page_size;
};

static bool allocate(MigXbzrleCache *cache, uint64_t cache_size, size_t page_size)
{
    uint64_t count = page_size ? cache_size / page_size : 0;

    if (count == 0 || (count & (count - 1)) || count > SIZE_MAX / page_size ||
        count > SIZE_MAX / sizeof(Slot)) {
        return false;
    }
    *cache = (MigXbzrleCache){
        .slots = calloc((size_t)count, sizeof(Slot)),
        .contents = calloc((size_t)count, page_size),
        .count = (size_t)count,
        .page_size = page_size,
    };
    if (!cache->slots || !cache->contents) {
        free(cache->slots);
        free(cache->contents);
        return false;
    }
    return true;
}

MigXbzrleCache *mig_xbzrle_cache_new(uint64_t cache_size, size_t page_size)
{
    MigXbzrleCache *cache = malloc(sizeof(*cache));

    if (cache && !allocate(cache, cache_size, page_size)) {
        free(cache);
        cache = NULL;
    }
    return cache;
}

void mig_xbzrle_cache_free(MigXbzrleCache *cache)
{
    if (cache) {
        free(cache->slots);
        free(cache->contents);
        free(cache);
    }
}

size_t mig_xbzrle_cache_slots(const MigXbzrleCache *cache)
{
    return cache->count;
}

size_t mig_xbzrle_cache_used(const MigXbzrleCache *cache)
{
    return cache->used;
}

static size_t slot_of(const MigXbzrleCache *cache, uint64_t address)
{
    return (size_t)(address / cache->page_size) & (cache->count - 1);
}

static uint8_t *content(const MigXbzrleCache *cache, size_t slot)
{
    return cache->contents + slot * cache->page_size;
}

static bool holds(const MigXbzrleCache *cache, size_t slot, uint64_t address)
{
    return cache->slots[slot].used && cache->slots[slot].address == address;
}

uint8_t *mig_xbzrle_cache_get(MigXbzrleCache *cache, uint64_t address, uint64_t age)
{
    size_t slot = slot_of(cache, address);

    if (!holds(cache, slot, address)) {
        return NULL;
    }
    cache->slots[slot].age = age;
    return content(cache, slot);
}

const uint8_t *mig_xbzrle_cache_peek(const MigXbzrleCache *cache, uint64_t address)
{
    size_t slot = slot_of(cache, address);

    return holds(cache, slot, address) ? content(cache, slot) : NULL;
}

uint8_t *mig_xbzrle_cache_insert(MigXbzrleCache *cache, uint64_t address, const uint8_t *page,
                                 uint64_t age)
{
    size_t slot = slot_of(cache, address);
    Slot *head = &cache->slots[slot];
    uint8_t *copy = content(cache, slot);

    if (head->used && head->address != address && head->age + MIG_XBZRLE_CACHE_LIFETIME > age) {
        return NULL;
    }
    cache->used += !head->used;
    *head = (Slot){ .address = address, .age = age, .used = true };
    if (page) {
        memmove(copy, page, cache->page_size);
    } else {
        memset(copy, 0, cache->page_size);
    }
    return copy;
}

/* Moves one slot's page to a cache of another size. */
static void move_slot(MigXbzrleCache *to, const MigXbzrleCache *from, size_t slot)
{
    const Slot *head = &from->slots[slot];
    size_t target = slot_of(to, head->address);

    if (to->slots[target].used && to->slots[target].age >= head->age) {
        return;
    }
    to->used += !to->slots[target].used;
    to->slots[target] = *head;
    memcpy(content(to, target), content(from, slot), to->page_size);
}

bool mig_xbzrle_cache_resize(MigXbzrleCache *cache, uint64_t cache_size, MigXbzrleCacheResize how)
{
    MigXbzrleCache bigger;

    if (cache_size / cache->page_size == cache->count) {
        return true;
    }
    if (!allocate(&bigger, cache_size, cache->page_size)) {
        return false;
    }
    for (size_t i = 0; how == MIG_XBZRLE_CACHE_KEEP && i < cache->count; i++) {
        if (cache->slots[i].used) {
            move_slot(&bigger, cache, i);
        }
    }
    free(cache->slots);
    free(cache->contents);
    *cache = bigger;
    return true;
}

void mig_xbzrle_cache_clear(MigXbzrleCache *cache)
{
    memset(cache->slots, 0, cache->count * sizeof(*cache->slots));
    cache->used = 0;
}
