/* SPDX-License-Identifier: Apache-2.0 */
/* Page maps: per block a table of chunks; a chunk is absent, bits, or full. */
#include "conformance/page-map.h"

#include <glib.h>

#define WORDS (MIG_PAGE_MAP_CHUNK / 64)

typedef struct Chunk {
    uint32_t set;
    uint64_t words[WORDS];
} Chunk;

typedef struct Block {
    Chunk **chunks;
    uint64_t count;
} Block;

struct MigPageMap {
    GArray *blocks; /* Block */
    uint64_t bytes;
    bool overflowed;
};

/* Stands for a chunk with every bit set. */
static Chunk full_chunk;
#define FULL (&full_chunk)

MigPageMap *mig_page_map_new(void)
{
    MigPageMap *map = g_new0(MigPageMap, 1);
    map->blocks = g_array_new(FALSE, TRUE, sizeof(Block));
    return map;
}

void mig_page_map_free(MigPageMap *map)
{
    if (!map) {
        return;
    }
    for (guint i = 0; i < map->blocks->len; i++) {
        Block *b = &g_array_index(map->blocks, Block, i);
        for (uint64_t c = 0; c < b->count; c++) {
            if (b->chunks[c] != FULL) {
                g_free(b->chunks[c]);
            }
        }
        g_free(b->chunks);
    }
    g_array_unref(map->blocks);
    g_free(map);
}

static bool charge(MigPageMap *map, uint64_t bytes)
{
    if (map->bytes + bytes > MIG_PAGE_MAP_CAP) {
        map->overflowed = true;
        return false;
    }
    map->bytes += bytes;
    return true;
}

static Chunk **slot_of(MigPageMap *map, uint32_t block, uint64_t index)
{
    if (block >= map->blocks->len) {
        g_array_set_size(map->blocks, block + 1);
    }
    Block *b = &g_array_index(map->blocks, Block, block);
    if (index >= b->count) {
        uint64_t count = MAX(index + 1, b->count * 2);
        uint64_t bytes =
            count > MIG_PAGE_MAP_CAP ? UINT32_MAX : (count - b->count) * sizeof(Chunk *);
        if (!charge(map, bytes)) {
            return NULL;
        }
        b->chunks = g_renew(Chunk *, b->chunks, count);
        for (uint64_t i = b->count; i < count; i++) {
            b->chunks[i] = NULL;
        }
        b->count = count;
    }
    return &b->chunks[index];
}

bool mig_page_map_set(MigPageMap *map, uint32_t block, uint64_t page)
{
    Chunk **slot;

    if (map->overflowed || !(slot = slot_of(map, block, page / MIG_PAGE_MAP_CHUNK))) {
        return false;
    }
    if (*slot == FULL) {
        return true;
    }
    if (!*slot) {
        if (!charge(map, sizeof(Chunk))) {
            return false;
        }
        *slot = g_new0(Chunk, 1);
    }
    uint64_t bit = UINT64_C(1) << page % 64;
    uint64_t *word = &(*slot)->words[page % MIG_PAGE_MAP_CHUNK / 64];
    if (*word & bit) {
        return true;
    }
    *word |= bit;
    if (++(*slot)->set == MIG_PAGE_MAP_CHUNK) {
        g_free(*slot);
        *slot = FULL;
        map->bytes -= sizeof(Chunk);
    }
    return false;
}

bool mig_page_map_is_set(const MigPageMap *map, uint32_t block, uint64_t page)
{
    const Block *b = block < map->blocks->len ? &g_array_index(map->blocks, Block, block) : NULL;
    uint64_t index = page / MIG_PAGE_MAP_CHUNK;

    if (!b || index >= b->count || !b->chunks[index]) {
        return false;
    }
    return b->chunks[index] == FULL ||
           (b->chunks[index]->words[page % MIG_PAGE_MAP_CHUNK / 64] >> page % 64 & 1);
}

static uint64_t chunk_first_clear(const Chunk *c)
{
    for (uint64_t w = 0; w < WORDS; w++) {
        if (~c->words[w]) {
            return w * 64 + (uint64_t)__builtin_ctzll(~c->words[w]);
        }
    }
    return MIG_PAGE_MAP_CHUNK;
}

uint64_t mig_page_map_first_clear(const MigPageMap *map, uint32_t block, uint64_t pages)
{
    const Block none = { 0 };
    const Block *b = block < map->blocks->len ? &g_array_index(map->blocks, Block, block) : &none;

    for (uint64_t i = 0; i * MIG_PAGE_MAP_CHUNK < pages; i++) {
        uint64_t first = i * MIG_PAGE_MAP_CHUNK;
        if (i >= b->count || !b->chunks[i]) {
            return first;
        }
        if (b->chunks[i] != FULL) {
            uint64_t at = first + chunk_first_clear(b->chunks[i]);
            if (at < first + MIG_PAGE_MAP_CHUNK) {
                return MIN(at, pages);
            }
        }
    }
    return pages;
}

bool mig_page_map_overflowed(const MigPageMap *map)
{
    return map->overflowed;
}
